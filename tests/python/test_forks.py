"""Programs that fork, however they do it: a stream for each process, whole and without a hole, and nothing of the parent's is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import journal
from servers import HERE, environment
from streams import assert_streams
from testproject.forking import CHILDREN
from trails import Trail

COUNT = 250


def run(program: str, count: int, trail: Trail, tmp_path: Path, **variables: str) -> None:
    """Runs a program of ``testproject.forking`` to its end."""
    (tmp_path / "empty.sqlite3").touch()
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-m", "testproject.forking", program, str(count)]
    env = environment(trail.data_dir, DJANGO_SETTINGS_MODULE="testproject.settings", **variables)
    done = subprocess.run(command, env=env, cwd=HERE, check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def counts(trail: Trail) -> Counter[int]:
    """How many papers each process noted."""
    frames = [frame for frame in journal.frames(trail.data_dir, "tests") if frame.kind == journal.EVENT]
    assert len({frame.items[0].event for frame in frames}) == len(frames), "an identifier was given twice"
    return Counter(frame.items[0].body["source"]["process"] for frame in frames)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_each_process_of_multiprocessing_has_a_stream_of_its_own(trail: Trail, tmp_path: Path, method: str) -> None:
    run(method, COUNT, trail, tmp_path)
    assert sorted(counts(trail).values()) == [COUNT] * (CHILDREN + 1)
    owners = assert_streams(trail.data_dir, closed=False)
    assert [len(streams) for streams in owners.values()] == [1] * (CHILDREN + 1)
    assert len(trail.events("action")) == (CHILDREN + 1) * COUNT


def test_a_pool_of_multiprocessing_loses_nothing(trail: Trail, tmp_path: Path) -> None:
    run("pool", COUNT, trail, tmp_path)
    assert sum(counts(trail).values()) == (CHILDREN + 1) * COUNT
    assert_streams(trail.data_dir, closed=False)


@pytest.mark.parametrize("durability", ["buffered", "synced"])
def test_a_fork_while_other_threads_write_leaves_no_hole_and_mixes_nothing(trail: Trail, tmp_path: Path, durability: str) -> None:
    run("threads", COUNT // 10, trail, tmp_path, INDELIBLE_DURABILITY=durability)
    parent, *children = counts(trail).most_common()
    assert parent[1] > 0
    assert sum(count == COUNT // 10 for _, count in [parent, *children]) >= 2 * CHILDREN - 1
    owners = assert_streams(trail.data_dir, closed=False)
    assert [len(streams) for streams in owners.values()] == [1] * (2 * CHILDREN + 1)


@pytest.mark.parametrize("durability", ["buffered", "synced"])
def test_a_fork_while_another_thread_opens_a_journal_keeps_no_lock_of_it(trail: Trail, tmp_path: Path, durability: str) -> None:
    run("opening", int(os.environ.get("INDELIBLE_FORKS", "60")), trail, tmp_path, INDELIBLE_DURABILITY=durability)
    assert_streams(trail.data_dir, closed=False)


def test_an_interpreter_that_ends_while_threads_record_does_not_hang_and_keeps_what_it_said(trail: Trail, tmp_path: Path) -> None:
    run("end", COUNT, trail, tmp_path)
    (count,) = counts(trail).values()
    assert count >= COUNT
    assert_streams(trail.data_dir, closed=False)
    noted: list[dict[str, Any]] = trail.events("action")
    assert len(noted) == count
