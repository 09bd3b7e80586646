//! Single records, by leaf or by id.

use indelible_core::query::IdPrefix;
use indelible_core::{EventId, Timestamp};
use rusqlite::{Row, params};

use super::{Hit, SearchError};
use crate::trail::Reader;
use crate::trail::rows::{count, stored};

/// How many records an ambiguous id lists.
const CANDIDATES: usize = 5;

const SELECT: &str = "SELECT event.leaf_index, event.verdict, event.received_at, record.body, \
     record.entry, record.leaf_hash, record.salt, event.event_id \
     FROM event JOIN record ON record.leaf_index = event.leaf_index";

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
    event: [u8; 16],
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
    /// Id and leaf, since an id could occur twice in a trail that was tampered with.
    fn named(&self) -> String {
        format!("{} (leaf {})", EventId::from_bytes(self.event), self.hit.leaf_index)
    }

    /// The query that finds this record.
    pub(crate) fn query(&self) -> String {
        format!("id:{}", EventId::from_bytes(self.event))
    }
}

/// Finds one record. `text` is what was asked for, as errors repeat it.
///
/// # Errors
/// - [`SearchError::NotFound`], [`SearchError::Ambiguous`]: there is none, or more than one.
/// - [`SearchError::Sqlite`], [`SearchError::Trail`]: the trail cannot be read.
pub(crate) fn find(reader: &Reader, wanted: &Wanted, text: &str) -> Result<StoredRecord, SearchError> {
    let mut found = match wanted {
        Wanted::Leaf(leaf) => select(reader, "event.leaf_index = ?1 ORDER BY event.leaf_index LIMIT ?2", params![stored(*leaf), 1])?,
        Wanted::Id(prefix) => {
            let (low, high) = prefix.bounds();
            let limit = i64::try_from(CANDIDATES).unwrap_or(i64::MAX);
            select(reader, "event.event_id BETWEEN ?1 AND ?2 ORDER BY event.event_id LIMIT ?3", params![low, high, limit])?
        }
    };
    if found.len() > 1 {
        let candidates = found.iter().map(StoredRecord::named).collect();
        return Err(SearchError::Ambiguous { text: text.to_owned(), candidates });
    }
    found.pop().ok_or_else(|| SearchError::NotFound { text: text.to_owned() })
}

fn select(reader: &Reader, condition: &str, parameters: impl rusqlite::Params) -> Result<Vec<StoredRecord>, SearchError> {
    let mut statement = reader.connection().prepare_cached(&format!("{SELECT} WHERE {condition}"))?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(StoredRecord { hit: hit(row)?, entry: row.get(4)?, leaf_hash: row.get(5)?, salt: row.get(6)?, event: row.get(7)? });
    }
    Ok(found)
}

/// Reads leaf, verdict, arrival and body from the first four columns.
pub(super) fn hit(row: &Row<'_>) -> Result<Hit, SearchError> {
    Ok(Hit {
        leaf_index: count(row, 0, "event.leaf_index")?,
        verdict: row.get(1)?,
        received_at: Timestamp::from_micros(row.get(2)?),
        body: row.get(3)?,
    })
}
