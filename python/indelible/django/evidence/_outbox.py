"""Takes committed events out of the outbox and into a journal, each exactly once.

A row first says in the database at which position its OUTCOME will be, then INTENT and OUTCOME are journaled there, and it is deleted when the
agent has that position for good. The journal is one that nothing else is recorded in, so that what stands at an assigned position is the
row's or nothing. Whoever dies leaves rows assigned to a stream that ends: of each the agent's answers say whether its INTENT arrived, which is
all that the agent needs then. Who does not know any more what a row is assigned to, or what arrived of it, ends the stream too: rows are then
taken over as those of the dead.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from django.db import Error, connections

from indelible._errors import IndelibleError
from indelible.django import _evidence
from indelible.django.evidence import _marks
from indelible.django.evidence._answers import NAMED_S, Answers, made_at
from indelible.django.evidence._destination import Destination, Look, StreamLost, Taken
from indelible.django.evidence._tables import BATCH, Table, first_line, identifier

TAKEN_AT_ONCE: Final = 200
"""How many rows are assigned in one transaction."""
TAKEN_BYTES: Final = 32 << 20
"""How many bytes of events are held at once: a row has as many as one transaction may hold."""
ROUND_ROWS: Final = 5_000
"""How many rows of one database a round journals at most: then it looks again what has arrived."""
WAITING_MAX: Final = 50_000
"""How many rows of one database are journaled at most and wait for the agent to have them; all others stay where they are."""
STREAMS_ASKED: Final = 100
"""How many streams that the agent does not name a round asks about at most."""
FAILED_MAX: Final = 1_000
"""How many rows are remembered that could not be journaled."""
UNNAMED_S: Final = 60.0
"""How old a stream may be of which the agent has not said anything yet."""
DAMAGED: Final = -1
"""The sequence of a row whose payload cannot be read: it is kept, and nobody takes it again."""


Fate = Literal["open", "forgotten", "unknown"]
"""Of a stream that the agent does not name: it may still do so; it did so for two days; it never had it."""


class Assigned(NamedTuple):
    """A row and where its OUTCOME stands, or will."""

    intent: uuid.UUID
    stream: uuid.UUID
    sequence: int


@dataclass
class Drained:
    """What one round did. ``problems`` say by database, or by destination, why nothing more. ``stuck``: the destination did not do its part, or no
    database did. ``more``: it ended at :data:`ROUND_ROWS`, and the next one need not be waited for.
    """

    journaled: int = 0
    deleted: int = 0
    damaged: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    stuck: bool = field(default=False, compare=False)
    more: bool = field(default=False, compare=False)

    @property
    def did_something(self) -> bool:
        """Whether anything is other than before."""
        return bool(self.journaled or self.deleted or self.damaged)


class Rows(Table):
    """The outbox of one database. Every method may raise ``django.db.Error``, see :class:`Table`."""

    name = _evidence.table_of("outbox")

    def waiting(self, limit: int) -> list[tuple[uuid.UUID, bytes]]:
        """The oldest rows that nobody has assigned, with their events: at most :data:`TAKEN_BYTES` of them, or a single one."""
        free = "FROM indelible_outbox WHERE stream IS NULL AND sequence IS NULL"
        total = 0
        taken: list[uuid.UUID] = []
        for intent, size in self.read(f"SELECT id, length(payload) {free} ORDER BY id LIMIT {limit}"):
            total += size
            if taken and total > TAKEN_BYTES:
                break
            taken.append(identifier(intent))
        if not taken:
            return []
        rows = self.read(f"SELECT id, payload {free} AND id IN ({self.marks(taken)}) ORDER BY id", *taken)
        return [(identifier(row[0]), bytes(row[1])) for row in rows]

    def assigned(self, journal: uuid.UUID, after: uuid.UUID) -> list[Assigned]:
        """Rows assigned to streams of a journal, in the order of their identifiers, at most :data:`BATCH`."""
        where = f"journal = {self.mark} AND stream IS NOT NULL AND id > {self.mark}"
        rows = self.read(f"SELECT id, stream, sequence FROM indelible_outbox WHERE {where} ORDER BY id LIMIT {BATCH}", journal, after)
        return [Assigned(identifier(row[0]), identifier(row[1]), int(row[2])) for row in rows]

    def payload(self, intent: uuid.UUID) -> bytes | None:
        """The events of a row, ``None`` when it is gone."""
        rows = self.read(f"SELECT payload FROM indelible_outbox WHERE id = {self.mark}", intent)
        return bytes(rows[0][0]) if rows else None

    def assign(self, rows: Iterable[tuple[uuid.UUID, bytes]], journal: uuid.UUID, stream: uuid.UUID, first: int) -> list[Taken]:
        """Assigns rows to positions, INTENT and OUTCOME one after the other from ``first`` on; those that nobody else was faster with."""
        taken: list[Taken] = []
        with self.transaction() as cursor:
            for intent, payload in rows:
                sequence = first + 2 * len(taken) + 1
                values = self.given(stream, sequence, journal, intent)
                setting = f"stream = {self.mark}, sequence = {self.mark}, journal = {self.mark}"
                cursor.execute(
                    f"UPDATE indelible_outbox SET {setting} WHERE id = {self.mark} AND stream IS NULL AND sequence IS NULL", values
                )
                if cursor.rowcount == 1:
                    taken.append(Taken(intent, payload, sequence))
        return taken

    def reassign(self, old: Assigned, journal: uuid.UUID | None, stream: uuid.UUID, sequence: int) -> bool:
        """Assigns one row anew; ``False`` when somebody else did."""
        setting = f"stream = {self.mark}, sequence = {self.mark}, journal = {self.mark}"
        where = f"id = {self.mark} AND stream = {self.mark} AND sequence = {self.mark}"
        with self.transaction() as cursor:
            cursor.execute(f"UPDATE indelible_outbox SET {setting} WHERE {where}", self.given(stream, sequence, journal, *old))
            return bool(cursor.rowcount == 1)

    def release(self, rows: Sequence[Assigned], *, damaged: bool = False) -> None:
        """Takes an assignment back: the rows wait again, or never again."""
        sequence = str(DAMAGED) if damaged else "NULL"
        with self.transaction() as cursor:
            for row in rows:
                where = f"id = {self.mark} AND stream = {self.mark} AND sequence = {self.mark}"
                cursor.execute(f"UPDATE indelible_outbox SET stream = NULL, sequence = {sequence} WHERE {where}", self.given(*row))


class _Unnamed:
    """Rows that are assigned to streams which the agent does not name, and which have no folder any more."""

    def __init__(self, destination: Destination, answers: Answers) -> None:
        self._destination = destination
        self._answers = answers
        self._fates: dict[uuid.UUID, Fate] = {}
        self._rows = {"forgotten": 0, "unknown": 0}

    def count(self, stream: uuid.UUID) -> None:
        """Counts a row of such a stream. May raise as ``Destination.has_folder`` does."""
        if stream not in self._fates and len(self._fates) < STREAMS_ASKED:
            self._fates[stream] = self._fate(stream)
        fate = self._fates.get(stream, "open")
        if fate != "open":
            self._rows[fate] += 1

    def problem(self) -> str | None:
        """What to tell of them."""
        forgotten, unknown = self._rows["forgotten"], self._rows["unknown"]
        said = []
        if forgotten:
            said.append(
                f"{forgotten} rows of indelible_outbox were journaled more than two days ago, and nobody knows whether they arrived: they are kept"
            )
        if unknown:
            said.append(f"{unknown} rows of indelible_outbox are assigned to streams that the agent has never had: they are kept")
        return "; ".join([*said, 'see docs/evidence.md, "Rows that are kept"']) if said else None

    def _fate(self, stream: uuid.UUID) -> Fate:
        """What the agent's silence about a stream says."""
        if not self._answers.names_all_streams:
            return "open"
        # Both moments are by the clock of the agent's host. An answer that is older than the stream, or hardly younger, says nothing of it.
        age = self._answers.written_at.timestamp() - made_at(stream)
        if age <= UNNAMED_S or self._destination.has_folder(stream):
            return "open"
        return "forgotten" if age > NAMED_S else "unknown"


class Drainer:
    """Drains all databases of a service to one destination. For one thread."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._queues: dict[str, deque[Taken]] = {}
        self._journaled: dict[str, dict[uuid.UUID, int]] = {}
        self._stream: uuid.UUID | None = None
        self._failed: set[uuid.UUID] = set()

    def round(self) -> Drained:
        """Journals what waits and deletes what the agent has. Never raises for a database or the destination."""
        done = Drained()
        try:
            look = self._look()
        except (IndelibleError, OSError) as error:
            done.problems[self.destination.name] = first_line(error)
            done.stuck = True
            return done
        worked = False
        for alias in connections:
            if not _evidence.obstacle(connections[alias], "outbox"):
                worked |= self._guarded(alias, done, lambda rows: self._drain(rows, look, done))
        done.stuck |= not worked and bool(done.problems)
        return done

    def end(self) -> None:
        """Takes back the assignments of what was not journaled, and ends the stream. Never raises for a database."""
        done = Drained()
        for alias in [alias for alias, queue in self._queues.items() if queue]:
            self._guarded(alias, done, self._release)
        if any(self._queues.values()):
            # Ending in order would write where a row says that its own frame is.
            self._lose()
        else:
            self.destination.close()

    def _look(self) -> Look:
        try:
            return self.destination.look()
        except StreamLost:
            self._forget()
            return self.destination.look()

    def _guarded(self, alias: str, done: Drained, work: Callable[[Rows], None]) -> bool:
        """Whether the database and the destination did their part."""
        rows = Rows(alias)
        try:
            rows.connect()
            if _marks.is_ready(connections[alias], "outbox"):
                work(rows)
                return True
            done.problems[alias] = "the table indelible_outbox is not there: run manage.py migrate"
        except Error as error:
            done.problems[alias] = first_line(error)
            connections[alias].close()
            if self._queues.get(alias):
                # The other databases would wait for what only this one can take back.
                self._lose()
        except (IndelibleError, OSError) as error:
            done.problems[alias] = first_line(error)
            done.stuck = True
            connections[alias].close()
        return False

    @contextmanager
    def _assigning(self) -> Iterator[None]:
        """Where the answer to a COMMIT is lost, rows may be assigned to positions that others would get: the stream ends."""
        try:
            yield
        except Error:
            self._lose()
            raise

    def _lose(self) -> None:
        """Ends the stream: what of it arrived, the answers will say."""
        if self._stream is not None:
            self._forget()
            self.destination.abandon()

    def _forget(self) -> None:
        self._queues.clear()
        self._journaled.clear()
        self._stream = None

    def _drain(self, rows: Rows, look: Look, done: Drained) -> None:
        self._append(rows, done)
        if any(self._queues.values()):
            # Nothing else may be assigned before: it would be assigned to the same positions.
            raise IndelibleError("the journal does not take what was assigned to it before")
        end = done.journaled + ROUND_ROWS
        last: list[Assigned] = []
        if look.answers is not None:
            done.deleted += self._delete_covered(rows, look.answers)
            last = self._take_over(rows, look, done, end)
        progress = -1
        while (
            progress < done.journaled + done.damaged
            and (room := self._room(rows, done, end))
            and (waiting := rows.waiting(min(TAKEN_AT_ONCE, room)))
        ):
            progress = done.journaled + done.damaged
            stream, sequence = self._next()
            with self._assigning():
                self._queue(rows).extend(rows.assign(waiting, look.journal, stream, sequence))
            self._append(rows, done)
        for row in last:
            if self._room(rows, done, end):
                self._journal_anew(rows, row, look.journal, done)
        if (waiting_there := self._covered_later(rows)) >= WAITING_MAX:
            raise IndelibleError(
                f"{waiting_there} rows are journaled and not under a checkpoint: no more are taken until they are, see whether the agent works"
            )

    def _covered_later(self, rows: Rows) -> int:
        return len(self._journaled.get(rows.alias, ()))

    def _room(self, rows: Rows, done: Drained, end: int) -> int:
        """How many rows more this round may journal. What is held of them, and how long a round takes, has a bound however many there are."""
        done.more |= done.journaled >= end
        return max(0, min(end - done.journaled, WAITING_MAX - self._covered_later(rows)))

    def _next(self) -> tuple[uuid.UUID, int]:
        """Where the next frame will be. Where that is another stream, rows of the last one are none of ours any more."""
        stream, sequence = self.destination.next_position()
        if stream != self._stream:
            self._forget()
            self._stream = stream
        return stream, sequence

    def _queue(self, rows: Rows) -> deque[Taken]:
        return self._queues.setdefault(rows.alias, deque())

    def _append(self, rows: Rows, done: Drained) -> None:
        """Journals assigned rows in their order, as far as they can be. What cannot be where it was assigned waits again."""
        queue, journaled = self._queue(rows), self._journaled.setdefault(rows.alias, {})
        while queue:
            assert self._stream is not None, "a row is assigned after the stream was opened"
            try:
                count, became = self.destination.append(queue, self._stream)
            except StreamLost:
                # It may be the row: it is tried again when nothing else is left to do.
                if len(self._failed) >= FAILED_MAX:
                    self._failed.clear()
                self._failed.add(queue[0].intent)
                self._forget()
                raise
            for taken in [queue.popleft() for _ in range(count)]:
                journaled[taken.intent] = taken.sequence
                self._failed.discard(taken.intent)
            done.journaled += count
            if became == "damaged":
                # What the row holds is not what was put into it. The others move up.
                with self._assigning():
                    rows.release([self._assigned(queue[0])], damaged=True)
                queue.popleft()
                done.damaged += 1
                self._release(rows)
                return
            if became == "moved":
                # Before anything else is written where they are.
                self._release(rows)
                return

    def _assigned(self, taken: Taken) -> Assigned:
        assert self._stream is not None, "a row is assigned after the stream was opened"
        return Assigned(taken.intent, self._stream, taken.sequence)

    def _release(self, rows: Rows) -> None:
        queue = self._queue(rows)
        with self._assigning():
            rows.release([self._assigned(taken) for taken in queue])
        queue.clear()

    def _delete_covered(self, rows: Rows, answers: Answers) -> int:
        """Rows of this process that the agent has."""
        journaled = self._journaled.setdefault(rows.alias, {})
        own = answers.streams.get(self._stream) if self._stream is not None else None
        covered = [
            intent for intent, sequence in journaled.items() if own is not None and own.covers(sequence) and own.covers(sequence - 1)
        ]
        deleted = rows.delete(covered)
        for intent in covered:
            del journaled[intent]
        return deleted

    def _take_over(self, rows: Rows, look: Look, done: Drained, end: int) -> list[Assigned]:
        """Finishes what drainers before this one began; which of their rows are left for the end."""
        assert look.answers is not None, "without answers nothing is known of other drainers"
        after = uuid.UUID(int=0)
        last: list[Assigned] = []
        unnamed = _Unnamed(self.destination, look.answers)
        while found := rows.assigned(look.journal, after):
            covered = []
            for row in found:
                answer = look.answers.streams.get(row.stream)
                if row.stream == self._stream:
                    continue
                if answer is None:
                    unnamed.count(row.stream)
                elif answer.ended:
                    # The agent takes an INTENT from an outbox as committed, whether its OUTCOME comes or not.
                    if answer.covers(row.sequence - 1):
                        covered.append(row.intent)
                    elif row.intent in self._failed:
                        last.append(row)
                    elif self._room(rows, done, end):
                        self._journal_anew(rows, row, look.journal, done)
            done.deleted += rows.delete(covered)
            after = found[-1].intent
            if len(found) < BATCH or done.journaled >= end:
                break
        if problem := unnamed.problem():
            done.problems[rows.alias] = problem
        return last

    def _journal_anew(self, rows: Rows, row: Assigned, journal: uuid.UUID, done: Drained) -> None:
        payload = rows.payload(row.intent)
        if payload is None or self._queue(rows):
            return
        stream, following = self._next()
        with self._assigning():
            is_ours = rows.reassign(row, journal, stream, following + 1)
        if is_ours:
            self._queue(rows).append(Taken(row.intent, payload, following + 1))
            self._append(rows, done)
