"""``indelible.record`` and ``indelible.audited`` outside of Django."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import indelible
import journal
from indelible import _context, _record, _runtime

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


def test_what_is_thrown_into_an_audited_generator_reaches_it(bodies):
    seen: list[str] = []

    @asynccontextmanager
    @indelible.audited("lock.hold")
    async def lock() -> AsyncIterator[str]:
        try:
            yield "held"
        except ValueError as error:
            seen.append(str(error))
            raise

    @contextmanager
    @indelible.audited("lock.hold")
    def plain_lock() -> Iterator[str]:
        try:
            yield "held"
        except ValueError as error:
            seen.append(str(error))

    async def hold() -> None:
        async with lock() as held:
            assert held == "held"
        async with lock():
            raise ValueError("thrown into it")

    with pytest.raises(ValueError, match="thrown into it"):
        asyncio.run(hold())
    with plain_lock():
        raise ValueError("swallowed by it")
    assert seen == ["thrown into it", "swallowed by it"]
    assert [(body["outcome"], body.get("error", {}).get("type")) for body in bodies()] == [
        ("success", None),
        ("failure", "ValueError"),
        ("success", None),
    ]


async def _lines_async(count: int) -> AsyncIterator[int]:
    yield count


def _lines(count: int) -> Iterator[int]:
    yield count


async def _all_of(answers: AsyncIterator[int]) -> list[int]:
    return [answer async for answer in answers]


@pytest.mark.parametrize("function", [_lines, _lines_async])
def test_the_call_of_an_audited_generator_refuses_before_the_first_step(function, bodies, monkeypatch):
    def demand(action: str, reason: str | None) -> None:
        if (reason or _context.current_facts().reason) is None:
            raise PermissionError(f"{action} needs a reason")

    lines = indelible.audited("report.export")(function)
    with pytest.raises(TypeError, match="count"):
        lines()
    monkeypatch.setattr(_record, "_demand", demand)
    with pytest.raises(PermissionError):
        lines(1)
    with indelible.context(reason="monthly"):
        given = lines(1)
    assert (asyncio.run(_all_of(given)) if function is _lines_async else list(given)) == [1]
    assert [(body["outcome"], body.get("reason")) for body in bodies()] == [("failure", None), ("failure", None), ("success", "monthly")]


def test_an_audited_generator_of_a_class_is_a_method_of_its_instances(bodies):
    class Report:
        @indelible.audited("report.export", resource=lambda self, *_: f"report/{self.name}")
        def lines(self, count: int) -> Iterator[int]:
            yield from range(count)

        name = "march"

    assert list(Report().lines(2)) == list(Report.lines(Report(), 2)) == [0, 1]
    assert (Report.lines.__name__, list(inspect.signature(Report().lines).parameters)) == ("lines", ["count"])
    assert [body["resource"]["id"] for body in bodies()] == ["march", "march"]


def test_an_audited_generator_that_is_given_up_is_recorded_as_part_of_what_began_it(bodies):
    @indelible.audited("report.export")
    def lines() -> Iterator[int]:
        yield 1
        yield 2

    with indelible.context(actor="user:ana", meta={"run": 7}):
        given_up = lines()
        next(given_up)
    with indelible.context(actor="user:bea", meta={"run": 8}):
        given_up.close()
    (body,) = bodies()
    assert (body["outcome"], body["meta"]["run"]) == ("aborted", 7)
    assert "ana" in str(body["actor"])


def test_a_resource_that_cannot_be_named_does_not_break_the_call(bodies):
    @indelible.audited("report.export", resource=lambda: 1 / 0)
    def export() -> str:
        return "done"

    assert export() == "done"
    assert "resource" not in bodies()[0]
