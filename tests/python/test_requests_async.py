"""Many requests at once on one event loop, and clients that go away."""

from __future__ import annotations

import asyncio
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncClient

from in_loop import in_loop
from testproject import views_requests
from trails import Trail, fields

pytestmark = pytest.mark.usefixtures("database")

CONCURRENT = 50
DEADLINE_S = 10


@pytest.mark.defect("H12")
@pytest.mark.scenario(20)
@in_loop
async def test_fifty_users_at_once_keep_their_own_names_and_ids(trail: Trail) -> None:
    users = [await User.objects.acreate(username=f"user-{number}") for number in range(CONCURRENT)]
    browsers = [AsyncClient() for _ in users]
    for browser, user in zip(browsers, users, strict=True):
        await sync_to_async(browser.force_login)(user)

    responses = await asyncio.gather(*(browser.post(f"/write-async/row-{number}/") for number, browser in enumerate(browsers)))

    ids = {response.content.decode(): response.headers["X-Request-ID"] for response in responses}
    assert len(set(ids.values())) == CONCURRENT
    changes = [event for event in trail.events() if event["action"] == "group.create"]
    assert len(changes) == 2 * CONCURRENT
    for change in changes:
        name = fields(change)["name"][1].removesuffix("-again")
        number = int(name.removeprefix("row-"))
        assert change["request"]["id"] == ids[name]
        assert (change["actor"]["id"], change["actor"]["label"]) == (str(users[number].pk), f"user-{number}")
    by_id = {event["request"]["id"]: event for event in trail.events("request")}
    for name, request_id in ids.items():
        assert by_id[request_id]["actor"]["label"] == name.replace("row", "user")


def leave_it_to_you(request: Any) -> None:
    """An ``ACTOR`` that knows nobody."""


@pytest.mark.parametrize("site", [{}, {"ACTOR": f"{__name__}.leave_it_to_you"}])
@in_loop
async def test_an_event_recorded_in_the_loop_waits_for_no_query(trail: Trail, settings: Any, site: dict[str, str]) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, **site}
    user = await User.objects.acreate(username="ana")
    browser = AsyncClient()
    await sync_to_async(browser.force_login)(user)
    response = await browser.post("/record-in-loop/")
    assert response.json() == {"status": "at"}
    (action,), (request,) = trail.events("action"), trail.events("request")
    assert action["action"] == "bed.reserve"
    # In the loop nobody may ask the database; the session joins the two.
    assert action["actor"] == {"type": "unresolved", "session": request["actor"]["session"]}
    assert (request["actor"]["type"], request["actor"]["label"]) == ("user", "ana")


@pytest.mark.skipif(django.VERSION < (5, 0), reason="Django 4.2 lets a view run on when its client has gone")
@in_loop
async def test_a_cancelled_request_is_recorded_as_aborted(trail: Trail) -> None:
    views_requests.waiting.clear()
    server = ApplicationCommunicator(ASGIHandler(), http_scope("/wait-forever/"))
    await server.send_input({"type": "http.request", "body": b""})
    assert await asyncio.to_thread(views_requests.waiting.wait, DEADLINE_S)
    await server.send_input({"type": "http.disconnect"})
    await server.wait(DEADLINE_S)
    (event,) = trail.events("request")
    assert (event["outcome"], event["error"]["type"]) == ("aborted", "CancelledError")
    assert "status" not in event["request"]


def http_scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "client": ("127.0.0.1", 4711),
    }
