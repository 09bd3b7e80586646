"""The app: reads the settings once, then hooks into Django once."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks as django_checks
from django.core.signals import got_request_exception, setting_changed

from indelible import _agent, _context, _runtime
from indelible.django import conf


class IndelibleConfig(AppConfig):
    """``INSTALLED_APPS += ["indelible.django"]``."""

    name = "indelible.django"
    label = "indelible"
    verbose_name = "Indelible"

    def ready(self) -> None:
        """Reads the settings and installs every hook; a second call changes nothing. Opens no file: that waits for the first event."""
        from indelible.django import checks

        configure(conf.reload())
        django_checks.register(checks.check_settings, "indelible")
        django_checks.register(checks.check_installation, "indelible")
        django_checks.register(checks.check_models, "indelible")
        django_checks.register(checks.check_deployment, "indelible", deploy=True)
        setting_changed.connect(_setting_changed, dispatch_uid="indelible.setting_changed")
        if conf.active().enabled:
            _install_hooks()


def configure(settings: conf.Settings) -> _runtime.Runtime:
    """Makes these the settings of the process's recorder."""
    _agent.start_on_first_event(settings.data_dir if settings.agent == "auto" else None)
    return _runtime.configure(
        _runtime.RuntimeSettings(
            service=settings.service,
            data_dir=settings.data_dir,
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
        )
    )


def _install_hooks() -> None:
    from indelible.django import _models, _scope, _snapshots, _transactions, _writes
    from indelible.django.middleware import note_exception

    _context.set_provider(_scope.provide_facts)
    got_request_exception.connect(note_exception, dispatch_uid="indelible.note_exception")
    _models.install()
    _snapshots.install()
    _writes.install()
    _transactions.install()
    _connect_auth()


def _connect_auth() -> None:
    from django.apps import apps

    # A site may do without django.contrib.auth; its signals then have no user model to speak of.
    if apps.is_installed("django.contrib.auth"):
        from indelible.django import _auth

        _auth.connect()


def _setting_changed(setting: str, **_: Any) -> None:
    """Follows ``override_settings(INDELIBLE=…)`` in the tests of a site."""
    if setting == "INDELIBLE":
        configure(conf.reload())
