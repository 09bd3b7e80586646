"""One plan for each model class: what is recorded of its rows, worked out once."""

from __future__ import annotations

import datetime
import decimal
import operator
import uuid
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.core.signals import setting_changed
from django.db.models import DEFERRED, Field, FileField, Model

from indelible import _runtime
from indelible.django import conf, formatters, registry
from indelible.django._returning import Columns

if TYPE_CHECKING:
    from indelible import _native
    from indelible.django._links import Link

_TYPES: Final[dict[str, type]] = {
    "AutoField": int,
    "BigAutoField": int,
    "SmallAutoField": int,
    "BigIntegerField": int,
    "IntegerField": int,
    "SmallIntegerField": int,
    "PositiveBigIntegerField": int,
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "BooleanField": bool,
    "CharField": str,
    "TextField": str,
    "SlugField": str,
    "FilePathField": str,
    "DateField": datetime.date,
    "DateTimeField": datetime.datetime,
    "TimeField": datetime.time,
    "DurationField": datetime.timedelta,
    "DecimalField": decimal.Decimal,
    "FloatField": float,
    "UUIDField": uuid.UUID,
    "GenericIPAddressField": str,
    "IPAddressField": str,
}
"""Fields whose loaded values are of one immutable type, by ``get_internal_type()``."""

_LOADED_JSON: Final = frozenset({type(None), bool, int, float, str, bytes, dict, list})
"""Types of values that are taken as they are where a field may hold anything."""

_ACCOUNTS: Final = frozenset(
    {
        "django.contrib.auth.base_user.AbstractBaseUser",
        "django.contrib.auth.models.PermissionsMixin",
        "django.contrib.auth.models.Group",
    }
)

_planned: Final[weakref.WeakSet[type[Model]]] = weakref.WeakSet()
_generation = 0


class Place(NamedTuple):
    """Where one concrete field stands: ``number`` among the recorded fields (``None``: not recorded), ``position`` among all."""

    number: int | None
    position: int
    type: type | None
    python: Callable[[Any], Any] | None

    def normalised(self, value: Any) -> Any:
        """The value as it would be loaded again: ``"12.5"`` sent to a decimal field is a decimal."""
        if value is None or self.python is None or type(value) is self.type or hasattr(value, "resolve_expression"):
            return value
        # A datetime is a date to isinstance, not to a date field.
        if self.type is not None and isinstance(value, self.type) and self.type is not datetime.date:
            return value
        try:
            return self.python(value)
        except Exception:
            # Django will complain, or send it as it is; either way that is what was asked for.
            return value


class Plan:
    """What is recorded of the rows of one concrete model.

    By position among all concrete fields: ``attnames``; ``types`` of loaded values, ``None`` where any may come; ``loadable``, the types whose
    values need no look before they are recorded; ``normalise`` makes a value like a loaded one; ``unknown``, when nothing is known;
    ``numbers`` among the recorded fields, ``None`` for the others. Positions: ``positions`` by attname; ``recorded``; ``mutable``, of values that can be changed
    in place, and ``prepares``, for each of these what makes a column's value of one of an unknown type, ``None`` where no field has such; ``generated``, of values that the database computes from others; ``key``, the primary key's, with the attname, and ``key_place`` of one that has one
    field; ``key_columns`` asks for it; ``only_key`` is its one field in a list, as Django asks for it. The two are ``None`` when the key has several.

    ``fields`` themselves; ``own``, the recorded ones of the model's own table, and ``references``, the foreign keys among them; ``by_row``, whether a statement over many rows is an event for each of them;
    ``exact``, whether it is recorded with the true values at the price of reading them.

    ``names`` of the recorded fields, ``unrecorded`` the many-to-many fields left out, ``masked_links`` the names
    of those whose ids are, ``links`` what is known about tables of many-to-many fields. ``select`` takes the
    recorded values out of all. ``inherited``: a row lives in several tables. ``formatted``:
    somebody describes its events (see ``formatters``).
    ``pre_saves``: fields that send something else than is on the instance. ``interrupts``: what fields do for an INSERT may send statements.
    ``evidence``: how a commit of its changes shall be known after a crash, ``proved``: by more than the word of this process.
    ``auth``: rows say who may log in and do what. ``told``: one of the two, so that its events are more than what was written. ``reasoned``: verbs that are refused without a reason. ``reads``: whether reading is
    recorded, ``None`` where nobody said.
    """

    native: _native.Model

    __slots__ = (
        "attnames",
        "auth",
        "by_row",
        "evidence",
        "exact",
        "fields",
        "formatted",
        "generated",
        "inherited",
        "interrupts",
        "key",
        "key_columns",
        "key_place",
        "label_of",
        "links",
        "loadable",
        "mutable",
        "model",
        "names",
        "masked",
        "masked_links",
        "native",
        "normalise",
        "noun",
        "numbers",
        "only_key",
        "own",
        "places",
        "positions",
        "pre_saves",
        "prepares",
        "proved",
        "reads",
        "reasoned",
        "recorded",
        "references",
        "runtime",
        "select",
        "sensitive",
        "told",
        "type",
        "types",
        "unknown",
        "unrecorded",
    )

    def __init__(self, model: type[Model], options: registry.Options) -> None:
        meta = model._meta
        fields: Sequence[Field[Any, Any]] = meta.concrete_fields
        recorded = [position for position, field in enumerate(fields) if _is_recorded(field, options)]
        self.model = model
        self.fields = tuple(fields)
        self.by_row = options.bulk == "rows"
        self.exact = options.exact
        self.evidence = options.evidence
        self.proved = self.evidence != "ack"
        self.own = tuple(fields[position] for position in recorded if fields[position].model is model)
        self.references = tuple(field for field in self.own if field.remote_field is not None)
        self.type = meta.label
        self.noun = meta.model_name or model.__name__.lower()
        self.inherited = bool(meta.parents)
        self.attnames = tuple(field.attname for field in fields)
        self.recorded = tuple(recorded)
        self.numbers = tuple(recorded.index(position) if position in recorded else None for position in range(len(fields)))
        self.names = tuple(fields[position].name for position in recorded)
        self.places = {field.attname: Place(self.numbers[position], position, *_reading(field)) for position, field in enumerate(fields)}
        keys = getattr(meta, "pk_fields", (meta.pk,))
        self.key = tuple((field.attname, self.places[field.attname].position) for field in keys)
        self.key_place = self.key[0][1] if len(self.key) == 1 else None
        self.key_columns = Columns(tuple(keys), kept=True)
        self.only_key = list(keys) if len(keys) == 1 else None
        self.generated = tuple(position for position, field in enumerate(fields) if getattr(field, "generated", False))
        self.mutable = tuple(place.position for place in self.places.values() if place.type is None)
        prepares = tuple(map(_prepares, fields))
        self.prepares = tuple(prepares[position] for position in self.mutable) if any(prepares) else None
        self.pre_saves = tuple(field.attname for field in fields if not _sets_what_it_sends(field))
        # Where a storage keeps files in the database, saving one writes rows.
        self.interrupts = bool(self.pre_saves) or any(isinstance(field, FileField) for field in fields)
        self.types = tuple(place.type for place in self.places.values())
        self.loadable = tuple(_LOADED_JSON if kind is None else frozenset({kind, type(None)}) for kind in self.types)
        self.positions = {attname: place.position for attname, place in self.places.items()}
        self.unknown = (DEFERRED,) * len(fields)
        self.normalise = tuple(place.normalised for place in self.places.values())
        self.select = _getter(recorded)
        many = [field for field in meta.local_many_to_many if not _is_link_recorded(field, options)]
        self.unrecorded = frozenset(field.name for field in many)
        self.masked_links = options.mask
        self.links: dict[type[Model], Link | None] = {}
        self.label_of = _label(options, self.places)
        self.runtime: _runtime.Runtime | None = None
        self.masked = tuple(bool({fields[position].name, fields[position].attname} & options.mask) for position in recorded)
        self.sensitive = options.sensitive
        self.formatted = formatters.has_rules(model)
        self.auth = is_account(model)
        self.told = self.formatted or self.auth
        self.reads = options.reads
        self.reasoned = _reasoned(self.noun, options)

    def prepare(self, runtime: _runtime.Runtime) -> None:
        """Makes ``native``, the half that encodes, for the recorder of this runtime; before anything is recorded with it."""
        native, redactor = runtime.native(), runtime.redactor()
        if native is not None and redactor is not None:
            self.native = native.Model(
                redactor,
                type=self.type,
                noun=self.noun,
                fields=self.names,
                masked=self.masked,
                sensitive=self.sensitive,
                key=None if self.key_place is None else self.numbers[self.key_place],
                places=self.recorded,
                prepare=[_prepares(self.fields[position]) for position in self.recorded],
            )
            self.runtime = runtime


def install() -> None:
    """Makes changed settings change the plans. Does nothing the second time."""
    setting_changed.connect(_on_setting_changed, dispatch_uid="indelible.models")


def plan_of(model: type[Model]) -> Plan | None:
    """The plan of a model class, ``None`` when it is not recorded. A proxy has its concrete model's."""
    try:
        plan: Plan | None = model.__dict__["_indelible_plan"]
    except KeyError:
        return _make_plan(model)
    return plan


def forget_plans() -> None:
    """Works all plans out again when they are next needed."""
    global _generation
    _generation += 1
    for model in list(_planned):
        if "_indelible_plan" in model.__dict__:
            del model._indelible_plan
    _planned.clear()


def generation() -> int:
    """How often the plans were forgotten: what was derived from them holds for one number."""
    return _generation


def _make_plan(model: type[Model]) -> Plan | None:
    concrete = model._meta.concrete_model
    plan: Plan | None
    if is_link_table(model):
        # A row of a many-to-many table is a change of the model that has the field (see ``_links``).
        concrete = None
    if concrete is None or concrete is not model:
        plan = plan_of(concrete) if concrete is not None else None
    else:
        options = registry.options_of(model)
        plan = None if options is None else Plan(model, options)
    # Each class carries its own answer: an attribute found on a parent would be the parent's plan.
    model._indelible_plan = plan  # type: ignore[attr-defined]
    _planned.add(model)
    return plan


def is_link_table(model: type[Model]) -> bool:
    """Whether it is the table of a many-to-many field and nothing more, as Django makes it.

    ``auto_created`` alone does not say so: some sites set it in a ``through`` model of their own, for the sake of the admin.
    """
    source: Any = model._meta.auto_created
    if not isinstance(source, type) or len(model._meta.concrete_fields) > 3:
        return False
    return any(field.remote_field.through is model for field in source._meta.local_many_to_many)  # type: ignore[attr-defined]


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == "INDELIBLE":
        forget_plans()


def _is_recorded(field: Field[Any, Any], options: registry.Options) -> bool:
    if field.remote_field is not None and not field.primary_key and not conf.active().foreign_keys:
        return False
    return _is_named(field, options)


def _is_link_recorded(field: Field[Any, Any], options: registry.Options) -> bool:
    return _is_named(field, options) and (options.m2m is None or field.name in options.m2m)


def _is_named(field: Field[Any, Any], options: registry.Options) -> bool:
    names = {field.name, field.attname}
    if options.only is not None and not names & options.only:
        return False
    return not names & options.ignore


def _reading(field: Field[Any, Any]) -> tuple[type | None, Callable[[Any], Any] | None]:
    """The type that loaded values have, ``None`` when it may be one that is changed in place, and what makes such a value."""
    if isinstance(field, FileField):
        return str, str
    target = _target(field)
    kind = None if hasattr(target, "from_db_value") else _TYPES.get(target.get_internal_type())
    if isinstance(target, FileField):
        return str, str
    return kind, target.to_python if kind is not None else None


def _prepares(field: Field[Any, Any]) -> Callable[[Any], Any] | None:
    """What makes a column's value of the field's own kind of value; ``None`` when it is one of Django's, which mean the same by both."""
    target = _target(field)
    if _reading(field)[0] is not None or type(target).get_prep_value.__module__.startswith("django."):
        return None
    prepares: Callable[[Any], Any] = target.get_prep_value
    return prepares


def _target(field: Field[Any, Any]) -> Any:
    """The field whose values a field has: at the end of its foreign keys, or itself."""
    target: Any = field
    while target.remote_field is not None and getattr(target, "target_field", None) is not None:
        target = target.target_field
    return target


def _sets_what_it_sends(field: Field[Any, Any]) -> bool:
    """Whether the value that ``pre_save`` sends is on the instance afterwards: so with Django's own fields."""
    method = type(field).pre_save
    return method.__module__.startswith("django.")


def _getter(keys: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    if len(keys) > 1:
        return operator.itemgetter(*keys)
    return lambda values: tuple(values[key] for key in keys)


def is_account(model: type[Model]) -> bool:
    """Whether rows of this model say who may log in, or what they may do: users, groups, and what derives from them."""
    names = {f"{base.__module__}.{base.__qualname__}" for base in model.__mro__}
    return not names.isdisjoint(_ACCOUNTS)


def _reasoned(noun: str, options: registry.Options) -> frozenset[str]:
    actions = conf.active().reason_required
    return options.reason_required.union(verb for verb in ("create", "update", "delete") if f"{noun}.{verb}" in actions)


def _label(options: registry.Options, places: dict[str, Place]) -> Callable[[Model], str | None] | None:
    names = tuple(name for name in options.label if name not in options.mask and name in places)
    if not names:
        return None

    def label(instance: Model) -> str | None:
        # Only from what is loaded: a label must never cost a query.
        texts = [str(value) for name in names if (value := instance.__dict__.get(name)) not in (None, "", DEFERRED)]
        return " ".join(texts) or None

    return label
