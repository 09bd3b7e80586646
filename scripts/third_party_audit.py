"""Puts Indelible into the site that somebody else's tests run in: app, middleware, every model, both bodies of every request.

``scripts/third-party-suites`` starts the suites through this module, with or without ``AUDITED=1``:

    python -m third_party_audit pytest ARGUMENTS…
    python -m third_party_audit PROGRAM.py ARGUMENTS…

At the end it writes to the file ``AUDIT_REPORT`` what was recorded, as JSON.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import runpy
import sys
from typing import Any

OURS: dict[str, Any] = {
    "SERVICE": "suite",
    "AGENT": "external",
    "REQUESTS": {"level": "request_response"},
    "MODELS": "all",
    "ON_ERROR": os.environ.get("AUDIT_ON_ERROR", "degrade"),
    # A suite runs in one process, and nobody fetches its journal until it has ended.
    "LIMITS": {"journal_bytes": 8 << 30},
}


class Faults(logging.Handler):
    """Keeps what Indelible says about faults of its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        self.messages.append(message)


def install() -> None:
    """Adds the app and the middleware to whatever settings ``django.setup`` finds."""
    import django

    from indelible import _runtime

    # Imported before `report` is registered, so that the journal is still open when it is asked.
    assert _runtime
    original = django.setup

    def setup(set_prefix: bool = True) -> None:
        from django.conf import settings

        if "indelible.django" not in settings.INSTALLED_APPS:
            settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "indelible.django"]
            settings.MIDDLEWARE = ["indelible.django.AuditMiddleware", *settings.MIDDLEWARE]
            settings.INDELIBLE = OURS
        original(set_prefix)

    django.setup = setup
    faults = Faults()
    logging.getLogger("indelible").addHandler(faults)
    owner = os.getpid()

    def report() -> None:
        from indelible import health

        if os.getpid() == owner and "AUDIT_REPORT" in os.environ:
            with open(os.environ["AUDIT_REPORT"], "w", encoding="utf-8") as file:
                json.dump({"health": health(), "faults": faults.messages}, file)

    atexit.register(report)


def main() -> None:
    if os.environ.get("AUDITED") == "1":
        install()
    program = sys.argv[1]
    sys.argv = sys.argv[1:]
    if program == "pytest":
        import pytest

        sys.exit(pytest.main(sys.argv[1:]))
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
