//! The pure half of Indelible: events, redaction, journal frames, leaves, proofs and the search grammar as data.
//!
//! ```
//! use indelible_core::{Actor, Event, EventId, Kind, Source, Stamp, Timestamp};
//!
//! let mut event = Event::new(Kind::Action, "invoice.approve");
//! event.actor = Actor::user("7", "ana").into();
//! let stamp = Stamp { id: EventId::from_parts(0, [0; 10]), recorded_at: Timestamp::from_micros(0) };
//!
//! let mut body = String::new();
//! event.encode(&stamp, &Source::default(), 262_144, &mut body);
//! assert!(body.starts_with(r#"{"v":1,"id":"00000000-0000-7000-8000-000000000000","kind":"action""#));
//! ```
//!
//! It opens no file or socket, starts no thread, reads no clock and draws no random number: callers pass these in.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod body;
mod checkpoint;
mod diff;
mod event;
mod file_system;
mod frame;
mod headers;
mod id;
mod json;
mod leaf;
mod merkle;
mod note;
mod policy;
pub mod query;
#[cfg(feature = "signing")]
mod receipt;
mod redact;
mod sql;
mod time;

pub use body::{Body, body_json, not_captured};
pub use checkpoint::{BatchNote, Checkpoint, CheckpointError, Origin, SealNote, StateDigest};
pub use diff::diff;
pub use event::{
    Action, Actor, ActorType, Changes, Code, EVENT_BYTES_MIN, EncodedActor, EncodedSource, ErrorInfo, Event, FieldName, Kind, Outcome,
    Request, Resource, Source, Stamp,
};
pub use file_system::FileSystem;
pub use frame::{
    Evidence, FRAME_HEADER_BYTES, FRAME_ITEMS_MAX, FRAME_PAYLOAD_BYTES_MAX, Frame, FrameError, INTENT_KIND, Item, OUTCOME_KIND, RawFrame,
    Resolution, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader, encode_frame, read_frame,
};
pub use headers::{HeaderMemo, HeaderWriter};
pub use id::{EventId, IdError, IntentId, StreamId};
pub use json::{ArrayWriter, Json, ObjectWriter, push_f64, push_i64, push_string, push_timestamp, push_u64};
pub use leaf::{LeafEntry, LeafError, Verdict, commitment};
pub use merkle::{
    ConsistencyProof, Frontier, FrontierError, Hash, HashError, InclusionProof, ProofError, TreeHead, empty_root, leaf_hash, node_hash,
    root_of,
};
#[cfg(feature = "signing")]
pub use note::{KeyError, SigningKey, VerifierKey};
pub use note::{Note, NoteError};
pub use policy::{Level, Policy, PolicyError, Rule, User, Visit};
#[cfg(feature = "signing")]
pub use receipt::{Disclosed, Receipt, ReceiptError};
pub use redact::{Detector, Detectors, MASK, Redactor, UnknownDetector};
pub use sql::{SqlSummary, SqlVerb, SqlWrite};
pub use time::{Timestamp, TimestampError};
