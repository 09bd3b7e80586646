"""What the status of an answer says of the outcome: of our own requests, of those of others, and of what only a server's log saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from indelible._types import Outcome

_DENIED: Final = frozenset({401, 403, 429})


def outcome_of_status(status: int) -> Outcome:
    """``success`` below 400, ``denied`` for 401, 403 and 429, else ``failure``."""
    if status < 400:
        return "success"
    return "denied" if status in _DENIED else "failure"
