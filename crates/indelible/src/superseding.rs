//! Which held events take the place of which others, and where the changes stand that speak for themselves yet.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use indelible_core::Event;

/// How many changes of one resource are looked at, the newest first.
const CANDIDATES_MAX: usize = 256;

/// Pairs of places among the held events of one transaction. Each call costs what it adds or takes back, however many are held.
#[derive(Default)]
pub(crate) struct Superseding {
    /// Places of events that take the place of an earlier one, with its place, in the order in which they came.
    pairs: Vec<(usize, Option<usize>)>,
    /// How many of them have an earlier one.
    merged: usize,
    /// Places of changes that speak for themselves, oldest first, by the hash of their resource.
    free: HashMap<u64, Vec<usize>, BuildHasherDefault<DefaultHasher>>,
    /// How many held events were looked at: the first of them.
    seen: usize,
}

impl Superseding {
    /// The newest held change of the same resource that came from the write itself, speaks for itself yet and may be meant.
    pub(crate) fn newest_change(&mut self, held: &[Event], event: &Event) -> Option<usize> {
        for (at, change) in held.iter().enumerate().skip(self.seen) {
            if let Some(resource) = changed_resource(change) {
                self.free.entry(resource).or_default().push(at);
            }
        }
        self.seen = held.len();
        let mut of_links = None;
        for &at in self.free.get(&resource_of(event)?)?.iter().rev().take(CANDIDATES_MAX) {
            let change = &held[at];
            let are_links = change.changes.are_of_links();
            if (are_links && of_links.is_some()) || !is_same_resource(event, change) || !event.is_about(change) {
                continue;
            }
            if !are_links {
                return Some(at);
            }
            of_links = Some(at);
        }
        of_links
    }

    /// The event at the last place, `later`, takes the place of the one at `earlier`.
    pub(crate) fn push(&mut self, held: &[Event], later: usize, earlier: Option<usize>) {
        self.pairs.push((later, earlier));
        self.seen = later + 1;
        let Some(earlier) = earlier else { return };
        self.merged += 1;
        let places = changed_resource(&held[earlier]).and_then(|resource| self.free.get_mut(&resource));
        if let Some(places) = places
            && let Some(at) = places.iter().rposition(|&place| place == earlier)
        {
            places.remove(at);
        }
    }

    /// What stood behind the `held` events is `taken_back`: what it took the place of speaks for itself again.
    pub(crate) fn take_back(&mut self, held: &[Event], taken_back: &[Event]) {
        let looked_at = self.seen.saturating_sub(held.len());
        for event in taken_back.iter().take(looked_at) {
            if let Some(places) = changed_resource(event).and_then(|resource| self.free.get_mut(&resource)) {
                while places.pop_if(|place| *place >= held.len()).is_some() {}
            }
        }
        self.seen = self.seen.min(held.len());
        while let Some((_, earlier)) = self.pairs.pop_if(|(later, _)| *later >= held.len()) {
            let Some(earlier) = earlier else { continue };
            self.merged -= 1;
            if let Some(resource) = held.get(earlier).and_then(changed_resource) {
                let places = self.free.entry(resource).or_default();
                places.insert(places.partition_point(|&place| place < earlier), earlier);
            }
        }
    }

    /// How many events there are fewer once each pair is one.
    pub(crate) fn merged(&self) -> usize {
        self.merged
    }

    /// Makes one of each pair, in the place of the earlier, and forgets them all.
    pub(crate) fn merge(&mut self, held: Vec<Event>) -> Vec<Event> {
        if self.seen == 0 && self.free.is_empty() {
            return held;
        }
        let mut merged: Vec<Option<Event>> = held.into_iter().map(Some).collect();
        for (later, earlier) in std::mem::take(self).pairs {
            let Some(earlier) = earlier else { continue };
            if let (Some(event), Some(change)) = (merged[later].take(), merged[earlier].take()) {
                merged[earlier] = Some(event.superseding(change));
            }
        }
        merged.into_iter().flatten().collect()
    }
}

/// The resource of an event that knows what was changed.
fn changed_resource(event: &Event) -> Option<u64> {
    if event.changes.is_empty() { None } else { resource_of(event) }
}

fn resource_of(event: &Event) -> Option<u64> {
    let resource = event.resource.as_ref()?;
    let mut hasher = DefaultHasher::new();
    (&resource.r#type, resource.id.as_ref()?).hash(&mut hasher);
    Some(hasher.finish())
}

fn is_same_resource(event: &Event, other: &Event) -> bool {
    let (Some(one), Some(two)) = (&event.resource, &other.resource) else { return false };
    one.r#type == two.r#type && one.id == two.id
}

#[cfg(test)]
mod tests {
    use indelible_core::{Kind, Resource};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// A row is written: its number, and whether that is its links.
        Write(u8, bool),
        /// Something is said about a row: a word of no certain verb, or of a verb that no write has.
        Say(u8, bool),
        /// Everything behind this share of the events is taken back.
        TakeBack(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3_u8, any::<bool>()).prop_map(|(row, links)| Step::Write(row, links)),
            4 => (0..3_u8, any::<bool>()).prop_map(|(row, other)| Step::Say(row, other)),
            1 => (0..=255_u8).prop_map(Step::TakeBack),
        ]
    }

    fn event(row: u8, action: &str) -> Event {
        let mut event = Event::new(Kind::Change, action);
        event.resource = Some(Resource { r#type: "clinic.Row".to_owned(), id: Some(row.to_string()), ..Resource::default() });
        event
    }

    fn written(row: u8, links: bool) -> Event {
        let mut event = event(row, "row.update");
        if links {
            event.changes.push_m2m("links", &[], &[], true);
        } else {
            event.changes.push_values("number", None, Some("1"));
        }
        event
    }

    /// What [`Superseding::newest_change`] says, by looking at everything.
    fn newest(held: &[Event], pairs: &[(usize, Option<usize>)], event: &Event) -> Option<usize> {
        let is_taken = |at| pairs.iter().any(|&(later, earlier)| later == at || earlier == Some(at));
        let may_be = |at: &usize| {
            let change = &held[*at];
            is_same_resource(event, change) && !change.changes.is_empty() && !is_taken(*at) && event.is_about(change)
        };
        let mut places = (0..held.len()).rev().filter(may_be);
        let first = places.next()?;
        if held[first].changes.are_of_links() { places.find(|&at| !held[at].changes.are_of_links()).or(Some(first)) } else { Some(first) }
    }

    proptest! {
        #[test]
        fn it_finds_what_a_look_at_everything_finds(steps in proptest::collection::vec(step(), 0..80)) {
            let (mut held, mut pairs, mut superseding) = (Vec::new(), Vec::new(), Superseding::default());
            for step in steps {
                match step {
                    Step::Write(row, links) => held.push(written(row, links)),
                    Step::Say(row, other) => {
                        let said = event(row, if other { "row.delete" } else { "row.move" });
                        let earlier = superseding.newest_change(&held, &said);
                        prop_assert_eq!(earlier, newest(&held, &pairs, &said));
                        pairs.push((held.len(), earlier));
                        held.push(said);
                        superseding.push(&held, held.len() - 1, earlier);
                    }
                    Step::TakeBack(share) => {
                        let taken_back = held.split_off(held.len() * usize::from(share) / 255);
                        superseding.take_back(&held, &taken_back);
                        pairs.retain(|&(later, _)| later < held.len());
                    }
                }
                prop_assert_eq!(superseding.merged(), pairs.iter().filter(|(_, earlier)| earlier.is_some()).count());
            }
            let merged = superseding.merged();
            prop_assert_eq!(superseding.merge(held.clone()).len(), held.len() - merged);
        }
    }
}
