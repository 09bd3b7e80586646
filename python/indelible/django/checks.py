"""What ``manage.py check`` says about the audit trail.

======================  ======================================================================================
``indelible.E001``      the middleware is missing or not first
``indelible.E002``      a setting is unknown or ill-typed
``indelible.E003``      the native module is missing for this platform
``indelible.E005``      ``class Audit``, ``register()`` or ``MODELS`` names a field, an option or a model that does not exist
``indelible.E007``      ``DATA_DIR`` cannot be written (``--deploy``)
``indelible.W101``      another audit package records the same models
``indelible.W108``      a proxy is in front, but every client address will be the proxy's
``indelible.W109``      the agent of development would run in production (``--deploy``)
``indelible.W111``      ``DATA_DIR`` cannot be written
``indelible.W112``      a level of ``REQUESTS`` asks for more than this version records
======================  ======================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from indelible import _runtime
from indelible.django import conf, registry

MIDDLEWARE: Final = "indelible.django.AuditMiddleware"
_SAME_MIDDLEWARE: Final = frozenset({MIDDLEWARE, "indelible.django.middleware.AuditMiddleware"})
_MAY_PRECEDE: Final = frozenset({"django.middleware.security.SecurityMiddleware"})
_OTHER_PACKAGES: Final[Mapping[str, str]] = {
    "auditlog": "django-auditlog",
    "easyaudit": "django-easy-audit",
    "simple_history": "django-simple-history",
    "pghistory": "django-pghistory",
    "reversion": "django-reversion",
}
_FULL_LEVELS: Final = frozenset({"none", "metadata"})


def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E002, W108 and W112: the dict ``INDELIBLE`` and what Django's own settings say beside it."""
    settings = conf.active()
    messages: list[CheckMessage] = [Error(problem.message, hint=problem.hint, id="indelible.E002") for problem in settings.problems]
    levels = {settings.requests.level, *(rule["level"] for rule in settings.requests.rules)} - _FULL_LEVELS
    if levels:
        messages.append(
            checks.Warning(
                f"INDELIBLE['REQUESTS'] asks for level {', '.join(sorted(levels))}; this version records metadata instead.",
                hint="Bodies and headers are not recorded. Ask for 'metadata' to say so.",
                id="indelible.W112",
            )
        )
    behind_proxy = django_settings.SECURE_PROXY_SSL_HEADER or django_settings.USE_X_FORWARDED_HOST
    if behind_proxy and not settings.trusted_proxy_count:
        messages.append(
            checks.Warning(
                "A proxy is in front of this site, so every client address in the trail will be the proxy's.",
                hint="Set INDELIBLE['TRUSTED_PROXY_COUNT'] to the number of your proxies.",
                id="indelible.W108",
            )
        )
    return messages


def check_installation(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E001, E003, W101 and W111: what is installed, and where."""
    settings = conf.active()
    if not settings.enabled:
        return []
    messages: list[CheckMessage] = [*_middleware(list(django_settings.MIDDLEWARE))]
    if _runtime.runtime().native() is None:
        messages.append(
            Error(
                "The native module of indelible cannot be imported: nothing is recorded.",
                hint="Run: pip install --force-reinstall indelible",
                id="indelible.E003",
            )
        )
    for app, package in _OTHER_PACKAGES.items():
        if apps.is_installed(app):
            messages.append(
                checks.Warning(
                    f"{package} records the same models: every change is recorded twice.",
                    hint=f"Remove {app!r} from INSTALLED_APPS when the change-over is complete.",
                    id="indelible.W101",
                )
            )
    if not is_writable(settings.data_dir):
        messages.append(
            checks.Warning(
                f"INDELIBLE['DATA_DIR'] {settings.data_dir} cannot be written: nothing is recorded.",
                hint=_data_dir_hint(settings.data_dir),
                id="indelible.W111",
            )
        )
    return messages


def check_models(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E005: mistakes in how models are described."""
    if not conf.active().enabled:
        return []
    return [
        Error(problem.message, hint=problem.hint, obj=problem.model, id=f"indelible.{problem.check}") for problem in registry.problems()
    ]


def check_deployment(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E007 and W109, only with ``--deploy``."""
    settings = conf.active()
    if not settings.enabled:
        return []
    messages: list[CheckMessage] = []
    if not is_writable(settings.data_dir):
        messages.append(
            Error(
                f"INDELIBLE['DATA_DIR'] {settings.data_dir} cannot be written by this user.",
                hint=_data_dir_hint(settings.data_dir),
                id="indelible.E007",
            )
        )
    if settings.agent == "auto":
        messages.append(
            checks.Warning(
                "INDELIBLE['AGENT'] is 'auto': the site would start an agent under its own user.",
                hint="Run `indelible serve` as a service of the machine and set AGENT to 'external'.",
                id="indelible.W109",
            )
        )
    return messages


def is_writable(data_dir: Path) -> bool:
    """Whether a journal can be made in the folder, or the folder itself in the nearest one that exists. Makes nothing."""
    folder = data_dir / "journal"
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _middleware(installed: list[str]) -> Iterable[CheckMessage]:
    places = [place for place, name in enumerate(installed) if name in _SAME_MIDDLEWARE]
    if not places:
        yield Error(
            f"{MIDDLEWARE} is not in MIDDLEWARE: requests are not recorded, and no change names its actor.",
            hint=f'Add: MIDDLEWARE.insert(0, "{MIDDLEWARE}")',
            id="indelible.E001",
        )
    elif not _MAY_PRECEDE.issuperset(installed[: places[0]]):
        before = [name for name in installed[: places[0]] if name not in _MAY_PRECEDE]
        yield Error(
            f"{MIDDLEWARE} is not first in MIDDLEWARE: what {before[0]} answers is not recorded.",
            hint=f'Move "{MIDDLEWARE}" to the first place; only SecurityMiddleware may precede it.',
            id="indelible.E001",
        )


def _data_dir_hint(data_dir: Path) -> str:
    return f"Run: install -d -o {_user_name()} {data_dir}"


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
