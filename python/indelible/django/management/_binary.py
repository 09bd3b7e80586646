"""The ``indelible`` binary with the data directory of this site."""

from __future__ import annotations

import os
from typing import Final

from django.core.management.base import CommandError

from indelible import _agent
from indelible.django import conf

PASSED_ON: Final = {
    "search": "search the trail of this site",
    "tail": "follow the trail of this site",
    "show": "show one record with its leaf",
    "timeline": "show everything that happened to one resource",
    "trace": "show one request and everything that it caused",
    "actor": "show what somebody did",
    "link": "print a link that opens the pages once",
    "verify": "recompute the trail of this site from its stored bytes",
    "doctor": "check the host and the data directory of this site",
}
"""Commands of the binary that are run as they are: what follows their name is for the binary alone."""


class Failure(CommandError):
    """One cause and one command that helps."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(f"{cause}\n  Try: {cure}")


def pass_on(arguments: list[str]) -> None:
    """Replaces this process by the binary. Data directory and arguments are its only input."""
    try:
        program = _agent.binary()
    except _agent.AgentUnavailable as error:
        raise Failure(str(error), error.cure) from error
    os.execv(program, [str(program), "--data", str(conf.active().data_dir), *arguments])
