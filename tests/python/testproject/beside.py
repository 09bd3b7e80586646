"""The test site beside something else: static files that are served before Django, as some sites do, under WSGI and ASGI."""

from __future__ import annotations

import os
import time
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "testproject.beside"

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from testproject.settings import *  # noqa: F403
from testproject.settings import INDELIBLE as OF_TESTS

ROOT_URLCONF = "testproject.beside"
INDELIBLE = {**OF_TESTS, "ON_ERROR": "degrade"}


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


def hang(request: HttpRequest) -> HttpResponse:
    while True:
        time.sleep(0.1)


urlpatterns = [path("page", page), path("hang", hang)]


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    if environ["PATH_INFO"].startswith("/static/"):
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    return _django_wsgi(environ, start_response)


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    if scope["path"].startswith("/static/"):
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
    else:
        await _django_asgi(scope, receive, send)


_django_wsgi = get_wsgi_application()
_django_asgi = get_asgi_application()
