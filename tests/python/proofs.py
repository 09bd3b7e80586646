"""What tests of markers and of the outbox share: what the driver was told, and answers as the agent writes them."""

from __future__ import annotations

import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from django.db import connections


@contextmanager
def sent(alias: str = "default") -> Iterator[list[str]]:
    """Every statement that the driver of a connection is told in the block, below Django and below us."""
    connection: Any = connections[alias]
    connection.ensure_connection()
    statements: list[str] = []
    if connection.vendor == "sqlite":
        connection.connection.set_trace_callback(statements.append)
        try:
            yield statements
        finally:
            connection.connection.set_trace_callback(None)
        return
    with tempfile.TemporaryFile("w+") as trace:
        wire = connection.connection.pgconn
        wire.trace(trace.fileno())
        try:
            yield statements
        finally:
            wire.untrace()
            trace.seek(0)
            # One line for each message: F is what the client sends, and quotes stand around what it says.
            statements += re.findall(r'\tF\t\d+\t(?:Query|Parse)\t (?:"" )?"(.*)"', trace.read())


def kinds(statements: Iterable[str]) -> list[str]:
    """The first word of each statement, with the table of an INSERT."""
    found = []
    for statement in statements:
        words = statement.replace('"', "").replace("(", " ").split()
        found.append(f"INSERT {words[2].rpartition('.')[2]}" if words[0] == "INSERT" else words[0])
    return found


def markers(alias: str = "default") -> dict[uuid.UUID, int]:
    """The states of all markers, as another connection would see them after the transaction at hand."""
    connection: Any = connections[alias]
    connection.ensure_connection()
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute("SELECT id, state FROM indelible_marker")
        return {row[0] if isinstance(row[0], uuid.UUID) else uuid.UUID(row[0]): row[1] for row in cursor.fetchall()}


def answer(
    folder: Path,
    streams: Mapping[str, tuple[int, bool] | tuple[int, bool, list[list[int]]]],
    unresolved: Iterable[Mapping[str, Any]] = (),
    *,
    more: bool = False,
    written_at: str | None = None,
) -> None:
    """Writes ``answers.json`` as the agent does: for each stream its high-water, whether it has ended, and what of it will never come."""
    document: dict[str, Any] = {
        "v": 1,
        "written_at": written_at or _now(),
        "origin": "indelible/test",
        "streams": {stream: dict(zip(("high_water", "ended", "gaps"), said, strict=False)) for stream, said in streams.items()},
        "unresolved": list(unresolved),
    }
    if more:
        document["more"] = True
    _put(folder / "answers.json", document)


def committed(folder: Path, intents: Iterable[Mapping[str, Any]]) -> None:
    """Writes ``committed.json`` as the agent does."""
    _put(folder / "committed.json", {"v": 1, "intents": list(intents)})


def unresolved(intent: str, position: tuple[str, int], alias: str = "default", evidence: str = "marker") -> dict[str, Any]:
    """One intent that nobody answered."""
    stream, sequence = position
    times = {"ingested_at": _now(), "recorded_at": _now()}
    return {"intent": intent, "stream": stream, "sequence": sequence, "alias": alias, "evidence": evidence, "in_doubt": False, **times}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _put(path: Path, document: Mapping[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document))
    os.replace(new, path)
