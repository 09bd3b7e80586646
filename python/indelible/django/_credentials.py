"""What credentials and sessions say about the actor beside the user: the claims of a token, and who impersonates whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from indelible import _context

_CLAIMS: Final = ("user_id", "sub", "uid")
"""Names under which tokens carry the id of their user, in the order in which they are asked for."""
_ID_CHARACTERS_MAX: Final = 256
_HIJACK_HISTORY: Final = "hijack_history"


def claimed_id(request: Any) -> str | None:
    """The id that the accepted token of a request claims, whatever its form; ``None`` without such a token.

    The authenticator of the application verified it: here it is only read.
    """
    credential = getattr(request, "auth", None)
    claims = getattr(credential, "payload", credential)
    if not isinstance(claims, Mapping):
        return None
    found = next((claims[name] for name in _CLAIMS if claims.get(name) not in (None, "")), None)
    return None if found is None else str(found)[:_ID_CHARACTERS_MAX]


def impersonator(request: Any, fields: Any) -> Mapping[str, Any] | None:
    """Who is at the keyboard while the user of the request is somebody else, as django-hijack and django-impersonate say it."""
    members = request.__dict__
    real = members.get("impersonator")
    if real is not None and getattr(real, "is_authenticated", False):
        return _context.user_actor(real, fields)
    session = members.get("session")
    if session is None:
        return None
    # Only a session that was read already: looking must not cost a query.
    read = getattr(session, "__dict__", {}).get("_session_cache")
    history = read.get(_HIJACK_HISTORY) if isinstance(read, dict) else None
    if isinstance(history, list) and history:
        # The first is the one who logged in; the others were impersonated in between.
        return {"type": "user", "id": str(history[0])[:_ID_CHARACTERS_MAX]}
    return None
