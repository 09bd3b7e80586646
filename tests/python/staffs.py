"""Real servers with many processes, for tests: started, sent requests, and stopped."""

from __future__ import annotations

import http.client
import string
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import DEADLINE_S, answers, environment, free_port, running, wait_until
from trails import Trail

APPLICATION = "testproject.staffed"
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--graceful-timeout", "40", "--timeout", "60")
UVICORN = ("uvicorn", "--port", "{port}", "--timeout-worker-healthcheck", "60")


class Staff:
    """A running server and the requests that were sent to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder
        self.answered: list[tuple[str, int]] = []
        self._clients: list[threading.Thread] = []

    def write(self, name: str, query: str = "") -> bytes:
        """One request; its status is noted, 0 where no answer came. The answer itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("POST", f"/write/{name}{query}")
            response = connection.getresponse()
            answer = response.read()
            self.answered.append((name, response.status))
            return answer
        except (OSError, http.client.HTTPException):
            self.answered.append((name, 0))
            return b""
        finally:
            connection.close()

    def write_slowly(self, names: list[str]) -> None:
        """Requests that have all begun when this returns and end when :meth:`release` is called."""
        for name in names:
            query = f"?until={self.folder / 'released'}"
            self._clients.append(threading.Thread(target=self.write, args=(name, query)))
            self._clients[-1].start()
        wait_until(lambda: all((self.folder / f"waits-{name}").exists() for name in names), "requests that do not begin")

    def release(self) -> None:
        """Lets the requests end, and waits for their answers."""
        (self.folder / "released").touch()
        for client in self._clients:
            client.join()

    def ask(self, place: str) -> bytes:
        """What the server answers to a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", place)
            return connection.getresponse().read()
        finally:
            connection.close()

    def stop(self) -> None:
        """Waits for the end of the server, which was told to stop."""
        self.process.wait(DEADLINE_S)

    def children(self) -> list[int]:
        """The processes of the server but the first."""
        return [int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]


@contextmanager
def staff(command: tuple[str, ...], trail: Trail, folder: Path, **variables: str) -> Iterator[Staff]:
    port = free_port()
    arguments = [argument.format(port=port) for argument in command]
    log = folder / "server.log"
    with running(["-m", *arguments], environment(trail.data_dir, **variables), log) as process:
        wait_until(lambda: answers(port), log.read_text)
        yield Staff(process, port, folder)


def words(count: int, prefix: str = "") -> list[str]:
    """Names without digits."""
    letters = string.ascii_lowercase
    return [f"{prefix}{letters[number // 26]}{letters[number % 26]}" for number in range(count)]


def is_alive(pid: int) -> bool:
    try:
        # Ended, and not yet asked how by whoever has inherited it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
