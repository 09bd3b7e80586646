"""Threads of your own: what they record has the actor and request of whoever asked for the work."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["ContextThreadPoolExecutor", "wrap"]


def wrap(function: Callable[P, R]) -> Callable[P, R]:
    """The function with the context of this moment, wherever and however often it is called, at the same time too.

    Example:
        >>> threading.Thread(target=indelible.threads.wrap(work)).start()
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # A copy for each call: a context can be entered by one at a time.
        return context.copy().run(function, *args, **kwargs)

    return call


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` that runs each function in the context of whoever submitted it; ``map`` does too."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submits the function with the context of this moment."""
        return super().submit(functools.partial(contextvars.copy_context().run, fn, *args, **kwargs))
