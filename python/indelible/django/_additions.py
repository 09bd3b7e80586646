"""What a site's settings add to events of requests: members from headers, and what its own functions answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from indelible import _runtime
from indelible._finish import FAULTS

HEADER_CHARACTERS_MAX = 256


def from_headers(meta: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Members of ``meta`` from the headers that ``META_HEADERS`` names, as far as the request has them."""
    found = ((key, meta.get("HTTP_" + header.upper().replace("-", "_"))) for header, key in headers.items())
    return {key: str(value)[:HEADER_CHARACTERS_MAX] for key, value in found if value}


def from_answer(
    extra: Callable[[Any, Any], Mapping[str, Any] | None], request: Any, response: Any, notes: list[str]
) -> Mapping[str, Any] | None:
    """What ``EXTRA`` answers about a request and its response; a fault is noted."""
    try:
        answer = extra(request, response)
        return None if answer is None else dict(answer)
    except FAULTS as error:
        notes.append(f"EXTRA failed: {type(error).__qualname__}")
        _runtime.runtime().fault("EXTRA", error)
        return None


def said(answer: Callable[..., Mapping[str, Any]], *args: Any) -> Mapping[str, Any]:
    """What an ``audit_meta`` answers; nothing where it fails, which is counted."""
    try:
        return dict(answer(*args))
    except FAULTS as error:
        _runtime.runtime().fault("audit_meta()", error)
        return {}


def skips(skip: Callable[[Any], Any], request: Any, notes: list[str]) -> bool:
    """Whether ``SKIP`` leaves a request out; where it fails, the request is recorded with a note."""
    try:
        return bool(skip(request))
    except FAULTS as error:
        notes.append(f"SKIP failed: {type(error).__qualname__}")
        _runtime.runtime().fault("SKIP", error)
        return False
