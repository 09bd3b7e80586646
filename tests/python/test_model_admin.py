"""Django's admin: adding, changing, deleting, actions, looking, refusals and the history page."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import isolate_apps

from agents import running_agent, until
from in_loop import in_loop
from indelible._client import search
from indelible.django import _model_admin
from testproject import views_intent
from testproject.models import Appointment, Condition, Counter, Doctor, Patient, Prescription, Ticket, Visit
from trails import Trail, fields

pytestmark = pytest.mark.usefixtures("database")

SOURCE = {"source": "admin", "admin": "PatientAdmin"}


@pytest.fixture
def browser(database: str, trail: Trail) -> Client:
    ContentType.objects.clear_cache()
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.create_superuser("root", password="right-password"))
    trail.forget()
    return browser


def page(model: str, rest: str) -> str:
    return f"/intent/admin/testproject/{model}/{rest}"


def patient_form(name: str, *, appointments: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "ssn": "777",
        "conditions": [Condition.objects.get_or_create(code="flu")[0].pk],
        "appointment_set-TOTAL_FORMS": 1 if appointments == 0 and "appointment_set-0-room" in more else 0,
        "appointment_set-INITIAL_FORMS": 0,
        **more,
    }


def of_model(events: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    return [event for event in events if event.get("resource", {}).get("type") == f"testproject.{label}"]


def of_log(event: dict[str, Any]) -> bool:
    return event.get("resource", {}).get("type") == "admin.LogEntry"


@pytest.mark.scenario(28)
@pytest.mark.defect("S-4", "S-7", "S-10", "H7", "H10")
def test_add_change_delete_and_delete_selected_are_one_event_for_each_object(browser: Client, trail: Trail) -> None:
    condition = Condition.objects.create(code="flu")
    trail.forget()
    form = patient_form("Bea", **{"appointment_set-0-room": "12"})
    assert browser.post(page("patient", "add/"), form).status_code == 302
    patient = Patient.objects.get()
    events = [event for event in trail.changes() if not of_log(event)]
    assert [event["action"] for event in events] == ["patient.create", "patient.update", "appointment.create"]
    assert all(event["meta"] == SOURCE and event["actor"]["label"] == "root" for event in events)
    assert (fields(events[0])["name"], fields(events[0])["ssn"]) == ((None, "Bea"), (None, None))
    assert events[1]["changes"][0]["added"] in ([condition.pk], [str(condition.pk)])

    trail.forget()
    appointment = Appointment.objects.get()
    form = {
        **patient_form("Bea B"),
        "appointment_set-TOTAL_FORMS": 1,
        "appointment_set-INITIAL_FORMS": 1,
        "appointment_set-0-id": appointment.pk,
        "appointment_set-0-patient": patient.pk,
        "appointment_set-0-room": "13",
    }
    assert browser.post(page("patient", f"{patient.pk}/change/"), form).status_code == 302
    changed, moved = [event for event in trail.changes() if not of_log(event)]
    assert (changed["action"], fields(changed), changed["meta"]) == ("patient.update", {"name": ("Bea", "Bea B")}, SOURCE)
    assert (moved["action"], fields(moved), moved["meta"]) == ("appointment.update", {"room": ("12", "13")}, SOURCE)

    trail.forget()
    assert browser.post(page("patient", f"{patient.pk}/delete/"), {"post": "yes"}).status_code == 302
    deleted = [event for event in of_model(trail.changes(), "Patient") if event["action"] == "patient.delete"]
    assert [event["meta"] for event in deleted] == [SOURCE]

    keys = [ticket.pk for ticket in (Ticket.objects.create(title=title) for title in "abc")]
    trail.forget()
    browser.post(page("ticket", ""), {"action": "delete_selected", "_selected_action": keys, "post": "yes"})
    deleted = of_model(trail.changes(), "Ticket")
    assert {event["resource"]["id"] for event in deleted} == {str(key) for key in keys}
    assert sorted(fields(event)["title"] for event in deleted) == [("a", None), ("b", None), ("c", None)]
    assert {event["meta"]["source"] for event in deleted} == {"admin"}


class ReplicaRouter:
    """Reads on one database and writes on another, as sites with a replica do."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


def test_a_selection_is_deleted_where_rows_are_written_and_not_on_a_replica(database: str, trail: Trail, settings: Any) -> None:
    for alias in ("default", "other"):
        Ticket.objects.using(alias).bulk_create([Ticket(pk=UUID(int=number), title=f"{number}") for number in range(3)])
    trail.forget()
    settings.DATABASE_ROUTERS = [ReplicaRouter()]
    request = RequestFactory().post("/")
    views_intent.site._registry[Ticket].delete_queryset(request, Ticket.objects.filter(title__in="01"))
    assert [Ticket.objects.using(alias).count() for alias in ("default", "other")] == [1, 3]
    assert sorted(fields(event)["title"][0] for event in trail.changes()) == ["0", "1"]


def test_a_plain_admin_is_recorded_too(browser: Client, trail: Trail) -> None:
    browser.post(page("counter", "add/"), {"name": "a", "hits": 1, "noise": 0})
    counter = Counter.objects.get()
    browser.post(page("counter", f"{counter.pk}/change/"), {"name": "b", "hits": 1, "noise": 0})
    browser.post(page("counter", f"{counter.pk}/delete/"), {"post": "yes"})
    events = of_model(trail.changes(), "Counter")
    assert [event["action"] for event in events] == ["counter.create", "counter.update", "counter.delete"]
    assert {event["actor"]["label"] for event in events} == {"root"}


def test_an_action_says_what_it_did_to_how_many_and_which(browser: Client, trail: Trail) -> None:
    keys = [Patient.objects.create(name=name).pk for name in "abc"]
    trail.forget()
    browser.post(page("patient", ""), {"action": "discharge", "_selected_action": keys[:2]}, headers={"X-Audit-Reason": "recovered"})
    (event,) = trail.events("action")
    assert (event["action"], event["outcome"], event["reason"]) == ("patient.discharge_selected", "success", "recovered")
    assert event["resource"] == {"type": "testproject.Patient"}
    assert event["meta"].pop("ids") == sorted((str(key) for key in keys[:2]), reverse=True)
    assert event["meta"] == {**SOURCE, "admin_action": "discharge", "count": 2}
    trail.forget()
    browser.post(page("patient", ""), {"action": "fail", "_selected_action": keys})
    (failed,) = trail.events("action")
    assert (failed["action"], failed["outcome"], failed["meta"]["count"]) == ("patient.fail", "failure", 3)


@pytest.mark.scenario(29)
@pytest.mark.defect("S-9")
def test_a_refused_delete_leaves_the_attempt_and_no_success(browser: Client, trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Eva")
    Visit.objects.create(doctor=doctor, note="private")
    trail.forget()
    assert browser.post(page("doctor", f"{doctor.pk}/delete/"), {"post": "yes"}).status_code == 200
    (attempt,) = trail.changes()
    assert (attempt["action"], attempt["outcome"], attempt["resource"]["id"]) == ("doctor.delete", "failure", str(doctor.pk))
    assert attempt["error"]["type"] == "ProtectedError"
    assert "private" not in json.dumps(attempt)


def test_who_looks_is_recorded_where_model_or_page_says_so(browser: Client, trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana")
    prescription = Prescription.objects.create(drug="aspirin")
    Doctor.objects.create(name="Eva")
    trail.forget()
    for place in ("patient/", f"patient/{patient.pk}/change/", f"prescription/{prescription.pk}/change/", "doctor/"):
        assert browser.get(f"/intent/admin/testproject/{place}").status_code == 200
    listed, view, prescribed = trail.events("read")
    assert (listed["action"], listed["meta"]) == ("patient.list", {**SOURCE, "count": 1, "ids": [str(patient.pk)]})
    assert (view["action"], view["resource"]["id"], view["actor"]["label"]) == ("patient.view", str(patient.pk), "root")
    assert (prescribed["action"], prescribed["resource"]["id"]) == ("prescription.view", str(prescription.pk))


@pytest.mark.defect("H2")
@pytest.mark.parametrize(
    ("method", "rest", "kind", "verb", "key"),
    [
        ("get", "", "read", "list", None),
        ("get", "7/change/", "read", "view", "7"),
        ("post", "7/change/", "change", "update", "7"),
        ("post", "add/", "change", "create", None),
        ("post", "7/delete/", "change", "delete", "7"),
    ],
)
def test_a_refusal_names_model_and_verb(
    browser: Client, trail: Trail, method: str, rest: str, kind: str, verb: str, key: str | None
) -> None:
    Counter.objects.create(pk=7, name="a")
    clerk = User.objects.create_user("clerk", is_staff=True)
    browser.force_login(clerk)
    trail.forget()
    assert getattr(browser, method)(page("counter", rest)).status_code == 403
    attempt = trail.events()[0]
    assert (attempt["kind"], attempt["action"], attempt["outcome"]) == (kind, f"counter.{verb}", "denied")
    assert (attempt["resource"].get("id"), attempt["actor"]["label"]) == (key, "clerk")


def test_who_is_no_staff_is_refused_by_name_and_who_is_nobody_is_invited(browser: Client, trail: Trail) -> None:
    browser.force_login(User.objects.create_user("guest"))
    trail.forget()
    assert browser.get(page("counter", "")).status_code == 302
    assert Client().get(page("counter", "")).status_code == 302
    attempt, *requests = trail.events()
    assert (attempt["action"], attempt["outcome"], attempt["actor"]["label"]) == ("counter.list", "denied", "guest")
    assert [event["kind"] for event in requests] == ["request", "request"]


def test_a_form_asks_for_the_reason_that_is_required(browser: Client, trail: Trail) -> None:
    prescription = Prescription.objects.create(drug="aspirin")
    trail.forget()
    change, delete = page("prescription", f"{prescription.pk}/change/"), page("prescription", f"{prescription.pk}/delete/")
    assert b'name="audit_reason"' in browser.get(change).content
    assert b"This field is required" in browser.post(change, {"drug": "ibuprofen"}).content
    assert b'name="audit_reason"' in browser.get(delete).content
    browser.post(delete, {"post": "yes"})
    assert Prescription.objects.get().drug == "aspirin"
    assert trail.changes() == []
    trail.forget()
    assert browser.post(change, {"drug": "ibuprofen", "audit_reason": "an allergy"}).status_code == 302
    browser.post(delete, {"post": "yes", "audit_reason": "a mistake"})
    events = of_model(trail.changes(), "Prescription")
    assert [(event["action"], event["reason"]) for event in events] == [
        ("prescription.update", "an allergy"),
        ("prescription.delete", "a mistake"),
    ]


def test_a_list_that_can_be_edited_and_has_no_actions_asks_for_the_reason(
    browser: Client, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    prescription = Prescription.objects.create(drug="aspirin")
    listed = page("prescription", "")
    assert b'name="audit_reason"' in browser.get(listed).content, "beside the actions"
    admin = views_intent.site._registry[Prescription]
    for name, value in {"actions": None, "list_display": ("id", "drug")}.items():
        monkeypatch.setattr(admin, name, value)
    assert b'name="audit_reason"' not in browser.get(listed).content, "nothing can be changed here"
    monkeypatch.setattr(admin, "list_editable", ("drug",))
    shown = browser.get(listed).content.decode()
    assert shown.count('name="audit_reason"') == 1
    assert "Reason:" in shown
    rows = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": prescription.pk, "form-0-drug": "ibuprofen", "_save": "Save"}
    trail.forget()
    assert browser.post(listed, rows).status_code == 400
    assert browser.post(listed, {**rows, "audit_reason": "an allergy"}).status_code == 302
    refused, changed = of_model(trail.changes(), "Prescription")
    assert (refused["outcome"], changed["outcome"], changed["reason"]) == ("denied", "success", "an allergy")
    assert fields(changed) == {"drug": ("aspirin", "ibuprofen")}


def test_an_action_that_needs_a_reason_is_not_run_without_one(browser: Client, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REASON_REQUIRED": ["patient.discharge_selected"]}
    patient = Patient.objects.create(name="Ana")
    trail.forget()
    assert b'name="audit_reason"' in browser.get(page("patient", "")).content
    assert b'name="audit_reason"' not in browser.get(page("doctor", "")).content
    chosen = {"action": "discharge", "_selected_action": [patient.pk]}
    assert b"Give a reason for discharge" in browser.post(page("patient", ""), chosen, follow=True).content
    assert Patient.objects.get().visits == 0
    browser.post(page("patient", ""), {**chosen, "audit_reason": ["", "recovered", ""]})
    assert Patient.objects.get().visits == 7
    told = [event for event in trail.events() if event["action"] == "patient.discharge_selected"]
    assert [(event["outcome"], event.get("reason"), event["meta"]["ids"]) for event in told] == [
        ("denied", None, [str(patient.pk)]),
        ("success", "recovered", [str(patient.pk)]),
    ]


def test_pages_ask_for_the_reason_that_rows_beside_the_object_need(browser: Client, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REASON_REQUIRED": ["appointment.update", "appointment.delete"]}
    patient = Patient.objects.create(name="Ana")
    appointment = Appointment.objects.create(patient=patient, room="1")
    change, delete = page("patient", f"{patient.pk}/change/"), page("patient", f"{patient.pk}/delete/")
    assert b'name="audit_reason"' in browser.get(change).content
    assert b'name="audit_reason"' in browser.get(delete).content
    assert b'name="audit_reason"' not in browser.get(page("doctor", f"{Doctor.objects.create(name='Eva').pk}/delete/")).content
    trail.forget()
    assert browser.post(change, patient_form("Bea")).status_code == 302, "nothing of the row was touched"
    inline = {"appointment_set-TOTAL_FORMS": 1, "appointment_set-INITIAL_FORMS": 1, "appointment_set-0-room": "2"}
    inline |= {"appointment_set-0-id": appointment.pk, "appointment_set-0-patient": patient.pk}
    assert browser.post(change, patient_form("Bea") | inline).status_code == 400
    assert browser.post(change, patient_form("Bea") | inline | {"audit_reason": "moved"}).status_code == 302
    assert browser.post(delete, {"post": "yes"}).status_code == 400
    assert browser.post(delete, {"post": "yes", "audit_reason": "a mistake"}).status_code == 302
    told = [(event["action"], event["outcome"], event.get("reason")) for event in of_model(trail.changes(), "Appointment")]
    assert told == [
        ("appointment.update", "denied", None),
        ("appointment.update", "success", "moved"),
        ("appointment.delete", "denied", None),
        ("appointment.delete", "success", "a mistake"),
    ]


def test_pages_that_others_added_say_what_they_are_too(browser: Client, trail: Trail) -> None:
    user = User.objects.create_user("ana")
    trail.forget()
    form = {"password1": "a-new-passw0rd", "password2": "a-new-passw0rd", "usable_password": "true"}
    assert browser.post(f"/intent/admin/auth/user/{user.pk}/password/", form).status_code == 302
    (changed,) = trail.events("auth")
    assert (changed["action"], changed["meta"]) == ("auth.password_change", {"source": "admin", "admin": "ClinicUserAdmin"})


def test_what_every_event_of_a_page_carries_is_asked_for_once_and_not_for_a_visitor(
    browser: Client, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def audit_meta(self: Any, request: Any) -> dict[str, Any]:
        asked.append(request.path)
        return {"source": "admin", "admin": "PatientAdmin"}

    monkeypatch.setattr(views_intent.PatientAdmin, "audit_meta", audit_meta)
    patient = Patient.objects.create(name="Ana")
    pages = [page("patient", rest) for rest in ("", "add/", f"{patient.pk}/change/", f"{patient.pk}/delete/", f"{patient.pk}/history/")]
    for each in pages:
        assert browser.get(each).status_code == 200
    assert asked == pages
    for each in pages:
        assert Client().get(each).status_code == 302
    assert asked == pages
    trail.forget()
    assert browser.post(pages[3], {"post": "yes"}).status_code == 302
    (deleted,) = of_model(trail.changes(), "Patient")
    assert deleted["meta"] == SOURCE


def test_pages_that_a_site_keeps_are_put_into_their_frame_once() -> None:
    class Kept(views_intent.AuditModelAdmin):
        def get_urls(self) -> Any:
            self.kept: Any = getattr(self, "kept", None) or super().get_urls()
            return self.kept

    admin = Kept(Doctor, views_intent.site)
    first = [pattern.callback for pattern in admin.urls]
    assert [pattern.callback for pattern in admin.urls] == first


@isolate_apps("testproject", "django.contrib.contenttypes")
def test_rows_go_along_by_relations_without_a_name_and_by_generic_ones_too() -> None:
    class Ward(models.Model):
        notes = GenericRelation("Note")

        class Meta:
            app_label = "testproject"

    class Bed(models.Model):
        ward = models.ForeignKey(Ward, on_delete=models.CASCADE, related_name="+")

        class Meta:
            app_label = "testproject"

    class Sign(models.Model):
        ward = models.ForeignKey(Ward, on_delete=models.DO_NOTHING, related_name="+")

        class Meta:
            app_label = "testproject"

    class Note(models.Model):
        content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
        object_id = models.PositiveIntegerField()
        about = GenericForeignKey()

        class Meta:
            app_label = "testproject"

    assert {*_model_admin._followers(Ward)} == {Bed, Note}
    assert [*_model_admin._followers(Note)] == []


def test_who_may_not_delete_is_refused_and_not_asked_why(browser: Client, trail: Trail) -> None:
    prescription = Prescription.objects.create(drug="aspirin")
    browser.force_login(User.objects.create_user("clerk", is_staff=True))
    assert browser.post(page("prescription", f"{prescription.pk}/delete/"), {"post": "yes"}).status_code == 403


def test_the_history_page_is_the_timeline_of_the_trail(browser: Client, trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana <script>", ssn="1234")
    with running_agent(trail.data_dir):
        browser.post(page("patient", f"{patient.pk}/change/"), patient_form("Ana {{ Maria }}"))
        until(lambda: len(search(trail.data_dir, f'resource:"testproject.Patient/{patient.pk}"').records) >= 2)
        content = browser.get(page("patient", f"{patient.pk}/history/")).content.decode()
        looks = search(trail.data_dir, "action:audit.read").records
    viewer = browser.session["_auth_user_id"]
    assert viewer in {look["event"]["actor"].get("id") for look in looks}, "who looked is named as in every other event"
    assert "Ana &lt;script&gt; → Ana {{ Maria }}" in content
    assert "ssn: masked" in content
    assert "1234" not in content
    assert "<script>" not in content.partition("change-history")[2]


def test_without_an_agent_the_history_page_is_djangos(browser: Client, trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana")
    browser.post(page("patient", f"{patient.pk}/change/"), patient_form("Ana Maria"))
    content = browser.get(page("patient", f"{patient.pk}/history/")).content.decode()
    assert "Changed Name" in content


@pytest.mark.scenario(28)
@in_loop
async def test_under_asgi_it_is_the_same(browser: Client, trail: Trail) -> None:
    visitor = AsyncClient()
    visitor.cookies = browser.cookies
    assert (await visitor.post(page("doctor", "add/"), {"name": "Eva"})).status_code == 302
    (created,) = of_model(trail.changes(), "Doctor")
    assert (created["action"], created["meta"]["source"], created["actor"]["label"]) == ("doctor.create", "admin", "root")
