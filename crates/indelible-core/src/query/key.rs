//! The keys of the grammar, what each one takes, and the keys that are not answered yet.

use crate::event::{ActorType, Kind, Outcome};
use crate::leaf::Verdict;

/// A field that can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// `actor`: id or label of who did it.
    Actor,
    /// `actor.type`: user, service, system, anonymous or unresolved.
    ActorType,
    /// `action`: `noun.verb`.
    Action,
    /// `kind`: the class of the event.
    Kind,
    /// `outcome`: the result that the application reported; `unknown` is an event in doubt that nothing has resolved.
    Outcome,
    /// `verdict`: what the agent learnt about the transaction.
    Verdict,
    /// `resource`: `TYPE/ID` of what it was done to.
    Resource,
    /// `type`: type of what it was done to.
    Type,
    /// `request`: id of the HTTP request.
    Request,
    /// `service`: who observed it.
    Service,
    /// `status`: HTTP status.
    Status,
    /// `created`: when it happened.
    Created,
    /// `id`: event id, or its first digits and `*`.
    Id,
}

/// What the values of a key look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Text,
    /// One of [`Key::choices`].
    Choice,
    Resource,
    Status,
    Moment,
    Id,
}

/// The word of `outcome:` for an event in doubt that nothing has resolved.
pub(super) const UNKNOWN: &str = "unknown";

/// Words of the grammar for which the trail has no column yet; `meta.` stands for all of its members.
const UNANSWERED: &[&str] = &[
    "agent",
    "auth",
    "checkpoint",
    "country",
    "duration",
    "field",
    "group",
    "has",
    "host",
    "hours",
    "ip",
    "is",
    "method",
    "now",
    "onbehalf",
    "parent",
    "path",
    "reason",
    "received",
    "release",
    "role",
    "seal",
    "sensitive",
    "seq",
    "session",
    "source",
    "tag",
    "task",
    "tenant",
    "text",
    "trace",
    "was",
];

/// Words that people try, and the key that they mean.
const SYNONYMS: &[(&str, &str)] = &[
    ("actor.id", "actor"),
    ("actor_type", "actor.type"),
    ("date", "created"),
    ("event", "id"),
    ("limit", "-n"),
    ("object", "resource"),
    ("occurred_at", "created"),
    ("request_id", "request"),
    ("result", "outcome"),
    ("since", "created"),
    ("time", "created"),
    ("user", "actor"),
    ("verb", "action"),
];

impl Key {
    /// Every key, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Actor,
        Self::ActorType,
        Self::Action,
        Self::Kind,
        Self::Outcome,
        Self::Verdict,
        Self::Resource,
        Self::Type,
        Self::Request,
        Self::Service,
        Self::Status,
        Self::Created,
        Self::Id,
    ];

    /// The key as it is written, without the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::ActorType => "actor.type",
            Self::Action => "action",
            Self::Kind => "kind",
            Self::Outcome => "outcome",
            Self::Verdict => "verdict",
            Self::Resource => "resource",
            Self::Type => "type",
            Self::Request => "request",
            Self::Service => "service",
            Self::Status => "status",
            Self::Created => "created",
            Self::Id => "id",
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == text)
    }

    pub(super) const fn takes(self) -> Takes {
        match self {
            Self::Actor | Self::Action | Self::Type | Self::Request | Self::Service => Takes::Text,
            Self::ActorType | Self::Kind | Self::Outcome | Self::Verdict => Takes::Choice,
            Self::Resource => Takes::Resource,
            Self::Status => Takes::Status,
            Self::Created => Takes::Moment,
            Self::Id => Takes::Id,
        }
    }

    /// The words that the key takes, where it takes nothing else.
    pub(super) fn choices(self) -> Vec<&'static str> {
        match self {
            Self::ActorType => ActorType::ALL.iter().map(|value| value.as_str()).collect(),
            Self::Kind => Kind::ALL.iter().map(|value| value.as_str()).collect(),
            Self::Outcome => Outcome::ALL.iter().map(|value| value.as_str()).chain([UNKNOWN]).collect(),
            Self::Verdict => Verdict::ALL.iter().map(|value| value.as_str()).collect(),
            _ => Vec::new(),
        }
    }
}

/// Whether the word is a key that the grammar knows and the trail cannot answer yet.
pub(super) fn is_unanswered(word: &str) -> bool {
    UNANSWERED.contains(&word) || word.starts_with("meta.")
}

/// The key that somebody may have meant by `word`.
pub(super) fn meant_by(word: &str) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(from, _)| *from == word).map(|(_, to)| *to);
    synonym.or_else(|| super::suggest::nearest(word, Key::ALL.into_iter().map(Key::as_str).chain(["sort"])))
}
