"""The app of the pages."""

from __future__ import annotations

from django.apps import AppConfig


class TrailConfig(AppConfig):
    """``INSTALLED_APPS += ["indelible.django.trail"]``."""

    name = "indelible.django.trail"
    label = "indelible_trail"
    verbose_name = "Audit trail"
