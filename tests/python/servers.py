"""Real servers and workers for tests: what environment they get, how they are started, waited for and stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.db import connections

HERE = Path(__file__).parent
DEADLINE_S = 60


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Variables of a process that serves ``testproject.served`` with the databases and the trail of the test at hand."""
    keys = ("ENGINE", "NAME", "HOST", "PORT", "USER", "OPTIONS")
    databases = {alias: {key: connections.settings[alias][key] for key in keys} for alias in ("default", "other")}
    # As a site that cares for concurrency would: without it, SQLite refuses a second writer at once.
    if databases["default"]["ENGINE"].endswith("sqlite3"):
        for database in databases.values():
            database["OPTIONS"] = {"timeout": 20}
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "testproject.served",
        "INDELIBLE_DATA_DIR": str(data_dir),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1] / "python")]),
        "SERVED_DATABASES": json.dumps(databases),
        **more,
    }


def free_port() -> int:
    """A port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def running(arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program, told to stop at the end and waited for; what it says goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments], env=env, cwd=HERE, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool], what: str | Callable[[], str]) -> None:
    """Waits for something that another process does."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.01)


def answers(port: int) -> bool:
    """Whether somebody listens on a port of the loopback address."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
