"""An SFTP client whose transfers are recorded: ``AuditedSFTPClient``. Needs paramiko: ``pip install "indelible[sftp]"``."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

try:
    import paramiko
except ModuleNotFoundError as missing:
    raise ImportError(f'indelible.sftp needs paramiko ({missing}): pip install "indelible[sftp]"', name="paramiko") from missing

from indelible import _outbound, _runtime
from indelible._outbound import Call

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AuditedSFTPClient"]

T = TypeVar("T")

TIMEOUT_S: Final = 30.0
"""How long a connection, and then each answer of the server, is waited for."""

_COPY_BYTES: Final = 32_768


class AuditedSFTPClient:
    """Uploads and downloads files, recording each transfer with size and SHA-256. Exceptions are those of paramiko and the system.

    A server is only talked to when its host key is known: from ``host_key`` (a line ``ssh-ed25519 AAAA…``), from the file
    ``known_hosts``, or, where neither is given, from the user's own ``~/.ssh/known_hosts``. ``unknown_host`` is the policy of paramiko
    for a server that has no known key; a key that is not the known one is refused under every policy.

    It connects on first use. ``password``, ``key_filename`` (with ``passphrase``) or ``pkey`` is offered and nothing else; where none is
    given, the keys of the user's agent and folder are. One thread at a time.

    Raises ``ValueError`` for a ``host_key`` that is none and for an unknown ``level``.

    Raises (from every operation):
        paramiko.BadHostKeyException: the server's host key has changed.
        paramiko.SSHException: its key is not known, or it does not speak as expected. ``AuthenticationException`` is one of these.
        OSError: no connection, or a file that cannot be read or written, here or there.
        IndelibleError: with ``ON_FAILURE="required"``, before anything is sent, when the journal does not take the event.

    Example:
        >>> with AuditedSFTPClient("files.example.org", username="clinic", key_filename="/etc/clinic/id_ed25519") as sftp:
        ...     sftp.upload("/srv/export/labs.csv", "/inbox/labs.csv")
    """

    def __init__(
        self,
        host: str,
        port: int = 22,
        *,
        username: str,
        password: str | None = None,
        key_filename: str | os.PathLike[str] | None = None,
        passphrase: str | None = None,
        pkey: paramiko.PKey | None = None,
        host_key: str | None = None,
        known_hosts: str | os.PathLike[str] | None = None,
        unknown_host: paramiko.MissingHostKeyPolicy | None = None,
        timeout_s: float = TIMEOUT_S,
        level: str | None = None,
    ) -> None:
        _outbound.level_of(level)
        self._host = host
        self._port = port
        self._credentials: dict[str, Any] = {
            "username": username,
            "password": password,
            "key_filename": os.fspath(key_filename) if key_filename is not None else None,
            "passphrase": passphrase,
            "pkey": pkey,
        }
        self._is_anybody = password is None and key_filename is None and pkey is None
        self._host_key = _public_key(host_key) if host_key is not None else None
        self._known_hosts = known_hosts
        self._unknown_host = unknown_host or paramiko.RejectPolicy()
        self._timeout_s = timeout_s
        self._level = level
        self._ssh: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None

    def connect(self) -> None:
        """Connects, unless it is connected. Recorded as ``sftp.connect`` with the host key's fingerprint."""
        if self._sftp is None:
            self._sftp = self._recorded("connect", None, self._connect)

    def upload(self, local: str | os.PathLike[str] | BinaryIO, remote: str | os.PathLike[str]) -> int:
        """Writes a file, given by its path or open for reading, to ``remote``; returns its size, which the server is asked to confirm."""
        path = os.fspath(remote)

        def put(sftp: paramiko.SFTPClient, count: _Count) -> None:
            with _opened(local, "rb") as file:
                sftp.putfo(_Counted(file, count), path)

        return self._transfer("upload", path, put)

    def download(self, remote: str | os.PathLike[str], local: str | os.PathLike[str] | BinaryIO) -> int:
        """Writes the file ``remote`` to a path, or to a file open for writing, and returns its size.

        A path is only written to when the remote file could be opened.
        """
        path = os.fspath(remote)

        def get(sftp: paramiko.SFTPClient, count: _Count) -> None:
            with sftp.open(path, "rb") as source, _opened(local, "wb") as file:
                source.prefetch(source.stat().st_size)
                while chunk := source.read(_COPY_BYTES):
                    file.write(count.passed(chunk))

        return self._transfer("download", path, get)

    def exists(self, remote: str | os.PathLike[str]) -> bool:
        """Whether there is a file or folder of this name."""
        return self._mode(os.fspath(remote)) is not None

    def is_valid_path(self, remote: str | os.PathLike[str]) -> bool:
        """Whether a file can be put there: the path is a folder, or the folder of the file that it names."""
        path = PurePosixPath(os.fspath(remote))
        return any(mode is not None and stat.S_ISDIR(mode) for mode in (self._mode(str(path)), self._mode(str(path.parent))))

    def close(self) -> None:
        """Closes the connection, if there is one. The next operation opens another."""
        sftp, self._sftp = self._sftp, None
        ssh, self._ssh = self._ssh, None
        if sftp is not None:
            sftp.close()
        if ssh is not None:
            ssh.close()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _mode(self, path: str) -> int | None:
        sftp = self._connected()

        def look(meta: dict[str, Any]) -> int | None:
            try:
                mode: int | None = sftp.stat(path).st_mode
            except FileNotFoundError:
                mode = None
            meta["exists"] = mode is not None
            return mode

        return self._recorded("exists", path, look)

    def _transfer(self, verb: str, path: str, move: Callable[[paramiko.SFTPClient, _Count], None]) -> int:
        sftp = self._connected()

        def transfer(meta: dict[str, Any]) -> int:
            count = _Count()
            try:
                move(sftp, count)
            finally:
                meta["bytes"] = count.size
            meta["sha256"] = count.digest.hexdigest()
            return count.size

        return self._recorded(verb, path, transfer)

    def _recorded(self, verb: str, path: str | None, act: Callable[[dict[str, Any]], T]) -> T:
        """Does what ``act`` does between INTENT and OUTCOME; it may add to the event's ``meta``."""
        if _outbound.level_of(self._level) == "none":
            return act({})
        meta: dict[str, Any] = {"username": self._credentials["username"]}
        if path is not None:
            meta.update(remote_path=path, filename=PurePosixPath(path).name)
        call = Call(f"sftp.{verb}", _outbound.server("sftp", self._host, self._port), meta=meta)
        try:
            result = act(meta)
        except BaseException as error:
            call.failed(error)
            raise
        call.succeeded()
        return result

    def _connected(self) -> paramiko.SFTPClient:
        self.connect()
        assert self._sftp is not None, "connect() returned"
        return self._sftp

    def _connect(self, meta: dict[str, Any]) -> paramiko.SFTPClient:
        ssh = paramiko.SSHClient()
        try:
            self._trust(ssh)
            ssh.connect(
                self._host,
                self._port,
                timeout=self._timeout_s,
                banner_timeout=self._timeout_s,
                auth_timeout=self._timeout_s,
                allow_agent=self._is_anybody,
                look_for_keys=self._is_anybody,
                **self._credentials,
            )
            sftp = ssh.open_sftp()
            sftp.get_channel().settimeout(self._timeout_s)
            meta["host_key"] = _fingerprint(ssh)
        except BaseException:
            ssh.close()
            raise
        self._ssh = ssh
        return sftp

    def _trust(self, ssh: paramiko.SSHClient) -> None:
        if self._host_key is not None:
            name = self._host if self._port == 22 else f"[{self._host}]:{self._port}"
            ssh.get_host_keys().add(name, self._host_key.get_name(), self._host_key)
        elif self._known_hosts is not None:
            ssh.load_host_keys(os.fspath(self._known_hosts))
        else:
            ssh.load_system_host_keys()
        ssh.set_missing_host_key_policy(self._unknown_host)


class _Count:
    """Size and digest of what has passed."""

    def __init__(self) -> None:
        self.size = 0
        self.digest = hashlib.sha256()

    def passed(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        self.digest.update(chunk)
        return chunk


class _Counted:
    """A file that counts what is read from it; paramiko asks for nothing but ``read``."""

    def __init__(self, file: BinaryIO, count: _Count) -> None:
        self._file = file
        self._count = count

    def read(self, size: int) -> bytes:
        return self._count.passed(self._file.read(size))


def _opened(file: str | os.PathLike[str] | BinaryIO, mode: str) -> AbstractContextManager[Any]:
    """The file at a path, closed at the end of the block; one that is open already stays open."""
    if isinstance(file, (str, os.PathLike)):
        return Path(file).open(mode)
    return nullcontext(file)


def _public_key(line: str) -> paramiko.PKey:
    try:
        kind, encoded = line.split()[:2]
        return paramiko.PKey.from_type_string(kind, base64.b64decode(encoded, validate=True))
    except (ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise ValueError("host_key is no public key; write it as in known_hosts: 'ssh-ed25519 AAAA…'") from error


def _fingerprint(ssh: paramiko.SSHClient) -> str | None:
    """The server's key as OpenSSH shows it; ``None`` where it cannot be told."""
    try:
        transport = ssh.get_transport()
        return None if transport is None else str(transport.get_remote_server_key().fingerprint)
    except Exception as fault:
        _runtime.runtime().fault("sftp.connect", fault)
        return None
