//! Single records, by leaf or by id.

use indelible_core::EventId;
use indelible_core::query::IdPrefix;

use super::{Hit, SearchError};
use crate::retention::{Ledger, Purge};
use crate::trail::{Reader, StoredLeaf};

/// How many records an ambiguous id lists.
const CANDIDATES: usize = 5;

/// Which record somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The record at this leaf.
    Leaf(u64),
    /// The only record whose id begins so.
    Id(IdPrefix),
}

/// A record with all that its leaf was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRecord {
    /// The record.
    pub(crate) hit: Hit,
    /// The leaf entry as stored.
    pub(crate) entry: Vec<u8>,
    /// The leaf hash as stored.
    pub(crate) leaf_hash: Vec<u8>,
    /// The salt of the commitment.
    pub(crate) salt: Vec<u8>,
    /// What erased the body, where it was erased and the trail says so.
    pub(crate) purge: Option<Purge>,
    event: EventId,
}

impl Wanted {
    /// Reads an event id, its first digits, or the number of a leaf. Decimal digits alone are a leaf; with a `*` behind them
    /// they are an id.
    ///
    /// # Errors
    /// - [`SearchError::NotAnId`]: the text is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, SearchError> {
        if let Some(leaf) = text.parse().ok().filter(|leaf| i64::try_from(*leaf).is_ok()) {
            return Ok(Self::Leaf(leaf));
        }
        let prefix = IdPrefix::parse(text.strip_suffix('*').unwrap_or(text));
        prefix.map(Self::Id).ok_or_else(|| SearchError::NotAnId { text: text.to_owned() })
    }
}

impl StoredRecord {
    /// The id of the event, as the leaf says.
    pub(crate) fn event(&self) -> EventId {
        self.event
    }

    /// The query that finds this record.
    pub(crate) fn query(&self) -> String {
        format!("id:{}", self.event)
    }
}

/// Finds one record. `text` is what was asked for, as errors repeat it.
///
/// # Errors
/// - [`SearchError::NotFound`], [`SearchError::Ambiguous`]: there is none, or more than one.
/// - [`SearchError::Trail`]: the trail cannot be read.
pub(crate) fn find(reader: &Reader, wanted: &Wanted, text: &str) -> Result<StoredRecord, SearchError> {
    let mut found = match wanted {
        Wanted::Leaf(leaf) => reader.record(*leaf)?.into_iter().collect(),
        Wanted::Id(prefix) => with_id(reader, prefix)?,
    };
    if found.len() > 1 {
        let candidates = found.iter().map(named).collect();
        return Err(SearchError::Ambiguous { text: text.to_owned(), candidates });
    }
    let mut record = found.pop().map(StoredRecord::from).ok_or_else(|| SearchError::NotFound { text: text.to_owned() })?;
    if record.hit.erased {
        record.purge = Ledger::read(reader)?.purge_of(record.hit.leaf_index).cloned();
    }
    Ok(record)
}

/// The records whose id begins so, the oldest first, at most [`CANDIDATES`].
fn with_id(reader: &Reader, prefix: &IdPrefix) -> Result<Vec<StoredLeaf>, SearchError> {
    let (low, high) = prefix.bounds();
    let mut found = Vec::new();
    for leaf_index in reader.places_among(&(low..=high), CANDIDATES)? {
        found.extend(reader.record(leaf_index)?);
    }
    Ok(found)
}

/// Id and leaf, since an id could occur twice in a trail that was tampered with.
fn named(record: &StoredLeaf) -> String {
    format!("{} (leaf {})", record.entry.event, record.leaf_index)
}

impl From<StoredLeaf> for StoredRecord {
    fn from(leaf: StoredLeaf) -> Self {
        Self {
            entry: leaf.entry.encode().to_vec(),
            leaf_hash: leaf.leaf_hash.as_bytes().to_vec(),
            salt: leaf.salt.map(Vec::from).unwrap_or_default(),
            purge: None,
            event: leaf.entry.event,
            hit: Hit::from(leaf),
        }
    }
}
