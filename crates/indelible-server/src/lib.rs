//! The agent of Indelible: it ingests journals into a trail that can be verified, searches it, and serves it on loopback.
//!
//! The binary `indelible` is a thin shell around [`main`]. Everything here is for that binary and for its tests; an application
//! records with the crate `indelible` and never links this one.
#![forbid(unsafe_code)]

mod agent;
mod cli;
mod clock;
mod data_dir;
mod http;
mod ingest;
mod journal;
mod keys;
mod metrics;
pub mod search;
mod trail;
mod verify;

pub use agent::{AgentError, Announced, NotRecorded, Options, Status, serve};
pub use cli::main;
pub use data_dir::DataDir;
pub use ingest::{Deadlines, IngestError};
pub use keys::{KeysError, read_verifier};
pub use metrics::Metrics;
pub use trail::{Reader, TrailError};
pub use verify::{Fault, FaultKind, Intact, Report, StateCheck, Trust, verify};
