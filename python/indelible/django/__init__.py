"""Indelible for Django: one app, one middleware, one dict of settings."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from indelible.django._auth import record_lockout, record_login, record_login_failed, record_logout
    from indelible.django._intent import ReasonRequired
    from indelible.django._model_admin import AuditModelAdmin
    from indelible.django.middleware import AuditMiddleware
    from indelible.django.registry import register
    from indelible.django.websocket import AuditWebsocketMiddleware

__all__ = [
    "AuditMiddleware",
    "AuditModelAdmin",
    "AuditWebsocketMiddleware",
    "ReasonRequired",
    "record_lockout",
    "record_login",
    "record_login_failed",
    "record_logout",
    "register",
]

_HOMES: Final = {
    "AuditMiddleware": "middleware",
    "AuditModelAdmin": "_model_admin",
    "AuditWebsocketMiddleware": "websocket",
    "ReasonRequired": "_intent",
    "record_lockout": "_auth",
    "record_login": "_auth",
    "record_login_failed": "_auth",
    "record_logout": "_auth",
    "register": "registry",
}


def __getattr__(name: str) -> Any:
    # Late, because this package is imported while Django is still loading its apps.
    if name in _HOMES:
        return getattr(import_module(f"indelible.django.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
