"""Why somebody does something, as the request says it: in a header, or in a field of a form that the application has read."""

from __future__ import annotations

import functools
from typing import Any, Final

from indelible.django.conf import Settings

REASON_CHARACTERS_MAX: Final = 1000
"""What is kept of a reason."""


def of(request: Any, settings: Settings) -> str | None:
    """The reason that a request gives, in its header or else in the form that the application has read."""
    reason = in_header(request, settings) if settings.reason_header else None
    if reason is None and settings.reason_field:
        return in_form(request, settings)
    return reason


def in_header(request: Any, settings: Settings) -> str | None:
    """The reason in the header that ``REASON_HEADER`` names."""
    if not settings.reason_header:
        return None
    value = request.META.get(_key(settings.reason_header))
    return None if value is None else cut(_decoded(value))


def in_form(request: Any, settings: Settings) -> str | None:
    """The reason in the form field that ``REASON_FIELD`` names, if the application has read the form already.

    Reading it for the reason's sake would take a body away from a view that streams it.
    """
    form = request.__dict__.get("_post")
    return None if form is None or not settings.reason_field else in_data(form, settings)


def in_data(data: Any, settings: Settings) -> str | None:
    """The reason among the members of a body that was read."""
    value = data.get(settings.reason_field) if settings.reason_field and hasattr(data, "get") else None
    return cut(value) if isinstance(value, str) else None


def cut(value: str) -> str | None:
    """The text of a reason, ``None`` when it says nothing."""
    return value.strip()[:REASON_CHARACTERS_MAX] or None


@functools.lru_cache(maxsize=8)
def _key(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"


def _decoded(value: str) -> str:
    # Servers hand over the bytes of a header as Latin-1; browsers send UTF-8.
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
