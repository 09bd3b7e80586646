"""COPY by the driver: psycopg's ``cursor.copy``, which does not pass through ``execute``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from indelible.django import _transactions
from indelible.django._recording import Begun, Write

Look = Callable[[BaseDatabaseWrapper, Any], "Write | None"]
"""What a text writes into recorded tables, ``None`` if nothing."""


_BACKEND: Final = "django.db.backends.postgresql.base"


def install(look: Look) -> None:
    """Looks at every COPY from now on."""
    CursorWrapper.copy = _Copy(look)  # type: ignore[attr-defined]
    _transactions.at_connect.append(functools.partial(_install_in_debug_cursors, look))


def _install_in_debug_cursors(look: Look, connection: BaseDatabaseWrapper) -> None:
    """The cursors that keep a log of queries have a ``copy`` of their own; their class is there as soon as somebody connects."""
    cursors = getattr(sys.modules.get(_BACKEND), "CursorDebugWrapper", None)
    django = vars(cursors).get("copy") if cursors is not None else None
    if cursors is not None and django is not None and not isinstance(django, _Copy):
        cursors.copy = _Copy(look, django)


class _Copy:
    """The attribute ``copy`` of Django's cursors: that of their class, or the driver's, where it has one."""

    def __init__(self, look: Look, django: Callable[..., Any] | None = None) -> None:
        self._look = look
        self._django = django

    def __get__(self, cursor: Any, owner: Any) -> Any:
        if cursor is None:
            return self
        # Where the driver has none, the AttributeError is that of Django's cursor.
        copy = cursor.cursor.copy if self._django is None else functools.partial(self._django, cursor)
        return functools.partial(self._begin, cursor, copy)

    def _begin(self, cursor: Any, copy: Callable[..., Any], statement: Any, *args: Any, **kwargs: Any) -> Any:
        block = copy(statement, *args, **kwargs)
        write = self._look(cursor.db, statement)
        return block if write is None else _Copying(cursor, write, block)


class _Copying:
    """The driver's block of one COPY that writes a recorded table."""

    __slots__ = ("_begun", "_block", "_cursor", "_write")

    _begun: Begun

    def __init__(self, cursor: Any, write: Write, block: Any) -> None:
        self._cursor = cursor
        self._write = write
        self._block = block

    def __enter__(self) -> Any:
        self._begun = Begun(self._cursor.db, self._write)
        try:
            return self._block.__enter__()
        except BaseException as raised:
            self._begun.failed(_as_django_has_it(raised))
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> Any:
        try:
            suppressed = self._block.__exit__(kind, error, traceback)
        except BaseException as raised:
            self._begun.failed(_as_django_has_it(raised))
            raise
        if error is None:
            rows = self._cursor.cursor.rowcount
            self._begun.succeeded(rows if isinstance(rows, int) and rows >= 0 else None)
        else:
            # The driver told the server, which has dropped what it had.
            self._begun.undone()
        return suppressed


def _as_django_has_it(raised: BaseException) -> BaseException:
    """An error of the driver as Django's own methods raise it: as the cause of one of Django's."""
    error = DatabaseError()
    error.__cause__ = raised
    return error
