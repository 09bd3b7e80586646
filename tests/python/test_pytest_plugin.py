"""The pytest plugin, in a site of its own: each test here runs pytest on a few tests as a user would write them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

SETTINGS = """
SECRET_KEY = "tests only"
ROOT_URLCONF = "site_urls"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "indelible.django"]
MIDDLEWARE = [
    "indelible.django.AuditMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INDELIBLE = {"SERVICE": "site"}
"""
URLS = """
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import path

def add(request):
    Group.objects.create(name=request.POST["name"])
    return HttpResponse("done")

urlpatterns = [path("groups/", add)]
"""


class Site:
    """A folder with a site and its tests, and a data directory that the environment names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        (folder / "site_settings.py").write_text(SETTINGS)
        (folder / "site_urls.py").write_text(URLS)

    def test(
        self, source: str, *options: str, ini: str = "", environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        (self.folder / "test_site.py").write_text(source)
        (self.folder / "pytest.ini").write_text(
            f"[pytest]\nDJANGO_SETTINGS_MODULE = site_settings\npythonpath = . {ROOT / 'python'}\n{ini}"
        )
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "indelible.pytest_plugin"]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("INDELIBLE", "DJANGO", "PYTEST"))}
        clean |= {"PYTHONPATH": str(ROOT / "python"), "INDELIBLE_DATA_DIR": str(self.data_dir), **(environment or {})}
        done = subprocess.run(
            [*command, *options, "test_site.py"], cwd=self.folder, env=clean, capture_output=True, text=True, timeout=120, check=False
        )
        done.stdout += done.stderr
        return done

    def summary(self, *arguments: Any, **options: Any) -> dict[str, int]:
        done = self.test(*arguments, **options)
        return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout.splitlines()[-1])}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_test_sees_its_events_before_commit_and_those_of_its_threads_and_none_of_another_test(site: Site) -> None:
    source = """
import pytest, threading
import indelible
from django.contrib.auth.models import Group, User
from django.db import transaction

@pytest.mark.django_db
def test_before_commit(audit_events):
    with transaction.atomic():
        group = Group.objects.create(name="nurses")
        assert audit_events.one(action="group.create", object=group).pending
    assert not audit_events.one(object=group).changed(name=(None, "nurses")).pending

@pytest.mark.django_db
def test_a_request_of_a_user(audit_events, client):
    user = User.objects.create_user("ana", password="secret-4711")
    client.force_login(user)
    audit_events.clear()
    client.post("/groups/", {"name": "nurses"})
    audit_events.one(action="group.create", actor=user)
    audit_events.one(kind="request", status=200, actor="ana")
    audit_events.none(field="password", unmasked=True)

def test_a_thread(audit_events):
    thread = threading.Thread(target=indelible.record, args=("bell.ring",))
    thread.start(); thread.join()
    audit_events.one(action="bell.ring")

def test_nothing_is_left_over(audit_events):
    audit_events.none()

@pytest.mark.django_db(transaction=True)
def test_around_a_real_commit(audit_events):
    with transaction.atomic():
        Group.objects.create(name="nurses")
    assert audit_events.one(action="group.create").fate == "committed"

@pytest.mark.audit_off
def test_marked_off():
    from indelible import _runtime
    indelible.record("bell.ring")
    assert _runtime.capture().since(0) == []
"""
    done = site.test(source, "-W", "error::pytest.PytestUnknownMarkWarning")
    assert "6 passed" in done.stdout, done.stdout
    assert not site.data_dir.exists(), "nothing is ever sent to the trail that the environment names"


def test_strict_tests_fail_where_a_write_names_no_actor(site: Site) -> None:
    source = """
import pytest
import indelible
from django.contrib.auth.models import Group

pytestmark = pytest.mark.django_db

@pytest.fixture
def prepared(db):
    Group.objects.create(name="before")

@pytest.mark.audit_strict
def test_anonymous(client, prepared):
    client.post("/groups/", {"name": "nurses"})

@pytest.mark.audit_strict
def test_outside():
    Group.objects.create(name="nurses")

@pytest.mark.audit_strict(allow=["anonymous"])
def test_allowed(client, prepared):
    client.post("/groups/", {"name": "nurses"})

@pytest.mark.audit_strict
def test_named(prepared):
    with indelible.context(actor="system:nightly"):
        Group.objects.create(name="nurses")

def test_not_strict():
    Group.objects.create(name="nurses")
"""
    done = site.test(source)
    assert "2 failed, 3 passed" in done.stdout, done.stdout
    assert "audit_strict: written without an actor" in done.stdout
    assert "group.create auth.Group/2 by anonymous (id, name)" in done.stdout
    assert "group.create auth.Group/1 by system:" in done.stdout


RECORDING = """
import indelible
def test_it():
    assert indelible.record("bell.ring").status == "at"
"""


def test_switched_off_nothing_is_kept_and_tests_still_run(site: Site) -> None:
    assert site.summary(RECORDING, "--indelible=off") == {"passed": 1}
    assert site.summary(RECORDING, ini="indelible = off\n") == {"passed": 1}
    assert not site.data_dir.exists()


def test_with_the_journal_tests_record_as_the_settings_say(site: Site) -> None:
    assert site.summary(RECORDING, "--indelible=journal") == {"passed": 1}
    assert list(site.data_dir.glob("journal/site/*/*.journal"))


def test_a_mistake_in_the_configuration_is_said_before_any_test(site: Site) -> None:
    done = site.test(RECORDING, ini="indelible = offf\n")
    assert done.returncode == 4, done.stdout
    assert "indelible = 'offf' in the configuration of pytest is none of: capture, off, journal" in done.stdout


def test_a_variable_that_makes_no_sense_does_not_stop_pytest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.summary("def test_it(): pass", environment={"INDELIBLE_DURABILITY": "sinced"}) == {"passed": 1}


def test_without_the_native_module_tests_run_and_the_fixture_says_what_is_missing(site: Site) -> None:
    (site.folder / "sitecustomize.py").write_text("import sys; sys.modules['indelible._native'] = None")
    done = site.test(
        "def test_it(): pass\ndef test_events(audit_events): pass", environment={"PYTHONPATH": f"{site.folder}:{ROOT / 'python'}"}
    )
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "pip install --force-reinstall ." in done.stdout


def test_the_plugin_is_found_by_its_entry_point() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\nindelible = "indelible.pytest_plugin"\n' in text


def test_a_site_without_django_may_use_it(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys, indelible\n"
        "def test_it(audit_events):\n"
        "    indelible.record('bell.ring')\n"
        "    audit_events.one(action='bell.ring', kind='action')\n"
        "    assert 'django' not in sys.modules\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:django",
        "-p",
        "indelible.pytest_plugin",
        "test_plain.py",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("INDELIBLE", "DJANGO", "PYTEST"))}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
