"""Logins, failed logins, logouts and lockouts: from Django's signals, and from helpers where nobody sends one."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from indelible import _runtime
from indelible._context import Facts, user_actor
from indelible.django import _actor, _network, _scope, conf
from indelible.django._guard import Guard

USER_NAME_CHARACTERS_MAX = 256
"""What is kept of the name somebody tried to log in with."""


def record_login(user: Any, *, auth: str | None = None, request: Any = None, meta: Mapping[str, Any] | None = None) -> None:
    """Records that a user logged in by other means than Django's ``login()``, such as being given a token: ``auth="jwt"``.

    Django's own logins are recorded without this.

    Example:
        >>> class Tokens(TokenObtainPairSerializer):
        ...     def validate(self, attrs):
        ...         tokens = super().validate(attrs)
        ...         record_login(self.user, auth="jwt", request=self.context["request"])
        ...         return tokens
    """
    with Guard("record_login", event=True, refuses=True):
        request = _original(request)
        facts = _facts_of_user(request, user)
        if auth is not None:
            facts = _with_actor(facts, {**facts.actor, "auth": auth})
        _record("auth.login", "success", request, facts, user=user, meta=meta)


def record_logout(user: Any, *, request: Any = None, meta: Mapping[str, Any] | None = None) -> None:
    """Records that a user logged out by other means than Django's ``logout()``: a token was revoked."""
    with Guard("record_logout", event=True, refuses=True):
        request = _original(request)
        _record("auth.logout", "success", request, _facts_of_user(request, user), user=user, meta=meta)


def record_login_failed(username: str | None, *, request: Any = None, meta: Mapping[str, Any] | None = None) -> None:
    """Records an attempt to log in that did not go through ``authenticate()``. The name is cut and masked; hand over no password."""
    _record_attempt("auth.login_failed", username, request, meta)


def record_lockout(username: str | None = None, *, request: Any = None, meta: Mapping[str, Any] | None = None) -> None:
    """Records that somebody may not try to log in any more, for now. Lockouts of django-axes are recorded without this."""
    _record_attempt("auth.lockout", username, request, meta)


def connect() -> None:
    """Connects the receivers; calling it again changes nothing."""
    user_logged_in.connect(_logged_in, dispatch_uid="indelible.logged_in")
    user_login_failed.connect(_login_failed, dispatch_uid="indelible.login_failed")
    user_logged_out.connect(_logged_out, dispatch_uid="indelible.logged_out")
    if "axes" in sys.modules:
        from axes.signals import user_locked_out

        user_locked_out.connect(_locked_out, dispatch_uid="indelible.locked_out")


def disconnect() -> None:
    """Disconnects the receivers."""
    user_logged_in.disconnect(dispatch_uid="indelible.logged_in")
    user_login_failed.disconnect(dispatch_uid="indelible.login_failed")
    user_logged_out.disconnect(dispatch_uid="indelible.logged_out")


def _logged_in(sender: Any, request: Any = None, user: Any = None, **_: Any) -> None:
    # Django sends the signal after it has given the session a new key, so the hash is the one of all later events.
    with Guard("user_logged_in", event=True, refuses=True):
        _record("auth.login", "success", request, _facts_of_user(request, user), user=user)


def _login_failed(sender: Any, credentials: Mapping[str, Any] | None = None, request: Any = None, **_: Any) -> None:
    _record_attempt("auth.login_failed", _tried_name(credentials or {}), request, None)


def _locked_out(sender: Any, request: Any = None, username: str | None = None, **_: Any) -> None:
    _record_attempt("auth.lockout", username, request, None)


def _record_attempt(action: str, username: str | None, request: Any, meta: Mapping[str, Any] | None) -> None:
    with Guard(action, event=True):
        scope = _scope.current.get()
        facts = scope.facts(resolve=True) if scope is not None else Facts(actor=_actor.ANONYMOUS)
        named = {} if username is None else {"username": _normalised(username)}
        _record(action, "denied", _original(request), facts, meta={**(meta or {}), **named} or None)


def _logged_out(sender: Any, request: Any = None, user: Any = None, **_: Any) -> None:
    if user is None:
        # Nobody was logged in.
        return
    with Guard("user_logged_out", event=True, refuses=True):
        facts = _facts_of_user(request, user)
        if (scope := _scope.current.get()) is not None:
            scope.departed = facts
        _record("auth.logout", "success", request, facts, user=user)


def _facts_of_user(request: Any, user: Any) -> Facts:
    """The facts of an event whose actor is ``user``, who may not be the user of the request yet."""
    scope = _scope.current.get()
    if scope is not None and scope.request is request and _actor.resolved_user(request) in (user, None):
        return scope.facts(resolve=True)
    fields = conf.active().actor_fields
    actor = user_actor(user, fields) if request is None else _actor.describe(request, user, fields)
    return Facts(actor=actor) if scope is None else scope.facts_of(actor)


def _tried_name(credentials: Mapping[str, Any]) -> str | None:
    """The user name of an attempt. Nothing else of the credentials is looked at."""
    field: str = get_user_model().USERNAME_FIELD  # type: ignore[assignment]
    name = credentials.get(field, credentials.get("username"))
    return None if name is None else str(name)


def _normalised(name: str) -> str:
    """A name as Django compares it: two ways of typing it are one name."""
    return unicodedata.normalize("NFKC", name[:USER_NAME_CHARACTERS_MAX]).strip()[:USER_NAME_CHARACTERS_MAX]


def _original(request: Any) -> Any:
    """Django's own request: DRF hands its views a wrapper."""
    return getattr(request, "_request", request)


def _with_actor(facts: Facts, actor: Mapping[str, Any]) -> Facts:
    return Facts(
        actor=actor,
        request_id=facts.request_id,
        trace_id=facts.trace_id,
        span_id=facts.span_id,
        reason=facts.reason,
        tenant=facts.tenant,
        meta=facts.meta,
        notes=facts.notes,
    )


def _record(
    action: str,
    outcome: Any,
    request: Any,
    facts: Facts,
    *,
    user: Any = None,
    meta: Mapping[str, Any] | None = None,
) -> None:
    if not conf.active().auth:
        return
    runtime = _runtime.runtime()
    recorder, context = runtime.recorder(), facts.context(runtime)
    if recorder is None or context is None:
        runtime.lose()
        return
    event = recorder.event(
        context,
        "auth",
        action,
        outcome,
        resource=None if user is None else _user_resource(user, facts),
        request=_origin(request, facts),
        meta=meta,
    )
    recorder.record(event)


def _user_resource(user: Any, facts: Facts) -> Mapping[str, Any]:
    return {"type": user._meta.label, "id": user.pk, "label": facts.actor.get("label")}


def _origin(request: Any, facts: Facts) -> Mapping[str, Any] | None:
    if request is None:
        return None
    return {
        "id": facts.request_id,
        "client_ip": _network.client_ip(request.META, conf.active().trusted_proxy_count),
        "user_agent": request.META.get("HTTP_USER_AGENT"),
    }
