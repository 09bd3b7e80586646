"""Who, where and why: what every event of a request, task or command has in common."""

from __future__ import annotations

import json
import operator
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

KNOWN_OF_USER = frozenset({"id", "label", "name", "email"})
_PLAIN_FIELDS = ("id", "label")
ACTOR_TYPES = ("user", "service", "system", "anonymous", "unresolved")


class Facts:
    """What is known at one moment: immutable but for the encoded form, which is made once and kept.

    Whoever provides facts hands out the same object as long as nothing changed, and a new one when, for example, the actor became known.
    """

    __slots__ = ("actor", "encoded", "encoded_by", "meta", "notes", "reason", "request_id", "span_id", "tenant", "trace_id")

    def __init__(
        self,
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
        redactor = runtime.redactor()
        native = None if redactor is None else runtime.native()
        if native is None:
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

    __slots__ = ("actor", "last", "meta", "notes", "on_behalf_of", "reason", "tenant")

    def __init__(
        self,
        *,
        actor: Actor | None,
        on_behalf_of: Actor | None = None,
        reason: str | None,
        tenant: str | None,
        meta: Mapping[str, Any] | None,
        notes: tuple[str, ...],
    ) -> None:
        self.actor = actor
        self.on_behalf_of = on_behalf_of
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
        actor = facts.actor if self.actor is None else self.actor
        return Facts(
            actor=actor if self.on_behalf_of is None else {**actor, "on_behalf_of": self.on_behalf_of},
            request_id=facts.request_id,
            trace_id=facts.trace_id,
            span_id=facts.span_id,
            reason=facts.reason if self.reason is None else self.reason,
            tenant=facts.tenant if self.tenant is None else self.tenant,
            meta=_merged(facts.meta, self.meta),
            notes=facts.notes + self.notes,
        )


_overrides: ContextVar[_Overrides | None] = ContextVar("indelible_overrides", default=None)
_carried: ContextVar[Facts | None] = ContextVar("indelible_carried", default=None)
_provider: Callable[[], Facts | None] | None = None
_peek: Callable[[], Facts | None] | None = None
_process_facts: Facts | None = None


def set_provider(provider: Callable[[], Facts | None] | None, peek: Callable[[], Facts | None] | None = None) -> None:
    """Names the function that knows the request at hand; it answers ``None`` outside of one. Django's request scope sets it.

    ``peek`` says the same without finding anything out: it resolves no user and leaves no trace in the request.
    """
    global _provider, _peek
    _provider, _peek = provider, peek


def current_facts() -> Facts:
    """What is known now: the request's facts, or the message's that is worked on, or the process's, under the open ``context()`` blocks."""
    facts = (_provider() if _provider is not None else None) or _carried.get() or _process_facts or process_facts()
    overrides = _overrides.get()
    return facts if overrides is None else overrides.over(facts)


def known_facts() -> Facts:
    """As :func:`current_facts`, but nothing is found out for it: for log lines, which must cost no query and change nothing."""
    facts = (_peek() if _peek is not None else None) or _carried.get() or _process_facts or process_facts()
    overrides = _overrides.get()
    return facts if overrides is None else overrides.over(facts)


def current_context() -> _native.Context | None:
    """The context that an event recorded now gets; ``None`` without the native module."""
    return current_facts().context(_runtime.runtime())


@contextmanager
def context(
    *,
    actor: object = None,
    on_behalf_of: object = None,
    reason: str | None = None,
    tenant: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Says who acts and why for everything recorded inside the block.

    ``actor`` is a user object, a mapping of the actor's members, or text such as ``"system:nightly"``. ``on_behalf_of``, given alike, is the person
    that the actor acts as: who impersonates a user is the actor. Blocks nest: what the inner one
    gives wins, ``meta`` is merged key by key, what it leaves out stays. It wins over the request's own. It follows ``await`` and
    ``asyncio`` tasks; a thread of your own has it when started through ``contextvars.copy_context().run``.

    Example:
        >>> with indelible.context(actor="system:nightly", reason="nightly sync"):
        ...     indelible.record("invoice.export")
    """
    outer = _overrides.get()
    named, notes = _read_actor(actor)
    principal, more_notes = _read_actor(on_behalf_of)
    merged = _Overrides(
        actor=named or (outer.actor if outer else None),
        # Another actor acts for whom he says, or for himself.
        on_behalf_of=principal or (outer.on_behalf_of if outer and named is None else None),
        reason=reason if reason is not None or outer is None else outer.reason,
        tenant=tenant if tenant is not None or outer is None else outer.tenant,
        meta=_merged(outer.meta if outer else None, meta),
        notes=(outer.notes if outer else ()) + notes + more_notes,
    )
    token = _overrides.set(merged)
    try:
        yield
    finally:
        _overrides.reset(token)


class Work:
    """A piece of work that was asked for elsewhere, such as a task: until :meth:`end` the running code has the facts of who asked.

    ``facts`` are those that came with the message; ``None`` keeps the ones at hand, for work done at once in the same place. ``meta`` marks
    every event of the work. Begin and end belong to the same thread and context.
    """

    __slots__ = ("_carried", "_overrides")

    def __init__(self, facts: Facts | None, meta: Mapping[str, Any]) -> None:
        outer = _overrides.get() if facts is None else None
        merged = _Overrides(
            actor=outer.actor if outer else None,
            on_behalf_of=outer.on_behalf_of if outer else None,
            reason=outer.reason if outer else None,
            tenant=outer.tenant if outer else None,
            meta=_merged(outer.meta if outer else None, meta),
            notes=outer.notes if outer else (),
        )
        self._carried = None if facts is None else _carried.set(facts)
        self._overrides = _overrides.set(merged)

    def end(self) -> None:
        """Puts back what was known before."""
        _overrides.reset(self._overrides)
        if self._carried is not None:
            _carried.reset(self._carried)


def facts_of_message(text: str) -> Facts:
    """The facts that ``Context.carried`` wrote into a message.

    Raises:
        ValueError: the text was not written by it.
    """
    members = json.loads(text)
    if not isinstance(members, dict):
        raise ValueError("the context of a message is an object")
    actor, meta, notes = members.get("actor"), members.get("meta"), members.get("notes") or ()
    if not isinstance(actor, dict) or actor.get("type") not in ACTOR_TYPES:
        raise ValueError("the context of a message names no actor")
    if not isinstance(meta, dict | None):
        raise ValueError("meta is an object")
    texts = {name: members.get(name) for name in ("request_id", "trace_id", "span_id", "reason", "tenant")}
    if not all(isinstance(value, str | None) for value in (*texts.values(), *notes)):
        raise ValueError("the context of a message holds something that is no text")
    return Facts(actor=actor, meta=meta, notes=tuple(notes), **texts)


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


def user_actor(user: Any, fields: Any = ("id", "label"), notes: list[str] | None = None) -> Actor:
    """The members of a user object: its key and its label, as far as ``fields`` (``id``, ``label``, ``name``, ``email``) asks, and further attributes.

    Reads nothing else. An attribute that cannot be read is left out, which is noted and counted.
    """
    if not getattr(user, "is_authenticated", True):
        return {"type": "anonymous"}
    members: dict[str, Any] = {"type": "user"}
    if "id" in fields:
        key = getattr(user, "pk", None)
        members["id"] = None if key is None else str(key)
    label = _plain_label(user) if fields == _PLAIN_FIELDS else _user_label(user, fields)
    if label:
        members["label"] = label
    if fields != _PLAIN_FIELDS and not KNOWN_OF_USER.issuperset(fields):
        _add_attributes(members, user, fields, notes)
    return members


def _add_attributes(members: dict[str, Any], user: Any, fields: Any, notes: list[str] | None) -> None:
    for path in fields:
        if path in KNOWN_OF_USER:
            continue
        try:
            value = operator.attrgetter(path)(user)
            if callable(value):
                raise TypeError(f"{path} is a method of the user, not an attribute")
            members[path] = value if value is None or isinstance(value, (bool, int, str)) else str(value)
        except Exception as error:
            if notes is not None:
                notes.append(f"actor's {path} not read: {type(error).__qualname__}")
            _runtime.runtime().fault(f"ACTOR_FIELDS {path}", error)


def _plain_label(user: Any) -> str:
    """What :func:`_user_label` answers where only ``id`` and ``label`` are asked for, as they are by default."""
    get_username = getattr(user, "get_username", None)
    if get_username is None:
        return ""
    user_name = str(get_username())
    return "" if "@" in user_name else user_name


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


def name_process(name: str) -> None:
    """Says who acts outside of any request or task in this process: ``{"type": "system", "id": name}``."""
    global _process_facts
    _process_facts = Facts(actor={"type": "system", "id": name})


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
    if program == "__main__.py":
        # `python -m package`: the package is the program.
        program = os.path.basename(os.path.dirname(argv[0])) or program
    if program in ("manage.py", "django-admin", "django", "__main__.py") and len(argv) > 1:
        return argv[1]
    return program


def _merged(outer: Mapping[str, Any] | None, inner: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if not inner:
        return outer
    return {**outer, **inner} if outer else dict(inner)
