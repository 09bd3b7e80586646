"""One write on its way to the database: held inside a transaction, journaled around the statement outside of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.transaction import atomic

from indelible import _context, _runtime
from indelible._errors import Refused
from indelible.django import _formatting, _intent
from indelible.django._guard import Guard, RecordingRefused
from indelible.django._models import Plan
from indelible.django._outcomes import statement_rolled_back
from indelible.django._snapshots import Scope
from indelible.django._transactions import in_transaction, tracker_of
from indelible.django.evidence._proofs import can_prove

if TYPE_CHECKING:
    from indelible import _native

Verb = Literal["create", "update", "delete"]

PENDING: Final[Any] = object()
"""In place of the result of a statement that has not been sent yet."""

_WRITING: Final = frozenset({"INSERT", "UPDATE", "DELETE"})


class Write:
    """What one statement does to rows that are recorded.

    ``final``: what the statement returns belongs into the events, so that outside of a transaction they are made again after it.
    ``send`` takes the place of Django's method where more is asked of the statement than Django asks. ``open_ended``: how many events
    there are is known after the statement only.
    """

    __slots__ = ("final", "plan")

    send: Callable[[Any, Any], Any] | None = None
    open_ended = False

    verb: Verb
    plan: Plan
    final: bool

    def name(self) -> str:
        """What it is, for a log."""
        return f"{self.verb} of {self.plan.type}"

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        """The events; before the statement (``result`` is :data:`PENDING`) one may stand for all that it will touch."""
        raise NotImplementedError

    def hold_in(self, transaction: _native.Transaction, context: _native.Context, result: Any) -> bool:
        """Holds the events without making an object of each, where nobody has anything to add to them; ``False``: it cannot."""
        return False

    def about(self) -> Sequence[Model]:
        """The instances that the events are about, one for each event; empty where rows are written that nobody holds."""
        return ()

    def generated_keys(self, result: Any) -> Sequence[Any] | None:
        """One key for each event, where keys are all that the statement's result adds to the events; ``None``: there is more, or less."""
        return None

    def touched(self, result: Any) -> bool:
        """Whether the statement, which returned this, did anything."""
        return bool(result)

    def keep(self, result: Any, scope: Scope | None) -> None:
        """Remembers what the database now holds (see ``_snapshots``)."""

    def forget(self) -> None:
        """Forgets what the database held before, where what it holds now could not be understood."""


def perform(write: Write, django: Callable[..., Any], compiler: Any, argument: Any) -> Any:
    """Sends the statement through Django's own method and records what it did. Result and exceptions are Django's.

    Raises:
        RecordingRefused: outside of a transaction, before the statement is sent.
        ReasonRequired: before the statement is sent.
    """
    connection: BaseDatabaseWrapper = compiler.connection
    if write.plan.reasoned:
        _intent.demand_reason(write)
    django = write.send or django
    if in_transaction(connection):
        result = django(compiler, argument)
        if write.touched(result):
            hold(connection, write, result)
        return result
    if write.plan.proved and can_prove(connection, write.plan.evidence):
        return _perform_proved(connection, write, lambda: django(compiler, argument))
    # The hook that called puts back what was there before.
    connection.indelible_writing = alone = _Autocommit(connection, write)  # type: ignore[attr-defined]
    try:
        result = django(compiler, argument)
    except BaseException as error:
        alone.failed(error)
        raise
    if alone.sent:
        alone.succeeded(result)
    return result


def perform_alone(connection: BaseDatabaseWrapper, write: Write, execute: Callable[[], Any], *, ends: bool = True) -> None:
    """Sends one statement that no compiler made and records what it did; ``execute`` answers with the number of rows, if it is known.

    ``ends``: it is over when that returns, so that nothing of it would stand in the way of a COMMIT.

    Raises:
        RecordingRefused: outside of a transaction, before the statement is sent.
        ReasonRequired: before the statement is sent.
    """
    if ends and write.plan.proved and not in_transaction(connection) and can_prove(connection, write.plan.evidence):
        if write.plan.reasoned:
            _intent.demand_reason(write)
        _perform_proved(connection, write, execute)
        return
    begun = Begun(connection, write)
    try:
        result = execute()
    except BaseException as error:
        begun.failed(error)
        raise
    begun.succeeded(result)


class Begun:
    """One statement that no compiler made and that is sent now: recorded when it has ended.

    Raises:
        RecordingRefused: outside of a transaction, before the statement is sent.
        ReasonRequired: before the statement is sent.
    """

    __slots__ = ("_alone", "_connection", "_write")

    def __init__(self, connection: BaseDatabaseWrapper, write: Write) -> None:
        if write.plan.reasoned:
            _intent.demand_reason(write)
        self._connection = connection
        self._write = write
        self._alone = None if in_transaction(connection) else _Autocommit(connection, write)
        if self._alone is not None:
            self._alone.announce(PENDING)
            self._alone.sent = 1

    def succeeded(self, result: Any) -> None:
        """Records what it did; ``result`` is the number of rows, if it is known."""
        if self._alone is not None:
            self._alone.succeeded(result)
        elif self._write.touched(result):
            hold(self._connection, self._write, result)

    def failed(self, error: BaseException) -> None:
        """Takes note that it raised."""
        if self._alone is not None:
            self._alone.failed(error)

    def undone(self) -> None:
        """Takes note that it was broken off, and that nothing of it is left."""
        if self._alone is not None and self._alone.intent is not None:
            with Guard(self._write.name()):
                self._alone.intent.rolled_back()


def _perform_proved(connection: BaseDatabaseWrapper, write: Write, execute: Callable[[], Any]) -> Any:
    """Sends a statement in a transaction of its own: what proves the commit must be committed with it."""
    failed = False
    try:
        with atomic(using=connection.alias, savepoint=False):
            try:
                result = execute()
            except DatabaseError:
                failed = True
                raise
            if write.touched(result):
                hold(connection, write, result)
            return result
    except DatabaseError:
        if failed:
            with Guard(write.name()):
                _abort(connection, write)
        raise


def _abort(connection: BaseDatabaseWrapper, write: Write) -> None:
    """Records a statement that the database refused, as far as ``KEEP_ROLLED_BACK`` asks for it."""
    runtime = _runtime.runtime()
    recorder, context = runtime.recorder(), _context.current_facts().context(runtime)
    if recorder is not None and context is not None:
        if write.plan.runtime is not runtime:
            write.plan.prepare(runtime)
        transaction = recorder.transaction(connection.alias)
        transaction.hold_all(_events(write, recorder, context, PENDING))
        transaction.rollback()


def record(connection: BaseDatabaseWrapper, write: Write, result: Any) -> None:
    """Records a write that was several statements, all of them done."""
    if in_transaction(connection):
        hold(connection, write, result)
        return
    alone = _Autocommit(connection, write)
    alone.announce(result)
    alone.succeeded(result)


def hold(connection: BaseDatabaseWrapper, write: Write, result: Any) -> None:
    """Holds the events of a write for the COMMIT of the transaction that the connection is in."""
    runtime = _runtime.runtime()
    try:
        recorder, context = runtime.recorder(), _context.current_facts().context(runtime)
        tracker = tracker_of(connection)
        degraded = False
        if recorder is None or context is None:
            _lose(runtime, write)
        else:
            transaction = tracker.transaction(recorder)
            if write.plan.proved:
                tracker.ask(write.plan.evidence)
            try:
                if write.plan.runtime is not runtime:
                    write.plan.prepare(runtime)
                if write.plan.told or _intent.declared.get() is not None:
                    before = len(transaction)
                    transaction.hold_all(_told_events(write, recorder, context, result))
                    if len(transaction) > before:
                        _intent.happened(write, "held", tracker.scope())
                elif not write.hold_in(transaction, context, result):
                    transaction.hold_all(write.events(context, result))
            except Exception as fault:
                transaction.hold_all(_degraded(runtime, recorder, context, write, fault))
                degraded = True
        _keep(runtime, write, None if degraded else result, tracker.scope())
    except Refused as refused:
        raise RecordingRefused(str(refused)) from refused
    except Exception as fault:
        runtime.lose()
        runtime.fault(write.name(), fault)


class _Autocommit:
    """A statement that commits by itself: INTENT just before it is sent, OUTCOME when it has returned.

    :meth:`send` is the innermost execute wrapper (see ``_raw_sql``) for as long as the compiler works, so that it sees the moment of sending:
    after the last ``pre_save``, and only if there is anything to send.
    """

    # What is true of most statements to their end stands on the class.
    context: _native.Context | None = None
    intent: _native.Intent | None = None
    count = 0
    degraded = False
    sent = 0

    def __init__(self, connection: BaseDatabaseWrapper, write: Write) -> None:
        self.connection = connection
        self.write = write
        self.runtime = _runtime.runtime()

    def send(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """The execute wrapper."""
        if self.sent:
            self.sent += 1
        elif str(sql)[:6] in _WRITING:
            # A compiler may read first: for an update of several tables it selects the keys.
            self.announce(PENDING)
            self.sent = 1
        return execute(sql, params, many, context)

    def announce(self, result: Any) -> None:
        """Journals the INTENT."""
        runtime, write = self.runtime, self.write
        try:
            recorder, context = runtime.recorder(), _context.current_facts().context(runtime)
            if recorder is None or context is None:
                _lose(runtime, write)
                return
            try:
                if write.plan.runtime is not runtime:
                    write.plan.prepare(runtime)
                events = list(_events(write, recorder, context, result))
            except Exception as fault:
                events, self.degraded = _degraded(runtime, recorder, context, write, fault), True
            if events:
                self.context, self.count = context, len(events)
                self.intent = recorder.intent(self.connection.alias, events)
        except Exception as fault:
            if isinstance(fault, Refused):
                raise RecordingRefused(str(fault)) from fault
            runtime.lose()
            runtime.fault(write.name(), fault)

    def succeeded(self, result: Any) -> None:
        """Journals the OUTCOME of a statement that returned."""
        write, intent = self.write, self.intent
        try:
            touched = write.touched(result)
            if intent is not None:
                self._tell(intent, result, touched)
            if touched:
                if intent is not None and _intent.declared.get() is not None:
                    _intent.happened(write, "committed")
                _keep(self.runtime, write, None if self.degraded else result, None)
        except Exception as fault:
            self.runtime.fault(write.name(), fault)

    def _tell(self, intent: _native.Intent, result: Any, touched: bool) -> None:
        if not touched:
            intent.committed([None] * self.count)
        elif self.degraded or not self.write.final:
            intent.committed()
        elif self.write.open_ended:
            self._tell_rows(intent, result)
        elif not self.write.plan.formatted and (keys := self.write.generated_keys(result)) is not None:
            intent.committed_keyed(keys)
        else:
            intent.committed(self._bodies(result))

    def _tell_rows(self, intent: _native.Intent, result: Any) -> None:
        """Journals the rows as a group of their own, then takes back what was announced for all of them together.

        In this order, so that whoever dies in between leaves both: the rows, and in doubt what they were.
        """
        recorder = self.runtime.recorder()
        assert self.context is not None, "there is an intent, so it was made with a context"
        assert recorder is not None, "there is an intent, so there is a recorder"
        try:
            rows = recorder.transaction(self.connection.alias)
            rows.hold_all(_events(self.write, recorder, self.context, result))
            group = rows.prepare()
        except Exception as fault:
            # What was announced stands: it is true as far as it goes, and the statement cannot be refused any more.
            intent.committed()
            if not isinstance(fault, Refused):
                self.runtime.fault(self.write.name(), fault)
            return
        if group is not None:
            group.committed()
        intent.committed([None] * self.count)

    def _bodies(self, result: Any) -> list[_native.Event] | None:
        recorder = self.runtime.recorder()
        assert self.context is not None, "there is an intent, so it was made with a context"
        assert recorder is not None, "and for a recorder"
        try:
            events = list(_events(self.write, recorder, self.context, result))
        except Exception as fault:
            # What the INTENT says stands: it is true as far as it goes.
            self.runtime.fault(self.write.name(), fault)
            return None
        return events if len(events) == self.count else None

    def failed(self, error: BaseException) -> None:
        """Journals the OUTCOME of a statement that did not return, if there is one to tell."""
        if self.intent is None:
            return
        with Guard(self.write.name()):
            # With several statements sent, the earlier ones are committed whatever happened to the last.
            if self.sent == 1 and statement_rolled_back(self.connection, error):
                self.intent.rolled_back()
            else:
                self.intent.unknown()


def _events(write: Write, recorder: _native.Recorder, context: _native.Context, result: Any) -> Iterable[_native.Event]:
    """The events, with what anybody has to add to them."""
    if write.plan.told or _intent.declared.get() is not None:
        return _told_events(write, recorder, context, result)
    return write.events(context, result)


def _told_events(write: Write, recorder: _native.Recorder, context: _native.Context, result: Any) -> Iterable[_native.Event]:
    """The events with what somebody declared about them, and in the words of the site's formatters."""
    events = write.events(context, result)
    if write.plan.auth or _intent.declared.get() is not None:
        events = _intent.told(write, list(events), recorder, context)
    if write.plan.formatted:
        events = _formatting.described(write, events)
    return events


def _degraded(
    runtime: _runtime.Runtime, recorder: _native.Recorder, context: _native.Context, write: Write, fault: Exception
) -> list[_native.Event]:
    """That something was written, in place of events that could not be made."""
    runtime.fault(write.name(), fault)
    action, resource = f"{write.plan.noun}.{write.verb}", {"type": write.plan.type}
    return [recorder.event(context, "change", action, resource=resource, notes=[f"values not recorded: {type(fault).__name__}"])]


def _keep(runtime: _runtime.Runtime, write: Write, result: Any, scope: Scope | None) -> None:
    """Remembers what the database now holds; ``result`` is ``None`` where that could not be understood."""
    try:
        if result is None:
            write.forget()
        else:
            write.keep(result, scope)
    except Exception as fault:
        write.forget()
        runtime.fault(write.name(), fault)


def _lose(runtime: _runtime.Runtime, write: Write) -> None:
    """Counts a write that there is no recorder for.

    Raises:
        Refused: it must not be done unrecorded.
    """
    if runtime.settings.enabled:
        runtime.lose()
    runtime.refuse(write.plan.model._meta.label, "change")
