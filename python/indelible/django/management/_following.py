"""Commands that go on until somebody ends them."""

from __future__ import annotations

import signal
import threading
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def stopping_event() -> threading.Event:
    """Set when somebody wants the process to end; a round is never interrupted. For the main thread."""
    stopping = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stopping.set())
    return stopping
