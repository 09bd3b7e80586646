"""Old values without a query: every loaded row keeps the values it was made from.

They are kept by reference in ``instance._state``, aligned with ``_meta.concrete_fields``, so a row costs one slot. Values that are
changed in place (JSON, arrays) would change under us and are copied at load. After a successful write the values that were sent
take their place; what is learnt inside a transaction holds only until that is rolled back.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast
from uuid import UUID

from django.db import router
from django.db.models import DEFERRED, Model
from django.db.models.base import ModelState

from indelible import _runtime
from indelible.django._models import Plan, plan_of

Values = Sequence[Any]

Fate: TypeAlias = Literal["open", "released", "committed", "rolled_back", "unknown"]
"""What became of a part of a transaction."""

_IMMUTABLE: Final = frozenset({type(None), bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta, UUID})


class Scope:
    """The part of a transaction that a rollback can take back: the whole of it, or what came after a savepoint."""

    __slots__ = ("_parent", "_state")

    def __init__(self, parent: Scope | None = None) -> None:
        self._parent = parent
        self._state: Fate = "open"

    def end(self, fate: Fate) -> None:
        """Says what became of it. A released savepoint shares the fate of what surrounds it."""
        self._state = fate

    def fate(self) -> Fate:
        """What became of what was written here."""
        scope = self
        while scope._parent is not None and scope._state in ("open", "released"):
            scope = scope._parent
        return scope._state

    def owner(self) -> Scope:
        """The innermost scope not yet released, whose rollback would take this one along."""
        scope = self
        while scope._parent is not None and scope._state == "released":
            scope = scope._parent
        return scope


class Provisional(NamedTuple):
    """Values that hold unless their scope is rolled back; then the ``previous`` ones do."""

    values: Values
    scope: Scope
    previous: Values | Provisional | None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # Whoever unpickles an instance is in another transaction: there the old values are not known.
        return type(None), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Provisional:
        return self


class _Copied(list[Any]):
    """Values some of which are copies (``Encoded``) that exist in this process only."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Copied:
        return self


class _OpenScopes(threading.local):
    """For this thread: the scope of each database whose open transaction has written something."""

    def __init__(self) -> None:
        self.by_alias: dict[str, Scope] = {}


open_scopes: Final = _OpenScopes()


def install() -> None:
    """Keeps the loaded values of audited models from now on. Does nothing the second time."""
    if not hasattr(Model.from_db, "indelible"):
        # On the class, so that reading it needs no look into an instance's dictionary.
        ModelState.indelible_values = None  # type: ignore[attr-defined]
        Model.from_db = classmethod(_from_db(Model.from_db.__func__))  # type: ignore[assignment,attr-defined]
        Model.refresh_from_db = _refresh_from_db(Model.refresh_from_db)  # type: ignore[method-assign]


def known_values(instance: Model, plan: Plan, using: str) -> Values | None:
    """What the database holds for this instance as far as we know; places not loaded are ``DEFERRED``.

    ``None`` when nothing is known: never loaded, another row (the key was changed), another database, or a rollback of unknown outcome.
    """
    kept = instance._state.indelible_values  # type: ignore[attr-defined]
    while type(kept) is Provisional:
        fate = kept.scope.fate()
        if fate == "unknown":
            return None
        kept = kept.previous if fate == "rolled_back" else kept.values
    if kept is None or not _same_row(kept, instance, plan, using):
        return None
    values: Values = kept
    return values


def remember(instance: Model, plan: Plan, values: list[Any], scope: Scope | None) -> None:
    """The database now holds these values, for good (``scope`` is ``None``) or unless the scope is rolled back."""
    state: Any = instance._state
    kept = copied(plan, values) if plan.mutable else values
    if scope is None:
        state.indelible_values = kept
        return
    before = state.indelible_values
    state.indelible_values = Provisional(kept, scope, None if before is None else _before(before, scope))


def remember_all(instances: Sequence[Model], plan: Plan, rows: Sequence[list[Any]], scope: Scope | None) -> None:
    """The same for many instances and the values of each."""
    kept = [copied(plan, row) for row in rows] if plan.mutable else rows
    native = _runtime.runtime().native()
    # Most are new: nothing was known of them. With the module, one call keeps them all.
    known = zip(instances, kept, strict=True) if native is None else native.remember_rows(instances, kept, scope, Provisional)
    for instance, values in known:
        state: Any = instance._state
        if scope is None:
            state.indelible_values = values
        else:
            before = state.indelible_values
            state.indelible_values = Provisional(values, scope, None if before is None else _before(before, scope))


def forget(instance: Model) -> None:
    """What the database holds for this instance is not known any more."""
    instance._state.indelible_values = None  # type: ignore[attr-defined]


def copied(plan: Plan, values: Values) -> Values:
    """The values, with those replaced by copies that the application can change in place."""
    native = _runtime.runtime().native()
    kept = _Copied(values)
    if native is not None:
        native.encode_in_place(kept, plan.mutable, DEFERRED, plan.prepares)
        return kept
    for place in plan.mutable:
        if type(kept[place]) not in _IMMUTABLE:
            # Without the native module nothing is recorded, and a value that may change must not pass for an old one.
            kept[place] = DEFERRED
    return kept


def _before(kept: Values | Provisional | None, scope: Scope) -> Values | Provisional | None:
    # Keeps the chain as short as the savepoints are deep, however often an instance is saved.
    while type(kept) is Provisional:
        fate, owner = kept.scope.fate(), kept.scope.owner()
        if fate == "committed":
            return kept.values
        if fate == "unknown":
            return None
        if fate == "open" and owner is not scope:
            previous = kept.previous
            while type(previous) is Provisional and previous.scope.owner() is owner:
                previous = previous.previous
            return Provisional(kept.values, owner, previous)
        kept = kept.previous
    return kept


def _same_row(values: Values, instance: Model, plan: Plan, using: str) -> bool:
    for attname, place in plan.key:
        if values[place] != instance.__dict__.get(attname):
            return False
    loaded_from = instance._state.db
    # A row read from a replica is the row that is written to the primary, unless the caller named another database.
    return loaded_from == using or router.db_for_write(type(instance), instance=instance) == using


def _from_db(django: Callable[..., Model]) -> Callable[..., Model]:
    """Our ``from_db``: Django's own body where we know it (a call less for each row), else a wrapper."""
    if django.__module__ != Model.__module__:
        return _wrapped_from_db(django)
    parameters = django.__code__.co_varnames[: django.__code__.co_argcount + django.__code__.co_kwonlyargcount]
    if parameters != ("cls", "db", "field_names", "values"):
        return _wrapped_from_db(django)

    def from_db(cls: type[Model], db: str, field_names: Any, values: Values) -> Model:
        fields = cls._meta.concrete_fields
        if len(values) != len(fields):
            loaded = iter(values)
            values = [next(loaded) if field.attname in field_names else DEFERRED for field in fields]
        instance = cls(*values)
        state = instance._state
        state.adding = False
        state.db = db
        try:
            plan = cls.__dict__["_indelible_plan"]
        except KeyError:
            plan = plan_of(cls)
        if plan:
            if plan.mutable:
                values = copied(plan, values)
            scope = open_scopes.by_alias.get(db)
            state.indelible_values = values if scope is None else Provisional(values, scope, None)  # type: ignore[attr-defined]
        return instance

    from_db.indelible = True  # type: ignore[attr-defined]
    return from_db


def _wrapped_from_db(django: Callable[..., Model]) -> Callable[..., Model]:
    if django.__kwdefaults__:

        @functools.wraps(django)
        def from_db(cls: type[Model], db: str, field_names: Any, values: Values, *, fetch_mode: Any = None) -> Model:
            return _keep(django(cls, db, field_names, values, fetch_mode=fetch_mode), db, field_names, values)

    else:

        @functools.wraps(django)
        def from_db(cls: type[Model], db: str, field_names: Any, values: Values) -> Model:
            return _keep(django(cls, db, field_names, values), db, field_names, values)

    from_db.indelible = True  # type: ignore[attr-defined]
    return from_db


def _keep(instance: Model, db: str, field_names: Any, values: Values) -> Model:
    plan = plan_of(type(instance))
    if plan is None:
        return instance
    fields = plan.model._meta.concrete_fields
    if len(values) != len(fields):
        loaded = iter(values)
        values = [next(loaded) if field.attname in field_names else DEFERRED for field in fields]
    values = copied(plan, values) if plan.mutable else values
    scope = open_scopes.by_alias.get(db)
    instance._state.indelible_values = values if scope is None else Provisional(values, scope, None)  # type: ignore[attr-defined]
    return instance


def _refresh_from_db(django: Callable[..., None]) -> Callable[..., None]:
    """``refresh_from_db`` loads a second instance and copies from it; the values kept by the first must follow."""

    @functools.wraps(django)
    def refresh_from_db(self: Model, using: str | None = None, fields: Any = None, *args: Any, **kwargs: Any) -> None:
        if fields is not None:
            fields = list(fields)
        django(self, using, fields, *args, **kwargs)
        plan = plan_of(type(self))
        if plan is not None:
            try:
                _refreshed(self, plan, fields, args[0] if args else kwargs.get("from_queryset"))
            except Exception as fault:
                forget(self)
                _runtime.runtime().fault("refresh_from_db", fault)

    return refresh_from_db


def _refreshed(instance: Model, plan: Plan, fields: list[str] | None, from_queryset: Any) -> None:
    using = cast("str", instance._state.db)
    if fields is None and from_queryset is not None and from_queryset.query.deferred_loading != (frozenset(), True):
        # Which fields such a queryset loaded is its own affair: they are not known any more.
        known: Values | None = None
        loaded: set[str] = set()
    else:
        known = known_values(instance, plan, using)
        loaded = {
            field.attname for field in plan.model._meta.concrete_fields if fields is None or {field.name, field.attname} & set(fields)
        }
    values = list(known) if known is not None else [DEFERRED] * len(plan.attnames)
    for place, attname in enumerate(plan.attnames):
        if attname in loaded or (attname, place) in plan.key:
            values[place] = instance.__dict__.get(attname, DEFERRED)
    remember(instance, plan, values, open_scopes.by_alias.get(using))
