"""The version of the package; ``pyproject.toml`` and the native module carry the same."""

from __future__ import annotations

__version__ = "0.1.0"
