"""The folder that this process's journals are in, as what is left in databases names it.

Several hosts may share a database and never a journal: each looks after what stands in its own.
"""

from __future__ import annotations

import functools
import os
import uuid
from pathlib import Path

from indelible import _runtime


def folder() -> Path:
    """The folder of this service's journals. Nothing says that it is there."""
    settings = _runtime.runtime().settings
    return settings.data_dir / "journal" / settings.service


def journal_id() -> uuid.UUID | None:
    """The identifier of that folder, made with its first use and never changed; ``None`` where it can be neither read nor made.

    Whoever deletes the file ``id`` makes strangers of the rows that name it: nobody misses their records, and nobody deletes them.
    """
    found = _read(folder())
    return _make(folder()) if found is None else found


@functools.lru_cache(maxsize=8)
def _remembered(folder: Path) -> uuid.UUID:
    return uuid.UUID((folder / "id").read_text(encoding="ascii").strip())


def _read(folder: Path) -> uuid.UUID | None:
    try:
        return _remembered(folder)
    except (OSError, ValueError):
        return None


def _make(folder: Path) -> uuid.UUID | None:
    """Makes it under another name and links it, so that of two processes one wins and nobody reads half of it."""
    unfinished = folder / f"id.{uuid.uuid4().hex}.new"
    try:
        with open(unfinished, "x", encoding="ascii", opener=_private) as file:
            file.write(f"{uuid.uuid4()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, folder / "id")
        except FileExistsError:
            pass
        finally:
            os.unlink(unfinished)
        sync(folder)
    except OSError:
        return None
    return _read(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def sync(folder: Path) -> None:
    """Forces out what was made or renamed in a folder. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
