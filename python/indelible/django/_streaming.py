"""Streamed bodies: they run after the middleware has returned, and end the request when they end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from indelible.django import _scope
from indelible.django._scope import RequestScope

Finish = Callable[[BaseException | None, bool], None]
"""Called once: with the exception that ended the body, and with whether it ran to its end."""


def follow(response: Any, scope: RequestScope, finish: Finish) -> None:
    """Calls ``finish`` when the body of a streaming response has ended or its response is closed, whichever is first.

    Each step of the body runs as part of the request, so that what it writes carries the request's id and actor. The bytes are untouched.
    """
    ending = _Ending(scope, finish)
    # A file is left as it is: the server may send it without Python, and reading a file runs no code of the application.
    is_file = getattr(response, "file_to_stream", None) is not None
    if is_file:
        ending.ran_to_end = True
    elif response.is_async:
        response.streaming_content = _AsyncBody(response.streaming_content, ending)
    else:
        response.streaming_content = _Body(response.streaming_content, ending)
    close = response.close

    def close_as_part_of_request() -> None:
        token = scope.enter()
        try:
            close()
        finally:
            _scope.leave(token)
            ending.reached(None)

    # On the instance, since the closers that a response keeps would run the body's own `close` outside of the request.
    response.close = close_as_part_of_request


class _Ending:
    """Tells the middleware once how a body ended."""

    __slots__ = ("_finish", "ran_to_end", "scope")

    def __init__(self, scope: RequestScope, finish: Finish) -> None:
        self.scope = scope
        self.ran_to_end = False
        self._finish: Finish | None = finish

    def reached(self, error: BaseException | None) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(error, self.ran_to_end)


class _Body:
    """A body whose steps run as part of the request."""

    __slots__ = ("_chunks", "_ending")

    def __init__(self, chunks: Iterator[bytes], ending: _Ending) -> None:
        self._chunks = iter(chunks)
        self._ending = ending

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        ending = self._ending
        token = ending.scope.enter()
        try:
            return next(self._chunks)
        except StopIteration:
            ending.ran_to_end = True
            ending.reached(None)
            raise
        except BaseException as error:
            ending.reached(error)
            raise
        finally:
            _scope.leave(token)


class _AsyncBody:
    """The same for an asynchronous body."""

    __slots__ = ("_chunks", "_ending")

    def __init__(self, chunks: AsyncIterator[bytes], ending: _Ending) -> None:
        self._chunks = aiter(chunks)
        self._ending = ending

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        ending = self._ending
        token = ending.scope.enter()
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            ending.ran_to_end = True
            ending.reached(None)
            raise
        except BaseException as error:
            ending.reached(error)
            raise
        finally:
            _scope.leave(token)
