"""Drains and is killed on the way: ``python -m testproject.draining MOMENT``.

``assigned``: rows have their positions and nothing is journaled. ``halfway``: of three rows the first is. ``journaled``: all are, and none is
deleted. ``deleting``: the agent has them, and the first is deleted.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(moment: str) -> None:
    django.setup()
    from indelible.django.evidence import _destination, _journals, _outbox

    recorder: Any = _destination.recorder_of_drainer()
    if moment in ("assigned", "halfway"):
        recorder = Dying(recorder, 0 if moment == "assigned" else 1)
    drainer = _outbox.Drainer(_destination.OwnJournal(_journals.folder(), recorder))
    if moment == "deleting":
        delete = _outbox.Rows.delete

        def delete_one(self: _outbox.Rows, intents: Any) -> int:
            if intents:
                delete(self, intents[:1])
                die()
            return 0

        _outbox.Rows.delete = delete_one  # type: ignore[method-assign]
    drainer.round()
    die()


class Dying:
    """A recorder that takes its process along after so many rows."""

    def __init__(self, recorder: Any, rows: int) -> None:
        self.recorder = recorder
        self.rows = rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self.recorder, name)

    def append_outbox(self, *given: Any, **named: Any) -> Any:
        if self.rows == 0:
            die()
        self.rows -= 1
        return self.recorder.append_outbox(*given, **named)


if __name__ == "__main__":
    main(*sys.argv[1:])
