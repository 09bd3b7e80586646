"""Any value that Python can hold has one representation in a body (docs/format.md, "Values that JSON cannot say")."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import hashlib
import json
import types
import uuid
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

import journal
from indelible import _native

REDACTOR = _native.Redactor()
UTC = dt.timezone.utc


@pytest.fixture
def stored(tmp_path: Path):
    """Records a value as metadata and reads it back from the journal."""
    recorder = _native.Recorder(REDACTOR, data_dir=tmp_path, service="values")
    context = _native.Context(REDACTOR, actor={"type": "system"})

    def store(value: Any) -> Any:
        recorder.record(recorder.event(context, "action", "values.store", meta={"value": value}))
        return journal.events(tmp_path, "values")[-1]["meta"]["value"]

    return store


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Nested(enum.Enum):
    RED = Colour.RED


class Shout(str):
    def __str__(self) -> str:
        return "not what is in it"


class Long(int):
    def __repr__(self) -> str:
        return "not a number"


class Opaque:
    def __str__(self) -> str:
        return "é" * 2000


class Raises:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


class LyingClass:
    @property
    def __class__(self) -> type:
        raise RuntimeError("no class either")

    def __str__(self) -> str:
        return "liar"


class Row:
    """Looks like a model instance; its text would cost a query."""

    _meta = types.SimpleNamespace(label="clinic.Patient")
    pk = 7

    def __str__(self) -> str:
        raise AssertionError("the text of a row was asked for")


def lazy_text() -> Any:
    return type("__proxy__", (), {"__str__": lambda self: "later"})()


BYTES = {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
OFFSET = dt.timezone(dt.timedelta(hours=5, minutes=30))

TABLE = [
    (None, None),
    (True, True),
    (0, 0),
    (-5, -5),
    (2**63, 2**63),
    (-(2**70), -(2**70)),
    (Long(2**80), 2**80),
    (1.5, 1.5),
    (1e300, 1e300),
    (float("nan"), "NaN"),
    (float("inf"), "Infinity"),
    (float("-inf"), "-Infinity"),
    ("text", "text"),
    (Shout("kept"), "kept"),
    ("\0", "\0"),
    ("a\ud800b", "a\ufffdb"),
    ("\udc00\ud800", "\ufffd\ufffd"),
    ('"\\\n\t\x1f', '"\\\n\t\x1f'),
    (decimal.Decimal("12.50"), "12.50"),
    (decimal.Decimal("1E+3"), "1E+3"),
    (decimal.Decimal("NaN"), "NaN"),
    (dt.date(987, 1, 2), "0987-01-02"),
    (dt.time(1, 2, 3, 4), "01:02:03.000004"),
    (dt.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
    (dt.datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006"),
    (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
    (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=OFFSET), "2026-01-02T03:04:05+05:30"),
    (dt.datetime(2026, 7, 2, 3, 4, tzinfo=ZoneInfo("Europe/Berlin")), "2026-07-02T03:04:00+02:00"),
    (dt.timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5), "93784.000005"),
    (dt.timedelta(seconds=-1, microseconds=1), "-0.999999"),
    (dt.timedelta.max, "86399999999999.999999"),
    (dt.timedelta.min, "-86399999913600"),
    (uuid.UUID("12345678-1234-5678-1234-567812345678"), "12345678-1234-5678-1234-567812345678"),
    (b"abc", BYTES),
    (bytearray(b"abc"), BYTES),
    (memoryview(b"abc"), BYTES),
    ([1, [2]], [1, [2]]),
    ((1, (2,)), [1, [2]]),
    (collections.namedtuple("Point", "x y")(1, 2), [1, 2]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset("b"), ["b"]),
    ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (
        {1: "one", None: "none", (1, 2): "pair", uuid.UUID(int=1): "id"},
        {"1": "one", "null": "none", "[1,2]": "pair", "00000000-0000-0000-0000-000000000001": "id"},
    ),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Nested.RED, "red"),
    (Row(), {"type": "clinic.Patient", "id": 7}),
    (lazy_text(), "later"),
    (object, {"type": "type", "text": "<class 'object'>"}),
    (LyingClass(), {"type": f"{__name__}.LyingClass", "text": "liar"}),
    (Opaque(), {"type": f"{__name__}.Opaque", "text": "é" * 512}),
    (Raises(), {"type": f"{__name__}.Raises", "text": "<unprintable>"}),
    ([Raises(), 1], [{"type": f"{__name__}.Raises", "text": "<unprintable>"}, 1]),
    ({"x": Raises()}, {"x": {"type": f"{__name__}.Raises", "text": "<unprintable>"}}),
]


@pytest.mark.defect("G-19", "A-8", "S-2")
@pytest.mark.parametrize(("value", "expected"), TABLE, ids=[f"{type(value).__name__}-{at}" for at, (value, _) in enumerate(TABLE)])
def test_every_value_has_its_representation(stored, value, expected):
    answer = stored(value)
    assert answer == expected
    assert type(answer) is type(expected)


def test_a_time_keeps_its_offset(stored):
    value = dt.time(1, 2, tzinfo=OFFSET)
    assert stored(value) == value.isoformat()


def test_a_value_inside_itself_ends_there(stored):
    around: list[Any] = [1]
    around.append({"again": around})
    assert stored(around) == [1, {"again": "<cycle>"}]


def test_a_value_that_is_there_twice_is_no_cycle(stored):
    shared = [1]
    assert stored([shared, shared]) == [[1], [1]]


def test_nesting_ends_at_32(stored):
    value: Any = "bottom"
    for _ in range(32):
        value = [value]
    assert json.dumps(stored(value)).count("[") == 32
    assert "bottom" in json.dumps(stored(value))
    answer = json.dumps(stored([value]))
    assert "<too deep>" in answer
    assert "bottom" not in answer


def test_an_integer_too_long_for_python_to_print_does_not_break_the_event(stored):
    assert stored(10**10_000) == {"type": "int", "text": "<unprintable>"}


def test_an_integer_that_no_double_holds_becomes_text(stored):
    assert stored([10**308, -(10**309)]) == [10**308, f"-1{'0' * 309}"]


def test_a_dict_that_changes_while_it_is_read_is_read_as_it_was(stored):
    target: dict[str, Any] = {}

    class Grows:
        def __str__(self) -> str:
            target["more"] = 1
            return "grown"

    target["first"] = Grows()
    target["second"] = 2
    assert stored(target)["second"] == 2


def test_the_order_of_members_makes_no_difference():
    assert _native.encode({"a": 1, "b": [{"c": 1, "d": 2}]}) == _native.encode({"b": [{"d": 2, "c": 1}], "a": 1})


def test_an_encoded_copy_does_not_follow_its_original():
    value = {"a": [1]}
    copy = _native.encode(value)
    value["a"].append(2)
    assert copy == _native.encode({"a": [1]})
    assert copy != _native.encode(value)


def test_an_encoded_copy_does_not_show_what_it_holds():
    assert "secret" not in repr(_native.encode({"note": "secret"}))


class Loaded:
    """As an instance of a model: its values are attributes, and it has a state."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values, _state=types.SimpleNamespace(indelible_values=None))


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", b"x", {}, []])
def test_rows_are_read_where_every_value_is_such_as_is_loaded(value):
    first, second = Loaded(id=1, any=value, other=0), Loaded(id=None, any=value)
    rows = _native.read_rows([first, second], ("id", "any"), (int, None))
    assert rows == [[1, value], [None, value]]
    assert rows[0][1] is value


@pytest.mark.parametrize(
    ("id", "value"),
    [(True, 1), ("1", 1), (1, Colour.RED), (1, decimal.Decimal(1)), (1, memoryview(b"")), (1, ()), (1, type("Text", (str,), {})("x"))],
)
def test_rows_are_not_read_where_one_has_a_value_of_another_type(id, value):
    assert _native.read_rows([Loaded(id=1, any=1), Loaded(id=id, any=value)], ("id", "any"), (int, None)) is None


def test_rows_are_not_read_where_one_lacks_a_value():
    assert _native.read_rows([Loaded(id=1, any=1), Loaded(id=1)], ("id", "any"), (int, None)) is None


def test_answers_go_to_their_rows():
    rows = [[None, "a"], [None, "b"]]
    _native.fill_rows(rows, [("x", 7), ("y", 8)], 1, 0)
    assert rows == [[7, "a"], [8, "b"]]


class Kept(NamedTuple):
    values: Any
    scope: Any
    previous: Any


def test_rows_are_remembered_unless_something_was_known_before():
    new, known = Loaded(), Loaded()
    known._state.indelible_values = before = [0]
    assert _native.remember_rows([new, known], [[1], [2]], "scope", Kept) == [(known, [2])]
    assert new._state.indelible_values == Kept([1], "scope", None)
    assert type(new._state.indelible_values) is Kept
    assert known._state.indelible_values is before
    assert _native.remember_rows([new, known], [[3], [4]], None, Kept) == []
    assert (new._state.indelible_values, known._state.indelible_values) == ([3], [4])
