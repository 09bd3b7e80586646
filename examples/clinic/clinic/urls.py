"""Where everything is served."""

from django.contrib import admin
from django.urls import include, path
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.routers import SimpleRouter

from clinic import api

router = SimpleRouter()
router.register("patients", api.PatientViewSet)
router.register("appointments", api.AppointmentViewSet)
router.register("prescriptions", api.PrescriptionViewSet)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/login/", api.Login.as_view()),
    path("api/logout/", api.Logout.as_view()),
    path("api/token/", obtain_auth_token),
    path("api/", include(router.urls)),
]
