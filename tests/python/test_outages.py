"""When what is behind the application fails, the application does not notice: what it recorded arrives later, once."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from django.test import Client

import indelible
from agents import DEADLINE_S, running_agent, until
from indelible.django import apps, conf
from testproject.models import Doctor
from trails import BINARY, Trail

REQUESTS = 20
JOURNAL_BYTES = 1 << 20
HANGING_S = 15.0
"""Many times what twenty requests take on a busy machine, and less than they took if each waited a second for somebody."""


def serve(first: int) -> None:
    """Twenty requests, each of which writes; all succeed, and none hangs."""
    client = Client()
    client.post("/plain/")
    began = time.monotonic()
    for number in range(first, first + REQUESTS):
        assert client.post(f"/doctors/{number}").status_code == 201
    assert time.monotonic() - began < HANGING_S
    assert Doctor.objects.count() == first + REQUESTS


def arrived(trail: Trail) -> Counter[str]:
    names = [change["new"] for event in trail.changes() for change in event["changes"] if change["field"] == "name"]
    return Counter(names)


def expected(count: int) -> Counter[str]:
    return Counter(f"Doctor {number}" for number in range(count))


@pytest.mark.scenario(33)
@pytest.mark.defect("G-2", "H14", "F-3", "A-15")
def test_without_an_agent_every_request_succeeds_and_all_events_arrive_once_it_comes(database: str, trail: Trail) -> None:
    serve(0)
    assert arrived(trail) == expected(REQUESTS)


@pytest.mark.scenario(33)
@pytest.mark.defect("G-2")
def test_an_agent_that_hangs_delays_no_request_and_loses_no_event(database: str, trail: Trail) -> None:
    with running_agent(trail.data_dir) as agent:
        serve(0)
        agent.send_signal(signal.SIGSTOP)
        serve(REQUESTS)
        agent.send_signal(signal.SIGCONT)
        serve(2 * REQUESTS)
    assert arrived(trail) == expected(3 * REQUESTS)


@pytest.mark.scenario(33)
@pytest.mark.defect("A-24", "G-2")
def test_an_agent_whose_disk_is_full_delays_no_request_and_loses_no_event(database: str, trail: Trail, tmp_path: Path) -> None:
    with running_agent(trail.data_dir):
        serve(0)
    full = subprocess.Popen(
        [str(BINARY), "--data", str(trail.data_dir), "serve", "--listen", "127.0.0.1:0"],
        stdout=(tmp_path / "full.log").open("wb"),
        stderr=subprocess.STDOUT,
        # No file of the agent can grow beyond this: what a full disk says to it. Not by a signal: Python ignores that one.
        restore_signals=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    try:
        serve(REQUESTS)
        # It fails, or holds back; either way what it could not store stays in the journal.
        until(lambda: full.poll() is not None or (tmp_path / "full.log").stat().st_size > 0)
        assert "trail" in (tmp_path / "full.log").read_text(), "it says what is wrong"
    finally:
        full.kill()
        full.wait(DEADLINE_S)
    assert arrived(trail) == expected(2 * REQUESTS)


@pytest.mark.scenario(33)
@pytest.mark.defect("A-24", "H14")
def test_a_journal_that_is_full_costs_no_request_and_what_is_lost_is_counted(
    database: str, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INDELIBLE_LIMITS", f'{{"journal_bytes": {JOURNAL_BYTES}}}')
    monkeypatch.setenv("INDELIBLE_ON_ERROR", "degrade")
    apps.configure(conf.reload())
    fill_journal()
    lost = indelible.health()["lost"]
    serve(0)
    health = indelible.health()
    assert not health["ok"]
    assert health["lost"] - lost >= REQUESTS
    names = arrived(trail)
    assert max(names.values(), default=1) == 1
    assert len(names) < REQUESTS
    # The agent has made room, and recording goes on.
    serve(REQUESTS)
    assert arrived(trail) - names == Counter({f"Doctor {number}": 1 for number in range(REQUESTS, 2 * REQUESTS)})


def fill_journal() -> None:
    """Records until the journal takes no event any more, not even a small one."""
    while indelible.record("paper.fill", meta={"text": "x" * 100_000}).status == "at":
        pass
    # After a refusal the journal is left alone for a moment; then there is room for small events again.
    until(lambda: indelible.record("paper.fill").status != "at" and JOURNAL_BYTES - indelible.health()["bytes"] < 500)
