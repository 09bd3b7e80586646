"""Calls to other services over HTTP: the caller gets what its library gives, the trail what was asked and answered."""

from __future__ import annotations

import asyncio
import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

import indelible
import journal
from indelible import _context, _record, _runtime
from indelible.http import AsyncAuditedTransport, AuditedSession, AuditedTransport
from outbound_servers import HttpServer, http_server, received_json, refusing_url
from trails import Trail

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_runtime.Runtime]:
    monkeypatch.setattr(_runtime, "_current", None)
    monkeypatch.setattr(_record, "_hold_on", None)
    monkeypatch.setattr(_context, "_provider", None)
    yield _runtime.configure(_runtime.RuntimeSettings(service="outbound", data_dir=tmp_path, on_error="raise"))
    _runtime.runtime().close()


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


@pytest.fixture
def recorded(tmp_path: Path) -> Any:
    return lambda: journal.events(tmp_path, "outbound")


class Client:
    """One way to call: ``call(method, url, …)`` answers with (status, body) as the library gave it; ``refused`` is what it raises."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refused = requests.ConnectionError if name == "requests" else httpx.ConnectError

    def call(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        if self.name == "requests":
            with AuditedSession() as session:
                answer: Any = session.request(method, url, timeout=10, **options)
        elif self.name == "httpx":
            with httpx.Client(transport=AuditedTransport()) as client:
                answer = client.request(method, url, **options)
        else:
            answer = asyncio.run(self._call_async(method, url, options))
        return answer.status_code, answer.content

    async def _call_async(self, method: str, url: str, options: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(transport=AsyncAuditedTransport()) as client:
            return await client.request(method, url, **options)


@pytest.fixture(params=["requests", "httpx", "httpx async"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.param)


@pytest.mark.scenario(35)
@pytest.mark.defect("A-21")
def test_the_answer_is_the_servers_own_and_the_event_says_how_it_went(client, server, recorded):
    assert client.call("GET", f"{server.url}/json?page=2&token=query-token-1") == (200, b'{"name": "ana", "token": "answer-token-1"}')
    (event,) = recorded()
    assert (event["kind"], event["action"], event["outcome"]) == ("outbound", "http.get", "success")
    assert event["resource"] == {"type": "http", "id": server.url, "label": "127.0.0.1"}
    request = event["request"]
    assert (request["method"], request["path"], request["query"], request["status"]) == ("GET", "/json", "page=2&token=[masked]", 200)
    assert request["duration_us"] > 0
    assert "headers" not in request
    assert "body" not in request
    assert "response" not in request
    assert request["response_bytes"] == 42


@pytest.mark.scenario(35)
@pytest.mark.defect("A-21")
def test_an_answer_that_is_no_json_is_no_error(client, server, recorded):
    assert client.call("GET", f"{server.url}/text") == (200, b"plain words")
    (event,) = recorded()
    assert event["outcome"] == "success"
    assert "error" not in event


@pytest.mark.scenario(35)
@pytest.mark.parametrize(("status", "outcome"), [(204, "success"), (404, "failure"), (500, "failure"), (401, "denied"), (403, "denied")])
def test_the_outcome_follows_the_status(client, server, recorded, status, outcome):
    assert client.call("GET", f"{server.url}/status/{status}")[0] == status
    (event,) = recorded()
    assert (event["outcome"], event["request"]["status"]) == (outcome, status)


@pytest.mark.scenario(35)
@pytest.mark.defect("A-21")
def test_a_refused_connection_reaches_the_caller_as_it_is(client, recorded):
    with pytest.raises(client.refused) as caught:
        client.call("POST", f"{refusing_url()}/orders", json={"id": 7})
    (event,) = recorded()
    assert (event["action"], event["outcome"], event["error"]["type"]) == ("http.post", "failure", type(caught.value).__qualname__)
    assert "status" not in event["request"]


@pytest.mark.scenario(35)
@pytest.mark.defect("A-21")
def test_a_json_body_is_sent_and_its_size_recorded(client, server, recorded):
    status, body = client.call("POST", f"{server.url}/orders", json={"id": 7, "password": "body-password-1"})
    assert (status, received_json(server.received[0])) == (201, {"id": 7, "password": "body-password-1"})
    (event,) = recorded()
    assert event["meta"] == {"request_bytes": len(server.received[0]["body"])}
    assert event["request"]["response_bytes"] == len(body)


@pytest.mark.scenario(35)
@pytest.mark.defect("A-21")
def test_two_calls_in_a_row_know_nothing_of_each_other(client, server, recorded):
    with pytest.raises(client.refused):
        client.call("POST", f"{refusing_url()}/orders", json={"id": 7})
    client.call("GET", f"{server.url}/status/500")
    client.call("GET", f"{server.url}/text")
    refused, failed, fine = recorded()
    assert (refused["outcome"], failed["outcome"], fine["outcome"]) == ("failure", "failure", "success")
    assert "error" not in failed
    assert "error" not in fine
    assert [event["request"].get("response_bytes") for event in (refused, failed, fine)] == [None, 14, 11]


def test_one_client_makes_independent_records(server, recorded):
    with AuditedSession() as session:
        with pytest.raises(requests.ConnectionError):
            session.post(refusing_url(), json={"id": 7}, timeout=10)
        session.get(f"{server.url}/text", timeout=10)
    assert "error" not in recorded()[1]


def test_a_call_stands_in_the_journal_before_it_is_made_and_its_outcome_after(client, server, tmp_path):
    client.call("POST", f"{server.url}/orders", json={})
    frames = [frame for frame in journal.frames(tmp_path, "outbound") if frame.kind != journal.CLOSE]
    assert [frame.kind for frame in frames] == [journal.INTENT, journal.OUTCOME]
    announced, told = (frame.items[0] for frame in frames)
    assert announced.event == told.event
    assert "status" not in announced.body["request"]
    assert told.body["request"]["status"] == 201


def test_a_call_that_never_ends_stays_announced(server, tmp_path, recorded):
    with httpx.Client(transport=AuditedTransport()) as client:
        answer = client.send(client.build_request("GET", f"{server.url}/stream"), stream=True)
        assert [frame.kind for frame in journal.frames(tmp_path, "outbound")] == [journal.INTENT]
        answer.close()
    (event,) = recorded()
    assert event["meta"]["response_read"] == "in part"


def test_the_trail_says_committed_of_what_ended_and_in_doubt_of_what_nobody_saw_end(server, tmp_path):
    with AuditedSession() as session:
        session.post(f"{server.url}/orders", json={"id": 7}, timeout=10)
    with httpx.Client(transport=AuditedTransport()) as client:
        answer = client.send(client.build_request("POST", f"{server.url}/orders", content=b"x"), stream=True)
        records = Trail(tmp_path, "outbound").records()
        answer.close()
    assert [(record["event"]["action"], record["verdict"]) for record in records] == [("http.post", "committed"), ("http.post", "in_doubt")]


def test_a_journal_that_must_take_the_event_and_cannot_refuses_the_call(client, server, tmp_path):
    _runtime.configure(
        _runtime.RuntimeSettings(
            service="outbound", data_dir=tmp_path, on_failure="required", limits={"journal_bytes": 1, "segment_bytes": 1}
        )
    )
    with pytest.raises(indelible.IndelibleError):
        client.call("POST", f"{server.url}/orders", json={})
    assert server.received == []


def test_a_fault_of_ours_changes_nothing_for_the_caller(client, server, recorded, monkeypatch):
    runtime = _runtime.configure(_runtime.RuntimeSettings(service="outbound", data_dir=_runtime.runtime().settings.data_dir))
    monkeypatch.setattr(_context, "current_context", lambda: 1 / 0)
    assert client.call("GET", f"{server.url}/text") == (200, b"plain words")
    assert runtime.health()["unrecorded"] == 1


def test_each_hop_of_a_redirect_is_an_event(client, server, recorded):
    options = {} if client.name == "requests" else {"follow_redirects": True}
    assert client.call("GET", f"{server.url}/redirect", **options) == (200, b"plain words")
    assert sorted((event["request"]["path"], event["request"]["status"]) for event in recorded()) == [("/redirect", 302), ("/text", 200)]


def test_a_body_that_breaks_off_is_a_failure_and_reaches_the_caller(client, server, recorded):
    broken = requests.exceptions.ChunkedEncodingError if client.name == "requests" else httpx.RemoteProtocolError
    with pytest.raises(broken):
        client.call("GET", f"{server.url}/broken")
    (event,) = recorded()
    assert (event["outcome"], event["error"]["type"]) == ("failure", broken.__qualname__)


def test_a_streamed_answer_is_left_to_the_caller(server, recorded):
    with AuditedSession() as session, session.get(f"{server.url}/stream", stream=True, timeout=10) as answer:
        (event,) = recorded()
        assert event["outcome"] == "success"
        assert "response_bytes" not in event["request"]
        assert sum(len(chunk) for chunk in answer.iter_content(100)) == 3072


def test_a_streamed_answer_of_httpx_is_measured_where_it_ends(server, recorded):
    with httpx.Client(transport=AuditedTransport()) as client, client.stream("GET", f"{server.url}/stream") as answer:
        assert sum(len(chunk) for chunk in answer.iter_bytes()) == 3072
    (event,) = recorded()
    assert event["request"]["response_bytes"] == 3072


def test_a_hook_that_raises_for_the_status_keeps_the_status(server, recorded):
    with AuditedSession() as session:
        session.hooks["response"] = [lambda answer, *args, **kwargs: answer.raise_for_status()]
        with pytest.raises(requests.HTTPError):
            session.get(f"{server.url}/status/500", timeout=10)
    (event,) = recorded()
    assert (event["outcome"], event["request"]["status"], event["error"]["type"]) == ("failure", 500, "HTTPError")


def test_a_cancelled_call_is_aborted(recorded):
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> None:
        listener = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        async with listener, httpx.AsyncClient(transport=AsyncAuditedTransport()) as client:
            call = asyncio.create_task(client.get(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"))
            while not recorded():
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(asyncio.wait_for(run(), 30))
    (event,) = recorded()
    assert (event["outcome"], event["error"]["type"]) == ("aborted", "CancelledError")


def test_name_and_password_in_a_url_are_left_out(client, server, recorded):
    client.call("GET", f"{server.url.replace('://', '://ana:url-password-1@')}/text")
    (event,) = recorded()
    assert event["resource"]["id"] == server.url
    assert "url-password-1" not in str(event)


def test_nothing_of_the_request_at_hand_goes_along_unless_asked(server):
    with _context_of(request_id="r-1", trace=("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")):
        for propagate in (False, True):
            with AuditedSession(propagate=propagate) as session:
                session.get(f"{server.url}/text", timeout=10)
            with httpx.Client(transport=AuditedTransport(propagate=propagate)) as client:
                client.get(f"{server.url}/text")
            asyncio.run(_get_async(f"{server.url}/text", propagate))
    passed = [{name.lower(): value for name, value in request["headers"].items()} for request in server.received]
    assert [(headers.get("x-request-id"), headers.get("traceparent")) for headers in passed] == [(None, None)] * 3 + [
        ("r-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    ] * 3


def test_a_header_that_the_caller_has_set_stays(server):
    with _context_of(request_id="r-1"), AuditedSession(propagate=True) as session:
        session.get(f"{server.url}/text", headers={"x-request-id": "mine"}, timeout=10)
    assert {name.lower(): value for name, value in server.received[0]["headers"].items()}["x-request-id"] == "mine"


def test_an_event_carries_actor_and_request_of_the_moment(server, recorded):
    with _context_of(request_id="r-1"), indelible.context(actor="system:nightly", reason="sync"), AuditedSession() as session:
        session.get(f"{server.url}/text", timeout=10)
    (event,) = recorded()
    assert (event["actor"], event["reason"], event["request"]["id"]) == ({"type": "system", "id": "nightly"}, "sync", "r-1")


@pytest.mark.scenario(35)
@pytest.mark.defect("A-21")
@pytest.mark.parametrize("level", ["request", "request_response"])
def test_headers_and_bodies_are_recorded_masked_as_far_as_the_level_says(client, server, recorded, tmp_path, level):
    _runtime.configure(_runtime.RuntimeSettings(service="outbound", data_dir=tmp_path, on_error="raise", outbound_level=level))
    client.call(
        "POST", f"{server.url}/orders", json={"id": 7, "password": "body-password-1"}, headers={"Authorization": "Bearer header-token-1"}
    )
    client.call("GET", f"{server.url}/json")
    sent, asked = (event["request"] for event in recorded())
    assert sent["body"] == {"id": 7, "password": "[masked]"}
    assert sent["headers"]["authorization"] == "[masked]"
    if level == "request":
        assert not {"response", "response_headers"} & asked.keys()
    else:
        assert asked["response"] == {"name": "ana", "token": "[masked]"}
        assert asked["response_headers"]["set-cookie"] == "[masked]"
        assert "answer-cookie-1" not in str(asked)


def test_what_is_streamed_is_not_read_for_the_trail(server, recorded):
    with AuditedSession(level="request_response") as session:
        session.post(f"{server.url}/orders", data=io.BytesIO(b"from a file"), timeout=10)
        with session.get(f"{server.url}/stream", stream=True, timeout=10) as answer:
            assert sum(len(chunk) for chunk in answer.iter_content(100)) == 3072
    with httpx.Client(transport=AuditedTransport(level="request_response")) as client:
        client.post(f"{server.url}/orders", content=iter([b"from ", b"a file"]))
    assert [request["body"] for request in server.received] == [b"from a file", b"", b""]
    sent, asked, chunked = (event["request"] for event in recorded())
    assert sent["body"]["reason"] == asked["response"]["reason"] == chunked["body"]["reason"] == "streamed"


def test_level_none_records_nothing(server, recorded):
    with AuditedSession(level="none") as session:
        session.get(f"{server.url}/text", timeout=10)
    with httpx.Client(transport=AuditedTransport(level="none")) as client:
        client.get(f"{server.url}/text")
    assert recorded() == []


def test_a_level_that_is_none_is_a_mistake():
    with pytest.raises(ValueError, match="request_response"):
        AuditedSession(level="all")
    with pytest.raises(ValueError, match="request_response"):
        AuditedTransport(level="all")


def test_a_session_can_be_copied_and_pickled(server, recorded):
    for session in (copy.copy(AuditedSession(level="metadata")), pickle.loads(pickle.dumps(AuditedSession(level="metadata")))):
        with session:
            assert session.get(f"{server.url}/text", timeout=10).text == "plain words"
    assert len(recorded()) == 2


@pytest.mark.defect("A-4")
@pytest.mark.scenario(38)
@pytest.mark.parametrize(
    ("library", "name"), [("requests", "AuditedSession"), ("httpx", "AuditedTransport"), ("httpx", "AsyncAuditedTransport")]
)
def test_a_missing_library_is_named_only_when_it_is_used(library, name):
    script = f"""
import sys
sys.modules[{library!r}] = None
import indelible.http
try:
    indelible.http.{name}
except ImportError as error:
    assert 'pip install "indelible[{library}]"' in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": "python"}, cwd=Path(__file__).parents[2])


async def _get_async(url: str, propagate: bool) -> None:
    async with httpx.AsyncClient(transport=AsyncAuditedTransport(propagate=propagate)) as client:
        await client.get(url)


class _context_of:
    """A request at hand, as Django's scope would provide it."""

    def __init__(self, *, request_id: str, trace: tuple[str, str] = ("", "")) -> None:
        self._facts = _context.Facts(
            actor={"type": "anonymous"}, request_id=request_id, trace_id=trace[0] or None, span_id=trace[1] or None
        )

    def __enter__(self) -> None:
        _context.set_provider(lambda: self._facts)

    def __exit__(self, *exc: object) -> None:
        _context.set_provider(None)
