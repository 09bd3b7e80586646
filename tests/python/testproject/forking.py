"""Programs that fork: ``python -m testproject.forking NAME COUNT``. Each process records ``COUNT`` papers; children leave as theirs do."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import django

CHILDREN = 4


def record(count: int) -> None:
    import indelible

    for number in range(count):
        indelible.record("paper.note", meta={"number": number})


def in_spawned_child(count: int) -> None:
    django.setup()
    record(count)


def inherited() -> list[str]:
    """What of the journal this process has open; after a fork and before its first event that must hold nobody's lock."""
    links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link for link in links if link.endswith("/lock")]


def by_multiprocessing(method: str, count: int) -> None:
    record(count)
    context = multiprocessing.get_context(method)
    target = record if method == "fork" else in_spawned_child
    children = [context.Process(target=target, args=(count,)) for _ in range(CHILDREN)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0, child.exitcode


def by_pool(count: int) -> None:
    record(count)
    with multiprocessing.get_context("fork").Pool(CHILDREN) as pool:
        pool.map(record, [count] * CHILDREN, chunksize=1)
        pool.close()
        pool.join()


def in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.alarm(60)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def beside_threads(count: int) -> None:
    """Forks while other threads are somewhere inside a write to the journal; each child does the same once more."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            record(1)

    def child() -> None:
        assert threading.active_count() == 1
        assert len(list(Path("/proc/self/task").iterdir())) == 1
        assert not inherited(), inherited()
        record(count)
        grandchild = in_child(lambda: record(count))
        assert os.waitpid(grandchild, 0)[1] == 0

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(CHILDREN):
            assert os.waitpid(in_child(child), 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def while_journals_open(count: int) -> None:
    """Forks while another thread opens one journal after the other, and tells what may be told once: no child keeps a lock of that thread."""
    from indelible import _context, _runtime

    stop = threading.Event()

    def busy() -> None:
        number = 0
        while not stop.is_set():
            record(1)
            recorder = _runtime.recorder()
            event = recorder.event(_context.current_context(), "task", "paper.tell")
            recorder.record_once(event, number := number + 1, os.urandom(10))
            _runtime.runtime().close()

    reads, writes = os.pipe()

    def child() -> None:
        assert not inherited(), inherited()
        # Whatever it has inherited it has until its parent is done.
        os.close(writes)
        os.read(reads, 1)

    thread = threading.Thread(target=busy)
    thread.start()
    children = []
    try:
        for _ in range(count):
            children.append(in_child(child))
    finally:
        stop.set()
        thread.join()
    with (_runtime.runtime().settings.data_dir / "journal" / "tests" / "told").open() as told:
        fcntl.flock(told, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(writes)
    for process in children:
        assert os.waitpid(process, 0)[1] == 0


def at_the_end(count: int) -> None:
    """The interpreter ends while threads that nobody waits for record."""

    recorded = threading.Barrier(4)

    def busy() -> None:
        record(1)
        recorded.wait(60)
        while True:
            record(1)

    for _ in range(3):
        threading.Thread(target=busy, daemon=True).start()
    record(count)
    recorded.wait(60)


def main(name: str, count: int) -> None:
    django.setup()
    programs: dict[str, Callable[[int], None]] = {
        "fork": lambda count: by_multiprocessing("fork", count),
        "spawn": lambda count: by_multiprocessing("spawn", count),
        "forkserver": lambda count: by_multiprocessing("forkserver", count),
        "pool": by_pool,
        "threads": beside_threads,
        "opening": while_journals_open,
        "end": at_the_end,
    }
    programs[name](count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
