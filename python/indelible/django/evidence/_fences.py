"""The table of markers from the outside: fencing, counting and deleting markers of intents whose processes are gone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.db import DatabaseError

from indelible.django._evidence import ANSWERED, COMMITTED, FENCED, REPORTED, table_of
from indelible.django.evidence._tables import BATCH, DAY_AGO, NOW, Table, identifier, identifiers, parts

_PLACES: Final = "SELECT id, stream, sequence FROM indelible_marker WHERE journal = "


class Place(NamedTuple):
    """A marker and where its INTENT stands."""

    intent: uuid.UUID
    stream: uuid.UUID
    sequence: int


class Markers(Table):
    """The markers of one database. Every method may raise ``DatabaseError``, see :class:`Table`."""

    name = table_of("marker")

    def fence(self, intent: uuid.UUID, stream: uuid.UUID, sequence: int, journal: uuid.UUID | None) -> bool:
        """Whether the intent was committed. Where it was not, it never can be afterwards. The answer is on the database's disk on return.

        Waits at most a second for a transaction that is about to commit it, and then raises.
        """
        row = self.given(intent, FENCED, stream, sequence, journal)
        with self.transaction() as cursor:
            columns = "id, state, stream, sequence, journal, created_at"
            values = f"{self.marks(row)}, {NOW[self.vendor]}"
            cursor.execute(f"INSERT INTO indelible_marker ({columns}) VALUES ({values}) ON CONFLICT (id) DO NOTHING", row)
            if cursor.rowcount == 1:
                return False
            # Written, so that the COMMIT of this transaction reaches the disk, and the marker's before it: the database may be one that
            # answers before it has written.
            state = f"CASE state WHEN {COMMITTED} THEN {ANSWERED} ELSE state END"
            cursor.execute(f"UPDATE indelible_marker SET state = {state} WHERE id = {self.mark}", row[:1])
            cursor.execute(f"SELECT state FROM indelible_marker WHERE id = {self.mark}", row[:1])
            found = cursor.fetchone()
        if found is None:
            raise DatabaseError(f"the marker {intent} was deleted while it was looked at")
        return bool(found[0] != FENCED)

    def highest(self, journal: uuid.UUID, after: uuid.UUID, before: uuid.UUID) -> dict[uuid.UUID, int]:
        """For each stream of a journal the highest sequence among the committed markers between two identifiers, which are in the order of time."""
        sql = f"SELECT stream, max(sequence) FROM indelible_marker WHERE id >= {self.mark} AND id < {self.mark} AND journal = {self.mark}"
        rows = self.read(f"{sql} AND state = {COMMITTED} GROUP BY stream", after, before, journal)
        return {identifier(stream): sequence for stream, sequence in rows}

    def beyond(self, journal: uuid.UUID, stream: uuid.UUID, sequence: int, before: uuid.UUID) -> list[Place]:
        """The committed markers of a stream after a sequence, those already reported left out; at most :data:`BATCH`."""
        limits = f"stream = {self.mark} AND sequence > {self.mark} AND id < {self.mark} AND state = {COMMITTED}"
        sql = f"{_PLACES}{self.mark} AND {limits} ORDER BY sequence LIMIT {BATCH}"
        return [_place(row) for row in self.read(sql, journal, stream, sequence, before)]

    def reported(self, intents: Sequence[uuid.UUID]) -> None:
        """Notes that somebody was told of markers without a record."""
        for part in parts(intents):
            with self.transaction() as cursor:
                sql = f"UPDATE indelible_marker SET state = {REPORTED} WHERE state = {COMMITTED} AND id IN ({self.marks(part)})"
                cursor.execute(sql, self.given(*part))

    def missing(self, intents: Sequence[uuid.UUID]) -> list[uuid.UUID]:
        """Those of the intents that have no row, committed or otherwise."""
        found: set[uuid.UUID] = set()
        for part in parts(intents):
            found |= identifiers(self.read(f"SELECT id FROM indelible_marker WHERE id IN ({self.marks(part)})", *part))
        return [intent for intent in intents if intent not in found]

    def old(self, journal: uuid.UUID, after: uuid.UUID, before: uuid.UUID) -> list[Place]:
        """Rows between two identifiers that are a day old by the database's clock too, in the order of time; at most :data:`BATCH`."""
        limits = f"id > {self.mark} AND id < {self.mark} AND created_at < {DAY_AGO[self.vendor]}"
        sql = f"{_PLACES}{self.mark} AND {limits} ORDER BY id LIMIT {BATCH}"
        return [_place(row) for row in self.read(sql, journal, after, before)]


def _place(row: Any) -> Place:
    return Place(identifier(row[0]), identifier(row[1]), int(row[2]))
