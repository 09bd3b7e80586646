"""Which models are recorded, and how: ``class Audit``, :func:`register` and the setting ``MODELS`` in one answer."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from django.apps import apps
from django.db.models import Model

from indelible.django import conf

Evidence: TypeAlias = Literal["ack", "marker", "outbox"]
"""What proves a commit."""

ATTRIBUTES: Final = ("mask", "ignore", "only", "sensitive", "label", "reads", "reason_required", "m2m", "exact", "bulk", "evidence")
VERBS: Final = ("create", "update", "delete")
_FLAGS: Final = ("sensitive", "reads", "exact")
_BULK: Final = ("rows", "statement")
_EVIDENCE: Final = ("ack", "marker")
_CHOICES: Final = {"bulk": _BULK, "evidence": _EVIDENCE}

_NEVER: Final = frozenset({"indelible_evidence.Marker", "indelible_evidence.Outbox"})
"""Our own tables: a record of what a record leaves behind would have no end."""
_UNRECORDED: Final = frozenset({"sessions.Session", "migrations.Migration", "contenttypes.ContentType", "auth.Permission"})
_UNRECORDED_BASES: Final = frozenset({"django.contrib.sessions.base_session.AbstractBaseSession"})

_registered: dict[type[Model], Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Options:
    """How one model is recorded.

    ``mask``: fields whose values are never stored. ``ignore``: fields that are not recorded. ``only``: the fields that are, when it
    is not ``None``. ``sensitive``: changes are kept as ``aborted`` when they are rolled back. ``label``: fields whose values name
    a row. ``reads``: who looks at rows is recorded too. ``reason_required``: verbs that are refused without a reason. ``m2m``: the
    many-to-many fields that are recorded, ``None`` for all. ``exact``: statements over many rows are recorded with the true old and new
    values, at the price of reading them. ``bulk``: ``"rows"``, an event for each row of such a statement, or ``"statement"``, one for
    the whole. ``evidence``: how a commit of its changes shall be known after a crash; with ``"outbox"`` the whole service has one way, else
    the model's own word counts.
    """

    mask: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    sensitive: bool = False
    label: tuple[str, ...] = ()
    reads: bool | None = None
    reason_required: frozenset[str] = frozenset()
    m2m: frozenset[str] | None = None
    exact: bool = False
    bulk: str = "rows"
    evidence: Evidence = "ack"


class Problem(NamedTuple):
    """A mistake in ``class Audit``, ``register()`` or ``MODELS``; ``check`` is the id that ``manage.py check`` reports it under."""

    check: str
    model: str
    message: str
    hint: str | None


def register(
    model: type[Model],
    *,
    mask: Sequence[str] = (),
    ignore: Sequence[str] = (),
    only: Sequence[str] | None = None,
    sensitive: bool | None = None,
    label: Sequence[str] = (),
    reads: bool | None = None,
    reason_required: bool | Sequence[str] = (),
    m2m: Sequence[str] | None = None,
    exact: bool | None = None,
    bulk: str | None = None,
    evidence: str | None = None,
) -> None:
    """Says how a model is recorded that is not yours to give a ``class Audit``. Call it in ``AppConfig.ready`` or ``models.py``.

    What it masks and ignores is added to what ``class Audit`` and ``MODELS`` say. A model that is left out by default, such as
    ``auth.Permission``, is recorded once it is registered.

    Example:
        >>> register(User, mask=["email"], ignore=["last_login"])
    """
    from indelible.django import _models

    given = {
        "mask": mask,
        "ignore": ignore,
        "only": only,
        "sensitive": sensitive,
        "label": label,
        "reads": reads,
        "reason_required": reason_required,
        "exact": exact,
        "bulk": bulk,
        "evidence": evidence,
    }
    said = {name: value for name, value in given.items() if value not in ((), [], None)}
    # An empty list says something here: none of them.
    _registered[model._meta.concrete_model or model] = said if m2m is None else {**said, "m2m": m2m}
    _models.forget_plans()


def options_of(model: type[Model]) -> Options | None:
    """How the concrete model is recorded, ``None`` when it is not.

    A data migration writes through models that Django rebuilds without their ``class Audit``; what the model of today masks is masked
    there too.
    """
    model = _installed(model)
    if not _is_recorded(model):
        return None
    mask: set[str] = set()
    ignore: set[str] = set()
    only: frozenset[str] | None = None
    nearest: dict[str, Any] = {}
    label: tuple[str, ...] = ()
    reasoned: set[str] = set()
    for _, given in _sources(model):
        # The nearest word decides, but what a parent hides stays hidden in its children.
        mask.update(_names(given.get("mask")))
        ignore.update(_names(given.get("ignore")))
        if only is None and given.get("only") is not None:
            only = frozenset(_names(given["only"]))
        for option in (*_FLAGS, "m2m", *_CHOICES):
            if option in given:
                nearest.setdefault(option, given[option])
        label = label or _names(given.get("label"))
        reasoned.update(_verbs(given.get("reason_required")))
    mask.update(field.name for field in model._meta.concrete_fields if is_encrypted(field))
    bulk, evidence = nearest.get("bulk"), nearest.get("evidence")
    return Options(
        frozenset(mask),
        frozenset(ignore),
        only,
        bool(nearest.get("sensitive")),
        label,
        None if nearest.get("reads") is None else bool(nearest["reads"]),
        frozenset(reasoned),
        m2m=_links(model, nearest.get("m2m", True)),
        exact=bool(nearest.get("exact")),
        bulk=bulk if bulk in _BULK else conf.active().bulk,
        evidence=evidence if evidence in _EVIDENCE and conf.active().evidence != "outbox" else conf.active().evidence,
    )


def is_encrypted(field: Any) -> bool:
    """Whether the field's class says that it hides its values from whoever reads the database: they are none of the trail's either."""
    return any("Encrypted" in base.__name__ and "Unencrypted" not in base.__name__ for base in type(field).__mro__)


def _links(model: type[Model], said: Any) -> frozenset[str] | None:
    """The many-to-many fields that are recorded: what the model says, else the setting ``M2M``; ``None`` for all."""
    if said is False or said is None:
        return frozenset()
    if said is not True:
        return frozenset(_names(said))
    allowed = conf.active().m2m
    if isinstance(allowed, str):
        return None
    prefix = f"{model._meta.label}."
    return frozenset(name.removeprefix(prefix) for name in allowed if name.startswith(prefix))


def sources(model: type[Model]) -> list[tuple[str, Mapping[str, Any]]]:
    """What was said about a model and its parents, the nearest word first, each with where it was said."""
    return list(_sources(_installed(model)))


def problems() -> list[Problem]:
    """Every mistake in how the installed models are described; the options that make no sense are disregarded."""
    found = [problem for model in apps.get_models() for problem in _problems_of(model)]
    active = conf.active()
    modes = active.on_failure if isinstance(active.on_failure, Mapping) else {}
    models = active.models if isinstance(active.models, Mapping) else {}
    known = {model._meta.label for model in apps.get_models()}
    for key, labels in (("MODELS", models), ("ON_FAILURE", [name for name in modes if "." in name])):
        found += [
            Problem("E005", label, f"INDELIBLE[{key!r}] names {label!r}, which is not an installed model.", _close(label, known))
            for label in labels
            if label not in known
        ]
    return found


def _problems_of(model: type[Model]) -> Iterator[Problem]:
    label = model._meta.label
    names = {name for field in (*model._meta.concrete_fields, *model._meta.many_to_many) for name in (field.name, field.attname)}
    for place, given in _sources(model, inherited=False):
        for option, value in given.items():
            if option not in ATTRIBUTES:
                yield Problem("E005", label, f"{place}: {option!r} is not an option.", _close(option, ATTRIBUTES))
            elif option in _FLAGS:
                if not isinstance(value, bool):
                    yield Problem("E005", label, f"{place}: {option!r} must be True or False.", None)
            elif option == "reason_required":
                if not isinstance(value, bool) and (not _is_names(value) or not set(value) <= set(VERBS)):
                    yield Problem("E005", label, f"{place}: 'reason_required' must be True, or a list of create, update, delete.", None)
            elif option in _CHOICES:
                choices = _CHOICES[option]
                if value not in choices:
                    either = " or ".join(map(repr, choices))
                    yield Problem("E005", label, f"{place}: {option!r} must be {either}.", _close(str(value), choices))
            elif option == "m2m" and isinstance(value, bool):
                continue
            elif value is not None and not _is_names(value):
                yield Problem("E005", label, f"{place}: {option!r} must be a list of field names.", f"Write {option} = [{value!r}].")
            else:
                for name in _names(value):
                    if name not in names:
                        yield Problem("E005", label, f"{place}: {option!r} names {name!r}, which is not a field.", _close(name, names))
    options = options_of(model)
    if options is not None and set(options.label) & options.mask:
        yield Problem("E005", label, "A masked field cannot be part of the label.", "Remove it from 'label'.")


def _installed(model: type[Model]) -> type[Model]:
    meta = model._meta
    if meta.apps is apps:
        return model
    try:
        return apps.get_model(meta.app_label, meta.model_name)
    except LookupError:
        return model


def _is_recorded(model: type[Model]) -> bool:
    if model._meta.label in _NEVER:
        return False
    models = conf.active().models
    if not isinstance(models, str):
        return model._meta.label in models
    if model in _registered or "Audit" in vars(model):
        return True
    return not is_left_out(model)


def is_left_out(model: type[Model]) -> bool:
    """Whether a model is one of those that are not recorded, at least not unless somebody names it."""
    return (
        model._meta.label in _NEVER
        or model._meta.label in _UNRECORDED
        or any(f"{base.__module__}.{base.__qualname__}" in _UNRECORDED_BASES for base in model.__mro__)
    )


def _sources(model: type[Model], *, inherited: bool = True) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What was said about a model, the nearest word first, with where it was said."""
    models = conf.active().models
    if not isinstance(models, str) and model._meta.label in models:
        yield "INDELIBLE['MODELS']", models[model._meta.label]
    bases = [base for base in model.__mro__ if inherited or base is model or getattr(getattr(base, "_meta", None), "abstract", False)]
    for base in bases:
        if base in _registered:
            yield "register()", _registered[base]
        if "Audit" in vars(base):
            yield f"{base.__name__}.Audit", _attributes(vars(base)["Audit"])


def _attributes(audit: type) -> dict[str, Any]:
    return {name: getattr(audit, name) for name in dir(audit) if not name.startswith("_")}


def _is_names(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(name, str) for name in value)


def _names(value: Any) -> tuple[str, ...]:
    # A string is iterable: mask = "ssn" must not become four masked fields, nor none.
    if isinstance(value, str):
        return (value,)
    return tuple(value) if _is_names(value) else ()


def _verbs(value: Any) -> tuple[str, ...]:
    return VERBS if value is True else tuple(verb for verb in _names(value) if verb in VERBS)


def _close(word: str, known: Any) -> str | None:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else None
