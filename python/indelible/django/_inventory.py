"""What a site has that can be recorded, and what becomes of each part: the facts behind ``coverage``, ``explain`` and the checks."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from django.apps import apps
from django.db import connections, router
from django.db.models import EmailField, Model
from django.urls import URLPattern, URLResolver, get_resolver

from indelible import _runtime
from indelible.django import _evidence, conf, registry
from indelible.django._levels import Levels
from indelible.django._routes import template

State: TypeAlias = Literal["captured", "bypassed", "left out"]
"""``left out``: it is not recorded because it says nothing about what people did, or because the site said so for this very part."""

NOT_HOOKABLE: Final = (
    ('cursor.execute("COMMIT")', "a transaction that is ended by hand: its events wait for the next COMMIT that Django makes"),
    ("COPY", "rows that psycopg 2 or a cursor of the driver loads: no statement of theirs passes Django"),
    ("DDL", "an implicit COMMIT by CREATE, ALTER or DROP on databases that have it"),
    ("callproc, executescript", "what a stored procedure or a script of many statements writes"),
    ("other connections", "psql, other services, and cursors of the driver that Django does not know"),
    ("triggers and database cascades", "rows that the database itself writes because of a statement"),
)
"""What no hook in this process can see (docs/commands.md)."""

_PERSONAL: Final = re.compile(
    r"(?:^|_)(?:ssn|social_security|national_id|passport|tax_id|birth\w*|born|dob|iban|bank_account|phone\w*|mobile|diagnos\w*|medical\w*"
    r"|insurance\w*|religion|ethnic\w*|salary|home_address|street|maiden_name)(?:$|_)"
)
_OWN: Final = "indelible."
_DJANGO: Final = ("django.", "rest_framework.")


@dataclass(frozen=True)
class FieldFacts:
    """What becomes of one field; ``why`` names the rule that says so."""

    name: str
    type: str
    state: Literal["recorded", "masked", "ignored"]
    why: str


@dataclass(frozen=True)
class ModelFacts:
    """What becomes of the rows of one model. ``personal``: fields that look like data about a person and would be recorded as they are.
    ``marked``: somebody said that it is sensitive, or that it is not. ``of_the_site``: it is not Django's.
    """

    label: str
    state: State
    why: str
    sensitive: bool
    masked: tuple[str, ...]
    personal: tuple[str, ...]
    marked: bool
    of_the_site: bool
    database: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartFacts:
    """What becomes of a route, a many-to-many field or a task."""

    name: str
    state: State
    why: str


@dataclass(frozen=True)
class DatabaseFacts:
    """How commits of one database are known."""

    alias: str
    vendor: str
    evidence: str
    notes: tuple[str, ...]


def models() -> list[ModelFacts]:
    """Every installed model but those of tables that many-to-many fields make by themselves."""
    return [_model(model) for model in apps.get_models() if not model._meta.proxy and not model.__module__.startswith(_OWN)]


def fields_of(model: type[Model]) -> list[FieldFacts]:
    """Every concrete and many-to-many field of a model that is recorded."""
    concrete = model._meta.concrete_model or model
    meta = concrete._meta
    options = registry.options_of(concrete)
    if options is None:
        return [FieldFacts(field.name, _type(field), "ignored", "the model is not recorded") for field in meta.concrete_fields]
    return [_field(concrete, field, options) for field in (*meta.concrete_fields, *meta.many_to_many)]


def why_recorded(model: type[Model]) -> tuple[State, str]:
    """Whether a model is recorded, and what says so."""
    label = model._meta.label
    setting = conf.active().models
    if registry.options_of(model) is not None:
        for place, _ in registry.sources(model):
            return "captured", place
        return "captured", "INDELIBLE['MODELS'] is 'all'"
    if not isinstance(setting, str) and not registry.is_left_out(model):
        return "bypassed", f"INDELIBLE['MODELS'] does not name {label}"
    return "left out", "by default: register() it to have it recorded"


def links() -> list[PartFacts]:
    """Every many-to-many field."""
    return [_link(model, field) for model in apps.get_models() if not model._meta.proxy for field in model._meta.local_many_to_many]


def routes() -> list[PartFacts]:
    """Every route of the URL configuration, with the level that an anonymous GET that succeeds is recorded with."""
    from indelible.django.checks import middleware_places

    if not middleware_places():
        return [PartFacts(route, "bypassed", "the middleware is not installed") for route in _routes()]
    return [_route(route) for route in _routes()]


def tasks() -> list[PartFacts]:
    """Every task of the Celery app of this process, where it uses Celery."""
    celery = sys.modules.get("celery")
    if celery is None:
        return []
    why = tasks_unseen() or ""
    names = sorted(name for name in celery.current_app.tasks if not name.startswith("celery."))
    return [PartFacts(name, "bypassed" if why else "captured", why) for name in names]


def tasks_unseen() -> str | None:
    """Why the Celery tasks of this process are not recorded, ``None`` when they are, or when it uses no Celery."""
    if "celery" not in sys.modules:
        return None
    if not getattr(conf.active(), "tasks", True):
        return "INDELIBLE['TASKS'] is False"
    return None if "indelible.celery" in sys.modules else "indelible.celery is not connected"


def databases() -> list[DatabaseFacts]:
    """Every database of the site. Connects to none."""
    return [_database(alias) for alias in connections]


def personal_fields(model: type[Model]) -> tuple[str, ...]:
    """Fields that look like data about a person and are not masked; of a recorded model those that are recorded."""
    if registry.options_of(model) is None:
        return tuple(field.name for field in model._meta.concrete_fields if _is_personal(field) and not _name_rule(field.name))
    fields = {fact.name for fact in fields_of(model) if fact.state == "recorded"}
    return tuple(field.name for field in model._meta.concrete_fields if field.name in fields and _is_personal(field))


def is_marked(model: type[Model]) -> bool:
    """Whether somebody said of a model that it is sensitive, or that it is not."""
    return any(given.get("sensitive") is not None for _, given in registry.sources(model))


def is_of_the_site(model: type[Model]) -> bool:
    """Whether a model is neither Django's nor ours."""
    return not model.__module__.startswith((*_DJANGO, _OWN))


def _model(model: type[Model]) -> ModelFacts:
    state, why = why_recorded(model)
    facts = fields_of(model)
    return ModelFacts(
        label=model._meta.label,
        state=state,
        why=why,
        sensitive=any(given.get("sensitive") is True for _, given in registry.sources(model)),
        masked=tuple(fact.name for fact in facts if fact.state == "masked"),
        personal=personal_fields(model),
        marked=is_marked(model),
        of_the_site=is_of_the_site(model),
        database=router.db_for_write(model),
        notes=_notes(model),
    )


def _notes(model: type[Model]) -> tuple[str, ...]:
    notes = ["managed=False: rows that others write are not seen"] if not model._meta.managed else []
    options = registry.options_of(model)
    if options is not None and options.evidence != "ack":
        why = _evidence.obstacle(connections[router.db_for_write(model)], options.evidence)
        notes.append(f"evidence ack, no {options.evidence}: {why}" if why else f"evidence {options.evidence}")
    elif options is not None and conf.active().evidence != "ack":
        notes.append("evidence ack")
    return tuple(notes)


def _field(model: type[Model], field: Any, options: registry.Options) -> FieldFacts:
    names = {field.name, getattr(field, "attname", field.name)}
    if options.only is not None and not names & options.only:
        return FieldFacts(field.name, _type(field), "ignored", f"not in 'only' of {_said(model, 'only', None)}")
    if names & options.ignore:
        return FieldFacts(field.name, _type(field), "ignored", f"'ignore' of {_said(model, 'ignore', names)}")
    if registry.is_encrypted(field):
        return FieldFacts(field.name, _type(field), "masked", "encrypted field")
    if names & options.mask:
        return FieldFacts(field.name, _type(field), "masked", f"'mask' of {_said(model, 'mask', names)}")
    rule = _name_rule(field.name)
    if rule is not None:
        return FieldFacts(field.name, _type(field), "masked", rule)
    return FieldFacts(field.name, _type(field), "recorded", "")


def _name_rule(name: str) -> str | None:
    """Why every field of this name is masked, ``None`` when it is not."""
    runtime = _runtime.runtime()
    native, redactor = runtime.native(), runtime.redactor()
    if native is None or redactor is None or not redactor.masks_field(name):
        return None
    built_in = native.Redactor(detectors=()).masks_field(name)
    return "built-in name" if built_in else "INDELIBLE['MASK']['fields']"


def _said(model: type[Model], option: str, names: set[str] | None) -> str:
    for place, given in registry.sources(model):
        value = given.get(option)
        given_names = {value} if isinstance(value, str) else set(value or ())
        if given_names and (names is None or names & given_names):
            return place
    return "a parent"


def _is_personal(field: Any) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", field.name).lower()
    return bool(_PERSONAL.search(words)) or isinstance(field, EmailField)


def _type(field: Any) -> str:
    return type(field).__name__


def _link(model: type[Model], field: Any) -> PartFacts:
    name = f"{model._meta.label}.{field.name}"
    if registry.options_of(model) is None:
        state, why = why_recorded(model)
        return PartFacts(name, state, why)
    fact = next(fact for fact in fields_of(model) if fact.name == field.name)
    allowed = getattr(conf.active(), "m2m", "all")
    if fact.state == "ignored":
        return PartFacts(name, "left out", fact.why)
    if allowed != "all" and name not in allowed:
        return PartFacts(name, "bypassed", "INDELIBLE['M2M'] does not name it")
    return PartFacts(name, "captured", "")


def _routes() -> list[str]:
    return sorted({template(route) for route in _walk(get_resolver().url_patterns, "")})


def _walk(patterns: list[Any], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


def _route(route: str) -> PartFacts:
    level = level_of(route)
    if level == "none":
        return PartFacts(route, "left out", "INDELIBLE['REQUESTS'] gives it the level none")
    return PartFacts(route, "captured", level)


def level_of(route: str) -> str:
    """The level that a GET of a route is recorded with when it succeeds."""
    return Levels(conf.active().requests).level("GET", route, route, 200, None)


def _database(alias: str) -> DatabaseFacts:
    connection = connections[alias]
    asked = conf.active().evidence
    obstacles = {evidence: _evidence.obstacle(connection, evidence) for evidence in {asked, *_evidence.asked_anywhere()}}
    notes = tuple(f"no {evidence}: {why}" for evidence, why in sorted(obstacles.items()) if why)
    return DatabaseFacts(alias, connection.vendor, "ack" if obstacles[asked] else asked, notes)
