"""Markers: one row more in each writing transaction, as its last statement, and nothing else is different for the application."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections, transaction
from django.test import Client, TestCase

import indelible
import journal
from indelible.django import _evidence
from indelible.django._guard import RecordingRefused
from indelible.django._models import plan_of
from indelible.django.evidence import _marks
from proofs import kinds, markers, sent
from testproject.models import Condition, Counter, Doctor, Employee, Patient, Row, Secret
from trails import Trail, fields

pytestmark = pytest.mark.usefixtures("database")
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def marked(trail: Trail, settings: Any) -> Trail:
    """The trail of a site that asks for markers everywhere, whose tables were found already."""
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker"}
    for alias in ("default", "other"):
        connections[alias].ensure_connection()
        assert _marks.is_ready(connections[alias], "marker")
    return trail


def with_evidence(settings: Any, evidence: str, **more: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": evidence, **more}


def intents(trail: Trail) -> list[journal.Frame]:
    return [frame for frame in trail.frames() if frame.kind == journal.INTENT]


def in_one_transaction() -> None:
    with transaction.atomic():
        row = Row.objects.create(number=1)
        with transaction.atomic():
            Row.objects.create(number=2)
        with suppress(RuntimeError), transaction.atomic():
            Row.objects.create(number=3)
            raise RuntimeError
        row.delete()


def without_autocommit() -> None:
    transaction.set_autocommit(False)
    try:
        Row.objects.create(number=1)
        transaction.commit()
        Row.objects.create(number=2)
        transaction.rollback()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def nothing_is_left() -> None:
    with transaction.atomic():
        list(Row.objects.all())
        with suppress(RuntimeError), transaction.atomic():
            Row.objects.create(number=1)
            raise RuntimeError
    with suppress(RuntimeError), transaction.atomic():
        Row.objects.create(number=2)
        raise RuntimeError


@pytest.mark.parametrize(("program", "marked_commits"), [(in_one_transaction, 1), (without_autocommit, 1), (nothing_is_left, 0)])
def test_a_marker_is_one_statement_more_and_the_last_before_commit(trail: Trail, settings: Any, program: Any, marked_commits: int) -> None:
    def run(evidence: str) -> list[str]:
        with_evidence(settings, evidence)
        connection.ensure_connection()
        assert _marks.is_ready(connection, "marker")
        with sent() as statements:
            program()
        return kinds(statements)

    plain, marking = run("ack"), run("marker")
    assert "COMMIT" in plain, plain
    assert not [kind for kind in plain if "indelible" in kind]
    assert marking.count("INSERT indelible_marker") == marked_commits
    assert [kind for kind in marking if kind != "INSERT indelible_marker"] == plain
    followers = [after for before, after in pairwise(marking) if before == "INSERT indelible_marker"]
    assert followers == ["COMMIT"] * marked_commits


def test_the_marker_names_the_intent_and_where_it_stands(marked: Trail) -> None:
    with transaction.atomic():
        Row.objects.create(number=1)
    (intent,) = intents(marked)
    assert markers() == {intent.intent: _evidence.COMMITTED}
    with connection.cursor() as cursor:
        cursor.execute("SELECT stream, sequence, journal FROM indelible_marker")
        ((stream, sequence, folder),) = cursor.fetchall()
    assert (uuid.UUID(str(stream)), sequence) == (intent.stream, intent.sequence)
    written = (marked.data_dir / "journal" / "tests" / "id").read_text().strip()
    assert uuid.UUID(str(folder)) == uuid.UUID(written)
    assert [record["verdict"] for record in marked.records()] == ["committed"]


def every_write() -> list[Any]:
    """Each way to write by one statement, with what it answers."""
    row = Row.objects.create(number=1)
    answers: list[Any] = [row.pk is not None, row.number]
    row.number = 2
    answers.append(row.save())
    answers += [Row.objects.filter(number=2).update(number=3), Row.objects.filter(number=9).update(number=3)]
    answers.append([one.number for one in Row.objects.bulk_create([Row(number=4), Row(number=5)])])
    answers.append(Row.objects.update_or_create(number=4, defaults={"number": 6})[1])
    answers.append(Row.objects.get_or_create(number=7)[1])
    answers.append(row.delete())
    answers.append(Row.objects.filter(number=5).delete())
    answers.append(Row.objects.none().update(number=1))
    patient = Patient.objects.create(name="Ana")
    patient.conditions.add(Condition.objects.create(code="A1"))
    answers.append(patient.conditions.count())
    employee = Employee.objects.create(name="Eve", badge="E1")
    answers.append(employee.delete()[0])
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO testproject_counter (name, hits, noise) VALUES ('a', 1, 2)")
        answers.append(cursor.rowcount)
        cursor.execute("INSERT INTO testproject_counter (name, hits, noise) VALUES ('b', 1, 2) RETURNING name")
        answers.append(cursor.fetchall())
        cursor.executemany("UPDATE testproject_counter SET hits = %s", [(2,), (3,)])
    answers.append(list(Counter.objects.values_list("name", "hits").order_by("name")))
    answers.append(async_to_sync(make_a_doctor)())
    return answers


async def make_a_doctor() -> str:
    return (await Doctor.objects.acreate(name="Bo")).name


def what_happened(trail: Trail) -> list[tuple[str, str, Any]]:
    return [(event["action"], event["outcome"], [change.get("field") for change in event.get("changes", ())]) for event in trail.changes()]


def test_writes_outside_of_a_transaction_answer_as_in_plain_django_with_the_same_events(
    trail: Trail, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = every_write()
    expected = what_happened(trail)
    for model in (Row, Patient, Condition, Employee, Counter, Doctor):
        model.objects.all().delete()
    trail.data_dir = trail.data_dir.with_name("marked")
    monkeypatch.setenv("INDELIBLE_DATA_DIR", str(trail.data_dir))
    with_evidence(settings, "marker")
    assert every_write() == plain
    named = {frame.intent for frame in intents(trail)}
    # Of rows that come back SQLite does not let go before they are fetched: that write is announced as always.
    assert len(named - set(markers())) == (1 if connection.vendor == "sqlite" else 0)
    assert what_happened(trail) == expected


def test_a_generated_key_is_in_the_intent_already(marked: Trail) -> None:
    row = Row.objects.create(number=1)
    (intent,) = intents(marked)
    assert intent.items[0].body["resource"]["id"] == str(row.pk)


def test_a_write_that_fails_outside_of_a_transaction_fails_as_in_plain_django(marked: Trail) -> None:
    row = Row.objects.create(number=1)
    before = markers()
    with pytest.raises(IntegrityError):
        Row(pk=row.pk, number=2).save(force_insert=True)
    with pytest.raises(ValueError, match="expected a number"):
        Row.objects.create(number="many")  # type: ignore[misc]
    assert markers() == before
    assert connection.get_autocommit()
    assert not connection.in_atomic_block
    assert len(marked.changes()) == 1


def test_a_sensitive_write_that_the_database_refuses_is_kept_as_aborted_as_in_plain_django(trail: Trail, settings: Any) -> None:
    for evidence in ("ack", "marker"):
        with_evidence(settings, evidence)
        secret = Secret.objects.create(text="plans")
        with pytest.raises(IntegrityError):
            Secret(pk=secret.pk, text="other plans").save(force_insert=True)
        secret.delete()
    told = [(event["action"], event["outcome"], fields(event)["text"]) for event in trail.changes()]
    assert len(told) == 6
    assert told[:3] == told[3:]
    assert told[1] == ("secret.create", "aborted", (None, "other plans"))


def test_each_database_has_markers_of_its_own(marked: Trail) -> None:
    with transaction.atomic(), transaction.atomic(using="other"):
        Row.objects.create(number=1)
        Row.objects.using("other").create(number=2)
        transaction.set_rollback(True, using="other")
    Row.objects.using("other").create(number=3)
    assert (len(markers("default")), len(markers("other"))) == (1, 1)
    assert not set(markers("default")) & set(markers("other"))


def test_turning_autocommit_on_commits_the_marker_with_the_rest(marked: Trail, database: str) -> None:
    transaction.set_autocommit(False)
    Row.objects.create(number=1)
    if database == "postgresql":
        with pytest.raises(DatabaseError):
            transaction.set_autocommit(True)
        transaction.commit()
    transaction.set_autocommit(True)
    assert Row.objects.count() == len(markers()) == 1
    assert [record["verdict"] for record in marked.records()] == ["committed"]


def test_a_view_under_atomic_requests_has_one_marker(marked: Trail, settings: Any) -> None:
    settings.ROOT_URLCONF = "testproject.served"
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert Client().post("/write/ada").status_code == 201
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    (intent,) = intents(marked)
    assert (len(intent.items), markers()) == (5, {intent.intent: _evidence.COMMITTED})


def test_only_models_that_ask_have_markers_and_one_that_asks_marks_the_whole_transaction(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indelible.django import _models

    monkeypatch.setattr(Secret.Audit, "evidence", "marker", raising=False)
    _models.forget_plans()
    try:
        Row.objects.create(number=1)
        with transaction.atomic():
            Row.objects.create(number=2)
        assert markers() == {}
        Secret.objects.create(text="plans")
        with transaction.atomic():
            Row.objects.create(number=3)
            Secret.objects.create(text="more plans")
        assert len(markers()) == 2
    finally:
        monkeypatch.undo()
        _models.forget_plans()


def test_a_model_may_do_with_less_than_the_service(marked: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    from indelible.django import _models

    monkeypatch.setattr(Secret.Audit, "evidence", "ack", raising=False)
    _models.forget_plans()
    try:
        Secret.objects.create(text="plans")
        assert markers() == {}
    finally:
        monkeypatch.undo()
        _models.forget_plans()


def test_the_transaction_of_a_test_case_has_no_markers(marked: Trail) -> None:
    class Case(TestCase):
        databases = {"default", "other"}

        def runTest(self) -> None:
            Row.objects.create(number=1)
            with transaction.atomic():
                Row.objects.create(number=2)
            assert markers() == {}

    result = Case().defaultTestResult()
    Case.setUpClass()
    try:
        Case()(result)
    finally:
        Case.tearDownClass()
    assert not result.errors, result.errors
    assert not result.failures, result.failures
    assert len(marked.changes()) == 2


@only_postgresql
def test_sql_of_several_statements_is_sent_as_it_is(marked: Trail) -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO testproject_row (number) VALUES (1); COMMIT; INSERT INTO testproject_row (number) VALUES (2)")
    assert markers() == {}
    assert sorted(Row.objects.values_list("number", flat=True)) == [1, 2]
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO testproject_row (number) VALUES (3);")
    assert len(markers()) == 1


@pytest.fixture
def unwilling(database: str) -> Iterator[None]:
    """A database that refuses every marker."""
    connection.ensure_connection()
    with closing(connection.connection.cursor()) as cursor:
        if database == "sqlite":
            cursor.execute("CREATE TRIGGER refuse BEFORE INSERT ON indelible_marker BEGIN SELECT RAISE(ABORT, 'no marker today'); END")
            drop = "DROP TRIGGER refuse"
        else:
            cursor.execute("ALTER TABLE indelible_marker ADD CONSTRAINT refuse CHECK (state = 9) NOT VALID")
            drop = "ALTER TABLE indelible_marker DROP CONSTRAINT refuse"
    yield
    connection.close()
    connection.ensure_connection()
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(drop)


@pytest.mark.parametrize("mode", ["standard", "required"])
def test_a_marker_that_cannot_be_written_takes_the_transaction_along(marked: Trail, settings: Any, unwilling: None, mode: str) -> None:
    with_evidence(settings, "marker", ON_FAILURE=mode)
    with pytest.raises(DatabaseError), transaction.atomic():
        Row.objects.create(number=1)
    with pytest.raises(DatabaseError):
        Row.objects.create(number=2)
    assert Row.objects.count() == 0
    assert [frame.result for frame in marked.frames() if frame.kind == journal.OUTCOME] == [2, 2]
    assert marked.changes() == []


def test_with_best_effort_the_transaction_goes_on_and_its_process_is_believed(marked: Trail, settings: Any, unwilling: None) -> None:
    with_evidence(settings, "marker", ON_FAILURE="best_effort")
    with transaction.atomic():
        Row.objects.create(number=1)
        Secret.objects.create(text="plans")
    Row.objects.create(number=2)
    assert Row.objects.count() == 2
    assert [frame.result for frame in marked.frames() if frame.kind == journal.OUTCOME] == [2, 1, 2, 1]
    assert [(record["event"]["outcome"], record["verdict"]) for record in marked.records()] == [("success", "committed")] * 3


@only_postgresql
def test_an_action_in_a_transaction_that_may_only_read_is_recorded_and_commits(marked: Trail) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        assert indelible.record("row.list").status == "held"
    assert [record["verdict"] for record in marked.records()] == ["committed"]
    assert markers() == {}


def test_an_action_in_a_transaction_has_a_marker(marked: Trail) -> None:
    with transaction.atomic():
        indelible.record("row.list")
    assert len(markers()) == 1


@only_postgresql
def test_a_block_in_a_transaction_has_a_marker(marked: Trail) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN NULL; END $$")
    assert [record["event"]["action"] for record in marked.records()] == ["database.raw_sql"]
    assert len(markers()) == 1


def test_before_the_table_is_there_commits_are_known_by_their_process_alone(
    marked: Trail, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute("ALTER TABLE indelible_marker RENAME TO elsewhere")
        _marks.forget_tables()
        try:
            with transaction.atomic():
                Row.objects.create(number=1)
            Row.objects.create(number=2)
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO indelible_marker")
            _marks.forget_tables()
    assert len(marked.changes()) == 2
    assert [record.getMessage() for record in caplog.records if "indelible_marker is not there" in record.getMessage()]


def test_a_transaction_that_was_fenced_cannot_be_committed_any_more(marked: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = _marks.mark

    def fenced(connection: Any, intent: uuid.UUID, stream: uuid.UUID, sequence: int, **options: Any) -> None:
        # Its stream was released, a resolver came, and only now is the COMMIT on its way.
        with closing(connection.connection.cursor()) as cursor:
            values = f"'{intent.hex}', 2, '{stream.hex}', {sequence}, CURRENT_TIMESTAMP"
            cursor.execute(f"INSERT INTO indelible_marker (id, state, stream, sequence, created_at) VALUES ({values})")
        mark(connection, intent, stream, sequence, **options)

    monkeypatch.setattr(_marks, "mark", fenced)
    with pytest.raises(RecordingRefused, match="was fenced"), transaction.atomic():
        Row.objects.create(number=1)
    assert Row.objects.count() == 0
    assert marked.changes() == []


def test_a_fault_of_ours_leaves_no_intent_that_waits_for_a_marker(marked: Trail, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise TypeError("our own fault")

    with_evidence(settings, "marker", ON_ERROR="degrade")
    monkeypatch.setattr(_marks, "mark", broken)
    with transaction.atomic():
        Row.objects.create(number=1)
    assert Row.objects.count() == 1
    assert [frame.result for frame in marked.frames() if frame.kind == journal.OUTCOME] == [2, 1]


@only_postgresql
def test_a_serialization_failure_rolls_back_and_the_retry_is_another_intent(marked: Trail) -> None:
    Doctor.objects.create(name="Gray")
    attempts = []

    def add_one() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            number = Row.objects.count()
            attempts.append(number)
            if len(attempts) == 1:
                interfere()
            Row.objects.create(number=number)

    def interfere() -> None:
        settings = connections.settings["default"]
        with psycopg.connect(host=settings["HOST"], port=settings["PORT"], user=settings["USER"], dbname=settings["NAME"]) as raw:
            raw.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            (count,) = raw.execute("SELECT count(*) FROM testproject_row").fetchone() or (None,)
            raw.execute("INSERT INTO testproject_row (number) VALUES (%s)", (count,))

    with pytest.raises(OperationalError) as failed:
        add_one()
    assert getattr(failed.value.__cause__, "sqlstate", None) == "40001"
    add_one()
    assert attempts == [0, 1], "the first attempt failed, at its marker or at its COMMIT"
    assert sorted(Row.objects.values_list("number", flat=True)) == [0, 1]
    assert [fields(event)["number"][1] for event in marked.changes() if event["action"] == "row.create"] == [1]
    assert len(markers()) == 2, "the doctor's and the second attempt's"


def test_our_own_tables_are_never_recorded(marked: Trail, settings: Any) -> None:
    from indelible.django.evidence.models import Marker, Outbox

    with_evidence(settings, "marker", MODELS={"indelible_evidence.Marker": {}, "indelible_evidence.Outbox": {}})
    assert plan_of(Marker) is plan_of(Outbox) is None
    Marker.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM indelible_outbox")
    assert marked.frames() == []
