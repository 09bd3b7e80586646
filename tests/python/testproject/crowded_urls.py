"""The URLs of the tests for many users at once: all of the site, and a view that keeps everybody in it until all have come."""

from __future__ import annotations

import time
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from testproject.models import Doctor


def gather(request: HttpRequest, name: str) -> HttpResponse:
    """Writes, waits until everybody is here (``until``: a file that says so), and writes again."""
    Doctor.objects.create(name=name)
    until = Path(request.GET["until"])
    until.with_name(f"waits-{name}").touch()
    while not until.exists():
        time.sleep(0.005)
    Doctor.objects.create(name=f"{name}-again")
    return HttpResponse(name)


urlpatterns = [path("gather/<str:name>/", gather), path("", include("testproject.urls"))]
