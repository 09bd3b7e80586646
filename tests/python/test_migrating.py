"""The settings of other audit packages, told in ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.core.management import call_command

from indelible.django import conf, migrating

EVERYTHING: dict[str, Any] = {
    "INSTALLED_APPS": ["django.contrib.auth", "activity_tracker.apps.Config", "ftn_audit"],
    "MIDDLEWARE": ["ftn_audit.middleware.AuditContextMiddleware", "django.middleware.common.CommonMiddleware"],
    "AUDIT_SERVICE_NAME": "clinic",
    "AUDIT_REGISTERED_URLS": [r"^/api/"],
    "AUDIT_UNREGISTERED_URLS_DEFAULT": [r"^/admin/", r"^/static/", r"^/favicon.ico$"],
    "AUDIT_UNREGISTERED_URLS_EXTRA": [r"^/beds/\d+/plan$", r"/x(a|b)?y"],
    "SHOULD_LOG_EXTERNAL_REQUESTS": False,
    "AUDIT_DELIVERY_MODE": "noop",
    "AUDIT_CHANGESET_CHECK_RELATIONSHIP": False,
    "AUDIT_STRICT_FORMATTER_VALIDATION": True,
    "AUDIT_LOGS": {
        "ENABLED": True,
        "SENSITIVE_FIELDS": ["ssn", "pin"],
        "EXCLUDE_PATHS": ["/media/"],
        "EXCLUDE_EXTENSIONS": [".css"],
        "MAX_BODY_LENGTH": 8192,
        "MASK_FUNCTION": "os.path.join",
        "EXTRA_DATA_CALLABLE": len,
        "RETENTION_DAYS": 90,
        "NO_SUCH_KEY": 1,
    },
    "AUDIT_LOGS_USE_MONGO": True,
    "AUDIT_LOGS_ERROR_EMAIL_SENDER": "a@example.org",
    "ACTIVITY_TRACKER": {
        "TRACK_ANONYMOUS": False,
        "IGNORE_ACTIONS": ["LOGIN", "VIEW"],
        "ACTOR_RESOLVER": "os.path.join",
        "ENABLE_DRF": True,
    },
}
ENVIRONMENT = {"AUDIT_LOGS_AWS_SECRET_ACCESS_KEY": "very-secret", "GUNICORN_WORKERS": "4", "PATH": "/bin"}


def test_every_setting_becomes_ours_or_says_why_not() -> None:
    answer = migrating.read(SimpleNamespace(**EVERYTHING), ENVIRONMENT)
    assert answer.settings == {
        "SERVICE": "clinic",
        "REQUESTS": {
            "include": ["/api/*"],
            "exclude": ["/admin/*", "/static/*", "/favicon.ico", "/beds/*/plan", "/x*y*", "/media/*"],
            "rules": [{"extension": [".css"], "level": "none"}],
        },
        "OUTBOUND": {"level": "none"},
        "RECORD": "nowhere",
        "FOREIGN_KEYS": False,
        "ENABLED": True,
        "MASK": {"fields": ["ssn", "pin"]},
        "LIMITS": {"body_bytes": 8192},
        "MASKER": "os.path.join",
        "EXTRA": "builtins.len",
        "ANONYMOUS": False,
        "IGNORE_ACTIONS": ["auth.login", "*.view"],
        "ACTOR": "os.path.join",
    }
    without = dict(answer.without)
    assert {
        "AUDIT_STRICT_FORMATTER_VALIDATION",
        "AUDIT_LOGS_USE_MONGO",
        "AUDIT_LOGS['NO_SUCH_KEY']",
        "$AUDIT_LOGS_AWS_SECRET_ACCESS_KEY",
    } <= set(without)
    assert all(without.values())
    told = {name for name, _ in answer.notes} | set(without)
    assert {
        "$GUNICORN_WORKERS",
        "AUDIT_LOGS['RETENTION_DAYS']",
        "ftn_audit.middleware.AuditContextMiddleware",
        "activity_tracker.apps.Config",
    } <= told


def test_what_is_printed_can_be_pasted_and_is_accepted() -> None:
    printed = migrating.text(migrating.read(SimpleNamespace(**EVERYTHING), ENVIRONMENT))
    assert "very-secret" not in printed
    scope: dict[str, Any] = {}
    exec(printed, scope)
    settings = conf.load(SimpleNamespace(ROOT_URLCONF="clinic.urls", INDELIBLE=scope["INDELIBLE"]), {}, testing=False)
    assert settings.problems == ()
    assert settings.anonymous is False


def test_a_value_that_makes_no_sense_is_told_and_stops_nothing() -> None:
    answer = migrating.read(
        SimpleNamespace(AUDIT_UNREGISTERED_URLS_EXTRA=7, AUDIT_LOGS={"MAX_BODY_LENGTH": "much"}, ACTIVITY_TRACKER=3), {}
    )
    assert answer.without == [
        ("AUDIT_UNREGISTERED_URLS_EXTRA", "its value cannot be read: TypeError"),
        ("AUDIT_LOGS['MAX_BODY_LENGTH']", "its value cannot be read: ValueError"),
    ]
    assert answer.settings == {}


def test_without_another_package_there_is_nothing_to_tell() -> None:
    assert "were found" in migrating.text(migrating.read(SimpleNamespace(), {"PATH": "/bin"}))


def test_the_command_prints_it_and_changes_nothing(settings: Any, capsys: Any) -> None:
    settings.ACTIVITY_TRACKER = {"TRACK_ANONYMOUS": False}
    before = conf.active()
    call_command("indelible", "settings", "--from-other-packages")
    assert "'ANONYMOUS': False" in capsys.readouterr().out
    assert conf.active() is before


def test_a_name_that_its_package_only_documents_is_told() -> None:
    answer = migrating.read(
        SimpleNamespace(AUDIT_LOGS_MAX_BODY_LENGTH=1), {"AUDIT_LOGS_DATABASE_URL": "very-secret", "GUNICORN_TIMEOUT": "30"}
    )
    assert answer.without == [
        ("AUDIT_LOGS_MAX_BODY_LENGTH", "the package does not read it"),
        ("$AUDIT_LOGS_DATABASE_URL", "the package does not read it"),
    ]
    assert [name for name, _ in answer.notes] == ["$GUNICORN_TIMEOUT"]
    assert "very-secret" not in migrating.text(answer)
