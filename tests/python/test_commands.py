"""``manage.py indelible settings | coverage | explain``, and the commands of the binary that are passed on."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

import indelible
from agents import running_agent, until
from indelible import _client, _runtime
from indelible.django import apps, conf, formatters
from indelible.django.formatters import Formatter
from testproject.models import Counter, Patient, Secret
from trails import BINARY, ROOT, Trail


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("INDELIBLE_DATA_DIR", str(tmp_path / "data"))
    apps.configure(conf.reload())
    yield
    _runtime.runtime().close()


def say(*arguments: str) -> str:
    out = io.StringIO()
    call_command("indelible", *arguments, stdout=out)
    return out.getvalue()


def ask(*arguments: str) -> Any:
    return json.loads(say(*arguments, "--json"))


class TestSettings:
    def test_every_setting_has_a_value_and_an_origin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INDELIBLE_TRUSTED_PROXY_COUNT", "2")
        conf.reload()
        found = ask("settings")
        assert tuple(found) == conf.KEYS
        assert found["TRUSTED_PROXY_COUNT"] == {"value": 2, "origin": "environment", "problem": None}
        assert found["SERVICE"] == {"value": "tests", "origin": "settings", "problem": None}
        assert found["EVIDENCE"] == {"value": "ack", "origin": "default", "problem": None}

    def test_a_value_that_does_not_hold_says_why(self, settings: Any) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, "DURABILITY": "sinced"}
        row = ask("settings")["DURABILITY"]
        assert (row["value"], row["origin"]) == ("buffered", "default")
        assert "'sinced' is not one of" in row["problem"]

    def test_secrets_are_masked(self, settings: Any) -> None:
        settings.INDELIBLE = {
            **settings.INDELIBLE,
            "ENVIRONMENT": "postgres://ana:hunter2@db/x",
            "META_HEADERS": {"X-Flow": "flow", "X-Key": "api_token"},
        }
        for said in (say("settings"), say("settings", "--json")):
            assert "hunter2" not in said
            assert "X-Flow" in said

    def test_functions_are_shown_by_their_path(self, settings: Any) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, "CONTEXT": "os.path.join"}
        assert ask("settings")["CONTEXT"]["value"] == "posixpath.join"

    def test_the_settings_of_other_packages_are_told_in_ours(self, settings: Any) -> None:
        settings.AUDIT_SERVICE_NAME = "clinic"
        assert "'SERVICE': 'clinic'" in say("settings", "--from-other-packages")


class TestCoverage:
    def test_models_links_routes_and_databases_are_listed(self) -> None:
        found = ask("coverage")
        models = {model["label"]: model for model in found["models"]}
        assert (models["testproject.Patient"]["state"], models["testproject.Patient"]["masked"]) == ("captured", ["ssn", "maiden_name"])
        assert (models["sessions.Session"]["state"], models["testproject.Secret"]["sensitive"]) == ("left out", True)
        assert "testproject.Manager" not in models, "a proxy writes the rows of its model"
        assert {"name": "testproject.Patient.conditions", "state": "captured", "why": ""} in found["links"]
        assert {"name": "/status/:code/", "state": "captured", "why": "metadata"} in found["routes"]
        assert [base["alias"] for base in found["databases"]] == ["default", "other"]
        assert {"COPY", "DDL", 'cursor.execute("COMMIT")', "other connections"} <= set(found["not_hookable"])
        assert (found["captured"], found["percent"], found["missing"]) == (found["counted"], 100.0, [])

    def test_what_is_not_captured_lowers_the_share_and_is_named(self, settings: Any) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, "MODELS": {"testproject.Patient": {}}}
        found = ask("coverage")
        assert "model testproject.Doctor" in found["missing"]
        assert not {"model testproject.Patient", "model contenttypes.ContentType"} & set(found["missing"])
        assert 0 < found["percent"] < 100
        with pytest.raises(CommandError, match=r"coverage is .* %, less than 100 %: model .*testproject.Doctor"):
            say("coverage", "--fail-under", "100")
        say("coverage", "--fail-under", str(found["percent"] - 1))

    def test_a_build_fails_when_a_new_sensitive_model_is_not_captured(self, settings: Any) -> None:
        assert "3 of 3 captured" in say("coverage", "--sensitive", "--fail-under", "100")
        settings.INDELIBLE = {**settings.INDELIBLE, "MODELS": {"testproject.Patient": {}, "auth.User": {}}}
        with pytest.raises(CommandError, match=r"model testproject\.Secret"):
            say("coverage", "--sensitive", "--fail-under", "100")

    def test_a_model_with_an_unmasked_birth_date_is_not_protected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "model testproject.Patient" not in ask("coverage", "--sensitive")["missing"]
        monkeypatch.delattr(Patient.Audit, "sensitive")
        assert "model testproject.Patient" in ask("coverage", "--sensitive")["missing"]

    @pytest.mark.parametrize("switch", [{"ENABLED": False}, {"RECORD": "nowhere"}])
    def test_a_site_that_records_nothing_captures_nothing(self, settings: Any, switch: dict[str, Any]) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, **switch}
        found = ask("coverage")
        assert (found["enabled"], found["captured"]) == (False, 0)
        assert say("coverage").startswith("Nothing is recorded")

    def test_without_the_middleware_no_route_is_captured(self, settings: Any) -> None:
        settings.MIDDLEWARE = []
        assert {route["state"] for route in ask("coverage")["routes"]} == {"bypassed"}

    def test_routes_with_the_level_none_are_left_out(self, settings: Any) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, "REQUESTS": {"rules": [{"route": "/plain/", "level": "none"}]}}
        states = {route["name"]: route["state"] for route in ask("coverage")["routes"]}
        assert (states["/plain/"], states["/echo/"]) == ("left out", "captured")

    def test_many_to_many_fields_that_a_list_does_not_name_are_bypassed(self, settings: Any) -> None:
        settings.INDELIBLE = {**settings.INDELIBLE, "M2M": ["testproject.Patient.conditions"]}
        links = {link["name"]: (link["state"], link["why"]) for link in ask("coverage")["links"]}
        assert links["testproject.Patient.conditions"] == ("captured", "")
        assert links["auth.User.groups"] == ("bypassed", "INDELIBLE['M2M'] does not name it")

    def test_celery_tasks_are_listed_and_bypassed_where_nobody_listens(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        tasks = dict.fromkeys(["wards.nightly", "celery.backend_cleanup"])
        celery = types.SimpleNamespace(current_app=types.SimpleNamespace(tasks=tasks))
        monkeypatch.setitem(sys.modules, "celery", celery)
        monkeypatch.setitem(sys.modules, "indelible.celery", types.ModuleType("indelible.celery"))
        assert ask("coverage")["tasks"] == [{"name": "wards.nightly", "state": "captured", "why": ""}]
        monkeypatch.delitem(sys.modules, "indelible.celery")
        assert "task wards.nightly" in ask("coverage")["missing"]
        settings.INDELIBLE = {**settings.INDELIBLE, "TASKS": False}
        assert ask("coverage")["tasks"][0]["why"] == "INDELIBLE['TASKS'] is False"

    def test_no_database_is_connected_to(self, settings: Any) -> None:
        from django.db import connections

        connections["other"].close()
        say("coverage")
        assert connections["other"].connection is None

    @pytest.mark.parametrize("share", ["101", "-1", "x", "nan"])
    def test_a_share_that_is_none_is_an_error(self, share: str) -> None:
        with pytest.raises(CommandError, match="is not a number from 0 to 100"):
            say("coverage", f"--fail-under={share}")


class TestExplain:
    def test_each_field_names_the_rule_that_decides(self) -> None:
        fields = {field["name"]: field for field in ask("explain", "testproject.Patient")["fields"]}
        assert {name: (field["state"], field["why"]) for name, field in fields.items() if field["state"] != "recorded"} == {
            "ssn": ("masked", "'mask' of Patient.Audit"),
            "maiden_name": ("masked", "INDELIBLE['MASK']['fields']"),
            "seen_at": ("ignored", "'ignore' of Patient.Audit"),
        }
        assert fields["name"]["state"] == fields["conditions"]["state"] == "recorded"

    def test_built_in_names_and_inherited_masks_and_only_are_explained(self) -> None:
        why = {
            label: {field["name"]: (field["state"], field["why"]) for field in ask("explain", label)["fields"]}
            for label in ("auth.User", "testproject.Surgeon", "testproject.Counter")
        }
        assert why["auth.User"]["password"] == ("masked", "built-in name")
        assert why["testproject.Surgeon"]["name"] == ("masked", "'mask' of Person.Audit")
        assert why["testproject.Counter"]["noise"] == ("ignored", "not in 'only' of Counter.Audit")

    def test_what_it_says_is_what_is_recorded(self, database: str, trail: Trail) -> None:
        Patient.objects.create(name="Ana", ssn="1", maiden_name="x")
        Counter.objects.create(name="a")
        Secret.objects.create(text="s")
        for event in trail.changes():
            explained = {field["name"]: field["state"] for field in ask("explain", event["resource"]["type"])["fields"]}
            shown = {change["field"]: "masked" if change.get("masked") else "recorded" for change in event["changes"]}
            assert shown == {name: state for name, state in explained.items() if state != "ignored" and name in shown}
            assert {name for name, state in explained.items() if state == "ignored"}.isdisjoint(shown)

    def test_a_model_that_is_not_recorded_says_why(self, settings: Any) -> None:
        assert "sessions.Session: left out (by default" in say("explain", "sessions.Session")
        settings.INDELIBLE = {**settings.INDELIBLE, "MODELS": {"testproject.Patient": {}}}
        assert "testproject.Doctor: bypassed (INDELIBLE['MODELS'] does not name it" not in say("explain", "testproject.Doctor")
        assert say("explain", "testproject.Doctor").startswith("testproject.Doctor: bypassed (INDELIBLE['MODELS'] does not name")

    def test_formatters_are_named_in_the_order_in_which_they_are_looked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(formatters, "_rules", {})
        formatters.register_formatter(Patient, Formatter)
        formatters.register_formatter(Patient, Formatter, event="update", route="POST|/patients/:id")
        assert ask("explain", "testproject.Patient")["formatters"] == ["update POST|/patients/:id: Formatter", "any: Formatter"]
        assert ask("explain", "testproject.Doctor")["formatters"] == []

    def test_an_unknown_model_is_an_error_with_a_suggestion(self) -> None:
        with pytest.raises(CommandError, match=r"'testproject.Pacient' is not an installed model. Did you mean 'testproject.Patient'"):
            say("explain", "testproject.Pacient")
        with pytest.raises(CommandError, match=r"Write app_label\.Model"):
            say("explain", "x")


def manage(data_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests" / "python")]),
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "INDELIBLE_DATA_DIR": str(data_dir),
        "INDELIBLE_BINARY": str(BINARY),
    }
    command = [sys.executable, "-m", "django", "indelible", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class TestPassedOn:
    """The binary itself runs, with the arguments as they are: what it answers is what it answers without us."""

    @pytest.fixture
    def data_dir(self, trail: Trail) -> Iterator[Path]:
        indelible.record("bell.ring", resource="house.Bell/1")
        with running_agent(trail.data_dir):
            until(lambda: _client.search(trail.data_dir, "action:bell.ring").records)
            yield trail.data_dir

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (["search", "action:bell.ring", "-o", "ndjson", "--count"], 0),
            (["search", "actorr:ana"], 2),
            (["search", "-e", "action:no.such"], 3),
            (["verify"], 0),
            (["verify", "--against", "/dev/null"], None),
            (["timeline", "house.Bell/1", "-o", "ndjson"], 0),
            (["doctor", "-o", "json"], None),
        ],
    )
    def test_exit_codes_and_output_are_those_of_the_binary(self, data_dir: Path, arguments: list[str], status: int | None) -> None:
        direct = subprocess.run([BINARY, "--data", data_dir, *arguments], capture_output=True, text=True, check=False)
        passed = manage(data_dir, *arguments)
        out, err = passed.communicate(timeout=60)
        assert passed.returncode == direct.returncode
        assert status in (None, passed.returncode)
        if arguments[0] in ("search", "timeline"):
            assert (out, err) == (direct.stdout, direct.stderr)

    @pytest.mark.parametrize("option", [["--settings", "testproject.settings"], ["--settings=testproject.settings"]])
    def test_settings_are_named_in_any_place_as_in_other_commands_of_django(self, data_dir: Path, option: list[str]) -> None:
        for arguments in (["search", "-e", "action:bell.ring", *option], ["search", *option, "-e", "action:bell.ring"]):
            assert self._status(data_dir, *arguments) == 0
            assert self._status(data_dir, *option, *arguments) == 0
        assert self._status(data_dir, "settings", *option, "--json") == 0

    def test_what_stands_behind_two_dashes_is_no_option_of_django(self) -> None:
        from indelible.django.management.commands.indelible import _split_off_what_django_took

        assert _split_off_what_django_took(["search", "--", "--settings=x"]) == ([], ["search", "--", "--settings=x"])
        assert _split_off_what_django_took(["search", "--settings=x", "--", "-y"]) == (["--settings=x"], ["search", "--", "-y"])
        assert _split_off_what_django_took(["search", "--settings"]) == ([], ["search", "--settings"])

    def _status(self, data_dir: Path, *arguments: str) -> int:
        process = manage(data_dir, *arguments)
        process.communicate(timeout=60)
        return process.returncode

    def test_tail_follows_until_it_is_interrupted(self, data_dir: Path) -> None:
        tail = manage(data_dir, "tail", "action:bell.ring", "-o", "ndjson")
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["event"]["action"] == "bell.ring"
        indelible.record("bell.ring", resource="house.Bell/2")
        assert json.loads(tail.stdout.readline())["event"]["resource"]["id"] == "2"
        direct = subprocess.Popen([BINARY, "--data", data_dir, "tail"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for process in (tail, direct):
            process.send_signal(signal.SIGTERM)
        assert tail.wait(timeout=20) == direct.wait(timeout=20)


def test_every_command_and_every_gap_is_documented() -> None:
    from indelible.django import _inventory
    from indelible.django.management._binary import PASSED_ON

    text = (ROOT / "docs" / "commands.md").read_text()
    for name in ("hello", "settings", "coverage", "explain app.Model", *PASSED_ON):
        assert f"`{name}`" in text
    missed = text.split("what is missed")[1].split("Databases other")[0]
    for gap, _ in _inventory.NOT_HOOKABLE:
        assert gap.split(",")[0].split(" ")[0] in missed, gap


@pytest.mark.defect("A-29")
def test_every_criterion_and_mode_is_documented() -> None:
    from indelible import _criteria, pytest_plugin

    text = (ROOT / "docs" / "testing-your-app.md").read_text()
    for name in (*_criteria._CRITERIA, "unmasked=True"):
        assert f"`{name}`" in text, name
    for mode in pytest_plugin.MODES:
        assert f"--indelible={mode}" in text
