"""Granian: access lines without secrets, in rotating files if asked for, and as events where no middleware of ours saw the request.

``python -m indelible.granian [FOLDER] >log.json; granian --access-log --log-config log.json ...``; in a program
``Granian(..., log_access=True, log_dictconfig=indelible.granian.log_config())``.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Literal

from indelible import _lines, _servers
from indelible.django import _network


def log_config(
    dir: str | os.PathLike[str] | None = None,
    *,
    level: int | str = "INFO",
    console: Literal["plain", "json"] | None = "plain",
    events: int | str | None = "ERROR",
) -> dict[str, Any]:
    """The value of Granian's ``log_dictconfig``. With ``dir`` there are ``access.log`` and ``error.log`` in it, 10 MiB each and five older ones.

    ``events`` is the level from which on Granian's own lines are recorded as events, ``None`` for never.
    """
    return _servers.server_log_config(
        access="granian.access",
        error=("_granian",),
        access_events="indelible.granian.AccessEvents",
        access_filter="indelible.granian.RedactAccess",
        dir=dir,
        level=level,
        console=console,
        events=events,
    )


class RedactAccess(logging.Filter):
    """Takes secrets out of the path and query of access lines, for every handler behind it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every line pass."""
        if isinstance(record.args, dict):
            path, query = _lines.redacted_path(_target(record.args)).partition("?")[::2]
            record.args = {**record.args, "path": path, "query_string": query}
        return True


class AccessEvents(_servers.AccessLine):
    """Records requests that no middleware of ours saw."""

    def __init__(self) -> None:
        super().__init__()
        # Granian writes the line when the application has returned, which under ASGI is another context than the middleware's.
        self._seen = _lines.remember_targets()

    def record_access(self, record: logging.LogRecord) -> None:
        """Reads the arguments of Granian's line, where they are what they were."""
        args = record.args
        if not isinstance(args, dict) or "status" not in args:
            return
        method, target, status = _text(args.get("method")), _target(args), int(str(args["status"]))
        if self._seen.take(method, target.partition("?")[0]):
            return
        address = _network.client_ip({"REMOTE_ADDR": _text(args.get("addr"))}, 0)
        duration_us = int(float(str(args.get("dt_ms", 0))) * 1000)
        _lines.record_access("granian", method, target, status, client_ip=address, duration_us=duration_us)


def _target(args: dict[str, object]) -> str:
    path, query = _text(args.get("path")), _text(args.get("query_string"))
    return f"{path}?{query}" if query else path


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


if __name__ == "__main__":
    _servers.print_config(log_config)
