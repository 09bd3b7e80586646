"""The transactions of every database connection: what is held in them, and what became of it.

One :class:`Tracker` sits on each connection object, as instance attributes over the methods that Django calls, because that is after
every override of a backend. Held events are journaled as one INTENT before COMMIT; the OUTCOME says what the database answered.
"""

from __future__ import annotations

import asyncio
import functools
import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from indelible import _record, _runtime
from indelible._errors import IndelibleError
from indelible.django import conf
from indelible.django._guard import Guard, RecordingRefused
from indelible.django._outcomes import can_commit, commit_rolled_back, is_aborted, is_lost, is_open
from indelible.django._snapshots import Fate, Scope, open_scopes
from indelible.django.evidence import _resolving
from indelible.django.evidence._proofs import Proof, can_prove
from indelible.django.registry import Evidence

if TYPE_CHECKING:
    from indelible import _native

T = TypeVar("T")

_trackers: Final[weakref.WeakSet[Tracker]] = weakref.WeakSet()


at_connect: Final[list[Callable[[BaseDatabaseWrapper], None]]] = []
"""Called once for each connection object, before it connects for the first time."""

_Level: TypeAlias = "tuple[str | None, Scope]"
"""A savepoint by its id, or the transaction itself (``None``), and its scope."""


class Tracker:
    """Follows the transactions of one database connection. One thread at a time, as the connection itself.

    ``held`` are the events of the open transaction, ``None`` as long as nothing was written in it. ``undecided`` are intents whose
    COMMIT failed while the transaction stayed open; the next COMMIT or ROLLBACK decides. ``proof`` says what else than the word of this
    process shall prove the COMMIT, ``None``: nothing. A savepoint made before the first write is not noted: rolling back to it takes everything.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.held: _native.Transaction | None = None
        self.proof: Proof | None = None
        self._levels: list[_Level] = []
        self._undecided: list[_native.Intent] = []
        self._django: dict[str, Callable[..., Any]] = {}
        for name, hook in (
            ("_commit", self._on_commit),
            ("_rollback", self._on_rollback),
            ("_savepoint", self._on_savepoint),
            ("_savepoint_commit", self._on_savepoint_commit),
            ("_savepoint_rollback", self._on_savepoint_rollback),
            ("_set_autocommit", self._on_set_autocommit),
            ("close", self._on_close),
        ):
            self._django[name] = getattr(connection, name)
            setattr(connection, name, hook)
        connection.__dict__["indelible_tracker"] = self
        _trackers.add(self)

    def transaction(self, recorder: _native.Recorder) -> _native.Transaction:
        """What is held in the open transaction, ready for another event."""
        if self.held is None:
            self.held = recorder.transaction(self.connection.alias)
            for sid, _ in self._levels:
                if sid is not None:
                    self.held.savepoint(sid)
        return self.held

    def ask(self, evidence: Evidence, *, firmly: bool = True) -> None:
        """Has the COMMIT of the open transaction proved by this evidence, where the database can. ``firmly``: it does not go on without."""
        if self.proof is None:
            if not can_prove(self.connection, evidence):
                return
            self.proof = Proof(evidence)
        self.proof.firm = self.proof.firm or firmly

    def ask_as_service(self, *, firmly: bool) -> None:
        """The same with the evidence of the service, for what is about no model."""
        evidence = conf.active().evidence
        if evidence != "ack":
            self.ask(evidence, firmly=firmly)

    def scope(self) -> Scope:
        """The scope that what is written now belongs to."""
        if not self._levels:
            self._enter(None, Scope())
        return self._levels[-1][1]

    def forget(self) -> None:
        """Drops everything without a trace, in the child of a fork: the transaction is the parent's."""
        self.held = self.proof = None
        self._undecided = []
        self._leave(0, "unknown")

    def let_go(self) -> None:
        """What is written until now is decided elsewhere, as after ``PREPARE TRANSACTION``: it is announced, and nobody here answers for it."""
        if self._is_written():
            self._prepare()
            self._answer("unknown")

    def connected(self) -> None:
        """The connection is a new one: whatever was open on the old one is rolled back."""
        if self._is_written():
            self._rolled_back()

    def _on_commit(self) -> Any:
        return self._conclude(self._django["_commit"]) if self._is_written() else self._django["_commit"]()

    def _on_rollback(self) -> Any:
        try:
            return self._django["_rollback"]()
        finally:
            # Also when it raised: without a COMMIT the database keeps nothing.
            self._rolled_back()

    def _on_savepoint(self, sid: str) -> Any:
        result = self._django["_savepoint"](sid)
        if self._levels:
            with Guard("savepoint"):
                self._enter(sid, Scope(self.scope()))
                if self.held is not None:
                    self.held.savepoint(sid)
        return result

    def _on_savepoint_commit(self, sid: str) -> Any:
        if self.held is not None and _ends_test_transaction(self.connection):
            return self._conclude(functools.partial(self._django["_savepoint_commit"], sid), ends=False)
        result = self._django["_savepoint_commit"](sid)
        depth = self._depth(sid)
        if depth is not None:
            self._leave(depth, "released")
        return result

    def _on_savepoint_rollback(self, sid: str) -> Any:
        result = self._django["_savepoint_rollback"](sid)
        with Guard("savepoint_rollback"):
            depth = self._depth(sid)
            if depth is None:
                self._drop()
            else:
                self._leave(depth, "rolled_back")
                # The savepoint itself stays: it can be rolled back to again.
                self._enter(sid, Scope(self.scope()))
                if self.held is not None:
                    self.held.rollback_to(sid)
        return result

    def _on_set_autocommit(self, autocommit: bool) -> Any:
        django = self._django["_set_autocommit"]
        # Turning it on inside a transaction is a COMMIT by another name.
        if autocommit and (self._levels or self.held is not None or self._undecided):
            return self._conclude(functools.partial(django, autocommit))
        return django(autocommit)

    def _on_close(self) -> Any:
        try:
            return self._django["close"]()
        finally:
            # SQLite keeps a database in memory open, and its transaction with it.
            if (self._levels or self.held is not None or self._undecided) and (
                self.connection.connection is None or self.connection.closed_in_transaction
            ):
                self._rolled_back()

    def _is_written(self) -> bool:
        return bool(self._levels or self.held is not None or self._undecided)

    def _conclude(self, act: Callable[[], T], *, ends: bool = True) -> T:
        """Journals the INTENT, lets the database commit, journals the OUTCOME. ``ends``: the database transaction ends with it."""
        if ends and is_aborted(self.connection):
            result = act()
            self._rolled_back()
            return result
        if ends and is_lost(self.connection):
            # What proves a COMMIT would be written outside of what it proves.
            self.proof = None
            self._prepare()
            result = act()
            self._answer("unknown")
            return result
        self._prepare()
        try:
            result = act()
        except BaseException as error:
            self._commit_failed(error)
            raise
        if not (ends and is_open(self.connection)):
            self._answer("committed")
        return result

    def _prepare(self) -> None:
        held, proof = self.held, self.proof
        if held is not None:
            try:
                intent = held.prepare() if proof is None else proof.announce(held)
                if intent is not None:
                    self._undecided.append(intent)
            except IndelibleError as refused:
                raise RecordingRefused(str(refused)) from refused
            except Exception as fault:
                _runtime.runtime().lose()
                _runtime.runtime().fault("before COMMIT", fault)
            self.held = None
        if proof is not None:
            self._prove(proof)

    def _prove(self, proof: Proof) -> None:
        """Writes what proves the COMMIT, as the last statement before it. What cannot be proved is told by this process alone."""
        fault = None
        try:
            unproved = proof.mark(self.connection)
        except DatabaseError:
            raise
        except Exception as error:
            if not can_commit(self.connection):
                raise DatabaseError(f"the transaction ended while what proves its COMMIT was written: {error}") from error
            unproved, fault = proof.give_up(), error
        if unproved:
            self._give_up_proof(unproved)
        if fault is not None:
            _runtime.runtime().fault("before COMMIT", fault)

    def _give_up_proof(self, unproved: list[_native.Intent]) -> None:
        alias = self.connection.alias
        try:
            told = [intent.without_marker(alias) if intent in unproved else intent for intent in self._undecided]
        except IndelibleError as refused:
            raise RecordingRefused(str(refused)) from refused
        self._undecided = [intent for intent in told if intent is not None]

    def _commit_failed(self, error: BaseException) -> None:
        with Guard("failed COMMIT"):
            if is_open(self.connection):
                return
            self._answer("rolled_back" if commit_rolled_back(self.connection, error) else "unknown")

    def _answer(self, fate: Fate) -> None:
        intents, self._undecided = self._undecided, []
        self.proof = None
        self._leave(0, fate)
        for intent in intents:
            try:
                if fate == "committed":
                    intent.committed()
                elif fate == "rolled_back":
                    intent.rolled_back()
                else:
                    intent.unknown()
                    _resolving.ask_later(intent, self.connection.alias)
            except Exception as fault:
                _runtime.runtime().fault("after COMMIT", fault)

    def _rolled_back(self) -> None:
        self._answer("rolled_back")
        with Guard("rollback"):
            self._drop()

    def _drop(self) -> None:
        self.proof = None
        self._leave(0, "rolled_back")
        held, self.held = self.held, None
        if held is not None:
            held.rollback()

    def _depth(self, sid: str) -> int | None:
        return next((depth for depth, level in enumerate(self._levels) if level[0] == sid), None)

    def _enter(self, sid: str | None, scope: Scope) -> None:
        self._levels.append((sid, scope))
        open_scopes.by_alias[self.connection.alias] = scope

    def _leave(self, depth: int, fate: Fate) -> None:
        if not self._levels:
            return
        for _, scope in self._levels[depth:]:
            scope.end(fate)
        del self._levels[depth:]
        if self._levels:
            open_scopes.by_alias[self.connection.alias] = self._levels[-1][1]
        else:
            open_scopes.by_alias.pop(self.connection.alias, None)


def install() -> None:
    """Follows all connections from now on, those already open included. Does nothing the second time."""
    if not hasattr(BaseDatabaseWrapper.connect, "indelible"):
        BaseDatabaseWrapper.connect = _connect(BaseDatabaseWrapper.connect)  # type: ignore[assignment,method-assign]
    for connection in connections.all(initialized_only=True):
        tracker_of(connection)
    _record.set_hold_on(hold_on)
    _forget_in_children()


def holds_events() -> bool:
    """Whether a transaction of this process holds events for its COMMIT."""
    return any(tracker.held is not None for tracker in list(_trackers))


def tracker_of(connection: BaseDatabaseWrapper) -> Tracker:
    """The tracker of a connection, put on it now if there is none."""
    tracker: Tracker | None = connection.__dict__.get("indelible_tracker")
    return Tracker(connection) if tracker is None else tracker


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether a statement sent now waits for a COMMIT. The atomics that Django's ``TestCase`` wraps around a test do not count."""
    if connection.in_atomic_block:
        blocks: list[Any] = connection.atomic_blocks
        return not blocks or not blocks[0]._from_testcase or _is_user_level(blocks)
    if connection.connection is None:
        # Before it is connected, a connection says that autocommit is off.
        connection.ensure_connection()
    return not connection.autocommit


def hold_on(resource: object) -> _native.Transaction | None:
    """The transaction that a successful event about a resource waits for; ``None``: it is recorded at once.

    The resource's own database if that is in a transaction in this thread, else ``default``, else the only one that is. Never from
    an event loop, whose thread is not the one that the database work is done in.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return None
    recorder = _runtime.runtime().recorder()
    pending = {connection.alias: connection for connection in connections.all(initialized_only=True) if _is_pending(connection)}
    if recorder is None or not pending:
        return None
    connection = pending.get(_alias_of(resource) or "") or pending.get("default")
    if connection is None:
        if len(pending) > 1:
            return None
        (connection,) = pending.values()
    tracker = tracker_of(connection)
    tracker.scope()
    transaction = tracker.transaction(recorder)
    tracker.ask_as_service(firmly=False)
    return transaction


def _is_pending(connection: BaseDatabaseWrapper) -> bool:
    return connection.connection is not None and in_transaction(connection)


def _alias_of(resource: object) -> str | None:
    if isinstance(resource, Model):
        return resource._state.db or router.db_for_write(type(resource), instance=resource)
    return None


def _is_user_level(blocks: list[Any]) -> bool:
    # An atomic without a savepoint ends unseen inside of a test's transaction; what is written in it is recorded at once.
    return any(block.savepoint and not block._from_testcase for block in blocks)


def _ends_test_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether the savepoint released now is the outermost of the application, inside of a test's transaction."""
    blocks: list[Any] = connection.atomic_blocks
    return bool(blocks) and blocks[0]._from_testcase and not _is_user_level(blocks)


def _connect(django: Callable[[BaseDatabaseWrapper], None]) -> Callable[[BaseDatabaseWrapper], None]:
    """Our ``connect``. The signal ``connection_created`` says the same, but a receiver of it costs ten times as much."""

    @functools.wraps(django)
    def connect(self: BaseDatabaseWrapper) -> None:
        try:
            tracker = self.__dict__.get("indelible_tracker")
            if tracker is None:
                Tracker(self)
                for follow in at_connect:
                    follow(self)
            else:
                tracker.connected()
        except Exception as fault:
            _runtime.runtime().fault("connect", fault)
        return django(self)

    connect.indelible = True  # type: ignore[attr-defined]
    return connect


def _forget_all() -> None:
    for tracker in list(_trackers):
        tracker.forget()


@functools.cache
def _forget_in_children() -> None:
    os.register_at_fork(after_in_child=_forget_all)
