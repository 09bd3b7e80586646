"""The boundary between our faults and the application."""

from __future__ import annotations

from types import TracebackType

from django.db import DatabaseError

from indelible import _runtime
from indelible._errors import Refused


class RecordingRefused(DatabaseError, Refused):
    """Where ``ON_FAILURE`` says ``required``: the journal did not take the event, so the write is refused before it is committed.

    It is a ``DatabaseError`` because Django rolls a transaction back for nothing else.
    """


class Guard:
    """Keeps a fault of ours inside the block: it is logged at most once a minute, and the application goes on.

    ``event``: the block records an event and nothing else, so that a fault in it has cost one. ``refuses``: what the event tells of can still
    be kept from having an effect, so that a refusal of the journal passes. A refused write passes everywhere, and so does what is not an
    ``Exception``.
    """

    __slots__ = ("event", "refuses", "where")

    def __init__(self, where: str, *, event: bool = False, refuses: bool = False) -> None:
        self.where = where
        self.event = event
        self.refuses = refuses

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> bool:
        if not isinstance(error, Exception) or isinstance(error, RecordingRefused):
            return False
        if self.refuses and isinstance(error, Refused):
            raise RecordingRefused(str(error)) from error
        runtime = _runtime.runtime()
        (runtime.missed if self.event else runtime.fault)(self.where, error)
        return True
