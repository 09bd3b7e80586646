//! The trail: SQLite files that hold the records, and the signed notes beside them (docs/format.md, "Trail file").
//!
//! One writer, [`OpenFile`], belongs to the running agent. Everybody else reads through [`Reader`], which changes nothing.

mod block;
mod committed;
pub(crate) mod erase;
mod file;
pub(crate) mod files;
pub(crate) mod forgotten;
mod kept;
mod leaf;
mod loose;
mod reader;
pub(crate) mod roll;
pub(crate) mod rows;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod seal;
mod sealed;
mod sign;
mod state;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::path::PathBuf;

use rusqlite::ErrorCode;

pub(crate) use block::{BLOCK_LEAVES, Block, end_of as block_end};
pub(crate) use committed::{check_state, check_tree, read_batch};
pub use file::{FileState, Span, TrailFile};
pub(crate) use kept::SealedFiles;
pub(crate) use leaf::Ids;
pub use leaf::{Order, StoredLeaf};
pub use reader::Reader;
pub(crate) use sign::Signer;
pub(crate) use state::state_digest;
pub(crate) use writer::{Batch, NewRecord, OpenFile, StreamRow, Unresolved, Waiting};

/// Records after which a file is full, unless the agent is told otherwise: small enough to seal in seconds, large enough that ten
/// million records are fewer than a hundred files.
pub const LEAVES_PER_FILE: u64 = 131_072;

/// Why a trail cannot be opened, read or extended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrailError {
    /// A file or folder of the trail cannot be used.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no trail in this data directory.
    #[error("there is no trail in {path}: start the agent once with `indelible serve`, or name the directory with --data")]
    Missing {
        /// The folder that was looked at.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("trail file: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file that is no trail file, or one of another version.
    #[error("not a trail file of version {} (application id {application_id:#x}, version {version})", schema::FORMAT_VERSION)]
    Version {
        /// What the file says it is.
        application_id: i64,
        /// What version it says it has.
        version: i64,
    },
    /// The checkpoint or the state is missing although records were signed.
    #[error("{path} is missing although the trail holds {tree_size} records: it was deleted, or only part of the directory was restored")]
    CheckpointMissing {
        /// Where it should be.
        path: PathBuf,
        /// Records in the trail.
        tree_size: u64,
    },
    /// The checkpoint or the state is not what this trail's key signed.
    #[error("{path}: {error}; run `indelible verify`")]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: indelible_core::CheckpointError,
    },
    /// The trail holds fewer records than its own checkpoint: it was rolled back or replaced.
    #[error(
        "the trail holds {found} records, its checkpoint {signed}: the trail was rolled back or replaced; restore it, then start again"
    )]
    BehindCheckpoint {
        /// Records in the trail.
        found: u64,
        /// Records under the checkpoint.
        signed: u64,
    },
    /// A file in the trail's folder that this version does not write.
    #[error(
        "{path} does not belong to this trail, whose files are named after their first record and have no rollback journal: move it elsewhere, then try again"
    )]
    Unexpected {
        /// The file.
        path: PathBuf,
    },
    /// The trail file is not as the agent committed it.
    #[error("the trail file was changed by somebody else than the agent ({place}): nothing was signed or deleted; run `indelible verify`")]
    Changed {
        /// What differs.
        place: &'static str,
    },
    /// The stored records do not lead to the root that was signed or stored.
    #[error("the records up to {tree_size} do not lead to the root that was {claim}: run `indelible verify`")]
    Root {
        /// The size at which they differ.
        tree_size: u64,
        /// `signed` or `stored`.
        claim: &'static str,
    },
    /// A stored record is not what was written.
    #[error(
        "record {leaf_index} cannot be read back as it was written ({what}): nothing was signed; check the disk, then run `indelible verify`"
    )]
    ReadBack {
        /// Its leaf index.
        leaf_index: u64,
        /// What differs.
        what: &'static str,
    },
    /// A block of a sealed file is not what was written.
    #[error("records {first_index} to {} cannot be read back ({what}): run `indelible verify`", end_index.saturating_sub(1))]
    Block {
        /// Its first leaf.
        first_index: u64,
        /// One past its last leaf.
        end_index: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A stored value has a form that was never written.
    #[error("the trail file holds a damaged value in {place}: run `indelible verify`")]
    Damaged {
        /// Table and column.
        place: &'static str,
    },
    /// The system gave no random bytes for a salt.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
}

impl TrailError {
    /// Whether bytes that could be read are not what the agent wrote, which is for `verify` to call tampering.
    #[must_use]
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, QueryReturnedNoRows};
        match self {
            // A row that is always there, or a value in a type that its column never has.
            Self::Sqlite(error) => {
                matches!(error, QueryReturnedNoRows | InvalidColumnType(..) | IntegralValueOutOfRange(..) | FromSqlConversionFailure(..))
            }
            _ => {
                matches!(self, Self::Changed { .. } | Self::Damaged { .. } | Self::ReadBack { .. } | Self::Block { .. } | Self::Root { .. })
            }
        }
    }

    /// Whether trying again cannot help: the trail is not the one that was signed, or it is damaged.
    #[must_use]
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)),
            Self::File { .. } | Self::Random(_) => false,
            _ => true,
        }
    }
}
