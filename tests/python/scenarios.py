"""What tests of misbehaving databases share: what they do at COMMIT, and what must be true in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection, connections, transaction

from indelible.django._transactions import tracker_of
from matrix import settle
from oracle import Claims, claims, judge
from testproject.models import Doctor
from trails import Trail


def before_commit(act: Callable[[], object]) -> None:
    """Does something between the INTENT and the COMMIT of the next transaction."""
    connection.ensure_connection()
    # The connection itself: django.db.connection only stands for it.
    django = tracker_of(connections["default"])._django
    commit = django["_commit"]

    def acting() -> Any:
        django["_commit"] = commit
        act()
        return commit()

    django["_commit"] = acting


def create(*names: str) -> None:
    with transaction.atomic():
        for name in names:
            Doctor.objects.create(name=name)


def backend() -> int:
    """The server's process behind the connection of this thread."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)


def created(name: str) -> int:
    """The server's process that a doctor was created by."""
    with transaction.atomic():
        create(name)
        return backend()


def verdict(trail: Trail, evidence: str) -> Claims:
    """What the trail says in the end, after it was compared with the database."""
    if evidence != "ack":
        settle(trail)
    said = claims(trail)
    connection.close()
    judge(Doctor.objects.values_list("name", flat=True), said, decided=evidence != "ack")
    return said


def assert_doubt(evidence: str, said: Claims, name: str, fate: str) -> None:
    """With ``ack`` nobody knows what became of it; whoever can find out has found ``fate``."""
    expected = {"in_doubt" if evidence == "ack" else fate}
    assert {where for where in ("committed", "rolled_back", "in_doubt") if name in getattr(said, where)} in (
        expected,
        expected - {"rolled_back"},
    )
