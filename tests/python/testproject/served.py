"""The site of the tests as a real server runs it: databases from the environment, and a view that writes under a given name."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

import indelible
from testproject.settings import *  # noqa: F403
from testproject.settings import INDELIBLE as OF_TESTS

ROOT_URLCONF = "testproject.served"
DATABASES = json.loads(os.environ.get("SERVED_DATABASES", "{}"))
INDELIBLE = {**OF_TESTS, "ON_ERROR": "degrade"}


def write(request: HttpRequest, name: str) -> HttpResponse:
    """Creates a doctor of that name: by itself, or with some of its colleagues in one transaction. ``until``: a file that it waits for.
    ``dies``: whether the process is killed before or after COMMIT.
    """
    from testproject.killed import die_at_commit
    from testproject.models import Doctor

    if "dies" in request.GET:
        die_at_commit(request.GET["dies"])
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
    return JsonResponse(this_process(), status=201)


def process(request: HttpRequest) -> HttpResponse:
    """Says which process answers, as every write does."""
    return JsonResponse(this_process())


def this_process() -> dict[str, Any]:
    """Its number, its threads, and how recording is doing in it."""
    threads = [thread.name for thread in threading.enumerate()]
    return {"pid": os.getpid(), "threads": threads, "health": indelible.health()}


def note(request: HttpRequest) -> HttpResponse:
    """Records an event at once, and says what became of it."""
    return HttpResponse(indelible.record("paper.note", held=False).status)


urlpatterns = [path("write/<str:name>", write), path("process", process), path("note", note)]


@functools.cache
def _django() -> WSGIHandler:
    return get_wsgi_application()


def application(environ, start_response):  # type: ignore[no-untyped-def]
    """The WSGI application, made by the first request of a worker."""
    return _django()(environ, start_response)
