"""An outbox that is posted to the agent of another host: each event is in its trail once, whatever is lost, repeated or killed on the way."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction

from agents import DEADLINE_S, until
from collectors import SERVICE, TOKEN, Front, Host, ask, collector
from indelible.django.evidence import _addresses, _collector, _outbox
from indelible.django.evidence._collector import TOKEN_VARIABLE, Collector, Refused
from indelible.django.evidence._destination import StreamLost, Taken
from indelible.django.evidence._outbox import Drained, Drainer
from indelible.django.management import _outbox as commands
from servers import environment, running
from testproject.models import Row
from trails import Trail, fields

pytestmark = pytest.mark.usefixtures("database")
KILLS = 6


class Site:
    """A site whose outbox goes to another host."""

    def __init__(self, trail: Trail, host: Host, front: Front) -> None:
        self.trail, self.host, self.front = trail, host, front
        self.added = 0

    def destination(self) -> Collector:
        return Collector(self.front.url, SERVICE, TOKEN)

    def add(self, count: int) -> None:
        for number in range(self.added, self.added + count):
            Row.objects.create(number=number)
        self.added += count

    def drain(self) -> Drainer:
        """Rounds of one drainer until the outbox is empty."""
        drainer = Drainer(self.destination())
        self.go_on(drainer)
        return drainer

    def go_on(self, drainer: Drainer) -> None:
        def is_empty() -> bool:
            drainer.round()
            return rows() == []

        until(is_empty)

    def numbers(self) -> list[tuple[int, str]]:
        """The numbers of created rows in the other host's trail, with their verdicts. Stops its agent."""
        self.host.stop()
        records = Trail(self.host.data_dir, SERVICE).records()
        return sorted((fields(record["event"])["number"][1], record["verdict"]) for record in records)

    def assert_all_are_there_once(self) -> None:
        assert self.numbers() == [(number, "committed_by_outbox") for number in range(self.added)]
        assert self.trail.frames() == [], "nothing is journaled on this host"
        Trail(self.host.data_dir, SERVICE).command("verify")


@pytest.fixture
def site(trail: Trail, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with collector(tmp_path) as (host, front):
        settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "outbox", "COLLECTOR": front.url}
        monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
        yield Site(trail, host, front)
    for alias in ("default", "other"):
        connections[alias].ensure_connection()


def rows() -> list[tuple[Any, ...]]:
    connections["default"].ensure_connection()
    driver: Any = connections["default"].connection
    with closing(driver.cursor()) as cursor:
        cursor.execute("SELECT id, stream, sequence FROM indelible_outbox ORDER BY id")
        return [tuple(row) for row in cursor.fetchall()]


def test_the_command_takes_an_outbox_to_another_host_and_deletes_what_its_agent_has(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction.atomic():
        site.add(2)
    site.add(1)

    def is_empty() -> bool:
        call_command("indelible", "outbox", "drain")
        return rows() == []

    until(is_empty)
    assert "2 journaled, 0 deleted" in capsys.readouterr().out
    site.assert_all_are_there_once()


def test_a_drainer_that_follows_waits_for_its_collector_and_ends_when_it_is_told(site: Site, tmp_path: Path) -> None:
    more = {"INDELIBLE_EVIDENCE": "outbox", "INDELIBLE_COLLECTOR": site.front.url, TOKEN_VARIABLE: TOKEN}
    log = tmp_path / "drainer.log"
    command = ["-m", "django", "indelible", "outbox", "drain", "--follow"]
    site.host.kill()
    with running(command, environment(site.trail.data_dir, **more), log) as drainer:
        until(lambda: site.front.url in log.read_text())
        site.add(2)
        site.host.start()
        until(lambda: rows() == [])
        site.add(2)
        until(lambda: rows() == [])
        drainer.terminate()
        assert drainer.wait(DEADLINE_S) == 0, log.read_text()
    assert TOKEN not in log.read_text()
    site.assert_all_are_there_once()


class Once:
    """A fault of one request: the n-th of those with rows."""

    def __init__(self, what: str, which: int) -> None:
        self.what, self.left = what, which

    def __call__(self, method: str, path: str) -> str | None:
        if method != "POST" or path.endswith("/streams"):
            return None
        self.left -= 1
        return self.what if self.left == 0 else None


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("what", ["question", "answer", "twice"])
def test_a_post_that_is_lost_unheard_or_repeated_puts_no_row_into_the_trail_twice(
    site: Site, what: str, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_collector, "POST_BYTES", 1)
    fault = site.front.fault = Once(what, which)
    site.add(3)
    drainer = Drainer(site.destination())
    done = drainer.round()
    assert (done.journaled, set(done.problems)) == (which - 1, {"default"})
    assert fault.left == 0, "the stream is given up, and its rows with it"
    site.go_on(drainer)
    site.assert_all_are_there_once()


@pytest.mark.parametrize("what", ["question", "answer", "twice"])
def test_a_stream_that_nobody_learns_of_is_no_harm(site: Site, what: str) -> None:
    left = [what]
    site.front.fault = lambda method, path: left.pop() if left and path.endswith("/streams") else None
    site.add(2)
    site.drain()
    site.assert_all_are_there_once()


@pytest.mark.parametrize("place", ["intent.before:2", "intent.after:2", "outcome.before:2", "outcome.after:2", "stream.after_rename"])
def test_a_collector_that_is_killed_while_it_writes_has_each_row_once(site: Site, place: str) -> None:
    site.host.stop()
    site.host.start(place)
    site.add(4)
    drainer = Drainer(site.destination())
    done = drainer.round()
    assert set(done.problems) == {"default"}
    until(site.host.has_been_killed)
    assert drainer.round().problems, "nobody answers"
    site.host.start()
    site.go_on(drainer)
    site.assert_all_are_there_once()


def test_a_collector_that_is_killed_at_random_has_each_row_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    monkeypatch.setattr(_collector, "POST_BYTES", 2_000)
    drainer = Drainer(site.destination())
    for _ in range(KILLS):
        site.add(10)
        killer = threading.Timer(chance.uniform(0, 0.1), site.host.kill)
        killer.start()
        for _ in range(chance.randrange(1, 4)):
            drainer.round()
        killer.join()
        if chance.random() < 0.5:
            drainer = Drainer(site.destination())
        site.host.start()
    site.go_on(drainer)
    site.assert_all_are_there_once()


def test_a_drainer_that_dies_before_it_posts_leaves_rows_that_the_next_one_takes_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add(3)
    dying = site.destination()
    monkeypatch.setattr(dying, "append", lambda rows, stream: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Drainer(dying).round()
    assert all(row[1] is not None for row in rows())
    drainer = Drainer(site.destination())
    assert drainer.round() == Drained(), "its stream may still be written to"
    # The stream of the dead one, of which nothing was ever read, ends with the agent that lent it.
    site.host.kill()
    site.host.start()
    site.go_on(drainer)
    site.assert_all_are_there_once()


def test_rows_that_were_assigned_where_nobody_knows_them_are_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a collector that had nothing of a service there were no answers, so that its drainer waited in silence."""
    site.add(1)
    journal = uuid.UUID(json.loads(ask(site.host, "GET", f"{OUTBOX}/answers", headers=AUTHORIZED)[2])["journal"])
    connections["default"].ensure_connection()
    driver: Any = connections["default"].connection
    with closing(driver.cursor()) as cursor:
        cursor.execute(f"UPDATE indelible_outbox SET stream = '{uuid.uuid4().hex}', sequence = 2, journal = '{journal.hex}'")
        driver.commit()
    monkeypatch.setattr(_outbox, "made_at", lambda stream: 0.0)
    drainer = Drainer(site.destination())
    until(lambda: "journaled more than two days ago" in drainer.round().problems.get("default", ""))
    assert len(rows()) == 1


def test_an_event_that_names_another_service_is_refused_and_told(site: Site, settings: Any) -> None:
    site.add(1)
    settings.INDELIBLE = {**settings.INDELIBLE, "SERVICE": "another"}
    site.add(1)
    drainer = Drainer(site.destination())

    def is_refused() -> bool:
        told = drainer.round().problems.get("default", "")
        return 'has an event of the service "another", which this token is not for (status 403)' in told

    until(is_refused)
    until(lambda: (drainer.round(), len(rows()))[1] == 1)
    assert [number for number, _ in site.numbers()] == [0]


def test_two_hosts_drain_one_database_and_one_finishes_what_the_other_began(site: Site) -> None:
    first, second = Drainer(site.destination()), Drainer(site.destination())
    for number in range(4):
        site.add(5)
        (first if number % 2 else second).round()
    first.end()
    site.go_on(second)
    site.assert_all_are_there_once()


def test_a_collector_that_is_down_is_waited_for(site: Site) -> None:
    site.host.kill()
    site.add(2)
    drainer = Drainer(site.destination())
    done = drainer.round()
    assert (done.journaled, list(done.problems)) == (0, [site.front.url])
    assert all(row[1] is None for row in rows()), "nothing is assigned that cannot be posted"
    site.host.start()
    site.go_on(drainer)
    site.assert_all_are_there_once()


def test_a_wrong_token_is_told_and_nothing_is_taken(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add(1)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN[:-1])
    with pytest.raises(CommandError, match="not everything was drained"):
        call_command("indelible", "outbox", "drain")
    out = capsys.readouterr().out
    assert "0 journaled" in out
    assert "this needs a token for the outbox of this service (status 401)" in out
    assert TOKEN[:-1] not in out
    assert rows()[0][1] is None
    assert site.numbers() == []


def test_a_certificate_that_nobody_vouches_for_gets_no_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    asked: list[str] = []
    site.front.fault = lambda method, path: asked.append(path)
    site.add(1)
    done = Drainer(site.destination()).round()
    assert "CERTIFICATE_VERIFY_FAILED" in done.problems[site.front.url]
    assert asked == []


def test_a_damaged_row_is_kept_and_holds_up_nobody(site: Site) -> None:
    site.add(1)
    with closing(connections["default"].cursor()) as cursor:
        cursor.execute("UPDATE indelible_outbox SET payload = %s", [b"?"])
    site.add(3)
    drainer = Drainer(site.destination())
    done = drainer.round()
    assert (done.journaled, done.damaged, done.problems) == (3, 1, {})

    def is_done() -> bool:
        drainer.round()
        return len(rows()) == 1

    until(is_done)
    assert rows()[0][1:] == (None, _outbox.DAMAGED)
    assert [number for number, _ in site.numbers()] == [1, 2, 3]


@pytest.mark.parametrize("index", [-1, 0, 1])
def test_a_refusal_that_names_no_row_or_one_that_is_whole_here_gives_up_none(
    site: Site, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add(1)
    destination = site.destination()
    ask_it = destination._ask

    def refuse(method: str, path: str, **options: Any) -> Any:
        if method == "POST" and path != "/streams":
            raise Refused(422, "of another version", index)
        return ask_it(method, path, **options)

    monkeypatch.setattr(destination, "_ask", refuse)
    drainer = Drainer(destination)
    done = drainer.round()
    assert (done.journaled, done.damaged, done.problems) == (0, 0, {"default": "of another version"})
    monkeypatch.undo()
    site.go_on(drainer)
    site.assert_all_are_there_once()


def test_a_row_that_is_never_taken_does_not_stop_those_behind_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add(3)
    refused = uuid.UUID(str(rows()[0][0]))
    destination = site.destination()
    append = destination.append

    def refuse(given: Sequence[Taken], stream: uuid.UUID) -> Any:
        if given[0].intent == refused:
            destination.abandon()
            raise StreamLost("too large")
        return append(given, stream)

    monkeypatch.setattr(destination, "append", refuse)
    drainer = Drainer(destination)

    def is_alone() -> bool:
        drainer.round()
        return len(rows()) == 1

    until(is_alone)
    monkeypatch.setattr(destination, "append", append)
    site.go_on(drainer)
    site.assert_all_are_there_once()


def test_a_stream_of_another_collector_gets_no_row_that_names_this_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add(1)
    destination = site.destination()
    look = destination.look

    def look_elsewhere() -> Any:
        seen = look()._replace(journal=uuid.uuid4())
        destination._look = seen
        return seen

    monkeypatch.setattr(destination, "look", look_elsewhere)
    drainer = Drainer(destination)
    assert drainer.round().problems == {"default": "another collector answers there than a moment ago"}
    assert rows()[0][1] is None
    monkeypatch.setattr(destination, "look", look)
    site.go_on(drainer)
    site.assert_all_are_there_once()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_answers_that_are_not_the_agents_are_not_passed_on(site: Site) -> None:
    site.add(1)
    site.drain()
    answers = site.host.data_dir / "journal" / SERVICE / "answers.json"
    seen = lambda: json.loads(ask(site.host, "GET", f"{OUTBOX}/answers", headers=AUTHORIZED)[2])["answers"]  # noqa: E731
    assert seen() is not None

    def is_kept_back() -> bool:
        # The agent replaces the file while something changes.
        os.chown(answers, 65_534, -1)
        return seen() is None

    until(is_kept_back)


def test_a_name_with_an_address_that_is_dead_is_reached_at_the_next_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        dead = listener.getsockname()

    def with_a_dead_one(host: Any, port: Any, *given: Any, **named: Any) -> Any:
        found = resolve(host, port, *given, **named)
        return [(*found[0][:4], dead), *found]

    monkeypatch.setattr(socket, "getaddrinfo", with_a_dead_one)
    assert site.destination().look().journal


def test_a_name_that_nobody_looks_up_is_told_and_looked_up_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that did not answer held the drainer for as long as the system's own look-up takes."""
    resolve, answers, asked = socket.getaddrinfo, threading.Event(), []

    def resolve_later(*given: Any, **named: Any) -> Any:
        asked.append(given)
        assert answers.wait(DEADLINE_S)
        return resolve(*given, **named)

    monkeypatch.setattr(_addresses, "LOOKUP_S", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_later)
    destination = site.destination()
    for _ in range(3):
        done = Drainer(destination).round()
        assert done.problems[site.front.url].startswith("the name 127.0.0.1 was not looked up within"), done
    assert len(asked) == 1, "one look-up is under way at a time"
    monkeypatch.setattr(_addresses, "LOOKUP_S", DEADLINE_S)
    answers.set()
    assert destination.look().journal


def test_a_name_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    done = Drainer(Collector("http://localhost:9", SERVICE, TOKEN)).round()
    assert "Name or service not known" in done.problems["http://localhost:9"]


def test_an_answer_that_trickles_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_collector, "DEADLINE_S", 0.3)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        stopped = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with closing(connection), suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not stopped.wait(0.02):
                    connection.sendall(b".")

        server = threading.Thread(target=trickle, daemon=True)
        server.start()
        with pytest.raises(OSError, match="not done after"):
            Collector(f"http://127.0.0.1:{listener.getsockname()[1]}", SERVICE, TOKEN).look()
        stopped.set()
        server.join(DEADLINE_S)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope",
        b"",
    ],
)
def test_what_is_no_collector_is_told_and_never_believed(answer: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def say() -> None:
            connection, _ = listener.accept()
            with closing(connection):
                connection.recv(65_536)
                connection.sendall(answer)

        server = threading.Thread(target=say, daemon=True)
        server.start()
        done = Drainer(Collector(f"http://127.0.0.1:{listener.getsockname()[1]}", SERVICE, TOKEN)).round()
        server.join(DEADLINE_S)
    assert len(done.problems) == 1
    assert (done.journaled, done.deleted) == (0, 0)


AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
OUTBOX = f"/v1/outbox/{SERVICE}"


def lent(host: Host) -> tuple[str, int]:
    status, _, body = ask(host, "POST", f"{OUTBOX}/streams", headers=AUTHORIZED)
    assert status == 201, body
    given = json.loads(body)
    return given["stream"], given["sequence"]


def post(host: Host, stream: str, *given: tuple[int, bytes]) -> int:
    body = b"".join(struct.pack("<QI", sequence, len(payload)) + payload for sequence, payload in given)
    return ask(host, "POST", f"{OUTBOX}/streams/{stream}", body, AUTHORIZED)[0]


def payloads() -> list[bytes]:
    connections["default"].ensure_connection()
    driver: Any = connections["default"].connection
    with closing(driver.cursor()) as cursor:
        cursor.execute("SELECT payload FROM indelible_outbox ORDER BY id")
        return [bytes(row[0]) for row in cursor.fetchall()]


def test_a_row_is_written_where_it_is_assigned_and_nowhere_else(site: Site) -> None:
    site.add(2)
    first, second = payloads()
    host = site.host
    stream, sequence = lent(host)
    assert post(host, stream, (sequence + 2, first)) == 409
    assert post(host, stream, (sequence + 1, first)) == 204
    assert post(host, stream, (sequence + 1, first)) == 409, "it came twice"
    assert post(host, stream, (sequence + 3, second)) == 204, "and the stream goes on"
    other, _ = lent(host)
    assert post(host, other, (sequence + 1, b"?")) == 422
    assert ask(host, "POST", f"{OUTBOX}/streams/{other}", b"?", AUTHORIZED)[0] == 400
    assert ask(host, "DELETE", f"{OUTBOX}/streams/{other}", headers=AUTHORIZED)[0] == 204
    assert post(host, other, (sequence + 1, first)) == 410
    assert ask(host, "GET", f"{OUTBOX}/answers/{other}", headers=AUTHORIZED)[0] == 410
    assert post(host, str(uuid.uuid4()), (1, first)) == 410
    site.assert_all_are_there_once()


def test_a_token_opens_the_outbox_of_its_service_and_nothing_else(site: Site) -> None:
    host = site.host
    stream, _ = lent(host)
    ways = [("GET", "/answers"), ("POST", "/streams"), *[(method, f"/streams/{stream}") for method in ("GET", "POST", "DELETE")]]
    for method, path in ways:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {host.token}"}, {"Authorization": TOKEN}):
            assert ask(host, method, OUTBOX + path, headers=headers)[0] == 401, (method, path, headers)
        assert ask(host, method, f"/v1/outbox/other{path}", headers=AUTHORIZED)[0] == 403
        assert ask(host, method, f"/v1/outbox/..%2F{SERVICE}{path}", headers=AUTHORIZED)[0] == 403
    for path in ("/v1/events?q=", "/v1/sinks", "/events", "/health"):
        assert ask(host, "GET", path, headers=AUTHORIZED)[0] in (401, 403)
    assert ask(host, "GET", f"{OUTBOX}/streams/{stream}", headers=AUTHORIZED)[0] == 204
    assert ask(host, "GET", f"{OUTBOX}/streams/{uuid.uuid4()}", headers=AUTHORIZED)[0] == 404


def test_the_number_of_streams_has_a_bound_and_those_that_end_make_room(site: Site) -> None:
    streams = [lent(site.host)[0] for _ in range(16)]
    assert ask(site.host, "POST", f"{OUTBOX}/streams", headers=AUTHORIZED)[0] == 503
    assert ask(site.host, "DELETE", f"{OUTBOX}/streams/{streams[0]}", headers=AUTHORIZED)[0] == 204
    lent(site.host)


def test_the_answer_to_an_assignment_that_is_lost_costs_no_event(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row was assigned and nobody knew; another one got its place, and the row was deleted as if it were there."""
    site.add(2)
    assign = _outbox.Rows.assign

    def unheard(self: _outbox.Rows, *given: Any) -> Any:
        assign(self, *given)
        monkeypatch.setattr(_outbox.Rows, "assign", assign)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(_outbox.Rows, "assign", unheard)
    drainer = Drainer(site.destination())
    assert set(drainer.round().problems) == {"default"}
    site.add(2)
    site.go_on(drainer)
    site.assert_all_are_there_once()


def test_a_command_without_a_token_or_with_an_address_that_is_none_says_so(
    site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE)
    with pytest.raises(CommandError, match=f"not in the environment \\({TOKEN_VARIABLE}\\)"):
        call_command("indelible", "outbox", "drain")
    settings.INDELIBLE = {**settings.INDELIBLE, "COLLECTOR": "http://trail.example.org"}
    with pytest.raises(CommandError, match="COLLECTOR"):
        call_command("indelible", "outbox", "drain")


def test_who_cannot_do_its_work_comes_back_later_and_later(site: Site) -> None:
    trouble, pauses = Drained(problems={"default": "down"}, stuck=True), [commands.INTERVAL_S]
    for _ in range(12):
        pauses.append(commands._pause(pauses[-1], trouble))
    assert pauses[1] > pauses[0]
    assert max(pauses) <= commands.PAUSE_MAX_S < 2 * min(pauses[-3:])
    assert commands._pause(30.0, Drained(journaled=1, problems={"other": "down"}, stuck=True)) == commands.INTERVAL_S
