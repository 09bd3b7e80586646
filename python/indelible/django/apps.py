"""The app: reads the settings once, then hooks into Django once."""

from __future__ import annotations

import sys
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core import checks as django_checks
from django.core.signals import got_request_exception, setting_changed
from django.db.models.signals import post_migrate

from indelible import _agent, _context, _runtime
from indelible.django import conf


class IndelibleConfig(AppConfig):
    """``INSTALLED_APPS += ["indelible.django"]``."""

    name = "indelible.django"
    label = "indelible"
    verbose_name = "Indelible"

    def ready(self) -> None:
        """Reads the settings and installs every hook; a second call changes nothing. Opens no file: that waits for the first event."""
        from indelible.django import checks, formatters

        configure(conf.reload())
        django_checks.register(checks.check_settings, "indelible")
        django_checks.register(checks.check_installation, "indelible")
        django_checks.register(checks.check_models, "indelible")
        django_checks.register(checks.check_privacy, "indelible")
        django_checks.register(checks.check_gaps, "indelible")
        django_checks.register(checks.check_logging, "indelible")
        django_checks.register(checks.check_evidence, "indelible")
        django_checks.register(checks.check_deployment, "indelible", deploy=True)
        setting_changed.connect(_setting_changed, dispatch_uid="indelible.setting_changed")
        if conf.active().enabled:
            _install_hooks()
            if conf.active().formatters:
                formatters.autodiscover()


def configure(settings: conf.Settings) -> _runtime.Runtime:
    """Makes these the settings of the process's recorder."""
    _agent.start_on_first_event(settings.data_dir if settings.agent == "auto" and settings.record == "journal" else None)
    _runtime.set_on_open(_opened)
    return _runtime.configure(
        _runtime.RuntimeSettings(
            service=settings.service,
            data_dir=settings.data_dir if settings.record == "journal" else conf.temporary_folder(),
            environment=settings.environment,
            version=settings.version,
            process_kind=_agent.process_kind(),
            enabled=settings.enabled,
            mask_fields=settings.mask.fields,
            detectors=settings.mask.values,
            actor_fields=settings.actor_fields,
            durability=settings.durability,
            on_failure=settings.on_failure,
            on_error=settings.on_error,
            keep_rolled_back=settings.keep_rolled_back,
            limits=settings.limits,
            outbound_level=settings.outbound,
            request_id_header=settings.request_id_header,
            body_bytes=settings.limits["body_bytes"],
            ignore_actions=settings.ignore_actions,
            anonymous=settings.anonymous,
            call_site=settings.call_site,
            root=str(getattr(django_settings, "BASE_DIR", "") or ""),
            masker=settings.masker,
            nowhere=settings.record == "nowhere",
            on_audit_error=settings.on_audit_error,
            task_starts=settings.tasks == "starts",
        )
    )


def _opened() -> None:
    """A journal was opened: this process records."""
    from indelible.django.evidence import _resolving

    _agent.first_event()
    _resolving.start()


def _install_hooks() -> None:
    from indelible.django import _commands, _intent, _models, _raw_sql, _scope, _snapshots, _transactions, _writes
    from indelible.django.middleware import note_exception

    _runtime.set_describe_moment(_scope.describe_moment)
    _context.set_provider(_scope.provide_facts, _scope.peek_facts)
    got_request_exception.connect(note_exception, dispatch_uid="indelible.note_exception")
    _models.install()
    _snapshots.install()
    _writes.install()
    _raw_sql.install()
    _transactions.install()
    post_migrate.connect(_migrated, dispatch_uid="indelible.evidence")
    _connect_auth()
    _record_reads()
    _commands.install()
    _intent.install()
    _connect_celery()


def _connect_celery() -> None:
    # Looking for it would import it, which a site without tasks should not pay for.
    if "celery" in sys.modules and conf.active().tasks:
        from indelible import celery

        celery.connect()


def _connect_auth() -> None:
    from django.apps import apps

    # A site may do without django.contrib.auth; its signals then have no user model to speak of.
    if apps.is_installed("django.contrib.auth"):
        from indelible.django import _auth

        _auth.connect()


def _record_reads() -> None:
    from django.apps import apps

    if apps.is_installed("django.contrib.admin"):
        from indelible.django import _reads

        _reads.install_admin()
    if apps.is_installed("rest_framework") or "rest_framework" in sys.modules:
        # Importing it is what puts it in place.
        import indelible.drf  # noqa: F401


def _migrated(**_: Any) -> None:
    from indelible.django.evidence import _marks

    _marks.forget_tables()


def _setting_changed(setting: str, **_: Any) -> None:
    """Follows ``override_settings(INDELIBLE=…)`` in the tests of a site."""
    if setting == "INDELIBLE":
        configure(conf.reload())
