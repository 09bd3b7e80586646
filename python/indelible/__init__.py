"""Indelible: an audit trail that can be defended."""

from indelible._context import context
from indelible._errors import IndelibleError
from indelible._record import audited, record
from indelible._recorded import Recorded
from indelible._runtime import health
from indelible._version import __version__

__all__ = ["IndelibleError", "Recorded", "__version__", "audited", "context", "health", "record"]
