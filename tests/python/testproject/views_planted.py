"""Views that secrets pass through on every way that there is."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path


def echo(request: HttpRequest, **parameters: Any) -> HttpResponse:
    """Answers with what came, in the media type in which it came, and a cookie and a header of its own."""
    kind = request.content_type
    if kind == "multipart/form-data":
        response: HttpResponse = JsonResponse({**request.POST.dict(), "files": [file.read().decode() for file in request.FILES.values()]})
    else:
        response = HttpResponse(request.body, content_type=request.META.get("CONTENT_TYPE") or "text/plain")
    given = request.headers.get("X-Planted")
    if given:
        key, stored = json.loads(given)
        response.headers[key] = stored
        response.set_cookie("sessionid", stored)
    return response


def fail(request: HttpRequest, **parameters: Any) -> HttpResponse:
    """Raises what the query asks for."""
    raise ValueError(request.GET["complaint"])


urlpatterns = [
    path("echo", echo),
    path("fail", fail),
    path("reset/<str:token>/done", echo),
    path("files/<path:name>", echo),
]
