"""The acceptance scenarios as users of a site meet them: through a sync and through an async view, on SQLite and on PostgreSQL.

What one scenario has besides (every way to write, every body, real servers) is in the modules of its topic, with the same marks.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.response import Response
from rest_framework.views import APIView

import indelible
from indelible.django import formatters
from indelible.django.formatters import Formatter, register_formatter
from indelible.django.views import aaudit_delete, audit_delete
from testproject.models import Doctor, Employee, Manager, Patient, Row, Visit
from testproject.views_bodies import LARGE
from trails import Trail, fields, only_change

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.urls(__name__)]

SECRET = "s3cr3t-of-the-scenario"
JSON = "application/json"


class Site:
    """A browser; each of its requests is answered by the sync view of that name, or by its async twin."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.client: Any = {"sync": Client, "async": AsyncClient}[mode](raise_request_exception=False)

    def ask(self, name: str, data: Any = b"", content_type: str = JSON, query: str = "", method: str = "POST", **headers: str) -> Any:
        """Sends bytes as they are, and a dict as a multipart form."""
        to = f"/{self.mode}/{name}/{query}"
        if isinstance(data, dict):
            return self._sending(self.client.post)(to, data, headers=headers)
        return self._sending(self.client.generic)(method, to, data, content_type, headers=headers)

    def _sending(self, send: Any) -> Any:
        async def sent(*arguments: Any, **options: Any) -> Any:
            return await send(*arguments, **options)

        return send if self.mode == "sync" else async_to_sync(sent)

    def content(self, response: Any) -> bytes:
        """All that was answered, streams to their end."""
        if not response.streaming:
            return bytes(response.content)
        if self.mode == "sync":
            return b"".join(response)
        return async_to_sync(self._streamed)(response)

    async def _streamed(self, response: Any) -> bytes:
        return b"".join([chunk async for chunk in response])


@pytest.fixture(params=["sync", "async"])
def site(request: pytest.FixtureRequest, database: str) -> Site:
    return Site(request.param)


@pytest.fixture
def ana(site: Site) -> User:
    """Whose browser it is."""
    user = User.objects.create_user("ana")
    site.client.force_login(user)
    return user


@pytest.fixture
def everything(settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"level": "request_response"}}


# What the views do: a function for the sync view, and one for its twin, which writes through the ORM's async interface where there is one.

Do = Callable[[HttpRequest], HttpResponse | None]
AsyncDo = Callable[[HttpRequest], Awaitable[HttpResponse | None]]


def live(request: HttpRequest) -> None:
    patient = Patient.objects.create(name="Ana")
    patient.name = "Anna"
    patient.save()
    patient.delete()


async def alive(request: HttpRequest) -> None:
    patient = await Patient.objects.acreate(name="Ana")
    patient.name = "Anna"
    await patient.asave()
    await patient.adelete()


def correct(patient: Patient) -> None:
    patient.name, patient.born = "Anna", datetime.date(1991, 1, 2)


def refer(patient: Patient, doctor: Doctor) -> None:
    patient.doctor, patient.balance, patient.details = doctor, Decimal("9999999999.99"), {1: "one"}


def change(request: HttpRequest) -> None:
    patient = Patient.objects.get()
    correct(patient)
    patient.save()
    patient.save()
    refer(patient, Doctor.objects.get())
    patient.save()


async def achange(request: HttpRequest) -> None:
    patient = await Patient.objects.aget()
    correct(patient)
    await patient.asave()
    await patient.asave()
    refer(patient, await Doctor.objects.aget())
    await patient.asave()


def bulk(request: HttpRequest) -> None:
    rows = Row.objects.bulk_create(Row(number=number) for number in range(500))
    for row in rows:
        row.number += 1
    assert Row.objects.bulk_update((row for row in rows), ["number"]) == 500
    assert Row.objects.update(number=0) == 500
    assert Row.objects.all().delete() == (500, {"testproject.Row": 500})


async def abulk(request: HttpRequest) -> None:
    rows = await Row.objects.abulk_create(Row(number=number) for number in range(500))
    for row in rows:
        row.number += 1
    assert await Row.objects.abulk_update((row for row in rows), ["number"]) == 500
    assert await Row.objects.aupdate(number=0) == 500
    assert await Row.objects.all().adelete() == (500, {"testproject.Row": 500})


def inherit(request: HttpRequest) -> None:
    Employee.objects.create(name="Eve", badge="1")
    Manager.objects.create(name="Max", badge="2")


async def ainherit(request: HttpRequest) -> None:
    await Employee.objects.acreate(name="Eve", badge="1")
    await Manager.objects.acreate(name="Max", badge="2")


def change_then_answer(request: HttpRequest) -> HttpResponse:
    Group.objects.create(name="ward")
    return answered(request)


async def achange_then_answer(request: HttpRequest) -> HttpResponse:
    await Group.objects.acreate(name="ward")
    return answered(request)


def answered(request: HttpRequest) -> HttpResponse:
    if request.GET["code"] == "403":
        raise PermissionDenied
    if request.GET["code"] == "500":
        raise LookupError("no bed left")
    return HttpResponse()


def read(request: HttpRequest) -> HttpResponse:
    """Reads a body as its type asks for, and gives it back."""
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return HttpResponse(json.dumps(sorted([*request.POST, *request.FILES])), content_type=JSON)
    return HttpResponse(request.body, content_type=request.content_type)


async def aread(request: HttpRequest) -> HttpResponse:
    return read(request)


def stream_in(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(sum(len(chunk) for chunk in iter(lambda: request.read(1000), b""))))


async def astream_in(request: HttpRequest) -> HttpResponse:
    return stream_in(request)


def give(request: HttpRequest) -> HttpResponse:
    return HttpResponse(LARGE, content_type=request.GET["type"])


async def agive(request: HttpRequest) -> HttpResponse:
    return give(request)


def stream_out(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def astream_out(request: HttpRequest) -> StreamingHttpResponse:
    async def one_by_one() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    return StreamingHttpResponse(one_by_one(), content_type="text/plain")


def pieces() -> Iterator[bytes]:
    return (LARGE[start : start + 65_536] for start in range(0, len(LARGE), 65_536))


def dismiss(request: HttpRequest) -> None:
    audit_delete(Doctor.objects.get(), request)


async def adismiss(request: HttpRequest) -> None:
    await aaudit_delete(await Doctor.objects.aget(), request)


def reserve(request: HttpRequest) -> None:
    with indelible.context(meta={"ward": "7", "shift": "night"}):
        indelible.record("Bed Reserve!", resource="bed/1", meta={"ward": "8"})


async def areserve(request: HttpRequest) -> None:
    reserve(request)


def roll_back(request: HttpRequest) -> None:
    with transaction.atomic():
        Doctor.objects.create(name="never")
        raise LookupError("no bed left")


def roll_back_inner(request: HttpRequest) -> None:
    with transaction.atomic():
        Doctor.objects.create(name="outer")
        with transaction.atomic():
            Doctor.objects.create(name="inner")
            transaction.set_rollback(True)


def roll_back_other(request: HttpRequest) -> None:
    with transaction.atomic(), transaction.atomic(using="other"):
        Doctor.objects.create(name="here")
        Doctor.objects.using("other").create(name="there")
        transaction.set_rollback(True, using="other")


def fail_behind_commit(request: HttpRequest) -> None:
    def fail() -> None:
        raise LookupError("of the site")

    with transaction.atomic():
        transaction.on_commit(fail)
        Doctor.objects.create(name="Bo")


TWINS: dict[str, tuple[Do, AsyncDo]] = {
    "live": (live, alive),
    "change": (change, achange),
    "bulk": (bulk, abulk),
    "inherit": (inherit, ainherit),
    "answer": (change_then_answer, achange_then_answer),
    "read": (read, aread),
    "stream-in": (stream_in, astream_in),
    "give": (give, agive),
    "stream-out": (stream_out, astream_out),
    "dismiss": (dismiss, adismiss),
    "reserve": (reserve, areserve),
    # Transactions have no async interface: an async view has them in a thread.
    **{do.__name__: (do, sync_to_async(do)) for do in (roll_back, roll_back_inner, roll_back_other, fail_behind_commit)},
}


def view(request: HttpRequest, name: str) -> HttpResponse:
    return TWINS[name][0](request) or HttpResponse()


async def aview(request: HttpRequest, name: str) -> HttpResponse:
    return await TWINS[name][1](request) or HttpResponse()


class Api(APIView):
    authentication_classes = (TokenAuthentication,)

    def post(self, request: Any) -> Response:
        Group.objects.create(name="ward")
        return Response(status=201)


# DRF has no async views; under ASGI Django runs its sync ones in a thread.
urlpatterns = [
    path("sync/api/", Api.as_view()),
    path("async/api/", Api.as_view()),
    path("sync/<str:name>/", view),
    path("async/<str:name>/", aview),
]


@pytest.mark.scenario(1)
@pytest.mark.defect("A-1", "A-6", "H9")
def test_create_save_and_delete_are_one_event_each_with_actor_and_request(site: Site, ana: User, trail: Trail) -> None:
    trail.forget()
    response = site.ask("live")
    changes = trail.changes()
    assert [event["action"] for event in changes] == ["patient.create", "patient.update", "patient.delete"]
    (key,) = {event["resource"]["id"] for event in changes}
    assert key.isdigit()
    for event in changes:
        assert event["resource"]["type"] == "testproject.Patient"
        assert (event["actor"]["type"], event["actor"]["id"], event["actor"]["label"]) == ("user", str(ana.pk), "ana")
        assert event["request"]["id"] == response.headers["X-Request-ID"]
        assert event["outcome"] == "success"
    assert fields(changes[1]) == {"name": ("Ana", "Anna")}


@pytest.mark.scenario(2)
@pytest.mark.scenario(3)
@pytest.mark.scenario(4)
@pytest.mark.defect("A-8", "S-1", "S-2", "S-6", "S-8", "F-4")
def test_old_and_new_are_exact_and_a_save_without_a_change_is_no_event(site: Site, trail: Trail) -> None:
    Patient.objects.create(name="Ana", born=datetime.date(1990, 1, 2), balance=Decimal("10.50"), details={"height": 170})
    doctor = Doctor.objects.create(name="Bo")
    trail.forget()
    assert site.ask("change").status_code == 200
    corrected, referred = trail.changes()
    assert fields(corrected) == {"name": ("Ana", "Anna"), "born": ("1990-01-02", "1991-01-02")}
    assert fields(referred) == {
        "doctor": (None, doctor.pk),
        "balance": ("10.50", "9999999999.99"),
        "details": ({"height": 170}, {"1": "one"}),
    }


@pytest.mark.scenario(6)
@pytest.mark.scenario(7)
@pytest.mark.defect("A-10", "A-11", "H10")
def test_every_row_of_a_bulk_call_is_traceable(site: Site, trail: Trail) -> None:
    assert site.ask("bulk").status_code == 200
    changes = trail.changes()
    keys: dict[str, list[str]] = {"row.create": [], "row.update": [], "row.delete": []}
    for event in changes:
        keys[event["action"]].append(event["resource"]["id"])
    assert len(set(keys["row.create"])) == len(keys["row.create"]) == 500
    assert sorted(keys["row.delete"]) == sorted(keys["row.create"])
    assert sorted(keys["row.update"]) == sorted(keys["row.create"] * 2)
    assert len({event["request"]["id"] for event in changes}) == 1


@pytest.mark.scenario(8)
@pytest.mark.defect("A-12", "F-15")
def test_a_child_and_a_proxy_are_one_event_each_of_the_concrete_model(site: Site, trail: Trail) -> None:
    site.ask("inherit")
    assert [(event["action"], event["resource"]["type"]) for event in trail.changes()] == [("employee.create", "testproject.Employee")] * 2


def names(trail: Trail) -> list[str]:
    return [fields(event)["name"][1] for event in trail.changes()]


@pytest.mark.scenario(9)
def test_a_block_that_raises_leaves_no_success(site: Site, trail: Trail) -> None:
    assert site.ask("roll_back").status_code == 500
    (request,) = trail.events()
    assert (request["kind"], request["outcome"]) == ("request", "failure")


@pytest.mark.scenario(10)
def test_an_inner_block_that_is_rolled_back_leaves_the_outer_one(site: Site, trail: Trail) -> None:
    assert site.ask("roll_back_inner").status_code == 200
    assert names(trail) == ["outer"]


@pytest.mark.scenario(11)
@pytest.mark.defect("A-13", "F-14")
def test_a_rollback_of_another_database_leaves_nothing_of_it(site: Site, trail: Trail) -> None:
    assert site.ask("roll_back_other").status_code == 200
    assert names(trail) == ["here"]


@pytest.mark.scenario(12)
@pytest.mark.defect("A-14", "F-14")
def test_a_callback_that_raises_behind_the_commit_loses_nothing(site: Site, trail: Trail) -> None:
    assert site.ask("fail_behind_commit").status_code == 500
    assert names(trail) == ["Bo"]
    assert Doctor.objects.count() == 1


@pytest.mark.scenario(13)
@pytest.mark.defect("A-18", "H2")
@pytest.mark.parametrize(("code", "outcome"), [(200, "success"), (403, "denied"), (500, "failure")])
def test_a_view_that_writes_and_answers_leaves_both(site: Site, ana: User, trail: Trail, code: int, outcome: str) -> None:
    trail.forget()
    response = site.ask("answer", query=f"?code={code}")
    change, request = trail.events()
    parts = request["request"]
    assert (request["outcome"], parts["status"], parts["method"], parts["route"]) == (outcome, code, "POST", f"/{site.mode}/:name/")
    assert (parts["client_ip"], parts["duration_us"] > 0) == ("127.0.0.1", True)
    assert request.get("error", {}).get("type") == {403: "PermissionDenied", 500: "LookupError"}.get(code)
    assert change["request"]["id"] == parts["id"] == response.headers["X-Request-ID"]
    assert change["actor"] == request["actor"]
    assert request["actor"]["label"] == "ana"


@pytest.mark.scenario(14)
@pytest.mark.defect("A-7", "F-6", "G-6", "G-7")
@pytest.mark.usefixtures("everything")
def test_no_secret_of_a_request_is_in_any_file(site: Site, trail: Trail) -> None:
    body = json.dumps({"password": SECRET, "list": [{"Password": SECRET}], "colour": "blue"}).encode()
    secrets = {"authorization": f"Bearer {SECRET}", "cookie": f"visit={SECRET}"}
    response = site.ask("read", body, query=f"?token={SECRET}&page=2", **secrets)
    assert response.content == body
    (request,) = trail.events("request")
    assert request["request"]["body"]["colour"] == "blue"
    assert "page=2" in request["request"]["query"]
    stored = b"".join(file.read_bytes() for file in trail.data_dir.rglob("*") if file.is_file())
    assert b"blue" in stored
    assert SECRET.encode() not in stored


SCAN = bytes(range(256)) * 40
BODIES: dict[str, tuple[Any, str, Any]] = {
    "form": (urlencode({"a": "1", "password": SECRET}).encode(), "application/x-www-form-urlencoded", {"a": "1", "password": "[masked]"}),
    "multipart": (
        {"a": "1", "password": SECRET, "scan": SCAN},
        "multipart/form-data",
        {
            "fields": {"a": "1", "password": "[masked]"},
            "files": [
                {
                    "field": "scan",
                    "name": "scan.png",
                    "type": "image/png",
                    "bytes": len(SCAN),
                    "sha256": hashlib.sha256(SCAN).hexdigest(),
                }
            ],
        },
    ),
    "vendor JSON": (json.dumps({"a": 1, "password": SECRET}).encode(), "application/vnd.api+json", {"a": 1, "password": "[masked]"}),
    "text": (f"a note\npassword: {SECRET}".encode(), "text/plain", "a note\npassword: [masked]"),
}


@pytest.mark.scenario(15)
@pytest.mark.defect("G-8")
@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("kind", BODIES)
def test_a_body_of_each_kind_is_recorded_and_masked(site: Site, trail: Trail, kind: str) -> None:
    data, content_type, expected = BODIES[kind]
    if isinstance(data, dict):
        data = {**data, "scan": SimpleUploadedFile("scan.png", SCAN, content_type="image/png")}
    assert site.ask("read", data, content_type).status_code == 200
    assert trail.events("request")[0]["request"]["body"] == expected


@pytest.mark.scenario(16)
@pytest.mark.defect("A-20")
@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(("name", "kind"), [("give", "text/plain"), ("give", "image/png"), ("stream-out", "text/plain")])
def test_a_large_answer_reaches_the_client_and_the_record_is_bounded(site: Site, trail: Trail, name: str, kind: str) -> None:
    response = site.ask(name, method="GET", query=f"?type={kind}")
    assert site.content(response) == LARGE
    response.close()
    request = trail.events("request")[0]["request"]
    assert request["response_bytes"] == request["response"]["bytes"] == len(LARGE)
    assert request["response"].get("truncated") is (True if kind == "text/plain" else None)
    assert len(json.dumps(request)) < 32_768


@pytest.mark.scenario(17)
@pytest.mark.defect("A-9", "G-8")
@pytest.mark.usefixtures("everything")
def test_a_view_that_streams_a_body_over_the_limit_gets_all_of_it(site: Site, trail: Trail, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    data = json.dumps(["x" * 100] * 1000).encode()
    assert site.ask("stream-in", data).content == str(len(data)).encode()
    body = trail.events("request")[0]["request"]["body"]
    assert (body["truncated"], body["bytes"]) == (True, len(data))


@pytest.mark.scenario(18)
@pytest.mark.defect("A-9")
@pytest.mark.usefixtures("everything")
def test_broken_utf_8_is_the_views_own_affair(site: Site, trail: Trail) -> None:
    broken = b'{"a": \xff\xfe\x80, "password": "x1y2"'
    response = site.ask("read", broken)
    assert (response.status_code, response.content) == (200, broken)
    body = trail.events("request")[0]["request"]["body"]
    assert (body["type"], "x1y2" in body["text"]) == ("unparsed", False)


@pytest.mark.scenario(19)
@pytest.mark.defect("A-16", "G-4")
def test_what_is_left_out_leaves_nothing_behind(site: Site, ana: User, trail: Trail, settings: Any) -> None:
    requests = {"level": "metadata", "include": ["/*/read/", "/*/live/"], "exclude": ["/*/live/"]}
    settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": requests}
    trail.forget()
    for name in ("read", "live", "reserve"):
        assert site.ask(name).status_code == 200
    Group.objects.create(name="after the requests")
    events = trail.events()
    assert [event["request"]["path"] for event in events if event["kind"] == "request"] == [f"/{site.mode}/read/"]
    assert [event["actor"].get("label") for event in events if event["action"].startswith("patient.")] == ["ana"] * 3
    last = events[-1]
    assert (last["action"], last["actor"]["type"], "request" in last) == ("group.create", "system", False)


@pytest.mark.scenario(21)
@pytest.mark.defect("A-19")
@pytest.mark.parametrize(("inbound", "kept"), [("req-1.A_b", True), ("a b", False), ("<script>", False), (None, False)])
def test_a_request_id_is_kept_or_replaced_and_echoed(site: Site, trail: Trail, inbound: str | None, kept: bool) -> None:
    headers = {"x-request-id": inbound} if inbound else {}
    said = site.ask("live", **headers).headers["X-Request-ID"]
    assert (said == inbound) is kept
    assert [event["request"]["id"] for event in trail.events()] == [said] * 4


@pytest.mark.scenario(22)
@pytest.mark.defect("S-11")
def test_a_token_names_the_actor_of_what_a_plain_api_view_writes(site: Site, trail: Trail) -> None:
    bea = User.objects.create_user("bea")
    token = Token.objects.create(user=bea)
    trail.forget()
    assert site.ask("api", authorization=f"Token {token.key}").status_code == 201
    actors = [(event["actor"]["id"], event["actor"]["auth"]) for event in trail.events()]
    assert actors == [(str(bea.pk), "token")] * 2


@pytest.mark.scenario(23)
@pytest.mark.defect("A-17", "S-3")
def test_what_nobody_known_creates_is_recorded_as_anonymous(site: Site, trail: Trail) -> None:
    site.ask("live")
    assert [event["actor"] for event in trail.events()] == [{"type": "anonymous"}] * 4


@pytest.mark.scenario(29)
@pytest.mark.defect("S-9")
def test_a_delete_that_is_refused_leaves_the_attempt_alone(site: Site, trail: Trail) -> None:
    Visit.objects.create(doctor=Doctor.objects.create(name="Eva"))
    trail.forget()
    assert site.ask("dismiss").status_code == 500
    event = only_change(trail)
    assert (event["action"], event["outcome"], event["error"]["type"]) == ("doctor.delete", "failure", "ProtectedError")


@pytest.mark.scenario(30)
def test_what_is_said_explicitly_wins_over_the_context(site: Site, trail: Trail) -> None:
    site.ask("reserve")
    (event,) = trail.events("action")
    assert (event["action"], event["resource"]) == ("app.bed_reserve", {"type": "bed", "id": "1"})
    assert event["meta"] == {"ward": "8", "shift": "night"}


@pytest.fixture
def registry(settings: Any) -> Iterator[None]:
    """Formatters of this test alone, in a site where faults degrade."""
    settings.INDELIBLE = {"SERVICE": "tests", "AGENT": "external"}
    formatters.reset()
    yield
    formatters.reset()


def saying(text: str) -> type[Formatter]:
    return type("Saying", (Formatter,), {"get_description": lambda self: text})


@pytest.mark.scenario(31)
@pytest.mark.usefixtures("registry")
def test_the_closest_formatter_is_asked(site: Site, trail: Trail) -> None:
    here = f"POST|/{site.mode}/:name/"
    register_formatter(Patient, saying("default"), priority=9)
    register_formatter(Patient, saying("event"), event="create", priority=8)
    register_formatter(Patient, saying("event"), event="update", priority=8)
    register_formatter(Patient, saying("route"), route=here, priority=7)
    register_formatter(Patient, saying("both"), route=here, event="update")
    site.ask("live")
    Patient.objects.create(name="Bea").delete()
    told = [event["meta"]["description"] for event in trail.changes()]
    assert told == ["route", "both", "route", "event", "default"]


@pytest.mark.scenario(32)
@pytest.mark.defect("F-7")
@pytest.mark.usefixtures("registry")
def test_a_formatter_that_raises_costs_the_words_alone(site: Site, trail: Trail) -> None:
    def fail(self: Formatter) -> str:
        raise TypeError("of a formatter")

    register_formatter(Patient, type("Failing", (Formatter,), {"get_description": fail}))
    before = indelible.health()["faults"]
    assert site.ask("live").status_code == 200
    assert [event["notes"] for event in trail.changes()] == [["description not made: TypeError"]] * 3
    assert indelible.health()["faults"] >= before + 3


@pytest.mark.scenario(33)
@pytest.mark.defect("G-2")
def test_without_an_agent_all_succeeds_and_arrives_once(site: Site, trail: Trail) -> None:
    ids = [site.ask("live").headers["X-Request-ID"] for _ in range(20)]
    # Only now an agent comes.
    assert sorted(event["request"]["id"] for event in trail.events()) == sorted(ids * 4)
