"""WebSocket connections of channels: one event each, and what a consumer writes belongs to its connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import path

from in_loop import in_loop
from indelible.django import AuditWebsocketMiddleware
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")

DEADLINE_S = 10


class Ward(AsyncWebsocketConsumer):
    """Does what it is told."""

    async def connect(self) -> None:
        if b"refuse" in self.scope["query_string"]:
            await self.close()
        else:
            await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            await self.close(code=4001)
        elif text_data == "fail":
            raise LookupError("no bed left")
        else:
            await database_sync_to_async(Group.objects.create)(name=text_data)
            await self.send(text_data="secret-of-the-answer")


class SyncWard(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        Group.objects.create(name=text_data)
        self.send(text_data="done")


ROUTES = [
    path("wards/", Ward.as_asgi()),
    path("sync/", SyncWard.as_asgi()),
    path("beds/", URLRouter([path("<int:bed>/<str:token>/", Ward.as_asgi())])),
]


def connect(url: str = "/wards/", query: bytes = b"", cookie: str = "", root_path: str = "", **headers: str) -> ApplicationCommunicator:
    application = AuthMiddlewareStack(AuditWebsocketMiddleware(AllowedHostsOriginValidator(URLRouter(ROUTES))))
    scope = {
        "type": "websocket",
        "path": url,
        "root_path": root_path,
        "query_string": query,
        "headers": [(b"host", b"testserver"), (b"cookie", cookie.encode()), (b"x-request-id", b"ws-1"), (b"user-agent", b"browser")]
        + [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("10.1.2.3", 4711),
        "subprotocols": [],
    }
    return ApplicationCommunicator(application, scope)


async def opened(server: ApplicationCommunicator) -> dict[str, Any]:
    await server.send_input({"type": "websocket.connect"})
    answer: dict[str, Any] = await server.receive_output(DEADLINE_S)
    return answer


async def left(server: ApplicationCommunicator, code: int) -> None:
    await server.send_input({"type": "websocket.disconnect", "code": code})
    await server.wait(DEADLINE_S)


@pytest.mark.parametrize("url", ["/wards/", "/sync/"])
@in_loop
async def test_a_connection_is_one_event_and_its_writes_belong_to_it(trail: Trail, url: str) -> None:
    user = await User.objects.acreate(username="ana")
    browser = Client()
    await database_sync_to_async(browser.force_login)(user)
    trail.forget()
    cookie = browser.cookies[django_settings.SESSION_COOKIE_NAME].value
    server = connect(url, cookie=f"{django_settings.SESSION_COOKIE_NAME}={cookie}")
    assert (await opened(server))["type"] == "websocket.accept"
    for name in ("one", "two"):
        await server.send_input({"type": "websocket.receive", "text": name})
        await server.receive_output(DEADLINE_S)
    await left(server, 1000)
    *changes, request = trail.events()
    assert [change["action"] for change in changes] == ["group.create"] * 2
    for event in (*changes, request):
        assert event["request"]["id"] == "ws-1"
        assert (event["actor"]["type"], event["actor"]["label"]) == ("user", "ana")
    assert (request["action"], request["outcome"]) == ("request.websocket", "success")
    assert request["meta"] == {"close_code": 1000, "closed_by": "client", "received": 2, "sent": 2}
    parts = request["request"]
    assert (parts["method"], parts["path"], parts["status"], parts["client_ip"]) == ("WEBSOCKET", url, 101, "10.1.2.3")
    assert parts["duration_us"] > 0
    assert "secret-of-the-answer" not in str(request)


@in_loop
async def test_rules_see_route_and_user_and_no_token_of_path_or_protocols_is_stored(trail: Trail, settings: Any) -> None:
    rules = [{"route": "/beds/:bed/:token/", "user": "staff", "level": "request"}, {"user": "anonymous", "level": "none"}]
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"rules": rules}}
    user = await User.objects.acreate(username="ana", is_staff=True)
    browser = Client()
    await database_sync_to_async(browser.force_login)(user)
    trail.forget()
    cookie = f"{django_settings.SESSION_COOKIE_NAME}={browser.cookies[django_settings.SESSION_COOKIE_NAME].value}"
    for visitor, protocols in (
        ("", "chat"),
        (cookie, "chat, access_token, c0ffee"),
        (cookie, f"chat, c0ffee{'0' * 26}"),
        (cookie, "chat, v2"),
    ):
        server = connect("/beds/7/c0ffee-of-the-test/", cookie=visitor, sec_websocket_protocol=protocols)
        await opened(server)
        await left(server, 1000)
    events = trail.events()
    assert "c0ffee" not in str(events)
    assert {(event["request"]["route"], event["request"]["path"]) for event in events} == {("/beds/:bed/:token/", "/beds/7/[masked]/")}
    told = [event["request"]["headers"]["sec-websocket-protocol"] for event in events]
    assert told == ["chat, [masked]", "chat, [masked]", "chat, v2"]


@in_loop
async def test_a_site_below_a_prefix_has_its_routes_and_masks_their_tokens(trail: Trail) -> None:
    server = connect("/ward-site/beds/7/c0ffee-of-the-test/", root_path="/ward-site")
    await opened(server)
    await left(server, 1000)
    (event,) = trail.events()
    assert (event["request"]["route"], event["request"]["path"]) == ("/beds/:bed/:token/", "/ward-site/beds/7/[masked]/")


@in_loop
async def test_inside_of_a_router_the_rest_of_the_path_is_looked_at_and_no_token_of_either_is_stored(trail: Trail) -> None:
    inner = AuditWebsocketMiddleware(URLRouter([path("<int:bed>/<str:token>/", Ward.as_asgi())]))
    # As the outer router hands it on that has matched ``wards/<str:password>/``.
    scope = {
        "type": "websocket",
        "path": "/wards/c0ffee-of-the-ward/7/c0ffee-of-the-bed/",
        "path_remaining": "7/c0ffee-of-the-bed/",
        "url_route": {"args": (), "kwargs": {"password": "c0ffee-of-the-ward"}},
        "query_string": b"",
        "headers": [],
    }
    server = ApplicationCommunicator(inner, scope)
    await opened(server)
    await left(server, 1000)
    (event,) = trail.events()
    assert (event["request"]["route"], event["request"]["path"]) == ("/:bed/:token/", "/wards/[masked]/7/[masked]/")


@in_loop
async def test_a_refused_connection_is_denied(trail: Trail) -> None:
    server = connect(query=b"refuse&token=t0p-secret")
    assert (await opened(server))["type"] == "websocket.close"
    await left(server, 1006)
    (event,) = trail.events()
    assert (event["outcome"], event["request"]["status"], event["meta"]["closed_by"]) == ("denied", 403, "server")
    assert "t0p-secret" not in str(event)
    assert event["actor"]["type"] == "anonymous"


@pytest.mark.parametrize(("code", "outcome"), [(1000, "success"), (1001, "success"), (1006, "aborted"), (1008, "denied")])
@in_loop
async def test_the_close_code_of_the_client_decides_the_outcome(trail: Trail, code: int, outcome: str) -> None:
    server = connect()
    await opened(server)
    await left(server, code)
    (event,) = trail.events()
    assert (event["outcome"], event["meta"]["close_code"]) == (outcome, code)


@in_loop
async def test_a_server_that_closes_says_why(trail: Trail) -> None:
    server = connect()
    await opened(server)
    await server.send_input({"type": "websocket.receive", "text": "close"})
    assert (await server.receive_output(DEADLINE_S))["code"] == 4001
    await left(server, 4001)
    (event,) = trail.events()
    assert event["meta"] == {"close_code": 4001, "closed_by": "server", "received": 1, "sent": 0}


@in_loop
async def test_a_consumer_that_fails_is_a_failure_and_the_error_reaches_the_server(trail: Trail) -> None:
    server = connect()
    await opened(server)
    await server.send_input({"type": "websocket.receive", "text": "fail"})
    with pytest.raises(LookupError):
        await server.wait(DEADLINE_S)
    (event,) = trail.events()
    assert (event["outcome"], event["error"]["type"], event["error"]["message"]) == ("failure", "LookupError", "no bed left")
    assert event["error"]["place"].startswith("test_requests_websocket.py:")


@in_loop
async def test_a_server_that_stops_leaves_an_aborted_connection_and_no_context(trail: Trail) -> None:
    server = connect()
    await opened(server)
    server.stop(exceptions=False)
    with pytest.raises(asyncio.CancelledError):
        await server.future
    await Group.objects.acreate(name="after")
    connection, change = trail.events()
    assert connection["outcome"] == "aborted"
    assert "request" not in change
