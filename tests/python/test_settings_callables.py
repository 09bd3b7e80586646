"""What a site leaves out, adds and masks by settings; and that none of its functions can change an answer."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

import indelible
from indelible.django.conf import active
from testproject.models import Condition, Doctor, Patient
from trails import Trail, fields, only_change

pytestmark = pytest.mark.usefixtures("database")

SITE: dict[str, Any] = {"SERVICE": "tests", "AGENT": "external", "MASK": {"fields": ["maiden_name"]}}
FAULTS = [ValueError("no"), TypeError("no"), SystemExit(3)]


@pytest.fixture
def site(settings: Any, trail: Trail) -> Any:
    """Puts settings of the site in force."""

    def change(**given: Any) -> None:
        settings.INDELIBLE = {**SITE, **given}
        assert active().problems == ()

    return change


def raising(error: BaseException) -> Any:
    def function(*_: Any) -> Any:
        raise error

    return function


@pytest.mark.defect("F-8")
def test_named_headers_become_members_of_every_event_of_the_request(site: Any, trail: Trail) -> None:
    site(META_HEADERS={"X-UI-App": "ui_app", "X-UI-Flow": "ui_flow"})
    Client().post("/write/ward/200/", headers={"X-UI-App": "desk", "X-Other": "no"})
    events = trail.events()
    assert {event["kind"] for event in events} == {"change", "request"}
    assert [event["meta"] for event in events] == [{"ui_app": "desk"}] * len(events)


def test_headers_are_masked_and_bounded_and_the_context_wins_over_them(site: Any, trail: Trail) -> None:
    site(META_HEADERS={"X-Flow": "flow", "X-Long": "long", "X-Token": "token"}, CONTEXT=lambda request: {"flow": "checkout"})
    Client().get("/plain/", headers={"X-Flow": "4111 1111 1111 1111", "X-Long": "y" * 5000, "X-Token": "abc"})
    assert trail.events("request")[0]["meta"] == {"flow": "checkout", "long": "y" * 256, "token": "[masked]"}


@pytest.mark.defect("G-12")
def test_extra_sees_request_and_response_and_adds_to_the_request_alone(site: Any, trail: Trail) -> None:
    site(EXTRA=lambda request, response: {"length": len(response.content), "via": request.method, "password": "s3cret"})
    Client().post("/write/ward/200/")
    (request,) = trail.events("request")
    assert request["meta"] == {"length": 0, "via": "POST", "password": "[masked]"}
    assert all("meta" not in event for event in trail.events("change"))


@pytest.mark.defect("G-4")
def test_a_skipped_request_is_not_recorded_but_what_it_changed_is(site: Any, trail: Trail) -> None:
    site(SKIP=lambda request: request.path.startswith("/write/"))
    browser = Client()
    browser.post("/write/ward/200/")
    browser.get("/plain/")
    assert [event["kind"] for event in trail.events()] == ["change", "request"]
    assert trail.events("request")[0]["request"]["path"] == "/plain/"


@pytest.mark.defect("S-13")
@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("key", "where"), [("SKIP", "SKIP"), ("EXTRA", "EXTRA")])
def test_a_fault_in_a_function_about_the_request_is_noted_and_changes_nothing(
    site: Any, trail: Trail, caplog: pytest.LogCaptureFixture, key: str, where: str, error: BaseException
) -> None:
    site(**{key: raising(error)})
    response = Client().get("/plain/")
    assert (response.status_code, response.content) == (200, b"plain")
    assert indelible.health()["faults"] == 1
    (request,) = trail.events("request")
    assert request["notes"] == [f"{where} failed: {type(error).__name__}"]
    assert [record for record in caplog.records if record.name == "indelible" and record.levelno == logging.ERROR]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_a_fault_in_a_function_about_who_and_why_is_noted_and_changes_nothing(site: Any, trail: Trail, error: BaseException) -> None:
    site(ACTOR=raising(error), CONTEXT=raising(error))
    response = Client().post("/write/ward/200/")
    assert response.status_code == 200
    change, request = trail.events()
    for event in (change, request):
        assert event["actor"] == {"type": "unresolved"}
        assert event["notes"] == [f"{where} failed: {type(error).__name__}" for where in ("ACTOR", "CONTEXT")]


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    "answer", [{1: 2}, {b"a": {2: 3}}, {"a": Unspeakable()}, {"a": float("nan")}, {"a": "\ud800"}, [("a", 1)], 7, "text"]
)
def test_an_answer_that_cannot_be_recorded_costs_no_event(site: Any, trail: Trail, answer: Any) -> None:
    site(EXTRA=lambda request, response: answer, CONTEXT=lambda request: answer)
    response = Client().post("/write/ward/200/")
    assert response.status_code == 200
    assert [event["kind"] for event in trail.events()] == ["change", "request"]


def test_the_masker_sees_the_headers_of_the_answer(site: Any, trail: Trail) -> None:
    site(REQUESTS={"level": "request_response"}, MASKER=lambda value, path: "xxx" if path.endswith("_headers.content-type") else value)
    Client().get("/plain/")
    (request,) = trail.events("request")
    assert request["request"]["response_headers"]["content-type"] == "xxx"


def test_the_masker_masks_more_and_never_less(site: Any, trail: Trail) -> None:
    seen: dict[str, Any] = {}

    def masker(value: Any, path: str) -> Any:
        seen[path] = value
        if path == "changes.name.new":
            return str(value)[:1] + "…"
        if path == "changes.details.new.height":
            return None
        if path == "meta.amount":
            return 3
        if path == "changes.visits.new":
            return "call 4111 1111 1111 1111"
        return value

    site(MASKER=masker)
    with indelible.context(meta={"amount": 12.5, "flow": "in"}):
        Patient.objects.create(name="Ana", ssn="078-05-1120", details={"height": 170, "allergies": ["nuts"]}, maiden_name="Lima", visits=4)
    event = only_change(trail)
    assert fields(event)["name"] == (None, "A…")
    assert fields(event)["details"] == (None, {"height": "[masked]", "allergies": ["nuts"]})
    assert fields(event)["visits"] == (None, "call [masked]")
    assert event["meta"] == {"amount": "[masked]", "flow": "in"}
    assert next(change for change in event["changes"] if change["field"] == "id")["new"] == int(event["resource"]["id"])
    assert seen["changes.details.new.allergies.0"] == "nuts"
    # What is masked already is not shown to it, so it cannot be given back.
    assert not [path for path in seen if "ssn" in path or "maiden" in path]


def test_the_masker_sees_an_update_and_the_text_of_a_record(site: Any, trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Bo")
    site(MASKER=lambda value, path: "xxx" if path in ("changes.name.old", "reason") else value)
    doctor = Doctor.objects.get(pk=doctor.pk)
    doctor.name = "Bob"
    doctor.save()
    indelible.record("invoice.approve", reason="because of Ana", meta={"n": 1})
    changed, approved = (next(e for e in trail.events() if e["action"] == action) for action in ("doctor.update", "invoice.approve"))
    assert fields(changed) == {"name": ("xxx", "Bob")}
    assert (approved["reason"], approved["meta"]) == ("xxx", {"n": 1})


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_a_fault_in_the_masker_masks(site: Any, trail: Trail, error: BaseException) -> None:
    site(MASKER=raising(error))
    Doctor.objects.create(name="Bo")
    assert indelible.health()["faults"] > 0
    assert fields(only_change(trail))["name"] == (None, "[masked]")


@pytest.mark.defect("S-13", "G-16")
@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_whoever_listens_hears_of_every_fault_and_may_fail_too(
    site: Any, trail: Trail, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    heard: list[tuple[BaseException, Mapping[str, Any]]] = []

    def listener(fault: BaseException, event: Mapping[str, Any]) -> None:
        heard.append((fault, event))
        raise error

    broken = LookupError("no tenant")
    site(ON_AUDIT_ERROR=listener, EXTRA=raising(broken))
    browser = Client()
    assert [browser.get("/plain/").status_code for _ in range(2)] == [200, 200]
    assert [fault for fault, _ in heard] == [broken, broken]
    request = trail.events("request")[0]["request"]
    assert heard[0][1] == {"where": "EXTRA", "request_id": request["id"], "method": "GET", "path": "/plain/"}
    assert "ON_AUDIT_ERROR" in caplog.text


def test_a_listener_that_records_something_is_not_called_about_itself(site: Any, trail: Trail) -> None:
    calls = []

    def listener(fault: BaseException, event: Mapping[str, Any]) -> None:
        calls.append(fault)
        Client().get("/plain/")
        indelible.record("alert.send", meta={"where": event["where"]})

    site(ON_AUDIT_ERROR=listener, EXTRA=raising(ValueError("no")))
    Client().get("/plain/")
    assert len(calls) == 1
    assert len(trail.events("request")) == 2
    assert trail.events("action")[0]["meta"] == {"where": "EXTRA"}


def test_ignored_actions_leave_no_trace_in_and_out_of_transactions(site: Any, trail: Trail) -> None:
    site(IGNORE_ACTIONS=["doctor.*", "*.export"])
    assert indelible.record("report.export").status == "ignored"
    with transaction.atomic():
        Doctor.objects.create(name="Bo")
        Patient.objects.create(name="Ana")
    doctor = Doctor.objects.create(name="Cy")
    doctor.name = "Cyd"
    doctor.save()
    Doctor.objects.bulk_create([Doctor(name="Di"), Doctor(name="Ed")])
    Doctor.objects.all().delete()
    indelible.record("report.read")
    assert [event["action"] for event in trail.events()] == ["patient.create", "report.read"]


@pytest.mark.scenario(23)
@pytest.mark.defect("A-17", "S-3")
@pytest.mark.parametrize("anonymous", [True, False])
def test_what_anonymous_actors_do_is_recorded_unless_the_site_says_otherwise(site: Any, trail: Trail, anonymous: bool) -> None:
    site(ANONYMOUS=anonymous)
    browser = Client()
    browser.post("/write/ward/200/")
    browser.post("/write/bed/403/")
    Doctor.objects.create(name="Bo")
    told = [(event["action"], event["actor"]["type"], event["outcome"]) for event in trail.events()]
    always = [("request.post", "anonymous", "denied"), ("doctor.create", "system", "success")]
    all_of_it = [
        ("group.create", "anonymous", "success"),
        ("request.post", "anonymous", "success"),
        ("group.create", "anonymous", "success"),
        *always,
    ]
    assert told == (all_of_it if anonymous else always)


def test_recording_nowhere_makes_every_event_and_writes_none(site: Any, trail: Trail, settings: Any) -> None:
    masked: list[str] = []
    site(RECORD="nowhere", MASKER=lambda value, path: masked.append(path) or value)
    assert indelible.record("invoice.approve", meta={"amount": 3}).status == "ignored"
    Doctor.objects.create(name="Bo")
    assert Client().get("/plain/").status_code == 200
    assert {"meta.amount", "changes.name.new", "request.path"} <= set(masked)
    assert indelible.health()["unrecorded"] == 0
    assert indelible.health()["sequence"] in (None, 0)
    assert not (trail.data_dir / "journal").exists()
    assert Doctor.objects.count() == 1


def test_the_call_site_of_a_write_is_the_line_of_the_application(site: Any, trail: Trail, settings: Any) -> None:
    settings.BASE_DIR = str(trail.data_dir.parent)
    site(CALL_SITE=1.0)

    def admit() -> int:
        Doctor.objects.create(name="Bo")
        return sys._getframe().f_lineno - 1

    line = admit()
    indelible.record("invoice.approve")
    Client().get("/plain/")
    code = only_change(trail)["source"]["code"]
    assert (code["file"], code["line"]) == (__file__, line)
    assert code["function"].endswith("admit")
    assert trail.events("action")[0]["source"]["code"]["file"] == __file__
    assert "code" not in trail.events("request")[0]["source"]


def test_no_way_into_the_journal_leads_past_the_steps(site: Any, trail: Trail) -> None:
    from indelible import _finish, _native

    for native, finishing in (
        (_native.Recorder, _finish.Finishing),
        (_native.Transaction, _finish.FinishingTransaction),
        (_native.Intent, _finish.FinishingIntent),
    ):
        # The hooks around a fork are called on the native recorder itself; they take no events.
        offered = {name for name in vars(native) if not name.startswith("_") and "fork" not in name}
        assert offered == {name for name in vars(finishing) if name[0].islower()} | finishing.DELEGATED


def test_many_rows_of_one_statement_are_masked_and_left_out_too(site: Any, trail: Trail) -> None:
    Doctor.objects.bulk_create([Doctor(name="Bo"), Doctor(name="Cy")])
    site(MASKER=lambda value, path: None if path.startswith("changes.name") else value, IGNORE_ACTIONS=["condition.*"])
    Doctor.objects.update(name="Di")
    with transaction.atomic():
        Doctor.objects.update(name="Ed")
        Doctor.objects.bulk_create([Doctor(name="Flo")])
    Condition.objects.bulk_create([Condition(code="C1")])
    Condition.objects.update(code="C2")
    text = json.dumps([event for event in trail.changes() if event["source"]])
    assert "Di" not in text
    assert "Ed" not in text
    assert "Flo" not in text
    assert not [event for event in trail.changes() if event["action"].startswith("condition")]


def test_without_the_setting_nothing_looks_for_the_call_site(site: Any, trail: Trail) -> None:
    site()
    assert type(indelible._runtime.runtime().recorder()).__module__ == "indelible._native"
    Doctor.objects.create(name="Bo")
    assert "code" not in only_change(trail)["source"]


def test_further_attributes_of_the_user_are_recorded_and_a_missing_one_is_noted(site: Any, trail: Trail) -> None:
    user = User.objects.create_user("ana", "ana@example.org", "x", last_name="Lima")
    site(ACTOR_FIELDS=["id", "label", "last_name", "is_staff", "department.code", "get_full_name"], RESOLVE_ACTOR="always")
    browser = Client()
    browser.force_login(user)
    assert browser.get("/plain/").status_code == 200
    (request,) = trail.events("request")
    actor = {key: value for key, value in request["actor"].items() if key not in ("auth", "session")}
    assert actor == {"type": "user", "id": str(user.pk), "label": "ana", "last_name": "Lima", "is_staff": False}
    assert request["notes"] == ["actor's department.code not read: AttributeError", "actor's get_full_name not read: TypeError"]


@pytest.mark.defect("A-7")
def test_no_function_of_the_site_leaves_a_secret_in_the_journal(site: Any, trail: Trail) -> None:
    secret = "4111111111111111"
    site(
        META_HEADERS={"X-UI-App": "ui_app"},
        EXTRA=lambda request, response: {"card": secret, "nested": [{"Password": "hunter2-plain"}]},
        CONTEXT=lambda request: {"note": f"paid with {secret}"},
        MASKER=lambda value, path: f"{value} {secret}" if path == "request.user_agent" else value,
    )
    Client().get("/plain/", headers={"X-UI-App": secret, "User-Agent": "curl"})
    text = json.dumps(trail.records())
    assert secret not in text
    assert "hunter2-plain" not in text
    assert "curl [masked]" in text


def test_an_answer_of_extra_that_cannot_be_read_costs_only_itself(site: Any, trail: Trail) -> None:
    site(EXTRA=lambda request, response: HttpResponse("not a mapping"))
    assert Client().get("/plain/").status_code == 200
    (request,) = trail.events("request")
    assert request["notes"][0].startswith("EXTRA failed")
