//! What the trail says about its own erasures: which bodies were to go by which purge, and which holds are in force.

use std::collections::BTreeMap;

use indelible_core::{EventId, LeafEntry, Timestamp};

use super::hold::Hold;
use super::record::{ACTIONS, Said, said};
use crate::ranges::LeafRanges;
use crate::search::{SearchError, own_records};
use crate::trail::Reader;

/// A purge that the trail announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purge {
    /// The leaf of its record.
    pub(crate) leaf_index: u64,
    /// The event.
    pub(crate) event: EventId,
    /// When it was recorded.
    pub(crate) at: Timestamp,
    /// What it announced and no hold has kept.
    pub(crate) leaves: LeafRanges,
    /// The rules by which.
    pub(crate) rules: Vec<String>,
}

impl Purge {
    /// What erased a body, in words.
    pub(crate) fn sentence(&self) -> String {
        let rules = if self.rules.is_empty() { "an interrupted run".to_owned() } else { self.rules.join(", ") };
        format!("by {rules}, at {}, purge {} (leaf {})", self.at, self.event, self.leaf_index)
    }
}

/// Which bodies may be missing. It hears the records of a trail in their order.
///
/// A hold takes what it lists out of every purge that was announced before it, and out of those that are announced while it is in force.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    purges: Vec<Purge>,
    holds: BTreeMap<String, Hold>,
    /// Everything that a hold has ever listed.
    held: LeafRanges,
}

impl Permits {
    /// Hears the next record; what is not about retention changes nothing.
    pub(crate) fn hear(&mut self, leaf_index: u64, entry: &LeafEntry, body: &[u8]) {
        match said(entry.stream, body) {
            None => {}
            Some(Said::Begin { leaves, rules }) => {
                let leaves = self.holds.values().fold(leaves, |left, hold| left.without(&hold.leaves));
                self.purges.push(Purge { leaf_index, event: entry.event, at: entry.recorded_at, leaves, rules });
            }
            Some(Said::HoldAdded { name, query, leaves, reason }) => {
                self.purges.iter_mut().for_each(|purge| purge.leaves = purge.leaves.without(&leaves));
                self.held = self.held.union(&leaves);
                self.holds.insert(name.clone(), Hold { name, query, reason, leaves, leaf_index, added_at: entry.recorded_at });
            }
            Some(Said::HoldReleased { name }) => {
                self.holds.remove(&name);
            }
        }
    }

    /// Those of the leaves without bodies that no purge before `signed` accounts for.
    pub(crate) fn unaccounted(&self, erased: &LeafRanges, signed: u64) -> LeafRanges {
        if erased.is_empty() {
            return LeafRanges::default();
        }
        erased.without(&self.announced(signed))
    }

    /// Whether a hold lists one of these leaves, or has.
    pub(crate) fn is_held(&self, leaves: &LeafRanges) -> bool {
        !leaves.within(&self.held).is_empty()
    }

    /// Everything that may be missing by purges below a leaf.
    pub(crate) fn announced(&self, below: u64) -> LeafRanges {
        LeafRanges::union_of(self.purges.iter().filter(|purge| purge.leaf_index < below).map(|purge| &purge.leaves))
    }

    /// The purges that account for some of these leaves.
    pub(crate) fn purges_of<'a>(&'a self, leaves: &'a LeafRanges) -> impl Iterator<Item = &'a Purge> {
        self.purges.iter().filter(|purge| leaves.ranges().iter().any(|range| purge.leaves.touches(range)))
    }
}

/// The same, read by the index.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) permits: Permits,
}

impl Ledger {
    /// Reads what a trail says.
    ///
    /// # Errors
    /// - [`SearchError::Trail`]: the trail cannot be read.
    pub(crate) fn read(reader: &Reader) -> Result<Self, SearchError> {
        let mut permits = Permits::default();
        own_records(reader, &ACTIONS, |leaf| permits.hear(leaf.leaf_index, &leaf.entry, &leaf.body))?;
        Ok(Self { permits })
    }

    /// The holds that are in force, by name.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.permits.holds.values()
    }

    /// The hold of a name, where it is in force.
    pub(crate) fn hold(&self, name: &str) -> Option<&Hold> {
        self.permits.holds.get(name)
    }

    /// The newest purge by which the body of a leaf is gone.
    pub(crate) fn purge_of(&self, leaf_index: u64) -> Option<&Purge> {
        self.permits.purges.iter().rev().find(|purge| purge.leaves.contains(leaf_index))
    }
}
