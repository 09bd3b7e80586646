"""``manage.py indelible settings``: every setting, its value, and where that comes from."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings as django_settings

from indelible import _runtime
from indelible.django import conf, migrating
from indelible.django.management._table import Write, document, table

MASKED: Final = "[masked]"


@dataclass(frozen=True)
class Row:
    """One setting. ``origin`` is ``environment``, ``settings`` or ``default``; ``problem`` says why what was given does not hold."""

    key: str
    value: Any
    origin: str
    problem: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--from-other-packages", action="store_true", help="print the equivalent of other audit packages' settings")


def run(write: Write, options: Mapping[str, Any]) -> None:
    """Prints the settings. Secrets in them are masked as they are in events."""
    if options["from_other_packages"]:
        write(migrating.equivalent())
        return
    found = rows()
    if options["json"]:
        document(write, {row.key: {"value": row.value, "origin": row.origin, "problem": row.problem} for row in found})
        return
    table(write, "INDELIBLE", [(row.key, _short(row.value), row.origin, row.problem or "") for row in found])


def rows() -> list[Row]:
    """Every setting in the order of the documentation."""
    active = conf.active()
    source = getattr(django_settings, "INDELIBLE", {})
    given = source if isinstance(source, Mapping) else {}
    problems = {problem.key: problem.message for problem in active.problems}
    return [
        Row(key, _plain(key.lower(), getattr(active, key.lower())), _origin(key, given, problems), problems.get(key)) for key in conf.KEYS
    ]


def _origin(key: str, given: Mapping[str, Any], problems: Mapping[str, str]) -> str:
    if key in problems:
        return "default"
    if f"INDELIBLE_{key}" in os.environ:
        # Under a test runner, the folder that the settings name does not count.
        return "environment"
    return "settings" if key in given else "default"


def _plain(name: str, value: Any) -> Any:
    """The value as JSON can say it, without what would be masked in an event."""
    redactor = _runtime.runtime().redactor()
    if isinstance(value, str):
        # Without the native module nobody knows what is a secret.
        return MASKED if redactor is None or redactor.masks_field(name) else redactor.text(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(field.name, getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(str(key), member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [_plain(name, member) for member in value]
    if isinstance(value, (frozenset, set)):
        return sorted(_plain(name, member) for member in value)
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return str(value) if isinstance(value, Path) else value


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
