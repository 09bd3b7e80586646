"""What a request leaves in the trail: identity, route, status, outcome, duration, and no secret."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from trails import Trail

pytestmark = pytest.mark.usefixtures("database")

AGENT = "Mozilla/5.0 (test)"


@pytest.fixture
def site(database: str) -> Client:
    """A browser; an error of the site is an answer, as it is for a real one."""
    return Client(raise_request_exception=False, headers={"user-agent": AGENT})


@pytest.mark.defect("A-18", "H2")
@pytest.mark.defect("A-18")
@pytest.mark.parametrize(
    ("code", "outcome"),
    [(200, "success"), (204, "success"), (302, "success"), (400, "failure"), (404, "failure"), (503, "failure")]
    + [(code, "denied") for code in (401, 403, 429)],
)
def test_the_status_decides_the_outcome(site: Client, trail: Trail, code: int, outcome: str) -> None:
    site.get(f"/status/{code}/")
    (event,) = trail.events("request")
    assert (event["request"]["status"], event["outcome"]) == (code, outcome)
    assert "error" not in event


@pytest.mark.scenario(13)
@pytest.mark.defect("A-6", "A-18", "A-19", "F-8")
@pytest.mark.parametrize(("code", "outcome"), [(200, "success"), (403, "denied"), (500, "failure")])
def test_a_view_that_changes_a_row_and_then_answers_leaves_both_with_one_id(site: Client, trail: Trail, code: int, outcome: str) -> None:
    response = site.post(f"/write/ward-{code}/{code}/")
    change, request = trail.events()
    assert (change["action"], change["resource"]["type"]) == ("group.create", "auth.Group")
    assert request["outcome"] == outcome
    parts = request["request"]
    assert parts["id"] == change["request"]["id"] == response.headers["X-Request-ID"]
    assert (parts["method"], parts["route"], parts["path"]) == ("POST", "/write/:name/:code/", f"/write/ward-{code}/{code}/")
    assert (parts["status"], parts["client_ip"], parts["user_agent"]) == (code, "127.0.0.1", AGENT)
    assert parts["duration_us"] > 0
    assert request["actor"] == change["actor"] == {"type": "anonymous"}


@pytest.mark.scenario(13)
def test_an_unhandled_exception_is_named_and_its_text_redacted(site: Client, trail: Trail) -> None:
    site.post("/write/ward/500/")
    request = trail.events("request")[0]
    assert request["error"]["type"] == "LookupError"
    assert request["error"]["message"].startswith("no bed left, card ")
    assert "4111" not in request["error"]["message"]


def test_a_request_that_nobody_answers_is_recorded_without_a_route(site: Client, trail: Trail) -> None:
    assert site.get("/nowhere/").status_code == 404
    (event,) = trail.events("request")
    assert event["request"]["path"] == "/nowhere/"
    assert "route" not in event["request"]


@pytest.mark.defect("F-9")
@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/wards/7/beds/3-left/", "/wards/:ward/beds/:bed-:side/"),
        ("/wards/7/rooms/a/lamps/12.html", "/wards/:ward/rooms/:room/lamps/:lamp.html"),
    ],
)
def test_the_route_is_the_template_of_all_nested_patterns(site: Client, trail: Trail, path: str, route: str) -> None:
    assert site.get(path).status_code == 200
    (event,) = trail.events("request")
    assert (event["request"]["route"], event["request"]["path"]) == (route, path)


SECRET = "s3cr3t-value-of-the-test"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.scenario(14)
@pytest.mark.defect("A-7", "G-6", "G-7")
def test_no_secret_of_a_request_reaches_the_trail(site: Client, trail: Trail) -> None:
    body = f'{{"password": "{SECRET}", "list": [{{"Password": "{SECRET}"}}]}}'
    headers = {"authorization": f"Bearer {SECRET}", "cookie": f"theme={SECRET}", "user-agent": f"client {JWT}"}
    answer = site.post(f"/echo/?token={SECRET}&page=2&api%5Fkey={SECRET}", data=body, content_type="application/json", headers=headers)
    assert answer.content == body.encode()
    site.get(f"/reset/MQ/{SECRET}/")
    site.get(f"/nowhere/{JWT}/")

    posted, reset, lost = trail.events("request")
    assert "page=2" in posted["request"]["query"]
    assert reset["request"]["path"] == "/reset/MQ/[masked]/"
    assert lost["request"]["path"] == "/nowhere/[masked]/"
    stored = b"".join(path.read_bytes() for path in trail.data_dir.rglob("*") if path.is_file())
    assert b"/nowhere/" in stored
    assert SECRET.encode() not in stored
    assert JWT.encode() not in stored


@pytest.mark.scenario(21)
@pytest.mark.defect("A-19")
@pytest.mark.parametrize("inbound", ["req-1.A_b", "x" * 128])
def test_a_valid_request_id_is_kept_and_echoed(site: Client, trail: Trail, inbound: str) -> None:
    response = site.post("/write/ward/200/", headers={"x-request-id": inbound})
    assert response.headers["X-Request-ID"] == inbound
    assert {event["request"]["id"] for event in trail.events()} == {inbound}


@pytest.mark.defect("A-19")
@pytest.mark.scenario(21)
@pytest.mark.parametrize("inbound", ["x" * 129, "a b", "<script>", None])
def test_a_malformed_or_missing_request_id_is_replaced(site: Client, trail: Trail, inbound: str | None) -> None:
    response = site.post("/write/ward/200/", headers={"x-request-id": inbound} if inbound else {})
    made = response.headers["X-Request-ID"]
    assert made != inbound
    assert {event["request"]["id"] for event in trail.events()} == {made}


@pytest.mark.defect("F-8")
def test_the_trace_of_the_caller_is_in_every_event(site: Client, trail: Trail) -> None:
    trace_id, span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    site.post("/write/ward/200/", headers={"traceparent": f"00-{trace_id}-{span_id}-01"})
    assert {(event["trace_id"], event["span_id"]) for event in trail.events()} == {(trace_id, span_id)}


def test_the_header_of_the_request_id_can_be_named(site: Client, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUEST_ID_HEADER": "X-Correlation-ID"}
    response = site.get("/plain/", headers={"x-correlation-id": "c-1", "x-request-id": "r-1"})
    assert response.headers["X-Correlation-ID"] == "c-1"
    assert "X-Request-ID" not in response.headers
    assert trail.events("request")[0]["request"]["id"] == "c-1"


@pytest.mark.defect("G-15")
@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [(0, "6.6.6.6, 9.9.9.9", "127.0.0.1"), (1, "6.6.6.6, 9.9.9.9", "9.9.9.9"), (1, "6.6.6.6, <script>", None)],
)
def test_a_proxy_of_ours_is_believed_and_nobody_else(
    site: Client, trail: Trail, settings: Any, proxies: int, forwarded: str, client: str | None
) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "TRUSTED_PROXY_COUNT": proxies}
    site.get("/plain/", headers={"x-forwarded-for": forwarded})
    assert trail.events("request")[0]["request"].get("client_ip") == client


def test_rules_choose_what_is_recorded_and_the_first_one_wins(site: Client, trail: Trail, settings: Any) -> None:
    rules = [
        {"route": "/status/:code/", "method": "GET", "level": "metadata"},
        {"path": "/status/*", "level": "none"},
        {"route": "/pl*", "level": "none"},
    ]
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"rules": rules}}
    site.get("/status/200/")
    site.post("/status/200/")
    site.get("/plain/")
    site.get("/echo/")
    assert [(event["request"]["method"], event["request"]["path"]) for event in trail.events("request")] == [
        ("GET", "/status/200/"),
        ("GET", "/echo/"),
    ]


def test_only_what_a_rule_names_is_recorded(site: Client, trail: Trail, settings: Any) -> None:
    rules = [{"path": "/plain/", "level": "metadata"}]
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": "none", "rules": rules}}
    site.get("/plain/")
    site.post("/write/ward/200/")
    assert [event["kind"] for event in trail.events()] == ["request", "change"]


@pytest.mark.scenario(19)
@pytest.mark.defect("A-16", "G-4")
def test_include_and_exclude_choose_by_path_and_route_and_leave_no_context(site: Client, trail: Trail, settings: Any) -> None:
    requests = {"level": "metadata", "include": ["/plain/", "/status/:code/", "/write/*"], "exclude": ["/status/404/", "*/200/"]}
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": requests}
    for path in ("/plain/", "/echo/", "/status/404/", "/status/503/"):
        site.get(path)
    site.post("/write/ward/200/")
    Group.objects.create(name="outside of any request")
    *requests_seen, inside, outside = trail.events()
    assert [event["request"]["path"] for event in requests_seen] == ["/plain/", "/status/503/"]
    assert (inside["kind"], outside["kind"]) == ("change", "change")
    assert inside["actor"] == {"type": "anonymous"}
    assert "request" not in outside
    assert outside["actor"]["type"] == "system"


def test_rules_look_at_status_user_and_extension(site: Client, trail: Trail, settings: Any) -> None:
    rules = [
        {"extension": [".css", ".js"], "level": "none"},
        {"status": [404, "5xx"], "level": "metadata"},
        {"user": "staff", "level": "metadata"},
    ]
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": "none", "rules": rules}}
    for path in ("/static/site.css", "/nowhere/", "/plain/", "/status/503/"):
        site.get(path)
    for name, is_staff in (("ana", False), ("bea", True)):
        site.force_login(User.objects.create(username=name, is_staff=is_staff))
        site.get("/plain/")
    seen = [(event["request"]["path"], event["actor"].get("label")) for event in trail.events("request")]
    assert seen == [("/nowhere/", None), ("/status/503/", None), ("/plain/", "bea")]


@pytest.mark.scenario(19)
@pytest.mark.defect("A-16")
@pytest.mark.parametrize("path", ["/plain/", "/status/500/", "/write/ward/500/", "/stop/"])
@pytest.mark.parametrize("level", ["none", "metadata"])
def test_a_write_after_a_request_has_neither_its_id_nor_its_user(site: Client, trail: Trail, settings: Any, path: str, level: str) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": level}}
    with contextlib.suppress(SystemExit):
        site.post(path)
    Group.objects.create(name="after the request")
    last = trail.events()[-1]
    assert last["kind"] == "change"
    assert "request" not in last
    assert last["actor"]["type"] == "system"


def test_a_process_that_is_told_to_stop_leaves_an_aborted_request(site: Client, trail: Trail) -> None:
    with pytest.raises(SystemExit):
        site.get("/stop/")
    (event,) = trail.events("request")
    assert event["outcome"] == "aborted"
    assert event["error"]["type"] == "SystemExit"
    assert "status" not in event["request"]


def test_a_thread_that_was_given_the_context_writes_for_the_request(site: Client, trail: Trail) -> None:
    response = site.post("/thread/ward/")
    change = next(event for event in trail.events() if event["kind"] == "change")
    assert change["request"]["id"] == response.headers["X-Request-ID"]


def test_the_body_of_the_answer_is_untouched(site: Client, trail: Trail) -> None:
    body = bytes(range(256)) * 400
    assert site.post("/echo/", data=body, content_type="application/octet-stream").content == body
    assert trail.events("request")[0]["request"].keys() >= {"id", "method", "route", "path", "status", "duration_us"}


def test_a_switched_off_recorder_leaves_the_middleware_out(trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ENABLED": False}
    response = Client().get("/plain/")
    assert response.status_code == 200
    assert "X-Request-ID" not in response.headers
    assert trail.events() == []
