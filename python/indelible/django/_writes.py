"""The hooks on everything that writes: Django's three write compilers, which see exactly the statements that are sent.

``Model._save_table`` and ``Collector.delete`` only say which instances a statement is about. No signal is connected: receivers of
the delete and many-to-many signals make Django read rows that it otherwise would not.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from django.core.serializers.base import DeserializedObject
from django.db import connections, transaction
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.db.models.sql.compiler import SQLDeleteCompiler, SQLInsertCompiler, SQLUpdateCompiler
from django.db.models.sql.constants import MULTI

from indelible import _runtime
from indelible.django._guard import Guard
from indelible.django._links import LinkDelete, LinkInsert, LinkUpdate, link_of
from indelible.django._models import Plan, plan_of
from indelible.django._queries import listed, only_asked_for, only_keys
from indelible.django._recording import Verb, Write, perform, record
from indelible.django._rows import PreSaved, RowInsert, RowsDelete, RowUpdate, Sent
from indelible.django._statements import BulkInsert, BulkUpdate, ConflictInsert, QueryDelete, QueryUpdate, is_counted
from indelible.django._transactions import in_transaction

Django = Callable[..., Any]


_Saving: TypeAlias = "tuple[Model, Plan, type[Model], bool]"
"""An instance, its plan, the table that it is on its way into, and whether it comes raw from a fixture, which is not recorded."""


class _Deleting:
    """What a collector deletes: its instances by class and key."""

    __slots__ = ("_by_field", "_by_model", "_parts", "collector")

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self._by_model: dict[type[Model], dict[Any, Model]] = {}
        self._by_field: dict[Any, dict[Any, Model]] = {}
        self._parts: dict[type[Model], set[Any]] = {}

    def instances(self, model: type[Model]) -> dict[Any, Model]:
        """The instances of exactly this class that are deleted row by row."""
        if model not in self._by_model:
            # Reading `pk` costs more than what it is made of; a key of several parts has no attribute of its own.
            key = getattr(model._meta.pk, "attname", None) or "pk"
            self._by_model[model] = {getattr(instance, key): instance for instance in self.collector.data.get(model, ())}
        return self._by_model[model]

    def parts(self, model: type[Model]) -> set[Any]:
        """The keys of rows that are the parent's part of another instance that is deleted too, which speaks for both."""
        if model not in self._parts:
            self._parts[model] = {key for child in self.collector.data for key in self._parent_keys(child, model)}
        return self._parts[model]

    def referring(self, plan: Plan, query: Any) -> BulkUpdate | None:
        """The loaded instances whose reference to what is deleted this UPDATE sets to something else, ``None`` if it is no such update."""
        if len(query.values) != 1:
            return None
        field = query.values[0][0]
        if field not in self._by_field:
            # Asked for by each batch of the update, and the same for all.
            self._by_field[field] = self._loaded(field)
        instances = self._by_field[field]
        return BulkUpdate(plan, instances, frozenset()) if instances else None

    def _loaded(self, updated: Any) -> dict[Any, Model]:
        """The loaded instances whose reference in this field is set to something else."""
        instances: dict[Any, Model] = {}
        for (field, _), several in self.collector.field_updates.items():
            if field == updated:
                # What was never loaded is updated by its own condition, which says what it referred to.
                groups: list[Any] = several
                loaded = (group for group in groups if not isinstance(group, QuerySet) or group._result_cache is not None)
                instances.update({instance.pk: instance for group in loaded for instance in group})
        return instances

    def _parent_keys(self, child: type[Model], model: type[Model]) -> list[Any]:
        concrete = child._meta.concrete_model
        if concrete is None or model not in concrete._meta.get_parent_list():
            return []
        link = concrete._meta.get_ancestor_link(model)
        return [] if link is None else [getattr(instance, link.attname) for instance in self.instances(child).values()]


class _Active(threading.local):
    """What this thread is in the middle of."""

    saving: _Saving | None = None
    deleting: _Deleting | None = None
    updating: BulkUpdate | None = None
    nested = False
    loading = False


_active: Final = _Active()


def install() -> None:
    """Hooks every write from now on. Does nothing the second time."""
    if hasattr(SQLInsertCompiler.execute_sql, "indelible"):
        return
    _hook(SQLInsertCompiler, "execute_sql", _insert)
    _hook(SQLUpdateCompiler, "execute_sql", _update)
    # Inherited from the compiler of every SELECT, which must not pay for it: the hook sits on the subclass alone.
    _hook(SQLDeleteCompiler, "execute_sql", _delete)
    if hasattr(SQLUpdateCompiler, "execute_returning_sql"):
        _hook(SQLUpdateCompiler, "execute_returning_sql", _update_returning)
    _hook(Model, "_save_table", _save_table)
    _hook(Collector, "delete", _collector_delete)
    _hook(QuerySet, "bulk_update", _bulk_update)
    QuerySet.bulk_update.alters_data = True  # type: ignore[attr-defined]
    _hook(DeserializedObject, "save", _load)


def _hook(owner: type, name: str, make: Callable[[Django], Django]) -> None:
    django = getattr(owner, name)
    hook = functools.wraps(django)(make(django))
    hook.indelible = True  # type: ignore[attr-defined]
    setattr(owner, name, hook)


def _insert(django: Django) -> Django:
    def execute_sql(self: Any, returning_fields: Any = None) -> Any:
        connection = self.connection
        outer = connection.indelible_writing
        connection.indelible_writing = outer or True
        try:
            try:
                write = _insert_write(self, returning_fields)
            except Exception as fault:
                _undescribed("insert", fault)
                write = None
            return django(self, returning_fields) if write is None else perform(write, django, self, returning_fields)
        finally:
            connection.indelible_writing = outer

    return execute_sql


def _update(django: Django) -> Django:
    def execute_sql(self: Any, result_type: Any) -> Any:
        connection = self.connection
        outer = connection.indelible_writing
        connection.indelible_writing = outer or True
        try:
            return update(self, result_type)
        finally:
            connection.indelible_writing = outer

    def update(self: Any, result_type: Any) -> Any:
        if _active.nested:
            return django(self, result_type)
        try:
            write = _update_write(self, (), is_counted(result_type))
        except Exception as fault:
            _undescribed("update", fault)
            write = None
        if write is None:
            return django(self, result_type)
        if _reads_before(write) and not in_transaction(self.connection):
            # Nobody may change the rows between reading their old values and the update.
            with transaction.atomic(using=self.using, savepoint=False):
                return update(self, result_type)
        if not self.query.related_updates:
            return perform(write, django, self, result_type)
        # An inherited field is updated by a compiler of its own, inside of this one: it is the same update.
        _active.nested = True
        try:
            return perform(write, django, self, result_type)
        finally:
            _active.nested = False

    return execute_sql


def _update_returning(django: Django) -> Django:
    def execute_returning_sql(self: Any, returning_fields: Any) -> Any:
        if not returning_fields or not self.connection.features.can_return_rows_from_update:
            # Django goes through execute_sql then, and so does the record of it.
            return django(self, returning_fields)
        connection = self.connection
        outer = connection.indelible_writing
        connection.indelible_writing = outer or True
        try:
            try:
                write = _update_write(self, returning_fields, True)
            except Exception as fault:
                _undescribed("update", fault)
                write = None
            if write is None:
                return django(self, returning_fields)
            if not _reads_before(write) or in_transaction(connection):
                return perform(write, django, self, returning_fields)
            with transaction.atomic(using=self.using, savepoint=False):
                return perform(write, django, self, returning_fields)
        finally:
            connection.indelible_writing = outer

    return execute_returning_sql


def _reads_before(write: Write) -> bool:
    return write.plan.exact and write.send is not None


def _delete(django: Django) -> Django:
    def execute_sql(self: Any, result_type: Any = MULTI, *args: Any, **kwargs: Any) -> Any:
        connection = self.connection
        outer = connection.indelible_writing
        connection.indelible_writing = outer or True
        try:
            if args or kwargs:
                return django(self, result_type, *args, **kwargs)
            try:
                write = _delete_write(self)
            except Exception as fault:
                _undescribed("delete", fault)
                write = None
            return django(self, result_type) if write is None else perform(write, django, self, result_type)
        finally:
            connection.indelible_writing = outer

    return execute_sql


def _save_table(django: Django) -> Django:
    def _save_table(
        self: Model,
        raw: bool = False,
        cls: Any = None,
        force_insert: Any = False,
        force_update: Any = False,
        using: Any = None,
        update_fields: Any = None,
    ) -> Any:
        plan = plan_of(type(self))
        if plan is None:
            return django(self, raw, cls, force_insert, force_update, using, update_fields)
        outer = _active.saving
        _active.saving = (self, plan, cls, raw)
        try:
            updated = django(self, raw, cls, force_insert, force_update, using, update_fields)
        except BaseException:
            # What was written of the other tables is taken back with this one, and is no part of the next save.
            self._state.__dict__.pop("indelible_parts", None)
            raise
        finally:
            _active.saving = outer
        if plan.inherited and cls is plan.model and not raw:
            _joined(plan, self, using)
        return updated

    return _save_table


def _collector_delete(django: Django) -> Django:
    def delete(self: Collector) -> Any:
        outer = _active.deleting
        _active.deleting = _Deleting(self)
        try:
            return django(self)
        finally:
            _active.deleting = outer

    return delete


def _bulk_update(django: Django) -> Django:
    def bulk_update(self: Any, objs: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
        plan = plan_of(self.model)
        if plan is None:
            return django(self, objs, fields, *args, **kwargs)
        names: Any = fields
        if isinstance(fields, Iterator):
            names = set()
            fields = _naming(fields, names)
        outer = _active.updating
        try:
            # Looked at while Django takes them, so that a generator is used up at the moment and in the way that it always was.
            if not isinstance(objs, (list, tuple)):
                objs = _noting(objs, names, plan)
            else:
                _active.updating = _noted(objs, names, plan)
            return django(self, objs, fields, *args, **kwargs)
        finally:
            _active.updating = outer

    return bulk_update


def _naming(fields: Iterator[Any], names: set[str]) -> Iterator[Any]:
    """Hands the names of the fields on, once the instances are taken. What the application updates meanwhile is no part of this update."""
    updating, _active.updating = _active.updating, None
    for name in fields:
        if isinstance(name, str):
            names.add(name)
        yield name
    _active.updating = updating


def _noting(objs: Iterable[Any], fields: Any, plan: Plan) -> Iterator[Any]:
    """Hands the instances on. What the application updates while it makes them is no part of the update that they are for."""
    taken: list[Any] = []
    for instance in objs:
        taken.append(instance)
        yield instance
    _active.updating = _noted(taken, fields, plan)


def _noted(objs: Iterable[Any], fields: Any, plan: Plan) -> BulkUpdate | None:
    instances: dict[Any, Model] = {}
    try:
        for instance in objs:
            # Of two with the same key Django's condition takes the first.
            if isinstance(instance, Model):
                instances.setdefault(instance.pk, instance)
        # A set of ours is filled as Django takes the names.
        return BulkUpdate(plan, instances, fields if isinstance(fields, set) else frozenset(fields))
    except Exception:
        # Names that are none, or a key that cannot be looked up: what Django thinks of them it says itself, and the rows are recorded without them.
        return None


def _load(django: Django) -> Django:
    def save(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _active.loading
        _active.loading = True
        try:
            return django(self, *args, **kwargs)
        finally:
            _active.loading = outer

    return save


def _undescribed(what: str, fault: Exception) -> None:
    """Takes note of a statement that could not be understood; it is sent all the same."""
    _runtime.runtime().lose()
    _runtime.runtime().fault(what, fault)


def _insert_write(compiler: Any, returning: Any) -> Write | None:
    """What an INSERT is about to do, ``None`` when it is nothing that is recorded."""
    query = compiler.query
    rows = query.objs
    if query.raw or not rows:
        return None
    saving = _active.saving
    if saving is None or saving[0] is not rows[0] or len(rows) != 1:
        return _several_inserted(compiler, returning or ())
    instance, plan, table, _ = saving
    pre_saved = _pre_saved(compiler, plan) if plan.interrupts else {}
    if plan.inherited:
        return _NewPart(plan, instance, table, pre_saved)
    return RowInsert(plan, instance, returning or (), pre_saved)


def _several_inserted(compiler: Any, returning: Any) -> Write | None:
    query = compiler.query
    plan = plan_of(query.model)
    if plan is not None:
        pre_saved = _pre_saved(compiler, plan) if plan.interrupts else {}
        if query.on_conflict is None:
            return BulkInsert(plan, query, returning, pre_saved)
        return ConflictInsert(plan, query, returning, compiler.connection)
    link = None if _active.loading else link_of(query.model)
    return None if link is None else LinkInsert(link, query, compiler.connection)


def _update_write(compiler: Any, returning: Any, counted: bool) -> Write | None:
    """What an UPDATE is about to do, ``None`` when it is nothing that is recorded."""
    query = compiler.query
    values = query.values
    saving = _active.saving
    # QuerySet.update names the model of each value, Model.save does not: that tells a save from an update during it.
    if saving is None or saving[2] is not query.model or not values or values[0][1] is not None:
        return _several_updated(compiler, counted) if values or query.related_updates else None
    instance, plan, table, raw = saving
    if raw:
        return None
    if plan.inherited:
        return _Part(plan, instance, table, values)
    update = RowUpdate(plan, instance, values, compiler.using, returning)
    if plan.exact:
        update.ask(compiler.connection)
    return update


def _several_updated(compiler: Any, counted: bool) -> Write | None:
    plan = plan_of(compiler.query.model)
    if plan is not None:
        updating, deleting = _active.updating, _active.deleting
        bulk = updating if updating is not None and updating.plan is plan else None
        if bulk is None and deleting is not None:
            bulk = deleting.referring(plan, compiler.query)
        return QueryUpdate(plan, compiler, counted=counted, bulk=bulk)
    link = link_of(compiler.query.model)
    return None if link is None or _active.loading else LinkUpdate(link, compiler)


def _delete_write(compiler: Any) -> Write | None:
    """What a DELETE is about to do, ``None`` when it is nothing that is recorded."""
    query = compiler.query
    plan = plan_of(query.model)
    if plan is None:
        link = None if _active.loading else link_of(query.model)
        return None if link is None else LinkDelete(link, compiler)
    deleting = _active.deleting
    instances = None if deleting is None else _instances_named(plan, query, deleting)
    if deleting is None or instances is None:
        return QueryDelete(plan, compiler)
    parts = deleting.parts(plan.model) if len(deleting.collector.data) > 1 else None
    wholes = [instance for instance in instances if instance.pk not in parts] if parts else instances
    return RowsDelete(plan, wholes, compiler.using, len(instances)) if wholes else None


def _instances_named(plan: Plan, query: Any, deleting: _Deleting) -> list[Model] | None:
    """The collected instances that a DELETE names by their keys; ``None`` when it says it another way."""
    collected = deleting.collector.data.get(query.model)
    if not collected:
        return None
    keys: list[Any] | None
    if len(plan.key) > 1:
        keys = only_keys(query.where, [attname for attname, _ in plan.key])
    else:
        attname = plan.key[0][0]
        keys = listed(query.where, attname)
        if keys is None:
            keys = only_asked_for(query.where, attname)
    if keys is None:
        return None
    if len(collected) == 1 == len(keys):
        # One row at a time is what most deletions are.
        instances = [instance for instance in collected if instance.pk == keys[0]]
    else:
        by_key = deleting.instances(query.model)
        instances = [by_key[key] for key in keys if key in by_key]
    return instances if len(instances) == len(keys) else None


def _pre_saved(compiler: Any, plan: Plan) -> PreSaved:
    """The values that fields are about to make for the INSERT without putting them on the instance.

    What a field sends to the database for that, such as the next number of a counter, is the application's own and no part of the INSERT.
    """
    pre_saved: PreSaved = {}
    django, connection = compiler.pre_save_val, compiler.connection

    def pre_save_val(field: Any, instance: Model) -> Any:
        writing, connection.indelible_writing = connection.indelible_writing, False
        try:
            value = django(field, instance)
        finally:
            connection.indelible_writing = writing
        if field.attname in plan.pre_saves:
            pre_saved.setdefault(id(instance), {})[field.attname] = value
        return value

    compiler.pre_save_val = pre_save_val
    return pre_saved


class _Part(Write):
    """One table of an instance that lives in several: remembered until the last one is written. Always inside a transaction.

    ``sent`` is empty for an INSERT.
    """

    __slots__ = ("instance", "sent", "table")

    verb: Verb = "update"

    def __init__(self, plan: Plan, instance: Model, table: type[Model], sent: Sent) -> None:
        self.plan = plan
        self.final = False
        self.instance = instance
        self.sent = sent
        self.table = table

    def events(self, context: Any, result: Any) -> list[Any]:
        return []

    def about(self) -> tuple[Model]:
        return (self.instance,)

    def touched(self, result: Any) -> bool:
        return not self.sent or bool(result)

    def keep(self, result: Any, scope: Any) -> None:
        self.instance._state.__dict__.setdefault("indelible_parts", {})[self.table] = self


class _NewPart(_Part):
    """One table that the instance is new in."""

    __slots__ = ("pre_saved",)

    verb: Verb = "create"

    def __init__(self, plan: Plan, instance: Model, table: type[Model], pre_saved: PreSaved) -> None:
        super().__init__(plan, instance, table, ())
        self.pre_saved = pre_saved


def _joined(plan: Plan, instance: Model, using: str) -> None:
    """Records an instance whose last table was just written: one event for all of them.

    Raises:
        RecordingRefused: nothing can be recorded, and the change must not be made then.
    """
    parts: dict[type[Model], _Part] = instance._state.__dict__.pop("indelible_parts", {})
    if not parts:
        return
    with Guard(f"save of {plan.type}", event=True, refuses=True):
        own = parts.get(plan.model)
        write: Write
        if own is not None and not own.sent:
            made = [part.pre_saved.get(id(instance), {}) for part in parts.values() if isinstance(part, _NewPart)]
            write = RowInsert(plan, instance, (), {id(instance): {name: value for values in made for name, value in values.items()}})
        else:
            write = RowUpdate(plan, instance, [value for part in parts.values() for value in part.sent], using)
        record(connections[using], write, [()])
