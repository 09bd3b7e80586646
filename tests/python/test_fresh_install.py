"""A fresh installation: what the package needs and nothing else, in an environment of its own."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import journal

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "indelible"
WITHOUT_PYTEST = {"pytest_plugin"}


@dataclass
class Installation:
    """A virtual environment without pip that finds our source tree and the distributions that were linked into it."""

    folder: Path

    def link(self, *distributions: str) -> None:
        (site_packages,) = self.folder.glob("lib/python*/site-packages")
        (site_packages / "indelible.pth").write_text(f"{ROOT / 'python'}\n")
        for name in distributions:
            for file in importlib.metadata.files(name) or ():
                top = Path(str(file)).parts[0]
                target = site_packages / top
                if top not in ("..", "__pycache__") and not target.exists():
                    target.symlink_to(Path(str(importlib.metadata.distribution(name).locate_file(top))))

    def run(self, *arguments: str, at: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("INDELIBLE", "DJANGO", "PYTHON"))}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", **variables}
        command = [str(self.folder / "bin" / "python"), *arguments]
        return subprocess.run(command, cwd=at or self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def python(self, code: str, at: Path | None = None, **variables: str) -> str:
        done = self.run("-c", code, at=at, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Nothing but the package."""
    return _installed(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def with_django(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The package and Django with what Django itself requires."""
    return _installed(tmp_path_factory.mktemp("django"), "Django", "asgiref", "sqlparse", "typing_extensions")


@pytest.fixture(scope="module")
def with_psycopg(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The same and the driver of PostgreSQL."""
    return _installed(tmp_path_factory.mktemp("psycopg"), "Django", "asgiref", "sqlparse", "typing_extensions", "psycopg", "psycopg-binary")


def _installed(folder: Path, *distributions: str) -> Installation:
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    installation = Installation(folder / "venv")
    installation.link(*distributions)
    return installation


@pytest.fixture(scope="module")
def site(with_django: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as ``startproject`` makes it, with the lines of the README, one model and all migrations applied."""
    folder = tmp_path_factory.mktemp("site")
    assert with_django.run("-m", "django", "startproject", "clinic", str(folder)).returncode == 0
    assert with_django.run("manage.py", "startapp", "wards", at=folder).returncode == 0
    lines = re.search(r"```python\n(INSTALLED_APPS .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert lines is not None
    with (folder / "clinic" / "settings.py").open("a") as settings:
        settings.write(f'INSTALLED_APPS += ["wards"]\n{lines[1]}INSTALLED_APPS += ["indelible.django.trail"]\n')
    (folder / "wards" / "models.py").write_text(MODEL)
    for command in (["makemigrations", "wards"], ["migrate"]):
        done = with_django.run("manage.py", *command, at=folder)
        assert done.returncode == 0, done.stderr
    return folder


MODEL = """
from django.db import models

class Ward(models.Model):
    name = models.CharField(max_length=20)
    code = models.CharField(max_length=20)

    class Audit:
        mask = ["code"]
"""


@pytest.mark.scenario(38)
@pytest.mark.defect("A-4")
def test_the_package_is_imported_without_any_other(bare: Installation) -> None:
    said = bare.python("import indelible, indelible.testing, sys; print(indelible.__version__, 'django' in sys.modules)")
    assert said.endswith(" False")


@pytest.mark.scenario(38)
@pytest.mark.defect("A-4")
def test_every_module_is_imported_or_says_what_it_needs(with_django: Installation) -> None:
    names = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_") and path.stem not in WITHOUT_PYTEST)
    assert {"drf", "drf_trail", "http", "sftp", "testing"} <= set(names)
    for name in names:
        done = with_django.run("-c", f"import indelible.{name}")
        if done.returncode:
            assert re.search(r"pip install ['\"]indelible\[\w+\]['\"]$", done.stderr.strip()), done.stderr
    for name in ("testing", "logging"):
        assert with_django.run("-c", f"import indelible.{name}").returncode == 0


@pytest.mark.scenario(38)
@pytest.mark.defect("A-4")
@pytest.mark.parametrize(
    ("use", "extra"),
    [
        ("from indelible.http import AuditedSession; AuditedSession()", "requests"),
        ("from indelible.http import AuditedTransport; AuditedTransport()", "httpx"),
        ("import indelible.celery; indelible.celery.connect()", "celery"),
        ("import indelible.sftp", "sftp"),
    ],
)
def test_using_what_needs_a_library_names_the_command_that_installs_it(with_django: Installation, use: str, extra: str) -> None:
    done = with_django.run("-c", use)
    assert done.returncode == 1
    assert re.search(rf"pip install ['\"]indelible\[{extra}\]", done.stderr.splitlines()[-1]), done.stderr


@pytest.mark.scenario(38)
def test_every_extra_that_a_message_names_exists() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    extras = set(re.findall(r"^(\w+) = \[", text.split("[project.optional-dependencies]")[1].split("\n[")[0], re.MULTILINE))
    named = {extra for path in PACKAGE.rglob("*.py") for extra in re.findall(r"pip install ['\\\"]+indelible\[(\w+)\]", path.read_text())}
    assert named
    assert named <= extras
    assert re.search(r"^dependencies = \[\]", text, re.MULTILINE), "the package itself requires nothing"


@pytest.mark.scenario(38)
@pytest.mark.defect("G-13")
def test_a_new_site_checks_migrates_and_has_no_migration_left_to_make(with_django: Installation, site: Path) -> None:
    for command in (["check"], ["makemigrations", "--check", "--dry-run"], ["migrate", "--check"], ["indelible", "coverage"]):
        done = with_django.run("manage.py", *command, at=site)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    done = with_django.run("manage.py", "makemigrations", "indelible", "--check", "--dry-run", at=site)
    assert "No changes detected" in done.stdout + done.stderr


WRITE = "from wards.models import Ward; Ward.objects.create(name='north', code='4711'); import indelible; indelible.record('ward.open')"


@pytest.mark.scenario(38)
@pytest.mark.defect("A-25", "S-5")
def test_a_new_site_records_without_any_configuration_of_logging(with_django: Installation, site: Path, tmp_path: Path) -> None:
    done = with_django.run("manage.py", "shell", "-c", WRITE, at=site, INDELIBLE_DATA_DIR=str(tmp_path), INDELIBLE_AGENT="external")
    assert (done.returncode, "indelible" in done.stderr) == (0, False), done.stderr
    created, opened = journal.events(tmp_path, "clinic")
    assert (created["action"], created["resource"]["type"], opened["action"]) == ("ward.create", "wards.Ward", "ward.open")
    assert "4711" not in str(created)


@pytest.mark.scenario(38)
@pytest.mark.defect("A-25")
def test_a_new_site_that_cannot_record_says_so_without_any_configuration_of_logging(
    with_django: Installation, site: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    done = with_django.run("manage.py", "shell", "-c", WRITE, at=site, INDELIBLE_DATA_DIR=str(tmp_path / "file" / "data"))
    assert done.returncode == 0, "the application goes on"
    assert "indelible: nothing is recorded" in done.stderr
    checked = with_django.run("manage.py", "check", at=site, INDELIBLE_DATA_DIR=str(tmp_path / "file" / "data"))
    assert "indelible.W111" in checked.stdout + checked.stderr


ON_POSTGRESQL = """
from clinic.settings import *

DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": %d, "USER": "postgres", "NAME": "fresh"}}
"""


@pytest.mark.scenario(38)
@pytest.mark.defect("G-13")
def test_a_new_site_on_postgresql_is_the_same(
    with_psycopg: Installation, site: Path, postgres_port: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with psycopg.connect(host="127.0.0.1", port=postgres_port, user="postgres", autocommit=True) as server:
        server.execute("CREATE DATABASE fresh")
        request.addfinalizer(lambda: _drop(postgres_port))
    settings = site / "clinic" / "on_postgresql.py"
    settings.write_text(ON_POSTGRESQL % postgres_port)
    request.addfinalizer(settings.unlink)
    here = {"DJANGO_SETTINGS_MODULE": "clinic.on_postgresql", "INDELIBLE_DATA_DIR": str(tmp_path), "INDELIBLE_AGENT": "external"}
    for command in (["check"], ["migrate"], ["migrate", "--check"], ["makemigrations", "--check", "--dry-run"], ["shell", "-c", WRITE]):
        done = with_psycopg.run("manage.py", *command, at=site, **here)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    created, opened = [event for event in journal.events(tmp_path, "clinic") if event["action"] in ("ward.create", "ward.open")]
    assert (created["changes"][0]["field"], opened["outcome"]) == ("id", "success")
    assert "4711" not in str(created)


def _drop(port: int) -> None:
    with psycopg.connect(host="127.0.0.1", port=port, user="postgres", autocommit=True) as server:
        server.execute("DROP DATABASE fresh WITH (FORCE)")


@pytest.mark.scenario(38)
def test_without_the_native_module_a_site_starts_and_says_so(with_django: Installation, site: Path, tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['indelible._native'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hidden)
    done = with_django.run("manage.py", "check", at=site, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "indelible.E003" in done.stderr
    assert "pip install --force-reinstall ." in done.stderr


@pytest.mark.defect("G-17", "A-29")
def test_the_package_says_one_version_everywhere() -> None:
    import indelible
    from indelible import _native

    text = (ROOT / "pyproject.toml").read_text()
    declared = re.search(r'^version = "(.+)"', text, re.MULTILINE)
    assert declared is not None
    assert indelible.__version__ == _native.__version__ == declared[1]


@pytest.mark.defect("A-29")
def test_every_python_name_that_the_documents_import_exists() -> None:
    imports = {
        line
        for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for line in re.findall(
            r"^\s*(?:>>> )?((?:from indelible[\w.]* import [\w, ()]+?|import indelible[\w.]*))(?:\s+#.*)?$", path.read_text(), re.MULTILINE
        )
    }
    assert imports
    code = "import django; from django.conf import settings; settings.configure(); django.setup()\n" + "\n".join(sorted(imports))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "python")}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{sorted(imports)}\n{done.stderr}"
