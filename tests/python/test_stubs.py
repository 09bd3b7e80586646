"""The stub of the native module says what the module has: the same names, parameters, kinds of parameters and defaults."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

import stub
from indelible import _native
from stub import CLASSES, FUNCTIONS, STUB

VALUES = {node.target.id: node for node in STUB.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
EXPORTED_AGAIN = {alias.name for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname}
METHODS = [(owner, node) for owner, each in CLASSES.items() for node in each.body if isinstance(node, ast.FunctionDef)]


def public(names: Any) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def test_the_module_and_the_stub_have_the_same_names() -> None:
    assert public(dir(_native)) == public(CLASSES) | public(FUNCTIONS) | public(VALUES) | EXPORTED_AGAIN
    assert "__version__" in VALUES


def test_the_stub_exports_all_of_it() -> None:
    (exported,) = (node.value for node in STUB.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    assert set(ast.literal_eval(exported)) == public(CLASSES) | public(FUNCTIONS) | public(VALUES) | EXPORTED_AGAIN | {"__version__"}


@pytest.mark.parametrize("owner", sorted(CLASSES))
def test_a_class_has_the_members_that_the_stub_says(owner: str) -> None:
    assert public(vars(getattr(_native, owner))) == public(stub.members(owner))


def test_nothing_that_the_stub_names_is_lacking_and_what_an_older_module_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stub.lacking() == []

    class Intent:
        """As it was before it had modes."""

        id = position = evidence = committed = committed_keyed = rolled_back = unknown = without_marker = None

    monkeypatch.setattr(_native, "Intent", Intent)
    assert stub.lacking() == ["Intent.on_failure"]


@pytest.mark.parametrize("owner", sorted(CLASSES))
def test_final_is_said_of_what_cannot_be_subclassed(owner: str) -> None:
    said = any(ast.unparse(decorator) == "final" for decorator in CLASSES[owner].decorator_list)
    try:
        type("Sub", (getattr(_native, owner),), {})
    except TypeError:
        assert said
    else:
        assert not said


@pytest.mark.parametrize(("owner", "node"), METHODS, ids=[f"{owner}.{node.name}" for owner, node in METHODS])
def test_a_method_takes_what_the_stub_says(owner: str, node: ast.FunctionDef) -> None:
    real = getattr(_native, owner)
    if any(ast.unparse(decorator) == "property" for decorator in node.decorator_list):
        assert inspect.isgetsetdescriptor(vars(real)[node.name])
    elif node.name == "__new__":
        assert parameters(real) == said_parameters(node)[1:]
    elif not node.name.startswith("__"):
        assert parameters(getattr(real, node.name))[1:] == said_parameters(node)[1:]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_takes_what_the_stub_says(name: str) -> None:
    assert parameters(getattr(_native, name)) == said_parameters(FUNCTIONS[name])


def parameters(callable_: Any) -> list[tuple[str, str, bool]]:
    """Name, kind and whether there is a default, of every parameter."""
    found = inspect.signature(callable_).parameters.values()
    return [(each.name, each.kind.name, each.default is not each.empty) for each in found]


def said_parameters(node: ast.FunctionDef) -> list[tuple[str, str, bool]]:
    arguments = node.args
    positional = [
        *((each.arg, "POSITIONAL_ONLY") for each in arguments.posonlyargs),
        *((each.arg, "POSITIONAL_OR_KEYWORD") for each in arguments.args),
    ]
    without = len(positional) - len(arguments.defaults)
    said = [(name, kind, place >= without) for place, (name, kind) in enumerate(positional)]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    said += [(arguments.vararg.arg, "VAR_POSITIONAL", False)] if arguments.vararg else []
    said += [(each.arg, "KEYWORD_ONLY", default is not None) for each, default in named]
    return said + ([(arguments.kwarg.arg, "VAR_KEYWORD", False)] if arguments.kwarg else [])
