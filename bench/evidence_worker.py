"""``python -m bench.evidence_worker``: transactions of one INSERT by some clients at once, each a process.

Reads lines ``CLIENTS SECONDS`` and answers each with one line of JSON: how many transactions, in how many seconds, with how much processor
time of the clients.
"""

import json
import os
import resource
import sys
import time

import django

django.setup()

from django.db import connection, transaction  # noqa: E402

from bench.worker import patient, prescription  # noqa: E402
from clinic.models import Patient, Prescription  # noqa: E402

WARM_UP = 20


def client(owner: int, begins_at: float, seconds: float) -> dict[str, float]:
    """Commits until the time is over."""
    for _ in range(WARM_UP):
        commit(owner)
    time.sleep(max(0.0, begins_at - time.monotonic()))
    began, used, count = time.monotonic(), processor_s(), 0
    while time.monotonic() - began < seconds:
        commit(owner)
        count += 1
    return {"transactions": count, "seconds": time.monotonic() - began, "cpu_s": processor_s() - used}


def commit(owner: int) -> None:
    with transaction.atomic():
        Prescription.objects.create(**prescription(owner))


def processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def together(clients: int, seconds: float, owner: int) -> dict[str, float]:
    """What all clients did at once: their rates added, the processor time of each transaction."""
    begins_at = time.monotonic() + 1.0
    reads, writes = os.pipe()
    children = []
    for _ in range(clients):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.write(writes, (json.dumps(client(owner, begins_at, seconds)) + "\n").encode())
                connection.close()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    for child in children:
        if os.waitpid(child, 0)[1]:
            raise SystemExit("a client failed")
    os.close(writes)
    with os.fdopen(reads) as answers:
        done = [json.loads(line) for line in answers]
    return {
        "per_s": sum(one["transactions"] / one["seconds"] for one in done),
        "cpu_us": 1e6 * sum(one["cpu_s"] for one in done) / sum(one["transactions"] for one in done),
    }


def main() -> None:
    owner = Patient.objects.create(**patient()).pk
    # A connection is no child's to inherit.
    connection.close()
    print("ready", flush=True)
    for line in sys.stdin:
        clients, seconds = line.split()
        print(json.dumps(together(int(clients), float(seconds), owner)), flush=True)


if __name__ == "__main__":
    main()
