"""``manage.py indelible outbox drain``: takes committed events out of the database and into the journal."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from indelible.django import _evidence
from indelible.django.evidence import _journals
from indelible.django.evidence._outbox import Drained, Drainer, recorder_of_drainer
from indelible.django.evidence._resolver import Lock
from indelible.django.management._binary import Failure
from indelible.django.management._following import stopping_event
from indelible.django.management._table import Write

INTERVAL_S: Final = 0.5


def add_arguments(parser: ArgumentParser) -> None:
    """The options of the command."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    drain = verbs.add_parser("drain", help="journal what waits in the outbox, and delete what the agent has")
    drain.add_argument("--follow", action="store_true", help="go on until told to stop, every half second")


def run(write: Write, options: Mapping[str, Any]) -> None:
    """Drains once, or until the process is told to stop.

    Raises:
        Failure: nothing asks for an outbox, another process drains already, or nothing can be journaled.
    """
    if "outbox" not in _evidence.asked_anywhere():
        raise Failure("EVIDENCE is not 'outbox', so there is nothing to drain", "python manage.py indelible settings")
    folder = _journals.folder()
    recorder = recorder_of_drainer()
    lock = Lock(folder, "outbox.lock")
    if recorder is None or not lock.hold():
        why = "nothing can be journaled" if recorder is None else "another process of this service drains already"
        raise Failure(f"{why} ({folder})", "python manage.py indelible hello")
    drainer = Drainer(folder, recorder)
    stopping = stopping_event() if options["follow"] else None
    problems: Mapping[str, str] = {}
    while True:
        done = drainer.round()
        _tell(write, done, always=stopping is None or done.problems != problems)
        problems = done.problems
        if stopping is None or stopping.wait(INTERVAL_S):
            break
    if not drainer.give_back():
        # Closing the journal in order would write where a row says that its own frame is.
        sys.stdout.flush()
        os._exit(1)
    recorder.close()
    lock.release()


def _tell(write: Write, done: Drained, *, always: bool) -> None:
    if always or done.did_something:
        write(f"{done.journaled} journaled, {done.deleted} deleted" + (f", {done.damaged} damaged and kept" if done.damaged else ""))
    if always:
        for alias, problem in sorted(done.problems.items()):
            write(f"{alias}: {problem}")
