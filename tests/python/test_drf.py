"""DRF views: what they do to their object is one event with its meaning; who reads and who is refused is recorded by name."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token
from rest_framework.permissions import AllowAny
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory
from rest_framework.viewsets import ModelViewSet
from rest_framework_simplejwt.tokens import AccessToken

from in_loop import in_loop
from indelible import _runtime, drf
from indelible.drf import AuditViewSetMixin
from testproject.models import Condition, Doctor, Patient, Ticket, Visit
from testproject.settings import INDELIBLE
from testproject.views_intent import PatientSerializer
from trails import Trail, fields, only_change

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def ana(database: str) -> User:
    return User.objects.create_user("ana", password="right-password")


@pytest.fixture
def browser(ana: User) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(ana)
    return browser


@pytest.fixture
def patient(database: str, trail: Trail, browser: Client) -> Patient:
    patient = Patient.objects.create(name="Ana", ssn="1234")
    trail.forget()
    return patient


def send(browser: Client, method: str, path: str, data: Any = None, **headers: str) -> Any:
    return getattr(browser, method)(f"/intent/{path}", json.dumps(data), content_type="application/json", headers=headers)


def grant(user: User, codename: str) -> None:
    # The tables are emptied between tests; this memory of them is not.
    ContentType.objects.clear_cache()
    content_type = ContentType.objects.get_for_model(apps.get_model("testproject", codename.partition("_")[2]))
    user.user_permissions.add(Permission.objects.get_or_create(codename=codename, content_type=content_type)[0])


SOURCE = {"source": "api", "view": "PatientViewSet"}


@pytest.mark.scenario(27)
@pytest.mark.defect("S-2", "S-4", "S-7")
def test_a_create_is_one_event_and_other_rows_of_the_model_are_theirs(patient: Patient, browser: Client, trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Eva")
    condition = Condition.objects.create(code="flu")
    trail.forget()
    given = {"name": "Bea", "born": "2001-02-03", "balance": "12.50", "ssn": "777", "doctor": doctor.pk, "conditions": [condition.pk]}
    answer = send(browser, "post", "patients/", given)
    assert answer.status_code == 201, answer.content
    before, created, linked, after = trail.changes()
    assert created["meta"] == {**SOURCE, "serializer": "PatientSerializer"}
    assert created["actor"]["label"] == "ana"
    shown = fields(created)
    assert (shown["name"], shown["born"], shown["balance"]) == ((None, "Bea"), (None, "2001-02-03"), (None, "12.50"))
    assert shown["ssn"] == (None, None), "masked"
    assert linked["changes"][0]["added"] == [condition.pk] or linked["changes"][0]["added"] == [str(condition.pk)]
    assert (fields(before)["name"][1], fields(after)["name"][1]) == ("before", "after")
    assert before["meta"] == after["meta"] == SOURCE


@pytest.mark.scenario(27)
@pytest.mark.defect("S-1", "S-2")
def test_an_update_and_a_delete_are_one_event_each(patient: Patient, browser: Client, trail: Trail) -> None:
    send(browser, "patch", f"patients/{patient.pk}/", {"name": "Ana Maria", "ssn": "9"})
    updated = only_change(trail)
    assert (updated["action"], updated["meta"]) == ("patient.update", {**SOURCE, "serializer": "PatientSerializer"})
    assert fields(updated) == {"name": ("Ana", "Ana Maria"), "ssn": (None, None)}
    trail.forget()
    assert send(browser, "delete", f"patients/{patient.pk}/").status_code == 204
    deleted = [event for event in trail.changes() if event["resource"]["type"] == "testproject.Patient"]
    assert [(event["action"], event["meta"]) for event in deleted] == [("patient.delete", SOURCE)]


@pytest.mark.defect("S-8")
def test_a_patch_that_changes_nothing_is_no_change(patient: Patient, browser: Client, trail: Trail) -> None:
    assert send(browser, "patch", f"patients/{patient.pk}/", {"name": "Ana"}).status_code == 200
    assert trail.changes() == []


def test_several_rows_of_one_request_are_one_event_each(patient: Patient, browser: Client, trail: Trail) -> None:
    assert send(browser, "post", "tickets/", [{"title": "a"}, {"title": "b"}]).status_code == 201
    assert [(event["action"], event["meta"]["serializer"]) for event in trail.changes()] == [("ticket.create", "TicketSerializer")] * 2


@pytest.mark.parametrize(("name", "kind", "has_changes"), [("discharge", "change", True), ("greet", "action", False)])
def test_an_action_of_the_view_has_its_name_whether_it_writes_or_not(
    patient: Patient, browser: Client, trail: Trail, name: str, kind: str, has_changes: bool
) -> None:
    send(browser, "post", f"patients/{patient.pk}/{name}/", {}, **{"X-Audit-Reason": "recovered – fully".encode().decode("latin-1")})
    (event,) = [event for event in trail.events() if event["kind"] != "request"]
    assert (event["action"], event["kind"], event["outcome"]) == (f"patient.{name}", kind, "success")
    assert (event["resource"]["id"], event["reason"], "changes" in event) == (str(patient.pk), "recovered – fully", has_changes)


@pytest.fixture
def asking() -> Iterator[None]:
    with override_settings(INDELIBLE={**INDELIBLE, "REASON_FIELD": "why"}):
        yield


def test_the_reason_stands_in_the_body_that_the_view_has_parsed(asking: None, patient: Patient, browser: Client, trail: Trail) -> None:
    assert send(browser, "patch", f"patients/{patient.pk}/", {"name": "Bea", "why": "married"}).status_code == 200
    assert only_change(trail)["reason"] == "married"


def test_a_body_is_not_read_for_the_sake_of_a_reason(asking: None, patient: Patient, browser: Client) -> None:
    answer = send(browser, "post", "patients/scan/", {"why": "x"})
    assert (answer.status_code, answer.json()) == (200, {"body": '{"why": "x"}'})
    answer = browser.post(f"/intent/patients/{patient.pk}/discharge/", "not JSON", content_type="application/json")
    assert answer.status_code == 200, "a view that ignores its body is not told that it is wrong"


def test_a_body_that_is_read_for_its_reason_is_still_there_for_the_view(patient: Patient, browser: Client, trail: Trail) -> None:
    with override_settings(INDELIBLE={**INDELIBLE, "REASON_FIELD": "why", "REASON_REQUIRED": ["patient.scan"]}):
        answer = send(browser, "post", "patients/scan/", {"why": "a check"})
        assert (answer.status_code, answer.json()) == (200, {"body": '{"why": "a check"}'})
        form = browser.post("/intent/patients/scan/", {"why": "another"})
        assert "another" in form.json()["body"], "all of a multipart form, too"
        assert send(browser, "post", "patients/scan/", {}).status_code == 400
        trail.data_dir = _runtime.runtime().settings.data_dir
        told = [(event["outcome"], event.get("reason")) for event in trail.events() if event["action"] == "patient.scan"]
    assert told == [("success", "a check"), ("success", "another"), ("denied", None)]


@pytest.mark.parametrize(
    ("length", "limit", "content_type", "is_read"),
    [
        ("14", 14, "application/json", True),
        ("15", 14, "application/json", False),
        ("", 14, "application/json", False),
        ("many", 14, "application/json", False),
        ("14", None, "application/json", True),
        ("14", None, "multipart/form-data; boundary=x", False),
    ],
)
def test_only_a_body_that_may_be_in_memory_is_kept_for_the_view(length: str, limit: int | None, content_type: str, is_read: bool) -> None:
    plain = RequestFactory().generic("POST", "/", b'{"why": "yes"}', content_type=content_type, CONTENT_LENGTH=length)
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=limit):
        drf._read_for_reason(SimpleNamespace(_request=plain, data={}))
    assert hasattr(plain, "_body") is is_read


class UserSerializer(ModelSerializer):
    class Meta:
        model = User
        fields = ("username", "password")

    def create(self, validated_data: dict[str, Any]) -> User:
        User.objects.create_user("somebody else", password=validated_data["password"])
        return User.objects.create_user(**validated_data)


def test_an_object_with_a_password_is_recognised_by_the_rest(database: str, trail: Trail) -> None:
    class UserViewSet(AuditViewSetMixin, ModelViewSet):
        queryset = User.objects.all()
        serializer_class = UserSerializer
        permission_classes = (AllowAny,)
        audit_actions = {"create": "user.enrol"}

    request = APIRequestFactory().post("/", {"username": "bo", "password": "right-password"}, format="json")
    assert UserViewSet.as_view({"post": "create"})(request).status_code == 201
    assert [(event["action"], fields(event)["username"][1]) for event in trail.changes()] == [
        ("user.create", "somebody else"),
        ("user.enrol", "bo"),
    ]


def test_members_that_cannot_be_had_cost_nothing_else(database: str, trail: Trail, settings: Any) -> None:
    class OddViewSet(AuditViewSetMixin, ModelViewSet):
        queryset = Patient.objects.all()
        serializer_class = PatientSerializer
        permission_classes = (AllowAny,)

        def audit_meta(self) -> dict[str, Any]:
            raise SystemExit(3)

    settings.INDELIBLE = {**INDELIBLE, "ON_ERROR": "degrade"}
    request = APIRequestFactory().post("/", {"name": "Bea"}, format="json")
    assert OddViewSet.as_view({"post": "create"})(request).status_code == 201
    created = only_change(trail)
    assert (created["action"], created["meta"]) == ("patient.create", {"serializer": "PatientSerializer"})


def test_an_action_that_is_refused_is_recorded_once_as_denied(patient: Patient, browser: Client, trail: Trail) -> None:
    assert send(browser, "post", f"patients/{patient.pk}/forbid/", {}).status_code == 403
    (event,) = [event for event in trail.events() if event["kind"] != "request"]
    assert (event["action"], event["outcome"], event["resource"]["id"]) == ("patient.forbid", "denied", str(patient.pk))


@pytest.mark.scenario(29)
@pytest.mark.defect("S-9")
def test_a_refused_delete_leaves_the_attempt_and_no_success(patient: Patient, browser: Client, ana: User, trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Eva")
    Visit.objects.create(doctor=doctor, note="private")
    grant(ana, "delete_doctor")
    trail.forget()
    assert send(browser, "delete", f"doctors/{doctor.pk}/").status_code == 500
    attempt = only_change(trail)
    assert (attempt["action"], attempt["outcome"], attempt["resource"]["id"]) == ("doctor.delete", "failure", str(doctor.pk))
    assert attempt["error"]["type"] == "ProtectedError"
    assert attempt["meta"] == {"source": "api", "view": "DoctorViewSet"}


def test_what_is_not_valid_was_not_tried(patient: Patient, browser: Client, trail: Trail) -> None:
    assert send(browser, "post", "patients/", {"name": ""}).status_code == 400
    assert send(browser, "patch", "patients/0/", {"name": "x"}).status_code == 404
    assert [event["kind"] for event in trail.events()] == ["request", "request"]


def test_what_is_read_is_recorded_with_its_keys(patient: Patient, browser: Client, trail: Trail) -> None:
    other = Patient.objects.create(name="Bea")
    trail.forget()
    browser.get(f"/intent/patients/{patient.pk}/")
    browser.get("/intent/patients/")
    browser.get(f"/intent/patients/{patient.pk}/chart/")
    view, listed, chart = trail.events("read")
    assert (view["action"], view["resource"]["id"], view["meta"]) == ("patient.view", str(patient.pk), SOURCE)
    assert (listed["action"], listed["resource"]["type"]) == ("patient.list", "testproject.Patient")
    assert listed["meta"] == {**SOURCE, "count": 2, "ids": [str(patient.pk), str(other.pk)]}
    assert (chart["action"], chart["resource"]["id"], chart["actor"]["label"]) == ("patient.chart", str(patient.pk), "ana")


def test_a_long_list_is_counted_to_its_end_and_its_keys_are_bounded(patient: Patient, browser: Client, trail: Trail) -> None:
    Patient.objects.bulk_create(Patient(name=str(number)) for number in range(1004))
    trail.forget()
    browser.get("/intent/patients/")
    (listed,) = trail.events("read")
    assert (listed["meta"]["count"], len(listed["meta"]["ids"]), listed["meta"]["truncated"]) == (1005, 1000, True)


def test_a_plain_view_of_a_model_that_says_so_is_recorded_without_another_query(
    patient: Patient, ana: User, trail: Trail, django_assert_num_queries: Any
) -> None:
    grant(ana, "add_ticket")
    Ticket.objects.create(title="a")
    token = Token.objects.create(user=ana).key
    trail.forget()
    with django_assert_num_queries(2):
        assert Client().get("/intent/plain-tickets/", headers={"Authorization": f"Token {token}"}).status_code == 200
    (listed,) = trail.events("read")
    assert (listed["action"], listed["meta"]["count"], listed["meta"]["view"]) == ("ticket.list", 1, "PlainTickets")
    trail.forget()
    assert Client().get(f"/intent/plain-patients/{patient.pk}/").status_code == 200
    assert trail.events("read") == [], "nobody asked for that"


@pytest.mark.defect("H2")
@pytest.mark.parametrize(
    ("method", "path", "kind", "verb"),
    [
        ("get", "doctors/", "read", "list"),
        ("post", "doctors/", "change", "create"),
        ("patch", "doctors/7/", "change", "update"),
        ("delete", "doctors/7/", "change", "delete"),
        ("post", "plain-tickets/", "change", "create"),
    ],
)
def test_a_refusal_names_model_and_verb(
    patient: Patient, browser: Client, trail: Trail, method: str, path: str, kind: str, verb: str
) -> None:
    who = Client() if method == "get" else browser
    answer = who.get(f"/intent/{path}") if method == "get" else send(who, method, path, {"name": "x", "title": "x"})
    assert answer.status_code in (401, 403)
    attempt, request = trail.events()
    noun = path[:-1].partition("/")[0].removeprefix("plain-").rstrip("s")
    assert (attempt["kind"], attempt["action"], attempt["outcome"]) == (kind, f"{noun}.{verb}", "denied")
    assert attempt["resource"].get("id") == ("7" if "7" in path else None)
    assert attempt["actor"]["type"] == ("anonymous" if who is not browser else "user")
    assert request["outcome"] == "denied"


def test_a_refusal_by_permission_required_names_model_and_verb(patient: Patient, browser: Client, trail: Trail) -> None:
    assert browser.post("/intent/change/7/").status_code == 403
    assert browser.post("/intent/delete/7/").headers["Location"].startswith("/sign-in-page/")
    assert browser.get("/intent/view/7/").status_code == 403
    attempts = [event for event in trail.events() if event["kind"] != "request"]
    assert [(event["kind"], event["action"], event["outcome"], event["resource"]["id"]) for event in attempts] == [
        ("change", "patient.update", "denied", "7"),
        ("change", "patient.delete", "denied", "7"),
        ("read", "patient.view", "denied", "7"),
    ]
    trail.forget()
    # Whoever is not logged in is invited, not refused.
    assert Client().post("/intent/delete/7/").status_code == 302
    assert [event["kind"] for event in trail.events()] == ["request"]


def basic(user: User) -> str:
    return "Basic YW5hOnJpZ2h0LXBhc3N3b3Jk"


@pytest.mark.scenario(22)
@pytest.mark.defect("A-6", "S-11")
@pytest.mark.parametrize(
    ("auth", "credential"),
    [
        ("token", lambda user: f"Token {Token.objects.create(user=user).key}"),
        ("jwt", lambda user: f"Bearer {AccessToken.for_user(user)}"),
        ("basic", basic),
    ],
)
@pytest.mark.parametrize("path", ["patients/", "plain-patients/"])
def test_the_actor_of_a_change_is_the_one_of_the_credential(ana: User, trail: Trail, auth: str, credential: Any, path: str) -> None:
    header = credential(ana)
    trail.forget()
    assert send(Client(), "post", path, {"name": "Bea"}, Authorization=header).status_code == 201
    events = trail.events()
    assert {(event["actor"]["id"], event["actor"]["label"], event["actor"]["auth"]) for event in events} == {(str(ana.pk), "ana", auth)}
    assert header.split()[1] not in json.dumps(events)


@pytest.mark.scenario(22)
@pytest.mark.defect("F-13")
def test_a_token_that_names_its_user_by_text_is_believed(database: str, trail: Trail) -> None:
    token = AccessToken()
    token["user_id"] = "usr_7f3a"
    answer = send(Client(), "post", "stateless-patients/", {"name": "Bea"}, Authorization=f"Bearer {token}")
    assert answer.status_code == 201, answer.content
    assert {(event["actor"]["type"], event["actor"]["id"], event["actor"]["auth"]) for event in trail.events()} == {
        ("user", "usr_7f3a", "jwt")
    }


@pytest.mark.scenario(23)
@pytest.mark.defect("S-3", "A-17")
def test_what_somebody_unknown_creates_is_not_lost(database: str, trail: Trail) -> None:
    assert send(Client(), "post", "patients/", {"name": "Bea"}).status_code == 201
    created = trail.changes()[1]
    assert created["actor"] == {"type": "anonymous"}
    assert "None" not in json.dumps(created)


class NamedByDoctor(ModelViewSet):
    """Asks the database whose patients it is about, for each request."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_serializer_class(self) -> Any:
        return PatientSerializer

    def get_queryset(self) -> Any:
        return Patient.objects.filter(doctor=Doctor.objects.get(name="Eva"))


def test_a_view_that_looks_up_its_rows_does_so_once(database: str, trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana", doctor=Doctor.objects.create(name="Eva"))
    trail.forget()
    audited = type("NamedByDoctor", (AuditViewSetMixin, NamedByDoctor), {"reads": True})
    counts = []
    for view in (NamedByDoctor, audited):
        request = APIRequestFactory().get("/")
        with CaptureQueriesContext(connection) as queries:
            assert view.as_view({"get": "retrieve"})(request, pk=patient.pk).render().status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert [event["action"] for event in trail.events()] == ["patient.view"]


@pytest.mark.scenario(27)
@in_loop
async def test_under_asgi_it_is_the_same(database: str, trail: Trail) -> None:
    answer = await AsyncClient().post("/intent/patients/", json.dumps({"name": "Bea"}), content_type="application/json")
    assert answer.status_code == 201
    assert [event["meta"].get("serializer") for event in trail.changes()] == [None, "PatientSerializer", None]


@pytest.mark.scenario(38)
@pytest.mark.defect("A-4")
def test_without_the_framework_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "indelible.drf")
    monkeypatch.setitem(sys.modules, "rest_framework.exceptions", None)
    with pytest.raises(ImportError, match=r"pip install 'indelible\[drf\]'"):
        importlib.import_module("indelible.drf")
