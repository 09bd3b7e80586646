"""Transports of httpx whose calls are recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from indelible import _outbound, _runtime
from indelible._outbound import HttpCall

if TYPE_CHECKING:
    from typing_extensions import Self


class _Audited:
    """What both transports are made with."""

    def __init__(self, level: str | None, propagate: bool) -> None:
        _outbound.level_of(level)
        self._level = level
        self._propagate = propagate

    def begin(self, request: httpx.Request) -> HttpCall | None:
        if self._propagate:
            try:
                request.headers.update(_outbound.passed_on(request.headers))
            except Exception as fault:
                _runtime.runtime().fault("AuditedTransport", fault)
        level = _outbound.level_of(self._level)
        if level == "none":
            return None
        return HttpCall(request.method, str(request.url), request.headers, _content(request), level)


class AuditedTransport(httpx.BaseTransport):
    """A transport for ``httpx.Client`` that records each call. Answers and exceptions are those of the transport inside.

    ``transport``: what sends, default ``httpx.HTTPTransport()``. ``level`` and ``propagate`` as in :class:`AuditedSession`. An event ends
    when the body of its answer does, so its size is the true one as it was transferred; one whose body is neither read nor closed stays
    in doubt.

    Raises (from every call, before anything is sent):
        IndelibleError: with ``ON_FAILURE="required"``, when the journal does not take the event.

    Example:
        >>> client = httpx.Client(transport=AuditedTransport())
    """

    def __init__(self, transport: httpx.BaseTransport | None = None, *, level: str | None = None, propagate: bool = False) -> None:
        self._audited = _Audited(level, propagate)
        self._transport = httpx.HTTPTransport() if transport is None else transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As in httpx, and recorded."""
        call = self._audited.begin(request)
        if call is None:
            return self._transport.handle_request(request)
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            call.failed(error)
            raise
        if not _is_finished(call, response) and isinstance(response.stream, httpx.SyncByteStream):
            response.stream = _Body(response.stream, _Ending(call, response))
        return response

    def close(self) -> None:
        """Closes the transport inside."""
        self._transport.close()

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)


class AsyncAuditedTransport(httpx.AsyncBaseTransport):
    """The same for ``httpx.AsyncClient``; ``transport`` is by default ``httpx.AsyncHTTPTransport()``."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None, *, level: str | None = None, propagate: bool = False) -> None:
        self._audited = _Audited(level, propagate)
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As in httpx, and recorded."""
        call = self._audited.begin(request)
        if call is None:
            return await self._transport.handle_async_request(request)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            call.failed(error)
            raise
        if not _is_finished(call, response) and isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _AsyncBody(response.stream, _Ending(call, response))
        return response

    async def aclose(self) -> None:
        """Closes the transport inside."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)


def _content(request: httpx.Request) -> object:
    """What is sent, or the stream that brings it."""
    try:
        return request.content
    except httpx.RequestNotRead:
        return request.stream


def _is_finished(call: HttpCall, response: httpx.Response) -> bool:
    """Finishes a call whose answer is there whole, as that of a mock: nobody reads or closes its stream."""
    try:
        content = response.content
    except httpx.ResponseNotRead:
        return False
    call.heard(response.headers, content, len(content))
    call.answered(response.status_code)
    return True


class _Ending:
    """Sees what a body brings and ends the call with it. A second ending changes nothing."""

    __slots__ = ("_body", "_call", "_response", "_size")

    def __init__(self, call: HttpCall, response: httpx.Response) -> None:
        self._call = call
        self._response = response
        self._size = 0
        self._body = _outbound.empty_body(response.headers) if call.wants_response else None

    def passed(self, chunk: bytes) -> bytes:
        self._size += len(chunk)
        if self._body is not None:
            self._body.push(chunk)
        return chunk

    def reached(self, *, whole: bool) -> None:
        if not whole and not self._call.is_finished:
            self._call.meta["response_read"] = "in part"
        self._tell()
        self._call.answered(self._response.status_code)

    def broken(self, error: BaseException) -> None:
        self._tell()
        self._call.failed(error, self._response.status_code)

    def _tell(self) -> None:
        if not self._call.is_finished:
            self._call.heard(self._response.headers, self._body if self._size else None, self._size)


class _Body(httpx.SyncByteStream):
    """A body whose end ends the call."""

    def __init__(self, stream: httpx.SyncByteStream, ending: _Ending) -> None:
        self._stream = stream
        self._ending = ending

    def __iter__(self) -> Iterator[bytes]:
        ending = self._ending
        try:
            for chunk in self._stream:
                yield ending.passed(chunk)
        except GeneratorExit:
            # The reader stopped; what it wants is said by closing the body.
            raise
        except BaseException as error:
            ending.broken(error)
            raise
        ending.reached(whole=True)

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._ending.reached(whole=False)


class _AsyncBody(httpx.AsyncByteStream):
    """The same for an asynchronous body."""

    def __init__(self, stream: httpx.AsyncByteStream, ending: _Ending) -> None:
        self._stream = stream
        self._ending = ending

    async def __aiter__(self) -> AsyncIterator[bytes]:
        ending = self._ending
        try:
            async for chunk in self._stream:
                yield ending.passed(chunk)
        except GeneratorExit:
            raise
        except BaseException as error:
            ending.broken(error)
            raise
        ending.reached(whole=True)

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._ending.reached(whole=False)
