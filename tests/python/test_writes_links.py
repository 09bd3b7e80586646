"""Many-to-many fields: a change of the model that has the field, whichever side it is made from."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from testproject.models import Condition, Patient
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def patient(trail: Trail) -> Patient:
    patient = Patient.objects.create(name="Ana")
    patient.conditions.add(*[Condition.objects.create(code=code) for code in "ab"])
    trail.forget()
    return patient


@pytest.fixture
def codes(patient: Patient) -> dict[str, Condition]:
    Condition.objects.bulk_create([Condition(code="c"), Condition(code="d")])
    return {condition.code: condition for condition in Condition.objects.all()}


def change(trail: Trail) -> dict[str, Any]:
    changes = [event for event in trail.changes() if event["action"].startswith("patient.")]
    assert len(changes) == 1, changes
    assert changes[0]["action"] == "patient.update"
    return changes[0]


def test_added_ids_are_those_that_are_new(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    patient.conditions.add(codes["b"], codes["c"])
    event = change(trail)
    assert event["resource"] == {"type": "testproject.Patient", "id": str(patient.pk)}
    (field,) = event["changes"]
    assert field["field"] == "conditions"
    assert (field["added"], field["removed"], field["exact"]) == ([str(codes["c"].pk)], [], True)


@pytest.mark.defect("A-1")
def test_removed_ids_are_exact_when_all_of_them_were_there(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    patient.conditions.remove(codes["a"])
    assert change(trail)["changes"] == [{"field": "conditions", "added": [], "removed": [str(codes["a"].pk)], "exact": True}]


def test_removed_ids_are_those_that_were_there(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    patient.conditions.remove(codes["a"], codes["d"])
    (field,) = change(trail)["changes"]
    assert (field["removed"], field["exact"]) == ([str(codes["a"].pk)], True)


def test_set_is_what_was_removed_and_what_was_added(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    patient.conditions.set([codes["b"], codes["c"]])
    removed, added = (event["changes"][0] for event in trail.changes() if event["action"] == "patient.update")
    assert (removed["removed"], removed["added"]) == ([str(codes["a"].pk)], [])
    assert (added["added"], added["removed"]) == ([str(codes["c"].pk)], [])


def test_clear_says_what_was_there(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    patient.conditions.clear()
    event = change(trail)
    (field,) = event["changes"]
    assert event["resource"]["id"] == str(patient.pk)
    assert sorted(field["removed"]) == sorted(str(codes[code].pk) for code in "ab")
    assert (field["added"], field["exact"]) == ([], True)


def test_the_reverse_side_changes_the_model_that_has_the_field(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    codes["c"].patients.add(patient)
    codes["c"].patients.remove(patient)
    added, removed = (event for event in trail.changes() if event["action"] == "patient.update")
    assert added["resource"]["id"] == removed["resource"]["id"] == str(patient.pk)
    assert added["changes"][0]["added"] == removed["changes"][0]["removed"] == [str(codes["c"].pk)]


def test_many_patients_added_from_the_reverse_side_are_one_event_each(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    others = [Patient.objects.create(name=name) for name in ("Zoe", "Max")]
    trail.forget()
    codes["d"].patients.add(patient, *others)
    assert {event["resource"]["id"] for event in trail.changes()} == {str(one.pk) for one in (patient, *others)}


def test_adding_what_is_rolled_back_is_no_event(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    trail.forget()
    with transaction.atomic():
        patient.conditions.add(codes["c"])
        transaction.set_rollback(True)
    assert trail.changes() == []


def test_deleting_a_patient_clears_the_field(trail: Trail, patient: Patient) -> None:
    key = str(patient.pk)
    patient.delete()
    cleared, deleted = trail.changes()
    (field,) = cleared["changes"]
    assert (cleared["resource"]["id"], field["field"], len(field["removed"])) == (key, "conditions", 2)
    assert (deleted["action"], deleted["resource"]["id"]) == ("patient.delete", key)


def test_adding_nothing_is_no_event(trail: Trail, patient: Patient) -> None:
    patient.conditions.add()
    patient.conditions.set(Condition.objects.all())
    patient.conditions.remove()
    assert trail.changes() == []


def test_adding_one_that_is_there_already_is_no_event(trail: Trail, patient: Patient, codes: dict[str, Condition]) -> None:
    trail.forget()
    # Without a look before, as in a race: the database is asked to leave out what is there.
    through = Patient.conditions.through
    through.objects.bulk_create([through(patient_id=patient.pk, condition_id=codes["a"].pk)], ignore_conflicts=True)
    assert trail.changes() == []
    through.objects.bulk_create([through(patient_id=patient.pk, condition_id=codes["c"].pk)], ignore_conflicts=True)
    (field,) = change(trail)["changes"]
    assert (field["added"], field["exact"]) == ([str(codes["c"].pk)], True)
