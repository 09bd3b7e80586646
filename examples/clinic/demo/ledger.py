"""What the driver knows to have happened, from HTTP answers alone."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """One object that a request created, updated or deleted."""

    verb: str
    type: str
    id: str


@dataclass(frozen=True)
class Exchange:
    """One request, its answer, and what the answer says was done."""

    request_id: str
    method: str
    path: str
    status: int
    effects: tuple[Effect, ...] = ()
    # The event of kind ``auth`` that it must have caused: action and outcome.
    auth: tuple[str, str] | None = None


class Ledger:
    """All exchanges of all threads, and what was wrong with an answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.exchanges: list[Exchange] = []
        self.faults: list[str] = []

    def add(self, exchange: Exchange) -> None:
        with self._lock:
            self.exchanges.append(exchange)

    def fault(self, text: str) -> None:
        with self._lock:
            self.faults.append(text)
