"""Our own tables from the outside, in short transactions of our own.

They run on the connection of the calling thread, which must be in no transaction, and are begun and ended in plain SQL through a cursor
of the driver: nothing of it is the application's, and nothing of it is recorded.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

BATCH: Final = 1_000
"""How many rows one statement lists at most."""

NOW: Final = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')"}
DAY_AGO: Final = {"postgresql": "clock_timestamp() - interval '24 hours'", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-24 hours')"}

_PARAMETERS_MAX: Final = 500

_Base = tuple[str, str, str, str]
homes: Final[dict[_Base, str]] = {}
"""The schema of PostgreSQL that our tables of a database are in, as far as somebody has looked (see ``_marks``)."""

_BEGIN: Final = {
    "postgresql": (
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '10s'; "
        "SET LOCAL synchronous_commit = on"
    ),
    "sqlite": "BEGIN IMMEDIATE",
}
# A server that is gone without a word is noticed, by settings of libpq; what the site has set itself counts.
_POSTGRESQL_OPTIONS: Final = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
# A second process that writes is waited for as long as a lock of PostgreSQL, and what is committed is on the disk.
_SQLITE_SETTINGS: Final = ("PRAGMA busy_timeout = 1000", "PRAGMA synchronous = FULL")


def base_of(connection: BaseDatabaseWrapper) -> _Base:
    """Which database a connection is to, as its settings say."""
    settings = connection.settings_dict
    return connection.alias, str(settings.get("NAME")), str(settings.get("HOST")), str(settings.get("PORT"))


class Table:
    """One of our tables in one database, for one thread.

    Every method may raise ``DatabaseError``: nothing is known then, and nothing was changed by the transaction that it was raised in. The
    next one connects again.
    """

    name: ClassVar[str]

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def connect(self) -> None:
        """Connects, where that was not done yet."""
        connection: Any = connections[self.alias]
        if connection.connection is not None:
            return
        if self.vendor == "postgresql":
            _set_apart(connection)
        try:
            connection.ensure_connection()
        except BaseException:
            connection.close()
            raise
        if not connection.get_autocommit():
            connection.set_autocommit(True)
        if self.vendor == "sqlite":
            driver: Any = connection.connection
            with closing(driver.cursor()) as cursor:
                for sql in _SQLITE_SETTINGS:
                    cursor.execute(sql)

    def close(self) -> None:
        """Gives the connection back, whatever state it is in."""
        connections[self.alias].close()

    @property
    def vendor(self) -> str:
        """The kind of database."""
        return connections[self.alias].vendor

    @property
    def mark(self) -> str:
        """What stands for a parameter."""
        return "?" if self.vendor == "sqlite" else "%s"

    def marks(self, values: Sequence[Any]) -> str:
        """The same for several."""
        return ", ".join([self.mark] * len(values))

    def given(self, *values: Any) -> tuple[Any, ...]:
        """Values as the driver takes them, identifiers among them."""
        sqlite = self.vendor == "sqlite"
        return tuple((value.hex if sqlite else str(value)) if isinstance(value, uuid.UUID) else value for value in values)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A transaction that is on the database's disk when the block is left without an exception; the value is its cursor."""
        self.connect()
        connection: Any = connections[self.alias]
        with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
            cursor.execute(_BEGIN[self.vendor])
            try:
                if (home := homes.get(base_of(connection))) is not None:
                    cursor.execute(f"SET LOCAL search_path = {connection.ops.quote_name(home)}")
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                # It may be the connection that failed; closing it rolls back too.
                connection.close()
                raise

    def read(self, sql: str, *values: Any) -> list[Any]:
        """The rows that a SELECT finds. Bounded in time by the database where it can be, and no lock for SQLite's writers."""
        if self.vendor != "sqlite":
            with self.transaction() as cursor:
                cursor.execute(sql, self.given(*values))
                found: list[Any] = cursor.fetchall()
            return found
        self.connect()
        connection: Any = connections[self.alias]
        with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
            cursor.execute(sql, self.given(*values))
            rows: list[Any] = cursor.fetchall()
        return rows

    def delete(self, intents: Sequence[uuid.UUID]) -> int:
        """Deletes rows, and says how many there were."""
        count = 0
        for part in parts(intents):
            with self.transaction() as cursor:
                cursor.execute(f"DELETE FROM {self.name} WHERE id IN ({self.marks(part)})", self.given(*part))
                count += cursor.rowcount
        return count


def _set_apart(connection: Any) -> None:
    """Gives a connection settings of ours until it is closed: its own copy, since those of other threads are the application's.

    It comes from no pool. One that the application uses up would keep us from answering for it, one that we made first would have our
    options, and one that a thread of ours opened before a fork would be shared with the child.
    """
    settings, close = connection.settings_dict, connection.close
    options = {**_POSTGRESQL_OPTIONS, **settings["OPTIONS"]}
    options.pop("pool", None)
    connection.settings_dict = {**settings, "OPTIONS": options}

    def close_and_restore() -> None:
        try:
            close()
        finally:
            connection.settings_dict = settings
            connection.close = close

    connection.close = close_and_restore


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Values by as many as one statement takes."""
    return (values[start : start + _PARAMETERS_MAX] for start in range(0, len(values), _PARAMETERS_MAX))


def identifier(value: Any) -> uuid.UUID:
    """An identifier as the database gave it."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))


def identifiers(rows: Iterable[Any]) -> set[uuid.UUID]:
    """The first column of rows."""
    return {identifier(row[0]) for row in rows}
