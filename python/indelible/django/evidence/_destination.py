"""Where a drainer takes rows of an outbox to: the journal of this host, or one of another host (``_collector``)."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from indelible import _runtime
from indelible._errors import IndelibleError
from indelible.django.evidence import _journals
from indelible.django.evidence._answers import Answers, answers_in

if TYPE_CHECKING:
    from indelible import _native

Next = Literal["", "damaged", "moved"]
"""What became of the row behind those that are journaled: nothing yet; it is not what was put into the outbox; another frame took its place, and
nothing of it is journaled."""


class StreamLost(IndelibleError):
    """The stream has ended, and nobody here knows what of it arrived: the answers will say."""


@dataclass
class Taken:
    """A row of this process on its way."""

    intent: uuid.UUID
    payload: bytes
    sequence: int


class Look(NamedTuple):
    """What names the journals in databases, and what the agent says of their streams (``None``: nothing)."""

    journal: uuid.UUID
    answers: Answers | None


class Destination(Protocol):
    """A journal that nothing is written to but rows, where they are assigned to. For one thread.

    Every method but the last two may raise :class:`IndelibleError` or ``OSError``, and :class:`StreamLost` where the stream has ended.
    """

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def look(self) -> Look:
        """Looks what has arrived."""

    def next_position(self) -> tuple[uuid.UUID, int]:
        """Where the next frame will be. Opens a stream if none is open; its name is on the disk before any row is assigned to it."""

    def append(self, rows: Sequence[Taken], stream: uuid.UUID) -> tuple[int, Next]:
        """Journals rows from the first on, as many as it likes; how many, and what became of the next."""

    def has_folder(self, stream: uuid.UUID) -> bool:
        """Whether the agent may not have come to the end of a stream."""

    def abandon(self) -> None:
        """Ends the stream as a process does that is killed: nothing more is written to it."""

    def close(self) -> None:
        """Ends the stream in order: no row is assigned to it that is not journaled."""


class OwnJournal:
    """The journal of this process."""

    def __init__(self, folder: Path, recorder: _native.Recorder) -> None:
        self.recorder = recorder
        self._folder = folder
        self._answers = answers_in(folder)
        self._stream: uuid.UUID | None = None

    @property
    def name(self) -> str:
        return str(self._folder)

    def look(self) -> Look:
        journal = _journals.journal_id()
        if journal is None:
            raise IndelibleError(f"{self._folder} cannot be written")
        return Look(journal, self._answers.value())

    def next_position(self) -> tuple[uuid.UUID, int]:
        name, sequence = self.recorder.next_position()
        stream = uuid.UUID(name)
        if stream != self._stream:
            _journals.sync(self._folder)
            self._stream = stream
        return stream, sequence

    def append(self, rows: Sequence[Taken], stream: uuid.UUID) -> tuple[int, Next]:
        first = rows[0]
        try:
            became = self.recorder.append_outbox(first.payload, str(stream), first.sequence)
        except ValueError:
            return 0, "damaged"
        return (1, "") if became == "done" else (0, became)

    def has_folder(self, stream: uuid.UUID) -> bool:
        return os.path.lexists(self._folder / str(stream))

    def abandon(self) -> None:
        # Nobody else writes here: where it cannot be ended now, a panic has ended all writing.
        with contextlib.suppress(IndelibleError):
            self.recorder.abandon()

    def close(self) -> None:
        self.recorder.close()


def recorder_of_drainer() -> _native.Recorder | None:
    """A recorder with a stream of its own, which passes on what was recorded before: nothing is left out, added or masked a second time."""
    settings = replace(_runtime.runtime().settings, ignore_actions=(), anonymous=True, call_site=0.0, masker=None, nowhere=False)
    return _runtime.Runtime(settings).recorder()
