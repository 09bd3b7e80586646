//! The index: which leaves may satisfy a condition, without looking at them (docs/format.md, "Index").
//!
//! A record has *terms*, one for each field and value it can be found by. A *run* lists, for a stretch of leaves, the leaves of
//! each term. What it answers is a hint: it finds every leaf that has a value, and perhaps a few more, and whoever searches
//! looks at the records themselves. Nothing here reads a file.

mod bits;
mod body;
mod facts;
mod posting;
mod run;
mod term;
mod times;
pub(crate) mod varint;

pub(crate) use bits::Bits;
pub(crate) use body::{Raw, Text};
pub(crate) use facts::{Facts, duration_bucket, duration_term, hour_of, last_part, meta_value, network_around};
pub(crate) use run::{Run, RunBuilder, piece_counts, piece_lookup};
pub(crate) use term::{Field, Term};
pub(crate) use times::{second_of, times_decode};
pub(crate) use varint::Damaged;
