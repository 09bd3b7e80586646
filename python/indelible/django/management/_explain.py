"""``manage.py indelible explain app.Model``: how one model is recorded, field by field, and which rule says so."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from django.apps import apps
from django.db.models import Model

from indelible import _modes
from indelible.django import _inventory, conf, formatters, registry
from indelible.django.conf._given import did_you_mean
from indelible.django.management._binary import Failure
from indelible.django.management._table import Write, document, table


def add_arguments(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("model", metavar="app.Model", help="the model, such as clinic.Patient")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(write: Write, options: Mapping[str, Any]) -> None:
    """Prints what is known of the model.

    Raises:
        Failure: there is no such model.
    """
    model = _model(options["model"])
    state, why = _inventory.why_recorded(model)
    facts = _inventory.fields_of(model)
    sources = [(place, dict(given)) for place, given in registry.sources(model)]
    chosen = _options(model)
    if options["json"]:
        answer = {"model": model._meta.label, "state": state, "why": why, "options": chosen, "sources": dict(sources), "fields": facts}
        document(write, {**answer, "formatters": _formatters(model)})
        return
    write(f"{model._meta.label}: {state} ({why})")
    table(write, "Fields", [(fact.name, fact.type, fact.state, fact.why) for fact in facts])
    table(write, "Options", [(name, _text(value)) for name, value in chosen.items()])
    table(write, "Said by", [(place, ", ".join(f"{name} = {value!r}" for name, value in given.items())) for place, given in sources])
    table(write, "Formatters", [(name,) for name in _formatters(model)])


def _model(label: str) -> type[Model]:
    try:
        found: type[Model] = apps.get_model(label)
    except (LookupError, ValueError) as error:
        known = [model._meta.label for model in apps.get_models()]
        suggestion = did_you_mean(label, known) or "Write app_label.Model."
        raise Failure(f"{label!r} is not an installed model. {suggestion}", "python manage.py indelible coverage") from error
    return found._meta.concrete_model or found


def _options(model: type[Model]) -> dict[str, Any]:
    options = registry.options_of(model)
    if options is None:
        return {}
    active = conf.active()
    shared = {
        "on_failure": _modes.mode_of(active.on_failure, model._meta.label, "change"),
        "keep_rolled_back": active.keep_rolled_back,
    }
    own = {field.name: getattr(options, field.name) for field in fields(options)}
    return {**shared, **{name: value for name, value in own.items() if value is not None}}


def _formatters(model: type[Model]) -> list[str]:
    return formatters.names_for(model) if conf.active().formatters else []


def _text(value: Any) -> str:
    if isinstance(value, (frozenset, set, tuple, list)):
        return ", ".join(sorted(map(str, value))) or "-"
    return str(value)
