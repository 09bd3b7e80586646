"""A worker that is killed at any moment: what the database committed is in the trail, once, and nothing else is claimed."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers import environment
from testproject.models import Doctor
from trails import Trail

KILLS = int(os.environ.get("INDELIBLE_WORKER_KILLS", "8"))
SEED = int(os.environ.get("INDELIBLE_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
HERE = Path(__file__).parent
LETTERS = str.maketrans("0123456789", "ghijklmnop")
"""Names have no digits: now and then some look like a card number, which would be masked."""


def names_in_trail(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    """For each verdict the names of the doctors that were created, as often as they stand in the trail."""
    names: dict[str, list[str]] = {}
    for record in records:
        if record["event"]["action"] == "doctor.create":
            (name,) = (change["new"] for change in record["event"]["changes"] if change["field"] == "name")
            names.setdefault(record["verdict"], []).append(name)
    return names


@pytest.mark.defect("H13", "A-15")
@pytest.mark.parametrize(("moment", "in_database"), [("before", False), ("after", True)])
def test_a_worker_killed_around_commit_leaves_its_events_in_doubt_and_never_claims_them(
    database: str, trail: Trail, moment: str, in_database: bool
) -> None:
    command = [sys.executable, "-m", "testproject.killed", moment, "Gray"]
    killed = subprocess.run(command, env=environment(trail.data_dir), cwd=HERE, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert Doctor.objects.filter(name="Gray").exists() is in_database
    assert names_in_trail(trail.records()) == {"in_doubt": ["Gray"]}


@pytest.mark.defect("A-15")
def test_workers_killed_mid_burst_lose_no_committed_row_and_record_none_twice(database: str, trail: Trail, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    stopping = threading.Event()
    with gunicorn(environment(trail.data_dir), tmp_path) as (master, port):
        clients = [threading.Thread(target=write_until, args=(stopping, port)) for _ in range(4)]
        for client in clients:
            client.start()
        written = 0
        for _ in range(KILLS):
            written = wait_for_rows(written + chance.randrange(5, 40))
            os.kill(chance.choice(wait_for_workers(master)), signal.SIGKILL)
        stopping.set()
        for client in clients:
            client.join()
    rows = Counter(Doctor.objects.values_list("name", flat=True))
    names = names_in_trail(trail.records())
    committed, in_doubt = Counter(names.get("committed", [])), Counter(names.get("in_doubt", []))
    counts = f"{len(rows)} rows, {len(committed)} committed, {len(in_doubt)} in doubt"
    print(f"{KILLS} kills, seed {SEED}: {counts}")
    assert set(names) <= {"committed", "in_doubt"}
    assert rows - committed - in_doubt == Counter(), f"committed and not recorded, seed {SEED}"
    assert committed - rows == Counter(), f"claimed and not committed, seed {SEED}"
    assert max((committed + in_doubt).values()) == 1, f"recorded twice, seed {SEED}"


@contextmanager
def gunicorn(env: dict[str, str], folder: Path) -> Iterator[tuple[int, int]]:
    """A real gunicorn with three workers: its process id and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--workers", "3", "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "20"]
    with (folder / "gunicorn.log").open("w") as log:
        command = [sys.executable, "-m", "gunicorn", *options, "testproject.served:application"]
        process = subprocess.Popen(command, env=env, cwd=HERE, stdout=log, stderr=log)
    try:
        wait_for_workers(process.pid)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(30)


def write_until(stopping: threading.Event, port: int) -> None:
    while not stopping.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        name = uuid.uuid4().hex.translate(LETTERS)
        try:
            connection.request("POST", f"/write/{name}" + ("?alone" if name < "e" else ""))
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            # The worker was killed, or is not back yet.
            pass
        finally:
            connection.close()


def wait_for_rows(count: int) -> int:
    deadline = time.monotonic() + 60
    while (rows := Doctor.objects.count()) < count:
        assert time.monotonic() < deadline, f"{rows} of {count} rows"
        stopping_for_a_moment()
    return rows


def wait_for_workers(master: int) -> list[int]:
    deadline = time.monotonic() + 30
    children = Path(f"/proc/{master}/task/{master}/children")
    while not (workers := [int(pid) for pid in children.read_text().split()]):
        assert time.monotonic() < deadline, "no worker"
        stopping_for_a_moment()
    return workers


def stopping_for_a_moment() -> None:
    """Between two looks at something that another process does."""
    time.sleep(0.01)
