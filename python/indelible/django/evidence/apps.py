"""The app of the two tables."""

from __future__ import annotations

from django.apps import AppConfig


class EvidenceConfig(AppConfig):
    """``INSTALLED_APPS += ["indelible.django.evidence"]``."""

    name = "indelible.django.evidence"
    label = "indelible_evidence"
    verbose_name = "Evidence of commits"
