"""Addresses of this site in headers: the ``Referer`` of a request, the ``Location`` of an answer.

What the path of a request loses, such as the token of a link for a new password, they lose as well: their path is resolved as that of a request
is, and the values of parameters whose names are masked are taken out of it. Addresses of other sites are left to the detectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from django.urls import Resolver404, resolve

from indelible import _runtime

MASK: Final = "[masked]"

_URL_LENGTH_MAX: Final = 8192
"""Longer ones are not resolved: no view of ours has such an address."""


def without_secrets(path: str, parameters: Mapping[str, Any], runtime: _runtime.Runtime) -> str:
    """The path without the values of parameters whose names are masked, such as the token of a password reset."""
    for name in runtime.masked_names(tuple(parameters)):
        if value := parameters[name]:
            path = path.replace(str(value), MASK).replace(quote(str(value), safe=""), MASK)
    return path


def request_meta(request: Any, runtime: _runtime.Runtime) -> dict[str, Any]:
    """The request's ``META``, or a copy of it where its ``Referer`` holds what is masked in paths."""
    meta: dict[str, Any] = request.META
    referer = meta.get("HTTP_REFERER")
    if not referer:
        return meta
    masked = masked_url(str(referer), request, runtime)
    return meta if masked == referer else {**meta, "HTTP_REFERER": masked}


def masked_url(url: str, request: Any, runtime: _runtime.Runtime) -> str:
    """An address without what is masked in its path, if it is one of this site; any other as it is."""
    if len(url) > _URL_LENGTH_MAX:
        return url
    try:
        target = urlsplit(urljoin(request.path, url))
    except ValueError:
        return url
    if target.netloc and target.netloc != request.META.get("HTTP_HOST", request.META.get("SERVER_NAME")):
        return url
    return without_secrets(url, parameters_of(unquote(target.path), request), runtime)


def parameters_of(path: str, request: Any) -> Mapping[str, Any]:
    """What the view at ``path`` would be given, with a slash added where it is needed; empty where there is none."""
    info = path.removeprefix(request.path.removesuffix(request.path_info))
    for candidate in (info, f"{info}/"):
        try:
            found: Mapping[str, Any] = resolve(candidate, getattr(request, "urlconf", None)).kwargs
        except Resolver404:
            continue
        except Exception:
            # A converter of the site's own, asked about a path that nobody requested.
            return {}
        return found
    return {}
