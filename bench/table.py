"""``python -m bench.table RESULTS``: every figure in one table, with its target and whether it is met.

Says at the end how many targets are missed. That is no failure of the program: times are those of whatever machine this is.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

from bench.results import Result, read


class Target(NamedTuple):
    pattern: str
    """Which figures, as a regular expression for the whole name."""
    bound: str
    """``≤`` or ``≥``."""
    value: float

    def __str__(self) -> str:
        return f"{self.bound} {number(self.value)}"

    def is_met(self, value: float) -> bool:
        return value <= self.value if self.bound == "≤" else value >= self.value


TARGETS = (
    Target("append, buffered, . threads?, CPU", "≤", 3_000),
    Target("append, buffered, . threads?, p99", "≤", 20_000),
    Target("before COMMIT, INTENT and OUTCOME beyond .*", "≤", 2),
    Target("before the answer, .*own group commit", "≤", 1.3),
    Target("before the answer, .*CPU of an fdatasync for each", "≤", 0.1),
    Target("ingest to checkpoint, per CPU second of its thread", "≥", 50_000),
    Target("bytes per event, sealed", "≤", 300),
    Target("agent memory .*", "≤", 256),
    Target("search, .*, p95", "≤", 100),
    Target("search, page .*times.*", "≤", 2),
    Target("verify, per CPU second", "≥", 300_000),
    Target("requests per second behind gunicorn, recorded / without", "≥", 0.98),
    Target("CPU that recording a POST costs, agent included", "≤", 0.056),
    Target("memory of a worker, added", "≤", 4),
    Target("latency of a POST, p99, .*, added", "≤", 0.1),
    Target("stored bytes of a POST, .*", "≤", 1_100),
)


def number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def target_of(result: Result) -> Target | None:
    return next((target for target in TARGETS if re.fullmatch(target.pattern, result.name)), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("results", type=Path)
    missed = 0
    print("\n| figure | trail | seen | target | |")
    print("|---|---|---|---|---|")
    for result in read(parser.parse_args().results):
        target = target_of(result)
        verdict = "" if target is None else "met" if target.is_met(result.value) else "**missed**"
        missed += verdict == "**missed**"
        print(f"| {result.name} | {result.scale} | {number(result.value)} {result.unit} | {target or ''} | {verdict} |")
    print(f"\n{missed} targets missed")


if __name__ == "__main__":
    main()
