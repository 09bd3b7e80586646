"""Processors for structlog: lines that know their request, and lines as events. Your configuration stays yours: put them into your chain.

Example:
    >>> structlog.configure(processors=[..., indelible.structlog.add_context, indelible.structlog.RecordEvents("warning"), ...])
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any

from indelible import _context, _lines, _runtime

EventDict = MutableMapping[str, Any]

_LEVELS: Mapping[str, int] = {"exception": logging.ERROR, "warn": logging.WARNING, "fatal": logging.CRITICAL, "msg": logging.INFO}


def add_context(logger: Any, method: str, event_dict: EventDict) -> EventDict:
    """Adds ``request_id``, ``trace_id`` and ``actor_id`` where they are known; what the line says itself wins.

    It costs no query: the actor is the one known by then. structlog's context variables are neither read nor changed.
    """
    try:
        facts = _context.known_facts()
        known = {"request_id": facts.request_id, "trace_id": facts.trace_id, "actor_id": facts.actor.get("id")}
        for name, value in known.items():
            if value is not None:
                event_dict.setdefault(name, value)
    except Exception as error:
        _runtime.runtime().fault("structlog: add_context", error)
    return event_dict


class RecordEvents:
    """Records lines from ``level`` on as events of kind ``log`` and hands them on unchanged.

    Stands before whatever renders, and before ``format_exc_info``, which takes the exception away.
    """

    def __init__(self, level: str | int = "warning") -> None:
        self.level = _number(level) if isinstance(level, str) else level

    def __call__(self, logger: Any, method: str, event_dict: EventDict) -> EventDict:
        """Records the line if its level asks for it."""
        level = _number(method)
        if level >= self.level:
            try:
                _record(logger, level, dict(event_dict))
            except Exception as error:
                _runtime.runtime().fault("structlog: RecordEvents", error)
        return event_dict


def _record(logger: Any, level: int, members: dict[str, Any]) -> None:
    message, name = members.pop("event", ""), str(members.pop("logger", None) or getattr(logger, "name", None) or "structlog")
    raised = _exception(members.pop("exc_info", None))
    _lines.record_line(
        name,
        level,
        logging.getLevelName(level).lower(),
        _lines.shown(message),
        extra=members,
        error=None if raised is None else (type(raised).__qualname__, _lines.shown(raised)),
        traceback=None if raised is None else "".join(traceback.format_exception(raised)),
    )


def _number(method: str) -> int:
    method = method.lower()
    number = _LEVELS.get(method) or logging.getLevelName(method.upper())
    return number if isinstance(number, int) else logging.INFO


def _exception(exc_info: Any) -> BaseException | None:
    """The exception of a line, in any of the forms that structlog allows."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        raised: BaseException | None = exc_info[1]
        return raised
    return sys.exc_info()[1] if exc_info else None
