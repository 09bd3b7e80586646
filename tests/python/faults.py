"""Faults of files for real processes, as ``tests/faults/faults.c`` makes them: every call of a kind fails as long as a test wants it to."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SOURCE = Path(__file__).parents[1] / "faults" / "faults.c"
EIO, EMFILE, ENOSPC, EROFS = 5, 24, 28, 30


@dataclass(frozen=True)
class Kind:
    """An error that a disk gives (``hang``: it gives no answer at all), and the calls that it gives it to."""

    name: str
    error: int | Literal["hang"]
    calls: str

    def __str__(self) -> str:
        return self.name


KINDS = (
    Kind("ENOSPC", ENOSPC, "write,pwrite,create,rename,truncate,mkdir"),
    Kind("EIO", EIO, "write,pwrite,open,openw,create,rename,unlink,truncate,mkdir"),
    Kind("EMFILE", EMFILE, "open,openw,create"),
    Kind("failed fsync", EIO, "fsync"),
    Kind("EROFS", EROFS, "write,openw,create,rename,unlink,truncate,mkdir"),
)


HANG = Kind("hang", "hang", "write,pwrite")


class Faults:
    """What the files below a folder do to the processes that are started with :meth:`environment`. Nothing at first."""

    def __init__(self, kind: Kind, under: Path, folder: Path) -> None:
        self._kind, self._under, self._folder = kind, under, folder
        self.lifted, self._log = folder / "lifted", folder / "calls"
        self.lifted.touch()
        self._calls_before = 0

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(_library(self._folder)),
            "FAULT_PATH": f"{self._under}*",
            "FAULT_CALLS": self._kind.calls,
            "FAULT_ERROR": str(self._kind.error),
            "FAULT_AT": "1",
            "FAULT_AND_ON": "1",
            "FAULT_LIFTED": str(self.lifted),
            "FAULT_LOG": str(self._log),
        }

    def begin(self) -> None:
        """From now on every call fails."""
        self._calls_before = self._calls()
        self.lifted.unlink()

    def lift(self) -> None:
        self.lifted.touch()

    def calls(self) -> int:
        """How many calls have failed since it began, as long as it is not lifted."""
        return self._calls() - self._calls_before

    def _calls(self) -> int:
        return self._log.read_text().count("\n") if self._log.exists() else 0


def _library(folder: Path) -> Path:
    """The library, compiled by the C compiler that Rust links with."""
    library = folder / "libfaults.so"
    if not library.exists():
        compiler = os.environ.get("CC", "cc")
        flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE)], check=True)
    return library
