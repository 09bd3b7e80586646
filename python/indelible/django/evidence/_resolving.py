"""The thread that resolves: in every process that records and asks for markers, of which the holder of ``resolver.lock`` works.

It starts with the first recorded event, or after a fork with the first marker, and ends with the process, which never waits for it.

A process whose COMMIT got no answer lives, so nobody else may ask about it. It asks itself: its own COMMIT is over. Where it got one that
could not be journaled, the journal keeps it, and here it is tried again.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from indelible import _runtime
from indelible._errors import IndelibleError
from indelible.django import _evidence, conf
from indelible.django.evidence import _journals
from indelible.django.evidence._answers import Unresolved
from indelible.django.evidence._resolver import Lock, Resolver

if TYPE_CHECKING:
    from indelible import _native

INTERVAL_S: Final = 5.0

OWED_MAX: Final = 1_000
"""How many unanswered commits a process asks about; of more, the agent says that they are in doubt until it ends."""

_started_in: int | None = None
_owed: Final[deque[Unresolved]] = deque(maxlen=OWED_MAX)


def start() -> None:
    """Starts the thread of this process, unless it runs or there is nothing that it could resolve. Costs next to nothing when it runs."""
    global _started_in
    if _started_in == os.getpid():
        return
    _started_in = os.getpid()
    if _is_wanted():
        threading.Thread(target=_resolve, args=(_journals.folder(),), name="indelible-resolver", daemon=True).start()


def ask_later(intent: _native.Intent, alias: str) -> None:
    """Notes that the COMMIT of an intent with a marker got no answer. The connection that it was sent on is not used any more."""
    if intent.evidence == "marker" and intent.position is not None:
        stream, sequence = intent.position
        _owed.append(Unresolved(uuid.UUID(intent.id), uuid.UUID(stream), sequence, alias, "marker"))


def _forget_in_child() -> None:
    _owed.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _is_wanted() -> bool:
    settings = conf.active()
    return settings.enabled and settings.record == "journal" and not conf.under_test_runner() and "marker" in _evidence.asked_anywhere()


def _resolve(folder: Path) -> None:
    global _started_in
    lock, resolver = Lock(folder), Resolver(folder)
    pause = threading.Event()
    # Nobody sets it: a daemon thread ends with its process, between two rounds or in the middle of one, which the next process finishes.
    while not pause.wait(INTERVAL_S):
        if not _runs_here(folder):
            break
        try:
            recorder = _runtime.recorder()
            if recorder is not None:
                _answer_own(resolver, recorder)
                if lock.hold():
                    resolver.round(recorder)
        except Exception as error:
            _note(error)
    lock.release()
    _started_in = None


def _answer_own(resolver: Resolver, recorder: _native.Recorder) -> None:
    # This process may record nothing more; what cannot be written now is kept for the next round.
    with suppress(IndelibleError):
        recorder.write_waiting()
    resolver.resolve_own(_owed, recorder)


def _runs_here(folder: Path) -> bool:
    """Whether the journals of this process are still in that folder; settings may have changed."""
    return _is_wanted() and _journals.folder() == folder


def _note(error: Exception) -> None:
    try:
        _runtime.runtime().fault("the resolver", error)
    except Exception:
        # With ON_ERROR="raise" it is raised again, and there is nobody here to see it.
        return
