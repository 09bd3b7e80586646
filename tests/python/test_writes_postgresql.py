"""Fields that only PostgreSQL has: arrays, ranges, hstore, its text search."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.postgres import fields as postgres
from django.db import DatabaseError, connection, models, transaction
from django.test.utils import isolate_apps

from test_writes_rare import Made, recorded, tables, values
from trails import Trail


@pytest.fixture(autouse=True)
def postgresql(database: str) -> None:
    if database != "postgresql":
        pytest.skip("SQLite has none of them")


@isolate_apps("testproject")
def test_arrays_and_ranges_are_recorded_where_they_differ_and_nowhere_else(trail: Trail) -> None:
    class Ward(Made):
        beds = postgres.ArrayField(models.IntegerField(), default=list)
        plan = postgres.ArrayField(postgres.ArrayField(models.CharField(max_length=5)), default=list)
        open = postgres.DateRangeField(null=True)
        ages = postgres.IntegerRangeField(null=True)

    with tables(Ward):
        may = (datetime.date(2026, 5, 1), datetime.date(2026, 6, 1))
        ward = Ward.objects.create(beds=[1, 2], plan=[["a"], ["b"]], open=may, ages=(0, 18))
        ward = Ward.objects.get(pk=ward.pk)
        ward.save()
        assert [event["action"] for event in recorded(trail)] == ["ward.create"]
        ward.beds.append(3)
        ward.plan[0][0] = "c"
        ward.ages = (0, 21)
        ward.save()
        changes = values(recorded(trail)[-1])
        assert set(changes) == {"beds", "plan", "ages"}
        assert changes["beds"] == {"old": [1, 2], "new": [1, 2, 3]}
        assert changes["plan"] == {"old": [["a"], ["b"]], "new": [["c"], ["b"]]}
        trail.forget()
        Ward.objects.filter(beds__contains=[3]).update(beds=[9], ages=None)
        assert values(recorded(trail)[-1])["beds"] == {"old_unknown": True, "new": [9]}
        Ward.objects.bulk_create([Ward(beds=[4], ages=(1, 2)), Ward()])
        assert [values(event)["beds"] for event in recorded(trail)[-2:]] == [{"new": [4]}, {"new": []}]
        Ward.objects.all().delete()


@isolate_apps("testproject")
def test_pairs_in_an_hstore_are_recorded(trail: Trail) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS hstore")
    except DatabaseError:
        pytest.skip("this PostgreSQL has no hstore")
    from django.contrib.postgres.signals import register_type_handlers

    register_type_handlers(connection)

    class Shelf(Made):
        labels = postgres.HStoreField(default=dict)

    with tables(Shelf):
        shelf = Shelf.objects.create(labels={"a": "1", "password": "hush"})
        shelf = Shelf.objects.get(pk=shelf.pk)
        shelf.labels["a"] = "2"
        shelf.save()
        changes: dict[str, Any] = values(recorded(trail)[-1])
        assert (changes["labels"]["old"]["a"], changes["labels"]["new"]["a"]) == ("1", "2")
        assert "hush" not in str(recorded(trail))
