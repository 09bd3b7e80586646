"""Who looked at which rows: the detail and list pages of Django's admin, ``retrieve`` and ``list`` of DRF's views.

Nothing is read for the sake of the record: the rows are those that the answer was made from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django.db.models import Model, QuerySet

from indelible import _record
from indelible.django import conf
from indelible.django._guard import Guard
from indelible.django._models import plan_of
from indelible.django._queries import IDS_MAX

HOOKED: Final = "indelible"


def is_recorded(model: type[Model], view: Any = None) -> bool:
    """Whether reading rows of this model is recorded. A view's own ``reads`` wins over the model's."""
    setting = conf.active().reads
    if setting == "none":
        return False
    said: bool | None = getattr(view, "reads", None)
    if said is None:
        plan = plan_of(model)
        said = None if plan is None else plan.reads
        if said is None:
            said = setting == "all" and plan is not None
    return said


def record_view(instance: Model, meta: Mapping[str, Any], action: str | None = None) -> None:
    """Records that somebody looked at one row."""
    model = type(instance)
    _record.record(action or f"{noun_of(model)}.view", resource_of(instance), kind="read", meta=meta)


def record_list(model: type[Model], rows: Iterable[Any], meta: Mapping[str, Any], action: str | None = None) -> None:
    """Records that somebody looked at several rows: how many, and the keys of the first 1,000."""
    keys = [row.pk for row in rows if isinstance(row, Model)]
    listed = {"count": len(keys), "ids": [str(key) for key in keys[:IDS_MAX]]}
    if len(keys) > IDS_MAX:
        listed["truncated"] = True
    _record.record(action or f"{noun_of(model)}.list", {"type": label_of(model)}, kind="read", meta={**meta, **listed})


def noun_of(model: type[Model]) -> str:
    """The first half of the actions about a model."""
    concrete = model._meta.concrete_model or model
    return concrete._meta.model_name or concrete.__name__.lower()


def label_of(model: type[Model]) -> str:
    """The type of a resource that is a row of this model."""
    concrete = model._meta.concrete_model or model
    return concrete._meta.label


def resource_of(instance: Model) -> dict[str, Any]:
    """The resource that a row is, named only by what is loaded and may be shown."""
    plan = plan_of(type(instance))
    label = None if plan is None or plan.label_of is None else plan.label_of(instance)
    return {"type": label_of(type(instance)), "id": instance.pk, "label": label}


def install_admin() -> None:
    """Records reading in every site of Django's admin from now on. Does nothing the second time."""
    from django.contrib.admin.options import ModelAdmin

    _hook(ModelAdmin, "changeform_view", _seen_in_form)
    _hook(ModelAdmin, "changelist_view", _seen_in_list)


def _hook(owner: type, name: str, seen: Callable[[Any, Any, Any], None]) -> None:
    django = getattr(owner, name)
    if hasattr(django, HOOKED):
        return

    @functools.wraps(django)
    def hook(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        response = django(self, request, *args, **kwargs)
        if request.method == "GET" and response.status_code == 200:
            with Guard(f"reads in {name}", refuses=True):
                seen(self, request, response)
        return response

    hook.indelible = True  # type: ignore[attr-defined]
    setattr(owner, name, hook)


def admin_meta(model_admin: Any) -> dict[str, Any]:
    """What all events of an admin page have in common."""
    return {"source": "admin", "admin": type(model_admin).__name__}


def _seen_in_form(model_admin: Any, request: Any, response: Any) -> None:
    instance = (getattr(response, "context_data", None) or {}).get("original")
    if isinstance(instance, Model) and is_recorded(type(instance), model_admin):
        record_view(instance, admin_meta(model_admin))


def _seen_in_list(model_admin: Any, request: Any, response: Any) -> None:
    rows = getattr((getattr(response, "context_data", None) or {}).get("cl"), "result_list", None)
    if rows is not None and is_recorded(model_admin.model, model_admin):
        # The page shows the very same rows: what is loaded here is not loaded again.
        record_list(model_admin.model, rows, admin_meta(model_admin))


def serialised(data: Any) -> Any:
    """What a DRF serializer made this answer from: an instance, a sequence of them, or ``None`` when nobody can say."""
    serializer = getattr(data, "serializer", None)
    if serializer is None and isinstance(data, Mapping):
        serializer = next((found for value in data.values() if (found := getattr(value, "serializer", None)) is not None), None)
    instance = getattr(serializer, "instance", None)
    if isinstance(instance, QuerySet) and instance._result_cache is None:
        return None
    return instance
