"""Which requests are recorded, and what is read of their headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from indelible import _runtime
from indelible.django.conf._given import Given, Invalid, Site, did_you_mean, kind, known_keys, names, words
from indelible.django.conf._schema import RequestPolicy

LEVELS: Final = _runtime.LEVELS
USERS: Final = ("anonymous", "authenticated", "staff")
CONDITIONS: Final = ("route", "path", "method", "status", "user", "extension")


def requests(given: Given, site: Site) -> RequestPolicy:
    """How much of which request is recorded (``REQUESTS``, default ``{"level": "metadata", "rules": [], "include": [], "exclude": []}``).

    Levels are ``none``, ``metadata``, ``request`` (headers and body too) and ``request_response`` (the answer's too). The first rule of which
    all conditions hold wins: ``route`` or ``path`` (patterns with ``*``), ``method``, ``status`` (``404``, ``"5xx"``, ``"400-499"``), ``user``
    (``anonymous``, ``authenticated``, ``staff``) and ``extension`` (``".css"``), each of the last four also as a list. With ``include`` only
    requests are recorded whose route or path matches one of its patterns; what matches one of ``exclude`` never is.
    """
    value = given.mapping()
    known_keys(value, ("level", "rules", "include", "exclude"))
    rules = value.get("rules", [])
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        raise Invalid(f"'rules' must be a list, not {kind(rules)}")
    return RequestPolicy(
        _level(value.get("level", "metadata")),
        tuple(_rule(rule) for rule in rules),
        names(value.get("include", ())),
        names(value.get("exclude", ())),
    )


def outbound(given: Given, site: Site) -> str:
    """How much of a call to another service is recorded (``OUTBOUND``, default ``{"level": "metadata"}``).

    It holds for the clients of ``indelible.http`` and ``indelible.sftp`` that are not made with a level of their own.
    """
    value = given.mapping()
    known_keys(value, ("level",))
    return _level(value.get("level", "metadata"))


def trusted_proxy_count(given: Given, site: Site) -> int:
    """How many proxies in front of Django are ours (``TRUSTED_PROXY_COUNT``, default 0).

    The client address is taken that many entries from the right of ``X-Forwarded-For``. With 0 the header is ignored and the peer's
    address is used, since a client can write anything into the header.
    """
    return given.integer(0, minimum=0)


def request_id_header(given: Given, site: Site) -> str:
    """The header that carries the request id in and out (``REQUEST_ID_HEADER``, default ``"X-Request-ID"``)."""
    value = given.text("X-Request-ID")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise Invalid(f"{value!r} is not the name of a header", "Use letters, digits and '-', as in 'X-Request-ID'.")
    return value


def _level(value: Any) -> str:
    if value not in LEVELS:
        raise Invalid(f"level {value!r} is not one of {words(LEVELS)}", did_you_mean(str(value), LEVELS))
    return str(value)


def _rule(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or "level" not in value:
        raise Invalid(f"a rule must be a dict with a 'level', not {value!r}")
    known_keys(value, (*CONDITIONS, "level"))
    rule = {key: _condition(key, given) for key, given in value.items()}
    if len(rule) == 1:
        raise Invalid(f"the rule {value!r} matches by nothing", "Give it a 'route', a 'path' or a 'method'.")
    for key, check in _WORDS.items():
        for word in rule.get(key, "").split(",") if key in rule else ():
            check(word.strip())
    _level(rule["level"])
    return MappingProxyType(rule)


def _condition(key: str, given: Any) -> str:
    """A condition as text, with commas where it is a list."""
    if key in _WORDS:
        several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        if all(isinstance(item, str) or (key == "status" and type(item) is int) for item in several):
            return ",".join(map(str, several))
    if not isinstance(given, str):
        raise Invalid(f"{key!r} of a rule must be a string, not {kind(given)}")
    return given


def _method(word: str) -> None:
    if not re.fullmatch("[A-Za-z-]+", word):
        raise Invalid(f"{word!r} is not an HTTP method")


def _status(word: str) -> None:
    if not re.fullmatch(r"[1-9]\d\d(\s*-\s*[1-9]\d\d)?|[1-9][xX]{2}", word):
        raise Invalid(f"{word!r} is not a status", "Write 404, '5xx' or '400-499'.")


def _user(word: str) -> None:
    if word not in USERS:
        raise Invalid(f"{word!r} is not one of {words(USERS)}", did_you_mean(word, USERS))


def _extension(word: str) -> None:
    if not re.fullmatch(r"\.?[^./*,]+", word):
        raise Invalid(f"{word!r} is not an extension", "Write one like '.css'.")


_WORDS: Final[Mapping[str, Callable[[str], None]]] = MappingProxyType(
    {"method": _method, "status": _status, "user": _user, "extension": _extension}
)
