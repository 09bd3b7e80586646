"""Why: a reason from a header or a form, reasons that are required, who acts for whom, and resolvers that fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.test import Client, RequestFactory, override_settings

import indelible
from indelible.django import ReasonRequired, _actor, apps, conf
from indelible.django._intent import declare
from testproject.models import Doctor, Patient, Prescription
from testproject.settings import INDELIBLE
from trails import Trail, only_change

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def prescription(database: str, trail: Trail) -> Prescription:
    prescription = Prescription.objects.create(drug="aspirin")
    trail.forget()
    return prescription


@pytest.fixture
def asking() -> Iterator[None]:
    """A site that takes reasons from a form field and asks for one when a doctor is deleted or a patient discharged."""
    with override_settings(INDELIBLE={**INDELIBLE, "REASON_FIELD": "why", "REASON_REQUIRED": ["doctor.delete", "patient.discharge"]}):
        yield


def test_a_reason_comes_with_a_header(database: str, trail: Trail) -> None:
    Client().post("/write/nurses/200/", headers={"X-Audit-Reason": "  a new\u2011ward ".encode().decode("latin-1")})
    assert {event["reason"] for event in trail.events()} == {"a new\u2011ward"}


def test_a_long_reason_is_cut_and_a_secret_in_it_masked(database: str, trail: Trail) -> None:
    Client().post("/write/nurses/200/", headers={"X-Audit-Reason": "card 4111 1111 1111 1111 " + "x" * 5000})
    reason = only_change(trail)["reason"]
    assert "4111" not in reason
    assert len(reason) <= 1000


def test_a_reason_comes_with_a_form_once_the_application_has_read_it(asking: None, database: str, trail: Trail) -> None:
    User.objects.create_user("ana", password="right-password")
    trail.forget()
    Client().post("/sign-in/", {"username": "ana", "password": "right-password", "why": "an emergency"})
    assert trail.changes()[-1]["reason"] == "an emergency"


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize(
    "write",
    [
        lambda row: row.delete(),
        lambda row: row.save(),
        lambda row: Prescription.objects.update(drug="x"),
        lambda row: Prescription.objects.all().delete(),
        lambda row: Prescription.objects.bulk_update([row], ["drug"]),
    ],
)
def test_without_a_reason_nothing_is_written_and_the_attempt_is_recorded(
    prescription: Prescription, trail: Trail, write: Any, atomic: bool
) -> None:
    prescription.drug = "ibuprofen"
    with (
        pytest.raises(DatabaseError, match="needs a reason: give one in the header X-Audit-Reason"),
        transaction.atomic() if atomic else contextlib.nullcontext(),
    ):
        write(prescription)
    event = only_change(trail)
    assert (event["outcome"], event["error"]["type"]) == ("denied", "ReasonRequired")
    assert event["action"] in ("prescription.update", "prescription.delete")
    assert Prescription.objects.get().drug == "aspirin"


def test_with_a_reason_it_is_written(prescription: Prescription, trail: Trail) -> None:
    prescription.drug = "ibuprofen"
    with indelible.context(reason="an allergy"):
        prescription.save()
    with declare(prescription, reason="a mistake"):
        prescription.delete()
    assert [(event["action"], event["reason"]) for event in trail.changes()] == [
        ("prescription.update", "an allergy"),
        ("prescription.delete", "a mistake"),
    ]


def test_a_declared_attempt_without_a_reason_is_recorded_once(prescription: Prescription, trail: Trail) -> None:
    with pytest.raises(ReasonRequired), declare(prescription, verb="delete", action="prescription.revoke"):
        prescription.delete()
    event = only_change(trail)
    assert (event["action"], event["outcome"]) == ("prescription.revoke", "denied")


def test_an_action_by_name_asks_for_its_reason_before_anything_is_done(asking: None, database: str, trail: Trail) -> None:
    doctor, patient = Doctor.objects.create(name="Eva"), Patient.objects.create(name="Ana")
    trail.forget()
    with pytest.raises(ReasonRequired):
        doctor.delete()
    done = False
    with pytest.raises(ReasonRequired), declare(patient, action="patient.discharge"):
        done = True
    assert not done
    assert [(event["action"], event["outcome"]) for event in trail.changes()] == [
        ("doctor.delete", "denied"),
        ("patient.discharge", "denied"),
    ]


def test_a_decorated_function_asks_before_it_begins(asking: None, database: str, trail: Trail) -> None:
    begun: list[str] = []

    @indelible.audited("patient.discharge")
    def discharge(name: str) -> None:
        begun.append(name)

    with pytest.raises(ReasonRequired):
        discharge("Ana")
    with indelible.context(reason="recovered"):
        discharge("Bea")
    assert begun == ["Bea"]
    assert [(event["outcome"], event.get("reason")) for event in trail.events()] == [("denied", None), ("success", "recovered")]


def test_an_api_answers_400_and_takes_the_reason_from_the_body(asking: None, database: str, trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana")
    trail.forget()
    refused = Client().post(f"/intent/patients/{patient.pk}/discharge/", {}, content_type="application/json")
    assert (refused.status_code, list(refused.json())) == (400, ["why"])
    answer = Client().post(f"/intent/patients/{patient.pk}/discharge/", {"why": "recovered"}, content_type="application/json")
    assert answer.status_code == 200
    denied, discharged = trail.changes()
    assert (denied["action"], denied["outcome"]) == ("patient.discharge", "denied")
    assert (discharged["outcome"], discharged["reason"]) == ("success", "recovered")


def test_who_impersonates_is_the_actor_and_the_other_the_one_acted_for(database: str, trail: Trail) -> None:
    with indelible.context(actor={"id": "1", "label": "admin"}, on_behalf_of={"id": "7", "label": "ana"}):
        Doctor.objects.create(name="Eva")
        with indelible.context(actor="system:nightly"):
            Doctor.objects.create(name="Ida")
    first, second = (event["actor"] for event in trail.changes())
    assert first == {"type": "user", "id": "1", "label": "admin", "on_behalf_of": {"type": "user", "id": "7", "label": "ana"}}
    assert second == {"type": "system", "id": "nightly"}


def test_the_sessions_of_impersonating_packages_are_understood(database: str, trail: Trail) -> None:
    ana = User.objects.create_user("ana")
    browser = Client()
    browser.force_login(ana)
    session = browser.session
    session["hijack_history"] = ["1", "5"]
    session.save()
    trail.forget()
    browser.post("/write/nurses/200/")
    actor = only_change(trail)["actor"]
    assert (actor["id"], actor["on_behalf_of"], actor["auth"]) == ("1", {"type": "user", "id": str(ana.pk), "label": "ana"}, "session")
    request: Any = RequestFactory().get("/")
    request.impersonator = User(pk=3, username="root")
    described = _actor.describe(request, ana, ("id", "label"))
    assert (described["label"], described["on_behalf_of"]["label"]) == ("root", "ana")


def broken(request: Any) -> Any:
    raise LookupError("no directory")


@pytest.mark.scenario(30)
@pytest.mark.defect("S-13", "S-14")
def test_a_resolver_that_fails_degrades_to_a_stated_unknown(database: str, trail: Trail) -> None:
    given = {**INDELIBLE, "ON_ERROR": "degrade", "ACTOR": broken, "CONTEXT": broken}
    with override_settings(INDELIBLE=given):
        apps.configure(conf.reload())
        assert Client().post("/write/nurses/200/").status_code == 200
        event = only_change(trail)
    assert event["actor"] == {"type": "unresolved"}
    assert {"ACTOR failed: LookupError", "CONTEXT failed: LookupError"} <= set(event["notes"])


@pytest.mark.scenario(30)
def test_what_is_said_explicitly_wins_and_the_rest_of_the_context_stays(database: str, trail: Trail) -> None:
    with indelible.context(meta={"ward": "7", "source": "context"}, reason="routine"):
        indelible.record("Bed Reserve!", meta={"source": "explicit"}, reason="an emergency")
    (event,) = trail.events()
    assert (event["action"], event["meta"], event["reason"]) == ("app.bed_reserve", {"ward": "7", "source": "explicit"}, "an emergency")
