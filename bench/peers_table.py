"""``python -m bench.peers_table``: what each way of writing costs in queries, and how much of it is recorded, on SQLite and PostgreSQL.

The same questions that the survey of the field asks of other packages. Queries are compared with plain Django; every row that
was written must be recorded, every row that was rolled back must not, every actor must be the right one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.evidence import postgresql

HOUSE = Path(__file__).resolve().parent.parent
EXPECTED = {
    "create": 1,
    "update": 1,
    "save() with no change": 0,
    "delete": 1,
    "m2m.add(3)": 3,
    "m2m.clear()": 3,
    "rows left after rollback": 0,
    "session login": 20,
    "DRF token": 20,
    "async views, 20 at once": 20,
    "async views, 200 at once": 200,
}
MANY = 1000


def measured(variant: str, **database: str) -> dict:
    """What one variant answers, on an empty database: SQLite, or what ``database`` adds to the environment."""
    with tempfile.TemporaryDirectory(prefix="indelible-bench-") as folder:
        environment = {
            **os.environ,
            "BENCH_VARIANT": variant,
            "CLINIC_DATA": folder,
            "DJANGO_SETTINGS_MODULE": "bench.peers_settings",
            "PYTHONPATH": os.pathsep.join(str(path) for path in (HOUSE, HOUSE / "examples" / "clinic", HOUSE / "tests" / "python")),
            "INDELIBLE_AGENT": "external",
            **database,
        }
        subprocess.run([sys.executable, "-m", "django", "migrate", "--verbosity", "0"], env=environment, cwd=HOUSE, check=True)
        done = subprocess.run([sys.executable, "-m", "bench.peers_worker"], env=environment, cwd=HOUSE, check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)


def measured_on_postgresql(variant: str) -> dict:
    with postgresql() as server:
        return measured(variant, BENCH_DATABASE=f"{server['PORT']}/{server['NAME']}")


def table(title: str, plain: dict, recorded: dict) -> int:
    """Prints what was seen on one database, and returns how much of it missed."""
    missed = 0
    print(f"\n{title}\n")
    print("| what | queries, plain Django | with the trail | recorded | |")
    print("|---|---|---|---|---|")
    for name, seen in recorded["rows"].items():
        expected = EXPECTED.get(name, MANY)
        queries = plain["rows"][name]["queries"]
        met = seen["recorded"] == expected and seen["queries"] == queries
        missed += not met
        print(f"| {name} | {queries} | {seen['queries']} | {seen['recorded']}/{expected} | {'' if met else '**missed**'} |")
    for name, right in recorded["actors"].items():
        met = right == EXPECTED[name]
        missed += not met
        print(f"| right actor, {name} | | | {right}/{EXPECTED[name]} | {'' if met else '**missed**'} |")
    return missed


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n", 1)[0]).parse_args()
    missed = table("SQLite", measured("without"), measured("with"))
    missed += table("PostgreSQL", measured_on_postgresql("without"), measured_on_postgresql("with"))
    print(f"\n{missed} missed")


if __name__ == "__main__":
    main()
