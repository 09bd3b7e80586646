"""Views that the tests of requests, actors and logins call; ``urlpatterns`` is included by the test project's ``urls``."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path, re_path
from rest_framework.authentication import BasicAuthentication, TokenAuthentication
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import indelible


def plain(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse("plain")


def status(request: HttpRequest, code: int) -> HttpResponse:
    return HttpResponse(status=code)


def write_then_answer(request: HttpRequest, name: str, code: int) -> HttpResponse:
    """Changes a row, then answers 200, refuses, or fails."""
    Group.objects.create(name=name)
    if code == 403:
        raise PermissionDenied
    if code == 500:
        raise LookupError("no bed left, card 4111 1111 1111 1111")
    return HttpResponse(status=code)


def look_at_user(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.content_type)


def sign_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    return HttpResponse("in")


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("out")


def streamed(request: HttpRequest, name: str) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        yield b"first,"
        time.sleep(0.02)
        Group.objects.create(name=name)
        yield b"last"

    return StreamingHttpResponse(chunks())


def streamed_failure(request: HttpRequest) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        yield b"first,"
        raise ConnectionError("the upstream is gone")

    return StreamingHttpResponse(chunks())


async def streamed_async(request: HttpRequest, name: str) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first,"
        await asyncio.sleep(0.02)
        await Group.objects.acreate(name=name)
        yield b"last"

    return StreamingHttpResponse(chunks())


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(__file__, "rb"))


async def write_async(request: HttpRequest, name: str) -> HttpResponse:
    await Group.objects.acreate(name=name)
    # Gives the other requests of the loop their turn between this request's two writes.
    await asyncio.sleep(0.01)
    await sync_to_async(Group.objects.create)(name=f"{name}-again")
    return HttpResponse(name)


async def record_in_loop(request: HttpRequest) -> HttpResponse:
    recorded = indelible.record("bed.reserve", resource="ward/7")
    return JsonResponse({"status": recorded.status})


waiting = threading.Event()
"""Set when :func:`wait_forever` has begun to wait."""


async def wait_forever(request: HttpRequest) -> HttpResponse:
    waiting.set()
    await asyncio.Event().wait()
    return HttpResponse("never")


def stop(request: HttpRequest) -> HttpResponse:
    raise SystemExit("the worker is told to stop")


def write_in_thread(request: HttpRequest, name: str) -> HttpResponse:
    """Writes in a thread that was given the request's context."""
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(Group.objects.create,), kwargs={"name": name})
    thread.start()
    thread.join()
    return HttpResponse(name)


class ApiView(APIView):
    """A plain DRF view: the user is known only once it has run its authenticators."""

    authentication_classes = (TokenAuthentication, BasicAuthentication)
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        return Response({"user": str(request.user)})

    def post(self, request: Request) -> Response:
        Group.objects.create(name=request.data["name"])
        return Response(status=201)


class OpenApiView(ApiView):
    permission_classes = (AllowAny,)


nested = [
    path("beds/<int:bed>-<slug:side>/", plain),
    re_path(r"^rooms/(?P<room>[a-z]+)/(?:lamps/)?(?P<lamp>\d+)\.html$", plain),
]

urlpatterns = [
    path("plain/", plain),
    path("status/<int:code>/", status),
    path("write/<str:name>/<int:code>/", write_then_answer),
    path("user/", look_at_user),
    path("echo/", echo),
    path("sign-in/", sign_in),
    path("sign-out/", sign_out),
    path("streamed/<str:name>/", streamed),
    path("streamed-failure/", streamed_failure),
    path("streamed-async/<str:name>/", streamed_async),
    path("file/", file),
    path("write-async/<str:name>/", write_async),
    path("record-in-loop/", record_in_loop),
    path("wait-forever/", wait_forever),
    path("stop/", stop),
    path("thread/<str:name>/", write_in_thread),
    path("api/", ApiView.as_view()),
    path("open-api/", OpenApiView.as_view()),
    path("reset/<str:uid>/<str:token>/", plain),
    path("wards/<int:ward>/", include(nested)),
]
