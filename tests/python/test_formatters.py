"""Formatters: which one is asked, what becomes of its answer, and that none of them can hurt the application."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.db import connection, models, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

import indelible
from indelible.django import formatters
from indelible.django.formatters import Formatter, formatter, register_formatter
from testproject.models import Condition, Doctor, Employee, Manager, Patient, Person, Surgeon
from trails import Trail, only_change

pytestmark = pytest.mark.usefixtures("database")

SITE: dict[str, Any] = {"SERVICE": "tests", "AGENT": "external"}


def admit(request: HttpRequest, name: str) -> HttpResponse:
    patient = Patient.objects.create(name=name)
    patient.name = f"{name} {name}"
    patient.save()
    return HttpResponse("admitted")


def write_early(get_response: Any) -> Any:
    """A middleware that writes before the view is known."""

    def middleware(request: HttpRequest) -> Any:
        if request.path.startswith("/unknown/"):
            Patient.objects.create(name="early")
        return get_response(request)

    return middleware


urlpatterns = [path("wards/<str:name>/admit/", admit), path("", include("testproject.views_requests"))]


@pytest.fixture(autouse=True)
def registry(settings: Any, trail: Trail) -> Iterator[None]:
    """A registry of its own for each test, and a site where faults degrade."""
    settings.INDELIBLE = SITE
    settings.ROOT_URLCONF = __name__
    formatters.reset()
    yield
    formatters.reset()


def saying(text: str, **attributes: Any) -> type[Formatter]:
    class Saying(Formatter):
        def get_description(self) -> str:
            return text

        def get_attributes(self) -> dict[str, Any]:
            return attributes

    return Saying


def descriptions(trail: Trail) -> list[str | None]:
    return [event.get("meta", {}).get("description") for event in trail.changes()]


@pytest.mark.scenario(31)
def test_route_and_event_come_before_route_before_event_before_default(trail: Trail) -> None:
    here = "POST|/wards/:name/admit/"
    register_formatter(Patient, saying("default"), priority=100)
    Client().post("/wards/a/admit/")
    register_formatter(Patient, saying("event"), event="update", priority=50)
    Client().post("/wards/b/admit/")
    register_formatter(Patient, saying("route"), route=here)
    Client().post("/wards/c/admit/")
    register_formatter(Patient, saying("both"), route=here, event="update", priority=-1)
    Client().post("/wards/d/admit/")
    # Another route, and none at all.
    Patient.objects.create(name="e")
    assert descriptions(trail) == ["default", "default", "default", "event", "route", "route", "route", "both", "default"]


@pytest.mark.scenario(31)
def test_within_a_tier_the_higher_priority_wins_then_the_first(trail: Trail) -> None:
    for text, priority in (("second", 1), ("first", 2), ("late", 2), ("last", 0)):
        register_formatter(Patient, saying(text), event="create", priority=priority)
    Patient.objects.create(name="Ana")
    assert descriptions(trail) == ["first"]


@pytest.mark.defect("F-5")
@pytest.mark.scenario(31)
def test_before_the_view_is_known_a_route_fits_nothing_and_the_words_are_generic(trail: Trail, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.write_early"]
    register_formatter(Patient, saying("route"), route="GET|/unknown/")
    assert Client().get("/unknown/").status_code == 404
    event = only_change(trail)
    assert event["meta"]["description"] == f"Created patient {event['resource']['id']}"


def test_sql_of_ones_own_is_told_by_what_it_does(trail: Trail) -> None:
    register_formatter(Condition, Formatter)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO testproject_condition (code) VALUES ('gout'), ('flu')")
        cursor.execute("UPDATE testproject_condition SET code = 'colic'")
        cursor.execute("DELETE FROM testproject_condition WHERE code = 'colic'")
    words = Condition._meta.verbose_name_plural
    assert descriptions(trail) == [f"{done} 2 {words}" for done in ("Created", "Updated", "Deleted")]


@pytest.mark.parametrize(
    "route",
    [
        "POST|/wards/:name/admit/",
        "post|/wards/:name/admit/",
        "/wards/:name/admit/",
        "POST|/wards/<str:name>/admit/",
        r"POST|^wards/(?P<name>[a-z]+|x)/admit/$",
        r"^wards/(?P<name>[a-z]+|x)/admit/$",
    ],
)
@pytest.mark.defect("F-9")
def test_a_route_may_be_given_in_each_of_its_forms(trail: Trail, route: str) -> None:
    register_formatter(Patient, saying("found"), route=route, event="create")
    Client().post("/wards/a/admit/")
    assert descriptions(trail)[0] == "found"


@pytest.mark.defect("F-9")
def test_mixed_and_nested_segments_have_the_template_that_requests_have() -> None:
    assert formatters.canonical("GET|/beds/<int:bed>-<slug:side>/") == "GET|/beds/:bed-:side/"
    assert formatters.canonical(r"GET|^rooms/(?P<room>(a|b)+)/(?:lamps/)?(?P<lamp>\d+)\.html$") == "GET|/rooms/:room/lamps/:lamp.html"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"event": "creat"}, ValueError),
        ({"route": "P0ST|/x"}, ValueError),
        ({"model": "testproject.Nobody"}, LookupError),
        ({"model": dict}, TypeError),
        ({"formatter": "text"}, TypeError),
    ],
)
def test_a_mistake_is_told_at_registration(given: dict[str, Any], error: type[Exception]) -> None:
    arguments = {"model": Patient, "formatter": Formatter, **given}
    with pytest.raises(error):
        register_formatter(arguments.pop("model"), arguments.pop("formatter"), **arguments)


@pytest.mark.parametrize("word", ["m2m", "collection_update"])
def test_generic_words_for_every_event(trail: Trail, word: str) -> None:
    register_formatter("testproject.Patient", saying("nobody hears this"), event=word, route="GET|/nowhere")
    patient = Patient.objects.create(name="Ana")
    patient.name, patient.visits = "Anna", 3
    patient.save()
    patient.conditions.add(Condition.objects.create(code="C1"))
    key = patient.pk
    patient.delete()
    assert [text for text in descriptions(trail) if text] == [
        f"Created patient {key}",
        f"Updated patient {key}: name, visits",
        f"Changed conditions of patient {key}",
        # The rows that join them go before the patient does.
        f"Changed conditions of patient {key}",
        f"Deleted patient {key}",
    ]


@pytest.mark.defect("F-15")
def test_children_and_proxies_have_the_formatters_of_their_parents_and_their_own_come_first(trail: Trail) -> None:
    register_formatter(Person, saying("person"))
    register_formatter(Manager, saying("manager"))
    for model in (Person, Employee, Surgeon, Manager):
        model.objects.create(name="Ana")
    Doctor.objects.create(name="Bo")
    told = [event for event in trail.changes() if event["action"].endswith(".create")]
    assert [event.get("meta", {}).get("description") for event in told] == ["person", "person", "person", "manager", None]


@pytest.mark.defect("F-15")
def test_a_formatter_for_every_model_is_one_for_the_base_of_all(trail: Trail) -> None:
    register_formatter(models.Model, saying("something happened"))
    Doctor.objects.create(name="Bo")
    Group.objects.create(name="ward")
    assert descriptions(trail) == ["something happened"] * 2


def test_attributes_join_meta_and_what_caller_and_context_say_wins(trail: Trail) -> None:
    from indelible.django._intent import declare

    register_formatter(Doctor, saying("d", ward="formatter", flow="formatter", bed="formatter", password="s3cret"))
    doctor = Doctor.objects.create(name="Bo")
    trail.forget()
    doctor = Doctor.objects.get(pk=doctor.pk)
    doctor.name = "Bob"
    with indelible.context(meta={"flow": "context"}), declare(doctor, meta={"ward": "caller"}):
        doctor.save()
    assert only_change(trail)["meta"] == {
        "flow": "context",
        "ward": "caller",
        "bed": "formatter",
        "password": "[masked]",
        "description": "d",
    }


@pytest.mark.defect("F-6")
def test_a_formatter_sees_what_is_recorded_and_its_words_are_masked(trail: Trail) -> None:
    seen: list[Any] = []

    @formatter(Patient, event="update")
    class Seeing(Formatter):
        def get_description(self) -> str:
            seen.append((self.occasion, self.change_details(), self.user_info(), self.merge_attributes({"route": "mine"})))
            return f"ssn {self.occasion.instance.ssn}, card 4111 1111 1111 1111"

    patient = Patient.objects.create(name="Ana", ssn="078-05-1120")
    trail.forget()
    patient.name, patient.ssn = "Anna", "219-09-9999"
    patient.save()
    occasion, details, user, attributes = seen[-1]
    assert (occasion.model, occasion.event, occasion.instance, occasion.key, occasion.route) == (
        Patient,
        "update",
        patient,
        str(patient.pk),
        None,
    )
    assert details == {"name": {"old": "Ana", "new": "Anna"}, "ssn": {}}
    assert user["type"] == "system"
    assert attributes == {"model": "testproject.Patient", "key": str(patient.pk), "event": "update", "route": "mine"}
    assert only_change(trail)["meta"]["description"].endswith("card [masked]")


FAULTS = [
    *((error, "get_description") for error in (TypeError("no"), SystemExit(1), RecursionError("deep"), GeneratorExit())),
    (TypeError("no"), "__init__"),
    (TypeError("no"), "get_attributes"),
]


@pytest.mark.scenario(32)
@pytest.mark.defect("F-7")
@pytest.mark.parametrize(("error", "where"), FAULTS)
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_whatever_a_formatter_raises_costs_the_event_its_description_only(
    trail: Trail, error: BaseException, where: str, atomic: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    register_formatter(Patient, type("Failing", (Formatter,), {where: fail}))
    browser = Client()
    with transaction.atomic() if atomic else nullcontext():
        response = browser.post("/wards/a/admit/")
    assert (response.status_code, response.content) == (200, b"admitted")
    assert Patient.objects.get().name == "a a"
    created, updated = trail.changes()
    for event in (created, updated):
        assert event["notes"] == [f"description not made: {type(error).__name__}"]
        assert "meta" not in event
        assert event["outcome"] == "success"
    assert updated["changes"] == [{"field": "name", "old": "a", "new": "a a"}]
    assert indelible.health()["faults"] >= 2
    assert "the formatter of testproject.Patient" in caplog.text


@pytest.mark.scenario(32)
@pytest.mark.parametrize("answer", [None, 7, b"bytes"])
def test_an_answer_of_another_type_is_a_fault(trail: Trail, answer: Any) -> None:
    register_formatter(Doctor, type("Odd", (Formatter,), {"get_description": lambda self: answer}))
    Doctor.objects.create(name="Bo")
    assert only_change(trail)["notes"] == ["description not made: TypeError"]


@pytest.mark.scenario(32)
def test_a_failed_query_of_a_formatter_does_not_break_the_transaction(trail: Trail) -> None:
    def ask(self: Any) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")
        return "never"

    register_formatter(Doctor, type("Asking", (Formatter,), {"get_description": ask}))
    with transaction.atomic():
        Doctor.objects.create(name="Bo")
        Doctor.objects.create(name="Cy")
    assert Doctor.objects.count() == 2
    notes = [event["notes"] for event in trail.changes()]
    assert (
        notes
        == [["description not made: OperationalError" if connection.vendor == "sqlite" else "description not made: ProgrammingError"]] * 2
    )


def test_a_formatter_may_read_but_not_write(trail: Trail) -> None:
    class Reading(Formatter):
        def get_description(self) -> str:
            assert self.occasion.instance is not None
            return f"admitted by {Doctor.objects.get(pk=self.occasion.instance.doctor_id).name}"

    class Writing(Formatter):
        def get_description(self) -> str:
            Doctor.objects.create(name="from a formatter")
            return "never"

    doctor = Doctor.objects.create(name="Bo")
    trail.forget()
    register_formatter(Patient, Reading)
    register_formatter(Condition, Writing)
    with transaction.atomic():
        Patient.objects.create(name="Ana", doctor=doctor)
        Condition.objects.create(code="C1")
    patient, condition = trail.changes()
    assert patient["meta"]["description"] == "admitted by Bo"
    assert condition["notes"] == ["description not made: WriteInFormatter"]
    assert Doctor.objects.count() == 1


def test_models_without_formatter_are_not_touched_and_formatters_add_no_query(trail: Trail) -> None:
    register_formatter(Patient, saying("patient"))
    with CaptureQueriesContext(connection) as queries:
        Patient.objects.create(name="Ana")
        Doctor.objects.create(name="Bo")
    assert len(queries) == 2
    patient, doctor = trail.changes()
    assert patient["meta"] == {"description": "patient"}
    assert "meta" not in doctor


def test_many_rows_are_described_one_by_one(trail: Trail) -> None:
    class Named(Formatter):
        def get_description(self) -> str:
            return f"hired {self.occasion.instance.name}" if self.occasion.instance else super().get_description()

    register_formatter(Doctor, Named)
    made = Doctor.objects.bulk_create([Doctor(name="Bo"), Doctor(name="Cy")])
    Doctor.objects.filter(pk__in=[doctor.pk for doctor in made]).delete()
    told = descriptions(trail)
    assert all(told)
    assert set(told[-2:]) == {"hired Bo", "hired Cy"}


@pytest.fixture
def app(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Installs an app made of the given files."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(name: str, files: dict[str, str]) -> None:
        for file, text in {"__init__.py": "", **files}.items():
            place = tmp_path / name / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, name]

    yield install
    for name in set(sys.modules) - before:
        del sys.modules[name]


REGISTER = """
from indelible.django.formatters import Formatter, formatter

@formatter("testproject.Doctor")
class Hired(Formatter):
    def get_description(self):
        return "hired by " + __name__
"""


@pytest.mark.parametrize(
    ("file", "module"), [("audit_formatters.py", "audit_formatters"), ("audit_formatters/doctors.py", "audit_formatters.doctors")]
)
def test_modules_and_packages_of_apps_are_found(trail: Trail, app: Any, file: str, module: str) -> None:
    package = {"audit_formatters/__init__.py": "from . import doctors"} if "/" in file else {}
    app("hospital", {**package, file: REGISTER})
    formatters.autodiscover()
    Doctor.objects.create(name="Bo")
    assert descriptions(trail) == [f"hired by hospital.{module}"]
    assert formatters.problems() == ()


@pytest.mark.parametrize("text", ["import nothing_of_that_name", "raise SystemExit(1)", "1/0", "syntax error"])
def test_a_module_that_cannot_be_imported_is_a_warning_and_the_others_are_found(trail: Trail, app: Any, text: str) -> None:
    app("broken", {"audit_formatters.py": text})
    app("hospital", {"audit_formatters.py": REGISTER})
    formatters.autodiscover()
    Doctor.objects.create(name="Bo")
    assert descriptions(trail) == ["hired by hospital.audit_formatters"]
    (warning,) = [message for message in run_checks(tags=["indelible"]) if message.id == "indelible.W113"]
    assert warning.msg.startswith("broken.audit_formatters cannot be imported")
