"""The journal seen from Python: at once, held, refused, in threads and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import journal
from faults import HANG, Faults
from indelible import IndelibleError, Recorded, _native
from servers import DEADLINE_S, wait_until

REDACTOR = _native.Redactor()
CONTEXT = _native.Context(REDACTOR, actor={"type": "system", "id": "test"})
SERVICE = "recorder"


def open_recorder(data_dir: Path, **settings: Any) -> _native.Recorder:
    return _native.Recorder(REDACTOR, data_dir=data_dir, service=SERVICE, **settings)


@pytest.fixture
def recorder(tmp_path: Path) -> _native.Recorder:
    return open_recorder(tmp_path)


@pytest.fixture
def actions(tmp_path: Path) -> Callable[[], list[str]]:
    return lambda: [body["action"] for body in journal.events(tmp_path, SERVICE)]


def change(name: str, *, sensitive: bool = False, value: object = 1) -> _native.Event:
    model = _native.Model(REDACTOR, type="a.Row", noun=name, fields=["x"], masked=[False], sensitive=sensitive)
    return model.created(CONTEXT, 1, None, [value])


def in_child(work: Callable[[], object]) -> None:
    """Runs work in a forked child and fails where it failed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_a_write_that_does_not_come_back_holds_its_own_thread_and_no_other(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    faults = Faults(HANG, data_dir, tmp_path)
    command = [sys.executable, "-m", "testproject.hanging", str(data_dir), str(faults.lifted)]
    environment = {**os.environ, **faults.environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            faults.begin()
            process.stdin.write("record\n")
            process.stdin.flush()
            wait_until(lambda: faults.calls() > 0, "nothing was written")
            told, _ = process.communicate("lift\n", timeout=DEADLINE_S)
        finally:
            faults.lift()
            process.kill()
    assert told.split() == ["at", "at"]
    assert [body["action"] for body in journal.events(data_dir, "hanging")] == ["note.read"] * 2


def test_an_event_is_in_the_journal_when_record_returns(recorder, tmp_path):
    assert recorder.stream is None
    answer = recorder.record(recorder.event(CONTEXT, "auth", "auth.login"))
    assert answer == Recorded("at", recorder.stream, 1)
    assert answer.position == (recorder.stream, 1)
    (frame,) = journal.frames(tmp_path, SERVICE)
    assert (str(frame.stream), frame.sequence, frame.kind) == (answer.stream, 1, journal.EVENT)


def test_an_event_is_recorded_once(recorder):
    event = change("row")
    recorder.record(event)
    with pytest.raises(ValueError, match="was recorded before"):
        recorder.record(event)


def test_every_part_of_an_event_is_written(recorder, tmp_path):
    context = _native.Context(
        REDACTOR,
        actor={
            "type": "user",
            "id": 7,
            "label": "ana",
            "auth": "session",
            "session": "ab12",
            "roles": ["doctor"],
            "on_behalf_of": {"type": "user", "id": 8},
            "department": "x-ray",
            "password": "p",
        },
        request_id="r-1",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        span_id="00f067aa0ba902b7",
        reason="ticket 42",
        tenant="t1",
        meta={"a": 1, "b": {"secret": 1}},
        notes=["first"],
    )
    event = recorder.event(
        context,
        "request",
        "request.post",
        "failure",
        resource={"type": "a.Row", "id": 1, "related": [{"type": "a.Other", "id": "x"}]},
        changes=[{"field": "x", "old": 1, "new": 2}, {"field": "password", "old": 1, "new": 2}, {"field": "y", "new": 1}, {"field": "z"}],
        request={
            "id": "r-2",
            "method": "POST",
            "path": "/a",
            "query": "q=1&token=abc",
            "status": 500,
            "duration_us": 12,
            "headers": {"Authorization": "Bearer abcdefghijklmnop", "Accept": "*/*"},
        },
        error=("ValueError", "card 4111 1111 1111 1111"),
        meta={"a": 2, "c": 3},
        occurred_at_us=0,
        notes=["second"],
    )
    recorder.record(event)
    (body,) = journal.events(tmp_path, SERVICE)
    assert body["actor"] == {
        "type": "user",
        "id": "7",
        "label": "ana",
        "auth": "session",
        "session": "ab12",
        "on_behalf_of": {"type": "user", "id": "8"},
        "roles": ["doctor"],
        "department": "x-ray",
        "password": "[masked]",
    }
    assert body["resource"] == {"type": "a.Row", "id": "1", "related": [{"type": "a.Other", "id": "x"}]}
    assert body["changes"] == [
        {"field": "x", "old": 1, "new": 2},
        {"field": "password", "masked": True},
        {"field": "y", "old_unknown": True, "new": 1},
        {"field": "z", "old_unknown": True, "new_unknown": True},
    ]
    request = body["request"]
    assert (request["id"], request["status"], request["duration_us"], request["query"]) == ("r-2", 500, 12, "q=1&token=[masked]")
    assert "abcdefghijklmnop" not in request["headers"]["Authorization"]
    assert request["headers"]["Accept"] == "*/*"
    assert body["error"] == {"type": "ValueError", "message": "card [masked]"}
    assert body["occurred_at"] == "1970-01-01T00:00:00.000000Z"
    assert (body["reason"], body["tenant"], body["trace_id"]) == ("ticket 42", "t1", "4bf92f3577b34da6a3ce929d0e0e4736")
    assert body["meta"] == {"a": 2, "b": {"secret": "[masked]"}, "c": 3}
    assert body["notes"] == ["first", "second"]


def test_a_request_keeps_the_id_of_its_context(recorder, tmp_path):
    context = _native.Context(REDACTOR, actor={"type": "system"}, request_id="r-1")
    recorder.record(recorder.event(context, "request", "request.get", request={"method": "GET"}))
    assert journal.events(tmp_path, SERVICE)[0]["request"] == {"id": "r-1", "method": "GET"}


def test_text_that_is_not_unicode_is_recorded_all_the_same(recorder, tmp_path):
    odd = "a\ud800"
    context = _native.Context(
        REDACTOR, actor={"type": "user", "id": odd, "label": odd}, request_id=odd, reason=odd, tenant=odd, notes=[odd]
    )
    event = recorder.event(
        context, "request", odd, "failure", resource={"type": odd, "id": odd}, request={"path": odd}, error=(odd, odd), meta={odd: odd}
    )
    recorder.record(event)
    model = _native.Model(REDACTOR, type="a.Row", noun="row", fields=["x"], masked=[False], sensitive=False)
    recorder.record(model.updated(context, odd, odd, [0], [odd], [_native.Expression(odd)]))
    recorder.record(model.statement(context, "delete", count=None, ids=[odd], where=odd, fields=()))
    first, second, third = journal.events(tmp_path, SERVICE)
    assert first["reason"] == first["request"]["path"] == second["resource"]["id"] == third["changes"][0]["where"] == "a\ufffd"
    assert REDACTOR.text(odd) == "a\ufffd"
    assert not REDACTOR.masks_field(odd)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("other", "a.b"), {}, "no kind"),
        (("action", "a.b", "maybe"), {}, "no outcome"),
        (("action", "a.b"), {"resource": {"type": "a", "key": 1}}, "resource has no member 'key'"),
        (("action", "a.b"), {"resource": {"id": 1}}, "resource has no type"),
        (("action", "a.b"), {"request": {"verb": "GET"}}, "request has no member 'verb'"),
        (("action", "a.b"), {"changes": [{"old": 1}]}, "change has no field"),
    ],
)
def test_a_mistake_in_the_call_is_an_error(recorder, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        recorder.event(CONTEXT, *arguments, **options)


def test_held_events_are_journaled_as_one_intent_before_commit(recorder, tmp_path, actions):
    transaction = recorder.transaction("default")
    assert transaction.hold(change("one")) == Recorded("held")
    transaction.hold(change("two"))
    assert len(transaction) == 2
    assert journal.frames(tmp_path, SERVICE) == []
    intent = transaction.prepare()
    assert len(transaction) == 0
    (frame,) = journal.frames(tmp_path, SERVICE)
    assert (frame.kind, frame.alias, len(frame.items)) == (journal.INTENT, "default", 2)
    intent.committed()
    outcome = journal.frames(tmp_path, SERVICE)[1]
    assert (outcome.kind, outcome.intent, outcome.result, outcome.items) == (journal.OUTCOME, frame.intent, 1, [])
    assert actions() == ["one.create", "two.create"]


def test_nothing_held_is_no_intent(recorder, tmp_path):
    assert recorder.transaction("default").prepare() is None
    assert journal.frames(tmp_path, SERVICE) == []


def test_a_rolled_back_savepoint_takes_its_events_along(recorder, actions):
    transaction = recorder.transaction("default")
    transaction.hold(change("kept"))
    transaction.savepoint("s1")
    transaction.hold(change("gone"))
    transaction.rollback_to("s1")
    transaction.hold(change("again"))
    transaction.rollback_to("s1")
    transaction.savepoint("s2")
    transaction.hold(change("released"))
    transaction.release("s2")
    transaction.rollback_to("never made")
    transaction.prepare().committed()
    assert actions() == ["kept.create", "released.create"]


@pytest.mark.parametrize(("keep", "aborted"), [("none", []), ("sensitive", ["b.create"]), ("all", ["a.create", "b.create"])])
def test_a_rollback_keeps_what_the_policy_keeps(tmp_path, keep, aborted):
    recorder = open_recorder(tmp_path, keep_rolled_back=keep)
    transaction = recorder.transaction("default")
    transaction.hold(change("a"))
    transaction.hold(change("b", sensitive=True))
    transaction.rollback()
    bodies = journal.events(tmp_path, SERVICE)
    assert [body["action"] for body in bodies] == aborted
    assert all(body["outcome"] == "aborted" for body in bodies)


def test_an_intent_is_answered_once(recorder, tmp_path):
    intent = recorder.intent("default", [change("row")])
    intent.rolled_back()
    intent.committed()
    intent.unknown()
    assert [frame.result for frame in journal.frames(tmp_path, SERVICE) if frame.kind == journal.OUTCOME] == [2]


def test_an_intent_without_answer_writes_none(recorder, tmp_path):
    recorder.intent("default", [change("row")]).unknown()
    assert [frame.kind for frame in journal.frames(tmp_path, SERVICE)] == [journal.INTENT]


def test_an_outcome_replaces_bodies_and_keeps_ids(recorder, tmp_path):
    intent = recorder.intent("default", [change("first"), change("second")])
    intent.committed((change("final"), None))
    before, after = journal.frames(tmp_path, SERVICE)
    assert [item.event for item in before.items] == [item.event for item in after.items]
    assert after.items[0].body["action"] == "final.create"
    assert after.items[1].body is None


def test_an_outcome_with_keys_completes_what_the_intent_announced(recorder, tmp_path):
    model = _native.Model(
        REDACTOR, type="clinic.Patient", noun="patient", fields=["name", "id"], masked=[False, False], sensitive=False, key=1
    )
    intent = recorder.intent("default", [model.created(CONTEXT, None, None, ("Ana", None))])
    intent.committed_keyed((17,))
    before, after = (frame.items[0].body for frame in journal.frames(tmp_path, SERVICE))
    assert before["changes"] == [{"field": "name", "new": "Ana"}, {"field": "id", "new": None}]
    assert after == {
        **before,
        "resource": {"type": "clinic.Patient", "id": "17"},
        "changes": [{"field": "name", "new": "Ana"}, {"field": "id", "new": 17}],
    }


def test_a_missing_key_does_not_cost_the_outcome(recorder, tmp_path):
    intent = recorder.intent("default", [change("row")])
    with pytest.raises(ValueError, match="None is no key"):
        intent.committed_keyed((None,))
    outcome = journal.frames(tmp_path, SERVICE)[-1]
    assert (outcome.result, outcome.items) == (1, [])


def test_an_unusable_body_does_not_cost_the_outcome(recorder, tmp_path):
    used = change("used")
    recorder.record(used)
    intent = recorder.intent("default", [change("row")])
    with pytest.raises(ValueError, match="was recorded before"):
        intent.committed([used])
    assert journal.frames(tmp_path, SERVICE)[-1].result == 1


def test_closing_says_so_and_a_later_event_opens_another_stream(recorder, tmp_path):
    recorder.record(change("row"))
    first = recorder.stream
    recorder.close()
    assert journal.frames(tmp_path, SERVICE)[-1].kind == journal.CLOSE
    answer = recorder.record(change("row"))
    assert answer.status == "at"
    assert answer.stream != first


def test_threads_share_one_stream_without_holes(recorder, tmp_path):
    def work() -> None:
        for _ in range(200):
            assert recorder.record(change("row")).status == "at"

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = journal.frames(tmp_path, SERVICE)
    assert [frame.sequence for frame in frames] == list(range(1, 801))
    assert len({frame.items[0].event for frame in frames}) == 800


def test_a_forked_child_records_into_a_stream_of_its_own(recorder, tmp_path):
    parents = recorder.record(change("parent")).stream
    in_child(lambda: recorder.record(change("child")))
    assert recorder.record(change("parent")).sequence == 2
    owners = {str(frame.stream): frame.items[0].body["source"]["process"] for frame in journal.frames(tmp_path, SERVICE)}
    assert owners.pop(parents) == os.getpid()
    (child,) = owners.values()
    assert child != os.getpid()


def test_a_forked_child_drops_what_its_parent_holds(recorder, actions):
    transaction = recorder.transaction("default")
    transaction.hold(change("parent"))

    def child() -> None:
        transaction.hold(change("child"))
        transaction.prepare().committed()

    in_child(child)
    transaction.prepare().committed()
    assert sorted(actions()) == ["child.create", "parent.create"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_other_threads_record_does_not_hang_the_child(recorder, tmp_path):
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            recorder.record(change("busy"))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            in_child(lambda: recorder.record(change("child")))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    children = [body for body in journal.events(tmp_path, SERVICE) if body["action"] == "child.create"]
    assert len(children) == 5


def test_a_synced_intent_waits_for_the_disk_and_is_answered(tmp_path):
    recorder = open_recorder(tmp_path, durability="synced")
    transaction = recorder.transaction("default")
    transaction.hold(change("row"))
    transaction.prepare().committed()
    assert [frame.kind for frame in journal.frames(tmp_path, SERVICE)] == [journal.INTENT, journal.OUTCOME]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"durability": "eternal"}, ValueError, "'eternal'|\"eternal\""),
        ({"on_failure": "shrug"}, ValueError, "required, standard, best_effort"),
        ({"keep_rolled_back": "some"}, ValueError, "sensitive, all, none"),
        ({"limits": {"patience": 1}}, ValueError, "patience"),
    ],
)
def test_a_wrong_setting_names_its_choices(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        open_recorder(tmp_path, **settings)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IndelibleError, match="file/journal"):
        open_recorder(tmp_path / "file")


def test_a_service_name_that_is_no_folder_name_is_refused(tmp_path):
    with pytest.raises(IndelibleError, match="service name"):
        _native.Recorder(REDACTOR, data_dir=tmp_path, service="../evil")


def fill(recorder: _native.Recorder) -> Recorded:
    """Records until the journal is full and gives the first answer that is not ``at``."""
    for _ in range(1000):
        answer = recorder.record(recorder.event(CONTEXT, "action", "fill.up", meta={"x": "y" * 10_000}))
        if answer.status != "at":
            return answer
    raise AssertionError("the journal never became full")


def test_a_full_journal_loses_and_counts(tmp_path):
    recorder = open_recorder(tmp_path, on_failure="best_effort", limits={"journal_bytes": 100_000})
    assert fill(recorder) == Recorded("lost")
    health = recorder.health()
    assert health["lost"] == 1
    assert health["degraded"]
    assert "limit is 100000" in health["last_error"]


def test_a_full_journal_refuses_where_recording_is_required(tmp_path):
    recorder = open_recorder(tmp_path, on_failure="required", limits={"journal_bytes": 100_000})
    with pytest.raises(_native.Refused, match="refused"):
        fill(recorder)
    assert issubclass(_native.Refused, IndelibleError)
    too_large = "x" * 20_000
    transaction = recorder.transaction("default")
    transaction.hold(change("row", value=too_large))
    with pytest.raises(_native.Refused, match="limit is 100000"):
        transaction.prepare()
    assert len(transaction) == 0


def test_a_detector_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="card"):
        _native.Redactor(detectors=["cards"])


def test_detectors_can_be_switched_off():
    assert _native.Redactor(detectors=[]).text("4111 1111 1111 1111") == "4111 1111 1111 1111"
