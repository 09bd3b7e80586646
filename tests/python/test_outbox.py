"""The outbox: events are committed with their transaction and leave the database for the trail once each, whoever dies on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections, transaction

import indelible
import journal
from indelible._errors import IndelibleError
from indelible.django.evidence import _journals, _marks, _outbox
from indelible.django.evidence._answers import NAMED_S, made_at
from indelible.django.evidence._destination import OwnJournal, recorder_of_drainer
from indelible.django.evidence._outbox import Drained, Drainer
from indelible.django.evidence._resolver import Lock
from indelible.django.management import _outbox as commands
from proofs import answer, kinds, sent
from servers import environment
from testproject.models import Doctor, Row, Secret
from trails import Trail, fields

pytestmark = pytest.mark.usefixtures("database")
HERE = Path(__file__).parent


class Site:
    """A site with an outbox, and whatever drains it."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.folder = _journals.folder()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.open: list[Any] = []

    def drainer(self) -> Drainer:
        recorder = recorder_of_drainer()
        assert recorder is not None
        self.open.append(recorder)
        return Drainer(OwnJournal(self.folder, recorder))

    def close(self) -> None:
        """Ends the drainers of this process in order."""
        while self.open:
            self.open.pop().close()

    def agent_has(self, *, short_of: int = 0, living: Drainer | None = None) -> None:
        """Says what an agent would that has read all journals: their processes are gone, but for the stream that a drainer has open.
        ``short_of`` frames of the last are not there yet.
        """
        alive = None if living is None else str(living._stream)
        last: dict[str, int] = {}
        for frame in self.trail.frames():
            last[str(frame.stream)] = frame.sequence
        for folder in self.folder.iterdir():
            if folder.is_dir():
                last.setdefault(folder.name, 0)
        answer(self.folder, {stream: (max(0, sequence - short_of), stream != alive) for stream, sequence in last.items()})


@pytest.fixture
def site(trail: Trail, settings: Any) -> Iterator[Site]:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "outbox"}
    for alias in ("default", "other"):
        connections[alias].ensure_connection()
        assert _marks.is_ready(connections[alias], "outbox")
    site = Site(trail)
    yield site
    site.close()
    connection.ensure_connection()


def rows(alias: str = "default") -> list[tuple[Any, ...]]:
    connections[alias].ensure_connection()
    driver: Any = connections[alias].connection
    with closing(driver.cursor()) as cursor:
        cursor.execute("SELECT id, stream, sequence FROM indelible_outbox ORDER BY id")
        return [tuple(row) for row in cursor.fetchall()]


def numbers(trail: Trail) -> list[tuple[int, str]]:
    """The numbers of created rows with the verdict of each record, sorted: rows of one millisecond are drained in any order."""
    return sorted(
        (fields(record["event"])["number"][1], record["verdict"]) for record in trail.records() if record["event"]["action"] == "row.create"
    )


def add(*given: int) -> None:
    for number in given:
        Row.objects.create(number=number)


def test_events_are_committed_with_their_transaction_and_nothing_is_journaled(site: Site) -> None:
    with sent() as statements, transaction.atomic():
        add(1, 2)
        with suppress(RuntimeError), transaction.atomic():
            add(3)
            raise RuntimeError
    assert kinds(statements)[-2:] == ["INSERT indelible_outbox", "COMMIT"]
    assert kinds(statements).count("INSERT indelible_outbox") == 1
    with suppress(RuntimeError), transaction.atomic():
        add(4)
        raise RuntimeError
    add(5)
    assert len(rows()) == 2
    assert site.trail.frames() == []


def test_what_is_drained_is_in_the_trail_once(site: Site) -> None:
    with transaction.atomic():
        add(1, 2)
    add(3)
    Row.objects.using("other").create(number=4)
    drainer = site.drainer()
    assert drainer.round() == Drained(journaled=3)
    assert drainer.round() == Drained()
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3, 4)]


def test_a_row_is_deleted_when_the_agent_has_both_of_its_frames(site: Site) -> None:
    add(1, 2)
    drainer = site.drainer()
    drainer.round()
    site.agent_has(short_of=1)
    assert drainer.round().deleted == 1
    assert len(rows()) == 1
    site.agent_has()
    assert drainer.round().deleted == 1
    assert rows() == []
    assert drainer.round() == Drained()


@pytest.mark.parametrize(("moment", "is_torn"), [("assigned", False), ("halfway", False), ("halfway", True), ("journaled", True)])
def test_a_drainer_that_dies_leaves_what_the_next_one_finishes(site: Site, moment: str, is_torn: bool) -> None:
    with transaction.atomic():
        add(1)
    add(2, 3)
    kill_a_drainer(site, moment)
    # The agent has read the dead one's stream to its end; or the last frame was torn and will never come.
    if is_torn:
        cut_off_the_last_frame(site)
    site.agent_has()
    drainer = site.drainer()
    done = drainer.round()
    assert done.problems == {}
    assert done.journaled + done.deleted == 3
    site.close()
    site.agent_has()
    assert site.drainer().round().journaled == 0
    assert rows() == []
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3)]


def test_a_row_whose_intent_the_agent_has_is_not_journaled_again(site: Site) -> None:
    """Its OUTCOME alone was assigned to another stream. That ended without it, nothing told any more that its INTENT was there, and it was journaled whole."""
    add(1)
    kill_a_drainer(site, "journaled")
    cut_off_the_last_frame(site)
    site.agent_has()
    assert site.drainer().round() == Drained(deleted=1)
    assert rows() == []
    site.close()
    assert numbers(site.trail) == [(1, "committed_by_outbox")]


def cut_off_the_last_frame(site: Site) -> None:
    last = site.trail.frames()[-1]
    (segment,) = (site.folder / str(last.stream)).glob("*.journal")
    segment.write_bytes(segment.read_bytes()[:-1])


def kill_a_drainer(site: Site, moment: str) -> None:
    command = [sys.executable, "-m", "testproject.draining", moment]
    env = environment(site.trail.data_dir, INDELIBLE_EVIDENCE="outbox")
    killed = subprocess.run(command, env=env, cwd=HERE, check=False, timeout=60, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def test_a_drainer_that_dies_while_it_deletes_loses_nothing_and_tells_nothing_twice(site: Site) -> None:
    add(1, 2, 3)
    kill_a_drainer(site, "journaled")
    site.agent_has()
    kill_a_drainer(site, "deleting")
    assert len(rows()) == 2
    assert site.drainer().round() == Drained(deleted=2)
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3)]


def test_what_a_living_drainer_has_assigned_is_left_to_it(site: Site) -> None:
    add(1)
    first = site.drainer()
    first.round()
    stream = str(site.trail.frames()[0].stream)
    answer(site.folder, {stream: (0, False)})
    assert site.drainer().round() == Drained()
    answer(site.folder, {})
    assert site.drainer().round() == Drained(), "its folder is there: the agent has not come to it"


def test_what_nobody_knows_any_more_is_neither_deleted_nor_journaled_again(site: Site) -> None:
    add(1)
    kill_a_drainer(site, "journaled")
    (stream,) = [folder for folder in site.folder.iterdir() if folder.is_dir()]
    stream.rename(site.folder.parent / "elsewhere")
    born = made_at(uuid.UUID(stream.name))
    told = []
    for age in (-5.0, 59.0, 61.0, NAMED_S - 60, NAMED_S + 60):
        answer(site.folder, {}, written_at=datetime.fromtimestamp(born + age, timezone.utc).isoformat())
        done = site.drainer().round()
        assert (done.journaled, done.deleted) == (0, 0)
        told.append(done.problems.get("default", "").partition(":")[0])
    unknown = "1 rows of indelible_outbox are assigned to streams that the agent has never had"
    forgotten = "1 rows of indelible_outbox were journaled more than two days ago, and nobody knows whether they arrived"
    assert told == ["", "", unknown, unknown, forgotten], "what is older than the stream says nothing of it"
    assert len(rows()) == 1


def later() -> str:
    """When the agent does not name any more what was assigned now."""
    return datetime.fromtimestamp(time.time() + NAMED_S + 60, timezone.utc).isoformat()


def test_a_round_asks_about_so_many_streams_and_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outbox, "STREAMS_ASKED", 2)
    add(1, 2, 3)
    kill_a_drainer(site, "journaled")
    streams = [uuid.uuid4() for _ in range(3)]
    for (intent, *_), stream in zip(rows(), streams, strict=True):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE indelible_outbox SET stream = %s WHERE id = %s", [str(stream), intent])
    answer(site.folder, {}, written_at=later())
    drainer = site.drainer()
    asked: list[uuid.UUID] = []
    monkeypatch.setattr(_outbox, "made_at", lambda stream: 0.0)
    monkeypatch.setattr(drainer.destination, "has_folder", asked.append)
    assert drainer.round().problems["default"].startswith("2 rows")
    assert len(asked) == 2


def test_a_round_has_a_bound_and_the_next_one_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round took all rows that there were, held them all until its end, and looked only then what the agent had of them."""
    monkeypatch.setattr(_outbox, "ROUND_ROWS", 3)
    add(*range(7))
    Row.objects.using("other").create(number=7)
    drainer = site.drainer()
    rounds = [drainer.round() for _ in range(3)]
    assert [(done.journaled, done.more) for done in rounds] == [(4, True), (3, True), (1, False)], "each database has its own"
    assert [done.problems for done in rounds] == [{}] * 3
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in range(8)]


def test_what_a_dead_drainer_left_is_taken_over_in_rounds_that_have_a_bound(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outbox, "ROUND_ROWS", 2)
    add(1, 2, 3, 4, 5)
    kill_a_drainer(site, "assigned")
    site.agent_has()
    drainer = site.drainer()
    rounds = [drainer.round() for _ in range(3)]
    assert [(done.journaled, done.more) for done in rounds] == [(2, True), (2, True), (1, False)]
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3, 4, 5)]


def test_rows_stay_in_the_database_while_the_agent_has_as_many_as_it_can_be_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drainer whose agent did not work remembered every row that it had journaled, without end."""
    monkeypatch.setattr(_outbox, "WAITING_MAX", 2)
    add(1, 2, 3)
    drainer = site.drainer()
    done = drainer.round()
    assert (done.journaled, done.stuck) == (2, True)
    assert done.problems["default"].startswith("2 rows are journaled and not under a checkpoint")
    assert drainer.round().journaled == 0
    site.agent_has(living=drainer)
    assert drainer.round() == Drained(journaled=1, deleted=2)
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3)]


def test_the_command_goes_on_until_nothing_waits(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_outbox, "ROUND_ROWS", 2)
    add(1, 2, 3)
    call_command("indelible", "outbox", "drain")
    assert capsys.readouterr().out.splitlines() == ["2 journaled, 0 deleted", "1 journaled, 0 deleted"]
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3)]


def test_the_command_drains_all_that_can_be_though_a_row_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended after its first round, with all rows behind it still in the database."""
    monkeypatch.setattr(_outbox, "ROUND_ROWS", 2)
    add(1)
    kill_a_drainer(site, "journaled")
    (stream,) = [folder for folder in site.folder.iterdir() if folder.is_dir()]
    stream.rename(site.folder.parent / "elsewhere")
    answer(site.folder, {}, written_at=later())
    add(2, 3, 4, 5, 6)
    with pytest.raises(CommandError, match="not everything was drained: default"):
        call_command("indelible", "outbox", "drain")
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (2, 3, 4, 5, 6)]


def test_of_each_stream_is_asked_once_whether_anybody_knows_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add(1, 2, 3)
    kill_a_drainer(site, "journaled")
    answer(site.folder, {}, written_at=later())
    drainer = site.drainer()
    asked: list[uuid.UUID] = []
    monkeypatch.setattr(drainer.destination, "has_folder", asked.append)
    assert drainer.round().problems["default"].startswith("3 rows")
    assert len(asked) == 1


def test_a_question_that_the_database_does_not_answer_ends_no_stream(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add(1)
    drainer = site.drainer()
    drainer.round()
    waiting = _outbox.Rows.waiting

    def unheard(self: _outbox.Rows, limit: int) -> Any:
        raise InterfaceError("connection already closed")

    monkeypatch.setattr(_outbox.Rows, "waiting", unheard)
    done = drainer.round()
    assert (set(done.problems), done.stuck) == ({"default", "other"}, True)
    monkeypatch.setattr(_outbox.Rows, "waiting", lambda self, limit: [] if self.alias == "default" else unheard(self, limit))
    done = drainer.round()
    assert (set(done.problems), done.stuck) == ({"other"}, False), "one database is enough not to wait"
    monkeypatch.setattr(_outbox.Rows, "waiting", waiting)
    add(2)
    assert drainer.round().journaled == 1
    assert len({frame.stream for frame in site.trail.frames()}) == 1


def test_rows_of_another_host_are_left_to_it(site: Site) -> None:
    add(1)
    kill_a_drainer(site, "journaled")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE indelible_outbox SET journal = %s", [uuid.uuid4().hex])
    site.agent_has()
    assert site.drainer().round() == Drained()
    assert len(rows()) == 1


def test_two_drainers_at_once_share_the_rows(site: Site) -> None:
    drainers = [site.drainer(), site.drainer()]
    for start in range(0, 40, 10):
        add(*range(start, start + 10))
        waiting = _outbox.Rows.waiting

        def both(self: _outbox.Rows, limit: int, waiting: Any = waiting) -> Any:
            # What this one has read, the other one takes before it is assigned.
            found = waiting(self, limit)
            _outbox.Rows.waiting = waiting  # type: ignore[method-assign]
            drainers[1].round()
            return found

        _outbox.Rows.waiting = both  # type: ignore[method-assign]
        drainers[0].round()
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in range(40)]


def test_a_damaged_row_is_kept_and_holds_up_nobody(site: Site) -> None:
    add(1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE indelible_outbox SET payload = %s", [b"?"])
    add(2, 3)
    drainer = site.drainer()
    assert drainer.round() == Drained(journaled=2, damaged=1)
    assert drainer.round() == Drained()
    ((_, *place),) = [row for row in rows() if row[1] is None]
    assert place == [None, _outbox.DAMAGED]
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (2, 3)]


class Failing:
    """A recorder that says what it is told to for the next rows, and then works again."""

    def __init__(self, recorder: Any, answers: list[Any]) -> None:
        self.recorder = recorder
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.recorder, name)

    def append_outbox(self, *given: Any, **named: Any) -> Any:
        said = self.answers.pop(0) if self.answers else None
        if isinstance(said, Exception):
            raise said
        return said or self.recorder.append_outbox(*given, **named)


def break_off(drainer: Drainer, answers: list[Any]) -> None:
    destination: Any = drainer.destination
    destination.recorder = Failing(destination.recorder, answers)


def test_a_full_journal_is_tried_again_and_nothing_is_assigned_to_the_same_place(site: Site) -> None:
    add(1, 2)
    Row.objects.using("other").create(number=3)
    drainer = site.drainer()
    break_off(drainer, [None, IndelibleError("no space")])
    done = drainer.round()
    assert (done.journaled, set(done.problems)) == (1, {"default", "other"})
    assert drainer.round().journaled == 2
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3)]


def test_a_place_that_is_taken_is_given_up_for_another(site: Site) -> None:
    add(1, 2)
    drainer = site.drainer()
    break_off(drainer, ["moved"])
    while drainer.round().journaled:
        pass
    drainer.round()
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2)]


@pytest.mark.parametrize("statement", ["assign", "release"])
def test_an_answer_of_the_database_that_is_lost_costs_no_event_and_repeats_none(
    site: Site, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows were assigned, or given back, and the drainer did not know: others got their places, and they were deleted as if they were there."""
    add(1, 2)
    drainer = site.drainer()
    if statement == "release":
        break_off(drainer, ["moved"])
    done = getattr(_outbox.Rows, statement)

    def unheard(self: _outbox.Rows, *given: Any, **named: Any) -> Any:
        done(self, *given, **named)
        monkeypatch.setattr(_outbox.Rows, statement, done)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(_outbox.Rows, statement, unheard)
    assert set(drainer.round().problems) == {"default"}
    add(3, 4)
    drainer.round()
    site.agent_has(living=drainer)
    drainer.round()
    drainer.round()
    site.close()
    site.agent_has()
    site.drainer().round()
    assert rows() == []
    site.close()
    assert numbers(site.trail) == [(number, "committed_by_outbox") for number in (1, 2, 3, 4)]


def test_what_was_assigned_and_not_journaled_is_given_back(site: Site) -> None:
    add(1, 2)
    drainer = site.drainer()
    break_off(drainer, [IndelibleError("no space")])
    drainer.round()
    assert all(row[1] is not None for row in rows())
    drainer.end()
    assert all(row[1] is None for row in rows())


def test_the_command_drains_once_or_follows(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    add(1)
    call_command("indelible", "outbox", "drain")
    assert "1 journaled, 0 deleted" in capsys.readouterr().out
    other = Lock(site.folder, "outbox.lock")
    assert other.hold()
    with pytest.raises(CommandError, match="another process"):
        call_command("indelible", "outbox", "drain")
    other.release()
    assert numbers(site.trail) == [(1, "committed_by_outbox")]


def test_a_drainer_that_follows_names_a_problem_once(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter((False, False, True))
    monkeypatch.setattr(commands, "stopping_event", lambda: SimpleNamespace(wait=lambda _: next(rounds)))
    monkeypatch.setattr(_marks, "is_ready", lambda *_: False)
    call_command("indelible", "outbox", "drain", "--follow")
    assert capsys.readouterr().out.count("default: the table indelible_outbox is not there") == 1


def test_the_command_refuses_where_there_is_no_outbox(trail: Trail) -> None:
    with pytest.raises(CommandError, match="EVIDENCE is not 'outbox'"):
        call_command("indelible", "outbox", "drain")


def test_an_action_goes_along_and_what_is_no_change_does_not_wait(site: Site) -> None:
    with transaction.atomic():
        add(1)
        assert indelible.record("row.approve").status == "held"
        assert indelible.record("row.approve", outcome="denied").status == "at"
    assert [frame.kind for frame in site.trail.frames()] == [journal.EVENT]
    site.drainer().round()
    site.close()
    assert sorted(event["outcome"] for event in site.trail.events("action")) == ["denied", "success"]


def test_a_row_that_cannot_be_written_takes_the_transaction_along_and_with_best_effort_it_does_not(
    site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise DatabaseError("no room")

    monkeypatch.setattr(_marks, "_insert_row", refuse)
    with pytest.raises(DatabaseError), transaction.atomic():
        add(1)
    assert Row.objects.count() == 0
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_FAILURE": "best_effort"}
    with transaction.atomic():
        add(2)
        Secret.objects.create(text="plans")
    assert Row.objects.count() == 1
    assert rows() == []
    assert [frame.kind for frame in site.trail.frames()] == [journal.INTENT, journal.OUTCOME]
    assert Doctor.objects.count() == 0


def test_a_drainer_holds_no_more_than_a_few_large_rows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        Row.objects.create(number=number)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(length(payload)) FROM indelible_outbox")
        ((size,),) = cursor.fetchall()
    rows = _outbox.Rows("default")
    assert len(rows.waiting(200)) == 3
    monkeypatch.setattr(_outbox, "TAKEN_BYTES", 2 * size)
    assert len(rows.waiting(200)) == 2
    monkeypatch.setattr(_outbox, "TAKEN_BYTES", 1)
    assert len(rows.waiting(200)) == 1
    assert site.drainer().round() == Drained(journaled=3)
