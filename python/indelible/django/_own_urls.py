"""Addresses of this site in headers: the ``Referer`` of a request, the ``Location`` of an answer.

What the path of a request loses, such as the token of a link for a new password, they lose as well: their path is resolved as that of a request
is, and the values of parameters whose names are masked are taken out of it. Addresses of other sites are left to the detectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from django.urls import Resolver404, resolve

from indelible import _runtime
from indelible.django import _routes

MASK: Final = "[masked]"

_URL_LENGTH_MAX: Final = 8192
"""Longer ones are not resolved: no view of ours has such an address."""


class Target(NamedTuple):
    """What a path leads to: the path below the site's prefix, the route of its view, and what the view is given of it."""

    info: str
    route: str
    parameters: Mapping[str, Any]


NOWHERE: Final = Target("", "", {})


def without_secrets(text: str, parameters: Mapping[str, Any], runtime: _runtime.Runtime) -> str:
    """The text without the values of parameters whose names are masked, such as the token of a password reset."""
    for name in runtime.masked_names(tuple(parameters)):
        text = _without(text, parameters[name])
    return text


def masked_path(path: str, target: Target, runtime: _runtime.Runtime) -> str:
    """The path, or an address that holds it, without what stands for the parameters of its view whose names are masked.

    A converter may make anything of what stands there: then the segment goes that the route has for it, and where that cannot be told the
    route stands for the path.
    """
    for name in runtime.masked_names(tuple(target.parameters)):
        value = target.parameters[name]
        without = _without(path, value) if isinstance(value, str) else path
        path = _without_segments(path, target, name) if without == path and value not in (None, "") else without
    return path


def _without(text: str, value: Any) -> str:
    written = "" if value is None else str(value)
    return text.replace(written, MASK).replace(quote(written, safe=""), MASK) if written else text


def _without_segments(path: str, target: Target, name: str) -> str:
    template = _routes.template(target.route)
    shapes, segments = template.split("/"), target.info.split("/")
    places = [place for place, shape in enumerate(shapes) if re.search(rf":{re.escape(name)}(?!\w)", shape)]
    if not places:
        return path
    if len(shapes) != len(segments):
        # Some value has slashes of its own.
        return template
    for place in places:
        segments[place] = MASK
    return path.replace(target.info, "/".join(segments)) if target.info in path else template


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
    prefix = request.path.removesuffix(request.path_info)
    found = target_of(unquote(target.path), request)
    # The same as it stands in the address.
    return masked_path(url, found._replace(info=target.path.removeprefix(quote(prefix))), runtime)


def target_of(path: str, request: Any) -> Target:
    """What ``path`` leads to, with a slash added where it is needed; nothing where there is no view."""
    info = path.removeprefix(request.path.removesuffix(request.path_info))
    for candidate in (info, f"{info}/"):
        try:
            match = resolve(candidate, getattr(request, "urlconf", None))
        except Resolver404:
            continue
        except Exception:
            # A converter of the site's own, asked about a path that nobody requested.
            return NOWHERE
        return Target(candidate, match.route, match.kwargs)
    return NOWHERE
