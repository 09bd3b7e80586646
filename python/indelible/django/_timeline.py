"""What the trail says about one object, for a page: asked of the agent on this host, with a deadline and a bound."""

from __future__ import annotations

import datetime
from typing import Any, Final, NamedTuple

from django.db.models import Model
from django.utils.dateparse import parse_datetime

from indelible import _client, _runtime
from indelible.django import _reads

ENTRIES_MAX: Final = 100
"""Most entries of one page."""
_VALUE_CHARACTERS_MAX: Final = 200


class Entry(NamedTuple):
    """One event of an object as a page shows it."""

    at: datetime.datetime | None
    actor: str
    action: str
    outcome: str
    verdict: str
    changes: list[str]
    reason: str
    leaf: int


class Timeline(NamedTuple):
    """The newest events of an object; ``more``: there are older ones."""

    resource: str
    entries: list[Entry]
    more: bool


def of(instance: Model, reader: str) -> Timeline:
    """The timeline of an object. ``reader`` is recorded as who looked.

    Raises:
        TrailUnavailable: no agent answers in time.
        TrailRefused: the agent does not take the question.
    """
    resource = f"{_reads.label_of(type(instance))}/{instance.pk}"
    page = _client.search(_runtime.runtime().settings.data_dir, f"resource:{_client.phrase(resource)}", limit=ENTRIES_MAX, reader=reader)
    return Timeline(resource, [_entry(record) for record in page.records], page.cursor is not None)


def _entry(record: dict[str, Any]) -> Entry:
    event = record["event"]
    actor = event["actor"]
    who = actor.get("label") or actor.get("id") or actor["type"]
    principal = actor.get("on_behalf_of")
    return Entry(
        at=parse_datetime(event["occurred_at"]),
        actor=f"{who} for {principal.get('label') or principal.get('id')}" if principal else str(who),
        action=event["action"],
        outcome=event["outcome"],
        verdict=record.get("verdict", ""),
        changes=[_change(change) for change in event.get("changes", ()) if isinstance(change, dict)],
        reason=event.get("reason", ""),
        leaf=record["leaf"],
    )


def _change(change: dict[str, Any]) -> str:
    field = change.get("field", "")
    if change.get("masked"):
        return f"{field}: masked"
    if "added" in change or "removed" in change:
        parts = [f"{word} {_shown(change[word])}" for word in ("added", "removed") if change.get(word)]
        return f"{field}: {', '.join(parts)}"
    if "old" not in change and "new" not in change:
        return str(field or f"{change.get('count', '')} rows")
    return f"{field}: {_shown(change.get('old'))} → {_shown(change.get('new', change.get('expression')))}"


def _shown(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= _VALUE_CHARACTERS_MAX else f"{text[:_VALUE_CHARACTERS_MAX]}…"
