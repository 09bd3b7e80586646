"""Asks the agent what is in the trail: its HTTP API on loopback, with a deadline and a bound on what is read.

What is read is recorded by the agent before it answers.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from indelible import _agent
from indelible._errors import IndelibleError

DEADLINE_S: Final = 5.0
"""How long one question may take, from connecting to the last byte."""

ANSWER_BYTES_MAX: Final = 32 << 20
"""Longest answer that is read."""

RECORDS_MAX: Final = 200
"""Most records of one page, so that a page of large events stays below the bound."""

_CHUNK_BYTES: Final = 1 << 16
_READER_BYTES_MAX: Final = 200


class TrailUnavailable(IndelibleError):
    """The agent does not answer; the message says why, ``cure`` what to do."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cure = cure


class TrailRefused(IndelibleError):
    """The agent understood the question and does not answer it: ``status`` 400 for a query that cannot be read, 404 for no such record.

    ``cure`` says what to do, ``column`` where in the query it is, from 1.
    """

    def __init__(self, status: int, cause: str, cure: str | None = None, column: int | None = None) -> None:
        super().__init__(cause)
        self.status = status
        self.cure = cure
        self.column = column


@dataclass(frozen=True)
class Page:
    """One page of records, newest first; ``cursor`` leads to the next, ``None`` at the end.

    A record has ``leaf``, ``verdict``, ``received_at`` and ``event`` (docs/search.md, "Output"). ``canonical`` is the query in its one
    form. ``partial``: the agent's time was up, and the next page goes on where it stopped.
    """

    records: list[dict[str, Any]]
    cursor: str | None
    canonical: str
    partial: bool


class _Server(NamedTuple):
    connection: http.client.HTTPConnection
    token: str
    address: str


def search(data_dir: Path, query: str, *, cursor: str | None = None, limit: int = 50, reader: str | None = None) -> Page:
    """One page of what a query finds, in the grammar of docs/search.md. ``reader`` is recorded as who looked.

    Raises:
        TrailUnavailable: no agent answers in time, or it cannot record that the trail is read.
        TrailRefused: the query or the cursor cannot be read.
    """
    parameters = {"q": query, "limit": str(max(1, min(limit, RECORDS_MAX))), **({"cursor": cursor} if cursor else {})}
    answer = _ask(data_dir, f"/v1/events?{urlencode(parameters)}", reader)
    try:
        return Page(answer["rows"], answer.get("next"), answer["canonical"], bool(answer.get("partial")))
    except KeyError as error:
        raise _not_understood(data_dir) from error


def record(data_dir: Path, event: str, *, reader: str | None = None) -> dict[str, Any]:
    """One record with its leaf entry, by event id, its first digits with ``*``, or the number of its leaf. Raises as :func:`search`."""
    return _ask(data_dir, f"/v1/events/{quote(event, safe='')}", reader)


def phrase(text: str) -> str:
    """Text as one value of a query, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ask(data_dir: Path, target: str, reader: str | None) -> dict[str, Any]:
    server = _server(data_dir)
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "application/json", "Connection": "close"}
    if reader:
        headers["Indelible-Reader"] = quote(reader, safe="@:+ !#$%&'()*,;=?[]{}|~^`<>")[:_READER_BYTES_MAX]
    try:
        status, body = _exchange(server.connection, target, headers)
    except (OSError, http.client.HTTPException) as error:
        raise TrailUnavailable(f"the agent at {server.address} does not answer: {error}", f"cat {data_dir / 'agent.log'}") from error
    finally:
        server.connection.close()
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise _not_understood(data_dir) from error
    if not isinstance(answer, dict):
        raise _not_understood(data_dir)
    if status == 200:
        return answer
    cause, cure = str(answer.get("error", f"status {status}")), answer.get("help")
    if status in (401, 403) or status >= 500:
        raise TrailUnavailable(cause, cure or f"indelible --data {data_dir} doctor")
    raise TrailRefused(status, cause, cure, answer.get("column"))


def _exchange(connection: http.client.HTTPConnection, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
    deadline = time.monotonic() + DEADLINE_S
    connection.timeout = DEADLINE_S
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    chunks: list[bytes] = []
    size = 0
    # The socket's timeout is for each read: an answer that trickles would never meet it.
    while chunk := response.read1(_CHUNK_BYTES):
        size += len(chunk)
        chunks.append(chunk)
        if size > ANSWER_BYTES_MAX:
            raise http.client.HTTPException(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError(f"not complete after {DEADLINE_S:.0f} s")
    return response.status, b"".join(chunks)


def _server(data_dir: Path) -> _Server:
    """The agent that the environment names (``INDELIBLE_SERVER``, ``INDELIBLE_TOKEN``), else the one that runs on this directory."""
    named = os.environ.get("INDELIBLE_SERVER")
    if named:
        return _named_server(named, os.environ.get("INDELIBLE_TOKEN", ""))
    announced = _agent.description(data_dir)
    if announced is None or not _agent.is_running(data_dir):
        raise TrailUnavailable(f"no agent runs on {data_dir}, or this user may not ask it", f"indelible --data {data_dir} serve")
    try:
        address, token = str(announced["address"]), str(announced["token"])
    except KeyError as error:
        raise _not_understood(data_dir) from error
    return _Server(http.client.HTTPConnection(address, timeout=DEADLINE_S), token, address)


def _named_server(url: str, token: str) -> _Server:
    parts = urlsplit(url)
    kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}.get(parts.scheme)
    if kind is None or not parts.hostname:
        raise TrailUnavailable(f"INDELIBLE_SERVER={url!r} is not an address", "export INDELIBLE_SERVER=http://127.0.0.1:8420")
    return _Server(kind(parts.netloc.rpartition("@")[2], timeout=DEADLINE_S), token, parts.netloc.rpartition("@")[2])


def _not_understood(data_dir: Path) -> TrailUnavailable:
    return TrailUnavailable("the agent's answer cannot be understood: it is of another version", f"indelible --data {data_dir} doctor")
