"""Refused access, by name: which model, which verb, where the request alone would only say 403.

It is worked out when an answer refuses, from the view that the URL led to: an admin page, a DRF view, a view behind
``permission_required`` or ``PermissionRequiredMixin``. Nothing is asked of the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.conf import settings as django_settings
from django.db.models import Model
from django.shortcuts import resolve_url

from indelible import _record
from indelible.django import _reads
from indelible.django._guard import Guard

REFUSALS: Final = frozenset({401, 403})
STATUSES: Final = REFUSALS | {302}
"""Answers that may be a refusal: the third leads to the log-in page."""
_READING: Final = frozenset({"view", "list"})
_OF_METHOD: Final = {
    "GET": "view",
    "HEAD": "view",
    "OPTIONS": "view",
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}
_OF_PERMISSION: Final = {"add": "create", "change": "update", "delete": "delete", "view": "view"}
_OF_ACTION: Final = {
    "list": "list",
    "retrieve": "view",
    "create": "create",
    "update": "update",
    "partial_update": "update",
    "destroy": "delete",
}
_DEPTH_MAX: Final = 16
"""How many decorators around a view are looked through."""


class Refused(NamedTuple):
    """What was refused: the model, the second half of the action, the key of the row if the URL names one, and by what."""

    model: type[Model]
    verb: str
    key: str | None
    by: str


def note(scope: Any, response: Any) -> None:
    """Records the refusal that a response is, if it is one and it is known of what."""
    with Guard("denied access"):
        request = scope.request
        if request.resolver_match is None or scope.denied or not _is_refusal(request, response):
            return
        refused = _refused(request)
        if refused is not None:
            _record_refusal(scope, refused)


def _is_refusal(request: Any, response: Any) -> bool:
    if response.status_code in REFUSALS:
        return True
    if response.status_code != 302 or not _is_logged_in(request):
        # Somebody who is not logged in is not refused: the log-in page is an invitation.
        return False
    target = response.headers.get("Location", "").partition("?")[0]
    return target in _login_pages(request.resolver_match.func)


def _is_logged_in(request: Any) -> bool:
    from indelible.django import _actor

    return bool(getattr(_actor.resolved_user(request), "is_authenticated", False))


def _login_pages(view: Any) -> set[str]:
    pages = {resolve_url(django_settings.LOGIN_URL)}
    admin = getattr(view, "model_admin", None)
    if admin is not None:
        pages.add(resolve_url(f"{admin.admin_site.name}:login"))
    for layer in _layers(view):
        page = getattr(layer, "login_url", None) or _closed_over(layer).get("login_url")
        if page:
            pages.add(resolve_url(page))
    return pages


def _record_refusal(scope: Any, refused: Refused) -> None:
    scope.denied = True
    label = _reads.label_of(refused.model)
    _record.record(
        f"{_reads.noun_of(refused.model)}.{refused.verb}",
        {"type": label, "id": refused.key},
        kind="read" if refused.verb in _READING else "change",
        outcome="denied",
        meta={"source": refused.by},
    )


def _refused(request: Any) -> Refused | None:
    match = request.resolver_match
    view = match.func
    if (admin := getattr(view, "model_admin", None)) is not None:
        return _by_admin(admin, match)
    if (view_class := getattr(view, "cls", None)) is not None:
        return _by_api(view, view_class, request)
    view_class = getattr(view, "view_class", None)
    permissions = _permissions_of(view) or getattr(view_class, "permission_required", None)
    return _by_permission(permissions, request)


def _by_admin(admin: Any, match: Any) -> Refused | None:
    from django.contrib.admin.utils import unquote

    page = (match.url_name or "").rpartition("_")[2]
    verbs = {"changelist": "list", "add": "create", "delete": "delete", "history": "view"}
    key = match.kwargs.get("object_id")
    verb = verbs.get(page)
    if verb is None:
        from indelible.django import _scope

        scope = _scope.current.get()
        verb = "update" if scope is not None and scope.request.method == "POST" else "view"
    return Refused(admin.model, verb, None if key is None else unquote(key), "admin")


def _by_api(view: Any, view_class: Any, request: Any) -> Refused | None:
    model = model_of_api(view_class)
    if model is None:
        return None
    actions = getattr(view, "actions", None) or {}
    action = actions.get(request.method.lower())
    verb = _OF_ACTION.get(action or "", action) or _OF_METHOD.get(request.method, "view")
    name = getattr(view_class, "lookup_url_kwarg", None) or getattr(view_class, "lookup_field", "pk")
    key = request.resolver_match.kwargs.get(name)
    if action is not None:
        verb = (getattr(view_class, "audit_actions", None) or {}).get(action, verb).rpartition(".")[2]
    elif verb == "view" and key is None:
        verb = "list"
    return Refused(model, verb, None if key is None else str(key), "api")


def model_of_api(view_class: Any) -> type[Model] | None:
    """The model that a DRF view is about: of its queryset, else of its serializer."""
    model = getattr(getattr(view_class, "queryset", None), "model", None)
    if model is None:
        model = getattr(getattr(getattr(view_class, "serializer_class", None), "Meta", None), "model", None)
    return model if isinstance(model, type) and issubclass(model, Model) else None


def _by_permission(permissions: Any, request: Any) -> Refused | None:
    names = (permissions,) if isinstance(permissions, str) else tuple(permissions or ())
    for name in names:
        app, _, codename = str(name).partition(".")
        verb, _, model_name = codename.partition("_")
        try:
            model = apps.get_model(app, model_name)
        except (LookupError, ValueError):
            continue
        key = next((str(request.resolver_match.kwargs[name]) for name in ("pk", "id") if name in request.resolver_match.kwargs), None)
        return Refused(model, _OF_PERMISSION.get(verb, verb), key, "permission_required")
    return None


def _permissions_of(view: Any) -> Any:
    """What ``permission_required`` around a view asks for: it keeps that only in its closure."""
    for layer in _layers(view):
        test = _closed_over(layer).get("test_func")
        for holder in (layer, test):
            held = _closed_over(holder)
            if "perm" in held or "perms" in held:
                return held.get("perm", held.get("perms"))
    return None


def _layers(view: Any) -> Iterator[Any]:
    for _ in range(_DEPTH_MAX):
        if view is None:
            return
        yield view
        view = getattr(view, "__wrapped__", None)


def _closed_over(function: Any) -> dict[str, Any]:
    code, closure = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or not closure:
        return {}
    held: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, closure, strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:
            continue
    return held
