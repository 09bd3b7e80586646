//! The keys of the grammar, what each one takes, and the words that people may try instead.

use crate::event::{ActorType, Kind, Outcome};
use crate::leaf::Verdict;

macro_rules! keys {
    ($($(#[$doc:meta])* $key:ident = $name:literal takes $takes:ident,)+) => {
        /// A field that can be searched.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Key {
            $($(#[$doc])* $key,)+
        }

        impl Key {
            /// Every key, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$key),+];

            /// The key as it is written, without the colon; `meta` is written with the name of a member, `meta.ticket`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$key => $name,)+
                }
            }

            pub(super) const fn takes(self) -> Takes {
                match self {
                    $(Self::$key => Takes::$takes,)+
                }
            }
        }
    };
}

keys! {
    /// Id or label of who did it.
    Actor = "actor" takes Text,
    /// User, service, system, anonymous or unresolved.
    ActorType = "actor.type" takes Choice,
    /// Id or label of the party on whose behalf the actor acted.
    OnBehalf = "onbehalf" takes Text,
    /// The keyed hash of the actor's session.
    Session = "session" takes Text,
    /// How the actor was authenticated: session, token, jwt …
    Auth = "auth" takes Text,
    /// A role of the actor.
    Role = "role" takes Text,
    /// Address of the client; a network holds all of its addresses.
    Ip = "ip" takes Network,
    /// Words of the client's user agent.
    Agent = "agent" takes Words,
    /// `noun.verb`.
    Action = "action" takes Text,
    /// The class of the event.
    Kind = "kind" takes Choice,
    /// The result that the application reported; `unknown` is an event in doubt that nothing has resolved.
    Outcome = "outcome" takes Choice,
    /// What the agent learnt about the transaction.
    Verdict = "verdict" takes Choice,
    /// HTTP method, in upper case.
    Method = "method" takes Upper,
    /// Template of the HTTP route.
    Route = "route" takes Text,
    /// Path of the HTTP request.
    Path = "path" takes Text,
    /// HTTP status.
    Status = "status" takes Status,
    /// How long the request took.
    Duration = "duration" takes Duration,
    /// `TYPE/ID` of what it was done to.
    Resource = "resource" takes Resource,
    /// Type of what it was done to.
    Type = "type" takes Text,
    /// Name of a field that changed, or that a statement touched.
    Field = "field" takes Text,
    /// The text of a field's value before the change.
    Was = "was" takes Text,
    /// The text of a field's value after the change.
    Now = "now" takes Text,
    /// Tenant id.
    Tenant = "tenant" takes Text,
    /// Id of the HTTP request.
    Request = "request" takes Text,
    /// W3C trace id, in lower case.
    Trace = "trace" takes Hex,
    /// The service that observed it.
    Service = "service" takes Text,
    /// The environment that the service runs in.
    Environment = "environment" takes Text,
    /// Version of the service.
    Release = "release" takes Text,
    /// The host that the service runs on.
    Host = "host" takes Text,
    /// Words of the reason.
    Reason = "reason" takes Words,
    /// The text of a member of `meta`, which [`super::Term::member`] names.
    Meta = "meta" takes Text,
    /// When it happened; when it was recorded, where the body does not say.
    Created = "created" takes Moment,
    /// When the agent took it in.
    Received = "received" takes Moment,
    /// The hour of the day and the day of the week when it happened, in the zone of whoever searches.
    Hours = "hours" takes Hours,
    /// Event id, or its first digits and `*`.
    Id = "id" takes Id,
    /// Place in the tree.
    Leaf = "leaf" takes Number,
    /// Id of the stream, or its first digits and `*`.
    Stream = "stream" takes Id,
    /// Sequence of the frame in its stream.
    Seq = "seq" takes Number,
    /// What is true of the record: one of its choices. Every record has this field.
    Is = "is" takes Choice,
    /// What the record has: one of its choices. Every record has this field.
    Has = "has" takes Choice,
    /// Words of labels and reason. Every record has this field, though it may hold no words.
    Text = "text" takes Words,
}

/// What the values of a key look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Text,
    /// A text that is stored in upper case.
    Upper,
    /// The 32 hexadecimal digits of a trace id.
    Hex,
    Words,
    /// One of [`Key::choices`].
    Choice,
    Resource,
    Network,
    Status,
    Duration,
    Number,
    Moment,
    Hours,
    Id,
}

/// The word of `outcome:` for an event in doubt that nothing has resolved.
pub(super) const UNKNOWN: &str = "unknown";

/// The words of `is:`. `masked`: a value of it was masked. `gap`: the agent reports that events are missing (`audit.gap`,
/// `audit.loss`). `truncated`: it lost payload to its size limit. `erased`: its body was erased.
const IS: &[&str] = &["masked", "gap", "truncated", "erased"];

/// The words of `has:`. `diff`: changes. `error`: an error beside the outcome. `body`: the body of the request or of its
/// response. `notes`: what recording could not do.
const HAS: &[&str] = &["diff", "error", "body", "notes"];

/// Words that people know from elsewhere and that no field of an event answers, each with what to do instead.
const WITHOUT_FIELD: &[(&str, &str)] = &[
    ("checkpoint", "`leaf:` finds records by their place in the tree, and `indelible verify` checks them"),
    ("country", "`ip:` finds addresses and networks"),
    ("group", "`indelible search --facet actor` counts by a key"),
    ("parent", "`request:` and `trace:` find what belongs together"),
    ("seal", "`indelible verify` says what is intact"),
    ("sensitive", "`type:` finds the types that are sensitive to you"),
    ("tag", "`meta.NAME:` finds what the application added"),
    ("task", "`kind:task` finds tasks, and `trace:` what belongs together"),
];

/// Words that people try, and the key that they mean.
const SYNONYMS: &[(&str, &str)] = &[
    ("actor.id", "actor"),
    ("actor_type", "actor.type"),
    ("client_ip", "ip"),
    ("date", "created"),
    ("email", "actor"),
    ("env", "environment"),
    ("event", "id"),
    ("index", "leaf"),
    ("limit", "-n"),
    ("new", "now"),
    ("object", "resource"),
    ("occurred_at", "created"),
    ("old", "was"),
    ("on_behalf_of", "onbehalf"),
    ("received_at", "received"),
    ("request_id", "request"),
    ("result", "outcome"),
    ("sequence", "seq"),
    ("since", "created"),
    ("source", "service"),
    ("tenant_id", "tenant"),
    ("time", "created"),
    ("took", "duration"),
    ("trace_id", "trace"),
    ("until", "created"),
    ("url", "path"),
    ("user", "actor"),
    ("user_agent", "agent"),
    ("verb", "action"),
    ("version", "release"),
];

impl Key {
    /// Finds the key that is written so; `meta` is none without the name of a member.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.as_str() == text && *key != Self::Meta)
    }

    /// Whether an event can lack the field, so that the key takes `none` and `any`.
    #[must_use]
    pub const fn can_be_missing(self) -> bool {
        match self.takes() {
            Takes::Choice | Takes::Moment | Takes::Hours | Takes::Id | Takes::Number => false,
            Takes::Words => !matches!(self, Self::Text),
            _ => true,
        }
    }

    /// The words that the key takes, where it takes nothing else.
    #[must_use]
    pub fn choices(self) -> Vec<&'static str> {
        match self {
            Self::ActorType => ActorType::ALL.iter().map(|value| value.as_str()).collect(),
            Self::Kind => Kind::ALL.iter().map(|value| value.as_str()).collect(),
            Self::Outcome => Outcome::ALL.iter().map(|value| value.as_str()).chain([UNKNOWN]).collect(),
            Self::Verdict => Verdict::ALL.iter().map(|value| value.as_str()).collect(),
            Self::Is => IS.to_vec(),
            Self::Has => HAS.to_vec(),
            _ => Vec::new(),
        }
    }

    /// What the key takes, for people.
    pub(super) fn expected(self) -> String {
        match self.takes() {
            Takes::Choice => self.choices().join(", "),
            takes => takes.expected().to_owned(),
        }
    }
}

impl Takes {
    const fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::Upper => "a text, or its beginning and `*`; quote one that holds spaces, commas or parentheses",
            Self::Hex => "the 32 hexadecimal digits of a trace id, or the first of them and `*`",
            Self::Words => "a word, the beginning of one and `*`, or a \"phrase\" in quotes",
            Self::Choice => "one of its words",
            Self::Resource => "TYPE/ID; `type:` finds every resource of a type",
            Self::Network => "an address like `10.1.2.3` or `2001:db8::7`, or a network like `10.0.0.0/8`",
            Self::Status => "an HTTP status of 100 to 599, a comparison like `>=400`, or a range like `400..499`",
            Self::Duration => "a comparison like `>2s` or a range like `100ms..2s`, in us, ms, s, m or h",
            Self::Number => "a number, a comparison like `>=100`, or a range like `100..200`",
            Self::Moment => {
                "a date, an RFC 3339 time, `>-24h`, `today`, `yesterday`, `\"last week\"`, a comparison, or a range like `2026-01-01..2026-01-31`"
            }
            Self::Hours => "an hour of 0 to 23, hours like `22..6` (from 22:00 until 6:00), `off` or `weekend`",
            Self::Id => "a whole id, or its first digits and `*`",
        }
    }
}

/// What answers the question behind a key that no field of an event answers.
pub(super) fn instead_of(word: &str) -> Option<&'static str> {
    WITHOUT_FIELD.iter().find(|(key, _)| *key == word).map(|(_, instead)| *instead)
}

/// The key that somebody may have meant by `word`.
pub(super) fn meant_by(word: &str) -> Option<&'static str> {
    let synonym = SYNONYMS.iter().find(|(from, _)| *from == word).map(|(_, to)| *to);
    synonym.or_else(|| super::suggest::nearest(word, Key::ALL.iter().map(|key| key.as_str()).chain(["sort"])))
}
