"""Changes one letter of one stored body, in a copy of the trail."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from demo.trail import Trail


def copy_trail(source: Path, target: Path) -> None:
    """Copies the trail of a running agent: small files as they are, then the database through SQLite's own backup."""
    (target / "trail").mkdir(parents=True)
    for name in ("verifier", "checkpoint", "state"):
        shutil.copy(source / "trail" / name, target / "trail")
    for file in sorted((source / "trail").glob("*.trail")):
        with (
            closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(target / "trail" / file.name)) as copy,
        ):
            live.backup(copy)


def change_one_letter(trail: Trail, leaf: int) -> tuple[str, str]:
    """Replaces one letter in the stored body of a record; returns what stood there and what stands there now."""
    file = max(path for path in (trail.data / "trail").glob("*.trail") if int(path.stem) <= leaf)
    with closing(sqlite3.connect(file)) as connection, connection:
        (body,) = connection.execute("SELECT body FROM record WHERE leaf_index = ?", (leaf,)).fetchone()
        at = body.index(b'"label":"') + len(b'"label":"')
        changed = body[:at] + (b"x" if body[at : at + 1] != b"x" else b"y") + body[at + 1 :]
        connection.execute("UPDATE record SET body = ? WHERE leaf_index = ?", (changed, leaf))
    return body[at : at + 12].decode(errors="replace"), changed[at : at + 12].decode(errors="replace")
