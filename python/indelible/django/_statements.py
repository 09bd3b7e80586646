"""Statements over many rows: an event for each row with its key, or one for the statement (``bulk = "statement"``).

Which rows a statement touched it says itself, by RETURNING. Where the database cannot, there is one event: what was asked, how many rows
it touched, and their keys as far as the statement names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import DEFERRED, Field, Model
from django.db.models.constants import OnConflict
from django.db.models.sql.constants import NO_RESULTS

from indelible import _runtime
from indelible.django import _returning
from indelible.django._models import Plan
from indelible.django._queries import IDS_MAX, asked_for, is_expression, where_text
from indelible.django._recording import PENDING, Write
from indelible.django._returning import Columns, Fields, Rows
from indelible.django._rows import PreSaved, known_of, put_pre_saved, read_all, row_count, shown
from indelible.django._snapshots import Scope, forget, known_values, remember, remember_all

if TYPE_CHECKING:
    from indelible import _native


class BulkUpdate(NamedTuple):
    """What a ``bulk_update`` is about: its instances by their keys, and the names of the fields that it takes from them."""

    plan: Plan
    instances: dict[Any, Model]
    fields: AbstractSet[str]

    def gives(self, field: Field[Any, Any], value: Any) -> bool:
        """Whether a field is sent as the instances have it; a queryset of the application's own may add others, or its own values."""
        return is_expression(value) and not self.fields.isdisjoint((field.name, field.attname))


class BulkInsert(Write):
    """``bulk_create``: one batch of instances, of which nothing is ignored and nothing updated."""

    __slots__ = ("answered", "instances", "names", "plain", "pre_saved", "returning", "rows")

    verb = "create"

    def __init__(self, plan: Plan, query: Any, returning: Fields, pre_saved: PreSaved) -> None:
        self.plan = plan
        self.final = True
        self.instances: Sequence[Model] = query.objs
        self.names = _recorded_names(plan, query.fields)
        self.returning = returning
        self.pre_saved = pre_saved
        self.rows: list[list[Any]] | None = None
        self.plain = True
        self.answered = False

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        plan = self.plan
        if plan.by_row:
            return self._rows(context, result)
        count = None if result is PENDING else len(self.instances)
        ids = [key for key in self._keys(result) if key is not None]
        return [plan.native.statement(context, "create", count=count, ids=ids, where=None, fields=self.names)]

    def hold_in(self, transaction: _native.Transaction, context: _native.Context, result: Any) -> bool:
        plan = self.plan
        rows = self._read(result)
        if not (plan.by_row and self.plain and len(plan.key) == 1) or transaction.hold_created is None:
            return False
        labels = None if plan.label_of is None else [*map(plan.label_of, self.instances)]
        transaction.hold_created(plan.native, context, rows, plan.key[0][1], labels)
        return True

    def touched(self, result: Any) -> bool:
        return True

    def keep(self, result: Any, scope: Scope | None) -> None:
        rows = self._read(result)
        remember_all(self.instances, self.plan, rows if self.plain else [*map(known_of, rows)], scope)

    def forget(self) -> None:
        for instance in self.instances:
            forget(instance)

    def _rows(self, context: _native.Context, result: Any) -> Iterator[_native.Event]:
        plan = self.plan
        created, select, label_of = plan.native.created, plan.select, plan.label_of
        for instance, row in zip(self.instances, self._read(result), strict=True):
            values = select(row)
            label = None if label_of is None else label_of(instance)
            yield created(context, key_in(plan, row), label, values if self.plain else shown(values))

    def _read(self, result: Any) -> list[list[Any]]:
        """The values of each row, read once; what came back for each belongs into them as soon as there is something."""
        rows = self.rows
        if rows is None:
            rows, self.plain = read_all(self.plan, self.instances)
            if self.pre_saved:
                for instance, row in zip(self.instances, rows, strict=True):
                    self.plain = put_pre_saved(self.plan, instance, row, self.pre_saved) and self.plain
            self.rows = rows
        if not self.answered and result is not PENDING and result and len(result) == len(rows):
            self.answered = True
            native = _runtime.runtime().native()
            for column, field in enumerate(self.returning):
                place = self.plan.positions[field.attname]
                if native is not None:
                    native.fill_rows(rows, result, column, place)
                    continue
                for row, answer in zip(rows, result, strict=True):
                    row[place] = answer[column]
        return rows

    def _keys(self, result: Any) -> list[Any]:
        return [key_in(self.plan, row) for row in self._read(result)[:IDS_MAX]]


class ConflictInsert(Write):
    """``bulk_create`` that ignores conflicts (what comes back was inserted) or updates (nobody says what was there before)."""

    __slots__ = ("asked", "fields", "ids", "ignores", "names", "rows", "send")

    verb = "create"

    def __init__(self, plan: Plan, query: Any, returning: Fields, connection: Any) -> None:
        self.plan = plan
        self.final = True
        self.ignores = query.on_conflict == OnConflict.IGNORE
        self.names = _recorded_names(plan, query.fields)
        self.ids = [instance.pk for instance in query.objs[:IDS_MAX] if instance.pk is not None]
        self.asked = len(returning)
        self.rows: Rows = []
        self.send = None
        if _returning.is_possible(connection, plan.model):
            # What Django asks for comes first, so that its part of each row is the beginning.
            others = [field for position, field in enumerate(plan.fields) if field not in returning and _is_wanted(plan, position)]
            self.fields: Fields = [*returning, *others]
            self.send = self._send

    @property
    def open_ended(self) -> bool:  # type: ignore[override]
        return self.send is not None and self.plan.by_row

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        plan = self.plan
        if result is PENDING or self.send is None:
            return [plan.native.statement(context, self._action(), count=None, ids=self.ids, where=None, fields=self.names)]
        if plan.by_row:
            return self._rows(context)
        ids = [self._key(row) for row in self.rows[:IDS_MAX]]
        return [plan.native.statement(context, self._action(), count=len(self.rows), ids=ids, where=None, fields=self.names)]

    def touched(self, result: Any) -> bool:
        return self.send is None or bool(self.rows)

    def _action(self) -> Any:
        return "create" if self.ignores else "upsert"

    def _send(self, compiler: Any, returning: Any) -> Any:
        self.rows = _returning.inserted_rows(compiler, Columns(self.fields))
        return [row[: self.asked] for row in self.rows] if returning else []

    def _rows(self, context: _native.Context) -> Iterator[_native.Event]:
        native, positions = self.plan.native, self.plan.positions
        numbered = [(place, self.plan.numbers[positions[field.attname]]) for place, field in enumerate(self.fields)]
        recorded = sorted((number, place) for place, number in numbered if number is not None)
        numbers = [number for number, _ in recorded]
        for row in self.rows:
            values = [row[place] for _, place in recorded]
            if self.ignores:
                yield native.created(context, self._key(row), None, values)
            else:
                yield native.upserted(context, self._key(row), numbers, values)

    def _key(self, row: Sequence[Any]) -> Any:
        values = {field.attname: value for field, value in zip(self.fields, row, strict=True)}
        key = tuple(values[attname] for attname, _ in self.plan.key)
        return key[0] if len(key) == 1 else key


class QueryUpdate(Write):
    """``QuerySet.update``, ``bulk_update``, and the updates that deleting makes (``SET_NULL``).

    ``bulk`` is the ``bulk_update`` that it belongs to, whose old and new values are known. ``rows`` are the touched ones, key first.
    """

    __slots__ = ("before", "bulk", "counted", "ids", "query", "rows", "send", "using", "wanted", "where")

    verb = "update"

    def __init__(self, plan: Plan, compiler: Any, *, counted: bool, bulk: BulkUpdate | None) -> None:
        query = compiler.query
        self.plan = plan
        self.counted = counted
        self.query = query
        self.using = compiler.using
        self.bulk = bulk
        # Read now: an update of several tables rewrites its own condition.
        self.ids = _keys_asked_for(plan, query)
        single = counted and self.ids is not None and len(self.ids) == 1
        # Of one row everything is known before, but whether it is there.
        self.final = not (single and plan.by_row)
        self.where = where_text(query.where)
        self.rows: Rows = []
        self.before: dict[Any, Sequence[Any]] = {}
        self.send = None
        if plan.exact and not query.related_updates and _returning.is_possible(compiler.connection, plan.model):
            self.wanted = Columns([*keys_of(plan), *(field for field, _, _ in query.values)])
            self.final = True
            self.send = self._send_exactly
        elif plan.by_row and not query.related_updates and not single and _returning.is_possible(compiler.connection, plan.model):
            self.wanted = plan.key_columns
            self.send = self._send

    @property
    def open_ended(self) -> bool:  # type: ignore[override]
        return self.plan.by_row and (self.send is not None or bool(self.query.related_updates))

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        names = self.fields
        if not names:
            return []
        keys = self._keys(result) if self.plan.by_row else None
        if keys is not None:
            return self._rows(context, keys)
        count = None if result is PENDING else self._count(result)
        ids = self.ids if result is PENDING or self.send is None else [self._key(row) for row in self.rows]
        ids = None if ids is None else ids[:IDS_MAX]
        native = self.plan.native
        return [native.statement(context, "update", count=count, ids=ids, where=self.where, fields=names)]

    def touched(self, result: Any) -> bool:
        if self.send is not None:
            return bool(self.rows)
        return bool(_number(result)) if self.counted else self.ids != []

    def keep(self, result: Any, scope: Scope | None) -> None:
        for instance in self._instances_written(result):
            known = known_values(instance, self.plan, self.using)
            values = list(self.plan.unknown if known is None else known)
            for attname, position in self.plan.key:
                values[position] = instance.__dict__.get(attname, DEFERRED)
            for position in self.plan.generated:
                values[position] = DEFERRED
            for field, _, sent in self._values():
                position = self.plan.positions[field.attname]
                value = self._given(instance, field, sent)
                values[position] = DEFERRED if is_expression(value) else self.plan.normalise[position](value)
            remember(instance, self.plan, values, scope)

    def forget(self) -> None:
        for instance in self.bulk.instances.values() if self.bulk is not None else ():
            forget(instance)

    def _send(self, compiler: Any, result_type: Any) -> int:
        rows = _returning.touched_rows(compiler, self.wanted)
        self.rows = rows or []
        return len(self.rows) if is_counted(result_type) else 0

    def _send_exactly(self, compiler: Any, result_type: Any) -> int:
        # The hook made sure that this is inside a transaction: nobody may change the rows in between.
        if not any(field.primary_key or field in self.wanted.fields[: len(self.plan.key)] for field, _, _ in self.query.values):
            self.before = {self._key(row): row for row in _returning.old_rows(compiler, self.wanted.fields)}
        return self._send(compiler, result_type)

    def _values(self) -> list[Any]:
        """What is sent, inherited fields included, which Django updates by themselves."""
        inherited = [value for values in self.query.related_updates.values() for value in values]
        return [value for value in (*self.query.values, *inherited) if value[0].attname in self.plan.places]

    @property
    def fields(self) -> list[str]:
        """The names of the recorded fields that are sent."""
        return _recorded_names(self.plan, [field for field, _, _ in self._values()])

    def _keys(self, result: Any) -> list[Any] | None:
        """The keys of the rows that were touched, ``None`` when they are not known (yet)."""
        if self.send is not None:
            return None if result is PENDING else [self._key(row) for row in self.rows]
        if self.query.related_updates:
            # Django has read the keys itself and put them into the condition.
            ids = None if result is PENDING else asked_for(self.query.where, self.plan.key[0][0])
            return ids if ids is not None and len(ids) == self._count(result) else None
        return self.ids if self.counted and self.ids is not None and len(self.ids) == 1 else None

    def _count(self, result: Any) -> int | None:
        if self.send is not None:
            return len(self.rows)
        return _number(result) if self.counted else None

    def _key(self, row: Sequence[Any]) -> Any:
        parts = len(self.plan.key)
        return row[0] if parts == 1 else tuple(row[:parts])

    def _rows(self, context: _native.Context, keys: list[Any]) -> Iterator[_native.Event]:
        if self.bulk is not None:
            return self._rows_of_instances(context, keys, self.bulk)
        if self.before:
            return self._exact_rows(context)
        return self._like_rows(context, keys)

    def _like_rows(self, context: _native.Context, keys: list[Any]) -> Iterator[_native.Event]:
        """Rows that were all given the same: the new values as far as they are known, the old ones where the condition names them."""
        plan, query = self.plan, self.query
        numbers, old, new = [], [], []
        for field, _, value in self._values():
            place = plan.places[field.attname]
            if place.number is not None:
                numbers.append(place.number)
                old.append(_demanded_reference(query, field))
                new.append(_plain(field, place.normalised(value)))
        old, new = shown(old), shown(new)
        for key in keys:
            event = plan.native.updated(context, key, None, numbers, old, new)
            if event is not None:
                yield event

    def _rows_of_instances(self, context: _native.Context, keys: list[Any], bulk: BulkUpdate) -> Iterator[_native.Event]:
        plan = self.plan
        written = [(plan.places[field.attname], field, sent) for field, _, sent in self._values()]
        places = [(place, field, sent) for place, field, sent in written if place.number is not None]
        numbers = [place.number for place, _, _ in places if place.number is not None]
        for key in keys:
            instance = bulk.instances.get(key)
            known = None if instance is None else known_values(instance, plan, self.using)
            known = plan.unknown if known is None else known
            old = shown([known[place.position] for place, _, _ in places])
            new = shown([place.normalised(self._given(instance, field, sent)) for place, field, sent in places])
            label = None if plan.label_of is None or instance is None else plan.label_of(instance)
            event = plan.native.updated(context, key, label, numbers, old, new)
            if event is not None:
                yield event

    def _given(self, instance: Model | None, field: Field[Any, Any], sent: Any) -> Any:
        """What a row of a ``bulk_update`` is given."""
        if self.bulk is None or not self.bulk.gives(field, sent):
            return _plain(field, sent)
        return DEFERRED if instance is None else instance.__dict__.get(field.attname, DEFERRED)

    def _exact_rows(self, context: _native.Context) -> Iterator[_native.Event]:
        plan = self.plan
        width = len(plan.key)
        numbered = [
            (place, plan.numbers[plan.positions[field.attname]]) for place, field in enumerate(self.wanted.fields) if place >= width
        ]
        recorded = [(place, number) for place, number in numbered if number is not None]
        numbers = [number for _, number in recorded]
        nothing = [DEFERRED] * len(self.wanted.fields)
        for row in self.rows:
            before = self.before.get(self._key(row), nothing)
            old, new = [before[place] for place, _ in recorded], [row[place] for place, _ in recorded]
            event = plan.native.updated(context, self._key(row), None, numbers, shown(old), new)
            if event is not None:
                yield event

    def _instances_written(self, result: Any) -> list[Model]:
        if self.bulk is None:
            return []
        keys = self._keys(result)
        return [self.bulk.instances[key] for key in keys or () if key in self.bulk.instances]


class QueryDelete(Write):
    """Rows are deleted without having been loaded: ``QuerySet.delete`` of a model nothing refers to, and fast cascades."""

    __slots__ = ("fields", "ids", "rows", "send", "where")

    verb = "delete"

    def __init__(self, plan: Plan, compiler: Any) -> None:
        self.plan = plan
        self.final = True
        self.ids = _keys_asked_for(plan, compiler.query)
        self.where = where_text(compiler.query.where)
        self.rows: Rows = []
        self.send = None
        if (plan.by_row or plan.exact) and _returning.is_possible(compiler.connection, plan.model):
            # What a row belonged to is as good as its name; the rest of it is read only for who asked.
            more = plan.own if plan.exact else plan.references
            keys = keys_of(plan)
            self.fields: Fields = [*keys, *(field for field in more if field not in keys)]
            self.send = self._send

    @property
    def open_ended(self) -> bool:  # type: ignore[override]
        return self.send is not None and self.plan.by_row

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        if self.send is not None and self.plan.by_row and result is not PENDING:
            return self._rows(context)
        count = None if result is PENDING else row_count(result)
        ids = self.ids if result is PENDING or self.send is None else [self._key(row) for row in self.rows[:IDS_MAX]]
        return [self.plan.native.statement(context, "delete", count=count, ids=ids, where=self.where, fields=())]

    def touched(self, result: Any) -> bool:
        return row_count(result) != 0

    def _send(self, compiler: Any, result_type: Any) -> Any:
        rows = _returning.touched_rows(compiler, Columns(self.fields))
        self.rows = rows or []
        return _returning.as_deleted(rows, result_type)

    def _rows(self, context: _native.Context) -> Iterator[_native.Event]:
        plan = self.plan
        numbered = [(place, plan.numbers[plan.positions[field.attname]]) for place, field in enumerate(self.fields)]
        recorded = sorted((number, place) for place, number in numbered if number is not None)
        numbers = [number for number, _ in recorded]
        for row in self.rows:
            yield plan.native.deleted(context, self._key(row), None, numbers, [row[place] for _, place in recorded])

    def _key(self, row: Sequence[Any]) -> Any:
        parts = len(self.plan.key)
        return row[0] if parts == 1 else tuple(row[:parts])


def is_counted(result_type: Any) -> bool:
    """Whether a statement executed so answers with the number of its rows."""
    return bool(result_type) and result_type != NO_RESULTS


def keys_of(plan: Plan) -> list[Field[Any, Any]]:
    """The fields of the primary key."""
    return [plan.fields[position] for _, position in plan.key]


def key_in(plan: Plan, values: Sequence[Any]) -> Any:
    """The primary key among the values of all concrete fields, ``None`` when the database has yet to make it."""
    if len(plan.key) == 1:
        key = values[plan.key[0][1]]
        return None if key is DEFERRED or (type(key) is not int and is_expression(key)) else key
    return tuple(values[position] for _, position in plan.key)


def _is_wanted(plan: Plan, position: int) -> bool:
    return plan.numbers[position] is not None or any(position == place for _, place in plan.key)


def _keys_asked_for(plan: Plan, query: Any) -> list[Any] | None:
    if len(plan.key) != 1:
        return None
    ids = asked_for(query.where, plan.key[0][0])
    return None if ids is None else ids[:IDS_MAX]


def _recorded_names(plan: Plan, fields: Fields) -> list[str]:
    places = plan.places
    return [field.name for field in fields if field.attname in places and places[field.attname].number is not None]


def _demanded_reference(query: Any, field: Field[Any, Any]) -> Any:
    """The one value that the condition demands of a foreign key: it is the old one of every row."""
    values = asked_for(query.where, field.attname) if field.remote_field is not None else None
    return values[0] if values is not None and len(values) == 1 else DEFERRED


def _plain(field: Field[Any, Any], value: Any) -> Any:
    """A value as it is sent: of an instance, what a foreign key to it holds."""
    if isinstance(value, Model) and field.remote_field is not None:
        return getattr(value, field.target_field.attname)  # type: ignore[attr-defined]
    return value


def _number(result: Any) -> int:
    # Django 6 returns the rows themselves where it asked for columns.
    return len(result) if isinstance(result, list) else int(result or 0)
