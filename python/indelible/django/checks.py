"""What ``manage.py check`` says about the audit trail.

======================  ======================================================================================
``indelible.E001``      the middleware is missing or not first
``indelible.E002``      a setting is unknown or ill-typed
``indelible.E003``      the native module is missing for this platform
``indelible.E005``      ``class Audit``, ``register()`` or ``MODELS`` names a field, an option or a model that does not exist
``indelible.E006``      a secret stands in the settings file (``--deploy``)
``indelible.E007``      ``DATA_DIR`` cannot be written (``--deploy``)
``indelible.E008``      what proves commits is asked for, and its tables are not installed
``indelible.I201``      how much is recorded, how commits are known, and who runs the agent (``--deploy``)
``indelible.W101``      another audit package records the same things
``indelible.W102``      a model looks personal, and is neither masked nor marked
``indelible.W103``      signing in, accounts or the admin are excluded
``indelible.W105``      Celery is used, and its tasks are not recorded
``indelible.W106``      events about sensitive models may be lost without waiting
``indelible.W107``      lines of the audit levels also go to an error tracker
``indelible.W108``      a proxy is in front, but every client address will be the proxy's
``indelible.W109``      the agent of development would run in production (``--deploy``)
``indelible.W111``      ``DATA_DIR`` cannot be written
``indelible.W113``      a module of formatters cannot be imported
``indelible.W114``      what proves commits is asked for, and a database cannot have it
======================  ======================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import connections
from django.urls import reverse

from indelible import _modes, _runtime
from indelible._version import INSTALL_PACKAGE
from indelible.django import _evidence, _inventory, _log_routes, conf, formatters, registry

MIDDLEWARE: Final = "indelible.django.AuditMiddleware"
_SAME_MIDDLEWARE: Final = frozenset({MIDDLEWARE, "indelible.django.middleware.AuditMiddleware"})
_MAY_PRECEDE: Final = frozenset({"django.middleware.security.SecurityMiddleware"})
_OTHER_PACKAGES: Final[Mapping[str, str]] = {
    "auditlog": "django-auditlog",
    "easyaudit": "django-easy-audit",
    "simple_history": "django-simple-history",
    "pghistory": "django-pghistory",
    "reversion": "django-reversion",
    "field_audit": "django-field-audit",
    "activity_audit": "django-activity-audit",
    "activity_tracker": "django-system-audit",
    "ftn_audit": "ftn-audit",
    "django_gunicorn_audit_logs": "django-gunicorn-audit-logs",
}
_SECRETS: Final = frozenset({"TOKEN", "PASSWORD", "SECRET", "KEY", "API_KEY", "API_TOKEN", "SERVER_TOKEN", "COLLECTOR_TOKEN"})


def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E002 and W108: the dict ``INDELIBLE`` and what Django's own settings say beside it."""
    settings = conf.active()
    messages: list[CheckMessage] = [Error(problem.message, hint=problem.hint, id="indelible.E002") for problem in settings.problems]
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
                hint=f"Run: {INSTALL_PACKAGE}",
                id="indelible.E003",
            )
        )
    for app, package in _OTHER_PACKAGES.items():
        if apps.is_installed(app):
            messages.append(
                checks.Warning(
                    f"{package} records the same things: they are recorded twice.",
                    hint=f"Remove {app!r} from INSTALLED_APPS when the change-over is complete.",
                    id="indelible.W101",
                )
            )
    if not is_writable(settings.data_dir, settings.service):
        messages.append(
            checks.Warning(
                f"INDELIBLE['DATA_DIR'] {settings.data_dir} cannot be written: nothing is recorded.",
                hint=_data_dir_hint(settings.data_dir),
                id="indelible.W111",
            )
        )
    return messages


def check_models(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E005 and W113: mistakes in how models and their events are described."""
    if not conf.active().enabled:
        return []
    unusable: list[CheckMessage] = [
        checks.Warning(
            f"{module} cannot be imported, so its formatters describe nothing: {reason}",
            hint="Correct the module, or set INDELIBLE['FORMATTERS'] to False.",
            id="indelible.W113",
        )
        for module, reason in formatters.problems()
    ]
    return unusable + [
        Error(problem.message, hint=problem.hint, obj=problem.model, id=f"indelible.{problem.check}") for problem in registry.problems()
    ]


def check_privacy(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """W102 and W106: models of the site that hold what looks like personal data, or are declared sensitive."""
    settings = conf.active()
    if not settings.enabled:
        return []
    models = [model for model in apps.get_models() if registry.options_of(model) is not None and not model._meta.proxy]
    messages: list[CheckMessage] = []
    for model in models:
        fields = _inventory.personal_fields(model)
        if fields and _inventory.is_of_the_site(model) and not _inventory.is_marked(model):
            messages.append(
                checks.Warning(
                    f"{model._meta.label} looks like data about a person ({', '.join(fields)}), and its values are recorded.",
                    hint="Mask the fields, or say sensitive = True or sensitive = False in class Audit.",
                    obj=model,
                    id="indelible.W102",
                )
            )
    sensitive = [
        model._meta.label
        for model in models
        if (options := registry.options_of(model)) is not None
        and options.sensitive
        and _modes.mode_of(settings.on_failure, model._meta.label, "change") == "best_effort"
    ]
    if sensitive:
        messages.append(
            checks.Warning(
                f"ON_FAILURE is 'best_effort', so events about {', '.join(sensitive[:5])} may be lost without waiting for a moment.",
                hint="Use 'standard', or 'required' to refuse a write that cannot be recorded.",
                id="indelible.W106",
            )
        )
    return messages


def check_gaps(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """W103 and W105: what a trail is asked for first, and this site leaves out."""
    if not conf.active().enabled:
        return []
    messages: list[CheckMessage] = [
        checks.Warning(
            f"Not recorded: {gap}.",
            hint="An auditor asks for this first. Remove the exclusion, or silence this check.",
            id="indelible.W103",
        )
        for gap in _account_gaps()
    ]
    why = _inventory.tasks_unseen()
    if why:
        messages.append(
            checks.Warning(
                f"Celery is used, and its tasks are not recorded: {why}. What a task writes names no person.",
                hint="Call indelible.celery.connect() beside the Celery app, and leave TASKS at its default.",
                id="indelible.W105",
            )
        )
    return messages


def check_logging(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """W107: what else gets the lines that the site logs for its audit files or as events. The trail itself never goes through logging."""
    if not conf.active().enabled:
        return []
    return [
        checks.Warning(
            f"Lines of the levels AUDIT and LOGIN also go to {name}: what they say about people leaves this site.",
            hint="Give that handler the level ERROR, or keep the loggers out of it (Sentry: ignore_logger).",
            id="indelible.W107",
        )
        for name in _log_routes.leaving()
    ]


def check_evidence(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E008 and W114: what proves commits, where the site asks for it."""
    asked = sorted(_evidence.asked_anywhere()) if conf.active().enabled else []
    if not asked:
        return []
    if not apps.is_installed(_evidence.APP):
        return [
            Error(
                f"EVIDENCE or a class Audit asks for {' and '.join(map(repr, asked))}, and {_evidence.APP} is not in INSTALLED_APPS:"
                " commits are known by 'ack' only.",
                hint=f'Add "{_evidence.APP}" to INSTALLED_APPS and run: python manage.py migrate',
                id="indelible.E008",
            )
        ]
    return [
        checks.Warning(
            f"Commits on {alias!r} are known by 'ack' only, not by {evidence!r}: {why}.",
            hint="What is in flight there when a process dies is recorded as in doubt. Silence this check if that is what you want.",
            id="indelible.W114",
        )
        for alias in connections
        for evidence in asked
        if (why := _evidence.obstacle(connections[alias], evidence))
    ]


def check_deployment(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    """E006, E007, W109 and I201, only with ``--deploy``."""
    settings = conf.active()
    if not settings.enabled:
        return []
    messages: list[CheckMessage] = [
        Error(
            f"INDELIBLE[{key!r}] is a secret in a settings file.",
            hint="Take it out. Commands read INDELIBLE_TOKEN, and a drainer INDELIBLE_COLLECTOR_TOKEN, from the environment.",
            id="indelible.E006",
        )
        for key in _secrets(getattr(django_settings, "INDELIBLE", {}))
    ]
    if not is_writable(settings.data_dir, settings.service):
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
    return [*messages, _summary(settings)]


def _summary(settings: conf.Settings) -> CheckMessage:
    states = [model.state for model in _inventory.models()]
    agent = "is started by the site" if settings.agent == "auto" else "is run by somebody else"
    return checks.Info(
        f"{states.count('captured')} of {len(states)} models are recorded, commits are known by {settings.evidence!r}, the journal is in"
        f" {settings.data_dir}, the agent {agent}.",
        hint="python manage.py indelible coverage says which, and what no hook can see.",
        id="indelible.I201",
    )


def is_writable(data_dir: Path, service: str) -> bool:
    """Whether the service can have a journal in the folder, or the folder itself be made in the nearest one that exists. Makes nothing.

    Where ``indelible init`` has set the host up, only the folder of the service is the application's, and those above belong to the agent.
    """
    folder = data_dir / "journal" / service
    # Of what lies in a folder that this user may not enter, `Path.exists` raises.
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def middleware_places(installed: Sequence[str] | None = None) -> list[int]:
    """Where our middleware stands in a list, by default in ``MIDDLEWARE``."""
    names = django_settings.MIDDLEWARE if installed is None else installed
    return [place for place, name in enumerate(names) if name in _SAME_MIDDLEWARE]


def _middleware(installed: list[str]) -> Iterable[CheckMessage]:
    places = middleware_places(installed)
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


def _account_gaps() -> Iterable[str]:
    settings = conf.active()
    if not apps.is_installed("django.contrib.auth"):
        return
    if not settings.auth:
        yield "who signs in and who fails to (AUTH is False)"
    if any(action.split(".")[0] == "auth" for action in settings.ignore_actions):
        yield "who signs in and who fails to (IGNORE_ACTIONS)"
    user = apps.get_model(django_settings.AUTH_USER_MODEL)
    if registry.options_of(user) is None:
        yield f"changes of {user._meta.label} (MODELS)"
    admin = _admin_path()
    if admin is not None and _inventory.level_of(admin) == "none":
        yield f"requests to the admin at {admin} (REQUESTS)"


def _admin_path() -> str | None:
    try:
        return reverse("admin:index")
    except Exception:
        # Without an admin, or with a URL configuration that does not load: other checks say so.
        return None


def _secrets(given: Any) -> list[str]:
    return sorted(key for key in given if isinstance(key, str) and key.upper() in _SECRETS) if isinstance(given, Mapping) else []


def _data_dir_hint(data_dir: Path) -> str:
    return f"Run as root: indelible init --app-user {_user_name()}, or for an agent of the same user: install -d -m 700 -o {_user_name()} {data_dir}"


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
