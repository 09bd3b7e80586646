"""Many users at once over sockets: under uvicorn on one event loop, under gunicorn's gevent worker in one thread; and WebSockets."""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Request, TextMessage

import journal
from servers import answers, environment, free_port, running, wait_until
from trails import Trail, fields

USERS = 50
EACH = 4
MET = 20
DEADLINE_S = 60

UVICORN = ["uvicorn", "--port", "{port}", "--ws", "wsproto", "testproject.crowded_entry:asgi"]
GEVENT = ["gunicorn", "--bind", "127.0.0.1:{port}", "--worker-class", "gevent", "testproject.crowded_entry:wsgi"]


class Crowd:
    """A running server, users who are signed in, and what was recorded."""

    def __init__(self, port: int, trail: Trail, users: int) -> None:
        self.port, self._trail = port, trail
        self.users = [User.objects.create(username=f"user-{number}") for number in range(users)]
        self.cookies = [self._signed_in(user) for user in self.users]

    def _signed_in(self, user: User) -> str:
        browser = Client()
        browser.force_login(user)
        return f"{django_settings.SESSION_COOKIE_NAME}={browser.cookies[django_settings.SESSION_COOKIE_NAME].value}"

    def events(self, requests: int) -> list[dict[str, Any]]:
        """Everything that was recorded, when there are so many requests."""

        def recorded() -> list[dict[str, Any]]:
            try:
                return journal.events(self._trail.data_dir, "tests")
            except struct.error:
                # The server has made the file and not written its header yet.
                return []

        def count() -> int:
            return sum(event["kind"] == "request" for event in recorded())

        wait_until(lambda: count() >= requests, lambda: f"{count()} of {requests} requests recorded")
        return recorded()

    def assert_own_names(self, events: list[dict[str, Any]], model: str, field: str, written: dict[str, str]) -> None:
        """Each request and both of its writes name the user who made it. ``written``: the id of each request by what it wrote."""
        by_request = {request: name for name, request in written.items()}
        changes = [event for event in events if event["action"] == f"{model}.create" and "request" in event]
        requests = [event for event in events if event["kind"] == "request"]
        assert (len(changes), len(requests), len(by_request)) == (2 * len(written), len(written), len(written))
        for event in [*changes, *requests]:
            name = by_request[event["request"]["id"]]
            user = self.users[int(name.split("-")[1])]
            assert (event["actor"]["type"], event["actor"]["id"], event["actor"]["label"]) == ("user", str(user.pk), user.username)
            if event["kind"] == "change":
                assert fields(event)[field][1].removesuffix("-again") == name


@pytest.fixture
def served(request: pytest.FixtureRequest, trail: Trail, tmp_path: Path) -> Iterator[int]:
    """The port of the server that the test is parametrized with, in the databases of the test."""
    request.getfixturevalue("database")
    port, log = free_port(), tmp_path / "server.log"
    env = environment(trail.data_dir, DJANGO_SETTINGS_MODULE="testproject.crowded")
    with running(["-m", *(argument.format(port=port) for argument in request.param)], env, log):
        wait_until(lambda: answers(port), log.read_text)
        yield port


@pytest.mark.scenario(20)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("served", [UVICORN], indirect=True, ids=["uvicorn"])
def test_fifty_users_at_once_over_sockets_are_told_apart(database: str, served: int, trail: Trail) -> None:
    crowd = Crowd(served, trail, USERS)

    async def visit() -> dict[str, str]:
        names = {f"row-{number}-{turn}": crowd.cookies[number] for turn in range(EACH) for number in range(USERS)}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{served}", timeout=DEADLINE_S, limits=httpx.Limits(max_connections=USERS)
        ) as client:
            posted = (client.post(f"/write-async/{name}/", headers={"cookie": cookie}) for name, cookie in names.items())
            return {answer.text: answer.headers["X-Request-ID"] for answer in await asyncio.gather(*posted)}

    written = asyncio.run(visit())
    assert len(written) == USERS * EACH
    crowd.assert_own_names(crowd.events(USERS * EACH), "group", "name", written)


@pytest.mark.parametrize("served", [GEVENT], indirect=True, ids=["gevent"])
def test_greenlets_of_one_thread_are_told_apart(database: str, served: int, trail: Trail, tmp_path: Path) -> None:
    """All requests are in their views at the same time, between two writes of each: in one process, one thread."""
    crowd = Crowd(served, trail, MET)
    until = tmp_path / "met"
    written: dict[str, str] = {}

    def visit(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served, timeout=DEADLINE_S)
        connection.request("POST", f"/gather/row-{number}/?until={until}", headers={"cookie": crowd.cookies[number]})
        response = connection.getresponse()
        written[response.read().decode()] = response.headers["X-Request-ID"]
        connection.close()

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(MET)]
    for visitor in visitors:
        visitor.start()
    wait_until(lambda: len(list(tmp_path.glob("waits-*"))) == MET, "all of them are in their views")
    until.touch()
    for visitor in visitors:
        visitor.join(DEADLINE_S)
    crowd.assert_own_names(crowd.events(MET), "doctor", "name", written)
    processes = {event["source"]["process"] for event in journal.events(trail.data_dir, "tests") if event["kind"] == "request"}
    assert len(processes) == 1


class Socket:
    """A WebSocket client."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self.send(Request(host=f"127.0.0.1:{port}", target=path, extra_headers=[(b"cookie", cookie.encode())]))
        self.next(AcceptConnection)

    def send(self, event: Event) -> None:
        self._socket.sendall(self._protocol.send(event))

    def next(self, kind: type[Event]) -> Any:
        """The next event, which must be of this kind."""
        while (event := next(self._protocol.events(), None)) is None:
            data = self._socket.recv(65_536)
            self._protocol.receive_data(data or None)
        assert isinstance(event, kind), event
        return event

    def close(self) -> None:
        self._socket.close()


# Of a connection that is lost, uvicorn with wsproto says what it says of one that was closed without a code.
WAYS = [("server", 4001, "server"), ("client", 1000, "client"), ("lost", 1005, "client")]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("served", [UVICORN], indirect=True, ids=["uvicorn"])
@pytest.mark.parametrize(("way", "code", "by"), WAYS)
def test_a_connection_over_a_socket_is_one_event_and_its_changes_belong_to_it(
    database: str, served: int, trail: Trail, way: str, code: int, by: str
) -> None:
    crowd = Crowd(served, trail, 1)
    client = Socket(served, "/wards/", crowd.cookies[0])
    for name in ("ward-1", "ward-2"):
        client.send(TextMessage(data=name))
        assert client.next(TextMessage).data == f"made {name}"
    if way == "server":
        client.send(TextMessage(data="close"))
        assert client.next(CloseConnection).code == code
    elif way == "client":
        client.send(CloseConnection(code=code))
        client.next(CloseConnection)
    client.close()
    events = crowd.events(1)
    (connection,) = (event for event in events if event["kind"] == "request")
    changes = [event for event in events if event["action"] == "group.create"]
    assert (connection["action"], connection["outcome"], connection["request"]["status"]) == ("request.websocket", "success", 101)
    assert connection["meta"] == {"close_code": code, "closed_by": by, "received": 2 + (way == "server"), "sent": 2}
    assert [fields(change)["name"][1] for change in changes] == ["ward-1", "ward-2"]
    for event in (connection, *changes):
        assert event["request"]["id"] == connection["request"]["id"]
        assert (event["actor"]["type"], event["actor"]["label"]) == ("user", "user-0")
