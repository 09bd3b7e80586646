"""Who acted: only what the application resolved, or what we may resolve, and never a guess."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject
from rest_framework.authtoken.models import Token

from indelible.django import _actor
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def ana(database: str) -> User:
    return User.objects.create_user("ana", "ana@example.org", "right", first_name="Ana", last_name="Lima")


@pytest.fixture
def browser(ana: User, trail: Trail) -> Client:
    """A browser in which ana is logged in."""
    browser = Client()
    browser.force_login(ana)
    return browser


def request_event(trail: Trail) -> dict[str, Any]:
    return trail.events("request")[-1]


def session_hash(trail: Trail) -> str:
    (login,) = [event for event in trail.events("auth") if event["action"] == "auth.login"]
    return str(login["actor"]["session"])


@pytest.mark.defect("S-12")
def test_what_somebody_did_is_theirs_when_their_account_is_gone(browser: Client, ana: User, trail: Trail) -> None:
    browser.post("/write/ward/200/")
    key = str(ana.pk)
    ana.delete()
    (write,) = [event for event in trail.events("change") if event["action"] == "group.create"]
    assert (write["actor"]["id"], write["actor"]["label"]) == (key, "ana")
    assert write["id"] in trail.command("search", "actor:ana action:group.create", "-o", "ndjson")


def test_a_safe_request_that_nobody_asked_about_costs_no_query(browser: Client, trail: Trail) -> None:
    with CaptureQueriesContext(connection) as queries:
        browser.get("/plain/")
    assert len(queries) == 0
    assert request_event(trail)["actor"] == {"type": "unresolved", "session": session_hash(trail)}


def test_a_safe_request_whose_view_looked_at_the_user_names_it_at_no_cost(browser: Client, trail: Trail, ana: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        browser.get("/user/")
    # Session and user, as without us.
    assert len(queries) == 2
    expected = {"type": "user", "id": str(ana.pk), "label": "ana", "auth": "session", "session": session_hash(trail)}
    assert request_event(trail)["actor"] == expected


def test_an_unsafe_request_names_its_user_though_nobody_looked(browser: Client, trail: Trail) -> None:
    browser.post("/plain/")
    assert request_event(trail)["actor"]["label"] == "ana"


def test_a_safe_request_that_changed_something_names_its_user(browser: Client, trail: Trail) -> None:
    browser.get("/write/ward/200/")
    (change,) = [event for event in trail.changes() if event["action"] == "group.create"]
    assert change["actor"]["label"] == request_event(trail)["actor"]["label"] == "ana"


def test_resolving_the_user_leaves_the_headers_of_the_answer_alone(browser: Client) -> None:
    assert "Vary" not in browser.post("/write/ward/200/").headers


def test_certainty_can_be_bought_for_safe_requests(browser: Client, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "RESOLVE_ACTOR": "always"}
    again = Client()
    again.cookies = browser.cookies
    again.get("/plain/")
    assert request_event(trail)["actor"]["label"] == "ana"


def test_a_request_without_a_session_is_anonymous_at_no_cost(trail: Trail) -> None:
    with CaptureQueriesContext(connection) as queries:
        Client().get("/plain/")
    assert len(queries) == 0
    assert request_event(trail)["actor"] == {"type": "anonymous"}


@pytest.mark.defect("A-17")
def test_an_anonymous_write_is_recorded_as_anonymous(trail: Trail) -> None:
    Client().post("/write/ward/200/")
    change, request = trail.events()
    assert change["actor"] == request["actor"] == {"type": "anonymous"}


def test_a_made_up_session_cookie_makes_nobody(trail: Trail) -> None:
    stranger = Client()
    stranger.cookies["sessionid"] = "x" * 32
    stranger.post("/plain/")
    assert request_event(trail)["actor"] == {"type": "anonymous"}


@pytest.mark.defect("S-11")
def test_a_token_names_its_user_in_the_changes_of_a_drf_view(ana: User, trail: Trail) -> None:
    token = Token.objects.create(user=ana)
    Client(headers={"authorization": f"Token {token.key}"}).post("/api/", {"name": "ward"})
    (change,) = [event for event in trail.changes() if event["action"] == "group.create"]
    expected = {"type": "user", "id": str(ana.pk), "label": "ana", "auth": "token"}
    assert change["actor"] == request_event(trail)["actor"] == expected


def test_a_drf_view_that_only_reads_names_the_user_it_authenticated(ana: User, trail: Trail) -> None:
    credentials = base64.b64encode(b"ana:right").decode()
    Client(headers={"authorization": f"Basic {credentials}"}).get("/api/")
    assert (request_event(trail)["actor"]["label"], request_event(trail)["actor"]["auth"]) == ("ana", "basic")


def test_a_drf_view_that_refuses_a_token_is_an_anonymous_denial(trail: Trail) -> None:
    Client(headers={"authorization": "Token wrong"}).post("/api/", {"name": "ward"})
    event = request_event(trail)
    assert (event["actor"], event["outcome"], event["request"]["status"]) == ({"type": "anonymous"}, "denied", 401)


def test_the_site_can_name_the_actor(trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ACTOR": f"{__name__}.service_of_header"}
    Client(headers={"x-service": "billing"}).post("/write/ward/200/")
    Client().post("/plain/")
    change, billed, plain = trail.events()
    assert change["actor"] == billed["actor"] == {"type": "service", "id": "billing"}
    assert plain["actor"] == {"type": "anonymous"}


def service_of_header(request: HttpRequest) -> dict[str, str] | None:
    name = request.headers.get("x-service")
    return {"type": "service", "id": name} if name else None


def fail(request: HttpRequest) -> None:
    raise ConnectionRefusedError("the directory does not answer")


def test_a_resolver_that_fails_costs_the_name_and_nothing_else(trail: Trail, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_ERROR": "degrade", "ACTOR": f"{__name__}.fail", "CONTEXT": f"{__name__}.fail"}
    assert Client().post("/write/ward/200/").status_code == 200
    change, request = trail.events()
    assert change["actor"] == request["actor"] == {"type": "unresolved"}
    assert change["notes"] == ["ACTOR failed: ConnectionRefusedError", "CONTEXT failed: ConnectionRefusedError"]


@pytest.mark.parametrize(("key", "answer"), [("ACTOR", "nobody"), ("ACTOR", "number"), ("CONTEXT", "number")])
def test_an_answer_that_cannot_be_recorded_costs_the_name_and_nothing_else(trail: Trail, settings: Any, key: str, answer: str) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_ERROR": "degrade", key: f"{__name__}.{answer}"}
    assert Client().post("/write/ward/200/").status_code == 200
    change, request = trail.events()
    assert change["actor"] == request["actor"] == {"type": "unresolved"}
    assert "failed: " in change["notes"][0]
    assert key in change["notes"][0]


def nobody(request: HttpRequest) -> object:
    return {"type": "nobody"}


def number(request: HttpRequest) -> object:
    return 7


def test_a_user_that_cannot_be_loaded_is_unresolved(browser: Client, trail: Trail, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_ERROR": "degrade"}
    monkeypatch.setattr("django.contrib.auth.get_user", fail)
    assert browser.post("/plain/").status_code == 200
    event = request_event(trail)
    assert event["actor"]["type"] == "unresolved"
    assert event["notes"] == ["the user of the request failed: ConnectionRefusedError"]


def test_an_authentication_that_writes_records_its_own_write_and_ends(
    browser: Client, trail: Trail, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def see(request: HttpRequest) -> User:
        Group.objects.create(name="seen today")
        return ana

    monkeypatch.setattr("django.contrib.auth.get_user", see)
    browser.post("/plain/")
    (change,) = [event for event in trail.changes() if event["action"] == "group.create"]
    # Whoever writes while the user is being found out is not known yet.
    assert change["actor"] == {"type": "unresolved"}
    assert change["request"]["id"] == request_event(trail)["request"]["id"]
    assert request_event(trail)["actor"]["label"] == "ana"


def test_the_site_can_add_to_every_event_of_a_request(trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "CONTEXT": f"{__name__}.tenant_of_host"}
    Client().post("/write/ward/200/")
    assert [event["meta"] for event in trail.events()] == [{"host": "testserver"}] * 2


def tenant_of_host(request: HttpRequest) -> dict[str, str]:
    return {"host": request.get_host()}


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        (["id"], None),
        (["id", "label"], "ana"),
        (["id", "name"], "Ana Lima"),
        (["id", "label", "name", "email"], "ana Ana Lima ana@example.org"),
    ],
)
def test_names_and_addresses_are_stored_only_when_asked_for(
    browser: Client, trail: Trail, settings: Any, fields: list[str], label: str | None
) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ACTOR_FIELDS": fields}
    browser.post("/plain/")
    assert request_event(trail)["actor"].get("label") == label


def test_a_user_name_that_is_an_address_is_an_address(trail: Trail) -> None:
    browser = Client()
    browser.force_login(User.objects.create_user("bo@example.org"))
    browser.post("/plain/")
    assert "label" not in request_event(trail)["actor"]


def test_the_session_hash_cannot_be_made_without_the_secret_key(ana: User, browser: Client, trail: Trail, settings: Any) -> None:
    key = browser.session.session_key
    request = RequestFactory().get("/", headers={"cookie": f"sessionid={key}"})
    hashed = _actor.session_hash(request)
    assert hashed == session_hash(trail)
    settings.SECRET_KEY = "another"
    assert _actor.session_hash(request) != hashed


def test_looking_at_a_lazy_user_resolves_nothing() -> None:
    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(lambda: pytest.fail("resolved"))
    assert _actor.resolved_user(request) is None
    request.user = SimpleLazyObject(AnonymousUser)
    assert _actor.resolve_user(request) == AnonymousUser()


@pytest.mark.parametrize(
    ("credential", "method"),
    [("eyJ.eyJ.sig", "jwt"), (b"a.b.c", "jwt"), (type("JWTToken", (), {})(), "jwt"), (object(), "token"), ("opaque", "token")],
)
def test_the_accepted_credential_tells_the_method(credential: object, method: str) -> None:
    request = RequestFactory().get("/")
    request.auth = credential
    assert _actor.auth_method(request) == method
