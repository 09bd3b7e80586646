"""What happens when an event cannot be recorded (``ON_FAILURE``): one mode for all events, or one for each class of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, get_args

from indelible._types import Kind

OnFailure: TypeAlias = "str | Mapping[str, str]"
"""A mode, or a mapping of ``default``, kinds of events and models to modes."""

MODES: Final = ("required", "standard", "best_effort")
DEFAULT: Final = "standard"
KINDS: Final[tuple[str, ...]] = get_args(Kind)


class Mistake(ValueError):
    """A value that says no mode; ``hint`` says what would."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def checked(value: Any) -> OnFailure:
    """The value, if it says a mode for every event. Whether a model of that name exists is not looked at.

    Raises:
        Mistake: it is no mode, or a dict with another key than ``default``, a kind of events or the label of a model.
    """
    if not isinstance(value, Mapping):
        return _mode(value, "")
    return MappingProxyType({"default": DEFAULT, **{_class(key): _mode(mode, f"{key!r}: ") for key, mode in value.items()}})


def mode_of(given: OnFailure, *classes: str) -> str:
    """The mode of the first of these classes that has one, else the default: ``mode_of(given, "clinic.Patient", "change")``."""
    if isinstance(given, str):
        return given
    return next((given[name] for name in classes if name in given), given.get("default", DEFAULT))


def _mode(value: Any, place: str) -> str:
    if value not in MODES:
        raise Mistake(f"{place}{value!r} is not one of {_words(MODES)}", _did_you_mean(value, MODES))
    return str(value)


def _class(key: Any) -> str:
    if isinstance(key, str) and (key == "default" or key in KINDS or _is_label(key)):
        return key
    known = ("default", *KINDS)
    hint = _did_you_mean(key, known) or "Write a kind of events, app_label.Model, or 'default'."
    raise Mistake(f"{key!r} is neither a kind of events ({_words(known)}) nor a model", hint)


def _is_label(key: str) -> bool:
    return key.count(".") == 1 and all(part.isidentifier() for part in key.split("."))


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(map(repr, words))


def _did_you_mean(word: Any, known: tuple[str, ...]) -> str | None:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.75) if isinstance(word, str) else ()
    return f"Did you mean {close[0]!r}?" if close else None
