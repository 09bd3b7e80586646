"""What a test of an application asks about the trail: which events its code made, before anything is committed or sent.

The events are those of the native module, masked and encoded as they would be written. They go to memory instead of the journal, so a
test never reaches a real trail. Nothing here needs pytest; its fixtures are in :mod:`indelible.pytest_plugin`.

Example:
    >>> with assert_audited(action="invoice.approve", actor="ana") as events:
    ...     approve(invoice)
    >>> events.one().changed(status=("open", "approved"))
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from indelible import _runtime
from indelible._captured import ANY, MASKED, UNKNOWN, AuditEvent, AuditEvents
from indelible._errors import IndelibleError
from indelible._version import INSTALL_PACKAGE

if TYPE_CHECKING:
    from indelible import _native

__all__ = [
    "ANY",
    "MASKED",
    "UNKNOWN",
    "AuditEvent",
    "AuditEvents",
    "assert_audited",
    "assert_no_audit",
    "capture_events",
    "off",
]


@contextmanager
def capture_events() -> Iterator[AuditEvents]:
    """Gives the events that are made inside the block, of all threads and tasks; they can still be looked at after it.

    Blocks nest. Outside of any, and without the pytest plugin, events go where the settings say.

    Raises:
        IndelibleError: the native module is missing, or a transaction is open that holds events for another place.
    """
    events = AuditEvents(_open_capture())
    with _switched(events.source):
        try:
            yield events
        finally:
            events.close()


@contextmanager
def assert_audited(*, times: int = 1, **criteria: Any) -> Iterator[AuditEvents]:
    """Fails unless the block made exactly ``times`` events that match. The criteria are those of :meth:`AuditEvents.one`.

    An exception of the block goes on to the caller, and nothing is asserted.

    Raises:
        AssertionError: it made another number of them; the message names the nearest.
    """
    with capture_events() as events:
        yield events
    events.exactly(times, **criteria)


@contextmanager
def assert_no_audit(**criteria: Any) -> Iterator[AuditEvents]:
    """Fails if the block made an event that matches; without criteria, any event at all.

    Raises:
        AssertionError: it did; the message shows the events.
    """
    with capture_events() as events:
        yield events
    events.none(**criteria)


@contextmanager
def off() -> Iterator[None]:
    """Keeps no event of the block anywhere: for a test, or the preparation of one, that has nothing to do with the trail."""
    with _switched(_native_module().Capture(events_max=0)):
        yield


@contextmanager
def _switched(capture: _native.Capture) -> Iterator[None]:
    before = _runtime.capture()
    if capture is not before and _is_holding():
        raise IndelibleError(
            "a transaction is open that holds events already, and they would go elsewhere than those of this block; "
            "open the block before the transaction, or run the tests with pytest and its plugin"
        )
    _runtime.set_capture(capture)
    try:
        yield
    finally:
        _runtime.set_capture(before)


def _is_holding() -> bool:
    transactions = sys.modules.get("indelible.django._transactions")
    return transactions is not None and bool(transactions.holds_events())


def _open_capture() -> _native.Capture:
    """The capture that is in place, so that blocks inside it see the same events; else a new one."""
    # The one of off() has no room, so what is captured inside it needs another.
    current = _runtime.capture()
    return current if current is not None and current.events_max else _native_module().Capture()


def _native_module() -> Any:
    native = _runtime.runtime().native()
    if native is None:
        raise IndelibleError(f"the native module of indelible cannot be imported; run: {INSTALL_PACKAGE}")
    return native
