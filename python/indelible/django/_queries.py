"""What a query says, in words and without its parameters: expressions, conditions, and the keys it asks for.

Parameters are left out because they are data: a condition such as ``ssn = '…'`` would carry into the trail what masking keeps out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import F, Model, Value
from django.db.models.expressions import Col, CombinedExpression
from django.db.models.lookups import Exact, In
from django.db.models.sql.where import NothingNode, WhereNode

IDS_MAX: Final = 1000
"""How many keys of one statement are listed."""

_DEPTH_MAX: Final = 8
_TEXT_MAX: Final = 1000


def is_expression(value: Any) -> bool:
    """Whether the database computes the value."""
    return hasattr(value, "resolve_expression")


def expression_text(expression: Any) -> str:
    """An expression as a formula: fields by name, parameters as ``?``, functions by their names: ``stock - ?``."""
    return _text(expression, 0)[:_TEXT_MAX]


def where_text(where: WhereNode) -> str | None:
    """The condition of a statement as Django's lookups without values: ``status__exact AND NOT age__gt``; ``None``: no condition."""
    return _condition(where, 0)[:_TEXT_MAX] or None


def asked_for(where: WhereNode, attname: str) -> list[Any] | None:
    """The values that a condition demands of one column, ``None`` when it does not name them.

    The condition may demand more: a row that is not listed is certainly not touched, one that is may not be.
    """
    if where.negated or (where.connector != "AND" and len(where.children) > 1):
        return None
    for child in where.children:
        values = asked_for(child, attname) if isinstance(child, WhereNode) else _demanded(child, attname)
        if values is not None:
            return values
    return None


def only_asked_for(where: WhereNode, attname: str) -> list[Any] | None:
    """The values that a condition demands of one column, ``None`` when it demands anything else."""
    if len(where.children) != 1 or where.negated:
        return None
    (child,) = where.children
    return only_asked_for(child, attname) if isinstance(child, WhereNode) else _demanded(child, attname)


def listed(where: WhereNode, attname: str) -> list[Any] | None:
    """The values in the condition that Django makes to delete rows by their keys; ``None``: it is another one.

    What :func:`only_asked_for` would answer, for less: this condition is read with every row that is deleted.
    """
    children = where.children
    if len(children) != 1 or where.negated:
        return None
    lookup: Any = children[0]
    if not isinstance(lookup, In) or type(lookup.lhs) is not Col or lookup.lhs.target.attname != attname:
        return None
    values = lookup.rhs
    return values if type(values) is list else None


def only_keys(where: WhereNode, attnames: Sequence[str]) -> list[Any] | None:
    """The keys of several columns that a condition demands, ``None`` when it demands anything else."""
    if len(where.children) != 1 or where.negated:
        return None
    (child,) = where.children
    if isinstance(child, WhereNode):
        return only_keys(child, attnames)
    targets = getattr(getattr(child, "lhs", None), "targets", ())
    if not isinstance(child, In) or not isinstance(child.rhs, (list, tuple)) or [field.attname for field in targets] != list(attnames):
        return None
    return [tuple(key) for key in child.rhs]


def is_only_about(where: WhereNode, attnames: Sequence[str]) -> bool:
    """Whether the condition is nothing but a list of values for each of these columns."""
    if where.negated or (where.connector != "AND" and len(where.children) > 1):
        return False
    return all(
        is_only_about(child, attnames) if isinstance(child, WhereNode) else any(_demanded(child, name) is not None for name in attnames)
        for child in where.children
    )


def _demanded(lookup: Any, attname: str) -> list[Any] | None:
    column = getattr(lookup, "lhs", None)
    if not isinstance(column, Col) or column.target.attname != attname:
        return None
    value = lookup.rhs
    if is_expression(value) or hasattr(value, "get_compiler"):
        return None
    values = list(value) if isinstance(lookup, In) else [value] if isinstance(lookup, Exact) else None
    if values is None:
        return None
    return [item.pk if isinstance(item, Model) else item for item in values]


def _text(part: Any, depth: int) -> str:
    if depth > _DEPTH_MAX:
        return "…"
    if isinstance(part, F):
        return str(vars(part)["name"])
    if isinstance(part, Col):
        return str(part.target.name)
    if isinstance(part, Value):
        return "?"
    if isinstance(part, CombinedExpression):
        return f"{_operand(part.lhs, depth)} {part.connector} {_operand(part.rhs, depth)}"
    if isinstance(part, WhereNode):
        return _condition(part, depth)
    sources = part.get_source_expressions() if hasattr(part, "get_source_expressions") else []
    name = getattr(part, "function", None) or type(part).__name__
    return f"{name}({', '.join(_text(source, depth + 1) for source in sources if source is not None)})"


def _operand(part: Any, depth: int) -> str:
    text = _text(part, depth + 1)
    return f"({text})" if isinstance(part, CombinedExpression) else text


def _condition(part: Any, depth: int) -> str:
    if depth > _DEPTH_MAX:
        return "…"
    if isinstance(part, WhereNode):
        texts = [_condition(child, depth + 1) for child in part.children]
        text = f" {part.connector} ".join(text for text in texts if text)
        nested = len(part.children) > 1 and (depth > 0 or part.negated)
        text = f"({text})" if nested else text
        return f"NOT {text}" if part.negated and text else text
    if isinstance(part, NothingNode):
        return "nothing"
    if hasattr(part, "lookup_name") and hasattr(part, "lhs"):
        return f"{_text(part.lhs, depth + 1)}__{part.lookup_name}"
    return _text(part, depth + 1)
