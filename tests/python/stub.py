"""The stub of the native module, as a tree; what a module that was built from an older source lacks of it."""

from __future__ import annotations

import ast
from pathlib import Path

from indelible import _native

STUB = ast.parse((Path(__file__).parents[2] / "python" / "indelible" / "_native.pyi").read_text())
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}


def lacking() -> list[str]:
    """What the stub names and the module does not have: our Python meets it as faults, which no application notices and few tests."""
    names = [(name, hasattr(_native, name)) for name in (*CLASSES, *FUNCTIONS)]
    names += [(f"{owner}.{name}", _has(owner, name)) for owner in CLASSES for name in members(owner)]
    return sorted(name for name, there in names if not there)


def members(owner: str) -> set[str]:
    """The methods and properties that the stub gives a class."""
    return {node.name for node in CLASSES[owner].body if isinstance(node, ast.FunctionDef)}


def _has(owner: str, name: str) -> bool:
    # What a class answers for unknown names is not among its attributes.
    return name == "__getattr__" or hasattr(getattr(_native, owner, None), name)
