"""Markers and the outbox with the real agent between them: what it says about dead processes, and what the trail says in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from agents import running_agent, until
from indelible import _runtime
from indelible.django.evidence import _destination, _journals, _outbox
from proofs import markers
from servers import environment
from testproject.models import Doctor, Row
from trails import Trail, fields

pytestmark = pytest.mark.usefixtures("database")
HERE = Path(__file__).parent


def said(trail: Trail) -> dict[str, Any]:
    """What the agent says at the moment."""
    try:
        document: dict[str, Any] = json.loads((trail.data_dir / "journal" / "tests" / "answers.json").read_text())
    except OSError:
        return {"streams": {}, "unresolved": []}
    return document


def verdicts(trail: Trail) -> dict[str, str]:
    """The verdict of each doctor's record."""
    created = [record for record in trail.records() if record["event"]["action"] == "doctor.create"]
    return {fields(record["event"])["name"][1]: record["verdict"] for record in created}


def test_workers_killed_around_commit_are_answered_for_by_their_markers(database: str, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker"}
    with running_agent(trail.data_dir):
        for moment, name in (("before", "Gray"), ("after", "Blue")):
            command = [sys.executable, "-m", "testproject.killed", moment, name]
            env = environment(trail.data_dir, INDELIBLE_EVIDENCE="marker")
            assert subprocess.run(command, env=env, cwd=HERE, check=False, timeout=60).returncode == -signal.SIGKILL
        until(lambda: len(said(trail)["unresolved"]) == 2)
        call_command("indelible", "resolve")
        _runtime.runtime().close()
        until(lambda: said(trail)["unresolved"] == [])
    assert verdicts(trail) == {"Blue": "committed_by_marker"}
    connection.ensure_connection()
    assert list(Doctor.objects.values_list("name", flat=True)) == ["Blue"]
    assert sorted(markers().values()) == [2, 4]


def test_a_living_process_of_the_service_answers_for_a_dead_one(database: str, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "marker"}
    env = environment(trail.data_dir, INDELIBLE_EVIDENCE="marker")
    dead = "from testproject.killed import main; main('after', 'Blue')"
    alive = "import django; django.setup(); from testproject.models import Row; Row.objects.create(number=1); input()"
    with running_agent(trail.data_dir):
        assert subprocess.run([sys.executable, "-c", dead], env=env, cwd=HERE, check=False, timeout=60).returncode == -signal.SIGKILL
        until(lambda: len(said(trail)["unresolved"]) == 1)
        process = subprocess.Popen([sys.executable, "-c", alive], env=env, cwd=HERE, stdin=subprocess.PIPE)
        try:
            until(lambda: said(trail)["unresolved"] == [])
        finally:
            process.communicate(b"\n", timeout=30)
    assert process.returncode == 0
    assert verdicts(trail) == {"Blue": "committed_by_marker"}


@pytest.mark.parametrize("moment", ["assigned", "halfway", "journaled"])
def test_rows_of_a_drainer_that_was_killed_are_taken_over_when_the_agent_says_what_came(
    database: str, trail: Trail, settings: Any, moment: str
) -> None:
    """Of one that died before its first frame the agent said nothing, and its rows were kept as if two days had passed."""
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "outbox"}
    for number in range(3):
        Row.objects.create(number=number)
    with running_agent(trail.data_dir):
        command = [sys.executable, "-m", "testproject.draining", moment]
        env = environment(trail.data_dir, INDELIBLE_EVIDENCE="outbox")
        assert subprocess.run(command, env=env, cwd=HERE, check=False, timeout=60).returncode == -signal.SIGKILL
        drain_all()
    assert sorted((fields(record["event"])["number"][1], record["verdict"]) for record in trail.records()) == [
        (number, "committed_by_outbox") for number in range(3)
    ]


def drain_all() -> None:
    """Rounds of one drainer until nothing is left."""
    recorder = _destination.recorder_of_drainer()
    assert recorder is not None
    drainer = _outbox.Drainer(_destination.OwnJournal(_journals.folder(), recorder))

    def is_empty() -> bool:
        drainer.round()
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM indelible_outbox")
            return bool(cursor.fetchone()[0] == 0)

    until(is_empty)
    drainer.end()


def test_rows_of_the_outbox_are_deleted_when_the_agent_has_them(database: str, trail: Trail, settings: Any) -> None:
    settings.INDELIBLE = {**settings.INDELIBLE, "EVIDENCE": "outbox"}
    for number in range(5):
        Row.objects.create(number=number)
    with running_agent(trail.data_dir):
        recorder = _destination.recorder_of_drainer()
        assert recorder is not None
        drainer = _outbox.Drainer(_destination.OwnJournal(_journals.folder(), recorder))
        deleted = 0

        def drained() -> bool:
            nonlocal deleted
            deleted += drainer.round().deleted
            return deleted == 5

        until(drained)
        recorder.close()
    assert [record["verdict"] for record in trail.records()] == ["committed_by_outbox"] * 5
