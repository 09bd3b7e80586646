"""``indelible.record`` and ``indelible.audited`` outside of Django."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import indelible
import journal
from indelible import _record, _runtime

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    monkeypatch.setattr(_runtime, "_current", None)
    monkeypatch.setattr(_record, "_hold_on", None)
    yield _runtime.configure(_runtime.RuntimeSettings(service="record", data_dir=tmp_path))
    _runtime.runtime().close()


@pytest.fixture
def bodies(tmp_path: Path):
    return lambda: journal.events(tmp_path, "record")


class Invoice:
    _meta = types.SimpleNamespace(label="billing.Invoice")
    pk = 42

    def __str__(self) -> str:
        return "2026-0042"


class Unspeakable:
    _meta = types.SimpleNamespace(label="billing.Unspeakable")
    pk = 1

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_action_is_recorded_with_reason_and_meta(bodies):
    answer = indelible.record("invoice.approve", Invoice(), reason="ticket 42", meta={"amount": 12, "iban_token": "x"})
    assert answer.status == "at"
    (body,) = bodies()
    assert (body["kind"], body["action"], body["outcome"], body["reason"]) == ("action", "invoice.approve", "success", "ticket 42")
    assert body["resource"] == {"type": "billing.Invoice", "id": "42", "label": "2026-0042"}
    assert body["meta"] == {"amount": 12, "iban_token": "[masked]"}


@pytest.mark.parametrize(
    ("resource", "written"),
    [
        ("billing.Invoice/7", {"type": "billing.Invoice", "id": "7"}),
        ("reports", {"type": "reports"}),
        ({"type": "file", "id": "/a/b"}, {"type": "file", "id": "/a/b"}),
        (7, {"type": "builtins.int", "label": "7"}),
        (None, None),
    ],
)
def test_a_resource_comes_in_several_forms(bodies, resource, written):
    indelible.record("thing.read", resource)
    assert bodies()[0].get("resource") == written


@pytest.mark.parametrize(
    "details",
    [
        {"resource": Unspeakable()},
        {"resource": {"kind": "typo"}},
        {"meta": 7},
        {"changes": [{"fild": "typo"}]},
        {"error": ("one",), "outcome": "failure"},
    ],
)
def test_details_that_cannot_be_read_do_not_cost_the_event(bodies, details, caplog):
    assert indelible.record("invoice.approve", **details).status == "at"
    (body,) = bodies()
    assert body["action"] == "invoice.approve"
    assert body["notes"][0].startswith("details not readable: ")
    assert len(caplog.records) == 1


def test_a_call_that_makes_no_event_is_counted_and_never_raises(caplog):
    assert indelible.record("a.b", kind="no such kind") == indelible.Recorded("lost")
    assert indelible.health()["unrecorded"] == 1
    assert len(caplog.records) == 1


def test_tests_of_a_site_see_the_fault(tmp_path):
    _runtime.configure(_runtime.RuntimeSettings(service="record", data_dir=tmp_path, on_error="raise"))
    with pytest.raises(ValueError, match="no kind of event"):
        indelible.record("a.b", kind="no such kind")


def test_a_refusal_reaches_the_caller_where_recording_is_required(tmp_path):
    limits = {"journal_bytes": 1000}
    runtime = _runtime.configure(_runtime.RuntimeSettings(service="record", data_dir=tmp_path, on_failure="required", limits=limits))
    with pytest.raises(runtime.native().Refused):
        indelible.record("a.b", meta={"x": "y" * 2000})


def test_a_success_is_held_by_the_transaction_of_its_resource(runtime, bodies):
    transaction = runtime.recorder().transaction("default")
    asked: list[Any] = []

    def hold_on(resource: object):
        asked.append(resource)
        return transaction

    _record.set_hold_on(hold_on)
    invoice = Invoice()
    assert indelible.record("invoice.approve", invoice).status == "held"
    assert asked == [invoice]
    assert bodies() == []
    transaction.prepare().committed()
    assert len(bodies()) == 1


@pytest.mark.parametrize("options", [{"held": False}, {"outcome": "denied"}, {"outcome": "failure"}, {"kind": "read"}, {"kind": "auth"}])
def test_everything_else_is_recorded_at_once(runtime, options):
    _record.set_hold_on(lambda resource: runtime.recorder().transaction("default"))
    assert indelible.record("invoice.approve", **options).status == "at"


def test_an_audited_function_records_success_and_duration(bodies):
    @indelible.audited("report.export", resource=lambda name, **_: f"report/{name}", reason="monthly", meta={"format": "csv"})
    def export(name: str, *, lines: int) -> int:
        return lines * 2

    assert export("sales", lines=4) == 8
    assert export.__name__ == "export"
    (body,) = bodies()
    assert body["resource"] == {"type": "report", "id": "sales"}
    assert (body["outcome"], body["reason"], body["meta"]["format"]) == ("success", "monthly", "csv")
    assert 0 <= body["meta"]["duration_us"] < 60_000_000


def test_an_audited_function_records_its_failure_and_raises_it(bodies):
    @indelible.audited("report.export")
    def export() -> None:
        raise ValueError("card 4111 1111 1111 1111 declined")

    with pytest.raises(ValueError, match="declined"):
        export()
    (body,) = bodies()
    assert body["outcome"] == "failure"
    assert body["error"] == {"type": "ValueError", "message": "card [masked] declined"}


def test_an_audited_coroutine_function_stays_one(bodies):
    @indelible.audited("report.export")
    async def export(answer: int) -> int:
        await asyncio.sleep(0)
        return answer

    assert asyncio.iscoroutinefunction(export)
    assert asyncio.run(export(7)) == 7
    assert bodies()[0]["outcome"] == "success"


def test_a_cancelled_coroutine_is_aborted(bodies):
    @indelible.audited("report.export")
    async def export() -> None:
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.ensure_future(export())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    (body,) = bodies()
    assert (body["outcome"], body["error"]["type"]) == ("aborted", "CancelledError")


def test_an_audited_generator_is_recorded_when_it_has_ended(bodies):
    @indelible.audited("report.export")
    def lines(count: int) -> Iterator[int]:
        assert (yield 0) == "sent"
        yield from range(1, count)
        return "all of them"

    assert inspect.isgeneratorfunction(lines)
    lines(3)
    export = lines(3)
    assert (next(export), export.send("sent"), next(export)) == (0, 1, 2)
    with pytest.raises(StopIteration, match="all of them"):
        next(export)
    given_up = lines(3)
    next(given_up)
    given_up.close()
    with pytest.raises(AssertionError):
        list(lines(3))
    told = [(body["outcome"], body.get("error", {}).get("type")) for body in bodies()]
    assert told == [("success", None), ("aborted", "GeneratorExit"), ("failure", "AssertionError")]


def test_an_audited_asynchronous_generator_is_recorded_when_it_has_ended(bodies):
    ended: list[str] = []

    @indelible.audited("report.export")
    async def lines(name: str) -> AsyncIterator[str]:
        try:
            sent = yield name
            yield str(sent)
        finally:
            ended.append(name)

    async def export() -> None:
        whole = lines("whole")
        assert [await anext(whole), await whole.asend("sent"), await anext(whole, "end")] == ["whole", "sent", "end"]
        part = lines("part")
        await anext(part)
        await part.aclose()

    assert inspect.isasyncgenfunction(lines)
    asyncio.run(export())
    assert ended == ["whole", "part"]
    assert [body["outcome"] for body in bodies()] == ["success", "aborted"]


def test_a_resource_that_cannot_be_named_does_not_break_the_call(bodies):
    @indelible.audited("report.export", resource=lambda: 1 / 0)
    def export() -> str:
        return "done"

    assert export() == "done"
    assert "resource" not in bodies()[0]
