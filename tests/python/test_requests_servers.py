"""Requests as real servers hand them over: bodies, streams, files, and clients that go away."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest

import journal
from servers import answers, environment, free_port, running, wait_until
from testproject import views_bodies
from trails import Trail

LARGE = views_bodies.LARGE
SERVERS = {
    "runserver": ["django", "runserver", "--noreload", "--skip-checks", "127.0.0.1:{port}"],
    "gunicorn sync": ["gunicorn", "--bind", "127.0.0.1:{port}", "testproject.entry:wsgi"],
    "gunicorn gthread": ["gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "2", "testproject.entry:wsgi"],
    "uvicorn": ["uvicorn", "--port", "{port}", "testproject.entry:asgi"],
    "granian wsgi": ["granian", "--interface", "wsgi", "--port", "{port}", "testproject.entry:wsgi"],
    "granian asgi": ["granian", "--interface", "asgi", "--port", "{port}", "testproject.entry:asgi"],
}
UNDER_ASGI = {"uvicorn", "granian asgi"}


class Server:
    """A running server and what it has recorded so far."""

    def __init__(self, name: str, port: int, trail: Trail) -> None:
        self.name, self.port, self._trail = name, port, trail

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def requests(self, count: int) -> list[dict[str, Any]]:
        """The requests recorded, when there are so many."""

        def recorded() -> list[dict[str, Any]]:
            try:
                return [event for event in journal.events(self._trail.data_dir, "tests") if event["kind"] == "request"]
            except struct.error:
                # The server has made the file and not written its header yet.
                return []

        wait_until(lambda: len(recorded()) >= count, lambda: f"{len(recorded())} of {count} requests recorded")
        return recorded()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, trail: Trail, tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    env = environment(trail.data_dir, DJANGO_SETTINGS_MODULE="testproject.settings", INDELIBLE_REQUESTS='{"level": "request_response"}')
    arguments = ["-m", *(argument.format(port=port) for argument in SERVERS[request.param])]
    with running(arguments, env, tmp_path / "server.log"):
        wait_until(lambda: answers(port), lambda: (tmp_path / "server.log").read_text())
        yield Server(request.param, port, trail)


@pytest.mark.scenario(16)
@pytest.mark.defect("A-18", "A-19", "A-20")
def test_bodies_streams_and_files_are_whole_and_measured(server: Server) -> None:
    body = json.dumps({"name": "Ana", "password": "x1y2"}).encode()
    status, _ = server.ask("POST", "/bodies/parsed/", body, Content_Type="application/json", X_Request_ID="r-1", Authorization="Token x1y2")
    assert status == 201
    assert server.ask("GET", "/bodies/answer/streamed/text/") == (200, LARGE)
    source = Path(views_bodies.__file__).read_bytes()
    assert server.ask("GET", "/bodies/answer/file/") == (200, source)
    posted, streamed, file = (event["request"] for event in server.requests(3))
    assert (posted["id"], posted["client_ip"], posted["status"]) == ("r-1", "127.0.0.1", 201)
    assert posted["body"] == {"name": "Ana", "password": "[masked]"}
    assert posted["response"] == {"keys": ["name", "password"]}
    assert posted["headers"]["authorization"] == "[masked]"
    assert (streamed["response_bytes"], streamed["response"]["sha256"]) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    # A server that sends the file by its descriptor does not always move it.
    assert file.get("response_bytes", len(source)) == len(source)


def test_a_client_that_goes_away_leaves_an_aborted_request(server: Server) -> None:
    if server.name in UNDER_ASGI and django.VERSION < (5, 0):
        pytest.skip("under ASGI this Django does not ask whether the client is still there, and streams on")
    path = "/bodies/answer/endless-async/" if server.name in UNDER_ASGI else "/bodies/answer/endless/"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(1000)
    (event,) = server.requests(1)
    assert event["outcome"] == "aborted"
    assert (event["request"]["status"], event["request"]["response"]["truncated"]) == (200, True)
    assert event["request"]["response_bytes"] >= 65_536
