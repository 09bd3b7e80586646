"""Records each request when its answer is complete: who, what, from where, how long, with which result."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpResponse

from indelible import _lines, _runtime
from indelible._errors import Refused
from indelible._statuses import outcome_of_status
from indelible.django import _additions, _bodies, _denials, _network, _own_urls, _routes, _scope, _streaming, conf
from indelible.django._levels import WITH_BODIES, Levels, kind_of_user
from indelible.django._places import error_with_place
from indelible.django._scope import RequestScope

if TYPE_CHECKING:
    from indelible import _native

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
MOVED_STATUSES = frozenset({301, 308})

RETRY_AFTER_S = 5
"""How long a client is asked to wait whose request was refused: as long as recording takes at most to notice that there is room again."""


class AuditMiddleware:
    """One middleware for WSGI and ASGI, first in the list so that it sees every answer (``SecurityMiddleware`` may precede it).

    A body is read by the application or by nobody, and a fault of ours never changes the answer. The outcome is ``denied`` for 401, 403 and 429,
    ``failure`` for every other status from 400, 404 included, ``aborted`` when the client went away or the process was told to stop, else
    ``success``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        settings = conf.active()
        if not settings.enabled:
            raise MiddlewareNotUsed("INDELIBLE['ENABLED'] is False")
        self.get_response = get_response
        self.settings = settings
        self.levels = Levels(settings.requests)
        _lines.access_level = self.levels.level
        self.body_bytes = settings.limits["body_bytes"]
        self.asks = settings.skip is not None or settings.extra is not None
        self.id_header = settings.request_id_header
        self.id_header_stored = self.id_header.lower()
        self.always_wants_actor = settings.resolve_actor == "always" or self.levels.asks_for_user
        self._id_key = "HTTP_" + self.id_header.upper().replace("-", "_")
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._is_async:
            return self._call_async(request)
        visit = self._begin(request)
        token = visit.scope.enter()
        try:
            response = self.get_response(request)
        except BaseException as error:
            visit.failed(error)
            raise
        else:
            return visit.answered(response)
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
            return visit.answered(response)
        finally:
            _scope.leave(token)

    def process_exception(self, request: Any, exception: Exception) -> HttpResponse | None:
        """Keeps what a view raised, which may be answered with a 403 or 404 that does not tell. Django goes on as without us, unless what the
        view did could not be recorded and was refused for that: then the answer is a 503.
        """
        note_error(exception)
        return _unavailable() if isinstance(exception, Refused) else None

    def _begin(self, request: Any) -> _Visit:
        meta = request.META
        traceparent = meta.get("HTTP_TRACEPARENT")
        scope = RequestScope(
            request,
            _network.request_id(meta.get(self._id_key)),
            _network.trace_context(traceparent) if traceparent else None,
            self.settings,
        )
        _lines.seen_request.set(scope.request_id)
        if _lines.seen_targets is not None:
            _lines.seen_targets.see(request.method, request.path)
        return _Visit(scope, self)


class _Visit:
    """One request on its way through the middleware."""

    __slots__ = ("_began_at_us", "_meta", "_middleware", "_notes", "_settings", "_skipped", "_started_ns", "_tap", "scope")

    def __init__(self, scope: RequestScope, middleware: AuditMiddleware) -> None:
        self.scope = scope
        self._middleware = middleware
        self._settings = middleware.settings
        self._skipped = False
        self._meta: Mapping[str, Any] | None = None
        self._notes: Sequence[str] | None = None
        self._began_at_us = time.time_ns() // 1000
        self._started_ns = time.perf_counter_ns()
        self._tap = self._tapped() if middleware.levels.asks_for_bodies else None

    def _tapped(self) -> _native.BodyTap | None:
        """A tap on the body, where a rule could still ask for it in the end."""
        request = self.scope.request
        try:
            if self._middleware.levels.highest(request.method, request.path) in WITH_BODIES:
                return _bodies.tap(request, self._middleware.body_bytes)
        except Exception as error:
            _runtime.runtime().fault("AuditMiddleware", error)
        return None

    def answered(self, response: Any) -> Any:
        """Marks the response with the request's id, and records the request now or when its body has been streamed.

        Gives the response back, or a 503 in the place of the 500 that Django made of a refusal outside of the view.
        """
        try:
            if response.status_code == 500 and self.scope.refused:
                response = _unavailable()
            middleware, status = self._middleware, response.status_code
            self._mark(response.headers, middleware)
            if status in _denials.STATUSES:
                _denials.note(self.scope, response)
            if middleware.asks:
                self._ask_site(response)
            if response.streaming:
                # Later there may be no thread, and after `request_finished` no connection, to resolve the user with.
                self.scope.facts(resolve=self._wants_actor())
                _streaming.follow(response, self.scope, functools.partial(self._streamed, response), self._capture_of(response))
            else:
                self._record(response, "success" if status < 400 else outcome_of_status(status), resolve=self._wants_actor())
        except Exception as error:
            _runtime.runtime().missed("AuditMiddleware", error)
        return response

    def _capture_of(self, response: Any) -> _native.Body | None:
        if not self._middleware.levels.asks_for_bodies or self._level(response.status_code) != "request_response":
            return None
        return _bodies.response_capture(response, self._middleware.body_bytes)

    def _mark(self, headers: Any, middleware: AuditMiddleware) -> None:
        """Adds the request's id unless the application has set that header itself."""
        store = getattr(headers, "_store", None)
        if store is None:
            headers.setdefault(middleware.id_header, self.scope.request_id)
        else:
            # The same without a KeyError raised and caught for a header that is hardly ever there, which costs more than recording the request.
            store.setdefault(middleware.id_header_stored, (middleware.id_header, self.scope.request_id))

    def failed(self, error: BaseException) -> None:
        """Records a request whose exception goes on to the server: a disconnect, a stopping process, or a propagated error."""
        try:
            if self._middleware.asks:
                self._ask_site(None)
            self._record_failure(None, error)
        except Exception as fault:
            _runtime.runtime().missed("AuditMiddleware", fault)

    async def resolve_in_thread(self) -> None:
        """Resolves the user where that is wanted and takes a query, which an event loop must not make."""
        try:
            if self._wants_actor() and self.scope.unresolved():
                await sync_to_async(self.scope.facts, thread_sensitive=True)(resolve=True)
        except Exception as error:
            _runtime.runtime().fault("AuditMiddleware", error)

    def _ask_site(self, response: Any) -> None:
        """Asks the functions that ``SKIP`` and ``EXTRA`` name."""
        settings, request, notes = self._settings, self.scope.request, list[str]()
        if settings.skip is not None:
            self._skipped = _additions.skips(settings.skip, request, notes)
        if settings.extra is not None and not self._skipped:
            self._meta = _additions.from_answer(settings.extra, request, response, notes)
        self._notes = notes

    def _wants_actor(self) -> bool:
        scope = self.scope
        return scope.recorded or scope.request.method not in SAFE_METHODS or self._middleware.always_wants_actor

    def _streamed(self, response: Any, ending: _streaming.Ending) -> None:
        try:
            if ending.error is not None:
                self._record_failure(response, ending.error, ending)
            elif ending.ran_to_end or self.scope.request.method == "HEAD":
                self._record(response, outcome_of_status(response.status_code), resolve=False, ending=ending)
            else:
                self._record(response, "aborted", resolve=False, ending=ending)
        except Exception as fault:
            _runtime.runtime().missed("AuditMiddleware", fault)

    def _record_failure(self, response: Any, error: BaseException, ending: _streaming.Ending | None = None) -> None:
        self.scope.error = error_with_place(error)
        self._record(response, "failure" if isinstance(error, Exception) else "aborted", resolve=False, ending=ending)

    def _record(self, response: Any, outcome: Any, *, resolve: bool, ending: _streaming.Ending | None = None) -> None:
        if self._skipped:
            return
        scope, request = self.scope, self.scope.request
        runtime = _runtime.runtime()
        status = None if response is None else response.status_code
        level = self._middleware.levels.same or self._level(status, resolve=resolve)
        if level == "none":
            return
        recorder = runtime.recorder()
        context = (scope.departed or scope.facts(resolve=resolve)).context(runtime)
        if recorder is None or context is None:
            runtime.lose()
            return
        match, meta = request.resolver_match, request.META
        parameters = _parameters(request, status) if match is None else match.kwargs
        # Asked for once: Django puts it together each time.
        content = response.content if ending is None and response is not None else None
        members = {
            "id": scope.request_id,
            "method": request.method,
            "route": _routes.template(match.route) if match is not None else None,
            "path": _path(request, runtime) if parameters and runtime.masked_names(tuple(parameters)) else request.path,
            "query": meta.get("QUERY_STRING") or None,
            "status": status,
            "duration_us": (time.perf_counter_ns() - self._started_ns) // 1000,
            "client_ip": _network.client_ip(meta, self._settings.trusted_proxy_count),
            "user_agent": meta.get("HTTP_USER_AGENT"),
            "response_bytes": _response_bytes(request, content, ending),
        }
        error = scope.error if outcome != "success" else None
        if level not in WITH_BODIES:
            event = recorder.request(context, _action(request.method), outcome, members, self._began_at_us, error, self._meta, self._notes)
        else:
            wants_response = level == "request_response" and response is not None
            event = recorder.request(
                context,
                _action(request.method),
                outcome,
                members,
                self._began_at_us,
                error,
                self._meta,
                self._notes,
                _own_urls.request_meta(request, runtime),
                self._tap,
                _headers(response, request, parameters, runtime) if wants_response else None,
                (content if ending is None else _streamed_body(ending)) if wants_response else None,
                self._middleware.body_bytes,
            )
        recorder.record(event)

    def _level(self, status: int | None, *, resolve: bool = False) -> str:
        """The level that the rules give this request."""
        request, levels = self.scope.request, self._middleware.levels
        if levels.same is not None:
            return levels.same
        match = request.resolver_match
        route = _routes.template(match.route) if match is not None else None
        user = kind_of_user(self.scope, resolve=resolve) if levels.asks_for_user else None
        return levels.level(request.method, request.path, route, status, user)


def note_error(error: BaseException | None) -> None:
    """Keeps type, message and place of an error of the current request."""
    scope = _scope.current.get()
    if scope is None:
        return
    scope.refused = isinstance(error, Refused)
    try:
        scope.error = error_with_place(error)
    except Exception as fault:
        _runtime.runtime().fault("AuditMiddleware", fault)


def _unavailable() -> HttpResponse:
    """What a request is answered whose work was refused because it could not be recorded. Its transaction was rolled back by the refusal."""
    text = "This was not done, because it could not be recorded. Please try again in a moment.\n"
    return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": str(RETRY_AFTER_S)})


def note_exception(sender: Any, request: Any = None, **_: Any) -> None:
    """Receives ``got_request_exception``: keeps what will become a 500."""
    note_error(sys.exc_info()[1])


def _response_bytes(request: Any, content: bytes | None, ending: _streaming.Ending | None) -> int | None:
    """How many bytes of the answer's body were handed to the server, where that is known."""
    if ending is not None:
        return ending.bytes
    # The body of an answer to HEAD is made and never sent.
    return None if content is None or request.method == "HEAD" else len(content)


def _streamed_body(ending: _streaming.Ending) -> Any:
    return "file" if ending.file is not None else ending.capture


@functools.lru_cache(maxsize=64)
def _action(method: str | None) -> str:
    return f"request.{(method or 'unknown').lower()}"


def _parameters(request: Any, status: int | None) -> Mapping[str, Any]:
    """What the path of a request holds that was sent to the same path with a slash, and so reached no view."""
    if status not in MOVED_STATUSES or request.path_info.endswith("/"):
        return {}
    return _own_urls.target_of(request.path, request).parameters


def _path(request: Any, runtime: _runtime.Runtime) -> str:
    match = request.resolver_match
    target = _own_urls.target_of(request.path, request) if match is None else _own_urls.Target(request.path_info, match.route, match.kwargs)
    return _own_urls.masked_path(request.path, target, runtime)


def _headers(
    response: Any, request: Any, parameters: Mapping[str, Any], runtime: _runtime.Runtime
) -> list[tuple[str, str]] | dict[str, tuple[str, str]]:
    store = getattr(response.headers, "_store", None)
    if type(store) is dict and not response.cookies and "location" not in store:
        # Django's own pairs, by name: going through its mapping costs a call for each.
        return store
    headers = _bodies.response_headers(response)
    if "Location" not in response.headers:
        return headers
    return [(name, _location(value, request, parameters, runtime) if name.lower() == "location" else value) for name, value in headers]


def _location(url: str, request: Any, parameters: Mapping[str, Any], runtime: _runtime.Runtime) -> str:
    """Without the secrets of the path that was asked for, and of the one that it leads to."""
    return _own_urls.masked_url(_own_urls.without_secrets(url, parameters, runtime), request, runtime)
