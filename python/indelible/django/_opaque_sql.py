"""SQL that runs what stands elsewhere: ``DO`` with its block, ``CALL`` of a procedure, ``EXECUTE`` of what was prepared.

Which tables it writes nobody can say from its text. That it was run is an event of its own, and says that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from indelible import _context, _runtime
from indelible._errors import Refused
from indelible.django._guard import Guard, RecordingRefused
from indelible.django._transactions import in_transaction, tracker_of

if TYPE_CHECKING:
    from indelible import _native

ACTION: Final = "database.raw_sql"


def perform(connection: BaseDatabaseWrapper, verbs: Sequence[str], fingerprint: str, execute: Callable[[], Any]) -> Any:
    """Executes, and records that it was run. Result and exceptions are the database's.

    Raises:
        RecordingRefused: outside of a transaction before the statement is sent, inside of one where nothing can be recorded.
    """
    if in_transaction(connection):
        result = execute()
        with Guard(ACTION, event=True, refuses=True):
            made = _events(connection, verbs, fingerprint)
            if made is not None:
                recorder, events = made
                tracker = tracker_of(connection)
                tracker.transaction(recorder).hold_all(events)
                tracker.ask_as_service(firmly=True)
        return result
    intent = _announced(connection, verbs, fingerprint)
    try:
        result = execute()
    except BaseException:
        # What it runs may have committed a part of its work before it failed.
        if intent is not None:
            with Guard(ACTION):
                intent.unknown()
        raise
    if intent is not None:
        with Guard(ACTION):
            intent.committed()
    return result


def _announced(connection: BaseDatabaseWrapper, verbs: Sequence[str], fingerprint: str) -> _native.Intent | None:
    runtime = _runtime.runtime()
    try:
        made = _events(connection, verbs, fingerprint)
        return None if made is None else made[0].intent(connection.alias, made[1])
    except Refused as refused:
        raise RecordingRefused(str(refused)) from refused
    except Exception as fault:
        runtime.missed(ACTION, fault)
        return None


def _events(connection: BaseDatabaseWrapper, verbs: Sequence[str], fingerprint: str) -> tuple[_native.Recorder, list[_native.Event]] | None:
    runtime = _runtime.runtime()
    recorder, context = runtime.recorder(), _context.current_facts().context(runtime)
    if recorder is None or context is None:
        runtime.lose()
        runtime.refuse("change")
        return None
    resource = {"type": "database", "id": connection.alias}
    about = [{"sql_verb": verb, "sql_fingerprint": fingerprint, "sql_tables": "unknown"} for verb in verbs]
    return recorder, [recorder.event(context, "change", ACTION, resource=resource, meta=meta) for meta in about]
