"""Compares both sides once a minute: markers whose record never came, records whose marker is gone, and rows that nobody needs any more."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from indelible import _context, _runtime
from indelible.django.evidence import _journals
from indelible.django.evidence._answers import Answers, StreamAnswer, committed_in, made_at
from indelible.django.evidence._fences import Markers, Place
from indelible.django.evidence._tables import BATCH

if TYPE_CHECKING:
    from indelible import _native

SETTLED_AFTER_S: Final = 60.0
"""How long a marker and its record are given to appear both."""
LOOK_BACK_S: Final = 25 * 3600.0
OVERLAP_S: Final = 600.0
"""A COMMIT may take as long after its intent was made; what becomes visible later is found by the next whole look."""
WHOLE_LOOK_EVERY_S: Final = 3600.0
DELETED_AFTER_S: Final = 24 * 3600.0
GONE_WITHIN_S: Final = 23 * 3600.0
"""A marker of a record that is older may have been deleted by us; clocks differ by less than an hour."""
WRITTEN_AFTER_S: Final = 2.0
"""The agent writes what it says at most once a second: what it says later than this it has found out after we looked."""
BATCHES_MAX: Final = 20
TOLD_MAX: Final = 1_000
"""How many events one round tells at most; the rest is for the next."""

_FIRST: Final = uuid.UUID(int=0)


class Reconciler:
    """What one process has found so far, so that a round looks at what is new."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._committed = committed_in(folder)
        self._clock = clock
        self._ticks = ticks
        self._looked_at: dict[str, tuple[float, float]] = {}
        self._highest: dict[str, dict[uuid.UUID, int]] = {}
        self._cleaned_to: dict[str, uuid.UUID] = {}
        self._told: set[uuid.UUID] = set()
        self._suspected: dict[uuid.UUID, float] = {}

    def compare(self, markers: Markers, answers: Answers, recorder: _native.Recorder) -> int:
        """Tells what is missing on either side, each once; how many events that made. Raises ``DatabaseError``."""
        self._told = {intent for intent in self._told if self._clock() - made_at(intent) < LOOK_BACK_S}
        told = self._without_marker(markers, recorder)
        journal = _journals.journal_id()
        return told if journal is None else told + self._without_record(markers, answers, recorder, journal)

    def clean(self, markers: Markers, answers: Answers) -> int:
        """Deletes rows that are a day old and whose INTENT the agent has for good; how many. Raises ``DatabaseError``."""
        journal = _journals.journal_id()
        if journal is None or answers.more:
            # With more unresolved intents than are named, any marker may be the one that is still needed.
            return 0
        unresolved = {one.intent for one in answers.unresolved}
        before = _bound(self._clock() - DELETED_AFTER_S)
        deleted, after = 0, self._cleaned_to.get(markers.alias, _FIRST)
        for _ in range(BATCHES_MAX):
            found = markers.old(journal, after, before)
            deleted += markers.delete(
                [place.intent for place in found if place.intent not in unresolved and self._is_covered(place, answers)]
            )
            # What could not be deleted is passed over, and looked at again when the end was reached.
            after = found[-1].intent if len(found) == BATCH else _FIRST
            if after == _FIRST:
                break
        self._cleaned_to[markers.alias] = after
        return deleted

    def _without_marker(self, markers: Markers, recorder: _native.Recorder) -> int:
        """Records of commits that the database has no more: a restored backup, or a server that answered before it had written."""
        now = self._clock()
        known = [
            one.intent
            for one in self._committed.value() or ()
            if one.alias == markers.alias and SETTLED_AFTER_S < now - made_at(one.intent) < GONE_WITHIN_S and one.intent not in self._told
        ]
        told = 0
        for intent in markers.missing(known)[:TOLD_MAX]:
            told += self._tell(
                recorder, "audit.resolve", intent, {"result": "lost_by_database", "intent": str(intent), "alias": markers.alias}
            )
        return told

    def _without_record(self, markers: Markers, answers: Answers, recorder: _native.Recorder, journal: uuid.UUID) -> int:
        """Markers of commits whose INTENT the agent will not get any more: a machine that lost power before it had written the journal."""
        before = _bound(self._clock() - SETTLED_AFTER_S)
        highest = self._look(markers, journal, before)
        told = 0
        for stream, sequence in list(highest.items()):
            answer = answers.streams.get(stream)
            if answer is not None and answer.high_water >= sequence and not answer.gaps:
                del highest[stream]
                continue
            if self._never_came(stream, answers) if answer is None else answer.ended:
                places = self._missing(markers, journal, stream, answer or StreamAnswer(0, ended=True), before)
                told += self._tell_lost(markers, recorder, places)
                if len(places) < BATCH:
                    del highest[stream]
            if told >= TOLD_MAX:
                break
        return told

    def _never_came(self, stream: uuid.UUID, answers: Answers) -> bool:
        """Whether nothing of a stream that the agent does not name will ever come: it has no folder, and had none when the agent last wrote."""
        if not answers.names_all_streams or self._has_folder(stream):
            self._suspected.pop(stream, None)
            return False
        return answers.written_at.timestamp() > self._suspected.setdefault(stream, self._clock() + WRITTEN_AFTER_S)

    def _missing(self, markers: Markers, journal: uuid.UUID, stream: uuid.UUID, answer: StreamAnswer, before: uuid.UUID) -> list[Place]:
        """The markers of a stream that has ended whose INTENT the agent has not."""
        found = markers.beyond(journal, stream, answer.high_water, before)
        for first, last in answer.gaps:
            found += [place for place in markers.beyond(journal, stream, first - 1, before) if place.sequence <= last]
        return found

    def _has_folder(self, stream: uuid.UUID) -> bool:
        return os.path.lexists(self._folder / str(stream))

    def _is_covered(self, place: Place, answers: Answers) -> bool:
        """Whether nobody needs a marker that is old enough."""
        stream = answers.streams.get(place.stream)
        if stream is not None:
            return stream.covers(place.sequence)
        return answers.names_all_streams and not self._has_folder(place.stream) and place.stream not in self._suspected

    def _look(self, markers: Markers, journal: uuid.UUID, before: uuid.UUID) -> dict[uuid.UUID, int]:
        """For each stream the highest marker seen: in the last day at first and once an hour, else in what is new."""
        now, ticks = self._clock(), self._ticks()
        whole_at, looked_at = self._looked_at.get(markers.alias, (float("-inf"), 0.0))
        whole = ticks - whole_at >= WHOLE_LOOK_EVERY_S
        since = now - LOOK_BACK_S if whole else looked_at - OVERLAP_S
        highest = {} if whole else self._highest.get(markers.alias, {})
        for stream, sequence in markers.highest(journal, _bound(since), before).items():
            highest[stream] = max(sequence, highest.get(stream, 0))
        self._looked_at[markers.alias] = (ticks if whole else whole_at, now)
        self._highest[markers.alias] = highest
        return highest

    def _tell_lost(self, markers: Markers, recorder: _native.Recorder, places: list[Place]) -> int:
        told, reported = 0, []
        for place in places:
            meta = {
                "cause": "marker_without_record",
                "intent": str(place.intent),
                "stream": str(place.stream),
                "sequence": place.sequence,
                "alias": markers.alias,
            }
            told += self._tell(recorder, "audit.gap", place.intent, meta)
            if place.intent in self._told:
                reported.append(place.intent)
        # After the event: whoever dies in between tells it again, under the same identifier.
        markers.reported(reported)
        return told

    def _tell(self, recorder: _native.Recorder, action: str, intent: uuid.UUID, meta: Mapping[str, Any]) -> int:
        """Records an event about an intent, unless this host has told it already; how many that were."""
        runtime = _runtime.runtime()
        context = _context.Facts(actor={"type": "system", "id": "indelible"}).context(runtime)
        if context is None:
            return 0
        event = recorder.event(context, "audit", action, "failure", resource={"type": "intent", "id": str(intent)}, meta=meta)
        digest = hashlib.sha256(f"{action} {intent}".encode()).digest()[:10]
        recorded = recorder.record_once(event, int(made_at(intent) * 1000), digest)
        if recorded is not None and recorded.status == "lost":
            return 0
        self._told.add(intent)
        return int(recorded is not None)


def _bound(at: float) -> uuid.UUID:
    """The smallest identifier that can be made at a time, and what compares with those that are."""
    return uuid.UUID(int=max(0, int(at * 1000)) << 80)
