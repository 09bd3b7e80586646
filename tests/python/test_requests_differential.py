"""The same requests with and without the middleware: every answer is the same, byte by byte, however a view reads its body."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from in_loop import in_loop
from testproject.views_bodies import READS
from trails import Trail

pytestmark = [pytest.mark.scenario(17), pytest.mark.scenario(18), pytest.mark.defect("A-9", "G-8")]

MIDDLEWARE = "indelible.django.AuditMiddleware"
UPLOAD_MEMORY_MAX = 3_000
OURS = "X-Request-ID"
"""The only header that the middleware adds."""


@dataclass(frozen=True)
class Case:
    """A body and what is said about it."""

    data: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


def multipart(**fields: Any) -> bytes:
    encoded: bytes = encode_multipart(BOUNDARY, fields)
    return encoded


FILE = SimpleUploadedFile("scan.png", bytes(range(256)) * 40, content_type="image/png")
FORM = "application/x-www-form-urlencoded"
BODIES = {
    "none": Case(b"", "application/json"),
    "json": Case(b'{"a": [1, 2], "password": "x"}', "application/json"),
    "broken json": Case(b'{"a": [1, 2', "application/json"),
    "broken utf-8": Case(b'{"a": "\xff\xfe\x80"}', "application/json"),
    "utf-16": Case(json.dumps({"a": "é"}).encode("utf-16"), "application/json"),
    "large json": Case(json.dumps(["x" * 50] * 200).encode(), "application/json"),
    "form": Case(b"a=1&b=2&a=3&c=%ff&%zz=1", FORM),
    "form in another charset": Case(b"a=\xe9", f"{FORM}; charset=latin-1"),
    "form with too many fields": Case(b"&".join(b"a%d=1" % number for number in range(2000)), FORM),
    "large form": Case(b"a=" + b"x" * 5000, FORM),
    "multipart": Case(multipart(a="1", b=["x", "y"]), MULTIPART_CONTENT),
    "multipart with a file": Case(multipart(a="1", scan=FILE), MULTIPART_CONTENT),
    "multipart that ends early": Case(multipart(a="1", scan=FILE)[:-3000], MULTIPART_CONTENT),
    "multipart with a large field": Case(multipart(a="x" * 5000), MULTIPART_CONTENT),
    "multipart without its boundary": Case(multipart(a="1"), "multipart/form-data"),
    "multipart with another boundary": Case(multipart(a="1"), "multipart/form-data; boundary=other"),
    "multipart with broken headers": Case(b"--x\r\nnonsense\r\n\r\n\xff\r\n--x--", "multipart/form-data; boundary=x"),
    "text": Case("größer\nline\r\nlast".encode(), "text/plain; charset=utf-8"),
    "binary": Case(bytes(range(256)) * 20, "application/octet-stream"),
    "said to be gzip": Case(b"\x1f\x8b\x08\x00nonsense", "application/json", {"Content-Encoding": "gzip"}),
    "a type that is none": Case(b"x", ";;=,"),
}

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def small_memory(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = UPLOAD_MEMORY_MAX


def headers_of(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != OURS}


def both(settings: Any, answers: Callable[[], Any]) -> tuple[Any, Any]:
    """What a site answers without the middleware, and what it answers with it."""
    with_middleware = list(settings.MIDDLEWARE)
    settings.MIDDLEWARE = [name for name in with_middleware if name != MIDDLEWARE]
    without = answers()
    settings.MIDDLEWARE = with_middleware
    return without, answers()


@pytest.mark.parametrize("level", ["metadata", "request_response"])
@pytest.mark.parametrize("name", BODIES)
def test_every_way_to_read_a_body_answers_as_without_audit(trail: Trail, settings: Any, name: str, level: str) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": level}}
    case = BODIES[name]
    paths = [*(f"/bodies/read/{way}/" for way in READS), "/bodies/parsed/"]

    def answers() -> dict[str, Answer]:
        site = Client(raise_request_exception=False)
        found = {}
        for path in paths:
            response = site.generic("POST", path, case.data, case.content_type, headers=case.headers)
            found[path] = (response.status_code, headers_of(response), response.content)
        return found

    without, with_audit = both(settings, answers)
    assert with_audit == without
    assert len({answer[2] for answer in without.values()}) > 1
    recorded = trail.events("request")
    assert len(recorded) == len(paths)
    assert not [event for event in recorded if "notes" in event]


@pytest.mark.parametrize("name", BODIES)
def test_the_same_under_asgi(trail: Trail, settings: Any, name: str) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": "request_response"}}
    case = BODIES[name]
    ways = [way for way in READS if way != "wsgi-input"]

    @in_loop
    async def ask(found: dict[str, Answer]) -> None:
        site = AsyncClient(raise_request_exception=False)
        for way in ways:
            response = await site.generic("POST", f"/bodies/read/{way}/", case.data, case.content_type, headers=case.headers)
            found[way] = (response.status_code, headers_of(response), response.content)

    def answers() -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        ask(found)
        return found

    without, with_audit = both(settings, answers)
    assert with_audit == without
    assert len(trail.events("request")) == len(ways)


@pytest.mark.parametrize("path", ["json/", "large/text/", "large/binary/", "streamed/text/", "streamed/binary/", "file/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.scenario(16)
def test_every_answer_is_the_same(trail: Trail, settings: Any, path: str, method: str) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": "request_response"}}

    def answer() -> Answer:
        response = Client().generic(method, f"/bodies/answer/{path}")
        content = response.getvalue()
        response.close()
        return response.status_code, headers_of(response), content

    without, with_audit = both(settings, answer)
    assert with_audit == without
    assert len(trail.events("request")) == 1
