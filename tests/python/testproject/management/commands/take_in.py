"""Another name for a command whose home is elsewhere."""

from __future__ import annotations

from testproject.management.commands.admit import Command

__all__ = ["Command"]
