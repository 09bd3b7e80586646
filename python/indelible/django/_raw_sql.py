"""SQL of the application's own that writes a recorded table: noticed on its way through Django's cursors.

What Django's compilers send carries a mark on the connection and is none of it. A statement that reads is told by its first letters, if no other can follow it;
the rest goes to the native module, which names the tables, or says that nobody can. Parameters and literals are never kept. Not seen are ``callproc``, COPY by
psycopg 2's own methods, ``executescript``, and connections that Django did not make.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from indelible import _runtime
from indelible.django import _copying, _models, _opaque_sql, conf
from indelible.django._links import link_of
from indelible.django._models import Plan, plan_of
from indelible.django._recording import PENDING, Write, perform_alone
from indelible.django._snapshots import Scope
from indelible.django._transactions import tracker_of

if TYPE_CHECKING:
    from indelible import _native

Execute = Callable[[Any], Any]
Summary = tuple[str, bool, list[tuple[str, str, bool]], list[str]]
Opaque = tuple[Sequence[str], str]

_READING: Final = frozenset({"SELECT", "BEGIN", "BEGIN ", "SAVEPO", "RELEAS", "ROLLBA", "PRAGMA"})
"""First letters of what writes no table, as Django and its backends send it all the time."""

_PREPARES: Final = re.compile(r"\s*PREPARE\s+TRANSACTION\b", re.IGNORECASE)
"""The first phase of a two-phase commit: who decides about the transaction, and when, is not seen here."""

_CACHED_TEXT_MAX: Final = 4096


class Target(NamedTuple):
    """A recorded table that a text writes; ``counted``: the driver's row count is of this table."""

    plan: Plan
    table: str
    verb: str
    counted: bool


class RawWrite(Write):
    """One execution of a text: an event for each recorded table in it."""

    __slots__ = ("fingerprint", "targets")

    verb = "update"

    def __init__(self, targets: Sequence[Target], fingerprint: str) -> None:
        self.plan = next((target.plan for target in targets if target.plan.proved), targets[0].plan)
        self.final = True
        self.targets = targets
        self.fingerprint = fingerprint

    def name(self) -> str:
        return f"SQL that writes {self.plan.type}"

    def events(self, context: _native.Context, result: Any) -> Iterable[_native.Event]:
        runtime = _runtime.runtime()
        made = []
        for plan, table, verb, counted in self.targets:
            if plan.runtime is not runtime:
                plan.prepare(runtime)
            count = result if counted and result is not PENDING else None
            made.append(plan.native.raw(context, table=table, verb=verb, count=count, fingerprint=self.fingerprint))
        return made

    def touched(self, result: Any) -> bool:
        return bool(result != 0)

    def keep(self, result: Any, scope: Scope | None) -> None:
        # Which rows it were nobody knows: what instances remember of them stays what was loaded.
        return None


def install() -> None:
    """Looks at everything that is executed from now on. Does nothing the second time."""
    if hasattr(CursorWrapper.execute, "indelible"):
        return
    BaseDatabaseWrapper.indelible_writing = False  # type: ignore[attr-defined]
    execute, executemany = _execute(CursorWrapper.execute), _executemany(CursorWrapper.executemany)
    execute.indelible = executemany.indelible = True
    CursorWrapper.execute = execute  # type: ignore[method-assign]
    CursorWrapper.executemany = executemany  # type: ignore[method-assign]
    _copying.install(_copied_into)


def _execute(django: Any) -> Any:
    if django.__module__ != CursorWrapper.__module__ or django.__code__.co_names != ("_execute_with_wrappers", "_execute"):
        return _around(django, many=False)

    # Django's own body, so that a query costs no call more.
    @functools.wraps(django)
    def execute(self: Any, sql: Any, params: Any = None) -> Any:
        writing = self.db.indelible_writing
        if writing is not False:
            send = self._execute if writing is True else functools.partial(writing.send, self._execute)
            return self._execute_with_wrappers(sql, params, many=False, executor=send)
        if sql.__class__ is str and sql[:6] in _READING and ";" not in sql:
            return self._execute_with_wrappers(sql, params, many=False, executor=self._execute)
        return _look(self, sql, lambda: self._execute_with_wrappers(sql, params, many=False, executor=self._execute))

    return execute


def _executemany(django: Any) -> Any:
    return _around(django, many=True)


def _around(django: Any, *, many: bool) -> Any:
    @functools.wraps(django)
    def execute(self: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
        writing = self.db.indelible_writing
        if writing is True:
            return django(self, sql, *args, **kwargs)
        if writing is not False:
            with self.db.execute_wrapper(writing.send):
                return django(self, sql, *args, **kwargs)
        return _look(self, sql, lambda: django(self, sql, *args, **kwargs))

    return execute


def _look(cursor: Any, sql: Any, execute: Callable[[], Any]) -> Any:
    """Executes, and records what the text writes."""
    if sql.__class__ is str and _PREPARES.match(sql):
        tracker_of(cursor.db).let_go()
    try:
        write, countable, opaque = _write_of(cursor.db, sql)
    except Exception as fault:
        _runtime.runtime().lose()
        _runtime.runtime().fault("raw SQL", fault)
        write, countable, opaque = None, False, None
    if opaque is not None:
        executed, (verbs, fingerprint) = execute, opaque
        execute = lambda: _opaque_sql.perform(cursor.db, verbs, fingerprint, executed)  # noqa: E731
    if write is None:
        return execute()
    answers: list[Any] = []

    def run() -> int | None:
        answers.append(execute())
        return _rows(cursor) if countable else None

    # Of rows that come back SQLite holds the statement open until they are fetched; what a procedure or the second of several statements
    # does may not bear a transaction around it.
    ends = countable and opaque is None and (not write.plan.proved or _is_one_statement(cursor.db, sql))
    perform_alone(cursor.db, write, run, ends=ends)
    return answers[0]


def _copied_into(connection: BaseDatabaseWrapper, sql: Any) -> RawWrite | None:
    """What a COPY by the driver writes, ``None`` where that is no recorded table."""
    try:
        return _write_of(connection, sql)[0]
    except Exception as fault:
        _runtime.runtime().lose()
        _runtime.runtime().fault("COPY", fault)
        return None


def _is_one_statement(connection: Any, sql: Any) -> bool:
    text = sql if isinstance(sql, str) else _text(connection, sql)
    # One in a literal is taken for an end too: that costs no more than the evidence.
    return ";" not in text.rstrip().removesuffix(";")


def _rows(cursor: Any) -> int | None:
    rows = cursor.cursor.rowcount
    return rows if isinstance(rows, int) and rows >= 0 else None


def _write_of(connection: Any, sql: Any) -> tuple[RawWrite | None, bool, Opaque | None]:
    """What a text writes, whether the driver can count it, and verbs and fingerprint of what may write tables that it does not name."""
    native = _runtime.runtime().native()
    if native is None or not conf.active().raw_sql:
        return None, False, None
    text = sql if isinstance(sql, str) else _text(connection, sql)
    fingerprint, returning, writes, verbs = _summary(text) if len(text) <= _CACHED_TEXT_MAX else native.sql_writes(text)
    if not writes and not verbs:
        return None, False, None
    plans = _plans_by_table(_models.generation())
    opaque = (verbs, fingerprint) if verbs and plans else None
    targets = [Target(plans[name], name, verb, counted) for verb, table, counted in writes if (name := table.lower()) in plans]
    # SQLite counts rows that come back only when they were fetched.
    return RawWrite(targets, fingerprint) if targets else None, not (returning and connection.vendor == "sqlite"), opaque


def _text(connection: Any, sql: Any) -> str:
    # psycopg composes statements out of objects, which know their text for a connection.
    composed = getattr(sql, "as_string", None)
    if composed is not None:
        return str(composed(connection.connection))
    return sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)


@functools.lru_cache(maxsize=256)
def _summary(text: str) -> Summary:
    native: Any = sys.modules["indelible._native"]
    summary: Summary = native.sql_writes(text)
    return summary


@functools.lru_cache(maxsize=1)
def _plans_by_table(generation: int) -> dict[str, Plan]:
    """The plan behind each recorded table, many-to-many tables included: those are their field's model's."""
    plans: dict[str, Plan] = {}
    for model in apps.get_models(include_auto_created=True):
        plan = plan_of(model)
        if plan is None and (link := link_of(model)) is not None:
            plan = link.plan
        if plan is not None:
            # Some sites name a schema in it: 'schema"."table'.
            plans[model._meta.db_table.rsplit('"."', 1)[-1].lower()] = plan
    return plans
