"""Bodies and headers, for requests whose level asks for them. Nothing is ever read for us: we see what the application reads and sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from indelible import _runtime

if TYPE_CHECKING:
    from indelible import _native

_SET_COOKIE: Final = ("set-cookie", "")
"""Whether cookies were set is worth knowing, which ones is not: the native module masks the value."""


def tap(request: Any, body_bytes: int) -> _native.BodyTap | None:
    """Puts a tap on the stream that the body of ``request`` is read from; ``None`` where there is no body, or it has been read already.

    The tap passes every call on and changes no answer. What Django itself refuses to read, such as a body over
    ``DATA_UPLOAD_MAX_MEMORY_SIZE``, is not read.
    """
    meta = request.META
    if meta.get("CONTENT_LENGTH") in (None, "", "0") and not meta.get("HTTP_TRANSFER_ENCODING"):
        return None
    native = _runtime.runtime().native()
    stream = request.__dict__.get("_stream")
    if native is None or stream is None or getattr(request, "_read_started", True):
        return None
    encoded = meta.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity"
    found: _native.BodyTap = native.BodyTap(stream, meta.get("CONTENT_TYPE") or "", body_bytes, encoded)
    request._stream = found
    return found


def response_capture(response: Any, body_bytes: int) -> _native.Body | None:
    """What the chunks of a streamed response are pushed into; ``None`` without the native module."""
    native = _runtime.runtime().native()
    if native is None:
        return None
    encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    found: _native.Body = native.Body(response.headers.get("Content-Type", ""), body_bytes, encoded)
    return found


def response_headers(response: Any) -> list[tuple[str, str]]:
    """Names and values of the headers of a response."""
    headers = list(response.headers.items())
    if response.cookies:
        headers.append(_SET_COOKIE)
    return headers
