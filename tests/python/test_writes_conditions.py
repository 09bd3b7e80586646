"""Which rows a condition names: what Django makes to delete rows by their keys is read a shorter way, which must say the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F, Q
from django.db.models.sql import DeleteQuery

from indelible.django._queries import listed, only_asked_for
from testproject.models import Patient


def where_of(condition: Q) -> Any:
    return Patient.objects.filter(condition).query.where


def test_the_condition_of_a_deletion_is_read_the_short_way() -> None:
    query = DeleteQuery(Patient)
    query.add_filter("pk__in", [3, 1, 2])
    assert listed(query.where, "id") == only_asked_for(query.where, "id") == [3, 1, 2]


@pytest.mark.parametrize(
    "condition",
    [
        Q(),
        Q(pk=1),
        Q(pk__gt=1),
        ~Q(pk__in=[1, 2]),
        Q(pk__in=[1, 2], name="Ana"),
        Q(pk__in=[1, 2]) | Q(name="Ana"),
        Q(name__in=["Ana"]),
        Q(name__in=[F("name")]),
    ],
)
def test_every_other_condition_is_left_to_the_long_way(condition: Q) -> None:
    assert listed(where_of(condition), "id") is None


def test_rows_of_a_query_are_not_listed() -> None:
    condition = Q(pk__in=Patient.objects.values("pk"))
    assert listed(where_of(condition), "id") is None
    assert only_asked_for(where_of(condition), "id") is None
