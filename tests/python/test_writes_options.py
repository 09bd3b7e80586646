"""What a model or a setting asks for: true values, links and references that are left out."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Case, Count, F, OuterRef, Subquery, Value, When
from django.test.utils import CaptureQueriesContext

from indelible.django import register, registry
from testproject.models import Account, Condition, Doctor, Patient, Row
from trails import Trail, fields, only_change

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def accounts(trail: Trail) -> list[Account]:
    made = Account.objects.bulk_create([Account(owner=str(number), balance=number, pin="1234") for number in range(5)])
    trail.forget()
    return made


@pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
def test_exact_updates_have_the_true_old_and_new_values_of_each_row(trail: Trail, accounts: list[Account], atomic: bool) -> None:
    if atomic:
        with transaction.atomic():
            count = Account.objects.filter(balance__gte=3).update(balance=F("balance") * 2, pin="9999")
    else:
        count = Account.objects.filter(balance__gte=3).update(balance=F("balance") * 2, pin="9999")
    assert count == 2
    events = trail.changes()
    assert [event["resource"]["id"] for event in events] == [str(account.pk) for account in accounts[3:]]
    assert [event["changes"] for event in events] == [
        [{"field": "balance", "old": "3.00", "new": "6.00"}, {"field": "pin", "masked": True}],
        [{"field": "balance", "old": "4.00", "new": "8.00"}, {"field": "pin", "masked": True}],
    ]


def test_exact_reads_once_and_only_where_it_is_asked_for(trail: Trail, accounts: list[Account]) -> None:
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        Account.objects.update(balance=1)
    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "UPDATE"]


QUERIES: dict[str, Callable[[], Any]] = {
    "join": lambda: Patient.objects.filter(doctor__name="Bo").update(visits=F("visits") + 1),
    "links": lambda: Patient.objects.filter(conditions__code__in=["a", "b"]).distinct().update(visits=7),
    "excluded": lambda: Patient.objects.exclude(conditions__code="a").update(visits=F("visits") * 2),
    "aggregate": lambda: Patient.objects.annotate(n=Count("conditions")).filter(n__gt=1).update(visits=5),
    "annotation": lambda: Patient.objects.annotate(twice=F("visits") * 2).filter(twice__gt=1).update(visits=F("twice")),
    "subquery": lambda: Patient.objects.filter(pk__in=Patient.objects.filter(visits__gt=0)).update(
        name=Subquery(Doctor.objects.filter(pk=OuterRef("doctor")).values("name")[:1])
    ),
    "case": lambda: Patient.objects.update(visits=Case(When(visits__gt=1, then=Value(-1)), default=F("visits"))),
    "ordered": lambda: Patient.objects.order_by("-visits").update(visits=F("visits") + 1),
    "partial": lambda: Patient.objects.only("name").select_related("doctor").values("name").update(visits=3),
    "extra": lambda: Patient.objects.extra(where=["visits > %s"], params=[1]).update(visits=0),
    "locked": lambda: Patient.objects.select_for_update().filter(visits=1).update(visits=9),
    "nothing": lambda: Patient.objects.filter(visits=-5).update(visits=9),
    "reference": lambda: Patient.objects.filter(visits__lt=2).update(doctor=None),
}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("query", QUERIES)
def test_exact_updates_of_every_query_say_what_the_database_held_before_and_after(trail: Trail, query: str) -> None:
    doctors = [Doctor.objects.create(name=name) for name in ("Bo", "Cy")]
    patients = [Patient.objects.create(name="Ana", visits=visits, doctor=doctors[visits % 2]) for visits in range(4)]
    for patient, codes in zip(patients, ("a", "ab", "b", ""), strict=True):
        patient.conditions.set([Condition.objects.get_or_create(code=code)[0] for code in codes])
    register(Patient, exact=True)
    trail.forget()

    def rows() -> dict[int, tuple[Any, ...]]:
        return {row[0]: row[1:] for row in Patient.objects.values_list("pk", "name", "visits", "doctor")}

    before = rows()
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        count = QUERIES[query]()
    after = rows()
    names = ("name", "visits", "doctor")
    changed = {
        str(key): {name: (old, new) for name, old, new in zip(names, before[key], after[key], strict=True) if old != new}
        for key in before
        if before[key] != after[key]
    }
    events = trail.changes()
    assert {event["resource"]["id"]: fields(event) for event in events} == changed
    assert len(events) == len(changed) <= count
    sent = [query["sql"].split()[0] for query in queries]
    assert (sent.count("UPDATE"), len(sent)) == (1, 2)


def test_exact_rows_that_keep_their_value_are_no_event(trail: Trail, accounts: list[Account]) -> None:
    assert Account.objects.update(balance=2) == 5
    assert len(trail.changes()) == 4


def test_exact_deletes_have_the_values_of_rows_that_were_never_loaded(trail: Trail, accounts: list[Account]) -> None:
    Account.objects.filter(owner="4").delete()
    event = only_change(trail)
    changes = {change["field"]: change for change in event["changes"]}
    assert changes["balance"] == {"field": "balance", "old": "4.00"}
    assert changes["pin"] == {"field": "pin", "masked": True}
    assert changes["owner"]["old"] == "4"


def test_an_exact_save_knows_what_an_expression_made(trail: Trail, accounts: list[Account]) -> None:
    account = Account.objects.get(owner="3")
    account.balance = F("balance") + 1
    account.save()
    event = only_change(trail)
    assert event["changes"] == [{"field": "balance", "old": "3.00", "new": "4.00"}]


def test_an_exact_save_of_what_was_never_loaded_reads_the_old_values(trail: Trail, accounts: list[Account]) -> None:
    Account(pk=accounts[3].pk, owner="3", balance=Decimal("7.00"), pin="1234").save()
    event = only_change(trail)
    assert event["changes"] == [{"field": "balance", "old": "3.00", "new": "7.00"}]


@pytest.mark.usefixtures("registered")
def test_a_model_that_wants_statements_gets_one_event_with_count_and_exact_the_keys(trail: Trail, accounts: list[Account]) -> None:
    register(Account, bulk="statement")
    Account.objects.filter(balance__gt=1).update(owner="x")
    event = only_change(trail)
    (change,) = event["changes"]
    assert (change["count"], change["where"], change["fields"]) == (3, "balance__gt", ["owner"])
    assert change["ids"] == [str(account.pk) for account in accounts[2:]]


def test_foreign_keys_can_be_left_out(trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "FOREIGN_KEYS": False}
    patient = Patient.objects.create(name="Ana", doctor=Doctor.objects.create(name="Bo"))
    trail.forget()
    patient.doctor = None
    patient.save()
    assert trail.changes() == []
    patient.name = "Anna"
    patient.doctor = Doctor.objects.get()
    patient.save()
    assert only_change(trail)["changes"] == [{"field": "name", "old": "Ana", "new": "Anna"}]


@pytest.mark.parametrize(
    ("allowed", "seen"), [("all", 1), (["testproject.Patient.conditions"], 1), (["testproject.Friend.friends"], 0), ([], 0)]
)
def test_many_to_many_fields_are_recorded_where_the_list_allows(trail: Trail, settings: Any, allowed: Any, seen: int) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "M2M": allowed}
    patient, condition = Patient.objects.create(name="Ana"), Condition.objects.create(code="a")
    trail.forget()
    patient.conditions.add(condition)
    condition.patients.remove(patient)
    assert len(trail.changes()) == 2 * seen


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("said", "seen"), [(["conditions"], 1), ([], 0), (False, 0), (True, 1)])
def test_a_model_decides_for_its_own_links(trail: Trail, said: Any, seen: int) -> None:
    register(Patient, m2m=said)
    patient = Patient.objects.create(name="Ana")
    condition = Condition.objects.create(code="a")
    trail.forget()
    patient.conditions.add(condition)
    assert len(trail.changes()) == seen


@pytest.mark.usefixtures("registered")
def test_options_that_make_no_sense_are_told() -> None:
    register(Row, bulk="row", exact="yes", m2m=["numbers"])  # type: ignore[arg-type]
    messages = [problem.message for problem in registry.problems()]
    assert [message.partition(": ")[2] for message in messages] == [
        "'exact' must be True or False.",
        "'bulk' must be 'rows' or 'statement'.",
        "'m2m' names 'numbers', which is not a field.",
    ]
