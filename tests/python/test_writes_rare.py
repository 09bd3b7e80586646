"""Legal and seldom: what Django allows and few sites do is recorded as truly as the rest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
import pytest
from django.db import connection, models, transaction
from django.db.models import F, Value
from django.db.models.deletion import Collector
from django.db.models.functions import Lower
from django.test.utils import CaptureQueriesContext, isolate_apps

import journal
from indelible import _runtime
from indelible.django import ReasonRequired, _writes, register
from testproject.models import Account, Condition, Doctor, Employee, Paper, Patient, Person, Row, Unique
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")


class Made(models.Model):
    """A model that lives for one test."""

    class Meta:
        abstract = True
        app_label = "testproject"


@contextmanager
def tables(*made: type[models.Model]) -> Iterator[None]:
    """The tables of models that live for one test."""
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            for model in reversed(made):
                editor.delete_model(model)


def recorded(trail: Trail) -> list[dict[str, Any]]:
    """The changes as the agent would take them out of the journal."""
    _runtime.runtime().close()
    return [body for body in journal.events(trail.data_dir, trail.service) if body["kind"] == "change"]


def told(trail: Trail) -> list[tuple[str, str | None]]:
    return [(event["action"], event["resource"].get("id")) for event in recorded(trail)]


def values(event: dict[str, Any]) -> dict[str, Any]:
    return {change["field"]: {name: part for name, part in change.items() if name != "field"} for change in event["changes"]}


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_parents_some_of_which_are_parts_of_children_are_one_event_each(trail: Trail, atomic: bool) -> None:
    # The statement that deletes parents touches more rows than there are events: the children speak for their parts.
    person, employee = Person.objects.create(name="Pia"), Employee.objects.create(name="Eve", badge="E1")
    trail.forget()
    if atomic:
        with transaction.atomic():
            Person.objects.all().delete()
    else:
        Person.objects.all().delete()
    assert sorted(told(trail)) == [("employee.delete", str(employee.pk)), ("person.delete", str(person.pk))]


@pytest.mark.usefixtures("registered")
def test_a_masked_field_of_links_says_that_it_changed_and_nothing_else(trail: Trail) -> None:
    register(Patient, mask=["conditions"])
    patient, condition = Patient.objects.create(name="Ana"), Condition.objects.create(code="a")
    trail.forget()
    patient.conditions.add(condition)
    condition.patients.remove(patient)
    patient.conditions.set([condition])
    patient.conditions.clear()
    events = recorded(trail)
    assert [event["changes"] for event in events] == [[{"field": "conditions", "masked": True}]] * 4
    assert {event["resource"]["id"] for event in events} == {str(patient.pk)}


@isolate_apps("testproject")
def test_a_field_of_links_whose_name_is_masked_says_nothing_else_either(trail: Trail) -> None:
    class Key(Made):
        name = models.CharField(max_length=10)

    class Robot(Made):
        api_keys = models.ManyToManyField(Key)

    with tables(Key, Robot):
        robot, key = Robot.objects.create(), Key.objects.create(name="a")
        trail.forget()
        robot.api_keys.add(key)
        assert [event["changes"] for event in recorded(trail)] == [[{"field": "api_keys", "masked": True}]]


@isolate_apps("testproject")
@pytest.mark.parametrize("mark", [True, "the model", "the other end"])
def test_a_through_model_that_poses_as_one_of_djangos_is_recorded_as_itself(trail: Trail, mark: Any) -> None:
    # Sites set auto_created in a model of their own, so that the admin shows the field.
    class Course(Made):
        name = models.CharField(max_length=10)

    class Student(Made):
        courses = models.ManyToManyField(Course, through="Grade")

    class Grade(Made):
        course = models.ForeignKey(Course, on_delete=models.CASCADE)
        student = models.ForeignKey(Student, on_delete=models.CASCADE)
        mark = models.CharField(max_length=2, default="A")

        class Meta:
            app_label = "testproject"
            auto_created = {True: True, "the model": Student, "the other end": Course}[mark]

    # Its table is made with the field, as one of Django's is.
    with tables(Course, Student):
        course, student = Course.objects.create(name="x"), Student.objects.create()
        trail.forget()
        student.courses.add(course)
        Grade.objects.update(mark="C")
        student.courses.clear()
        created, updated, deleted = recorded(trail)
        assert [event["action"] for event in (created, updated, deleted)] == ["grade.create", "grade.update", "grade.delete"]
        assert values(created)["mark"] == {"new": "A"}


@isolate_apps("testproject")
def test_a_proxy_of_djangos_through_model_is_the_same_table(trail: Trail) -> None:
    class Word(Made):
        text = models.CharField(max_length=10)

    class Verse(Made):
        words = models.ManyToManyField(Word)

    class Place(Verse.words.through):  # type: ignore[name-defined,misc]
        """What an inline of the admin shows by another name."""

        class Meta:
            app_label = "testproject"
            proxy = True

    with tables(Word, Verse):
        verse, one, two = Verse.objects.create(), Word.objects.create(text="a"), Word.objects.create(text="b")
        trail.forget()
        place = Place.objects.create(verse=verse, word=one)
        place.word = two
        place.save()
        place.delete()
        Place.objects.bulk_create([Place(verse=verse, word=one)])
        Place.objects.all().delete()
        events = recorded(trail)
        assert [(event["action"], event["resource"]["id"]) for event in events] == [("verse.update", str(verse.pk))] * 5
        assert [event["changes"][0]["added"] + event["changes"][0]["removed"] for event in events] == [
            [str(one.pk)],
            [str(two.pk)],
            [str(two.pk)],
            [str(one.pk)],
            [str(one.pk)],
        ]


class Dated(models.QuerySet[Any]):
    """Adds what every update of the site shall set."""

    def update(self, **values: Any) -> int:
        return super().update(**{**values, "stamp": "now", "version": F("version") + 1})


@isolate_apps("testproject")
def test_what_a_queryset_adds_to_a_bulk_update_is_recorded_as_it_is_sent(trail: Trail) -> None:
    class Page(Made):
        text = models.CharField(max_length=10)
        stamp = models.CharField(max_length=10, default="")
        version = models.IntegerField(default=0)
        objects = Dated.as_manager()

    with tables(Page):
        Page.objects.bulk_create([Page(text="a"), Page(text="b")])
        pages = list(Page.objects.order_by("pk"))
        for page in pages:
            page.text += "!"
        trail.forget()
        assert Page.objects.bulk_update(pages, ["text"]) == 2
        first, second = (values(event) for event in recorded(trail))
        assert (first["text"], second["text"]) == ({"old": "a", "new": "a!"}, {"old": "b", "new": "b!"})
        assert first["stamp"] == second["stamp"] == {"old": "", "new": "now"}
        assert first["version"] == {"old": 0, "new_unknown": True, "expression": "version + ?"}
        pages[0].stamp = "later"
        pages[0].save(update_fields=["stamp"])
        assert values(recorded(trail)[-1])["stamp"] == {"old": "now", "new": "later"}


def test_what_is_updated_while_a_generator_makes_instances_is_not_taken_for_theirs(trail: Trail) -> None:
    rows = Row.objects.bulk_create([Row(number=number) for number in range(3)])
    trail.forget()

    def changed() -> Iterator[Row]:
        for row in rows:
            row.number += 10
            yield row
            Row.objects.filter(pk=row.pk).update(number=99)

    assert Row.objects.bulk_update(changed(), (name for name in ["number"])) == 3
    events = recorded(trail)
    assert [values(event)["number"] for event in events[:3]] == [{"old_unknown": True, "new": 99}] * 3
    assert sorted(values(event)["number"]["new"] for event in events[3:]) == [10, 11, 12]


def test_what_a_generator_of_field_names_raises_reaches_the_caller(trail: Trail) -> None:
    row = Row.objects.create(number=1)
    trail.forget()
    row.number = 2

    def names() -> Iterator[str]:
        yield "number"
        Row.objects.filter(pk=row.pk).update(number=99)
        raise RuntimeError("the name of the next field")

    with pytest.raises(RuntimeError, match="the name of the next field"):
        Row.objects.bulk_update([row], names())
    assert [values(event)["number"]["new"] for event in recorded(trail)] == [99]
    assert Row.objects.get().number == 99


def test_the_rows_that_refer_to_what_is_deleted_are_gathered_once(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    doctor = Doctor.objects.create(name="House")
    Patient.objects.bulk_create([Patient(name="Ana", doctor=doctor) for _ in range(250)])
    trail.forget()
    gathered: list[Any] = []
    gather = _writes._Deleting._loaded
    monkeypatch.setattr(_writes._Deleting, "_loaded", lambda self, field: gathered.append(field) or gather(self, field))
    collector = Collector(using="default")
    collector.collect([doctor])
    for several in collector.field_updates.values():
        # As a site's own collector or a prefetch leaves them: loaded, so that they are updated by their keys in batches.
        [*map(len, several)]
    collector.delete()
    updated = [event for event in recorded(trail) if event["action"] == "patient.update"]
    assert (len(updated), [values(event)["doctor"]["new"] for event in updated]) == (250, [None] * 250)
    assert len(gathered) == 1


@isolate_apps("testproject")
def test_an_expression_that_a_field_sends_of_its_own_is_no_value(trail: Trail) -> None:
    class LowerField(models.CharField):
        def pre_save(self, model_instance: models.Model, add: bool) -> Any:
            return Lower(Value(getattr(model_instance, self.attname))) if add else getattr(model_instance, self.attname)

    class Mailbox(Made):
        address = LowerField(max_length=20)

    with tables(Mailbox):
        trail.forget()
        one = Mailbox.objects.create(address="ANA")
        two = Mailbox.objects.bulk_create([Mailbox(address="BEA")])[0]
        for mailbox in (one, two):
            mailbox.address = "eve"
            mailbox.save()
        events = [values(event)["address"] for event in recorded(trail)]
        # Django 6 asks the database what became of them.
        assert [event.get("new_unknown") or event["new"] in ("ana", "bea") for event in events[:2]] == [True, True]
        assert "ANA" not in str(events)
        assert "BEA" not in str(events)
        assert [event["new"] for event in events[2:]] == ["eve", "eve"]
        assert all(event.get("old_unknown") or event["old"] in ("ana", "bea") for event in events[2:])


def test_what_a_field_sends_of_its_own_is_recorded_for_rows_that_are_created_together(trail: Trail) -> None:
    made = Paper.objects.bulk_create([Paper(code="abc"), Paper(code="abd")])
    events = recorded(trail)
    assert [values(event)["code"] for event in events] == [{"new": "ABC"}, {"new": "ABD"}]
    made[0].code = "abx"
    made[0].save()
    assert values(recorded(trail)[-1]) == {"code": {"old": "ABC", "new": "ABX"}}


@pytest.mark.skipif(django.VERSION < (5, 2), reason="composite keys came with Django 5.2")
def test_rows_with_a_key_of_two_fields_are_deleted_with_their_values(trail: Trail) -> None:
    from testproject.models import Seat

    Seat.objects.bulk_create([Seat(row=1, place=1, guest="Ana"), Seat(row=1, place=2, guest="Bo")])
    trail.forget()
    Seat.objects.get(pk=(1, 2)).delete()
    (deleted,) = recorded(trail)
    assert (deleted["resource"]["id"], values(deleted)["guest"]) == ("[1,2]", {"old": "Bo"})


def test_old_values_are_not_attributed_to_keys_that_an_update_changes(trail: Trail) -> None:
    Account.objects.bulk_create([Account(pk=pk, owner=f"o{pk}") for pk in (10, 20)])
    trail.forget()
    # What was 20 is 10 now: the old values of 10 are another row's.
    assert Account.objects.filter(owner__startswith="o").update(id=F("id") - 10, owner="x") == 2
    events = recorded(trail)
    assert sorted(event["resource"]["id"] for event in events) == ["0", "10"]
    assert [values(event)["owner"] for event in events] == [{"old_unknown": True, "new": "x"}] * 2


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("verb", ["create", "update"])
def test_a_row_of_several_tables_needs_the_reason_of_what_is_done_to_it(trail: Trail, verb: str) -> None:
    employee = Employee.objects.create(name="Eve", badge="E1")
    register(Employee, reason_required=[verb])

    def create() -> None:
        Employee.objects.create(name="Eva", badge="E2")

    def update() -> None:
        employee.name = "Ewa"
        employee.badge = "E3"
        employee.save()

    for name, write in (("create", create), ("update", update)):
        if name == verb:
            with pytest.raises(ReasonRequired):
                write()
        else:
            write()
    assert Employee.objects.count() == (1 if verb == "create" else 2)


@isolate_apps("testproject")
def test_an_encrypted_field_is_masked_by_its_class(trail: Trail) -> None:
    class EncryptedTextField(models.TextField):
        """Hides its values from whoever reads the table, as several packages do."""

        def get_prep_value(self, value: Any) -> Any:
            return value if value is None else value[::-1]

        def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
            return value if value is None else value[::-1]

    class Note(Made):
        text = EncryptedTextField()
        plain = models.TextField(default="")

    with tables(Note):
        note = Note.objects.create(text="hush-hush")
        note = Note.objects.get(pk=note.pk)
        note.text, note.plain = "hush-later", "x"
        note.save()
        Note.objects.bulk_create([Note(text="hush-more")])
        Note.objects.update(text="hush-all")
        Note.objects.all().delete()
        events = recorded(trail)
        assert "hush" not in str(events)
        assert values(events[1]) == {"text": {"masked": True}, "plain": {"old": "", "new": "x"}}


def test_an_upsert_of_unique_fields_in_batches_out_of_a_generator(trail: Trail) -> None:
    Unique.objects.create(code="3", hits=1)
    trail.forget()
    made = (Unique(code=str(number), hits=5) for number in range(7))
    Unique.objects.bulk_create(made, batch_size=2, update_conflicts=True, update_fields=["hits"], unique_fields=["code"])
    events = recorded(trail)
    assert sorted(event["resource"]["id"] for event in events) == sorted(str(one.pk) for one in Unique.objects.all())
    assert {event["action"] for event in events} == {"unique.upsert"}


def test_what_django_refuses_is_refused_and_no_event(trail: Trail, rows: list[Row]) -> None:
    for attempt in (
        lambda: Row.objects.order_by("pk")[:1].update(number=1),
        lambda: Row.objects.order_by("pk")[:1].delete(),
        lambda: Row.objects.distinct("number").delete(),
        lambda: Employee.objects.bulk_create([Employee(name="Eve", badge="E1")]),
        lambda: Row.objects.bulk_create([Row(number=1)], ignore_conflicts=True, update_conflicts=True),
        lambda: Row.objects.values("number").delete(),
        lambda: Row.objects.bulk_update([Row(pk=1, number=1)], ["id"]),
        lambda: Row.objects.union(Row.objects.all()).delete(),
    ):
        with pytest.raises((TypeError, ValueError, django.db.NotSupportedError)):
            attempt()
    assert recorded(trail) == []


@pytest.fixture
def rows(trail: Trail) -> list[Row]:
    made = Row.objects.bulk_create([Row(number=number) for number in range(3)])
    trail.forget()
    return made


def test_saving_nothing_sends_nothing_and_is_no_event(trail: Trail, rows: list[Row]) -> None:
    with CaptureQueriesContext(connection) as queries:
        rows[0].number = 7
        rows[0].save(update_fields=[])
    assert (len(queries), recorded(trail)) == (0, [])
    rows[0].save()
    assert values(recorded(trail)[-1]) == {"number": {"old": 0, "new": 7}}


@isolate_apps("testproject")
def test_links_of_every_shape_name_both_ends(trail: Trail) -> None:
    class Tag(Made):
        slug = models.SlugField(primary_key=True)

    class Loud(Tag):
        class Meta:
            app_label = "testproject"
            proxy = True

    class Node(Made):
        tags = models.ManyToManyField(Loud, related_name="nodes")
        follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")
        peers = models.ManyToManyField("self", through="Bond", through_fields=("near", "far"), symmetrical=True)

    class Bond(Made):
        code = models.UUIDField(primary_key=True, default=uuid.uuid4)
        near = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
        far = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
        witness = models.ForeignKey(Node, on_delete=models.SET_NULL, null=True, related_name="+")

    with tables(Tag, Node, Bond):
        one, two = Node.objects.create(), Node.objects.create()
        tags = [Loud.objects.create(slug=slug) for slug in "abc"]
        trail.forget()
        one.tags.set(tags[:2])
        one.tags.set(tags[1:], clear=True)
        assert [(sorted(event["changes"][0]["added"]), sorted(event["changes"][0]["removed"])) for event in recorded(trail)] == [
            (["a", "b"], []),
            ([], ["a", "b"]),
            (["b", "c"], []),
        ]
        trail.forget()
        one.follows.add(two)
        two.followers.clear()
        events = recorded(trail)
        assert [(event["resource"]["id"], event["changes"][0]["added"], event["changes"][0]["removed"]) for event in events] == [
            (str(one.pk), [str(two.pk)], []),
            (str(one.pk), [], [str(two.pk)]),
        ]
        trail.forget()
        one.peers.add(two, through_defaults={"witness": one})
        bonds = sorted(str(code) for code in Bond.objects.values_list("pk", flat=True))
        assert sorted(told(trail)) == [("bond.create", bond) for bond in bonds]
        assert len(bonds) == 2
        trail.forget()
        Node.objects.all().delete()
        assert sorted(key for action, key in told(trail) if action == "bond.delete") == bonds


@isolate_apps("testproject")
def test_what_a_delete_sets_in_its_place_is_an_event_of_each_row(trail: Trail) -> None:
    class Owner(Made):
        name = models.CharField(max_length=10)

    def nobody() -> Any:
        return Owner.objects.get(name="nobody")

    class Car(Made):
        first = models.ForeignKey(Owner, on_delete=models.SET(nobody), related_name="+")
        second = models.ForeignKey(Owner, on_delete=models.SET_DEFAULT, default=1, related_name="+")
        third = models.ForeignKey(Owner, on_delete=models.SET_NULL, null=True, related_name="+")

    with tables(Owner, Car):
        other = Owner.objects.create(pk=1, name="nobody")
        owner = Owner.objects.create(pk=2, name="Ana")
        cars = [Car.objects.create(first=owner, second=owner, third=owner) for _ in range(2)]
        trail.forget()
        owner.delete()
        events = recorded(trail)
        changed = {
            (event["resource"]["id"], name): part
            for event in events
            if event["action"] == "car.update"
            for name, part in values(event).items()
        }
        for car in cars:
            assert changed[str(car.pk), "first"] == {"old": 2, "new": other.pk}
            assert changed[str(car.pk), "second"] == {"old": 2, "new": 1}
            assert changed[str(car.pk), "third"] == {"old": 2, "new": None}
        assert events[-1]["action"] == "owner.delete"


@isolate_apps("testproject")
def test_binary_values_and_what_the_database_computes(trail: Trail) -> None:
    fields: dict[str, Any] = {"blob": models.BinaryField(default=b""), "number": models.IntegerField(default=1)}
    if django.VERSION >= (5, 0):
        fields["double"] = models.GeneratedField(expression=F("number") * 2, output_field=models.IntegerField(), db_persist=True)
        fields["status"] = models.CharField(max_length=10, db_default=Value("new"))
    Thing: Any = type("Thing", (Made,), {"__module__": __name__, **fields})

    with tables(Thing):
        thing = Thing.objects.create(blob=b"\x00\x01secret")
        loaded = Thing.objects.get(pk=thing.pk)
        loaded.save()
        assert [event["action"] for event in recorded(trail)] == ["thing.create"]
        loaded.blob = b"\x00\x02"
        loaded.number = 4
        loaded.save()
        created, updated = recorded(trail)
        assert set(values(updated)) - {"double"} == {"blob", "number"}
        if django.VERSION >= (5, 0):
            assert values(created)["status"] == {"new": "new"}
            assert values(created)["double"] == {"new": 2}
        trail.forget()
        made = Thing.objects.bulk_create([Thing(number=5), Thing(number=6)])
        again = Thing.objects.only("number").get(pk=made[0].pk)
        again.number = 7
        again.save()
        events = recorded(trail)
        if django.VERSION >= (5, 0):
            assert [values(event)["double"] for event in events[:2]] == [{"new": 10}, {"new": 12}]
            assert [values(event)["status"] for event in events[:2]] == [{"new": "new"}] * 2
        assert values(events[2])["number"] == {"old": 5, "new": 7}
