"""Streamed bodies: they run after the middleware has returned, and end the request when they end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from indelible.django import _scope
from indelible.django._scope import RequestScope

if TYPE_CHECKING:
    from indelible import _native

Finish = Callable[["Ending"], None]
"""Called once, when the body has ended."""


def follow(response: Any, scope: RequestScope, finish: Finish, capture: _native.Body | None = None) -> None:
    """Calls ``finish`` when the body of a streaming response has ended or its response is closed, whichever is first.

    Each step of the body runs as part of the request, so that what it writes carries the request's id and actor. The bytes are untouched;
    ``capture`` gets each chunk on its way.
    """
    ending = Ending(scope, finish, capture)
    body: _Body | _AsyncBody | None = None
    file = getattr(response, "file_to_stream", None)
    if file is not None:
        # A file is left as it is: the server may send it without Python, and reading a file runs no code of the application.
        ending.file = _File(file, response)
    elif response.is_async:
        response.streaming_content = body = _AsyncBody(response.streaming_content, ending)
    else:
        # Under ASGI, Django reads all of a synchronous body before it sends any of it: only closing the response ends it.
        ending.ends_when_closed = "scope" in scope.request.__dict__
        response.streaming_content = body = _Body(response.streaming_content, ending)
    close = response.close

    def close_as_part_of_request() -> None:
        ending.before_close()
        token = scope.enter()
        try:
            close()
        finally:
            _scope.leave(token)
            ending.reached(None)
            # They and the response hold each other: what was given up would end when the collector comes by, and not now.
            if getattr(response.__dict__.get("close"), "indelible", None) is ending:
                del response.close
            if body is not None:
                body.chunks = None

    # By a mark: a function that names itself is one more circle.
    close_as_part_of_request.indelible = ending  # type: ignore[attr-defined]
    # On the instance, since the closers that a response keeps would run the body's own `close` outside of the request.
    response.close = close_as_part_of_request


class Ending:
    """How a body ended; tells the middleware once."""

    __slots__ = ("_finish", "bytes", "capture", "ends_when_closed", "error", "file", "ran_to_end", "scope")

    def __init__(self, scope: RequestScope, finish: Finish, capture: _native.Body | None) -> None:
        self.scope = scope
        self.capture = capture
        self.error: BaseException | None = None
        self.ran_to_end = False
        self.ends_when_closed = False
        self.bytes: int | None = 0
        """How many bytes were handed to the server; ``None`` where it took them itself and nobody knows."""
        self.file: _File | None = None
        self._finish: Finish | None = finish

    def passed(self, chunk: bytes) -> bytes:
        """Sees a chunk on its way to the server."""
        self.bytes = (self.bytes or 0) + len(chunk)
        if self.capture is not None:
            self.capture.push(chunk)
        return chunk

    def exhausted(self) -> None:
        """There are no more chunks."""
        self.ran_to_end = True
        if not self.ends_when_closed:
            self.reached(None)

    def before_close(self) -> None:
        """Asks a file how far it was read, while it can still say."""
        if self.file is not None:
            self.bytes, self.ran_to_end = self.file.sent()

    def reached(self, error: BaseException | None) -> None:
        """The body has ended, with an error or without."""
        finish, self._finish = self._finish, None
        if finish is not None:
            self.error = error
            finish(self)


class _File:
    """A file that the server sends as it likes; its position tells how much."""

    __slots__ = ("_begin", "_file", "_length")

    def __init__(self, file: Any, response: Any) -> None:
        self._file = file
        self._begin = self._position()
        length = response.headers.get("Content-Length", "")
        self._length = int(length) if length.isdecimal() else None

    def sent(self) -> tuple[int | None, bool]:
        """How many bytes were sent, and whether that was all of them. A file that has not moved may have been sent without its knowledge."""
        end = self._position()
        if end is None or self._begin is None or (end == self._begin and self._length != 0):
            return None, True
        count = end - self._begin
        return count, self._length is None or count >= self._length

    def _position(self) -> int | None:
        try:
            position = self._file.tell()
        except Exception:
            # A pipe has no position, and a file that is closed has none any more.
            return None
        return position if isinstance(position, int) else None


class _Body:
    """A body whose steps run as part of the request."""

    __slots__ = ("_ending", "chunks")

    def __init__(self, chunks: Iterator[bytes], ending: Ending) -> None:
        self.chunks: Iterator[bytes] | None = iter(chunks)
        self._ending = ending

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        ending = self._ending
        if self.chunks is None:
            raise StopIteration
        token = ending.scope.enter()
        try:
            return ending.passed(next(self.chunks))
        except StopIteration:
            ending.exhausted()
            raise
        except BaseException as error:
            ending.reached(error)
            raise
        finally:
            _scope.leave(token)


class _AsyncBody:
    """The same for an asynchronous body."""

    __slots__ = ("_ending", "chunks")

    def __init__(self, chunks: AsyncIterator[bytes], ending: Ending) -> None:
        self.chunks: AsyncIterator[bytes] | None = aiter(chunks)
        self._ending = ending

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        ending = self._ending
        if self.chunks is None:
            raise StopAsyncIteration
        token = ending.scope.enter()
        try:
            return ending.passed(await anext(self.chunks))
        except StopAsyncIteration:
            ending.exhausted()
            raise
        except BaseException as error:
            ending.reached(error)
            raise
        finally:
            _scope.leave(token)
