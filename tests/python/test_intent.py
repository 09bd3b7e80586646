"""What is declared about a write is one event with it; of one instance, never of its class."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

import indelible
from indelible.django import _intent, registry
from indelible.django._intent import declare
from indelible.django.formatters import Formatter, register_formatter, reset
from indelible.testing import capture_events
from testproject.models import Condition, Doctor, Employee, Manager, Patient, Place, Ticket, Unique, Visit
from trails import Trail, fields, only_change

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def patient(database: str, trail: Trail) -> Patient:
    patient = Patient.objects.create(name="Ana", ssn="1234")
    trail.forget()
    return patient


def actions(trail: Trail) -> list[str]:
    return [event["action"] for event in trail.changes()]


def renamed(patient: Patient, error: Exception) -> None:
    patient.name = "Ana Maria"
    patient.save()
    raise error


def in_autocommit(work: Any) -> None:
    work()


def in_transaction(work: Any) -> None:
    with transaction.atomic():
        work()


around = pytest.mark.parametrize("around", [in_autocommit, in_transaction])


@around
def test_a_declared_update_is_one_event_with_its_exact_changes(patient: Patient, trail: Trail, around: Any) -> None:
    def work() -> None:
        context = indelible.context(meta={"ward": "7", "source": "context"})
        with context, declare(patient, action="patient.discharge", meta={"source": "api"}, reason="recovered"):
            patient.name = "Ana Maria"
            patient.ssn = "9"
            patient.save()

    around(work)
    event = only_change(trail)
    assert (event["action"], event["reason"], event["meta"]) == ("patient.discharge", "recovered", {"ward": "7", "source": "api"})
    assert fields(event) == {"name": ("Ana", "Ana Maria"), "ssn": (None, None)}


@around
def test_a_declared_create_knows_the_key_that_the_database_made(database: str, trail: Trail, around: Any) -> None:
    doctor = Doctor(name="Eva")

    def work() -> None:
        with declare(doctor, action="doctor.hire"):
            doctor.save()

    around(work)
    event = only_change(trail)
    assert (event["action"], event["resource"]["id"], fields(event)["id"]) == ("doctor.hire", str(doctor.pk), (None, doctor.pk))


def test_a_row_with_its_own_key_is_found_by_the_insert_that_follows_the_update_in_vain(database: str, trail: Trail) -> None:
    doctor = Doctor(pk=7, name="Eva")
    with declare(doctor, action="doctor.hire"):
        doctor.save()
    assert actions(trail) == ["doctor.hire"]


def test_rows_of_several_tables_are_one_event(database: str, trail: Trail) -> None:
    employee = Employee(name="Eva", badge="1")
    with declare(employee, action="employee.hire"):
        employee.save()
    manager = Manager.objects.get(pk=employee.pk)
    with declare(manager, action="employee.promote"):
        manager.badge = "2"
        manager.save()
    assert actions(trail) == ["employee.hire", "employee.promote"]


@around
def test_a_declared_delete_takes_nothing_else_along(patient: Patient, trail: Trail, around: Any) -> None:
    patient.appointment_set.create(room="1")
    trail.forget()

    def work() -> None:
        with declare(patient, verb="delete", action="patient.erase"):
            patient.delete()

    around(work)
    assert sorted(actions(trail)) == ["appointment.delete", "patient.erase"]


@pytest.mark.defect("S-4")
@around
def test_another_instance_of_the_same_model_is_recorded_as_ever(patient: Patient, trail: Trail, around: Any) -> None:
    other = Patient.objects.create(name="Bea")
    trail.forget()

    def work() -> None:
        with declare(patient, action="patient.discharge"):
            other.name = "Bea B"
            other.save()
            Patient.objects.create(name="Cleo")
            patient.name = "Ana Maria"
            patient.save()
            # The declaration was about one write.
            patient.name = "Ana M"
            patient.save()

    around(work)
    assert actions(trail) == ["patient.update", "patient.create", "patient.discharge", "patient.update"]


@pytest.mark.scenario(29)
@pytest.mark.defect("S-9")
@around
def test_a_refused_delete_leaves_the_attempt_and_no_success(database: str, trail: Trail, around: Any) -> None:
    doctor = Doctor.objects.create(name="Eva")
    Visit.objects.create(doctor=doctor, note="secret note")
    trail.forget()

    def work() -> None:
        with pytest.raises(ProtectedError), declare(doctor, verb="delete", meta={"source": "api"}):
            doctor.delete()

    around(work)
    event = only_change(trail)
    assert (event["action"], event["outcome"], event["resource"]["id"]) == ("doctor.delete", "failure", str(doctor.pk))
    assert (event["error"]["type"], event["meta"]) == ("ProtectedError", {"source": "api"})
    assert "secret note" not in event["error"]["message"]
    assert Doctor.objects.filter(pk=doctor.pk).exists()


@around
def test_a_statement_that_fails_leaves_the_attempt(database: str, trail: Trail, around: Any) -> None:
    ticket = Ticket.objects.create(title="a")
    trail.forget()
    again = Ticket(pk=ticket.pk, title="b")

    def work() -> None:
        with declare(again, action="ticket.open"):
            again.save(force_insert=True)

    with pytest.raises(IntegrityError):
        around(work)
    event = only_change(trail)
    assert (event["action"], event["outcome"], event["error"]["type"]) == ("ticket.open", "failure", "IntegrityError")


def test_what_the_database_says_of_a_row_in_its_errors_is_masked(database: str, trail: Trail) -> None:
    Unique.objects.create(code="c0ffee")
    trail.forget()
    for row in (Unique(code="c0ffee"), Unique(code="c0ffee2", hits=None)):
        with pytest.raises(IntegrityError), declare(row):
            row.save()
    messages = [event["error"]["message"] for event in trail.changes()]
    assert len(messages) == 2
    assert not [message for message in messages if "c0ffee" in message]
    if database == "postgresql":
        assert ["Key (code)=([masked]) already exists." in messages[0], "row contains ([masked])." in messages[1]] == [True, True]


def test_what_was_committed_before_the_block_failed_is_no_failed_attempt(patient: Patient, trail: Trail) -> None:
    with pytest.raises(LookupError), declare(patient, action="patient.discharge"):
        renamed(patient, LookupError())
    event = only_change(trail)
    assert (event["action"], event["outcome"]) == ("patient.discharge", "success")


def test_what_was_committed_in_a_transaction_of_the_block_is_no_failed_attempt(patient: Patient, trail: Trail) -> None:
    def work() -> None:
        with declare(patient, action="patient.rename"):
            in_transaction(lambda: Patient.save(patient))
            raise ValueError("afterwards")

    patient.name = "Ana Maria"
    with pytest.raises(ValueError, match="afterwards"):
        work()
    assert [(event["action"], event["outcome"]) for event in trail.changes()] == [("patient.rename", "success")]


def test_a_write_that_a_savepoint_took_back_can_be_tried_again(patient: Patient, trail: Trail) -> None:
    with transaction.atomic(), declare(patient, action="patient.rename", reason="wedding"):
        with pytest.raises(ValueError, match="once more"), transaction.atomic():
            renamed(patient, ValueError("once more"))
        patient.name = "Ana Clara"
        patient.save()
        patient.visits = 1
        patient.save()
    declared, later = trail.changes()
    assert (declared["action"], declared["reason"], fields(declared)) == ("patient.rename", "wedding", {"name": ("Ana", "Ana Clara")})
    assert (later["action"], fields(later)) == ("patient.update", {"visits": (0, 1)})


def test_what_was_rolled_back_with_the_block_is_only_an_attempt(patient: Patient, trail: Trail) -> None:
    with pytest.raises(PermissionDenied), transaction.atomic(), declare(patient, action="patient.discharge"):
        renamed(patient, PermissionDenied())
    event = only_change(trail)
    assert (event["action"], event["outcome"]) == ("patient.discharge", "denied")


@pytest.mark.defect("S-8")
def test_a_save_that_changes_nothing_is_no_event(patient: Patient, trail: Trail) -> None:
    with declare(patient, action="patient.discharge") as declaration:
        patient.save()
    assert (actions(trail), declaration.happened) == ([], "no")


def test_a_declaration_follows_into_the_thread_of_an_async_save(patient: Patient, trail: Trail) -> None:
    async def discharge() -> None:
        with declare(patient, action="patient.discharge"):
            patient.name = "Ana Maria"
            await patient.asave()

    asyncio.run(discharge())
    assert actions(trail) == ["patient.discharge"]


@pytest.mark.scenario(30)
@pytest.mark.defect("S-4", "S-14")
def test_record_takes_the_place_of_the_change_of_the_same_instance(patient: Patient, trail: Trail) -> None:
    other = Patient.objects.create(name="Bea")
    trail.forget()
    with transaction.atomic(), indelible.context(meta={"ward": "7", "source": "context"}):
        patient.name = "Ana Maria"
        patient.save()
        other.name = "Bea B"
        other.save()
        indelible.record("Patient.Discharge Now", resource=patient, kind="change", reason="recovered", meta={"source": "explicit"})
    discharged, updated = trail.changes()
    assert (discharged["action"], discharged["reason"]) == ("patient.discharge_now", "recovered")
    assert discharged["meta"] == {"ward": "7", "source": "explicit"}
    assert fields(discharged) == {"name": ("Ana", "Ana Maria")}
    assert (updated["action"], updated["resource"]["id"]) == ("patient.update", str(other.pk))


def test_a_savepoint_that_is_rolled_back_leaves_the_change_as_it_was(patient: Patient, trail: Trail) -> None:
    with transaction.atomic():
        patient.name = "Ana Maria"
        patient.save()
        inner = transaction.savepoint()
        indelible.record("patient.discharge", resource=patient, kind="change")
        transaction.savepoint_rollback(inner)
    assert actions(trail) == ["patient.update"]


def test_two_records_are_two_events_and_the_first_has_the_changes(patient: Patient, trail: Trail) -> None:
    with transaction.atomic():
        patient.name = "Ana Maria"
        patient.save()
        indelible.record("patient.discharge", resource=patient, kind="change")
        indelible.record("patient.notify", resource=patient, kind="change")
    discharged, notified = trail.changes()
    assert (discharged["action"], "changes" in discharged) == ("patient.discharge", True)
    assert (notified["action"], "changes" in notified) == ("patient.notify", False)


@pytest.mark.scenario(30)
@pytest.mark.defect("S-4")
def test_record_never_takes_the_place_of_another_change_of_the_instance(patient: Patient, trail: Trail) -> None:
    condition = Condition.objects.create(code="flu")
    trail.forget()
    with transaction.atomic():
        patient.name = "Ana Maria"
        patient.save()
        patient.conditions.add(condition)
        indelible.record("patient.weigh", resource=patient, kind="change", changes=[{"field": "weight", "old": 70, "new": 71}])
        indelible.record("patient.delete", resource=patient, kind="change")
        indelible.record("patient.rename", resource=patient, kind="change", changes=[{"field": "name", "old": "x", "new": "a lie"}])
        indelible.record("patient.diagnose", resource=patient, kind="change")
    renamed, diagnosed, weighed, deleted = trail.changes()
    assert (renamed["action"], fields(renamed)) == ("patient.rename", {"name": ("Ana", "Ana Maria")})
    assert (diagnosed["action"], diagnosed["changes"][0]["field"]) == ("patient.diagnose", "conditions")
    assert (weighed["action"], fields(weighed)) == ("patient.weigh", {"weight": (70, 71)})
    assert (deleted["action"], "changes" in deleted) == ("patient.delete", False)


@pytest.mark.usefixtures("registered")
def test_what_is_said_of_the_row_takes_the_place_of_no_masked_links(patient: Patient, trail: Trail) -> None:
    condition = Condition.objects.create(code="flu")
    trail.forget()
    registry.register(Patient, mask=["conditions"])
    with transaction.atomic():
        patient.name = "Ana Maria"
        patient.save()
        patient.conditions.add(condition)
        indelible.record("patient.admit", resource=patient, kind="change")
    admitted, linked = trail.changes()
    assert (admitted["action"], fields(admitted)) == ("patient.admit", {"name": ("Ana", "Ana Maria")})
    assert (linked["action"], linked["changes"]) == ("patient.update", [{"field": "conditions", "masked": True}])


def test_what_a_formatter_said_about_a_change_stays_with_it(patient: Patient, trail: Trail) -> None:
    register_formatter(Patient, Formatter)
    try:
        with transaction.atomic():
            patient.name = "Ana Maria"
            patient.save()
            indelible.record("patient.rename", resource=patient, kind="change", meta={"by": "hand"})
    finally:
        reset()
    assert only_change(trail)["meta"] == {"by": "hand", "description": f"Updated patient {patient.pk}: name"}


def test_links_of_the_instance_stay_events_of_their_own(patient: Patient, trail: Trail) -> None:
    condition = Condition.objects.create(code="flu")
    trail.forget()
    with declare(patient, action="patient.discharge"):
        patient.conditions.add(condition)
        patient.name = "Ana Maria"
        patient.save()
    assert actions(trail) == ["patient.update", "patient.discharge"]


def test_without_a_declaration_nothing_is_asked(patient: Patient, trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(_intent, "told", asked)
    monkeypatch.setattr(_intent, "happened", asked)
    patient.name = "Ana Maria"
    patient.save()
    assert actions(trail) == ["patient.update"]


def test_a_test_of_an_application_sees_the_two_as_one_and_the_savepoint_take_it_back(patient: Patient) -> None:
    with capture_events() as events, transaction.atomic():
        patient.name = "Ana Maria"
        patient.save()
        inner = transaction.savepoint()
        indelible.record("patient.discharge", resource=patient, kind="change")
        events.one(kind="change", action="patient.discharge").changed(name=("Ana", "Ana Maria"))
        transaction.savepoint_rollback(inner)
        events.one(kind="change", action="patient.update")


class Series:
    """Numbers that compare one by one, as those of numpy do."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        raise ValueError("The truth value of an array with more than one element is ambiguous.")

    def __str__(self) -> str:
        return "1;2"


@pytest.mark.usefixtures("registered")
def test_values_that_cannot_be_compared_cost_neither_the_write_nor_its_event(database: str, trail: Trail) -> None:
    # The error of the comparison reached the application where a reason was demanded, and cost the event its values elsewhere.
    declaration = _intent.Declaration(Place, values={"at": Series()}, verb="create")
    with _intent.declaring(declaration, None, "create"):
        Place.objects.create(at=Series())
    registry.register(Place, reason_required=["create"])
    with pytest.raises(_intent.ReasonRequired), _intent.declaring(declaration, None, "create"):
        Place.objects.create(at=Series())
    created, *refused = trail.changes()
    assert (created["action"], created["outcome"], {event["outcome"] for event in refused}) == ("place.create", "success", {"denied"})
    assert "1;2" in str(created["changes"])
