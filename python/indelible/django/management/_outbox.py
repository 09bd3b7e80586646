"""``manage.py indelible outbox drain``: takes committed events out of the database and into a journal, of this host or of a collector."""

from __future__ import annotations

import os
import random
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from indelible import _runtime
from indelible.django import _evidence, conf
from indelible.django.evidence import _journals
from indelible.django.evidence._collector import TOKEN_VARIABLE, Collector
from indelible.django.evidence._destination import Destination, OwnJournal, recorder_of_drainer
from indelible.django.evidence._outbox import Drained, Drainer
from indelible.django.evidence._resolver import Lock
from indelible.django.management._binary import Failure
from indelible.django.management._following import stopping_event
from indelible.django.management._table import Write

INTERVAL_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0
"""The longest pause after a round that could not do its work."""


def add_arguments(parser: ArgumentParser) -> None:
    """The options of the command."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    drain = verbs.add_parser("drain", help="journal what waits in the outbox, here or at the COLLECTOR, and delete what the agent has")
    drain.add_argument("--follow", action="store_true", help="go on until told to stop, every half second")


def run(write: Write, options: Mapping[str, Any]) -> None:
    """Drains what waits, in as many rounds as that takes, or until the process is told to stop.

    Raises:
        Failure: nothing asks for an outbox, another process drains already, nothing can be journaled, or a round had a problem and is not followed.
    """
    if "outbox" not in _evidence.asked_anywhere():
        raise Failure("EVIDENCE is not 'outbox', so there is nothing to drain", "python manage.py indelible settings")
    folder = _journals.folder()
    destination = _destination(folder)
    lock = Lock(folder, "outbox.lock")
    if not lock.hold():
        raise Failure(f"another process of this service drains already, or {folder} cannot be written", "python manage.py indelible hello")
    drainer = Drainer(destination)
    stopping = stopping_event() if options["follow"] else None
    problems: Mapping[str, str] = {}
    pause = INTERVAL_S
    while True:
        done = drainer.round()
        _tell(write, done, always=stopping is None or done.problems != problems)
        problems = done.problems
        pause = _pause(pause, done)
        if stopping is None:
            # Rows that are kept, say, keep no others from the trail.
            if not done.more or done.stuck:
                break
        elif stopping.wait(pause):
            break
    drainer.end()
    lock.release()
    if stopping is None and problems:
        raise Failure(f"not everything was drained: {', '.join(sorted(problems))}", "python manage.py indelible outbox drain")


def _destination(folder: Path) -> Destination:
    settings = conf.active()
    if any(problem.key == "COLLECTOR" for problem in settings.problems):
        # Its default would stand in: the journal of a host that may have no disk for it.
        raise Failure("INDELIBLE['COLLECTOR'] is no address that events can go to", "python manage.py check")
    if settings.collector:
        return _collector(settings.collector, folder)
    recorder = recorder_of_drainer()
    if recorder is None:
        raise Failure(f"nothing can be journaled ({folder})", "python manage.py indelible hello")
    return OwnJournal(folder, recorder)


def _collector(url: str, folder: Path) -> Collector:
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token or not all("!" <= character <= "~" for character in token):
        raise Failure(f"the token of {url} is not in the environment ({TOKEN_VARIABLE})", f"export {TOKEN_VARIABLE}=…")
    try:
        # For the lock: of drainers on this host, one is enough.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{folder} cannot be made: {error}", f"install -d -m 700 {folder}") from error
    return Collector(url, _runtime.runtime().settings.service, token)


def _pause(last: float, done: Drained) -> float:
    """Until the next round: none after one that ended at its bound; longer after each that was stuck, and by chance shorter, since drainers of many
    hosts wait together.
    """
    if done.more and not done.problems:
        return 0.0
    if not done.stuck or done.did_something:
        return INTERVAL_S
    return min(2 * max(last, INTERVAL_S), PAUSE_MAX_S) * random.uniform(0.75, 1.0)


def _tell(write: Write, done: Drained, *, always: bool) -> None:
    if always or done.did_something:
        write(f"{done.journaled} journaled, {done.deleted} deleted" + (f", {done.damaged} damaged and kept" if done.damaged else ""))
    if always:
        for alias, problem in sorted(done.problems.items()):
            write(f"{alias}: {problem}")
