"""Streamed bodies: they belong to their request, which ends when they end."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory

from in_loop import in_loop
from indelible.django import AuditMiddleware
from testproject import views_requests
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")

STREAM_PAUSE_US = 20_000
"""How long the views sleep between two chunks."""


def started(url: str, **options: object) -> StreamingHttpResponse:
    """The response as a server gets it, its body not yet begun."""
    response = Client(**options).get(url)
    assert isinstance(response, StreamingHttpResponse)
    return response


def test_the_duration_runs_to_the_end_of_the_body(trail: Trail) -> None:
    response = started("/streamed/ward/")
    assert trail.events("request") == []
    assert b"".join(response) == b"first,last"
    (event,) = trail.events("request")
    assert event["outcome"] == "success"
    assert event["request"]["duration_us"] >= STREAM_PAUSE_US


def test_a_close_that_somebody_put_over_ours_stays(trail: Trail) -> None:
    response = started("/streamed/ward/")
    ours, closed = response.close, []

    def close() -> None:
        closed.append("theirs")
        ours()

    response.close = close
    response.close()
    response.close()
    assert (closed, response.close) == (["theirs", "theirs"], close)
    assert len(trail.events("request")) == 1


@pytest.mark.defect("F-5")
def test_what_a_stream_writes_belongs_to_its_request(trail: Trail) -> None:
    response = started("/streamed/ward/")
    list(response)
    change, request = trail.events()
    assert change["action"] == "group.create"
    assert change["request"]["id"] == request["request"]["id"] == response.headers["X-Request-ID"]


def test_between_two_chunks_nothing_belongs_to_the_request(trail: Trail) -> None:
    from django.contrib.auth.models import Group

    chunks = iter(started("/streamed/ward/"))
    next(chunks)
    Group.objects.create(name="elsewhere")
    list(chunks)
    elsewhere = trail.events()[0]
    assert "request" not in elsewhere
    assert elsewhere["actor"]["type"] == "system"


def test_a_stream_that_fails_is_a_failure_and_the_error_reaches_the_server(trail: Trail) -> None:
    response = started("/streamed-failure/")
    with pytest.raises(ConnectionError):
        list(response)
    (event,) = trail.events("request")
    assert (event["outcome"], event["error"]["type"], event["request"]["status"]) == ("failure", "ConnectionError", 200)


def test_a_client_that_goes_away_leaves_an_aborted_request(trail: Trail) -> None:
    response = started("/streamed/ward/")
    next(iter(response))
    response.close()
    (event,) = trail.events("request")
    assert (event["outcome"], event["request"]["status"]) == ("aborted", 200)


@pytest.mark.parametrize("chunks", [lambda: iter([b"first", b"last"]), lambda: (chunk for chunk in (b"first", b"last"))])
def test_a_body_that_was_given_up_is_let_go_at_once(trail: Trail, chunks: Any) -> None:
    gc.disable()
    try:
        response: Any = AuditMiddleware(lambda request: StreamingHttpResponse(chunks()))(RequestFactory().get("/"))
        assert next(iter(response)) == b"first"
        response.close()
        given_up = weakref.ref(response)
        del response
        assert given_up() is None
    finally:
        gc.enable()


def test_closing_a_finished_stream_records_it_once(trail: Trail) -> None:
    response = started("/streamed/ward/")
    list(response)
    response.close()
    assert len(trail.events("request")) == 1


def test_a_head_request_has_no_body_to_abort(trail: Trail) -> None:
    Client().head("/streamed/ward/").close()
    assert [event["outcome"] for event in trail.events("request")] == ["success"]


class FileWrapper:
    """What a server puts in the place of a file, to send it without Python."""

    def __init__(self, file: Any, block_bytes: int) -> None:
        self.file = file


def test_a_file_is_left_to_the_server(trail: Trail) -> None:
    environ = RequestFactory().get("/file/").environ
    body = WSGIHandler()({**environ, "wsgi.file_wrapper": FileWrapper}, lambda status, headers: None)
    assert isinstance(body, FileWrapper)
    assert trail.events("request") == []
    with open(views_requests.__file__, "rb") as file:
        assert body.file.read() == file.read()
    body.file.close()
    assert [event["outcome"] for event in trail.events("request")] == ["success"]


@in_loop
async def test_an_async_stream_belongs_to_its_request(trail: Trail) -> None:
    response = await AsyncClient().get("/streamed-async/ward/")
    assert b"".join([chunk async for chunk in response]) == b"first,last"
    change, request = trail.events()
    assert change["action"] == "group.create"
    assert change["request"]["id"] == request["request"]["id"] == response.headers["X-Request-ID"]
    assert request["request"]["duration_us"] >= STREAM_PAUSE_US


@in_loop
async def test_a_sync_stream_under_asgi_belongs_to_its_request(trail: Trail) -> None:
    response = await AsyncClient().get("/streamed/ward/")
    with pytest.warns(Warning, match="must consume synchronous iterators"):
        assert b"".join([chunk async for chunk in response]) == b"first,last"
    change, request = trail.events()
    assert change["request"]["id"] == request["request"]["id"]


def test_a_body_that_is_not_streamed_is_recorded_before_it_leaves(trail: Trail) -> None:
    response = Client().get("/plain/")
    assert isinstance(response, HttpResponse)
    assert len(trail.events("request")) == 1
