//! What became of an event in doubt, and of which event a record says it.

use indelible_core::{EventId, Verdict};
use serde_json::Value;

use super::walk::{Trail, TrailResolutions, resolved};
use super::{SearchError, StoredRecord};
use crate::trail::Reader;

/// A record's part in a doubt about how a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It is in doubt, and the trail says nothing further.
    Open,
    /// It is in doubt; a record of the agent says with this result what became of it.
    Resolved { by: EventId, result: String },
    /// It says what became of this event.
    Resolves { event: String },
}

/// Looks up a record's part in a doubt; none for most.
///
/// # Errors
/// - [`SearchError::Trail`]: the trail cannot be read.
pub(crate) fn doubt(reader: &Reader, record: &StoredRecord) -> Result<Option<Doubt>, SearchError> {
    let Some(leaf) = reader.record(record.hit.leaf_index)? else { return Ok(None) };
    if leaf.entry.verdict != Verdict::InDoubt {
        return Ok(resolved(&leaf).map(|event| Doubt::Resolves { event }));
    }
    let trail = Trail::new(reader);
    let Some(place) = TrailResolutions::new(&trail).look_up(record.event())? else { return Ok(Some(Doubt::Open)) };
    let resolution = reader.record(place)?;
    Ok(Some(resolution.map_or(Doubt::Open, |leaf| Doubt::Resolved { by: leaf.entry.event, result: result_of(&leaf.body) })))
}

fn result_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["meta"]["result"].as_str().unwrap_or_default().to_owned()
}
