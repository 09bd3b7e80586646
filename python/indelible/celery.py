"""Celery: who asked for a task travels with its message, and the end of each attempt is recorded.

:func:`connect` hooks into Celery's signals once for the process, whichever pool it has. ``indelible.django`` calls it where Celery is
imported before Django is ready; without Django the line ``indelible.celery.connect()`` beside the Celery app does. Both sides need it:
who publishes and who works.
"""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from indelible import _context, _runtime, messages
from indelible._errors import IndelibleError
from indelible._record import error_parts

if TYPE_CHECKING:
    from indelible._types import Outcome

HEADER: Final = "indelible"
"""The header of a message: ``context`` (JSON, redacted) and ``published_ms`` (Unix time)."""

_ENDS: Final[Mapping[str | None, tuple[str, Outcome]]] = {
    "SUCCESS": ("task.run", "success"),
    "FAILURE": ("task.run", "failure"),
    "RETRY": ("task.retry", "failure"),
    "IGNORED": ("task.run", "aborted"),
    "REJECTED": ("task.reject", "aborted"),
}
"""Action and outcome for each state that Celery ends an attempt in; without one the worker was told to stop."""

_requests: Final[weakref.WeakValueDictionary[str, Any]] = weakref.WeakValueDictionary()
"""The messages that this worker has received and not done with: what is known of a task whose process was killed."""

_in_pool = False
"""Whether this is a process of a worker's pool, whose parent tells of the tasks that end with the process."""


def connect() -> None:
    """Hooks into Celery's signals; calling it again changes nothing.

    Raises:
        IndelibleError: Celery is not installed.
    """
    try:
        from celery import signals
    except ImportError as error:
        raise IndelibleError("Celery is not installed: pip install 'indelible[celery]'") from error
    for signal, receiver in (
        (signals.before_task_publish, _publish),
        (signals.task_received, _received),
        (signals.task_prerun, _begin),
        (signals.task_prerun, _begun),
        (signals.task_postrun, _end),
        (signals.task_failure, _failed),
        (signals.task_revoked, _revoked),
        (signals.task_rejected, _rejected),
        (signals.task_unknown, _unknown),
        (signals.beat_init, _is_beat),
        (signals.beat_embedded_init, _is_beat),
        (signals.worker_process_init, _is_pool_process),
        (signals.worker_process_shutdown, _process_ends),
    ):
        # Celery keeps receivers by weak reference unless told not to.
        signal.connect(receiver, weak=False, dispatch_uid=f"indelible.{receiver.__name__}")


def _guarded(receiver: Callable[..., None]) -> Callable[..., None]:
    """Keeps our faults, a refusal included, away from Celery: the work that an event tells of is done already."""
    return _inside(receiver, lambda where, error: _runtime.runtime().fault(where, error))


def _telling(receiver: Callable[..., None]) -> Callable[..., None]:
    """The same for a receiver that records an event, which a fault in it has cost."""
    return _inside(receiver, lambda where, error: _runtime.runtime().missed(where, error))


def _inside(receiver: Callable[..., None], note: Callable[[str, Exception], None]) -> Callable[..., None]:
    @functools.wraps(receiver)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            receiver(*args, **kwargs)
        except Exception as error:
            note(f"the Celery signal {receiver.__name__.strip('_')}", error)

    return guarded


class _Attempt:
    """One run of a task in this process, between its signals."""

    __slots__ = ("began_at_us", "outer", "published_ms", "started_ns", "task_id", "work")

    def __init__(self, task_id: str, request: Any, name: str, outer: _Attempt | None) -> None:
        facts, self.published_ms = messages.asked_by(_envelope(request), name)
        self.task_id = task_id
        self.outer = outer
        # A task that is called in place has the facts of its caller, and no message that could have brought others.
        self.work = _context.Work(None if getattr(request, "is_eager", False) else facts, messages.mark(task_id, name))
        self.began_at_us = time.time_ns() // 1000
        self.started_ns = time.perf_counter_ns()


_attempt: ContextVar[_Attempt | None] = ContextVar("indelible_task", default=None)


@_guarded
def _publish(headers: Any = None, **_: Any) -> None:
    """Puts who asks for the task into the message; whatever else is in it stays."""
    if headers is not None and (envelope := messages.envelope()) is not None:
        headers[HEADER] = envelope


@_guarded
def _received(request: Any = None, **_: Any) -> None:
    _requests[request.id] = request


@_guarded
def _begin(task_id: Any = None, task: Any = None, **_: Any) -> None:
    _attempt.set(_Attempt(task_id, task.request, task.name, _attempt.get()))


@_telling
def _begun(task_id: Any = None, task: Any = None, **_: Any) -> None:
    """Records that an attempt begins, where that is asked for: it is what a worker that is killed leaves behind."""
    attempt = _attempt.get()
    if not _runtime.runtime().settings.task_starts or attempt is None or attempt.task_id != task_id:
        return
    published_ms = None if getattr(task.request, "is_eager", False) else attempt.published_ms
    messages.tell("task.start", "success", task_id, task.name, _delivery(task.request), error=None, published_ms=published_ms)


@_telling
def _end(task_id: Any = None, task: Any = None, retval: Any = None, state: Any = None, **_: Any) -> None:
    attempt = _attempt.get()
    if attempt is None or attempt.task_id != task_id:
        return
    try:
        if state is None and _in_pool:
            return
        duration_us = (time.perf_counter_ns() - attempt.started_ns) // 1000
        action, outcome = _ENDS.get(state, ("task.run", "aborted"))
        error = None if outcome == "success" else _cause(retval)
        meta = {"duration_us": duration_us, **_delivery(task.request)}
        published_ms = None if getattr(task.request, "is_eager", False) else attempt.published_ms
        messages.tell(action, outcome, task_id, task.name, meta, error=error, published_ms=published_ms, began_at_us=attempt.began_at_us)
    finally:
        _attempt.set(attempt.outer)
        attempt.work.end()


@_telling
def _failed(sender: Any = None, task_id: Any = None, exception: Any = None, **_: Any) -> None:
    """Receives failures; those of an attempt in this process are told at its end, here those whose process was killed."""
    attempt = _attempt.get()
    if (attempt is not None and attempt.task_id == task_id) or type(exception).__name__ == "Reject":
        return
    _tell_elsewhere("task.run", "failure", _message(task_id, sender.request), task_id, sender.name, error=exception)


@_telling
def _revoked(sender: Any = None, request: Any = None, terminated: bool = False, expired: bool = False, **_: Any) -> None:
    meta = {"terminated": bool(terminated), "expired": bool(expired)}
    _tell_elsewhere("task.revoke", "aborted", request, request.id, sender.name, meta)


@_telling
def _rejected(message: Any = None, exc: Any = None, **_: Any) -> None:
    """Receives messages that no worker can read."""
    headers = _headers(message)
    _tell_elsewhere("task.reject", "failure", headers, headers.get("id"), headers.get("task"), error=exc)


@_telling
def _unknown(message: Any = None, name: Any = None, id: Any = None, **_: Any) -> None:
    """Receives messages for tasks that this worker does not have."""
    _tell_elsewhere("task.reject", "failure", _headers(message), id, name, error=("NotRegistered", str(name)))


@_guarded
def _is_beat(**_: Any) -> None:
    _context.name_process("beat")


@_guarded
def _is_pool_process(**_: Any) -> None:
    global _in_pool
    _in_pool = True


@_guarded
def _process_ends(**_: Any) -> None:
    # A pool's process leaves without Python's own handlers of the end.
    _runtime.runtime().close()


def _tell_elsewhere(
    action: str,
    outcome: Outcome,
    request: Any,
    task_id: Any,
    name: Any,
    meta: Mapping[str, Any] | None = None,
    *,
    error: Any = None,
) -> None:
    """Records the end of a task that did not end in this thread."""
    task_id, name = str(task_id or "unknown"), str(name or "unknown")
    facts, published_ms = messages.asked_by(_envelope(request), name)
    work = _context.Work(facts, messages.mark(task_id, name))
    try:
        delivery = {} if isinstance(request, Mapping) else _delivery(request)
        parts = error_parts(error)
        messages.tell(action, outcome, task_id, name, {**delivery, **(meta or {})}, error=parts, published_ms=published_ms)
    finally:
        work.end()


def _envelope(request: Any) -> Any:
    return request.get(HEADER) if isinstance(request, Mapping) else getattr(request, HEADER, None)


def _delivery(request: Any) -> dict[str, Any]:
    """What Celery says about a delivery: how often tried, from which queue, whether the broker gave it out before."""
    info = getattr(request, "delivery_info", None) or {}
    meta: dict[str, Any] = {"retries": getattr(request, "retries", 0) or 0}
    if queue := info.get("routing_key") or info.get("exchange"):
        meta["queue"] = queue
    if info.get("redelivered"):
        meta["redelivered"] = True
    return meta


def _message(task_id: Any, request: Any) -> Any:
    """What is known of a task that ran in another process: its request, else the message as this worker received it."""
    if getattr(request, "id", None) == task_id:
        return request
    received = _requests.get(task_id)
    return request if received is None else getattr(received, "_context", request)


def _headers(message: Any) -> Mapping[str, Any]:
    headers = getattr(message, "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def _cause(result: Any) -> tuple[str, str] | None:
    """The error behind a result that is no success: of a retry the one that led to it."""
    cause = getattr(result, "exc", None)
    return error_parts(cause if isinstance(cause, BaseException) else result) if isinstance(result, BaseException) else None
