"""What tests run on, read from their source: which databases, sync or in an event loop, and whether they assert anything."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

BOTH_DATABASES = frozenset({"sqlite", "postgresql"})
BOTH_MODES = frozenset({"sync", "async"})
RAISING = frozenset({"pytest.raises", "pytest.fail"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Surroundings:
    """``databases``: those that the fixture ``database`` puts in place; ``modes``: ``sync``, ``async`` or both."""

    databases: frozenset[str]
    modes: frozenset[str]


class Module:
    """The tests of one file."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self._marks = [node for node in self.tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"]
        self._in_loop = {node.name for node in self.tree.body if _runs_in_loop(node)}
        self._fixtures = {node.name: node for node in self.tree.body if isinstance(node, Function) and _is_fixture(node)}

    def of(self, test: Function, scopes: Iterable[ast.ClassDef] = ()) -> Surroundings:
        """Where a test runs, by its own marks and those of its classes and its module."""
        marks = [*self._marks, *(decorator for scope in (*scopes, test) for decorator in scope.decorator_list)]
        fixtures = self._closure({*_arguments(test), *(name for mark in marks for name in _used(mark))})
        databases = next((narrowed for mark in marks if (narrowed := _narrowed(mark))), BOTH_DATABASES)
        return Surroundings(databases if "database" in fixtures else frozenset(), self._modes(test, fixtures))

    def _closure(self, names: set[str]) -> set[str]:
        """The fixtures of these names and those that they ask for, as far as this module defines them."""
        found: set[str] = set()
        while names:
            name = names.pop()
            found.add(name)
            if name in self._fixtures:
                fixture = self._fixtures[name]
                asked = {*_arguments(fixture), *_asked_at_run_time(fixture)}
                names |= asked - found
        return found

    def _modes(self, test: Function, fixtures: set[str]) -> frozenset[str]:
        called = {_called(node) for node in ast.walk(test) if isinstance(node, ast.Call)}
        if called & self._in_loop or any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(test)):
            return frozenset({"async"})
        params = [_words(decorator) for name in fixtures if name in self._fixtures for decorator in self._fixtures[name].decorator_list]
        return BOTH_MODES if any("async" in word.split() for words in params for word in words) else frozenset({"sync"})


def asserting(trees: Iterable[ast.Module]) -> set[str]:
    """The names of functions that assert, or that call one that does. Methods do not count: reading a trail is no assertion about it."""
    calls: dict[str, set[str]] = {}
    found: set[str] = set()
    for function in (node for tree in trees for node in ast.walk(tree) if isinstance(node, Function)):
        called = {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
        calls.setdefault(function.name, set()).update(called)
        if called & RAISING or any(isinstance(node, ast.Assert) or _must_succeed(node) for node in ast.walk(function)):
            found.add(function.name)
    while more := {name for name, names in calls.items() if names & found} - found:
        found |= more
    return found


def is_left_out(test: Function) -> bool:
    """Whether a mark keeps a test from running, or from failing, everywhere."""
    marks = {ast.unparse(node.func if isinstance(node, ast.Call) else node) for node in test.decorator_list}
    return bool(marks & {"pytest.mark.skip", "pytest.mark.xfail"})


def trees(folder: Path) -> Iterator[ast.Module]:
    """The source of a folder of tests."""
    for file in sorted(folder.rglob("*.py")):
        yield ast.parse(file.read_text(encoding="utf-8"), str(file))


def _must_succeed(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "check" and ast.unparse(node.value) == "True"


def _runs_in_loop(node: ast.AST) -> bool:
    return isinstance(node, Function) and any("in_loop" in ast.unparse(decorator) for decorator in node.decorator_list)


def _is_fixture(node: Function) -> bool:
    return any("pytest.fixture" in ast.unparse(decorator) for decorator in node.decorator_list)


def _arguments(function: Function) -> set[str]:
    return {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}


def _asked_at_run_time(fixture: Function) -> set[str]:
    return {word for call in _calls(fixture, "getfixturevalue") for word in _words(call)}


def _used(mark: ast.AST) -> set[str]:
    return {word for call in _calls(mark, "usefixtures") for word in _words(call)}


def _narrowed(mark: ast.AST) -> frozenset[str]:
    """The databases that ``parametrize("database", …)`` leaves."""
    for call in _calls(mark, "parametrize"):
        if call.args and ast.unparse(call.args[0]) in ("'database'", '"database"'):
            return frozenset(_words(call.args[1]))
    return frozenset()


def _calls(node: ast.AST, name: str) -> Iterator[ast.Call]:
    return (call for call in ast.walk(node) if isinstance(call, ast.Call) and _called(call) == name)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def _words(node: ast.AST) -> set[str]:
    return {constant.value for constant in ast.walk(node) if isinstance(constant, ast.Constant) and isinstance(constant.value, str)}
