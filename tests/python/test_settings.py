"""One dict, one schema: defaults, the environment, and mistakes that are reported and never stop the site."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from indelible.django import conf

HOUSE = Path(__file__).resolve().parent.parent.parent


def load(given: Any = None, environ: dict[str, str] | None = None, *, testing: bool = False, **django: Any) -> conf.Settings:
    django.setdefault("ROOT_URLCONF", "clinic.urls")
    if given is not None:
        django["INDELIBLE"] = given
    return conf.load(SimpleNamespace(**django), environ or {}, testing=testing)


# Every setting: its default, a text as the environment has it, and what that text means.
SETTINGS: dict[str, tuple[Any, str, Any]] = {
    "ENABLED": (True, "0", False),
    "SERVICE": ("clinic", "ward", "ward"),
    "ENVIRONMENT": ("", "production", "production"),
    "VERSION": ("", "1.2.3", "1.2.3"),
    "DATA_DIR": (Path("/var/lib/indelible"), "/srv/trail", Path("/srv/trail")),
    "AGENT": ("external", "auto", "auto"),
    "REQUESTS": (conf.RequestPolicy("metadata", ()), '{"level": "none"}', conf.RequestPolicy("none", ())),
    "OUTBOUND": ("metadata", '{"level": "none"}', "none"),
    "MODELS": ("all", '{"clinic.Patient": {"mask": ["ssn"]}}', {"clinic.Patient": {"mask": ["ssn"]}}),
    "MASK": (conf.Mask((), None), '{"fields": ["ssn"]}', conf.Mask(("ssn",), None)),
    "EVIDENCE": ("ack", "marker", "marker"),
    "COLLECTOR": ("", "https://trail.example.org/clinic", "https://trail.example.org/clinic"),
    "DURABILITY": ("buffered", "synced", "synced"),
    "ON_FAILURE": ("standard", "required", "required"),
    "ON_ERROR": ("degrade", "raise", "raise"),
    "ON_AUDIT_ERROR": (None, "os.path.join", os.path.join),
    "RESOLVE_ACTOR": ("auto", "always", "always"),
    "ACTOR": (None, "os.path.join", os.path.join),
    "ACTOR_FIELDS": (("id", "label"), '["id", "department.code"]', ("id", "department.code")),
    "CONTEXT": (None, "os.path.join", os.path.join),
    "META_HEADERS": ({}, '{"X-UI-App": "ui_app"}', {"X-UI-App": "ui_app"}),
    "EXTRA": (None, "os.path.join", os.path.join),
    "MASKER": (None, "os.path.join", os.path.join),
    "CALL_SITE": (0.0, "0.25", 0.25),
    "FORMATTERS": (True, "false", False),
    "TASKS": (True, "false", False),
    "RECORD": ("journal", "nowhere", "nowhere"),
    "SKIP": (None, "os.path.join", os.path.join),
    "IGNORE_ACTIONS": ((), '["draft.*"]', ("draft.*",)),
    "ANONYMOUS": (True, "false", False),
    "REASON_HEADER": ("X-Audit-Reason", "X-Why", "X-Why"),
    "REASON_FIELD": ("", "why", "why"),
    "REASON_REQUIRED": ((), '["patient.delete"]', ("patient.delete",)),
    "READS": ("declared", "all", "all"),
    "AUTH": (True, "false", False),
    "COMMANDS": (True, "false", False),
    "TRUSTED_PROXY_COUNT": (0, "2", 2),
    "REQUEST_ID_HEADER": ("X-Request-ID", "X-Trace", "X-Trace"),
    "KEEP_ROLLED_BACK": ("sensitive", "all", "all"),
    "BULK": ("rows", "statement", "statement"),
    "RAW_SQL": (True, "false", False),
    "FOREIGN_KEYS": (True, "0", False),
    "M2M": ("all", '["clinic.Patient.conditions"]', frozenset({"clinic.Patient.conditions"})),
    "LIMITS": (conf.LIMITS, '{"event_bytes": 20000}', {**conf.LIMITS, "event_bytes": 20000}),
}


def test_the_table_of_this_test_has_every_setting() -> None:
    assert set(SETTINGS) == set(conf.KEYS)


@pytest.mark.defect("G-4", "G-5")
@pytest.mark.parametrize("key", conf.KEYS)
def test_a_setting_has_its_documented_default_and_a_variable_in_the_environment(key: str) -> None:
    default, text, value = SETTINGS[key]
    nothing, environment = load(), load({}, {f"INDELIBLE_{key}": text})
    assert (getattr(nothing, key.lower()), nothing.problems) == (default, ())
    assert (getattr(environment, key.lower()), environment.problems) == (value, ())


def test_debug_brings_a_local_data_directory_and_the_agent_with_it(tmp_path: Path) -> None:
    settings = load(DEBUG=True, BASE_DIR=tmp_path)
    assert settings.data_dir == tmp_path / ".indelible"
    assert settings.agent == "auto"


def test_without_a_base_directory_the_current_folder_holds_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(DEBUG=True).data_dir == tmp_path / ".indelible"


def test_a_test_runner_never_reaches_the_real_trail(tmp_path: Path) -> None:
    settings = load({"DATA_DIR": "/var/lib/indelible"}, testing=True)
    assert "indelible-test-" in settings.data_dir.name
    assert load({}, {"INDELIBLE_DATA_DIR": str(tmp_path)}, testing=True).data_dir == tmp_path


@pytest.mark.parametrize(
    ("urlconf", "service"),
    [("clinic.urls", "clinic"), ("Config.urls", "config"), ("my_site.urls", "my_site"), ("_private.urls", "private"), ("", "django")],
)
def test_the_service_is_named_after_the_project(urlconf: str, service: str) -> None:
    assert load(ROOT_URLCONF=urlconf).service == service


def test_the_environment_wins_over_the_dict() -> None:
    settings = load(
        {"SERVICE": "clinic", "TRUSTED_PROXY_COUNT": 1, "ENABLED": True},
        {
            "INDELIBLE_SERVICE": "ward",
            "INDELIBLE_TRUSTED_PROXY_COUNT": "2",
            "INDELIBLE_ENABLED": "false",
            "INDELIBLE_MASK": '{"fields": ["diagnosis"]}',
        },
    )
    assert settings.service == "ward"
    assert settings.trusted_proxy_count == 2
    assert settings.enabled is False
    assert settings.mask.fields == ("diagnosis",)
    assert settings.problems == ()


def test_rules_keep_their_order() -> None:
    rules = [{"route": "/health", "level": "none"}, {"path": "/api/*", "method": "GET", "level": "metadata"}]
    settings = load({"REQUESTS": {"level": "none", "rules": rules}})
    assert settings.requests == conf.RequestPolicy(
        "none",
        tuple(rules),
    )


def test_limits_that_are_not_given_keep_their_defaults() -> None:
    limits = load({"LIMITS": {"event_bytes": 1000}}).limits
    assert limits["event_bytes"] == 1000
    assert limits["transaction_events"] == 65_536


def test_a_dotted_path_becomes_the_callable() -> None:
    assert load({"ACTOR": "os.path.basename"}).actor is __import__("os").path.basename


MISTAKES = [
    ({"SERVCE": "clinic"}, "INDELIBLE['SERVCE'] is not a setting.", "Did you mean 'SERVICE'?"),
    ({"service": "clinic"}, "INDELIBLE['service'] is not a setting.", "Did you mean 'SERVICE'?"),
    ({"SERVICE": 7}, "INDELIBLE['SERVICE']: must be a string, not int.", None),
    ({"SERVICE": "A Clinic"}, "INDELIBLE['SERVICE']: 'A Clinic' is not usable as a name.", "Use up to 64"),
    ({"ENABLED": "yes"}, "INDELIBLE['ENABLED']: must be True or False, not 'yes'.", None),
    ({"AGENT": "extern"}, "INDELIBLE['AGENT']: 'extern' is not one of 'auto', 'external'.", "Did you mean 'external'?"),
    ({"EVIDENCE": "markers"}, "INDELIBLE['EVIDENCE']: 'markers' is not one of 'ack', 'marker', 'outbox'.", "Did you mean 'marker'?"),
    ({"COLLECTOR": "http://trail.example.org"}, "must begin with https://", "Write an address"),
    ({"COLLECTOR": "https://ana:s3cret@trail.example.org"}, "must be an address and nothing else", "Write an address"),
    ({"COLLECTOR": "https://trail.example.org:x"}, "is no address", "Write an address"),
    ({"COLLECTOR": "trail.example.org"}, "is no address", "Write an address"),
    ({"TRUSTED_PROXY_COUNT": -1}, "must be a whole number, at least 0, not -1", None),
    ({"TRUSTED_PROXY_COUNT": True}, "must be a whole number, at least 0, not True", None),
    ({"REQUESTS": {"level": "metadat"}}, "level 'metadat' is not one of", "Did you mean 'metadata'?"),
    ({"REQUESTS": {"rules": [{"rout": "/x", "level": "none"}]}}, "'rout' is not one of", "Did you mean 'route'?"),
    ({"REQUESTS": {"rules": [{"route": "/x"}]}}, "a rule must be a dict with a 'level'", None),
    ({"REQUESTS": {"rules": [{"level": "none"}]}}, "matches by nothing", "Give it a 'route'"),
    ({"REQUESTS": {"rules": [{"method": "P@T", "level": "none"}]}}, "'P@T' is not an HTTP method", None),
    ({"REQUESTS": {"rules": [{"route": 1, "level": "none"}]}}, "'route' of a rule must be a string, not int", None),
    ({"REQUESTS": {"rules": "/x"}}, "'rules' must be a list, not str", None),
    ({"REQUESTS": "metadata"}, "must be a dict with string keys, not str", None),
    ({"MASK": {"fields": "ssn"}}, "must be a list of strings, not 'ssn'", None),
    ({"MASK": {"values": ["cards"]}}, "'cards' is not one of", "Did you mean 'card'?"),
    ({"MODELS": {"Patient": {}}}, "'Patient' is not a model", "Write 'app_label.Model'."),
    ({"ACTOR": "clinic.nowhere"}, "'clinic.nowhere' cannot be imported", "Give the dotted path"),
    ({"ACTOR_FIELDS": ["id", "mail"]}, "'mail' is not one of", "Did you mean 'email'?"),
    ({"ACTOR_FIELDS": ["id", "date_of_birth"]}, "'date_of_birth' is never recorded of an actor", "Sex and date of birth"),
    ({"ACTOR_FIELDS": ["profile.Sex"]}, "'profile.Sex' is never recorded of an actor", "Sex and date of birth"),
    ({"ACTOR_FIELDS": ["session"]}, "'session' is a member of every actor", None),
    ({"ACTOR_FIELDS": ["_state"]}, "'_state' is not an attribute of a user", "Write 'department'"),
    ({"META_HEADERS": {"X UI": "ui"}}, "'X UI' is not the name of a header", "Use letters"),
    ({"META_HEADERS": {"Authorization": "who"}}, "'Authorization' carries credentials", None),
    ({"META_HEADERS": {"X-UI": 3}}, "3 is not usable as a key of 'meta'", "Use up to 64"),
    ({"CALL_SITE": 2}, "must be a number from 0.0 to 1.0, not 2", None),
    ({"CALL_SITE": True}, "must be a number from 0.0 to 1.0, not True", None),
    ({"RECORD": "journals"}, "'journals' is not one of 'journal', 'nowhere'", "Did you mean 'journal'?"),
    ({"IGNORE_ACTIONS": ["Draft"]}, "'Draft' is not an action", "Write 'noun.verb'"),
    ({"IGNORE_ACTIONS": ["*.*"]}, "'*.*' would ignore everything", "Set ENABLED to False"),
    ({"LIMITS": {"event_byte": 1}}, "'event_byte' is not one of", "Did you mean 'event_bytes'?"),
    ({"LIMITS": {"event_bytes": "1 MB"}}, "event_bytes must be a whole number, at least 1, not '1 MB'", None),
    ({"REQUEST_ID_HEADER": "X Request"}, "'X Request' is not the name of a header", "Use letters"),
    ({"DATA_DIR": 3}, "must be a path, not int", None),
    ("clinic", "must be a dict, not str", "Write INDELIBLE"),
]


@pytest.mark.defect("H8", "F-11")
@pytest.mark.parametrize(("given", "message", "hint"), MISTAKES)
def test_a_mistake_is_reported_and_the_default_stands_in(given: Any, message: str, hint: str | None) -> None:
    settings = load(given)
    (problem,) = settings.problems
    assert message in problem.message
    assert (problem.hint or "").startswith(hint or "")
    assert (hint is None) == (problem.hint is None)
    key = problem.key.lower()
    if key in conf.Settings.__dataclass_fields__:
        assert getattr(settings, key) == getattr(load(), key)


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    settings = load({"LIMITS": {"event_bytes": 5}}, {"INDELIBLE_LIMITS": "{broken"})
    (problem,) = settings.problems
    assert problem.message.startswith("INDELIBLE_LIMITS: is not JSON")
    assert settings.limits == conf.LIMITS


def test_only_a_slip_of_the_pen_in_the_environment_is_a_mistake() -> None:
    settings = load({}, {"INDELIBLE_SERVIC": "x", "INDELIBLE_BINARY": "/x", "INDELIBLE_INK": "blue", "PATH": "/bin"})
    assert [(problem.message, problem.hint) for problem in settings.problems] == [
        ("INDELIBLE_SERVIC in the environment is not a setting.", "Did you mean 'SERVICE'?")
    ]


DERIVED = {"SERVICE", "DATA_DIR", "AGENT", "MASK", "LIMITS"}
"""Settings whose default the documentation tells in words, because it depends on the site or has parts."""


@pytest.mark.defect("G-5", "G-20")
@pytest.mark.parametrize("key", [key for key in conf.KEYS if key not in DERIVED])
def test_the_documented_default_is_the_one_that_holds(key: str) -> None:
    row = re.search(rf"^\| `{key}` \| (.*?) \|", (HOUSE / "docs" / "settings.md").read_text(), re.MULTILINE)
    assert row is not None
    documented = None if row[1] == "none" else ast.literal_eval(row[1].strip("`"))
    with_it = load({} if documented is None else {key: documented})
    assert with_it.problems == ()
    assert getattr(with_it, key.lower()) == getattr(load(), key.lower())


def test_every_setting_is_described() -> None:
    for setting, key in zip(conf.SETTINGS, conf.KEYS, strict=True):
        assert f"``{key}``" in (setting.__doc__ or ""), key
