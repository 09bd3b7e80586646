"""Logins, failed logins and logouts."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.test import Client

from indelible.django import _auth
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")

ORIGIN = {"client_ip": "127.0.0.1", "user_agent": "test"}


@pytest.fixture
def ana(database: str) -> User:
    return User.objects.create_user("ana", password="right-password")


@pytest.fixture
def browser(ana: User, trail: Trail) -> Client:
    return Client(headers={"user-agent": "test"})


def origin(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event["request"].items() if key != "id"}


def stored(trail: Trail) -> bytes:
    """Every byte in the data directory."""
    return b"".join(path.read_bytes() for path in trail.data_dir.rglob("*") if path.is_file())


def test_a_login_names_user_session_and_origin(browser: Client, ana: User, trail: Trail) -> None:
    response = browser.post("/sign-in/", {"username": "ana", "password": "right-password"})
    (login,) = trail.events("auth")
    assert (login["action"], login["outcome"]) == ("auth.login", "success")
    assert (login["actor"]["id"], login["actor"]["label"], login["actor"]["auth"]) == (str(ana.pk), "ana", "session")
    assert login["resource"] == {"type": "auth.User", "id": str(ana.pk), "label": "ana"}
    assert origin(login) == ORIGIN
    assert login["request"]["id"] == response.headers["X-Request-ID"]


def test_later_events_of_the_session_carry_the_hash_of_its_login(browser: Client, trail: Trail) -> None:
    browser.post("/sign-in/", {"username": "ana", "password": "right-password"})
    key = browser.session.session_key
    browser.get("/plain/")
    browser.post("/sign-out/")
    login, logout = trail.events("auth")
    _, plain, _ = trail.events("request")
    assert login["actor"]["session"] == plain["actor"]["session"] == logout["actor"]["session"]
    assert key.encode() not in stored(trail)


@pytest.mark.parametrize("password", ["wrong-password", ""])
def test_a_failed_login_names_the_name_that_was_tried_and_never_the_password(browser: Client, trail: Trail, password: str) -> None:
    browser.post("/sign-in/", {"username": "ana", "password": password})
    (failed,) = trail.events("auth")
    assert (failed["action"], failed["outcome"], failed["actor"]) == ("auth.login_failed", "denied", {"type": "anonymous"})
    assert failed["meta"] == {"username": "ana"}
    assert origin(failed) == ORIGIN
    assert b"wrong-password" not in stored(trail)


def test_a_secret_typed_as_a_name_is_masked_and_a_long_one_cut(browser: Client, trail: Trail) -> None:
    browser.post("/sign-in/", {"username": "4111 1111 1111 1111", "password": "x"})
    browser.post("/sign-in/", {"username": "x" * 10_000, "password": "x"})
    masked, cut = trail.events("auth")
    assert "4111" not in masked["meta"]["username"]
    assert len(cut["meta"]["username"]) == _auth.USER_NAME_CHARACTERS_MAX


def test_a_logout_and_its_request_are_still_the_users(browser: Client, ana: User, trail: Trail) -> None:
    browser.force_login(ana)
    browser.post("/sign-out/")
    logout = trail.events("auth")[-1]
    (request,) = trail.events("request")
    assert (logout["action"], logout["outcome"], logout["resource"]["id"]) == ("auth.logout", "success", str(ana.pk))
    assert logout["actor"] == request["actor"]
    assert request["actor"]["label"] == "ana"


def test_a_logout_of_nobody_is_no_logout(browser: Client, trail: Trail) -> None:
    browser.post("/sign-out/")
    assert trail.events("auth") == []


def test_an_attempt_outside_of_a_request_is_recorded_too(ana: User, trail: Trail) -> None:
    assert authenticate(username="ana", password="wrong") is None
    user_logged_in.send(sender=User, request=None, user=ana)
    failed, login = trail.events("auth")
    assert (failed["action"], failed["actor"]) == ("auth.login_failed", {"type": "anonymous"})
    assert login["actor"] == {"type": "user", "id": str(ana.pk), "label": "ana"}
    assert "request" not in failed
    assert "request" not in login


def test_connecting_twice_records_once(browser: Client, trail: Trail) -> None:
    _auth.connect()
    browser.post("/sign-in/", {"username": "ana", "password": "right-password"})
    assert [event["action"] for event in trail.events("auth")] == ["auth.login"]
