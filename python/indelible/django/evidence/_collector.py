"""The agent of another host as the destination of an outbox, over HTTP (docs/format.md, "Outbox over HTTP").

The collector lends a stream that nobody else writes to. Rows are assigned to it and posted; whatever other answer comes than that all of them
are journaled, or none, the stream is given up: the collector ends it, and says in its answers how far it came. So a post that is repeated, lost
or answered to nobody never puts a row into the trail twice, and none is deleted that is not there.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from indelible import _native
from indelible._errors import IndelibleError
from indelible._version import __version__
from indelible.django.evidence._addresses import Addresses
from indelible.django.evidence._answers import BYTES_MAX, parse_answers
from indelible.django.evidence._destination import Look, Next, StreamLost, Taken

TOKEN_VARIABLE: Final = "INDELIBLE_COLLECTOR_TOKEN"
DEADLINE_S: Final = 20.0
"""How long one request may take, from connecting to the last byte of the answer."""
CONNECT_S: Final = 5.0
"""How long one address of the collector's name may take to be reached: a name may have one that is dead."""
POST_BYTES: Final = 1 << 19
"""How many bytes one request has at most, which is half of what nginx lets pass by default; a longer row goes alone."""
_CHUNK_BYTES: Final = 1 << 16
_ROW: Final = struct.Struct("<QI")


class Refused(IndelibleError):
    """The collector has answered, and not as it was asked to. ``damaged``: the first row that it will never take."""

    def __init__(self, status: int, why: str, damaged: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.damaged = damaged


class _Answer(NamedTuple):
    status: int
    body: bytes
    version: str | None


class Collector:
    """A destination (see ``_destination``). ``url`` is one that the settings have let pass."""

    def __init__(self, url: str, service: str, token: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname, "an address without a host is a mistake in the settings"
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._addresses = Addresses(self._host, self._port)
        self._path = f"{parts.path.rstrip('/')}/v1/outbox/{quote(service, safe='')}"
        self._headers = {"Authorization": f"Bearer {token}", "Connection": "close", "User-Agent": f"indelible/{__version__}"}
        self.name = url
        self._stream: uuid.UUID | None = None
        self._sequence = 0
        self._version: str | None = None
        self._look: Look | None = None

    def look(self) -> Look:
        path = "/answers" if self._stream is None else f"/answers/{self._stream}"
        seen = self._look if self._version else None
        headers = {"If-None-Match": self._version} if seen and self._version else {}
        answer = self._ask("GET", path, headers=headers, expected=(200, 304) if seen else (200,))
        if seen and answer.status == 304:
            return seen
        look: Look = _understood(answer.body, _parse_look)
        self._look, self._version = look, answer.version
        return look

    def next_position(self) -> tuple[uuid.UUID, int]:
        if self._stream is None:
            answer = self._ask("POST", "/streams", expected=(201,))
            lent, sequence, journal = _understood(answer.body, _parse_lent)
            self._stream, self._sequence = lent, sequence
            if self._look is not None and journal != self._look.journal:
                # Rows would be named after one collector and be in the trail of the other.
                self.abandon()
                self._look, self._version = None, None
                raise StreamLost("another collector answers there than a moment ago")
        return self._stream, self._sequence

    def append(self, rows: Sequence[Taken], stream: uuid.UUID) -> tuple[int, Next]:
        if stream != self._stream:
            raise StreamLost("the stream was given up")
        batch = _as_many_as_go(rows)
        while batch:
            try:
                self._ask("POST", f"/streams/{stream}", body=b"".join(_encoded(row) for row in batch), expected=(204,))
            except Refused as refused:
                # Said of the bytes alone, and before anything was written: it holds for a request that came twice as well.
                damaged = refused.damaged if refused.status == 422 else None
                if damaged is None or not 0 <= damaged < len(batch) or _native.is_sealed(batch[damaged].payload):
                    # A row that is whole here is none to give up: the collector may be of another version, or something else answers.
                    self.abandon()
                    raise StreamLost(str(refused)) from refused
                batch = batch[:damaged]
                continue
            except (OSError, http.client.HTTPException) as error:
                self.abandon()
                raise StreamLost(f"no answer: {error}") from error
            self._sequence = batch[-1].sequence + 1
            return len(batch), ""
        return 0, "damaged"

    def has_folder(self, stream: uuid.UUID) -> bool:
        return self._ask("GET", f"/streams/{stream}", expected=(204, 404)).status == 204

    def abandon(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            # Where this does not arrive, the collector ends it after a minute of silence.
            with contextlib.suppress(OSError, IndelibleError, http.client.HTTPException):
                self._ask("DELETE", f"/streams/{stream}", expected=(204,))

    close = abandon

    def _ask(
        self, method: str, path: str, *, expected: tuple[int, ...], body: bytes = b"", headers: dict[str, str] | None = None
    ) -> _Answer:
        try:
            answer = self._exchange(method, path, body, {**self._headers, **(headers or {})})
        except http.client.HTTPException as error:
            raise OSError(f"what answers there speaks no HTTP: {error!r}") from error
        if answer.status in expected:
            return answer
        if answer.status == 410:
            self._stream = None
            raise StreamLost("the collector has ended the stream")
        raise _refused(answer)

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Answer:
        deadline = time.monotonic() + DEADLINE_S
        raw = _connected(self._addresses.found(DEADLINE_S), deadline)
        with contextlib.closing(raw), _cut_off(raw, deadline) as is_late:
            try:
                wire = raw if self._tls is None else self._tls.wrap_socket(raw, server_hostname=self._host)
                with contextlib.closing(wire):
                    answer = self._talk(wire, method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                if is_late.is_set():
                    raise TimeoutError(f"not done after {DEADLINE_S:.0f} s") from error
                raise
            if is_late.is_set():
                # What was cut off can look like an answer that was short.
                raise TimeoutError(f"not done after {DEADLINE_S:.0f} s")
            return answer

    def _talk(self, wire: socket.socket, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Answer:
        connection = (
            http.client.HTTPConnection(self._host, self._port)
            if self._tls is None
            else http.client.HTTPSConnection(self._host, self._port, context=self._tls)
        )
        connection.sock = wire
        # It may have answered without reading to the end: that it does not know the token, say.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, self._path + path, body=body if method == "POST" else None, headers=headers)
        response = connection.getresponse()
        with contextlib.closing(response):
            chunks, size = [], 0
            while chunk := response.read1(_CHUNK_BYTES):
                size += len(chunk)
                if size > BYTES_MAX:
                    raise http.client.HTTPException(f"an answer of more than {BYTES_MAX} bytes")
                chunks.append(chunk)
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            return _Answer(response.status, b"".join(chunks), response.headers.get("ETag"))


def _connected(addresses: list[Any], deadline: float) -> socket.socket:
    """A connection to the first of a host's addresses that answers."""
    failed: OSError = TimeoutError(f"not done after {DEADLINE_S:.0f} s")
    for family, kind, protocol, _, address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(min(CONNECT_S, left))
            connection.connect(address)
            connection.settimeout(DEADLINE_S)
        except OSError as error:
            connection.close()
            failed = error
        else:
            return connection
    raise failed


@contextlib.contextmanager
def _cut_off(connection: socket.socket, deadline: float) -> Iterator[threading.Event]:
    """Shuts a connection down at a deadline, whoever waits for it: a timeout of a socket is for each piece, and pieces may trickle."""
    late = threading.Event()
    # TLS takes the socket over, and this one stays.
    held = connection.dup()

    def shut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()
        held.close()


def _as_many_as_go(rows: Sequence[Taken]) -> list[Taken]:
    batch: list[Taken] = []
    size = 0
    for row in rows:
        size += len(row.payload) + _ROW.size
        if batch and size > POST_BYTES:
            break
        batch.append(row)
    return batch


def _encoded(row: Taken) -> bytes:
    return _ROW.pack(row.sequence, len(row.payload)) + row.payload


def _parse_lent(given: Any) -> tuple[uuid.UUID, int, uuid.UUID]:
    return uuid.UUID(given["stream"]), int(given["sequence"]), uuid.UUID(given["journal"])


def _parse_look(given: Any) -> Look:
    answers = given["answers"]
    if answers is not None and answers.get("v") != 1:
        raise ValueError("answers of another version")
    return Look(uuid.UUID(given["journal"]), None if answers is None else parse_answers(answers))


def _understood(body: bytes, parse: Any) -> Any:
    try:
        return parse(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise IndelibleError(
            "the collector's answer cannot be understood: it is of another version, or something else answers there"
        ) from error


def _refused(answer: _Answer) -> Refused:
    try:
        said = json.loads(answer.body)
        why, cure, damaged = str(said["error"]), said.get("help"), said.get("damaged")
        if damaged is not None and type(damaged) is not int:
            raise ValueError("an index is a number")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Refused(answer.status, f"status {answer.status}, and not from a collector: look at the address and at what stands before it")
    return Refused(answer.status, f"{why} (status {answer.status})" + (f"; {cure}" if cure else ""), damaged)
