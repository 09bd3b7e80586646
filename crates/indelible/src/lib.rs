//! Records audit events from inside a Rust service: each one goes to this process's own journal, and the host's agent takes it from there.
//!
//! ```
//! use indelible::{Actor, Config, Event, Kind, Recorded, Recorder, Resource};
//!
//! # let folder = tempfile::tempdir()?;
//! # let data_dir = folder.path();
//! let recorder = Recorder::open(Config::new(data_dir, "billing"))?;
//!
//! let mut event = Event::new(Kind::Action, "invoice.approve");
//! event.actor = Actor::user("7", "ana").into();
//! event.resource = Some(Resource::new("billing.Invoice", "2026-0042"));
//! event.reason = Some("ticket 42".into());
//!
//! assert!(matches!(recorder.record(event), Recorded::At(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a database transaction did is held until COMMIT, see [`Transaction`].
//!
//! It opens no socket, starts no thread and never retries in the background; what it cannot write it counts. It does not redact what
//! is put into an event: build texts with [`Redactor`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

#[macro_use]
mod failpoint;

mod capture;
mod clock;
mod config;
mod error;
mod evidence;
mod intent;
mod journal;
mod recorder;
mod superseding;
mod told;
mod transaction;

pub use capture::{Capture, Captured, Fate};
pub use config::{Config, Durability, EventClass, KeepRolledBack, Limits, OnFailure};
pub use error::Error;
pub use evidence::{Outboxed, is_sealed};
pub use indelible_core::*;
pub use intent::{Intent, Refused};
pub use journal::{JournalHealth, Position};
pub use recorder::{Recorded, Recorder};
pub use transaction::Transaction;
