"""What a type checker makes of the public names: checked by `make lint`, never run. A wrong use is marked and must stay an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from typing_extensions import assert_type

import indelible
from indelible import Recorded
from indelible.testing import AuditEvent, AuditEvents, assert_audited, assert_no_audit, capture_events, off


def recording(invoice: object) -> None:
    recorded = indelible.record("invoice.approve", resource=invoice, reason="ticket 42", meta={"amount": 12})
    assert_type(recorded, Recorded)
    assert_type(recorded.position, tuple[str, int] | None)
    if recorded.status == "lost":
        assert_type(recorded.sequence, int | None)
    indelible.record("invoice.approve", outcome="denied", kind="auth", held=False)
    indelible.record("invoice.approve", outcome="refused")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    indelible.record(42)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def contexts(user: object) -> None:
    with indelible.context(actor=user, reason="nightly", tenant="t1", meta={"a": 1}) as nothing:
        assert_type(nothing, None)
    indelible.context(actr=user)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def name_of(number: int, name: str) -> str:
    return name


@indelible.audited("report.export", resource=name_of)
def export(number: int, *, name: str) -> bytes:
    return f"{number}{name}".encode()


@indelible.audited("report.export")
async def export_async(number: int) -> bytes:
    return str(number).encode()


def decorated() -> None:
    assert_type(export(1, name="a"), bytes)
    export("1", name="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    export(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    asynchronous: Callable[[int], Awaitable[bytes]] = export_async
    del asynchronous


async def awaited() -> None:
    assert_type(await export_async(1), bytes)


def health() -> None:
    assert_type(indelible.health(), dict[str, Any])
    assert_type(indelible.__version__, str)


def testing(audit_events: AuditEvents) -> None:
    event = audit_events.one(action="invoice.approve")
    assert_type(event, AuditEvent)
    assert_type(event.changed(status=("open", "approved")), AuditEvent)
    assert_type(event["action"], Any)
    assert_type(event.pending, bool)
    assert_type(audit_events[0], AuditEvent)
    assert_type(audit_events[1:], list[AuditEvent])
    assert_type(audit_events.all(kind="change"), list[AuditEvent])
    assert_type(audit_events.snapshot(), list[dict[str, Any]])
    for each in audit_events:
        assert_type(each, AuditEvent)
    event.changed(status="approved")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def blocks() -> None:
    events: AbstractContextManager[AuditEvents] = assert_audited(action="a.b", times=2)
    with events as inside, assert_no_audit(), capture_events() as captured, off():
        assert_type(inside, AuditEvents)
        assert_type(captured, AuditEvents)
