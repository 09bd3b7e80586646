"""Tasks of the test site; with ``TASKS_WITHOUT_DJANGO`` the same application in a process that has no Django."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import Ignore, Reject

import indelible
import indelible.celery

BROKER = os.environ.get("TASKS_BROKER", "memory://")
app = Celery("tasks", broker=BROKER, backend=os.environ.get("TASKS_BACKEND", "cache+memory://"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_default_queue="clinic",
    worker_cancel_long_running_tasks_on_connection_loss=True,
    beat_schedule={"every second": {"task": "testproject.tasks.note", "schedule": 1.0}},
    beat_schedule_filename=os.environ.get("TASKS_SCHEDULE", "schedule"),
)
if "TASKS_WITHOUT_DJANGO" in os.environ:
    # The one line; in a Django site the app does it.
    indelible.celery.connect()


@app.task
def create_doctor(name: str) -> int:
    from testproject.models import Doctor

    key: int = Doctor.objects.create(name=name).pk
    return key


@app.task
def note(text: str = "noted") -> str:
    indelible.record("paper.note", meta={"text": text})
    return text


@app.task
def note_then(text: str) -> None:
    """Asks for another task."""
    note.delay(text)


@app.task(acks_late=True, reject_on_worker_lost=True)
def note_late(text: str) -> str:
    return note(text)


@app.task
def fail(message: str) -> None:
    raise ValueError(message)


@app.task(bind=True, max_retries=3)
def flaky(self: Any, failures: int) -> str:
    if self.request.retries < failures:
        raise self.retry(exc=ConnectionError("not yet"), countdown=0)
    return "done"


@app.task
def ignore() -> None:
    raise Ignore


@app.task(acks_late=True)
def reject() -> None:
    raise Reject("not mine", requeue=False)


@app.task
def die() -> None:
    os._exit(1)


@app.task(time_limit=1)
def hang(started: str) -> None:
    Path(started).touch()
    while True:
        time.sleep(0.1)
