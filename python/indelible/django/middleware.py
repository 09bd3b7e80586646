"""Records each request when its answer is complete: who, what, from where, how long, with which result."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import MiddlewareNotUsed

from indelible import _runtime
from indelible._record import error_parts
from indelible.django import _network, _routes, _scope, _streaming, conf
from indelible.django._scope import RequestScope

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
DENIED_STATUSES = frozenset({401, 403, 429})
MASK = "[masked]"


class AuditMiddleware:
    """One middleware for WSGI and ASGI, first in the list so that it sees every answer (``SecurityMiddleware`` may precede it).

    Bodies are never touched. A fault of ours never changes the answer. The outcome is ``denied`` for 401, 403 and 429, ``failure`` for every other
    status from 400, 404 included, ``aborted`` when the client went away or the process was told to stop, else ``success``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        settings = conf.active()
        if not settings.enabled:
            raise MiddlewareNotUsed("INDELIBLE['ENABLED'] is False")
        self.get_response = get_response
        self.settings = settings
        self.policy = _policy(settings.requests)
        self.id_header = settings.request_id_header
        self._id_key = "HTTP_" + self.id_header.upper().replace("-", "_")
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._call_async(request)
        return self._call_sync(request)

    def _call_sync(self, request: Any) -> Any:
        visit = self._begin(request)
        token = visit.scope.enter()
        try:
            response = self.get_response(request)
        except BaseException as error:
            visit.failed(error)
            raise
        else:
            visit.answered(response)
            return response
        finally:
            _scope.leave(token)

    async def _call_async(self, request: Any) -> Any:
        visit = self._begin(request)
        token = visit.scope.enter()
        try:
            response = await self.get_response(request)
            await visit.resolve_in_thread()
        except BaseException as error:
            visit.failed(error)
            raise
        else:
            visit.answered(response)
            return response
        finally:
            _scope.leave(token)

    def _begin(self, request: Any) -> _Visit:
        meta = request.META
        traceparent = meta.get("HTTP_TRACEPARENT")
        scope = RequestScope(
            request,
            _network.request_id(meta.get(self._id_key)),
            _network.trace_context(traceparent) if traceparent else None,
            self.settings,
        )
        return _Visit(scope, self)


class _Visit:
    """One request on its way through the middleware."""

    __slots__ = ("_began_at_us", "_middleware", "_settings", "_started_ns", "scope")

    def __init__(self, scope: RequestScope, middleware: AuditMiddleware) -> None:
        self.scope = scope
        self._middleware = middleware
        self._settings = middleware.settings
        self._began_at_us = time.time_ns() // 1000
        self._started_ns = time.perf_counter_ns()

    def answered(self, response: Any) -> None:
        """Marks the response with the request's id, and records the request now or when its body has been streamed."""
        try:
            self._mark(response.headers)
            if response.streaming:
                # Later there may be no thread, and after `request_finished` no connection, to resolve the user with.
                self.scope.facts(resolve=self._wants_actor())
                _streaming.follow(response, self.scope, functools.partial(self._streamed, response.status_code))
            else:
                self._record(response.status_code, _outcome(response.status_code), resolve=self._wants_actor())
        except Exception as error:
            _runtime.runtime().fault("AuditMiddleware", error)

    def _mark(self, headers: Any) -> None:
        """Adds the request's id unless the application has set that header itself."""
        name, value = self._middleware.id_header, self.scope.request_id
        store = getattr(headers, "_store", None)
        if store is None:
            headers.setdefault(name, value)
        else:
            # The same without a KeyError raised and caught for a header that is hardly ever there, which costs more than recording the request.
            store.setdefault(name.lower(), (name, value))

    def failed(self, error: BaseException) -> None:
        """Records a request whose exception goes on to the server: a disconnect, a stopping process, or a propagated error."""
        try:
            self._record_failure(None, error)
        except Exception as fault:
            _runtime.runtime().fault("AuditMiddleware", fault)

    async def resolve_in_thread(self) -> None:
        """Resolves the user where that is wanted and takes a query, which an event loop must not make."""
        try:
            if self._wants_actor() and self.scope.unresolved():
                await sync_to_async(self.scope.facts, thread_sensitive=True)(resolve=True)
        except Exception as error:
            _runtime.runtime().fault("AuditMiddleware", error)

    def _wants_actor(self) -> bool:
        scope = self.scope
        return scope.recorded or scope.request.method not in SAFE_METHODS or self._settings.resolve_actor == "always"

    def _streamed(self, status: int, error: BaseException | None, ran_to_end: bool) -> None:
        try:
            if error is not None:
                self._record_failure(status, error)
            elif ran_to_end or self.scope.request.method == "HEAD":
                self._record(status, _outcome(status), resolve=False)
            else:
                self._record(status, "aborted", resolve=False)
        except Exception as fault:
            _runtime.runtime().fault("AuditMiddleware", fault)

    def _record_failure(self, status: int | None, error: BaseException) -> None:
        self.scope.error = error_parts(error)
        self._record(status, "failure" if isinstance(error, Exception) else "aborted", resolve=False)

    def _record(self, status: int | None, outcome: Any, *, resolve: bool) -> None:
        scope, request = self.scope, self.scope.request
        runtime = _runtime.runtime()
        match = request.resolver_match
        route = _routes.template(match.route) if match is not None else None
        if self._middleware.policy(request.method, route, request.path) == "none":
            return
        path = _path(request.path, match.kwargs, runtime) if match is not None and match.kwargs else request.path
        recorder = runtime.recorder()
        context = (scope.departed or scope.facts(resolve=resolve)).context(runtime)
        if recorder is None or context is None:
            runtime.lose()
            return
        meta = request.META
        event = recorder.event(
            context,
            "request",
            _action(request.method),
            outcome,
            request={
                "id": scope.request_id,
                "method": request.method,
                "route": route,
                "path": path,
                "query": meta.get("QUERY_STRING") or None,
                "status": status,
                "duration_us": (time.perf_counter_ns() - self._started_ns) // 1000,
                "client_ip": _network.client_ip(meta, self._settings.trusted_proxy_count),
                "user_agent": meta.get("HTTP_USER_AGENT"),
            },
            error=scope.error if outcome != "success" else None,
            occurred_at_us=self._began_at_us,
        )
        recorder.record(event)


def note_exception(sender: Any, request: Any = None, **_: Any) -> None:
    """Receives ``got_request_exception``: keeps type and message of what will become a 500."""
    scope = _scope.current.get()
    if scope is not None:
        scope.error = error_parts(sys.exc_info()[1])


def _policy(requests: conf.RequestPolicy) -> Callable[[str, str | None, str], str]:
    """The function that says at which level a request is recorded."""
    native = _runtime.runtime().native() if requests.rules else None
    if native is None:
        return lambda method, route, path: requests.level
    level: Callable[[str, str | None, str], str] = native.Policy(requests.level, [dict(rule) for rule in requests.rules]).level
    return level


def _outcome(status: int) -> str:
    if status < 400:
        return "success"
    return "denied" if status in DENIED_STATUSES else "failure"


@functools.lru_cache(maxsize=64)
def _action(method: str | None) -> str:
    return f"request.{(method or 'unknown').lower()}"


def _path(path: str, parameters: dict[str, Any], runtime: _runtime.Runtime) -> str:
    """The path without the values of parameters whose names are masked, such as the token of a password reset."""
    redactor = runtime.redactor()
    if redactor is None:
        return path
    for name, value in parameters.items():
        if value and redactor.masks_field(name):
            path = path.replace(str(value), MASK)
    return path
