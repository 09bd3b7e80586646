"""Workers, agent and database killed at random moments and at every failpoint: what was committed is told once, and nothing else is claimed.

``INDELIBLE_MATRIX_KILLS`` random kills (default 100, of every combination together), ``INDELIBLE_MATRIX_SEEDS`` for the failpoints (default 1);
``INDELIBLE_SEED`` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusters import Cluster, default_database
from matrix import Killer, empty, kill_backend, site, stopped
from servers import wait_until
from trails import Trail

KILLS = int(os.environ.get("INDELIBLE_MATRIX_KILLS", "100"))
SEEDS = int(os.environ.get("INDELIBLE_MATRIX_SEEDS", "1"))
SEED = int(os.environ.get("INDELIBLE_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
KILLS_PER_ROUND = 50
"""After so many a trail is compared with its database, and a new one begun."""

WORKER_FAILPOINTS = (
    "intent.before", "intent.after", "outcome.before", "outcome.after", "frame.before_write", "frame.after_write",
    "segment.before_header", "segment.after_header", "segment.before_sync", "segment.after_sync",
    "stream.before_folder", "stream.after_folder", "stream.before_rename", "stream.after_rename", "stream.before_sync", "stream.after_sync",
    "create.before_open", "create.after_open", "reserve.before", "reserve.after", "sync.before", "sync.after", "close.before", "close.after",
    "told.before_open", "told.after_open", "told.before_write", "told.after_write",
)  # fmt: skip
"""Those that a worker comes to by itself; the others lie behind faults (crates/indelible-server/tests/failpoints.rs)."""

AGENT_FAILPOINTS = (
    "ingest.before_commit", "ingest.after_commit", "sign.before_checkpoint", "sign.before_state", "sign.after_state",
    "replace.before_write", "replace.after_write", "replace.after_sync", "rename.before", "rename.before_sync",
    "roll.before_fold", "roll.at_fold", "roll.after_fold", "roll.before_commit", "roll.after_commit", "roll.after_sync",
    "roll.before_rename", "roll.after_rename", "roll.before_sign",
    "seal.before_commit", "seal.after_commit", "seal.after_sync", "seal.before_note", "seal.before_rename", "seal.after_rename", "seal.after_unlink",
)  # fmt: skip

DATABASE_FAILPOINTS = WORKER_FAILPOINTS if SEEDS > 1 else WORKER_FAILPOINTS[:4]
"""Where the database dies meanwhile: with one seed around COMMIT only."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[Cluster | None]:
    """A database as ``default``, empty; the server behind it where there is one that can be killed."""
    with django_db_blocker.unblock():
        if request.param == "postgresql":
            server: Cluster = request.getfixturevalue("server")
            with default_database(server.settings()):
                empty()
                yield server
        else:
            with default_database(request.getfixturevalue("sqlite_databases")["default"]):
                empty()
                yield None


def test_random_kills_lose_nothing_and_claim_nothing(database: Cluster | None, trail: Trail, evidence: str, tmp_path: Path) -> None:
    # Of two databases with two evidences each.
    left = KILLS // 4
    seed = SEED
    while left > 0:
        kills, left, seed = min(left, KILLS_PER_ROUND), left - KILLS_PER_ROUND, seed + 1
        with site(trail, tmp_path, evidence, database) as ours:
            killer = Killer(ours, seed)
            for _ in range(kills):
                killer.kill()
        context = f"seed {seed}, {killer.kills}"
        print(f"{evidence}, {'SQLite' if database is None else 'PostgreSQL'}: {ours.verdict(context)}; {context}")
        trail.forget()
        empty()


@pytest.mark.parametrize("number", range(SEEDS))
def test_a_worker_killed_at_every_failpoint(database: Cluster | None, trail: Trail, evidence: str, tmp_path: Path, number: int) -> None:
    chance = random.Random(SEED + number)
    with site(trail, tmp_path, evidence, database, INDELIBLE_DURABILITY="synced") as ours:
        ours.start_agent()
        for failpoint in WORKER_FAILPOINTS:
            armed = f"{failpoint}:{1 + chance.randrange(4)}"
            worker = ours.work(chance.randrange(2**31), pause_ms=0, count=400, failpoint=armed)
            assert ours.ended(worker) == -signal.SIGKILL, f"{armed} is not come to"
    print(f"{len(WORKER_FAILPOINTS)} failpoints of a worker, seed {SEED + number}: {ours.verdict(f'seed {SEED + number}')}")


@pytest.mark.parametrize("number", range(SEEDS))
@pytest.mark.parametrize("victim", ["backend", "database"])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_database_that_dies_while_a_worker_is_at_a_failpoint(
    database: Cluster, trail: Trail, evidence: str, tmp_path: Path, victim: str, number: int
) -> None:
    chance = random.Random(SEED + number)
    with site(trail, tmp_path, evidence, database, INDELIBLE_DURABILITY="synced") as ours:
        ours.start_agent()
        for failpoint in DATABASE_FAILPOINTS:
            worker = ours.work(chance.randrange(2**31), pause_ms=0, count=40, failpoint=f"{failpoint}:stop")
            wait_until(lambda worker=worker: stopped(worker), f"{failpoint} is not come to")
            if victim == "backend":
                kill_backend(database, chance)
            else:
                database.crash_and_recover()
            os.kill(worker, signal.SIGCONT)
            assert ours.ended(worker) == 0, f"after {failpoint}"
    print(f"{len(DATABASE_FAILPOINTS)} failpoints, {victim}, seed {SEED + number}: {ours.verdict(f'seed {SEED + number}')}")


@pytest.mark.parametrize("number", range(SEEDS))
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_agent_killed_at_every_failpoint_under_load(database: None, trail: Trail, evidence: str, tmp_path: Path, number: int) -> None:
    chance = random.Random(SEED + number)
    with site(trail, tmp_path, evidence, database) as ours:
        for _ in range(2):
            ours.work(chance.randrange(2**31), pause_ms=5)
        for failpoint in AGENT_FAILPOINTS:
            agent = ours.start_agent(f"{failpoint}:{1 + chance.randrange(2)}")
            assert agent.wait(60) == -signal.SIGKILL, f"{failpoint} is not come to"
    print(f"{len(AGENT_FAILPOINTS)} failpoints of the agent, seed {SEED + number}: {ours.verdict(f'seed {SEED + number}')}")
