"""``python -m bench.instructions``: instructions per Django operation, with and without the audit trail.

Counted by valgrind's callgrind in user space, so that other programs on the machine do not matter. ``control`` is the run without audit trail
repeated: what it differs by is the error of the method.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
CLINIC = HOUSE / "examples" / "clinic"
# `bodies` is `with` and level `request_response`; only requests are counted in it.
VARIANTS = {"without": "without", "control": "without", "with": "with", "bodies": "bodies"}
WARM_UP = 3
# Operations that are counted in several rounds, of which the median counts. In the first one CPython still specialises the bytecode of requests, which
# costs some 300,000 instructions each.
ROUNDS = {"get_save": 5, "get_delete": 5, "post_create": 5, "get_detail": 5, "get_list": 5}

# Operation of the worker, title, how often it is counted, how many objects it handles, goal in thousands of instructions per object.
OPERATIONS = (
    ("create", "ORM create", 20, 1, 65),
    ("create_atomic", "ORM create in transaction.atomic", 20, 1, None),
    ("get_save", "ORM get and save one field", 50, 1, 75),
    ("get_delete", "ORM get and delete", 50, 1, 60),
    ("m2m_add", "m2m add", 20, 1, 60),
    ("bulk_create", "bulk_create of 100 rows", 4, 1, 1000),
    ("plain_query", "one SELECT through a cursor", 40, 1, None),
    ("load_rows", "load 100 rows, per row", 4, 100, 3),
    ("load_json_rows", "load 100 rows with a JSON field, per row", 4, 100, None),
    ("post_create", "POST create, two bodies of 1 KB", 40, 1, 140),
    ("get_detail", "GET detail", 40, 1, 110),
    ("get_list", "GET list of 20 patients of 1 KB", 20, 1, 300),
    ("get_long_list", "GET list of 105 patients", 10, 1, None),
)
REQUESTS = ("post_create", "get_detail", "get_list", "get_long_list")


class Worker:
    """One worker process, on its own database and data directory, under callgrind."""

    def __init__(self, folder: Path, variant: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "BENCH_VARIANT": variant,
            "CLINIC_DATA": str(folder),
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "PYTHONPATH": os.pathsep.join([str(HOUSE), str(CLINIC)]),
            "PYTHONHASHSEED": "0",
            "INDELIBLE_AGENT": "external",
        }
        # The database is made at full speed, outside valgrind.
        subprocess.run([sys.executable, "-m", "django", "migrate", "--verbosity", "0"], env=self.environment, cwd=HOUSE, check=True)
        counter = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
        self.process = subprocess.Popen(
            [*counter, sys.executable, "-m", "bench.worker"],
            env=self.environment,
            cwd=HOUSE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._answer()

    def ask(self, *words: object) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self.process.wait()}")
        return json.loads(line)

    def warm_up(self, operation: str) -> None:
        self.ask("stage", operation, WARM_UP)
        self.ask("fire")

    def instructions(self, operation: str, count: int) -> float:
        """Instructions of one operation, the mean of ``count``; reading one command is in it too, for every variant alike."""
        self.ask("stage", operation, count)
        self._control("--zero")
        self.ask("fire")
        self._control("--dump")
        dumps = sorted(self.folder.glob("counts.*"))
        total = max(int(found) for dump in dumps for found in re.findall(r"^totals: (\d+)", dump.read_text(), re.MULTILINE))
        for dump in dumps:
            dump.unlink()
        return total / count

    def start_counting(self) -> None:
        self._control("--instr=on")

    def _control(self, flag: str) -> None:
        subprocess.run(
            ["callgrind_control", flag, str(self.process.pid)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def median_of(worker: Worker, operation: str, count: int) -> float:
    """Two operations vary by some 15,000 from one round to the next; the median of some rounds does not."""
    worker.warm_up(operation)
    rounds = ROUNDS.get(operation, 1)
    return statistics.median(worker.instructions(operation, count // rounds) for _ in range(rounds))


def run(variant: str) -> dict[str, tuple[float, int]]:
    """Instructions and SQL statements of every operation."""
    with tempfile.TemporaryDirectory(prefix="indelible-bench-") as folder:
        worker = Worker(Path(folder), variant)
        try:
            counts = {name: count for name, _, count, *_ in OPERATIONS if variant != "bodies" or name in REQUESTS}
            statements = {name: worker.ask("statements", name)["statements"] for name in counts}
            worker.start_counting()
            return {name: (median_of(worker, name, count), statements[name]) for name, count in counts.items()}
        finally:
            worker.close()


def report(results: dict[str, dict[str, tuple[float, int]]]) -> None:
    print(f"\nThousands of instructions per operation; Python {platform.python_version()}, callgrind, user space\n")
    print("| operation | without | control | added | goal | added SQL |")
    print("|---|---|---|---|---|---|")
    for name, title, _, objects, goal in OPERATIONS:
        without, statements = results["without"][name]
        control, _ = results["control"][name]
        for variant in ("with", "bodies"):
            if name not in results[variant]:
                continue
            recorded, recorded_statements = results[variant][name]
            added = (recorded - without) / objects / 1000
            level = "" if name not in REQUESTS else ", recorded with bodies" if variant == "bodies" else ", metadata"
            aim = "" if goal is None or (name in REQUESTS and variant == "with") else f"≤ +{goal}"
            print(
                f"| {title}{level} | {without / objects / 1000:.1f} | {100 * (control - without) / without:+.2f} % "
                f"| {added:+.1f} ({100 * (recorded - without) / without:+.1f} %) | {aim} | {recorded_statements - statements:+d} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("operations", nargs="*", help="only these, by the names that the worker has for them")
    if chosen := parser.parse_args().operations:
        global OPERATIONS
        OPERATIONS = tuple(operation for operation in OPERATIONS if operation[0] in chosen)
    results = {}
    for name, variant in VARIANTS.items():
        print(f"bench: counting {name} the audit trail" if name != "control" else "bench: counting control", file=sys.stderr)
        results[name] = run(variant)
    report(results)


if __name__ == "__main__":
    main()
