"""The words and shapes that Python hands to the native module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from indelible import _native

Kind: TypeAlias = Literal["request", "change", "read", "auth", "action", "outbound", "task", "log", "audit"]
Outcome: TypeAlias = Literal["success", "failure", "denied", "aborted"]
Verb: TypeAlias = Literal["create", "update", "delete", "upsert"]


class ActorParts(TypedDict, total=False):
    """The actor; ``type`` is required, ``id`` is turned into text."""

    type: Literal["user", "service", "system", "anonymous", "unresolved"]
    id: Any
    label: str | None
    auth: str | None
    session: str | None
    on_behalf_of: ActorParts | None
    roles: Sequence[str]


class ResourceParts(TypedDict, total=False):
    """What was acted upon; ``id`` is turned into text, ``label`` is cut to 256 bytes."""

    type: str
    id: Any
    label: str | None
    related: Sequence[ResourceParts]


class RequestParts(TypedDict, total=False):
    """A request as far as policy allows; path, query, headers and user agent are redacted here."""

    id: str | None
    method: str | None
    route: str | None
    path: str | None
    query: str | None
    status: int | None
    duration_us: int | None
    client_ip: str | None
    user_agent: str | None
    headers: Mapping[str, str] | None
    body: _native.Body | str | None
    """What was captured, or why nothing was."""
    response_headers: Mapping[str, str] | None
    response: _native.Body | str | None
    response_bytes: int | None


class ChangeParts(TypedDict, total=False):
    """One changed field for ``Recorder.event``; a missing ``old`` or ``new`` is ``UNKNOWN``."""

    field: str
    old: Any
    new: Any
