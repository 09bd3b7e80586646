"""Gunicorn's logger: access lines without secrets, a rotating access file, and events for what no middleware of ours saw.

``gunicorn --logger-class indelible.gunicorn.Logger ...``, or ``-c python:indelible.gunicorn_conf``, which sets it among other things. It needs
neither Django nor its settings: those are loaded in the workers, where they can be reloaded.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any, Final

from indelible import _lines, _runtime
from indelible.django import _network
from indelible.logging import FILE_BYTES_MAX, EventHandler, RotatingFile

try:
    from gunicorn.glogging import Logger as _GunicornLogger
except ImportError as error:
    raise ImportError("Gunicorn is not installed: pip install 'indelible[gunicorn]'") from error

LOG_DIR: Final = "/var/log/gunicorn"
"""Where the access file goes where ``GUNICORN_LOG_DIR`` says nothing and this folder can be written."""

BACKUP_COUNT: Final = 10
"""How many older access files are kept where ``GUNICORN_LOG_BACKUP_COUNT`` says nothing."""

_NAMED_ATOM: Final = re.compile(r"\{(.+)\}[ioe]")


class Logger(_GunicornLogger):  # type: ignore[misc]
    """Gunicorn's own logger, and more.

    A request that the middleware has seen is its matter; one that it has not (a static file served before it, another application, a
    malformed request) becomes an event of kind ``request`` with ``meta.source`` ``gunicorn``. Gunicorn's lines from ERROR on, such as a
    worker's timeout, become events of kind ``log``.
    """

    def setup(self, cfg: Any) -> None:
        """Configures the loggers as Gunicorn does, then gives files a bound and adds the events."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in list(log.handlers):
                if getattr(handler, "_gunicorn", False) and type(handler) is logging.FileHandler:
                    _replace(log, handler)
        if (folder := _log_dir()) is not None:
            _add(self.access_log, _rotating(Path(folder) / "access.log"), logging.Formatter(self.access_fmt))
        _add(self.error_log, _ServerEvents(logging.ERROR))
        self._writes_access_log = bool(self.access_log.handlers)

    @property
    def access_log_enabled(self) -> bool:
        """Gunicorn calls :meth:`access` only where this is true; events need it always."""
        return True

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Writes the access line, and records the request if nobody did."""
        if self._writes_access_log:
            super().access(resp, req, environ, request_time)
        try:
            if _lines.was_seen():
                return
            _record(resp, environ, request_time)
        except Exception as error:
            _runtime.runtime().fault("the access log of gunicorn", error)

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """What an access line can say, without secrets."""
        atoms: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        redactor = _runtime.runtime().redactor()
        if redactor is None:
            return atoms
        target = redactor.path(str(environ.get("RAW_URI") or ""))
        atoms["r"] = f"{environ.get('REQUEST_METHOD')} {target} {environ.get('SERVER_PROTOCOL')}"
        atoms["U"] = redactor.path(str(atoms["U"] or ""))
        atoms["q"] = redactor.path(f"?{atoms['q'] or ''}")[1:]
        atoms["f"] = redactor.header("Referer", str(atoms["f"]))
        atoms["a"] = redactor.header("User-Agent", str(atoms["a"]))
        if "}" in self.cfg.access_log_format:
            for name, value in atoms.items():
                if match := _NAMED_ATOM.fullmatch(name):
                    atoms[name] = _named(redactor, match[1], str(value))
        return atoms


class _ServerEvents(EventHandler):
    """Records the server's own lines where it is known to which trail they belong: in a worker with its application, and by the environment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Records one line, or leaves it: the process that only starts workers has no settings and must not load any."""
        if _runtime.is_configured() or os.environ.get("INDELIBLE_SERVICE"):
            super().emit(record)


def _record(resp: Any, environ: Any, request_time: Any) -> None:
    status = str(getattr(resp, "status", "") or "").split(" ", 1)[0]
    request_id = environ.get("HTTP_X_REQUEST_ID")
    query = environ.get("QUERY_STRING")
    _lines.record_access(
        "gunicorn",
        str(environ.get("REQUEST_METHOD") or ""),
        str(environ.get("PATH_INFO") or "") + (f"?{query}" if query else ""),
        int(status) if status.isdigit() else 500,
        request_id=_network.request_id(request_id) if request_id else None,
        client_ip=_network.client_ip({"REMOTE_ADDR": environ.get("REMOTE_ADDR")}, 0),
        user_agent=environ.get("HTTP_USER_AGENT"),
        duration_us=int(request_time.total_seconds() * 1_000_000),
    )


def _named(redactor: Any, name: str, value: str) -> str:
    name = name.removeprefix("http_")
    if name == "query_string":
        return str(redactor.path(f"?{value}")[1:])
    return str(redactor.header(name.replace("_", "-"), value))


def _replace(log: logging.Logger, handler: logging.FileHandler) -> None:
    log.removeHandler(handler)
    handler.close()
    _add(log, _rotating(Path(handler.baseFilename)), handler.formatter)


def _add(log: logging.Logger, handler: logging.Handler, formatter: logging.Formatter | None = None) -> None:
    # Gunicorn's mark for handlers of its own: it drops them when it is configured again.
    handler._gunicorn = True  # type: ignore[attr-defined]
    handler.setFormatter(formatter)
    log.addHandler(handler)


def _log_dir() -> str | None:
    named = os.environ.get("GUNICORN_LOG_DIR")
    if named is not None:
        return named or None
    return LOG_DIR if os.access(LOG_DIR, os.W_OK) else None


def _rotating(path: Path) -> RotatingFile:
    bytes_max, kept = number("GUNICORN_LOG_MAX_BYTES", FILE_BYTES_MAX), number("GUNICORN_LOG_BACKUP_COUNT", BACKUP_COUNT)
    return RotatingFile(path, maxBytes=bytes_max, backupCount=kept)


def number(name: str, default: int) -> int:
    """A whole number from the environment.

    Raises:
        ValueError: it is none, or negative; the message names the variable.
    """
    given = os.environ.get(name, "")
    if given and not given.isdecimal():
        raise ValueError(f"{name}={given!r} is not a whole number")
    return int(given) if given else default
