"""Intents whose process died: their markers say what the database did, whoever asks, however often, and whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction

import journal
from indelible import _runtime
from indelible.django import _evidence
from indelible.django._transactions import tracker_of
from indelible.django.evidence import _journals, _marks, _resolver, _resolving
from indelible.django.evidence._fences import Markers
from indelible.django.evidence._reconciler import BATCHES_MAX
from indelible.django.evidence._resolver import Lock, Resolver, Round
from indelible.django.management import _resolve as commands
from proofs import answer, committed, markers, unresolved
from servers import environment
from test_native_recorder import change
from testproject.models import Doctor
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
HERE = Path(__file__).parent
DEAD = "0199aaaa-0000-7000-8000-00000000000a"
"""A stream whose process is gone."""
HOUR_S = 3600.0


class Site:
    """A site that asks for markers, and the folder that its agent answers in."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.now = time.time()
        self.ticks = 0.0
        recorder = _runtime.recorder()
        assert recorder is not None
        self.recorder = recorder
        self.folder = _journals.folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sequence = 0

    def intent(self, *, age_s: float = 100.0) -> uuid.UUID:
        """An identifier made some time ago."""
        return uuid.UUID(int=int((self.now - age_s) * 1000) << 80 | uuid.uuid4().int >> 48)

    def mark(self, intent: uuid.UUID, sequence: int, stream: str = DEAD, *, age: str | None = None) -> None:
        """What the transaction of an intent left behind, some time ago by the database's clock (an SQL interval)."""
        connection.ensure_connection()
        _marks.mark(connection, intent, uuid.UUID(stream), sequence, guarded=False)
        if age is not None:
            ago = f"datetime('now', '-{age}')" if connection.vendor == "sqlite" else f"now() - interval '{age}'"
            with connection.cursor() as cursor:
                key = intent.hex if connection.vendor == "sqlite" else str(intent)
                cursor.execute(f"UPDATE indelible_marker SET created_at = {ago} WHERE id = %s", [key])

    def resolver(self) -> Resolver:
        return Resolver(self.folder, clock=lambda: self.now, ticks=lambda: self.ticks)

    def outcomes(self) -> dict[uuid.UUID, list[int | None]]:
        """What was answered about each intent, in the order of the journal."""
        told: dict[uuid.UUID, list[int | None]] = {}
        for frame in self.trail.frames():
            if frame.kind == journal.OUTCOME and frame.intent is not None:
                told.setdefault(frame.intent, []).append(frame.result)
        return told

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The audit events in the journal, with what they say."""
        bodies = [item.body for frame in self.trail.frames() if frame.kind == journal.EVENT for item in frame.items]
        return [(body["action"], body["meta"]) for body in bodies if body is not None and body["kind"] == "audit"]


@pytest.fixture
def site(trail: Trail, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker"}
    # Other tests' commits without an answer are not asked about here.
    monkeypatch.setattr(_resolving, "_owed", deque())
    yield Site(trail)
    # The resolver closes its connection, which the fixture of the database expects to be open.
    connection.ensure_connection()


def test_what_has_a_marker_was_committed_and_what_has_none_never_will_be(site: Site) -> None:
    there, not_there = site.intent(), site.intent()
    site.mark(there, 1)
    answer(site.folder, {DEAD: (2, True)}, [unresolved(str(there), (DEAD, 1)), unresolved(str(not_there), (DEAD, 2))])
    done = site.resolver().round(site.recorder)
    assert (done.committed, done.rolled_back, done.in_doubt) == (1, 1, {})
    assert site.outcomes() == {there: [3], not_there: [4]}
    assert markers() == {there: _evidence.ANSWERED, not_there: _evidence.FENCED}


def test_an_answer_is_given_once_by_one_resolver_and_alike_by_every_other(site: Site) -> None:
    there, not_there = site.intent(), site.intent()
    site.mark(there, 1)
    answer(site.folder, {DEAD: (2, True)}, [unresolved(str(there), (DEAD, 1)), unresolved(str(not_there), (DEAD, 2))])
    first = site.resolver()
    assert first.round(site.recorder).did_something
    assert not first.round(site.recorder).did_something
    site.resolver().round(site.recorder)
    assert site.outcomes() == {there: [3, 3], not_there: [4, 4]}


def test_what_may_be_alive_is_old_of_other_evidence_or_of_an_unknown_database_is_left_alone(site: Site) -> None:
    alive = "0199aaaa-0000-7000-8000-00000000000b"
    living, old, ack, elsewhere, unknown = (site.intent(), site.intent(age_s=23.5 * HOUR_S), *(site.intent() for _ in range(3)))
    names = [
        unresolved(str(living), (alive, 1)),
        unresolved(str(old), (DEAD, 1)),
        unresolved(str(ack), (DEAD, 2), evidence="ack"),
        unresolved(str(elsewhere), (DEAD, 3), alias="nowhere"),
        unresolved(str(unknown), ("0199aaaa-0000-7000-8000-00000000000c", 1)),
    ]
    answer(site.folder, {DEAD: (9, True), alive: (9, False)}, names)
    done = site.resolver().round(site.recorder)
    assert set(done.in_doubt) == {living, old, elsewhere, unknown}
    assert "nowhere" in done.in_doubt[elsewhere]
    assert site.outcomes() == markers() == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"v": 2, "streams": {}, "unresolved": []}',
        '{"v": 1}',
        '{"v": 1, "written_at": "x", "streams": {}, "unresolved": []}',
    ],
)
def test_answers_that_cannot_be_read_say_nothing(site: Site, text: str) -> None:
    (site.folder / "answers.json").write_text(text)
    assert site.resolver().round(site.recorder) == Round(knows=False)


def test_a_stream_ends_only_by_a_true_boolean(site: Site) -> None:
    intent = site.intent()
    answer(site.folder, {DEAD: (1, "false")}, [unresolved(str(intent), (DEAD, 1))])  # type: ignore[dict-item]
    assert not site.resolver().round(site.recorder).knows


@pytest.mark.parametrize("sequence", [-1, 2**63])
def test_a_sequence_that_no_database_takes_is_no_answer(site: Site, sequence: int) -> None:
    intent = site.intent()
    answer(site.folder, {DEAD: (1, True)}, [unresolved(str(intent), (DEAD, sequence))])
    assert not site.resolver().round(site.recorder).knows


def test_answers_are_read_again_when_they_change_and_can_disappear(site: Site) -> None:
    resolver = site.resolver()
    assert not resolver.round(site.recorder).knows
    intent = site.intent()
    answer(site.folder, {DEAD: (1, True)}, [unresolved(str(intent), (DEAD, 1))])
    assert resolver.round(site.recorder).rolled_back == 1
    (site.folder / "answers.json").unlink()
    assert not resolver.round(site.recorder).knows


@contextmanager
def in_flight(site: Site, intent: uuid.UUID) -> Iterator[Any]:
    """A raw connection whose transaction has written a marker and is open."""
    import psycopg

    settings = connections.settings["default"]
    with psycopg.connect(host=settings["HOST"], port=settings["PORT"], user=settings["USER"], dbname=settings["NAME"]) as raw:
        raw.execute("INSERT INTO testproject_doctor (name) VALUES ('Gray')")
        columns = "id, state, stream, sequence, created_at"
        raw.execute(f"INSERT INTO indelible_marker ({columns}) VALUES (%s, 1, %s, 1, now())", (intent, DEAD))
        yield raw
        raw.rollback()


@only_postgresql
@pytest.mark.parametrize("commits", [True, False])
def test_a_transaction_in_flight_is_waited_for_a_moment_and_then_left_in_doubt(site: Site, commits: bool) -> None:
    intent = site.intent()
    answer(site.folder, {DEAD: (1, True)}, [unresolved(str(intent), (DEAD, 1))])
    resolver = site.resolver()
    with in_flight(site, intent) as raw:
        began = time.monotonic()
        done = resolver.round(site.recorder)
        assert time.monotonic() - began < 5
        assert list(done.in_doubt) == [intent]
        assert site.outcomes() == {}
        raw.commit() if commits else raw.rollback()
    resolver.round(site.recorder)
    assert site.outcomes() == {intent: [3 if commits else 4]}
    assert Doctor.objects.exists() is commits


@only_postgresql
@pytest.mark.parametrize("commits", [True, False])
def test_a_prepared_transaction_stays_in_doubt_until_somebody_ends_it(site: Site, commits: bool) -> None:
    intent = site.intent()
    answer(site.folder, {DEAD: (1, True)}, [unresolved(str(intent), (DEAD, 1))])
    resolver = site.resolver()
    with in_flight(site, intent) as raw:
        raw.execute("PREPARE TRANSACTION 'two_phases'")
    assert list(resolver.round(site.recorder).in_doubt) == [intent]
    connection.ensure_connection()
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute("COMMIT PREPARED 'two_phases'" if commits else "ROLLBACK PREPARED 'two_phases'")
    resolver.round(site.recorder)
    assert site.outcomes() == {intent: [3 if commits else 4]}


@only_postgresql
@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_of_a_living_process_that_nobody_answered_is_asked_about_by_itself(
    site: Site, monkeypatch: pytest.MonkeyPatch, commits: bool
) -> None:
    """The connection died with COMMIT sent: the stream has not ended, so the agent names the intent to nobody."""
    connection.ensure_connection()
    driver: Any = connection.connection
    tracker = tracker_of(connections["default"])

    def cut() -> None:
        if commits:
            driver.commit()
        driver.close()
        raise OperationalError("the connection is gone")

    @transaction.atomic
    def write() -> None:
        Doctor.objects.create(name="Gray")
        monkeypatch.setitem(tracker._django, "_commit", cut)

    before = tracker._django["_commit"]
    with pytest.raises(OperationalError):
        write()
    monkeypatch.setitem(tracker._django, "_commit", before)
    (owed,) = _resolving._owed
    assert site.outcomes() == {}
    done = site.resolver().resolve_own(_resolving._owed, site.recorder)
    assert (done.committed, done.rolled_back) == ((1, 0) if commits else (0, 1))
    assert not _resolving._owed
    assert site.outcomes() == {owed.intent: [3 if commits else 4]}
    assert Doctor.objects.exists() is commits


def test_the_outcome_that_a_process_could_not_journal_is_journaled_in_the_next_round(site: Site) -> None:
    intent = site.recorder.intent("default", [change("row")], "marker")
    with journal.taking_nothing(site.trail.data_dir, site.folder.name):
        intent.committed()
        _resolving._answer_own(site.resolver(), site.recorder)
    assert site.outcomes() == {}
    _resolving._answer_own(site.resolver(), site.recorder)
    assert site.outcomes() == {uuid.UUID(intent.id): [1]}


def test_two_resolvers_at_once_find_the_same(site: Site) -> None:
    there, not_there = [site.intent() for _ in range(20)], [site.intent() for _ in range(20)]
    for number, intent in enumerate(there):
        site.mark(intent, number + 1)
    names = [unresolved(str(intent), (DEAD, number + 1)) for number, intent in enumerate(there + not_there)]
    answer(site.folder, {DEAD: (100, True)}, names)
    ready = threading.Barrier(2, timeout=30)
    rounds: list[Round] = []

    def work() -> None:
        try:
            resolver = site.resolver()
            ready.wait()
            deadline = time.monotonic() + 60
            while (done := resolver.round(site.recorder)).in_doubt:
                # The other one was faster with SQLite's lock.
                assert time.monotonic() < deadline, done.in_doubt
            rounds.append(done)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rounds) == 2
    told = site.outcomes()
    assert {intent: set(results) for intent, results in told.items()} == {
        intent: {3 if intent in there else 4} for intent in there + not_there
    }


@pytest.mark.parametrize("moment", ["after_fence", "after_outcome"])
@pytest.mark.parametrize("was_committed", [True, False])
def test_a_resolver_that_dies_leaves_what_the_next_one_finishes_alike(site: Site, moment: str, was_committed: bool) -> None:
    intent = site.intent()
    if was_committed:
        site.mark(intent, 1)
    answer(site.folder, {DEAD: (1, True)}, [unresolved(str(intent), (DEAD, 1))])
    command = [sys.executable, "-m", "testproject.resolving", moment]
    env = environment(site.trail.data_dir, INDELIBLE_EVIDENCE="marker")
    killed = subprocess.run(command, env=env, cwd=HERE, check=False, timeout=60, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    result = 3 if was_committed else 4
    assert site.outcomes() == ({} if moment == "after_fence" else {intent: [result]})
    site.resolver().round(site.recorder)
    assert set(site.outcomes()[intent]) == {result}


@pytest.mark.parametrize(("moment", "in_database"), [("before", False), ("after", True)])
def test_a_worker_killed_around_commit_gets_the_right_answer(site: Site, moment: str, in_database: bool) -> None:
    command = [sys.executable, "-m", "testproject.killed", moment, "Gray"]
    env = environment(site.trail.data_dir, INDELIBLE_EVIDENCE="marker")
    assert subprocess.run(command, env=env, cwd=HERE, check=False, timeout=60).returncode == -signal.SIGKILL
    (intent,) = [frame for frame in site.trail.frames() if frame.kind == journal.INTENT]
    assert intent.intent is not None
    position = (str(intent.stream), intent.sequence)
    answer(site.folder, {position[0]: (intent.sequence, True)}, [unresolved(str(intent.intent), position)])
    site.resolver().round(site.recorder)
    assert site.outcomes() == {intent.intent: [3 if in_database else 4]}
    assert Doctor.objects.filter(name="Gray").exists() is in_database


def test_markers_are_deleted_after_a_day_and_only_when_the_agent_has_their_intents(site: Site) -> None:
    old = {number: site.intent(age_s=25 * HOUR_S) for number in (1, 2, 3, 4)}
    young, slow, foreign, unknown = (site.intent(age_s=hours * HOUR_S) for hours in (23, 25, 25, 26))
    for number, intent in old.items():
        site.mark(intent, number, age="25 hours")
    site.mark(young, 1, age="25 hours")
    site.mark(slow, 1)
    site.mark(foreign, 1, age="25 hours")
    site.mark(unknown, 1, "0199aaaa-0000-7000-8000-00000000000c", age="25 hours")
    with connection.cursor() as cursor:
        key = foreign.hex if connection.vendor == "sqlite" else str(foreign)
        cursor.execute("UPDATE indelible_marker SET journal = %s WHERE id = %s", [uuid.uuid4().hex, key])
    # The second waits for an answer, the fourth is not in the trail.
    names = [unresolved(str(old[2]), (DEAD, 2))]
    answer(site.folder, {DEAD: (3, False)}, names, more=True)
    assert site.resolver().round(site.recorder, reconcile=True).deleted == 0
    answer(site.folder, {DEAD: (3, False)}, names)
    assert site.resolver().round(site.recorder, reconcile=True).deleted == 3
    assert set(markers()) == {old[2], old[4], young, slow, foreign}


def test_cleaning_up_passes_over_what_must_stay_and_comes_back_to_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from indelible.django.evidence import _fences, _reconciler

    for module in (_fences, _reconciler):
        monkeypatch.setattr(module, "BATCH", 2)
    intents = sorted(site.intent(age_s=26 * HOUR_S) for _ in range(2 * BATCHES_MAX + 6))
    for number, intent in enumerate(intents):
        site.mark(intent, number + 1, age="25 hours")
    answer(site.folder, {DEAD: (0, False)})
    resolver = site.resolver()
    assert resolver.round(site.recorder, reconcile=True).deleted == 0
    answer(site.folder, {DEAD: (len(intents), False)})
    assert resolver.round(site.recorder, reconcile=True).deleted == 6
    assert resolver.round(site.recorder, reconcile=True).deleted == 2 * BATCHES_MAX
    assert markers() == {}


def test_a_marker_whose_record_never_came_is_told_once(site: Site) -> None:
    arrived, lost, recent = site.intent(), site.intent(), site.intent(age_s=10)
    for sequence, intent in enumerate((arrived, lost, recent)):
        site.mark(intent, sequence + 1)
    answer(site.folder, {DEAD: (1, False)})
    resolver = site.resolver()
    assert resolver.round(site.recorder, reconcile=True).told == 0, "its process may be alive, and slow"
    answer(site.folder, {DEAD: (1, True)})
    assert resolver.round(site.recorder, reconcile=True).told == 1
    about = {"intent": str(lost), "stream": DEAD, "sequence": 2, "alias": "default"}
    assert site.told() == [("audit.gap", {"cause": "marker_without_record", **about})]
    assert markers() == {arrived: 1, lost: _evidence.REPORTED, recent: 1}
    site.now += 120
    for again in (resolver, site.resolver()):
        again.round(site.recorder, reconcile=True)
    assert [meta["intent"] for _, meta in site.told()] == [str(lost), str(recent)]


def test_a_marker_in_a_gap_of_its_stream_is_told_and_stays(site: Site) -> None:
    old = [site.intent(age_s=24.5 * HOUR_S) for _ in range(4)]
    for number, intent in enumerate(old):
        site.mark(intent, number + 1, age="25 hours")
    answer(site.folder, {DEAD: (4, True, [[2, 3]])})
    done = site.resolver().round(site.recorder, reconcile=True)
    assert (done.told, done.deleted) == (2, 2)
    assert markers() == dict.fromkeys(old[1:3], _evidence.REPORTED)


def test_a_stream_that_never_came_is_told_when_the_agent_has_looked_again(site: Site) -> None:
    lost = site.intent()
    site.mark(lost, 2)
    answer(site.folder, {}, written_at="2020-01-01T00:00:00Z")
    resolver = site.resolver()
    folder = site.folder / DEAD
    folder.mkdir()
    assert resolver.round(site.recorder, reconcile=True).told == 0, "the agent has not come to it"
    folder.rmdir()
    assert resolver.round(site.recorder, reconcile=True).told == 0, "the agent may just have taken it in"
    answer(site.folder, {}, more=True, written_at="2099-01-01T00:00:00Z")
    assert resolver.round(site.recorder, reconcile=True).told == 0, "it does not name all streams"
    answer(site.folder, {}, written_at="2020-01-01T00:00:01Z")
    resolver.round(site.recorder, reconcile=True)
    answer(site.folder, {}, written_at="2099-01-01T00:00:00Z")
    assert resolver.round(site.recorder, reconcile=True).told == 1
    assert markers() == {lost: _evidence.REPORTED}


def test_whoever_dies_after_telling_tells_it_no_second_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = site.intent()
    site.mark(lost, 2)
    answer(site.folder, {DEAD: (1, True)})
    with monkeypatch.context() as patch:
        patch.setattr(Markers, "reported", lambda self, intents: None)
        assert site.resolver().round(site.recorder, reconcile=True).told == 1
    assert markers() == {lost: _evidence.COMMITTED}
    assert site.resolver().round(site.recorder, reconcile=True).told == 0
    assert markers() == {lost: _evidence.REPORTED}
    assert len(site.told()) == 1


def test_a_record_whose_marker_is_gone_is_told_once(site: Site) -> None:
    there, gone, old, recent, elsewhere = (
        site.intent(),
        site.intent(),
        site.intent(age_s=24 * HOUR_S),
        site.intent(age_s=5),
        site.intent(),
    )
    site.mark(there, 1)
    names = [{"intent": str(one), "alias": "default", "stream": DEAD, "sequence": 1, "at": "x"} for one in (there, gone, old, recent)]
    answer(site.folder, {DEAD: (9, True)})
    committed(site.folder, [*names, {"intent": str(elsewhere), "alias": "nowhere", "stream": DEAD, "sequence": 1, "at": "x"}])
    resolver = site.resolver()
    assert resolver.round(site.recorder, reconcile=True).told == 1
    for again in (resolver, site.resolver()):
        assert again.round(site.recorder, reconcile=True).told == 0
    assert site.told() == [("audit.resolve", {"result": "lost_by_database", "intent": str(gone), "alias": "default"})]


def test_it_cleans_up_and_compares_once_a_minute(site: Site) -> None:
    resolver = site.resolver()
    answer(site.folder, {DEAD: (9, True)})
    resolver.round(site.recorder)
    site.mark(site.intent(), 10)
    site.ticks += 59
    assert resolver.round(site.recorder).told == 0
    site.ticks += 2
    assert resolver.round(site.recorder).told == 1


def test_one_process_of_a_service_works_at_a_time_and_a_forked_child_is_another(site: Site) -> None:
    first, second = Lock(site.folder), Lock(site.folder)
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    child = os.fork()
    if child == 0:
        os._exit(1 if first.hold() else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    first.release()
    assert second.hold()
    second.release()


def test_the_command_resolves_and_says_what_it_did(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("indelible", "resolve")
    assert "answers.json" in capsys.readouterr().out
    there, nowhere = site.intent(), site.intent()
    site.mark(there, 1)
    names = [unresolved(str(there), (DEAD, 1)), unresolved(str(nowhere), (DEAD, 2), alias="nowhere")]
    answer(site.folder, {DEAD: (2, True)}, names)
    call_command("indelible", "resolve")
    out = capsys.readouterr().out
    assert "1 committed, 0 rolled back, 1 still in doubt" in out
    assert "no database 'nowhere'" in out
    other = Lock(site.folder)
    assert other.hold()
    with pytest.raises(CommandError, match="another process"):
        call_command("indelible", "resolve")
    other.release()


def test_a_command_that_follows_names_a_problem_once(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(site.folder, {DEAD: (1, True)}, [unresolved(str(site.intent()), (DEAD, 1))])
    rounds = iter((False, False, True))
    monkeypatch.setattr(_resolver, "_connected", lambda markers: "no route to it")
    monkeypatch.setattr(commands, "stopping_event", lambda: SimpleNamespace(wait=lambda _: next(rounds)))
    call_command("indelible", "resolve", "--follow")
    assert next(rounds, None) is None
    assert capsys.readouterr().out.count("default: no route to it") == 1


def test_the_command_refuses_where_nothing_asks_for_markers(trail: Trail) -> None:
    with pytest.raises(CommandError, match="nothing here asks for markers"):
        call_command("indelible", "resolve")


@only_postgresql
def test_a_server_that_is_gone_without_a_word_is_not_waited_for(site: Site) -> None:
    """Only on the connection of our own table: what the site has set itself counts, and its other connections are as they were."""
    settings = connections.settings["default"]
    table = Markers("default")
    connections["default"].close()
    table.connect()
    options = connections["default"].settings_dict["OPTIONS"]
    assert options["connect_timeout"] == 5
    assert connections["default"].connection.info.get_parameters()["tcp_user_timeout"] == "10000"
    assert "connect_timeout" not in settings["OPTIONS"]
    table.close()


def test_a_database_that_cannot_be_asked_is_named_and_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    intent = site.intent()
    answer(site.folder, {DEAD: (1, True)}, [unresolved(str(intent), (DEAD, 1))])
    resolver = site.resolver()
    with monkeypatch.context() as patch:
        patch.setattr(_resolver, "_connected", lambda markers: "no route to it")
        assert resolver.round(site.recorder).in_doubt == {intent: "no route to it"}
    assert resolver.round(site.recorder).rolled_back == 1
