"""The clinic under gunicorn, on a PostgreSQL of its own: how it is started, asked, and what the kernel says about it."""

import http.client
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
CLINIC = HOUSE / "examples" / "clinic"
WORKERS = 2
THREADS = 8
START_DEADLINE_S = 60.0
REQUEST_DEADLINE_S = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
_TEXT = (
    "called asked to move the visit bring results of blood test fasting in the morning no pain since tuesday slept well dose halved after nausea "
    "daughter will come along walks without help wound dry stitches out next week pressure measured twice at home cough gone refuses flu shot"
)
WORDS = _TEXT.split()

# Makes the user whose token it prints.
_MAKE_USER = """
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
user = User.objects.create_superuser("bench")
print(Token.objects.create(user=user).key)
"""


@contextmanager
def postgresql() -> Iterator[int]:
    """A private PostgreSQL; its port."""
    script = str(HOUSE / "scripts" / "postgres")
    with tempfile.TemporaryDirectory(prefix="indelible-bench-postgres-") as folder:
        # It runs as a user of its own, who must get in.
        Path(folder).chmod(0o755)
        server = f"{folder}/server"
        try:
            yield int(subprocess.run([script, "start", server], check=True, stdout=subprocess.PIPE, text=True).stdout)
        finally:
            subprocess.run([script, "stop", server], check=False)


class Site:
    """One variant of the clinic (see ``bench.settings``), served by gunicorn until it is closed."""

    def __init__(self, variant: str, folder: Path, database_port: int) -> None:
        self.data = folder / variant
        self.data.mkdir()
        environment = {
            **os.environ,
            "BENCH_VARIANT": variant,
            "BENCH_DATABASE": f"{database_port}/bench_{variant}",
            "CLINIC_DATA": str(self.data),
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "PYTHONPATH": os.pathsep.join([str(HOUSE), str(CLINIC)]),
            "INDELIBLE_AGENT": "external",
        }
        subprocess.run(
            [sys.executable, "-c", _CREATE_DATABASE, str(database_port), f"bench_{variant}"], env=environment, check=True, cwd=HOUSE
        )
        django = [sys.executable, "-m", "django"]
        subprocess.run([*django, "migrate", "--verbosity", "0"], env=environment, check=True, cwd=HOUSE)
        made = subprocess.run(
            [*django, "shell", "-c", _MAKE_USER], env=environment, check=True, cwd=HOUSE, stdout=subprocess.PIPE, text=True
        )
        self.token = made.stdout.split()[-1]
        self.port = free_port()
        options = [
            "--workers",
            str(WORKERS),
            "--threads",
            str(THREADS),
            "--worker-class",
            "gthread",
            "--keep-alive",
            "30",
            "--log-level",
            "error",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "clinic.wsgi:application", "--bind", f"127.0.0.1:{self.port}", *options],
            env=environment,
            cwd=CLINIC,
        )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0 and len(self.workers()) == WORKERS:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("gunicorn does not answer")
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """The worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def cpu_s(self) -> float:
        """CPU seconds of all threads of all workers."""
        return sum(cpu_s(pid) for pid in self.workers())

    def memory_mib(self) -> float:
        """Memory of one worker that no other process shares, and its part of what is shared (PSS); the mean of the workers."""
        return sum(pss_mib(pid) for pid in self.workers()) / WORKERS

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(START_DEADLINE_S)


_CREATE_DATABASE = """
import sys, psycopg
with psycopg.connect(host="127.0.0.1", port=int(sys.argv[1]), user="postgres", autocommit=True) as connection:
    connection.execute(f'CREATE DATABASE "{sys.argv[2]}"')
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process (proc(5), ``stat``: ``utime`` and ``stime``)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def bodies(seed: int) -> Iterator[bytes]:
    """Patients of about 1 KB, each with notes of its own."""
    chance = random.Random(seed)
    for number in itertools.count():
        notes = {f"visit {visit}": " ".join(chance.choices(WORDS, k=12)) for visit in range(10)}
        patient = {
            "name": f"Ingeborg Björnsdóttir {chance.randrange(100_000)}",
            "ssn": f"219-09-{number % 10_000:04}",
            "birth_date": f"{chance.randrange(1930, 2020)}-04-17",
            "balance": f"{chance.randrange(1000)}.50",
            "allergies": notes,
        }
        yield json.dumps(patient, ensure_ascii=False).encode()


class Answers:
    """What many requests took."""

    def __init__(self, seconds: float, latencies_s: Sequence[float]) -> None:
        self.per_second = len(latencies_s) / seconds
        self.latencies_s = sorted(latencies_s)

    def percentile_ms(self, percent: int) -> float:
        return 1000 * self.latencies_s[min(len(self.latencies_s) - 1, len(self.latencies_s) * percent // 100)]


def post(site: Site, count: int, seed: int, connections: int = WORKERS * THREADS) -> Answers:
    """Creates patients, by default over as many connections as the site has threads.

    Raises:
        RuntimeError: one of them was not created.
    """
    waiting = iter(list(itertools.islice(bodies(seed), count)))
    latencies: list[float] = []
    wrong: list[str] = []
    lock = threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=REQUEST_DEADLINE_S)
        headers = {"Authorization": f"Token {site.token}", "Content-Type": "application/json", "User-Agent": "bench/1.0"}
        while not wrong:
            with lock:
                body = next(waiting, None)
            if body is None:
                break
            began = time.perf_counter()
            connection.request("POST", "/api/patients/", body, headers)
            response = connection.getresponse()
            text = response.read()
            latencies.append(time.perf_counter() - began)
            if response.status != 201:
                wrong.append(f"{response.status}: {text[:200]!r}")
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong or len(latencies) != count:
        raise RuntimeError(f"{len(latencies)} of {count} answered; {wrong[:1]}")
    return Answers(time.perf_counter() - began, latencies)
