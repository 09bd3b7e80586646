"""``python -m bench.peers_worker``: writes in every way that the field survey counts, and prints as JSON what was sent and recorded.

Run once with and once without the audit trail (``BENCH_VARIANT``), each on a database of its own.
"""

import asyncio
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import AsyncClient, Client  # noqa: E402
from django.test.utils import CaptureQueriesContext, setup_test_environment  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402

from bench.worker import patient, prescription  # noqa: E402
from clinic.models import Condition, Patient, Prescription  # noqa: E402

MANY = 1000
USERS = 20
CONCURRENT = 200
RECORDING = os.environ["BENCH_VARIANT"] == "with"


class Trail:
    """The journal of one measurement, in a folder of its own."""

    def __init__(self, name: str) -> None:
        self.folder = Path(os.environ["CLINIC_DATA"]) / "measured" / name
        if RECORDING:
            from indelible import _runtime

            _runtime.configure(dataclasses.replace(_runtime.runtime().settings, data_dir=self.folder))

    def changes(self) -> list[dict]:
        if not RECORDING:
            return []
        import journal
        from indelible import _runtime

        runtime = _runtime.runtime()
        runtime.close()
        return [event for event in journal.events(self.folder, runtime.settings.service) if event["kind"] == "change"]


def queries(work: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as sent:
        work()
    return len(sent)


def keys(changes: list[dict], verb: str) -> int:
    """How many different rows are named."""
    return len({change["resource"].get("id") for change in changes if change["action"] == f"prescription.{verb}"} - {None})


def links(changes: list[dict], side: str) -> int:
    """How many links are named."""
    return sum(len(change["changes"][0][side]) for change in changes)


def prescriptions() -> list[Prescription]:
    Prescription.objects.all()._raw_delete("default")
    return Prescription.objects.bulk_create([Prescription(**prescription(owner.pk)) for _ in range(MANY)])


def bulk_update() -> None:
    loaded = list(Prescription.objects.all())
    for number, row in enumerate(loaded):
        row.dose_mg = number + 10
    Prescription.objects.bulk_update(loaded, ["dose_mg"])


def bulk_update_generator() -> None:
    loaded = list(Prescription.objects.all())
    for number, row in enumerate(loaded):
        row.dose_mg = number + 2 * MANY
    Prescription.objects.bulk_update((row for row in loaded), ["dose_mg"])


def save_each() -> None:
    with transaction.atomic():
        for number, row in enumerate(Prescription.objects.all()):
            row.dose_mg = number + 4 * MANY
            row.save()


def ignore_conflicts() -> None:
    Prescription.objects.bulk_create([Prescription(**prescription(owner.pk)) for _ in range(MANY)], ignore_conflicts=True)


def raw_update() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE clinic_prescription SET dose_mg = %s", [3])


def rolled_back() -> None:
    with transaction.atomic():
        Prescription.objects.create(**prescription(owner.pk))
        Prescription.objects.update(dose_mg=1)
        transaction.set_rollback(True)


def saved() -> None:
    one.dose_mg += 1
    one.save()


def rows() -> dict[str, dict[str, int]]:
    """For each path, the queries that it sent and the rows that it recorded."""
    report = {}

    def measure(name: str, work: Callable[[], object], count: Callable[[list[dict]], int]) -> None:
        trail = Trail(name.replace(" ", "-").replace("/", "-"))
        sent = queries(work)
        report[name] = {"queries": sent, "recorded": count(trail.changes())}

    measure("create", lambda: Prescription.objects.create(**prescription(owner.pk)), lambda seen: keys(seen, "create"))
    measure("update", saved, lambda seen: keys(seen, "update"))
    measure("save() with no change", lambda: one.save(), lambda seen: keys(seen, "update"))
    measure("delete", lambda: one.delete(), lambda seen: keys(seen, "delete"))
    Prescription.objects.all().delete()
    measure("bulk_create 1,000", prescriptions, lambda seen: keys(seen, "create"))
    measure("QuerySet.update 1,000", lambda: Prescription.objects.update(dose_mg=2), lambda seen: keys(seen, "update"))
    measure("bulk_update 1,000", bulk_update, lambda seen: keys(seen, "update"))
    measure("bulk_update 1,000 from a generator", bulk_update_generator, lambda seen: keys(seen, "update"))
    measure("save() 1,000 in a transaction", save_each, lambda seen: keys(seen, "update"))
    measure("raw SQL update 1,000", raw_update, lambda seen: sum(change["changes"][0]["count"] for change in seen))
    measure("QuerySet.delete 1,000", lambda: Prescription.objects.all().delete(), lambda seen: keys(seen, "delete"))
    measure("bulk_create 1,000 ignoring conflicts", ignore_conflicts, lambda seen: keys(seen, "create"))
    measure("m2m.add(3)", lambda: owner.conditions.add(*conditions), lambda seen: links(seen, "added"))
    measure("m2m.clear()", owner.conditions.clear, lambda seen: links(seen, "removed"))
    measure("rows left after rollback", rolled_back, lambda seen: sum(change["outcome"] == "success" for change in seen))
    return report


def actors() -> dict[str, int]:
    """For each way of asking, how many rows were recorded with the user who made them."""
    users = [User.objects.create(username=f"user{number}") for number in range(USERS)]
    tokens = {user.pk: Token.objects.create(user=user).key for user in users}

    def session(user: User) -> None:
        client = Client()
        client.force_login(user)
        client.post("/session/")

    def token(user: User) -> None:
        Client().post("/token/", headers={"authorization": f"Token {tokens[user.pk]}"})

    async def asynchronous(user: User) -> None:
        client = AsyncClient()
        await client.aforce_login(user)
        await client.post("/async/")

    async def together(count: int) -> None:
        await asyncio.gather(*(asynchronous(users[number % USERS]) for number in range(count)))

    def right(work: Callable[[], object], name: str) -> int:
        trail = Trail(name)
        work()
        seen = [change for change in trail.changes() if change["action"] == "condition.create"]
        new = [{field["field"]: field.get("new") for field in change["changes"]} for change in seen]
        return sum(change["actor"].get("id") == values["code"].partition("-")[0] for change, values in zip(seen, new, strict=True))

    return {
        "session login": right(lambda: [session(user) for user in users], "session"),
        "DRF token": right(lambda: [token(user) for user in users], "token"),
        "async views, 20 at once": right(lambda: asyncio.run(together(USERS)), "async"),
        "async views, 200 at once": right(lambda: asyncio.run(together(CONCURRENT)), "concurrent"),
    }


setup_test_environment()
owner = Patient.objects.create(**patient())
one = Prescription.objects.create(**prescription(owner.pk))
conditions = [Condition.objects.create(code=f"E{number}", name="x") for number in range(3)]
one.refresh_from_db()

if __name__ == "__main__":
    print(json.dumps({"rows": rows(), "actors": actors()}))
