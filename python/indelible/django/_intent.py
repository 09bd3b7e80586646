"""What somebody declares about the next write of one instance, so that the intent and the automatic event are one event.

A declaration is about one instance and one write of it. It is never about a class: whatever else is written in the same block, rows of the
same model included, is recorded as ever. When the block is left by an exception before anything was committed, the attempt itself is
recorded, with outcome ``failure`` or ``denied``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import DatabaseError
from django.db.models import Model
from django.db.models.deletion import ProtectedError, RestrictedError
from django.http import Http404

from indelible import _context, _record, _runtime
from indelible._errors import IndelibleError
from indelible.django import _scope, conf
from indelible.django._guard import Guard

if TYPE_CHECKING:
    from indelible import _native
    from indelible._types import Outcome
    from indelible.django._recording import Verb, Write
    from indelible.django._snapshots import Scope

Happened = Literal["no", "held", "committed"]


class ReasonRequired(DatabaseError, BadRequest, IndelibleError):
    """A reason must be given for this, and none was: nothing was written.

    A ``DatabaseError``, so that Django rolls the transaction back; a ``BadRequest``, so that whoever asked gets status 400.
    """

    is_denial = True

    def __init__(self, action: str) -> None:
        header, field = conf.active().reason_header, conf.active().reason_field
        places = [f"the header {header}"] * bool(header) + [f"the field {field!r}"] * bool(field) + ["indelible.context(reason=…)"]
        super().__init__(f"{action} needs a reason: give one in {' or '.join(places)}.")
        self.action = action


class Declaration:
    """What is declared about one write; ``happened`` says what became of it."""

    __slots__ = ("_happened", "_instance", "_keys", "_model", "_scope", "_values", "_verb", "action", "meta", "outer", "reason", "written")

    def __init__(
        self,
        model: type[Model],
        *,
        instance: Model | None = None,
        keys: frozenset[Any] = frozenset(),
        values: Mapping[str, Any] | None = None,
        verb: Verb | None = None,
        action: str | None = None,
        meta: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        self._model = model._meta.concrete_model or model
        self._instance = instance
        self._keys = keys
        self._values = values
        self._verb = verb
        self.action = action
        self.meta = meta
        self.reason = reason
        self._happened: Happened = "no"
        self._scope: Scope | None = None
        self.written: Model | None = None
        self.outer: Declaration | None = None

    @property
    def happened(self) -> Happened:
        """What became of the write until now: one that a savepoint took back can be tried again, one that was committed stays."""
        if self._scope is None:
            return self._happened
        fate = self._scope.fate()
        return "no" if fate == "rolled_back" else "committed" if fate == "committed" else self._happened

    def fulfilled(self, instance: Model, what: Happened, scope: Scope | None) -> None:
        """Its write was recorded, in the part of a transaction that ``scope`` is."""
        self._happened, self._scope, self.written = what, scope, instance

    @property
    def instance(self) -> Model | None:
        """The instance that is meant, as far as it is known yet."""
        return self._instance or self.written

    def covers(self, instance: Model, verb: Verb) -> bool:
        """Whether a write of this instance is the one that was meant."""
        if (self._verb is not None and verb != self._verb) or type(instance)._meta.concrete_model is not self._model:
            return False
        if self._keys:
            return instance.pk in self._keys
        if self.happened != "no":
            return False
        if self._instance is not None:
            return instance is self._instance or (instance.pk is not None and instance.pk == self._instance.pk)
        return self._values is not None and self._is(instance, self._values)

    @staticmethod
    def _is(instance: Model, values: Mapping[str, Any]) -> bool:
        """Whether an instance has these values."""
        return all(has(instance, name, value) for name, value in values.items())


declared: ContextVar[Declaration | None] = ContextVar("indelible_declared", default=None)
"""The innermost declaration of the running code; it follows into the threads that Django's async methods work in."""


@contextmanager
def declare(
    instance: Model,
    *,
    verb: Verb | None = None,
    action: str | None = None,
    meta: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> Iterator[Declaration]:
    """Declares what the next write of ``instance`` in this block means.

    Its automatic event, with exact changes, gets ``action``, ``reason`` and ``meta`` (merged over the context's). ``verb`` narrows it to one kind
    of write. Later writes of the instance and those of other instances are not touched. Leaving the block by an exception
    records the attempt, unless its write was committed.

    Raises:
        ReasonRequired: the action demands a reason that neither the caller nor the context gives.

    Example:
        >>> with declare(patient, action="patient.discharge", reason="recovered"):
        ...     patient.save()
    """
    declaration = Declaration(type(instance), instance=instance, verb=verb, action=action, meta=meta, reason=reason)
    with declaring(declaration, instance, verb or ("create" if instance._state.adding else "update")):
        yield declaration


@contextmanager
def declaring(declaration: Declaration, instance: Model | None, verb: Verb) -> Iterator[None]:
    """Opens the block of a declaration; ``instance`` and ``verb`` describe the attempt where it fails."""
    declaration.outer = declared.get()
    token = declared.set(declaration)
    try:
        if declaration.action is not None:
            demand_reason_for(declaration.action, declaration.reason)
        yield
    except BaseException as error:
        if declaration.happened != "committed" and not _is_correction(error):
            _record_attempt(declaration, instance or declaration.instance, verb, error)
        raise
    finally:
        declared.reset(token)


def covering(instance: Model, verb: Verb) -> Declaration | None:
    """The innermost declaration that is about this write."""
    declaration = declared.get()
    while declaration is not None and not declaration.covers(instance, verb):
        declaration = declaration.outer
    return declaration


def told(write: Write, events: list[_native.Event], recorder: _native.Recorder, context: _native.Context) -> list[_native.Event]:
    """The events of a write with what was declared about them; without a word of anybody, changes of rights are classed as ``auth``."""
    from indelible.django import _accounts

    kind, action = _accounts.classed(write) if write.plan.auth else (None, None)
    about = write.about()
    declarations: Sequence[Declaration | None] = [None] * len(events)
    if len(about) == len(events):
        declarations = [covering(instance, write.verb) for instance in about]
    return [_told(event, declaration, kind, action, recorder, context) for event, declaration in zip(events, declarations, strict=True)]


def _told(
    event: _native.Event,
    declaration: Declaration | None,
    kind: Any,
    action: str | None,
    recorder: _native.Recorder,
    context: _native.Context,
) -> _native.Event:
    if declaration is None:
        return event if kind is None else recorder.declared(event, context, kind=kind, action=action)
    return recorder.declared(
        event, context, kind=kind, action=declaration.action or action, reason=declaration.reason, meta=declaration.meta
    )


def happened(write: Write, what: Happened, scope: Scope | None = None) -> None:
    """Takes note of what became of a write whose events were recorded; ``scope``: the part of a transaction that can still take it back."""
    for instance in write.about():
        declaration = covering(instance, write.verb)
        if declaration is not None:
            declaration.fulfilled(instance, what, scope)


def demand_reason(write: Write) -> None:
    """Refuses a write that needs a reason and has none.

    Raises:
        ReasonRequired: before anything is sent.
    """
    if write.verb not in write.plan.reasoned or _context.current_facts().reason:
        return
    about = write.about()
    if about and all(_has_reason(covering(instance, write.verb)) for instance in about):
        return
    refusal = ReasonRequired(f"{write.plan.noun}.{write.verb}")
    # A declared attempt records itself.
    if not about or covering(about[0], write.verb) is None:
        resource: dict[str, Any] = {"type": write.plan.type, "id": about[0].pk if len(about) == 1 else None}
        _record.record(refusal.action, resource, kind="change", outcome="denied", error=refusal)
        if (scope := _scope.current.get()) is not None:
            scope.denied = True
    raise refusal


def demand_reason_for(action: str, reason: str | None) -> None:
    """Refuses an action that needs a reason, before it begins.

    Raises:
        ReasonRequired: neither the caller nor the context gives one.
    """
    if action in conf.active().reason_required and not (reason or _context.current_facts().reason):
        raise ReasonRequired(action)


def install() -> None:
    """Makes ``audited`` ask for reasons."""
    _record.set_demand(demand_reason_for)


def outcome_of(error: BaseException) -> Outcome:
    """How an attempt ended that this exception ended."""
    if isinstance(error, (PermissionDenied, ReasonRequired)) or getattr(error, "status_code", None) in (401, 403):
        return "denied"
    return "failure" if isinstance(error, Exception) else "aborted"


def _is_correction(error: BaseException) -> bool:
    """Whether somebody is only asked to say it again, or better: nothing was tried yet."""
    if isinstance(error, ReasonRequired):
        return False
    status = getattr(error, "status_code", None)
    return isinstance(error, (ValidationError, Http404, BadRequest)) or (
        isinstance(status, int) and 400 <= status < 500 and status not in (401, 403)
    )


def error_of(error: BaseException) -> tuple[str, str] | None:
    """Type and message of an error. The instances that protect a row are left out: their texts are data."""
    if isinstance(error, (ProtectedError, RestrictedError)):
        return type(error).__qualname__, str(error.args[0])
    return _record.error_parts(error)


def _has_reason(declaration: Declaration | None) -> bool:
    return declaration is not None and bool(declaration.reason)


def has(instance: Model, name: str, value: Any) -> bool:
    """Whether an instance has this value, as far as that can be told."""
    # Only what stands on the instance: a relation that is not loaded must not cost a query.
    held = instance.__dict__.get(name, value)
    if held is value and isinstance(value, Model):
        return bool(instance.__dict__.get(f"{name}_id", value.pk) == value.pk)
    try:
        return bool(held is value or held == value)
    except Exception:
        # An array of numbers says of each whether it is the same, and not of all.
        return False


def _record_attempt(declaration: Declaration, instance: Model | None, verb: Verb, error: BaseException) -> None:
    with Guard("a declared write"):
        from indelible.django._models import plan_of

        plan = plan_of(declaration._model)
        if plan is None or not _runtime.runtime().settings.enabled:
            return
        resource: dict[str, Any] = {"type": plan.type}
        if instance is not None:
            resource |= {"id": instance.pk, "label": None if plan.label_of is None else plan.label_of(instance)}
        _record.record(
            declaration.action or f"{plan.noun}.{verb}",
            resource,
            kind="change",
            outcome=outcome_of(error),
            error=error_of(error),
            reason=declaration.reason,
            meta=declaration.meta,
        )
        if outcome_of(error) == "denied" and (scope := _scope.current.get()) is not None:
            scope.denied = True
