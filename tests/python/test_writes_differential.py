"""Recording changes nothing that the application can see: no statement more, no answer and no exception other than plain Django's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import indelible
import journal

PACKAGE = Path(indelible.__file__).parent
TESTS = Path(__file__).parent


def report(database: dict[str, Any], data_dir: Path, *, enabled: bool) -> dict[str, Any]:
    environment = {
        **os.environ,
        "DATABASE": json.dumps(database),
        "INDELIBLE_ENABLED": json.dumps(enabled),
        "INDELIBLE_DATA_DIR": str(data_dir),
        "PYTHONPATH": f"{PACKAGE.parent}{os.pathsep}{TESTS}",
    }
    done = subprocess.run([sys.executable, str(TESTS / "differential.py")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_statements_answers_and_exceptions_are_those_of_plain_django(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    reports = []
    for enabled in (False, True):
        if kind == "sqlite":
            database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / f"{enabled}.sqlite3")}
        else:
            database = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "USER": "postgres"}
            database |= {"PORT": request.getfixturevalue("postgres_port"), "NAME": f"differential_{enabled}".lower()}
            _create_database(database)
        reports.append(report(database, tmp_path / "data", enabled=enabled))
    plain, recorded = reports
    for name, answer in plain.items():
        assert _without_returning(recorded[name]) == _without_returning(answer), name
    assert len(journal.frames(tmp_path / "data", "tests")) > 100, "the second run was recorded"


def test_no_signal_or_callback_that_costs_the_application_is_used() -> None:
    # Receivers of these make Django read rows that it would not; on_commit callbacks are lost when an earlier one raises.
    forbidden = re.compile(
        r"\b(on_commit|pre_delete|post_delete|m2m_changed|post_init)\b\s*[.(]|import .*\b(pre_delete|post_delete|m2m_changed|post_init)\b"
    )
    sources = list(PACKAGE.rglob("*.py"))
    assert len(sources) > 10
    found = [f"{path.name}: {line.strip()}" for path in sources for line in path.read_text().splitlines() if forbidden.search(line)]
    assert found == []


def _without_returning(answer: dict[str, Any]) -> dict[str, Any]:
    """What a statement says of the rows it touched is asked for in the statement itself, and is no other statement."""
    return {**answer, "statements": [re.sub(r" RETURNING .*", "", statement) for statement in answer["statements"]]}


def _create_database(database: dict[str, Any]) -> None:
    import psycopg

    with psycopg.connect(host=database["HOST"], port=database["PORT"], user=database["USER"], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database['NAME']}")
