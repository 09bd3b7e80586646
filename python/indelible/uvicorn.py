"""Uvicorn: access lines without secrets, in rotating files if asked for, and as events where no middleware of ours saw the request.

In a program ``uvicorn.run(..., log_config=indelible.uvicorn.log_config())``, on the command line
``python -m indelible.uvicorn [FOLDER] >log.json; uvicorn --log-config log.json ...``.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final, Literal

from indelible import _lines, _servers
from indelible.django import _network

_ARGUMENTS: Final = 5
"""Client, method, path with query, HTTP version, status."""


def log_config(
    dir: str | os.PathLike[str] | None = None,
    *,
    level: int | str = "INFO",
    console: Literal["plain", "json"] | None = "plain",
    events: int | str | None = "ERROR",
) -> dict[str, Any]:
    """The value of Uvicorn's ``log_config``. With ``dir`` there are ``access.log`` and ``error.log`` in it, 10 MiB each and five older ones.

    ``events`` is the level from which on Uvicorn's own lines are recorded as events, ``None`` for never.
    """
    return _servers.server_log_config(
        access="uvicorn.access",
        error=("uvicorn",),
        access_events="indelible.uvicorn.AccessEvents",
        access_filter="indelible.uvicorn.RedactAccess",
        dir=dir,
        level=level,
        console=console,
        events=events,
    )


class RedactAccess(logging.Filter):
    """Takes secrets out of the path and query of access lines, for every handler behind it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every line pass."""
        if isinstance(record.args, tuple) and len(record.args) == _ARGUMENTS:
            client, method, target, version, status = record.args
            record.args = (client, method, _lines.redacted_path(str(target)), version, status)
        return True


class AccessEvents(_servers.AccessLine):
    """Records requests that no middleware of ours saw."""

    def record_access(self, record: logging.LogRecord) -> None:
        """Reads the arguments of Uvicorn's line, where they are what they were."""
        if not isinstance(record.args, tuple) or len(record.args) != _ARGUMENTS:
            return
        if _lines.was_seen():
            return
        client, method, target, _, status = record.args
        address = _network.client_ip({"REMOTE_ADDR": str(client)}, 0)
        _lines.record_access("uvicorn", str(method), str(target), int(str(status)), client_ip=address)


if __name__ == "__main__":
    _servers.print_config(log_config)
