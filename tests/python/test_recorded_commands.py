"""Management commands: who ran what, with which arguments, and how it ended."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, ManagementUtility, call_command
from django.core.management.commands import check
from django.test import override_settings

import indelible
from indelible.django._commands import UNRECORDED
from testproject.management.commands.admit import Command
from testproject.models import Patient
from testproject.settings import INDELIBLE
from trails import Trail

pytestmark = pytest.mark.usefixtures("database")

SYSTEM = {"type": "system", "id": "admit"}


def the_run(trail: Trail) -> dict[str, Any]:
    (run,) = trail.events("task")
    return run


@pytest.mark.scenario(26)
@pytest.mark.defect("F-5", "S-3", "H12")
def test_a_command_and_what_it_writes_name_the_command_as_their_actor(database: str, trail: Trail) -> None:
    call_command("admit", "Ana", beds=2)
    change, run = trail.events()
    assert (change["action"], change["actor"]) == ("patient.create", SYSTEM)
    assert (run["kind"], run["action"], run["outcome"], run["actor"]) == ("task", "command.run", "success", SYSTEM)
    assert run["resource"] == {"type": "command", "label": "admit"}
    assert run["meta"].pop("duration_us") > 0
    assert run["meta"] == {"command": "admit", "exit": 0, "arguments": {"name": "Ana", "beds": 2}}


@pytest.mark.parametrize(
    ("arguments", "outcome", "code", "error"),
    [
        (["--fail", "3"], "failure", 3, "CommandError"),
        (["--exit", "4"], "failure", 4, "SystemExit"),
        (["--exit", "0"], "success", 0, None),
    ],
)
def test_the_exit_is_the_one_that_the_shell_is_told(
    database: str, trail: Trail, arguments: list[str], outcome: str, code: int, error: str | None
) -> None:
    with pytest.raises(SystemExit) as left:
        ManagementUtility(["manage.py", "admit", "Ana", *arguments]).execute()
    run = the_run(trail)
    assert (left.value.code, run["outcome"], run["meta"]["exit"], run.get("error", {}).get("type")) == (code, outcome, code, error)


def test_no_argument_carries_a_secret_into_the_trail(database: str, trail: Trail) -> None:
    call_command("admit", "Ana", "--password", "hunter2-secret", "--header", "Authorization: Bearer abcdef0123456789abcdef0123456789")
    run = the_run(trail)
    assert "hunter2" not in json.dumps(run)
    assert "abcdef0123456789" not in json.dumps(run)
    assert set(run["meta"]["arguments"]) == {"name", "password", "header"}


class Incomparable:
    """As arrays are: asking whether it equals something is a mistake."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")


def test_a_command_called_with_an_odd_object_is_recorded_all_the_same(database: str, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_ERROR": "degrade"}
    call_command("admit", "Ana", header=Incomparable())
    run = the_run(trail)
    assert (run["action"], run["outcome"], "arguments" in run["meta"]) == ("command.run", "success", False)


def test_a_command_that_calls_another_is_named_by_it(database: str, trail: Trail) -> None:
    call_command("admit", "Ana", then="Bea")
    inner, outer = trail.events("task")
    assert (inner["meta"]["called_by"], "called_by" in outer["meta"]) == ("admit", False)
    assert inner["actor"] == outer["actor"] == SYSTEM


def test_a_command_is_named_by_what_it_was_called_by(database: str, trail: Trail) -> None:
    call_command("take_in", "Ana")
    ManagementUtility(["manage.py", "take_in", "Bea"]).execute()
    call_command(Command(), "Ida")
    runs = trail.events("task")
    assert [(run["meta"]["command"], run["resource"]["label"], run["actor"]["id"]) for run in runs] == [
        ("take_in",) * 3,
        ("take_in",) * 3,
        ("admit",) * 3,
    ]


def test_whoever_is_known_to_act_stays_the_actor(database: str, trail: Trail) -> None:
    with indelible.context(actor="system:nightly"):
        call_command("admit", "Ana")
    assert {event["actor"]["id"] for event in trail.events()} == {"nightly"}


def test_exceptions_reach_the_caller_and_the_next_command_is_no_nested_one(database: str, trail: Trail) -> None:
    with pytest.raises(CommandError, match="no bed left"):
        call_command("admit", "Ana", fail=1)
    call_command("admit", "Bea")
    assert ["called_by" in event["meta"] for event in trail.events("task")] == [False, False]
    assert Patient.objects.count() == 2


def test_a_command_that_waits_is_one_by_any_name(database: str, trail: Trail) -> None:
    class Checking(check.Command):
        """What a site makes of it in a module of its own."""

    for command in (check.Command(), Checking()):
        # What the command line does for `manage.py dev`, where dev.py only imports the class.
        command.create_parser("manage.py", "dev")
        call_command(command)
    admit = Command()
    admit.create_parser("manage.py", "dev")
    call_command(admit, "Ana")
    assert [event["meta"]["command"] for event in trail.events("task")] == ["admit"]


def test_commands_that_look_and_those_that_wait_leave_no_event(database: str, trail: Trail) -> None:
    call_command("check")
    call_command("diffsettings", stdout=io.StringIO())
    assert {"runserver", "shell", "test", "indelible"} <= UNRECORDED
    assert "migrate" not in UNRECORDED
    with override_settings(INDELIBLE={**INDELIBLE, "COMMANDS": False}):
        trail.forget()
        call_command("admit", "Ana")
    assert trail.events("task") == []
