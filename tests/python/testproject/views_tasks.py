"""Views that hand work on: to a task, to a thread, to a log."""

from __future__ import annotations

import logging
import threading

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import path

import indelible
from indelible.threads import wrap


def create(request: HttpRequest) -> HttpResponse:
    """Asks for a task that creates a doctor."""
    from testproject import tasks

    tasks.create_doctor.delay(request.POST["name"])
    return HttpResponse(status=202)


async def create_async(request: HttpRequest) -> HttpResponse:
    """The same from an event loop, whose user has been looked at."""
    from testproject import tasks

    await sync_to_async(lambda: request.user.pk)()
    tasks.create_doctor.delay(request.POST["name"])
    return HttpResponse(status=202)


def note_in_thread(request: HttpRequest) -> HttpResponse:
    """Records something in a thread of its own."""
    thread = threading.Thread(target=wrap(lambda: indelible.record("paper.note")))
    thread.start()
    thread.join()
    return HttpResponse()


def log(request: HttpRequest, text: str) -> HttpResponse:
    """Logs a line; for the text ``user`` after looking at who is there."""
    if text == "user":
        str(request.user)
    logging.getLogger("clinic").info(text)
    return HttpResponse()


def create_doctor(request: HttpRequest, number: int) -> HttpResponse:
    """Creates a doctor here and now."""
    from testproject.models import Doctor

    Doctor.objects.create(name=f"Doctor {number}")
    return HttpResponse(status=201)


urlpatterns = [
    path("doctors/<int:number>", create_doctor),
    path("tasks/create", create),
    path("tasks/create-async", create_async),
    path("threads/note", note_in_thread),
    path("log/<str:text>", log),
]
