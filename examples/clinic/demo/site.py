"""The running clinic: database, agent and gunicorn, in a folder of their own and on free ports."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CLINIC = Path(__file__).resolve().parent.parent
START_S = 30
STOP_S = 30


class SiteError(Exception):
    """A part of the demo did not start; the text says which and where its output is."""


class Site:
    """Everything that runs. ``data`` holds all that it writes."""

    def __init__(self, data: Path, binary: Path, password: str) -> None:
        self.data = data
        self.trail_data = data / "indelible"
        self.binary = binary
        self.password = password
        # The socket is bound here and handed to gunicorn, so that nobody can take the port in between.
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "CLINIC_DATA": str(data),
            "CLINIC_BIND": f"fd://{self._socket.fileno()}",
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "clinic.settings"),
            "INDELIBLE_AGENT": "external",
        }

    def start(self) -> None:
        """Makes the database, then starts agent and site; returns when both answer."""
        self._manage("migrate", "--verbosity", "0")
        self._manage("seed", f"--password={self.password}")
        agent = [str(self.binary), "--data", str(self.trail_data), "serve", "--listen", "127.0.0.1:0"]
        self._spawn("agent", agent)
        self._wait("agent", (self.trail_data / "agent.json").exists)
        gunicorn = [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py"]
        self._spawn("site", gunicorn, pass_fds=[self._socket.fileno()])
        self._wait("site", self._answers)

    def stop(self) -> None:
        """Stops the site first, then the agent, which ingests what the site's last moments left."""
        for process in reversed(self._processes):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
            process.wait()
        self._processes.clear()
        self._socket.close()

    def _manage(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "manage.py", *arguments], cwd=CLINIC, env=self.environment, check=True)

    def _spawn(self, name: str, command: list[str], pass_fds: list[int] | None = None) -> None:
        """A session of its own keeps the terminal's Ctrl-C away: we stop the processes, in order."""
        with open(self.data / f"{name}.log", "ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    cwd=CLINIC,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=pass_fds or [],
                    start_new_session=True,
                )
            )

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            if self._processes[-1].poll() is not None or time.monotonic() > deadline:
                log = (self.data / f"{name}.log").read_text(errors="replace")
                raise SiteError(f"the {name} did not start:\n{log}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether a worker answers. What it is asked is no HTTP: gunicorn refuses it itself, Django never sees it."""
        try:
            with socket.create_connection(self.address, timeout=1) as connection:
                connection.sendall(b"are you there?\r\n\r\n")
                return connection.recv(4) == b"HTTP"
        except OSError:
            return False
