"""Indelible for Django: one app, one middleware, one dict of settings."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indelible.django.middleware import AuditMiddleware
    from indelible.django.registry import register

__all__ = ["AuditMiddleware", "register"]


def __getattr__(name: str) -> Any:
    # Late, because this package is imported while Django is still loading its apps.
    if name == "AuditMiddleware":
        from indelible.django.middleware import AuditMiddleware

        return AuditMiddleware
    if name == "register":
        from indelible.django.registry import register

        return register
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
