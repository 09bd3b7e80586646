"""Addresses of this site in headers: the ``Referer`` of a request, the ``Location`` of an answer.

What the path of a request loses, such as the token of a link for a new password, they lose as well: their path is resolved as that of a request
is, and the values of parameters whose names are masked are taken out of it. Addresses of other sites are left to the detectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Number
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
    """The address without the values of parameters whose names are masked, such as the token of a password reset.

    A number goes where it is a whole segment or a whole value of the query: its digits stand in other things as well.
    """
    values = [parameters[name] for name in runtime.masked_names(tuple(parameters))]
    numbers = [str(value) for value in values if isinstance(value, Number)]
    texts = [str(value) for value in values if value is not None and not isinstance(value, Number)]
    return _without(_without(text, texts), numbers, whole=True)


def masked_path(path: str, target: Target, runtime: _runtime.Runtime) -> str:
    """The path, or an address that holds it, without what stands for the parameters of its view whose names are masked.

    A converter may make anything of what stands there, also another text: so the segments go that the route has for them, and besides the
    values wherever they stand. Where the segments cannot be told, the route stands for the path.
    """
    values = {name: target.parameters[name] for name in runtime.masked_names(tuple(target.parameters))}
    values = {name: value for name, value in values.items() if not (value is None or (isinstance(value, str) and value == ""))}
    if not values:
        return path
    texts = [value for value in values.values() if isinstance(value, str)]
    template, info = _routes.template(target.route), target.info.rstrip("/")
    shapes = template.rstrip("/").split("/")
    places = {place for place, shape in enumerate(shapes) if any(re.search(rf":{re.escape(name)}(?!\w)", shape) for name in values)}
    if not places:
        return _without(path, texts)
    before, found, behind = path.partition(info) if info else (path, "", "")
    # A value with slashes of its own is one segment once it is masked.
    for segments in (info.split("/"), _without(info, texts).split("/")):
        if found and len(segments) == len(shapes):
            shown = (MASK if place in places else _without(segment, texts) for place, segment in enumerate(segments))
            return _without(before, texts) + "/".join(shown) + _without(behind, texts)
    return template


def _without(text: str, values: list[str], *, whole: bool = False) -> str:
    """The text without these values, in one go: none is looked for in the mask of another."""
    written = {form for value in values if value for form in (value, quote(value, safe=""))}
    if not written:
        return text
    pattern = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
    return re.sub(rf"(?<![^/?&=])(?:{pattern})(?![^/?&#])" if whole else pattern, lambda _: MASK, text)


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
