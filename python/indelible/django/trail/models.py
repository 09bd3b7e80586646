"""A record of the trail, as far as Django must know it: a name in the admin and the permission ``indelible_trail.view_record``."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models


class _Nothing(models.Manager):  # type: ignore[type-arg]
    """Finds nothing without asking the database, in which there is no table: ``dumpdata`` goes through all models."""

    def get_queryset(self) -> Any:
        return super().get_queryset().none()


class Record(models.Model):
    """One record. Its rows are in the trail and nowhere else; it can be neither made, changed nor deleted here."""

    objects = _Nothing()

    class Meta:
        managed = False
        default_permissions = ("view",)
        base_manager_name = "objects"
        verbose_name = "record"
        verbose_name_plural = "records"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuses. Raises ``TypeError``."""
        raise TypeError("the trail is read-only: record with indelible.record()")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuses. Raises ``TypeError``."""
        raise TypeError("the trail is read-only")
