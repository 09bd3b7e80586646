"""A hundred forks of a process whose threads record meanwhile: each child has a stream of its own, whole and in order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path

import journal
from indelible import Recorded, _native

FORKS = 100
EVENTS = 1_000
THREADS = 4
PATIENCE_S = 120
SERVICE = "forks"

REDACTOR = _native.Redactor()
CONTEXT = _native.Context(REDACTOR, actor={"type": "system", "id": "test"})
MODEL = _native.Model(REDACTOR, type="a.Row", noun="row", fields=["n"], masked=[False], sensitive=False)


def record(recorder: _native.Recorder, who: int, number: int) -> Recorded:
    return recorder.record(MODEL.created(CONTEXT, who, None, [number]))


def start(recorder: _native.Recorder, who: int, gate: int) -> int:
    """Forks a child that waits until all are there, then records, and says by its exit code whether all was recorded."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.read(gate, 1)
            answers = [record(recorder, who, number) for number in range(EVENTS)]
            status = 0 if [answer.position[1] for answer in answers] == list(range(1, EVENTS + 1)) else 2
        finally:
            os._exit(status)
    return child


def wait(children: list[int]) -> list[int]:
    """Exit codes of all children; one that hangs is killed, which is no exit code."""
    deadline = time.monotonic() + PATIENCE_S
    statuses: dict[int, int] = {}
    while len(statuses) < len(children):
        for child in set(children) - set(statuses):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                statuses[child] = os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return [statuses[child] for child in children]


def test_a_hundred_forks_have_streams_of_their_own_without_a_gap_and_nothing_of_another(tmp_path: Path) -> None:
    recorder = _native.Recorder(REDACTOR, data_dir=tmp_path, service=SERVICE)
    ended = threading.Event()

    def keep_recording() -> None:
        number = 0
        while not ended.is_set():
            record(recorder, FORKS, number)
            number += 1
            ended.wait(0.001)

    threads = [threading.Thread(target=keep_recording) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    gate, opening = os.pipe()
    children = [start(recorder, who, gate) for who in range(FORKS)]
    os.write(opening, b"x" * FORKS)
    statuses = wait(children)
    ended.set()
    for thread in threads:
        thread.join()
    recorder.close()
    assert statuses == [0] * FORKS

    streams = defaultdict(list)
    for frame in journal.frames(tmp_path, SERVICE):
        if frame.kind == journal.EVENT:
            streams[frame.stream].append((frame.sequence, frame.items[0].body))
    assert len(streams) == FORKS + 1, "a stream for each child, and the parent's"
    owners = []
    for frames in streams.values():
        bodies = [body for _, body in frames if body]
        (owner,) = {int(body["resource"]["id"]) for body in bodies}
        owners.append(owner)
        assert [sequence for sequence, _ in frames] == list(range(1, len(frames) + 1)), f"stream of {owner} has a gap"
        if owner < FORKS:
            assert [change["new"] for body in bodies for change in body["changes"]] == list(range(EVENTS)), f"{owner} is not in order"
    assert sorted(owners) == list(range(FORKS + 1))
