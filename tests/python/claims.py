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

from surroundings import Function, Module, Surroundings, asserting, is_left_out, trees

ROOT = Path(__file__).parents[2]

SCENARIOS = frozenset(range(1, 39))
DEFECTS = frozenset(
    f"{package}{number}" for package, last in (("A-", 29), ("F-", 17), ("G-", 20), ("S-", 16), ("H", 14)) for number in range(1, last + 1)
)

_COVERS = re.compile(r"^\s*// covers: (.+)$")
_RUST_TEST = re.compile(r"^\s*(?:async )?fn (\w+)\(")
_DEFECT = r"(?:[AFGS]-\d+|H\d+)"


@dataclass
class Claims:
    """``scenarios`` and ``defects`` map what is claimed to the tests that claim it; ``tests`` are the names of all tests.

    ``surroundings`` says where each test of Python runs that claims a scenario; ``empty`` are claiming tests of Python that assert
    nothing, or that a mark leaves out.
    """

    scenarios: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    defects: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    tests: set[str] = field(default_factory=set)
    surroundings: dict[str, Surroundings] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)

    def claimed_for(self, defect: str) -> set[str]:
        """The names of the tests that claim a defect."""
        return {test.rpartition("::")[2] for test in self.defects.get(defect, ())}


def read(root: Path = ROOT) -> Claims:
    """The claims of all tests of a tree."""
    claims = Claims()
    folder = root / "tests" / "python"
    proving = asserting(trees(folder))
    for path in sorted(folder.rglob("test_*.py")):
        _read_python(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"), claims, proving)
    for path in sorted((root / "crates").rglob("*.rs")):
        _read_rust(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"), claims)
    return claims


def _read_python(name: str, text: str, claims: Claims, proving: set[str]) -> None:
    source = Module(text)
    module = [mark for node in source.tree.body if _assigns_pytestmark(node) for mark in _marks(node)]
    for node, scopes in _tests(source.tree):
        claims.tests.add(node.name)
        marks = [*module, *(mark for scope in (*scopes, node) for decorator in scope.decorator_list for mark in _marks(decorator))]
        if not marks:
            continue
        test = f"{name}::{node.name}"
        claims.surroundings[test] = source.of(node, scopes)
        if node.name not in proving or is_left_out(node):
            claims.empty.append(test)
        for kind, values in marks:
            for value in values:
                if kind == "scenario":
                    claims.scenarios[value].append(test)
                else:
                    claims.defects[value].append(test)


Mark = tuple[str, list]


def _tests(scope: ast.Module | ast.ClassDef, scopes: tuple[ast.ClassDef, ...] = ()) -> Iterator[tuple[Function, tuple[ast.ClassDef, ...]]]:
    for node in scope.body:
        if isinstance(node, Function) and node.name.startswith("test_"):
            yield node, scopes
        elif isinstance(node, ast.ClassDef):
            yield from _tests(node, (*scopes, node))


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


@dataclass(frozen=True)
class Row:
    """What a page says of one defect: the tests that it names, and what else keeps it away."""

    tests: frozenset[str]
    besides: str


def listed(page: str) -> dict[str, Row]:
    """The defects that a page lists in a row of their own, ``| A-29 | what goes wrong | `tests` | besides |``."""
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|"))
    return {
        row[0]: Row(frozenset(re.findall(r"`(?:[\w./-]+::)?(\w+)`", row[2])), row[3])
        for row in cells
        if len(row) == 4 and re.fullmatch(_DEFECT, row[0])
    }
