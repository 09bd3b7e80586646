"""One model for each way in which a row can be written that deserves attention."""

from __future__ import annotations

import uuid
from typing import Any

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
