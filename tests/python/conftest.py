"""Fixtures: the databases that a test runs on, and the trail that it leaves.

Python tests meet the real things: SQLite files, a private PostgreSQL (``scripts/postgres``), and the agent's binary, which turns the
journal into a trail and answers the searches.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")

import django

# Test modules import models at their top, which is before pytest-django would do this.
django.setup()

import stub  # noqa: E402
from clusters import Cluster, cluster, default_database  # noqa: E402
from trails import Trail  # noqa: E402

ROOT = Path(__file__).parents[2]
ALIASES = ("default", "other")


def pytest_configure(config: pytest.Config) -> None:
    """No test means anything with a native module of another source: what it lacks becomes faults that applications do not see."""
    if lacking := stub.lacking():
        pytest.exit(f"the native module is older than _native.pyi and lacks {', '.join(lacking)}: run scripts/build-native", returncode=2)


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """The port of a private PostgreSQL; each pytest-xdist worker has its own."""
    folder = tempfile.mkdtemp(prefix="indelible-postgres-")
    # The server runs as another user, who must be able to reach its folder.
    os.chmod(folder, 0o755)
    script = str(ROOT / "scripts" / "postgres")
    started = subprocess.run([script, "start", f"{folder}/server"], capture_output=True, text=True, check=False)
    if started.returncode != 0:
        pytest.fail(started.stderr)
    yield int(started.stdout)
    subprocess.run([script, "stop", f"{folder}/server"], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sqlite")
    return _made(django_db_blocker, lambda alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / f"{alias}.sqlite3")})


@pytest.fixture(scope="session")
def postgresql_databases(postgres_port: int, django_db_blocker: Any) -> dict[str, dict[str, Any]]:
    import psycopg

    server = {"HOST": "127.0.0.1", "PORT": postgres_port, "USER": "postgres"}
    with psycopg.connect(host="127.0.0.1", port=postgres_port, user="postgres", autocommit=True) as connection:
        for alias in ALIASES:
            connection.execute(f"CREATE DATABASE tests_{alias}")
    return _made(django_db_blocker, lambda alias: {"ENGINE": "django.db.backends.postgresql", "NAME": f"tests_{alias}", **server})


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[str]:
    """Both kinds of database, one after the other, as ``default`` and ``other``, empty. The value is the kind."""
    with django_db_blocker.unblock():
        _put_in_place(request.getfixturevalue(f"{request.param}_databases"))
        yield request.param
        _put_in_place(request.getfixturevalue(f"{request.param}_databases"))
        _empty_tables()


@pytest.fixture(scope="module")
def server(django_db_blocker: Any) -> Iterator[Cluster]:
    """A PostgreSQL of the module's own, with all tables, to be broken."""
    from django.core.management import call_command

    with cluster() as made:
        with django_db_blocker.unblock(), default_database(made.settings()):
            call_command("migrate", run_syncdb=True, verbosity=0)
        yield made


@pytest.fixture(params=["ack", "marker"])
def evidence(request: pytest.FixtureRequest, trail: Trail, settings: Any) -> str:
    """What commits are known by, one after the other."""
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": request.param}
    return str(request.param)


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trail]:
    """An empty trail, and a recorder that writes to it."""
    from indelible import _runtime
    from indelible.django import apps, conf

    data_dir = tmp_path / "data"
    monkeypatch.setenv("INDELIBLE_DATA_DIR", str(data_dir))
    apps.configure(conf.reload())
    yield Trail(data_dir, "tests")
    _runtime.runtime().close()


def _made(django_db_blocker: Any, settings: Callable[[str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    from django.core.management import call_command

    databases = {alias: settings(alias) for alias in ALIASES}
    with django_db_blocker.unblock():
        _put_in_place(databases)
        for alias in ALIASES:
            call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
    return databases


def _put_in_place(databases: dict[str, dict[str, Any]]) -> None:
    from django.db import connections

    for alias, settings in databases.items():
        connections[alias].close()
        del connections[alias]
        connections.settings[alias] = connections.configure_settings({"default": {}, alias: settings})[alias]


def _empty_tables() -> None:
    from django.apps import apps
    from django.db import connections

    for alias in ALIASES:
        connection = connections[alias]
        tables = [
            connection.ops.quote_name(model._meta.db_table) for model in apps.get_models(include_auto_created=True) if model._meta.managed
        ]
        connection.ensure_connection()
        # The driver's own cursor, which nothing is recorded of: this is no part of a test.
        with contextlib.closing(connection.connection.cursor()) as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
            else:
                cursor.execute("PRAGMA foreign_keys = OFF")
                for table in tables:
                    cursor.execute(f"DELETE FROM {table}")
        connection.connection.commit()
        connection.close()


@pytest.fixture
def registered() -> Iterator[None]:
    """Takes back what a test registers."""
    from indelible.django import registry
    from indelible.django._models import forget_plans

    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)
    forget_plans()
