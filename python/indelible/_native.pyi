"""What Rust does for the Python package: redaction, diff, encoding, the journal.

Nothing here runs application code except ``str()`` on values of unknown types, and nothing here raises because of a value: what
cannot be read becomes ``{"type": …, "text": "<unprintable>"}``. All objects may be used from any thread.
"""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Final, Literal, final

from indelible._errors import IndelibleError
from indelible._recorded import Recorded
from indelible._types import ActorParts, ChangeParts, Kind, Outcome, RequestParts, ResourceParts, Verb

__all__ = [
    "UNKNOWN",
    "Context",
    "Encoded",
    "Event",
    "Expression",
    "Intent",
    "Model",
    "Policy",
    "Recorder",
    "Redactor",
    "Refused",
    "Transaction",
    "Unknown",
    "__version__",
    "encode",
]

__version__: str

class Refused(IndelibleError):
    """The journal did not take an event that ``ON_FAILURE="required"`` demands; nothing was journaled."""

@final
class Redactor:
    """Which names are masked and which secrets are found in text. Immutable.

    ``mask_fields`` are added to the built-in names (matched without case and separators); ``detectors`` names the value
    detectors, ``None`` means all of ``card``, ``jwt``, ``bearer``, ``basic``, ``private_key``, ``url_password``,
    ``api_token`` and ``password_hash``. An unknown name is a
    ``ValueError``.
    """

    def __new__(cls, *, mask_fields: Sequence[str] | None = None, detectors: Sequence[str] | None = None) -> Redactor: ...
    def masks_field(self, name: str) -> bool: ...
    def text(self, text: str) -> str:
        """The text with every secret replaced by ``[masked]``."""

@final
class Policy:
    """How much of a request is recorded: the level of the first rule that matches, else ``level``. Immutable.

    A rule has ``level`` and at least one of ``route``, ``path`` (patterns with ``*``) and ``method`` (one, or several with commas). A
    mistake is a ``ValueError``.
    """

    def __new__(cls, level: str, rules: Sequence[Mapping[str, str]]) -> Policy: ...
    def level(self, method: str, route: str | None, path: str) -> str: ...

@final
class Context:
    """Who, where and why: encoded once, shared by all events of a request. Immutable.

    Arguments by position cost less than by name, and one of these is made for each request.
    """

    def __new__(
        cls,
        redactor: Redactor,
        actor: ActorParts | Mapping[str, Any],
        request_id: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        reason: str | None = None,
        tenant: str | None = None,
        meta: Mapping[str, Any] | None = None,
        notes: Sequence[str] | None = None,
    ) -> Context: ...

@final
class Unknown:
    """The type of ``UNKNOWN``."""

UNKNOWN: Final[Unknown]
"""Stands for an old or new value that is not known."""

@final
class Expression:
    """A new value that the database computes; ``text`` must not contain parameters."""

    def __new__(cls, text: str) -> Expression: ...

@final
class Encoded:
    """A copy of a value as it was when :func:`encode` saw it, for values that are changed in place (dict, list, set, bytearray).

    Accepted wherever a value is: as an old value of ``Model.updated`` and ``Model.deleted`` it is compared with and shown like the original.
    """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def encode(value: Any) -> Encoded:
    """Copies a value as it is now. Never raises because of the value. The copy is not redacted: that happens when it is recorded."""

@final
class Event:
    """An event that is complete and redacted, but has no id yet. It can be recorded once; recording it again is a ``ValueError``."""

    @property
    def kind(self) -> str: ...
    @property
    def action(self) -> str: ...

@final
class Model:
    """What events about one model have in common; built once for each model class.

    ``type`` is the label (``clinic.Patient``), ``noun`` the first half of the action (``patient``). A field is masked when ``masked``
    says so at its place or the redactor masks its name: its value never leaves this class. ``sensitive`` events are kept as ``aborted``
    when their transaction is rolled back (``KEEP_ROLLED_BACK``). ``key`` is the place in ``fields`` of the one that holds the key, ``None``
    when there is none or it has several parts; only :meth:`Intent.committed_keyed` asks for it.

    Everywhere: ``pk`` is any value, ``None`` when the database has not made it yet. ``label`` is cut to 256 bytes, ``None`` leaves it
    out. ``indexes`` are places in ``fields``; ``old`` and ``new`` are aligned with ``indexes``. A value is anything at all, or
    ``UNKNOWN``, ``Expression`` (new values) or ``Encoded``.
    """

    def __new__(
        cls,
        redactor: Redactor,
        *,
        type: str,
        noun: str,
        fields: Sequence[str],
        masked: Sequence[bool],
        sensitive: bool,
        key: int | None = None,
    ) -> Model: ...
    def created(self, context: Context, pk: Any, label: str | None, values: Sequence[Any]) -> Event:
        """A row was inserted; ``values`` are aligned with ``fields``."""

    def updated(
        self, context: Context, pk: Any, label: str | None, indexes: Sequence[int], old: Sequence[Any], new: Sequence[Any]
    ) -> Event | None:
        """A row was updated. Fields whose value stayed the same are left out; ``None`` when that leaves none.

        Values are the same when they are the same object, when they are encoded alike, or when they are two decimals or two
        date-times that Python calls equal. A field with an unknown value is never left out.
        """

    def deleted(self, context: Context, pk: Any, label: str | None, indexes: Sequence[int], old: Sequence[Any]) -> Event:
        """A row was deleted; what is known of it stands as old values."""

    def related(
        self,
        context: Context,
        pk: Any,
        label: str | None,
        field: str,
        *,
        added: Sequence[Any] | None = None,
        removed: Sequence[Any] | None = None,
        exact: bool,
    ) -> Event:
        """A many-to-many field was changed (action ``noun.update``). ``exact=False``: the ids are those that were asked for."""

    def statement(
        self, context: Context, verb: Verb, *, count: int | None, ids: Sequence[Any] | None, where: str | None, fields: Sequence[str]
    ) -> Event:
        """One statement touched many rows: ``count`` of them if known, at most 1,000 ``ids``, ``where`` without parameters."""

@final
class Intent:
    """Events that stand in the journal and wait for the answer of the database.

    Exactly one of the methods is called once; later calls do nothing. An intent that is collected without an answer counts as
    unknown: the agent will call its events in doubt.
    """

    def committed(self, events: Sequence[Event | None] | None = None) -> None:
        """The database committed. ``events`` replaces the bodies one by one (as many as the intent has); ``None`` in it: nothing happened."""

    def committed_keyed(self, keys: Sequence[Any]) -> None:
        """The database committed and made these keys, one for each event of the intent.

        The announced events are written again with their keys: as the resource's ``id``, and as the new value of the model's ``key``
        field where :meth:`Model.created` was given ``None`` for it. With another number of keys they stay as announced. Raises
        ``ValueError`` for ``None`` among the keys; the commit is journaled all the same.
        """

    def rolled_back(self) -> None: ...
    def unknown(self) -> None:
        """Nobody can say; writes no answer."""

@final
class Transaction:
    """The events held for one open transaction of one database connection. One thread at a time."""

    def hold(self, event: Event) -> Recorded: ...
    def savepoint(self, sid: str) -> None: ...
    def release(self, sid: str) -> None:
        """Forgets the savepoint and keeps what was held since. Rolling back to it is then no longer possible."""

    def rollback_to(self, sid: str) -> None:
        """Drops what was held since the savepoint; the savepoint stays. An unknown ``sid`` does nothing."""

    def prepare(self) -> Intent | None:
        """Journals what is held, just before COMMIT; ``None`` when nothing is held. Afterwards nothing is held.

        Raises :class:`Refused` only with ``on_failure="required"``.
        """

    def rollback(self) -> None:
        """Drops what is held; journals as ``aborted`` what ``keep_rolled_back`` asks for."""

    def __len__(self) -> int: ...

@final
class Recorder:
    """The journal of this process. Opens a new stream by itself after a fork.

    ``on_loss`` is called with the cause (or ``None``) in the thread that could not record, for each call that lost something.

    Raises :class:`IndelibleError` when the journal cannot be opened; the message names the path and the cause.
    """

    def __new__(
        cls,
        redactor: Redactor,
        *,
        data_dir: str | PathLike[str],
        service: str,
        environment: str = "",
        version: str = "",
        process_kind: str = "web",
        durability: Literal["buffered", "synced"] = "buffered",
        on_failure: Literal["required", "standard", "best_effort"] = "standard",
        keep_rolled_back: Literal["sensitive", "all", "none"] = "sensitive",
        limits: Mapping[str, int] | None = None,
        on_loss: Callable[[str | None], object] | None = None,
    ) -> Recorder: ...
    def event(
        self,
        context: Context,
        kind: Kind,
        action: str,
        outcome: Outcome = "success",
        *,
        resource: ResourceParts | Mapping[str, Any] | None = None,
        changes: Sequence[ChangeParts | Mapping[str, Any]] | None = None,
        request: RequestParts | Mapping[str, Any] | None = None,
        error: tuple[str, str] | None = None,
        reason: str | None = None,
        meta: Mapping[str, Any] | None = None,
        occurred_at_us: int | None = None,
        notes: Sequence[str] | None = None,
    ) -> Event:
        """Any event. ``reason`` and ``request`` win over the context's, ``meta`` and ``notes`` are added to them.

        ``error`` is (type, message). ``action`` is normalised to ``noun.verb``. Raises ``ValueError`` for an unknown kind or outcome.
        """

    def record(self, event: Event) -> Recorded:
        """Journals at once. Raises :class:`Refused` only with ``on_failure="required"``."""

    def transaction(self, alias: str) -> Transaction: ...
    def intent(self, alias: str, events: Sequence[Event]) -> Intent:
        """Journals an autocommit write before its statement. Raises :class:`Refused` only with ``on_failure="required"``."""

    def health(self) -> dict[str, Any]:
        """``stream``, ``sequence``, ``bytes``, ``lost``, ``degraded`` and ``last_error`` of the journal."""

    def close(self) -> None:
        """Says in the journal that this process ends in order and gives the stream's lock back."""

    def after_fork_in_child(self) -> None:
        """Closes what a forked child inherited; opens nothing."""

    @property
    def stream(self) -> str | None:
        """The stream written to, ``None`` before the first event and in a child that has recorded nothing yet."""
