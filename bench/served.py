"""``python -m bench.served``: what recording costs behind gunicorn: requests per second, CPU, latency, memory and stored bytes of a POST with both bodies.

Rounds without and with Indelible take turns, so that what else the machine does meets both alike; what is compared are the medians of all rounds. CPU
time is the kernel's account of all threads. Needs PostgreSQL and the agent's binary (``INDELIBLE_BINARY``).
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from bench.results import Result, write
from bench.site import HOUSE, Answers, Site, cpu_s, post, postgresql

BINARY = os.environ.get("INDELIBLE_BINARY", str(HOUSE / "target" / "debug" / "indelible"))
WARM_UP_REQUESTS = 200
AGENT_DEADLINE_S = 300.0
QUIET_S = 4.0
# A folder that cannot be made, since a device stands in its way: every delivery fails.
REFUSING_SINK = '[[sink]]\nname = "refused"\ntype = "files"\nfolder = "/dev/null/events"\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=300, help="in each round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="indelible-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        port = stack.enter_context(postgresql())
        without, recording = Site("without", folder, port), Site("bodies", folder, port)
        stack.callback(recording.close)
        stack.callback(without.close)
        Comparison(without, recording, arguments.rounds, arguments.requests).run()


class Comparison:
    """The same requests to both sites, in turns."""

    def __init__(self, without: Site, recording: Site, rounds: int, requests: int) -> None:
        self.without, self.recording = without, recording
        self.rounds, self.requests = rounds, requests
        self.seed = 0
        self.recorded = 0
        self.added_ms = 0.0

    def run(self) -> None:
        # Without any event the journal, the redactor and the threads of the recorder are not there yet.
        for site in (self.without, self.recording):
            self.ask(site, WARM_UP_REQUESTS)
        self.throughput()
        self.memory()
        self.agent()
        self.refused_sink()
        self.stored()

    def ask(self, site: Site, count: int | None = None, *, alone: bool = False) -> tuple[Answers, float]:
        """One round, over many connections or one ``alone``; the answers, and CPU seconds of the workers for each request."""
        self.seed += 1
        count = count or self.requests
        before = site.cpu_s()
        answers = post(site, count, self.seed, 1) if alone else post(site, count, self.seed)
        self.recorded += count if site is self.recording else 0
        return answers, (site.cpu_s() - before) / count

    def throughput(self) -> None:
        cpu: dict[Site, list[float]] = {self.without: [], self.recording: []}
        rate: dict[Site, list[float]] = {self.without: [], self.recording: []}
        for number in range(self.rounds):
            order = [self.without, self.recording]
            for site in order if number % 2 else reversed(order):
                answers, seconds = self.ask(site)
                cpu[site].append(seconds)
                rate[site].append(answers.per_second)
        ratios = sorted(mine / theirs for mine, theirs in zip(cpu[self.recording], cpu[self.without], strict=True))
        tell("CPU of a POST behind gunicorn, without", 1000 * statistics.median(cpu[self.without]), "ms")
        tell("CPU of a POST behind gunicorn, recorded", 1000 * statistics.median(cpu[self.recording]), "ms")
        tell("CPU of a POST behind gunicorn, recorded / without", statistics.median(ratios), "times")
        print(
            f"    of the rounds: {ratios[0]:.3f} to {ratios[-1]:.3f}, the middle half {ratios[len(ratios) // 4]:.3f} to {ratios[-1 - len(ratios) // 4]:.3f}"
        )
        self.added_ms = 1000 * statistics.median(mine - theirs for mine, theirs in zip(cpu[self.recording], cpu[self.without], strict=True))
        tell("CPU of a POST behind gunicorn, added", self.added_ms, "ms")
        share = statistics.median(mine / theirs for mine, theirs in zip(rate[self.recording], rate[self.without], strict=True))
        tell("requests per second behind gunicorn, recorded / without", share, "times")

    def memory(self) -> None:
        without, recorded = self.without.memory_mib(), self.recording.memory_mib()
        tell("memory of a worker, without", without, "MiB")
        tell("memory of a worker, added", recorded - without, "MiB")

    def agent(self) -> None:
        """CPU of the agent for each request, while it ingests and signs beside them."""
        data = self.recording.data / "indelible"
        with agent(data) as process:
            # What was recorded until now is not this round's.
            wait_until_quiet(data)
            before = cpu_s(process.pid)
            self.ask(self.recording, 2 * self.requests)
            wait_until_quiet(data)
            agent_ms = 1000 * (cpu_s(process.pid) - before) / (2 * self.requests)
        tell("CPU of the agent for a POST", agent_ms, "ms")
        tell("CPU that recording a POST costs, agent included", self.added_ms + agent_ms, "ms")

    def refused_sink(self) -> None:
        """Latency while the agent cannot deliver, and without an agent, against rounds with an agent that has nothing to deliver.

        Over one connection: with several, requests wait for each other most of the time.
        """
        data = self.recording.data / "indelible"
        states = {"": [], "sink refuses": [REFUSING_SINK], "no agent": []}
        latencies: dict[str, list[Answers]] = {state: [] for state in states}
        for _ in range(max(2, self.rounds // 2)):
            for state, sinks in states.items():
                (data / "config.toml").write_text("".join(sinks))
                with nullcontext() if state == "no agent" else agent(data):
                    latencies[state].append(self.ask(self.recording, alone=True)[0])
        for percent in (50, 99):
            medians = {state: statistics.median(answers.percentile_ms(percent) for answers in found) for state, found in latencies.items()}
            tell(f"latency of a POST, p{percent}", medians[""], "ms")
            for state in ("sink refuses", "no agent"):
                tell(f"latency of a POST, p{percent}, {state}, added", medians[state] - medians[""], "ms")
        (data / "config.toml").unlink()

    def stored(self) -> None:
        """Bytes of the whole trail, search index and proofs included, for each request that is in it."""
        data = self.recording.data / "indelible"
        with agent(data):
            wait_until_quiet(data)
        posts = self.recorded
        tell("stored bytes of a POST, file open", size(data / "trail") / posts, "bytes")
        # Every file is full now: the batch of one more round closes it, and it is sealed.
        seal = data / "trail" / "000000000000.seal"
        with agent(data, "--leaves-per-file", "1"):
            self.ask(self.recording, 1)
            wait_until(seal.exists, data)
        tell("stored bytes of a POST, sealed", sum(path.stat().st_size for path in (seal, seal.with_suffix(".trail"))) / posts, "bytes")


@contextmanager
def agent(data: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    with (data / "agent.log").open("ab") as log:
        process = subprocess.Popen([BINARY, "--data", str(data), "serve", "--listen", "127.0.0.1:0", *options], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(AGENT_DEADLINE_S)


def wait_until_quiet(data: Path) -> None:
    """Waits until the agent has signed everything: its checkpoint stays the same for a while."""
    checkpoint = data / "trail" / "checkpoint"
    seen, since = "", time.monotonic()

    def is_quiet() -> bool:
        nonlocal seen, since
        text = checkpoint.read_text() if checkpoint.exists() else ""
        if text != seen:
            seen, since = text, time.monotonic()
        return bool(seen) and time.monotonic() - since > QUIET_S

    wait_until(is_quiet, data)


def wait_until(condition: Callable[[], bool], data: Path) -> None:
    deadline = time.monotonic() + AGENT_DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the agent does not keep up, see {data / 'agent.log'}")
        time.sleep(0.1)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def tell(name: str, value: float, unit: str) -> None:
    print(f"{name:<60} {value:>10.3f} {unit}", flush=True)
    write(Result("", name, value, unit))


if __name__ == "__main__":
    main()
