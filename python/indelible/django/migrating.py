"""The settings of four other audit packages, read and told in ours. Nothing is applied: people look at what is printed and take it over.

Known are django-activity-audit, ftn-audit, django-gunicorn-audit-logs and django-system-audit, with the environment of the third.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any, Final

from django.conf import settings as django_settings

Read = Callable[["Equivalent", str, Any], None]

_MISSING: Final[Any] = object()
_PREFIX: Final = "AUDIT_LOGS_"
"""Of the names of django-gunicorn-audit-logs, whose documents and code name different ones."""


@dataclass
class Equivalent:
    """What the other settings come to: ``settings`` for ``INDELIBLE``, ``without`` (name, why) for what has no counterpart, ``notes`` beside."""

    found: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    without: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def put(self, key: str, value: Any) -> None:
        """Sets a key; dicts are merged, lists joined."""
        held = self.settings.get(key)
        if isinstance(held, dict):
            for name, inner in value.items():
                held[name] = (
                    [*held[name], *(each for each in inner if each not in held[name])] if isinstance(held.get(name), list) else inner
                )
        elif isinstance(held, list):
            held += [each for each in value if each not in held]
        else:
            self.settings[key] = value


def read(django: Any, environ: Mapping[str, str]) -> Equivalent:
    """Reads the other packages' settings and environment. Raises nothing because of a value."""
    answer = Equivalent()
    for name, reading in _SETTINGS.items():
        _look(answer, name, getattr(django, name, _MISSING), reading)
    for name, members in _DICTS.items():
        given = getattr(django, name, _MISSING)
        if isinstance(given, Mapping):
            for key, value in given.items():
                label = f"{name}[{key!r}]"
                _look(answer, label, value, members.get(key, _unknown))
    for name, reading in _ENVIRONMENT.items():
        _look(answer, f"${name}", environ.get(name, _MISSING), reading)
    for name in sorted(name for name in dir(django) if name.startswith(_PREFIX) and name not in _SETTINGS):
        _look(answer, name, getattr(django, name), _unread)
    for name in sorted(name for name in environ if name.startswith(_PREFIX) and name not in _ENVIRONMENT):
        _look(answer, f"${name}", environ[name], _unread)
    _packages(answer, getattr(django, "INSTALLED_APPS", ()), getattr(django, "MIDDLEWARE", ()))
    return answer


def text(answer: Equivalent) -> str:
    """What people read: the dict, what has no equivalent and why, and what is told besides."""
    if not answer.found:
        return "No settings of django-activity-audit, ftn-audit, django-gunicorn-audit-logs or django-system-audit were found.\n"
    parts = ["# Nothing of this has been applied.", f"INDELIBLE = {pformat(answer.settings, width=100, sort_dicts=False)}"]
    for title, rows in (("Beside it", answer.notes), ("Without an equivalent", answer.without)):
        if rows:
            parts += ["", f"# {title}:", *(f"#   {name}: {why}" for name, why in rows)]
    return "\n".join(parts) + "\n"


def equivalent() -> str:
    """:func:`text` for this site: what ``manage.py indelible settings --from-other-packages`` prints."""
    return text(read(django_settings, os.environ))


def _look(answer: Equivalent, name: str, value: Any, reading: Read) -> None:
    if value is _MISSING:
        return
    answer.found.append(name)
    try:
        reading(answer, name, value)
    except Exception as error:
        answer.without.append((name, f"its value cannot be read: {type(error).__name__}"))


def _unknown(answer: Equivalent, name: str, value: Any) -> None:
    answer.without.append((name, "not a setting that the package documents"))


def _unread(answer: Equivalent, name: str, value: Any) -> None:
    answer.without.append((name, "the package does not read it"))


def _same(key: str) -> Read:
    return lambda answer, name, value: answer.put(key, value)


def _none(why: str) -> Read:
    return lambda answer, name, value: answer.without.append((name, why))


def _note(why: str) -> Read:
    return lambda answer, name, value: answer.notes.append((name, why))


def _names_masked(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("MASK", {"fields": [str(each) for each in value]})


def _excluded(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("REQUESTS", {"exclude": [_pattern(answer, name, str(each)) for each in value]})


def _included(answer: Equivalent, name: str, value: Any) -> None:
    if value:
        answer.put("REQUESTS", {"include": [_pattern(answer, name, str(each)) for each in value]})


def _prefixes(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("REQUESTS", {"exclude": [str(each).rstrip("*") + "*" for each in value]})


def _extensions(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("REQUESTS", {"rules": [{"extension": [str(each) for each in value], "level": "none"}]})


def _pattern(answer: Equivalent, name: str, expression: str) -> str:
    """A regular expression that matches from the start, as a pattern with ``*``; approximate where it is more than a prefix."""
    plain = expression.removeprefix("^")
    ends = plain.endswith("$") and not plain.endswith("\\$")
    plain = re.sub(r"\.\*|\.\+|\[[^\]]*\][*+]?|\\[dw][*+]?|\([^)]*\)[*+?]?", "*", plain.removesuffix("$") if ends else plain)
    plain = re.sub(r"\\(.)", r"\1", plain)
    if re.search(r"[*+?()\[\]|^$]", plain.replace("*", "")):
        answer.notes.append((name, f"look at {expression!r}: as a pattern it is only nearly {plain!r}"))
    return plain if ends else plain.rstrip("*") + "*"


def _delivery(answer: Equivalent, name: str, value: Any) -> None:
    if value == "noop":
        answer.put("RECORD", "nowhere")
    else:
        answer.notes.append(
            (name, "events are journaled in the process and shipped by the agent: there is no broker and no mode to choose")
        )


def _switch(key: str, *, off: Any) -> Read:
    def switched(answer: Equivalent, name: str, value: Any) -> None:
        if not value:
            answer.put(key, off)

    return switched


def _bodies(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("REQUESTS", {"level": "request_response" if value else "metadata"})


def _body_bytes(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("LIMITS", {"body_bytes": int(value)})


def _full_body(answer: Equivalent, name: str, value: Any) -> None:
    if str(value).lower() in ("1", "true", "yes"):
        answer.put("LIMITS", {"body_bytes": 262_144})
        answer.notes.append((name, "no body is without a bound: LIMITS['body_bytes'] and 'event_bytes' say how much is kept"))


def _path(function: Any) -> str:
    return function if isinstance(function, str) else f"{function.__module__}.{function.__qualname__}"


def _masker(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("MASKER", _path(value))
    answer.notes.append((name, "ours is f(value, path), is asked value by value, and can only mask more"))


def _extra(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("EXTRA", _path(value))


def _on_error(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("ON_AUDIT_ERROR", _path(value))
    answer.notes.append((name, "ours is f(exc, event)"))


def _actor(answer: Equivalent, name: str, value: Any) -> None:
    answer.put("ACTOR", _path(value))
    answer.notes.append((name, "ours is f(request) and answers a user, a mapping with type and id, a text, or None"))


def _actions(answer: Equivalent, name: str, value: Any) -> None:
    words = [str(each).lower() for each in value]
    own = {"login": "auth.login", "logout": "auth.logout"}
    answer.put("IGNORE_ACTIONS", [own.get(word, f"*.{word}") for word in words])


def _retention(answer: Equivalent, name: str, value: Any) -> None:
    answer.notes.append((name, f"retention is the agent's: docs/retention.md, here {value} days"))


_STRUCTURE: Final = "the trail is files of its own, not a table or a collection; a sink of shape j12, j13 or j14 writes the old records"
_MONGO: Final = _none("there is no sink for MongoDB; one of type files with shape j13 writes the same documents")
_MAIL: Final = _none("no mail is sent in a request; ON_AUDIT_ERROR is told about faults, /metrics and doctor about the rest")
_GUNICORN: Final = _note("read by indelible.gunicorn_conf under the same name (docs/tasks-and-logs.md)")

_SETTINGS: Final[Mapping[str, Read]] = {
    # django-activity-audit
    "AUDIT_SERVICE_NAME": _same("SERVICE"),
    "AUDIT_REGISTERED_URLS": _included,
    "AUDIT_UNREGISTERED_URLS_DEFAULT": _excluded,
    "AUDIT_UNREGISTERED_URLS_EXTRA": _excluded,
    "SHOULD_LOG_EXTERNAL_REQUESTS": _switch("OUTBOUND", off={"level": "none"}),
    # ftn-audit
    "AUDIT_ENABLED": _same("ENABLED"),
    "AUDIT_DELIVERY_MODE": _delivery,
    "AUDIT_AUTO_DISCOVER_FORMATTERS": _same("FORMATTERS"),
    "AUDIT_CHANGESET_CHECK_RELATIONSHIP": _same("FOREIGN_KEYS"),
    "AUDIT_STRICT_FORMATTER_VALIDATION": _none("a formatter that fails never reaches the caller; ON_ERROR='raise' does that in tests"),
    "AUDIT_OTLP_FALLBACK": _none("it was reserved there and did nothing"),
    # django-gunicorn-audit-logs
    "AUDIT_LOGS_USE_MONGO": _MONGO,
    "AUDIT_LOGS_WRITE_TO_BOTH": _none("every sink has all events by its own cursor: configure as many as you want"),
    "AUDIT_LOGS_MONGO": _MONGO,
    "AUDIT_LOGS_SAVE_FULL_BODY": _full_body,
    "AUDIT_LOGS_ASYNC_LOGGING": _note("recording is one write to a file; there is nothing to make asynchronous"),
    "AUDIT_LOGS_ERROR_EMAIL_SENDER": _MAIL,
    "AUDIT_LOGS_ERROR_EMAIL_RECIPIENTS": _MAIL,
    "AUDIT_LOGS_RAISE_EXCEPTIONS": _none("a fault of ours never changes a response; ON_ERROR='raise' is for tests"),
}

_DICTS: Final[Mapping[str, Mapping[str, Read]]] = {
    "AUDIT_LOGS": {
        "ENABLED": _same("ENABLED"),
        "SENSITIVE_FIELDS": _names_masked,
        "EXCLUDE_PATHS": _prefixes,
        "EXCLUDE_EXTENSIONS": _extensions,
        "MAX_BODY_LENGTH": _body_bytes,
        "LOG_BODY": _bodies,
        "USER_ID_CALLABLE": _actor,
        "EXTRA_DATA_CALLABLE": _extra,
        "MASK_FUNCTION": _masker,
        "EXCEPTION_HANDLER": _on_error,
        "RETENTION_DAYS": _retention,
    },
    "ACTIVITY_TRACKER": {
        "ENABLED": _same("ENABLED"),
        "PERSIST": _switch("RECORD", off="nowhere"),
        "IGNORE_ACTIONS": _actions,
        "TRACK_ANONYMOUS": _same("ANONYMOUS"),
        "ACTOR_RESOLVER": _actor,
        "ENABLE_DRF": _none("it was never read there; indelible.drf.AuditViewSetMixin is used where you name it"),
    },
}

_ENVIRONMENT: Final[Mapping[str, Read]] = {
    "AUDIT_CELERY_QUEUE": _none("there is no queue between an application and its journal"),
    **dict.fromkeys(("AUDIT_LOGS_MONGO_URI", "AUDIT_LOGS_MONGO_DB", "AUDIT_LOGS_MONGO_REQUEST_COLLECTION"), _MONGO),
    **dict.fromkeys((f"AUDIT_LOGS_DB_{part}" for part in ("NAME", "USER", "PASSWORD", "HOST", "PORT")), _none(_STRUCTURE)),
    **dict.fromkeys((f"AUDIT_LOGS_AWS_{part}" for part in ("REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")), _MAIL),
    **dict.fromkeys(
        (
            f"GUNICORN_{part}"
            for part in (
                "BIND",
                "WORKERS",
                "WORKER_CLASS",
                "TIMEOUT",
                "ACCESS_LOG",
                "ERROR_LOG",
                "LOG_LEVEL",
                "LOG_DIR",
                "LOG_MAX_BYTES",
                "LOG_BACKUP_COUNT",
                "MAX_REQUESTS",
                "MAX_REQUESTS_JITTER",
            )
        ),
        _GUNICORN,
    ),
}

_APPS: Final[Mapping[str, str]] = {
    "activity_audit": "django-activity-audit",
    "django_activity_audit": "django-activity-audit",
    "ftn_audit": "ftn-audit",
    "django_gunicorn_audit_logs": "django-gunicorn-audit-logs",
    "activity_tracker": "django-system-audit",
}


def _packages(answer: Equivalent, apps: Any, middleware: Any) -> None:
    for name in apps:
        root = str(name).partition(".")[0]
        if root in _APPS:
            answer.found.append(f"INSTALLED_APPS {name}")
            answer.notes.append((str(name), f"{_APPS[root]}: replace it in INSTALLED_APPS by 'indelible.django'"))
    for path in middleware:
        root = str(path).partition(".")[0]
        if root in _APPS:
            answer.notes.append((str(path), "replace it by 'indelible.django.AuditMiddleware', in the first place of MIDDLEWARE"))
