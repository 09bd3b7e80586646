"""The exceptions that users of the package can meet."""

from __future__ import annotations


class IndelibleError(Exception):
    """Base of all exceptions of this package."""
