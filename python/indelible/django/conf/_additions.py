"""What the site adds to events, beside what Indelible knows by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from indelible.django.conf._given import Given, Invalid, Site

_NEVER_META = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


def context(given: Given, site: Site) -> Callable[[Any], Mapping[str, Any] | None] | None:
    """Dotted path of ``f(request)`` whose mapping is added to ``meta`` of every event of the request (``CONTEXT``, default none)."""
    return given.function()


def meta_headers(given: Given, site: Site) -> Mapping[str, str]:
    """Request headers that become members of ``meta`` (``META_HEADERS``, default ``{}``): ``{"X-UI-App": "ui_app"}``.

    Every event of the request carries them, masked like everything else, each cut to 256 characters. A header that is not there adds
    nothing. What ``CONTEXT`` answers wins over them. Headers that carry credentials are refused.
    """
    value = given.mapping()
    for header, key in value.items():
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", header):
            raise Invalid(f"{header!r} is not the name of a header", "Use letters, digits and '-', as in 'X-UI-App'.")
        if header.lower() in _NEVER_META:
            raise Invalid(f"{header!r} carries credentials, which are never recorded")
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", key):
            raise Invalid(f"{key!r} is not usable as a key of 'meta'", "Use up to 64 letters, digits, '_', '.' and '-'.")
    return MappingProxyType(dict(value))


def extra(given: Given, site: Site) -> Callable[..., Mapping[str, Any] | None] | None:
    """Dotted path of ``f(request, response)`` whose mapping is added to ``meta`` of the request's own event (``EXTRA``, default none).

    ``response`` is ``None`` when the application raised. Of a streamed answer it is asked before the body is sent.
    """
    return given.function()


def masker(given: Given, site: Site) -> Callable[..., Any] | None:
    """Dotted path of ``f(value, path)`` that answers what is stored in place of a value (``MASKER``, default none).

    It sees what the built-in masking has left, value by value: texts, numbers and truth values of changes, ``meta``, request parts, ``reason``
    and the error's message. ``path`` is like ``"changes.ssn.new"`` or ``"request.body.card.number"``. A value that it answers unchanged stays; another
    text is stored after the detectors have looked at it; ``None``, anything else, and an exception store ``[masked]``. So it can mask more, never less.
    """
    return given.function()


def call_site(given: Given, site: Site) -> float:
    """The share of writes whose place in the code is recorded as ``source.code`` (``CALL_SITE``, ``0.0`` to ``1.0``, default ``0.0``).

    File, line and function of the first caller that is neither of Django nor of an installed package nor ours. With 0 nothing looks.
    """
    return given.share(0.0)


def formatters(given: Given, site: Site) -> bool:
    """Whether the module ``audit_formatters`` of every app is imported at the start (``FORMATTERS``, default ``True``)."""
    return given.boolean(True)
