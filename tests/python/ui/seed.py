"""A trail worth looking at: a clinic's month, recorded by the real recorder and ingested by the real agent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from indelible import _native

REDACTOR = _native.Redactor()
NOW_US = time.time_ns() // 1000
HOUR_US = 3_600_000_000
LONG_TYPE = "verylongapplicationname.VeryLongModelNameThatNobodyShortened"
HOSTILE = '<script>alert("x")</script> =1+1 & “quotes”'
PEOPLE = (
    {"type": "user", "id": "7", "label": "Ana Lindqvist", "auth": "session", "session": "5b1f0c9a11d2e3f4", "roles": ["doctor"]},
    {"type": "user", "id": "12", "label": "Bo Andersson", "auth": "token"},
    {"type": "user", "id": "31", "label": "Chidi Okafor", "auth": "jwt", "roles": ["nurse", "ward 3"]},
    {"type": "service", "id": "lab-gateway"},
    {"type": "system", "id": "nightly-sync"},
)
NOTES = (
    "Mild fever since Tuesday, stable at noon, no medication given",
    "High fever since Tuesday, stable at noon, paracetamol given twice",
)


class Clinic:
    """Records events as the web process of a clinic would."""

    def __init__(self, data_dir: Path) -> None:
        self.recorder = _native.Recorder(REDACTOR, data_dir=data_dir, service="clinic")
        self.number = 0

    def record(self, who: int, hours_ago: float, kind: Any, action: str, outcome: Any = "success", **parts: Any) -> None:
        self.number += 1
        parts.setdefault("request", request(f"req-{self.number:05}", "GET", "/patients/:id", 200))
        context = _native.Context(REDACTOR, PEOPLE[who])
        event = self.recorder.event(context, kind, action, outcome, occurred_at_us=NOW_US - int(hours_ago * HOUR_US), **parts)
        self.recorder.record(event)

    def visit(self, number: int) -> None:
        """One request of ward life, with what it caused."""
        who, hours = number % 3, (number * 7.3) % (29 * 24)
        patient = {"type": "clinic.Patient", "id": str(40 + number % 9), "label": f"Patient {40 + number % 9}"}
        asked = request(f"visit-{number:04}", "POST", "/patients/:id/notes/", 200 if number % 11 else 500)
        if number % 4 == 0:
            self.record(who, hours, "read", "patient.read", resource=patient, request=asked)
            return
        changes = [
            {"field": "note", "old": NOTES[0], "new": NOTES[1]},
            {"field": "status", "old": "in", "new": "observed"},
            {"field": "ssn", "masked": True},
        ]
        failed = number % 11 == 0
        self.record(
            who, hours, "change", "patient.update", "aborted" if failed else "success", resource=patient, changes=changes, request=asked
        )
        self.record(who, hours - 0.00002, "request", "request.post", "failure" if failed else "success", request=asked)

    def close(self) -> None:
        self.recorder.close()


def request(name: str, method: str, route: str, status: int) -> dict[str, Any]:
    return {
        "id": name,
        "method": method,
        "route": route,
        "path": route.replace(":id", "42"),
        "status": status,
        "duration_us": 38_400,
        "client_ip": "203.0.113.24",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    }


def every_form(clinic: Clinic) -> None:
    """One event with every form of change, and what goes with it."""
    asked = request("req-discharge", "POST", "/patients/:id/discharge/", 200)
    patient = {"type": "clinic.Patient", "id": "42", "label": "Maria Nilsson"}
    changes = [
        {"field": "status", "old": "observed", "new": "discharged"},
        {"field": "note", "old": NOTES[0], "new": NOTES[1]},
        {"field": "ssn", "masked": True},
        {"field": "ward", "old_unknown": True, "new": 3},
        {"field": "visits", "old": 4, "new_unknown": True, "expression": "visits + 1"},
        {"field": "discharged_at", "new": "2026-11-21T17:02:11Z"},
    ]
    reason = "Recovered; ticket 4711"
    clinic.record(0, 1.5, "change", "patient.discharge", resource=patient, changes=changes, reason=reason, request=asked)
    context = _native.Context(REDACTOR, PEOPLE[0], asked["id"])
    patients = _native.Model(REDACTOR, type="clinic.Patient", noun="patient", fields=["groups"], masked=[False], sensitive=False)
    clinic.recorder.record(patients.related(context, 42, "Maria Nilsson", "groups", added=[4, 9], removed=[2], exact=True))
    invoices = _native.Model(REDACTOR, type="billing.Invoice", noun="invoice", fields=["status"], masked=[False], sensitive=False)
    where = "patient_id = ? AND paid = ?"
    clinic.recorder.record(invoices.statement(context, "update", count=128, ids=range(900, 960), where=where, fields=["status"]))
    clinic.record(0, 1.49997, "outbound", "pharmacy.notify", request=asked, meta={"attempt": 1, "queue": "pharmacy"})
    clinic.record(0, 1.49996, "request", "request.post", request=asked)


def doubt(clinic: Clinic) -> None:
    """A transaction of which nobody knows how it ended, since its process ends here."""
    context = _native.Context(REDACTOR, PEOPLE[4])
    event = clinic.recorder.event(context, "change", "stock.move", resource={"type": "stock.Item", "id": "a b"})
    clinic.recorder.intent("default", [event]).unknown()


def seed(data_dir: Path) -> None:
    """Records the month. Order matters: what comes last is the newest record."""
    clinic = Clinic(data_dir)
    for number in range(130):
        clinic.visit(number)
    clinic.record(1, 30, "auth", "auth.login_failed", "failure", request=request("req-login", "POST", "/login/", 401))
    clinic.record(4, 20, "task", "report.export", meta={"rows": 1284})
    long = {"type": LONG_TYPE, "id": "9f1c2d3e4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978", "label": "A label that goes on and on " * 4}
    clinic.record(3, 6, "change", "measurement.create", resource=long, changes=[{"field": "value", "new": "x" * 3000}])
    clinic.record(
        2, 5, "action", "invoice.approve", "denied", resource={"type": "billing.Invoice", "id": "a/b report.json"}, reason=HOSTILE
    )
    clinic.record(1, 4, "change", "patient.create", resource={"type": "clinic.Patient", "id": "77", "label": HOSTILE})
    clinic.record(1, 3, "change", "patient.delete", resource={"type": "clinic.Patient", "id": "76", "label": "Patient 76"})
    clinic.record(0, 2, "auth", "auth.login", request=request("req-in", "POST", "/login/", 200))
    every_form(clinic)
    doubt(clinic)
    clinic.close()
