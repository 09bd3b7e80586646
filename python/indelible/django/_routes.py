r"""The route template of a request: ``/patients/:id`` for ``path("patients/<int:id>")`` or ``re_path(r"^patients/(?P<id>\d+)$")``."""

from __future__ import annotations

import functools
import re

_CONVERTER = re.compile(r"<(?:[^>:]+:)?([A-Za-z_]\w*)>")
_NAMED_GROUP = re.compile(r"\(\?P<(\w+)>")
_TRANSPARENT_GROUP = re.compile(r"\(\?[aiLmsux]*:")
_LOOKAROUND = re.compile(r"\(\?(?:[=!#]|<[=!])")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[?+]?")


@functools.lru_cache(maxsize=4096)
def template(route: str) -> str:
    """The template of ``ResolverMatch.route``, which joins ``path`` and ``re_path`` patterns of all levels.

    Parameters become ``:name``, unnamed groups ``:1``, ``:2`` …; what is left of a regular expression are its literal characters.
    """
    if not any(character in route for character in "^$\\(["):
        return "/" + _CONVERTER.sub(r":\1", route)
    return "/" + _Pattern(route).text()


class _Pattern:
    """One pass over a pattern that mixes converters and regular expressions."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._place = 0
        self._unnamed = 0

    def text(self) -> str:
        return "".join(self._pieces())

    def _pieces(self) -> list[str]:
        pieces: list[str] = []
        while self._place < len(self._pattern):
            pieces.append(self._next())
        return pieces

    def _next(self) -> str:
        if match := self._take(_CONVERTER):
            return f":{match[1]}"
        character = self._pattern[self._place]
        if character == "(":
            return self._group()
        if character == "[":
            self._skip_class()
            return self._unnamed_parameter()
        self._place += 1
        if character == "\\":
            return self._escaped()
        if character in "^$)|":
            return ""
        if character in "*+?{":
            self._place -= 1
            if not self._take(_QUANTIFIER):
                self._place += 1
            return ""
        return character

    def _group(self) -> str:
        if match := self._take(_NAMED_GROUP):
            self._skip_group()
            return f":{match[1]}"
        if self._take(_LOOKAROUND):
            self._skip_group()
            return ""
        if self._take(_TRANSPARENT_GROUP):
            # Its content is part of the template; its closing parenthesis is dropped when it comes.
            return ""
        self._place += 1
        self._skip_group()
        return self._unnamed_parameter()

    def _unnamed_parameter(self) -> str:
        self._unnamed += 1
        return f":{self._unnamed}"

    def _escaped(self) -> str:
        character = self._pattern[self._place : self._place + 1]
        self._place += 1
        if character in "AZbB":
            return ""
        return self._unnamed_parameter() if character in "dDsSwW" else character

    def _skip_group(self) -> None:
        """Moves past the parenthesis that closes the group whose opening has been taken."""
        depth = 1
        while depth and self._place < len(self._pattern):
            character = self._pattern[self._place]
            if character == "[":
                self._skip_class()
                continue
            self._place += 2 if character == "\\" else 1
            depth += (character == "(") - (character == ")")

    def _skip_class(self) -> None:
        """Moves past a character class; a bracket that comes first in it is a literal."""
        self._place += 1
        if self._pattern[self._place : self._place + 1] == "^":
            self._place += 1
        self._place += 1
        while self._place < len(self._pattern) and self._pattern[self._place] != "]":
            self._place += 2 if self._pattern[self._place] == "\\" else 1
        self._place += 1

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._pattern, self._place)
        if match is not None:
            self._place = match.end()
        return match
