"""``manage.py indelible hello``: the first event."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand

import indelible
from indelible import _agent, _runtime
from indelible._version import INSTALL_PACKAGE
from indelible.django import checks, conf
from indelible.django.management._binary import Failure

ANSWER_DEADLINE_S: Final = 5.0
POLL_INTERVAL_S: Final = 0.05
_PROBE: Final = "hello.record"


class Hello:
    """The first event: recorded, ingested, searched, verified."""

    def __init__(self, command: BaseCommand, settings: conf.Settings) -> None:
        self._command = command
        self._settings = settings
        self._data_dir = settings.data_dir

    def run(self) -> None:
        self._check()
        if self._trail_is_of_another_user():
            self._record()
            self._command.stdout.write(f"recorded   {_PROBE}, in {self._data_dir / 'journal' / self._settings.service}")
            self._command.stdout.write(
                f"trail      for the agent's user alone: sudo indelible --data {self._data_dir} search action:{_PROBE}"
            )
            return
        started = self._agent_running()
        nonce = self._record()
        record = self._await(nonce)
        verdict = self._verify()
        self._print(record, verdict, started)

    def _check(self) -> None:
        settings = self._settings
        if settings.problems:
            problem = settings.problems[0]
            raise Failure(" ".join(filter(None, (problem.message, problem.hint))), "python manage.py check")
        if not settings.enabled:
            raise Failure("INDELIBLE['ENABLED'] is False: nothing is recorded.", "remove ENABLED from INDELIBLE")
        if settings.record == "nowhere":
            raise Failure("INDELIBLE['RECORD'] is 'nowhere': every event is dropped.", "remove RECORD from INDELIBLE")
        if _runtime.runtime().native() is None:
            raise Failure("the native module cannot be imported", INSTALL_PACKAGE)
        if not checks.is_writable(self._data_dir, settings.service):
            raise Failure(f"{self._data_dir} cannot be written by this user", f"ls -ld {self._data_dir}")

    def _trail_is_of_another_user(self) -> bool:
        """Whether ``indelible init`` has set the host up, so that an application can record and see nothing."""
        trail = self._data_dir / "trail"
        return os.path.isdir(trail) and not os.access(trail, os.R_OK | os.X_OK)

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
            write("pages      python manage.py indelible link  # prints an address that opens once")
