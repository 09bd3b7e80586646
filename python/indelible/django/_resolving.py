"""The thread that resolves: in every process that records and asks for markers, of which the holder of ``resolver.lock`` works.

It starts with the first recorded event, or after a fork with the first marker, and ends with the process, which never waits for it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from indelible import _runtime
from indelible.django import _evidence, _journals, conf
from indelible.django._resolver import Lock, Resolver

INTERVAL_S: Final = 5.0

_started_in: int | None = None


def start() -> None:
    """Starts the thread of this process, unless it runs or there is nothing that it could resolve. Costs next to nothing when it runs."""
    global _started_in
    if _started_in == os.getpid():
        return
    _started_in = os.getpid()
    if _is_wanted():
        threading.Thread(target=_resolve, args=(_journals.folder(),), name="indelible-resolver", daemon=True).start()


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
            recorder = _runtime.recorder() if lock.hold() else None
            if recorder is not None:
                resolver.round(recorder)
        except Exception as error:
            _note(error)
    lock.release()
    _started_in = None


def _runs_here(folder: Path) -> bool:
    """Whether the journals of this process are still in that folder; settings may have changed."""
    return _is_wanted() and _journals.folder() == folder


def _note(error: Exception) -> None:
    try:
        _runtime.runtime().fault("the resolver", error)
    except Exception:
        # With ON_ERROR="raise" it is raised again, and there is nobody here to see it.
        return
