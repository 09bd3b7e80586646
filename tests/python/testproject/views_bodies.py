"""Views that read the body of a request in every way that there is, and answer with every kind of body."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path, register_converter
from django.urls.converters import StringConverter
from django.views.decorators.csrf import csrf_exempt
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

Read = Callable[[HttpRequest], Any]

READS: dict[str, Read] = {
    "nothing": lambda request: "nothing",
    "body": lambda request: request.body,
    "body-twice": lambda request: request.body + request.body,
    "read": lambda request: request.read(),
    "some": lambda request: request.read(7),
    "chunks": lambda request: list(iter(lambda: request.read(1000), b"")),
    "lines": lambda request: list(request),
    "readline": lambda request: request.readline(),
    "readlines": lambda request: request.readlines(),
    "read-then-body": lambda request: (request.read(3), request.body),
    "body-then-read": lambda request: (request.body, request.read()),
    "post": lambda request: (list(request.POST.lists()), _files(request)),
    "post-then-body": lambda request: (sorted(request.POST), request.body),
    "body-then-post": lambda request: (request.body, list(request.POST.lists()), _files(request)),
    "read-then-post": lambda request: (request.read(5), list(request.POST.lists())),
    "json": lambda request: json.loads(request.body),
    "stream": lambda request: request._stream.read(10),
    "wsgi-input": lambda request: request.environ["wsgi.input"].read(5),
    "encoding": lambda request: _in_latin1(request),
    "handlers": lambda request: _with_handlers(request, [Discard(request)]),
    "stopping": lambda request: _with_handlers(request, [Stop(request)]),
    "text-io": lambda request: io.TextIOWrapper(request._stream, encoding="latin-1").read(),
    "read1": lambda request: request._stream.read1(4),
    "seek": lambda request: (request._stream.read(3), request._stream.seek(0), request._stream.read(5)),
}
"""Ways to read, by name. Some fail for some bodies; they must fail alike with and without an audit trail."""


class Discard(FileUploadHandler):
    """Counts a file and keeps nothing of it."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.seen = start + len(raw_data)

    def file_complete(self, file_size: int) -> None:
        return None


class Stop(Discard):
    """Has had enough after the first chunk."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        raise StopUpload(connection_reset=True)


def _files(request: HttpRequest) -> list[tuple[str, str | None, int | None, bytes]]:
    return [(name, file.name, file.size, file.read()) for name, file in request.FILES.items()]


def _in_latin1(request: HttpRequest) -> Any:
    request.encoding = "latin-1"
    return list(request.POST.lists())


def _with_handlers(request: HttpRequest, handlers: list[FileUploadHandler]) -> Any:
    request.upload_handlers = handlers  # type: ignore[assignment]
    return list(request.POST.lists()), _files(request)


@csrf_exempt
def read(request: HttpRequest, way: str) -> HttpResponse:
    """Answers with what it read."""
    found = READS[way](request)
    return HttpResponse(repr(found) if not isinstance(found, bytes) else hashlib.sha256(found).hexdigest())


class Parsed(APIView):
    """What DRF makes of a body."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (JSONParser, FormParser, MultiPartParser)

    def post(self, request: Request) -> Response:
        return Response({"keys": sorted(map(str, request.data))}, status=201)


def answer_json(request: HttpRequest) -> JsonResponse:
    response = JsonResponse({"id": 7, "token": "tok-answer-secret", "note": "paid with 4111 1111 1111 1111"})
    response.set_cookie("theme", "cookie-answer-secret")
    response.headers["X-Api-Key"] = "key-answer-secret"
    return response


LARGE = b"0123456789abcde\n" * 187_544
"""A little over 3 MB."""


def answer_large(request: HttpRequest, kind: str) -> HttpResponse:
    return HttpResponse(LARGE, content_type={"text": "text/plain", "binary": "image/png"}[kind])


def answer_streamed(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        for at in range(0, len(LARGE), 65_536):
            yield LARGE[at : at + 65_536]

    return StreamingHttpResponse(chunks(), content_type={"text": "text/plain", "binary": "image/png"}[kind])


async def answer_streamed_async(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> Any:
        yield b'{"password": "stream-secret", '
        yield b'"page": 2}'

    return StreamingHttpResponse(chunks(), content_type="application/json")


def answer_endless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(itertools.repeat(LARGE[:65_536]))


async def answer_endless_async(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> Any:
        while True:
            yield LARGE[:65_536]
            await asyncio.sleep(0)

    return StreamingHttpResponse(chunks())


def answer_file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


def refuse(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("not your ward")


def miss(request: HttpRequest) -> HttpResponse:
    raise Http404("no such ward")


def fail(request: HttpRequest) -> HttpResponse:
    return json.loads("{broken")


def moved(request: HttpRequest, host: str = "") -> HttpResponse:
    """Sends to where the path holds a token that this request knew nothing of."""
    return HttpResponseRedirect(f"{host and 'https://'}{host}/intent/reset/abc/c0ffee-of-the-view/")


class SealedConverter(StringConverter):
    """Makes of what stands in the path something else."""

    def to_python(self, value: str) -> Any:
        return {"seal": value.partition("-")[0]}

    def to_url(self, value: Any) -> str:
        raise ValueError


class SealedPathConverter(SealedConverter):
    regex = ".+"


class PartConverter(SealedConverter):
    """Gives its view a text that is a part of what stands in the path."""

    def to_python(self, value: str) -> str:
        return value.partition("-")[0]


register_converter(SealedConverter, "sealed")
register_converter(PartConverter, "part")
register_converter(SealedPathConverter, "sealed_path")


def opened(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse("opened")


urlpatterns = [
    path("sealed/<sealed:token>/open/", opened),
    path("sealed/<sealed_path:token>", opened),
    path("part/<part:token>/open/", opened),
    path("pins/<int:pin>/", opened),
    path("moved/", moved),
    path("moved/<str:host>/", moved),
    path("read/<str:way>/", read),
    path("parsed/", Parsed.as_view()),
    path("answer/json/", answer_json),
    path("answer/large/<str:kind>/", answer_large),
    path("answer/streamed/<str:kind>/", answer_streamed),
    path("answer/streamed-async/", answer_streamed_async),
    path("answer/endless/", answer_endless),
    path("answer/endless-async/", answer_endless_async),
    path("answer/file/", answer_file),
    path("refuse/", refuse),
    path("miss/", miss),
    path("fail/", fail),
]
