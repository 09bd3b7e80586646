"""``manage.py indelible coverage``: what is captured, what is not, and a share for the build to insist on."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indelible.django import _inventory, conf
from indelible.django._inventory import DatabaseFacts, ModelFacts, PartFacts
from indelible.django.management._binary import Failure
from indelible.django.management._table import Write, document, table


@dataclass(frozen=True)
class Coverage:
    """Everything that was looked at. ``captured`` of ``counted`` parts are recorded; what is left out on purpose is not counted."""

    enabled: bool
    captured: int
    counted: int
    models: list[ModelFacts]
    links: list[PartFacts]
    routes: list[PartFacts]
    tasks: list[PartFacts]
    databases: list[DatabaseFacts]
    missing: list[str]

    @property
    def percent(self) -> float:
        """The share that is captured; 100 where there is nothing to capture."""
        return 100.0 * self.captured / self.counted if self.counted else 100.0


def add_arguments(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--sensitive", action="store_true", help="only models that are sensitive or hold what looks like personal data")
    parser.add_argument("--fail-under", type=_percent, metavar="PERCENT", help="exit with 1 if less than this share is captured")


def run(write: Write, options: Mapping[str, Any]) -> None:
    """Prints the coverage.

    Raises:
        Failure: it is below ``--fail-under``; the message names what is missing.
    """
    found = sensitive() if options["sensitive"] else everything()
    if options["json"]:
        document(write, {**vars(found), "percent": round(found.percent, 2), "not_hookable": dict(_inventory.NOT_HOOKABLE)})
    else:
        _print(write, found)
    least = options["fail_under"]
    if least is not None and found.percent < least:
        missing = ", ".join(found.missing[:20]) + (" …" if len(found.missing) > 20 else "")
        raise Failure(f"coverage is {found.percent:.1f} %, less than {least:g} %: {missing}", "python manage.py indelible coverage")


def everything() -> Coverage:
    """Models, many-to-many fields, routes and tasks."""
    models, links = _inventory.models(), _inventory.links()
    routes, tasks = _inventory.routes(), _inventory.tasks()
    parts = [
        *((f"model {model.label}", model.state) for model in models),
        *((f"m2m {link.name}", link.state) for link in links),
        *((f"route {route.name}", route.state) for route in routes),
        *((f"task {task.name}", task.state) for task in tasks),
    ]
    return _counted(models, links, routes, tasks, parts)


def sensitive() -> Coverage:
    """Models that are declared sensitive, or hold what looks like personal data and nobody said that it is not.

    Such a model is captured when its rows are recorded and each of those fields is masked, or the model is declared sensitive. Of
    Django's own, such as the user model, it is enough that the rows are recorded.
    """
    models = [model for model in _inventory.models() if (model.sensitive or model.personal) and model.state != "left out"]
    parts = [(f"model {model.label}", "captured" if _is_protected(model) else "bypassed") for model in models]
    return _counted(models, [], [], [], parts)


def _is_protected(model: ModelFacts) -> bool:
    return model.state == "captured" and (model.sensitive or model.marked or not model.personal or not model.of_the_site)


def _counted(
    models: list[ModelFacts], links: list[PartFacts], routes: list[PartFacts], tasks: list[PartFacts], parts: Sequence[tuple[str, str]]
) -> Coverage:
    enabled = conf.active().enabled and conf.active().record == "journal"
    counted = [(name, state if enabled else "bypassed") for name, state in parts if state != "left out"]
    missing = [name for name, state in counted if state != "captured"]
    captured = len(counted) - len(missing)
    return Coverage(enabled, captured, len(counted), models, links, routes, tasks, _inventory.databases(), missing)


def _print(write: Write, found: Coverage) -> None:
    if not found.enabled:
        write("Nothing is recorded: INDELIBLE['ENABLED'] is False, or INDELIBLE['RECORD'] is 'nowhere'.")
    table(write, "Models", [(model.label, model.state, _of(model)) for model in found.models])
    table(write, "Many-to-many fields", [(link.name, link.state, link.why) for link in found.links])
    table(write, "Routes", [(route.name, route.state, route.why) for route in found.routes])
    table(write, "Celery tasks", [(task.name, task.state, task.why) for task in found.tasks])
    table(write, "Databases", [(base.alias, base.vendor, f"evidence {base.evidence}", "; ".join(base.notes)) for base in found.databases])
    table(write, "Seen by no hook", _inventory.NOT_HOOKABLE)
    write(f"{found.captured} of {found.counted} captured: {found.percent:.1f} %")


def _of(model: ModelFacts) -> str:
    parts = [model.why] if model.state != "captured" else []
    parts += ["sensitive"] if model.sensitive else []
    parts += [f"masked: {', '.join(model.masked)}"] if model.masked else []
    parts += [f"looks personal: {', '.join(model.personal)}"] if model.personal and not model.marked else []
    return "; ".join((*parts, *model.notes))


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return value
