"""``python -m bench.lock``: what it costs a thread to let go of Python's lock for each append, beside threads that compute without pause.

The same for ``os.write`` of as many bytes, which lets go of it, too.
"""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from indelible import _native

CALLS = 3_000
BYTES = 660


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="indelible-bench-") as name:
        redactor = _native.Redactor()
        recorder = _native.Recorder(redactor, data_dir=Path(name) / "data", service="bench")
        context = _native.Context(redactor, actor={"type": "system", "id": "bench"})
        log = os.open(Path(name) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        line = b"x" * BYTES
        ways: dict[str, Callable[[], object]] = {
            "record": lambda: recorder.record(recorder.event(context, "action", "bench.lock", meta={"text": "x" * 300})),
            "os.write": lambda: os.write(log, line),
        }
        for computing in (0, 1, 3):
            for way, call in ways.items():
                took = beside(computing, call)
                mean, p50, p99 = (ns / 1000 for ns in (statistics.fmean(took), took[CALLS // 2], took[CALLS * 99 // 100]))
                print(f"{way:<9} beside {computing} computing threads: p50 {p50:8.1f} us, p99 {p99:8.1f} us, mean {mean:8.1f} us")
        os.close(log)
        recorder.close()


def beside(computing: int, call: Callable[[], object]) -> list[int]:
    """Nanoseconds of each call, in order of size, while so many other threads compute."""
    ended = threading.Event()

    def compute() -> None:
        while not ended.is_set():
            pass

    threads = [threading.Thread(target=compute, daemon=True) for _ in range(computing)]
    for thread in threads:
        thread.start()
    took = []
    for _ in range(CALLS):
        began = time.perf_counter_ns()
        call()
        took.append(time.perf_counter_ns() - began)
    ended.set()
    for thread in threads:
        thread.join()
    return sorted(took)


if __name__ == "__main__":
    main()
