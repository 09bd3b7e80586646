"""The exceptions that users of the package can meet."""

from __future__ import annotations


class IndelibleError(Exception):
    """Base of all exceptions of this package."""


class Refused(IndelibleError):
    """The journal did not take an event that ``ON_FAILURE`` calls ``required``: what it tells of must not be done."""
