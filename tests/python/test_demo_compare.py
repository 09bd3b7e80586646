"""The comparison of the demonstration finds every kind of difference: otherwise its agreement would say nothing."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(HOUSE / "examples" / "clinic"))

from demo import compare  # noqa: E402
from demo.ledger import Effect, Exchange  # noqa: E402

CREATED = Effect("create", "clinic.Patient", "1")
LOGIN = ("auth.login", "success")


def request_event(request_id: str = "r1", method: str = "POST", status: int = 201, outcome: str = "success") -> dict:
    return {
        "kind": "request",
        "action": "request.post",
        "outcome": outcome,
        "request": {"id": request_id, "method": method, "status": status},
    }


def change_event(action: str = "patient.create", id: str = "1", request_id: str = "r1", outcome: str = "success") -> dict:
    return {
        "kind": "change",
        "action": action,
        "outcome": outcome,
        "request": {"id": request_id},
        "resource": {"type": "clinic.Patient", "id": id},
    }


def auth_event() -> dict:
    return {"kind": "auth", "action": "auth.login", "outcome": "success", "request": {"id": "r1"}}


EXCHANGE = Exchange("r1", "POST", "/api/patients/", 201, (CREATED,), LOGIN)
HONEST = [request_event(), change_event(), auth_event()]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE clinic_patient (id INTEGER)")
        connection.execute("INSERT INTO clinic_patient VALUES (1)")
    return path


def differences(events: list[dict], database: Path, exchanges: list[Exchange] | None = None) -> list[str]:
    records = [{"leaf": leaf, "event": event} for leaf, event in enumerate(events)]
    return compare.differences([EXCHANGE] if exchanges is None else exchanges, records, database)


def test_an_honest_trail_agrees(database: Path) -> None:
    assert differences(HONEST, database) == []


@pytest.mark.parametrize("missing", range(len(HONEST)))
def test_a_missing_event_is_found(missing: int, database: Path) -> None:
    events = [event for index, event in enumerate(HONEST) if index != missing]
    assert any("r1" in line for line in differences(events, database))


@pytest.mark.parametrize("doubled", range(len(HONEST)))
def test_an_event_that_is_there_twice_is_found(doubled: int, database: Path) -> None:
    assert any("r1" in line for line in differences([*HONEST, HONEST[doubled]], database))


@pytest.mark.parametrize(
    "wrong",
    [request_event(method="PUT"), request_event(status=200), request_event(request_id="r2")],
    ids=["method", "status", "id"],
)
def test_a_request_recorded_as_another_is_found(wrong: dict, database: Path) -> None:
    assert differences([wrong, *HONEST[1:]], database)


@pytest.mark.parametrize(
    "wrong",
    [change_event(action="patient.update"), change_event(id="2"), change_event(outcome="aborted"), change_event(request_id="r2")],
    ids=["verb", "id", "outcome", "request"],
)
def test_a_change_recorded_as_another_is_found(wrong: dict, database: Path) -> None:
    assert differences([HONEST[0], wrong, HONEST[2]], database)


def test_a_denied_request_recorded_as_success_is_found(database: Path) -> None:
    denied = Exchange("r9", "DELETE", "/api/patients/1/", 403)
    told = request_event("r9", "DELETE", 403, outcome="success")
    assert differences([*HONEST, told], database, [EXCHANGE, denied]) == [
        "request r9 (DELETE /api/patients/1/, 403): outcome success, not denied"
    ]


def test_a_row_that_nobody_recorded_is_found(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO clinic_patient VALUES (2)")
    assert differences(HONEST, database) == ["clinic.Patient/2: a row without a record of its creation"]


def test_a_row_that_was_deleted_behind_the_trail_is_found(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM clinic_patient")
    assert differences(HONEST, database) == ["clinic.Patient/1: recorded as created and not deleted, no row"]
