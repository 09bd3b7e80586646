"""The recorder of this process: opened on first use, and done without when it cannot be opened."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from indelible import _finish, _modes
from indelible._errors import IndelibleError, Refused

if TYPE_CHECKING:
    from indelible import _native

logger = logging.getLogger("indelible")

RETRY_AFTER_S = 5.0
"""How long a recorder that could not be opened is left alone before the next attempt."""

LEVELS = ("none", "metadata", "request", "request_response")
"""How much of a request, or of a call to another service, is recorded."""

MASKED_NAMES_MAX = 4096
"""For how many groups of names it is remembered which of them are masked."""

PLACES_MAX = 1024
"""How many places the log is spared at a time; with more, some may be told of twice."""

LOG_INTERVAL_S = 60.0
"""How long the log is spared a second line about the same place: a fault of ours, or events that are lost."""


@dataclass(frozen=True)
class RuntimeSettings:
    """What the recorder must know; settings and environment are parsed into this by their owners."""

    service: str
    data_dir: Path
    environment: str = ""
    version: str = ""
    process_kind: str = "command"
    enabled: bool = True
    mask_fields: Sequence[str] = ()
    """Names masked in addition to the built-in ones."""
    detectors: Sequence[str] | None = None
    """Names of the value detectors, ``None``: all."""
    actor_fields: Sequence[str] = ("id", "label")
    """What of a user is recorded."""
    durability: Literal["buffered", "synced"] = "buffered"
    on_failure: _modes.OnFailure = _modes.DEFAULT
    """What happens when an event cannot be recorded."""
    on_error: Literal["degrade", "raise"] = "degrade"
    keep_rolled_back: Literal["sensitive", "all", "none"] = "sensitive"
    limits: Mapping[str, int] = field(default_factory=dict)
    outbound_level: str = "metadata"
    """How much of a call to another service is recorded."""
    request_id_header: str = "X-Request-ID"
    body_bytes: int = 16_384
    """How much of a body is kept where the level asks for bodies."""
    ignore_actions: Sequence[str] = ()
    """Actions that are left out, with ``*``."""
    anonymous: bool = True
    """Whether what anonymous actors do is recorded."""
    call_site: float = 0.0
    """The share of writes whose place in the code is recorded."""
    root: str = ""
    """The folder that places in the code are named from, empty: the current one."""
    masker: Callable[[Any, str], Any] | None = None
    """What the site masks beyond the built-in names and detectors."""
    nowhere: bool = False
    """Whether every event is made and then dropped."""
    on_audit_error: Callable[[BaseException, Mapping[str, Any]], Any] | None = None
    """Who is told about faults and losses."""
    task_starts: bool = False
    """Whether the beginning of a task is an event too."""


def settings_from_environment(environ: Mapping[str, str]) -> RuntimeSettings:
    """The settings of a process that has no Django: ``INDELIBLE_SERVICE``, ``INDELIBLE_DATA_DIR`` and their like.

    The service defaults to the name of the program, the data directory to ``.indelible`` in the current folder if it is there,
    otherwise to ``/var/lib/indelible``.

    Raises:
        IndelibleError: a variable has a value that is none of its choices.
    """
    # Late, because that module reports through this one.
    from indelible import _agent

    local = Path.cwd() / ".indelible"
    fallback = local if local.is_dir() else Path("/var/lib/indelible")
    return RuntimeSettings(
        service=environ.get("INDELIBLE_SERVICE") or _program_name(),
        data_dir=Path(environ.get("INDELIBLE_DATA_DIR") or fallback),
        environment=environ.get("INDELIBLE_ENVIRONMENT", ""),
        version=environ.get("INDELIBLE_VERSION", ""),
        process_kind=_agent.process_kind(),
        enabled=_choice(environ, "INDELIBLE_ENABLED", {"true": True, "false": False}, default="true"),
        durability=_choice(environ, "INDELIBLE_DURABILITY", _same("buffered", "synced"), default="buffered"),
        on_failure=_on_failure(environ.get("INDELIBLE_ON_FAILURE") or _modes.DEFAULT),
        on_error=_choice(environ, "INDELIBLE_ON_ERROR", _same("degrade", "raise"), default="degrade"),
        keep_rolled_back=_choice(environ, "INDELIBLE_KEEP_ROLLED_BACK", _same("sensitive", "all", "none"), default="sensitive"),
        outbound_level=_outbound_level(environ.get("INDELIBLE_OUTBOUND")),
        request_id_header=environ.get("INDELIBLE_REQUEST_ID_HEADER") or "X-Request-ID",
        task_starts=environ.get("INDELIBLE_TASKS") == "starts",
    )


class Runtime:
    """One process's recorder, redactor and counts. All methods may be called from any thread."""

    def __init__(self, settings: RuntimeSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        # Entered again by a handler of ours that records what is logged while it is held.
        self._importing = threading.RLock()
        self._native: ModuleType | None = None
        self._import_at = 0.0
        self._recorder: _native.Recorder | None = None
        self._redactor: _native.Redactor | None = None
        self._masked_names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._retry_at = 0.0
        self._problem: str | None = None
        self._unrecorded = 0
        self._untold = 0
        self._logged_at: dict[str, float] = {}
        self._faults = 0
        self._telling = threading.local()

    def native(self) -> ModuleType | None:
        """The module ``indelible._native``, or ``None`` where it is not installed or does not load."""
        if self._native is None:
            # A second thread waits for the import of the first: without the module it would open nothing for seconds.
            with self._importing:
                self._import()
        return self._native

    def _import(self) -> None:
        if self._native is not None or self._clock() < self._import_at:
            return
        # A failed import searches the disk each time: not for every event.
        self._import_at = self._clock() + RETRY_AFTER_S
        try:
            from indelible import _native
        except ImportError as error:
            self._report(f"the native module cannot be imported ({error}); reinstall indelible")
        else:
            self._native = _native

    def redactor(self) -> _native.Redactor | None:
        """The redactor of these settings, ``None`` without the native module."""
        if self._redactor is None:
            native = self.native()
            if native is None:
                return None
            try:
                self._redactor = native.Redactor(mask_fields=tuple(self.settings.mask_fields), detectors=self.settings.detectors)
            except ValueError as error:
                # Recording with fewer detectors than somebody asked for would store what they wanted masked.
                self._report(f"MASK: {error}", cause=error)
        return self._redactor

    def masked_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of ``names`` whose values are masked; remembered, for names that come again and again, such as the parameters of a route."""
        masked = self._masked_names.get(names)
        if masked is None:
            redactor = self.redactor()
            if redactor is None:
                return ()
            masked = tuple(name for name in names if redactor.masks_field(name))
            if len(self._masked_names) < MASKED_NAMES_MAX:
                self._masked_names[names] = masked
        return masked

    def recorder(self) -> _native.Recorder | None:
        """The recorder, opened on the first call. ``None`` when recording is off or cannot be opened at the moment.

        A failure is logged at ERROR when it appears and again when its cause changes, not for every event. The next attempt is made
        after ``RETRY_AFTER_S``. With ``on_error="raise"`` the failure is raised.
        """
        if self._recorder is not None or not self.settings.enabled:
            return self._recorder
        opened = None
        with self._lock:
            if self._recorder is None and self._clock() >= self._retry_at:
                self._retry_at = self._clock() + RETRY_AFTER_S
                opened = self._recorder = self._open()
                if opened is not None and self._untold:
                    opened.count_losses(self._untold)
                    self._untold = 0
        if opened is not None and _capture is None:
            self._tell_opened()
        return self._recorder

    def lose(self, events: int = 1) -> None:
        """Counts events that a fault of ours cost, or that no recorder was there to take.

        The journal is told, at once or when it is opened, and makes one event of the trail of them: ``audit.loss``.
        """
        with self._lock:
            self._unrecorded += events
            recorder = self._recorder
            if recorder is None:
                self._untold += events
        if recorder is not None:
            recorder.count_losses(events)

    def refuse(self, *classes: str) -> None:
        """Refuses what could not be recorded for want of a recorder, if an event of these classes (a model's label, a kind of events) is
        ``required``. Where recording is off, nothing is.

        Raises:
            Refused: it must not be done unrecorded.
        """
        if self.settings.enabled and _modes.mode_of(self.settings.on_failure, *classes) == "required":
            raise Refused(f"nothing can be recorded: {self._problem or 'the journal could not be opened a moment ago, try again'}")

    def fault(self, where: str, error: BaseException) -> None:
        """Takes note of a fault of ours that the application must not see: counts it, tells ``on_audit_error``, logs it at most once a minute
        for one place.

        Call it in the ``except`` clause that caught the error. With ``on_error="raise"`` the error is raised again.
        """
        if self.settings.on_error == "raise":
            raise error
        with self._lock:
            self._faults += 1
        if self._is_time_to_log(where):
            told = "indelible: a fault in %s; the application goes on, the event may be missing\n%s"
            logger.error(told, where, self._traceback(error))
        self._tell(error, where)

    def missed(self, where: str, error: BaseException) -> None:
        """Takes note of a fault that cost an event. What the journal refused it has counted itself."""
        if not isinstance(error, Refused):
            self.lose()
        self.fault(where, error)

    def note_loss(self, cause: str | None) -> None:
        """Says in the log, at most once a minute, that the journal does not take events; it counts them itself."""
        recorder = self._recorder
        if recorder is not None and self._is_time_to_log("the journal"):
            logger.error("indelible: events are lost (%d so far): %s", recorder.health()["lost"], cause or "cause unknown")
        self._tell(IndelibleError(cause or "an event could not be recorded"), "the journal")

    def _traceback(self, error: BaseException) -> str:
        """The traceback as redacted text. Handed over as an exception, its frames would show what was to be recorded to an error tracker."""
        text = "".join(traceback.format_exception(error)).rstrip()
        return type(error).__qualname__ if self._redactor is None else self._redactor.text(text)

    def _tell(self, error: BaseException, where: str) -> None:
        """Tells the site's own function, which may record something itself: what fails in there is logged and goes no further."""
        listener = self.settings.on_audit_error
        if listener is None or getattr(self._telling, "busy", False):
            return
        self._telling.busy = True
        try:
            listener(error, {"where": where, **(_describe_moment() if _describe_moment is not None else {})})
        except (Exception, SystemExit) as fault:
            if self._is_time_to_log("ON_AUDIT_ERROR"):
                logger.error("indelible: a fault in ON_AUDIT_ERROR, which was told about %s\n%s", where, self._traceback(fault))
        finally:
            self._telling.busy = False

    def health(self) -> dict[str, Any]:
        """What the recorder says about itself, with ``ok``, ``problem``, ``unrecorded`` (events that never came to the journal: a fault of ours cost
        them, or there was no recorder) and ``faults`` (of hooks, and of functions of the site).

        ``lost`` counts every event that the journal could not take or was told of as lost, and with it those of ``unrecorded``.
        """
        report: dict[str, Any] = {
            "ok": self._problem is None,
            "enabled": self.settings.enabled,
            "problem": self._problem,
            "unrecorded": self._unrecorded,
            "faults": self._faults,
            "service": self.settings.service,
            "data_dir": str(self.settings.data_dir),
        }
        if self._recorder is not None:
            report.update(self._recorder.health())
            report["ok"] = report["ok"] and not report.get("lost")
        return report

    def close(self) -> None:
        """Closes the journal in order. A later event opens a new one. What was lost before one could be opened is told now, if that is possible."""
        if self._untold and _capture is None:
            self._retry_at = 0.0
            try:
                self.recorder()
            except Exception as error:
                # With on_error="raise"; who recorded has met it already.
                logger.debug("indelible: losses could not be told: %s", error)
        with self._lock:
            recorder, self._recorder = self._recorder, None
            self._retry_at = 0.0
        if recorder is None:
            return
        try:
            recorder.close()
        except IndelibleError as error:
            # Everything recorded is in the journal; only the word that this was the end is missing.
            logger.warning("indelible: the journal was not closed in order: %s", error)

    def after_fork_in_child(self) -> None:
        """Forgets what only a thread of the parent could have ended."""
        # Another thread of the parent may have held the lock at the moment of the fork; nobody in the child would release it.
        self._lock = threading.Lock()
        self._importing = threading.RLock()
        # Its parent tells of these.
        self._untold = 0

    def _open(self) -> _native.Recorder | None:
        native, redactor = self.native(), self.redactor()
        if native is None or redactor is None:
            return None
        settings = self.settings
        try:
            recorder: _native.Recorder = native.Recorder(
                redactor,
                data_dir=settings.data_dir,
                service=settings.service,
                environment=settings.environment,
                version=settings.version,
                process_kind=settings.process_kind,
                durability=settings.durability,
                on_failure=settings.on_failure if isinstance(settings.on_failure, str) else dict(settings.on_failure),
                keep_rolled_back=settings.keep_rolled_back,
                limits=dict(settings.limits),
                on_loss=_note_loss,
                capture=_capture,
            )
        except (IndelibleError, OSError, ValueError) as error:
            self._report(str(error), cause=error)
            return None
        _recorders.add(recorder)
        if self._problem is not None:
            logger.warning("indelible: recording again; %d events were not recorded", self._unrecorded)
            self._problem = None
        if _capture is not None:
            # Somebody looks: what would go nowhere goes to them.
            settings = replace(settings, nowhere=False)
        return _finish.finished(recorder, redactor, settings, self.fault)

    def _is_time_to_log(self, where: str) -> bool:
        now = self._clock()
        if now - self._logged_at.get(where, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
            return False
        if len(self._logged_at) >= PLACES_MAX:
            self._logged_at.clear()
        self._logged_at[where] = now
        return True

    def _tell_opened(self) -> None:
        if _on_open is None or self.settings.nowhere:
            return
        try:
            _on_open()
        except Exception as error:
            self.fault("what follows the opening of the journal", error)

    def _report(self, problem: str, *, cause: Exception | None = None) -> None:
        if self.settings.on_error == "raise":
            raise cause or IndelibleError(problem)
        if problem != self._problem:
            logger.error("indelible: nothing is recorded: %s. The application goes on.", problem)
            self._problem = problem


_current: Runtime | None = None
_recorders: weakref.WeakSet[_native.Recorder] = weakref.WeakSet()
_forking: list[list[_native.Recorder]] = []
_on_open: Callable[[], None] | None = None
_capture: _native.Capture | None = None
_describe_moment: Callable[[], Mapping[str, Any]] | None = None


def set_describe_moment(describe: Callable[[], Mapping[str, Any]] | None) -> None:
    """Names the function that says what was going on when something failed; it must not raise. Django names the request."""
    global _describe_moment
    _describe_moment = describe


def set_on_open(on_open: Callable[[], None] | None) -> None:
    """Names the function that is called when a journal has been opened; it must not raise. In development it starts the agent."""
    global _on_open
    _on_open = on_open


def capture() -> _native.Capture | None:
    """Where events go instead of the journal, ``None``: they go to the journal."""
    return _capture


def set_capture(capture: _native.Capture | None) -> None:
    """Sends what is recorded from now on to ``capture``, whatever the settings; with ``None`` to the journal. For tests.

    An open recorder is closed, so it must not be called while a transaction holds events: those stay where they are.
    """
    global _capture
    if capture is not _capture:
        _capture = capture
        if _current is not None:
            _current.close()


def configure(settings: RuntimeSettings) -> Runtime:
    """Makes these the settings of the process. An open recorder of earlier settings is closed."""
    global _current
    previous, _current = _current, Runtime(settings)
    if previous is not None:
        previous.close()
    return _current


def runtime() -> Runtime:
    """The runtime of the process; configured from the environment where nobody called :func:`configure`."""
    if _current is None:
        return configure(settings_from_environment(os.environ))
    return _current


def is_configured() -> bool:
    """Whether somebody has said what the settings of this process are, or an event has been recorded."""
    return _current is not None


def recorder() -> _native.Recorder | None:
    """Short for ``runtime().recorder()``."""
    return runtime().recorder()


def health() -> dict[str, Any]:
    """How recording is doing in this process: ``ok``, ``problem``, ``unrecorded``, and the counts of the journal when it is open."""
    return runtime().health()


@atexit.register
def _close_at_exit() -> None:
    if _current is not None:
        _current.close()


def _note_loss(cause: str | None) -> None:
    # A function and no method: the recorder keeps it, and the runtime keeps the recorder.
    if _current is not None:
        _current.note_loss(cause)


def _before_fork() -> None:
    # Also those that are closed at this moment, of which the runtime knows nothing any more.
    recorders = list(_recorders)
    for recorder in recorders:
        recorder.before_fork()
    _forking.append(recorders)


def _after_fork_in_parent() -> None:
    for recorder in _forking.pop():
        recorder.after_fork_in_parent()


def _after_fork_in_child() -> None:
    _forking.clear()
    for recorder in list(_recorders):
        recorder.after_fork_in_child()
    if _current is not None:
        _current.after_fork_in_child()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _program_name() -> str:
    stem = Path(sys.argv[0] if sys.argv else "").stem.lower()
    return re.sub(r"[^a-z0-9._-]+|^[^a-z0-9]+", "", stem)[:64] or "python"


def _outbound_level(given: str | None) -> str:
    """The level in ``INDELIBLE_OUTBOUND``, which is ``{"level": …}`` as in Django's settings."""
    if given is None:
        return "metadata"
    try:
        level = json.loads(given)["level"]
    except (ValueError, TypeError, LookupError):
        level = None
    if level not in LEVELS:
        raise IndelibleError(f'INDELIBLE_OUTBOUND={given!r} is not {{"level": …}} with one of: {", ".join(LEVELS)}')
    return str(level)


def _on_failure(given: str) -> _modes.OnFailure:
    """The modes in ``INDELIBLE_ON_FAILURE``: a word, or a JSON object as in Django's settings."""
    try:
        return _modes.checked(json.loads(given) if given.lstrip().startswith("{") else given.lower())
    except ValueError as error:
        hint = getattr(error, "hint", None)
        raise IndelibleError(f"INDELIBLE_ON_FAILURE={given!r}: {error}{f'. {hint}' if hint else ''}") from error


def _same(*choices: str) -> dict[str, Any]:
    return {choice: choice for choice in choices}


def _choice(environ: Mapping[str, str], name: str, choices: Mapping[str, Any], *, default: str) -> Any:
    given = environ.get(name, default).lower()
    if given not in choices:
        raise IndelibleError(f"{name}={given!r} is none of: {', '.join(choices)}")
    return choices[given]
