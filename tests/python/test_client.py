"""Asking a real agent from Python, and every way in which it may not answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import indelible
from agents import running_agent, until
from indelible import _client
from indelible._client import TrailRefused, TrailUnavailable, phrase, record, search
from trails import Trail


@pytest.fixture
def data_dir(trail: Trail) -> Path:
    return trail.data_dir


@pytest.fixture
def seeded(trail: Trail) -> Iterator[Path]:
    """The data directory of a running agent that has five events."""
    for number in range(5):
        indelible.record("bell.ring", resource=f"house.Bell/{number}", reason=f"visitor {number}")
    with running_agent(trail.data_dir):
        until(lambda: len(search(trail.data_dir, "action:bell.ring").records) == 5)
        yield trail.data_dir


def test_pages_join_without_gap_or_overlap(seeded: Path) -> None:
    found, cursor = [], None
    while True:
        page = search(seeded, "action:bell.ring", cursor=cursor, limit=2)
        assert len(page.records) <= 2
        found += [row["event"]["resource"]["id"] for row in page.records]
        if (cursor := page.cursor) is None:
            break
    assert found == ["4", "3", "2", "1", "0"]


def test_one_record_comes_with_its_leaf(seeded: Path) -> None:
    row = search(seeded, "resource:house.Bell/3").records[0]
    found = record(seeded, row["event"]["id"])
    assert (found["leaf"], found["event"], found["body_matches"]) == (row["leaf"], row["event"], True)


def test_who_looked_is_recorded_before_the_answer(seeded: Path) -> None:
    search(seeded, "resource:house.Bell/3", reader="user:7 änne")
    reads = search(seeded, "action:audit.read").records
    read = next(row["event"] for row in reads if row["event"]["meta"]["query"] == "resource:house.Bell/3")
    assert read["actor"] == {"type": "user", "id": "user:7 %C3%A4nne", "auth": "stated"}


def test_a_header_cannot_be_smuggled_in_with_the_reader(seeded: Path) -> None:
    search(seeded, "resource:house.Bell/1", reader="7\r\nX-Other: 1")
    reads = search(seeded, 'action:audit.read actor:"7%0D%0AX-Other: 1"').records
    assert len(reads) == 1


def test_a_query_that_cannot_be_read_is_refused_with_its_place(seeded: Path) -> None:
    with pytest.raises(TrailRefused) as refused:
        search(seeded, "actorr:ana")
    assert (refused.value.status, refused.value.column) == (400, 1)
    assert "actor" in (refused.value.cure or "")


def test_a_record_that_is_not_there_is_not_found(seeded: Path) -> None:
    with pytest.raises(TrailRefused) as refused:
        record(seeded, "01900000-0000-7000-8000-000000000000")
    assert refused.value.status == 404


@pytest.mark.parametrize("text", ["plain", 'with "quotes"', "back\\slash", "a OR b", "x*", "key:value", "clinic.Patient/1"])
def test_any_text_is_one_value_of_a_query(seeded: Path, text: str) -> None:
    indelible.record("bell.ring", resource={"type": "house.Door", "id": text})
    until(lambda: search(seeded, "type:house.Door").records)
    assert len(search(seeded, f"resource:{phrase(f'house.Door/{text}')}").records) == 1


def test_without_an_agent_the_cause_and_a_command_are_named(data_dir: Path) -> None:
    with pytest.raises(TrailUnavailable) as unavailable:
        search(data_dir, "")
    assert str(unavailable.value).startswith(f"no agent runs on {data_dir}")
    assert unavailable.value.cure == f"indelible --data {data_dir} serve"


def test_a_dead_agent_that_left_its_announcement_is_no_agent(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "agent.json").write_text(json.dumps({"pid": 1, "address": "127.0.0.1:1", "token": "x"}))
    with pytest.raises(TrailUnavailable, match="no agent runs"):
        search(data_dir, "")


def test_an_agent_that_hangs_is_given_up_at_the_deadline(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "DEADLINE_S", 0.3)
    pid = int(json.loads((seeded / "agent.json").read_text())["pid"])
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(TrailUnavailable, match="does not answer"):
        search(seeded, "")
    assert time.monotonic() - started < 3


def answering(answer: bytes, *, every_s: float = 0.0) -> str:
    """A server that sends these bytes to whoever connects first, one by one if it shall trickle."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as peer:
            peer.recv(65536)
            try:
                for place in range(len(answer)) if every_s else [slice(None)]:
                    peer.sendall(answer[place] if isinstance(place, slice) else answer[place : place + 1])
                    time.sleep(every_s)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"nonsense", "does not answer"),
        (b"HTTP/1.1 200 OK\r\n\r\nno json", "of another version"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "of another version"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "of another version"),
        (b'HTTP/1.1 401 X\r\n\r\n{"error":"wrong token"}', "wrong token"),
        (b'HTTP/1.1 503 X\r\n\r\n{"error":"not recorded"}', "not recorded"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "does not answer|of another version"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 200, "an answer of more than 100 bytes"),
    ],
)
def test_an_answer_that_makes_no_sense_is_unavailable_and_no_other_exception(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, cause: str
) -> None:
    monkeypatch.setattr(_client, "ANSWER_BYTES_MAX", 100)
    monkeypatch.setenv("INDELIBLE_SERVER", answering(answer))
    with pytest.raises(TrailUnavailable, match=cause):
        search(data_dir, "")


def test_an_answer_that_trickles_is_given_up_at_the_deadline(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "DEADLINE_S", 0.3)
    monkeypatch.setenv("INDELIBLE_SERVER", answering(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 10_000, every_s=0.01))
    with pytest.raises(TrailUnavailable, match="not complete after"):
        search(data_dir, "")


def test_a_server_can_be_named_with_its_token(seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced = json.loads((seeded / "agent.json").read_text())
    monkeypatch.setenv("INDELIBLE_SERVER", f"http://{announced['address']}")
    monkeypatch.setenv("INDELIBLE_TOKEN", announced["token"])
    assert len(search(tmp_path / "elsewhere", "action:bell.ring").records) == 5
    monkeypatch.setenv("INDELIBLE_TOKEN", "wrong")
    with pytest.raises(TrailUnavailable):
        search(tmp_path / "elsewhere", "")
    monkeypatch.setenv("INDELIBLE_SERVER", "ftp://x")
    with pytest.raises(TrailUnavailable, match="is not an address"):
        search(tmp_path / "elsewhere", "")
