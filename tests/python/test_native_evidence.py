"""Evidence of a commit seen from Python: what an intent says, what a resolver answers, and rows of an outbox."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

import journal
from indelible import IndelibleError, _native
from indelible._finish import finished
from indelible._runtime import RuntimeSettings
from servers import wait_until
from test_native_recorder import REDACTOR, SERVICE, change, open_recorder


@pytest.fixture(params=["plain", "finishing"])
def recorder(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A recorder, and one with steps before it, which hands all of this on."""
    plain = open_recorder(tmp_path)
    if request.param == "plain":
        return plain
    settings = RuntimeSettings(service=SERVICE, data_dir=tmp_path, ignore_actions=["nothing.*"])
    return finished(plain, REDACTOR, settings, lambda where, error: None)


def frames(data_dir: Path) -> list[tuple[int, int, int | None]]:
    """Sequence, kind, and evidence or result of every frame."""
    return [(frame.sequence, frame.kind, frame.result or frame.evidence) for frame in journal.frames(data_dir, SERVICE)]


@pytest.mark.parametrize("recorded_next", [True, False])
def test_the_outcome_of_a_commit_that_could_not_be_journaled_is_kept_until_it_can_be(recorder, tmp_path, recorded_next):
    """The error was dropped: with a marker nobody asked for it as long as the process lived, and without one it stayed in doubt for ever."""
    intent = recorder.intent("default", [change("row")], "marker")
    with journal.taking_nothing(tmp_path, SERVICE):
        intent.committed()
        with pytest.raises(IndelibleError):
            recorder.write_waiting()
    assert frames(tmp_path) == [(1, journal.INTENT, 1)]
    if recorded_next:
        # For a tenth of a second after a failure no event is tried.
        wait_until(lambda: recorder.record(change("other")).status != "lost", "the journal takes nothing")
    else:
        recorder.write_waiting()
    assert frames(tmp_path)[1] == (2, journal.OUTCOME, 1)
    written = frames(tmp_path)
    recorder.write_waiting()
    assert frames(tmp_path) == written, "once"


def test_an_intent_says_what_a_marker_needs_to_know(recorder, tmp_path):
    held = recorder.transaction("default")
    held.hold(change("row"))
    assert held.evidence == "ack"
    held.require("marker")
    held.require("ack")
    assert held.evidence == "marker"
    intent = held.prepare()
    assert (intent.evidence, intent.position) == ("marker", (recorder.stream, 1))
    (frame,) = journal.frames(tmp_path, SERVICE)
    assert (frame.intent, frame.evidence) == (uuid.UUID(intent.id), 1)
    intent.committed()
    assert intent.position == (recorder.stream, 1), "also after the answer"
    assert frames(tmp_path) == [(1, journal.INTENT, 1), (2, journal.OUTCOME, 1)]
    with pytest.raises(ValueError, match='"seal" is none of: ack, marker, outbox'):
        held.require("seal")


def test_a_marker_that_cannot_be_written_can_be_done_without(recorder, tmp_path):
    intent = recorder.intent("default", [change("row")], "marker")
    again = intent.without_marker("default")
    assert (again.evidence, again.position) == ("ack", (recorder.stream, 3))
    assert again.id != intent.id
    assert intent.without_marker("default") is None, "it has been answered"
    intent.committed()
    again.committed()
    assert frames(tmp_path) == [(1, 2, 1), (2, 3, 2), (3, 2, 0), (4, 3, 1)]
    assert [body["action"] for body in journal.events(tmp_path, SERVICE)] == ["row.create"]


def test_a_resolver_answers_for_others(recorder, tmp_path):
    assert recorder.resolve(str(uuid.uuid4()), True) == (recorder.stream, 1)
    assert recorder.resolve(str(uuid.uuid4()), False) == (recorder.stream, 2)
    assert frames(tmp_path) == [(1, journal.OUTCOME, 3), (2, journal.OUTCOME, 4)]
    with pytest.raises(ValueError, match="is not an identifier"):
        recorder.resolve("7", True)


def test_what_is_sealed_is_journaled_by_the_drainer_at_the_place_that_was_assigned(recorder, tmp_path):
    held = recorder.transaction("default")
    assert held.seal() is None
    held.hold(change("row"))
    intent, payload = held.seal()
    assert (intent.evidence, intent.position, len(held)) == ("outbox", None, 0)
    intent.committed()
    assert frames(tmp_path) == []
    stream, sequence = recorder.next_position()
    assert recorder.append_outbox(payload, stream, sequence) == "moved"
    assert recorder.append_outbox(payload, stream, sequence + 1) == "done"
    assert frames(tmp_path) == [(1, journal.INTENT, 2), (2, journal.OUTCOME, 5)]
    assert {frame.intent for frame in journal.frames(tmp_path, SERVICE)} == {uuid.UUID(intent.id)}
    with pytest.raises(ValueError, match="the row of the outbox is not what was written into it"):
        recorder.append_outbox(payload[:-1], stream, 4)


def test_a_sealed_transaction_that_is_rolled_back_is_kept_as_aborted(recorder, tmp_path):
    held = recorder.transaction("default")
    held.hold(change("row", sensitive=True))
    intent, _ = held.seal()
    intent.rolled_back()
    (frame,) = journal.frames(tmp_path, SERVICE)
    assert frame.kind == journal.EVENT
    assert frame.items[0].body is not None
    assert frame.items[0].body["outcome"] == "aborted"
    assert frame.items[0].body["meta"]["intent"] == intent.id


def test_losses_from_elsewhere_reach_the_journal_before_the_next_event(recorder, tmp_path):
    recorder.count_losses(3)
    recorder.count_losses(2)
    assert recorder.health()["lost"] == 5
    recorder.transaction("default").rollback()
    assert frames(tmp_path) == []
    recorder.record(change("row"))
    loss, event = journal.frames(tmp_path, SERVICE)
    assert (loss.kind, loss.lost, event.kind) == (journal.LOSS, 5, journal.EVENT)


def test_a_process_that_captures_has_no_journal(tmp_path):
    recorder = open_recorder(tmp_path, capture=_native.Capture())
    held = recorder.transaction("default")
    held.hold(change("row"))
    held.require("marker")
    intent = held.prepare()
    assert intent is not None
    assert intent.position is None
    held.hold(change("row"))
    sealed = held.seal()
    assert sealed is not None
    assert sealed[1] == b""
    recorder.write_waiting()
    for call in (recorder.next_position, lambda: recorder.resolve(str(uuid.uuid4()), True)):
        with pytest.raises(IndelibleError, match="has no journal"):
            call()
    assert not (tmp_path / "journal").exists()
