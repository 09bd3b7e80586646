"""What is true of every stream, whoever wrote it and however that process ended."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import journal


def assert_streams(data_dir: Path, *, closed: bool) -> dict[int, set[str]]:
    """Every stream is of one process, counts from 1 without a hole, and lost nothing; the streams of each process."""
    frames: dict[str, list[journal.Frame]] = defaultdict(list)
    for frame in journal.frames(data_dir, "tests"):
        frames[str(frame.stream)].append(frame)
    owners: dict[int, set[str]] = defaultdict(set)
    for stream, ordered in frames.items():
        assert [frame.sequence for frame in ordered] == list(range(1, len(ordered) + 1)), stream
        assert not [frame for frame in ordered if frame.kind == journal.LOSS], stream
        assert not closed or ordered[-1].kind == journal.CLOSE, f"{stream} was not closed"
        processes = {item.body["source"]["process"] for frame in ordered for item in frame.items if item.body}
        assert len(processes) == 1, f"{stream} has events of {processes}"
        owners[processes.pop()].add(stream)
    return owners
