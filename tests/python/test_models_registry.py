"""Which models are recorded, and what ``manage.py check`` says about how they are described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import models
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.test import override_settings
from django.test.utils import isolate_apps

from indelible.django import _models, registry
from indelible.django._models import plan_of
from testproject.models import Counter, Employee, Manager, Patient, Person, Row


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    """What a test registers ends with it."""
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)
    _models.forget_plans()


def problems_of(model: type[models.Model]) -> list[str]:
    return [problem.message for problem in registry._problems_of(model)]


def test_all_models_are_recorded_but_those_that_only_serve_django() -> None:
    assert all(plan_of(model) for model in (User, Patient, Row, Employee))
    assert not any(plan_of(model) for model in (Session, ContentType, Permission, MigrationRecorder.Migration))


def test_a_model_that_is_left_out_is_recorded_once_it_is_registered() -> None:
    registry.register(Permission, ignore=["codename"])
    plan = plan_of(Permission)
    assert plan is not None
    assert "codename" not in plan.names


@override_settings(INDELIBLE={"SERVICE": "tests", "MODELS": {"testproject.Patient": {"ignore": ["visits"]}}})
def test_a_dict_names_the_models_and_adds_to_what_they_say() -> None:
    plan = plan_of(Patient)
    assert plan is not None
    assert not {"visits", "seen_at"} & set(plan.names)
    assert plan_of(Row) is None


def test_changed_settings_change_the_plans() -> None:
    assert plan_of(Row) is not None
    with override_settings(INDELIBLE={"SERVICE": "tests", "MODELS": {}}):
        assert plan_of(Row) is None
    assert plan_of(Row) is not None


def test_a_proxy_has_the_plan_of_its_concrete_model_and_a_child_its_own() -> None:
    assert plan_of(Manager) is plan_of(Employee) is not plan_of(Person)


def test_what_a_parent_masks_stays_masked_in_its_children() -> None:
    options = registry.options_of(Employee)
    assert options is not None
    assert options.mask == {"name"}
    registry.register(Employee, mask=["badge"])
    options = registry.options_of(Employee)
    assert options is not None
    assert options.mask == {"name", "badge"}


def test_a_data_migration_masks_what_the_model_of_today_masks() -> None:
    historical = ProjectState.from_apps(apps).apps.get_model("testproject", "Patient")
    assert historical is not Patient
    plan, today = plan_of(historical), plan_of(Patient)
    assert plan is not None
    assert today is not None
    assert (plan.names, plan.masked) == (today.names, today.masked)
    assert any(plan.masked)


@isolate_apps("testproject")
def test_an_abstract_parent_says_how_its_children_are_recorded() -> None:
    class Base(models.Model):
        note = models.TextField()

        class Meta:
            abstract = True
            app_label = "testproject"

        class Audit:
            mask = ["note"]
            sensitive = True

    class Child(Base):
        class Audit:
            mask = ["note", "extra"]

        class Meta:
            app_label = "testproject"

        extra = models.TextField()

    assert registry.options_of(Child) == registry.Options(mask=frozenset({"note", "extra"}), sensitive=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"masks": ["name"]}, "'masks' is not an option"),
        ({"mask": ["nam"]}, "'nam', which is not a field"),
        ({"mask": "name"}, "'mask' must be a list of field names"),
        ({"only": [1]}, "'only' must be a list of field names"),
        ({"sensitive": "yes"}, "'sensitive' must be True or False"),
        ({"reads": "yes"}, "'reads' must be True or False"),
        ({"reason_required": ["remove"]}, "'reason_required' must be True, or a list of create, update, delete"),
        ({"reason_required": "delete"}, "'reason_required' must be True, or a list of create, update, delete"),
        ({"mask": ["name"], "label": ["name"]}, "A masked field cannot be part of the label"),
    ],
)
def test_a_mistake_in_class_audit_is_reported(given: dict[str, Any], message: str) -> None:
    with isolate_apps("testproject"):
        audit = type("Audit", (), given)
        members = {"__module__": __name__, "name": models.TextField(), "Audit": audit}
        model = type("Mistaken", (models.Model,), {**members, "Meta": type("Meta", (), {"app_label": "testproject"})})
        assert any(message in problem for problem in problems_of(model))


def test_a_mistake_comes_with_a_suggestion() -> None:
    registry.register(Counter, ignore=["hitss"])
    (problem,) = registry.problems()
    assert (problem.check, problem.model, problem.hint) == ("E005", "testproject.Counter", "Did you mean 'hits'?")


@override_settings(INDELIBLE={"SERVICE": "tests", "MODELS": {"testproject.Patent": {}}})
def test_a_model_that_does_not_exist_is_reported() -> None:
    assert [problem.hint for problem in registry.problems()] == ["Did you mean 'testproject.Patient'?"]


def test_the_models_of_the_tests_are_described_without_a_mistake() -> None:
    assert registry.problems() == []


def test_a_single_name_masks_that_field_and_not_its_letters() -> None:
    registry.register(Row, mask="number")  # type: ignore[arg-type]
    options = registry.options_of(Row)
    assert options is not None
    assert options.mask == {"number"}
