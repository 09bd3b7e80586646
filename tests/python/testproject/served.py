"""The site of the tests as a real server runs it: databases from the environment, and a view that writes under a given name."""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path

from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from testproject.settings import *  # noqa: F403
from testproject.settings import INDELIBLE as OF_TESTS

ROOT_URLCONF = "testproject.served"
DATABASES = json.loads(os.environ.get("SERVED_DATABASES", "{}"))
INDELIBLE = {**OF_TESTS, "ON_ERROR": "degrade"}


def write(request: HttpRequest, name: str) -> HttpResponse:
    """Creates a doctor of that name: by itself, or with some of its colleagues in one transaction. ``until``: a file that it waits for."""
    from testproject.models import Doctor

    if "until" in request.GET:
        until = Path(request.GET["until"])
        until.with_name(f"waits-{name}").touch()
        while not until.exists():
            time.sleep(0.005)
    if "alone" in request.GET:
        Doctor.objects.create(name=name)
    else:
        with transaction.atomic():
            for number in range(5):
                Doctor.objects.create(name=f"{name}-{number}")
    return HttpResponse(status=201)


urlpatterns = [path("write/<str:name>", write)]


@functools.cache
def _django() -> WSGIHandler:
    return get_wsgi_application()


def application(environ, start_response):  # type: ignore[no-untyped-def]
    """The WSGI application, made by the first request of a worker."""
    return _django()(environ, start_response)
