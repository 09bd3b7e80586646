"""Which rows a statement really touched, learnt from the statement itself: RETURNING is appended, no statement is added.

Only where the database can do it, and only on tables that Django made: a view or a foreign table may refuse. Each function does what
Django's compiler does between ``as_sql`` and the result, so that the rows are fetched to their end before anything is counted (SQLite
counts none of them before).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model
from django.db.models.sql import Query
from django.db.models.sql.constants import CURSOR

Fields = Sequence["Field[Any, Any]"]
Rows = list[Sequence[Any]]
_Prepared: TypeAlias = "tuple[str, dict[Any, Any]]"

_VENDORS: Final = frozenset({"sqlite", "postgresql"})


class Columns:
    """Columns that are asked for. Those of a plan are asked for again and again: what they need is worked out once for each connection."""

    __slots__ = ("fields", "kept")

    def __init__(self, fields: Fields, *, kept: bool = False) -> None:
        self.fields = fields
        self.kept = kept

    def prepared(self, compiler: Any) -> _Prepared:
        """The clause, and what makes Python values of the database's."""
        if not self.kept:
            return self._prepare(compiler)
        cache: dict[Columns, _Prepared] = compiler.connection.__dict__.setdefault("indelible_columns", {})
        prepared = cache.get(self)
        if prepared is None:
            prepared = cache[self] = self._prepare(compiler)
        return prepared

    def _prepare(self, compiler: Any) -> _Prepared:
        quote = compiler.connection.ops.quote_name
        # Without the name of the table, which there is only one of: the text is scanned for placeholders each time.
        sql = "RETURNING " + ", ".join(quote(field.column) for field in self.fields)
        table = compiler.query.get_meta().db_table
        return sql, compiler.get_converters([field.get_col(table) for field in self.fields])


def is_possible(connection: BaseDatabaseWrapper, model: type[Model]) -> bool:
    """Whether INSERT, UPDATE and DELETE on the table of a model can say which rows they touched."""
    return connection.vendor in _VENDORS and bool(connection.features.can_return_rows_from_bulk_insert) and model._meta.managed


def touched_rows(compiler: Any, columns: Columns) -> Rows | None:
    """Sends an UPDATE or DELETE; the values of ``columns`` of every row it touched, ``None`` when there was nothing to send."""
    try:
        sql, params = compiler.as_sql()
    except EmptyResultSet:
        return None
    if not sql:
        return None
    return _fetched(compiler, [(sql, params)], columns)


def inserted_rows(compiler: Any, columns: Columns) -> Rows:
    """Sends an INSERT; the values of ``columns`` of every row that it made, or that it updated because of a conflict."""
    return _fetched(compiler, compiler.as_sql(), columns)


def inserted_count(compiler: Any) -> int:
    """Sends an INSERT; how many rows it made. Of rows that stood in its way nothing is said."""
    with compiler.connection.cursor() as cursor:
        count = 0
        for sql, params in compiler.as_sql():
            cursor.execute(sql, params)
            # Of the driver's: Django's wrapper finds it by way of an AttributeError, which costs more than the rest.
            count += cursor.cursor.rowcount
        return count


def old_rows(compiler: Any, fields: Fields) -> Rows:
    """Reads, and locks where that is possible, the rows that an UPDATE is about to touch. This is a statement more."""
    query = compiler.query.chain(klass=Query)
    query.get_initial_alias()
    single = query.count_active_tables() == 1
    query.select_related = False
    query.clear_ordering(force=True)
    query.extra = {}
    query.select = ()
    query.add_fields([field.name for field in fields])
    query.select_for_update = single and compiler.connection.features.has_select_for_update
    return list(query.get_compiler(compiler.using).results_iter())


class Count:
    """What is left of a cursor whose rows are fetched: Django 4.2 reads the number of deleted rows from it and closes it."""

    __slots__ = ("rowcount",)

    def __init__(self, rowcount: int) -> None:
        self.rowcount = rowcount

    def __enter__(self) -> Count:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def close(self) -> None:
        """Nothing is open."""


def as_deleted(rows: Rows | None, result_type: Any) -> Any:
    """The result of a DELETE as Django's compiler gives it."""
    if rows is None:
        return None
    return Count(len(rows)) if result_type == CURSOR else len(rows)


def _fetched(compiler: Any, statements: Iterable[tuple[str, Any]], columns: Columns) -> Rows:
    clause, converters = columns.prepared(compiler)
    rows: Rows = []
    with compiler.connection.cursor() as cursor:
        for sql, params in statements:
            cursor.execute(f"{sql} {clause}", params)
            rows += cursor.fetchall()
    return list(compiler.apply_converters(rows, converters)) if converters else rows
