"""How the commits of each database and model are known after a crash, and why not by more than that.

``ack``: the process says so after COMMIT. ``marker``: a row in the same transaction says so. ``outbox``: the events themselves are in such a
row. The last two need a table in the database that is written.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from django.apps import apps
from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper

from indelible.django import _models, conf, registry
from indelible.django.registry import Evidence

APP: Final = "indelible.django.evidence"
VENDORS: Final = frozenset({"postgresql", "sqlite"})
_TABLES: Final = {"marker": "indelible_marker", "outbox": "indelible_outbox"}


# States of a marker; all but the second are commits.
COMMITTED: Final = 1
"""The transaction that wrote the row was committed: the row could not be seen otherwise."""
FENCED: Final = 2
"""The intent was never committed, and cannot be any more: its row is taken."""
REPORTED: Final = 3
"""As :data:`COMMITTED`, and that its record is missing was told already."""
ANSWERED: Final = 4
"""As :data:`COMMITTED`, found by a resolver after the process that wrote it had died."""


def table_of(evidence: Evidence) -> str:
    """The table that the evidence is written to."""
    return _TABLES[evidence]


def asked_anywhere() -> frozenset[Evidence]:
    """What the service and its models ask for beside ``ack``."""
    return _asked_anywhere(_models.generation())


@functools.lru_cache(maxsize=1)
def _asked_anywhere(generation: int) -> frozenset[Evidence]:
    asked: set[Any] = {conf.active().evidence}
    asked.update(options.evidence for model in apps.get_models() if (options := registry.options_of(model)) is not None)
    return frozenset(asked - {"ack"})


def obstacle(connection: BaseDatabaseWrapper, evidence: Evidence) -> str:
    """Why commits of a database cannot be known by this evidence, empty where they can. Does not connect.

    That the table was not made yet is not seen here (see ``evidence._marks``).
    """
    if evidence == "ack":
        return ""
    known: dict[tuple[Evidence, int], str] = connection.__dict__.setdefault("indelible_obstacles", {})
    key = (evidence, _models.generation())
    if key not in known:
        known[key] = _obstacle(connection, evidence)
    return known[key]


def _obstacle(connection: Any, evidence: Evidence) -> str:
    if not apps.is_installed(APP):
        return f"{APP} is not in INSTALLED_APPS"
    if connection.vendor not in VENDORS:
        return f"{connection.vendor} has only 'ack'"
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        return "the database is in memory and ends with the process"
    from indelible.django.evidence.models import Marker, Outbox

    if not router.allow_migrate_model(connection.alias, Marker if evidence == "marker" else Outbox):
        return f"a database router keeps {table_of(evidence)} away from it"
    return ""
