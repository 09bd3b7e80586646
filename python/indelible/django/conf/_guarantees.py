"""What a recorded event survives, what happens when it cannot be recorded, and every bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from indelible import _modes
from indelible.django.conf._given import Given, Invalid, Site, integer, known_keys

LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "body_bytes": 16_384,
        "event_bytes": 262_144,
        "journal_bytes": 1 << 30,
        "transaction_bytes": 16 << 20,
        "transaction_events": 65_536,
    }
)


def evidence(given: Given, site: Site) -> str:
    """How a commit is known after a crash (``EVIDENCE``, default ``"ack"``).

    With ``"ack"`` nothing is written to the database; what was in flight when a process died is recorded as in doubt. ``"marker"`` writes one
    small row as the last statement of each transaction, by which that is found out. ``"outbox"`` writes the events themselves into that
    row instead of the journal, for hosts without a durable disk. Both need the app ``indelible.django.evidence``.
    """
    return given.choice("ack", ("ack", "marker", "outbox"))


def collector(given: Given, site: Site) -> str:
    """The agent of another host that an outbox is drained to (``COLLECTOR``, default ``""``: the journal of this host).

    An address with ``https``; with ``http`` only one of loopback, where something else encrypts. The token is none of the settings: it is in the
    environment of the drainer, as ``INDELIBLE_COLLECTOR_TOKEN``.
    """
    value = given.text("")
    if value and (fault := _fault_of_address(value)):
        raise Invalid(fault, "Write an address such as 'https://trail.example.org'.")
    return value


def _fault_of_address(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no address: {error}"
    if not host or parts.scheme not in ("http", "https") or any(character.isspace() for character in url):
        return "is no address"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "must be an address and nothing else: no user, no password, no query"
    if parts.scheme == "http" and host not in ("127.0.0.1", "::1", "localhost"):
        return "must begin with https://, since events and a token go there"
    return None


def durability(given: Given, site: Site) -> str:
    """What a recorded event survives (``DURABILITY``): ``"buffered"`` (default) a crash of the process, ``"synced"`` one of the machine."""
    return given.choice("buffered", ("buffered", "synced"))


def on_failure(given: Given, site: Site) -> _modes.OnFailure:
    """What happens when the journal takes no event (``ON_FAILURE``, default ``"standard"``).

    ``"standard"`` waits at most 50 ms, then counts the loss; ``"required"`` waits and then refuses the write before COMMIT;
    ``"best_effort"`` counts the loss at once. A dict has a mode for kinds of events (``"change"``), models (``"clinic.Patient"``, which
    count before the kind) and ``"default"``; the events of one transaction share the strictest mode among them.
    """
    value = given.word_or_mapping(_modes.DEFAULT)
    try:
        return _modes.checked(value)
    except _modes.Mistake as mistake:
        raise Invalid(str(mistake), mistake.hint) from mistake


def on_error(given: Given, site: Site) -> str:
    """What a fault in a hook does (``ON_ERROR``): ``"degrade"`` (default) logs it and goes on, ``"raise"`` is for tests."""
    return given.choice("degrade", ("degrade", "raise"))


def on_audit_error(given: Given, site: Site) -> Callable[..., Any] | None:
    """Dotted path of ``f(exc, event)`` that is told about every fault of ours and every loss (``ON_AUDIT_ERROR``, default none).

    ``event`` is a mapping of what is known: ``where`` it happened, and the ``request_id`` inside a request. It is for alerts: what it
    answers is ignored, and what it raises is logged.
    """
    return given.function()


def limits(given: Given, site: Site) -> Mapping[str, int]:
    """Bounds (``LIMITS``), each a number of bytes or events.

    ``body_bytes`` 16,384 of one body of a request or response, ``event_bytes`` 262,144 of one event, ``journal_bytes`` 1 GiB of one stream, ``transaction_bytes`` 16 MiB and ``transaction_events`` 65,536
    held for one open transaction.
    """
    value = given.mapping()
    known_keys(value, tuple(LIMITS))
    return MappingProxyType({**LIMITS, **{key: integer(number, 1, key) for key, number in value.items()}})
