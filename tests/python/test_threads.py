"""Threads and queues beside Celery: what they record has the actor and request of whoever asked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client

import indelible
from in_loop import in_loop
from indelible.threads import ContextThreadPoolExecutor, wrap
from trails import Trail


def note(text: str) -> None:
    indelible.record("paper.note", meta={"text": text})


def noted(trail: Trail) -> dict[str, tuple[str, str]]:
    return {event["meta"]["text"]: (event["actor"]["type"], event["actor"]["id"]) for event in trail.events("action")}


@pytest.mark.defect("H12")
def test_a_wrapped_function_has_the_context_of_the_moment_it_was_wrapped_in(trail: Trail) -> None:
    with indelible.context(actor="user:7"):
        wrapped = wrap(note)
        thread = threading.Thread(target=wrapped, args=["thread"])
        bare = threading.Thread(target=note, args=["bare"])
    for started in (thread, bare):
        started.start()
        started.join()
    assert noted(trail)["thread"] == ("user", "7")
    assert noted(trail)["bare"][0] == "system"


def test_a_wrapped_function_may_run_in_several_threads_at_once(trail: Trail) -> None:
    both = threading.Barrier(2, timeout=20)

    def meet(text: str) -> None:
        both.wait()
        note(text)

    with indelible.context(actor="user:7"), ThreadPoolExecutor(2) as pool:
        list(pool.map(wrap(meet), ["a", "b"]))
    assert noted(trail) == {"a": ("user", "7"), "b": ("user", "7")}


def test_an_executor_runs_each_function_in_the_context_of_whoever_submitted_it(trail: Trail) -> None:
    with ContextThreadPoolExecutor(1) as pool:
        for number in range(3):
            with indelible.context(actor=f"user:{number}"):
                pool.submit(note, f"submitted {number}").result()
                list(pool.map(note, [f"mapped {number}"]))
        assert pool.submit(int, "11", base=2).result() == 3
    expected = {f"{how} {number}": ("user", str(number)) for how in ("submitted", "mapped") for number in range(3)}
    assert noted(trail) == expected


def test_a_thread_started_in_a_request_has_its_request_and_user(database: str, trail: Trail) -> None:
    user = User.objects.create_user("ana")
    client = Client(headers={"x-request-id": "origin-2"})
    client.force_login(user)
    trail.forget()
    assert client.post("/threads/note").status_code == 200
    (event,) = trail.events("action")
    assert (event["actor"]["id"], event["request"]["id"]) == (str(user.pk), "origin-2")


@in_loop
async def _note_in_thread() -> None:
    with indelible.context(actor="user:7"):
        await sync_to_async(note)("sync_to_async")


def test_sync_to_async_takes_the_context_along(trail: Trail) -> None:
    _note_in_thread()
    assert noted(trail) == {"sync_to_async": ("user", "7")}
