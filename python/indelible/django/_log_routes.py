"""Where lines of the levels AUDIT, API and LOGIN go beside the files and events that they are meant for."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from collections.abc import Iterator
from typing import Any, Final

from indelible.logging import AUDIT, LOGIN, EventHandler, KindFilter

_TRACKERS: Final = ("sentry_sdk", "raven", "rollbar", "bugsnag", "airbrake", "honeybadger", "elasticapm", "newrelic", "logtail")
"""Packages whose handlers send lines to a service that collects errors."""

_MAILING: Final = (logging.handlers.SMTPHandler, logging.handlers.HTTPHandler)

_KEPT: Final = frozenset({"audit", "login"})


def leaving() -> list[str]:
    """What also gets the lines that this site keeps as audit lines, by name; empty where it keeps none."""
    handlers = list(_handlers())
    if not any(_keeps(handler) for handler in handlers):
        return []
    found = {f"{type(handler).__module__}.{type(handler).__qualname__}" for handler in handlers if _sends(handler)}
    if _sentry_reads_lines():
        found.add("sentry_sdk.integrations.logging")
    return sorted(found)


def _handlers() -> Iterator[logging.Handler]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            yield from logger.handlers


def _keeps(handler: logging.Handler) -> bool:
    return isinstance(handler, EventHandler) or any(isinstance(one, KindFilter) and one.kind in _KEPT for one in handler.filters)


def _sends(handler: logging.Handler) -> bool:
    is_outward = type(handler).__module__.split(".")[0] in _TRACKERS or isinstance(handler, _MAILING)
    takes_audit_lines = handler.level <= max(AUDIT, LOGIN) and not any(isinstance(one, KindFilter) for one in handler.filters)
    return is_outward and takes_audit_lines


def _sentry_reads_lines() -> bool:
    """Whether Sentry's own integration looks at every logger, which needs no handler."""
    sentry: Any = sys.modules.get("sentry_sdk")
    try:
        return sentry is not None and sentry.get_client().get_integration("logging") is not None
    except Exception:
        # Another version, or one that was never set up.
        return False
