"""What log lines and access lines become: events of kind ``log``, and of kind ``request`` where nobody else recorded the request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from indelible import _context, _runtime
from indelible._context import Facts
from indelible._errors import Refused
from indelible._statuses import outcome_of_status

if TYPE_CHECKING:
    from indelible._types import Outcome

MESSAGE_CHARACTERS_MAX: Final = 8192
"""What is kept of a line's text."""

TRACEBACK_CHARACTERS_MAX: Final = 16384
"""What is kept of a traceback, from its end: that names the fault."""

EXTRAS_MAX: Final = 64
"""How many further members of a line are kept."""

FAILURE_LEVEL: Final = 40
"""From this level (ERROR) on, the outcome of a line is ``failure``."""

_busy = threading.local()

TARGETS_MAX: Final = 4096
"""How many different targets of requests in flight are remembered."""

seen_request: ContextVar[str | None] = ContextVar("indelible_seen_request", default=None)
"""The id of the request that the middleware saw last in this context; whoever writes the access line takes it away."""

access_level: Callable[[str, str, str | None, int, str | None], str] | None = None
"""The rules of ``REQUESTS``, set by the middleware: method, path, route, status and kind of user to level. Without it all is recorded."""

seen_targets: SeenTargets | None = None
"""What the middleware saw, for a server that writes its access lines in a context of its own; ``None`` where none does."""


class SeenTargets:
    """Requests that the middleware has seen and whose access line is still to come, by method and path.

    Two requests for the same path take the same way, so it does not matter which line belongs to which. Bounded; the oldest is forgotten.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    def see(self, method: str, path: str) -> None:
        """The middleware has seen one more."""
        key = method, redacted_path(path)
        with self._lock:
            self._counts[key] = self._counts.pop(key, 0) + 1
            if len(self._counts) > TARGETS_MAX:
                self._counts.popitem(last=False)

    def take(self, method: str, path: str) -> bool:
        """Whether the middleware has seen one that no access line has claimed yet; it is claimed by that. ``path`` is redacted."""
        key = method, path
        with self._lock:
            count = self._counts.pop(key, 0)
            if count > 1:
                self._counts[key] = count - 1
            return count > 0


def redacted_path(path: str) -> str:
    """A path, with its query if it has one, without what is secret in it."""
    redactor = _runtime.runtime().redactor()
    return path.partition("?")[0] if redactor is None else redactor.path(path)


def record_line(
    logger: str,
    level: int,
    level_name: str,
    message: str,
    *,
    extra: Mapping[str, Any] | None = None,
    place: Mapping[str, Any] | None = None,
    error: tuple[str, str] | None = None,
    traceback: str | None = None,
) -> None:
    """Records a line of a log as an event of kind ``log``, action ``log.<level>``, with the actor and request that are known.

    Nothing is found out for it: no query, no user resolved. Lines of our own logger are not recorded, nor is what is logged while a line
    is recorded. Never raises; it waits as long as any event does (``ON_FAILURE``).
    """
    if logger == "indelible" or logger.startswith("indelible.") or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        meta: dict[str, Any] = {"message": message[:MESSAGE_CHARACTERS_MAX], **(place or {})}
        if traceback:
            meta["traceback"] = traceback[-TRACEBACK_CHARACTERS_MAX:]
        if extra:
            meta["extra"] = dict(list(extra.items())[:EXTRAS_MAX])
        outcome: Outcome = "failure" if level >= FAILURE_LEVEL else "success"
        resource = {"type": "logger", "id": logger}
        _record("log", f"log.{level_name}", outcome, _context.known_facts(), resource=resource, meta=meta, error=error)
    except Exception as fault:
        _note("a log line", fault)
    finally:
        _busy.now = False


def shown(value: object) -> str:
    """The text of a value of the application's, whose own method may fail."""
    try:
        return str(value)
    except Exception:
        return "<unprintable>"


def was_seen() -> bool:
    """Whether the middleware saw the request whose access line is written now, in the context that it ran in."""
    if seen_request.get() is None:
        return False
    seen_request.set(None)
    return True


def remember_targets() -> SeenTargets:
    """Lets the middleware remember what it sees, from now on."""
    global seen_targets
    if seen_targets is None:
        seen_targets = SeenTargets()
    return seen_targets


def record_access(
    server: str,
    method: str,
    target: str,
    status: int,
    *,
    request_id: str | None = None,
    client_ip: str | None = None,
    user_agent: str | None = None,
    duration_us: int | None = None,
) -> None:
    """Records a request that no middleware of ours saw, such as a static file, another application of the process, or a line that is no HTTP.

    ``target`` is the path, with its query if it has one. Nobody looked who it was, so the actor is ``unresolved``. The rules of ``REQUESTS`` can
    leave it out. Never raises.
    """
    try:
        path, _, query = target.partition("?")
        if access_level is not None and access_level(method, path, None, status, None) == "none":
            return
        request = {
            "id": request_id,
            "method": method,
            "path": path,
            "query": query or None,
            "status": status,
            "duration_us": duration_us,
            "client_ip": client_ip,
            "user_agent": user_agent,
        }
        facts = Facts(actor={"type": "unresolved"}, request_id=request_id, meta={"source": server})
        _record("request", f"request.{(method or 'unknown').lower()}", outcome_of_status(status), facts, request=request)
    except Exception as fault:
        _note(f"the access log of {server}", fault)


def _record(kind: Any, action: str, outcome: Outcome, facts: Facts, **parts: Any) -> None:
    runtime = _runtime.runtime()
    recorder, context = runtime.recorder(), facts.context(runtime)
    if recorder is None or context is None:
        runtime.lose()
        return
    recorder.record(recorder.event(context, kind, action, outcome, **parts))


def _note(where: str, fault: Exception) -> None:
    if isinstance(fault, Refused):
        # The journal has counted it. What was logged has happened; there is nothing to refuse.
        return
    _runtime.runtime().missed(where, fault)
