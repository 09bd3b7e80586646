"""Which level of detail a request is recorded with: the rules of ``REQUESTS``, decided by the native module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from indelible import _runtime
from indelible.django import _actor
from indelible.django._scope import RequestScope
from indelible.django.conf import RequestPolicy

if TYPE_CHECKING:
    from indelible import _native

WITH_BODIES: Final = frozenset({"request", "request_response"})


class Levels:
    """The rules of one middleware. Where there are none, no call leaves Python."""

    __slots__ = ("_policy", "_same", "asks_for_bodies", "asks_for_user", "same")

    def __init__(self, requests: RequestPolicy) -> None:
        self._same = requests.level
        self._policy: _native.Policy | None = None
        if requests.rules or requests.include or requests.exclude:
            native = _runtime.runtime().native()
            if native is not None:
                self._policy = native.Policy(requests.level, [dict(rule) for rule in requests.rules], requests.include, requests.exclude)
        self.same: str | None = self._same if self._policy is None else None
        """The level of every request, ``None`` where the rules have to be asked."""
        self.asks_for_user: bool = self._policy is not None and self._policy.asks_for_user
        levels = {requests.level, *(rule["level"] for rule in requests.rules)}
        self.asks_for_bodies = not WITH_BODIES.isdisjoint(levels)

    def highest(self, method: str | None, path: str) -> str:
        """The highest level that a request that begins can still get: what has to be captured on its way."""
        return self._same if self._policy is None else self._policy.level_max(method or "", path)

    def level(self, method: str | None, path: str, route: str | None, status: int | None, user: str | None) -> str:
        """The level of a request that has been answered."""
        return self._same if self._policy is None else self._policy.level(method or "", path, route, status, user)


def kind_of_user(scope: RequestScope, *, resolve: bool) -> str | None:
    """What the rules may ask of the user; ``None`` where nobody knows."""
    kind = (scope.departed or scope.facts(resolve=resolve)).actor.get("type")
    if kind != "user":
        return "anonymous" if kind == "anonymous" else None
    return "staff" if getattr(_actor.resolved_user(scope.request), "is_staff", False) else "authenticated"
