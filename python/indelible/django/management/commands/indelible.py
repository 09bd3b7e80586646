"""``manage.py indelible``: the first event, and the binary with the data directory of this site."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

import indelible
from indelible import _agent, _runtime
from indelible.django import checks, conf

PASSED_ON: Final = {
    "search": "search the trail of this site",
    "tail": "follow the trail of this site",
    "verify": "recompute the trail of this site from its stored bytes",
    "doctor": "check the installation",
}
ANSWER_DEADLINE_S: Final = 5.0
POLL_INTERVAL_S: Final = 0.05
_PROBE: Final = "hello.record"


class Command(BaseCommand):
    """``hello`` records an event the way every event goes and waits for it; the others run the binary with the right ``--data``."""

    help = "Records a first event (hello), or runs the indelible binary on the data directory of this site."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser("hello", help="record an event, wait until it is in the trail, and print it")
        for name, what in PASSED_ON.items():
            commands.add_parser(name, help=what)

    def run_from_argv(self, argv: list[str]) -> None:
        # What follows the name of one of the binary's commands is for the binary alone.
        if len(argv) > 2 and argv[2] in PASSED_ON:
            try:
                pass_on(argv[2:])
            except Failure as failure:
                self.stderr.write(str(failure))
                raise SystemExit(failure.returncode) from failure
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["command"] in PASSED_ON:
            pass_on([options["command"]])
        Hello(self, conf.active()).run()


class Failure(CommandError):
    """One cause and one command that helps."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(f"{cause}\n  Try: {cure}")


def pass_on(arguments: list[str]) -> None:
    """Replaces this process by the binary. Data directory and arguments are its only input."""
    try:
        program = _agent.binary()
    except _agent.AgentUnavailable as error:
        raise Failure(str(error), error.cure) from error
    os.execv(program, [str(program), "--data", str(conf.active().data_dir), *arguments])


class Hello:
    """The first event: recorded, ingested, searched, verified."""

    def __init__(self, command: BaseCommand, settings: conf.Settings) -> None:
        self._command = command
        self._settings = settings
        self._data_dir = settings.data_dir

    def run(self) -> None:
        self._check()
        started = self._agent_running()
        nonce = self._record()
        record = self._await(nonce)
        verdict = self._verify()
        self._print(record, verdict, started)

    def _check(self) -> None:
        settings = self._settings
        if settings.problems:
            problem = settings.problems[0]
            raise Failure(problem.message, problem.hint or "python manage.py check")
        if not settings.enabled:
            raise Failure("INDELIBLE['ENABLED'] is False: nothing is recorded.", "remove ENABLED from INDELIBLE")
        if _runtime.runtime().native() is None:
            raise Failure("the native module cannot be imported", "pip install --force-reinstall indelible")
        if not checks.is_writable(self._data_dir):
            raise Failure(f"{self._data_dir} cannot be written by this user", f"ls -ld {self._data_dir}")

    def _agent_running(self) -> bool:
        if self._settings.agent == "external":
            if not _agent.is_running(self._data_dir):
                raise Failure(f"no agent runs on {self._data_dir}", f"indelible --data {self._data_dir} serve")
            return False
        try:
            return _agent.ensure_running(self._data_dir)
        except _agent.AgentUnavailable as error:
            raise Failure(str(error), error.cure) from error

    def _record(self) -> str:
        nonce = uuid.uuid4().hex
        recorded = indelible.record(_PROBE, meta={"nonce": nonce}, held=False)
        if recorded.status != "at":
            problem = _runtime.runtime().health()["problem"] or "the journal took no event"
            raise Failure(str(problem), "python manage.py indelible doctor")
        return nonce

    def _await(self, nonce: str) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_DEADLINE_S
        said = ""
        while time.monotonic() < deadline:
            answer = self._binary("-o", "ndjson", "search", "-n", "20", f"action:{_PROBE}")
            said = answer.stderr.strip() or said
            for line in answer.stdout.splitlines():
                record: dict[str, Any] = json.loads(line)
                if record["event"].get("meta", {}).get("nonce") == nonce:
                    return record
            time.sleep(POLL_INTERVAL_S)
        cause = f"the event is in the journal, but not in the trail after {ANSWER_DEADLINE_S:.0f} s"
        raise Failure(f"{cause}: {said}" if said else cause, f"cat {self._data_dir / 'agent.log'}")

    def _verify(self) -> str:
        answer = self._binary("verify")
        if answer.returncode != 0:
            said = (answer.stdout + answer.stderr).strip()
            raise Failure(f"the trail could not be verified: {said}", f"indelible --data {self._data_dir} verify")
        return "intact"

    def _binary(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            program = _agent.binary()
            return subprocess.run(
                [program, "--data", str(self._data_dir), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ANSWER_DEADLINE_S,
            )
        except _agent.AgentUnavailable as error:
            raise Failure(str(error), error.cure) from error
        except subprocess.TimeoutExpired as error:
            raise Failure(f"the agent does not answer: {error}", f"cat {self._data_dir / 'agent.log'}") from error

    def _print(self, record: dict[str, Any], verdict: str, started: bool) -> None:
        write = self._command.stdout.write
        event = record["event"]
        address = (_agent.description(self._data_dir) or {}).get("address")
        write(f"recorded   {event['action']} by {event['actor'].get('type')} {event['actor'].get('id', '')}".rstrip())
        write(f"event      {event['id']}")
        write(f"leaf       {record['leaf']}")
        write(f"trail      {verdict}, in {Path(self._data_dir)}")
        if address:
            write(f"agent      http://{address}/" + (" (started)" if started else ""))
