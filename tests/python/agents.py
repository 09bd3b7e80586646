"""A real agent beside a test."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from indelible import _agent
from trails import BINARY

DEADLINE_S = 20.0


@contextmanager
def running_agent(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that answers on a free port of loopback; it is stopped afterwards."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [str(BINARY), "--data", str(data_dir), "serve", "--listen", "127.0.0.1:0"]
    with (data_dir / "agent.log").open("wb") as log:
        agent = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + DEADLINE_S
            while _agent.description(data_dir) is None:
                assert agent.poll() is None, (data_dir / "agent.log").read_text()
                assert time.monotonic() < deadline, "the agent does not announce itself"
                time.sleep(0.02)
            yield agent
        finally:
            agent.send_signal(signal.SIGCONT)
            agent.terminate()
            agent.wait(timeout=DEADLINE_S)


def until(ask: Callable[[], object]) -> None:
    """Waits until the answer is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.02)
