"""What the clinic keeps. ``class Audit`` says what the trail must not show and what it need not keep."""

from django.conf import settings
from django.db import models


class Physician(models.Model):
    """A member of staff who treats patients."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    specialty = models.CharField(max_length=60)

    def __str__(self) -> str:
        return f"{self.user.get_username()} ({self.specialty})"


class Condition(models.Model):
    """A diagnosis by its ICD-10 code."""

    code = models.CharField(max_length=8, unique=True)
    name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.code


class Patient(models.Model):
    """A person under treatment."""

    name = models.CharField(max_length=80)
    ssn = models.CharField(max_length=11)
    birth_date = models.DateField()
    balance = models.DecimalField(max_digits=9, decimal_places=2, default=0)
    allergies = models.JSONField(default=dict, blank=True)
    physician = models.ForeignKey(Physician, on_delete=models.PROTECT, null=True, blank=True)
    conditions = models.ManyToManyField(Condition, blank=True)
    discharged = models.BooleanField(default=False)
    last_seen = models.DateTimeField(null=True, blank=True)

    class Audit:
        mask = ["ssn"]
        ignore = ["last_seen"]
        sensitive = True

    def __str__(self) -> str:
        return f"patient {self.pk}"


class Appointment(models.Model):
    """A time at which a physician sees a patient."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE)
    physician = models.ForeignKey(Physician, on_delete=models.PROTECT)
    starts_at = models.DateTimeField()
    reason = models.CharField(max_length=120, blank=True)

    def __str__(self) -> str:
        return f"appointment {self.pk}"


class Prescription(models.Model):
    """A drug that a patient shall take, and until when."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE)
    drug = models.CharField(max_length=60)
    dose_mg = models.DecimalField(max_digits=8, decimal_places=3)
    until = models.DateField()

    class Audit:
        sensitive = True
        reads = True

    def __str__(self) -> str:
        return f"prescription {self.pk}"
