"""What a model event says: values, differences, masks, what is not known."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import pytest

import journal
from indelible import _native
from indelible._native import UNKNOWN, Encoded, Expression, encode

REDACTOR = _native.Redactor(mask_fields=["birth_date"])
CONTEXT = _native.Context(REDACTOR, actor={"type": "user", "id": 7, "label": "ana"}, request_id="r-1")
FIELDS = ["name", "notes", "ssn", "birth_date", "api_key"]
CARD = "4111 1111 1111 1111"


@pytest.fixture
def model() -> _native.Model:
    masked = [False, False, True, False, False]
    return _native.Model(REDACTOR, type="clinic.Patient", noun="patient", fields=FIELDS, masked=masked, sensitive=False)


@pytest.fixture
def body(tmp_path: Path):
    """Records an event and gives its body, without what every event has."""
    recorder = _native.Recorder(REDACTOR, data_dir=tmp_path, service="models")

    def record(event: _native.Event | None) -> dict[str, Any]:
        assert event is not None
        assert recorder.record(event).status == "at"
        return journal.events(tmp_path, "models")[-1]

    return record


def changed(model: _native.Model, old: Any, new: Any) -> _native.Event | None:
    return model.updated(CONTEXT, 1, None, (0,), (old,), (new,))


def test_a_created_row_carries_its_values_and_context(model, body):
    event = model.created(CONTEXT, 41, "Ana", ("Ana", None, "123", dt.date(1980, 1, 1), "k"))
    assert (event.kind, event.action) == ("change", "patient.create")
    written = body(event)
    assert written["actor"] == {"type": "user", "id": "7", "label": "ana"}
    assert written["request"] == {"id": "r-1"}
    assert written["resource"] == {"type": "clinic.Patient", "id": "41", "label": "Ana"}
    assert written["changes"] == [
        {"field": "name", "new": "Ana"},
        {"field": "notes", "new": None},
        {"field": "ssn", "masked": True},
        {"field": "birth_date", "masked": True},
        {"field": "api_key", "masked": True},
    ]


def test_a_created_row_without_key_has_no_id(model, body):
    assert body(model.created(CONTEXT, None, None, ("Ana", 1, 2, 3, 4)))["resource"] == {"type": "clinic.Patient"}


def test_a_created_row_says_what_the_database_made(model, body):
    changes = body(model.created(CONTEXT, 1, None, (UNKNOWN, Expression("Now()"), 1, 1, 1)))["changes"]
    assert changes[:2] == [
        {"field": "name", "new_unknown": True},
        {"field": "notes", "new_unknown": True, "expression": "Now()"},
    ]


def test_an_update_names_only_what_changed(model, body):
    event = model.updated(CONTEXT, 1, "Ana", (0, 1), ("Ana", "a"), ("Ana", "b"))
    assert body(event)["changes"] == [{"field": "notes", "old": "a", "new": "b"}]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a", "a"),
        (10**30, 10**30),
        (decimal.Decimal("12.5"), decimal.Decimal("12.50")),
        (
            dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc),
            dt.datetime(2026, 1, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        ),
        (float("nan"), float("nan")),
        (decimal.Decimal("sNaN"), None),
        (encode({"a": 1, "b": 2}), {"b": 2, "a": 1}),
        (encode([1]), encode([1])),
        (b"abc", memoryview(b"abc")),
    ],
)
def test_equal_values_are_no_change(model, old, new):
    if new is None:
        new = old
    assert changed(model, old, new) is None


@pytest.mark.parametrize(
    ("old", "new", "shown_old", "shown_new"),
    [
        (1, True, 1, True),
        ("1", 1, "1", 1),
        (None, "", None, ""),
        (decimal.Decimal("sNaN"), decimal.Decimal("sNaN1"), "sNaN", "sNaN1"),
        (encode({"a": [1]}), {"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}),
        (f"old {CARD}", "new", "old [masked]", "new"),
        (encode({"password": "a", "b": 1}), {"password": "b", "b": 2}, {"password": "[masked]", "b": 1}, {"password": "[masked]", "b": 2}),
    ],
)
def test_a_difference_is_shown_redacted(model, body, old, new, shown_old, shown_new):
    assert body(changed(model, old, new))["changes"] == [{"field": "name", "old": shown_old, "new": shown_new}]


def test_json_changed_in_place_is_seen_against_its_copy(model, body):
    value = {"tags": ["a"]}
    copy = encode(value)
    assert isinstance(copy, Encoded)
    assert changed(model, copy, value) is None
    value["tags"].append("b")
    assert body(changed(model, copy, value))["changes"] == [{"field": "name", "old": {"tags": ["a"]}, "new": {"tags": ["a", "b"]}}]


def deep(levels: int) -> list:
    value: list = ["innermost"]
    for _ in range(levels):
        value = [value]
    return value


def innermost(value: list) -> list:
    while isinstance(value[0], list):
        value = value[0]
    return value


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ({"a": {"b": [1, {"c": "x"}]}}, lambda value: value["a"]["b"][1].update(c="y")),
        ([[1], [2]], lambda value: value[1].append(3)),
        ({"a": None, "b": {}}, lambda value: value["b"].update(c=1)),
        ({1: [1]}, lambda value: value[1].append(2)),
        ({"a": {1, 2}}, lambda value: value["a"].add(3)),
        ({"a": bytearray(b"x")}, lambda value: value["a"].extend(b"y")),
        ({"a": collections.OrderedDict(b=[1])}, lambda value: value["a"]["b"].append(2)),
        (deep(10), lambda value: innermost(value).append("more")),
        (deep(25), lambda value: innermost(value).append("more")),
    ],
)
def test_a_copy_stays_as_the_value_was_wherever_that_is_changed(value, change):
    before, copy = encode(value).json(), encode(value)
    change(value)
    assert copy.json() == before
    assert encode(value).json() != before
    assert copy != encode(value)


def test_a_value_inside_itself_is_copied():
    value: list = [1]
    value.append(value)
    assert encode(value).json() == '[1,"<cycle>"]'


@pytest.mark.parametrize("copied", [encode, lambda value: value], ids=["copy", "value"])
def test_what_differs_too_deep_inside_has_changed_all_the_same(model, body, copied):
    # Both texts end where it is too deep, and were equal: such a change left no event.
    def nested(leaf, depth=40):
        return {"a": nested(leaf, depth - 1)} if depth else leaf

    assert body(changed(model, copied(nested(1)), nested(2)))["changes"] == [{"field": "name", "masked": True}]
    assert changed(model, copied(nested(1)), nested(1)) is None
    assert encode(nested(1)) == encode(nested(1)) != encode(nested(2))


@pytest.mark.parametrize(("old", "new"), [("4111111111111111", "5500005555555559"), (encode({"token": 1}), {"token": 2})])
def test_a_difference_only_in_what_is_masked_is_said_without_values(model, body, old, new):
    assert body(changed(model, old, new))["changes"] == [{"field": "name", "masked": True}]


def test_a_masked_field_tells_that_it_changed_and_nothing_else(model, body):
    assert model.updated(CONTEXT, 1, None, (2,), ("same",), ("same",)) is None
    event = model.updated(CONTEXT, 1, None, (2, 3, 4), ("1", UNKNOWN, "a"), ("2", "x", Expression("secret")))
    assert body(event)["changes"] == [{"field": name, "masked": True} for name in ("ssn", "birth_date", "api_key")]


def test_what_is_not_known_is_said(model, body):
    event = model.updated(
        CONTEXT, 1, None, (0, 1, 0, 1), (UNKNOWN, "a", UNKNOWN, "a"), ("x", Expression("F(n) + 1"), Expression("F(n)"), UNKNOWN)
    )
    assert body(event)["changes"] == [
        {"field": "name", "old_unknown": True, "new": "x"},
        {"field": "notes", "old": "a", "new_unknown": True, "expression": "F(n) + 1"},
        {"field": "name", "old_unknown": True, "new_unknown": True, "expression": "F(n)"},
        {"field": "notes", "old": "a", "new_unknown": True},
    ]


def test_a_deleted_row_carries_its_old_values(model, body):
    event = model.deleted(CONTEXT, 1, "Ana", (0, 1, 2), ("Ana", UNKNOWN, "123"))
    assert event.action == "patient.delete"
    assert body(event)["changes"] == [
        {"field": "name", "old": "Ana"},
        {"field": "notes", "old_unknown": True},
        {"field": "ssn", "masked": True},
    ]


@pytest.fixture
def wide() -> _native.Model:
    """A model of four columns, of which the second and the last are recorded."""
    return _native.Model(
        REDACTOR, type="clinic.Patient", noun="patient", fields=["name", "ssn"], masked=[False, True], sensitive=False, places=[1, 3]
    )


def test_rows_of_all_columns_carry_the_recorded_ones_that_are_known(wide, body):
    created = wide.created_row(CONTEXT, 41, "Ana", [41, "Ana", "unrecorded", "123"])
    assert created.action == "patient.create"
    assert body(created)["changes"] == [{"field": "name", "new": "Ana"}, {"field": "ssn", "masked": True}]
    deferred = object()
    deleted = wide.deleted_row(CONTEXT, 41, "Ana", (41, "Ana", deferred, deferred), deferred)
    assert deleted.action == "patient.delete"
    written = body(deleted)
    assert written["changes"] == [{"field": "name", "old": "Ana"}]
    assert written["resource"] == {"type": "clinic.Patient", "id": "41", "label": "Ana"}


def test_a_row_of_too_few_columns_is_refused(wide):
    with pytest.raises(IndexError):
        wide.created_row(CONTEXT, 1, None, [1, "Ana"])
    with pytest.raises(IndexError):
        wide.deleted_row(CONTEXT, 1, None, (1, "Ana"), None)


def test_a_many_to_many_change_lists_ids(model, body):
    event = model.related(CONTEXT, 1, None, "groups", added=[3, 4], removed=["a"], exact=False)
    assert body(event)["changes"] == [{"field": "groups", "added": ["3", "4"], "removed": ["a"], "exact": False}]


@pytest.mark.parametrize(("field", "masked"), [("groups", True), ("api_keys", False)])
def test_a_many_to_many_change_of_a_masked_field_lists_none(model, body, field, masked):
    event = model.related(CONTEXT, 1, None, field, added=[3], removed=["a"], exact=True, masked=masked)
    assert body(event)["changes"] == [{"field": field, "masked": True}]


def test_a_statement_carries_the_true_total_and_a_thousand_ids(model, body):
    event = model.statement(CONTEXT, "update", count=5000, ids=range(5000), where="name = %s", fields=["name"])
    written = body(event)
    (change,) = written["changes"]
    assert written["resource"] == {"type": "clinic.Patient"}
    assert (change["count"], len(change["ids"]), change["where"], change["fields"]) == (5000, 1000, "name = %s", ["name"])


@pytest.mark.parametrize(("pk", "written"), [(7, "7"), ("a", "a"), ((1, "b"), '[1,"b"]'), (4111111111111111, "4111111111111111")])
def test_a_key_is_written_as_text_and_never_masked(model, body, pk, written):
    assert body(model.deleted(CONTEXT, pk, None, (), ()))["resource"]["id"] == written


def test_a_label_is_redacted_and_cut(model, body):
    label = body(model.deleted(CONTEXT, 1, f"{CARD} " + "é" * 300, (), ()))["resource"]["label"]
    assert label.startswith("[masked] é")
    assert len(label.encode()) <= 256


def test_fields_and_masks_must_match():
    with pytest.raises(ValueError, match="2 fields"):
        _native.Model(REDACTOR, type="a.B", noun="b", fields=["a", "b"], masked=[True], sensitive=False)


def test_an_index_without_field_is_an_error(model):
    with pytest.raises(ValueError, match="no field 9"):
        model.deleted(CONTEXT, 1, None, (9,), ("x",))
