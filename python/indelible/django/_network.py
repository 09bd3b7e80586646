"""What the network says about a request: its id, its trace, the client's address."""

from __future__ import annotations

import functools
import os
import re
import socket
from collections.abc import Mapping
from typing import Any

_REQUEST_ID_CHARACTERS_MAX = 128
_REQUEST_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{_REQUEST_ID_CHARACTERS_MAX}}}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_MAPPED_PREFIX = "::ffff:"


def request_id(inbound: str | None) -> str:
    """The inbound request id when it is well formed, else a new one of 32 hexadecimal digits."""
    if inbound is not None:
        # Most ids are letters, digits and dashes: asking bytes for that costs a tenth of the pattern.
        if len(inbound) <= _REQUEST_ID_CHARACTERS_MAX and inbound.isascii() and inbound.replace("-", "").encode().isalnum():
            return inbound
        if _REQUEST_ID.fullmatch(inbound):
            return inbound
    return os.urandom(16).hex()


def trace_context(traceparent: str) -> tuple[str, str] | None:
    """Trace id and the caller's span id of a ``traceparent`` header, ``None`` when it is not valid (W3C Trace Context §3.2.2)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, rest = match.groups()
    # Later versions may append fields; version 00 has none and ff is forbidden.
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return trace_id, span_id


def client_ip(meta: Mapping[str, Any], trusted_proxies: int) -> str | None:
    """The client's address, ``None`` when there is none that is an address.

    With ``trusted_proxies`` the entry that many from the right of ``X-Forwarded-For``, the one that the outermost proxy of ours wrote. A
    shorter list has not passed through all of them, so nothing in it is believed and the peer's address stands.
    """
    address = meta.get("REMOTE_ADDR")
    header = meta.get("HTTP_X_FORWARDED_FOR") if trusted_proxies else None
    if header:
        forwarded = header.split(",")
        if len(forwarded) >= trusted_proxies:
            address = forwarded[-trusted_proxies]
    return _address(address) if address else None


@functools.lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    """The canonical form of an address, which may carry a port, brackets and a zone."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    if text.lower().startswith(_MAPPED_PREFIX) and "." in text:
        text = text[len(_MAPPED_PREFIX) :]
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return None
