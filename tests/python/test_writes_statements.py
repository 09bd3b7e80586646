"""``BULK = "statement"``: statements over many rows are one event each, with the true number of rows, never with the values they were asked with."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from testproject.models import Appointment, Doctor, Employee, Patient, Reminder, Row
from trails import Trail, only_change

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def by_statement(settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "BULK": "statement"}


@pytest.fixture
def rows(trail: Trail) -> list[Row]:
    made = [Row.objects.create(number=number) for number in range(5)]
    trail.forget()
    return made


def statement(trail: Trail) -> tuple[str, dict[str, Any]]:
    event = only_change(trail)
    assert len(event["changes"]) == 1
    return event["action"], event["changes"][0]


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_an_update_of_a_query_has_its_count_condition_and_fields(trail: Trail, rows: list[Row], atomic: bool) -> None:
    def write() -> int:
        return Row.objects.filter(Q(number__gt=2) | ~Q(number=3)).filter(number__lt=4).update(number=F("number") + 40)

    if atomic:
        with transaction.atomic():
            count = write()
    else:
        count = write()
    assert count == 4
    action, change = statement(trail)
    assert action == "row.update"
    assert change == {
        "count": 4,
        "ids": [],
        "where": "(number__gt OR NOT number__exact) AND number__lt",
        "fields": ["number"],
    }


def test_the_values_of_a_condition_are_not_recorded(trail: Trail, rows: list[Row]) -> None:
    Patient.objects.create(name="Ana", ssn="078-05-1120")
    trail.forget()
    Patient.objects.filter(ssn="078-05-1120", name__startswith="An").update(visits=77)
    (event,) = trail.changes()
    assert "078-05" not in str(event)
    assert event["changes"] == [{"count": 1, "ids": [], "where": "name__startswith AND ssn__exact", "fields": ["visits"]}]


def test_keys_are_listed_where_the_condition_names_them(trail: Trail, rows: list[Row]) -> None:
    keys = [row.pk for row in rows[:2]]
    Row.objects.filter(pk__in=keys).update(number=9)
    Row.objects.filter(pk=keys[0]).update(number=10)
    several, one = (event["changes"][0] for event in trail.changes())
    assert (several["count"], sorted(several["ids"]), several["where"]) == (2, [str(key) for key in sorted(keys)], "id__in")
    assert (one["count"], one["ids"], one["where"]) == (1, [str(keys[0])], "id__exact")


def test_a_condition_with_an_alternative_names_no_keys(trail: Trail, rows: list[Row]) -> None:
    Row.objects.filter(Q(pk=rows[0].pk) | Q(number=4)).update(number=9)
    assert statement(trail)[1]["ids"] == []


def test_an_update_of_inherited_fields_is_one_event(trail: Trail) -> None:
    Employee.objects.create(name="Eve", badge="E1")
    trail.forget()
    with transaction.atomic():
        Employee.objects.filter(badge="E1").update(name="Eva", badge="E2")
    Employee.objects.filter(badge="E2").update(name="Ewa")
    both, inherited = trail.changes()
    assert both["action"] == inherited["action"] == "employee.update"
    assert both["changes"] == [{"count": 1, "ids": [], "where": "badge__exact", "fields": ["badge", "name"]}]
    assert inherited["changes"] == [{"count": 1, "ids": [], "where": "badge__exact", "fields": ["name"]}]


def test_what_touches_nothing_is_no_event(trail: Trail, rows: list[Row]) -> None:
    assert Row.objects.none().update(number=1) == 0
    assert Row.objects.filter(number=-1).update(number=1) == 0
    assert Row.objects.filter(number=-1).delete() == (0, {})
    assert Row.objects.filter(pk__in=[]).delete() == (0, {})
    with transaction.atomic():
        assert Row.objects.none().update(number=1) == 0
        assert Row.objects.filter(number=-1).update(number=1) == 0
        assert Row.objects.none().delete() == (0, {})
    assert trail.changes() == []


def test_a_query_that_deletes_has_its_count(trail: Trail, rows: list[Row]) -> None:
    assert Row.objects.filter(number__gte=3).delete() == (2, {"testproject.Row": 2})
    assert statement(trail) == ("row.delete", {"count": 2, "ids": [], "where": "number__gte"})


def test_bulk_create_lists_the_new_keys(trail: Trail) -> None:
    made = Row.objects.bulk_create([Row(number=number) for number in range(3)])
    action, change = statement(trail)
    assert action == "row.create"
    assert change == {"count": 3, "ids": [str(row.pk) for row in made], "fields": ["number"]}


def test_a_row_of_bulk_create_knows_its_old_values_later(trail: Trail) -> None:
    made = Row.objects.bulk_create([Row(number=number) for number in range(3)])
    made[1].number = 11
    made[1].save()
    _, updated = trail.changes()
    assert updated["changes"] == [{"field": "number", "old": 1, "new": 11}]


def test_bulk_create_that_ignores_conflicts_counts_the_new_rows(trail: Trail, rows: list[Row]) -> None:
    Row.objects.bulk_create([Row(pk=rows[0].pk, number=1), Row(pk=10_000, number=2)], ignore_conflicts=True)
    action, change = statement(trail)
    assert action == "row.create"
    assert (change["count"], change["ids"]) == (1, ["10000"])


def test_bulk_update_lists_the_keys(trail: Trail, rows: list[Row]) -> None:
    for row in rows:
        row.number += 1
    assert Row.objects.bulk_update((row for row in rows), ["number"]) == 5
    action, change = statement(trail)
    assert (action, change["count"], change["fields"]) == ("row.update", 5, ["number"])
    assert sorted(change["ids"], key=int) == [str(row.pk) for row in rows]


def test_a_cascade_leaves_nothing_out(trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Bo")
    patient = Patient.objects.create(name="Ana", doctor=doctor)
    appointments = [Appointment.objects.create(patient=patient, room=str(number)) for number in range(3)]
    keys = [str(appointment.pk) for appointment in appointments]
    Reminder.objects.create(appointment=appointments[0])
    trail.forget()
    counted = patient.delete()
    assert counted[1]["testproject.Appointment"] == 3
    events = trail.changes()
    assert [event["action"] for event in events if event["action"] != "patient.update"] == [
        "reminder.delete",
        *["appointment.delete"] * 3,
        "patient.delete",
    ]
    deleted = [event["resource"]["id"] for event in events if event["action"] == "appointment.delete"]
    assert sorted(deleted, key=int) == keys


def test_the_references_that_a_delete_sets_to_null_are_recorded(trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Bo")
    patient = Patient.objects.create(name="Ana", doctor=doctor)
    trail.forget()
    doctor.delete()
    patient.refresh_from_db()
    assert patient.doctor_id is None
    update, delete = trail.changes()
    assert (update["action"], delete["action"]) == ("patient.update", "doctor.delete")
    assert update["changes"][0]["fields"] == ["doctor"]
    assert delete["changes"] == [{"field": "id", "old": delete["changes"][0]["old"]}, {"field": "name", "old": "Bo"}]


def test_a_failed_statement_outside_of_a_transaction_is_no_event(trail: Trail, rows: list[Row]) -> None:
    with pytest.raises(IntegrityError):
        Row.objects.bulk_create([Row(pk=rows[0].pk, number=1)])
    with pytest.raises(IntegrityError):
        Row.objects.filter(pk=rows[0].pk).update(id=rows[1].pk)
    assert trail.changes() == []
