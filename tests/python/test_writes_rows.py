"""Instances that are created, saved and deleted: one event each, with the true old and new values."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from decimal import Decimal
from typing import Any

import django
import pytest
from django.contrib.sessions.models import Session
from django.core import serializers
from django.core.files.base import ContentFile
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from indelible.django._models import forget_plans
from testproject.models import Counter, Doctor, Employee, Manager, Paper, Patient, Person, Secret, Surgeon, Ticket, UpperField
from trails import Trail, fields, only_change

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def patient(trail: Trail) -> Patient:
    """A patient as a later request finds it."""
    made = Patient.objects.create(
        name="Ana",
        born=datetime.date(1990, 1, 2),
        balance=Decimal("10.50"),
        details={"allergies": ["nuts"], "height": 170},
        ssn="078-05-1120",
        doctor=Doctor.objects.create(name="Bo"),
    )
    trail.forget()
    return Patient.objects.get(pk=made.pk)


@pytest.mark.defect("H9", "A-1")
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_create_save_and_delete_are_one_event_each_in_order(trail: Trail, atomic: bool) -> None:
    def write() -> int:
        patient = Patient.objects.create(name="Ana", born=datetime.date(1990, 1, 2))
        patient.name = "Anna"
        patient.save()
        key = patient.pk
        patient.delete()
        return key

    if atomic:
        with transaction.atomic():
            key = write()
    else:
        key = write()
    created, updated, deleted = trail.changes()
    assert [event["action"] for event in (created, updated, deleted)] == ["patient.create", "patient.update", "patient.delete"]
    assert all(event["resource"] == {"type": "testproject.Patient", "id": str(key)} for event in (created, updated, deleted))
    assert all(event["actor"]["type"] == "system" and event["outcome"] == "success" for event in (created, updated, deleted))
    assert fields(created)["name"] == (None, "Ana")
    assert fields(updated) == {"name": ("Ana", "Anna")}
    assert fields(deleted)["name"] == ("Anna", None)
    assert fields(deleted)["born"] == ("1990-01-02", None)


@pytest.mark.defect("F-4", "S-1", "S-6")
@pytest.mark.scenario(2)
def test_an_update_has_old_and_new_of_exactly_the_changed_fields(trail: Trail, patient: Patient) -> None:
    patient.name = "Anna"
    patient.born = datetime.date(1991, 1, 2)
    patient.save()
    assert fields(only_change(trail)) == {"name": ("Ana", "Anna"), "born": ("1990-01-02", "1991-01-02")}


@pytest.mark.defect("S-8")
@pytest.mark.scenario(3)
def test_a_save_without_a_change_is_no_event(trail: Trail, patient: Patient) -> None:
    patient.save()
    patient.name = "Ana"
    patient.balance = Decimal("10.5")
    patient.details = {"allergies": ["nuts"], "height": 170}
    patient.save()
    assert trail.changes() == []


@pytest.mark.defect("A-8", "S-2")
def test_foreign_keys_decimals_and_json_with_integer_keys_are_exact(trail: Trail, patient: Patient) -> None:
    other = Doctor.objects.create(name="Cy")
    before = patient.doctor_id
    patient.doctor = other
    patient.balance = Decimal("9999999999.99")
    patient.details = {1: "one"}
    patient.save()
    _, updated = trail.changes()
    assert fields(updated) == {
        "doctor": (before, other.pk),
        "balance": ("10.50", "9999999999.99"),
        "details": ({"allergies": ["nuts"], "height": 170}, {"1": "one"}),
    }


def test_json_that_was_changed_in_place_is_seen(trail: Trail, patient: Patient) -> None:
    patient.details["allergies"].append("milk")
    patient.save()
    patient.details["height"] = 171
    patient.save()
    first, second = trail.changes()
    assert fields(first)["details"] == ({"allergies": ["nuts"], "height": 170}, {"allergies": ["nuts", "milk"], "height": 170})
    assert fields(second)["details"] == ({"allergies": ["nuts", "milk"], "height": 170}, {"allergies": ["nuts", "milk"], "height": 171})


@pytest.mark.defect("F-6", "S-7")
def test_masked_fields_say_that_they_changed_and_nothing_else(trail: Trail, patient: Patient) -> None:
    patient.ssn = "219-09-9999"
    patient.maiden_name = "Berg"
    patient.save()
    changes = only_change(trail)["changes"]
    assert changes == [{"field": "ssn", "masked": True}, {"field": "maiden_name", "masked": True}]


def test_ignored_fields_are_not_recorded(trail: Trail, patient: Patient) -> None:
    patient.seen_at = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    patient.save()
    assert trail.changes() == []
    counter = Counter.objects.create(name="a", hits=1, noise=1)
    counter.noise = 2
    counter.save()
    counter.hits = 2
    counter.save()
    created, updated = trail.changes()
    assert fields(created) == {"name": (None, "a"), "hits": (None, 1)}
    assert fields(updated) == {"hits": (1, 2)}


def test_values_are_those_the_database_will_hold(trail: Trail, patient: Patient) -> None:
    patient.balance = "12.25"
    patient.visits = "3"
    patient.born = datetime.datetime(2000, 5, 6, 7, 8)
    patient.save()
    assert fields(only_change(trail)) == {"balance": ("10.50", "12.25"), "visits": (0, 3), "born": ("1990-01-02", "2000-05-06")}


def test_update_fields_records_only_what_was_sent(trail: Trail, patient: Patient) -> None:
    patient.name = "Anna"
    patient.visits = 7
    patient.save(update_fields=["visits"])
    patient.save()
    first, second = trail.changes()
    assert fields(first) == {"visits": (0, 7)}
    assert fields(second) == {"name": ("Ana", "Anna")}


def test_deferred_fields_are_unknown_until_they_are_loaded(trail: Trail, patient: Patient) -> None:
    partly = Patient.objects.only("name").get(pk=patient.pk)
    partly.name = "Anna"
    partly.visits = 1
    partly.save()
    later = Patient.objects.defer("visits").get(pk=patient.pk)
    assert later.visits == 1
    later.visits = 2
    later.save()
    first, second = trail.changes()
    assert {change["field"]: change for change in first["changes"]} == {
        "name": {"field": "name", "old": "Ana", "new": "Anna"},
        "visits": {"field": "visits", "old_unknown": True, "new": 1},
    }
    assert fields(second) == {"visits": (1, 2)}


def test_refresh_from_db_brings_the_old_values_up_to_date(trail: Trail, patient: Patient) -> None:
    Patient.objects.filter(pk=patient.pk).update(name="Elsewhere", visits=5)
    patient.visits = 100
    patient.refresh_from_db(fields=["name"])
    patient.name = "Anna"
    patient.save(update_fields=["name"])
    patient.refresh_from_db()
    patient.visits = 6
    patient.save()
    _, first, second = trail.changes()
    assert fields(first) == {"name": ("Elsewhere", "Anna")}
    assert fields(second) == {"visits": (5, 6)}


def test_an_expression_is_recorded_as_a_formula_without_parameters(trail: Trail, patient: Patient) -> None:
    patient.visits = F("visits") + 41
    patient.name = Concat(F("name"), Value(" the secret"))
    patient.save(update_fields=["visits", "name"])
    patient.refresh_from_db()
    patient.visits += 1
    patient.save()
    first, second = trail.changes()
    changes = {change["field"]: change for change in first["changes"]}
    assert changes["visits"]["old"] == 0
    if django.VERSION < (6, 0):
        assert changes["visits"] == {"field": "visits", "old": 0, "new_unknown": True, "expression": "visits + ?"}
        assert changes["name"]["new_unknown"] is True
        assert "secret" not in str(first)
    else:
        assert changes["visits"] == {"field": "visits", "old": 0, "new": 41}
    assert fields(second) == {"visits": (41, 42)}


def test_what_an_expression_left_behind_is_not_an_old_value(trail: Trail, patient: Patient) -> None:
    patient.visits = F("visits") + 1
    patient.save()
    patient.visits = 10
    patient.save()
    second = trail.changes()[-1]
    assert second["changes"] in ([{"field": "visits", "old_unknown": True, "new": 10}], [{"field": "visits", "old": 1, "new": 10}])


@pytest.mark.defect("A-28")
def test_keys_and_times_that_nobody_can_edit_are_recorded(trail: Trail) -> None:
    ticket = Ticket.objects.create(title="broken lamp")
    first_changed_at = ticket.changed_at
    ticket.title = "lamp"
    ticket.save()
    created, updated = trail.changes()
    assert created["resource"]["id"] == str(ticket.pk)
    assert uuid.UUID(fields(created)["id"][1]) == ticket.pk
    assert datetime.datetime.fromisoformat(fields(created)["created_at"][1]) == ticket.created_at
    assert set(fields(updated)) == {"title", "changed_at"}
    old, new = (datetime.datetime.fromisoformat(value) for value in fields(updated)["changed_at"])
    assert (old, new) == (first_changed_at, ticket.changed_at)


@pytest.mark.defect("A-12")
def test_an_inherited_row_is_one_event_of_the_concrete_model(trail: Trail) -> None:
    employee = Employee.objects.create(name="Eve", badge="E1")
    employee.name = "Eva"
    employee.badge = "E2"
    employee.save()
    employee.name = "Ewa"
    employee.save()
    employee.delete()
    created, both, parent_only, deleted = trail.changes()
    assert [event["action"] for event in (created, both, parent_only, deleted)] == [
        "employee.create",
        "employee.update",
        "employee.update",
        "employee.delete",
    ]
    assert fields(created)["badge"] == (None, "E1")
    assert both["changes"] == [{"field": "name", "masked": True}, {"field": "badge", "old": "E1", "new": "E2"}]
    assert parent_only["changes"] == [{"field": "name", "masked": True}]
    assert fields(deleted)["badge"] == ("E2", None)


def test_a_row_of_three_tables_is_one_event(trail: Trail) -> None:
    surgeon = Surgeon.objects.create(name="Sue", badge="S1")
    loaded = Surgeon.objects.get(pk=surgeon.pk)
    loaded.badge = "S2"
    loaded.save()
    loaded.delete()
    assert [event["action"] for event in trail.changes()] == ["surgeon.create", "surgeon.update", "surgeon.delete"]


@pytest.mark.defect("A-12")
def test_a_proxy_is_its_concrete_model(trail: Trail) -> None:
    manager = Manager.objects.create(name="Max", badge="M1")
    loaded = Manager.objects.get(pk=manager.pk)
    loaded.badge = "M2"
    loaded.save()
    loaded.delete()
    created, updated, deleted = trail.changes()
    assert {event["resource"]["type"] for event in (created, updated, deleted)} == {"testproject.Employee"}
    assert fields(updated) == {"badge": ("M1", "M2")}


def test_a_parent_that_becomes_a_child_is_created_as_the_child(trail: Trail) -> None:
    person = Person.objects.create(name="Pia")
    employee = Employee(person_ptr=person, badge="P1")
    employee.__dict__.update({"name": person.name})
    employee.save()
    assert [event["action"] for event in trail.changes()] == ["person.create", "employee.create"]


def test_a_save_of_several_tables_that_failed_is_no_part_of_the_next_save(trail: Trail) -> None:
    # The parent's table was written, the child's refused it. The next save of the same instance claimed to have changed both.
    employee = Employee.objects.get(pk=Employee.objects.create(name="Eve", badge="E1").pk)
    employee.name = employee.badge = "x"
    with connection.execute_wrapper(_refusing(Employee)), pytest.raises(IntegrityError):
        employee.save()
    employee.refresh_from_db()
    employee.badge = "E2"
    trail.forget()
    employee.save(update_fields=["badge"])
    assert fields(only_change(trail)) == {"badge": ("E1", "E2")}


def _refusing(model: type[Any]) -> Any:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and model._meta.db_table in sql:
            raise IntegrityError("refused")
        return execute(sql, params, many, context)

    return refuse


@pytest.fixture
def numbering(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Papers get the next number of a counter, which their field counts up in the middle of the INSERT."""

    def pre_save(self: Any, instance: Any, add: bool) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {Counter._meta.db_table} SET hits = hits + 1 WHERE name = 'papers'")
        return f"P-{Counter.objects.get(name='papers').hits}"

    monkeypatch.setattr(UpperField, "pre_save", pre_save)
    Counter.objects.create(name="papers")


@pytest.mark.usefixtures("numbering")
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
@pytest.mark.parametrize(
    "create", [lambda: Paper.objects.create(code="?"), lambda: Paper.objects.bulk_create([Paper(code="?")])], ids=["create", "bulk"]
)
def test_what_a_field_writes_in_the_middle_of_an_insert_is_an_event_of_its_own(trail: Trail, create: Any, atomic: bool) -> None:
    # It was taken for a part of the INSERT: it left no event, and the row was told before the field had made its value.
    trail.forget()
    with transaction.atomic() if atomic else contextlib.nullcontext():
        create()
    *counted, created = sorted(trail.changes(), key=lambda event: str(event["action"]))
    # Django 6 asks a field twice, and sends its second answer.
    hits = Counter.objects.get(name="papers").hits
    assert [(event["action"], event["meta"]["sql_verb"]) for event in counted] == [("counter.raw_sql", "UPDATE")] * hits
    assert (created["action"], fields(created)["code"]) == ("paper.create", (None, f"P-{hits}"))
    assert Paper.objects.get().code == f"P-{hits}"


def test_an_insert_that_a_field_gave_up_is_not_announced(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the field had sent before was taken for the INSERT, which stayed in doubt.
    def pre_save(self: Any, instance: Any, add: bool) -> str:
        Session.objects.create(session_key="k", session_data="", expire_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
        raise LookupError

    monkeypatch.setattr(UpperField, "pre_save", pre_save)
    with pytest.raises(LookupError):
        Paper.objects.create(code="?")
    assert trail.changes() == []


@pytest.mark.usefixtures("registered")
def test_what_a_field_sends_is_recorded_of_a_row_of_several_tables_too(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Employee._meta.get_field("badge"), "__class__", UpperField)
    forget_plans()
    employee = Employee.objects.create(name="Eve", badge="e1")
    assert fields(only_change(trail))["badge"] == (None, "E1")
    employee.refresh_from_db()
    trail.forget()
    employee.badge = "e2"
    employee.save()
    assert fields(only_change(trail)) == {"badge": ("E1", "E2")}


def test_another_key_is_another_row_whose_old_values_are_unknown(trail: Trail, patient: Patient) -> None:
    other = Patient.objects.create(name="Zoe", visits=3)
    patient.pk = other.pk
    patient.save()
    updated = trail.changes()[-1]
    assert updated["resource"]["id"] == str(other.pk)
    assert {"field": "name", "old_unknown": True, "new": "Ana"} in updated["changes"]
    assert "Zoe" not in str(updated)


def test_an_instance_that_was_never_loaded_has_unknown_old_values(trail: Trail, patient: Patient) -> None:
    ghost = Patient(pk=patient.pk, name="Ghost")
    ghost.save()
    ghost.visits = 1
    ghost.save()
    first, second = trail.changes()
    assert first["action"] == "patient.update"
    assert {"field": "name", "old_unknown": True, "new": "Ghost"} in first["changes"]
    assert fields(second) == {"visits": (0, 1)}


def test_deleting_an_instance_that_was_never_loaded_claims_no_values(trail: Trail, patient: Patient) -> None:
    Patient(pk=patient.pk).delete()
    deleted = only_change(trail)
    assert deleted["action"] == "patient.delete"
    assert deleted["resource"]["id"] == str(patient.pk)
    assert "Ana" not in str(deleted)


def test_saving_into_another_database_does_not_compare_with_this_one(trail: Trail, patient: Patient) -> None:
    patient.doctor = None
    patient.save(using="other")
    patient.save(using="other")
    created, *rest = trail.changes()
    assert (created["action"], rest) == ("patient.create", [])


def test_a_save_that_finds_no_row_and_one_that_fails_are_no_events(trail: Trail, patient: Patient) -> None:
    Patient.objects.filter(pk=patient.pk).delete()
    with pytest.raises(DatabaseError):
        patient.save(force_update=True)
    existing = Doctor.objects.create(name="Di")
    with pytest.raises(IntegrityError), transaction.atomic():
        Doctor(pk=existing.pk, name="Again").save(force_insert=True)
    assert [event["action"] for event in trail.changes()] == ["patient.delete", "doctor.create"]


def test_the_value_that_a_field_sends_is_recorded_where_the_instance_has_another(trail: Trail) -> None:
    paper = Paper.objects.create(code="abc")
    paper.code = "abd"
    paper.save()
    created, updated = trail.changes()
    assert fields(created)["code"] == (None, "ABC")
    assert fields(updated) == {"code": ("ABC", "ABD")}


def test_a_file_is_recorded_by_its_name(trail: Trail, tmp_path: Any, settings: Any) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    paper = Paper.objects.create(code="x")
    paper.scan.save("scan.pdf", ContentFile(b"%PDF"))
    again = Paper.objects.get(pk=paper.pk)
    assert again.scan.name == "scans/scan.pdf"
    again.save()
    _, updated = trail.changes()
    assert fields(updated) == {"scan": ("", "scans/scan.pdf")}


def test_fixtures_are_not_recorded(trail: Trail, patient: Patient) -> None:
    Employee.objects.create(name="Eve", badge="E1")
    text = serializers.serialize("json", [*Person.objects.all(), *Employee.objects.all(), patient])
    Employee.objects.all().delete()
    trail.forget()
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert Employee.objects.get().badge == "E1"
    assert trail.changes() == []


def test_a_label_is_made_from_loaded_fields_only(trail: Trail) -> None:
    secret = Secret.objects.create(text="the recipe")
    Secret.objects.only("id").get(pk=secret.pk).delete()
    created, deleted = trail.changes()
    assert created["resource"]["label"] == "the recipe"
    assert "label" not in deleted["resource"]


def test_rows_that_are_created_together_have_their_own_values(trail: Trail) -> None:
    # Values that several rows share, the very same object or an equal one, values that are in one row alone, and one that changes in place.
    doctor, born, details = Doctor.objects.create(name="Bo"), datetime.date(1990, 1, 2), {"height": 170}
    trail.forget()
    shared = {"born": born, "details": details, "doctor": doctor, "seen_at": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)}
    names = ["Ana", "Ana", "Eva", "Ana"]
    patients = [Patient(name=name, visits=number, ssn=f"078-05-112{number}", **shared) for number, name in enumerate(names)]
    patients[2].born, patients[3].balance, patients[3].visits = None, Decimal("10.50"), "12"
    made = Patient.objects.bulk_create(patients)
    events = trail.changes()
    assert [event["resource"]["id"] for event in events] == [str(patient.pk) for patient in made]
    for number, event in enumerate(events):
        new = {change["field"]: change.get("new") for change in event["changes"]}
        assert (event["action"], new["id"], new["name"]) == ("patient.create", made[number].pk, names[number])
        assert (new["born"], new["details"], new["doctor"]) == (None if number == 2 else "1990-01-02", details, doctor.pk)
        assert new["visits"] == [0, 1, 2, 12][number]
        assert "078-05" not in str(event)
        assert "seen_at" not in new
    details["height"] = 180
    patients[1].save()
    *_, updated = trail.changes()
    assert updated["changes"] == [{"field": "details", "old": {"height": 170}, "new": {"height": 180}}]
