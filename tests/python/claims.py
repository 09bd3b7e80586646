"""Which acceptance scenarios and which defects of other packages the tests claim to cover, read from their source.

Python tests say it with ``@pytest.mark.scenario(13)`` and ``@pytest.mark.defect("A-18", "S-3")``, tests in Rust with a comment before their
``#[test]``: ``// covers: scenario 36, G-18, H4``.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCENARIOS = frozenset(range(1, 39))
DEFECTS = frozenset(
    f"{package}{number}" for package, last in (("A-", 29), ("F-", 17), ("G-", 20), ("S-", 16), ("H", 14)) for number in range(1, last + 1)
)

_COVERS = re.compile(r"^\s*// covers: (.+)$")
_RUST_TEST = re.compile(r"^\s*(?:async )?fn (\w+)\(")


@dataclass
class Claims:
    """``scenarios`` and ``defects`` map what is claimed to the tests that claim it; ``tests`` are the names of all tests."""

    scenarios: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    defects: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    tests: set[str] = field(default_factory=set)


def read(root: Path = ROOT) -> Claims:
    """The claims of all tests of a tree."""
    claims = Claims()
    for path in sorted((root / "tests" / "python").rglob("test_*.py")):
        _read_python(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"), claims)
    for path in sorted((root / "crates").rglob("*.rs")):
        _read_rust(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"), claims)
    return claims


def _read_python(name: str, text: str, claims: Claims) -> None:
    tree = ast.parse(text, name)
    module = [mark for node in tree.body if _assigns_pytestmark(node) for mark in _marks(node)]
    for node, inherited in _tests(tree, module):
        test = f"{name}::{node.name}"
        claims.tests.add(node.name)
        for kind, values in [*inherited, *(mark for decorator in node.decorator_list for mark in _marks(decorator))]:
            for value in values:
                if kind == "scenario":
                    claims.scenarios[value].append(test)
                else:
                    claims.defects[value].append(test)


Mark = tuple[str, list]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _tests(scope: ast.Module | ast.ClassDef, inherited: list[Mark]) -> Iterator[tuple[Function, list[Mark]]]:
    for node in scope.body:
        if isinstance(node, Function) and node.name.startswith("test_"):
            yield node, inherited
        elif isinstance(node, ast.ClassDef):
            yield from _tests(node, inherited + [mark for decorator in node.decorator_list for mark in _marks(decorator)])


def _assigns_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)


def _marks(node: ast.AST) -> Iterator[Mark]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("scenario", "defect"):
            yield call.func.attr, [ast.literal_eval(argument) for argument in call.args]


def _read_rust(name: str, text: str, claims: Claims) -> None:
    covered: list[str] = []
    is_test = False
    for line in text.splitlines():
        if covers := _COVERS.match(line):
            covered += [part.strip() for part in covers[1].split(",")]
        elif "#[test]" in line or "#[tokio::test" in line:
            is_test = True
        elif is_test and (function := _RUST_TEST.match(line)):
            claims.tests.add(function[1])
            for part in covered:
                kind, _, number = part.partition(" ")
                if kind == "scenario":
                    claims.scenarios[int(number)].append(f"{name}::{function[1]}")
                else:
                    claims.defects[part].append(f"{name}::{function[1]}")
            covered, is_test = [], False


def listed(page: str) -> dict[str, str]:
    """The defects that a page lists in a row of a table of their own, ``| A-29 | reason |``, with all that the row says of them."""
    rows = (row.strip().strip("|").split("|") for row in page.splitlines() if row.lstrip().startswith("|"))
    found: dict[str, str] = {}
    for first, *rest in rows:
        reason = " ".join(cell.strip() for cell in rest).strip()
        for defect in re.findall(r"\b(?:[AFGS]-\d+|H\d+)\b", first):
            if reason:
                found[defect] = reason
    return found


def tests_named(page: str) -> set[str]:
    """The tests that a page names, as ``test_x`` or ``tests/python/test_y.py::test_x``; files are no tests."""
    return set(re.findall(r"`(?:[\w./-]+::)?(test_\w+)`", page))
