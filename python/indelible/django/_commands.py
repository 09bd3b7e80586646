"""Management commands: who ran what, with which arguments, for how long, and how it ended."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from indelible import _context, _record, _runtime
from indelible.django import conf
from indelible.django._guard import Guard

UNRECORDED: Final = frozenset(
    {
        # They run until somebody stops them, and what happens meanwhile is recorded by itself.
        "runserver",
        "runserver_plus",
        "shell",
        "shell_plus",
        "dbshell",
        "test",
        "testserver",
        # They look, and change no data.
        "check",
        "diffsettings",
        "findstatic",
        "indelible",
        "inspectdb",
        "makemessages",
        "makemigrations",
        "compilemessages",
        "optimizemigration",
        "sendtestemail",
        "showmigrations",
        "sqlflush",
        "sqlmigrate",
        "sqlsequencereset",
        "squashmigrations",
    }
)
"""Commands that leave no event of their own."""

_OF_EVERY_COMMAND: Final = frozenset(
    {
        "args",
        "force_color",
        "interactive",
        "no_color",
        "pythonpath",
        "settings",
        "skip_checks",
        "stderr",
        "stdout",
        "traceback",
        "verbosity",
    }
)

_NAME: Final = "_indelible_name"

_running: ContextVar[str | None] = ContextVar("indelible_command", default=None)


def install() -> None:
    """Records every command from now on. Does nothing the second time."""
    if not hasattr(BaseCommand.execute, "indelible"):
        BaseCommand.execute = _execute(BaseCommand.execute)  # type: ignore[method-assign]
        BaseCommand.create_parser = _create_parser(BaseCommand.create_parser)  # type: ignore[method-assign]


def _create_parser(django: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(django)
    def create_parser(self: BaseCommand, prog_name: str, subcommand: str, **options: Any) -> Any:
        # The one place where a command is told what it was called by.
        self.__dict__[_NAME] = subcommand
        return django(self, prog_name, subcommand, **options)

    return create_parser


def _name_of(command: BaseCommand) -> str:
    """What the command was called by; a class that its module only imports has its home elsewhere."""
    return str(command.__dict__.get(_NAME) or type(command).__module__.rpartition(".")[2])


def _is_unrecorded(command: BaseCommand, name: str) -> bool:
    """Whether it leaves no event: by its name, or because it is such a command under the name that a site gave it."""
    if name in UNRECORDED:
        return True
    homes = (cls.__module__.rpartition(".") for cls in type(command).__mro__)
    return any(home in UNRECORDED and package.endswith(".management.commands") for package, _, home in homes)


def _execute(django: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(django)
    def execute(self: BaseCommand, *args: Any, **options: Any) -> Any:
        name = _name_of(self)
        if _is_unrecorded(self, name) or not conf.active().commands:
            return django(self, *args, **options)
        started_ns, outer = time.perf_counter_ns(), _running.get()
        error: BaseException | None = None
        token = _running.set(name)
        with ExitStack() as frame:
            with Guard("management command"):
                if _context.current_facts().actor == _context.process_facts().actor:
                    frame.enter_context(_context.context(actor={"type": "system", "id": name}))
            try:
                return django(self, *args, **options)
            except BaseException as raised:
                error = raised
                raise
            finally:
                _running.reset(token)
                with Guard("management command"):
                    duration_us = (time.perf_counter_ns() - started_ns) // 1000
                    _record_run(self, name, outer, args, options, duration_us, error)

    execute.indelible = True  # type: ignore[attr-defined]
    return execute


def _record_run(
    command: BaseCommand,
    name: str,
    outer: str | None,
    args: tuple[Any, ...],
    options: Mapping[str, Any],
    duration_us: int,
    error: BaseException | None,
) -> None:
    code = _exit_code(error)
    meta: dict[str, Any] = {"command": name, "duration_us": duration_us, "exit": code}
    with Guard(f"the arguments of {name}"):
        # They may be objects of any kind where a program calls the command. That it ran is worth keeping without them.
        if given := _given(command, name, options):
            meta["arguments"] = given
    if args:
        meta["args"] = _as_line(args)
    if outer is not None:
        meta["called_by"] = outer
    _record.record(
        "command.run",
        {"type": "command", "label": name},
        kind="task",
        outcome="success" if code == 0 else "failure" if isinstance(error, (Exception, SystemExit)) else "aborted",
        error=None if code == 0 else error,
        meta=meta,
    )


def _exit_code(error: BaseException | None) -> int:
    """What the shell would be told."""
    if error is None:
        return 0
    if isinstance(error, CommandError):
        return int(error.returncode)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _given(command: BaseCommand, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that somebody gave: those that differ from their defaults and are this command's own.

    One goes by the name that tells that it is secret, if any does: ``--password`` stays masked where the command calls it ``answer``.
    """
    parser = command.create_parser("manage.py", name)
    telling = _telling_names(parser)
    spoken = {action.dest: option for action in parser._actions for option in action.option_strings}
    own = {key: value for key, value in options.items() if key not in _OF_EVERY_COMMAND}
    return {
        telling.get(key, key): _as_line(value) if isinstance(value, (list, tuple)) else _as_given(spoken.get(key), value)
        for key, value in own.items()
        if value != parser.get_default(key)
    }


def _telling_names(parser: Any) -> dict[str, str]:
    """For options of which a name is masked: what the command calls them, and that name."""
    redactor = _runtime.runtime().redactor()
    if redactor is None:
        return {}
    names = ((action.dest, option.lstrip("-")) for action in parser._actions for option in action.option_strings)
    return {dest: name for dest, name in names if redactor.masks_field(name)}


def _as_given(option: str | None, value: Any) -> Any:
    """A value without the password that stands in it only because of its option: ``--user ana:…``."""
    redactor = _runtime.runtime().redactor()
    if option is None or redactor is None or not isinstance(value, str) or ":" not in value:
        return value
    return redactor.text(f"{option} {value}").removeprefix(f"{option} ")


def _as_line(words: Any) -> Any:
    """Words as the line they came from, so that what stands behind ``--password`` is recognised; other values as they are."""
    return " ".join(words) if words and all(isinstance(word, str) for word in words) else list(words)
