"""Old values: kept by reference, true after a rollback, and no burden for whoever copies or pickles an instance."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from django.contrib.sessions.models import Session
from django.db import transaction

from indelible import _runtime
from indelible.django._models import plan_of
from indelible.django._rows import RowUpdate
from indelible.django._snapshots import known_values
from testproject.models import Counter, Paper, Patient, Row
from trails import Trail, fields

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def row(trail: Trail) -> Row:
    made = Row.objects.create(number=1)
    trail.forget()
    return Row.objects.get(pk=made.pk)


def saved(row: Row, number: int) -> None:
    row.number = number
    row.save()


def test_a_rollback_gives_the_old_values_back(trail: Trail, row: Row) -> None:
    with transaction.atomic():
        saved(row, 2)
        transaction.set_rollback(True)
    row.save()
    (event,) = trail.changes()
    assert fields(event) == {"number": (1, 2)}
    assert Row.objects.get(pk=row.pk).number == 2


def test_a_rolled_back_savepoint_gives_back_what_was_saved_before_it(trail: Trail, row: Row) -> None:
    with transaction.atomic():
        saved(row, 2)
        saved(row, 3)
        savepoint = transaction.savepoint()
        saved(row, 4)
        with transaction.atomic():
            saved(row, 5)
        transaction.savepoint_rollback(savepoint)
        saved(row, 6)
    assert [fields(event)["number"] for event in trail.changes()] == [(1, 2), (2, 3), (3, 6)]


def test_a_row_read_in_a_transaction_that_is_rolled_back_is_not_known(trail: Trail, row: Row) -> None:
    with transaction.atomic():
        Row.objects.filter(pk=row.pk).update(number=7)
        seen = Row.objects.get(pk=row.pk)
        transaction.set_rollback(True)
    seen.save()
    (event,) = trail.changes()
    assert event["changes"] == [{"field": "number", "old_unknown": True, "new": 7}]


def test_what_was_written_without_a_recorder_is_an_old_value_later(trail: Trail, row: Row) -> None:
    settings = _runtime.runtime().settings
    _runtime.configure(dataclasses.replace(settings, enabled=False))
    saved(row, 2)
    _runtime.configure(settings)
    saved(row, 3)
    assert [fields(event)["number"] for event in trail.changes()] == [(2, 3)]


def test_after_a_fault_of_ours_the_old_value_is_unknown_and_not_wrong(trail: Trail, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    _runtime.configure(dataclasses.replace(_runtime.runtime().settings, on_error="degrade"))
    with monkeypatch.context() as patch:
        patch.setattr(RowUpdate, "_differing", lambda self, result: 1 / 0)
        saved(row, 2)
    saved(row, 3)
    degraded, updated = trail.changes()
    assert degraded["notes"] == ["values not recorded: ZeroDivisionError"]
    assert updated["changes"] == [{"field": "number", "old_unknown": True, "new": 3}]


def test_the_chain_of_old_values_stays_short(row: Row) -> None:
    with transaction.atomic():
        for number in range(100):
            with transaction.atomic():
                saved(row, number)
        kept, length = row._state.indelible_values, 0
        while hasattr(kept, "previous"):
            kept, length = kept.previous, length + 1
    assert length <= 3


def test_loaded_values_are_kept_by_reference() -> None:
    created = Row.objects.create(number=2**30)
    loaded = Row.objects.get(pk=created.pk)
    assert loaded._state.indelible_values[1] is loaded.number


def test_rows_of_models_that_are_not_recorded_keep_nothing() -> None:
    Session.objects.create(session_key="k", session_data="", expire_date="2030-01-01T00:00Z")
    assert Session.objects.get()._state.indelible_values is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda instance: pickle.loads(pickle.dumps(instance))])
def test_copies_and_pickles_work_and_record_no_wrong_old_value(trail: Trail, copied: object) -> None:
    patient = Patient.objects.create(name="Ana", details={"a": [1]})
    trail.forget()
    with transaction.atomic():
        patient.visits = 1
        patient.save()
        again = copied(Patient.objects.get(pk=patient.pk))  # type: ignore[operator]
        again.details["a"].append(2)
        again.save()
    event = trail.changes()[-1]
    (details,) = (change for change in event["changes"] if change["field"] == "details")
    assert details["new"] == {"a": [1, 2]}
    assert details.get("old") == {"a": [1]} or details["old_unknown"] is True


def test_what_pickles_carry_does_not_name_this_package() -> None:
    Paper.objects.create(code="x", tags=["a"])
    assert b"indelible.django" not in pickle.dumps(Paper.objects.get())


def test_only_and_raw_queries_keep_what_they_loaded() -> None:
    Counter.objects.create(name="a", hits=3)
    plan = plan_of(Counter)
    assert plan is not None
    for counter in (Counter.objects.only("hits").get(), Counter.objects.raw("SELECT id, hits FROM testproject_counter")[0]):
        values = known_values(counter, plan, "default")
        assert values is not None
        assert values[plan.places["hits"].position] == 3
        assert "name" not in counter.__dict__
