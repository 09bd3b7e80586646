"""Run as a program: performs every kind of write and prints, as JSON, the statements sent and what each call returned or raised.

``test_writes_differential.py`` runs it once with recording and once without, and compares. Environment: ``DATABASE`` (JSON settings).
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings

WRITES: list[Callable[[], Any]] = []


def write(function: Callable[[], Any]) -> Callable[[], Any]:
    WRITES.append(function)
    return function


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "testproject.settings"
    settings.DATABASES["default"] = json.loads(os.environ["DATABASE"])
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", run_syncdb=True, verbosity=0)
    define()
    report: dict[str, Any] = {}
    for function in WRITES:
        statements: list[str] = []

        def capture(execute: Any, sql: str, params: Any, many: bool, context: Any, seen: list[str] = statements) -> Any:
            # The names of savepoints hold the thread's number.
            seen.append(sql.split(" ")[0] if "SAVEPOINT" in sql else sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(capture):
            try:
                answer = repr(function())
            except Exception as error:
                answer = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
        report[function.__name__] = {"statements": statements, "answer": answer, "autocommit": connection.get_autocommit()}
    json.dump(report, sys.stdout)


def define() -> None:
    from decimal import Decimal

    from django.contrib.auth.models import Group, User
    from django.db import transaction
    from django.db.models import Case, Count, F, Q, Subquery, Value, When
    from django.db.models.functions import Concat

    from testproject.models import (
        Appointment,
        Condition,
        Counter,
        Doctor,
        Employee,
        Folder,
        Friend,
        Manager,
        Membership,
        Paper,
        Patient,
        Person,
        Reminder,
        Row,
        Team,
        Ticket,
        Unique,
    )

    @write
    def create() -> Any:
        return [Doctor.objects.create(name="Bo"), Patient.objects.create(name="Ana", doctor_id=1, balance="1.50"), Row(number=1).save()]

    @write
    def created_attributes() -> Any:
        row = Row.objects.create(number=1)
        return row.pk, row._state.adding, row._state.db, Paper.objects.create(code="a").code

    @write
    def get_and_save() -> Any:
        patient = Patient.objects.get(name="Ana")
        patient.visits = F("visits") + 1
        patient.balance = Decimal("2.00")
        patient.save()
        patient.save(update_fields=["name"])
        return patient.pk, patient.name

    @write
    def deferred() -> Any:
        patient = Patient.objects.only("name").get(name="Ana")
        patient.name = "Anna"
        patient.save()
        patient.refresh_from_db()
        return patient.balance, sorted(patient.get_deferred_fields())

    @write
    def several_tables() -> Any:
        employee = Employee.objects.create(name="Eve", badge="1")
        employee.badge = "2"
        employee.save()
        Employee.objects.filter(name="Eve").update(name="Eva", badge="3")
        return Manager.objects.get().delete(), Person.objects.count()

    @write
    def explicit_key() -> Any:
        Row(pk=77, number=1).save()
        Row(pk=77, number=2).save()
        return Row.objects.filter(pk=77).values_list("number", flat=True)[0]

    @write
    def bulk() -> Any:
        made = Row.objects.bulk_create([Row(number=number) for number in range(5)], batch_size=2)
        for row in made:
            row.number += 1
        return [row.pk for row in made], Row.objects.bulk_update(made, ["number"])

    @write
    def bulk_with_conflicts() -> Any:
        Row.objects.bulk_create([Row(pk=1, number=9), Row(pk=500, number=9)], ignore_conflicts=True)
        Row.objects.bulk_create([Row(pk=1, number=8)], update_conflicts=True, update_fields=["number"], unique_fields=["id"])
        return Row.objects.get(pk=1).number

    @write
    def update() -> Any:
        return Row.objects.filter(number__gt=2).update(number=F("number") + 1), Row.objects.none().update(number=1)

    @write
    def get_or_create() -> Any:
        made = Counter.objects.get_or_create(name="a")[1], Counter.objects.get_or_create(name="a")[1]
        return made, Counter.objects.update_or_create(name="a", defaults={"hits": 4})[1]

    @write
    def delete() -> Any:
        Row.objects.create(number=1000).delete()
        return Row.objects.filter(number__gt=2).delete(), Row.objects.none().delete(), Row.objects.all()._raw_delete("default")

    @write
    def cascade() -> Any:
        doctor = Doctor.objects.create(name="Cy")
        patient = Patient.objects.create(name="Zoe", doctor=doctor)
        patient.conditions.add(Condition.objects.create(code="x"))
        for _ in range(3):
            Reminder.objects.create(appointment=Appointment.objects.create(patient=patient))
        return doctor.delete(), Patient.objects.filter(name="Zoe").delete()

    @write
    def many_to_many() -> Any:
        patient = Patient.objects.create(name="Max")
        one, two, three = (Condition.objects.create(code=code) for code in "abc")
        patient.conditions.add(one, two)
        patient.conditions.set([two, three])
        patient.conditions.remove(two)
        three.patients.add(patient)
        one.patients.set([patient])
        codes = list(patient.conditions.order_by("code").values_list("code", flat=True))
        patient.conditions.clear()
        return codes, patient.conditions.count()

    @write
    def users_and_groups() -> Any:
        user = User.objects.create_user("eve", password="x")
        user.groups.add(Group.objects.create(name="staff"))
        return user.get_group_permissions(), user.delete()

    @write
    def generated_keys() -> Any:
        ticket = Ticket.objects.create(title="a")
        changed_at = ticket.changed_at
        ticket.save()
        return ticket.changed_at > changed_at, Ticket.objects.filter(pk=ticket.pk).delete()[0]

    @write
    def errors() -> Any:
        answers = []
        for attempt in (
            lambda: Row(number="x").save(),
            lambda: Row(number=1).save(force_update=True),
            lambda: Row(pk=12345, number=1).save(update_fields=["number"]),
            lambda: Row().delete(),
            lambda: Row.objects.create(number=None),
            lambda: Row.objects.bulk_create([Row(pk=77777, number=1), Row(pk=77777, number=1)]),
            lambda: Row.objects.filter(number="x").update(number=1),
            lambda: Row.objects.order_by("pk")[:1].delete(),
            lambda: Patient.objects.create(name=None),
        ):
            try:
                answers.append(repr(attempt()))
            except Exception as error:
                answers.append(f"{type(error).__qualname__}: {str(error).splitlines()[0]}")
        return answers

    @write
    def transactions() -> Any:
        with transaction.atomic():
            Row.objects.create(number=1)
            try:
                with transaction.atomic():
                    Row.objects.create(number=2)
                    Row.objects.create(number=None)
            except Exception as error:
                caught = type(error).__qualname__
            Row.objects.create(number=3)
        return caught, list(Row.objects.filter(Q(number__lte=3)).order_by("pk").values_list("number", flat=True))

    @write
    def deferred_constraint() -> Any:
        with transaction.atomic():
            Patient.objects.create(name="nobody's", doctor_id=99999)

    @write
    def upserts_out_of_a_generator() -> Any:
        made = Unique.objects.bulk_create(
            (Unique(code=str(number), hits=number) for number in range(5)),
            batch_size=2,
            update_conflicts=True,
            update_fields=["hits"],
            unique_fields=["code"],
        )
        return len(made), Unique.objects.bulk_update((one for one in Unique.objects.order_by("pk")), (name for name in ["hits"]))

    @write
    def joins_and_subqueries() -> Any:
        team, bo = Team.objects.create(name="A"), Doctor.objects.create(name="Bo")
        team.members.add(bo, through_defaults={"role": "lead"})
        counted = (
            Membership.objects.filter(doctor__name="Bo", team__name="A").update(role=Subquery(Team.objects.values("name")[:1])),
            Doctor.objects.annotate(n=Count("teams")).filter(n__gt=0).update(name=Concat(F("name"), Value("!"))),
            Row.objects.update(number=Case(When(number__gt=2, then=Value(0)), default=F("number"))),
        )
        return counted, Doctor.objects.filter(teams__name="A").delete()

    @write
    def links_of_other_shapes() -> Any:
        ana, bo = Friend.objects.create(name="Ana"), Friend.objects.create(name="Bo")
        ana.friends.set([bo], clear=True)
        ana.friends.set([bo], clear=True)
        folder = Folder.objects.create(pk=uuid.UUID(int=7))
        folder.tickets.set([Ticket.objects.create(pk=uuid.UUID(int=8), title="a")], clear=True)
        return bo.friends.count(), bo.delete()[0], folder.tickets.clear(), folder.delete()[0]

    @write
    def parents_of_children() -> Any:
        Person.objects.create(name="Pia")
        Employee.objects.create(name="Eve", badge="1")
        return sorted(Person.objects.all().delete()[1].items())

    @write
    def refusals() -> Any:
        answers = []
        for attempt in (
            lambda: Row.objects.order_by("pk")[:1].update(number=1),
            lambda: Row.objects.distinct("number").delete(),
            lambda: Row.objects.values("number").delete(),
            lambda: Employee.objects.bulk_create([Employee(name="Eve", badge="1")]),
            lambda: Row.objects.bulk_update([Row(pk=1)], ["nothing"]),
            lambda: Row.objects.bulk_update([Row(pk=1)], None),
            lambda: Row.objects.bulk_update(None, ["number"]),
            lambda: Row.objects.bulk_update([1], ["number"]),
            lambda: Row.objects.update(nothing=1),
            lambda: Row(pk=1, number=1).save(force_insert=True, force_update=True),
        ):
            try:
                answers.append(repr(attempt()))
            except Exception as error:
                answers.append(f"{type(error).__qualname__}: {str(error).splitlines()[0]}")
        return answers

    @write
    def after_all() -> Any:
        return Row.objects.create(number=1)._state.adding


if __name__ == "__main__":
    main()
