"""Who, where and why: what every event of a request, task or command has in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from indelible import _runtime

if TYPE_CHECKING:
    from indelible import _native

Actor = Mapping[str, Any]

ACTOR_TYPES = ("user", "service", "system", "anonymous", "unresolved")


class Facts:
    """What is known at one moment: immutable but for the encoded form, which is made once and kept.

    Whoever provides facts hands out the same object as long as nothing changed, and a new one when, for example, the actor became known.
    """

    __slots__ = ("actor", "encoded", "encoded_by", "meta", "notes", "reason", "request_id", "span_id", "tenant", "trace_id")

    def __init__(
        self,
        *,
        actor: Actor,
        request_id: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        reason: str | None = None,
        tenant: str | None = None,
        meta: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.actor = actor
        self.request_id = request_id
        self.trace_id = trace_id
        self.span_id = span_id
        self.reason = reason
        self.tenant = tenant
        self.meta = meta
        self.notes = notes
        self.encoded: _native.Context | None = None
        self.encoded_by: _runtime.Runtime | None = None

    def context(self, runtime: _runtime.Runtime) -> _native.Context | None:
        """These facts for the native module; ``None`` where there is none."""
        if self.encoded_by is runtime:
            return self.encoded
        native, redactor = runtime.native(), runtime.redactor()
        if native is None or redactor is None:
            return None
        # By position: names would cost half as much again as the call itself.
        self.encoded = native.Context(
            redactor,
            self.actor,
            self.request_id,
            self.trace_id,
            self.span_id,
            self.reason,
            self.tenant,
            self.meta,
            self.notes,
        )
        # Last: another thread that sees it finds the encoded form there.
        self.encoded_by = runtime
        return self.encoded


class _Overrides:
    """What the open ``context()`` blocks say, merged; the innermost wins. Immutable but for the memory of the last merge."""

    __slots__ = ("actor", "last", "meta", "notes", "reason", "tenant")

    def __init__(
        self,
        *,
        actor: Actor | None,
        reason: str | None,
        tenant: str | None,
        meta: Mapping[str, Any] | None,
        notes: tuple[str, ...],
    ) -> None:
        self.actor = actor
        self.reason = reason
        self.tenant = tenant
        self.meta = meta
        self.notes = notes
        self.last: tuple[Facts, Facts] | None = None

    def over(self, facts: Facts) -> Facts:
        # One pair is replaced at once, so that a thread sharing this block never meets a key with another's value.
        last = self.last
        if last is None or last[0] is not facts:
            last = self.last = (facts, self._merge(facts))
        return last[1]

    def _merge(self, facts: Facts) -> Facts:
        return Facts(
            actor=facts.actor if self.actor is None else self.actor,
            request_id=facts.request_id,
            trace_id=facts.trace_id,
            span_id=facts.span_id,
            reason=facts.reason if self.reason is None else self.reason,
            tenant=facts.tenant if self.tenant is None else self.tenant,
            meta=_merged(facts.meta, self.meta),
            notes=facts.notes + self.notes,
        )


_overrides: ContextVar[_Overrides | None] = ContextVar("indelible_overrides", default=None)
_provider: Callable[[], Facts | None] | None = None
_process_facts: Facts | None = None


def set_provider(provider: Callable[[], Facts | None] | None) -> None:
    """Names the function that knows the request at hand; it answers ``None`` outside of one. Django's request scope sets it."""
    global _provider
    _provider = provider


def current_facts() -> Facts:
    """What is known now: the request's facts, or the process's outside of one, under the open ``context()`` blocks."""
    facts = (_provider() if _provider is not None else None) or _process_facts or process_facts()
    overrides = _overrides.get()
    return facts if overrides is None else overrides.over(facts)


def current_context() -> _native.Context | None:
    """The context that an event recorded now gets; ``None`` without the native module."""
    return current_facts().context(_runtime.runtime())


@contextmanager
def context(
    *,
    actor: object = None,
    reason: str | None = None,
    tenant: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Says who acts and why for everything recorded inside the block.

    ``actor`` is a user object, a mapping of the actor's members, or text such as ``"system:nightly"``. Blocks nest: what the inner one
    gives wins, ``meta`` is merged key by key, what it leaves out stays. It wins over the request's own. It follows ``await`` and
    ``asyncio`` tasks; a thread of your own has it when started through ``contextvars.copy_context().run``.

    Example:
        >>> with indelible.context(actor="system:nightly", reason="nightly sync"):
        ...     indelible.record("invoice.export")
    """
    outer = _overrides.get()
    named, notes = _read_actor(actor)
    merged = _Overrides(
        actor=named or (outer.actor if outer else None),
        reason=reason if reason is not None or outer is None else outer.reason,
        tenant=tenant if tenant is not None or outer is None else outer.tenant,
        meta=_merged(outer.meta if outer else None, meta),
        notes=(outer.notes if outer else ()) + notes,
    )
    token = _overrides.set(merged)
    try:
        yield
    finally:
        _overrides.reset(token)


def actor_of(actor: object) -> Actor:
    """The members of an actor given as a user object, a mapping, or text ``type:id``; text without a type is a ``system``'s id.

    Of a user object only the fields named by the setting ``ACTOR_FIELDS`` are read.
    """
    if isinstance(actor, str):
        kind, colon, name = actor.partition(":")
        if colon and kind in ACTOR_TYPES:
            return {"type": kind, "id": name}
        return {"type": "system", "id": actor}
    if isinstance(actor, Mapping):
        return {"type": "user", **actor}
    members = user_actor(actor, _runtime.runtime().settings.actor_fields)
    if members["type"] == "user" and not hasattr(actor, "pk"):
        raise TypeError(f"an actor is a user, a mapping or a text, not {type(actor).__name__}")
    return members


def user_actor(user: Any, fields: Any = ("id", "label")) -> Actor:
    """The members of a user object: its key and its label, as far as ``fields`` (``id``, ``label``, ``name``, ``email``) asks. Reads nothing else."""
    if not getattr(user, "is_authenticated", True):
        return {"type": "anonymous"}
    members: dict[str, Any] = {"type": "user"}
    if "id" in fields:
        key = getattr(user, "pk", None)
        members["id"] = None if key is None else str(key)
    label = _user_label(user, fields)
    if label:
        members["label"] = label
    return members


def _user_label(user: Any, fields: Any) -> str:
    """The user name, unless it is an e-mail address that was not asked for, then full name and e-mail address where they were."""
    parts: list[str] = []
    if "label" in fields and hasattr(user, "get_username"):
        user_name = str(user.get_username())
        parts += [user_name] if "@" not in user_name or "email" in fields else []
    if "name" in fields and hasattr(user, "get_full_name"):
        parts.append(user.get_full_name())
    if "email" in fields and hasattr(user, "get_email_field_name"):
        parts.append(getattr(user, user.get_email_field_name(), None) or "")
    return " ".join(dict.fromkeys(part for part in parts if part))


def process_facts() -> Facts:
    """The facts outside of any request: the actor is the program itself, ``{"type": "system", "id": "migrate"}``."""
    global _process_facts
    if _process_facts is None:
        _process_facts = Facts(actor={"type": "system", "id": _command_name(sys.argv)})
    return _process_facts


def _forget_process_facts() -> None:
    # A child may give itself another name before it records anything.
    global _process_facts
    _process_facts = None


os.register_at_fork(after_in_child=_forget_process_facts)


def _read_actor(actor: object) -> tuple[Actor | None, tuple[str, ...]]:
    if actor is None:
        return None, ()
    try:
        return actor_of(actor), ()
    except Exception as error:
        # A lazy user that cannot be loaded here must not break the caller's block, nor pass for somebody else.
        _runtime.runtime().fault("context(actor=…)", error)
        return {"type": "unresolved"}, (f"actor not resolved: {type(error).__name__}",)


def _command_name(argv: list[str]) -> str:
    program = os.path.basename(argv[0]) if argv and argv[0] else "python"
    if program in ("manage.py", "django-admin", "__main__.py") and len(argv) > 1:
        return argv[1]
    return program


def _merged(outer: Mapping[str, Any] | None, inner: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if not inner:
        return outer
    return {**outer, **inner} if outer else dict(inner)
