"""Intent for Django's admin: ``AuditModelAdmin``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.db import router
from django.db.models import CASCADE, Model, QuerySet
from django.db.models.deletion import Collector, get_candidate_relations_to_delete
from django.http import HttpResponseRedirect
from django.urls import URLPattern
from django.utils.html import format_html

from indelible import _client, _context, _record
from indelible.django import _additions, _reads, _reasons, conf
from indelible.django._guard import Guard
from indelible.django._intent import Declaration, ReasonRequired, declare, declaring, demand_reason_for
from indelible.django._models import plan_of
from indelible.django._queries import IDS_MAX

REASON_FIELD: Final = "audit_reason"
"""The form field for a reason where ``REASON_FIELD`` names none."""

ASKED: Final = "Give a reason for {}."
_CONFIRMED: Final = '<input type="hidden" name="post" value="yes">'
_FRAMED_BY: Final = "_indelible_framed_by"
"""On a page, and on its request while it runs: the admin whose ``audit_meta`` is said already."""
_BUILT_IN: Final = frozenset({"delete_selected"})


class AuditModelAdmin(ModelAdmin):  # type: ignore[type-arg]
    """A ``ModelAdmin`` whose pages say what they mean. Use it in place of ``ModelAdmin``, or first among the bases.

    Every event of its pages carries ``meta.source`` ``"admin"`` and ``meta.admin``. Adding, changing and deleting an object is one event with its
    exact changes; deleting a selection is one event for each object; an action of your own is recorded as ``model.action_name`` (or as ``audit_actions``
    names it) with how many objects were selected, and which. A write that fails or is refused leaves the attempt. The history page
    shows the object's timeline from the trail where an agent answers, else Django's own.

    Where a reason is required of the object, of rows of its inlines, or of an action of yours (``REASON_REQUIRED``), forms and confirmation
    pages ask for it. ``reads``: whether looking is recorded, where it is not left
    to the model.
    """

    audit_actions: Mapping[str, str] = {}
    reads: bool | None = None

    def audit_meta(self, request: Any) -> dict[str, Any]:
        """What every event of these pages carries in ``meta``; for overriding."""
        return _reads.admin_meta(self)

    @property
    def urls(self) -> Any:
        """The pages, those that a ``get_urls`` of yours adds included."""
        patterns: list[Any] = super().urls
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                pattern.callback = self._in_frame(pattern.callback)
        return patterns

    def _in_frame(self, view: Callable[..., Any]) -> Callable[..., Any]:
        # Patterns that a `get_urls` keeps are seen again.
        if iscoroutinefunction(view) or getattr(view, _FRAMED_BY, None) is self:
            return view
        # Django's own page sends a visitor away before it does anything; of one of yours nobody knows.
        is_djangos = hasattr(view, "model_admin")

        @functools.wraps(view)
        def framed(request: Any, *args: Any, **kwargs: Any) -> Any:
            if is_djangos and not self.admin_site.has_permission(request):
                return view(request, *args, **kwargs)
            # No reason here: a page of your own may read its body by itself.
            outer = getattr(request, _FRAMED_BY, None)
            setattr(request, _FRAMED_BY, self)
            try:
                with _context.context(meta=_additions.said(self.audit_meta, request)):
                    return view(request, *args, **kwargs)
            finally:
                setattr(request, _FRAMED_BY, outer)

        setattr(framed, _FRAMED_BY, self)
        return framed

    def changeform_view(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with self._framed(request):
            return super().changeform_view(request, *args, **kwargs)

    def changelist_view(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with self._framed(request):
            response = super().changelist_view(request, *args, **kwargs)
        if "action_form" in (getattr(response, "context_data", None) or {}):
            return self._asking_for_changes(response)
        return self._asking_for_deletion(request, response)

    def delete_view(self, request: Any, object_id: str, extra_context: Any = None) -> Any:
        lacking = self._lacks_reason(request, "delete")
        # Whoever may not delete it is told so, by Django, and not asked why.
        if lacking and request.method == "POST" and self.has_delete_permission(request, self.get_object(request, unquote(object_id))):
            messages.error(request, ASKED.format("deleting this"))
            return HttpResponseRedirect(request.get_full_path())
        with self._framed(request):
            response = super().delete_view(request, object_id, extra_context)
            if request.method == "POST":
                self._note_protected(response)
        return self._asking_for_deletion(request, response)

    def history_view(self, request: Any, object_id: str, extra_context: Any = None) -> Any:
        """The object's timeline from the trail; Django's own page where no agent answers, and without an object to show."""
        with self._framed(request):
            response = super().history_view(request, object_id, extra_context)
            instance = (getattr(response, "context_data", None) or {}).get("object")
            if isinstance(instance, Model):
                with Guard("history page"):
                    _show_timeline(response, instance, request)
        return response

    def save_model(self, request: Any, obj: Model, form: Any, change: bool) -> None:
        with declare(obj, verb="update" if change else "create"):
            super().save_model(request, obj, form, change)

    def delete_model(self, request: Any, obj: Model) -> None:
        with declare(obj, verb="delete"):
            super().delete_model(request, obj)

    def delete_queryset(self, request: Any, queryset: QuerySet[Any]) -> None:
        """Deletes a selection: one event with the old values for each object.

        A queryset class with a ``delete`` of its own is asked as ever.
        """
        declaration = Declaration(self.model, verb="delete", keys=frozenset())
        with declaring(declaration, None, "delete"):
            if type(queryset).delete is not QuerySet.delete:
                super().delete_queryset(request, queryset)
                return
            # Instances, where Django's own delete might send one statement that knows no row. Found where they are deleted, and not on a replica.
            selection: Any = queryset
            using = selection._db or router.db_for_write(selection.model, **selection._hints)
            collector = Collector(using=using, origin=queryset)
            collector.collect(list(selection.using(using).select_related(None).order_by()))
            collector.delete()

    def get_actions(self, request: Any) -> Any:
        """The actions of the page, each recorded when it runs."""
        actions: Any = super().get_actions(request)
        return {name: (self._recorded(name, function), name, text) for name, (function, _, text) in actions.items()}

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, with a field for the reason where one is required."""
        if not self._asks_reason(request, obj):
            return super().get_form(request, obj, change=change, **kwargs)
        name, is_required = _field_name(), self._requires_reason(_verb(obj)) and _context.current_facts().reason is None
        asked: Any = kwargs["fields"] if "fields" in kwargs else flatten_fieldsets(self.get_fieldsets(request, obj))
        # Django makes the form of the model's fields; this one is not among them.
        kwargs["fields"] = None if asked is None else [each for each in asked if each != name]
        form = super().get_form(request, obj, change=change, **kwargs)
        metaclass: Any = type(form)
        return metaclass(form.__name__, (form,), {name: _reason_field(required=is_required), "__module__": form.__module__})

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        fieldsets: Any = super().get_fieldsets(request, obj)
        name = _field_name()
        if not self._asks_reason(request, obj) or name in flatten_fieldsets(fieldsets):
            return fieldsets
        return [*fieldsets, (None, {"fields": [name]})]

    @contextmanager
    def _framed(self, request: Any) -> Iterator[None]:
        is_framed = getattr(request, _FRAMED_BY, None) is self
        meta = None if is_framed else _additions.said(self.audit_meta, request)
        with _context.context(meta=meta, reason=_reason_in(request)):
            yield

    def _recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if name in _BUILT_IN or hasattr(function, "indelible"):
            return function

        @functools.wraps(function)
        def run(model_admin: Any, request: Any, queryset: QuerySet[Any]) -> Any:
            action = self.audit_actions.get(name, f"{_reads.noun_of(self.model)}.{name}")
            selected = _selected(queryset)
            try:
                demand_reason_for(action, None)
            except ReasonRequired as refusal:
                _record_action(self.model, action, name, selected, refusal)
                model_admin.message_user(request, ASKED.format(name.replace("_", " ")), messages.ERROR)
                return None
            try:
                response = function(model_admin, request, queryset)
            except BaseException as error:
                _record_action(self.model, action, name, selected, error)
                raise
            _record_action(self.model, action, name, selected, None)
            return response

        run.indelible = True  # type: ignore[attr-defined]
        return run

    def _requires_reason(self, verb: str) -> bool:
        return verb in _reasoned(self.model)

    def _asks_reason(self, request: Any, obj: Any) -> bool:
        """Whether the form of an object has a field for the reason: also where only a row of an inline needs one."""
        return self._requires_reason(_verb(obj)) or any(_reasoned(inline.model) for inline in self.get_inlines(request, obj))

    def _lacks_reason(self, request: Any, verb: str) -> bool:
        return self._requires_reason(verb) and not (_reason_in(request) or _context.current_facts().reason)

    def _asking_for_changes(self, response: Any) -> Any:
        """The list with a field for the reason, where one of its actions or a change of its rows needs one."""
        changes = self._requires_reason("update")
        form = response.context_data["action_form"]
        if form is not None:
            named = {self.audit_actions.get(name, f"{_reads.noun_of(self.model)}.{name}") for name, _ in form.fields["action"].choices}
            if changes or named & set(conf.active().reason_required):
                form.fields[_field_name()] = _reason_field(required=False)
        elif changes and (formset := getattr(response.context_data.get("cl"), "formset", None)) is not None:
            _ask_above_rows(formset)
        return response

    def _asking_for_deletion(self, request: Any, response: Any) -> Any:
        """The confirmation page with a field for the reason, where the object or a row that goes with it needs one."""
        is_required = self._lacks_reason(request, "delete")
        if not hasattr(response, "add_post_render_callback") or not (is_required or _takes_reasoned_along(self.model)):
            return response

        def ask(rendered: Any) -> None:
            asked = format_html(
                '<p><label>Reason: <input name="{}" maxlength="1000"{}></label></p>', _field_name(), " required" if is_required else ""
            )
            page = rendered.content.decode(rendered.charset)
            rendered.content = page.replace(_CONFIRMED, f"{_CONFIRMED}{asked}", 1)

        response.add_post_render_callback(ask)
        return response

    def _note_protected(self, response: Any) -> None:
        """Records that a confirmed delete was refused because other rows need the object."""
        context = getattr(response, "context_data", None) or {}
        if context.get("protected") and isinstance(context.get("object"), Model):
            resource = _reads.resource_of(context["object"])
            error = ("ProtectedError", f"{len(context['protected'])} other rows need it")
            _record.record(f"{_reads.noun_of(self.model)}.delete", resource, kind="change", outcome="failure", error=error)


def _reason_in(request: Any) -> str | None:
    if request.method != "POST":
        return None
    # The list shows its field above and below.
    given = (_reasons.cut(value) for value in request.POST.getlist(_field_name()))
    return next(filter(None, given), None)


def _reason_field(*, required: bool) -> forms.CharField:
    return forms.CharField(label="Reason", required=required, max_length=_reasons.REASON_CHARACTERS_MAX)


def _ask_above_rows(formset: Any) -> None:
    """Puts the field for the reason to what Django shows above the rows of a list that can be edited and has no actions."""
    name, above = _field_name(), formset.management_form
    prefixed = above.add_prefix
    # Not one of the formset's own fields: nobody knows its prefix who reads the reason of a request.
    above.add_prefix = lambda field: name if field == name else prefixed(field)
    above.fields[name] = _reason_field(required=False)


def _verb(obj: Any) -> str:
    return "create" if obj is None else "update"


def _reasoned(model: type[Model]) -> Collection[str]:
    """What needs a reason when it is done to rows of this model."""
    plan = plan_of(model)
    return () if plan is None else plan.reasoned


def _takes_reasoned_along(model: type[Model]) -> bool:
    """Whether a row that needs a reason to be deleted may go when one of this model goes."""
    found, waiting = {model}, [model]
    while waiting:
        for follower in _followers(waiting.pop()):
            if follower in found:
                continue
            if "delete" in _reasoned(follower):
                return True
            found.add(follower)
            waiting.append(follower)
    return False


def _followers(model: type[Model]) -> Iterator[type[Model]]:
    """The models whose rows Django deletes together with one of this: also by relations without a name, and by generic ones."""
    relations: Any = get_candidate_relations_to_delete(model._meta)
    for relation in relations:
        if relation.on_delete is CASCADE:
            yield relation.related_model
    for field in model._meta.private_fields:
        if hasattr(field, "bulk_related_objects") and isinstance(field.related_model, type):
            yield field.related_model


def _field_name() -> str:
    return conf.active().reason_field or REASON_FIELD


def _selected(queryset: QuerySet[Any]) -> dict[str, Any]:
    """How many objects an action is about, and which: looked up before it runs, since it may delete them."""
    with Guard("admin action"):
        keys = [str(key) for key in queryset.values_list("pk", flat=True)[: IDS_MAX + 1]]
        if len(keys) <= IDS_MAX:
            return {"count": len(keys), "ids": keys}
        return {"count": queryset.count(), "ids": keys[:IDS_MAX], "truncated": True}
    return {}


def _record_action(model: type[Model], action: str, name: str, selected: dict[str, Any], error: BaseException | None) -> None:
    from indelible.django._intent import error_of, outcome_of

    _record.record(
        action,
        {"type": _reads.label_of(model)},
        meta={"admin_action": name, **selected},
        outcome="success" if error is None else outcome_of(error),
        error=None if error is None else error_of(error),
    )


def _show_timeline(response: Any, instance: Model, request: Any) -> None:
    from indelible.django import _timeline

    try:
        timeline = _timeline.of(instance, reader=str(request.user.pk))
    except (_client.TrailUnavailable, _client.TrailRefused):
        # Django's own history stays.
        return
    response.template_name = "indelible/object_history.html"
    response.context_data |= {
        "audit_timeline": timeline.entries,
        "audit_more": timeline.more,
        "audit_resource": timeline.resource,
    }
