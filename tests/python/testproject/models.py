"""One model for each way in which a row can be written that deserves attention."""

from __future__ import annotations

import uuid
from typing import Any

import django
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.db import models


class Doctor(models.Model):
    name = models.CharField(max_length=100)


class Condition(models.Model):
    code = models.CharField(max_length=20)


class Patient(models.Model):
    name = models.CharField(max_length=100)
    born = models.DateField(null=True)
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    details = models.JSONField(default=dict)
    ssn = models.CharField(max_length=20, default="")
    maiden_name = models.CharField(max_length=100, default="")
    seen_at = models.DateTimeField(null=True)
    visits = models.IntegerField(default=0)
    doctor = models.ForeignKey(Doctor, null=True, on_delete=models.SET_NULL)
    conditions = models.ManyToManyField(Condition, related_name="patients")

    class Audit:
        mask = ["ssn"]
        ignore = ["seen_at"]
        sensitive = False


class Appointment(models.Model):
    """Refers to a patient: deleting one cascades."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE)
    room = models.CharField(max_length=10, default="")


class Reminder(models.Model):
    """Refers to an appointment, so that appointments are loaded before they are deleted."""

    appointment = models.ForeignKey(Appointment, on_delete=models.CASCADE)


class Ticket(models.Model):
    """Makes its own key and its own times."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)


class Person(models.Model):
    name = models.CharField(max_length=100)

    class Audit:
        mask = ["name"]


class Employee(Person):
    """Lives in two tables."""

    badge = models.CharField(max_length=20)


class Surgeon(Employee):
    """Lives in three, and adds nothing to two of them."""


class Manager(Employee):
    """The same rows by another name."""

    class Meta:
        proxy = True


class Secret(models.Model):
    """Recorded as aborted when it is rolled back."""

    text = models.CharField(max_length=100)

    class Audit:
        sensitive = True
        label = ["text"]


class Counter(models.Model):
    """Only some of its fields are recorded."""

    name = models.CharField(max_length=20)
    hits = models.IntegerField(default=0)
    noise = models.IntegerField(default=0)

    class Audit:
        only = ["name", "hits"]


class UpperField(models.CharField):
    """Sends something else than what is on the instance, and leaves the instance alone."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return str(getattr(model_instance, self.attname)).upper()


class Paper(models.Model):
    code = UpperField(max_length=20)
    scan = models.FileField(upload_to="scans", blank=True)
    tags = models.JSONField(null=True)


class Row(models.Model):
    """For programs of nested transactions: one number, and nothing else."""

    number = models.IntegerField()


class Visit(models.Model):
    """Protects its doctor."""

    doctor = models.ForeignKey(Doctor, on_delete=models.PROTECT)
    note = models.CharField(max_length=100, default="")

    def __str__(self) -> str:
        return self.note


class Team(models.Model):
    """Its members are rows of a model of their own."""

    name = models.CharField(max_length=20)
    members = models.ManyToManyField(Doctor, through="Membership", related_name="teams")


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE)
    role = models.CharField(max_length=20, default="")


class Friend(models.Model):
    """Whoever is a friend has a friend: each link is two rows."""

    name = models.CharField(max_length=20)
    friends = models.ManyToManyField("self")


class Remark(models.Model):
    """Hangs on a row of any model."""

    content_type = models.ForeignKey("contenttypes.ContentType", on_delete=models.CASCADE)
    object_id = models.CharField(max_length=40)
    about = GenericForeignKey()
    text = models.CharField(max_length=20, default="")


class Folder(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    remarks = GenericRelation(Remark)
    tickets = models.ManyToManyField(Ticket)


class Point:
    """A value that JSON has no word for."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __str__(self) -> str:
        return f"{self.x};{self.y}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class PointField(models.Field):
    def get_internal_type(self) -> str:
        return "TextField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value if value is None else Point(*map(int, value.split(";")))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return None if value is None else str(value)


class Stream:
    """Blocks that refer to rows, which are read when somebody looks at it."""

    def __init__(self, blocks: list[Any]) -> None:
        self.blocks = blocks

    def __str__(self) -> str:
        return ", ".join(Doctor.objects.get(pk=block["doctor"]).name for block in self.blocks)

    __hash__ = None  # type: ignore[assignment]


class StreamField(models.JSONField):
    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        blocks = super().from_db_value(value, expression, connection)
        return blocks if blocks is None else Stream(blocks)

    def get_prep_value(self, value: Any) -> Any:
        return value.blocks if isinstance(value, Stream) else value


class Place(models.Model):
    at = PointField(null=True)
    stream = StreamField(null=True)


class Unique(models.Model):
    """Conflicts by its code."""

    code = models.CharField(max_length=20, unique=True)
    hits = models.IntegerField(default=0)
    seen = models.DateTimeField(null=True)


class Account(models.Model):
    """Recorded with its true values, at the price of reading them."""

    owner = models.CharField(max_length=20)
    balance = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    pin = models.CharField(max_length=4, default="")

    class Audit:
        exact = True
        mask = ["pin"]


if django.VERSION >= (5, 2):

    class Seat(models.Model):
        """Named by two fields together."""

        pk = models.CompositePrimaryKey("row", "place")
        row = models.IntegerField()
        place = models.IntegerField()
        guest = models.CharField(max_length=20, default="")


class Prescription(models.Model):
    """Nobody changes or deletes one without a reason, or reads one unseen."""

    drug = models.CharField(max_length=100)

    class Audit:
        reason_required = ["update", "delete"]
        reads = True
