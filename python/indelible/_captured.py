"""Captured events and the questions that a test asks about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

from indelible import _criteria, _steady
from indelible._criteria import ANY, MASKED, UNKNOWN

if TYPE_CHECKING:
    from indelible import _native

__all__ = ["ANY", "MASKED", "UNKNOWN", "AuditEvent", "AuditEvents"]

Fate: TypeAlias = Literal["pending", "recorded", "committed", "rolled_back", "in_doubt"]

_SHOWN_MAX: Final = 8
"""Most events that a failure shows."""


class AuditEvent(dict[str, Any]):
    """One event: the members of its body (docs/format.md, "Body"), and what has become of it.

    ``fate`` is what was known when it was asked for: ``pending`` while its transaction is open, ``recorded`` when it waits for none,
    ``committed``, ``rolled_back`` or ``in_doubt``.
    """

    fate: Fate

    def __init__(self, body: dict[str, Any], fate: Fate) -> None:
        super().__init__(body)
        self.fate = fate

    @property
    def pending(self) -> bool:
        """Whether it waits for a COMMIT."""
        return self.fate == "pending"

    def changed(self, **fields: tuple[Any, Any]) -> AuditEvent:
        """Asserts that each field was changed from its first value to its second, and returns the event.

        A value is compared as it stands in a body: give a date, a ``Decimal`` or a UUID as itself. ``ANY`` stands for whatever it is,
        ``MASKED`` for a value that must not be there, ``UNKNOWN`` for one that nobody knows.

        Raises:
            AssertionError: a field did not change, or otherwise; the message shows how.
        """
        for field, values in fields.items():
            fault = _criteria.change_fault(self, field, values)
            if fault is not None:
                raise AssertionError(f"{self}: {fault}")
        return self

    def __str__(self) -> str:
        return _criteria.described(self, self.fate)

    def __repr__(self) -> str:
        return f"<AuditEvent {self}>"


class AuditEvents(Sequence[AuditEvent]):
    """The events made since a moment, and still being made: each question looks at what is there now. Any thread may ask.

    What was rolled back is not among them: it would not be in the trail (see :attr:`rolled_back`). Iterating gives dicts.
    """

    def __init__(self, source: _native.Capture) -> None:
        self.source = source
        self._first = source.mark()
        self._closed: list[AuditEvent] | None = None
        self._dropped = 0

    def one(self, **criteria: Any) -> AuditEvent:
        """The one event that matches all criteria.

        ``action`` (``noun.*`` for every verb), ``kind``, ``outcome``, ``fate``, ``reason``, ``tenant``, ``request_id``, ``method``,
        ``route``, ``path``, ``status``: the value, or a function of it. ``actor``: id, label, ``type:id``, ``type``, or a user.
        ``object``: ``type/id``, ``type`` (with or without its app), or an instance. ``field``: that it changed; with ``unmasked=True``,
        and its value stands in the event. ``meta``: members it has. ``pending``: whether it waits for a COMMIT.

        Raises:
            AssertionError: none matches, or several; the message shows those that come near and in what they differ.
            TypeError: there is no such criterion.
        """
        return self.exactly(1, **criteria)[0]

    def none(self, **criteria: Any) -> None:
        """Asserts that no event matches; without criteria, that there is none. Raises as :meth:`one`."""
        self.exactly(0, **criteria)

    def all(self, **criteria: Any) -> list[AuditEvent]:
        """The events that match, perhaps none, in the order in which they were made."""
        wanted = _criteria.parse(criteria)
        return [event for event in self._events() if not _criteria.faults(event, wanted)]

    def exactly(self, times: int, **criteria: Any) -> list[AuditEvent]:
        """The events that match, which are so many. Raises as :meth:`one`."""
        found = self.all(**criteria)
        if len(found) != times:
            raise AssertionError(self._complaint(times, found, criteria))
        return found

    @property
    def rolled_back(self) -> list[AuditEvent]:
        """What was announced and then rolled back, or turned out to have changed no row."""
        return [event for event in self._all() if event.fate == "rolled_back"]

    def snapshot(self) -> list[dict[str, Any]]:
        """The events with ids, keys, times and the like replaced by their order, for comparing with a text that is kept."""
        return _steady.steady(self._events())

    def clear(self) -> None:
        """Forgets what was made until now."""
        self._first, self._dropped = self.source.mark(), 0
        self._closed = None if self._closed is None else []

    def close(self) -> None:
        """Stops looking: what is made later is not among these events. Pending ones stay pending."""
        self._dropped, self._closed = self.source.dropped(self._first), self._read()

    def __iter__(self) -> Iterator[AuditEvent]:
        return iter(self._events())

    def __len__(self) -> int:
        return len(self._events())

    @overload
    def __getitem__(self, index: int) -> AuditEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[AuditEvent]: ...
    def __getitem__(self, index: int | slice) -> AuditEvent | list[AuditEvent]:
        return self._events()[index]

    def __repr__(self) -> str:
        return f"<AuditEvents {[str(event) for event in self._events()]}>"

    def _events(self) -> list[AuditEvent]:
        return [event for event in self._all() if event.fate != "rolled_back"]

    def _all(self) -> list[AuditEvent]:
        dropped = self.source.dropped(self._first) if self._closed is None else self._dropped
        if dropped:
            raise AssertionError(f"{dropped} events are no longer there, because too many followed them: ask earlier, or clear() first")
        return self._read() if self._closed is None else self._closed

    def _read(self) -> list[AuditEvent]:
        return [AuditEvent(json.loads(body), fate) for _, fate, body in self.source.since(self._first)]

    def _complaint(self, times: int, found: list[AuditEvent], criteria: dict[str, Any]) -> str:
        wanted = _criteria.parse(criteria)
        asked = ", ".join(f"{name}={value!r}" for name, value in criteria.items()) or "anything"
        head = f"{len(found)} events match {asked}; {times} should"
        if found and times < len(found):
            return _listed(f"{head}:", [str(event) for event in found])
        return self._nearest(head, found, wanted)

    def _nearest(self, head: str, found: list[AuditEvent], wanted: _criteria.Wanted) -> str:
        others = [(event, _criteria.faults(event, wanted)) for event in self._events()]
        near = sorted((pair for pair in others if pair[1]), key=lambda pair: len(pair[1]))
        if found:
            head = _listed(f"{head}:", [str(event) for event in found])
        if not near:
            undone = [str(event) for event in self.rolled_back]
            nothing = f"{head}. No {'other ' if found else ''}event was made"
            return _listed(f"{nothing} that was not rolled back:", undone) if undone else nothing
        return _listed(f"{head}. Nearest:", [f"{event}\n      {'; '.join(why)}" for event, why in near])


def _listed(head: str, lines: list[str]) -> str:
    shown = "".join(f"\n  - {line}" for line in lines[:_SHOWN_MAX])
    more = len(lines) - _SHOWN_MAX
    return f"{head}{shown}" + (f"\n  … and {more} more" if more > 0 else "")
