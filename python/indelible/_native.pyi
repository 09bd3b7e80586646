"""What Rust does for the Python package: redaction, diff, encoding, the journal.

Nothing here runs application code except ``str()`` on values of unknown types, and nothing here raises because of a value: what
cannot be read becomes ``{"type": …, "text": "<unprintable>"}``. All objects may be used from any thread.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Final, Literal, final

from indelible._errors import Refused as Refused
from indelible._recorded import Recorded
from indelible._types import ActorParts, ChangeParts, Kind, Outcome, RequestParts, ResourceParts, Verb

__all__ = [
    "UNKNOWN",
    "Body",
    "BodyTap",
    "Capture",
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
    "encode_in_place",
    "fill_rows",
    "is_sealed",
    "read_rows",
    "remember_rows",
    "sql_writes",
]

__version__: str

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

    def members(self, members: Mapping[str, Any]) -> str:
        """The JSON of an object with these members, of any values, without what is secret in it."""

    def path(self, path: str) -> str:
        """A path, with its query where it has one, without what is secret in it."""

    def header(self, name: str, value: str) -> str:
        """The value of a header: ``[masked]`` where the name is sensitive, else without what is secret in it."""

@final
class Policy:
    """How much of a request is recorded: the level of the first rule that matches, else ``level``. Immutable.

    A rule has ``level`` and at least one of ``route``, ``path`` (patterns with ``*``), ``method``, ``status``, ``user`` and ``extension`` (one,
    or several with commas). A mistake is a ``ValueError``.
    """

    def __new__(
        cls, level: str, rules: Sequence[Mapping[str, str]], include: Sequence[str] = ..., exclude: Sequence[str] = ...
    ) -> Policy: ...
    def level(self, method: str, path: str, route: str | None, status: int | None, user: str | None) -> str:
        """The level of a request that has been answered. A condition on what is ``None`` does not hold."""

    def level_max(self, method: str, path: str) -> str:
        """The highest level that a request can still get when it begins."""

    @property
    def asks_for_user(self) -> bool: ...

@final
class Body:
    """What becomes of a body that passes by in chunks: at most ``bytes_max`` of it, its size and digest.

    ``encoded``: the bytes are compressed, so that they are not what ``content_type`` says.
    """

    def __new__(cls, content_type: str, bytes_max: int, encoded: bool = False) -> Body: ...
    def push(self, chunk: object) -> None:
        """Takes the next ``bytes``; never raises."""

    @property
    def total(self) -> int:
        """How many bytes have passed."""

@final
class BodyTap:
    """Stands in the place of a stream: passes every call on and sees the bytes that are read. It reads nothing by itself."""

    def __new__(cls, stream: Any, content_type: str, bytes_max: int, encoded: bool = False) -> BodyTap: ...
    def read(self, *args: Any, **kwargs: Any) -> Any: ...
    def readline(self, *args: Any, **kwargs: Any) -> Any: ...
    def readlines(self, *args: Any) -> Any: ...
    def seek(self, *args: Any) -> Any: ...
    @property
    def seekable(self) -> Any: ...
    @property
    def close(self) -> Any: ...
    @property
    def closed(self) -> Any: ...
    def __iter__(self) -> BodyTap: ...
    def __next__(self) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...

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
    def carried(self, bytes_max: int) -> str:
        """What travels with a message to another process: JSON of an object whose members are the arguments above, redacted.

        Where that is longer than ``bytes_max``, ``meta`` stays behind, then ``reason``, and a note says so.
        """

@final
class Capture:
    """The last events of recorders that were opened with it: in place of the journal, for the tests of an application.

    Beyond ``events_max`` events or ``bytes_max`` bytes of bodies the oldest are dropped and counted. A forked child captures nothing.
    """

    def __new__(cls, *, events_max: int = 10_000, bytes_max: int = 67_108_864) -> Capture: ...
    @property
    def events_max(self) -> int: ...
    def mark(self) -> int:
        """The number that the next event will have."""

    def since(self, number: int) -> list[tuple[int, Literal["pending", "recorded", "committed", "rolled_back", "in_doubt"], str]]:
        """Number, fate until now and body (JSON text) of the events from this number on."""

    def dropped(self, number: int) -> int:
        """How many events from this number on are no longer kept."""

    def forget_before(self, number: int) -> None: ...

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
    def json(self) -> str:
        """The value as it would stand in a body, not redacted."""

def encode(value: Any) -> Encoded:
    """Copies a value as it is now. Never raises because of the value. The copy is not redacted: that happens when it is recorded."""

def encode_in_place(
    values: list[Any],
    places: tuple[int, ...],
    deferred: object,
    prepare: tuple[Callable[[Any], Any] | None, ...] | None = None,
) -> None:
    """Replaces the values at ``places`` that can be changed in place by copies as they are now; ``deferred`` stands for one that was not loaded, and stays.

    ``prepare``, aligned with ``places``: what makes a column's value of one whose type is not known (see :class:`Model`).
    """

def read_rows(instances: Iterable[object], attributes: tuple[str, ...], types: tuple[type | None, ...]) -> list[list[Any]] | None:
    """The values of ``attributes`` out of each instance's ``__dict__``: a list for each.

    ``None`` when one is missing, or is neither ``None`` nor of exactly its type in ``types``, where ``None`` stands for what JSON is loaded as.
    """

def fill_rows(rows: list[list[Any]], answers: Iterable[Sequence[Any]], column: int, place: int) -> None:
    """Puts what the database made into the rows that it made it for: ``column`` of each answer goes to ``place`` of each row."""

def remember_rows(
    instances: Sequence[object], rows: list[Sequence[Any]], scope: object, provisional: type[tuple[Any, ...]]
) -> list[tuple[Any, Sequence[Any]]]:
    """Keeps for each instance what its row now holds (see ``indelible.django._snapshots``), within ``scope`` unless that is ``None``.

    Instances of which something was known before stay as they are and are returned with their rows.
    """

def is_sealed(payload: bytes) -> bool:
    """Whether a payload is what :meth:`Transaction.seal` gave. What is not, never will be."""

def sql_writes(sql: str) -> tuple[str, bool, list[tuple[str, str, bool]], list[str]]:
    """What SQL text writes: a fingerprint (16 hexadecimal digits; literals, comments and white space do not count), whether rows come back,
    the tables, as (verb, table, whether the driver's row count is theirs), and the verbs of statements that may write others (``DO``,
    ``CALL``, ``EXECUTE``). No table for what only reads; never raises.
    """

@final
class Event:
    """An event that is complete and redacted, but has no id yet. It can be recorded once; recording it again is a ``ValueError``."""

    @property
    def kind(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def actor_type(self) -> str: ...
    @property
    def resource(self) -> tuple[str, str | None, str | None] | None:
        """Type, id and label of what was acted upon."""

    def add(
        self,
        redactor: Redactor,
        *,
        meta: Mapping[str, Any] | None = None,
        notes: Sequence[str] | None = None,
        code: tuple[str, int, str] | None = None,
    ) -> None:
        """Adds members to ``meta`` (the caller knows that none of that name is there), notes, and the place in the code: file, line, function.

        ``ValueError`` when the event was recorded before; so with the other methods.
        """

    def parts(self) -> list[tuple[str, str]]:
        """What people wrote, by name, as it is after redaction.

        Text: ``resource.label``, ``request.path``, ``request.query``, ``request.user_agent``, ``error.message``, ``reason``. JSON text: ``request.headers``,
        ``request.body``, ``request.response``, ``meta``, ``changes``. A part that is not there is left out.
        """

    def replace(self, texts: Sequence[tuple[str, str]]) -> None:
        """Puts other text in place of parts that are there. It is taken as it is: redacted, and JSON where the part is."""

@final
class Model:
    """What events about one model have in common; built once for each model class.

    ``type`` is the label (``clinic.Patient``), ``noun`` the first half of the action (``patient``). A field is masked when ``masked``
    says so at its place or the redactor masks its name: its value never leaves this class. ``prepare`` has for a field what makes a column's
    value of one whose type is not known, as ``Field.get_prep_value`` does; that is then recorded in its place, and its own text is not asked for. ``sensitive`` events are kept as ``aborted``
    when their transaction is rolled back (``KEEP_ROLLED_BACK``). ``key`` is the place in ``fields`` of the one that holds the key, ``None``
    when there is none or it has several parts; only :meth:`Intent.committed_keyed` asks for it. ``places`` are those of ``fields`` among
    all columns, ``None``: all are recorded; only what takes whole rows asks for them.

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
        places: Sequence[int] | None = None,
        prepare: Sequence[Callable[[Any], Any] | None] | None = None,
    ) -> Model: ...
    def created(self, context: Context, pk: Any, label: str | None, values: Sequence[Any]) -> Event:
        """A row was inserted; ``values`` are aligned with ``fields``."""

    def created_row(self, context: Context, pk: Any, label: str | None, row: list[Any]) -> Event:
        """A row was inserted; ``row`` has the values of all columns."""

    def upserted(self, context: Context, pk: Any, indexes: Sequence[int], new: Sequence[Any]) -> Event:
        """A row was inserted or, because of a conflict, updated (action ``noun.upsert``); nobody says which, and no old value is known."""

    def raw(self, context: Context, *, table: str, verb: str, count: int | None, fingerprint: str) -> Event:
        """SQL of the application's own wrote the table of this model (action ``noun.raw_sql``)."""

    def updated(
        self, context: Context, pk: Any, label: str | None, indexes: Sequence[int], old: Sequence[Any], new: Sequence[Any]
    ) -> Event | None:
        """A row was updated. Fields whose value stayed the same are left out; ``None`` when that leaves none.

        Values are the same when they are the same object, when they are encoded alike, or when they are two decimals or two
        date-times that Python calls equal. A field with an unknown value is never left out.
        """

    def deleted(self, context: Context, pk: Any, label: str | None, indexes: Sequence[int], old: Sequence[Any]) -> Event:
        """A row was deleted; what is known of it stands as old values."""

    def deleted_row(self, context: Context, pk: Any, label: str | None, row: Sequence[Any], deferred: object) -> Event:
        """A row was deleted; ``row`` has the values of all columns, ``deferred`` in the place of those that are not known."""

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
        masked: bool = False,
    ) -> Event:
        """A many-to-many field was changed (action ``noun.update``). ``exact=False``: the ids are those that were asked for.

        Of a field that is ``masked``, or whose name the redactor masks, only that is said.
        """

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

    @property
    def id(self) -> str:
        """A UUID: what its marker is called by. The same after the answer; so with ``evidence`` and ``position``."""

    @property
    def evidence(self) -> Literal["ack", "marker", "outbox"]:
        """What its INTENT says about how a commit can be proved."""

    @property
    def position(self) -> tuple[str, int] | None:
        """Stream and sequence of its INTENT. ``None``: it is not in the journal, because it was lost (and counted), because its events are
        captured, or because it was sealed for an outbox. Then no marker is written.

        With ``evidence == "marker"`` and a position, the transaction must not be committed without the marker: a resolver would find that it
        was rolled back. Where the marker cannot be written, roll back, or go on with :meth:`without_marker`.
        """

    @property
    def on_failure(self) -> Literal["required", "standard", "best_effort"]:
        """The strictest mode among its events."""

    def without_marker(self, alias: str) -> Intent | None:
        """The same events under another intent with ``evidence == "ack"``, which is to be answered in place of this one.

        This one is answered as rolled back, and none of its events are kept as ``aborted``. ``None`` when this one was answered before. When
        the journal does not take the new intent, it has no position, and the loss is counted.

        Raises:
            Refused: the journal did not take it and one of the events is ``required``: roll back.
        """

@final
class Transaction:
    """The events held for one open transaction of one database connection. One thread at a time."""

    def hold(self, event: Event) -> Recorded: ...
    def hold_all(self, events: Iterable[Event]) -> None: ...
    def hold_created(self, model: Model, context: Context, rows: list[list[Any]], key: int, labels: list[str | None] | None = None) -> None:
        """Holds the events of rows that one statement inserted: what :meth:`Model.created` would make of each.

        A row has the values of all columns, of which ``places`` of the model says which are recorded, and its key at the place ``key``.
        """

    def supersede(self, event: Event) -> Recorded:
        """Holds an event in the place of the newest held change of the same resource, whose changes it takes over.

        Without one it is held like any other. Rolling back to a savepoint made in between leaves the earlier event as it was.
        """

    def savepoint(self, sid: str) -> None: ...
    def release(self, sid: str) -> None:
        """Forgets the savepoint and keeps what was held since. Rolling back to it is then no longer possible."""

    def rollback_to(self, sid: str) -> None:
        """Drops what was held since the savepoint; the savepoint stays. An unknown ``sid`` does nothing."""

    def prepare(self) -> Intent | None:
        """Journals what is held, just before COMMIT; ``None`` when nothing is held. Afterwards nothing is held.

        Raises :class:`Refused` only where one of the events is ``required``.
        """

    def require(self, evidence: Literal["ack", "marker", "outbox"]) -> None:
        """Asks that the COMMIT can be proved in this way, until the transaction ends; of several the strongest (the last named) holds.

        It does no more than to put the word into the INTENT: the marker is written by the caller. Raises ``ValueError`` for another word.
        """

    @property
    def evidence(self) -> Literal["ack", "marker", "outbox"]:
        """The strongest that was asked for; ``ack`` again after the transaction ended."""

    def seal(self) -> tuple[Intent, bytes] | None:
        """In place of :meth:`prepare`: makes a payload of what is held for a row of the outbox, and journals nothing. ``None`` when
        nothing is held, or when it could not be encoded and was counted as lost. Afterwards nothing is held.

        The row is written in the same transaction. The intent (``evidence == "outbox"``, no position, its ``id`` is in the payload) is answered
        like any other: *committed* and *unknown* do nothing, *rolled back* journals as ``aborted`` what ``keep_rolled_back`` asks for. With
        :class:`Capture` the payload is empty: write no row.

        Raises :class:`Refused` when it could not be encoded and one of the events is ``required``.
        """

    def rollback(self) -> None:
        """Drops what is held; journals as ``aborted`` what ``keep_rolled_back`` asks for."""

    def __len__(self) -> int: ...

@final
class Recorder:
    """The journal of this process. Opens a new stream by itself after a fork.

    With ``capture`` events go there and no file is made. ``on_loss`` is called with the cause (or ``None``) in the thread that could not record, for each call that lost something.

    ``on_failure`` is ``"required"``, ``"standard"`` (default) or ``"best_effort"`` for all events, or a dict with a mode for kinds of events
    (``"change"``), types of resources (``"clinic.Patient"``, which count before the kind) and ``"default"``. The events of one transaction
    share the strictest mode among them.

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
        on_failure: str | Mapping[str, str] | None = None,
        keep_rolled_back: Literal["sensitive", "all", "none"] = "sensitive",
        limits: Mapping[str, int] | None = None,
        on_loss: Callable[[str | None], object] | None = None,
        capture: Capture | None = None,
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
        error: tuple[str, str] | tuple[str, str, str | None] | None = None,
        reason: str | None = None,
        meta: Mapping[str, Any] | None = None,
        occurred_at_us: int | None = None,
        notes: Sequence[str] | None = None,
    ) -> Event:
        """Any event. ``reason`` and ``request`` win over the context's, ``meta`` and ``notes`` are added to them.

        ``error`` is (type, message) or (type, message, place). ``action`` is normalised to ``noun.verb``. Raises ``ValueError`` for an unknown kind or outcome.
        """

    def request(
        self,
        context: Context,
        action: str,
        outcome: Outcome,
        members: RequestParts | Mapping[str, Any],
        occurred_at_us: int,
        error: tuple[str, str] | tuple[str, str, str | None] | None = None,
        meta: Mapping[str, Any] | None = None,
        notes: Sequence[str] | None = None,
        environ: dict[str, Any] | None = None,
        body: BodyTap | None = None,
        response_headers: Iterable[tuple[str, str]] | dict[str, tuple[str, str]] | None = None,
        response: bytes | Body | str | None = None,
        body_bytes: int = 0,
    ) -> Event:
        """An event of kind ``request``.

        ``environ`` (``HttpRequest.META``) gives the headers, ``response_headers`` are pairs of name and value or a dictionary of such pairs,
        ``body`` is what the application read, ``response`` the answer's body, what was captured of it, or why it was not; all are masked, and
        bodies are bounded by ``body_bytes``.
        """

    def declared(
        self,
        event: Event,
        context: Context,
        *,
        kind: Kind | None = None,
        action: str | None = None,
        reason: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Event:
        """The same event, as somebody who knows more about it declared it; ``event`` itself is used up.

        ``context`` is the one it was made with: the new ``meta`` is the context's under the members of ``meta``. What is ``None`` stays.
        """

    def record(self, event: Event) -> Recorded:
        """Journals at once. Raises :class:`Refused` only where the event is ``required``."""

    def record_once(self, event: Event, happened_at_ms: int, digest: bytes) -> Recorded | None:
        """As :meth:`record`, under an identifier made of the two (``digest``: 10 bytes); ``None`` when this host has told it already."""

    def transaction(self, alias: str) -> Transaction: ...
    def intent(self, alias: str, events: Sequence[Event], evidence: Literal["ack", "marker", "outbox"] = "ack") -> Intent:
        """Journals an autocommit write before its statement. Raises :class:`Refused` only where one of the events is ``required``.

        ``evidence`` other than ``ack`` is for a write that the caller puts into a transaction of its own.
        """

    def count_losses(self, events: int) -> None:
        """Counts events that were lost before they came here; the next frame is preceded by their sum, which the agent makes ``audit.loss``
        of. Never raises, and writes nothing by itself.
        """

    def write_waiting(self) -> None:
        """Writes what could not be written before: outcomes of intents that are in the journal, and losses. What is recorded next does the
        same; this is for a process that may record nothing for long. Costs next to nothing where nothing waits.

        Raises:
            IndelibleError: the journal takes nothing yet. What was not written is kept.
        """

    def resolve(self, intent: str, committed: bool) -> tuple[str, int]:
        """Journals what a marker (``committed``) or a fence in its place proved about an intent of a process that ended; gives the place of
        that OUTCOME. It is on disk on return where ``durability="synced"``. Said twice it does no harm.

        Raises:
            ValueError: ``intent`` is no UUID.
            IndelibleError: the answer is not in the journal, or not known to be on disk: try again in the next round. Also with
                :class:`Capture`.
        """

    def next_position(self) -> tuple[str, int]:
        """Stream and sequence that the next frame of this process will have, unless another thread is faster.

        Opens the stream if none is open, and writes down what was lost. Raises :class:`IndelibleError` when the journal cannot be written
        at the moment, and with :class:`Capture`.
        """

    def append_outbox(self, payload: bytes, stream: str, sequence: int) -> Literal["done", "moved"]:
        """Journals a row of the outbox whose transaction is committed: an INTENT, and at this stream and sequence its OUTCOME.

        Assign rows first, and commit that: with ``stream, next = next_position()`` row ``i`` of a batch gets the sequence ``next + 1 + 2 * i``.
        Both frames are in the trail when the stream's high-water is at least the row's sequence. Of a stream that has ended the INTENT is
        enough, one below: the agent takes it as committed. Rows whose INTENT is above the high-water are assigned anew.

        Answers:
            ``"done"``: both are journaled, or the INTENT alone where the journal took no more.
            ``"moved"``: another frame took the place; nothing was journaled. Assign this row and those after it anew.

        Raises:
            ValueError: ``payload`` is not what :meth:`Transaction.seal` gave; it never will be. Or ``stream`` is no UUID.
            IndelibleError: nothing was journaled. Also with :class:`Capture`.
        """

    def health(self) -> dict[str, Any]:
        """``stream``, ``sequence``, ``bytes``, ``lost``, ``degraded`` and ``last_error`` of the journal."""

    def abandon(self) -> None:
        """Ends the stream without a word, so that nothing stands at a position that a row was assigned to. Later frames go to a new stream.

        Raises :class:`IndelibleError` when another thread writes at this moment, and with :class:`Capture`.
        """

    def close(self) -> None:
        """Says in the journal that this process ends in order and gives the stream's lock back."""

    def before_fork(self) -> None:
        """Keeps other threads from opening or closing a journal until the fork is done, for at most a second."""

    def after_fork_in_parent(self) -> None:
        """Ends what :meth:`before_fork` began."""

    def after_fork_in_child(self) -> None:
        """Closes what a forked child inherited; opens nothing."""

    @property
    def stream(self) -> str | None:
        """The stream written to, ``None`` before the first event and in a child that has recorded nothing yet."""
