"""Comparing an event with what a test expects of it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias


class _Word:
    """Stands for a value in a comparison."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


class _Anything(_Word):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


ANY: Final = _Anything("ANY")
"""Equal to everything."""
MASKED: Final = _Word("MASKED")
"""A value that was masked."""
UNKNOWN: Final = _Word("UNKNOWN")
"""A value that nobody knows: neither the application nor we have seen it."""

Test: TypeAlias = "Callable[[Mapping[str, Any]], str | None]"
"""Says what is wrong with an event, ``None`` when nothing is."""
Wanted: TypeAlias = "list[Test]"


def parse(criteria: Mapping[str, Any]) -> Wanted:
    """The tests for these criteria.

    Raises:
        TypeError: there is no such criterion.
    """
    for name in criteria:
        if name not in _CRITERIA and name != "unmasked":
            close = difflib.get_close_matches(name, _CRITERIA, n=1)
            suggestion = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_CRITERIA)}"
            raise TypeError(f"{name!r} is not a criterion for events; {suggestion}")
    if "unmasked" in criteria and "field" not in criteria:
        raise TypeError("'unmasked' goes with 'field'")
    unmasked = bool(criteria.get("unmasked", False))
    return [_CRITERIA[name](name, value, unmasked) for name, value in criteria.items() if name != "unmasked"]


def faults(event: Mapping[str, Any], wanted: Wanted) -> list[str]:
    """In what the event differs from what is wanted."""
    return [fault for test in wanted if (fault := test(event)) is not None]


def described(event: Mapping[str, Any], fate: str) -> str:
    """The event in one line: what, to what, by whom, and which fields."""
    parts = [str(event.get("action"))]
    if event.get("resource"):
        parts.append("/".join(str(event["resource"][key]) for key in ("type", "id") if event["resource"].get(key) is not None))
    parts.append(f"by {_actor(event)}")
    if event.get("outcome") != "success":
        parts.append(str(event.get("outcome")))
    if event.get("changes"):
        parts.append(f"({', '.join(str(change.get('field', 'statement')) for change in event['changes'])})")
    if fate not in ("recorded", "committed"):
        parts.append(f"[{fate}]")
    return " ".join(parts)


def change_fault(event: Mapping[str, Any], field: str, values: Any) -> str | None:
    """What is wrong with the change of a field from the first to the second of ``values``."""
    if not isinstance(values, tuple) or len(values) != 2:
        raise TypeError(f"{field} must be a pair, (old, new), not {values!r}")
    for change in event.get("changes") or ():
        if change.get("field") == field:
            shown = _side(change, "old"), _side(change, "new")
            if all(_is_value(side, value) for side, value in zip(shown, values, strict=True)):
                return None
            return f"{field} changed from {shown[0]!r} to {shown[1]!r}, not from {values[0]!r} to {values[1]!r}"
    names = [str(change.get("field")) for change in event.get("changes") or ()]
    return f"{field} did not change; what did: {', '.join(names) or 'nothing'}"


def _side(change: Mapping[str, Any], side: str) -> Any:
    if change.get("masked"):
        return MASKED
    if side in change:
        return change[side]
    return UNKNOWN if change.get(f"{side}_unknown") else None


def _is_value(shown: Any, value: Any) -> bool:
    if value is ANY:
        return True
    if isinstance(shown, _Word) or isinstance(value, _Word):
        return shown is value
    return bool(shown == value or shown == _in_a_body(value))


def _in_a_body(value: Any) -> Any:
    """The value as JSON has it in a body: a date as text, a decimal as text."""
    from indelible import _native

    return json.loads(_native.encode(value).json())


def _equal(path: tuple[str, ...]) -> Callable[[str, Any, bool], Test]:
    def criterion(name: str, value: Any, _unmasked: bool) -> Test:
        def test(event: Mapping[str, Any]) -> str | None:
            found: Any = event
            for key in path:
                found = (found or {}).get(key)
            matches = value(found) if callable(value) else value == found
            return None if matches else f"{name} is {found!r}"

        return test

    return criterion


def _action(name: str, value: Any, _unmasked: bool) -> Test:
    def test(event: Mapping[str, Any]) -> str | None:
        found = str(event.get("action"))
        matches = value(found) if callable(value) else found.startswith(value[:-1]) if value.endswith("*") else found == value
        return None if matches else f"action is {found!r}"

    return test


def _fate(name: str, value: Any, _unmasked: bool) -> Test:
    def test(event: Mapping[str, Any]) -> str | None:
        fate = getattr(event, "fate", None)
        found = fate == "pending" if name == "pending" else fate
        return None if found == value else f"{name} is {found!r}"

    return test


def _actor_is(name: str, value: Any, _unmasked: bool) -> Test:
    def test(event: Mapping[str, Any]) -> str | None:
        actor = event.get("actor") or {}
        kind, key = actor.get("type"), actor.get("id")
        if callable(value) and not hasattr(value, "pk"):
            matches = value(actor)
        elif hasattr(value, "pk"):
            matches = kind == "user" and key == str(value.pk)
        else:
            matches = str(value) in {kind, key, actor.get("label"), f"{kind}:{key}"}
        return None if matches else f"actor is {_actor(event)}"

    return test


def _object_is(name: str, value: Any, _unmasked: bool) -> Test:
    wanted, key = _object(value)

    def test(event: Mapping[str, Any]) -> str | None:
        resource = event.get("resource") or {}
        kind = str(resource.get("type") or "")
        # A name without a dot is the last part of any type, in any case: so in a search, too.
        same = kind == wanted if "." in wanted else kind.rpartition(".")[2].lower() == wanted.lower()
        if same and (key is None or str(resource.get("id")) == key):
            return None
        return f"{name} is {kind}/{resource.get('id')}" if resource else f"it has no {name}"

    return test


def _object(value: Any) -> tuple[str, str | None]:
    if hasattr(value, "_meta"):
        model = value._meta.concrete_model or value
        return model._meta.label, None if isinstance(value, type) else str(value.pk)
    kind, slash, key = str(value).partition("/")
    return kind, key if slash else None


def _field(name: str, value: str, unmasked: bool) -> Test:
    def test(event: Mapping[str, Any]) -> str | None:
        changes = [change for change in event.get("changes") or () if change.get("field") == value]
        if not changes:
            return f"{value!r} did not change"
        return f"{value!r} is masked" if unmasked and all(change.get("masked") for change in changes) else None

    return test


def _meta(name: str, value: Mapping[str, Any], _unmasked: bool) -> Test:
    def test(event: Mapping[str, Any]) -> str | None:
        found = event.get("meta") or {}
        for key, wanted in value.items():
            if key not in found:
                return f"meta has no {key!r}"
            if not _is_value(found[key], wanted):
                return f"meta[{key!r}] is {found[key]!r}"
        return None

    return test


def _actor(event: Mapping[str, Any]) -> str:
    actor = event.get("actor") or {}
    named = ":".join(str(actor[key]) for key in ("type", "id") if actor.get(key) is not None)
    return f"{named} ({actor['label']})" if actor.get("label") else named


_CRITERIA: Final[dict[str, Callable[[str, Any, bool], Test]]] = {
    "action": _action,
    "actor": _actor_is,
    "object": _object_is,
    "resource": _object_is,
    "kind": _equal(("kind",)),
    "outcome": _equal(("outcome",)),
    "field": _field,
    "meta": _meta,
    "reason": _equal(("reason",)),
    "tenant": _equal(("tenant",)),
    "request_id": _equal(("request", "id")),
    "method": _equal(("request", "method")),
    "route": _equal(("request", "route")),
    "path": _equal(("request", "path")),
    "status": _equal(("request", "status")),
    "fate": _fate,
    "pending": _fate,
}
