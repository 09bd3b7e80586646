"""What the site gave for one setting, and the words in which a mistake in it is told."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from django.utils.module_loading import import_string

UNSET: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in the settings. ``key`` is the setting, ``message`` what is wrong, ``hint`` what to do."""

    key: str
    message: str
    hint: str | None = None


class Invalid(Exception):
    """The value of a setting is not usable; ``hint`` says what is."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Site:
    """What defaults are derived from: Django's settings and whether a test runner drives the process."""

    django: Any
    testing: bool

    @property
    def debug(self) -> bool:
        return bool(getattr(self.django, "DEBUG", False))


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as the site gave it; every method returns the value or raises :class:`Invalid`."""

    value: Any
    from_environment: bool

    @property
    def missing(self) -> bool:
        return self.value is UNSET

    def text(self, default: str) -> str:
        """A string."""
        if self.missing:
            return default
        if not isinstance(self.value, str):
            raise Invalid(f"must be a string, not {kind(self.value)}")
        return self.value

    def choice(self, default: str, choices: Sequence[str]) -> str:
        """One of a few words."""
        value = self.text(default)
        if value not in choices:
            raise Invalid(f"{value!r} is not one of {words(choices)}", did_you_mean(value, choices))
        return value

    def boolean(self, default: bool) -> bool:
        """``True`` or ``False``; in the environment ``1``, ``true``, ``0`` or ``false``."""
        if self.missing:
            return default
        words = {"1": True, "true": True, "0": False, "false": False}
        value = words.get(str(self.value).lower(), self.value) if self.from_environment else self.value
        if not isinstance(value, bool):
            raise Invalid(f"must be True or False, not {self.value!r}")
        return value

    def integer(self, default: int, *, minimum: int) -> int:
        """A whole number."""
        return default if self.missing else integer(self._decoded(), minimum)

    def share(self, default: float) -> float:
        """A number from 0 to 1."""
        value = default if self.missing else self._decoded()
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise Invalid(f"must be a number from 0.0 to 1.0, not {value!r}")
        return float(value)

    def mapping(self) -> Mapping[str, Any]:
        """A dict with string keys; empty when not given."""
        value = {} if self.missing else self._decoded()
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Invalid(f"must be a dict with string keys, not {kind(value)}")
        return value

    def word_or_mapping(self, default: str) -> Any:
        """A string or a dict, not checked any further; in the environment JSON where it begins like an object."""
        if self.missing:
            return default
        is_word = isinstance(self.value, str) and not (self.from_environment and self.value.lstrip().startswith("{"))
        return self.value if is_word else self.mapping()

    def names(self, default: Sequence[str]) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(default) if self.missing else names(self._decoded())

    def function(self) -> Callable[..., Any] | None:
        """A dotted path to a function, or the function itself; ``None`` when not given."""
        if self.missing or self.value is None:
            return None
        hint = "Give the dotted path of a function."
        try:
            found = self.value if callable(self.value) else import_string(self.text(""))
        except ImportError as error:
            raise Invalid(f"{self.value!r} cannot be imported: {error}", hint) from error
        if not callable(found):
            raise Invalid(f"{self.value!r} is not callable", hint)
        return cast("Callable[..., Any]", found)

    def _decoded(self) -> Any:
        if not self.from_environment:
            return self.value
        try:
            return json.loads(self.value)
        except ValueError as error:
            raise Invalid(f"is not JSON: {error}") from error


def known_keys(value: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in value:
        if key not in known:
            raise Invalid(f"{key!r} is not one of {words(known)}", did_you_mean(key, known))


def integer(value: Any, minimum: int, name: str = "value") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise Invalid(f"{name} must be a whole number, at least {minimum}, not {value!r}")
    return value


def names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise Invalid(f"must be a list of strings, not {value!r}")
    return tuple(value)


def kind(value: Any) -> str:
    return type(value).__name__


def words(words: Sequence[str]) -> str:
    return ", ".join(repr(word) for word in words)


def did_you_mean(word: str, known: Sequence[str], *, alike: float = 0.6) -> str | None:
    close = difflib.get_close_matches(word, known, n=1, cutoff=alike)
    return f"Did you mean {close[0]!r}?" if close else None
