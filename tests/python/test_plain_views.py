"""Helpers for plain views: they write, and the automatic event is the one that says what it meant."""

from __future__ import annotations

import decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import ProtectedError
from django.test import RequestFactory

from in_loop import in_loop
from indelible.django.views import aaudit_create, aaudit_delete, aaudit_update, audit_create, audit_delete, audit_update
from testproject.models import Condition, Doctor, Patient, Visit
from trails import Trail, fields, only_change

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def patient(database: str, trail: Trail) -> Patient:
    patient = Patient.objects.create(name="Ana", ssn="1234", balance=decimal.Decimal("1.00"))
    trail.forget()
    return patient


@pytest.mark.defect("S-2", "S-6")
def test_an_update_records_what_changed_and_what_it_meant(patient: Patient, trail: Trail) -> None:
    values = {"name": "Ana Maria", "balance": decimal.Decimal("2.50"), "ssn": "9"}
    audit_update(patient, metadata={"ward": "7"}, validated_data=values, action="patient.discharge", reason="recovered")
    event = only_change(trail)
    assert (event["action"], event["reason"], event["meta"]) == ("patient.discharge", "recovered", {"source": "view", "ward": "7"})
    assert fields(event) == {"name": ("Ana", "Ana Maria"), "balance": ("1.00", "2.50"), "ssn": (None, None)}


def test_what_was_set_before_is_saved(patient: Patient, trail: Trail) -> None:
    patient.name = "Ana Maria"
    audit_update(patient, action="patient.rename")
    assert fields(only_change(trail)) == {"name": ("Ana", "Ana Maria")}
    assert Patient.objects.get().name == "Ana Maria"


@pytest.mark.defect("S-6")
def test_called_after_the_save_it_gives_the_change_its_meaning(patient: Patient, trail: Trail) -> None:
    with transaction.atomic():
        patient.name = "Ana Maria"
        patient.save()
        audit_update(patient, action="patient.rename", metadata={"ward": "7"})
    event = only_change(trail)
    assert (event["action"], event["meta"], fields(event)) == (
        "patient.rename",
        {"source": "view", "ward": "7"},
        {"name": ("Ana", "Ana Maria")},
    )


def test_called_after_a_save_that_is_committed_it_is_an_event_of_its_own(patient: Patient, trail: Trail) -> None:
    patient.name = "Ana Maria"
    patient.save()
    audit_update(patient, action="patient.rename")
    assert [(event["kind"], event["action"]) for event in trail.events()] == [("change", "patient.update"), ("action", "patient.rename")]


@pytest.mark.defect("S-8")
def test_values_that_are_there_already_change_nothing(patient: Patient, trail: Trail) -> None:
    audit_update(patient, validated_data={"name": "Ana"})
    assert trail.events() == []


def test_a_create_with_its_links_and_a_delete(database: str, trail: Trail) -> None:
    condition = Condition.objects.create(code="flu")
    trail.forget()
    patient = audit_create(Patient(name="Bea"), action="patient.admit", validated_data={"ssn": "1", "conditions": [condition]})
    assert audit_delete(patient, action="patient.erase", reason="asked for")[0] == 2
    actions = [event["action"] for event in trail.changes() if event["action"] != "patient.update"]
    assert actions == ["patient.admit", "patient.erase"]


@pytest.mark.scenario(29)
@pytest.mark.defect("S-9", "S-13")
def test_a_refused_delete_reaches_the_caller_and_leaves_the_attempt(database: str, trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Eva")
    Visit.objects.create(doctor=doctor)
    trail.forget()
    with pytest.raises(ProtectedError):
        audit_delete(doctor)
    event = only_change(trail)
    assert (event["action"], event["outcome"]) == ("doctor.delete", "failure")


def test_a_request_without_the_middleware_still_names_its_user(patient: Patient, trail: Trail) -> None:
    request: Any = RequestFactory().post("/")
    request.user = User(pk=7, username="ana")
    audit_update(patient, request, validated_data={"name": "Ana Maria"})
    assert only_change(trail)["actor"] == {"type": "user", "id": "7", "label": "ana"}


@in_loop
async def test_in_an_event_loop_it_is_the_same(database: str, trail: Trail) -> None:
    doctor = await aaudit_create(Doctor(name="Eva"), action="doctor.hire")
    await aaudit_update(doctor, validated_data={"name": "Eva E"}, action="doctor.rename")
    await aaudit_delete(doctor, action="doctor.dismiss")
    assert [event["action"] for event in trail.changes()] == ["doctor.hire", "doctor.rename", "doctor.dismiss"]
