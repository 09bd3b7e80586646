"""A PgBouncer in transaction mode before a PostgreSQL, to be killed: which connection of the server a transaction gets is its choice."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import answers, free_port, wait_until

_CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 100
server_login_retry = 1
"""
_ATTEMPTS = 5


class Bouncer:
    """A running one; :meth:`kill` ends it as a crash would, and with it every connection through it."""

    def __init__(self, folder: Path, server_port: int, connections: int) -> None:
        self._folder, self._server_port, self._connections = folder, server_port, connections
        (folder / "users").write_text('"postgres" ""\n')
        for attempt in range(1, _ATTEMPTS + 1):
            # The port is free when asked, but another process may be faster: then the next one.
            self.port = free_port()
            try:
                self._start()
                return
            except ChildProcessError:
                if attempt == _ATTEMPTS:
                    raise

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def again(self) -> None:
        """Starts it once more, on the same port."""
        self._start()

    def _start(self) -> None:
        file = self._folder / "pgbouncer.ini"
        users = self._folder / "users"
        file.write_text(_CONFIGURATION.format(server_port=self._server_port, port=self.port, users=users, connections=self._connections))
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen([_program(), "-q", *user, str(file)], stdout=output, stderr=output)
        wait_until(lambda: answers(self.port) or self._process.poll() is not None, log.read_text)
        if self._process.poll() is not None:
            raise ChildProcessError(log.read_text())


def _program() -> str:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which("pgbouncer", path=path)
    assert found, "pgbouncer is missing: run scripts/require pgbouncer"
    return found


@contextmanager
def bouncer(server_port: int, *, connections: int) -> Iterator[Bouncer]:
    """One that shares so many connections of the server for each database and user; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="indelible-bouncer-") as folder:
        # It runs as another user, who must be able to read its folder.
        os.chmod(folder, 0o755)
        made = Bouncer(Path(folder), server_port, connections)
        try:
            yield made
        finally:
            made.kill()
