"""Random programs of nested transactions: the trail must say exactly what the rows say, program by program."""

from __future__ import annotations

import os
import random
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import pytest
from django.db import transaction

from testproject.models import Row
from trails import Trail

PROGRAMS = 60
DEPTH_MAX = 4


class Abandoned(Exception):
    """Raised by a program to leave a block."""


class Program:
    """Creates, changes and deletes rows in blocks that are kept or abandoned, all by one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.next_number = iter(range(1_000_000))
        # One instance for each row: SQLite gives the key of a row that was rolled back to the next one.
        self.rows: dict[int, Row] = {}

    def run(self) -> None:
        with self._block(0):
            self._steps(0)

    def _steps(self, depth: int) -> None:
        for _ in range(self.random.randint(1, 5)):
            self.random.choice((self._create, self._change, self._delete, self._savepoint, self._nested, self._nested))(depth)

    def _create(self, depth: int) -> None:
        row = Row.objects.create(number=next(self.next_number))
        self.rows[row.pk] = row

    def _change(self, depth: int) -> None:
        # Instances outlive the rollback of what was saved into them, as they do in an application.
        if self.rows:
            row = self.random.choice(list(self.rows.values()))
            if Row.objects.filter(pk=row.pk).exists():
                row.number = next(self.next_number)
                row.save()

    def _delete(self, depth: int) -> None:
        keys = list(Row.objects.order_by("pk").values_list("pk", flat=True))
        if keys and self.random.random() < 0.3:
            Row.objects.get(pk=self.random.choice(keys)).delete()

    def _savepoint(self, depth: int) -> None:
        if not transaction.get_connection().in_atomic_block or transaction.get_rollback():
            return
        savepoint = transaction.savepoint()
        self._create(depth)
        for _ in range(self.random.randint(0, 2)):
            transaction.savepoint_rollback(savepoint)
            self._create(depth)
        transaction.savepoint_commit(savepoint)

    def _nested(self, depth: int) -> None:
        if depth == DEPTH_MAX:
            return
        try:
            with self._block(depth + 1):
                self._steps(depth + 1)
                if self.random.random() < 0.3:
                    raise Abandoned
                if self.random.random() < 0.1 and transaction.get_connection().in_atomic_block:
                    transaction.set_rollback(True)
        except (Abandoned, transaction.TransactionManagementError):
            if transaction.get_connection().in_atomic_block and transaction.get_rollback():
                raise

    def _block(self, depth: int) -> AbstractContextManager[object]:
        if depth == 0 and self.random.random() < 0.2:
            return nullcontext()
        return transaction.atomic(savepoint=self.random.random() < 0.8)


def replayed(events: list[dict[str, Any]]) -> dict[str, int]:
    """The rows as the trail tells them, by key. An old value may be unknown, but it is never a wrong one."""
    rows: dict[str, int] = {}
    for event in events:
        key, (change,) = event["resource"]["id"], [change for change in event["changes"] if change["field"] == "number"]
        before = rows.pop(key, None)
        assert change.get("old_unknown") or change.get("old") == before, event
        if event["action"] != "row.delete":
            rows[key] = change["new"]
    return rows


@pytest.mark.usefixtures("database")
def test_random_programs_leave_the_rows_that_the_trail_tells(trail: Trail) -> None:
    first = int(os.environ.get("INDELIBLE_FUZZ_SEED") or random.randrange(1_000_000))
    print(f"INDELIBLE_FUZZ_SEED={first}, {PROGRAMS} programs")
    for seed in range(first, first + PROGRAMS):
        with suppress(Abandoned, transaction.TransactionManagementError):
            Program(seed).run()
    expected = {str(pk): number for pk, number in Row.objects.values_list("pk", "number")}
    assert replayed(trail.changes()) == expected
    assert len(expected) > PROGRAMS / 4, "the programs must leave something to compare"
