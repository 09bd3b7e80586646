"""Servers of many processes: what every one of them recorded is there, in streams of its own, and none of them stays behind."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from servers import wait_until
from staffs import APPLICATION, GUNICORN, UVICORN, is_alive, staff, words
from streams import assert_streams
from testproject.models import Doctor
from trails import Trail

EXIT_S_MAX = 2.0
SERVERS = {
    "gunicorn": (*GUNICORN, "--workers", "3", f"{APPLICATION}:wsgi"),
    "gunicorn preload": (*GUNICORN, "--workers", "3", "--preload", f"{APPLICATION}:wsgi"),
    "gunicorn gthread": (*GUNICORN, "--workers", "2", "--threads", "2", f"{APPLICATION}:wsgi"),
    "gunicorn gthread preload": (*GUNICORN, "--workers", "2", "--threads", "2", "--preload", f"{APPLICATION}:wsgi"),
    "uvicorn workers": (*UVICORN, "--workers", "2", f"{APPLICATION}:asgi"),
}


def assert_recorded(trail: Trail, written: list[str]) -> None:
    """What was written is in the database and in the trail, once, as committed, each with its request; nothing else is."""
    rows = Counter(Doctor.objects.values_list("name", flat=True))
    assert rows == Counter(f"{name}-{number}" for name in written for number in range(5))
    records = trail.records()
    created = [record for record in records if record["event"]["action"] == "doctor.create"]
    assert {record["verdict"] for record in created} == {"committed"}
    assert Counter(change["new"] for record in created for change in record["event"]["changes"] if change["field"] == "name") == rows
    paths = Counter(record["event"]["request"]["path"] for record in records if record["event"]["kind"] == "request")
    assert paths == Counter(f"/write/{name}" for name in written)


def open_files(pid: int) -> list[str]:
    """What of the journal a process has open."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(descriptor))
        except FileNotFoundError:
            continue
    return sorted(link for link in links if "/journal/tests/" in link)


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_server_told_to_stop_while_it_answers_leaves_every_event_and_no_process(
    database: str, trail: Trail, tmp_path: Path, name: str
) -> None:
    with staff(SERVERS[name], trail, tmp_path) as server:
        fast, slow = words(30, "fast"), words(2, "slow")
        for word in fast:
            server.write(word)
        server.write_slowly(slow)
        workers = server.children()
        locks = [[file for file in open_files(pid) if file.endswith("/lock")] for pid in workers]
        assert max(map(len, locks)) == 1, f"a process holds the locks of others: {locks}"
        server.process.send_signal(signal.SIGTERM)
        server.release()
        server.stop()
    assert sorted(server.answered) == sorted((word, 201) for word in fast + slow)
    wait_until(lambda: not any(is_alive(pid) for pid in workers), "a process stays behind")
    # Uvicorn's processes end by the signal that they were sent, so nothing of theirs runs at the end.
    owners = assert_streams(trail.data_dir, closed=name.startswith("gunicorn"))
    assert all(len(streams) == 1 for streams in owners.values()), owners
    assert_recorded(trail, fast + slow)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_workers_that_are_replaced_after_some_requests_lose_nothing(database: str, trail: Trail, tmp_path: Path) -> None:
    command = (*GUNICORN, "--workers", "2", "--max-requests", "5", "--max-requests-jitter", "3", "--preload", f"{APPLICATION}:wsgi")
    with staff(command, trail, tmp_path) as server:
        clients = [
            threading.Thread(target=lambda some=some: [server.write(word) for word in some]) for some in (words(20, "a"), words(20, "b"))
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        server.process.send_signal(signal.SIGTERM)
        server.stop()
    # One that is on its way out may refuse a connection; what it accepted it answers.
    written = [word for word, status in server.answered if status == 201]
    assert {status for _, status in server.answered} <= {201, 0}
    assert len(written) >= 30
    owners = assert_streams(trail.data_dir, closed=True)
    assert len(owners) >= 6, "the workers were replaced"
    assert_recorded(trail, written)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_twenty_workers_stopped_while_they_answer_lose_nothing_and_are_gone_in_time(database: str, trail: Trail, tmp_path: Path) -> None:
    command = (*GUNICORN, "--workers", "20", "--preload", f"{APPLICATION}:wsgi")
    (tmp_path / "ends").mkdir()
    names = words(20)
    with staff(command, trail, tmp_path, STAFFED_ENDS=str(tmp_path / "ends")) as server:
        server.write_slowly(names)
        server.process.send_signal(signal.SIGTERM)
        server.release()
        server.stop()
    assert sorted(server.answered) == [(name, 201) for name in names]
    ends = [json.loads(path.read_text()) for path in (tmp_path / "ends").iterdir()]
    assert len(ends) == 20
    # Twenty processes that end at once wait for the two processors of a busy machine: that is not time they need.
    own = [end["wall_s"] - end["waited_s"] for end in ends]
    print(
        f"from the end of its last request a worker took at most {max(own):.2f} s, {max(end['wall_s'] for end in ends):.2f} s by the wall"
    )
    assert max(own) <= EXIT_S_MAX
    owners = assert_streams(trail.data_dir, closed=True)
    assert len(owners) == 21
    assert_recorded(trail, names)
