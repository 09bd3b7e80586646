"""The clinic in Django's admin."""

from django.contrib import admin

from clinic.models import Appointment, Condition, Patient, Physician, Prescription
from indelible.django import AuditModelAdmin


@admin.register(Patient)
class PatientAdmin(AuditModelAdmin):
    list_display = ["pk", "name", "physician", "discharged"]
    search_fields = ["name"]
    exclude = ["last_seen"]


admin.site.register([Appointment, Condition, Physician, Prescription])
