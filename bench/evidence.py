"""``python -m bench.evidence``: what each evidence costs a transaction, on SQLite and PostgreSQL, with one client and with eight.

Transactions of one INSERT, which is where a cost shows most. Both databases sync every commit. All variants run in turns within one round, and the
ratios are those of a round, so that what else the machine does falls on all of them; the figures are medians of the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.results import Result, write

HOUSE = Path(__file__).resolve().parent.parent
CLIENTS = (1, 8)
VARIANTS = {
    "none": ("without", "ack", "buffered"),
    "ack": ("with", "ack", "buffered"),
    "marker": ("with", "marker", "buffered"),
    "outbox": ("with", "outbox", "buffered"),
    "synced": ("with", "ack", "synced"),
}


class Worker:
    """A site that commits when it is told to."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "bench.evidence_worker"]
        self._process = subprocess.Popen(command, env=environment, cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def measure(self, clients: int, seconds: float) -> dict[str, float]:
        self._process.stdin.write(f"{clients} {seconds}\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("bench.evidence: a worker ended")
        return line


def sqlite(folder: Path) -> dict:
    options = {"timeout": 60, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "clinic.sqlite3"), "OPTIONS": options}


@contextmanager
def postgresql() -> Iterator[dict]:
    script = str(HOUSE / "scripts" / "postgres")
    with tempfile.TemporaryDirectory(prefix="indelible-bench-") as folder:
        # The server runs as another user, who must be able to reach its folder.
        os.chmod(folder, 0o755)
        options = {**os.environ, "POSTGRES_OPTIONS": "-c fsync=on"}
        port = subprocess.run(
            [script, "start", f"{folder}/server"], env=options, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        try:
            yield {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "HOST": "127.0.0.1", "PORT": port, "USER": "postgres"}
        finally:
            subprocess.run([script, "stop", f"{folder}/server"], check=True)


def environment(variant: str, database: dict, folder: Path) -> dict[str, str]:
    recording, evidence, durability = VARIANTS[variant]
    return {
        **os.environ,
        "BENCH_VARIANT": recording,
        "BENCH_EVIDENCE": evidence,
        "BENCH_DURABILITY": durability,
        "BENCH_DATABASE": json.dumps(database),
        "CLINIC_DATA": str(folder / variant),
        "INDELIBLE_DATA_DIR": str(folder / variant / "trail"),
        "DJANGO_SETTINGS_MODULE": "bench.evidence_settings",
        "PYTHONPATH": os.pathsep.join(str(path) for path in (HOUSE, HOUSE / "examples" / "clinic", HOUSE / "python")),
    }


def rounds(database: dict, folder: Path, count: int, seconds: float) -> dict[tuple[str, int], list[dict[str, float]]]:
    """What every variant did in each round, by variant and number of clients."""
    for variant in VARIANTS:
        (folder / variant).mkdir()
    migrate = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, env=environment("marker", database, folder), cwd=HOUSE, check=True)
    seen: dict[tuple[str, int], list[dict[str, float]]] = {}
    with ExitStack() as ending:
        workers = {variant: Worker(environment(variant, database, folder)) for variant in VARIANTS}
        for worker in workers.values():
            ending.callback(worker.close)
        for _ in range(count):
            for clients in CLIENTS:
                for variant, worker in workers.items():
                    seen.setdefault((variant, clients), []).append(worker.measure(clients, seconds))
    return seen


def report(name: str, seen: dict[tuple[str, int], list[dict[str, float]]]) -> None:
    for clients in CLIENTS:
        plain = seen["none", clients]
        for variant in VARIANTS:
            figures = seen[variant, clients]
            per_s, cpu_us = (statistics.median(one[key] for one in figures) for key in ("per_s", "cpu_us"))
            # Of each round by itself: the machine is another one a minute later.
            rate = statistics.median(one["per_s"] / none["per_s"] for one, none in zip(figures, plain, strict=True))
            cost = statistics.median(one["cpu_us"] / none["cpu_us"] for one, none in zip(figures, plain, strict=True))
            print(f"| {name} | {clients} | {variant} | {per_s:,.0f} | {rate:.2f} | {cpu_us:,.0f} | {cost:.2f} |")
            who = f"{name}, {clients} client{'s' if clients > 1 else ''}, {variant}"
            write(Result("", f"transactions, {who}", per_s, "1/s"))
            write(Result("", f"transactions, {who}, of none", rate, "×"))
            write(Result("", f"CPU of a transaction, {who}", cpu_us, "µs"))
            write(Result("", f"CPU of a transaction, {who}, of none", cost, "×"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    print("\n| database | clients | evidence | transactions/s | of none | CPU of a transaction, µs | of none |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="indelible-bench-") as folder:
        report("SQLite", rounds(sqlite(Path(folder)), Path(folder), arguments.rounds, arguments.seconds))
    with tempfile.TemporaryDirectory(prefix="indelible-bench-") as folder, postgresql() as database:
        report("PostgreSQL", rounds(database, Path(folder), arguments.rounds, arguments.seconds))
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
