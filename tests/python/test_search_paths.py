"""Applications that change the search path of PostgreSQL: the marker goes where every process looks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction

import indelible
from indelible.django.evidence import _marks
from indelible.django.evidence._fences import Markers
from proofs import markers
from testproject.models import Row
from trails import Trail

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.parametrize("database", ["postgresql"], indirect=True)]


@pytest.fixture
def tenant(trail: Trail, settings: Any) -> Iterator[Trail]:
    """A schema with a table of rows, which the site's markers are not in, before anybody has looked for them."""
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker"}
    _marks.forget_tables()
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA tenant")
        cursor.execute("CREATE TABLE tenant.testproject_row (LIKE public.testproject_row INCLUDING ALL)")
    yield trail
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA tenant CASCADE")
    _marks.forget_tables()


def write_there() -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL search_path TO tenant")
        Row.objects.create(id=1, number=1)


@pytest.mark.parametrize("looked_before", [False, True])
def test_a_transaction_with_another_search_path_is_committed_and_proved(tenant: Trail, looked_before: bool) -> None:
    if looked_before:
        Row.objects.create(number=0)
    write_there()
    assert len(markers()) == 1 + looked_before
    assert {record["verdict"] for record in tenant.records()} == {"committed"}


def test_a_table_of_the_same_name_in_the_tenants_schema_is_not_taken(tenant: Trail) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE tenant.indelible_marker (LIKE public.indelible_marker INCLUDING ALL)")
    write_there()
    (intent,) = markers()
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO tenant")
        try:
            assert Markers("default").missing([intent]) == []
        finally:
            cursor.execute("RESET search_path")


def test_a_database_that_does_not_say_costs_the_evidence_and_not_the_transaction(tenant: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_marks, "_HOME_SQL", "SELECT 1 / 0, %s, %s")
    with transaction.atomic():
        Row.objects.create(number=1)
    assert Row.objects.count() == 1
    assert (markers(), [record["verdict"] for record in tenant.records()]) == ({}, ["committed"])


@pytest.mark.parametrize(("place", "block"), [("_ask", transaction.atomic), ("_ask", nullcontext), ("_execute", transaction.atomic)])
def test_a_connection_that_breaks_off_while_the_table_is_looked_for_says_nothing_of_the_table(
    trail: Trail, settings: Any, monkeypatch: pytest.MonkeyPatch, place: str, block: Callable[[], AbstractContextManager[Any]]
) -> None:
    """A bouncer was killed in that moment: the fault was logged as one of ours, and for five seconds commits were known by ``ack`` only."""
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker", "ON_ERROR": "degrade"}
    _marks.forget_tables()
    asked = getattr(_marks, place)

    def break_off(broken: Any, sql: str, *given: Any) -> Any:
        if not sql.startswith("SAVEPOINT"):
            monkeypatch.setattr(_marks, place, asked)
            end(broken.connection.info.backend_pid)
        return asked(broken, sql, *given)

    monkeypatch.setattr(_marks, place, break_off)
    with pytest.raises((OperationalError, InterfaceError)), block():
        Row.objects.create(number=1)
    connection.close()
    Row.objects.create(number=2)
    assert indelible.health()["faults"] == 0
    assert len(markers()) == 1
    assert [record["verdict"] for record in trail.records()] == ["committed"]


def end(backend: int) -> None:
    """Ends the server's process behind a connection."""
    given = connections.settings["default"]
    with psycopg.connect(host=given["HOST"], port=given["PORT"], user=given["USER"], dbname=given["NAME"]) as other:
        assert other.execute(f"SELECT pg_terminate_backend({backend}, 5000)").fetchone() == (True,)
