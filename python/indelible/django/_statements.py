"""Statements over many rows: what was asked, how many rows it touched, and their keys where the statement names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import Field, Model
from django.db.models.sql.constants import NO_RESULTS

from indelible.django._models import Plan
from indelible.django._queries import IDS_MAX, asked_for, where_text
from indelible.django._recording import PENDING, Write
from indelible.django._rows import Inserted, row_count
from indelible.django._snapshots import Scope, forget, remember

if TYPE_CHECKING:
    from indelible import _native


class BulkInsert(Write):
    """``bulk_create``: one batch of instances. With conflicts ignored or updated nobody says how many rows are new."""

    __slots__ = ("fields", "instances", "returning", "uncertain")

    verb = "create"

    def __init__(self, plan: Plan, query: Any, returning: Sequence[Field[Any, Any]]) -> None:
        self.plan = plan
        self.final = True
        self.instances: Sequence[Model] = query.objs
        self.fields = _recorded_names(plan, query.fields)
        self.returning = returning
        self.uncertain = query.on_conflict is not None

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        count = None if self.uncertain or result is PENDING else len(self.instances)
        ids = [pk for pk in self._keys(result) if pk is not None]
        return [self.plan.native.statement(context, "create", count=count, ids=ids, where=None, fields=self.fields)]

    def touched(self, result: Any) -> bool:
        return True

    def keep(self, result: Any, scope: Scope | None) -> None:
        if self.uncertain:
            return
        rows = result if result and len(result) == len(self.instances) else [()] * len(self.instances)
        for instance, row in zip(self.instances, rows, strict=True):
            inserted = Inserted(self.plan, instance)
            inserted.returned(self.plan, self.returning, row)
            remember(instance, self.plan, inserted.known(), scope)

    def forget(self) -> None:
        for instance in self.instances:
            forget(instance)

    def _keys(self, result: Any) -> list[Any]:
        key = self.plan.key[0][0]
        place = next((place for place, field in enumerate(self.returning) if field.attname == key), None)
        if place is not None and result is not PENDING and result and not self.uncertain:
            return [row[place] for row in result[:IDS_MAX]]
        return [instance.pk for instance in self.instances[:IDS_MAX]]


class QueryUpdate(Write):
    """``QuerySet.update`` and the updates that deleting makes (``SET_NULL``)."""

    __slots__ = ("counted", "fields", "ids", "where")

    verb = "update"

    def __init__(self, plan: Plan, query: Any, *, counted: bool) -> None:
        self.plan = plan
        self.final = counted
        self.counted = counted
        inherited = [value[0] for values in query.related_updates.values() for value in values]
        self.fields = _recorded_names(plan, [value[0] for value in query.values] + inherited)
        # Read now: an update of several tables rewrites its own condition.
        self.ids = _keys_asked_for(plan, query)
        self.where = where_text(query.where)

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        if not self.fields:
            return []
        count = _number(result) if self.counted and result is not PENDING else None
        native = self.plan.native
        return [native.statement(context, "update", count=count, ids=self.ids, where=self.where, fields=self.fields)]

    def touched(self, result: Any) -> bool:
        return bool(_number(result)) if self.counted else self.ids != []


class QueryDelete(Write):
    """Rows are deleted without having been loaded: ``QuerySet.delete`` of a model nothing refers to, and fast cascades."""

    __slots__ = ("ids", "where")

    verb = "delete"

    def __init__(self, plan: Plan, query: Any) -> None:
        self.plan = plan
        self.final = True
        self.ids = _keys_asked_for(plan, query)
        self.where = where_text(query.where)

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        count = None if result is PENDING else row_count(result)
        return [self.plan.native.statement(context, "delete", count=count, ids=self.ids, where=self.where, fields=())]

    def touched(self, result: Any) -> bool:
        return row_count(result) != 0


def is_counted(result_type: Any) -> bool:
    """Whether a statement executed so answers with the number of its rows."""
    return bool(result_type) and result_type != NO_RESULTS


def _keys_asked_for(plan: Plan, query: Any) -> list[Any] | None:
    if len(plan.key) != 1:
        return None
    ids = asked_for(query.where, plan.key[0][0])
    return None if ids is None else ids[:IDS_MAX]


def _recorded_names(plan: Plan, fields: Sequence[Field[Any, Any]]) -> list[str]:
    places = plan.places
    return [field.name for field in fields if field.attname in places and places[field.attname].number is not None]


def _number(result: Any) -> int:
    # Django 6 returns the rows themselves where it asked for columns.
    return len(result) if isinstance(result, list) else int(result or 0)
