"""``manage.py indelible``: the first event, what this site records, and the binary with the data directory of this site."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from indelible.django import conf
from indelible.django.management import _binary, _coverage, _explain, _outbox, _resolve, _settings
from indelible.django.management._hello import Hello


def _split_off_what_django_took(arguments: list[str]) -> tuple[list[str], list[str]]:
    """``--settings`` and ``--pythonpath``, which Django's own commands take in any place and Django has already followed, and the rest.

    What stands behind ``--`` is never one of them.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    try:
        taken, rest = parser.parse_known_args(arguments[:end])
    except ArgumentError:
        return [], arguments
    options = [f"--{name}={value}" for name, value in vars(taken).items() if value is not None]
    return options, rest + arguments[end:]


class Command(BaseCommand):
    """``hello`` records an event the way every event goes and waits for it; ``settings``, ``coverage`` and ``explain`` say what this site
    records; the others run the binary with the right ``--data``.
    """

    help = "Records a first event (hello), says what this site records, or runs the indelible binary on its data directory."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser("hello", help="record an event, wait until it is in the trail, and print it")
        _settings.add_arguments(commands.add_parser("settings", help="show every setting, its value and where that comes from"))
        _coverage.add_arguments(commands.add_parser("coverage", help="show what is captured, and what is not"))
        _explain.add_arguments(commands.add_parser("explain", help="show how one model is recorded, field by field, and why"))
        _resolve.add_arguments(commands.add_parser("resolve", help="ask the databases what became of transactions whose processes died"))
        _outbox.add_arguments(commands.add_parser("outbox", help="take what waits in the outbox into the journal"))
        for name, what in _binary.PASSED_ON.items():
            commands.add_parser(name, help=what)

    def run_from_argv(self, argv: list[str]) -> None:
        of_django, arguments = _split_off_what_django_took(argv[2:])
        # What else follows the name of one of the binary's commands is for the binary alone.
        if arguments and arguments[0] in _binary.PASSED_ON:
            try:
                _binary.pass_on(arguments)
            except _binary.Failure as failure:
                self.stderr.write(str(failure))
                raise SystemExit(failure.returncode) from failure
        super().run_from_argv([*argv[:2], *of_django, *arguments])

    def handle(self, *args: Any, **options: Any) -> None:
        command = options["command"]
        if command in _binary.PASSED_ON:
            _binary.pass_on([command])
        elif command == "hello":
            Hello(self, conf.active()).run()
        else:
            {"settings": _settings, "coverage": _coverage, "explain": _explain, "resolve": _resolve, "outbox": _outbox}[command].run(
                self.stdout.write, options
            )
