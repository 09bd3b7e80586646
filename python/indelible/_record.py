"""Recording by hand: ``record`` and ``audited``."""

from __future__ import annotations

import contextvars
import functools
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from indelible import _context, _runtime
from indelible._errors import Refused
from indelible._recorded import Recorded

if TYPE_CHECKING:
    from indelible import _native
    from indelible._types import Kind, Outcome

P = ParamSpec("P")
R = TypeVar("R")

LOST = Recorded("lost")

HoldOn = Callable[[object], "_native.Transaction | None"]

_hold_on: HoldOn | None = None
_demand: Callable[[str, str | None], None] | None = None


def set_hold_on(hold_on: HoldOn | None) -> None:
    """Names the function that finds the open transaction an event about a resource waits for, if any. Django sets it."""
    global _hold_on
    _hold_on = hold_on


def set_demand(demand: Callable[[str, str | None], None] | None) -> None:
    """Names the function that raises where an action must not begin without a reason. Django sets it."""
    global _demand
    _demand = demand


def record(
    action: str,
    resource: object = None,
    *,
    reason: str | None = None,
    meta: Mapping[str, Any] | None = None,
    outcome: Outcome = "success",
    kind: Kind = "action",
    error: BaseException | tuple[str, str] | None = None,
    held: bool = True,
    changes: Sequence[Mapping[str, Any]] | None = None,
) -> Recorded:
    """Records that something happened, with the actor and request of the moment. Sync or async, inside Django or not.

    ``action`` is ``noun.verb``. ``resource`` is a model instance, a mapping with ``type`` and ``id``, or text ``"type/id"``. Inside a
    database transaction a success is held until COMMIT and dropped by a rollback; ``held=False`` records it at once. Everything
    that is not a success is recorded at once.

    With ``kind="change"`` and an instance that was written in the same transaction, this event takes the place of the automatic one: it
    has the changes of that, and the action, reason and ``meta`` given here. Changes of other instances stay as they are.

    Values are redacted. A fault of ours never reaches the caller: the answer is then ``lost``, and :func:`indelible.health` counts it.

    Raises:
        Refused: with ``ON_FAILURE="required"`` when the journal does not take the event.

    Example:
        >>> indelible.record("invoice.approve", resource=invoice, reason="ticket 42", meta={"amount": amount})
    """
    runtime = _runtime.runtime()
    try:
        return _record(runtime, action, resource, reason, meta, outcome, kind, error, held, changes)
    except Refused:
        raise
    except Exception as fault:
        runtime.lose()
        runtime.fault(f"record({action!r})", fault)
        return LOST


def _record(
    runtime: _runtime.Runtime,
    action: str,
    resource: object,
    reason: str | None,
    meta: Mapping[str, Any] | None,
    outcome: Outcome,
    kind: Kind,
    error: BaseException | tuple[str, str] | None,
    held: bool,
    changes: Sequence[Mapping[str, Any]] | None,
) -> Recorded:
    recorder = runtime.recorder()
    context = _context.current_context()
    if recorder is None or context is None:
        runtime.lose()
        runtime.refuse(_type_of(resource), kind)
        return LOST
    try:
        event = recorder.event(
            context,
            kind,
            action,
            outcome,
            resource=resource_of(resource),
            changes=changes,
            error=error_parts(error),
            reason=reason,
            meta=meta,
        )
    except Exception as fault:
        # What was handed over cannot be read. That it happened, and who did it, is still worth keeping.
        event = recorder.event(context, kind, action, outcome, notes=[f"details not readable: {type(fault).__qualname__}"])
        runtime.fault(f"record({action!r})", fault)
    transaction = None
    if held and outcome == "success" and kind in ("action", "change") and _hold_on is not None:
        transaction = _hold_on(resource)
    if transaction is None:
        return recorder.record(event)
    return transaction.supersede(event) if kind == "change" else transaction.hold(event)


def audited(
    action: str,
    *,
    resource: Callable[..., object] | None = None,
    reason: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a function, a generator, or the same async: each call is recorded with outcome, error and ``meta.duration_us``.

    An exception is recorded as ``failure`` with its type and redacted message (``aborted`` when it is no ``Exception``, such as a
    cancelled task), and goes on to the caller. A generator is recorded when it has ended, as ``aborted`` when nobody asks for the rest, and not
    at all when nobody asks for anything. An action that ``REASON_REQUIRED`` names is refused before it begins when neither ``reason`` nor the
    context gives one, that of a generator by the call and not by its first step. ``resource`` is called with the arguments of the call and
    names what it is about.

    Example:
        >>> @indelible.audited("report.export", resource=lambda report: report)
        ... def export(report): ...
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def calling(args: Any, kwargs: Any) -> _Call:
            return _Call(action, resource, reason, meta, args, kwargs)

        return cast("Callable[P, R]", _framed(cast("Callable[..., Any]", function), calling))

    return decorate


class _Call:
    """One call of an audited function: recorded when its block ends, or at its beginning if that is refused."""

    __slots__ = ("_action", "_args", "_kwargs", "_meta", "_reason", "_resource", "_started_ns")

    def __init__(
        self,
        action: str,
        resource: Callable[..., object] | None,
        reason: str | None,
        meta: Mapping[str, Any] | None,
        args: Any,
        kwargs: Any,
    ) -> None:
        self._action, self._resource, self._reason, self._meta = action, resource, reason, meta
        self._args, self._kwargs = args, kwargs
        self._started_ns = time.perf_counter_ns()

    def __enter__(self) -> None:
        try:
            if _demand is not None:
                _demand(self._action, self._reason)
        except BaseException as error:
            self._finish(error)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._finish(error)

    def answers(self, function: Callable[..., Any]) -> tuple[_Steps, Any]:
        """What a generator function answers, of which nothing has run yet, and the block that its steps are to run in.

        Whatever refuses the call does so here: a response whose body this is has not begun.
        """
        self.__enter__()
        try:
            answers = function(*self._args, **self._kwargs)
        except BaseException as error:
            self._finish(error)
            raise
        # What gave leave to begin stays with it, wherever the steps run.
        self._reason = self._reason or _context.current_facts().reason
        return _Steps(self), answers

    def _begin(self) -> None:
        self._started_ns = time.perf_counter_ns()

    def _finish(self, error: BaseException | None) -> None:
        duration_us = (time.perf_counter_ns() - self._started_ns) // 1000
        record(
            self._action,
            _named_resource(self._resource, self._args, self._kwargs),
            reason=self._reason,
            meta={**(self._meta or {}), "duration_us": duration_us},
            outcome=_outcome(error),
            error=error,
        )


class _Steps:
    """The block that the steps of one audited generator run in.

    One that is given up ends where the garbage collector finds it, in the middle of anything: it is recorded in the context of its first step.
    """

    __slots__ = ("_call", "_context")

    def __init__(self, call: _Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._context = contextvars.copy_context()
        self._call._begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, GeneratorExit):
            self._context.run(self._call._finish, error)
        else:
            self._call._finish(error)


def _framed(function: Callable[..., Any], calling: Callable[[Any, Any], _Call]) -> Callable[..., Any]:
    """The function with all that it does, at once or bit by bit, inside of the block of its call."""
    if inspect.isasyncgenfunction(function):
        return _Generating(function, calling, _steps_async)
    if inspect.isgeneratorfunction(function):
        return _Generating(function, calling, _steps)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with calling(args, kwargs):
                return await function(*args, **kwargs)

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with calling(args, kwargs):
            return function(*args, **kwargs)

    return call


class _Generating:
    """An audited generator function: its call may refuse, which that of a Python function of this kind never does.

    It has what ``inspect`` asks for, so that whoever asks learns that it makes a generator.
    """

    def __init__(self, function: Callable[..., Any], calling: Callable[[Any, Any], _Call], steps: Callable[[_Steps, Any], Any]) -> None:
        functools.update_wrapper(self, function)
        for name in ("__annotations__", "__code__", "__defaults__", "__kwdefaults__"):
            # A `functools.partial` has none of them.
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))
        self._function, self._calling, self._make = function, calling, steps

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._make(*self._calling(args, kwargs).answers(self._function))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> str:
        return str(self.__qualname__)  # type: ignore[attr-defined]


def _steps(block: _Steps, answers: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    with block:
        return (yield from answers)


async def _steps_async(block: _Steps, answers: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    with block:
        async with aclosing(answers):
            step = answers.asend(None)
            while True:
                try:
                    answer = await step
                except StopAsyncIteration:
                    return
                try:
                    step = answers.asend((yield answer))
                except GeneratorExit:
                    raise
                except BaseException as raised:
                    step = answers.athrow(raised)


def resource_of(resource: Any) -> Mapping[str, Any] | None:
    """The members of a resource given as a model instance, a mapping, or text ``"type/id"``; ``None`` stays ``None``."""
    if resource is None or isinstance(resource, Mapping):
        return resource
    if isinstance(resource, str):
        kind, _, key = resource.partition("/")
        return {"type": kind, "id": key or None}
    named = {"type": _type_of(resource), "label": str(resource)}
    return {**named, "id": getattr(resource, "pk", None)} if _options_of(resource) is not None else named


def _type_of(resource: Any) -> str:
    """The type alone, for which nothing of the site's own is run."""
    if resource is None:
        return ""
    if isinstance(resource, Mapping):
        return str(resource.get("type"))
    if isinstance(resource, str):
        return resource.partition("/")[0]
    options = _options_of(resource)
    if options is None:
        return f"{type(resource).__module__}.{type(resource).__qualname__}"
    concrete = getattr(options, "concrete_model", None)
    # A proxy is another name for the same rows.
    return str(concrete._meta.label if concrete is not None else options.label)


def _options_of(resource: Any) -> Any:
    options = getattr(resource, "_meta", None)
    return options if hasattr(options, "label") else None


def error_parts(error: BaseException | tuple[str, str] | None) -> tuple[str, str] | None:
    """Type and message of an error; the message is redacted when the event is made."""
    if error is None or isinstance(error, tuple):
        return error
    try:
        return type(error).__qualname__, str(error)
    except Exception:
        return type(error).__qualname__, "<unprintable>"


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "success"
    if getattr(error, "is_denial", False):
        return "denied"
    return "failure" if isinstance(error, Exception) else "aborted"


def _named_resource(name: Callable[..., object] | None, args: Any, kwargs: Any) -> object:
    if name is None:
        return None
    try:
        return name(*args, **kwargs)
    except Exception as error:
        _runtime.runtime().fault("audited(resource=…)", error)
        return None
