"""What the log configurations of the servers have in common."""

from __future__ import annotations

import abc
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from indelible import _runtime
from indelible.logging import FILE_BYTES_MAX, FILES_KEPT


def server_log_config(
    *,
    access: str,
    error: tuple[str, ...],
    access_events: str,
    access_filter: str,
    dir: str | os.PathLike[str] | None,
    level: int | str,
    console: Literal["plain", "json"] | None,
    events: int | str | None,
    file_bytes_max: int = FILE_BYTES_MAX,
    files_kept: int = FILES_KEPT,
) -> dict[str, Any]:
    """A dict for ``logging.config.dictConfig`` that concerns a server's own loggers and no other.

    ``access`` and ``error`` name its loggers, ``access_events`` and ``access_filter`` the classes for its access lines.
    """
    handlers: dict[str, dict[str, Any]] = {"access_events": {"()": access_events}}
    of_access, of_error = ["access_events"], []
    if console is not None:
        handlers["console"] = {"class": "logging.StreamHandler", "formatter": console, "stream": "ext://sys.stderr"}
        of_access.append("console")
        of_error.append("console")
    if dir is not None:
        for name, users in (("access", of_access), ("error", of_error)):
            handlers[f"{name}_file"] = {
                "()": "indelible.logging.RotatingFile",
                "filename": str(Path(dir) / f"{name}.log"),
                "maxBytes": file_bytes_max,
                "backupCount": files_kept,
                "formatter": "json",
            }
            users.append(f"{name}_file")
    if events is not None:
        handlers["events"] = {"()": "indelible.logging.EventHandler", "level": events}
        of_error.append("events")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "indelible.logging.JsonFormatter"}, "plain": {"()": "indelible.logging.PlainFormatter"}},
        "filters": {"redacted": {"()": access_filter}},
        "handlers": handlers,
        "loggers": {
            **{name: {"handlers": of_error, "level": level, "propagate": False} for name in error},
            access: {"handlers": of_access, "level": "INFO", "propagate": False, "filters": ["redacted"]},
        },
    }


class AccessLine(logging.Handler, abc.ABC):
    """Calls ``record_access`` for each access line; a line of another form is left alone."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hands the line over."""
        try:
            self.record_access(record)
        except Exception as error:
            _runtime.runtime().fault(f"the access log {record.name}", error)

    @abc.abstractmethod
    def record_access(self, record: logging.LogRecord) -> None:
        """Reads the line of one server."""


def print_config(config: Callable[..., Mapping[str, Any]]) -> None:
    """Prints a configuration as JSON, for servers that read it from a file; the folder of the files is the one argument."""
    sys.stdout.write(json.dumps(config(*sys.argv[1:2]), indent=2) + "\n")
