"""Committed means recorded, rolled back means not: every way in which Django and the databases end a transaction."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections, transaction
from django.test import TestCase

import indelible
import journal
from indelible import _runtime
from indelible.django import _rows
from indelible.django._transactions import tracker_of
from testproject.models import Counter, Employee, Patient, Row, Secret
from trails import Trail, fields, only_change

pytestmark = pytest.mark.usefixtures("database")
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def numbers(trail: Trail) -> list[int]:
    """The numbers of the rows that the trail says were created."""
    return [fields(event)["number"][1] for event in trail.changes() if event["action"] == "row.create" and event["outcome"] == "success"]


def add(number: int, using: str = "default") -> Row:
    return Row.objects.using(using).create(number=number)


def fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("the application's own fault")


@contextmanager
def abandoned(using: str = "default") -> Iterator[None]:
    """A block that the application leaves with an exception, which it catches outside."""
    with suppress(RuntimeError), transaction.atomic(using=using):
        yield
        fail()


@pytest.mark.scenario(9)
def test_what_is_rolled_back_is_no_event(trail: Trail) -> None:
    with abandoned():
        add(1)
    assert trail.changes() == []


@pytest.mark.scenario(10)
def test_only_the_outer_block_is_recorded_when_the_inner_is_rolled_back(trail: Trail) -> None:
    with transaction.atomic():
        add(1)
        with abandoned():
            add(2)
        add(3)
    assert numbers(trail) == [1, 3]


def test_a_savepoint_made_before_the_first_write_takes_all_of_them_along(trail: Trail) -> None:
    with transaction.atomic():
        with abandoned():
            add(1)
            with transaction.atomic():
                add(2)
        add(3)
    assert numbers(trail) == [3]


def test_a_block_without_a_savepoint_takes_the_outer_block_along(trail: Trail) -> None:
    with suppress(RuntimeError), transaction.atomic():
        add(1)
        with transaction.atomic(savepoint=False):
            add(2)
            fail()
    assert trail.changes() == []


def test_savepoints_made_by_hand_can_be_rolled_back_to_twice(trail: Trail) -> None:
    with transaction.atomic():
        add(1)
        savepoint = transaction.savepoint()
        add(2)
        transaction.savepoint_rollback(savepoint)
        add(3)
        transaction.savepoint_rollback(savepoint)
        add(4)
        transaction.savepoint_commit(savepoint)
    assert numbers(trail) == [1, 4]


def test_set_rollback_rolls_back(trail: Trail) -> None:
    with transaction.atomic():
        add(1)
        transaction.set_rollback(True)
    assert trail.changes() == []


@pytest.mark.defect("A-13", "F-14")
def test_each_database_has_its_own_transaction(trail: Trail) -> None:
    with transaction.atomic():
        add(1)
        with abandoned(using="other"):
            add(2, using="other")
        with transaction.atomic(using="other"):
            add(3, using="other")
    assert sorted(numbers(trail)) == [1, 3]


@pytest.mark.defect("A-14", "F-14")
@pytest.mark.scenario(12)
def test_a_callback_that_raises_after_the_commit_loses_nothing(trail: Trail) -> None:
    @transaction.atomic
    def write() -> None:
        transaction.on_commit(fail)
        add(1)

    with pytest.raises(RuntimeError):
        write()
    assert numbers(trail) == [1]


def test_the_events_of_a_transaction_are_one_intent_with_one_answer(trail: Trail) -> None:
    with transaction.atomic():
        add(1)
        add(2)
    frames = trail.frames()
    assert [frame.kind for frame in frames] == [journal.INTENT, journal.OUTCOME]
    assert len(frames[0].items) == 2
    assert (frames[0].alias, frames[1].result) == ("default", 1)


def test_a_transaction_that_writes_nothing_leaves_nothing(trail: Trail) -> None:
    with transaction.atomic(), transaction.atomic():
        list(Row.objects.all())
    assert trail.frames() == []


def test_a_statement_outside_of_a_transaction_is_announced_without_its_key_and_answered_with_it(trail: Trail) -> None:
    row = add(1)
    intent, outcome = trail.frames()
    assert (intent.kind, outcome.kind, outcome.result) == (journal.INTENT, journal.OUTCOME, 1)
    assert "id" not in intent.items[0].body["resource"]
    assert outcome.items[0].body["resource"]["id"] == str(row.pk)
    assert only_change(trail)["resource"]["id"] == str(row.pk)


def test_a_statement_that_fails_outside_of_a_transaction_is_answered_with_rolled_back(trail: Trail) -> None:
    row = add(1)
    trail.forget()
    with pytest.raises(IntegrityError):
        Row(pk=row.pk, number=2).save(force_insert=True)
    assert [frame.result for frame in trail.frames() if frame.kind == journal.OUTCOME] == [2]
    assert trail.changes() == []


def test_a_statement_that_is_never_sent_is_not_announced(trail: Trail) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        add("many")  # type: ignore[arg-type]
    assert trail.frames() == []


def test_a_statement_that_an_execute_wrapper_refuses_is_not_announced(trail: Trail) -> None:
    with connection.execute_wrapper(fail), pytest.raises(RuntimeError):
        add(1)
    assert trail.frames() == []


def test_without_autocommit_the_application_commits(trail: Trail) -> None:
    transaction.set_autocommit(False)
    try:
        add(1)
        transaction.rollback()
        add(2)
        with transaction.atomic():
            add(3)
        with abandoned():
            add(4)
        assert trail.frames() == []
        transaction.commit()
        add(5)
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert numbers(trail) == [2, 3]


def test_turning_autocommit_on_in_a_transaction_is_what_the_database_makes_of_it(trail: Trail, database: str) -> None:
    transaction.set_autocommit(False)
    add(1)
    if database == "sqlite":
        transaction.set_autocommit(True)
    else:
        with pytest.raises(DatabaseError):
            transaction.set_autocommit(True)
        transaction.commit()
        transaction.set_autocommit(True)
    assert list(Row.objects.values_list("number", flat=True)) == [1]
    assert numbers(trail) == [1]


@only_postgresql
def test_a_failed_attempt_to_turn_autocommit_on_commits_nothing(trail: Trail) -> None:
    transaction.set_autocommit(False)
    add(1)
    with pytest.raises(DatabaseError):
        transaction.set_autocommit(True)
    transaction.rollback()
    transaction.set_autocommit(True)
    assert trail.changes() == []


def test_a_swallowed_error_on_postgresql_makes_the_commit_a_rollback(trail: Trail, database: str) -> None:
    with transaction.atomic():
        add(1)
        with connection.cursor() as cursor, pytest.raises(DatabaseError):
            cursor.execute("SELECT nothing FROM nowhere")
    rows = list(Row.objects.values_list("number", flat=True))
    assert rows == ([1] if database == "sqlite" else [])
    assert numbers(trail) == rows


def test_a_deferred_constraint_that_fails_at_commit_is_a_rollback(trail: Trail) -> None:
    @transaction.atomic
    def write() -> None:
        add(1)
        Patient.objects.create(name="Ana", doctor_id=12345)

    with pytest.raises(IntegrityError):
        write()
    results = [frame.result for frame in trail.frames() if frame.kind == journal.OUTCOME]
    assert results == [2]
    assert trail.changes() == []
    assert Row.objects.count() == 0


def test_closing_the_connection_in_a_transaction_is_a_rollback(trail: Trail) -> None:
    with abandoned():
        add(1)
        connection.close()
    assert Row.objects.count() == 0
    add(2)
    assert numbers(trail) == [2]


@only_postgresql
def test_a_commit_that_nobody_answers_is_in_doubt(trail: Trail) -> None:
    @transaction.atomic
    def write() -> None:
        add(1)
        _terminate(connection.connection.info.backend_pid)

    with pytest.raises(OperationalError):
        write()
    assert [frame.kind for frame in trail.frames()] == [journal.INTENT]
    assert [record["verdict"] for record in trail.records()] == ["in_doubt"]


@only_postgresql
def test_a_statement_that_nobody_answers_is_in_doubt(trail: Trail) -> None:
    connection.ensure_connection()
    _terminate(connection.connection.info.backend_pid)
    with pytest.raises(OperationalError):
        add(1)
    assert [frame.kind for frame in trail.frames()] == [journal.INTENT]
    assert [record["verdict"] for record in trail.records()] == ["in_doubt"]


def _terminate(pid: int) -> None:
    """Ends a backend of PostgreSQL from another connection, and waits until it is gone."""
    with connections["other"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        for _ in range(1000):
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
            if cursor.fetchone() == (0,):
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    pytest.fail("the backend did not end")


@only_sqlite
def test_a_commit_that_finds_the_database_locked_can_be_tried_again(trail: Trail) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 0")
    transaction.set_autocommit(False)
    reader = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    try:
        add(1)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM testproject_row").fetchone()
        with pytest.raises(OperationalError, match="locked"):
            transaction.commit()
        reader.execute("COMMIT")
        transaction.commit()
    finally:
        reader.close()
        transaction.set_autocommit(True)
        connection.close()
    assert [frame.result for frame in trail.frames() if frame.kind == journal.OUTCOME] == [1]
    assert numbers(trail) == [1]


@pytest.mark.defect("S-16")
def test_a_sensitive_change_that_is_rolled_back_is_kept_as_aborted(trail: Trail) -> None:
    with abandoned():
        Secret.objects.create(text="plans")
        add(1)
    event = only_change(trail)
    assert (event["action"], event["outcome"]) == ("secret.create", "aborted")


def test_a_successful_action_waits_for_the_transaction_of_its_resource(trail: Trail) -> None:
    with transaction.atomic():
        row = add(1)
        assert indelible.record("row.approve", resource=row).status == "held"
        transaction.set_rollback(True)
    with transaction.atomic(using="other"):
        assert indelible.record("row.count").status == "held"
    assert indelible.record("row.list").status == "at"
    assert [event["action"] for event in trail.events("action")] == ["row.count", "row.list"]


def test_an_action_between_two_transactions_waits_for_its_own(trail: Trail) -> None:
    with transaction.atomic(), transaction.atomic(using="other"):
        here, there = add(1), add(2, using="other")
        indelible.record("row.approve", resource=here)
        indelible.record("row.reject", resource=there)
        indelible.record("row.count")
        transaction.set_rollback(True, using="other")
    assert [event["action"] for event in trail.events("action")] == ["row.approve", "row.count"]


@pytest.mark.defect("S-16")
def test_failures_and_unheld_actions_do_not_wait(trail: Trail) -> None:
    with transaction.atomic():
        assert indelible.record("row.approve", outcome="denied").status == "at"
        assert indelible.record("row.approve", held=False).status == "at"
        transaction.set_rollback(True)
    assert len(trail.events("action")) == 2


def test_from_an_event_loop_nothing_waits_but_the_threads_writes_are_recorded(trail: Trail) -> None:
    def write() -> None:
        with transaction.atomic():
            add(1)
            assert indelible.record("row.approve").status == "held"

    async def main() -> str:
        await sync_to_async(write)()
        await Row.objects.acreate(number=2)
        return indelible.record("row.list").status

    assert async_to_sync(main)() == "at"
    assert numbers(trail) == [1, 2]


@only_postgresql
def test_threads_have_transactions_of_their_own(trail: Trail) -> None:
    written = threading.Barrier(2, timeout=30)

    def work(number: int, keep: bool) -> None:
        try:
            with transaction.atomic():
                add(number)
                written.wait()
                transaction.set_rollback(not keep)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number, number % 2 == 0)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(trail) == [2]


@pytest.mark.defect("A-23")
def test_a_forked_child_forgets_what_its_parent_holds(trail: Trail) -> None:
    with transaction.atomic():
        add(1)
        child = os.fork()
        if child == 0:
            os._exit(0 if tracker_of(connection).held is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert numbers(trail) == [1]


def test_the_transaction_of_a_test_case_does_not_count(trail: Trail) -> None:
    seen: list[int] = []

    class Case(TestCase):
        databases = {"default", "other"}

        @classmethod
        def setUpTestData(cls) -> None:
            with transaction.atomic():
                add(1)

        def runTest(self) -> None:
            add(2)
            with transaction.atomic():
                add(3)
                with transaction.atomic():
                    add(4)
                seen.append(len([frame for frame in trail.frames() if frame.kind == journal.OUTCOME]))
            with transaction.atomic():
                add(5)
                transaction.set_rollback(True)
            Employee.objects.create(name="Eve", badge="E1")

    result = Case().defaultTestResult()
    Case.setUpClass()
    try:
        Case()(result)
    finally:
        Case.tearDownClass()
    assert not result.errors, result.errors
    assert seen == [2]
    assert numbers(trail) == [1, 2, 3, 4]
    assert [event["action"] for event in trail.changes()][-1] == "employee.create"


def test_a_journal_that_takes_nothing_refuses_the_write_before_it_is_committed(trail: Trail, required: None) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        add(1)
    with pytest.raises(indelible.IndelibleError):
        add(2)
    assert Row.objects.count() == 0
    assert connection.get_autocommit()


@pytest.fixture
def required(trail: Trail) -> None:
    settings = _runtime.runtime().settings
    full = {**settings.limits, "journal_bytes": 1}
    _runtime.configure(dataclasses.replace(settings, on_failure="required", limits=full))


def test_a_fault_of_ours_changes_nothing_for_the_application(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    _runtime.configure(dataclasses.replace(_runtime.runtime().settings, on_error="degrade"))
    monkeypatch.setattr(_rows, "read_all", fail)
    with transaction.atomic():
        add(1)
    add(2)
    assert Row.objects.count() == 2
    held, alone = trail.changes()
    assert held["notes"] == alone["notes"] == ["values not recorded: RuntimeError"]
    assert held["action"] == alone["action"] == "row.create"
    assert indelible.health()["unrecorded"] == 0


def test_without_a_recorder_the_application_goes_on(trail: Trail, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    _runtime.configure(dataclasses.replace(_runtime.runtime().settings, on_error="degrade", data_dir=blocked))
    with transaction.atomic():
        counter = Counter.objects.create(name="a", hits=1)
        with transaction.atomic():
            counter.hits = 2
            counter.save()
    counter.delete()
    assert indelible.health()["unrecorded"] == 3
    assert indelible.health()["ok"] is False
