"""Queues beside Celery: the recipes of docs/tasks-and-logs.md, as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
import rq
from dramatiq.brokers.stub import StubBroker

import indelible
from indelible import messages
from indelible.django import apps, conf
from trails import Trail

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.defect("H12", "F-16"), pytest.mark.xdist_group("celery")]


def note(text: str) -> None:
    if text == "fail":
        raise ValueError("refused")
    indelible.record("paper.note", meta={"text": text})


def recipe(title: str) -> dict[str, Any]:
    """What the Python of a chapter of the document defines."""
    document = (ROOT / "docs" / "tasks-and-logs.md").read_text()
    chapter = document.split(f"### {title}\n", 1)[1]
    (code,) = re.findall(r"```python\n(.*?)```", chapter.split("\n### ")[0].split("\n## ")[0], re.DOTALL)
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(code, title, "exec"), names)
    return names


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    folder, script = tempfile.mkdtemp(prefix="indelible-redis-"), str(ROOT / "scripts" / "redis")
    started = subprocess.run([script, "start", f"{folder}/server"], capture_output=True, text=True, check=False)
    if started.returncode != 0:
        pytest.fail(started.stderr)
    yield redis.Redis(port=int(started.stdout))
    subprocess.run([script, "stop", f"{folder}/server"], check=True)
    shutil.rmtree(folder)


def check(trail: Trail, function: str) -> None:
    noted, ended, failed = trail.events()
    assert (noted["action"], noted["actor"], noted["reason"]) == ("paper.note", {"type": "user", "id": "7"}, "ticket 42")
    assert (noted["meta"]["source"], noted["meta"]["task_id"]) == ("task", ended["resource"]["id"])
    assert (ended["action"], ended["outcome"], ended["actor"]["id"]) == ("task.run", "success", "7")
    assert ended["resource"]["label"].endswith(function)
    assert (failed["outcome"], failed["error"]) == ("failure", {"type": "ValueError", "message": "refused"})


def test_rq_takes_the_context_along(trail: Trail, connection: Any) -> None:
    job_class = recipe("RQ")["AuditedJob"]
    queue = rq.Queue(connection=connection, job_class=job_class)
    with indelible.context(actor="user:7", reason="ticket 42"):
        queue.enqueue(note, "noted")
        queue.enqueue(note, "fail")
    rq.SimpleWorker([queue], connection=connection, job_class=job_class).work(burst=True)
    check(trail, "note")


def test_dramatiq_takes_the_context_along(trail: Trail) -> None:
    broker = StubBroker()
    broker.add_middleware(recipe("dramatiq")["Audited"]())
    actor = dramatiq.actor(note, broker=broker, max_retries=0)
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
    with indelible.context(actor="user:7", reason="ticket 42"):
        actor.send("noted")
        actor.send("fail")
    worker.start()
    try:
        broker.join(actor.queue_name, fail_fast=False, timeout=20_000)
        worker.join()
    finally:
        worker.stop()
    check(trail, "note")


def test_a_message_that_is_worked_on_twice_is_told_once(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDELIBLE_ON_ERROR", "degrade")
    apps.configure(conf.reload())
    with indelible.context(actor="user:7"):
        message = messages.carried()
    for number in range(2):
        with messages.work(message, name="note", id="1"):
            note(f"time {number}")
    with pytest.raises(SystemExit), messages.work(message, name="note", id="1"):
        raise SystemExit
    for broken in (None, "", "{broken", "[]", '{"context": "{}", "published_ms": 1}'):
        with messages.work(broken, name="nightly", id="2"):
            pass
    ends = trail.events("task")
    assert [(event["outcome"], event["actor"]["type"]) for event in ends] == [
        ("success", "user"),
        ("aborted", "user"),
        ("success", "system"),
        ("success", "system"),
        *[("success", "unresolved")] * 3,
    ]
    assert ends[2]["actor"]["id"] == "nightly"
