"""The clinic's API: three view sets, login and logout, and views that deny and that fail."""

from typing import ClassVar

from django.contrib.auth import authenticate, login, logout
from django.db import transaction
from django.middleware.csrf import get_token
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

import indelible
from clinic.models import Appointment, Patient, Physician, Prescription
from clinic.serializers import AppointmentSerializer, PatientSerializer, PrescriptionSerializer
from indelible.drf import AuditViewSetMixin


class Login(APIView):
    """Starts a session."""

    authentication_classes: ClassVar = []
    permission_classes: ClassVar = [AllowAny]

    def post(self, request: Request) -> Response:
        credentials = {name: str(request.data.get(name, "")) for name in ("username", "password")}
        user = authenticate(request._request, **credentials)
        if user is None:
            raise AuthenticationFailed("wrong user name or password")
        login(request._request, user)
        return Response({"id": user.pk, "csrf_token": get_token(request._request)})


class Logout(APIView):
    """Ends the session."""

    permission_classes: ClassVar = [IsAuthenticated]

    def post(self, request: Request) -> Response:
        logout(request._request)
        return Response(status=204)


class WardUnavailable(Exception):
    """The ward's own system did not answer."""


class PatientViewSet(ModelViewSet):
    queryset = Patient.objects.order_by("pk").prefetch_related("conditions")
    serializer_class = PatientSerializer

    @action(detail=True, methods=["post"])
    def discharge(self, request: Request, pk: str) -> Response:
        """Sends the patient home, and records it in the words of the clinic. Why is what the header ``X-Audit-Reason`` says."""
        with transaction.atomic():
            patient = self.get_object()
            patient.discharged = True
            patient.save(update_fields=["discharged"])
            indelible.record("patient.discharge", resource=patient)
        return Response(self.get_serializer(patient).data)

    @action(detail=True, methods=["post"])
    def transfer(self, request: Request, pk: str) -> Response:
        """Fails after the write: the database rolls back, and the trail says that it was tried."""
        with transaction.atomic():
            patient = self.get_object()
            patient.physician = Physician.objects.order_by("-pk").first()
            patient.save(update_fields=["physician"])
            raise WardUnavailable("ward 7 does not answer")

    @action(detail=True)
    def genome(self, request: Request, pk: str) -> Response:
        """Nobody's to read, whatever their permissions."""
        raise PermissionDenied("the genome is sealed")


class AppointmentViewSet(ModelViewSet):
    queryset = Appointment.objects.order_by("pk")
    serializer_class = AppointmentSerializer


class PrescriptionViewSet(AuditViewSetMixin, ModelViewSet):
    queryset = Prescription.objects.order_by("pk")
    serializer_class = PrescriptionSerializer
