"""Behind PgBouncer in transaction mode each transaction may have another connection of the server, which others use in between."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from bouncers import Bouncer, bouncer
from clusters import Cluster, default_database, proxy
from indelible import _runtime
from indelible.django.evidence import _journals, _marks, _resolving
from indelible.django.evidence._resolver import Resolver
from matrix import site
from scenarios import assert_doubt, before_commit, create, created, verdict
from servers import wait_until
from trails import Trail

KILLS = max(10, int(os.environ.get("INDELIBLE_MATRIX_KILLS", "100")) // 10)
SEED = int(os.environ.get("INDELIBLE_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)

pytestmark = [pytest.mark.xdist_group("pgbouncer")]


@contextmanager
def behind(server: Cluster, *, connections: int, server_port: int | None = None) -> Iterator[Bouncer]:
    """The cluster as ``default``, without rows, through a bouncer with so many connections to it."""
    with bouncer(server_port or server.port, connections=connections) as between:
        settings = server.settings(PORT=between.port, DISABLE_SERVER_SIDE_CURSORS=True)
        with default_database(settings):
            yield between


@pytest.fixture(autouse=True)
def empty(server: Cluster, django_db_blocker: Any) -> Iterator[None]:
    server.execute("TRUNCATE testproject_doctor CASCADE")
    with django_db_blocker.unblock():
        yield


def client(between: Bouncer) -> psycopg.Connection[Any]:
    """Another program behind the same bouncer."""
    return psycopg.connect(host="127.0.0.1", port=between.port, user="postgres", dbname="postgres", autocommit=True)


def test_transactions_of_one_thread_on_different_connections_of_the_server(server: Cluster, trail: Trail, evidence: str) -> None:
    with behind(server, connections=2) as between:
        pids = {created("first")}
        with client(between) as other, other.transaction():
            # It has the connection that was used last, so the next transaction gets the other one.
            other.execute("SELECT 1")
            pids.add(created("second"))
            with transaction.atomic():
                create("undone")
                transaction.set_rollback(True)
        assert len(pids) == 2
        create("third")
        assert set(verdict(trail, evidence).committed) == {"first", "second", "third"}


@pytest.fixture
def decoy(server: Cluster) -> Iterator[str]:
    """A schema of somebody's own, with a table of the same name as ours, which no process looks for markers in."""
    server.execute("CREATE SCHEMA tenant")
    server.execute("CREATE TABLE tenant.indelible_marker (LIKE public.indelible_marker INCLUDING ALL)")
    _marks.forget_tables()
    yield "tenant"
    server.execute("DROP SCHEMA tenant CASCADE")
    _marks.forget_tables()


def test_a_search_path_that_another_client_left_behind_moves_no_marker(server: Cluster, trail: Trail, evidence: str, decoy: str) -> None:
    before = server.execute("SELECT count(*) FROM public.indelible_marker")[0][0]
    with behind(server, connections=1) as between:
        with client(between) as other:
            other.execute(f"SET search_path TO {decoy}, public")
        create("first")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL search_path TO {decoy}, public")
            create("second")
        assert set(verdict(trail, evidence).committed) == {"first", "second"}
    assert server.execute(f"SELECT count(*) FROM {decoy}.indelible_marker") == [(0,)]
    assert server.execute("SELECT count(*) FROM public.indelible_marker") == [(before + (2 if evidence == "marker" else 0),)]


@pytest.mark.parametrize("evidence", ["marker"], indirect=True)
def test_what_a_resolver_sets_for_itself_is_left_to_nobody(server: Cluster, trail: Trail, evidence: str) -> None:
    settings = ("search_path", "lock_timeout", "statement_timeout", "synchronous_commit", "default_transaction_isolation")

    def shown(other: psycopg.Connection[Any]) -> list[Any]:
        return [other.execute(f"SHOW {setting}").fetchone() for setting in settings]

    with behind(server, connections=1) as between, client(between) as other:
        other.execute("SELECT set_config('lock_timeout', '7s', false)")
        before = shown(other)
        create("first")
        assert set(verdict(trail, evidence).committed) == {"first"}
        recorder = _runtime.recorder()
        assert recorder is not None
        assert Resolver(_journals.folder()).round(recorder, reconcile=True).problems == {}
        connection.close()
        assert shown(other) == before


BREAKS = (OperationalError, InterfaceError)


def test_a_bouncer_killed_before_commit(server: Cluster, trail: Trail, evidence: str) -> None:
    with behind(server, connections=2) as between:
        create("before")
        before_commit(between.kill)
        with pytest.raises(BREAKS):
            create("broken")
        connection.close()
        between.again()
        create("after")
        said = verdict(trail, evidence)
    assert_doubt(evidence, said, "broken", "rolled_back")


@pytest.mark.parametrize(("swallowed", "fate"), [("question", "rolled_back"), ("answer", "committed")])
def test_a_bouncer_killed_with_the_commit_or_its_answer_on_the_way(
    server: Cluster, trail: Trail, evidence: str, swallowed: str, fate: str
) -> None:
    with proxy(server.port) as wire, behind(server, connections=2, server_port=wire.port) as between:
        create("before")
        wire.swallow = swallowed
        wire.on_swallowed = between.kill
        with pytest.raises(BREAKS):
            create("broken")
        wire.swallow = None
        connection.close()
        between.again()
        create("after")
        said = verdict(trail, evidence)
    assert_doubt(evidence, said, "broken", fate)


@contextmanager
def commits_that_wait(server: Cluster) -> Iterator[psycopg.Connection[Any]]:
    """Lets every COMMIT of a doctor wait inside of the server, until the connection that is yielded lets them go."""
    server.execute(
        "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END'"
    )
    server.execute(
        "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON testproject_doctor DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION waits()"
    )
    with closing(psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", autocommit=True)) as gate:
        gate.execute("SELECT pg_advisory_lock(42)")
        try:
            yield gate
        finally:
            gate.execute("SELECT pg_advisory_unlock_all()")
            server.execute("DROP FUNCTION waits CASCADE")


def is_committing(server: Cluster, how: str = "wait_event = 'advisory'") -> bool:
    return bool(server.execute(f"SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND {how}"))


def test_a_bouncer_killed_while_the_server_commits_leaves_it_in_doubt_until_the_server_is_done(
    server: Cluster, trail: Trail, evidence: str
) -> None:
    with behind(server, connections=2) as between, commits_that_wait(server) as gate:
        killing = threading.Thread(target=kill_while_it_commits, args=(server, between))
        killing.start()
        with pytest.raises(BREAKS):
            create("broken")
        killing.join()
        connection.close()
        between.again()
        if evidence == "marker":
            recorder = _runtime.recorder()
            assert recorder is not None
            done = Resolver(_journals.folder()).resolve_own(deque([_resolving._owed.pop()]), recorder)
            assert (len(done.in_doubt), done.committed, done.rolled_back) == (1, 0, 0), "the server has not decided"
        assert is_committing(server)
        gate.execute("SELECT pg_advisory_unlock_all()")
        wait_until(lambda: not is_committing(server, "state = 'active'"), "it does not commit")
        said = verdict(trail, evidence)
    assert_doubt(evidence, said, "broken", "committed")


def kill_while_it_commits(server: Cluster, between: Bouncer) -> None:
    wait_until(lambda: is_committing(server), "nobody commits")
    between.kill()


def wait_for_another_row(server: Cluster) -> None:
    """Until somebody writes through the bouncer."""
    count = "SELECT count(*) FROM testproject_doctor"
    before = server.execute(count)
    wait_until(lambda: server.execute(count) != before, "nobody writes")


def test_a_bouncer_killed_at_random_moments_makes_no_verdict_wrong(server: Cluster, trail: Trail, evidence: str, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with behind(server, connections=2) as between:
        with site(trail, tmp_path, evidence, server) as ours:
            for number in range(3):
                ours.work(SEED + number, pause_ms=2)
            ours.start_agent()
            for _ in range(KILLS):
                wait_for_another_row(server)
                time.sleep(chance.random() * 0.05)
                between.kill()
                between.again()
        print(f"{evidence}: {KILLS} kills of the bouncer, seed {SEED}: {ours.verdict(f'seed {SEED}')}")
