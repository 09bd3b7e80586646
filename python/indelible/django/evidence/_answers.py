"""What the agent says about this service's journals: how far it has them, which intents nobody has answered, which it has as committed.

Two files beside the journals, written by the agent alone and deleted by anybody (docs/format.md). What is missing, cannot be read, or is of
another version says nothing: everything waits then, and nothing is concluded.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

ANSWERS: Final = "answers.json"
COMMITTED: Final = "committed.json"
STREAMS_MAX: Final = 10_000
"""With as many streams the agent may have left some out."""
BYTES_MAX: Final = 64 << 20
"""Longest answers that are read, from a file or from a collector."""
NAMED_S: Final = 48 * 3600.0
"""How long the agent names a stream that has ended, at least."""
_SEQUENCE_MAX: Final = 2**63 - 1
"""What a database takes; the agent comes nowhere near."""
_VERSION: Final = 1

T = TypeVar("T")


@dataclass(frozen=True)
class StreamAnswer:
    """``high_water``: every frame up to this sequence is under a checkpoint, but for those in ``gaps`` (first and last), which will never come.
    ``ended``: its owner is gone, and it was read to its end.
    """

    high_water: int
    ended: bool
    gaps: tuple[tuple[int, int], ...] = ()

    def covers(self, sequence: int) -> bool:
        """Whether the agent has the frame for good."""
        return self.high_water >= sequence and not any(first <= sequence <= last for first, last in self.gaps)


@dataclass(frozen=True)
class Unresolved:
    """An intent of an ended stream whose OUTCOME has not come."""

    intent: uuid.UUID
    stream: uuid.UUID
    sequence: int
    alias: str
    evidence: str


@dataclass(frozen=True)
class Answers:
    """``more``: there are more unresolved intents, or more streams, than are named."""

    written_at: datetime
    streams: Mapping[uuid.UUID, StreamAnswer]
    unresolved: tuple[Unresolved, ...]
    more: bool

    @property
    def names_all_streams(self) -> bool:
        """Whether a stream that is not named is none that the agent has had in the last two days."""
        return not self.more and len(self.streams) < STREAMS_MAX


@dataclass(frozen=True)
class Committed:
    """An intent with a marker that the trail has as committed."""

    intent: uuid.UUID
    alias: str
    stream: uuid.UUID
    sequence: int


class Watched(Generic[T]):
    """A file that is read again only when it was written again."""

    def __init__(self, path: Path, parse: Callable[[Mapping[str, Any]], T]) -> None:
        self._path = path
        self._parse = parse
        self._signature: tuple[int, int, int] | None = None
        self._value: T | None = None

    def value(self) -> T | None:
        """What it says now, ``None`` when nothing."""
        signature = _signature(self._path)
        if signature is None or signature != self._signature:
            self._value = None if signature is None else _read(self._path, self._parse)
            self._signature = signature
        return self._value


def answers_in(folder: Path) -> Watched[Answers]:
    """The answers in a service's folder."""
    return Watched(folder / ANSWERS, parse_answers)


def committed_in(folder: Path) -> Watched[tuple[Committed, ...]]:
    """The newest committed intents with markers, in a service's folder."""
    return Watched(folder / COMMITTED, parse_committed)


def parse_answers(document: Mapping[str, Any]) -> Answers:
    """Raises ``ValueError``, ``KeyError`` or ``TypeError`` for anything that the agent does not write."""
    streams = {uuid.UUID(name): _stream(given) for name, given in document["streams"].items()}
    unresolved = tuple(
        Unresolved(
            uuid.UUID(given["intent"]),
            uuid.UUID(given["stream"]),
            _sequence(given["sequence"]),
            str(given["alias"]),
            str(given["evidence"]),
        )
        for given in document["unresolved"]
    )
    return Answers(_time(document["written_at"]), streams, unresolved, document.get("more") is True)


def parse_committed(document: Mapping[str, Any]) -> tuple[Committed, ...]:
    """Raises as :func:`parse_answers` does."""
    return tuple(
        Committed(uuid.UUID(given["intent"]), str(given["alias"]), uuid.UUID(given["stream"]), _sequence(given["sequence"]))
        for given in document["intents"]
    )


def made_at(identifier: uuid.UUID) -> float:
    """When an intent or a stream was made, by the clock of its host, in seconds of Unix time: its identifier begins with it."""
    return (identifier.int >> 80) / 1000


def _stream(given: Mapping[str, Any]) -> StreamAnswer:
    # Truth is a boolean here: "false" in quotes is not one, and would say that a living stream has ended.
    if not isinstance(given["ended"], bool):
        raise TypeError("ended is a boolean")
    gaps = tuple((_sequence(first), _sequence(last)) for first, last in given.get("gaps", ()))
    return StreamAnswer(_sequence(given["high_water"]), given["ended"], gaps)


def _sequence(given: Any) -> int:
    sequence = int(given)
    if not 0 <= sequence <= _SEQUENCE_MAX:
        raise ValueError(f"{given!r} is no sequence")
    return sequence


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> T | None:
    try:
        with open(path, "rb") as file:
            text = file.read(BYTES_MAX + 1)
        if len(text) > BYTES_MAX:
            return None
        document = json.loads(text)
        return parse(document) if isinstance(document, dict) and document.get("v") == _VERSION else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
