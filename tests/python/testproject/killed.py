"""Writes one row and is killed around its COMMIT: ``python -m testproject.killed before|after NAME``."""

from __future__ import annotations

import os
import signal
import sys

import django
from django.db import connections, transaction


def die_at_commit(moment: str) -> None:
    """Kills this process right before or after the COMMIT of its next transaction."""
    from indelible.django._transactions import tracker_of

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    connection = connections["default"]
    connection.ensure_connection()
    commit = tracker_of(connection)._django["_commit"]

    def commit_and_die() -> None:
        commit()
        die()

    tracker_of(connection)._django["_commit"] = die if moment == "before" else commit_and_die


def main(moment: str, name: str) -> None:
    django.setup()
    from testproject.models import Doctor

    die_at_commit(moment)
    with transaction.atomic():
        Doctor.objects.create(name=name)


if __name__ == "__main__":
    main(*sys.argv[1:])
