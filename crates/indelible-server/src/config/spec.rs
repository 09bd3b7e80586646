//! Every key of the configuration, said once: reading, `config show`, `config schema` and the test of docs/sinks.md follow this list.

use crate::retention::CLASSES;
use crate::sink::shape;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number within these bounds, both included.
    Integer { min: i64, max: i64 },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A name: `[a-z0-9][a-z0-9_-]*`, at most 32 bytes.
    Name,
    /// A path; a relative one starts at the data directory.
    Path,
    /// An address and a port of loopback.
    Address,
    /// A query (docs/search.md).
    Query,
    /// The name of a service: `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
    Service,
    /// A SHA-256, in 64 hexadecimal digits.
    Digest,
}

/// What holds where the file says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// The file must say it.
    Required,
    /// This number.
    Integer(i64),
    /// This text.
    Text(&'static str),
    /// What the program finds out; the text says how.
    Found(&'static str),
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) fallback: Fallback,
    /// One sentence, for the schema.
    pub(crate) meaning: &'static str,
}

/// The two kinds of sinks.
pub(crate) const SINK_TYPES: &[&str] = &["files", "stdout"];
/// The most sinks: each has a thread.
pub(crate) const SINKS_MAX: usize = 16;
/// Longest name of a sink, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 32;

const fn key(name: &'static str, kind: Kind, fallback: Fallback, meaning: &'static str) -> Key {
    Key { name, kind, fallback, meaning }
}

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const DAY_MS: i64 = 86_400_000;

/// The table `[agent]`.
pub(crate) const AGENT: &[Key] = &[
    key(
        "listen",
        Kind::Address,
        Fallback::Found("127.0.0.1:8420, or a free port of loopback when that is taken"),
        "Where the agent listens; the option --listen wins.",
    ),
    key(
        "transaction_deadline_ms",
        integer(1_000, DAY_MS),
        Fallback::Integer(60_000),
        "How long an intent waits for its outcome before its events are recorded in doubt.",
    ),
];

/// What every `[[sink]]` understands.
pub(crate) const SINK: &[Key] = &[
    key("name", Kind::Name, Fallback::Required, "What the sink is called in commands, metrics and its folder of DATA_DIR/sinks."),
    key("type", Kind::Choice(SINK_TYPES), Fallback::Required, "Where events go: rotating files, or the agent's standard output."),
    key("shape", Kind::Choice(shape::NAMES), Fallback::Text("native"), "The form of each line."),
    key(
        "start",
        Kind::Choice(&["oldest", "newest"]),
        Fallback::Text("oldest"),
        "Where a sink begins that has no cursor yet: with the oldest record, or with the next one.",
    ),
    key("batch_records_max", integer(1, 10_000), Fallback::Integer(1_000), "The most records in one batch."),
    key(
        "batch_bytes_max",
        integer(64 << 10, 64 << 20),
        Fallback::Integer(1 << 20),
        "The most bytes of stored events in one batch; a single larger event makes a batch of its own.",
    ),
    key(
        "call_timeout_ms",
        integer(100, 600_000),
        Fallback::Integer(10_000),
        "How long one delivery may take before the sink counts as hanging.",
    ),
    key("retry_min_ms", integer(10, 60_000), Fallback::Integer(200), "The pause after a first failure; it doubles with each that follows."),
    key("retry_max_ms", integer(10, 3_600_000), Fallback::Integer(60_000), "The longest pause between two attempts."),
    key(
        "dead_letters_max",
        integer(1, 10_000),
        Fallback::Integer(1_000),
        "The most events that the sink may have refused before it stops and waits for somebody to look at them.",
    ),
];

/// What a `[[sink]]` of type `files` understands beside [`SINK`].
pub(crate) const FILES: &[Key] = &[
    key(
        "folder",
        Kind::Path,
        Fallback::Found("sinks/NAME/files in the data directory"),
        "The folder of the files; two sinks cannot share one.",
    ),
    key("file_bytes_max", integer(1 << 10, 1 << 40), Fallback::Integer(10 << 20), "A file that would grow beyond this is rotated first."),
    key(
        "rotated_files_max",
        integer(1, 100_000),
        Fallback::Integer(5),
        "How many rotated files are kept beside the current one, of each name.",
    ),
    key(
        "rotate_after_s",
        integer(0, 31_536_000),
        Fallback::Integer(0),
        "A file older than this is rotated before it is written again; 0 is never.",
    ),
    key(
        "file_mode",
        Kind::Choice(&["0600", "0640", "0644", "0660"]),
        Fallback::Text("0600"),
        "Permissions of new files; 0640 and 0660 let the group of the folder read.",
    ),
];

/// The most rules of retention: each record is judged by all of them.
pub(crate) const RULES_MAX: usize = 64;
const DAYS_MAX: i64 = 36_500;

/// What every `[[retention]]` understands.
pub(crate) const RETENTION: &[Key] = &[
    key("name", Kind::Name, Fallback::Required, "What the rule is called in plans and in the events that erase."),
    key("match", Kind::Query, Fallback::Found("every event"), "Which events it is about, as a query; without one, all."),
    key(
        "days",
        integer(0, DAYS_MAX),
        Fallback::Found("without end: what it matches is kept for ever"),
        "How many days an event is kept; of several rules that match it, the longest holds.",
    ),
    key("floor_days", integer(0, DAYS_MAX), Fallback::Integer(0), "What `days` must not be below."),
    key(
        "class",
        Kind::Choice(CLASSES),
        Fallback::Text("none"),
        "A class of records with a floor of its own: 2190 days for hipaa, 365 for pci.",
    ),
    key(
        "since",
        Kind::Choice(&["occurred", "received"]),
        Fallback::Text("occurred"),
        "From when on the days are counted: when the application says that it happened, or when the agent took it in.",
    ),
];

/// The most entries of the collector: each request is compared with all of them.
pub(crate) const SENDERS_MAX: usize = 256;
/// Longest name of a service, in bytes.
pub(crate) const SERVICE_BYTES_MAX: usize = 64;

/// What every `[[collector]]` understands.
pub(crate) const COLLECTOR: &[Key] = &[
    key("service", Kind::Service, Fallback::Required, "The service whose outbox other hosts may post here."),
    key(
        "token_sha256",
        Kind::Digest,
        Fallback::Required,
        "SHA-256 of the token that they show, which is no secret itself; two entries of one service hold while a token is exchanged.",
    ),
];

/// The keys that a sink of this type understands.
pub(crate) fn keys_of_sink(sink_type: Option<&str>) -> impl Iterator<Item = &'static Key> + Clone {
    let of_type: &[Key] = if sink_type == Some("stdout") { &[] } else { FILES };
    SINK.iter().chain(of_type)
}

/// Whether a text is the name of a service ([`Kind::Service`]).
pub(crate) fn is_service(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= SERVICE_BYTES_MAX && text.bytes().all(of_name) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Whether a text is a name ([`Kind::Name`]).
pub(crate) fn is_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    text.len() <= NAME_BYTES_MAX && text.bytes().all(of_name) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}
