"""SQL of the application's own: what it writes into recorded tables is noticed, with its number of rows and without its values."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from testproject.models import Condition, Patient, Row
from trails import Trail, only_change

pytestmark = pytest.mark.usefixtures("database")

ROWS = "testproject_row"


@pytest.fixture
def rows(trail: Trail) -> list[Row]:
    made = Row.objects.bulk_create([Row(number=number) for number in range(100)])
    trail.forget()
    return made


def execute(sql: str, parameters: Any = None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_an_update_of_ones_own_is_an_event_with_table_rows_and_fingerprint(trail: Trail, rows: list[Row], atomic: bool) -> None:
    sql = f"UPDATE {ROWS} SET number = %s WHERE number < 50 /* why */"
    if atomic:
        with transaction.atomic():
            assert execute(sql, [7777]) == 50
    else:
        assert execute(sql, [7777]) == 50
    event = only_change(trail)
    assert (event["action"], event["resource"], event["outcome"]) == ("row.raw_sql", {"type": "testproject.Row"}, "success")
    assert event["changes"] == [{"count": 50, "ids": []}]
    assert (event["meta"]["sql_verb"], event["meta"]["sql_table"]) == ("UPDATE", ROWS)
    assert len(event["meta"]["sql_fingerprint"]) == 16
    assert "7777" not in json.dumps(event["meta"])


def test_values_never_leave_the_statement(trail: Trail) -> None:
    Patient.objects.create(name="Ana")
    trail.forget()
    execute("UPDATE testproject_patient SET ssn = '078-05-1120', maiden_name = %s WHERE name = 'Ana'", ["Berg-Secret"])
    text = json.dumps(only_change(trail))
    assert "078" not in text
    assert "Secret" not in text
    assert "Ana" not in text


def test_the_same_statement_with_other_values_has_the_same_fingerprint(trail: Trail, rows: list[Row]) -> None:
    execute(f"DELETE FROM {ROWS} WHERE number IN (1, 2, 3)")
    execute(f"delete from {ROWS}  where number in (%s)", [4])
    execute(f"DELETE FROM {ROWS} WHERE id IN (%s)", [rows[9].pk])
    first, second, other = (event["meta"]["sql_fingerprint"] for event in trail.changes())
    assert first == second != other


def test_every_verb_of_the_database_is_noticed(trail: Trail, database: str, rows: list[Row]) -> None:
    statements = {
        f"INSERT INTO {ROWS} (number) VALUES (1), (2)": ("INSERT", 2),
        f"/* why */ DELETE FROM {ROWS} WHERE number = 3": ("DELETE", 1),
    }
    if database == "postgresql":
        statements |= {
            f"WITH old AS (SELECT id FROM {ROWS} WHERE number = 4) DELETE FROM {ROWS} WHERE id IN (SELECT id FROM old)": ("DELETE", 1),
            f"UPDATE ONLY public.{ROWS} SET number = 5 WHERE number = 6": ("UPDATE", 1),
            f"WITH gone AS (DELETE FROM {ROWS} WHERE number = 8 RETURNING *) SELECT * FROM gone": ("DELETE", None),
            f"MERGE INTO {ROWS} t USING (SELECT 9 AS n) s ON t.number = s.n WHEN MATCHED THEN UPDATE SET number = 10": ("MERGE", 1),
            f"TRUNCATE {ROWS}": ("TRUNCATE", None),
        }
    else:
        statements |= {
            f"REPLACE INTO {ROWS} (id, number) VALUES (1, 1)": ("REPLACE", 1),
            f"INSERT OR IGNORE INTO main.{ROWS} (id, number) VALUES (1, 1), (5000, 2)": ("INSERT", 1),
            f"UPDATE {ROWS} SET number = 1 WHERE number = 11 RETURNING id": ("UPDATE", None),
        }
    for sql in statements:
        execute(sql)
    seen = [(event["meta"]["sql_verb"], event["changes"][0].get("count")) for event in trail.changes()]
    assert seen == list(statements.values())


@pytest.mark.parametrize("before", ["SELECT 1; ", "BEGIN; ", "ROLLBACK; BEGIN; "])
def test_a_write_behind_another_statement_is_noticed(trail: Trail, database: str, rows: list[Row], before: str) -> None:
    if database != "postgresql":
        pytest.skip("SQLite takes one statement at a time")
    execute(f"{before}UPDATE {ROWS} SET number = 7 WHERE number < 50; COMMIT")
    event = only_change(trail)
    assert (event["action"], event["meta"]["sql_verb"]) == ("row.raw_sql", "UPDATE")


def test_a_write_behind_a_cte_has_the_count_of_the_driver(trail: Trail, rows: list[Row]) -> None:
    driver = execute(f"WITH old AS (SELECT id FROM {ROWS} WHERE number = 4) UPDATE {ROWS} SET number = 5 WHERE id IN (SELECT id FROM old)")
    event = only_change(trail)
    # Some versions of SQLite's driver count only what they know by its first word, and say -1.
    assert (event["meta"]["sql_verb"], event["changes"][0].get("count")) == ("UPDATE", driver if driver >= 0 else None)


def test_executemany_counts_all_of_it(trail: Trail, rows: list[Row]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {ROWS} SET number = %s WHERE id = %s", [(-1, row.pk) for row in rows[:30]])
    assert only_change(trail)["changes"] == [{"count": 30, "ids": []}]


def test_a_table_of_links_is_its_fields_model(trail: Trail) -> None:
    patient, condition = Patient.objects.create(name="Ana"), Condition.objects.create(code="a")
    trail.forget()
    execute("INSERT INTO testproject_patient_conditions (patient_id, condition_id) VALUES (%s, %s)", [patient.pk, condition.pk])
    event = only_change(trail)
    assert (event["action"], event["meta"]["sql_table"]) == ("patient.raw_sql", "testproject_patient_conditions")


def test_what_reads_fails_or_is_rolled_back_is_no_event(trail: Trail, rows: list[Row]) -> None:
    execute(f"SELECT * FROM {ROWS} WHERE number = 1")
    execute(f"DELETE FROM {ROWS} WHERE number = -5")
    list(Row.objects.raw(f"SELECT * FROM {ROWS}"))
    execute("UPDATE django_session SET session_data = 'x'")
    with pytest.raises(DatabaseError):
        execute(f"UPDATE {ROWS} SET number = NULL")
    with transaction.atomic():
        execute(f"UPDATE {ROWS} SET number = 1")
        transaction.set_rollback(True)
    with transaction.atomic():
        sid = transaction.savepoint()
        execute(f"UPDATE {ROWS} SET number = 1")
        transaction.savepoint_rollback(sid)
    assert trail.changes() == []


def test_what_the_orm_sends_is_not_raw(trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana")
    patient.conditions.add(Condition.objects.create(code="a"))
    Row.objects.bulk_create([Row(number=1), Row(number=2)])
    Row.objects.update(number=3)
    Patient.objects.all().delete()
    assert not [event for event in trail.changes() if event["action"].endswith("raw_sql")]


def test_another_database_and_composed_statements_are_noticed(trail: Trail, database: str, rows: list[Row]) -> None:
    Row.objects.using("other").create(number=1)
    trail.forget()
    with connections["other"].cursor() as cursor:
        if database == "postgresql":
            from psycopg import sql

            cursor.execute(sql.SQL("UPDATE {} SET number = {}").format(sql.Identifier(ROWS), sql.Literal(4242)))
        else:
            cursor.execute(f"UPDATE {ROWS} SET number = 4242")
    event = only_change(trail)
    assert event["changes"] == [{"count": 1, "ids": []}]
    assert "4242" not in json.dumps(event["meta"])


def test_the_setting_turns_it_off(trail: Trail, rows: list[Row], settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "RAW_SQL": False}
    trail.forget()
    assert execute(f"DELETE FROM {ROWS}") == 100
    assert trail.changes() == []


def test_it_sends_nothing_and_answers_as_ever(trail: Trail, rows: list[Row]) -> None:
    with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
        answer = cursor.execute(f"UPDATE {ROWS} SET number = 1 WHERE number = 2 RETURNING number")
        assert cursor.fetchall() == [(1,)]
        assert answer is None or answer is cursor.cursor
    assert len(queries) == 1


def copied(rows: list[int], statement: str = f"COPY {ROWS} (number) FROM STDIN", fault: Exception | None = None) -> int:
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row((row,))
            if fault is not None:
                raise fault
        return int(cursor.rowcount)


@pytest.fixture
def postgresql(database: str) -> None:
    if database != "postgresql":
        pytest.skip("SQLite has neither COPY nor procedures")


@pytest.mark.usefixtures("postgresql")
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_a_copy_by_the_driver_is_an_event_with_table_and_rows(trail: Trail, evidence: str, rows: list[Row], atomic: bool) -> None:
    if atomic:
        with transaction.atomic():
            assert copied([4711] * 30) == 30
    else:
        assert copied([4711] * 30) == 30
    event = only_change(trail)
    assert (event["action"], event["meta"]["sql_verb"], event["meta"]["sql_table"]) == ("row.raw_sql", "COPY", ROWS)
    assert event["changes"] == [{"count": 30, "ids": []}]
    assert "4711" not in json.dumps(event)


@pytest.mark.usefixtures("postgresql")
def test_a_copy_by_a_cursor_that_logs_its_queries_is_an_event_and_is_logged(trail: Trail, rows: list[Row]) -> None:
    # Its class has a `copy` of its own, which stood before ours: with DEBUG no COPY was recorded.
    with CaptureQueriesContext(connection) as queries:
        assert copied([4711] * 3) == 3
    assert only_change(trail)["changes"] == [{"count": 3, "ids": []}]
    assert [query["sql"] for query in queries] == [f"COPY {ROWS} (number) FROM STDIN"]


@pytest.mark.usefixtures("postgresql")
def test_a_copy_that_reads_fails_or_is_broken_off_is_no_event(trail: Trail, rows: list[Row]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {ROWS} (number) TO STDOUT") as copy:
        assert len(list(copy.rows())) == len(rows)
    with pytest.raises(psycopg.DataError):
        copied(["x"])  # type: ignore[list-item]
    with pytest.raises(psycopg.errors.SyntaxError):
        copied([1], f"COPY {ROWS} FROM STDN")
    with pytest.raises(KeyError, match="halfway"):
        copied([1], fault=KeyError("halfway"))
    with transaction.atomic():
        copied([1])
        transaction.set_rollback(True)
    assert Row.objects.count() == len(rows)
    assert trail.changes() == []


def test_a_cursor_that_cannot_copy_says_so_as_ever(database: str) -> None:
    with connection.cursor() as cursor:
        assert hasattr(cursor, "copy") == (database == "postgresql")
        if database == "sqlite":
            with pytest.raises(AttributeError, match=r"'SQLiteCursorWrapper' object has no attribute 'copy'"):
                cursor.copy(f"COPY {ROWS} FROM STDIN")


@pytest.mark.usefixtures("postgresql")
def test_a_write_behind_the_definition_of_a_function_is_noticed(trail: Trail, rows: list[Row]) -> None:
    body = f"CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS void AS $$ DELETE FROM {ROWS}; $$ LANGUAGE sql"
    execute(f"{body}; UPDATE {ROWS} SET number = 7 WHERE number < 50")
    assert only_change(trail)["meta"]["sql_verb"] == "UPDATE"


OPAQUE = f"DO $$ BEGIN UPDATE {ROWS} SET number = 4711 WHERE number < 50; END $$"


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_what_runs_something_that_stands_elsewhere_is_an_event_that_says_so(
    trail: Trail, database: str, rows: list[Row], atomic: bool
) -> None:
    if database != "postgresql":
        pytest.skip("SQLite has neither blocks nor procedures")
    execute(f"PREPARE plan AS UPDATE {ROWS} SET number = 8 WHERE number = $1")
    for sql in (OPAQUE, "EXECUTE plan(1)"):
        if atomic:
            with transaction.atomic():
                execute(sql)
        else:
            execute(sql)
    execute("DEALLOCATE plan")
    events = trail.changes()
    assert [(event["action"], event["outcome"], event["resource"]) for event in events] == 2 * [
        ("database.raw_sql", "success", {"type": "database", "id": "default"})
    ]
    assert [(event["meta"]["sql_verb"], event["meta"]["sql_tables"]) for event in events] == [("DO", "unknown"), ("EXECUTE", "unknown")]
    assert "4711" not in json.dumps(events)


def test_what_runs_something_else_and_is_rolled_back_is_no_event(trail: Trail, database: str, rows: list[Row]) -> None:
    if database != "postgresql":
        pytest.skip("SQLite has neither blocks nor procedures")
    with transaction.atomic():
        execute(OPAQUE)
        transaction.set_rollback(True)
    with transaction.atomic():
        sid = transaction.savepoint()
        execute(OPAQUE)
        transaction.savepoint_rollback(sid)
    assert trail.changes() == []


def test_a_procedure_that_fails_leaves_in_doubt_what_it_committed(trail: Trail, database: str, rows: list[Row]) -> None:
    if database != "postgresql":
        pytest.skip("SQLite has neither blocks nor procedures")
    with pytest.raises(DatabaseError, match="half"):
        execute(f"DO $$ BEGIN UPDATE {ROWS} SET number = 1; COMMIT; RAISE EXCEPTION 'half'; END $$")
    assert Row.objects.filter(number=1).count() == len(rows)
    assert [(record["event"]["action"], record["verdict"]) for record in trail.records()] == [("database.raw_sql", "in_doubt")]
