"""What happened, in words of the application: formatters add ``meta.description`` and attributes to the events of a model.

In ``<app>/audit_formatters.py``, or a package of that name, which is imported at the start::

    from indelible.django.formatters import Formatter, formatter

    @formatter(Patient, event="update", route="POST|/patients/:id/discharge")
    class Discharged(Formatter):
        def get_description(self):
            return f"Discharged patient {self.occasion.key}"

        def get_attributes(self):
            return {"ward": self.occasion.instance.ward}

The formatter is found by model, tier by tier: one with route and event, one with the route, one with the event, one with neither; without any,
the words are generic. Within a tier the nearest class wins (a proxy and a child have their parents' formatters), then the higher priority, then
who was registered first. A model for which nobody registered anything costs nothing and has no description.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeVar

from django.apps import apps
from django.db.models import Model

from indelible.django import _routes

__all__ = ["Event", "Formatter", "Occasion", "autodiscover", "find", "formatter", "register_formatter", "reset"]

Event = Literal["create", "update", "delete", "m2m"]
F = TypeVar("F", bound=type)

MODULE: Final = "audit_formatters"
_EVENTS: Final[Mapping[str, Event]] = {
    "create": "create",
    "creation": "create",
    "update": "update",
    "delete": "delete",
    "deletion": "delete",
    "m2m": "m2m",
    "collection_update": "m2m",
}
_DONE: Final[Mapping[Event, str]] = {"create": "Created", "update": "Updated", "delete": "Deleted", "m2m": "Changed"}


@dataclass(frozen=True)
class Occasion:
    """What a formatter is told about: one event, already masked.

    ``instance`` is ``None`` where one statement touched rows that nobody holds. ``key`` is the row's key as text, ``None`` as long as the database has
    not made it. ``changes`` are those of docs/format.md, "Body". ``route`` is ``"POST|/patients/:id"``, ``None`` outside of a request and before its
    view is known. ``actor`` is the actor of docs/format.md.
    """

    model: type[Model]
    event: Event
    instance: Model | None
    key: str | None
    changes: Sequence[Mapping[str, Any]]
    route: str | None
    actor: Mapping[str, Any]


class Formatter:
    """The generic form, to derive from. What it answers is masked like everything else.

    Anything that these methods raise costs the event its description, which ``notes`` say and ``indelible.health()["faults"]`` counts. They may read
    from the database, at the application's price; a write is refused.
    """

    def __init__(self, occasion: Occasion) -> None:
        self.occasion = occasion

    def get_description(self) -> str:
        """One sentence for people."""
        occasion, names = self.occasion, self.occasion.model._meta
        done, fields = _DONE[occasion.event], self.changed_fields()
        if occasion.event == "m2m":
            return f"{done} {fields} of {names.verbose_name} {occasion.key}"
        if occasion.changes and "field" not in occasion.changes[0]:
            count = occasion.changes[0].get("count")
            what = f"{done} {names.verbose_name_plural if count is None else _counted(count, names)}"
        else:
            what = f"{done} {names.verbose_name} {occasion.key or ''}".rstrip()
        return f"{what}: {fields}" if fields and occasion.event == "update" else what

    def get_attributes(self) -> Mapping[str, Any]:
        """Members that ``meta`` gets where neither the caller nor the context has given one of that name."""
        return {}

    def default_attributes(self) -> dict[str, Any]:
        """``model``, ``key``, ``event`` and ``route`` of the occasion."""
        occasion = self.occasion
        return {"model": occasion.model._meta.label, "key": occasion.key, "event": occasion.event, "route": occasion.route}

    def merge_attributes(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The default attributes with ``extra`` over them."""
        return {**self.default_attributes(), **extra}

    def change_details(self) -> dict[str, dict[str, Any]]:
        """By field, what is known of ``old`` and ``new``; of a many-to-many field ``added`` and ``removed``. A masked field has neither."""
        parts = ("old", "new", "added", "removed")
        return {
            change["field"]: {part: change[part] for part in parts if part in change}
            for change in self.occasion.changes
            if "field" in change
        }

    def changed_fields(self) -> str:
        """The names of the changed fields, joined by commas."""
        fields = (change.get("fields", [change["field"]] if "field" in change else []) for change in self.occasion.changes)
        return ", ".join(str(field) for names in fields for field in names)

    def user_info(self) -> dict[str, Any]:
        """Type, id and label of the actor, as far as they are known."""
        return {part: self.occasion.actor[part] for part in ("type", "id", "label") if self.occasion.actor.get(part) is not None}


class _Rule(NamedTuple):
    route: str | None
    event: Event | None
    priority: int
    formatter: Callable[[Occasion], Any]


_rules: dict[type[Model], list[_Rule]] = {}
_problems: list[tuple[str, str]] = []


def formatter(model: type[Model] | str, *, route: str | None = None, event: str | None = None, priority: int = 0) -> Callable[[F], F]:
    """Decorates a formatter's class: registers it, see :func:`register_formatter`."""

    def register(cls: F) -> F:
        register_formatter(model, cls, route=route, event=event, priority=priority)
        return cls

    return register


def register_formatter(
    model: type[Model] | str, formatter: Callable[[Occasion], Any], *, route: str | None = None, event: str | None = None, priority: int = 0
) -> None:
    """Registers what makes a formatter of an :class:`Occasion`: a class like :class:`Formatter`, or a function.

    ``model``: the class or ``"app.Model"``; ``django.db.models.Model`` stands for every model. ``route``: ``"POST|/patients/:id"``, or without a method
    ``"/patients/:id"``; patterns of ``path`` and ``re_path`` are understood too. ``event``: ``create``, ``update``, ``delete`` or ``m2m`` (also
    ``creation``, ``deletion``, ``collection_update``). A higher ``priority`` comes first within its tier.

    Raises:
        ValueError: an event or a route that there cannot be.
        LookupError: there is no such model.
        TypeError: ``model`` or ``formatter`` is something else.
    """
    if isinstance(model, str):
        model = apps.get_model(model)
    if not (isinstance(model, type) and issubclass(model, Model)):
        raise TypeError(f"a formatter is registered for a model, not for {model!r}")
    if not callable(formatter):
        raise TypeError(f"{formatter!r} makes no formatter: give a class with get_description()")
    if event is not None and event not in _EVENTS:
        raise ValueError(f"event {event!r} is none of {', '.join(map(repr, _EVENTS))}")
    rule = _Rule(None if route is None else canonical(route), None if event is None else _EVENTS[event], priority, formatter)
    _rules.setdefault(model, []).append(rule)
    _forget()


def reset() -> None:
    """Forgets every registration, for tests."""
    _rules.clear()
    _problems.clear()
    _forget()


def has_rules(model: type[Model]) -> bool:
    """Whether somebody registered something for the model, a parent of it, or a proxy whose rows are its."""
    return any(issubclass(model, known) or (known._meta.proxy and known._meta.concrete_model is model) for known in _rules)


def names_for(model: type[Model]) -> list[str]:
    """What is registered for the model or a parent of it, each with the event and route it is for, such as ``"update POST|/x: Discharged"``."""
    rules = [rule for parent in model.__mro__ for rule in _rules.get(parent, ())]
    rules.sort(key=lambda rule: (rule.route is None, rule.event is None, -rule.priority))
    named = ((" ".join(filter(None, (rule.event, rule.route))), rule.formatter) for rule in rules)
    return [f"{when or 'any'}: {getattr(what, '__qualname__', repr(what))}" for when, what in named]


def find(model: type[Model], event: Event, route: str | None) -> Callable[[Occasion], Any]:
    """What makes the formatter for an event of this model on this route; :class:`Formatter` itself where nobody registered one that fits."""
    routes = () if route is None else (route, "|" + route.partition("|")[2])
    for wants_route, wants_event in ((True, True), (True, False), (False, True), (False, False)):
        for parent in model.__mro__:
            fitting = [
                rule
                for rule in _rules.get(parent, ())
                if (rule.route in routes if wants_route else rule.route is None) and rule.event == (event if wants_event else None)
            ]
            if fitting:
                # The first of equal priority is the one that was registered first.
                return max(fitting, key=lambda rule: rule.priority).formatter
    return Formatter


def canonical(route: str) -> str:
    """``"POST|/patients/:id"`` of the forms in which a route may be given; ``"|/patients/:id"`` for any method.

    Raises:
        ValueError: the part before the bar is no method.
    """
    method, _, path = route.partition("|") if _has_method(route) else ("", "|", route)
    if method and not method.isalpha():
        raise ValueError(f"route {route!r}: {method!r} is no HTTP method; write 'POST|/patients/:id'")
    template = path if path.startswith("/") and not any(mark in path for mark in "<(^\\") else _routes.template(path.lstrip("/"))
    return f"{method.upper()}|{template}"


def _counted(count: int, names: Any) -> str:
    return f"{count} {names.verbose_name if count == 1 else names.verbose_name_plural}"


def _has_method(route: str) -> bool:
    # A bar may also stand in a regular expression.
    head, bar, _ = route.partition("|")
    return bool(bar) and "/" not in head and "(" not in head


def autodiscover() -> None:
    """Imports ``audit_formatters`` of every installed app, module or package. What cannot be imported becomes a warning of ``manage.py check``."""
    _problems.clear()
    for config in apps.get_app_configs():
        name = f"{config.name}.{MODULE}"
        try:
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
        except (Exception, SystemExit) as error:
            _problems.append((name, f"{type(error).__qualname__}: {error}"))


def problems() -> Sequence[tuple[str, str]]:
    """The modules that could not be imported, with the reason."""
    return tuple(_problems)


def _forget() -> None:
    from indelible.django import _models

    _models.forget_plans()
