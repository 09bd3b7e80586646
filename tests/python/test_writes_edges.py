"""Writes at the edges: refused deletes, fixtures, inlines of an admin site of one's own, and the asynchronous ORM in bulk."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin import AdminSite, ModelAdmin, TabularInline
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import transaction
from django.db.models import ProtectedError
from django.test import Client
from django.urls import path

from in_loop import in_loop
from testproject.models import Appointment, Condition, Doctor, Patient, Row, Visit
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")


class AppointmentInline(TabularInline):
    model = Appointment
    extra = 0


class PatientAdmin(ModelAdmin):
    fields = ("name",)
    inlines = (AppointmentInline,)


class WardSite(AdminSite):
    """An admin site that is not Django's default one."""


site = WardSite(name="ward")
site.register(Patient, PatientAdmin)
urlpatterns = [path("ward/", site.urls)]


def actions(trail: Trail) -> list[str]:
    return [event["action"] for event in trail.changes()]


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_a_delete_that_is_protected_leaves_no_event_of_a_success(trail: Trail, atomic: bool) -> None:
    doctor = Doctor.objects.create(name="Ana")
    Visit.objects.create(doctor=doctor)
    trail.forget()
    for delete in (doctor.delete, Doctor.objects.all().delete):
        with pytest.raises(ProtectedError), transaction.atomic() if atomic else contextlib.nullcontext():
            delete()
    assert actions(trail) == []
    assert Doctor.objects.count() == 1


def test_a_fixture_is_loaded_without_events_and_what_comes_after_it_is_recorded(trail: Trail, tmp_path: Path) -> None:
    patient = Patient.objects.create(name="Ana")
    patient.conditions.add(Condition.objects.create(code="a"))
    fixture = tmp_path / "ward.json"
    call_command("dumpdata", "testproject.patient", "testproject.condition", output=str(fixture))
    loaded = json.loads(fixture.read_text())
    assert loaded
    patient.delete()
    trail.forget()
    call_command("loaddata", str(fixture), verbosity=0)
    again = Patient.objects.get(pk=loaded[0]["pk"] if loaded[0]["model"].endswith("patient") else loaded[1]["pk"])
    again.name = "Bea"
    again.save()
    assert actions(trail) == ["patient.update"]


def test_inlines_of_an_admin_site_of_ones_own_are_changes_of_their_rows(trail: Trail, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    # Another test's database had other numbers for them.
    ContentType.objects.clear_cache()
    admin = User.objects.create_superuser("admin", password="x")
    patient = Patient.objects.create(name="Ana")
    kept, gone = (Appointment.objects.create(patient=patient, room=f"B{number}") for number in (1, 2))
    browser = Client()
    browser.force_login(admin)
    form = browser.get(f"/ward/testproject/patient/{patient.pk}/change/").context["inline_admin_formsets"][0].formset
    data = {field.html_name: field.value() or "" for one in form for field in one} | {
        f"{form.prefix}-{name}": form.management_form[name].value() for name in form.management_form.fields
    }
    trail.forget()
    answer = browser.post(f"/ward/testproject/patient/{patient.pk}/change/", {"name": "Bea", **data, f"{form.prefix}-1-DELETE": "on"})
    assert answer.status_code == 302
    changes = [
        (event["action"], event["resource"]["id"], event["actor"]["id"])
        for event in trail.changes()
        if event["action"] != "logentry.create"
    ]
    assert sorted(changes) == sorted(
        [("patient.update", str(patient.pk), str(admin.pk)), ("appointment.delete", str(gone.pk), str(admin.pk))]
    )
    assert Appointment.objects.get() == kept


@in_loop
async def test_the_asynchronous_orm_in_bulk_loses_and_doubles_nothing(trail: Trail) -> None:
    rows = await Row.objects.abulk_create([Row(number=number) for number in range(1000)], batch_size=100)
    assert len(rows) == 1000
    for row in rows:
        row.number += 1
    assert await Row.objects.abulk_update(rows, ["number"], batch_size=250) == 1000
    assert await Row.objects.filter(number__lte=500).aupdate(number=0) == 500
    assert (await Row.objects.all().adelete())[0] == 1000
    counted: dict[str, set[str]] = {}
    seen = 0
    for event in trail.changes():
        counted.setdefault(event["action"], set()).add(event["resource"]["id"])
        seen += 1
    assert seen == 3500
    assert {action: len(keys) for action, keys in counted.items()} == {"row.create": 1000, "row.update": 1000, "row.delete": 1000}
