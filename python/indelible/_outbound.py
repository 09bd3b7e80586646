"""One call to somebody else's service: announced before it leaves, told to its end when it is known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from indelible import _context, _record, _runtime
from indelible._errors import Refused
from indelible._statuses import outcome_of_status

if TYPE_CHECKING:
    from indelible import _native
    from indelible._types import Outcome

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "sftp": 22}


def level_of(asked: str | None) -> str:
    """The level of a client: what it was made with, else the setting ``OUTBOUND``.

    Raises:
        ValueError: what it was made with is no level.
    """
    if asked is None:
        return _runtime.runtime().settings.outbound_level
    if asked not in _runtime.LEVELS:
        raise ValueError(f"level {asked!r} is none of: {', '.join(_runtime.LEVELS)}")
    return asked


class Call:
    """One call on its way: INTENT in the journal when it is made, OUTCOME with the complete event when it is finished.

    It is finished once; what comes later changes nothing. One that is never finished stands in the trail as *in doubt*: nobody can say
    whether the other side did what was asked. No method raises because of a fault of ours.
    """

    __slots__ = ("_action", "_began_at_us", "_context", "_intent", "_recorder", "_resource", "_started_ns", "meta", "request")

    def __init__(self, action: str, resource: Mapping[str, Any], *, request: dict[str, Any] | None = None, meta: dict[str, Any]) -> None:
        """Announces the call. ``request`` and ``meta`` are what is known of it, and may be completed until it is finished.

        Raises:
            Refused: with ``ON_FAILURE="required"``, when the journal does not take it. The call must then not be made.
        """
        self._action = action
        self._resource = resource
        self.request = request
        self.meta = meta
        self._began_at_us = time.time_ns() // 1000
        self._started_ns = time.perf_counter_ns()
        self._recorder: _native.Recorder | None = None
        self._context: _native.Context | None = None
        self._intent: _native.Intent | None = None
        self._announce()

    @property
    def is_finished(self) -> bool:
        """Whether nothing that is said now changes the event."""
        return self._intent is None

    def succeeded(self) -> None:
        """It ended as the caller wished."""
        self._finish("success", None)

    def answered(self, status: int) -> None:
        """The other side answered with an HTTP status."""
        if self.request is not None:
            self.request["status"] = status
        self._finish(outcome_of_status(status), None)

    def failed(self, error: BaseException, status: int | None = None) -> None:
        """It ended with an exception; ``status`` is that of the answer, where one came before it."""
        if self.request is not None and status is not None:
            self.request["status"] = status
        self._finish("failure" if isinstance(error, Exception) else "aborted", error)

    def _announce(self) -> None:
        runtime = _runtime.runtime()
        native = runtime.native()
        try:
            recorder, context = runtime.recorder(), _context.current_context()
            if native is None or recorder is None or context is None:
                if runtime.settings.enabled:
                    runtime.lose()
                runtime.refuse(str(self._resource.get("type")), "outbound")
                return
            self._recorder, self._context = recorder, context
            self._intent = recorder.intent("", [self._event("success", None)])
        except Exception as fault:
            if isinstance(fault, Refused):
                raise
            runtime.lose()
            runtime.fault(f"announcing {self._action}", fault)

    def _finish(self, outcome: Outcome, error: BaseException | None) -> None:
        intent, self._intent = self._intent, None
        if intent is None:
            return
        duration_us = (time.perf_counter_ns() - self._started_ns) // 1000
        if self.request is None:
            self.meta["duration_us"] = duration_us
        else:
            self.request["duration_us"] = duration_us
        try:
            intent.committed([self._event(outcome, error)])
        except Exception as fault:
            # What was announced stands: it is true as far as it goes.
            intent.committed()
            _runtime.runtime().fault(f"recording {self._action}", fault)

    def _event(self, outcome: Outcome, error: BaseException | None) -> _native.Event:
        assert self._recorder is not None, "a call is announced by a recorder"
        assert self._context is not None, "a call is announced in a context"
        return self._recorder.event(
            self._context,
            "outbound",
            self._action,
            outcome,
            resource=self._resource,
            request=self.request,
            error=_record.error_parts(error),
            meta=self.meta,
            occurred_at_us=self._began_at_us,
        )


class HttpCall(Call):
    """A call over HTTP, with headers and bodies as far as its level asks for them."""

    __slots__ = ("_level",)

    def __init__(self, method: str, url: str, headers: Mapping[str, Any], body: object, level: str) -> None:
        """Announces the call. ``body`` is what is sent: ``bytes`` or text, ``None``, or anything else for what is streamed.

        Name and password in the URL are left out; path, query, headers and bodies are masked when the event is made.
        """
        self._level = level
        parts = urlsplit(url)
        request: dict[str, Any] = {"method": method.upper(), "path": parts.path or "/", "query": parts.query or None}
        size = size_announced(headers)
        if level in ("request", "request_response"):
            request["headers"] = _lowered(headers)
            request["body"] = captured(body, headers)
        meta = {} if size is None else {"request_bytes": size}
        super().__init__(f"http.{method.lower()}", server(parts.scheme, parts.hostname or "", parts.port), request=request, meta=meta)

    @property
    def wants_response(self) -> bool:
        """Whether the body of the answer is to be recorded."""
        return self._level == "request_response"

    def heard(self, headers: Mapping[str, Any], body: object, size: int | None) -> None:
        """Notes what the answer says: its headers, its body (as far as it was read for the caller) and the size of that."""
        assert self.request is not None, "a call over HTTP has a request"
        if size is not None:
            self.request["response_bytes"] = size
        if self.wants_response:
            self.request["response_headers"] = _lowered(headers)
            self.request["response"] = captured(body, headers)


def captured(body: object, headers: Mapping[str, Any]) -> _native.Body | str | None:
    """A body for the event: what was captured of it, or ``"streamed"`` for one that nobody but the caller has seen."""
    if isinstance(body, str):
        body = body.encode()
    if body is None or body == b"":
        return None
    native = _runtime.runtime().native()
    if native is None or not isinstance(body, bytes):
        return body if native is not None and isinstance(body, native.Body) else "streamed"
    found = empty_body(headers)
    if found is not None:
        found.push(body)
    return found


def empty_body(headers: Mapping[str, Any]) -> _native.Body | None:
    """What the chunks of a body that passes by are pushed into; ``None`` without the native module."""
    native = _runtime.runtime().native()
    if native is None:
        return None
    encoded = str(headers.get("Content-Encoding", "identity")).lower() != "identity"
    found: _native.Body = native.Body(_text(headers.get("Content-Type", "")), _runtime.runtime().settings.body_bytes, encoded)
    return found


def _lowered(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): _text(value) for name, value in headers.items()}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def server(scheme: str, host: str, port: int | None) -> dict[str, Any]:
    """The resource that is a server: ``{"type": "http", "id": "https://api.example.org:8443", "label": "api.example.org"}``."""
    shown = f"[{host}]" if ":" in host else host
    place = shown if port is None or port == _DEFAULT_PORTS.get(scheme) else f"{shown}:{port}"
    return {"type": "sftp" if scheme == "sftp" else "http", "id": f"{scheme}://{place}", "label": host}


def size_announced(headers: Mapping[str, Any]) -> int | None:
    """The size of a body that is not read, as far as its headers say it."""
    size = str(headers.get("Content-Length", ""))
    return int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None


def passed_on(headers: Mapping[str, Any]) -> dict[str, str]:
    """The headers that let the other side tell which request of ours a call belongs to, without those that the caller has set."""
    facts = _context.current_facts()
    known: dict[str, str] = {}
    if facts.request_id:
        known[_runtime.runtime().settings.request_id_header] = facts.request_id
    if facts.trace_id and facts.span_id:
        known["traceparent"] = f"00-{facts.trace_id}-{facts.span_id}-01"
    return {name: value for name, value in known.items() if name not in headers}
