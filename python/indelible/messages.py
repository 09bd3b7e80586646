"""Work that is asked for in one process and done in another: who asked travels as text, and the end of the work is recorded.

Celery does this by itself (:mod:`indelible.celery`). For any other queue put :func:`carried` into the message and do the work inside
:func:`work`; docs/tasks-and-logs.md has recipes for RQ and dramatiq.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from indelible import _context, _runtime
from indelible._context import Facts
from indelible._record import error_parts

if TYPE_CHECKING:
    from indelible._types import Outcome

__all__ = ["CONTEXT_BYTES_MAX", "carried", "work"]

CONTEXT_BYTES_MAX: Final = 8192
"""How long the context in a message may be; beyond, ``meta`` and then ``reason`` stay behind."""

Envelope = Mapping[str, Any]
"""``context`` (JSON, redacted) and ``published_ms`` (Unix time)."""


def carried() -> str:
    """Who acts and why at this moment, as text for a message; secrets are masked before. Empty where nothing can be recorded. Never raises."""
    try:
        found = envelope()
    except Exception as error:
        _runtime.runtime().fault("messages.carried()", error)
        return ""
    return "" if found is None else json.dumps(found)


@contextmanager
def work(message: str | None, *, name: str, id: str, meta: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Does the work of a message: what the block records has the facts of who asked, and its end is recorded as ``task.run``.

    ``message`` is what :func:`carried` answered; without it the work is that of the task itself, ``{"type": "system", "id": name}``. An exception is
    recorded as ``failure`` (``aborted`` when it is no ``Exception``) and goes on to the caller. The same message done twice with the same
    result is one event.

    Example:
        >>> with indelible.messages.work(job.meta.get("indelible"), name=job.func_name, id=job.id):
        ...     job.perform()
    """
    facts, published_ms = asked_by(_envelope_of(message), name)
    begun = _context.Work(facts, mark(id, name))
    began_at_us, started_ns = time.time_ns() // 1000, time.perf_counter_ns()
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        duration_us = (time.perf_counter_ns() - started_ns) // 1000
        try:
            outcome: Outcome = "success" if error is None else "failure" if isinstance(error, Exception) else "aborted"
            members = {"duration_us": duration_us, **(meta or {})}
            tell("task.run", outcome, id, name, members, error=error_parts(error), published_ms=published_ms, began_at_us=began_at_us)
        except Exception as fault:
            # The work is done: there is nothing left to refuse, and nobody to tell but ourselves.
            _runtime.runtime().missed("messages.work()", fault)
        finally:
            begun.end()


def envelope() -> Envelope | None:
    """What travels with a message asked for now; ``None`` without the native module."""
    context = _context.current_context()
    if context is None:
        return None
    return {"context": context.carried(CONTEXT_BYTES_MAX), "published_ms": time.time_ns() // 1_000_000}


def asked_by(message: Any, name: str) -> tuple[Facts, int | None]:
    """Who asked for a task and when, as its message says; without a word the task itself: ``{"type": "system", "id": name}``."""
    if message is None:
        return Facts(actor={"type": "system", "id": name}), None
    try:
        facts = _context.facts_of_message(message["context"])
        # What cannot be encoded is noticed here and not at the first event.
        facts.context(_runtime.runtime())
        return facts, int(message["published_ms"])
    except Exception as error:
        _runtime.runtime().fault("the context of a message", error)
        note = f"context of the message not usable: {type(error).__name__}"
        return Facts(actor={"type": "unresolved"}, notes=(note,)), None


def mark(id: str, name: str) -> Mapping[str, Any]:
    """What marks every event of a task."""
    return {"source": "task", "task": name, "task_id": id}


def tell(
    action: str,
    outcome: Outcome,
    id: str,
    name: str,
    meta: Mapping[str, Any],
    *,
    error: tuple[str, str] | None,
    published_ms: int | None,
    began_at_us: int | None = None,
) -> None:
    """Records what became of an attempt: once, however often its message is delivered.

    The event's identifier is made of the message and the result. Without ``published_ms`` nothing tells a message delivered twice from
    two of the same identifier, so each is recorded.
    """
    runtime = _runtime.runtime()
    recorder, context = runtime.recorder(), _context.current_context()
    if recorder is None or context is None:
        runtime.lose()
        return
    resource = {"type": "task", "id": id, "label": name}
    event = recorder.event(context, "task", action, outcome, resource=resource, meta=meta, error=error, occurred_at_us=began_at_us)
    if published_ms is None:
        recorder.record(event)
    else:
        result = "\0".join((id, str(meta.get("retries")), action, outcome))
        recorder.record_once(event, published_ms, hashlib.sha256(result.encode()).digest()[:10])


def _envelope_of(message: str | None) -> Any:
    if not message:
        return None
    try:
        return json.loads(message)
    except ValueError:
        return message
