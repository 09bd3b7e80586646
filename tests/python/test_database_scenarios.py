"""Databases that crash, forget, wait and break off: what the trail says about a commit is true, or it says that it does not know."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from clusters import Cluster, default_database, proxy
from indelible import _runtime
from indelible.django.evidence import _journals
from indelible.django.evidence._resolver import Resolver
from matrix import settle
from oracle import Claims, claims, judge, resolutions
from scenarios import assert_doubt, before_commit, create, verdict
from servers import wait_until
from testproject.models import Doctor
from trails import Trail

pytestmark = [pytest.mark.xdist_group("scenarios")]


@pytest.fixture
def postgres(server: Cluster, evidence: str, django_db_blocker: Any) -> Iterator[Cluster]:
    """The cluster as ``default``, without rows."""
    server.execute("TRUNCATE testproject_doctor CASCADE")
    with django_db_blocker.unblock(), default_database(server.settings()):
        yield server


def create_and(statements: str) -> None:
    """A doctor and some SQL, in one transaction."""
    with transaction.atomic():
        Doctor.objects.create(name="never")
        with connection.cursor() as cursor:
            for statement in statements.split("; "):
                cursor.execute(statement)


def test_a_crash_with_a_transaction_in_flight_whose_number_is_given_again(postgres: Cluster, trail: Trail, evidence: str) -> None:
    create("before")
    lost: list[int] = []

    def crash() -> None:
        lost.append(connection.connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()[0])
        postgres.crash()

    before_commit(crash)
    with pytest.raises((OperationalError, InterfaceError)):
        create("lost")
    postgres.again()
    connection.close()
    for number in range(100):
        with transaction.atomic():
            Doctor.objects.create(name=f"after{'x' * number}")
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()::text::bigint")
                again = cursor.fetchone()[0]
        if again == lost[0]:
            break
    assert again == lost[0], "the number was not given again"
    assert postgres.execute(f"SELECT pg_xact_status('{lost[0]}'::xid8)") == [("committed",)], "of another transaction"
    said = verdict(trail, evidence)
    assert_doubt(evidence, said, "lost", "rolled_back")


def test_a_transaction_that_the_application_prepares_is_in_doubt_until_somebody_decides(
    postgres: Cluster, trail: Trail, evidence: str
) -> None:
    for number, name in enumerate(("kept", "dropped", "dropped-too")):
        with transaction.atomic():
            Doctor.objects.create(name=name)
            with connection.cursor() as cursor:
                cursor.execute(f"PREPARE TRANSACTION 'scenario-{number}'")
    for end in ("COMMIT PREPARED 'scenario-0'", "ROLLBACK PREPARED 'scenario-1'", "ROLLBACK PREPARED 'scenario-2'"):
        postgres.execute(end)
    said = verdict(trail, evidence)
    assert_doubt(evidence, said, "kept", "committed")
    assert_doubt(evidence, said, "dropped", "rolled_back")


def test_savepoints_that_are_rolled_back_are_not_claimed(postgres: Cluster, trail: Trail, evidence: str) -> None:
    with transaction.atomic():
        create("outer")
        with transaction.atomic():
            create("inner")
            transaction.set_rollback(True)
        with transaction.atomic():
            create("kept")
    said = verdict(trail, evidence)
    assert set(said.committed) == {"outer", "kept"}


def test_a_serialization_failure_at_commit_and_its_retry_are_one_change(postgres: Cluster, trail: Trail, evidence: str) -> None:
    attempts: list[str] = []
    with default_database(postgres.settings(OPTIONS={"isolation_level": psycopg.IsolationLevel.SERIALIZABLE})):
        while True:
            try:
                with transaction.atomic():
                    assert Doctor.objects.filter(name="rival").count() == len(attempts)
                    Doctor.objects.create(name="mine")
                    if not attempts:
                        rival(postgres)
                break
            except OperationalError as error:
                attempts.append(getattr(error.__cause__, "sqlstate", ""))
        said = verdict_without_rival(trail)
    assert attempts == ["40001"]
    assert (set(said.committed), set(said.in_doubt)) == ({"mine"}, set())


def rival(postgres: Cluster) -> None:
    """Another transaction, of a program that records nothing, that reads and writes what the one at hand does, and commits first."""
    with psycopg.connect(host="127.0.0.1", port=postgres.port, user="postgres") as other:
        other.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        other.execute("SELECT count(*) FROM testproject_doctor").fetchall()
        other.execute("INSERT INTO testproject_doctor (name) VALUES ('rival')")


def verdict_without_rival(trail: Trail) -> Claims:
    said = claims(trail)
    judge(Doctor.objects.exclude(name="rival").values_list("name", flat=True), said, decided=True)
    return said


def test_a_commit_that_is_cancelled_is_never_claimed(postgres: Cluster, trail: Trail, evidence: str) -> None:
    # As a timeout ends it. statement_timeout itself does not: PostgreSQL turns it off before it commits.
    postgres.execute("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'")
    postgres.execute(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON testproject_doctor DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    cancels = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'"
    canceller = threading.Thread(target=lambda: wait_until(lambda: postgres.execute(cancels) == [(True,)], "no COMMIT waits"))
    try:
        canceller.start()
        with pytest.raises(OperationalError, match="cancel"):
            create("slow")
    finally:
        canceller.join()
        connection.close()
        postgres.execute("DROP FUNCTION slow CASCADE")
    create("after")
    said = verdict(trail, evidence)
    assert set(said.committed) == {"after"}


def test_a_statement_timeout_before_commit_is_rolled_back(postgres: Cluster, trail: Trail, evidence: str) -> None:
    create("before")
    with pytest.raises(OperationalError):
        create_and("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(60)")
    said = verdict(trail, evidence)
    assert (set(said.committed), set(said.in_doubt)) == ({"before"}, set())


@pytest.mark.parametrize(("swallowed", "fate"), [("answer", "committed"), ("question", "rolled_back")])
def test_a_connection_that_breaks_off_at_commit_is_in_doubt(
    postgres: Cluster, trail: Trail, evidence: str, swallowed: str, fate: str
) -> None:
    with proxy(postgres.port) as between, default_database(postgres.settings(PORT=between.port)):
        create("before")
        between.swallow = swallowed
        with pytest.raises((OperationalError, InterfaceError)):
            create("broken")
        between.swallow = None
        connection.close()
        create("after")
    said = verdict(trail, evidence)
    assert_doubt(evidence, said, "broken", fate)
    assert Doctor.objects.filter(name="broken").exists() is (fate == "committed")


def test_a_lock_timeout_is_rolled_back(postgres: Cluster, trail: Trail, evidence: str) -> None:
    create("locked")
    with psycopg.connect(host="127.0.0.1", port=postgres.port, user="postgres") as holder:
        holder.execute("SELECT * FROM testproject_doctor FOR UPDATE").fetchall()
        with pytest.raises(OperationalError):
            create_and("SET LOCAL lock_timeout = '50ms'; SELECT * FROM testproject_doctor WHERE name = 'locked' FOR UPDATE")
    said = verdict(trail, evidence)
    assert (set(said.committed), set(said.in_doubt)) == ({"locked"}, set())


def test_a_backend_that_is_killed_in_the_middle_leaves_nothing_claimed(postgres: Cluster, trail: Trail, evidence: str) -> None:
    ended: list[Any] = []
    before_commit(lambda: ended.extend(postgres.execute(f"SELECT pg_terminate_backend({connection.connection.info.backend_pid}, 5000)")))
    with pytest.raises((OperationalError, InterfaceError, DatabaseError)):
        create("gone")
    assert ended == [(True,)]
    connection.close()
    create("after")
    said = verdict(trail, evidence)
    assert set(said.committed) == {"after"}


def forgotten(trail: Trail) -> int:
    """How many commits the trail says that the database has lost, when somebody has compared the two a while later."""
    settle(trail)
    recorder = _runtime.recorder()
    assert recorder is not None
    folder = _journals.folder()
    assert (folder / "committed.json").exists(), "the agent has said which commits are proved"
    Resolver(folder, clock=lambda: time.time() + 600).round(recorder, reconcile=True)
    return sum(event["meta"]["result"] == "lost_by_database" for event in resolutions(trail))


def names() -> set[str]:
    connection.close()
    return set(Doctor.objects.values_list("name", flat=True))


def assert_lost(trail: Trail, evidence: str, lost: set[str]) -> None:
    """What the database has acknowledged and lost was told as committed; with markers, that it is lost was told as well."""
    said = claims(trail)
    assert said.committed - Counter(names()) == Counter(lost)
    assert not set(said.rolled_back) | set(said.in_doubt)
    if evidence == "marker":
        assert forgotten(trail) == len(lost)
        assert forgotten(trail) == len(lost), "once"


def test_a_crash_that_loses_an_acknowledged_commit_is_told(postgres: Cluster, trail: Trail, evidence: str) -> None:
    create("before")
    with default_database(postgres.settings(OPTIONS={"options": "-c synchronous_commit=off"})):
        create("lost")
    postgres.crash_and_recover()
    create("after")
    assert names() == {"before", "after"}
    assert_lost(trail, evidence, {"lost"})


def test_a_backup_that_is_restored_is_told(postgres: Cluster, trail: Trail, evidence: str) -> None:
    create("before")
    copy = postgres.back_up()
    connection.close()
    create("lost")
    connection.close()
    postgres.restore(copy)
    create("after")
    assert names() == {"before", "after"}
    assert_lost(trail, evidence, {"lost"})


def test_a_file_of_sqlite_that_is_restored_is_told(trail: Trail, evidence: str, tmp_path: Path, django_db_blocker: Any) -> None:
    file = tmp_path / "site.sqlite3"
    with django_db_blocker.unblock(), default_database({"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}):
        call_command("migrate", run_syncdb=True, verbosity=0)
        create("before")
        connection.close()
        shutil.copy(file, tmp_path / "backup")
        create("lost")
        connection.close()
        shutil.copy(tmp_path / "backup", file)
        create("after")
        assert names() == {"before", "after"}
        assert_lost(trail, evidence, {"lost"})
