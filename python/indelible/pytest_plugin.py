"""The pytest plugin: during tests events go to memory, and ``audit_events`` shows those of the test.

Installed with the package and found by pytest itself. ``-p no:indelible`` leaves it out; ``--indelible=off`` keeps no events at all, and
``--indelible=journal`` records as the settings say. docs/testing-your-app.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from indelible import _context, _runtime

if TYPE_CHECKING:
    from indelible.testing import AuditEvents

MODES: Final = ("capture", "off", "journal")

_NOBODY: Final = ("unresolved", "anonymous", "system")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--indelible`` and the ini option of the same name."""
    what = "where audit events of the tests go: 'capture' (memory, the default), 'off' (nowhere), 'journal' (as the settings say)"
    parser.getgroup("indelible").addoption("--indelible", choices=MODES, default=None, help=what)
    parser.addini("indelible", what, default="capture")


def pytest_configure(config: pytest.Config) -> None:
    """Takes recording over before any test module, and so any application code of a test, is imported."""
    config.addinivalue_line("markers", "audit_off: no event of this test is kept anywhere")
    config.addinivalue_line(
        "markers",
        "audit_strict(allow=()): the test fails if it makes a change or action that names no actor; "
        "'allow' lists of 'anonymous', 'unresolved' and 'system' those that are right here",
    )
    mode = _mode(config)
    if mode == "journal":
        return
    try:
        # Not by way of the runtime, whose settings are the application's and may not be there yet.
        from indelible import _native
    except ImportError:
        # Without it nothing is recorded anyway; the fixture says so.
        return
    _runtime.set_capture(_native.Capture() if mode == "capture" else _native.Capture(events_max=0))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Gives recording back."""
    _runtime.set_capture(None)


@pytest.fixture
def audit_events() -> Iterator[AuditEvents]:
    """The events made since this fixture was set up: :class:`indelible.testing.AuditEvents`. They are seen before any COMMIT."""
    from indelible.testing import capture_events

    with capture_events() as events:
        yield events


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Forgets the events of earlier tests, and keeps none of a test that is marked ``audit_off``."""
    capture = _runtime.capture()
    if capture is not None:
        capture.forget_before(capture.mark())
    if item.get_closest_marker("audit_off") is None:
        return (yield)
    from indelible.testing import off

    with off():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fails a test marked ``audit_strict`` that wrote without an actor. What its fixtures did is not looked at."""
    marker = item.get_closest_marker("audit_strict")
    if marker is None:
        return (yield)
    from indelible.testing import capture_events

    refused = _refused(marker)
    with capture_events() as events:
        answer = yield
    nameless = [event for event in events if event["kind"] in ("change", "action") and _names_nobody(event["actor"], refused)]
    if nameless:
        shown = "\n  - ".join(str(event) for event in nameless)
        message = f"audit_strict: written without an actor:\n  - {shown}\nSend a request as a user, or use indelible.context(actor=…)."
        pytest.fail(message, pytrace=False)
    return answer


def _mode(config: pytest.Config) -> str:
    mode = config.getoption("--indelible") or config.getini("indelible")
    if mode not in MODES:
        raise pytest.UsageError(f"indelible = {mode!r} in the configuration of pytest is none of: {', '.join(MODES)}")
    return str(mode)


def _refused(marker: pytest.Mark) -> frozenset[str]:
    allowed = marker.kwargs.get("allow", ())
    unknown = set(allowed) - set(_NOBODY)
    if unknown or marker.args or set(marker.kwargs) - {"allow"}:
        raise pytest.UsageError(f"audit_strict takes allow=[…] of {', '.join(map(repr, _NOBODY))}")
    return frozenset(_NOBODY) - frozenset(allowed)


def _names_nobody(actor: dict[str, Any], refused: frozenset[str]) -> bool:
    if actor.get("type") == "system":
        # The process acts where nobody else was named; a task or a command has a name of its own.
        return "system" in refused and actor.get("id") == _context.process_facts().actor["id"]
    return actor.get("type") in refused
