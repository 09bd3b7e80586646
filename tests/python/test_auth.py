"""Logins, failed logins and logouts."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.tokens import default_token_generator
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.dispatch import Signal
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from in_loop import in_loop
from indelible.django import _auth, record_lockout, record_login, record_login_failed, record_logout
from testproject.settings import INDELIBLE
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


@pytest.mark.scenario(24)
@pytest.mark.defect("A-3")
def test_a_login_names_user_session_and_origin(browser: Client, ana: User, trail: Trail) -> None:
    response = browser.post("/sign-in/", {"username": "ana", "password": "right-password"})
    (login,) = trail.events("auth")
    assert (login["action"], login["outcome"]) == ("auth.login", "success")
    assert (login["actor"]["id"], login["actor"]["label"], login["actor"]["auth"]) == (str(ana.pk), "ana", "session")
    assert login["resource"] == {"type": "auth.User", "id": str(ana.pk), "label": "ana"}
    assert origin(login) == ORIGIN
    assert login["request"]["id"] == response.headers["X-Request-ID"]


@pytest.mark.defect("G-12")
def test_later_events_of_the_session_carry_the_hash_of_its_login(browser: Client, trail: Trail) -> None:
    browser.post("/sign-in/", {"username": "ana", "password": "right-password"})
    key = browser.session.session_key
    browser.get("/plain/")
    browser.post("/sign-out/")
    login, logout = trail.events("auth")
    _, plain, _ = trail.events("request")
    assert login["actor"]["session"] == plain["actor"]["session"] == logout["actor"]["session"]
    assert key.encode() not in stored(trail)


@pytest.mark.scenario(24)
@pytest.mark.defect("S-15", "H6")
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


@pytest.mark.scenario(24)
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


def changed(trail: Trail) -> list[tuple[str, str, str]]:
    """Kind, action and outcome of what was recorded beside requests, tasks and sessions."""
    return [(event["kind"], event["action"], event["outcome"]) for event in trail.events() if event["kind"] in ("auth", "change")]


@pytest.mark.defect("A-7", "H6")
def test_a_change_of_rights_is_one_event_of_kind_auth_with_its_changes(ana: User, trail: Trail) -> None:
    for field, value in (("is_superuser", True), ("is_superuser", False), ("is_staff", True), ("is_staff", False), ("is_active", False)):
        setattr(ana, field, value)
        ana.save()
    ana.is_active = True
    ana.email = "ana@example.org"
    ana.save()
    events = trail.events()
    assert [(event["kind"], event["action"]) for event in events] == [
        ("auth", "auth.superuser_grant"),
        ("auth", "auth.superuser_revoke"),
        ("auth", "auth.staff_grant"),
        ("auth", "auth.staff_revoke"),
        ("auth", "auth.user_deactivate"),
        ("auth", "auth.user_activate"),
    ]
    assert events[0]["changes"] == [{"field": "is_superuser", "old": False, "new": True}]
    assert {change["field"] for change in events[-1]["changes"]} == {"is_active", "email"}
    assert {event["resource"]["id"] for event in events} == {str(ana.pk)}


def test_groups_and_permissions_from_either_side_are_kind_auth(ana: User, trail: Trail) -> None:
    group = Group.objects.create(name="nurses")
    content_type = ContentType.objects.create(app_label="clinic", model="ward")
    permission = Permission.objects.create(codename="enter", content_type=content_type)
    trail.forget()
    ana.groups.add(group)
    group.user_set.remove(ana)
    ana.user_permissions.add(permission)
    group.permissions.set([permission])
    group.permissions.clear()
    assert [(kind, action) for kind, action, _ in changed(trail)] == [
        ("auth", "auth.groups_change"),
        ("auth", "auth.groups_change"),
        ("auth", "auth.permissions_change"),
        ("auth", "auth.permissions_change"),
        ("auth", "auth.permissions_change"),
    ]


def test_a_grant_that_is_rolled_back_never_was(ana: User, trail: Trail) -> None:
    with transaction.atomic():
        ana.is_superuser = True
        ana.save()
        transaction.set_rollback(True)
    User.objects.filter(pk=ana.pk).update(is_staff=True)
    assert changed(trail) == [("auth", "auth.staff_change", "success")]


@pytest.mark.defect("A-7")
def test_a_new_password_is_named_and_never_shown(ana: User, trail: Trail) -> None:
    ana.set_password("a-new-password")
    ana.save()
    event = trail.events()[-1]
    assert (event["kind"], event["action"], event["changes"]) == ("auth", "auth.password_change", [{"field": "password", "masked": True}])
    assert b"a-new-password" not in stored(trail)
    assert ana.password.encode() not in stored(trail)


def test_a_password_stored_better_at_a_login_is_no_change_of_it(ana: User, trail: Trail) -> None:
    hashers = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", "django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers):
        assert authenticate(username="ana", password="right-password") is not None
    assert changed(trail) == [("change", "user.update", "success")]


def test_a_forgotten_password_that_is_set_anew_is_a_reset(browser: Client, ana: User, trail: Trail) -> None:
    link = f"/intent/reset/{urlsafe_base64_encode(force_bytes(ana.pk))}/{default_token_generator.make_token(ana)}/"
    form = browser.get(link).headers["Location"]
    assert browser.post(form, {"new_password1": "cloud-9-hospital", "new_password2": "cloud-9-hospital"}).status_code == 302
    assert ("auth", "auth.password_reset", "success") in changed(trail)
    assert b"cloud-9-hospital" not in stored(trail)


@pytest.mark.scenario(24)
@pytest.mark.defect("A-3", "S-15", "H6")
def test_a_login_by_token_says_by_what(ana: User, trail: Trail) -> None:
    client = Client()
    answer = client.post("/intent/token/", {"username": "ana", "password": "right-password"})
    assert answer.status_code == 200
    client.post("/intent/token/", {"username": "ana", "password": "wrong-password"})
    login, failed = trail.events("auth")
    assert (login["action"], login["actor"]["auth"], login["actor"]["label"]) == ("auth.login", "jwt", "ana")
    assert login["request"]["client_ip"] == "127.0.0.1"
    assert (failed["action"], failed["outcome"], failed["meta"]) == ("auth.login_failed", "denied", {"username": "ana"})
    assert answer.json()["access"].encode() not in stored(trail)
    assert b"right-password" not in stored(trail)


def test_what_nobody_signals_can_be_recorded_by_hand(ana: User, trail: Trail) -> None:
    request: Any = RequestFactory().post("/", headers={"user-agent": "test"})
    record_lockout("\u212bna  ", request=request, meta={"attempts": 5})
    record_login_failed("ana")
    record_login(ana, auth="token", meta={"device": "tablet"})
    record_logout(ana)
    lockout, failed, login, logout = trail.events("auth")
    assert (lockout["action"], lockout["outcome"], lockout["meta"]) == ("auth.lockout", "denied", {"attempts": 5, "username": "Åna"})
    assert origin(lockout) == ORIGIN
    assert (failed["action"], failed["actor"]) == ("auth.login_failed", {"type": "anonymous"})
    assert (login["actor"]["auth"], login["meta"]) == ("token", {"device": "tablet"})
    assert logout["action"] == "auth.logout"


def test_lockouts_of_django_axes_are_heard(ana: User, trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: Any = ModuleType("axes.signals")
    signals.user_locked_out = Signal()
    monkeypatch.setitem(sys.modules, "axes", ModuleType("axes"))
    monkeypatch.setitem(sys.modules, "axes.signals", signals)
    _auth.connect()
    signals.user_locked_out.send("axes", request=RequestFactory().post("/"), username="ana", ip_address="127.0.0.1")
    (lockout,) = trail.events("auth")
    assert (lockout["action"], lockout["outcome"], lockout["meta"]) == ("auth.lockout", "denied", {"username": "ana"})


def test_a_site_can_do_without(ana: User, trail: Trail) -> None:
    with override_settings(INDELIBLE={**INDELIBLE, "AUTH": False}):
        trail.forget()
        assert authenticate(username="ana", password="wrong") is None
        ana.is_staff = True
        ana.save()
    assert changed(trail) == [("change", "user.update", "success")]


@pytest.mark.scenario(24)
@in_loop
async def test_under_asgi_a_login_and_a_failed_one_are_the_same(ana: User, trail: Trail) -> None:
    browser = AsyncClient()
    await browser.post("/sign-in/", {"username": "ana", "password": "wrong-password"})
    await browser.post("/sign-in/", {"username": "ana", "password": "right-password"})
    await browser.post("/sign-out/")
    assert [(event["action"], event["outcome"]) for event in trail.events("auth")] == [
        ("auth.login_failed", "denied"),
        ("auth.login", "success"),
        ("auth.logout", "success"),
    ]
    assert b"-password" not in stored(trail)
