"""Joins a database and its trail: what was committed must be told once, and nothing else may be claimed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from trails import Trail

PROVED = ("committed", "committed_by_marker", "committed_by_outbox")


@dataclass
class Claims:
    """The names of the doctors that the trail says were created, by what it says of them."""

    committed: Counter[str] = field(default_factory=Counter)
    rolled_back: Counter[str] = field(default_factory=Counter)
    in_doubt: Counter[str] = field(default_factory=Counter)
    by_marker: int = 0
    """How many of the committed ones only a marker proves: whoever committed them died before saying so."""
    resolved: int = 0
    """How many were in doubt first."""


def claims(trail: Trail) -> Claims:
    """What the trail says, corrections included."""
    answers = _answers(trail)
    said = Claims()
    for record in trail.records():
        event = record["event"]
        if event["action"] != "doctor.create" or event["outcome"] != "success":
            continue
        (name,) = (change["new"] for change in event["changes"] if change["field"] == "name")
        fate = "committed" if record["verdict"] in PROVED else record["verdict"]
        said.by_marker += record["verdict"] == "committed_by_marker"
        if fate == "in_doubt":
            answer = answers.get(event["id"])
            said.resolved += answer is not None
            fate = {None: "in_doubt", "committed": "committed"}.get(answer, "rolled_back")
        getattr(said, fate)[name] += 1
    return said


def judge(rows: Iterable[str], said: Claims, *, decided: bool, context: str = "") -> str:
    """Fails on a row that the trail misses, claims twice or does not know; ``decided``: on one in doubt as well. Answers with the counts."""
    present = Counter(rows)
    counts = (
        f"{len(present)} rows, {len(said.committed)} committed, {said.by_marker} of them by their marker, {len(said.in_doubt)} in doubt, "
        f"{len(said.rolled_back)} rolled back, {said.resolved} resolved"
    )
    told = f"{counts}; {context}"
    assert present, "nothing was done"
    assert max(present.values()) == 1, "an operation was done twice"
    assert present - said.committed - said.in_doubt == Counter(), f"committed and not recorded: {told}"
    assert said.committed - present == Counter(), f"claimed and not committed: {told}"
    assert present & said.rolled_back == Counter(), f"committed and recorded as rolled back: {told}"
    every = said.committed + said.in_doubt + said.rolled_back
    assert max(every.values(), default=1) == 1, f"recorded twice: {told}"
    assert not (decided and said.in_doubt), f"nobody found out: {told}"
    return counts


def _answers(trail: Trail) -> dict[str, str]:
    """What became known later of events in doubt."""
    found: dict[str, str] = {}
    for event in resolutions(trail):
        if event.get("resource", {}).get("type") == "event":
            assert event["resource"]["id"] not in found, "resolved twice"
            found[event["resource"]["id"]] = event["meta"]["result"]
    return found


def resolutions(trail: Trail) -> list[dict[str, Any]]:
    """The bodies of the corrections."""
    trail.records()
    lines = trail.command("search", "action:audit.resolve", "--asc", "--limit", "1000000", "-o", "ndjson").splitlines()
    return [json.loads(line)["event"] for line in lines]
