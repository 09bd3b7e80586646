"""Who makes a request: what the application has resolved, or what we may resolve ourselves."""

from __future__ import annotations

import asyncio
import functools
import hmac
from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.db.models import Model
from django.utils.crypto import salted_hmac
from django.utils.functional import LazyObject, empty

from indelible import _context
from indelible.django import _credentials

# An attribute of a lazy object itself. The plain way leads through a method in Python that costs more than all the rest of looking.
_of_proxy = object.__getattribute__

ANONYMOUS: Mapping[str, Any] = {"type": "anonymous"}
SESSION_DIGITS = 32
"""Length of the keyed session hash in hexadecimal digits."""


def resolved_user(request: Any) -> Any | None:
    """The user that the application has resolved, without resolving anything; ``None`` when it has not.

    DRF writes its user into the original ``HttpRequest``, ``login()`` replaces the lazy user, and a lazy user that somebody looked at holds the
    real one.
    """
    members = request.__dict__
    user = members.get("user")
    if user is None or not issubclass(type(user), LazyObject):
        return user
    wrapped = _of_proxy(user, "_wrapped")
    if wrapped is not empty:
        return wrapped
    return members.get("_cached_user") or members.get("_acached_user")


def can_resolve() -> bool:
    """Whether a query may be made here. In an event loop it may not: Django refuses, and the loop would stand still."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def resolve_user(request: Any) -> Any | None:
    """Makes the application's own lazy user load itself, at the price of its queries, and returns it.

    Looking at a session marks it as accessed, which would add ``Vary: Cookie`` to the response; the mark is put back. Raises whatever the
    application's authentication raises.
    """
    user = getattr(request, "user", None)
    if user is None:
        return None
    session = request.__dict__.get("session")
    accessed = getattr(session, "accessed", None)
    try:
        # Any attribute of a lazy user loads it.
        user.is_authenticated  # noqa: B018
    finally:
        if accessed is not None:
            session.accessed = accessed
    return resolved_user(request)


def describe(request: Any, user: Any | None, fields: tuple[str, ...], notes: list[str] | None = None) -> Mapping[str, Any]:
    """The actor of an event: the user if known, else what can be said without asking anybody."""
    if user is None:
        return ANONYMOUS if _surely_anonymous(request) else _unresolved(request)
    members = _context.user_actor(user, fields, notes)
    if members.get("id") is None and "id" in fields and (claimed := _credentials.claimed_id(request)) is not None:
        members = {**members, "type": "user", "id": claimed}
    if members["type"] == "anonymous":
        return ANONYMOUS
    auth, session = auth_method(request), session_hash(request)
    real = _credentials.impersonator(request, fields)
    if real is not None:
        return {**real, "auth": auth, "session": session, "on_behalf_of": members}
    return {**members, "auth": auth, "session": session}


def session_hash(request: Any) -> str | None:
    """The keyed hash of the session's key, the same in all events of a session; ``None`` without a session.

    The key itself would let a reader of the trail take the session over.
    """
    key = _session_key(request)
    if not key:
        return None
    return hmac.digest(_session_secret(django_settings.SECRET_KEY), key.encode(), "sha256").hex()[:SESSION_DIGITS]


def auth_method(request: Any) -> str | None:
    """How the user of this request was authenticated: ``jwt``, ``token``, ``basic`` or ``session``; ``None`` when nothing tells.

    DRF hands the credential that its successful authenticator accepted to the original request as ``auth``.
    """
    credential = getattr(request, "auth", None)
    if credential is not None:
        return "jwt" if _is_jwt(credential) else "token"
    if request.META.get("HTTP_AUTHORIZATION", "")[:6].lower() == "basic ":
        return "basic"
    return "session" if _session_key(request) else None


def _is_jwt(credential: Any) -> bool:
    if isinstance(credential, Model):
        # Such as a row of `rest_framework.authtoken`: asking an abstract class costs more than all of this.
        return _is_named_jwt(type(credential))
    if isinstance(credential, str):
        return credential.count(".") == 2
    if isinstance(credential, bytes):
        return credential.count(b".") == 2
    if isinstance(credential, Mapping):
        # The claims of a token, as several packages hand them over.
        return True
    return _is_named_jwt(type(credential))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=64)
def _is_named_jwt(kind: type) -> bool:
    return "jwt" in f"{kind.__module__}.{kind.__name__}".lower()


def _surely_anonymous(request: Any) -> bool:
    """Whether Django's own middleware would answer ``AnonymousUser``: it asks the session, and the request came without one."""
    user = request.__dict__.get("user")
    if user is None or not issubclass(type(user), LazyObject):
        return False
    loader = _of_proxy(user, "__dict__").get("_setupfunc")
    return getattr(loader, "__module__", None) == "django.contrib.auth.middleware" and not _session_key(request)


def _unresolved(request: Any) -> Mapping[str, Any]:
    return {"type": "unresolved", "session": session_hash(request)}


def _session_key(request: Any) -> str | None:
    session = request.__dict__.get("session")
    if session is None:
        # Without any cookie there is none of the session either, and nothing need be parsed.
        if not request.META.get("HTTP_COOKIE") and "COOKIES" not in request.__dict__:
            return None
        session_cookie: str | None = request.COOKIES.get(django_settings.SESSION_COOKIE_NAME)
        return session_cookie
    key: str | None = getattr(session, "session_key", None)
    return key


@functools.lru_cache(maxsize=8)
def _session_secret(secret_key: str) -> bytes:
    return salted_hmac("indelible.session", b"", secret=secret_key, algorithm="sha256").digest()
