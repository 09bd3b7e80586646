"""Reads the trail through the ``indelible`` command, as anybody else would."""

import json
import subprocess
from pathlib import Path

ALL = "1000000"
"""More records than any demonstration makes; ``search`` shows a page when it is not told how many."""


class Trail:
    """One data directory, read with the command's own output formats and exit codes."""

    def __init__(self, binary: Path, data: Path) -> None:
        self.binary = binary
        self.data = data

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs one command; the caller looks at the exit code."""
        command = [str(self.binary), "--data", str(self.data), *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def show(self, *arguments: str) -> str:
        """Runs one command and returns what it prints for people. Raises when it fails."""
        done = self.run(*arguments, "-o", "table")
        done.check_returncode()
        return done.stdout

    def records(self, query: str) -> list[dict]:
        """All records that a query finds, oldest first: leaf, verdict and event."""
        done = self.run("search", query, "-o", "ndjson", "-n", ALL)
        done.check_returncode()
        return sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda record: record["leaf"])
