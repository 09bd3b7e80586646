"""Every way in which the ORM writes: as many rows recorded as were really changed, each with its own key.

Each test compares the events with the rows that the database holds before and after.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from typing import Any

import django
import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.files.base import ContentFile
from django.db import connections, transaction
from django.db.models import Case, F, OuterRef, Subquery, Value, When
from django.db.models.deletion import ProtectedError
from django.test.utils import CaptureQueriesContext

import journal
from in_loop import in_loop
from indelible import _runtime
from testproject import models
from testproject.models import (
    Appointment,
    Condition,
    Doctor,
    Employee,
    Folder,
    Friend,
    Manager,
    Membership,
    Patient,
    Person,
    Place,
    Point,
    Remark,
    Reminder,
    Row,
    Team,
    Ticket,
    Unique,
    Visit,
)
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")

MANY = 1000


def recorded(trail: Trail) -> list[dict[str, Any]]:
    """The changes as the agent would take them out of the journal."""
    _runtime.runtime().close()
    return [body for body in journal.events(trail.data_dir, trail.service) if body["kind"] == "change"]


def rows_of(events: list[dict[str, Any]], action: str) -> list[str]:
    """The keys that events of one action name; a row that is named twice is there twice."""
    return sorted(event["resource"]["id"] for event in events if event["action"] == action)


def keys(instances: Any) -> list[str]:
    return sorted(str(instance.pk) for instance in instances)


def value(event: dict[str, Any], field: str) -> Any:
    (change,) = (change for change in event["changes"] if change["field"] == field)
    return change


@pytest.fixture
def rows(trail: Trail) -> list[Row]:
    made = Row.objects.bulk_create([Row(number=number) for number in range(MANY)])
    trail.forget()
    return made


@pytest.mark.scenario(6)
@pytest.mark.defect("A-11", "H10")
@pytest.mark.parametrize("batch_size", [None, 300])
def test_bulk_create_is_an_event_for_each_row(trail: Trail, batch_size: int | None) -> None:
    made = Row.objects.bulk_create((Row(number=number) for number in range(MANY)), batch_size=batch_size)
    events = recorded(trail)
    assert rows_of(events, "row.create") == keys(made) == keys(Row.objects.all())
    numbers = {event["resource"]["id"]: value(event, "number")["new"] for event in events}
    assert numbers == {str(row.pk): row.number for row in made}
    assert len({event["id"] for event in events}) == MANY


@pytest.mark.scenario(6)
@pytest.mark.defect("A-11")
def test_bulk_create_that_ignores_conflicts_is_an_event_for_each_new_row(trail: Trail) -> None:
    Unique.objects.create(code="7", hits=1)
    trail.forget()
    made = Unique.objects.bulk_create([Unique(code=str(number)) for number in range(10)], ignore_conflicts=True)
    assert [one.pk for one in made] == [None] * 10
    events = recorded(trail)
    assert rows_of(events, "unique.create") == keys(Unique.objects.exclude(code="7"))
    assert {value(event, "code")["new"] for event in events} == set("012345689")


def test_one_row_whose_conflict_is_ignored_is_no_event(trail: Trail) -> None:
    Unique.objects.create(code="7")
    trail.forget()
    Unique.objects.bulk_create([Unique(code="7")], ignore_conflicts=True)
    assert recorded(trail) == []
    Unique.objects.bulk_create([Unique(code="8")], ignore_conflicts=True)
    assert rows_of(recorded(trail), "unique.create") == keys(Unique.objects.filter(code="8"))


def test_bulk_create_that_updates_on_conflict_is_an_event_for_each_row(trail: Trail) -> None:
    Unique.objects.create(code="7", hits=1)
    trail.forget()
    made = [Unique(code=str(number), hits=5) for number in range(10)]
    Unique.objects.bulk_create(made, update_conflicts=True, update_fields=["hits"], unique_fields=["code"])
    events = recorded(trail)
    assert rows_of(events, "unique.upsert") == keys(Unique.objects.all())
    assert all(value(event, "hits") == {"field": "hits", "old_unknown": True, "new": 5} for event in events)


@pytest.mark.scenario(6)
@pytest.mark.defect("A-10")
@pytest.mark.parametrize("given", [list, lambda rows: (row for row in rows)], ids=["list", "generator"])
def test_bulk_update_is_an_event_for_each_row_with_old_and_new(trail: Trail, rows: list[Row], given: Callable[[Any], Any]) -> None:
    for row in rows:
        row.number += 1
    assert Row.objects.bulk_update(given(rows), ["number"], batch_size=300) == MANY
    events = recorded(trail)
    assert rows_of(events, "row.update") == keys(rows)
    changes = {event["resource"]["id"]: (value(event, "number")["old"], value(event, "number")["new"]) for event in events}
    assert changes == {str(row.pk): (row.number - 1, row.number) for row in rows}


def test_bulk_update_of_expressions_and_of_rows_that_are_gone(trail: Trail, rows: list[Row]) -> None:
    Row.objects.filter(pk=rows[0].pk).delete()
    trail.forget()
    rows[0].number = rows[1].number = -1
    rows[2].number = F("number") + 40
    assert Row.objects.bulk_update(rows[:4], ["number"]) == 3
    events = recorded(trail)
    assert rows_of(events, "row.update") == keys(rows[1:3]), "the first is gone, the last keeps its number"
    by_key = {event["resource"]["id"]: value(event, "number") for event in events}
    assert by_key[str(rows[2].pk)] == {"field": "number", "old": 2, "new_unknown": True, "expression": "number + ?"}
    again = Row.objects.get(pk=rows[2].pk)
    rows[1].number = 7
    rows[1].save()
    assert again.number == 42
    assert value(recorded(trail)[-1], "number") == {"field": "number", "old": -1, "new": 7}


def test_bulk_update_of_an_empty_list_and_its_mistakes_are_those_of_django(trail: Trail, rows: list[Row]) -> None:
    assert Row.objects.bulk_update([], ["number"]) == 0
    with pytest.raises(ValueError, match="Field names must be given"):
        Row.objects.bulk_update(rows, [])
    with pytest.raises(ValueError, match="must have a primary key set"):
        Row.objects.bulk_update((Row(number=1) for _ in range(2)), ["number"])
    assert recorded(trail) == []


UPDATES: dict[str, Any] = {
    "constant": lambda: {"number": 7},
    "F": lambda: {"number": F("number") + 7},
    "Case": lambda: {"number": Case(When(number__gt=10, then=Value(-1)), default=F("number"))},
    "subquery": lambda: {"number": Subquery(Row.objects.filter(pk=OuterRef("pk")).values("number")[:1])},
}


@pytest.mark.scenario(7)
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
@pytest.mark.parametrize("what", UPDATES)
def test_an_update_is_an_event_for_each_row(trail: Trail, rows: list[Row], what: str, atomic: bool) -> None:
    touched = Row.objects.filter(number__gte=MANY // 2)
    before = keys(touched)
    if atomic:
        with transaction.atomic():
            count = touched.update(**UPDATES[what]())
    else:
        count = touched.update(**UPDATES[what]())
    assert count == MANY // 2
    events = recorded(trail)
    assert rows_of(events, "row.update") == before
    change = value(events[0], "number")
    if what == "constant":
        assert change == {"field": "number", "old_unknown": True, "new": 7}
    else:
        assert change["new_unknown"] is True
        assert "7" not in change["expression"]


@pytest.mark.scenario(7)
@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_a_delete_is_an_event_for_each_row(trail: Trail, rows: list[Row], atomic: bool) -> None:
    if atomic:
        with transaction.atomic():
            deleted = Row.objects.filter(number__lt=MANY // 2).delete()
    else:
        deleted = Row.objects.filter(number__lt=MANY // 2).delete()
    assert deleted == (MANY // 2, {"testproject.Row": MANY // 2})
    assert rows_of(recorded(trail), "row.delete") == keys(rows[: MANY // 2])


def test_a_raw_delete_is_an_event_for_each_row(trail: Trail, rows: list[Row]) -> None:
    assert Row.objects.all()._raw_delete("default") == MANY
    assert rows_of(recorded(trail), "row.delete") == keys(rows)


@pytest.mark.scenario(7)
@pytest.mark.defect("S-10")
def test_rows_that_are_loaded_to_be_deleted_are_recorded_with_their_values(trail: Trail) -> None:
    doctors = [Doctor.objects.create(name=str(number)) for number in range(20)]
    trail.forget()
    Doctor.objects.all().delete()
    events = recorded(trail)
    assert rows_of(events, "doctor.delete") == keys(doctors)
    assert {value(event, "name")["old"] for event in events} == {doctor.name for doctor in doctors}


def test_what_is_rolled_back_is_no_event_whatever_the_path(trail: Trail, rows: list[Row]) -> None:
    with transaction.atomic():
        Row.objects.bulk_create([Row(number=1)])
        Row.objects.update(number=1)
        Row.objects.bulk_update(rows[:5], ["number"])
        Row.objects.all().delete()
        transaction.set_rollback(True)
    assert recorded(trail) == []


@pytest.mark.defect("A-1")
def test_a_cascade_records_every_row_and_what_it_belonged_to(trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Bo")
    patient = Patient.objects.create(name="Ana", doctor=doctor)
    appointments = [Appointment.objects.create(patient=patient) for _ in range(3)]
    reminders = [Reminder.objects.create(appointment=appointment) for appointment in appointments]
    trail.forget()
    patient.delete()
    doctor.delete()
    events = recorded(trail)
    assert rows_of(events, "reminder.delete") == keys(reminders)
    assert rows_of(events, "appointment.delete") == keys(appointments)
    reminder = next(event for event in events if event["action"] == "reminder.delete")
    assert value(reminder, "appointment")["old"] in [appointment.pk for appointment in appointments]
    assert [event["action"] for event in events][-1] == "doctor.delete"


def test_a_reference_set_to_null_is_an_event_of_the_row_with_its_old_value(trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Bo")
    patients = [Patient.objects.create(name=str(number), doctor=doctor) for number in range(3)]
    key = doctor.pk
    trail.forget()
    doctor.delete()
    events = recorded(trail)
    assert rows_of(events, "patient.update") == keys(patients)
    updates = [event for event in events if event["action"] == "patient.update"]
    assert all(event["changes"] == [{"field": "doctor", "old": key, "new": None}] for event in updates)


@pytest.mark.scenario(29)
@pytest.mark.defect("S-9")
def test_a_refused_delete_is_no_event(trail: Trail) -> None:
    doctor = Doctor.objects.create(name="Bo")
    Visit.objects.create(doctor=doctor)
    trail.forget()
    with pytest.raises(ProtectedError):
        doctor.delete()
    with pytest.raises(ProtectedError):
        Doctor.objects.all().delete()
    assert recorded(trail) == []


def linked(events: list[dict[str, Any]], action: str, side: str) -> Tally[tuple[str, str]]:
    """Source and target of every link that was added or removed."""
    return Tally((event["resource"]["id"], target) for event in events if event["action"] == action for target in event["changes"][0][side])


@pytest.mark.defect("F-12")
def test_a_thousand_links_are_all_named(trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana")
    conditions = Condition.objects.bulk_create([Condition(code=str(number)) for number in range(MANY + 500)])
    trail.forget()
    patient.conditions.add(*conditions)
    events = recorded(trail)
    assert linked(events, "patient.update", "added") == Tally((str(patient.pk), str(one.pk)) for one in conditions)
    patient.conditions.clear()
    assert linked(recorded(trail), "patient.update", "removed") == linked(events, "patient.update", "added")


@pytest.mark.scenario(5)
@pytest.mark.defect("A-1", "S-2")
def test_links_of_a_symmetrical_field_are_recorded_for_both(trail: Trail) -> None:
    ana, bo = Friend.objects.create(name="Ana"), Friend.objects.create(name="Bo")
    trail.forget()
    ana.friends.add(bo)
    both = Tally({(str(ana.pk), str(bo.pk)): 1, (str(bo.pk), str(ana.pk)): 1})
    assert linked(recorded(trail), "friend.update", "added") == both
    bo.friends.clear()
    assert linked(recorded(trail), "friend.update", "removed") == both


@pytest.mark.scenario(5)
def test_links_through_a_model_are_rows_of_that_model(trail: Trail) -> None:
    team, bo, cy = Team.objects.create(name="A"), Doctor.objects.create(name="Bo"), Doctor.objects.create(name="Cy")
    trail.forget()
    team.members.add(bo, through_defaults={"role": "lead"})
    cy.teams.add(team)
    created = keys(Membership.objects.all())
    events = recorded(trail)
    assert rows_of(events, "membership.create") == created
    assert [(value(event, "team")["new"], value(event, "doctor")["new"]) for event in events] == [(team.pk, bo.pk), (team.pk, cy.pk)]
    trail.forget()
    team.members.set([cy])
    team.members.clear()
    events = recorded(trail)
    assert rows_of(events, "membership.delete") == created
    assert [(value(event, "team")["old"], value(event, "doctor")["old"]) for event in events] == [(team.pk, bo.pk), (team.pk, cy.pk)]


@pytest.mark.scenario(5)
@pytest.mark.defect("A-1")
def test_rows_of_a_many_to_many_table_saved_by_an_inline_of_the_admin_are_changes_of_the_field(trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana")
    one, two = Condition.objects.create(code="a"), Condition.objects.create(code="b")
    trail.forget()
    through: Any = Patient.conditions.through
    link = through(patient=patient, condition=one)
    link.save()
    link = through.objects.get()
    link.condition = two
    link.save()
    link.delete()
    added, moved, removed = recorded(trail)
    assert {event["resource"]["id"] for event in (added, moved, removed)} == {str(patient.pk)}
    assert added["changes"] == [{"field": "conditions", "added": [str(one.pk)], "removed": [], "exact": True}]
    assert moved["changes"] == [{"field": "conditions", "added": [str(two.pk)], "removed": [], "exact": False}]
    assert removed["changes"] == [{"field": "conditions", "added": [], "removed": [str(two.pk)], "exact": True}]


def test_uuid_keys_generic_relations_and_their_links(trail: Trail) -> None:
    # The tables were emptied behind its back.
    ContentType.objects.clear_cache()
    folder = Folder.objects.create()
    tickets = Ticket.objects.bulk_create([Ticket(title=str(number)) for number in range(3)])
    folder.tickets.set(tickets)
    remark = Remark.objects.create(about=folder, text="a")
    folder.remarks.create(text="b")
    assert folder.remarks.count() == 2
    remarks = keys(Remark.objects.all())
    removed = str(remark.pk)
    folder.remarks.remove(remark)
    folder.remarks.update(text="c")
    key = str(folder.pk)
    folder.delete()
    events = recorded(trail)
    assert rows_of(events, "ticket.create") == keys(tickets)
    assert linked(events, "folder.update", "added") == Tally((key, str(ticket.pk)) for ticket in tickets)
    assert linked(events, "folder.update", "removed") == Tally((key, str(ticket.pk)) for ticket in tickets)
    assert rows_of(events, "remark.create") == rows_of(events, "remark.delete") == remarks
    assert rows_of(events, "remark.update") == [one for one in remarks if one != removed]
    assert rows_of(events, "folder.create") == rows_of(events, "folder.delete") == [key]


@pytest.mark.scenario(8)
@pytest.mark.defect("A-12", "F-15")
def test_rows_of_several_tables_and_proxies_are_one_event_each(trail: Trail) -> None:
    made = [Employee.objects.create(name=str(number), badge="1") for number in range(3)]
    made.append(Manager.objects.create(name="boss", badge="1"))
    events = recorded(trail)
    assert rows_of(events, "employee.create") == keys(made)
    assert len(events) == 4
    trail.forget()
    assert Employee.objects.filter(badge="1").update(name="x", badge="2") == 4
    assert Manager.objects.filter(name="x").update(name="y") == 4
    events = recorded(trail)
    assert rows_of(events, "employee.update") == sorted(keys(made) * 2)
    assert len(events) == 8
    trail.forget()
    Employee.objects.all().delete()
    assert rows_of(recorded(trail), "employee.delete") == keys(made)
    assert Person.objects.count() == 0


def test_inherited_fields_in_a_bulk_update_have_old_and_new(trail: Trail) -> None:
    for number in range(3):
        Employee.objects.create(name=str(number), badge=str(number))
    trail.forget()
    loaded = list(Employee.objects.order_by("pk"))
    for employee in loaded:
        employee.name, employee.badge = "x", f"{employee.badge}!"
    Employee.objects.bulk_update(loaded, ["name", "badge"])
    events = recorded(trail)
    assert rows_of(events, "employee.update") == keys(loaded)
    assert [value(event, "badge") for event in events] == [{"field": "badge", "old": str(n), "new": f"{n}!"} for n in range(3)]
    assert all(value(event, "name") == {"field": "name", "masked": True} for event in events)


@pytest.mark.skipif(django.VERSION < (5, 2), reason="composite keys came with Django 5.2")
def test_rows_with_a_key_of_two_fields(trail: Trail) -> None:
    seats = models.Seat.objects.bulk_create([models.Seat(row=1, place=place) for place in range(3)])
    models.Seat.objects.create(row=2, place=1, guest="Ana")
    loaded = models.Seat.objects.get(row=2, place=1)
    loaded.guest = "Bo"
    loaded.save()
    assert models.Seat.objects.filter(row=1).update(guest="Cy") == 3
    for seat in seats:
        seat.guest = "Di"
    models.Seat.objects.bulk_update(seats, ["guest"])
    models.Seat.objects.filter(row=1).delete()
    loaded.delete()
    events = recorded(trail)
    ones = [f"[1,{place}]" for place in range(3)]
    assert rows_of(events, "seat.create") == rows_of(events, "seat.delete") == sorted([*ones, "[2,1]"])
    assert rows_of(events, "seat.update") == sorted([*ones, *ones, "[2,1]"])
    (saved,) = (event for event in events if event["resource"]["id"] == "[2,1]" and event["action"] == "seat.update")
    assert value(saved, "guest") == {"field": "guest", "old": "Ana", "new": "Bo"}


@pytest.mark.scenario(4)
@pytest.mark.defect("A-8", "S-2")
def test_a_field_whose_values_json_cannot_say(trail: Trail) -> None:
    place = Place.objects.create(at=Point(1, 2))
    place = Place.objects.get(pk=place.pk)
    place.at = Point(3, 4)
    place.save()
    Place.objects.bulk_create([Place(at=Point(5, 6)), Place(at=None)])
    Place.objects.filter(pk=place.pk).update(at=Point(7, 8))
    created, updated, *_, last = recorded(trail)
    said = [value(created, "at")["new"], value(updated, "at")["old"], value(updated, "at")["new"], value(last, "at")["new"]]
    assert [one["text"] for one in said] == ["1;2", "1;2", "3;4", "7;8"]


class Long:
    """A value that says more than fits on a page."""

    def __init__(self, end: str) -> None:
        self.end = end

    def __str__(self) -> str:
        return "0;" + "0" * 2_000 + self.end


def test_the_end_of_a_long_value_that_json_cannot_say_can_be_all_that_was_changed(trail: Trail) -> None:
    place = Place.objects.create(at=Long("1"))
    place.at = Long("2")
    place.save()
    _, updated = recorded(trail)
    change = value(updated, "at")
    assert [change[side]["text"][-2:] for side in ("old", "new")] == ["01", "02"]


@pytest.mark.scenario(4)
def test_a_value_of_a_field_of_its_own_is_recorded_as_its_column_has_it_and_never_looked_at(
    trail: Trail, django_assert_num_queries: Any
) -> None:
    doctor = Doctor.objects.create(name="Ana")
    one, two = {"doctor": doctor.pk, "text": "One"}, {"doctor": doctor.pk, "password": "hunter2"}
    place = Place.objects.create(stream=models.Stream([one]))
    with django_assert_num_queries(1):
        place = Place.objects.get(pk=place.pk)
    place.stream.blocks.append(two)
    with django_assert_num_queries(1):
        place.save()
    Place.objects.bulk_create([Place(stream=models.Stream([two]))])
    Place.objects.filter(pk=place.pk).update(stream=models.Stream([one]))
    with django_assert_num_queries(2):
        Place.objects.get(pk=place.pk).delete()
    masked = two | {"password": "[masked]"}
    _, created, updated, many, all_at_once, deleted = (event for event in recorded(trail))
    assert value(created, "stream")["new"] == [one]
    assert value(updated, "stream") == {"field": "stream", "old": [one], "new": [one, masked]}
    assert value(many, "stream")["new"] == [masked]
    assert value(all_at_once, "stream")["new"] == [one]
    assert value(deleted, "stream")["old"] == [one]


def test_files_are_recorded_by_name_in_every_path(trail: Trail, tmp_path: Any, settings: Any) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    paper = models.Paper.objects.create(code="x")
    paper.scan.save("a.pdf", ContentFile(b"%PDF"))
    models.Paper.objects.bulk_create([models.Paper(code="y", scan="scans/b.pdf")])
    models.Paper.objects.filter(code="Y").update(scan="scans/c.pdf")
    names = [value(event, "scan")["new"] for event in recorded(trail)]
    assert names == ["", "scans/a.pdf", "scans/b.pdf", "scans/c.pdf"]


@pytest.mark.defect("F-14", "A-13")
@pytest.mark.scenario(11)
def test_each_database_has_its_own_rows(trail: Trail) -> None:
    made = Row.objects.using("other").bulk_create([Row(number=number) for number in range(5)])
    with transaction.atomic(using="other"):
        Row.objects.using("other").update(number=9)
        transaction.set_rollback(True, using="other")
    Row.objects.using("other").filter(number__gte=3).delete()
    events = recorded(trail)
    assert rows_of(events, "row.create") == keys(made)
    assert rows_of(events, "row.update") == []
    assert rows_of(events, "row.delete") == keys(made[3:])


def test_fixtures_are_not_recorded_with_their_links(trail: Trail) -> None:
    patient = Patient.objects.create(name="Ana")
    patient.conditions.add(Condition.objects.create(code="a"))
    text = serializers.serialize("json", [*Condition.objects.all(), *Patient.objects.all()])
    Patient.objects.all().delete()
    trail.forget()
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert Patient.objects.get().conditions.count() == 1
    assert recorded(trail) == []


def test_get_or_create_and_update_or_create_record_what_they_did(trail: Trail) -> None:
    made, first = Unique.objects.get_or_create(code="a")
    _, again = Unique.objects.get_or_create(code="a")
    _, updated = Unique.objects.update_or_create(code="a", defaults={"hits": 4})
    other, created = Unique.objects.update_or_create(code="b", defaults={"hits": 5})
    assert (first, again, updated, created) == (True, False, False, True)
    events = recorded(trail)
    assert [(event["action"], event["resource"]["id"]) for event in events] == [
        ("unique.create", str(made.pk)),
        ("unique.update", str(made.pk)),
        ("unique.create", str(other.pk)),
    ]
    assert value(events[1], "hits") == {"field": "hits", "old": 0, "new": 4}


@pytest.mark.scenario(1)
@in_loop
async def test_the_async_interface_records_the_same(trail: Trail) -> None:
    row = await Row.objects.acreate(number=1)
    await Row.objects.aget_or_create(number=1)
    await Row.objects.aupdate_or_create(pk=row.pk, defaults={"number": 2})
    made = await Row.objects.abulk_create([Row(number=10 + number) for number in range(50)])
    for one in made:
        one.number += 1
    await Row.objects.abulk_update(made, ["number"])
    assert await Row.objects.filter(number__gte=11).aupdate(number=F("number") + 1) == 50
    row.number = 3
    await row.asave()
    key = str(row.pk)
    await row.adelete()
    assert await Row.objects.all().adelete() == (50, {"testproject.Row": 50})
    events = recorded(trail)
    assert rows_of(events, "row.create") == sorted([key, *keys(made)])
    assert rows_of(events, "row.update") == sorted([key, key, *keys(made), *keys(made)])
    assert rows_of(events, "row.delete") == sorted([key, *keys(made)])


@pytest.mark.scenario(5)
@in_loop
async def test_async_links_are_recorded_too(trail: Trail) -> None:
    patient = await Patient.objects.acreate(name="Ana")
    one, two = [await Condition.objects.acreate(code=code) for code in "ab"]
    await patient.conditions.aadd(one)
    await patient.conditions.aset([two])
    await two.patients.aremove(patient)
    await one.patients.aadd(patient)
    await patient.conditions.aclear()
    events = recorded(trail)
    key = str(patient.pk)
    assert linked(events, "patient.update", "added") == Tally({(key, str(one.pk)): 2, (key, str(two.pk)): 1})
    assert linked(events, "patient.update", "removed") == Tally({(key, str(one.pk)): 2, (key, str(two.pk)): 1})


def test_what_a_fast_statement_touches_is_never_read_by_one_more(trail: Trail, rows: list[Row]) -> None:
    with CaptureQueriesContext(connections["default"]) as queries:
        Row.objects.filter(number__lt=10).update(number=0)
        Row.objects.filter(number__gt=20).delete()
    sent = [query["sql"].split()[0] for query in queries]
    assert [verb for verb in sent if verb not in ("BEGIN", "COMMIT")] == ["UPDATE", "DELETE"]
