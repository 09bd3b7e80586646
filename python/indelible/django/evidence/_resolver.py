"""Answers for processes that died between INTENT and OUTCOME: their markers say what the database did.

The agent names the intents that nobody answered (``_answers``); the database is asked, and where it has no marker it gets a fence, so that the
answer stays true. The OUTCOME goes to the journal of this process. Whoever dies here leaves a state that the next one finishes alike: a
fence stays, and a marker stays. Two at once do the same work twice and find the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.db import DatabaseError, connections

from indelible._errors import IndelibleError
from indelible.django import _evidence
from indelible.django.evidence import _journals, _marks
from indelible.django.evidence._answers import Answers, Unresolved, answers_in, made_at
from indelible.django.evidence._fences import Markers
from indelible.django.evidence._reconciler import Reconciler
from indelible.django.evidence._tables import first_line

if TYPE_CHECKING:
    from indelible import _native

FENCE_AGE_MAX_S: Final = 23 * 3600.0
"""An older intent is never fenced: its marker may have been deleted, which begins after 24 hours, and clocks differ."""
RECONCILE_INTERVAL_S: Final = 60.0

Clock = Callable[[], float]


@dataclass
class Round:
    """What one round did, as numbers; ``in_doubt`` says for each intent that stays so why."""

    committed: int = 0
    rolled_back: int = 0
    deleted: int = 0
    told: int = 0
    in_doubt: dict[uuid.UUID, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """By database, what kept the round from asking it."""
    knows: bool = True
    """Whether the agent's answers could be read."""

    @property
    def did_something(self) -> bool:
        """Whether anything is other than before."""
        return bool(self.committed or self.rolled_back or self.deleted or self.told)


class Lock:
    """A lock of a service, whose holder works for all its processes, so that a hundred workers do not all ask the database."""

    def __init__(self, folder: Path, name: str = "resolver.lock") -> None:
        self._path = folder / name
        self._descriptor: int | None = None
        _locks.add(self)

    def hold(self) -> bool:
        """Whether this process has it now. Never waits."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Gives it back. In the child of a fork it stays the parent's, which has the same description open."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_locks: Final[weakref.WeakSet[Lock]] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_locks):
        lock.release()


os.register_at_fork(after_in_child=_close_in_child)


class Resolver:
    """One service's resolver, for one thread.

    ``clock`` is the wall clock, which identifiers are made by; ``ticks`` one that only goes forward.
    """

    def __init__(self, folder: Path, *, clock: Clock = time.time, ticks: Clock = time.monotonic) -> None:
        self._clock = clock
        self._ticks = ticks
        self._answers = answers_in(folder)
        self._reconciler = Reconciler(folder, clock=clock, ticks=ticks)
        self._reconciled_at = float("-inf")
        self._answered: set[uuid.UUID] = set()

    def round(self, recorder: _native.Recorder, *, reconcile: bool = False) -> Round:
        """Answers what can be answered; once a minute, or when asked to, cleans up and compares. Never raises for a database."""
        done = Round()
        answers = self._answers.value()
        if answers is None:
            done.knows = False
            return done
        work = self._work(answers)
        due = reconcile or self._ticks() - self._reconciled_at >= RECONCILE_INTERVAL_S
        for alias in sorted({unresolved.alias for unresolved in work} | (set(_aliases()) if due else set())):
            self._ask(alias, [unresolved for unresolved in work if unresolved.alias == alias], answers, recorder, done, due=due)
        if due:
            self._reconciled_at = self._ticks()
        return done

    def resolve_own(self, owed: deque[Unresolved], recorder: _native.Recorder) -> Round:
        """Answers intents of this very process whose COMMIT is over and got no answer. What stays in doubt stays in ``owed``."""
        done = Round()
        for _ in range(len(owed)):
            unresolved = owed.popleft()
            with self._asking(unresolved.alias, done) as markers:
                if markers is None:
                    done.in_doubt[unresolved.intent] = done.problems[unresolved.alias]
                else:
                    self._settle(unresolved, markers, recorder, done)
            if unresolved.intent in done.in_doubt:
                owed.append(unresolved)
        return done

    def _work(self, answers: Answers) -> list[Unresolved]:
        unresolved = [one for one in answers.unresolved if one.evidence == "marker"]
        # What the agent does not name any more has its answer, so that this does not grow.
        self._answered.intersection_update(one.intent for one in unresolved)
        return [one for one in unresolved if one.intent not in self._answered]

    def _ask(self, alias: str, work: list[Unresolved], answers: Answers, recorder: _native.Recorder, done: Round, *, due: bool) -> None:
        with self._asking(alias, done) as markers:
            if markers is None:
                done.in_doubt.update((unresolved.intent, done.problems[alias]) for unresolved in work)
                return
            for unresolved in work:
                self._resolve(unresolved, markers, answers, recorder, done)
            if due:
                with _noting(alias, done):
                    done.told += self._reconciler.compare(markers, answers, recorder)
                    done.deleted += self._reconciler.clean(markers, answers)

    @contextlib.contextmanager
    def _asking(self, alias: str, done: Round) -> Iterator[Markers | None]:
        """The markers of a database for the length of the block, ``None`` where they cannot be asked."""
        markers = Markers(alias)
        try:
            problem = problem_of(alias) or _connected(markers)
            if problem:
                done.problems[alias] = problem
            yield None if problem else markers
        finally:
            with contextlib.suppress(Exception):
                markers.close()

    def _resolve(self, unresolved: Unresolved, markers: Markers, answers: Answers, recorder: _native.Recorder, done: Round) -> None:
        stream = answers.streams.get(unresolved.stream)
        if stream is None or not stream.ended:
            done.in_doubt[unresolved.intent] = "its process may be alive"
        else:
            self._settle(unresolved, markers, recorder, done)

    def _settle(self, unresolved: Unresolved, markers: Markers, recorder: _native.Recorder, done: Round) -> None:
        """Asks the database, and says what it says."""
        if self._clock() - made_at(unresolved.intent) > FENCE_AGE_MAX_S:
            done.in_doubt[unresolved.intent] = "it is so old that its marker may have been deleted"
            return
        try:
            committed = markers.fence(unresolved.intent, unresolved.stream, unresolved.sequence, _journals.journal_id())
        except DatabaseError as error:
            done.in_doubt[unresolved.intent] = first_line(error)
            return
        try:
            recorder.resolve(str(unresolved.intent), committed)
        except IndelibleError as error:
            done.in_doubt[unresolved.intent] = first_line(error)
            return
        self._answered.add(unresolved.intent)
        if committed:
            done.committed += 1
        else:
            done.rolled_back += 1


def problem_of(alias: str) -> str:
    """Why the markers of a database cannot be asked, empty where they can. Does not connect."""
    if alias not in connections.settings:
        return f"this process knows no database {alias!r}"
    return _evidence.obstacle(connections[alias], "marker")


def _aliases() -> list[str]:
    return [alias for alias in connections if not _evidence.obstacle(connections[alias], "marker")]


def _connected(markers: Markers) -> str:
    """Why a database cannot be asked, which must not keep the others from it: it may lack even its driver."""
    try:
        markers.connect()
        is_ready = _marks.is_ready(connections[markers.alias], "marker")
    except Exception as error:
        return first_line(error)
    return "" if is_ready else "the table indelible_marker is not there: run manage.py migrate"


@contextlib.contextmanager
def _noting(alias: str, done: Round) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        done.problems[alias] = first_line(error)
