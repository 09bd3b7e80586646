"""How the API shows what the clinic keeps."""

from rest_framework import serializers

from clinic.models import Appointment, Patient, Prescription


class PatientSerializer(serializers.ModelSerializer):
    class Meta:
        model = Patient
        fields = ["id", "name", "ssn", "birth_date", "balance", "allergies", "physician", "conditions", "discharged"]


class AppointmentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Appointment
        fields = ["id", "patient", "physician", "starts_at", "reason"]


class PrescriptionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Prescription
        fields = ["id", "patient", "drug", "dose_mg", "until"]
