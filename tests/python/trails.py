"""The trail that a test left, as the agent's own commands show it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import journal
from indelible import _runtime

ROOT = Path(__file__).parents[2]
BINARY = Path(os.environ.get("INDELIBLE_BINARY") or ROOT / "target" / "debug" / "indelible")


class Trail:
    """What was recorded. Reading it closes the recorder of this process, so that the agent finds a finished stream."""

    def __init__(self, data_dir: Path, service: str) -> None:
        self.data_dir = data_dir
        self.service = service

    def records(self) -> list[dict[str, Any]]:
        """The records in the order of the trail: ``leaf``, ``verdict``, ``event``; without those that the agent made by itself."""
        _runtime.runtime().close()
        self.command("serve", "--until-idle", "0")
        lines = self.command("search", "-kind:audit", "--asc", "--limit", "1000000", "-o", "ndjson").splitlines()
        return sorted((json.loads(line) for line in lines), key=lambda record: record["leaf"])

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The bodies, of one kind if named."""
        return [record["event"] for record in self.records() if kind in (None, record["event"]["kind"])]

    def forget(self) -> None:
        """Begins an empty trail, elsewhere: what was recorded until now prepared the test."""
        self.data_dir = self.data_dir.with_name(f"{self.data_dir.name}x")
        _runtime.configure(dataclasses.replace(_runtime.runtime().settings, data_dir=self.data_dir))

    def changes(self) -> list[dict[str, Any]]:
        """The bodies of model changes."""
        return self.events("change")

    def frames(self) -> list[journal.Frame]:
        """The frames of the journal as they stand; what the agent has read may be gone."""
        return journal.frames(self.data_dir, self.service)

    def command(self, *arguments: str) -> str:
        """What a command of the agent prints about this trail; it must succeed."""
        assert BINARY.is_file(), f"{BINARY} is missing: cargo build --package indelible-server, or name one with INDELIBLE_BINARY"
        done = subprocess.run([BINARY, "--data", str(self.data_dir), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"indelible {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}"
        return done.stdout


def only_change(trail: Trail) -> dict[str, Any]:
    """The one change that was recorded."""
    changes = trail.changes()
    assert len(changes) == 1, changes
    return changes[0]


def fields(event: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The changed fields of an event as ``{field: (old, new)}``."""
    return {change["field"]: (change.get("old"), change.get("new")) for change in event["changes"]}
