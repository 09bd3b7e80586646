"""A process on a disk that stops answering: while one thread's write does not come back, another one puts the disk right again.

    python -m testproject.hanging DATA_DIR LIFTED

Each line on standard input is a step: the first makes the thread record, the second makes the file LIFTED. Prints the status of each event.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from indelible import _native

REDACTOR = _native.Redactor()
CONTEXT = _native.Context(REDACTOR, actor={"type": "system", "id": "test"})


def main(data_dir: Path, lifted: Path) -> None:
    recorder = _native.Recorder(REDACTOR, data_dir=data_dir, service="hanging")
    statuses: list[str] = []

    def record() -> None:
        statuses.append(recorder.record(recorder.event(CONTEXT, "action", "note.read")).status)

    record()
    print("ready", flush=True)
    sys.stdin.readline()
    writing = threading.Thread(target=record)
    writing.start()
    # Needs Python's lock to go on, which the other thread must not have taken along.
    sys.stdin.readline()
    assert writing.is_alive(), "it did not hang"
    lifted.touch()
    writing.join()
    print(*statuses, flush=True)
    recorder.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
