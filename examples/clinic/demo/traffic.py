"""What the users of the demo do, each in a thread of its own."""

import threading
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from demo.client import Answer, Client
from demo.ledger import Effect, Ledger

PATIENT, APPOINTMENT, PRESCRIPTION = "clinic.Patient", "clinic.Appointment", "clinic.Prescription"
LOGIN, FAILED_LOGIN, LOGOUT = ("auth.login", "success"), ("auth.login_failed", "denied"), ("auth.logout", "success")
# The conditions of a new patient are linked after its INSERT, which is an update of its own.
ADDED = ("create", "update")
# They are unlinked before its DELETE.
REMOVED = ("update", "delete")
ROUNDS = 10


def drive(address: tuple[str, int], password: str, ledger: Ledger) -> None:
    """Runs all users at once and returns when the last is done."""
    users: list[Callable[[Client], None]] = [
        lambda client: physician(client, "ana", password),
        lambda client: physician(client, "ben", password),
        lambda client: physician(client, "chloe", password),
        lambda client: clerk(client, "cleo", password),
        lambda client: service(client, "ben", password),
        lambda client: administrator(client, "root", password),
        lambda client: stranger(client),
    ]
    threads = [threading.Thread(target=guarded, args=(user, Client(address, ledger))) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def guarded(user: Callable[[Client], None], client: Client) -> None:
    """Writes a failure of the driver down too: a thread that dies quietly would make the ledger agree too easily."""
    try:
        user(client)
    except Exception as error:
        client.ledger.fault(f"driver: {type(error).__name__}: {error}")


def login(client: Client, user: str, password: str) -> None:
    client.call("POST", "/api/login/", {"username": user, "password": password}, expect=200, auth=LOGIN)


def logout(client: Client) -> None:
    client.call("POST", "/api/logout/", expect=204, auth=LOGOUT)


def new_patient(name: str) -> dict:
    return {
        "name": name,
        "ssn": "219-09-9999",
        "birth_date": "1961-04-17",
        "balance": "12.50",
        "allergies": {"nuts": "mild"},
        "conditions": [1, 2],
    }


def updated(type: str, id: int) -> list[Effect]:
    return [Effect("update", type, str(id))]


def deleted(type: str, id: int, verbs: Sequence[str] = ("delete",)) -> list[Effect]:
    return [Effect(verb, type, str(id)) for verb in verbs]


def physician(client: Client, name: str, password: str) -> None:
    """Treats patients: everything that is allowed, something that is not, something that fails."""
    login(client, name, password)
    for number in range(ROUNDS):
        client.call("GET", "/api/patients/", expect=200)
        patient = client.call(
            "POST", "/api/patients/", new_patient(f"{name}'s patient {number}"), expect=201, created=PATIENT, verbs=ADDED
        ).json()["id"]
        treat(client, patient)
        if number % 2:
            client.call("DELETE", f"/api/patients/{patient}/", expect=204, effects=deleted(PATIENT, patient, REMOVED))
            client.call("GET", f"/api/patients/{patient}/", expect=404)
        else:
            client.call("POST", f"/api/patients/{patient}/transfer/", expect=500)
    client.call("GET", "/api/patients/1/genome/", expect=403)
    logout(client)


def treat(client: Client, patient: int) -> None:
    one = f"/api/patients/{patient}/"
    client.call("PATCH", one, {"balance": "99.95"}, expect=200, effects=updated(PATIENT, patient))
    client.call("PATCH", one, {"balance": "99.95"}, expect=200)  # nothing changes, and the trail must say nothing
    changes = {"allergies": {"nuts": "severe", "latex": True}, "ssn": "219-09-0000"}
    client.call("PATCH", one, changes, expect=200, effects=updated(PATIENT, patient))
    client.call("GET", one, expect=200)
    visit = {"patient": patient, "physician": 1, "starts_at": "2030-01-02T09:30:00Z", "reason": "follow-up"}
    appointment = client.call("POST", "/api/appointments/", visit, expect=201, created=APPOINTMENT).json()["id"]
    later = {"starts_at": "2030-01-03T09:30:00Z"}
    client.call("PATCH", f"/api/appointments/{appointment}/", later, expect=200, effects=updated(APPOINTMENT, appointment))
    client.call("DELETE", f"/api/appointments/{appointment}/", expect=204, effects=deleted(APPOINTMENT, appointment))
    client.call("POST", f"{one}discharge/", expect=200, effects=updated(PATIENT, patient), reason="recovered")


def clerk(client: Client, name: str, password: str) -> None:
    """Registers patients, and tries what only physicians may."""
    client.call("POST", "/api/login/", {"username": name, "password": "guess"}, expect=403, auth=FAILED_LOGIN)
    login(client, name, password)
    for number in range(ROUNDS):
        patient = client.call("POST", "/api/patients/", new_patient(f"walk-in {number}"), expect=201, created=PATIENT, verbs=ADDED).json()[
            "id"
        ]
        client.call("GET", "/api/patients/?limit=5&offset=5", expect=200)
        client.call("PATCH", f"/api/patients/{patient}/", {"balance": "0.00"}, expect=403)
        client.call("DELETE", f"/api/patients/{patient}/", expect=403)
    logout(client)


def service(client: Client, user: str, password: str) -> None:
    """A program with a token: no session, no cookie."""
    credentials = {"username": user, "password": password}
    token = client.call("POST", "/api/token/", credentials, expect=200).json()["token"]
    client.cookies.clear()
    client.headers["Authorization"] = f"Token {token}"
    for number in range(ROUNDS):
        drug = {"patient": 1 + number, "drug": "Ibuprofen", "dose_mg": "400.000", "until": "2030-02-01"}
        made = client.call("POST", "/api/prescriptions/", drug, expect=201, created=PRESCRIPTION).json()["id"]
        one = f"/api/prescriptions/{made}/"
        client.call("PATCH", one, {"dose_mg": "200.125"}, expect=200, effects=updated(PRESCRIPTION, made))
        client.call("GET", "/api/prescriptions/", expect=200)
        if number % 3 == 0:
            client.call("DELETE", one, expect=204, effects=deleted(PRESCRIPTION, made))
    client.call("POST", "/api/prescriptions/", {"drug": "nothing else"}, expect=400)


def administrator(client: Client, name: str, password: str) -> None:
    """Uses the admin's pages as a browser does."""
    client.call("GET", "/admin/login/", expect=200)
    credentials = {"username": name, "next": "/admin/"}
    client.submit("/admin/login/", {**credentials, "password": "wrong"}, expect=200, auth=FAILED_LOGIN)
    client.submit("/admin/login/", {**credentials, "password": password}, expect=302, auth=LOGIN)
    form = {
        "name": "Entered by hand",
        "ssn": "457-55-5462",
        "birth_date": "1970-02-03",
        "balance": "1.00",
        "allergies": "{}",
        "physician": "1",
        "conditions": ["1", "3"],
    }
    for number in range(3):
        client.call("GET", "/admin/clinic/patient/add/", expect=200)
        add = {**form, "_continue": "Save and continue editing"}
        answer = client.submit("/admin/clinic/patient/add/", add, expect=302, created=PATIENT, verbs=ADDED)
        patient = patient_in(answer)
        change = f"/admin/clinic/patient/{patient}/change/"
        client.call("GET", change, expect=200)
        corrected = {**form, "name": "Corrected by hand", "discharged": "on"}
        client.submit(change, corrected, expect=302, effects=updated(PATIENT, patient))
        client.call("GET", "/admin/clinic/patient/", expect=200)
        if number:
            delete = f"/admin/clinic/patient/{patient}/delete/"
            client.submit(delete, {"post": "yes"}, expect=302, effects=deleted(PATIENT, patient, REMOVED))
    client.submit("/admin/logout/", {}, expect=200, auth=LOGOUT)


def patient_in(answer: Answer) -> int:
    """The patient that a redirect of the admin leads to: ``/admin/clinic/patient/17/change/``."""
    return int(urlsplit(answer.headers["Location"]).path.split("/")[4])


def stranger(client: Client) -> None:
    """Has no account: every door is tried, none opens."""
    for name in ("ana", "admin", "root", "nobody"):
        guess = {"username": name, "password": "123456"}
        client.call("POST", "/api/login/", guess, expect=403, auth=FAILED_LOGIN)
    client.call("GET", "/api/patients/1/?token=abcdef0123456789", expect=403)
    client.call("POST", "/api/patients/", new_patient("nobody"), expect=403)
    client.call("DELETE", "/api/patients/1/", expect=403)
    client.call("GET", "/nowhere/", expect=404)
