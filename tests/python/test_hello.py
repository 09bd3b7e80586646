"""``manage.py indelible``: the first event through the real agent, and one cause with one cure for each way it can fail."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indelible import __version__, _agent
from trails import BINARY, ROOT

DEADLINE_S = 20.0
POLL_INTERVAL_S = 0.05


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory; the agent that a test started on it is stopped."""
    folder = tmp_path / "data"
    yield folder
    until(lambda: asked_to_end(folder))


def asked_to_end(data_dir: Path) -> bool:
    """Whether no agent runs; one that does is asked to end."""
    if not _agent.is_running(data_dir):
        return True
    # One that begins is not yet described, and one that ends is no longer.
    if description := _agent.description(data_dir):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(description["pid"]), signal.SIGTERM)
    return False


def agent_pid(data_dir: Path) -> int:
    description = until(lambda: _agent.description(data_dir))
    return int(description["pid"])


def until(ask: Any) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := ask()):
        assert time.monotonic() < deadline
        time.sleep(POLL_INTERVAL_S)
    return answer


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests" / "python")]),
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "INDELIBLE_DATA_DIR": str(data_dir),
        "INDELIBLE_AGENT": "auto",
        "INDELIBLE_BINARY": str(BINARY),
        **variables,
    }


def manage(
    data_dir: Path, *arguments: str, variables: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "django", *arguments]
    return subprocess.run(command, env=environment(data_dir, **(variables or {})), capture_output=True, text=True, timeout=60, check=False)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def told_version(version: str) -> str:
    return f"""[ "$1" = version ] && echo '{{"name":"indelible","version":"{version}"}}'"""


def test_hello_starts_the_agent_and_shows_the_first_event_in_the_trail(data_dir: Path) -> None:
    done = manage(data_dir, "indelible", "hello")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["recorded"] == "hello.record by system indelible"
    assert lines["trail"] == f"intact, in {data_dir}"
    address = (_agent.description(data_dir) or {})["address"]
    assert lines["agent"] == f"http://{address}/ (started)"
    link = manage(data_dir, *lines["pages"].partition("#")[0].removeprefix("python manage.py ").split())
    assert link.stdout.startswith(f"http://{address}/open/"), link.stderr

    shown = manage(data_dir, "indelible", "search", "action:hello.record")
    (record,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert (record["event"]["id"], str(record["leaf"])) == (lines["event"], lines["leaf"])

    again = manage(data_dir, "indelible", "hello")
    assert again.returncode == 0, again.stderr
    assert f"agent      http://{address}/" in again.stdout.splitlines()


def test_the_agent_keeps_nothing_of_the_process_that_started_it(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDELIBLE_BINARY", str(BINARY))
    with open(tmp_path / "open in the application", "w") as file:
        os.set_inheritable(file.fileno(), True)
        assert _agent.ensure_running(data_dir)
        pid = agent_pid(data_dir)
        assert os.getsid(pid) != os.getsid(0)
        descriptors = open_files(pid)
    assert file.name not in descriptors
    assert str(data_dir / "agent.log") in descriptors
    assert (data_dir / ".gitignore").read_text() == "*\n"
    assert not _agent.ensure_running(data_dir)


def test_a_server_starts_the_agent_with_its_first_event(data_dir: Path, tmp_path: Path) -> None:
    with open(tmp_path / "server.log", "wb") as log:
        command = [sys.executable, "-u", "-m", "django", "runserver", "--noreload", "--skip-checks", "127.0.0.1:0"]
        server = subprocess.Popen(command, env=environment(data_dir), stdout=log, stderr=log)
    try:
        address = until(lambda: served_address(server.pid))
        assert not data_dir.exists()
        subprocess.run(
            [sys.executable, "-c", "import sys, urllib.request as u; u.urlopen(sys.argv[1]).read()", f"http://{address}/plain/"], check=True
        )
        until(lambda: _agent.is_running(data_dir))
        found = until(lambda: manage(data_dir, "indelible", "search", "kind:request").stdout)
        assert json.loads(found)["event"]["request"]["route"] == "/plain/"
    finally:
        server.terminate()
        server.wait(DEADLINE_S)


def open_files(pid: int) -> set[str]:
    """What a running process has open; it may close a descriptor while we look."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(descriptor))
    return found


def served_address(pid: int) -> str | None:
    """The loopback address that a process listens on, from the kernel's table of sockets."""
    inodes = open_files(pid)
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *rest = line.split()
        if state == "0A" and f"socket:[{rest[5]}]" in inodes:
            return f"127.0.0.1:{int(local.split(':')[1], 16)}"
    return None


def test_on_a_host_that_init_has_set_up_hello_records_and_says_who_sees_it(data_dir: Path) -> None:
    # Root may look everywhere, unless it gives that up.
    as_others = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    (data_dir / "journal" / "tests").mkdir(parents=True)
    (data_dir / "trail").mkdir(mode=0)
    (data_dir / "journal").chmod(0o511)
    try:
        done = manage(data_dir, "indelible", "hello", variables={"INDELIBLE_AGENT": "external"}, prefix=as_others)
        assert done.returncode == 0, done.stderr
        recorded, trail = done.stdout.splitlines()
        assert recorded == f"recorded   hello.record, in {data_dir}/journal/tests"
        assert f"sudo indelible --data {data_dir} search action:hello.record" in trail
        assert list((data_dir / "journal" / "tests").glob("*/*.journal"))
    finally:
        (data_dir / "journal").chmod(0o700)
        (data_dir / "trail").chmod(0o700)


def test_a_command_starts_no_agent(data_dir: Path, tmp_path: Path) -> None:
    program = script(tmp_path / "indelible", f"touch {tmp_path}/called")
    done = manage(data_dir, "shell", "-c", "import indelible; indelible.record('a.b')", variables={"INDELIBLE_BINARY": program})
    assert done.returncode == 0, done.stderr
    assert list((data_dir / "journal" / "tests").iterdir())
    assert not (tmp_path / "called").exists()


FAILURES = [
    (
        {"INDELIBLE_AGENT": "extern"},
        "INDELIBLE_AGENT: 'extern' is not one of 'auto', 'external'. Did you mean 'external'?",
        "python manage.py check",
    ),
    ({"INDELIBLE_RECORD": "nowhere"}, "INDELIBLE['RECORD'] is 'nowhere': every event is dropped.", "remove RECORD"),
    ({"INDELIBLE_ENABLED": "false"}, "INDELIBLE['ENABLED'] is False", "remove ENABLED"),
    ({"INDELIBLE_DATA_DIR": "/dev/null/data"}, "/dev/null/data cannot be written", "ls -ld /dev/null/data"),
    ({"INDELIBLE_BINARY": "/nowhere/indelible"}, "INDELIBLE_BINARY names /nowhere/indelible", "ls -l /nowhere/indelible"),
    ({"INDELIBLE_AGENT": "external"}, "no agent runs on", "serve"),
]


@pytest.mark.parametrize(("variables", "cause", "cure"), FAILURES)
def test_a_failure_has_one_cause_and_one_cure(data_dir: Path, variables: dict[str, str], cause: str, cure: str) -> None:
    done = manage(data_dir, "indelible", "hello", variables=variables)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert len(said) == 2, done.stderr
    assert cause in said[0]
    assert said[1].strip().startswith("Try: ")
    assert cure in said[1]


def test_a_binary_of_another_version_is_not_started(data_dir: Path, tmp_path: Path) -> None:
    program = script(tmp_path / "indelible", f"{told_version('9.9.9')} || touch {tmp_path}/served")
    done = manage(data_dir, "indelible", "hello", variables={"INDELIBLE_BINARY": program})
    assert f"is version 9.9.9, this package is {__version__}" in done.stderr
    assert f"Try: cargo install --path crates/indelible-server  # in the source tree of indelible {__version__}" in done.stderr
    assert not (tmp_path / "served").exists()


def test_an_agent_that_does_nothing_is_named_by_its_log(data_dir: Path, tmp_path: Path) -> None:
    program = script(tmp_path / "indelible", f"{told_version(__version__)}\n exit 0")
    done = manage(data_dir, "indelible", "hello", variables={"INDELIBLE_BINARY": program})
    assert "the event is in the journal, but not in the trail after 5 s" in done.stderr
    assert f"Try: cat {data_dir}/agent.log" in done.stderr


def test_the_other_commands_are_the_binary_with_this_sites_data(data_dir: Path, tmp_path: Path) -> None:
    program = script(tmp_path / "indelible", 'printf "%s|" "$@"; exit 5')
    done = manage(data_dir, "indelible", "search", "actor:ana OR -kind:read", "-o", "json", variables={"INDELIBLE_BINARY": program})
    assert done.stdout == f"--data|{data_dir}|search|actor:ana OR -kind:read|-o|json|"
    assert done.returncode == 5


@pytest.mark.defect("A-2")
@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["manage.py", "runserver"], "web"),
        (["manage.py", "runserver_plus", "8000"], "web"),
        (["/site/bin/gunicorn", "clinic.wsgi"], "web"),
        (["/site/lib/uvicorn/__main__.py", "clinic.asgi:application"], "web"),
        (["/site/bin/celery", "-A", "clinic", "worker"], "worker"),
        (["/site/bin/celery", "-A", "clinic", "beat"], "beat"),
        (["/site/bin/celery", "-A", "beat", "worker", "-l", "info"], "worker"),
        (["/site/bin/celery", "--app=clinic", "inspect", "ping"], "command"),
        (["manage.py", "runheartbeat"], "command"),
        (["celery_report.py", "beat"], "command"),
        (["manage.py", "migrate"], "command"),
        (["/site/bin/pytest"], "command"),
        ([""], "command"),
        ([], "command"),
    ],
)
def test_a_process_is_known_by_its_command_line(argv: list[str], kind: str) -> None:
    assert _agent.process_kind(argv) == kind


@pytest.mark.parametrize(
    ("argv", "variables", "may"),
    [
        (["manage.py", "runserver"], {}, False),
        (["manage.py", "runserver"], {"RUN_MAIN": "true"}, True),
        (["manage.py", "runserver", "--noreload"], {}, True),
        (["gunicorn", "clinic.wsgi"], {}, True),
        (["celery", "-A", "clinic", "worker"], {}, True),
        (["manage.py", "migrate"], {}, False),
        (["pytest"], {}, False),
    ],
)
def test_only_servers_and_workers_start_the_agent(
    argv: list[str], variables: dict[str, str], may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _agent.may_start_by_itself() is may


def test_the_binary_beside_python_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INDELIBLE_BINARY", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "scripts"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(_agent.AgentUnavailable, match="not installed"):
        _agent.binary()
    for folder in ("path", ".", "scripts"):
        (tmp_path / folder).mkdir(exist_ok=True)
        program = script(tmp_path / folder / "indelible", "exit 0")
        assert str(_agent.binary()) == os.path.normpath(program)
