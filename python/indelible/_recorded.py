"""The answer to recording an event."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Recorded(NamedTuple):
    """What became of an event that was handed to the recorder.

    ``status`` is ``"at"`` when it stands in the journal, ``"held"`` when it waits for its transaction, ``"lost"`` when it was
    counted as lost (or recording is off), ``"ignored"`` when a setting leaves it out. ``stream`` and ``sequence`` name its place in the journal with ``"at"``.
    """

    status: Literal["at", "held", "lost", "ignored"]
    stream: str | None = None
    sequence: int | None = None

    @property
    def position(self) -> tuple[str, int] | None:
        """The place in the journal, ``(stream, sequence)``, or ``None``."""
        if self.stream is None or self.sequence is None:
            return None
        return self.stream, self.sequence
