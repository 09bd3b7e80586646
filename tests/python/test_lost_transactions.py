"""A transaction that the database ended beneath the application, as SQLite does when its disk is full: nothing of it is claimed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from testproject.models import Row
from trails import Trail

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.parametrize("database", ["sqlite"], indirect=True)]

_PAGES_MAX = 1_000_000


@contextmanager
def disk_of(pages: int) -> Iterator[None]:
    """Leaves the database so many pages to grow by."""
    with connection.cursor() as cursor:
        # Pages that earlier tests gave back would be used first.
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        ((count,),) = cursor.fetchall()
        cursor.execute(f"PRAGMA max_page_count = {count + pages}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA max_page_count = {_PAGES_MAX}")


@pytest.mark.parametrize("evidence", ["marker", "outbox"])
def test_a_proof_that_takes_the_transaction_along_is_told_to_the_application(trail: Trail, settings: Any, evidence: str) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": evidence, "ON_FAILURE": "best_effort"}
    done, refused = [], 0
    with disk_of(pages=1):
        for number in range(120):
            try:
                with transaction.atomic():
                    Row.objects.create(number=number)
            except DatabaseError:
                refused += 1
            else:
                done.append(number)
    assert refused > 0
    assert sorted(Row.objects.values_list("number", flat=True)) == done
    if evidence == "marker":
        assert [record["verdict"] for record in trail.records()] == ["committed"] * len(done)


@pytest.mark.parametrize("evidence", ["ack", "marker"])
def test_what_was_written_before_and_after_the_database_gave_up_is_in_doubt(trail: Trail, settings: Any, evidence: str) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": evidence}
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filler (filler BLOB)")
    try:
        with disk_of(pages=5), transaction.atomic():
            Row.objects.create(number=1)
            with suppress(DatabaseError), connection.cursor() as cursor:
                cursor.execute("INSERT INTO filler VALUES (zeroblob(1000000))")
            Row.objects.create(number=2)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE filler")
    assert [row.number for row in Row.objects.all()] == [2]
    assert [record["verdict"] for record in trail.records()] == ["in_doubt", "in_doubt"]
