"""Two tables that are written as the last statement of a transaction; neither is ever recorded itself.

Rows are written and read by SQL of our own (``_marks``, ``_fences``, ``_outbox``), in the database's time. The models are here for their
migrations, and for whoever wants to look.
"""

from __future__ import annotations

from typing import Any

from django.db import models


class Marker(models.Model):
    """One intent that was committed, or fenced so that it never can be.

    ``id`` is the intent's. ``stream`` and ``sequence`` say where its INTENT stands, ``journal`` in which journal folder: databases are shared
    by hosts, journals are not. Deleted after a day at the earliest, and only when the agent has the INTENT.
    """

    id: models.UUIDField[Any, Any] = models.UUIDField(primary_key=True, editable=False)
    state: models.SmallIntegerField[Any, Any] = models.SmallIntegerField()
    stream: models.UUIDField[Any, Any] = models.UUIDField()
    sequence: models.BigIntegerField[Any, Any] = models.BigIntegerField()
    journal: models.UUIDField[Any, Any] = models.UUIDField(null=True)
    created_at: models.DateTimeField[Any, Any] = models.DateTimeField()

    class Meta:
        db_table = "indelible_marker"
        default_permissions = ()
        verbose_name = "marker"

    def __str__(self) -> str:
        return f"{self.id} in state {self.state}"


class Outbox(models.Model):
    """The events of one committed intent on their way to a journal.

    ``payload`` is the INTENT as the journal has it (docs/format.md). ``stream`` and ``sequence`` are where the drainer writes it, in the
    folder ``journal``; ``NULL`` before it was assigned. Deleted when the agent has it.
    """

    id: models.UUIDField[Any, Any] = models.UUIDField(primary_key=True, editable=False)
    payload: models.BinaryField[Any, Any] = models.BinaryField()
    stream: models.UUIDField[Any, Any] = models.UUIDField(null=True)
    sequence: models.BigIntegerField[Any, Any] = models.BigIntegerField(null=True)
    journal: models.UUIDField[Any, Any] = models.UUIDField(null=True)
    created_at: models.DateTimeField[Any, Any] = models.DateTimeField()

    class Meta:
        db_table = "indelible_outbox"
        default_permissions = ()
        verbose_name = "outbox row"

    def __str__(self) -> str:
        return str(self.id)
