"""Single rows: an instance that is inserted, updated or deleted, with every value that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DEFERRED, Field, Model

from indelible import _runtime
from indelible.django import _returning
from indelible.django._models import Plan
from indelible.django._queries import IDS_MAX, expression_text, is_expression
from indelible.django._recording import PENDING, Write
from indelible.django._snapshots import Scope, Values, forget, known_values, remember

if TYPE_CHECKING:
    from indelible import _native

Sent: TypeAlias = "Sequence[tuple[Field[Any, Any], Any, Any]]"
"""What an UPDATE sends, as Django's query has it: field, model, value."""

PreSaved: TypeAlias = "dict[int, dict[str, Any]]"
"""Values that fields sent and left the instance without, by its ``id()`` and their attname."""


class RowInsert(Write):
    """An instance is inserted. ``returning`` are the fields whose values come back, ``pre_saved`` values that are not on the instance."""

    __slots__ = ("instance", "plain", "pre_saved", "returning", "values")

    verb = "create"

    def __init__(self, plan: Plan, instance: Model, returning: Sequence[Field[Any, Any]], pre_saved: PreSaved) -> None:
        self.plan = plan
        self.final = bool(returning)
        self.instance = instance
        self.returning = returning
        self.pre_saved = pre_saved
        self.values: list[Any] | None = None

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        plan, values = self.plan, self._read(result)
        pk = self.instance.pk if plan.key_place is None else values[plan.key_place]
        label = None if plan.label_of is None else plan.label_of(self.instance)
        return [plan.native.created_row(context, pk, label, values if self.plain else shown(values))]

    def about(self) -> Sequence[Model]:
        return (self.instance,)

    def generated_keys(self, result: Any) -> Sequence[Any] | None:
        values, plan = self.values, self.plan
        if values is None or not result or plan.key_place is None or self.returning != plan.only_key:
            return None
        # A key that the INTENT already names may come back as another: "7" as 7.
        return result[0] if values[plan.key_place] is None else None

    def touched(self, result: Any) -> bool:
        return True

    def keep(self, result: Any, scope: Scope | None) -> None:
        values = self._read(result)
        remember(self.instance, self.plan, values if self.plain else known_of(values), scope)

    def forget(self) -> None:
        forget(self.instance)

    def _read(self, result: Any) -> list[Any]:
        """The values of all columns. From the instance only once: the second time, nothing is new but what came back."""
        values = self.values
        if values is None:
            (values,), self.plain = read_all(self.plan, (self.instance,))
            if self.pre_saved:
                self.plain = put_pre_saved(self.plan, self.instance, values, self.pre_saved) and self.plain
            self.values = values
        if result is not PENDING and result and result[0] is not None:
            plan = self.plan
            if plan.key_place is not None and self.returning == plan.only_key:
                values[plan.key_place] = result[0][0]
            else:
                for field, value in zip(self.returning, result[0], strict=False):
                    values[plan.positions[field.attname]] = value
        return values


class RowUpdate(Write):
    """An instance is saved over its row. Only what differs from the known old values is recorded.

    Where the model says ``exact``, old values that were never loaded are read first, and what the database computes comes back.
    """

    __slots__ = ("changed", "instance", "known", "returned", "returning", "send", "sent")

    verb = "update"

    def __init__(self, plan: Plan, instance: Model, sent: Sent, using: str, returning: Sequence[Field[Any, Any]] = ()) -> None:
        self.plan = plan
        self.final = bool(returning)
        self.instance = instance
        self.sent = sent
        self.returning = returning
        self.known: Values | None = known_values(instance, plan, using)
        self.changed: dict[int, Any] | None = None
        self.returned: Sequence[Any] | None = None
        self.send = None

    def ask(self, connection: BaseDatabaseWrapper) -> None:
        """Makes the statement itself say what is not known, for a model that asks for true values."""
        blind = self._is_blind()
        if (blind or any(is_expression(value) for _, _, value in self.sent)) and _returning.is_possible(connection, self.plan.model):
            self.final = True
            self.send = self._send_exactly

    def _is_blind(self) -> bool:
        positions, known = self.plan.positions, self.known
        return known is None or any(known[positions[field.attname]] is DEFERRED for field, _, _ in self.sent)

    def _send_exactly(self, compiler: Any, argument: Any) -> Any:
        plan = self.plan
        keys = [plan.fields[position] for _, position in plan.key]
        if self._is_blind():
            fields = [*keys, *(field for field, _, _ in self.sent)]
            for row in _returning.old_rows(compiler, fields):
                values = list(plan.unknown if self.known is None else self.known)
                for field, value in zip(fields, row, strict=True):
                    values[plan.positions[field.attname]] = value
                self.known = values
        asked = self.returning
        self.returning = asked or [field for field, _, value in self.sent if is_expression(value)]
        rows = _returning.touched_rows(compiler, _returning.Columns(self.returning or keys)) or []
        if rows and self.returning:
            self.returned = rows[0]
        return rows if asked else len(rows)

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        plan = self.plan
        changed = self.changed = self._differing(result)
        if not changed:
            return []
        known = self.known
        numbers, old, new = [], [], []
        plain = known is not None
        for position, value in changed.items():
            number = plan.numbers[position]
            if number is not None:
                before = DEFERRED if known is None else known[position]
                plain = plain and before is not DEFERRED and (type(value) is plan.types[position] or not is_expression(value))
                numbers.append(number)
                old.append(before)
                new.append(value)
        if not numbers:
            return []
        label = None if plan.label_of is None else plan.label_of(self.instance)
        if not plain:
            old, new = shown(old), shown(new)
        event = plan.native.updated(context, self.instance.pk, label, numbers, old, new)
        return [] if event is None else [event]

    def about(self) -> Sequence[Model]:
        return (self.instance,)

    def keep(self, result: Any, scope: Scope | None) -> None:
        # Nobody asked for events when there is no recorder; the row has changed all the same.
        changed = self._differing(result) if self.changed is None else self.changed
        if not changed and self.known is not None:
            return
        plan = self.plan
        if self.known is None:
            values = list(plan.unknown)
            for attname, position in plan.key:
                values[position] = self.instance.__dict__.get(attname, DEFERRED)
        else:
            values = list(self.known)
        for position in plan.generated:
            values[position] = DEFERRED
        for position, value in changed.items():
            values[position] = DEFERRED if is_expression(value) else value
        remember(self.instance, plan, values, scope)

    def forget(self) -> None:
        forget(self.instance)

    def _differing(self, result: Any) -> dict[int, Any]:
        """By position, what is sent and is not the very value that was loaded. Django 6 also asks for what the database computed."""
        plan, positions = self.plan, self.plan.positions
        known = plan.unknown if self.known is None else self.known
        changed: dict[int, Any] = {}
        for field, _, value in self.sent:
            position = positions[field.attname]
            if value is not known[position]:
                changed[position] = value if type(value) is plan.types[position] else plan.normalise[position](value)
        if self.returning and result is not PENDING:
            for field, value in zip(self.returning, result[0] if self.returned is None else self.returned, strict=False):
                changed[positions[field.attname]] = value
        return changed


class RowsDelete(Write):
    """Instances are deleted by their keys, one event for each.

    ``expected`` are the rows that the statement names: more than instances where some are parts of others, which speak for them.
    """

    __slots__ = ("expected", "instances", "using")

    verb = "delete"

    def __init__(self, plan: Plan, instances: Sequence[Model], using: str, expected: int) -> None:
        self.plan = plan
        self.final = False
        self.instances = instances
        self.using = using
        self.expected = expected

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        if result is not PENDING and row_count(result) != self.expected:
            # Somebody else deleted some of them first; which ones nobody can say.
            ids = [instance.pk for instance in self.instances[:IDS_MAX]]
            return [self.plan.native.statement(context, "delete", count=row_count(result), ids=ids, where="pk__in", fields=())]
        return [self._deleted(context, instance) for instance in self.instances]

    def about(self) -> Sequence[Model]:
        return self.instances

    def touched(self, result: Any) -> bool:
        return row_count(result) != 0

    def _deleted(self, context: _native.Context, instance: Model) -> _native.Event:
        plan = self.plan
        known = known_values(instance, plan, self.using)
        # The key is among what is known, else that would be of another row; asking the instance costs more.
        pk = instance.pk if known is None or plan.key_place is None else known[plan.key_place]
        label = None if plan.label_of is None else plan.label_of(instance)
        return plan.native.deleted_row(context, pk, label, plan.unknown if known is None else known, DEFERRED)


def read_all(plan: Plan, instances: Sequence[Model]) -> tuple[list[list[Any]], bool]:
    """The values of all concrete fields as one INSERT sends them, for each row, and whether all are plain: known, and no expressions."""
    native = _runtime.runtime().native()
    rows = None if native is None else native.read_rows(instances, plan.attnames, plan.types)
    if rows is not None:
        return rows, True
    several = [_read(plan, instance) for instance in instances]
    return [values for values, _ in several], all(plain for _, plain in several)


def _read(plan: Plan, instance: Model) -> tuple[list[Any], bool]:
    state = instance.__dict__
    values = [state.get(attname, DEFERRED) for attname in plan.attnames]
    plain = all(attname in state for attname in plan.attnames)
    for position, value in enumerate(values):
        if type(value) not in plan.loadable[position]:
            values[position] = plan.normalise[position](value)
            plain = plain and not is_expression(value)
    return values, plain


def put_pre_saved(plan: Plan, instance: Model, values: list[Any], pre_saved: PreSaved) -> bool:
    """Puts in what fields sent that is not on the instance; whether all of that is plain (see :func:`read_all`)."""
    plain = True
    for attname, value in pre_saved.get(id(instance), {}).items():
        position = plan.places[attname].position
        values[position] = plan.normalise[position](value)
        plain = plain and not is_expression(value)
    return plain


def known_of(values: Sequence[Any]) -> list[Any]:
    """What of these values the row now certainly has."""
    return [DEFERRED if is_expression(value) else value for value in values]


def shown(values: Sequence[Any]) -> list[Any]:
    """The values as the native module takes them: what is not known and what the database computes have their own types there."""
    from indelible._native import UNKNOWN, Expression

    return [UNKNOWN if value is DEFERRED else Expression(expression_text(value)) if is_expression(value) else value for value in values]


def row_count(result: Any) -> int:
    """The rows that a DELETE touched: Django 4.2 returns the cursor, later versions the number, ``None`` when nothing was sent."""
    if result is None:
        return 0
    return int(result if isinstance(result, int) else result.rowcount)
