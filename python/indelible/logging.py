"""The standard library's logging: lines that know their request, files for each kind of line, and lines as events.

Nothing here happens by being imported, but that the levels 21, 22 and 23 get their names. :func:`logging_config` makes a dict for Django's
``LOGGING``; its parts can stand in a configuration of your own.
"""

from __future__ import annotations

import fcntl
import json
import logging
import logging.handlers
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from indelible import _context, _lines, _runtime

AUDIT: Final = 21
"""Level of a line about data that changed."""
API: Final = 22
"""Level of a line about a call, in or out."""
LOGIN: Final = 23
"""Level of a line about a login or logout."""

FILE_BYTES_MAX: Final = 10 << 20
FILES_KEPT: Final = 5
LINE_CHARACTERS_MAX: Final = 256 << 10
"""A line of JSON that is longer keeps when, where, for whom and the beginning of its text."""

ROLL_PATIENCE_S: Final = 0.05
"""How long a process waits for another one that rolls the same file over; then it writes on."""

_KINDS: Final[Mapping[int, str]] = {AUDIT: "audit", API: "api", LOGIN: "login"}
_USER: Final = ("user_id", "user_info")
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "audit": ("model", "event_type", "instance_id", "instance_repr", *_USER),
    "api": ("service_name", "request_type", "protocol", "request_repr", "response_repr", "error_message", "execution_time", *_USER),
    "login": ("event", "success", "error", *_USER),
}
"""Extras that stand beside ``message`` in the JSON of a kind; the others stand in ``extra``."""

_FACTS: Final = ("request_id", "trace_id", "actor_id")
_OWN: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", *_FACTS})
"""What a record has without extras."""

for _level, _name in _KINDS.items():
    if logging.getLevelName(_level) == f"Level {_level}":
        logging.addLevelName(_level, _name.upper())


def logging_config(
    dir: str | os.PathLike[str] | None = None,
    *,
    level: int | str = "INFO",
    console: Literal["plain", "json"] | None = "plain",
    events: int | str | None = "WARNING",
    file_bytes_max: int = FILE_BYTES_MAX,
    files_kept: int = FILES_KEPT,
) -> dict[str, Any]:
    """A dict for ``LOGGING``: lines on the console, in ``dir`` the files ``app.log``, ``api.log``, ``audit.log`` and ``login.log``, and events.

    ``level`` is that of the root logger. ``events`` is the level from which on lines are recorded as events too, ``None`` for never. Files
    are JSON, rolled over at ``file_bytes_max`` (bytes, default 10 MiB) and kept ``files_kept`` times (default 5). Loggers that exist stay
    as they are, and the dict can be changed like any other.

    Example:
        >>> LOGGING = indelible.logging.logging_config("/var/log/clinic", console="json")
    """
    handlers: dict[str, dict[str, Any]] = {}
    if console is not None:
        handlers["console"] = {"class": "logging.StreamHandler", "formatter": console, "filters": ["context"]}
    if dir is not None:
        for kind in ("app", *_KINDS.values()):
            handlers[kind] = {
                "()": "indelible.logging.RotatingFile",
                "filename": str(Path(dir) / f"{kind}.log"),
                "maxBytes": file_bytes_max,
                "backupCount": files_kept,
                "formatter": "json",
                "filters": ["context", f"only_{kind}"],
            }
    if events is not None:
        handlers["events"] = {"()": "indelible.logging.EventHandler", "level": events}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "indelible.logging.JsonFormatter"}, "plain": {"()": "indelible.logging.PlainFormatter"}},
        "filters": {
            "context": {"()": "indelible.logging.ContextFilter"},
            **{f"only_{kind}": {"()": "indelible.logging.KindFilter", "kind": kind} for kind in ("app", *_KINDS.values())},
        },
        "handlers": handlers,
        "root": {"level": level, "handlers": list(handlers)},
    }


class ContextFilter(logging.Filter):
    """Puts ``request_id``, ``trace_id`` and ``actor_id`` on every record, empty where there is none; lets all pass.

    For formats of your own: ``"%(levelname)s %(request_id)s %(message)s"``. It costs no query: the actor is the one known by then.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds what the record does not have yet."""
        known = _known(record)
        for name in _FACTS:
            record.__dict__.setdefault(name, known[name])
        return True


class KindFilter(logging.Filter):
    """Lets the records of one kind pass: ``audit``, ``api``, ``login`` by their level, all others are ``app``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is of the kind."""
        return _KINDS.get(record.levelno, "app") == self.kind


class PlainFormatter(logging.Formatter):
    """Lines for people: time in UTC, level, logger, request id, text; redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback where there is one."""
        known = _known(record)
        fields = (_utc(record), f"{record.levelname:<8}", record.name, f"[{known['request_id'] or '-'}]", _message(record))
        line = " ".join(fields)
        for text in (_traceback(record), record.stack_info):
            if text:
                line += "\n" + text
        redactor = _runtime.runtime().redactor()
        return _unredacted(record) if redactor is None else redactor.text(line)


class JsonFormatter(logging.Formatter):
    """Lines for machines: one JSON object, redacted by name and by value.

    ``timestamp`` (UTC), ``level``, ``name``, ``message``, ``log_type`` (``audit``, ``api``, ``login``, ``app``, in a worker ``celeryworker`` or
    ``celerybeat``), ``request_id``, ``trace_id``, ``actor_id``, then what the kind has, then other extras in ``extra``. Values are written as in
    events.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line of at most ``LINE_CHARACTERS_MAX``."""
        redactor = _runtime.runtime().redactor()
        if redactor is None:
            return json.dumps({**_head(record), "message": _unredacted(record)})
        head = _head(record)
        line = redactor.members({**head, **_tail(record)})
        if len(line) <= LINE_CHARACTERS_MAX:
            return line
        message = _message(record)[: _lines.MESSAGE_CHARACTERS_MAX]
        return redactor.members({**head, "message": message, "truncated": {"characters": len(line)}})


class RotatingFile(logging.handlers.RotatingFileHandler):
    """A file that is rolled over at ``maxBytes`` (default 10 MiB) and kept ``backupCount`` times (default 5), by any number of processes.

    Each process notices when another one has rolled the file over, and writes to the new one. The folder is made on first use. Written at once
    and in the calling thread, so that nothing is lost in a forked child or at the end.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        mode: str = "a",
        maxBytes: int = FILE_BYTES_MAX,
        backupCount: int = FILES_KEPT,
        encoding: str | None = "utf-8",
        delay: bool = True,
        errors: str | None = "backslashreplace",
    ) -> None:
        super().__init__(filename, mode, maxBytes, backupCount, encoding, delay, errors)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record to the file that has the name now."""
        if self.stream is not None and not self._is_current(self.stream):
            self.stream.close()
            self.stream = None
        super().emit(record)

    def doRollover(self) -> None:
        """Rolls the file over, unless another process has done it by now or does it longer than ``ROLL_PATIENCE_S``."""
        with _alone(f"{self.baseFilename}.lock") as alone:
            if alone and self._is_current(self.stream):
                super().doRollover()

    def _open(self) -> Any:
        os.makedirs(os.path.dirname(self.baseFilename), exist_ok=True)
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=_private)

    def _is_current(self, stream: TextIO | None) -> bool:
        if stream is None or stream.closed:
            return False
        try:
            return os.path.samestat(os.fstat(stream.fileno()), os.stat(self.baseFilename))
        except OSError:
            return False


class EventHandler(logging.Handler):
    """Records lines as events of kind ``log``: ``log.error`` and its like, with text, place, extras and traceback, redacted and bounded.

    It costs no query, records no line of our own logger, and never raises; see ``docs/tasks-and-logs.md``.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Records one line."""
        try:
            self._record(record)
        except Exception as fault:
            _runtime.runtime().fault("EventHandler", fault)

    def _record(self, record: logging.LogRecord) -> None:
        raised = record.exc_info[1] if record.exc_info else None
        _lines.record_line(
            record.name,
            record.levelno,
            record.levelname.lower(),
            _message(record),
            extra=_extras(record),
            place={"file": record.pathname, "line": record.lineno, "function": record.funcName},
            error=None if raised is None else (type(raised).__qualname__, _lines.shown(raised)),
            traceback=_traceback(record),
        )


def _known(record: logging.LogRecord) -> dict[str, str]:
    """Request, trace and actor of a record: those it carries already, else those of the moment."""
    if all(name in record.__dict__ for name in _FACTS):
        return {name: record.__dict__[name] for name in _FACTS}
    try:
        facts = _context.known_facts()
    except Exception as error:
        _runtime.runtime().fault("the context of a log line", error)
        return dict.fromkeys(_FACTS, "")
    actor = facts.actor.get("id")
    return {"request_id": facts.request_id or "", "trace_id": facts.trace_id or "", "actor_id": "" if actor is None else str(actor)}


def _head(record: logging.LogRecord) -> dict[str, Any]:
    kind = _KINDS.get(record.levelno, "app")
    if kind == "app":
        kind = {"worker": "celeryworker", "beat": "celerybeat"}.get(_runtime.runtime().settings.process_kind, kind)
    head = {"timestamp": _utc(record), "level": record.levelname, "name": record.name, "message": "", "log_type": kind}
    return {**head, **_known(record), "filename": record.filename, "line": record.lineno, "func_name": record.funcName}


def _tail(record: logging.LogRecord) -> dict[str, Any]:
    extras = _extras(record)
    tail: dict[str, Any] = {"message": _message(record)}
    tail.update({name: extras.pop(name) for name in _MEMBERS.get(_KINDS.get(record.levelno, ""), ()) if name in extras})
    if (exception := _traceback(record)) is not None:
        tail["exception"] = exception
    if record.stack_info:
        tail["stack"] = record.stack_info
    if extras:
        tail["extra"] = extras
    return tail


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN}


def _utc(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # Arguments that do not fit are the application's mistake; the line is worth keeping.
        return f"{_lines.shown(record.msg)} {_lines.shown(record.args)}"


def _unredacted(record: logging.LogRecord) -> str:
    """What can be said without the native module: the text without anything put into it."""
    return f"{record.msg!s} (values left out: the native module is not installed)"


def _traceback(record: logging.LogRecord) -> str | None:
    if record.exc_info and record.exc_info[1] is not None:
        return "".join(traceback.format_exception(*record.exc_info)).rstrip()
    return record.exc_text


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o640)


@contextmanager
def _alone(path: str) -> Iterator[bool]:
    """Whether this process got the lock in time; it is given back at the end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        yield _locked(descriptor, time.monotonic() + ROLL_PATIENCE_S)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)
        else:
            return True
