"""Many-to-many fields: rows of their tables are changes of the model that has the field, from whichever side they are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from django.db.models import Model

from indelible.django import _returning
from indelible.django._models import Plan, is_link_table, plan_of
from indelible.django._queries import IDS_MAX, asked_for, is_only_about, where_text
from indelible.django._recording import PENDING, Write
from indelible.django._rows import row_count

if TYPE_CHECKING:
    from indelible import _native


Pairs: TypeAlias = "Sequence[Sequence[Any]]"
"""Keys of both ends, the model's that has the field first."""


class Link(NamedTuple):
    """A many-to-many field: the plan of its model, its name, and the columns of its table that point at both ends."""

    plan: Plan
    field: str
    source: str
    target: str
    ends: _returning.Columns
    masked: bool


def link_of(through: type[Model]) -> Link | None:
    """The field that a table belongs to which Django made by itself; ``None`` for other tables and unrecorded models."""
    # Django's mark on such a table: the model that has the field.
    # A proxy of it is what sites give to an inline of the admin, for the sake of a name.
    through = through._meta.concrete_model or through
    source: Any = through._meta.auto_created
    plan = plan_of(source) if isinstance(source, type) else None
    if plan is None:
        return None
    try:
        return plan.links[through]
    except KeyError:
        link = plan.links[through] = _find_link(through, source, plan) if is_link_table(through) else None
        return link


def _find_link(through: type[Model], source: type[Model], plan: Plan) -> Link | None:
    for field in source._meta.local_many_to_many:
        if field.remote_field.through is through and field.name not in plan.unrecorded:
            columns: Any = through._meta
            source_end, target_end = columns.get_field(field.m2m_field_name()), columns.get_field(field.m2m_reverse_field_name())
            ends = _returning.Columns((source_end, target_end), kept=True)
            return Link(plan, field.name, source_end.attname, target_end.attname, ends, field.name in plan.masked_links)
    return None


class LinkInsert(Write):
    """Rows are added. Django inserts without looking first; the database says which were new, where it can (``exact``)."""

    __slots__ = ("exact", "link", "pairs", "rows", "send")

    verb = "update"

    def __init__(self, link: Link, query: Any, connection: Any) -> None:
        self.plan = link.plan
        self.link = link
        self.exact = query.on_conflict is None
        self.rows: Sequence[Model] = query.objs
        self.pairs: Pairs | None = None
        self.send = None
        if not self.exact and _returning.is_possible(connection, query.model):
            self.send = self._send
        self.final = self.send is not None

    @property
    def open_ended(self) -> bool:  # type: ignore[override]
        return self.send is not None

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        link, pairs = self.link, self.pairs
        exact = self.exact or pairs is not None
        if pairs is None:
            pairs = self._asked()
        if len(pairs) == 1:
            # One row at a time is what most additions are.
            ((source, target),) = pairs
            return (link.plan.native.related(context, source, None, link.field, added=(target,), exact=exact, masked=link.masked),)
        return _events(link, context, pairs, "added", exact=exact)

    def touched(self, result: Any) -> bool:
        return self.pairs is None or bool(self.pairs)

    def _send(self, compiler: Any, returning: Any) -> list[Any]:
        # Nobody asked for rows: Django takes what could not be inserted for inserted too.
        if len(self.rows) == 1:
            # Of one row the count says it all, and costs less than asking for it.
            self.pairs = self._asked() if _returning.inserted_count(compiler) else []
        else:
            self.pairs = _returning.inserted_rows(compiler, self.link.ends)
        return []

    def _asked(self) -> Pairs:
        source, target = self.link.source, self.link.target
        return [(getattr(row, source), getattr(row, target)) for row in self.rows]


class LinkDelete(Write):
    """Rows are removed: by ``remove``, which names both ends, by ``clear``, which names one, or because an end is deleted."""

    __slots__ = ("link", "pairs", "send", "sources", "targets", "where")

    verb = "update"

    def __init__(self, link: Link, compiler: Any) -> None:
        where = compiler.query.where
        self.plan = link.plan
        self.final = True
        self.link = link
        self.sources = asked_for(where, link.source)
        self.targets = asked_for(where, link.target) if is_only_about(where, (link.source, link.target)) else None
        self.where = where_text(where)
        self.pairs: Pairs | None = None
        self.send = self._send if _returning.is_possible(compiler.connection, compiler.query.model) else None

    @property
    def open_ended(self) -> bool:  # type: ignore[override]
        return self.send is not None

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        link, native = self.link, self.plan.native
        if self.pairs is not None:
            return _events(link, context, self.pairs, "removed", exact=True)
        count = None if result is PENDING else row_count(result)
        sources, targets = self.sources, self.targets
        if sources is None or targets is None or len(sources) > IDS_MAX:
            ids = None if sources is None else sources[:IDS_MAX]
            return [native.statement(context, "update", count=count, ids=ids, where=self.where, fields=(link.field,))]
        exact = count == len(sources) * len(targets)
        return [native.related(context, source, None, link.field, removed=targets, exact=exact, masked=link.masked) for source in sources]

    def touched(self, result: Any) -> bool:
        return row_count(result) != 0

    def _send(self, compiler: Any, result_type: Any) -> Any:
        self.pairs = rows = _returning.touched_rows(compiler, self.link.ends)
        return _returning.as_deleted(rows, result_type)


class LinkUpdate(Write):
    """A row is pointed elsewhere, as an inline of the admin does: what it points at now is known, what it pointed at before is not."""

    __slots__ = ("link", "pairs", "send")

    verb = "update"

    def __init__(self, link: Link, compiler: Any) -> None:
        self.plan = link.plan
        self.final = True
        self.link = link
        self.pairs: Pairs = []
        self.send = self._send if _returning.is_possible(compiler.connection, compiler.query.model) else None

    @property
    def open_ended(self) -> bool:  # type: ignore[override]
        return self.send is not None

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        if self.pairs:
            return _events(self.link, context, self.pairs, "added", exact=False)
        count = None if result is PENDING else int(result or 0)
        return [self.plan.native.statement(context, "update", count=count, ids=None, where=None, fields=(self.link.field,))]

    def touched(self, result: Any) -> bool:
        return bool(self.pairs) or bool(result)

    def _send(self, compiler: Any, result_type: Any) -> int:
        self.pairs = _returning.touched_rows(compiler, self.link.ends) or []
        return len(self.pairs)


def _events(link: Link, context: _native.Context, pairs: Pairs, what: str, *, exact: bool) -> Iterator[_native.Event]:
    """One event for each source, with the ids at the other end; more of them than fit into one are several."""
    ids: dict[Any, list[Any]] = {}
    for source, target in pairs:
        ids.setdefault(source, []).append(target)
    related, field, masked = link.plan.native.related, link.field, link.masked
    for source, targets in ids.items():
        for start in range(0, len(targets), IDS_MAX):
            part = targets[start : start + IDS_MAX]
            if what == "added":
                yield related(context, source, None, field, added=part, exact=exact, masked=masked)
            else:
                yield related(context, source, None, field, removed=part, exact=exact, masked=masked)
