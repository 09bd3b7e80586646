"""Figures on their way from the benchmarks to the table: one line of JSON each, in the file that ``BENCH_RESULTS`` names."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    scale: str
    """How large the trail was, ``1 M``; empty where there is none."""
    name: str
    value: float
    unit: str


def write(result: Result) -> None:
    if path := os.environ.get("BENCH_RESULTS"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(result._asdict(), ensure_ascii=False) + "\n")


def read(path: Path) -> Iterator[Result]:
    """The figures in a file; a figure that was measured again replaces the one before."""
    results = (Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())
    yield from {(result.scale, result.name): result for result in results}.values()
