"""Headers and bodies: what the levels ``request`` and ``request_response`` keep of them, and that no secret is in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client

import journal
from in_loop import in_loop
from indelible import _runtime
from testproject import views_bodies
from trails import Trail

LARGE = views_bodies.LARGE
LIMIT = 16_384
SOURCE = Path(views_bodies.__file__)


@pytest.fixture(autouse=True)
def everything(settings: Any, trail: Trail) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": "request_response"}}


@pytest.fixture
def site() -> Client:
    return Client(raise_request_exception=False)


def only(trail: Trail) -> dict[str, Any]:
    """The one request that was recorded."""
    _runtime.runtime().close()
    (event,) = [event for event in journal.events(trail.data_dir, trail.service) if event["kind"] == "request"]
    return event


def parts(trail: Trail) -> dict[str, Any]:
    found: dict[str, Any] = only(trail)["request"]
    return found


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.scenario(14)
@pytest.mark.defect("A-7", "G-6", "G-7")
def test_no_secret_of_bodies_headers_and_urls_reaches_any_file(site: Client, trail: Trail) -> None:
    secret = "s3cr3t-of-the-test"
    body = {"password": secret, "list": [{"Password": secret, "card": "4111111111111111"}], "name": "Ana"}
    headers = {"authorization": f"Token {secret}", "cookie": f"visitor={secret}; theme={secret}", "x-api-key": secret, "x-color": "blue"}
    for content_type in ("application/json", "application/vnd.api+json", "text/plain", "application/x-unknown", ""):
        site.post(f"/bodies/read/body/?token={secret}&page=2", json.dumps(body), content_type=content_type, headers=headers)
    site.post("/bodies/read/post/", {"password": [secret, secret], "note": f"Bearer {secret}", "color": "blue"}, headers=headers)
    site.post("/bodies/read/post/", f"api%5Fkey={secret}&a=1", content_type="application/x-www-form-urlencoded")
    site.post("/bodies/read/body/", json.dumps(body).encode("utf-16"), content_type="application/json")
    site.post("/bodies/read/body/", f'{{"password": "{secret}", broken'.encode(), content_type="application/json")
    site.post("/bodies/read/chunks/", "x" * LIMIT + f'"password": "{secret}"', content_type="text/plain")
    site.get("/bodies/answer/json/")
    requests = [event["request"] for event in trail.events("request")]
    assert len(requests) == 11
    stored = b"".join(path.read_bytes() for path in trail.data_dir.rglob("*") if path.is_file())
    for leaked in (secret, "41111111", "answer-secret", "\0".join(secret)):
        assert leaked.encode() not in stored, leaked
    first = requests[0]
    assert first["body"] == {"password": "[masked]", "list": [{"Password": "[masked]", "card": "[masked]"}], "name": "Ana"}
    assert first["headers"]["authorization"] == first["headers"]["cookie"] == first["headers"]["x-api-key"] == "[masked]"
    assert (first["headers"]["x-color"], first["headers"]["content-type"]) == ("blue", "application/json")
    assert "page=2" in first["query"]
    last = requests[-1]
    assert last["response"] == {"id": 7, "token": "[masked]", "note": "paid with [masked]"}
    assert last["response_headers"]["set-cookie"] == last["response_headers"]["x-api-key"] == "[masked]"
    assert last["response_headers"]["content-type"] == "application/json"


@pytest.mark.scenario(15)
@pytest.mark.defect("G-8")
class TestKinds:
    """What stands for a body of each kind."""

    @pytest.mark.parametrize("content_type", ["application/json", "application/vnd.api+json; charset=utf-8", "application/problem+json"])
    def test_json(self, site: Client, trail: Trail, content_type: str) -> None:
        site.post("/bodies/read/json/", '{"a": [1, 2.50, null], "pin": 1234}', content_type=content_type)
        assert parts(trail)["body"] == {"a": [1, 2.5, None], "pin": "[masked]"}

    def test_json_that_drf_parses_from_the_stream(self, site: Client, trail: Trail) -> None:
        assert site.post("/bodies/parsed/", '{"a": 1}', content_type="application/json").status_code == 201
        assert (parts(trail)["body"], parts(trail)["response"]) == ({"a": 1}, {"keys": ["a"]})

    @pytest.mark.defect("A-9")
    def test_what_is_not_the_json_that_it_claims_to_be(self, site: Client, trail: Trail) -> None:
        site.post("/bodies/read/body/", b'{"a": \xff, "password": "x1y2"', content_type="application/json")
        body = parts(trail)["body"]
        assert body["type"] == "unparsed"
        assert body["text"].startswith('{"a": ')
        assert "x1y2" not in body["text"]

    def test_a_form_with_all_of_its_repeated_keys(self, site: Client, trail: Trail) -> None:
        body = "tag=a&tag=b+c&name=J%C3%B6rg&tag=&password=x1y2&empty"
        site.post("/bodies/read/post/", body, content_type="application/x-www-form-urlencoded")
        assert parts(trail)["body"] == {"tag": ["a", "b c", ""], "name": "Jörg", "password": "[masked]", "empty": ""}

    @pytest.mark.parametrize("way", ["post", "body", "chunks", "lines", "body-then-post", "handlers"])
    def test_a_multipart_form_by_fields_and_the_digest_of_its_files(self, site: Client, trail: Trail, way: str) -> None:
        scan = bytes(range(256)) * 400
        upload = SimpleUploadedFile("scan one.png", scan, content_type="image/png")
        site.post(f"/bodies/read/{way}/", {"tag": ["a", "b"], "password": "x1y2", "note": "line\r\nline", "scan": upload})
        assert parts(trail)["body"] == {
            "fields": {"tag": ["a", "b"], "password": "[masked]", "note": "line\r\nline"},
            "files": [{"field": "scan", "name": "scan one.png", "type": "image/png", "bytes": len(scan), "sha256": sha256(scan)}],
        }

    @pytest.mark.parametrize("content_type", ["text/plain", "text/csv; charset=utf-8", "application/xml", ""])
    def test_text(self, site: Client, trail: Trail, content_type: str) -> None:
        site.post("/bodies/read/body/", "größer, card 4111 1111 1111 1111\npassword: a b c\nend", content_type=content_type)
        assert parts(trail)["body"] == "größer, card [masked]\npassword: [masked]\nend"

    def test_text_in_another_charset(self, site: Client, trail: Trail) -> None:
        site.generic("POST", "/bodies/read/body/", "größer".encode("latin-1"), content_type="text/plain; charset=iso-8859-1")
        assert parts(trail)["body"] == "größer"

    @pytest.mark.parametrize("content_type", ["application/octet-stream", "image/png", "application/pdf", ""])
    def test_binary(self, site: Client, trail: Trail, content_type: str) -> None:
        data = bytes(range(256))
        site.post("/bodies/read/body/", data, content_type=content_type)
        assert parts(trail)["body"] == {"type": "binary", "bytes": 256, "sha256": sha256(data)}

    def test_a_request_without_a_body_has_none(self, site: Client, trail: Trail) -> None:
        site.get("/bodies/read/body/")
        assert "body" not in parts(trail)


@pytest.mark.parametrize(("level", "kept"), [("metadata", set()), ("request", {"headers", "body"})])
def test_a_lower_level_keeps_less(site: Client, trail: Trail, settings: Any, level: str, kept: set[str]) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": level}}
    site.post("/bodies/parsed/", '{"a": 1}', content_type="application/json")
    assert parts(trail).keys() & {"headers", "body", "response", "response_headers"} == kept


def test_a_rule_on_the_status_can_ask_for_the_body_in_the_end(site: Client, trail: Trail, settings: Any) -> None:
    rules = [{"status": "5xx", "level": "request_response"}, {"path": "/bodies/*", "level": "none"}]
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"rules": rules}}
    site.post("/bodies/read/json/", '{"a": 1}', content_type="application/json")
    assert site.post("/bodies/read/json/", '{"a": 2', content_type="application/json").status_code == 500
    assert (parts(trail)["status"], parts(trail)["body"]) == (500, {"type": "unparsed", "text": '{"a": 2'})


@pytest.mark.scenario(16)
@pytest.mark.defect("A-20")
@pytest.mark.parametrize("way", ["large", "streamed"])
def test_a_large_answer_is_unchanged_and_what_is_kept_of_it_is_bounded(site: Client, trail: Trail, way: str) -> None:
    response = site.get(f"/bodies/answer/{way}/text/")
    assert response.getvalue() == LARGE
    response.close()
    kept = parts(trail)
    assert kept["response_bytes"] == len(LARGE)
    text = kept["response"].pop("text")
    assert kept["response"] == {"truncated": True, "bytes": len(LARGE), "sha256": sha256(LARGE)}
    assert LARGE.decode().startswith(text)
    assert LIMIT - 100 <= len(text) <= LIMIT


@pytest.mark.scenario(16)
@pytest.mark.parametrize("way", ["large", "streamed"])
def test_a_binary_answer_is_kept_as_size_and_digest(site: Client, trail: Trail, way: str) -> None:
    response = site.get(f"/bodies/answer/{way}/binary/")
    assert response.getvalue() == LARGE
    response.close()
    assert parts(trail)["response"] == {"type": "binary", "bytes": len(LARGE), "sha256": sha256(LARGE)}


@in_loop
async def test_an_async_stream_is_kept_as_what_it_is(trail: Trail) -> None:
    response = await AsyncClient().get("/bodies/answer/streamed-async/")
    assert b"".join([chunk async for chunk in response]) == b'{"password": "stream-secret", "page": 2}'
    assert parts(trail)["response"] == {"password": "[masked]", "page": 2}


def test_the_limit_is_a_setting(site: Client, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "LIMITS": {"body_bytes": 10}}
    site.post("/bodies/read/body/", "a b c d e f g", content_type="text/plain")
    assert parts(trail)["body"] == {"truncated": True, "bytes": 13, "sha256": sha256(b"a b c d e f g"), "text": "a b c d e"}


@pytest.mark.defect("F-12")
def test_an_event_over_its_limit_keeps_its_identity(site: Client, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "LIMITS": {"body_bytes": 100_000, "event_bytes": 16_384}}
    site.post("/bodies/read/body/", "x " * 20_000, content_type="text/plain")
    event = only(trail)
    assert (event["truncated"], event["request"]["body"]["truncated"]) == (True, True)
    assert (event["request"]["method"], event["request"]["route"], event["request"]["status"]) == ("POST", "/bodies/read/:way/", 200)


class TestWhyNothingIsKept:
    """A body that the application did not read is not read for us, and the record says so."""

    def test_a_view_that_does_not_look(self, site: Client, trail: Trail) -> None:
        site.post("/bodies/read/nothing/", "a=1", content_type="application/x-www-form-urlencoded")
        assert parts(trail)["body"] == {"type": "not_captured", "reason": "unread", "bytes": 3}

    def test_a_view_that_reads_only_the_beginning(self, site: Client, trail: Trail) -> None:
        site.post("/bodies/read/some/", "one two three", content_type="text/plain")
        body = parts(trail)["body"]
        assert (body["truncated"], body["bytes"], body["read"], body["text"]) == (True, 13, 7, "one")

    @pytest.mark.defect("A-9")
    def test_a_body_that_django_refuses_to_load(self, site: Client, trail: Trail, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        assert site.post("/bodies/read/body/", "x" * 11, content_type="text/plain").status_code == 400
        assert parts(trail)["body"] == {"type": "not_captured", "reason": "unread", "bytes": 11}

    @pytest.mark.scenario(17)
    @pytest.mark.defect("A-9", "G-8")
    def test_a_body_over_the_limit_of_memory_that_the_view_streams(self, site: Client, trail: Trail, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
        data = json.dumps({"rows": ["x" * 100] * 1000})
        assert site.post("/bodies/read/chunks/", data, content_type="application/json").status_code == 200
        body = parts(trail)["body"]
        assert (body["truncated"], body["bytes"], body["sha256"]) == (True, len(data), sha256(data.encode()))

    def test_a_file_that_the_server_sends(self, site: Client, trail: Trail) -> None:
        response = site.get("/bodies/answer/file/")
        sent = response.getvalue()
        response.close()
        assert sent == SOURCE.read_bytes()
        assert parts(trail)["response"] == {"type": "not_captured", "reason": "file", "bytes": len(sent)}
        assert parts(trail)["response_bytes"] == len(sent)


@pytest.mark.parametrize(
    ("path", "outcome", "kind", "function"),
    [
        ("refuse", "denied", "PermissionDenied", "refuse"),
        ("miss", "failure", "Http404", "miss"),
        ("fail", "failure", "JSONDecodeError", "fail"),
    ],
)
def test_an_exception_of_a_view_is_named_with_its_place(
    site: Client, trail: Trail, path: str, outcome: str, kind: str, function: str
) -> None:
    site.get(f"/bodies/{path}/")
    event = only(trail)
    assert (event["outcome"], event["error"]["type"]) == (outcome, kind)
    line = next(number for number, text in enumerate(SOURCE.read_text().splitlines(), 1) if f"def {function}(" in text) + 1
    assert event["error"]["place"] == f"testproject/views_bodies.py:{line}:{function}"


@pytest.mark.parametrize("slash", ["", "/"], ids=["without a slash", "with one"])
def test_the_token_of_a_path_is_masked_wherever_django_sends_it(database: str, site: Client, trail: Trail, slash: str) -> None:
    token = "c0ffee-of-the-test"
    answer = site.get(f"/intent/reset/abc/{token}{slash}")
    assert (answer.status_code == 301, token in answer.headers.get("Location", "")) == (not slash, not slash)
    request = parts(trail)
    assert token not in json.dumps(request)
    assert request["path"] == f"/intent/reset/abc/[masked]{slash}"


@pytest.mark.parametrize(
    "referer", ["http://testserver/intent/reset/abc/{}/?page=2", "/intent/reset/abc/{}", "http://testserver/intent/reset/abc/{}"]
)
def test_the_token_of_a_path_is_masked_in_the_referer(database: str, site: Client, trail: Trail, referer: str) -> None:
    token = "c0ffee-of the-test"
    site.get("/bodies/read/body/", headers={"referer": referer.format(quote(token))})
    request = parts(trail)
    assert "c0ffee" not in json.dumps(request)
    assert request["headers"]["referer"] == referer.format("[masked]")


def test_the_token_of_a_path_is_masked_where_a_view_sends_to_it(database: str, site: Client, trail: Trail) -> None:
    answer = site.get("/bodies/moved/")
    assert "c0ffee-of-the-view" in answer.headers["Location"], "the answer itself stays what it is"
    request = parts(trail)
    assert "c0ffee" not in json.dumps(request)
    assert request["response_headers"]["location"] == "/intent/reset/abc/[masked]/"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/bodies/sealed/7-c0ffee/open/", "/bodies/sealed/[masked]/open/"),
        ("/bodies/sealed/c0ffee/deep/er/", "/bodies/sealed/:token"),
        ("/bodies/pins/0000/", "/bodies/pins/[masked]/"),
        ("/bodies/part/7-c0ffee/open/", "/bodies/part/[masked]/open/"),
    ],
)
def test_what_a_converter_made_of_a_secret_is_masked_as_it_stood(database: str, site: Client, trail: Trail, path: str, shown: str) -> None:
    assert site.get(path, headers={"referer": f"http://testserver{path}?page=2"}).status_code == 200
    request = parts(trail)
    assert "c0ffee" not in json.dumps(request)
    assert request["path"] == shown
    assert request["headers"]["referer"] == ("/bodies/sealed/:token" if ":token" in shown else f"http://testserver{shown}?page=2")


def test_addresses_of_other_sites_are_not_read_as_ours(database: str, site: Client, trail: Trail) -> None:
    site.get("/bodies/moved/example.org/", headers={"referer": "https://example.com/intent/reset/abc/c0ffee-of-the-test/"})
    request = parts(trail)
    assert request["headers"]["referer"] == "https://example.com/intent/reset/abc/c0ffee-of-the-test/"
    assert request["response_headers"]["location"] == "https://example.org/intent/reset/abc/c0ffee-of-the-view/"


@pytest.mark.parametrize("referer", ["http://[", "/intent/reset/abc/%ff%00/", "x" * 9000, "//", "http://testserver"])
def test_a_referer_that_is_no_address_changes_nothing(database: str, site: Client, trail: Trail, referer: str) -> None:
    assert site.get("/bodies/answer/json/", headers={"referer": referer}).status_code == 200
    assert parts(trail)["status"] == 200
