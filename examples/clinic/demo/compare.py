"""Compares ledger, trail and database, id by id. A difference is a line of text; agreement is an empty list."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from demo.ledger import Effect, Exchange

DENIED = {401, 403}


def differences(exchanges: list[Exchange], records: list[dict], database: Path) -> list[str]:
    """Everything in which what happened and what was recorded do not agree, in either direction."""
    events = [record["event"] for record in records]
    return [
        *differences_of_requests(exchanges, [event for event in events if event["kind"] == "request"]),
        *differences_of_changes(exchanges, [event for event in events if event["kind"] == "change"]),
        *differences_of_auth(exchanges, [event for event in events if event["kind"] == "auth"]),
        *differences_of_rows(events, database),
    ]


def request_id(event: dict) -> str:
    return event.get("request", {}).get("id", "")


def by_request(events: Iterable[dict]) -> dict[str, list[dict]]:
    grouped = defaultdict(list)
    for event in events:
        grouped[request_id(event)].append(event)
    return grouped


def expected_outcome(status: int) -> str:
    if status < 400:
        return "success"
    return "denied" if status in DENIED else "failure"


def differences_of_requests(exchanges: list[Exchange], events: list[dict]) -> Iterator[str]:
    """Each exchange has exactly one event, with the same method and status; no event is without exchange."""
    recorded = by_request(events)
    for exchange in exchanges:
        what = f"request {exchange.request_id} ({exchange.method} {exchange.path}, {exchange.status})"
        found = recorded.pop(exchange.request_id, [])
        if len(found) != 1:
            yield f"{what}: {len(found)} events"
            continue
        request = found[0]["request"]
        if (request["method"], request["status"]) != (exchange.method, exchange.status):
            yield f"{what}: recorded as {request['method']}, {request['status']}"
        if found[0]["outcome"] != expected_outcome(exchange.status):
            yield f"{what}: outcome {found[0]['outcome']}, not {expected_outcome(exchange.status)}"
    for unknown in recorded:
        yield f"request {unknown}: in the trail, never sent"


def effects_recorded(events: Iterable[dict]) -> Counter[tuple[str, Effect]]:
    """Successful changes of single objects of the clinic that a request caused."""
    return Counter(
        (request_id(event), Effect(event["action"].rsplit(".")[-1], event["resource"]["type"], event["resource"]["id"]))
        for event in events
        if event["outcome"] == "success" and request_id(event) and is_of_clinic(event)
    )


def is_of_clinic(event: dict) -> bool:
    resource = event.get("resource", {})
    return resource.get("type", "").startswith("clinic.") and "id" in resource


def differences_of_changes(exchanges: list[Exchange], events: list[dict]) -> Iterator[str]:
    """Each created, updated or deleted object has exactly one event under its request's id, and the other way round."""
    done = Counter((exchange.request_id, effect) for exchange in exchanges for effect in exchange.effects)
    recorded = effects_recorded(events)
    for (request, effect), count in (done - recorded).items():
        yield f"request {request}: {effect.verb} of {effect.type}/{effect.id} is missing {count} times"
    for (request, effect), count in (recorded - done).items():
        yield f"request {request}: {effect.verb} of {effect.type}/{effect.id} is recorded {count} times too often"


def differences_of_auth(exchanges: list[Exchange], events: list[dict]) -> Iterator[str]:
    """Each login, failed login and logout has exactly one event under its request's id, and the other way round.

    Rights that the seed gave are of no request.
    """
    done = Counter((exchange.request_id, *exchange.auth) for exchange in exchanges if exchange.auth)
    recorded = Counter((request_id(event), event["action"], event["outcome"]) for event in events if request_id(event))
    for (request, action, outcome), count in (done - recorded).items():
        yield f"request {request}: {action} ({outcome}) is missing {count} times"
    for (request, action, outcome), count in (recorded - done).items():
        yield f"request {request}: {action} ({outcome}) is recorded {count} times too often"


def differences_of_rows(events: list[dict], database: Path) -> Iterator[str]:
    """Patients that the trail says were created and not deleted are the rows of the table, those of the seed included."""
    changes = [event for event in events if event["kind"] == "change" and event["outcome"] == "success"]
    ids = defaultdict(set)
    for event in changes:
        resource = event.get("resource", {})
        if resource.get("type") == "clinic.Patient" and "id" in resource:
            ids[event["action"]].add(resource["id"])
    alive = ids["patient.create"] - ids["patient.delete"]
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = {str(row[0]) for row in connection.execute("SELECT id FROM clinic_patient")}
    for missing in sorted(rows - alive):
        yield f"clinic.Patient/{missing}: a row without a record of its creation"
    for gone in sorted(alive - rows):
        yield f"clinic.Patient/{gone}: recorded as created and not deleted, no row"
