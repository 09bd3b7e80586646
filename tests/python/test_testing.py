"""What a site's tests see of the trail: ``indelible.testing``, in Django's own ``TestCase`` and around real transactions."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import decimal
import json
import os
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client, TestCase

import indelible
from indelible import IndelibleError, _runtime
from indelible.testing import ANY, MASKED, UNKNOWN, AuditEvents, assert_audited, assert_no_audit, capture_events, off
from testproject.models import Counter, Patient, Secret
from trails import Trail


@pytest.fixture
def audit_events(trail: Trail) -> Iterator[AuditEvents]:
    with capture_events() as events:
        yield events


class InsideATestCase(TestCase):
    """Django rolls every test back: nothing of this is ever committed."""

    def test_a_write_is_seen_at_once_although_nothing_is_committed(self) -> None:
        with assert_audited(action="patient.create", object="patient") as events:
            patient = Patient.objects.create(name="Ana", ssn="123-45-6789")
        events.one(object=patient).changed(name=(ANY, "Ana"), ssn=(MASKED, MASKED))
        assert [event.fate for event in events] == ["committed"]

    def test_a_write_in_a_transaction_is_pending_until_the_transaction_ends(self) -> None:
        with capture_events() as events:
            with transaction.atomic():
                Patient.objects.create(name="Ana")
                assert events.one(action="patient.create", pending=True).pending
            assert not events.one(action="patient.create", pending=False).pending

    def test_what_is_rolled_back_is_not_among_the_events(self) -> None:
        with assert_no_audit(action="patient.*") as events, contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Patient.objects.create(name="Ana")
            _ = 1 // 0
        assert [event["action"] for event in events.rolled_back] == ["patient.create"]

    def test_a_savepoint_takes_only_its_own_events_along(self) -> None:
        with capture_events() as events, transaction.atomic():
            Patient.objects.create(name="Ana")
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                Patient.objects.create(name="Bo")
                _ = 1 // 0
            events.one(action="patient.create").changed(name=(ANY, "Ana"))

    def test_a_missing_event_is_a_failure(self) -> None:
        missing = pytest.raises(AssertionError, match=r"0 events match action='patient\.delete'; 1 should")
        with missing, assert_audited(action="patient.delete"):
            Patient.objects.create(name="Ana")

    def test_an_exception_of_the_block_is_not_hidden_by_the_assertion(self) -> None:
        with pytest.raises(ZeroDivisionError), assert_audited(action="patient.delete"):
            _ = 1 // 0

    def test_an_unexpected_event_is_a_failure_that_shows_it(self) -> None:
        with pytest.raises(AssertionError, match=r"patient.create testproject.Patient/\d+ by system:"), assert_no_audit():
            Patient.objects.create(name="Ana")


@pytest.mark.usefixtures("database")
class TestRealTransactions:
    def test_fates_follow_the_transaction(self, audit_events: AuditEvents) -> None:
        with transaction.atomic():
            Patient.objects.create(name="Ana")
            indelible.record("ward.open")
            assert [event.fate for event in audit_events] == ["pending", "pending"]
        assert [event.fate for event in audit_events] == ["committed", "committed"]
        Patient.objects.create(name="Bo")
        indelible.record("ward.close")
        assert [event.fate for event in audit_events][2:] == ["committed", "recorded"]

    def test_a_sensitive_change_that_is_rolled_back_is_an_aborted_event_as_it_would_be_recorded(self, audit_events: AuditEvents) -> None:
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Secret.objects.create(text="s")
            _ = 1 // 0
        audit_events.one(action="secret.create", outcome="aborted")
        assert len(audit_events.rolled_back) == 1

    def test_a_generated_key_is_in_the_event_of_a_write_outside_of_a_transaction(self, audit_events: AuditEvents) -> None:
        patient = Patient.objects.create(name="Ana")
        assert audit_events.one(object=patient)["resource"]["id"] == str(patient.pk)

    def test_an_update_of_no_row_is_no_event(self, audit_events: AuditEvents) -> None:
        Patient.objects.filter(pk=0).update(name="Ana")
        audit_events.none()

    def test_nothing_reaches_the_disk(self, audit_events: AuditEvents, tmp_path: Path) -> None:
        Patient.objects.create(name="Ana")
        with transaction.atomic():
            Patient.objects.create(name="Bo")
        assert len(audit_events) == 2
        assert not (tmp_path / "data").exists()

    def test_the_bodies_are_those_that_are_recorded(self, trail: Trail) -> None:
        def write() -> None:
            with indelible.context(actor="user:7", reason="intake", meta={"password": "x"}), transaction.atomic():
                Counter.objects.create(name="a")
                Counter.objects.update_or_create(name="a", defaults={"hits": 3})
                indelible.record("counter.check", meta={"card": "4111 1111 1111 1111"})

        with capture_events() as events:
            write()
        captured = [_comparable(event) for event in events]
        Counter.objects.all().delete()
        trail.forget()
        write()
        assert captured == [_comparable(event) for event in trail.events()]


def _comparable(body: dict[str, Any]) -> dict[str, Any]:
    """Without times, ids, and the keys that the database counts up."""
    kept = {key: value for key, value in body.items() if key not in ("id", "occurred_at", "recorded_at")}
    kept["resource"] = {"type": (body.get("resource") or {}).get("type")}
    kept["changes"] = [change for change in body.get("changes", ()) if change["field"] != "id"]
    return json.loads(json.dumps(kept))


class TestQuestions:
    @pytest.fixture(autouse=True)
    def _events(self, audit_events: AuditEvents) -> None:
        self.events = audit_events

    def made(self, action: str = "patient.update", **parts: Any) -> None:
        indelible.record(action, **parts)

    @pytest.mark.parametrize("actor", ["7", "ana", "user", "user:7", User(pk=7, username="other"), lambda actor: actor["label"] == "ana"])
    def test_an_actor_is_found_by_whatever_names_it(self, actor: Any) -> None:
        with indelible.context(actor={"type": "user", "id": "7", "label": "ana"}):
            self.made()
        self.events.one(actor=actor)
        self.events.none(actor="8")

    @pytest.mark.parametrize("name", ["clinic.Patient/1", "patient/1", "patient", "clinic.Patient", "PATIENT/1"])
    def test_an_object_is_found_with_or_without_its_app(self, name: str) -> None:
        self.made(resource="clinic.Patient/1")
        self.events.one(object=name)
        self.events.none(object="clinic.patient/1")
        self.events.none(object="patient/2")
        self.events.none(object="doctor/1")

    def test_an_instance_and_its_class_name_an_object(self) -> None:
        self.made(resource=Patient(pk=4, name="Ana"))
        self.events.one(object=Patient(pk=4))
        self.events.one(object=Patient)
        self.events.none(object=Patient(pk=5))

    def test_members_of_the_event_are_criteria(self) -> None:
        with indelible.context(tenant="north"):
            self.made(reason="ticket 42", meta={"ward": "3", "beds": 2})
        self.events.one(reason="ticket 42", tenant="north", kind="action", outcome="success", meta={"ward": "3", "beds": ANY})
        self.events.none(meta={"ward": "4"})
        self.events.none(reason=None)
        assert self.events.all(reason=lambda reason: reason.startswith("ticket"))

    def test_values_are_compared_as_they_stand_in_a_body(self) -> None:
        born, balance = datetime.date(1990, 1, 2), decimal.Decimal("1.50")
        self.made(changes=[{"field": "born", "old": None, "new": born}, {"field": "balance", "new": balance}])
        self.events.one().changed(born=(None, born), balance=(UNKNOWN, balance))
        with pytest.raises(AssertionError, match="born changed from None to '1990-01-02', not from None to None"):
            self.events.one().changed(born=(None, None))
        with pytest.raises(AssertionError, match="ward did not change; what did: born, balance"):
            self.events.one().changed(ward=(ANY, ANY))

    def test_a_masked_value_is_only_masked(self) -> None:
        self.made(changes=[{"field": "password", "old": "a", "new": "b"}, {"field": "name", "old": "a", "new": "b"}])
        event = self.events.one().changed(password=(MASKED, MASKED))
        with pytest.raises(AssertionError):
            event.changed(password=("a", "b"))
        with pytest.raises(AssertionError):
            event.changed(name=(MASKED, MASKED))
        self.events.none(field="password", unmasked=True)
        self.events.one(field="name", unmasked=True)

    def test_a_failure_shows_what_comes_near_and_what_differs(self) -> None:
        with indelible.context(actor="user:7"):
            self.made("patient.update", resource="clinic.Patient/1")
            self.made("ward.open")
        with pytest.raises(AssertionError) as failed:
            self.events.one(action="patient.update", actor="8", object="patient/1")
        said = str(failed.value)
        assert said.startswith("0 events match action='patient.update', actor='8', object='patient/1'; 1 should. Nearest:")
        near, far = said.splitlines()[1::2]
        assert (near, far) == ("  - patient.update clinic.Patient/1 by user:7", "  - ward.open by user:7")
        assert said.splitlines()[2].strip() == "actor is user:7"

    def test_a_failure_says_that_what_was_expected_was_rolled_back(self, database: str) -> None:
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Patient.objects.create(name="Ana")
            _ = 1 // 0
        with pytest.raises(AssertionError, match=r"No event was made that was not rolled back:\n  - patient.create"):
            self.events.one(action="patient.create")

    def test_a_failure_with_many_events_stays_short(self) -> None:
        for _ in range(100):
            self.made()
        with pytest.raises(AssertionError) as failed:
            self.events.one(action="patient.update")
        assert str(failed.value).endswith("… and 92 more")
        assert len(str(failed.value)) < 1_000

    def test_a_misspelt_criterion_is_an_error_and_not_a_match(self) -> None:
        self.made()
        with pytest.raises(TypeError, match="'acton' is not a criterion for events; did you mean 'action'"):
            self.events.none(acton="x")
        with pytest.raises(TypeError, match="'unmasked' goes with 'field'"):
            self.events.none(unmasked=True)

    def test_clear_forgets_what_was_made_until_now(self) -> None:
        self.made()
        self.events.clear()
        self.events.none()
        self.made("ward.open")
        assert [event["action"] for event in self.events] == ["ward.open"]
        assert isinstance(self.events[0], dict)

    def test_a_snapshot_is_the_same_in_every_run(self) -> None:
        def run() -> list[dict[str, Any]]:
            self.events.clear()
            with indelible.context(actor="user:7"):
                self.made("patient.create", resource="clinic.Patient/81", changes=[{"field": "id", "old": None, "new": 81}])
                self.made("patient.update", resource="clinic.Patient/81")
                self.made("patient.update", resource="clinic.Patient/82")
            return self.events.snapshot()

        first = run()
        assert first == run()
        assert [event["id"] for event in first] == ["<event 1>", "<event 2>", "<event 3>"]
        assert [event["resource"]["id"] for event in first] == ["<clinic.Patient 1>", "<clinic.Patient 1>", "<clinic.Patient 2>"]
        assert first[0]["changes"][0]["new"] == "<clinic.Patient 1>"
        assert (first[0]["recorded_at"], first[0]["actor"]["id"]) == ("<time>", "<user 1>")
        json.dumps(first)

    def test_events_that_were_pushed_out_are_an_error_and_not_silence(self) -> None:
        _runtime.set_capture(_native().Capture(events_max=2))
        with capture_events() as events:
            for _ in range(3):
                self.made()
            with pytest.raises(AssertionError, match="1 events are no longer there"):
                events.none(action="x.y")


def _native() -> Any:
    native = _runtime.runtime().native()
    assert native is not None
    return native


class TestPlaces:
    def test_events_of_every_thread_and_task_are_seen(self, audit_events: AuditEvents) -> None:
        def act(number: int) -> None:
            with indelible.context(actor=f"user:{number}"):
                indelible.record("bell.ring")

        async def act_async(number: int) -> None:
            await asyncio.sleep(0)
            act(number)

        async def all_tasks() -> None:
            await asyncio.gather(*(act_async(number) for number in range(100, 150)))

        threads = [threading.Thread(target=act, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=10)
        asyncio.run(all_tasks())
        assert {event["actor"]["id"] for event in audit_events} == {str(number) for number in (*range(50), *range(100, 150))}

    def test_blocks_nest_and_each_sees_its_own(self, audit_events: AuditEvents) -> None:
        indelible.record("a.a")
        with capture_events() as inner:
            indelible.record("b.b")
        indelible.record("c.c")
        assert [event["action"] for event in inner] == ["b.b"]
        assert [event["action"] for event in audit_events] == ["a.a", "b.b", "c.c"]

    def test_afterwards_events_go_where_they_went_before(self, trail: Trail) -> None:
        with capture_events():
            indelible.record("a.a")
        indelible.record("b.b")
        assert [event["action"] for event in trail.events()] == ["b.b"]

    def test_off_keeps_nothing(self, trail: Trail) -> None:
        with capture_events() as events, off():
            indelible.record("a.a")
            with capture_events() as inside:
                indelible.record("b.b")
        assert (len(events), [event["action"] for event in inside]) == (0, ["b.b"])
        assert trail.events() == []

    def test_a_forked_child_captures_nothing_and_writes_nothing(self, audit_events: AuditEvents, tmp_path: Path) -> None:
        child = os.fork()
        if child == 0:
            try:
                indelible.record("a.a")
                os._exit(0 if len(audit_events) == 0 else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        audit_events.none()
        assert not (tmp_path / "data").exists()

    def test_a_site_that_records_nowhere_can_be_looked_at(self, trail: Trail, settings: Any) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, "RECORD": "nowhere"}
        with assert_audited(action="a.a"):
            indelible.record("a.a")
        indelible.record("b.b")
        settings.INDELIBLE = {**settings.INDELIBLE, "RECORD": "journal"}
        assert trail.events() == []

    def test_settings_that_leave_events_out_leave_them_out_here(self, settings: Any) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, "IGNORE_ACTIONS": ["draft.*"]}
        with capture_events() as events:
            indelible.record("draft.update")
            indelible.record("text.update")
        assert [event["action"] for event in events] == ["text.update"]

    @pytest.mark.usefixtures("database")
    def test_a_block_inside_a_transaction_that_holds_events_elsewhere_is_refused(self, trail: Trail) -> None:
        with transaction.atomic():
            Patient.objects.create(name="Ana")
            with pytest.raises(IndelibleError, match="open the block before the transaction"), capture_events():
                pass
        assert [event["action"] for event in trail.changes()] == ["patient.create"]

    def test_requests_are_seen_with_route_and_status(self, audit_events: AuditEvents) -> None:
        Client().get("/nowhere/")
        audit_events.one(kind="request", status=404, method="GET", path="/nowhere/")

    def test_it_works_in_a_plain_unittest(self, trail: Trail) -> None:
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(_Plain).run(result)
        assert (result.testsRun, result.errors, result.failures) == (1, [], [])


class _Plain(unittest.TestCase):
    def test_it(self) -> None:
        with assert_audited(action="a.a", times=2):
            indelible.record("a.a")
            indelible.record("a.a")
        assert connection.vendor
