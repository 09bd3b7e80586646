"""Workers that are there to be killed: ``python -m testproject.nursery`` loads the site once and forks one for each line that it reads.

``work SEED PAUSE_MS COUNT FAILPOINT`` answers with the process's number; it writes ``COUNT`` times and leaves. ``wait PID`` answers with how it ended.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time

import django
from django.db import DatabaseError, InterfaceError, connection, transaction

LIFE = 15
"""After so many operations a worker closes its journal, and takes a new stream for the next."""


def main() -> None:
    django.setup()
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "work":
            print(born(*arguments), flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(int(arguments[0]), 0)[1]), flush=True)


def born(seed: str, pause_ms: str, count: str, failpoint: str) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if failpoint != "-":
            os.environ["INDELIBLE_FAILPOINT"] = failpoint
        live(random.Random(int(seed)), int(pause_ms) / 1000, int(count))
        status = 0
    finally:
        os._exit(status)


def live(chance: random.Random, pause_s: float, count: int) -> None:
    from indelible import _runtime

    nursery = os.getppid()
    operations = (alone, together, partly, never, told)
    for number in range(count):
        if os.getppid() != nursery:
            break
        try:
            chance.choice(operations)(name_of(chance))
        except (DatabaseError, InterfaceError):
            # Its database is gone for a moment; what was written is written, or is not.
            with contextlib.suppress(DatabaseError, InterfaceError):
                connection.close()
            time.sleep(0.02)
        if number % LIFE == LIFE - 1:
            _runtime.runtime().close()
        time.sleep(chance.random() * pause_s)
    _runtime.runtime().close()


def name_of(chance: random.Random) -> str:
    """The name of an operation: letters only, since digits now and then look like a card number, which would be masked."""
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=20))


def alone(name: str) -> None:
    from testproject.models import Doctor

    Doctor.objects.create(name=name)


def together(name: str) -> None:
    with transaction.atomic():
        for end in "abc":
            alone(name + end)


def partly(name: str) -> None:
    with transaction.atomic():
        alone(f"{name}kept")
        with transaction.atomic():
            alone(f"{name}lost")
            transaction.set_rollback(True)


def never(name: str) -> None:
    with transaction.atomic():
        alone(name)
        transaction.set_rollback(True)


def told(name: str) -> None:
    """What is told at most once, however often."""
    from indelible import _context, _runtime

    recorder, context = _runtime.recorder(), _context.current_context()
    if recorder is not None and context is not None:
        for _ in range(2):
            recorder.record_once(recorder.event(context, "task", "paper.tell", meta={"name": name}), 1, name[:10].encode())


if __name__ == "__main__":
    main()
