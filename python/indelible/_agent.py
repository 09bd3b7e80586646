"""Starting the agent in development, and knowing what kind of process this is.

In production the agent is started by the machine (``AGENT="external"``) and nothing here runs.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from indelible import _runtime
from indelible._errors import IndelibleError
from indelible._version import INSTALL_BINARY, __version__

logger = logging.getLogger("indelible")

ProcessKind = Literal["web", "worker", "beat", "command"]

IDLE_S: Final = 60
"""How long the agent stays after the last stream's owner has ended and everything is ingested."""

_COMMAND_DEADLINE_S: Final = 10
"""How long a helper process may take: the shell that starts the agent, and the binary when asked for its version."""

_WEB_SERVERS: Final = frozenset({"gunicorn", "uvicorn", "daphne", "hypercorn", "granian", "uwsgi", "mod_wsgi-express"})
_SERVER_COMMANDS: Final = frozenset({"runserver", "runserver_plus"})
_CELERY_KINDS: Final[Mapping[str, ProcessKind]] = {"worker": "worker", "multi": "worker", "beat": "beat"}
_CELERY_OPTIONS: Final = frozenset({"-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"})
"""Options before Celery's command whose value is the next argument: an application may be called ``beat``."""
_RELOADED_CHILD: Final = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")


class AgentUnavailable(IndelibleError):
    """The agent cannot be started; the message names the cause and ``cure`` the one command that helps."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cure = cure


def process_kind(argv: Sequence[str] | None = None) -> ProcessKind:
    """What this process does, told by its command line."""
    program, arguments = _program(sys.argv if argv is None else argv)
    if program in _WEB_SERVERS or not _SERVER_COMMANDS.isdisjoint(arguments[:1]):
        return "web"
    if program == "celery":
        return _CELERY_KINDS.get(_celery_command(arguments), "command")
    return "command"


def may_start_by_itself() -> bool:
    """Whether the first event of this process may start the agent: a server or worker, no one-off command, no autoreloader's parent."""
    _, arguments = _program(sys.argv)
    if not _SERVER_COMMANDS.isdisjoint(arguments[:1]):
        return "--noreload" in arguments or any(os.environ.get(name) == "true" for name in _RELOADED_CHILD)
    return process_kind() != "command"


def is_running(data_dir: Path) -> bool:
    """Whether an agent holds ``agent.lock``, which it does for as long as it lives. Several may ask at once."""
    try:
        descriptor = os.open(data_dir / "agent.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def description(data_dir: Path) -> dict[str, Any] | None:
    """What the running agent says about itself in ``agent.json`` (pid, version, address), ``None`` when it says nothing."""
    try:
        found = json.loads((data_dir / "agent.json").read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def binary() -> Path:
    """The ``indelible`` binary: ``$INDELIBLE_BINARY``, else the one installed beside Python, else the one on the path.

    Raises:
        AgentUnavailable: there is none.
    """
    named = os.environ.get("INDELIBLE_BINARY")
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise AgentUnavailable(f"INDELIBLE_BINARY names {named}, which is not an executable file", f"ls -l {named}")
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), None):
        found = shutil.which("indelible", path=folder)
        if found:
            return Path(found)
    raise AgentUnavailable("the indelible binary is not installed", INSTALL_BINARY)


def start(data_dir: Path) -> None:
    """Starts an agent for this directory that outlives this process. Where one runs already, the new one ends by itself.

    The agent inherits no descriptor; what it says goes to ``DATA_DIR/agent.log``. Returns when it has been started, not when it is ready.

    Raises:
        AgentUnavailable: there is no binary, it is of another version, or the directory cannot be written.
    """
    program = binary()
    _same_version(program)
    try:
        _prepare(data_dir)
        log = os.open(data_dir / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentUnavailable(f"{data_dir} cannot be written: {error.strerror}", f"ls -ld {data_dir}") from error
    try:
        # The shell ends at once and leaves the agent to init. Forking this process itself would run the fork handlers of the
        # application and is not safe beside its threads.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", str(program), "--data", str(data_dir), "serve", "--until-idle", str(IDLE_S)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            check=True,
            timeout=_COMMAND_DEADLINE_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise AgentUnavailable(f"the agent cannot be started: {error}", f"{program} --data {data_dir} serve") from error
    finally:
        os.close(log)


def ensure_running(data_dir: Path) -> bool:
    """Starts an agent unless one runs; returns whether it started one. Raises as :func:`start` does."""
    if is_running(data_dir):
        return False
    start(data_dir)
    return True


def _prepare(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = data_dir / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def _same_version(program: Path) -> None:
    found = _version_of(program)
    if found != __version__:
        cure = f"{INSTALL_BINARY} {__version__}"
        raise AgentUnavailable(f"{program} is version {found or 'unknown'}, this package is {__version__}", cure)


def _version_of(program: Path) -> str | None:
    command = [str(program), "version", "-o", "json"]
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_DEADLINE_S, check=True)
        version: str = json.loads(answer.stdout)["version"]
    except (OSError, subprocess.SubprocessError) as error:
        raise AgentUnavailable(f"{program} does not run: {error}", " ".join(command)) from error
    except (ValueError, TypeError, KeyError):
        return None
    return version


def _celery_command(arguments: Sequence[str]) -> str:
    words = iter(arguments)
    for word in words:
        if word in _CELERY_OPTIONS:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _program(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The name of the program, for ``python -m`` that of the package, and its arguments."""
    path = Path(argv[0]) if argv else Path()
    return (path.parent.name if path.name == "__main__.py" else path.name), list(argv[1:])


_first_event_data_dir: Path | None = None


def start_on_first_event(data_dir: Path | None) -> None:
    """Lets the first event of this process start the agent of ``data_dir``, if this is a process that may; ``None`` lets it not."""
    global _first_event_data_dir
    _first_event_data_dir = data_dir if data_dir is not None and may_start_by_itself() else None
    _runtime.set_on_open(first_event)


def first_event() -> None:
    """Starts the agent if asked to. When that fails it says so once, and the application goes on."""
    global _first_event_data_dir
    data_dir, _first_event_data_dir = _first_event_data_dir, None
    if data_dir is None:
        return
    try:
        ensure_running(data_dir)
    except AgentUnavailable as error:
        logger.error("indelible: no agent: %s. Events wait in the journal until one runs. Try: %s", error, error.cure)
