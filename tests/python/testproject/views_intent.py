"""Views that say what they mean: DRF viewsets, admin sites and plain views; ``urlpatterns`` is included by the test project's ``urls``."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import View
from rest_framework import serializers
from rest_framework.authentication import BasicAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import ListCreateAPIView
from rest_framework.permissions import AllowAny, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet
from rest_framework_simplejwt.authentication import JWTAuthentication, JWTStatelessUserAuthentication
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.views import TokenObtainPairView

from indelible.django import AuditModelAdmin, record_login
from indelible.drf import AuditViewSetMixin
from testproject.models import Appointment, Counter, Doctor, Patient, Prescription, Ticket

AUTHENTICATION = (SessionAuthentication, TokenAuthentication, JWTAuthentication, BasicAuthentication)


class PatientSerializer(serializers.ModelSerializer):
    class Meta:
        model = Patient
        fields = ("id", "name", "born", "balance", "details", "ssn", "doctor", "conditions")
        extra_kwargs = {"conditions": {"required": False}, "doctor": {"required": False}}


class DoctorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Doctor
        fields = ("id", "name")


class TicketSerializer(serializers.ModelSerializer):
    class Meta:
        model = Ticket
        fields = ("id", "title")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"many": True, **kwargs} if isinstance(kwargs.get("data"), list) else kwargs)


class PatientViewSet(AuditViewSetMixin, ModelViewSet):
    queryset = Patient.objects.order_by("pk")
    serializer_class = PatientSerializer
    authentication_classes = AUTHENTICATION
    permission_classes = (AllowAny,)
    audit_actions = {
        "discharge": "patient.discharge",
        "greet": "patient.greet",
        "chart": "patient.chart",
        "forbid": "patient.forbid",
        "scan": "patient.scan",
    }
    reads = True

    def perform_create(self, serializer: Any) -> None:
        """Writes another patient before and after the one that was asked for."""
        Patient.objects.create(name="before")
        serializer.save()
        Patient.objects.create(name="after")

    @action(detail=True, methods=["post"])
    def discharge(self, request: Request, pk: str) -> Response:
        patient = self.get_object()
        patient.visits += 1
        patient.save()
        return Response({"visits": patient.visits})

    @action(detail=False, methods=["post"])
    def scan(self, request: Request) -> Response:
        """Reads its body by itself."""
        return Response({"body": request._request.read().decode()})

    @action(detail=True, methods=["post"])
    def greet(self, request: Request, pk: str) -> Response:
        """Writes nothing."""
        return Response({"hello": self.get_object().name})

    @action(detail=True, methods=["get"])
    def chart(self, request: Request, pk: str) -> Response:
        return Response({"name": self.get_object().name})

    @action(detail=True, methods=["post"])
    def forbid(self, request: Request, pk: str) -> Response:
        self.get_object()
        raise PermissionDenied("not on Sundays")


class DoctorViewSet(AuditViewSetMixin, ModelViewSet):
    queryset = Doctor.objects.order_by("pk")
    serializer_class = DoctorSerializer
    authentication_classes = AUTHENTICATION
    permission_classes = (DjangoModelPermissions,)


class TicketViewSet(AuditViewSetMixin, ModelViewSet):
    """Takes one ticket or several."""

    queryset = Ticket.objects.order_by("title")
    permission_classes = (AllowAny,)

    def get_serializer_class(self) -> Any:
        return TicketSerializer

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        return super().get_serializer(*args, **{**kwargs, "many": True} if isinstance(kwargs.get("data"), list) else kwargs)


class PlainPatientViewSet(ModelViewSet):
    """Knows nothing of us."""

    queryset = Patient.objects.order_by("pk")
    serializer_class = PatientSerializer
    authentication_classes = AUTHENTICATION
    permission_classes = (AllowAny,)


class PlainTickets(ListCreateAPIView):
    queryset = Ticket.objects.order_by("title")
    serializer_class = TicketSerializer
    permission_classes = (DjangoModelPermissions,)
    authentication_classes = AUTHENTICATION
    reads = True


class StatelessPatientViewSet(PlainPatientViewSet):
    """Believes the token, and asks nobody."""

    authentication_classes = (JWTStatelessUserAuthentication,)


class AppointmentInline(admin.TabularInline):
    model = Appointment
    extra = 0


class PatientAdmin(AuditModelAdmin):
    fields = ("name", "ssn", "conditions")
    inlines = [AppointmentInline]
    actions = ["discharge", "fail"]
    audit_actions = {"discharge": "patient.discharge_selected"}
    reads = True

    @admin.action(description="Discharge")
    def discharge(self, request: HttpRequest, queryset: Any) -> None:
        queryset.update(visits=7)

    @admin.action(description="Fail")
    def fail(self, request: HttpRequest, queryset: Any) -> None:
        raise LookupError("no bed left")


site = admin.AdminSite(name="clinic_admin")
site.register(Patient, PatientAdmin)
site.register(Ticket, AuditModelAdmin)
site.register(Doctor, type("DoctorAdmin", (AuditModelAdmin,), {}))
site.register(Prescription, AuditModelAdmin)
site.register(Counter, admin.ModelAdmin)
site.register(User, type("ClinicUserAdmin", (AuditModelAdmin, UserAdmin), {}))


@permission_required("testproject.change_patient", raise_exception=True)
def change_patient(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse("changed")


@login_required
@permission_required("testproject.delete_patient", login_url="/sign-in-page/")
def delete_patient(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse("deleted")


class ViewPatient(PermissionRequiredMixin, View):
    permission_required = "testproject.view_patient"

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse("seen")


class Tokens(TokenObtainPairSerializer):
    """Gives out tokens, and says so."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        tokens = super().validate(attrs)
        record_login(self.user, auth="jwt", request=self.context["request"])
        return tokens


router = SimpleRouter()
router.register("patients", PatientViewSet)
router.register("doctors", DoctorViewSet)
router.register("tickets", TicketViewSet)
router.register("plain-patients", PlainPatientViewSet, basename="plain")
router.register("stateless-patients", StatelessPatientViewSet, basename="stateless")

urlpatterns = [
    path("intent/", include(router.urls)),
    path("intent/admin/", site.urls),
    path("intent/token/", TokenObtainPairView.as_view(serializer_class=Tokens)),
    path("intent/reset/<uidb64>/<token>/", PasswordResetConfirmView.as_view(success_url="/plain/")),
    path("intent/plain-tickets/", PlainTickets.as_view()),
    path("intent/change/<int:pk>/", change_patient),
    path("intent/delete/<int:pk>/", delete_patient),
    path("intent/view/<int:pk>/", ViewPatient.as_view()),
]
