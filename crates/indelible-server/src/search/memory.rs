//! A run that is not stored anywhere: of leaves that were read to be counted.

use std::borrow::Cow;
use std::ops::Range;

use super::SearchError;
use super::plan::Index;
use crate::index::{Bits, Field, Run, Term, times_decode};
use crate::trail::{Ids, TrailError};

/// The index of some leaves, in memory.
pub(super) struct MemoryRun(pub(super) Run);

impl Index for MemoryRun {
    fn range(&self) -> Range<u64> {
        self.0.first_index..self.0.end_index
    }

    fn occurred(&self) -> (i64, i64) {
        self.0.occurred
    }

    fn ids(&self) -> ([u8; 16], [u8; 16]) {
        self.0.ids
    }

    fn with_ids(&self, _: &Ids) -> Result<Option<Bits>, SearchError> {
        Ok(None)
    }

    fn lookup(&self, term: Term) -> Result<Bits, SearchError> {
        self.0.lookup(term).map_err(|_| TrailError::Damaged { place: "an index in memory" }.into())
    }

    fn piece(&self, term: Term) -> Result<Option<Cow<'_, [u8]>>, SearchError> {
        Ok(self.0.piece(term).map(Cow::Borrowed))
    }

    fn values(&self, field: Field, prefix: &str, limit: u32) -> Result<Vec<String>, SearchError> {
        let values = self.0.values.iter().filter(|(of, value)| *of == field && value.starts_with(prefix));
        Ok(values.take(limit as usize).map(|(_, value)| value.clone()).collect())
    }

    fn seconds(&self) -> Result<Vec<i64>, SearchError> {
        // A run has as many leaves as its builder was given.
        let count = usize::try_from(self.0.end_index - self.0.first_index).unwrap_or(0);
        times_decode(&self.0.times, count).map_err(|_| TrailError::Damaged { place: "an index in memory" }.into())
    }
}
