"""The process whose instructions are counted. It reads one command a line and answers each with one line of JSON.

``stage OPERATION COUNT`` prepares arguments, ``fire`` runs nothing but the operations, ``statements OPERATION`` counts SQL statements.
"""

import datetime
import gc
import io
import json
import sys
from collections.abc import Callable
from decimal import Decimal

import django
from django.core.wsgi import get_wsgi_application

ROWS = 400
RICH_ROWS = 20
LOADED = 100

application = get_wsgi_application()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402

from clinic.models import Condition, Patient, Prescription  # noqa: E402

Operation = Callable[[], object]


def patient() -> dict:
    """A row with a masked field, a JSON field and many-to-many tables."""
    return {
        "name": "Ingeborg Björnsdóttir",
        "ssn": "219-09-9999",
        "birth_date": datetime.date(1961, 4, 17),
        "balance": Decimal("12.50"),
        "allergies": {"nuts": "mild", "latex": False},
    }


def rich_patient() -> dict:
    """The same with what makes it 1 KB."""
    notes = {f"visit {number}": "called and asked to move the visit, bring results of 2026-11-02" for number in range(10)}
    return {**patient(), "allergies": notes}


def prescription(patient: int) -> dict:
    """A plain row: text, decimal, date and a foreign key."""
    return {"patient_id": patient, "drug": "Ibuprofen", "dose_mg": Decimal("400.125"), "until": datetime.date(2030, 2, 1)}


def environ(token: str, body: bytes, method: str = "POST", path: str = "/api/patients/", query: str = "") -> dict:
    """A request as a WSGI server hands it over."""
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.1.2.3",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": "bench/1.0",
        "HTTP_AUTHORIZATION": f"Token {token}",
        "HTTP_X_REQUEST_ID": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def asking(request: dict, expected: str, bytes_min: int) -> Operation:
    """One request to the site; it fails when the answer is another, or too short to be what is measured."""

    def run() -> None:
        status = []
        response = application(request, lambda line, headers, exc_info=None: status.append(line))
        content = b"".join(response)
        response.close()
        if status != [expected] or len(content) < bytes_min:
            raise RuntimeError(f"{request['REQUEST_METHOD']} answered {status}, {len(content)} bytes")

    return run


class Worker:
    """Makes operations. Everything that an operation needs but is no part of it is done when it is made."""

    def __init__(self) -> None:
        user, _ = User.objects.get_or_create(username="bench", is_superuser=True)
        self.token = Token.objects.get_or_create(user=user)[0].key
        self.condition = Condition.objects.create(code="E11", name="Type 2 diabetes")
        Patient.objects.bulk_create([Patient(**patient()) for _ in range(ROWS)])
        patients = list(Patient.objects.order_by("pk").values_list("pk", flat=True))
        Prescription.objects.bulk_create([Prescription(**prescription(pk)) for pk in patients])
        Patient.objects.bulk_create([Patient(**rich_patient()) for _ in range(RICH_ROWS)])
        self.patient = patients[0]
        # Rows that are loaded together stay as they are; the others are used once each.
        self.patients = iter(patients[LOADED:])
        self.prescriptions = iter(list(Prescription.objects.order_by("pk").values_list("pk", flat=True))[LOADED:])
        self.staged: list[Operation] = []

    def operation(self, name: str) -> Operation:
        return getattr(self, name)()

    def create(self) -> Operation:
        values = prescription(self.patient)
        return lambda: Prescription.objects.create(**values)

    def create_atomic(self) -> Operation:
        values = prescription(self.patient)

        def run() -> None:
            with transaction.atomic():
                Prescription.objects.create(**values)

        return run

    def get_save(self) -> Operation:
        pk = next(self.prescriptions)

        def run() -> None:
            row = Prescription.objects.get(pk=pk)
            row.dose_mg = Decimal("200.250")
            row.save()

        return run

    def get_delete(self) -> Operation:
        pk = next(self.prescriptions)
        return lambda: Prescription.objects.get(pk=pk).delete()

    def m2m_add(self) -> Operation:
        row = Patient.objects.get(pk=next(self.patients))
        return lambda: row.conditions.add(self.condition)

    def bulk_create(self) -> Operation:
        rows = [Prescription(**prescription(self.patient)) for _ in range(LOADED)]
        return lambda: Prescription.objects.bulk_create(rows)

    def plain_query(self) -> Operation:
        def run() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.fetchall()

        return run

    def load_rows(self) -> Operation:
        return lambda: list(Prescription.objects.order_by("pk")[:LOADED])

    def load_json_rows(self) -> Operation:
        return lambda: list(Patient.objects.order_by("pk")[:LOADED])

    def post_create(self) -> Operation:
        body = json.dumps({**rich_patient(), "birth_date": "1961-04-17", "balance": "12.50"}).encode()
        return asking(environ(self.token, body), "201 Created", len(body))

    def get_detail(self) -> Operation:
        return asking(environ(self.token, b"", "GET", f"/api/patients/{self.patient}/"), "200 OK", 150)

    def get_list(self) -> Operation:
        return asking(environ(self.token, b"", "GET", "/api/patients/", f"limit={RICH_ROWS}&offset={ROWS}"), "200 OK", 18_000)

    def get_long_list(self) -> Operation:
        return asking(environ(self.token, b"", "GET", "/api/patients/", "limit=105"), "200 OK", 20_000)

    def stage(self, name: str, count: str) -> dict:
        self.staged = [self.operation(name) for _ in range(int(count))]
        gc.collect()
        gc.freeze()
        return {}

    def fire(self) -> dict:
        for operation in self.staged:
            operation()
        return {}

    def statements(self, name: str) -> dict:
        """How many statements one operation sends, those that begin and end transactions included."""
        self.operation(name)()
        operation = self.operation(name)
        connection.force_debug_cursor = True
        before = len(connection.queries_log)
        operation()
        sent = len(connection.queries_log) - before
        connection.force_debug_cursor = False
        return {"statements": sent}


def main() -> None:
    worker = Worker()
    print(json.dumps({"django": django.__version__}), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        print(json.dumps(getattr(worker, command)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
