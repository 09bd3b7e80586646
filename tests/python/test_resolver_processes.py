"""Servers of many processes that ask for markers: each has a resolver of its own, one of them works, and none holds up an end."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django
import psycopg
import pytest
from django.db import connection, connections

from agents import running_agent
from clusters import default_database
from indelible.django._evidence import ANSWERED, COMMITTED, FENCED
from oracle import claims, judge
from proofs import answer, markers, unresolved
from servers import wait_until
from staffs import APPLICATION, GUNICORN, UVICORN, Staff, is_alive, staff, words
from testproject.models import Doctor
from trails import Trail

EXIT_S_MAX = 2.0
RESOLVER = "indelible-resolver"
SERVERS = {
    "gunicorn preload": (*GUNICORN, "--workers", "2", "--preload", f"{APPLICATION}:wsgi"),
    "uvicorn workers": (*UVICORN, "--workers", "2", f"{APPLICATION}:asgi"),
}
DEAD = "0199aaaa-0000-7000-8000-00000000000b"
"""A stream whose process is gone."""

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.parametrize("database", ["postgresql"], indirect=True)]


def names() -> list[str]:
    connection.close()
    return list(Doctor.objects.values_list("name", flat=True))


def judged(trail: Trail) -> str:
    return judge(names(), claims(trail), decided=True)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile, so that the work is another's."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def have_each_write(server: Staff) -> list[dict[str, Any]]:
    """Has both workers write, one after the other; what each says of itself."""
    first = json.loads(server.write("first"))
    with standing_still(first["pid"]):
        second = json.loads(server.write("second"))
    assert server.answered == [("first", 201), ("second", 201)]
    assert first["pid"] != second["pid"]
    return [first, second]


def waited_s(pid: int) -> float:
    """How long the main thread of a process has waited for a processor; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def seconds_to_end(server: Staff, workers: list[int]) -> float:
    """Tells a server to stop; how long it and its workers took, without what they waited for a processor of a busy machine."""
    pids = [server.process.pid, *workers]
    before = {pid: waited_s(pid) for pid in pids}
    latest = dict(before)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)

    def is_gone() -> bool:
        alive = [pid for pid in pids if is_alive(pid)]
        latest.update({pid: max(latest[pid], waited_s(pid)) for pid in alive})
        return not alive

    wait_until(is_gone, "a process stays behind")
    took = time.monotonic() - began
    waited = {pid: latest[pid] - before[pid] for pid in pids}
    return took - waited[server.process.pid] - max(waited[pid] for pid in workers)


def leave_a_question(trail: Trail) -> None:
    """An intent of a dead process that a resolver asks the database about every five seconds, as long as it gets no answer."""
    intent = uuid.UUID(int=int(time.time() * 1000) << 80 | uuid.uuid4().int >> 48)
    answer(trail.data_dir / "journal" / trail.service, {DEAD: (1, True)}, [unresolved(str(intent), (DEAD, 1))])


def is_asked(held: psycopg.Connection[Any]) -> bool:
    """Whether somebody waits for the table of markers."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'indelible_marker'::regclass"
    return bool(held.execute(waiting).fetchone()[0])


@pytest.mark.parametrize("name", SERVERS)
def test_each_worker_has_a_resolver_which_holds_no_end_up_even_while_it_waits_for_the_database(
    trail: Trail, tmp_path: Path, name: str
) -> None:
    with staff(SERVERS[name], trail, tmp_path, INDELIBLE_EVIDENCE="marker") as server:
        workers = have_each_write(server)
        assert [one["threads"].count(RESOLVER) for one in workers] == [1, 1]
        settings = connections.settings["default"]
        with psycopg.connect(host="127.0.0.1", port=settings["PORT"], user="postgres", dbname=settings["NAME"]) as held:
            held.execute("LOCK TABLE indelible_marker IN ACCESS EXCLUSIVE MODE")
            leave_a_question(trail)
            wait_until(lambda: is_asked(held), "nobody resolves")
            took = seconds_to_end(server, [one["pid"] for one in workers])
        server.stop()
    print(f"{name}: {took:.2f} s to the end")
    assert took <= EXIT_S_MAX
    judged(trail)


POOL = {"pool": {"min_size": 1, "max_size": 2, "timeout": 30}}
needs_pools = pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has pools since 5.1")


DEATHS = {"mallow": "before", "sorrel": "after", "tansy": "before", "yarrow": "after"}


@pytest.mark.parametrize("options", [{}, pytest.param(POOL, marks=needs_pools)], ids=["no pool", "pool"])
def test_workers_that_die_at_commit_are_answered_for_by_those_that_live(trail: Trail, tmp_path: Path, options: dict[str, Any]) -> None:
    with running_agent(trail.data_dir), ExitStack() as stack:
        with default_database({**connections.settings["default"], "OPTIONS": options}):
            server = stack.enter_context(staff(SERVERS["gunicorn preload"], trail, tmp_path, INDELIBLE_EVIDENCE="marker"))
        for number, (name, moment) in enumerate(DEATHS.items()):
            server.write(f"alive{words(4)[number]}")
            server.write(name, f"?dies={moment}")
        assert [status for _, status in server.answered] == [201, 0] * len(DEATHS)
        wait_until(lambda: is_answered(trail), "nobody finds out")
        server.process.send_signal(signal.SIGTERM)
        server.stop()
    committed = {name for name, moment in DEATHS.items() if moment == "after"} | {f"alive{word}" for word in words(4)}
    assert sorted(names()) == sorted(f"{name}-{number}" for name in committed for number in range(5))
    print(judged(trail))
    proved = Counter(record["verdict"] for record in trail.records() if record["event"]["action"] == "doctor.create")
    assert proved == {"committed": 20, "committed_by_marker": 10}


def is_answered(trail: Trail) -> bool:
    """Whether the database was asked about each that died, and the agent has the answers."""
    if sorted(markers().values()) != [COMMITTED] * 4 + [FENCED] * 2 + [ANSWERED] * 2:
        return False
    answers = json.loads((trail.data_dir / "journal" / trail.service / "answers.json").read_text())
    return answers["unresolved"] == []
