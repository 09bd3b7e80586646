"""WebSocket connections (ASGI): one event for each, when it has ended. For consumers of channels, and for any other ASGI application.

.. code-block:: python

    application = ProtocolTypeRouter({
        "http": get_asgi_application(),
        "websocket": AuthMiddlewareStack(AuditWebsocketMiddleware(URLRouter(routes))),
    })

It stands inside of what finds the user, which hands the user inwards only.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from indelible import _runtime
from indelible.django import _network, _own_urls, _routes, _scope, conf
from indelible.django._guard import Guard
from indelible.django._levels import WITH_BODIES, Levels, kind_of_user
from indelible.django._places import error_with_place
from indelible.django._scope import RequestScope

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SWITCHING: Final = 101
FORBIDDEN: Final = 403
ABNORMAL: Final = 1006
"""Close codes of RFC 6455 §7.4.1: the connection was lost."""
POLICY: Final = 1008
INTERNAL: Final = 1011
_PROTOCOLS: Final = "HTTP_SEC_WEBSOCKET_PROTOCOL"
_PROTOCOL_CHARACTERS_MAX: Final = 24
"""Names of protocols are short; what is longer is a credential, for which browsers leave no other header."""
_LAYERS_MAX: Final = 16
"""How many applications around a router, and routers inside of routers, are looked through."""
_OUTCOMES: Final[Mapping[int, str]] = {ABNORMAL: "aborted", POLICY: "denied", INTERNAL: "failure"}


class AuditWebsocketMiddleware:
    """Records each connection: actor, path, whether it was accepted, close code and by whom, duration and number of messages.

    What a consumer changes belongs to the connection: it carries its id and actor. Messages are never looked at. A connection that is closed
    before it was accepted is ``denied`` with status 403, one that is lost ``aborted``, one whose consumer raises ``failure``. A fault of ours
    never reaches the application. Other protocols pass.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self._settings = conf.active()
        self._levels = Levels(self._settings.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application for one connection."""
        if scope["type"] != "websocket" or not self._settings.enabled:
            await self.application(scope, receive, send)
            return
        connection = _Connection(scope, receive, send, self._settings)
        token = connection.scope.enter()
        try:
            await self.application(scope, connection.receive, connection.send)
        except BaseException as error:
            connection.error = error
            raise
        finally:
            _scope.leave(token)
            connection.ended(self._levels, self.application)


class _Handshake:
    """The request of a connection, as far as an :class:`HttpRequest` is looked at."""

    method = "WEBSOCKET"

    def __init__(self, scope: Scope) -> None:
        headers = {name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        self.path: str = scope.get("path", "")
        client = scope.get("client")
        self.META: dict[str, Any] = {f"HTTP_{name}": value for name, value in headers.items()}
        self.META["QUERY_STRING"] = scope.get("query_string", b"").decode("latin-1")
        if client:
            self.META["REMOTE_ADDR"] = client[0]
        self.COOKIES = _cookies(headers.get("COOKIE", ""))
        for name in ("user", "session"):
            if name in scope:
                setattr(self, name, scope[name])


class _Connection:
    """One connection on its way through the middleware."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: conf.Settings) -> None:
        self._asgi, self._receive, self._send, self._settings = scope, receive, send, settings
        self._began_at_us = time.time_ns() // 1000
        self._started_ns = time.perf_counter_ns()
        self.request = _Handshake(scope)
        header = "HTTP_" + settings.request_id_header.upper().replace("-", "_")
        traceparent = self.request.META.get("HTTP_TRACEPARENT")
        self.scope = RequestScope(
            self.request,
            _network.request_id(self.request.META.get(header)),
            _network.trace_context(traceparent) if traceparent else None,
            settings,
        )
        self.error: BaseException | None = None
        self.status: int | None = None
        self.close_code: int | None = None
        self.closed_by: str | None = None
        self.counts = {"received": 0, "sent": 0}

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self.counts["received"] += 1
        elif message["type"] == "websocket.disconnect" and self.closed_by is None:
            # Without a code the peer said nothing (RFC 6455 §7.1.5), which servers report as 1005.
            self.close_code, self.closed_by = message.get("code", 1005), "client"
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self.status = SWITCHING
        elif kind == "websocket.send":
            self.counts["sent"] += 1
        elif kind == "websocket.http.response.start":
            self.status = message["status"]
        elif kind == "websocket.close" and self.closed_by is None:
            self.status = self.status or FORBIDDEN
            self.close_code, self.closed_by = message.get("code", 1000), "server"
        await self._send(message)

    def outcome(self) -> str:
        if self.error is not None:
            return "failure" if isinstance(self.error, Exception) else "aborted"
        if self.status != SWITCHING:
            return "aborted" if self.status is None else "denied"
        return _OUTCOMES.get(self.close_code or 0, "success")

    def ended(self, levels: Levels, application: Application) -> None:
        """Records the connection."""
        try:
            self._record(levels, application)
        except Exception as fault:
            _runtime.runtime().missed("AuditWebsocketMiddleware", fault)

    def _record(self, levels: Levels, application: Application) -> None:
        request, runtime = self.request, _runtime.runtime()
        facts = self.scope.facts(resolve=False)
        target = _target(application, self._asgi)
        route = _routes.template(target.route) if target.route else None
        user = kind_of_user(self.scope, resolve=False) if levels.asks_for_user else None
        level = levels.level(request.method, request.path, route, self.status, user)
        if level == "none":
            return
        recorder, context = runtime.recorder(), facts.context(runtime)
        if recorder is None or context is None:
            runtime.lose()
            return
        said = {"close_code": self.close_code, "closed_by": self.closed_by, **self.counts}
        event = recorder.request(
            context,
            "request.websocket",
            self.outcome(),  # type: ignore[arg-type]
            {
                "id": self.scope.request_id,
                "method": request.method,
                "route": route,
                "path": _own_urls.masked_path(request.path, target, runtime),
                "query": request.META["QUERY_STRING"] or None,
                "status": self.status,
                "duration_us": (time.perf_counter_ns() - self._started_ns) // 1000,
                "client_ip": _network.client_ip(request.META, self._settings.trusted_proxy_count),
                "user_agent": request.META.get("HTTP_USER_AGENT"),
            },
            self._began_at_us,
            error_with_place(self.error),
            {name: value for name, value in said.items() if value is not None},
            environ=_without_credentials(request.META, runtime) if level in WITH_BODIES else None,
        )
        recorder.record(event)


def _target(application: Any, scope: Scope) -> _own_urls.Target:
    """What the path of a connection leads to, where a router of channels is inside: of it what the server and the routers around left."""
    path: str = scope["path"].removeprefix(scope.get("root_path", "")) if "path_remaining" not in scope else scope["path_remaining"]
    route, rest, parameters = "", path.lstrip("/"), dict[str, Any](scope.get("url_route", {}).get("kwargs", {}))
    info = f"/{rest}"
    with Guard("the route of a connection"):
        router = _router_in(application)
        for _ in range(_LAYERS_MAX):
            found = next(((each, match) for each in router.routes if (match := each.pattern.match(rest))), None) if router else None
            if found is None:
                break
            each, (rest, _args, named) = found
            route += str(each.pattern)
            parameters |= named
            router = _router_in(each.callback)
    return _own_urls.Target(info, route, parameters)


def _router_in(application: Any) -> Any:
    """The router that an application is, or stands around."""
    for _ in range(_LAYERS_MAX):
        if application is None or hasattr(application, "routes"):
            return application
        application = getattr(application, "inner", None) or getattr(application, "application", None)
    return None


def _without_credentials(meta: Mapping[str, Any], runtime: _runtime.Runtime) -> dict[str, Any]:
    """The headers without the token that stands among the names of protocols, and what follows its own name there."""
    protocols, redactor = meta.get(_PROTOCOLS), runtime.redactor()
    if not protocols or redactor is None:
        return dict(meta)
    names = [name.strip() for name in protocols.split(",")]
    is_secret = (len(name) > _PROTOCOL_CHARACTERS_MAX or redactor.masks_field(name) for name in names)
    shown = names[: next((place for place, secret in enumerate(is_secret) if secret), len(names))]
    return {**meta, _PROTOCOLS: ", ".join(shown if len(shown) == len(names) else [*shown, _own_urls.MASK])}


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}
