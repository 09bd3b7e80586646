"""``manage.py indelible resolve``: asks the database what became of transactions whose processes died."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from indelible import _runtime
from indelible.django import _evidence
from indelible.django.evidence import _journals
from indelible.django.evidence._resolver import Lock, Resolver, Round
from indelible.django.management._binary import Failure
from indelible.django.management._following import stopping_event
from indelible.django.management._table import Write

INTERVAL_S: Final = 5.0


def add_arguments(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--follow", action="store_true", help="go on until told to stop, every five seconds")


def run(write: Write, options: Mapping[str, Any]) -> None:
    """Resolves once, or until the process is told to stop.

    Raises:
        Failure: nothing asks for markers, another process resolves already, or nothing can be recorded.
    """
    if "marker" not in _evidence.asked_anywhere():
        raise Failure("nothing here asks for markers, so there is nothing to resolve", "python manage.py indelible settings")
    folder = _journals.folder()
    lock, resolver = Lock(folder), Resolver(folder)
    stopping = stopping_event() if options["follow"] else None
    problems: Mapping[str, str] = {}
    try:
        while True:
            problems = _round(write, lock, resolver, problems, follows=stopping is not None)
            if stopping is None or stopping.wait(INTERVAL_S):
                return
    finally:
        lock.release()


def _round(write: Write, lock: Lock, resolver: Resolver, known: Mapping[str, str], *, follows: bool) -> Mapping[str, str]:
    """Resolves, and says so where anything is other than before; the problems that are ``known`` from now on."""
    if not lock.hold():
        if follows:
            return known
        raise Failure(
            f"another process of this service resolves already, or {_journals.folder()} cannot be written", "wait, or add --follow"
        )
    recorder = _runtime.recorder()
    if recorder is None:
        raise Failure("nothing can be recorded by this process", "python manage.py indelible hello")
    done = resolver.round(recorder, reconcile=not follows)
    if done.did_something or not follows or not done.problems.items() <= known.items():
        for line in lines_of(done):
            write(line)
    # A round that had nothing to ask says nothing of a database.
    return {**known, **done.problems}


def lines_of(done: Round) -> list[str]:
    """What a round did, for people."""
    if not done.knows:
        return ["The agent has not said anything yet (answers.json): nothing is resolved before it has."]
    lines = [
        f"{done.committed} committed, {done.rolled_back} rolled back, {len(done.in_doubt)} still in doubt; {done.deleted} markers deleted"
    ]
    lines += [f"{count} in doubt: {why}" for why, count in Counter(done.in_doubt.values()).most_common(20)]
    lines += [f"{alias}: {problem}" for alias, problem in sorted(done.problems.items())]
    if done.told:
        lines.append(f"{done.told} differences between database and trail recorded: search action:audit.gap or action:audit.resolve")
    return lines
