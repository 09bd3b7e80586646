"""Why somebody does something, as the request says it: in a header, or in a field of a form that the application has read."""

from __future__ import annotations

import functools
import weakref
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
    if not settings.reason_field:
        return None
    reason = in_data(request.__dict__.get("_post"), settings)
    return in_data(_read_by_api(request), settings) if reason is None else reason


def follow_api(api_request: Any) -> None:
    """Lets the reason be found in what the REST framework has parsed, as soon as it has: its parsers may be others than Django's."""
    api_request._request.indelible_api_request = weakref.ref(api_request)


def _read_by_api(request: Any) -> Any:
    api_request = request.__dict__.get("indelible_api_request", _nobody)()
    # `data` would parse the body; what it keeps is there once the view has asked for it.
    return None if api_request is None else api_request.__dict__.get("_full_data")


def _nobody() -> None:
    return None


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
