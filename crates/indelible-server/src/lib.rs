//! The agent of Indelible: it ingests journals into a trail that can be verified, searches it, and serves it on loopback.
//!
//! The binary `indelible` is a thin shell around [`main`]. Everything here is for that binary and for its tests; an application
//! records with the crate `indelible` and never links this one.
#![forbid(unsafe_code)]

#[macro_use]
mod failpoint;

mod agent;
mod answers;
mod cli;
mod clock;
mod collector;
mod config;
mod data_dir;
mod doctor;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
mod index;
mod ingest;
mod journal;
mod keys;
mod metrics;
mod ranges;
mod retention;
pub mod search;
mod sink;
mod trail;
mod verify;

pub use agent::{AgentError, Announced, NotRecorded, Options, Status, serve};
pub use cli::main;
pub use config::{Config, ConfigError};
pub use data_dir::DataDir;
pub use ingest::{Deadlines, IngestError};
pub use keys::{KeysError, read_verifier};
pub use metrics::Metrics;
pub use trail::{FileState, LEAVES_PER_FILE, Order, Reader, Span, StoredLeaf, TrailError, TrailFile};
pub use verify::{Fault, FaultKind, Growth, Intact, NoProof, Proved, Report, StateCheck, Trust, check_receipt, growth, receipt, verify};
