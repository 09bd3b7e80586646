"""A session of requests whose calls are recorded."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

import requests

from indelible import _outbound, _runtime
from indelible._outbound import HttpCall

_open: ContextVar[HttpCall | None] = ContextVar("indelible_requests_call", default=None)
"""The call that :meth:`AuditedSession.send` is at, for the redirect that ends it."""


class AuditedSession(requests.Session):
    """A ``requests.Session`` that records each call, each hop of a redirect by itself. Answers and exceptions are those of requests.

    ``level``: ``none``, ``metadata``, ``request`` or ``request_response``; default: the setting ``OUTBOUND``. ``propagate``: the id of
    the request at hand and its trace go along as headers, unless the caller has set them.

    The body of an answer asked for with ``stream=True`` is not read: its event ends with the headers, and its size is what they say.

    Raises (from every call, before anything is sent):
        IndelibleError: with ``ON_FAILURE="required"``, when the journal does not take the event.

    Example:
        >>> with AuditedSession() as session:
        ...     session.post("https://api.example.org/orders", json={"id": 7})
    """

    __attrs__ = [*requests.Session.__attrs__, "level", "propagate"]

    def __init__(self, *, level: str | None = None, propagate: bool = False) -> None:
        super().__init__()
        _outbound.level_of(level)
        self.level = level
        self.propagate = propagate

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As in requests; adds the headers that ``propagate`` asks for."""
        prepared = super().prepare_request(request)
        if self.propagate:
            try:
                prepared.headers.update(_outbound.passed_on(prepared.headers))
            except Exception as fault:
                _runtime.runtime().fault("AuditedSession", fault)
        return prepared

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """As in requests, and recorded."""
        call = self._begin(request)
        if call is None:
            return super().send(request, **kwargs)
        token = _open.set(call)
        try:
            response = super().send(request, **kwargs)
        except BaseException as error:
            call.failed(error, _status_of(error, request))
            raise
        finally:
            _open.reset(token)
        _answered(call, response, is_read=not kwargs.get("stream", self.stream))
        return response

    def resolve_redirects(
        self, resp: requests.Response, req: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> Generator[requests.Response, None, None]:
        """As in requests; what was redirected has had its answer."""
        call = _open.get()
        if call is not None and resp.is_redirect and not kwargs.get("yield_requests"):
            _answered(call, resp, is_read=False)
        return super().resolve_redirects(resp, req, *args, **kwargs)

    def _begin(self, request: requests.PreparedRequest) -> HttpCall | None:
        level = _outbound.level_of(self.level)
        if level == "none" or not isinstance(request, requests.PreparedRequest):
            return None
        return HttpCall(request.method or "GET", request.url or "", request.headers, request.body, level)


def _answered(call: HttpCall, response: requests.Response, *, is_read: bool) -> None:
    try:
        if is_read:
            content = response.content
            # What is read is no longer compressed, whatever the headers say.
            call.heard(response.headers, _decoded(call, response, content), len(content))
        else:
            call.heard(response.headers, response.raw, _outbound.size_announced(response.headers))
    except Exception as fault:
        _runtime.runtime().fault("AuditedSession", fault)
    call.answered(response.status_code)


def _decoded(call: HttpCall, response: requests.Response, content: bytes) -> object:
    if not call.wants_response:
        return None
    return _outbound.captured(content, {"Content-Type": response.headers.get("Content-Type", "")})


def _status_of(error: BaseException, request: requests.PreparedRequest) -> int | None:
    """The status of the answer that an exception such as ``HTTPError`` carries, if it is the answer to this request."""
    response = getattr(error, "response", None)
    if response is not None and getattr(response, "request", None) is request:
        status: int = response.status_code
        return status
    return None
