"""Intent for the REST framework: ``AuditViewSetMixin``, and reading recorded where models or views say ``reads = True``.

Needs the REST framework: ``pip install "indelible[drf]"``.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

try:
    from rest_framework.exceptions import ValidationError
    from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
except ImportError as error:
    raise ImportError("indelible.drf needs the REST framework; run: pip install 'indelible[drf]'") from error

from django.conf import settings
from django.contrib.auth.hashers import identify_hasher
from django.core.exceptions import RequestDataTooBig
from django.db.models import Model
from django.http.request import RawPostDataException

from indelible import _context, _record
from indelible.django import _additions, _denials, _models, _reads, _reasons, conf
from indelible.django._guard import Guard
from indelible.django._intent import Declaration, ReasonRequired, declaring, has

if TYPE_CHECKING:
    from indelible.django._recording import Verb

__all__ = ["AuditViewSetMixin"]

_VERBS: Final[Mapping[str, Verb]] = {
    "create": "create",
    "update": "update",
    "partial_update": "update",
    "destroy": "delete",
    "post": "create",
    "put": "update",
    "patch": "update",
    "delete": "delete",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class AuditViewSetMixin:
    """Makes what a DRF view does to its object one event with its meaning. For viewsets and generic views; comes first among the bases.

    Every event of the request carries ``meta.source`` ``"api"`` and ``meta.view``, the event of the object also ``meta.serializer``.
    A write that fails or is refused leaves the attempt. Nothing is recorded twice: the automatic event of the object *is* the event,
    and other rows written by the same request are recorded as ever.

    ``audit_actions`` gives the view's actions their names; an action that writes nothing is recorded as kind ``action`` (``read`` for GET).
    ``reads``: whether ``retrieve`` and ``list`` are recorded, where it is not left to the model.

    Example:
        >>> class PatientViewSet(AuditViewSetMixin, ModelViewSet):
        ...     audit_actions = {"discharge": "patient.discharge"}
        ...     reads = True
    """

    audit_actions: Mapping[str, str] = {}
    reads: bool | None = None

    def audit_meta(self) -> dict[str, Any]:
        """What every event of the request carries in ``meta``; for overriding."""
        return {"source": "api", "view": type(self).__name__}

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Runs the framework's checks, then puts the handler of this request into its frame."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        with Guard("AuditViewSetMixin"):
            name = request.method.lower()
            handler = getattr(self, name, None)
            if handler is not None:
                setattr(self, name, functools.partial(_handle, self, handler))

    def get_object(self) -> Any:
        """Takes note of the object that the request is about."""
        instance = super().get_object()  # type: ignore[misc]
        declaration = self.__dict__.get("_indelible_declared")
        if declaration is not None and isinstance(instance, Model):
            declaration.is_about(instance)
        return instance

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Takes note of the serializer that brings new data."""
        serializer = super().get_serializer(*args, **kwargs)  # type: ignore[misc]
        declaration = self.__dict__.get("_indelible_declared")
        if declaration is not None and kwargs.get("data") is not None:
            declaration.brings(serializer)
        return serializer


class _ViewDeclaration(Declaration):
    """What a view means to do: to the object that it gets, or to the one whose values its serializer has found valid."""

    __slots__ = ("serializer",)

    def __init__(self, model: type[Model], verb: Verb | None, action: str | None, meta: Mapping[str, Any]) -> None:
        super().__init__(model, verb=verb, action=action, meta=meta)
        self.serializer: Any = None

    def is_about(self, instance: Model) -> None:
        if self._instance is None and type(instance)._meta.concrete_model is self._model:
            self._instance = instance

    def brings(self, serializer: Any) -> None:
        if self.serializer is None:
            self.serializer = serializer
            named = getattr(serializer, "child", serializer)
            self.meta = {**(self.meta or {}), "serializer": type(named).__name__}

    def covers(self, instance: Model, verb: Verb) -> bool:
        several = isinstance(self._validated(), list)
        if self._instance is not None or self.serializer is None or verb != "create":
            return super().covers(instance, verb)
        if self._verb == "delete" or type(instance)._meta.concrete_model is not self._model or (self.happened != "no" and not several):
            return False
        validated = self._validated()
        rows: Sequence[Any] = validated if isinstance(validated, list) else [validated]
        return any(isinstance(row, Mapping) and _has_all(instance, row) for row in rows)

    def _validated(self) -> Any:
        return getattr(self.serializer, "_validated_data", None)


def _has_all(instance: Model, validated: Mapping[str, Any]) -> bool:
    """Whether an instance has what was found valid. Of a password it has the hash."""
    return all(has(instance, name, value) or _is_stored_password(instance.__dict__.get(name)) for name, value in validated.items())


def _is_stored_password(value: Any) -> bool:
    try:
        identify_hasher(value)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


def _handle(view: Any, handler: Callable[..., Any], request: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs the handler of a request inside of what is known about it."""
    action = getattr(view, "action", None) or request.method.lower()
    name = view.audit_actions.get(action)
    model = _model_of(view)
    _reasons.follow_api(request)
    if request.method not in _SAFE and _requires_reason(model, action, name) and not _context.current_facts().reason:
        # Refused without it, so that this body may be read for the reason's sake.
        _read_for_reason(request)
    with _context.context(meta=_additions.said(view.audit_meta)):
        if model is None:
            return handler(request, *args, **kwargs)
        if request.method in _SAFE:
            return _read(view, model, action, name, handler, request, args, kwargs)
        return _write(view, model, action, name, handler, request, args, kwargs)


def _read_for_reason(request: Any) -> None:
    """Parses the body, and keeps it for a view that reads it by itself, unless it is one that Django would not load at once."""
    if _is_loadable(request._request):
        with contextlib.suppress(RequestDataTooBig, RawPostDataException):
            request._request.body  # noqa: B018
    request.data  # noqa: B018


def _is_loadable(request: Any) -> bool:
    """Whether the whole body may be in memory: it says how long it is, and that is no more than the site allows."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return False
    limit: int | None = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if limit is None:
        # Whoever set no limit meant forms, whose files Django puts on the disk.
        return length > 0 and str(request.content_type) != "multipart/form-data"
    return 0 < length <= limit


def _requires_reason(model: type[Model] | None, action: str, name: str | None) -> bool:
    """Whether what this handler is for is refused without a reason, and the site takes reasons from bodies."""
    active = conf.active()
    if not active.reason_field:
        return False
    plan = None if model is None else _models.plan_of(model)
    verb = _VERBS.get(action)
    return name in active.reason_required or (plan is not None and (bool(plan.reasoned) if verb is None else verb in plan.reasoned))


def _read(
    view: Any, model: type[Model], action: str, name: str | None, handler: Callable[..., Any], request: Any, args: Any, kwargs: Any
) -> Any:
    declaration = view._indelible_declared = _ViewDeclaration(model, None, None, {})
    try:
        response = handler(request, *args, **kwargs)
    finally:
        del view._indelible_declared
    with Guard("reads of a DRF view", refuses=True):
        if request.method == "GET" and response.status_code == 200:
            if name is not None and action not in ("retrieve", "list"):
                _record.record(name, _resource(model, declaration.instance), kind="read")
            elif _reads.is_recorded(model, view) and action in ("retrieve", "list", "get"):
                _seen(model, response, declaration.instance, name)
    return response


def _write(
    view: Any, model: type[Model], action: str, name: str | None, handler: Callable[..., Any], request: Any, args: Any, kwargs: Any
) -> Any:
    verb = _VERBS.get(action)
    declaration = _ViewDeclaration(model, verb, name, {})
    view._indelible_declared = declaration
    try:
        with declaring(declaration, None, verb or "update"):
            response = handler(request, *args, **kwargs)
    except ReasonRequired as refusal:
        raise ValidationError({settings_field(): [str(refusal)]}) from refusal
    finally:
        del view._indelible_declared
    if name is not None and declaration.happened == "no" and verb is None:
        with Guard(name):
            outcome = "success" if response.status_code < 400 else "denied" if response.status_code in _denials.REFUSALS else "failure"
            _record.record(name, _resource(model, declaration.instance), meta=declaration.meta, outcome=cast("Any", outcome))
    return response


def settings_field() -> str:
    """The member of an answer that says that a reason is missing."""
    return conf.active().reason_field or "reason"


def _resource(model: type[Model], instance: Model | None) -> dict[str, Any]:
    return {"type": _reads.label_of(model)} if instance is None else _reads.resource_of(instance)


def _seen(model: type[Model], response: Any, instance: Model | None, name: str | None) -> None:
    """Records what an answer showed: one row, or several."""
    shown = _reads.serialised(response.data)
    if instance is not None or isinstance(shown, Model):
        _reads.record_view(instance if instance is not None else shown, {}, name)
    elif shown is not None:
        _reads.record_list(model, shown, {}, name)


def _model_of(view: Any) -> type[Model] | None:
    model = _denials.model_of_api(type(view))
    if model is None:
        model = _model_asked_for(view, "get_serializer_class", lambda found: found.Meta.model)
    if model is None:
        # Last: to work out its rows, a view may look up whose they are.
        model = _model_asked_for(view, "get_queryset", lambda found: found.model)
    return model


def _model_asked_for(view: Any, method: str, model_of: Callable[[Any], Any]) -> type[Model] | None:
    """The model that a method of the view leads to, where the view has written that method itself."""
    try:
        model = model_of(getattr(view, method)())
    except Exception:
        # It fails for the view as well, if that asks: then the view says how.
        return None
    return model if isinstance(model, type) and issubclass(model, Model) else None


def install() -> None:
    """Records reading through the framework's own mixins from now on. Does nothing the second time."""
    _hook(RetrieveModelMixin, "retrieve")
    _hook(ListModelMixin, "list")


@functools.lru_cache(maxsize=1024)
def _is_silent(view: type, generation: int, reads: bool) -> bool:
    """Whether nothing that this view shows is recorded here; the settings are those of one ``generation`` of plans."""
    with Guard("reads of a DRF view", refuses=True):
        if issubclass(view, AuditViewSetMixin):
            return True
        model = _denials.model_of_api(view)
        return not reads and (model is None or not _reads.is_recorded(model, view))
    return False


def _hook(owner: type, name: str) -> None:
    django = getattr(owner, name)
    if hasattr(django, _reads.HOOKED):
        return

    @functools.wraps(django)
    def hook(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        response = django(self, request, *args, **kwargs)
        if response.status_code == 200 and not _is_silent(type(self), _models.generation(), bool(self.__dict__.get("reads"))):  # type: ignore[arg-type]
            with Guard(f"reads in {name}", refuses=True):
                model = _denials.model_of_api(type(self))
                if model is not None and _reads.is_recorded(model, self):
                    with _context.context(meta={"source": "api", "view": type(self).__name__}):
                        _seen(model, response, None, None)
        return response

    hook.indelible = True  # type: ignore[attr-defined]
    setattr(owner, name, hook)


install()
