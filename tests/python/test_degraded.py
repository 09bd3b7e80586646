"""Without native module, disk or agent the site serves as before, and says once what is missing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory

import indelible
from indelible import _agent, _runtime
from indelible.django import apps, conf
from indelible.logging import EventHandler
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")

ROUNDS = 3
LINE = logging.LogRecord("ward", logging.ERROR, __file__, 1, "a line", (), None)


@pytest.fixture
def degrading(trail: Trail, settings: Any) -> Any:
    """The settings of a site in production: a fault of ours is not raised."""
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_ERROR": "degrade"}
    return settings


def use_the_site() -> None:
    """Every kind of hook, several times; what it answers is what it answers without us."""
    for number in range(ROUNDS):
        browser = Client()
        assert browser.post(f"/write/ward-{number}/200/").status_code == 200
        assert browser.post("/sign-in/", {"username": "nobody", "password": "x"}).status_code == 401
        browser.force_login(User.objects.create_user(f"user-{number}"))
        assert browser.get("/user/").content.decode() == f"user-{number}"
        assert b"".join(browser.get(f"/streamed/stream-{number}/")) == b"first,last"
        assert browser.post("/sign-out/").status_code == 200
        indelible.record("ward.close", resource=f"ward/{number}")
    assert Group.objects.count() == 2 * ROUNDS


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "indelible" and record.levelno >= logging.ERROR]


def test_without_the_native_module_the_site_serves_and_says_so_once(
    degrading: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "indelible._native", None)
    monkeypatch.delattr(indelible, "_native", raising=False)
    apps.configure(conf.reload())
    use_the_site()
    (said,) = errors(caplog)
    assert "the native module cannot be imported" in said
    assert indelible.health()["ok"] is False
    assert indelible.health()["unrecorded"] > 0


def test_an_event_that_a_fault_of_ours_cost_is_counted(degrading: Any, trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_user("ana", password="right-password")

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    asked: list[tuple[str, Callable[[], Any]]] = [
        ("indelible.django._network.client_ip", lambda: Client().get("/user/")),
        ("indelible.django._auth._user_resource", lambda: Client().login(username="ana", password="right-password")),
        ("indelible.django._auth._normalised", lambda: Client().login(username="ana", password="x")),
        ("indelible._context.known_facts", lambda: EventHandler().handle(LINE)),
    ]
    for place, do in asked:
        before = indelible.health()
        with monkeypatch.context() as patched:
            patched.setattr(place, fail)
            do()
        after = indelible.health()
        assert (after["unrecorded"] - before["unrecorded"], after["faults"] - before["faults"]) == (1, 1), place


@pytest.mark.defect("A-24", "G-2")
def test_without_a_disk_the_site_serves_and_says_so_once(
    degrading: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("INDELIBLE_DATA_DIR", str(tmp_path / "file" / "data"))
    apps.configure(conf.reload())
    use_the_site()
    (said,) = errors(caplog)
    assert "nothing is recorded" in said
    assert str(tmp_path / "file" / "data") in said
    assert indelible.health()["unrecorded"] > 0


def test_when_the_disk_is_back_recording_goes_on(
    degrading: Any, trail: Trail, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runtime, "RETRY_AFTER_S", 0.0)
    trail.data_dir.write_text("in the way")
    Client().get("/plain/")
    trail.data_dir.unlink()
    Client().get("/user/")
    assert [event["request"]["path"] for event in trail.events("request")] == ["/user/"]
    assert any("recording again; 1 events were not recorded" in record.getMessage() for record in caplog.records)


def test_without_a_binary_the_events_wait_in_the_journal_and_the_log_says_so_once(
    degrading: Any, trail: Trail, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gunicorn", "clinic.wsgi"])
    monkeypatch.setenv("INDELIBLE_BINARY", "/nowhere/indelible")
    degrading.INDELIBLE = {**degrading.INDELIBLE, "AGENT": "auto"}
    use_the_site()
    (said,) = errors(caplog)
    assert "no agent: INDELIBLE_BINARY names /nowhere/indelible" in said
    assert "Try: ls -l /nowhere/indelible" in said
    monkeypatch.undo()
    assert len([event for event in trail.events("action") if event["action"] == "ward.close"]) == ROUNDS


@pytest.mark.defect("G-16")
@pytest.mark.parametrize(
    "broken", ["indelible.django._network.client_ip", "indelible.django._routes.template", "indelible.django._actor.resolved_user"]
)
def test_a_fault_of_ours_never_reaches_the_answer(
    degrading: Any, trail: Trail, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(broken, fail)
    for _ in range(ROUNDS):
        response = Client().get("/plain/")
        assert response.content == b"plain"
        assert response.headers["X-Request-ID"]
    (said,) = errors(caplog)
    assert said.startswith("indelible: a fault in AuditMiddleware")


def test_tests_may_ask_to_hear_of_a_fault(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indelible.django._network.client_ip", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Client().get("/plain/")


def test_an_error_of_the_site_wins_over_a_fault_of_ours(degrading: Any, trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    from indelible.django.middleware import AuditMiddleware

    def view(request: Any) -> None:
        raise LookupError("the site's own")

    monkeypatch.setattr("indelible.django._network.client_ip", lambda *_: 1 / 0)
    with pytest.raises(LookupError, match="the site's own"):
        AuditMiddleware(view)(RequestFactory().get("/"))


def test_an_exception_that_cannot_be_printed_is_still_named(degrading: Any, trail: Trail) -> None:
    from indelible.django.middleware import AuditMiddleware

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def view(request: Any) -> None:
        raise UnprintableError

    with pytest.raises(UnprintableError):
        AuditMiddleware(view)(RequestFactory().get("/"))
    (event,) = trail.events("request")
    assert event["outcome"] == "failure"
    assert event["error"]["type"].endswith("UnprintableError")


def test_the_agent_of_development_is_left_alone_by_tests(trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "AGENT": "auto"}
    Client().get("/plain/")
    assert not _agent.is_running(trail.data_dir)
    assert not (trail.data_dir / "agent.log").exists()
