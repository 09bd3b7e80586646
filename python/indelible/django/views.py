"""Intent for plain views: create, update and delete an instance as one event with its meaning.

Each writes, and its event is the automatic one, with exact changes, under the given name. A write that fails or is refused leaves the attempt.
Called after the application has written already, it adds the meaning to the change that waits for the COMMIT of the same transaction.

Example:
    >>> def discharge(request, pk):
    ...     patient = get_object_or_404(Patient, pk=pk)
    ...     audit_update(patient, request, action="patient.discharge", validated_data={"ward": None})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db.models import DEFERRED, ManyToManyField, Model

from indelible import _context, _record
from indelible.django import _reads, _scope
from indelible.django._intent import declare
from indelible.django._models import plan_of
from indelible.django._snapshots import copied, known_values

__all__ = ["aaudit_create", "aaudit_delete", "aaudit_update", "audit_create", "audit_delete", "audit_update"]

M = TypeVar("M", bound=Model)


def audit_create(
    instance: M,
    request: Any = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    action: str | None = None,
    reason: str | None = None,
    validated_data: Mapping[str, Any] | None = None,
) -> M:
    """Saves a new instance. ``validated_data`` are values set on it first, many-to-many fields after the save.

    An instance that is saved already gives the meaning to its insert, if that waits for a COMMIT; else it is an event of its own.
    """
    with _framed(request):
        if not instance._state.adding:
            _say(instance, action or f"{_reads.noun_of(type(instance))}.create", metadata, reason)
            return instance
        with declare(instance, verb="create", action=action, meta=_meta(request, metadata), reason=reason):
            many = _set(instance, validated_data)
            instance.save(force_insert=True)
            _set_many(instance, many)
    return instance


def audit_update(
    instance: M,
    request: Any = None,
    metadata: Mapping[str, Any] | None = None,
    validated_data: Mapping[str, Any] | None = None,
    *,
    action: str | None = None,
    reason: str | None = None,
) -> M:
    """Sets ``validated_data`` on an instance and saves it. Where nothing changes, nothing is recorded.

    Without ``validated_data`` what was set on the instance before is saved; if all of that has been saved already, the change that waits for a
    COMMIT is given its meaning.
    """
    with _framed(request):
        if validated_data is None and not _is_changed(instance):
            _say(instance, action or f"{_reads.noun_of(type(instance))}.update", metadata, reason)
            return instance
        with declare(instance, verb="update", action=action, meta=_meta(request, metadata), reason=reason):
            many = _set(instance, validated_data)
            instance.save()
            _set_many(instance, many)
    return instance


def audit_delete(
    instance: Model,
    request: Any = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    action: str | None = None,
    reason: str | None = None,
) -> tuple[int, dict[str, int]]:
    """Deletes an instance and returns what Django's ``delete()`` does. A delete that is refused is recorded as the attempt that it was."""
    with _framed(request), declare(instance, verb="delete", action=action, meta=_meta(request, metadata), reason=reason):
        return instance.delete()


aaudit_create = sync_to_async(audit_create, thread_sensitive=True)
aaudit_update = sync_to_async(audit_update, thread_sensitive=True)
aaudit_delete = sync_to_async(audit_delete, thread_sensitive=True)


@contextmanager
def _framed(request: Any) -> Iterator[None]:
    """The actor of a request that did not come through the middleware; inside of it everything is known already."""
    user = getattr(request, "user", None)
    if user is None or _scope.current.get() is not None:
        yield
        return
    with _context.context(actor=user):
        yield


def _meta(request: Any, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    match = getattr(request, "resolver_match", None)
    view = {} if match is None else {"view": match.view_name or match._func_path}
    return {"source": "view", **view, **(metadata or {})}


def _say(instance: Model, action: str, metadata: Mapping[str, Any] | None, reason: str | None) -> None:
    """Says what a change meant that was made before: together with it while it waits for a COMMIT, else by itself."""
    from indelible.django._transactions import hold_on

    kind: Any = "change" if hold_on(instance) is not None else "action"
    _record.record(action, instance, kind=kind, meta=_meta(None, metadata), reason=reason)


def _is_changed(instance: Model) -> bool:
    """Whether the instance differs from its row as far as we know it."""
    plan, using = plan_of(type(instance)), instance._state.db
    known = None if plan is None or using is None else known_values(instance, plan, using)
    if plan is None or known is None:
        return True
    held = copied(plan, [instance.__dict__.get(attname, DEFERRED) for attname in plan.attnames])
    return any(new is not DEFERRED and old is not new and old != new for old, new in zip(known, held, strict=True))


def _set(instance: Model, values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Sets values, and returns those that can be set only when the row is there."""
    many: dict[str, Any] = {}
    for name, value in (values or {}).items():
        if isinstance(instance._meta.get_field(name), ManyToManyField):
            many[name] = value
        else:
            setattr(instance, name, value)
    return many


def _set_many(instance: Model, many: Mapping[str, Any]) -> None:
    for name, value in many.items():
        getattr(instance, name).set(value)
