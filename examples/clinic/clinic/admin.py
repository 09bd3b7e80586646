"""The clinic in Django's admin."""

from django.contrib import admin

from clinic.models import Appointment, Condition, Patient, Physician, Prescription


@admin.register(Patient)
class PatientAdmin(admin.ModelAdmin):
    list_display = ["pk", "name", "physician", "discharged"]
    search_fields = ["name"]
    exclude = ["last_seen"]


admin.site.register([Appointment, Condition, Physician, Prescription])
