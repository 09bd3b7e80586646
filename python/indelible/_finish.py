"""The last step before an event is recorded, for sites that ask for one: leave it out, say where in the code it came from, mask more of it.

A site that asks for nothing of this has the native recorder itself and pays nothing.
"""

from __future__ import annotations

import functools
import json
import os
import random
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from indelible._recorded import Recorded

if TYPE_CHECKING:
    from indelible import _native
    from indelible._runtime import RuntimeSettings

Fault = Callable[[str, BaseException], None]
Masker = Callable[[Any, str], Any]

IGNORED: Final = Recorded("ignored")
MASK: Final = "[masked]"
CODE_TEXT_MAX: Final = 256
_WITH_CODE: Final = frozenset({"change", "action", "read"})
_JSON_PARTS: Final = frozenset({"request.headers", "request.body", "request.response", "request.response_headers", "meta", "changes"})
# Of a change only what it says about values; the name of a field and whether a value is known are ours to say.
_VALUES_OF_CHANGE: Final = ("old", "new", "added", "removed", "ids")

# What a faulty function of the site may raise: `sys.exit` in it included, but not what stops a task or a thread from outside.
FAULTS: Final = (Exception, SystemExit, GeneratorExit)


def finished(recorder: _native.Recorder, redactor: _native.Redactor, settings: RuntimeSettings, fault: Fault) -> _native.Recorder:
    """The recorder, with the steps that the settings ask for before it."""
    steps = Steps(redactor, settings, fault)
    return cast("_native.Recorder", Finishing(recorder, steps)) if steps.any else recorder


class Steps:
    """What is done to every event; a fault in it costs what the step would have added, and masks what it would have masked."""

    def __init__(self, redactor: _native.Redactor, settings: RuntimeSettings, fault: Fault) -> None:
        self._redactor = redactor
        self._fault = fault
        self._ignored = tuple(settings.ignore_actions)
        self._anonymous = settings.anonymous
        self._share = settings.call_site
        # A generator of our own: the application's may have been seeded for a purpose.
        self._random = random.Random()
        self._root = os.path.join(settings.root or os.getcwd(), "")
        self._masker = settings.masker
        self._nowhere = settings.nowhere
        self.any = bool(self._ignored or not self._anonymous or self._share or self._masker or self._nowhere)

    def wants(self, event: _native.Event) -> bool:
        """Whether the event is recorded; it is complete afterwards."""
        if not self._anonymous and event.actor_type == "anonymous" and event.outcome != "denied":
            return False
        if self._ignored and any(fnmatchcase(event.action, pattern) for pattern in self._ignored):
            return False
        if self._share and event.kind in _WITH_CODE and self._random.random() < self._share:
            self._add_code(event)
        if self._masker is not None:
            self._mask(event, self._masker)
        return not self._nowhere

    def _add_code(self, event: _native.Event) -> None:
        try:
            code = call_site(self._root)
            if code is not None:
                event.add(self._redactor, code=code)
        except Exception as error:
            self._fault("CALL_SITE", error)

    def _mask(self, event: _native.Event, masker: Masker) -> None:
        masking = _Masking(masker, self._redactor, self._fault)
        replaced = [(name, text) for name, given in event.parts() if (text := masking.part(name, given)) != given]
        if replaced:
            event.replace(replaced)


class _Delegate:
    """Hands on what is done without an event. Whatever takes events must be written out below: handed on, it would pass by the steps."""

    DELEGATED: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, native: Any, steps: Steps) -> None:
        self._native = native
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        if name not in self.DELEGATED:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return getattr(self._native, name)


class Finishing(_Delegate):
    """A recorder before which the steps are taken."""

    DELEGATED = frozenset(
        {
            "abandon",
            # What it takes went through the steps before it was sealed.
            "append_outbox",
            "close",
            "count_losses",
            "declared",
            "event",
            "health",
            "next_position",
            "request",
            "resolve",
            "stream",
            "write_waiting",
        }
    )

    def record(self, event: _native.Event) -> Recorded:
        return cast("Recorded", self._native.record(event)) if self._steps.wants(event) else IGNORED

    def record_once(self, event: _native.Event, happened_at_ms: int, digest: bytes) -> Recorded | None:
        return cast("Recorded | None", self._native.record_once(event, happened_at_ms, digest)) if self._steps.wants(event) else IGNORED

    def transaction(self, alias: str) -> FinishingTransaction:
        return FinishingTransaction(self._native.transaction(alias), self._steps)

    def intent(self, alias: str, events: Iterable[_native.Event], evidence: str = "ack") -> FinishingIntent:
        announced = list(events)
        kept = [self._steps.wants(event) for event in announced]
        return FinishingIntent(self._native.intent(alias, _only(announced, kept), evidence), kept, self._steps)


class FinishingTransaction(_Delegate):
    """A transaction before which the steps are taken."""

    DELEGATED = frozenset({"evidence", "prepare", "release", "require", "rollback", "rollback_to", "savepoint", "seal"})

    # Makes events and holds them in one step, and nothing comes between: whoever finds it missing makes them one by one.
    hold_created: ClassVar[None] = None

    def __len__(self) -> int:
        return len(self._native)

    def hold(self, event: _native.Event) -> Recorded:
        return cast("Recorded", self._native.hold(event)) if self._steps.wants(event) else IGNORED

    def hold_all(self, events: Iterable[_native.Event]) -> None:
        self._native.hold_all(filter(self._steps.wants, events))

    def supersede(self, event: _native.Event) -> Recorded:
        return cast("Recorded", self._native.supersede(event)) if self._steps.wants(event) else IGNORED


class FinishingIntent(_Delegate):
    """An intent before which the steps are taken. Of the announced events only those that were ``kept`` have an answer."""

    DELEGATED = frozenset({"evidence", "id", "on_failure", "position", "rolled_back", "unknown"})

    def __init__(self, native: Any, kept: Sequence[bool], steps: Steps) -> None:
        super().__init__(native, steps)
        self._kept = kept

    def committed(self, events: Iterable[_native.Event | None] | None = None) -> None:
        bodies = None if events is None else list(events)
        if bodies is not None and len(bodies) == len(self._kept):
            bodies = _only(bodies, self._kept)
        for event in bodies or ():
            if event is not None:
                self._steps.wants(event)
        self._native.committed(bodies)

    def without_marker(self, alias: str) -> FinishingIntent | None:
        native = self._native.without_marker(alias)
        return None if native is None else FinishingIntent(native, self._kept, self._steps)

    def committed_keyed(self, keys: Sequence[Any]) -> None:
        self._native.committed_keyed(_only(keys, self._kept) if len(keys) == len(self._kept) else keys)


def call_site(root: str) -> tuple[str, int, str] | None:
    """File, line and function of the first caller that is neither of Django nor of an installed package nor ours; ``None`` without one.

    A file below ``root``, which ends in a separator, is named from there on.
    """
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if _is_of_site(code.co_filename):
            file = code.co_filename.removeprefix(root)
            name: str = getattr(code, "co_qualname", code.co_name)
            return file[-CODE_TEXT_MAX:], frame.f_lineno, name[:CODE_TEXT_MAX]
        # The stubs say that there always is a next frame.
        frame = frame.f_back  # type: ignore[assignment]
    return None


@functools.lru_cache(maxsize=4096)
def _is_of_site(file: str) -> bool:
    return not file.startswith("<") and not file.startswith(_not_of_site()) and not any(part in file for part in _INSTALLED)


_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@functools.cache
def _not_of_site() -> tuple[str, ...]:
    """The folders of Python's own library, of Django where it is used from a check-out, and ours."""
    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(__file__)}
    for name in ("django", "rest_framework"):
        file = getattr(sys.modules.get(name), "__file__", None)
        folders |= {os.path.dirname(file)} if file else set()
    return tuple(os.path.join(folder, "") for folder in folders)


class _Masking:
    """Asks the site's function about every value of one event."""

    def __init__(self, masker: Masker, redactor: _native.Redactor, fault: Fault) -> None:
        self._masker = masker
        self._redactor = redactor
        self._fault = fault

    def part(self, name: str, text: str) -> str:
        """The text of a part as it is to be stored."""
        if name not in _JSON_PARTS:
            return cast("str", self._value(text, name))
        given = json.loads(text)
        masked = [self._change(change) for change in given] if name == "changes" else self._walk(given, name)
        return text if masked == given else json.dumps(masked, ensure_ascii=False, separators=(",", ":"))

    def _change(self, change: dict[str, Any]) -> dict[str, Any]:
        path = f"changes.{change['field']}" if "field" in change else "changes"
        return {key: self._walk(value, f"{path}.{key}") if key in _VALUES_OF_CHANGE else value for key, value in change.items()}

    def _walk(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: self._walk(member, f"{path}.{key}") for key, member in value.items()}
        if isinstance(value, list):
            return [self._walk(element, f"{path}.{place}") for place, element in enumerate(value)]
        return self._value(value, path)

    def _value(self, value: Any, path: str) -> Any:
        if value is None or value == MASK:
            return value
        try:
            answer = self._masker(value, path)
            if type(answer) is type(value) and answer == value:
                return value
            return self._redactor.text(answer) if isinstance(answer, str) else MASK
        except FAULTS as error:
            self._fault("MASKER", error)
            return MASK


def _only(values: Iterable[Any], kept: Sequence[bool]) -> list[Any]:
    return [value for value, keep in zip(values, kept, strict=True) if keep]
