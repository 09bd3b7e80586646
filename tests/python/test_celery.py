"""Tasks: who asked for them travels with the message, and the end of each attempt is recorded. Real workers on a real Redis."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from asgiref.sync import sync_to_async
from celery import signals
from django.contrib.auth.models import User
from django.db import transaction
from django.test import AsyncClient, Client

import indelible
import indelible.celery
import indelible.messages
from in_loop import in_loop
from indelible import _context
from indelible.django import apps, conf
from servers import HERE, environment, free_port, running, wait_until
from streams import assert_streams
from testproject import tasks
from testproject.models import Doctor
from trails import Trail

ROOT = HERE.parents[1]
TIMEOUT_S = 40

pytestmark = [pytest.mark.xdist_group("celery")]


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    folder = tempfile.mkdtemp(prefix="indelible-redis-")
    script = str(ROOT / "scripts" / "redis")
    started = subprocess.run([script, "start", f"{folder}/server"], capture_output=True, text=True, check=False)
    if started.returncode != 0:
        pytest.fail(started.stderr)
    yield int(started.stdout)
    subprocess.run([script, "stop", f"{folder}/server"], check=True)
    shutil.rmtree(folder)


class Broker:
    """One database of the Redis, empty; the application of ``testproject.tasks`` in this process uses it too."""

    def __init__(self, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self.redis = redis.Redis(port=port)
        self.redis.flushall()

    def messages(self) -> list[bytes]:
        """The messages that wait in the queue."""
        return self.redis.lrange("clinic", 0, -1)


@pytest.fixture
def broker(redis_port: int) -> Broker:
    indelible.celery.connect()
    broker = Broker(redis_port)
    # One Redis for the whole module: the application keeps its connections.
    tasks.app.conf.update(broker_url=broker.url, result_backend=broker.url)
    return broker


@contextmanager
def worker(broker: Broker, trail: Trail, tmp_path: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that has said that it is ready."""
    env = environment(trail.data_dir, TASKS_BROKER=broker.url, TASKS_BACKEND=broker.url, **variables)
    log = tmp_path / f"worker-{uuid.uuid4().hex[:8]}.log"
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "info")
    command = ["-m", "celery", "-A", "testproject.tasks", "worker", *quiet, *(options or ("--pool", "solo"))]
    with running(command, env, log) as process:
        wait_until(lambda: b" ready." in log.read_bytes(), lambda: log.read_text())
        yield process


def run(events: list[dict[str, Any]], name: str = "task.run") -> list[dict[str, Any]]:
    return [event for event in events if event["action"] == name]


POOLS = {
    "prefork": ("--pool", "prefork", "--concurrency", "2"),
    "threads": ("--pool", "threads", "--concurrency", "2"),
    "solo": ("--pool", "solo"),
}


@pytest.mark.scenario(25)
@pytest.mark.defect("A-2", "H12", "F-5", "F-8")
@pytest.mark.parametrize(
    ("database", "pool"),
    [("sqlite", "prefork"), ("postgresql", "prefork"), ("sqlite", "threads"), ("postgresql", "solo")],
    indirect=["database"],
)
def test_a_task_queued_in_a_request_is_recorded_with_the_actor_and_request_of_its_origin(
    database: str, trail: Trail, broker: Broker, tmp_path: Path, pool: str
) -> None:
    user = User.objects.create_user("ana")
    client = Client(headers={"x-request-id": "origin-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    client.force_login(user)
    trail.forget()
    with worker(broker, trail, tmp_path, *POOLS[pool]):
        assert client.post("/tasks/create", {"name": "Ada"}).status_code == 202
        wait_until(Doctor.objects.filter(name="Ada").exists, "no doctor")
    events = trail.events()
    (created,) = run(events, "doctor.create")
    (ended,) = run(events)
    for event in (created, ended):
        assert (event["actor"]["type"], event["actor"]["id"], event["actor"]["label"]) == ("user", str(user.pk), "ana")
        assert (event["request"]["id"], event["trace_id"]) == ("origin-1", "a" * 32)
        assert (event["meta"]["source"], event["meta"]["task"]) == ("task", "testproject.tasks.create_doctor")
        assert event["source"]["process_kind"] == "worker"
    assert created["resource"]["type"] == "testproject.Doctor"
    assert [change["field"] for change in created["changes"]] == ["id", "name"]
    assert (ended["kind"], ended["outcome"]) == ("task", "success")
    assert ended["resource"] == {"type": "task", "id": created["meta"]["task_id"], "label": "testproject.tasks.create_doctor"}
    assert (ended["meta"]["queue"], ended["meta"]["retries"]) == ("clinic", 0)
    assert 0 < ended["meta"]["duration_us"] < TIMEOUT_S * 1_000_000


def test_what_an_attempt_came_to_is_recorded(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    with worker(broker, trail, tmp_path, "--pool", "prefork", "--concurrency", "1"), indelible.context(actor="service:shop", tenant="t1"):
        fails = tasks.fail.delay("password=hunter22secret was refused")
        flaky = tasks.flaky.delay(2)
        ignored, rejected = tasks.ignore.delay(), tasks.reject.delay()
        dead, hanging = tasks.die.delay(), tasks.hang.delay(str(tmp_path / "started"))
        expired = tasks.note.apply_async(["never"], expires=-1)
        with pytest.raises(ValueError, match="refused"):
            fails.get(timeout=TIMEOUT_S)
        assert flaky.get(timeout=TIMEOUT_S) == "done"
        for lost in (dead, hanging):
            with pytest.raises(Exception, match=r"Worker|TimeLimit"):
                lost.get(timeout=TIMEOUT_S)
        last = tasks.note.delay("last")
        last.get(timeout=TIMEOUT_S)
    events = trail.events("task")
    assert {event["actor"]["id"] for event in events} == {"shop"}
    assert {event["tenant"] for event in events} == {"t1"}
    found = {(event["resource"]["id"], event["action"], event["outcome"], event.get("error", {}).get("type")) for event in events}
    assert found == {
        (fails.id, "task.run", "failure", "ValueError"),
        (flaky.id, "task.retry", "failure", "ConnectionError"),
        (flaky.id, "task.run", "success", None),
        (ignored.id, "task.run", "aborted", "Ignore"),
        (rejected.id, "task.reject", "aborted", "Reject"),
        (dead.id, "task.run", "failure", "WorkerLostError"),
        (hanging.id, "task.run", "failure", "TimeLimitExceeded"),
        (expired.id, "task.revoke", "aborted", None),
        (last.id, "task.run", "success", None),
    }
    assert {event["meta"]["retries"] for event in events if event["resource"]["id"] == flaky.id} == {0, 1, 2}
    assert len(events) == len(found) + 1, "each attempt once"
    assert "hunter22secret" not in json.dumps(events)


@pytest.mark.defect("F-16", "G-14")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_message_that_is_delivered_twice_gives_one_event(trail: Trail, broker: Broker, tmp_path: Path, pool: str) -> None:
    task = tasks.note_late.delay("twice")
    (message,) = broker.messages()
    broker.redis.lpush("clinic", message)
    tasks.note.delay("another")
    with worker(broker, trail, tmp_path, *POOLS[pool]):
        wait_until(lambda: not broker.messages() and not broker.redis.hlen("unacked"), "messages are left")
    # Another worker, later: a broker gives a message out again that was not acknowledged in time.
    broker.redis.lpush("clinic", message)
    with worker(broker, trail, tmp_path):
        wait_until(lambda: not broker.messages() and not broker.redis.hlen("unacked"), "messages are left")
    events = trail.events()
    assert len(run(events, "paper.note")) == 4, "what the task did, it did each time"
    assert [event["resource"]["id"] for event in run(events)].count(task.id) == 1
    assert len(run(events)) == 2


@pytest.mark.defect("G-14")
def test_a_worker_killed_in_the_middle_loses_nothing_that_its_successor_ends(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    with worker(broker, trail, tmp_path) as killed:
        started = tmp_path / "started"
        hanging = tasks.hang.apply_async([str(started)], time_limit=None)
        wait_until(started.exists, "not started")
        killed.kill()
        killed.wait()
    with worker(broker, trail, tmp_path):
        tasks.note.delay("after").get(timeout=TIMEOUT_S)
    ended = run(trail.events())
    assert hanging.id not in {event["resource"]["id"] for event in ended}, "nobody claims that it ended"
    assert len(ended) == 1


def test_that_a_task_began_is_told_where_it_is_asked_for(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    late = tasks.note_late.delay("twice")
    (message,) = broker.messages()
    broker.redis.lpush("clinic", message)
    with worker(broker, trail, tmp_path, INDELIBLE_TASKS="starts") as killed:
        with indelible.context(actor="service:shop"):
            tasks.flaky.delay(1).get(timeout=TIMEOUT_S)
            started = tmp_path / "started"
            hanging = tasks.hang.apply_async([str(started)], time_limit=None)
        wait_until(started.exists, "not started")
        killed.kill()
        killed.wait()
    events = trail.events("task")
    assert [event["outcome"] for event in run(events, "task.start")] == ["success"] * 4
    assert [event["meta"]["retries"] for event in run(events, "task.start") if event["resource"]["label"].endswith("flaky")] == [0, 1]
    of_hanging = [event for event in events if event["resource"]["id"] == hanging.id]
    assert [(event["action"], event["actor"]["id"]) for event in of_hanging] == [("task.start", "shop")], "nobody claims that it ended"
    of_late = [event["action"] for event in events if event["resource"]["id"] == late.id]
    assert of_late == ["task.start", "task.run"], "once, however often it was delivered"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_worker_that_replaces_its_processes_and_is_told_to_stop_in_the_middle_loses_nothing(
    database: str, trail: Trail, broker: Broker, tmp_path: Path
) -> None:
    options = ("--pool", "prefork", "--concurrency", "3", "--max-tasks-per-child", "4", "--prefetch-multiplier", "1")
    asked = [tasks.create_doctor.delay("".join(pair)) for pair in itertools.product("abcdef", "abcdefgh")]
    with worker(broker, trail, tmp_path, *options) as process:
        wait_until(lambda: Doctor.objects.count() >= len(asked) // 2, "no doctors")
        process.terminate()
        process.wait(TIMEOUT_S)
    names = Counter(Doctor.objects.values_list("name", flat=True))
    assert max(names.values()) == 1
    owners = assert_streams(trail.data_dir, closed=True)
    assert len(owners) >= len(names) // 4, "the processes were replaced"
    assert all(len(streams) == 1 for streams in owners.values())
    records = trail.records()
    created = [record for record in records if record["event"]["action"] == "doctor.create"]
    assert {record["verdict"] for record in created} == {"committed"}
    assert Counter(record["event"]["changes"][1]["new"] for record in created) == names
    assert len(run([record["event"] for record in records])) == len(names)


def test_who_asked_follows_from_task_to_task(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    with (
        worker(broker, trail, tmp_path),
        indelible.context(actor="user:7", on_behalf_of="user:8", reason="ticket 42", meta={"batch": 3, "api_token": "hunter22secret"}),
    ):
        tasks.note_then.delay("first").get(timeout=TIMEOUT_S)
        (tasks.note.si("a") | tasks.note.si("b")).delay().get(timeout=TIMEOUT_S)
        wait_until(lambda: not broker.messages(), "messages are left")
        assert b"hunter22secret" not in b"".join(broker.redis.dump(key) or b"" for key in broker.redis.keys("*"))
    events = trail.events()
    assert len(run(events)) == 4
    actor = {"type": "user", "id": "7", "on_behalf_of": {"type": "user", "id": "8"}}
    for event in events:
        assert (event["actor"], event["reason"]) == (actor, "ticket 42")
        assert (event["meta"]["batch"], event["meta"]["api_token"]) == (3, "[masked]")


def test_the_broker_never_sees_a_secret(trail: Trail, broker: Broker) -> None:
    with indelible.context(actor="user:7", meta={"api_token": "hunter22secret", "text": "Bearer abcdefghijklmnopqrstuvwxyz012345"}):
        tasks.note.delay()
    (message,) = broker.messages()
    assert b"hunter22secret" not in message
    assert b"abcdefghijklmnop" not in message


def test_a_context_that_is_too_large_stays_behind_and_says_so(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    with indelible.context(actor="user:7", reason="ticket 42", meta={"text": "long " * 10_000}):
        tasks.note.delay()
    (message,) = broker.messages()
    assert len(message) < 2 * indelible.messages.CONTEXT_BYTES_MAX
    with worker(broker, trail, tmp_path):
        wait_until(lambda: not broker.messages(), "messages are left")
    (ended,) = run(trail.events())
    assert (ended["actor"]["id"], ended["reason"]) == ("7", "ticket 42")
    assert ended["notes"] == ["meta not carried: too large"]


@pytest.mark.defect("H12")
def test_beat_and_a_plain_program_are_the_system(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    tasks.note.delay("plain")
    log = tmp_path / "beat.log"
    env = environment(trail.data_dir, TASKS_BROKER=broker.url, TASKS_SCHEDULE=str(tmp_path / "schedule"))
    with running(["-m", "celery", "-A", "testproject.tasks", "beat", "--loglevel", "info"], env, log):
        wait_until(lambda: len(broker.messages()) > 1, log.read_text)
    with worker(broker, trail, tmp_path):
        wait_until(lambda: not broker.messages(), "messages are left")
    plain, *scheduled = [event["actor"] for event in trail.events() if event["action"] == "paper.note"]
    assert plain == _context.process_facts().actor
    assert scheduled == [{"type": "system", "id": "beat"}] * len(scheduled)
    assert scheduled


def test_a_message_without_our_header_is_the_work_of_the_task_itself(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    for header in (None, {"context": "{broken", "published_ms": 1}, {"context": '{"actor":{"type":"root"}}', "published_ms": 1}, "text"):
        tasks.note.delay()
        message = json.loads(broker.redis.lpop("clinic"))
        del message["headers"]["indelible"]
        if header is not None:
            message["headers"]["indelible"] = header
        broker.redis.lpush("foreign", json.dumps(message))
    with worker(broker, trail, tmp_path, "--pool", "solo", "-Q", "foreign"):
        wait_until(lambda: not broker.redis.llen("foreign"), "messages are left")
    actors = [event["actor"] for event in run(trail.events())]
    assert actors == [{"type": "system", "id": "testproject.tasks.note"}] + [{"type": "unresolved"}] * 3


def test_messages_that_no_task_can_take_are_recorded(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    tasks.app.send_task("testproject.tasks.gone")
    broken = json.loads(broker.messages()[0])
    tasks.note.delay("last")
    with worker(broker, trail, tmp_path):
        wait_until(lambda: not broker.messages(), "messages are left")
    (rejected,) = run(trail.events(), "task.reject")
    assert (rejected["outcome"], rejected["error"]["type"]) == ("failure", "NotRegistered")
    assert rejected["resource"] == {"type": "task", "id": broken["headers"]["id"], "label": "testproject.tasks.gone"}


def test_a_task_called_in_place_has_the_facts_of_its_caller(trail: Trail) -> None:
    indelible.celery.connect()
    with indelible.context(actor="user:7", meta={"batch": 1}):
        tasks.note.apply(["eager"])
        indelible.record("paper.read")
    noted, ended, after = trail.events()
    assert (noted["actor"]["id"], noted["meta"]["batch"], noted["meta"]["source"]) == ("7", 1, "task")
    assert (ended["action"], ended["actor"]["id"]) == ("task.run", "7")
    assert after["meta"] == {"batch": 1}
    assert _context.current_facts() is _context.process_facts(), "nothing of the task stays behind"


def test_a_task_published_in_a_transaction_that_is_rolled_back_still_knows_its_origin(
    database: str, trail: Trail, broker: Broker, tmp_path: Path
) -> None:
    with indelible.context(actor="user:7"), transaction.atomic():
        Doctor.objects.create(name="Gone")
        tasks.create_doctor.delay("Kept")
        transaction.set_rollback(True)
    with worker(broker, trail, tmp_path):
        wait_until(Doctor.objects.filter(name="Kept").exists, "no doctor")
    (created,) = trail.changes()
    assert (created["actor"]["id"], created["changes"][1]["new"]) == ("7", "Kept")


@pytest.mark.scenario(34)
@pytest.mark.defect("F-3", "F-10", "F-11", "G-1")
def test_a_dead_broker_delays_no_save_and_loses_no_event(
    database: str, trail: Trail, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = kombu.Connection(f"amqp://127.0.0.1:{free_port()}//")
    asked: list[object] = []
    with monkeypatch.context() as patched:
        # Celery's clients are Python; that of the database is not.
        patched.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
        for number in range(20):
            Doctor.objects.create(name=f"Doctor {number}")
        for _ in range(100):
            signals.before_task_publish.send(sender="never", headers={})
    assert asked == [], "neither a save nor what we do before a task is sent asks anybody"
    with pytest.raises(tasks.create_doctor.OperationalError):
        tasks.create_doctor.apply_async(["never"], retry=False, connection=dead)
    assert len(trail.changes()) == 20


def test_without_django_a_worker_records_too(trail: Trail, broker: Broker, tmp_path: Path) -> None:
    variables = {"INDELIBLE_SERVICE": "tests", "DJANGO_SETTINGS_MODULE": ""}
    pool = ("--pool", "prefork", "--concurrency", "1")
    with worker(broker, trail, tmp_path, *pool, **variables, TASKS_WITHOUT_DJANGO="1"), indelible.context(actor="user:7"):
        tasks.note.delay("plain").get(timeout=TIMEOUT_S)
    noted, ended = sorted(trail.events(), key=lambda event: event["action"])
    assert (noted["action"], noted["actor"]["id"], noted["source"]["process_kind"]) == ("paper.note", "7", "worker")
    assert (ended["action"], ended["actor"]["id"]) == ("task.run", "7")


@in_loop
async def _publish_in_loop(user: User) -> None:
    client = AsyncClient()
    await sync_to_async(client.force_login)(user)
    response = await client.post("/tasks/create-async", {"name": "Ada"}, headers={"x-request-id": "origin-async"})
    assert response.status_code == 202


@pytest.mark.scenario(25)
def test_a_task_queued_in_an_async_view_carries_its_user_and_request(database: str, trail: Trail, broker: Broker) -> None:
    user = User.objects.create_user("ana")
    _publish_in_loop(user)
    (message,) = broker.messages()
    carried = json.loads(json.loads(message)["headers"]["indelible"]["context"])
    assert (carried["actor"]["id"], carried["request_id"]) == (str(user.pk), "origin-async")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_app_connects_where_celery_is_imported_unless_the_site_wants_no_tasks(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(indelible.celery, "connect", lambda: calls.append(True))
    monkeypatch.setenv("INDELIBLE_TASKS", str(enabled).lower())
    apps.configure(conf.reload())
    apps._connect_celery()
    monkeypatch.setitem(sys.modules, "celery", None)
    monkeypatch.delitem(sys.modules, "celery")
    apps._connect_celery()
    assert calls == [True] * enabled


def test_connecting_again_changes_nothing() -> None:
    indelible.celery.connect()
    before = [len(signal.receivers) for signal in (signals.before_task_publish, signals.task_prerun, signals.task_postrun)]
    indelible.celery.connect()
    assert [len(signal.receivers) for signal in (signals.before_task_publish, signals.task_prerun, signals.task_postrun)] == before


@pytest.mark.scenario(38)
def test_without_celery_a_clear_message_appears_only_when_it_is_used(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['celery'] = None\n"
        "import indelible.celery\n"
        "try: indelible.celery.connect()\n"
        "except indelible.IndelibleError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "python")}
    )
    assert done.stdout == "Celery is not installed: pip install 'indelible[celery]'\n"
