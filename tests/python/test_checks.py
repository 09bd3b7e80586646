"""What ``manage.py check`` finds, and that it finds nothing on a site that is right."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.core import checks as django_checks
from django.core.checks import CheckMessage
from django.db import connections
from django.urls import path

from indelible import _runtime
from indelible.django import _evidence, apps, conf, registry
from indelible.django._models import forget_plans
from indelible.logging import EventHandler
from testproject.models import Patient

ROOT = Path(__file__).parents[2]
NOBODY = 65534
AUDIT = "indelible.django.AuditMiddleware"
SECURITY = "django.middleware.security.SecurityMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"

urlpatterns = [path("admin/", admin.site.urls)]


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("INDELIBLE_DATA_DIR", str(tmp_path / "data"))
    apps.configure(conf.reload())
    yield
    _runtime.runtime().close()


def found(*, deploy: bool = False) -> dict[str, CheckMessage]:
    messages = django_checks.run_checks(tags=["indelible"], include_deployment_checks=deploy)
    return {(message.id or "").removeprefix("indelible."): message for message in messages}


def test_a_site_that_is_right_has_nothing_to_hear(settings: Any) -> None:
    assert found() == {}
    assert found(deploy=True).keys() == {"I201"}


def test_what_is_recorded_is_said_before_a_deployment(settings: Any, tmp_path: Path) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "MODELS": {"testproject.Patient": {}}, "EVIDENCE": "marker"}
    forget_plans()
    said = found(deploy=True)["I201"]
    assert not said.is_serious()
    assert re.fullmatch(
        rf"1 of \d\d models are recorded, commits are known by 'marker', the journal is in {tmp_path}/data, the agent is run by somebody else.",
        said.msg,
    )
    settings.INDELIBLE = {**settings.INDELIBLE, "AGENT": "auto"}
    assert "the agent is started by the site" in found(deploy=True)["I201"].msg


@pytest.mark.parametrize("middleware", [[AUDIT, SECURITY], [SECURITY, AUDIT, COMMON], ["indelible.django.middleware.AuditMiddleware"]])
def test_the_middleware_may_be_first_or_second_to_security(settings: Any, middleware: list[str]) -> None:
    settings.MIDDLEWARE = middleware
    assert found() == {}


def test_a_missing_middleware_is_an_error_with_the_line_to_add(settings: Any) -> None:
    settings.MIDDLEWARE = [SECURITY]
    error = found()["E001"]
    assert error.is_serious()
    assert error.hint == f'Add: MIDDLEWARE.insert(0, "{AUDIT}")'


def test_a_middleware_in_front_of_ours_is_named(settings: Any) -> None:
    settings.MIDDLEWARE = [SECURITY, COMMON, AUDIT]
    assert COMMON in found()["E001"].msg


def test_an_unknown_setting_is_an_error_with_a_suggestion(settings: Any) -> None:
    settings.INDELIBLE = {"SERVCE": "clinic"}
    error = found()["E002"]
    assert (error.is_serious(), error.msg, error.hint) == (True, "INDELIBLE['SERVCE'] is not a setting.", "Did you mean 'SERVICE'?")


def test_a_missing_native_module_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runtime.Runtime, "native", lambda self: None)
    assert found()["E003"].hint == "Run: pip install --force-reinstall .  # in the source tree of indelible"


def test_a_model_described_wrongly_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = registry.Problem("E005", "clinic.Patient", "Patient.Audit: 'mask' names 'snn', which is not a field.", "Did you mean 'ssn'?")
    monkeypatch.setattr(registry, "problems", lambda: [problem])
    error = found()["E005"]
    assert (error.obj, error.msg, error.hint) == ("clinic.Patient", problem.message, problem.hint)


def test_a_directory_that_cannot_be_written_is_a_warning_and_on_deployment_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("INDELIBLE_DATA_DIR", str(tmp_path / "file" / "data"))
    apps.configure(conf.reload())
    assert not found()["W111"].is_serious()
    assert found(deploy=True)["E007"].is_serious()


def test_a_directory_of_somebody_else_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not in pytest's own folder, into which nobody else may look at all.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        data_dir = Path(folder, "data")
        data_dir.mkdir(mode=0o777)
        monkeypatch.setenv("INDELIBLE_DATA_DIR", str(data_dir))
        apps.configure(conf.reload())
        data_dir.chmod(0o777)
        assert "W111" not in as_nobody(found)
        data_dir.chmod(0o555)
        assert "W111" in as_nobody(found)
        data_dir.chmod(0)
        assert "W111" in as_nobody(found), "a folder that this user may not even enter"
        data_dir.chmod(0o755)


def test_a_host_that_init_has_set_up_can_be_recorded_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`indelible init` gives the application the folder of its service and nothing above: W111 once said there that nothing is recorded."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        journal = Path(folder, "journal")
        service = journal / conf.active().service
        service.mkdir(parents=True)
        service.chmod(0o777)
        journal.chmod(0o511)
        monkeypatch.setenv("INDELIBLE_DATA_DIR", folder)
        apps.configure(conf.reload())
        assert "W111" not in as_nobody(found)
        service.chmod(0o555)
        assert "W111" in as_nobody(found)
        journal.chmod(0o700)


def as_nobody(look: Callable[[], Iterable[str]]) -> set[str]:
    """What this finds in a process of a user without rights: root may write everywhere."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            os.write(writing, " ".join(look()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as answer:
        seen = set(answer.read().split())
    assert os.waitpid(child, 0)[1] == 0
    return seen


def test_checking_makes_no_directory(tmp_path: Path) -> None:
    found(deploy=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("app", "package"),
    [("auditlog", "django-auditlog"), ("activity_audit", "django-activity-audit"), ("activity_tracker", "django-system-audit")],
)
def test_another_audit_package_is_named(settings: Any, monkeypatch: pytest.MonkeyPatch, app: str, package: str) -> None:
    monkeypatch.setattr("django.apps.apps.is_installed", lambda name: name == app)
    assert found()["W101"].msg.startswith(f"{package} records the same things")


@pytest.mark.parametrize("behind", [{"USE_X_FORWARDED_HOST": True}, {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}])
def test_a_proxy_that_is_not_counted_hides_every_client(settings: Any, behind: dict[str, Any]) -> None:
    for name, value in behind.items():
        setattr(settings, name, value)
    assert "TRUSTED_PROXY_COUNT" in (found()["W108"].hint or "")
    settings.INDELIBLE = {**settings.INDELIBLE, "TRUSTED_PROXY_COUNT": 1}
    assert found() == {}


def test_the_agent_of_development_is_not_for_production(settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "AGENT": "auto"}
    assert found() == {}
    assert "W109" in found(deploy=True)


def test_a_model_that_looks_personal_and_is_neither_masked_nor_marked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "W102" not in found()
    monkeypatch.delattr(Patient.Audit, "sensitive")
    forget_plans()
    warning = found()["W102"]
    assert (warning.obj, warning.is_serious()) == (Patient, False)
    assert warning.msg.startswith("testproject.Patient looks like data about a person (born)")
    monkeypatch.setattr(Patient.Audit, "mask", ["ssn", "born"])
    assert "W102" not in found()


@pytest.mark.parametrize(
    ("indelible", "gap"),
    [
        ({"AUTH": False}, "who signs in and who fails to (AUTH is False)"),
        ({"IGNORE_ACTIONS": ["auth.*"]}, "who signs in and who fails to (IGNORE_ACTIONS)"),
        ({"IGNORE_ACTIONS": ["auth.login"]}, "who signs in and who fails to (IGNORE_ACTIONS)"),
        ({"MODELS": {"testproject.Patient": {}}}, "changes of auth.User (MODELS)"),
        ({"REQUESTS": {"rules": [{"path": "/admin/*", "level": "none"}]}}, "requests to the admin at /admin/ (REQUESTS)"),
    ],
)
def test_leaving_out_what_an_auditor_asks_for_first_is_a_warning(settings: Any, indelible: dict[str, Any], gap: str) -> None:
    settings.ROOT_URLCONF = __name__
    assert found() == {}
    settings.INDELIBLE = {**settings.INDELIBLE, **indelible}
    assert found()["W103"].msg == f"Not recorded: {gap}."


def test_celery_without_us_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery", types.ModuleType("celery"))
    monkeypatch.delitem(sys.modules, "indelible.celery", raising=False)
    assert "indelible.celery is not connected" in found()["W105"].msg
    monkeypatch.setitem(sys.modules, "indelible.celery", types.ModuleType("indelible.celery"))
    assert found() == {}


def test_losing_events_about_sensitive_models_is_a_warning(settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_FAILURE": "best_effort"}
    assert "testproject.Secret" in found()["W106"].msg
    settings.INDELIBLE = {**settings.INDELIBLE, "ON_FAILURE": "required"}
    assert found() == {}


def test_a_secret_in_a_settings_file_is_an_error_on_deployment(settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "TOKEN": "t-4711"}
    error = found(deploy=True)["E006"]
    assert error.is_serious()
    assert "t-4711" not in f"{error.msg} {error.hint}"
    assert "E006" not in found()


def test_a_site_that_switched_recording_off_hears_only_of_its_settings(settings: Any) -> None:
    settings.MIDDLEWARE = []
    settings.INDELIBLE = {"ENABLED": False, "SERVCE": "clinic"}
    assert found(deploy=True).keys() == {"E002"}


def test_every_id_is_described() -> None:
    from indelible.django import checks

    source = Path(sys.modules[checks.__name__].__file__ or "").read_text()
    described = {word for word in source.split('"""')[1].split() if word.startswith("``indelible.")}
    used = {f"``{part.split(chr(34))[0]}``" for part in source.split('id="')[1:]} | {"``indelible.E005``"}
    assert described == used
    documented = re.findall(r"^\| `(indelible\.\w+)` \|", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE)
    assert [f"``{id_}``" for id_ in documented] == sorted(described)


def test_evidence_without_its_app_is_an_error_and_a_database_that_cannot_have_it_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker"}
    # Which databases are in place depends on the tests before.
    with monkeypatch.context() as patch:
        for connection in connections.all():
            patch.setattr(connection, "vendor", "oracle")
        forget_plans()
        warning = found()["W114"]
    assert "oracle has only 'ack'" in warning.msg
    assert not warning.is_serious()
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "indelible.django.evidence"]
    forget_plans()
    error = found()["E008"]
    assert error.is_serious()
    assert '"indelible.django.evidence"' in (error.hint or "")


def test_a_router_that_keeps_the_table_away_is_said(settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker"}
    settings.DATABASE_ROUTERS = ["test_checks.Keeping"]
    connection = connections["default"]
    connection.settings_dict["NAME"], before = "/nowhere/a.sqlite3", connection.settings_dict["NAME"]
    try:
        forget_plans()
        assert _evidence.obstacle(connection, "marker") == "a database router keeps indelible_marker away from it"
    finally:
        connection.settings_dict["NAME"] = before


class Keeping:
    """A router that allows our tables nowhere."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "indelible_evidence" else None


@pytest.fixture
def kept_as_events() -> Iterator[None]:
    """A site whose audit lines become events."""
    handler = EventHandler()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def mailed() -> Iterator[logging.Handler]:
    handler = logging.handlers.SMTPHandler("localhost", "clinic@example.org", ["admin@example.org"], "a line")
    logging.getLogger("ward").addHandler(handler)
    yield handler
    logging.getLogger("ward").removeHandler(handler)


def test_audit_lines_that_are_also_mailed_are_a_warning(kept_as_events: None, mailed: logging.Handler) -> None:
    assert "logging.handlers.SMTPHandler" in found()["W107"].msg
    mailed.setLevel(logging.ERROR)
    assert "W107" not in found()


def test_where_no_audit_line_is_kept_none_leaves(mailed: logging.Handler) -> None:
    assert "W107" not in found()


def test_sentry_that_reads_every_logger_is_a_warning(kept_as_events: None, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"logging": object()}
    client = types.SimpleNamespace(get_integration=names.get)
    monkeypatch.setitem(sys.modules, "sentry_sdk", types.SimpleNamespace(get_client=lambda: client))
    assert "sentry_sdk" in found()["W107"].msg
    names.clear()
    assert "W107" not in found()
