"""A Django site whose files fail: it goes on or refuses, as its mode says, what is lost is told, and then it records again.

``INDELIBLE_FAULTS=all`` tries every kind of fault in every mode, moment, evidence and database; without it a few.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from faults import KINDS, Faults, Kind
from oracle import claims, judge
from servers import DEADLINE_S, wait_until
from staffs import GUNICORN, Staff, staff, words
from testproject.models import Doctor
from trails import Trail

HEALS_WITHIN_S = 5.0
"""From the end of a fault to everything working again. A busy machine does not know of it, so that it is printed, and bounded from afar."""
BEARABLE_S = 4 * HEALS_WITHIN_S
REQUESTS = 6
SERVER = (*GUNICORN, "--workers", "1", "testproject.faulted:wsgi")
MODES = ("standard", "required")
MOMENTS = ("from the first event", "in the middle")

FEW = {
    ("ENOSPC", "standard", "in the middle", "marker", "sqlite"),
    ("ENOSPC", "required", "in the middle", "ack", "postgresql"),
    ("EIO", "standard", "in the middle", "ack", "sqlite"),
    ("EMFILE", "required", "from the first event", "ack", "sqlite"),
    ("failed fsync", "required", "in the middle", "ack", "postgresql"),
    ("EROFS", "standard", "from the first event", "marker", "postgresql"),
}
ALL = itertools.product(KINDS, MODES, MOMENTS, ("ack", "marker"), ("sqlite", "postgresql"))
CASES = [case for case in ALL if os.environ.get("INDELIBLE_FAULTS") == "all" or (str(case[0]), *case[1:]) in FEW]


class Site:
    """A server with one worker, what it was asked for, and what it answered."""

    def __init__(self, server: Staff) -> None:
        self.server = server
        self._names = iter(words(26 * 26))

    def write(self) -> int:
        """One request that writes; its status."""
        self.server.write(next(self._names))
        return self.server.answered[-1][1]

    def works(self) -> bool:
        """Whether it writes and records."""
        return self.server.ask("/note") == b"at" and self.write() == 201

    def health(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.server.ask("/process"))
        return document["health"]

    def names(self, status: int) -> set[str]:
        """The rows of the requests that were answered so."""
        return {f"{name}-{number}" for name, answered in self.server.answered if answered == status for number in range(5)}


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    wait_until(condition, "it does not record again")
    return time.monotonic() - began


def meet(site: Site, faults: Faults, mode: str) -> None:
    """Requests while every call fails: enough of them to meet it, and where they are refused, two."""
    faults.begin()
    deadline = time.monotonic() + DEADLINE_S
    statuses: list[int] = []
    while len(statuses) < REQUESTS or not faults.calls() or (mode == "required" and 503 not in statuses):
        assert time.monotonic() < deadline, f"{faults.calls()} calls failed, and it answered {statuses}"
        statuses.append(site.write())
        if statuses.count(503) == 2:
            break
    assert set(statuses) <= ({201} if mode == "standard" else {201, 503}), statuses


@pytest.mark.parametrize(
    ("kind", "mode", "moment", "known_by", "database"), CASES, indirect=["database"], ids=lambda value: str(value).replace(" ", "-")
)
def test_a_site_goes_on_or_refuses_and_tells_what_it_lost_and_heals(
    database: str, trail: Trail, tmp_path: Path, kind: Kind, mode: str, moment: str, known_by: str
) -> None:
    faults = Faults(kind, trail.data_dir / "journal", tmp_path)
    variables = {
        "INDELIBLE_EVIDENCE": known_by,
        "INDELIBLE_DURABILITY": "synced",
        "INDELIBLE_ON_FAILURE": json.dumps({"default": "standard", "change": mode}),
    }
    with staff(SERVER, trail, tmp_path, **variables, **faults.environment()) as server:
        site = Site(server)
        if moment == "in the middle":
            assert [site.write() for _ in range(3)] == [201] * 3
        meet(site, faults, mode)
        failed = faults.calls()
        faults.lift()
        healed_s = seconds_until(site.works)
        assert healed_s < BEARABLE_S
        assert [site.write() for _ in range(3)] == [201] * 3
        lost = site.health()["lost"]
        server.process.send_signal(signal.SIGTERM)
        server.stop()
    print(f"{kind}, {mode}, {moment}: {failed} calls failed, {lost} events lost, healed after {healed_s:.2f} s")
    check(trail, site, mode, lost)


def check(trail: Trail, site: Site, mode: str, lost: int) -> None:
    """Rows, answers and trail agree: what a row misses in the trail was told as lost, and nothing of it where that is refused."""
    connection.close()
    rows = list(Doctor.objects.values_list("name", flat=True))
    assert set(rows) == site.names(201)
    said = claims(trail)
    missing = Counter(rows) - said.committed - said.in_doubt
    print(judge(Counter(rows) - missing, said, decided=False), f"{len(missing)} missing")
    told = [json.loads(line)["event"]["meta"]["count"] for line in losses(trail)]
    assert sum(told) == lost
    assert len(missing) <= lost
    assert mode == "standard" or not missing, "what is required was written without its record"
    assert mode == "standard" or lost, "what was refused is counted"
    assert "intact" in trail.command("verify")


def losses(trail: Trail) -> list[str]:
    return trail.command("search", "action:audit.loss", "--asc", "--limit", "1000000", "-o", "ndjson").splitlines()
