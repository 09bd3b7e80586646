"""Tables and JSON on standard output."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Write: TypeAlias = "Callable[[str], object]"


def table(write: Write, title: str, rows: Sequence[Sequence[str]]) -> None:
    """Writes rows under a title, in columns that are as wide as they must be; nothing where there is no row."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    write(title)
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        write(f"  {'  '.join(cells)}".rstrip())


def document(write: Write, value: Any) -> None:
    """Writes one JSON document; data classes become objects."""
    write(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    return str(value)
