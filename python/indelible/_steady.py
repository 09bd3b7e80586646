"""Events without what differs from one run to the next."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

_TIMES: Final = ("occurred_at", "recorded_at")
_IDS: Final = ("trace_id", "span_id")
_SOURCE: Final = ("service", "environment", "process_kind")
"""What of the source does not depend on the machine."""


def steady(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copies of the events in which ids, keys, sessions, times and durations are replaced by words; alike stays alike."""
    names = _Names()
    return [_steady(event, names) for event in events]


class _Names:
    """Numbers values by what they are, in the order in which they come."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def of(self, what: str, value: Any) -> str:
        known = self._known.setdefault(what, {})
        return known.setdefault(str(value), f"<{what} {len(known) + 1}>")


def _steady(event: Mapping[str, Any], names: _Names) -> dict[str, Any]:
    body: dict[str, Any] = copy.deepcopy(dict(event))
    body["id"] = names.of("event", body.get("id"))
    for key in _TIMES:
        if key in body:
            body[key] = "<time>"
    for key in _IDS:
        if key in body:
            body[key] = names.of(key, body[key])
    if "source" in body:
        body["source"] = {key: value for key, value in body["source"].items() if key in _SOURCE}
    _steady_actor(body.get("actor"), names)
    _steady_resource(body, names)
    _steady_request(body.get("request"), names)
    if "duration_us" in body.get("meta", {}):
        body["meta"]["duration_us"] = "<duration>"
    return body


def _steady_actor(actor: dict[str, Any] | None, names: _Names) -> None:
    while actor:
        if actor.get("type") == "user" and "id" in actor:
            actor["id"] = names.of("user", actor["id"])
        if "session" in actor:
            actor["session"] = names.of("session", actor["session"])
        actor = actor.get("on_behalf_of")


def _steady_resource(body: dict[str, Any], names: _Names) -> None:
    resource = body.get("resource") or {}
    for each in (resource, *resource.get("related", ())):
        key = each.get("id")
        if key is None:
            continue
        each["id"] = names.of(str(each.get("type")), key)
        for change in body.get("changes", ()) if each is resource else ():
            # The key's own field, when the row was made or deleted.
            for side in ("old", "new"):
                if change.get("field") in ("id", "pk", "uuid") and str(change.get(side)) == str(key):
                    change[side] = each["id"]


def _steady_request(request: dict[str, Any] | None, names: _Names) -> None:
    if not request:
        return
    if "id" in request:
        request["id"] = names.of("request", request["id"])
    if "duration_us" in request:
        request["duration_us"] = "<duration>"
