//! How far each stream of a service is in the trail, and whether more can come of it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use indelible_core::{StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::View;
use super::places::Gaps;
use crate::data_dir::DataDir;
use crate::search::newest_own_records;
use crate::trail::{Reader, StoredLeaf, StreamRow, TrailError, forgotten};

/// The most streams in a file.
pub(crate) const STREAMS_MAX: usize = 10_000;
/// How long a stream is named after the open file has left it behind: twice as long as a marker must stay. Microseconds.
const KEPT_FOR: i64 = 48 * 3_600_000_000;

/// The most gaps of earlier times that are read. Of streams older than the last of them nothing is said until they are forgotten.
const GAPS_MAX: usize = 100_000;

/// What a file says of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StreamAnswer {
    pub(super) high_water: u64,
    pub(super) ended: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gaps: Vec<(u64, u64)>,
}

/// What a gap's event says of it.
#[derive(Deserialize)]
struct GapBody {
    resource: GapResource,
    meta: GapMeta,
}

#[derive(Deserialize)]
struct GapResource {
    id: StreamIdText,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct StreamIdText(StreamId);

impl TryFrom<String> for StreamIdText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| text)
    }
}

#[derive(Deserialize)]
struct GapMeta {
    first_sequence: u64,
    last_sequence: u64,
}

/// What the open file does not know: streams that it has left behind, and sequences that were passed over.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// With when they were left behind.
    left: HashMap<StreamId, (StreamRow, Timestamp)>,
    gaps: HashMap<StreamId, Gaps>,
    recalled: bool,
}

impl Streams {
    /// Keeps streams that the open file leaves behind, and forgets those that it has left behind long ago.
    pub(super) fn keep(&mut self, left: impl Iterator<Item = (StreamId, StreamRow)>, now: Timestamp) {
        self.left.retain(|_, (_, at)| is_recent(*at, now));
        self.left.extend(left.map(|(stream, row)| (stream, (row, now))));
    }

    /// Notes that sequences were passed over.
    pub(super) fn note_gap(&mut self, stream: StreamId, first: u64, last: u64) {
        self.gaps.entry(stream).or_default().add(first, last);
    }

    /// Forgets what was passed over in streams that nobody is told of any more.
    pub(super) fn forget(&mut self, view: &View<'_>) {
        self.gaps.retain(|stream, _| view.streams.contains_key(stream) || self.left.contains_key(stream));
    }

    /// Reads, once, what files and events of the trail say of earlier times.
    ///
    /// # Errors
    /// - [`TrailError`]: the trail cannot be read.
    pub(super) fn recall(&mut self, dir: &DataDir, view: &View<'_>, now: Timestamp) -> Result<(), TrailError> {
        if self.recalled {
            return Ok(());
        }
        let since = Timestamp::from_micros(now.micros().saturating_sub(KEPT_FOR));
        for (stream, row, at) in forgotten::left_since(dir, since, STREAMS_MAX)? {
            self.left.entry(stream).or_insert((row, at));
        }
        self.recall_gaps(dir, view, GAPS_MAX)?;
        self.recalled = true;
        Ok(())
    }

    /// Reads the gaps of streams that are named, from the newest back to when the oldest of them began.
    fn recall_gaps(&mut self, dir: &DataDir, view: &View<'_>, most: usize) -> Result<(), TrailError> {
        let named = view.streams.keys().chain(self.left.keys()).copied().filter(|stream| *stream != StreamId::AGENT);
        let named: HashMap<StreamId, i64> = named.map(|stream| (stream, noticed_after(stream))).collect();
        let Some(&oldest) = named.values().min() else { return Ok(()) };
        let reader = Reader::open(dir)?;
        let (mut read, mut reached) = (0, None);
        let found = newest_own_records(&reader, &["audit.gap"], Timestamp::from_micros(oldest), |leaf| {
            read += 1;
            if read > most {
                reached = Some(leaf.entry.received_at.micros());
                return ControlFlow::Break(());
            }
            self.note_gap_of(&leaf, &named);
            ControlFlow::Continue(())
        });
        if let Err(error) = found {
            tracing::error!(%error, "gaps of earlier times cannot be read: run `indelible verify`");
            return Err(TrailError::Damaged { place: "audit.gap" });
        }
        if let Some(reached) = reached {
            let cut = named.into_iter().filter(|(_, after)| *after <= reached);
            cut.for_each(|(stream, _)| self.gaps.entry(stream).or_default().cut());
        }
        Ok(())
    }

    fn note_gap_of(&mut self, leaf: &StoredLeaf, named: &HashMap<StreamId, i64>) {
        if let Ok(GapBody { resource, meta }) = serde_json::from_slice(&leaf.body)
            && named.contains_key(&resource.id.0)
        {
            self.note_gap(resource.id.0, meta.first_sequence, meta.last_sequence);
        }
    }

    /// What to say of the streams of a service, and whether some are left out.
    pub(super) fn answers(&self, service: &str, view: &View<'_>, now: Timestamp) -> (BTreeMap<StreamId, StreamAnswer>, bool) {
        let left = self.left.iter().filter(|(stream, (_, at))| is_recent(*at, now) && !view.streams.contains_key(stream));
        let all = view.streams.iter().chain(left.map(|(stream, (row, _))| (stream, row)));
        let mut rows: Vec<_> = all.filter(|(stream, row)| row.service == service && **stream != StreamId::AGENT).collect();
        let mut cut = rows.len() > STREAMS_MAX;
        if cut {
            // Their ids hold the time of their birth: the oldest that have ended go first.
            rows.sort_unstable_by_key(|(stream, _)| (view.unfinished.contains(stream), **stream));
            rows.drain(..rows.len() - STREAMS_MAX);
        }
        let mut answers = BTreeMap::new();
        for (&stream, row) in rows {
            let none = Gaps::default();
            let gaps = self.gaps.get(&stream).unwrap_or(&none);
            let (high_water, ranges) = gaps.below(row.next_sequence.saturating_sub(1));
            cut |= !gaps.is_complete();
            if gaps.is_complete() {
                answers.insert(stream, StreamAnswer { high_water, ended: !view.unfinished.contains(&stream), gaps: ranges });
            }
        }
        (answers, cut)
    }
}

/// Before this moment nobody can have noticed a gap in a stream, in microseconds: it began later, by any clock.
fn noticed_after(stream: StreamId) -> i64 {
    forgotten::born_ms(stream).saturating_sub(forgotten::CLOCK_SKEW_MS).saturating_mul(1000)
}

fn is_recent(left_at: Timestamp, now: Timestamp) -> bool {
    now.micros().saturating_sub(left_at.micros()) <= KEPT_FOR
}

/// For tests: the ranges that are recalled of each stream, `None` where there may be more.
#[cfg(test)]
pub(crate) fn recalled_gaps(dir: &DataDir, view: &View<'_>, most: usize) -> HashMap<StreamId, Option<Vec<(u64, u64)>>> {
    let mut streams = Streams::default();
    streams.recall_gaps(dir, view, most).expect("the trail can be read");
    let ranges = |gaps: Gaps| gaps.is_complete().then(|| gaps.below(u64::MAX).1);
    streams.gaps.into_iter().map(|(stream, gaps)| (stream, ranges(gaps))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn gaps_are_kept_as_long_as_their_stream_is_named() {
        let [open, left, old] = [1, 2, 3].map(|number| StreamId::from_bytes([number; 16]));
        let row = || StreamRow { service: "clinic".to_owned(), next_sequence: 9, next_stream_index: 0 };
        let now = Timestamp::from_micros(2 * KEPT_FOR);
        let mut streams = Streams::default();
        streams.keep([(old, row())].into_iter(), Timestamp::from_micros(0));
        streams.keep([(left, row())].into_iter(), now);
        [open, left, old].into_iter().for_each(|stream| streams.note_gap(stream, 3, 4));
        let rows = HashMap::from([(open, row())]);
        streams.forget(&View { streams: &rows, unfinished: HashSet::new(), unlisted: &[] });
        let kept: HashSet<StreamId> = streams.gaps.into_keys().collect();
        assert_eq!(kept, HashSet::from([open, left]));
    }
}
