"""A whole site to be killed piece by piece: workers, agent and database, and the oracle that joins what they left."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from agents import running_agent
from clusters import Cluster
from indelible import _runtime
from oracle import claims, judge
from servers import HERE, environment, wait_until
from testproject.models import Doctor
from trails import BINARY, Trail

QUIET_S = 3.0
"""For so long nobody must have a question."""

LEAVES_PER_FILE = "100"
"""So few that the agent begins and seals files all the time."""

AGENT = ("serve", "--listen", "127.0.0.1:0", "--leaves-per-file", LEAVES_PER_FILE)


class Site:
    """Processes that record into one trail, and the database that says what they should have recorded."""

    def __init__(self, trail: Trail, folder: Path, evidence: str, cluster: Cluster | None, **variables: str) -> None:
        self.trail, self.cluster, self._folder, self._evidence = trail, cluster, folder, evidence
        env = environment(trail.data_dir, INDELIBLE_EVIDENCE=evidence, **variables)
        trail.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._env = env
        self._log = (folder / "processes.log").open("ab")
        command = [sys.executable, "-m", "testproject.nursery"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._nursery = subprocess.Popen(command, env=env, cwd=HERE, stderr=self._log, **pipes)  # type: ignore[call-overload]
        self.workers: list[int] = []
        self.agent: subprocess.Popen[bytes] | None = None

    def work(self, seed: int, *, pause_ms: int = 4, count: int = 1_000_000, failpoint: str = "-") -> int:
        """A worker more; its number."""
        pid = int(self._ask(f"work {seed} {pause_ms} {count} {failpoint}"))
        self.workers.append(pid)
        return pid

    def ended(self, worker: int) -> int:
        """How a worker ended, waited for: a negative number is the signal."""
        self.workers.remove(worker)
        return int(self._ask(f"wait {worker}"))

    def start_agent(self, failpoint: str = "") -> subprocess.Popen[bytes]:
        env = {**self._env, "INDELIBLE_FAILPOINT": failpoint} if failpoint else self._env
        self.agent = subprocess.Popen(
            [str(BINARY), "--data", str(self.trail.data_dir), *AGENT], env=env, stdout=self._log, stderr=self._log
        )
        return self.agent

    def kill_agent(self) -> None:
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()
            self.agent = None

    def end(self) -> None:
        """Ends all workers in the middle of what they do, and the agent."""
        for worker in list(self.workers):
            os.kill(worker, signal.SIGKILL)
            self.ended(worker)
        self._nursery.communicate(timeout=60)
        self.kill_agent()
        self._log.close()

    def verdict(self, context: str) -> str:
        """Compares database and trail when everything has ended; the counts."""
        # A fault of ours costs a transaction its marker and nothing else, so that the trail alone would say as little as of a kill.
        assert not (faults := self._faults()), f"{context}: {faults[0]}"
        connection.close()
        rows = list(Doctor.objects.values_list("name", flat=True))
        if self._evidence != "ack":
            settle(self.trail)
        counts = judge(rows, claims(self.trail), decided=self._evidence != "ack", context=context)
        assert self.trail.command("verify"), context
        return counts

    def _faults(self) -> list[str]:
        """Faults of ours that the processes have logged, each with its traceback and what came after it."""
        _, *faults = (self._folder / "processes.log").read_text(errors="replace").split("indelible: a fault in ")
        return [fault[:2000] for fault in faults]

    def _ask(self, line: str) -> str:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(line + "\n")
        self._nursery.stdin.flush()
        answer: str = self._nursery.stdout.readline()
        assert answer, (self._folder / "processes.log").read_text()[-2000:]
        return answer


def settle(trail: Trail) -> None:
    """Lets an agent and a resolver work side by side until nobody has a question any more."""
    from django.core.management import call_command

    _runtime.runtime().close()
    service = trail.data_dir / "journal" / trail.service
    quiet_since = time.monotonic()

    def is_settled() -> bool:
        nonlocal quiet_since
        call_command("indelible", "resolve", stdout=io.StringIO())
        _runtime.runtime().close()
        streams = [path for path in service.glob("[!.]*-*") if path.is_dir()]
        try:
            answers = json.loads((service / "answers.json").read_text())
        except FileNotFoundError:
            answers = {"unresolved": ["nobody has asked yet"]}
        if streams or answers["unresolved"]:
            quiet_since = time.monotonic()
        # The agent says what it asks at most once a second.
        return time.monotonic() - quiet_since > QUIET_S

    with running_agent(trail.data_dir):
        wait_until(is_settled, "somebody goes on asking")


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def site(trail: Trail, folder: Path, evidence: str, cluster: Cluster | None = None, **variables: str) -> Iterator[Site]:
    made = Site(trail, folder, evidence, cluster, **variables)
    try:
        yield made
    finally:
        made.end()


def kill_backend(cluster: Cluster, chance: random.Random) -> None:
    """Ends one connection's process: in order, or so that the server must recover."""
    pids = [
        pid
        for (pid,) in cluster.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
    ]
    if not pids:
        return
    pid = chance.choice(pids)
    if chance.random() < 0.8:
        cluster.execute(f"SELECT pg_terminate_backend({pid})")
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_until(lambda: answers_queries(cluster), "the database does not recover")


def answers_queries(cluster: Cluster) -> bool:
    import psycopg

    try:
        return bool(cluster.execute("SELECT 1"))
    except psycopg.OperationalError:
        return False


class Killer:
    """Kills one part of the site after the other, at moments and in an order that a seed gives."""

    def __init__(self, site: Site, seed: int, workers: int = 3) -> None:
        self.site, self.chance, self._birth = site, random.Random(seed), seed * 100_000
        self.kills = dict.fromkeys(("worker", "agent", "backend", "database"), 0)
        for _ in range(workers):
            self._another()
        site.start_agent()

    def _another(self) -> None:
        self._birth += 1
        self.site.work(self._birth)

    def kill(self) -> None:
        """Some time later somebody dies, and is replaced."""
        time.sleep(self.chance.random() * 0.25)
        victims, weights = ["worker", "agent"], [5, 4]
        if self.site.cluster is not None:
            victims, weights = [*victims, "backend", "database"], [*weights, 2, 1]
        (victim,) = self.chance.choices(victims, weights)
        self.kills[victim] += 1
        getattr(self, f"_kill_{victim}")()

    def _kill_worker(self) -> None:
        worker = self.chance.choice(self.site.workers)
        os.kill(worker, signal.SIGKILL)
        assert self.site.ended(worker) == -signal.SIGKILL, "it had ended by itself"
        self._another()

    def _kill_agent(self) -> None:
        self.site.kill_agent()
        self.site.start_agent()

    def _kill_backend(self) -> None:
        assert self.site.cluster is not None
        kill_backend(self.site.cluster, self.chance)

    def _kill_database(self) -> None:
        assert self.site.cluster is not None
        self.site.cluster.crash_and_recover()


def empty() -> None:
    """Removes the rows of earlier rounds, by SQL that nobody records."""
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute("DELETE FROM testproject_doctor")
    connection.connection.commit()
