"""A PostgreSQL of a test's own, to be broken, and a connection that breaks at the moment of COMMIT."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections

SCRIPT = str(Path(__file__).parents[2] / "scripts" / "postgres")
OPTIONS = "-c wal_writer_delay=10s -c autovacuum=off"
"""Without the help of the WAL writer, what nobody synced is not on disk for ten seconds."""


class Cluster:
    """A server in a folder of its own; :meth:`crash` loses what it had not yet written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = int(self._script("start"))

    def crash(self) -> None:
        self._script("crash")

    def again(self) -> None:
        self._script("again")

    def crash_and_recover(self) -> None:
        """An immediate stop, and the recovery from what is on disk."""
        self.crash()
        self.again()

    def back_up(self) -> Path:
        """A copy of its files, made while it does not run."""
        self.execute("CHECKPOINT")
        self.crash()
        copy = self.folder.with_name("backup")
        subprocess.run(["cp", "-a", self.folder / "data", copy], check=True)
        self.again()
        return copy

    def restore(self, copy: Path) -> None:
        """Puts the copy in the place of what it has."""
        self.crash()
        shutil.rmtree(self.folder / "data")
        copy.rename(self.folder / "data")
        self.again()

    def execute(self, statement: str) -> list[Any]:
        """What a statement answers that nobody records."""
        with psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def settings(self, **more: Any) -> dict[str, Any]:
        """What Django's ``DATABASES`` has for it."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "HOST": "127.0.0.1",
            "PORT": self.port,
            "USER": "postgres",
            **more,
        }

    def _script(self, verb: str) -> str:
        env = {**os.environ, "POSTGRES_OPTIONS": OPTIONS}
        done = subprocess.run([SCRIPT, verb, str(self.folder)], capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster, removed at the end whatever state it is in."""
    folder = tempfile.mkdtemp(prefix="indelible-cluster-")
    # The server runs as another user, who must be able to reach its folder.
    os.chmod(folder, 0o755)
    made = Cluster(Path(folder) / "server")
    try:
        yield made
    finally:
        subprocess.run([SCRIPT, "crash", str(made.folder)], capture_output=True, check=False)
        shutil.rmtree(folder)


@contextmanager
def default_database(settings: dict[str, Any]) -> Iterator[None]:
    """Makes it Django's ``default`` in this process."""
    before = connections.settings["default"]
    _put(settings)
    try:
        yield
    finally:
        _put(before)


def _put(settings: dict[str, Any]) -> None:
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": settings})["default"]


class Proxy:
    """A TCP proxy before a server. Armed, it closes both sides at the first COMMIT: before or after the server has it."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.swallow: str | None = None
        """``"question"``: the COMMIT never reaches the server. ``"answer"``: the server has committed, and nobody hears of it."""
        self.on_swallowed: Callable[[], object] = lambda: None
        """What else happens then, before anybody hears that something is wrong."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        mute = threading.Event()
        answers = threading.Thread(target=_answer, args=(server, client, mute), daemon=True)
        answers.start()
        with closing(client), closing(server):
            while data := _received(client):
                if self.swallow is not None and b"COMMIT" in data:
                    mute.set()
                    if self.swallow == "answer":
                        server.sendall(data)
                    # The server does what it was told, and ends when it finds nobody there. Only then does the client hear that
                    # something is wrong: what it finds in the database afterwards is final.
                    server.shutdown(socket.SHUT_WR)
                    answers.join()
                    self.on_swallowed()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)


def _answer(server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
    while data := _received(server):
        if mute.is_set():
            continue
        try:
            client.sendall(data)
        except OSError:
            return


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    made = Proxy(port)
    try:
        yield made
    finally:
        made.close()
