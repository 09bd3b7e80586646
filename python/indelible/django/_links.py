"""Many-to-many fields: rows of their tables are changes of the model that has the field, from whichever side they are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django.db.models import Model

from indelible.django._models import Plan, plan_of
from indelible.django._queries import IDS_MAX, asked_for, is_only_about, where_text
from indelible.django._recording import PENDING, Write
from indelible.django._rows import row_count

if TYPE_CHECKING:
    from indelible import _native


class Link(NamedTuple):
    """A many-to-many field: the plan of its model, its name, and the columns of its table that point at both ends."""

    plan: Plan
    field: str
    source: str
    target: str


def link_of(through: type[Model]) -> Link | None:
    """The field that a table belongs to which Django made by itself; ``None`` for other tables and unrecorded models."""
    # Django's mark on such a table: the model that has the field.
    source = cast("type[Model] | None", through._meta.auto_created)
    plan = plan_of(source) if source else None
    if source is None or plan is None:
        return None
    if through not in plan.links:
        plan.links[through] = _find_link(through, source, plan)
    return plan.links[through]


def _find_link(through: type[Model], source: type[Model], plan: Plan) -> Link | None:
    for field in source._meta.local_many_to_many:
        if field.remote_field.through is through and field.name not in plan.unrecorded:
            columns: Any = through._meta
            source_end, target_end = columns.get_field(field.m2m_field_name()), columns.get_field(field.m2m_reverse_field_name())
            return Link(plan, field.name, source_end.attname, target_end.attname)
    return None


class LinkInsert(Write):
    """Rows are added. Where Django inserts without looking first, the ids are those that were asked for (``exact`` is false)."""

    __slots__ = ("exact", "link", "rows")

    verb = "update"

    def __init__(self, link: Link, query: Any) -> None:
        self.plan = link.plan
        self.final = False
        self.link = link
        self.exact = query.on_conflict is None
        self.rows: Sequence[Model] = query.objs

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        link, native = self.link, self.plan.native
        added: dict[Any, list[Any]] = {}
        for row in self.rows:
            added.setdefault(getattr(row, link.source), []).append(getattr(row, link.target))
        if len(added) > IDS_MAX:
            ids = list(added)[:IDS_MAX]
            return [native.statement(context, "update", count=None, ids=ids, where=None, fields=(link.field,))]
        return [native.related(context, source, None, link.field, added=ids, exact=self.exact) for source, ids in added.items()]

    def touched(self, result: Any) -> bool:
        return True


class LinkDelete(Write):
    """Rows are removed. ``remove`` names both ends; ``clear`` only one of them, and then the other ids are not known."""

    __slots__ = ("link", "sources", "targets", "where")

    verb = "update"

    def __init__(self, link: Link, query: Any) -> None:
        self.plan = link.plan
        self.final = True
        self.link = link
        self.sources = asked_for(query.where, link.source)
        self.targets = asked_for(query.where, link.target) if is_only_about(query.where, (link.source, link.target)) else None
        self.where = where_text(query.where)

    def events(self, context: _native.Context, result: Any) -> list[_native.Event]:
        link, native = self.link, self.plan.native
        count = None if result is PENDING else row_count(result)
        sources, targets = self.sources, self.targets
        if sources is None or targets is None or len(sources) > IDS_MAX:
            ids = None if sources is None else sources[:IDS_MAX]
            return [native.statement(context, "update", count=count, ids=ids, where=self.where, fields=(link.field,))]
        exact = count == len(sources) * len(targets)
        return [native.related(context, source, None, link.field, removed=targets, exact=exact) for source in sources]

    def touched(self, result: Any) -> bool:
        return row_count(result) != 0
