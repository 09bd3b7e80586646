"""What an exception of the database proves about the data.

Everything here answers "rolled back for certain?". ``False`` means that nobody can say, never that it was committed.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import DatabaseError, DataError, IntegrityError, NotSupportedError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper

_UNANSWERED: Final = ("08", "57", "58", "XX")
"""SQLSTATE classes of connections, operators, systems and internals: the server may have died while it answered."""
_QUERY_CANCELED: Final = "57014"
_COMPLETION_UNKNOWN: Final = "40003"
# psycopg.pq.TransactionStatus and psycopg2.extensions use the numbers of libpq.
_INTRANS, _INERROR = 2, 3


def statement_rolled_back(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Whether a failed statement outside of a transaction certainly left nothing behind."""
    cause = error.__cause__
    if connection.vendor == "postgresql":
        state = _sqlstate(cause)
        return state is not None and state != _COMPLETION_UNKNOWN and (state == _QUERY_CANCELED or not state.startswith(_UNANSWERED))
    if isinstance(error, (IntegrityError, DataError, ProgrammingError, NotSupportedError)):
        return True
    return connection.vendor == "sqlite" and isinstance(error, DatabaseError) and not _disk_failed(cause)


def commit_rolled_back(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Whether a failed COMMIT certainly rolled back."""
    if connection.vendor == "postgresql":
        state = _sqlstate(error.__cause__)
        return state is not None and state.startswith(("23", "40")) and state != _COMPLETION_UNKNOWN
    return isinstance(error, IntegrityError)


def is_aborted(connection: BaseDatabaseWrapper) -> bool:
    """Whether a COMMIT would be a ROLLBACK: on PostgreSQL an SQL error that the application swallowed, and no other word of it."""
    return connection.vendor == "postgresql" and _status(connection) == _INERROR


def is_lost(connection: BaseDatabaseWrapper) -> bool:
    """Whether the transaction ended already and nobody was told: SQLite rolls all of it back when a disk is full or fails under a statement
    whose error the application swallowed, and text of several statements may have committed it.
    """
    if connection.vendor != "sqlite":
        return False
    driver: Any = connection.connection
    # Without autocommit the driver begins one with the first statement that writes, and there may have been none.
    return driver is not None and driver.isolation_level is None and not driver.in_transaction


def can_commit(connection: BaseDatabaseWrapper) -> bool:
    """Whether a COMMIT sent now would keep what was written: a statement that failed did not take the transaction along."""
    if connection.vendor == "postgresql":
        return _status(connection) == _INTRANS
    return is_open(connection)


def is_open(connection: BaseDatabaseWrapper) -> bool:
    """Whether the driver says that a transaction is still open: a COMMIT that failed can be tried again."""
    driver = connection.connection
    if driver is None:
        return False
    if connection.vendor == "sqlite":
        return bool(driver.in_transaction)
    return _status(connection) in (_INTRANS, _INERROR)


def _status(connection: BaseDatabaseWrapper) -> int | None:
    driver = connection.connection
    if connection.vendor != "postgresql" or driver is None:
        return None
    if hasattr(driver, "info") and hasattr(driver.info, "transaction_status"):
        return int(driver.info.transaction_status)
    return int(driver.get_transaction_status())


def _sqlstate(cause: Any) -> str | None:
    # psycopg 3 calls it sqlstate, psycopg2 pgcode.
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def _disk_failed(cause: Any) -> bool:
    name = getattr(cause, "sqlite_errorname", None)
    return name.startswith("SQLITE_IOERR") if name is not None else "disk I/O" in str(cause)
