"""The trail in Django's admin: a list with a search, and one record. Nothing can be added, changed or deleted, by nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.http import urlencode

from indelible import _client
from indelible.django import conf
from indelible.django.trail.models import Record

PAGE_RECORDS: Final = 50
_QUERY_CHARACTERS_MAX: Final = 4096
_SECONDS: Final = len("2026-01-31T09:30:00")
"""So much of a time stands in a list."""


@admin.register(Record)
class RecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages for superusers and for staff with the permission ``indelible_trail.view_record``. What they look at is recorded."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user: Any = request.user
        return bool(user.has_perm("indelible_trail.view_record"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """The two pages, and a refusal where the admin has its forms."""
        name = "indelible_trail_record_{}".format
        return [
            path("", self._page(self.list_page), name=name("changelist")),
            path("add/", self._page(_refuse), name=name("add")),
            path("<str:object_id>/change/", self._page(self.record_page), name=name("change")),
            path("<str:object_id>/delete/", self._page(_refuse), name=name("delete")),
            path("<str:object_id>/history/", self._page(_refuse), name=name("history")),
        ]

    def list_page(self, request: HttpRequest) -> HttpResponse:
        """One page of what the query finds, newest first."""
        query = request.GET.get("q", "")[:_QUERY_CHARACTERS_MAX]
        cursor = request.GET.get("cursor") or None
        context: dict[str, Any] = {"title": "Audit trail", "query": query, "cursor": cursor}
        status = 200
        try:
            page = _client.search(conf.active().data_dir, query, cursor=cursor, limit=PAGE_RECORDS, reader=_reader(request))
        except (_client.TrailUnavailable, _client.TrailRefused) as error:
            status = _explain(error, context)
        else:
            context["records"] = [_row(record) for record in page.records]
            context["partial"] = page.partial
            context["next"] = "?" + urlencode({"q": query, "cursor": page.cursor}) if page.cursor else None
        return self._answer(request, "list", context, status)

    def record_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One record with its leaf entry."""
        context: dict[str, Any] = {"title": "Record", "object_id": object_id}
        status = 200
        try:
            record = _client.record(conf.active().data_dir, object_id, reader=_reader(request))
        except (_client.TrailUnavailable, _client.TrailRefused) as error:
            status = _explain(error, context)
        else:
            event = record.get("event") or {}
            context["row"] = _row(record)
            context["changes"] = [_change(change) for change in event.get("changes", ())]
            context["text"] = json.dumps(record, indent=2, ensure_ascii=False)
        return self._answer(request, "record", context, status)

    def _page(self, page: Callable[..., HttpResponse]) -> Any:
        def guarded(request: HttpRequest, **arguments: str) -> HttpResponse:
            if request.method not in ("GET", "HEAD") or not self.has_view_permission(request):
                raise PermissionDenied
            return page(request, **arguments)

        return self.admin_site.admin_view(guarded)

    def _answer(self, request: HttpRequest, name: str, context: dict[str, Any], status: int) -> HttpResponse:
        everywhere = {**self.admin_site.each_context(request), "opts": self.model._meta, **context}
        response = TemplateResponse(request, f"admin/indelible_trail/{name}.html", everywhere, status=status)
        # What was shown once must be asked for, and so recorded, again.
        response["Cache-Control"] = "no-store"
        return response


def _refuse(request: HttpRequest, **_: str) -> HttpResponse:
    raise PermissionDenied


def _reader(request: HttpRequest) -> str:
    return str(request.user.pk)


def _explain(error: _client.TrailUnavailable | _client.TrailRefused, context: dict[str, Any]) -> int:
    """Puts the error on the page, and returns the status that goes with it."""
    context["error"] = str(error)
    if isinstance(error, _client.TrailUnavailable):
        context["command"] = error.cure
        return 503
    context["help"] = error.cure
    return error.status if error.status in (400, 404) else 400


def _row(record: dict[str, Any]) -> dict[str, Any]:
    event = record.get("event") or {}
    actor, resource = event.get("actor") or {}, event.get("resource") or {}
    kind = actor.get("type")
    at = str(event.get("occurred_at") or event.get("recorded_at") or record.get("received_at"))
    object_parts = [str(part) for part in (resource.get("type"), resource.get("id")) if part is not None]
    return {
        "id": event.get("id") or record.get("leaf"),
        "at": at,
        "shown_at": at[:_SECONDS].replace("T", " "),
        "actor": actor.get("label") or (f"{kind} {actor['id']}" if actor.get("id") else kind),
        "action": event.get("action") or "(not readable)",
        "resource": "/".join(object_parts) or _asked(event),
        "label": resource.get("label") or "",
        "outcome": event.get("outcome"),
        "verdict": record.get("verdict"),
        "leaf": record.get("leaf"),
    }


def _asked(event: dict[str, Any]) -> str:
    """Method and path of a request, which has no object."""
    request = event.get("request") or {}
    return " ".join(str(request[part]) for part in ("method", "path") if request.get(part)) if event.get("kind") == "request" else ""


def _change(change: dict[str, Any]) -> dict[str, str]:
    if "field" not in change or not {"old", "new", "masked", "old_unknown", "new_unknown"} & change.keys():
        return {"field": str(change.get("field", "")), "old": "", "new": json.dumps(change, ensure_ascii=False)}
    return {"field": str(change["field"]), "old": _side(change, "old"), "new": _side(change, "new")}


def _side(change: dict[str, Any], side: str) -> str:
    if change.get("masked"):
        return "[masked]"
    if side in change:
        return json.dumps(change[side], ensure_ascii=False)
    return "(not known)" if change.get(f"{side}_unknown") else ""
