"""The trail for clients of a REST framework API: a read-only view set, and a mixin that adds ``/patients/1/trail/`` to yours.

Pages follow each other by cursor; the agent records who looks before it answers.

Example:
    >>> router.register("trail", TrailViewSet, basename="trail")
    >>> class PatientViewSet(AuditTrailMixin, ModelViewSet): ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

try:
    from rest_framework import status
    from rest_framework.decorators import action
    from rest_framework.exceptions import APIException, ValidationError
    from rest_framework.permissions import BasePermission
    from rest_framework.request import Request
    from rest_framework.response import Response
    from rest_framework.viewsets import ViewSet
except ImportError as missing:
    raise ImportError(f"indelible.drf_trail needs the REST framework ({missing}): pip install 'indelible[drf]'") from missing

from indelible import _client
from indelible.django import conf

__all__ = ["AuditTrailMixin", "MayReadTrail", "TrailViewSet"]

PAGE_RECORDS: Final = 50
PERMISSION: Final = "indelible_trail.view_record"


class MayReadTrail(BasePermission):  # type: ignore[misc]
    """Allows superusers, and users with the permission ``indelible_trail.view_record`` of the app ``indelible.django.trail``."""

    message = "You may not read the audit trail."

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        return bool(user and user.is_authenticated and user.has_perm(PERMISSION))


class _Column(int):
    """A number that error handlers can ask for its code, as they may any part of an answer."""

    code = APIException.default_code


class TrailProblem(APIException):  # type: ignore[misc]
    """The agent's word on why there is no answer: ``error``, ``help`` and, for a query, ``column``."""

    def __init__(self, error: _client.TrailUnavailable | _client.TrailRefused) -> None:
        if isinstance(error, _client.TrailUnavailable):
            # The cure is a command on our host: it is for the operator, not for a client.
            self.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
            detail: Mapping[str, Any] = {"error": "the audit trail cannot be read at the moment"}
        else:
            self.status_code = error.status if error.status in (400, 404) else status.HTTP_400_BAD_REQUEST
            detail = {"error": str(error), "help": error.cure, "column": error.column}
        super().__init__({key: value for key, value in detail.items() if value is not None})
        if detail.get("column") is not None:
            # The framework makes text of every value that it is given, and a column is a number.
            self.detail["column"] = _Column(detail["column"])


class TrailViewSet(ViewSet):  # type: ignore[misc]
    """``GET /trail/?q=&cursor=&limit=`` answers ``results`` and ``next``, the cursor of the next page; ``GET /trail/ID/`` one record."""

    permission_classes: ClassVar[Sequence[type[BasePermission]]] = [MayReadTrail]

    def list(self, request: Request) -> Response:
        """One page of what the query ``q`` finds (docs/search.md), newest first."""
        return _page(request, request.query_params.get("q", ""))

    def retrieve(self, request: Request, pk: str) -> Response:
        """One record with its leaf entry, by event id or number of its leaf."""
        try:
            return _answer(_client.record(conf.active().data_dir, pk, reader=_reader(request)))
        except (_client.TrailUnavailable, _client.TrailRefused) as error:
            raise TrailProblem(error) from error


class AuditTrailMixin:
    """Adds ``trail/`` to the detail routes of a model's view set: everything that happened to that object.

    Who asks needs what the view set asks for the object itself, and ``trail_permission_classes`` beside that.
    """

    trail_permission_classes: ClassVar[Sequence[type[BasePermission]]] = [MayReadTrail]

    @action(detail=True, methods=["get"], url_path="trail", url_name="trail")  # type: ignore[untyped-decorator, unused-ignore]
    def trail(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One page of the object's records, newest first."""
        view: Any = self
        instance = view.get_object()
        for permission in (kind() for kind in self.trail_permission_classes):
            if not permission.has_permission(request, view):
                view.permission_denied(request, message=getattr(permission, "message", None))
        label = (instance._meta.concrete_model or type(instance))._meta.label
        # No query of the client's own here: joined to ours it could reach other objects.
        return _page(request, f"resource:{_client.phrase(f'{label}/{instance.pk}')}")


def _page(request: Request, query: str) -> Response:
    try:
        limit = int(request.query_params.get("limit", PAGE_RECORDS))
    except ValueError as error:
        raise ValidationError({"limit": "must be a whole number"}) from error
    cursor = request.query_params.get("cursor") or None
    try:
        page = _client.search(conf.active().data_dir, query, cursor=cursor, limit=limit, reader=_reader(request))
    except (_client.TrailUnavailable, _client.TrailRefused) as error:
        raise TrailProblem(error) from error
    return _answer({"next": page.cursor, "partial": page.partial, "results": page.records})


def _answer(body: Mapping[str, Any]) -> Response:
    # What was shown once must be asked for, and so recorded, again.
    return Response(body, headers={"Cache-Control": "no-store"})


def _reader(request: Request) -> str:
    return str(request.user.pk)
