"""The request that the running code belongs to, and what its events have in common."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any

from indelible import _runtime
from indelible._context import Facts, actor_of
from indelible._finish import FAULTS
from indelible.django import _actor, _additions, _reasons
from indelible.django._places import ErrorParts
from indelible.django.conf import Settings

current: ContextVar[RequestScope | None] = ContextVar("indelible_request", default=None)


class RequestScope:
    """One HTTP request as its events see it. It outlives the response while a streamed body or a thread still works for it."""

    __slots__ = (
        "_busy_thread",
        "_complete",
        "_facts",
        "_settings",
        "_user",
        "denied",
        "departed",
        "error",
        "recorded",
        "refused",
        "request",
        "request_id",
        "span_id",
        "trace_id",
    )

    def __init__(self, request: Any, request_id: str, trace: tuple[str, str] | None, settings: Settings) -> None:
        self.request = request
        self.request_id = request_id
        self.trace_id: str | None
        self.span_id: str | None
        self.trace_id, self.span_id = trace or (None, None)
        self.recorded = False
        """Whether something other than the request itself was recorded."""
        self.error: ErrorParts | None = None
        """What a view or middleware raised last."""
        self.refused = False
        """Whether it was cut short because it could not be recorded."""
        self.denied = False
        """Whether a refusal was recorded by name."""
        self.departed: Facts | None = None
        """The facts of the user whom this request logged out: the request was still theirs."""
        self._settings = settings
        self._facts: Facts | None = None
        self._user: Any = None
        self._complete = False
        self._busy_thread: int | None = None

    def enter(self) -> Token[RequestScope | None]:
        """Makes this the request of the running code until :func:`leave`."""
        return current.set(self)

    def unresolved(self) -> bool:
        """Whether nobody has resolved the user, nor have we tried."""
        return not self._complete and _actor.resolved_user(self.request) is None

    def facts(self, *, resolve: bool) -> Facts:
        """Who acts, as far as it is known now. The same object as long as nothing changed.

        ``resolve`` allows us to load the user where nobody did and a query may be made here.
        """
        user = _actor.resolved_user(self.request)
        facts = self._facts
        if facts is not None and user is self._user and (self._complete or not resolve):
            return facts
        if self._busy_thread == threading.get_ident():
            # Resolving the user recorded something itself, such as a last-seen date.
            return self.facts_of({"type": "unresolved"})
        return self._find_out(user, resolve)

    def facts_of(self, actor: Mapping[str, Any], meta: Mapping[str, Any] | None = None, notes: tuple[str, ...] = ()) -> Facts:
        """The facts of this request with a given actor."""
        # By position: names would cost as much again as all of it.
        reason = _reasons.of(self.request, self._settings)
        return Facts(actor, self.request_id, self.trace_id, self.span_id, reason, None, meta, notes)

    def reasoned(self, facts: Facts) -> Facts:
        """The same facts with the reason of a form that was read after they were found out."""
        if _reasons.in_form(self.request, self._settings) is None:
            return facts
        self._facts = self.facts_of(facts.actor, facts.meta, facts.notes)
        return self._facts

    def _find_out(self, user: Any, resolve: bool) -> Facts:
        self._busy_thread = threading.get_ident()
        notes: list[str] = []
        settings = self._settings
        try:
            actor = self._named_by_site(notes) if settings.actor is not None else None
            named = actor is not None
            # Asking for the event loop where there is none raises, which costs more than finding the actor: not where there is a user.
            may_ask = user is None and not named and resolve and _actor.can_resolve()
            if may_ask:
                user = self._resolve(notes)
            if actor is None:
                actor = self._describe(user, notes)
            meta = self._meta(notes) if settings.meta_headers or settings.context is not None else None
            facts = self.facts_of(actor, meta, tuple(notes))
            if settings.actor is not None or settings.context is not None:
                facts = self._usable(facts)
            self._facts, self._user = facts, user
            # Where we were not allowed to ask, such as in an event loop, a later event may be.
            self._complete = named or may_ask or user is not None
            return facts
        finally:
            self._busy_thread = None

    def _usable(self, facts: Facts) -> Facts:
        """The facts, or the same without what the site's own functions answered when that cannot be recorded."""
        notes = list(facts.notes)
        try:
            facts.context(_runtime.runtime())
        except FAULTS as error:
            _degrade("ACTOR or CONTEXT", error, notes)
            return self.facts_of({"type": "unresolved"}, notes=tuple(notes))
        return facts

    def _named_by_site(self, notes: list[str]) -> Mapping[str, Any] | None:
        assert self._settings.actor is not None, "the caller asks only then"
        try:
            answer = self._settings.actor(self.request)
            return None if answer is None else actor_of(answer)
        except FAULTS as error:
            _degrade("ACTOR", error, notes)
            return {"type": "unresolved"}

    def _resolve(self, notes: list[str]) -> Any:
        try:
            return _actor.resolve_user(self.request)
        except Exception as error:
            _degrade("the user of the request", error, notes)
            return None

    def _describe(self, user: Any, notes: list[str]) -> Mapping[str, Any]:
        try:
            return _actor.describe(self.request, user, self._settings.actor_fields, notes)
        except FAULTS as error:
            _degrade("the user of the request", error, notes)
            return {"type": "unresolved"}

    def _meta(self, notes: list[str]) -> Mapping[str, Any] | None:
        """What the site adds to every event: members of the headers it named, and over them what its function answers."""
        headers, context = self._settings.meta_headers, self._settings.context
        meta = _additions.from_headers(self.request.META, headers) if headers else None
        if context is None:
            return meta
        try:
            answer = context(self.request)
            return {**meta, **answer} if meta and answer else answer or meta
        except FAULTS as error:
            _degrade("CONTEXT", error, notes)
            return meta


def leave(token: Token[RequestScope | None]) -> None:
    """Ends what :meth:`RequestScope.enter` began."""
    current.reset(token)


def provide_facts() -> Facts | None:
    """The facts for an event that is recorded now inside a request; ``None`` outside of one.

    A request that records something names its actor: where nobody resolved the user, we do.
    """
    scope = current.get()
    if scope is None:
        return None
    scope.recorded = True
    facts = scope.facts(resolve=True)
    return scope.reasoned(facts) if scope._settings.reason_field and facts.reason is None else facts


def describe_moment() -> Mapping[str, Any]:
    """The request during which something failed, for ``ON_AUDIT_ERROR``."""
    scope = current.get()
    return {} if scope is None else {"request_id": scope.request_id, "method": scope.request.method, "path": scope.request.path}


def peek_facts() -> Facts | None:
    """As :func:`provide_facts`, but nobody is asked for it and the request does not count as one that recorded something."""
    scope = current.get()
    return None if scope is None else scope.facts(resolve=False)


def _degrade(what: str, error: BaseException, notes: list[str]) -> None:
    notes.append(f"{what} failed: {type(error).__qualname__}")
    _runtime.runtime().fault(what, error)
