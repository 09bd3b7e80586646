"""The last statement of a transaction: the row that proves its COMMIT.

It goes through a cursor of the driver, below every hook, so that the application's query logs and counts are what they were.
"""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import closing
from typing import Any, Final

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from indelible.django import _evidence
from indelible.django._guard import RecordingRefused
from indelible.django._outcomes import can_commit
from indelible.django.evidence._journals import journal_id
from indelible.django.evidence._tables import NOW, base_of, homes
from indelible.django.registry import Evidence

logger = logging.getLogger("indelible")

ABSENT_FOR_S: Final = 5.0
"""How long a table that was not there is not looked for again."""

TOLD_EVERY_S: Final = 60.0

_SAVEPOINT: Final = "indelible_mark"
# Where a new connection would find it, which is where every process and the resolver look, else where this one does.
_HOME_SQL: Final = """
SELECT coalesce(
    (SELECT space.nspname::text
     FROM pg_settings AS setting
     CROSS JOIN LATERAL unnest(string_to_array(setting.reset_val, ',')) WITH ORDINALITY AS given (name, place)
     JOIN pg_namespace AS space ON space.nspname = replace(trim(both ' "' from given.name), '$user', session_user::text)
     JOIN pg_class AS relation ON relation.relnamespace = space.oid AND relation.relname = %s
     WHERE setting.name = 'search_path' AND has_schema_privilege(space.oid, 'USAGE')
     ORDER BY given.place LIMIT 1),
    (SELECT space.nspname::text FROM pg_class AS relation JOIN pg_namespace AS space ON space.oid = relation.relnamespace
     WHERE relation.oid = to_regclass(%s)))
"""
_MARKER_COLUMNS: Final = "id, state, stream, sequence, journal, created_at"
_OUTBOX_COLUMNS: Final = "id, payload, created_at"

_Key = tuple[tuple[str, str, str, str], Evidence]
_present: Final[set[_Key]] = set()
_absent_at: Final[dict[_Key, float]] = {}
_told_at = -TOLD_EVERY_S


def is_ready(connection: BaseDatabaseWrapper, evidence: Evidence) -> bool:
    """Whether the table is there, such as not before it was migrated. Asks the database once for each process, and again while it is absent.

    The connection must be connected and its transaction not aborted. Where it breaks off meanwhile nothing is known, and the answer is yes:
    whoever goes on meets that error, and the transaction is rolled back for certain, which would be in doubt without a marker.
    """
    key = (base_of(connection), evidence)
    if key in _present:
        return True
    if time.monotonic() - _absent_at.get(key, -ABSENT_FOR_S) < ABSENT_FOR_S:
        return False
    found = _find(connection, _evidence.table_of(evidence))
    if found:
        _present.add(key)
    elif found is False:
        _note_absent(key)
    return found is not False


def _note_absent(key: _Key) -> None:
    """Before its migration, a transaction goes on with the evidence that needs no table; somebody should know."""
    global _told_at
    now = time.monotonic()
    _absent_at[key] = now
    if now - _told_at >= TOLD_EVERY_S:
        _told_at = now
        table = _evidence.table_of(key[1])
        logger.error(
            "indelible: %s is not there on %r, so commits are known by 'ack' only. Run: python manage.py migrate", table, key[0][0]
        )


def forget_tables() -> None:
    """Asks for every table again: migrations ran."""
    global _told_at
    _present.clear()
    homes.clear()
    _absent_at.clear()
    _told_at = -TOLD_EVERY_S


def mark(connection: BaseDatabaseWrapper, intent: uuid.UUID, stream: uuid.UUID, sequence: int, *, guarded: bool) -> None:
    """Writes the marker of an intent, in the open transaction. ``guarded``: the transaction goes on when that fails.

    Raises:
        RecordingRefused: somebody found the intent without an owner and fenced it; it must never be committed.
        DatabaseError: what the database says, such as a serialization failure.
    """
    values = (_key(connection, intent), 1, _key(connection, stream), sequence, _key(connection, journal_id()))
    try:
        _insert(connection, f"{_named(connection, 'indelible_marker')} ({_MARKER_COLUMNS})", values, guarded=guarded)
    except DatabaseError as error:
        if not guarded and _is_taken(connection, error):
            raise RecordingRefused(
                f"the transaction was given up: its intent {intent} was fenced in indelible_marker on {connection.alias!r}, because the stream"
                " that it stands in was released before its COMMIT"
            ) from error
        raise


def put_in_outbox(connection: BaseDatabaseWrapper, intent: uuid.UUID, payload: bytes, *, guarded: bool) -> None:
    """Writes the events of an intent as a row, in the open transaction. ``guarded``: the transaction goes on when that fails.

    Raises:
        DatabaseError: what the database says.
    """
    _insert(
        connection, f"{_named(connection, 'indelible_outbox')} ({_OUTBOX_COLUMNS})", (_key(connection, intent), payload), guarded=guarded
    )


def _insert(connection: BaseDatabaseWrapper, into: str, values: tuple[Any, ...], *, guarded: bool) -> None:
    # After an error PostgreSQL takes nothing but a ROLLBACK; SQLite takes back the statement alone.
    if guarded and connection.vendor == "postgresql":
        _execute(connection, f"SAVEPOINT {_SAVEPOINT}")
        try:
            _insert_row(connection, into, values)
        except DatabaseError:
            _execute(connection, f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}")
            raise
        _execute(connection, f"RELEASE SAVEPOINT {_SAVEPOINT}")
    else:
        _insert_row(connection, into, values)


def _insert_row(connection: BaseDatabaseWrapper, into: str, values: tuple[Any, ...]) -> None:
    placeholder = "%s" if connection.vendor == "postgresql" else "?"
    _execute(connection, f"INSERT INTO {into} VALUES ({', '.join([placeholder] * len(values))}, {NOW[connection.vendor]})", values)


def _execute(connection: BaseDatabaseWrapper, sql: str, values: tuple[Any, ...] | None = None) -> None:
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql, *() if values is None else (values,))


def _find(connection: BaseDatabaseWrapper, table: str) -> bool | None:
    """Whether there is a table, and on PostgreSQL where. A database that does not say has none, and the transaction goes on; ``None``: the
    connection has broken off, which says nothing of the table.
    """
    if connection.vendor == "sqlite":
        return _ask(connection, "SELECT max(name) FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)) is not None
    in_transaction = can_commit(connection)
    try:
        if in_transaction:
            _execute(connection, f"SAVEPOINT {_SAVEPOINT}")
        home = _ask(connection, _HOME_SQL, (table, table))
        if in_transaction:
            _execute(connection, f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except DatabaseError:
        if connection.connection.closed:
            return None
        if in_transaction:
            _execute(connection, f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}")
        return False
    if home is not None:
        homes[base_of(connection)] = home
    return home is not None


def _ask(connection: BaseDatabaseWrapper, sql: str, values: tuple[Any, ...]) -> Any:
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


def _named(connection: BaseDatabaseWrapper, table: str) -> str:
    """A table of ours by its whole name: the application may have another search path at COMMIT, as with a schema for each tenant."""
    home = homes.get(base_of(connection))
    return table if home is None else f"{connection.ops.quote_name(home)}.{table}"


def _key(connection: BaseDatabaseWrapper, key: uuid.UUID | None) -> Any:
    """An identifier as the database has it; psycopg2 does not know the type without being told."""
    if key is None:
        return None
    return key.hex if connection.vendor == "sqlite" else str(key)


def _is_taken(connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
    cause: Any = error.__cause__
    if connection.vendor == "sqlite":
        return "UNIQUE" in str(cause) and "indelible_marker" in str(cause)
    return (getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)) == "23505"
