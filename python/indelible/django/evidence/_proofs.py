"""What proves the COMMIT of one open transaction beyond the word of its process: the rows that are written just before it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from indelible import _runtime
from indelible.django import _evidence
from indelible.django._outcomes import can_commit
from indelible.django.evidence import _marks, _resolving
from indelible.django.registry import Evidence

if TYPE_CHECKING:
    from indelible import _native


class Proof:
    """How the COMMIT of one transaction shall be known.

    ``firm``: rows were changed, so that the transaction does not go on where it cannot be known that way; otherwise, such as for an action
    in a transaction that only reads, it does. ``unmarked``: intents whose rows are still to be written, each with its events where the
    row is to carry them.
    """

    __slots__ = ("evidence", "firm", "unmarked")

    def __init__(self, evidence: Evidence) -> None:
        self.evidence: Final = evidence
        self.firm = False
        self.unmarked: list[tuple[_native.Intent, bytes | None]] = []

    def announce(self, held: _native.Transaction) -> _native.Intent | None:
        """Journals what is held, or seals it for the outbox; ``None`` when there is nothing. Raises ``Refused`` as ``prepare`` does."""
        held.require(self.evidence)
        payload = None
        if self.evidence == "outbox":
            sealed = held.seal()
            intent, payload = (None, None) if sealed is None else sealed
        else:
            intent = held.prepare()
        if intent is not None:
            self.unmarked.append((intent, payload))
        return intent

    def mark(self, connection: BaseDatabaseWrapper) -> list[_native.Intent]:
        """Writes the rows of intents that have none yet; those whose row could not be written without harm to the transaction.

        Raises:
            RecordingRefused: an intent was fenced.
            DatabaseError: the database does not take a row. The transaction must be rolled back.
        """
        unproved: list[_native.Intent] = []
        while self.unmarked:
            intent, payload = self.unmarked[0]
            try:
                self._write(connection, intent, payload)
            except DatabaseError:
                # SQLite takes back the whole transaction when a disk is full: there is nothing left that could go on.
                if self._is_strict(intent) or not can_commit(connection):
                    raise
                unproved.append(intent)
            self.unmarked.pop(0)
        return unproved

    def give_up(self) -> list[_native.Intent]:
        """The intents whose rows are not written, which nobody tries any more."""
        unproved = [intent for intent, _ in self.unmarked]
        self.unmarked = []
        return unproved

    def _write(self, connection: BaseDatabaseWrapper, intent: _native.Intent, payload: bytes | None) -> None:
        guarded = not self._is_strict(intent)
        if payload is not None:
            _marks.put_in_outbox(connection, uuid.UUID(intent.id), payload, guarded=guarded)
        elif intent.position is not None:
            # What is not in the journal has nothing that could be proved.
            stream, sequence = intent.position
            _resolving.start()
            _marks.mark(connection, uuid.UUID(intent.id), uuid.UUID(stream), sequence, guarded=guarded)

    def _is_strict(self, intent: _native.Intent) -> bool:
        return self.firm and intent.on_failure != "best_effort"


def can_prove(connection: BaseDatabaseWrapper, evidence: Evidence) -> bool:
    """Whether commits on this connection can be known by this evidence. Asks the database, once, whether the table is there.

    Not inside of a test's transaction: its end takes every row back, and a captured event has no journal.
    """
    if _evidence.obstacle(connection, evidence) or _runtime.capture() is not None:
        return False
    blocks: list[Any] = connection.atomic_blocks
    if blocks and blocks[0]._from_testcase:
        return False
    if connections[connection.alias] is not connection:
        # A copy, which nobody could open a transaction on by its alias.
        return False
    return _marks.is_ready(connection, evidence)
