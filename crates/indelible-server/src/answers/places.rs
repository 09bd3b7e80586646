//! Sequences that were passed over.

/// The most ranges of one stream.
const RANGES_MAX: usize = 1_000;

/// Ranges of sequences of one stream that are not in the trail and will not come, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    ranges: Vec<(u64, u64)>,
    /// Whether there were too many.
    cut: bool,
}

impl Gaps {
    /// Adds a range, which may be there already.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        let at = self.ranges.partition_point(|range| *range < (first, last));
        if self.ranges.get(at) == Some(&(first, last)) {
            return;
        }
        self.ranges.insert(at, (first, last));
        if self.ranges.len() > RANGES_MAX {
            self.ranges.pop();
            self.cut = true;
        }
    }

    /// Says that there may be more than are known.
    pub(super) fn cut(&mut self) {
        self.cut = true;
    }

    /// Whether all ranges are there.
    pub(super) fn is_complete(&self) -> bool {
        !self.cut
    }

    /// The highest sequence up to `last` that is in no range, and the ranges below it.
    pub(super) fn below(&self, last: u64) -> (u64, Vec<(u64, u64)>) {
        let mut high_water = last;
        for &(first, end) in self.ranges.iter().rev() {
            if end >= high_water && first <= high_water {
                high_water = first - 1;
            }
        }
        (high_water, self.ranges.iter().copied().filter(|range| range.1 < high_water).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_over_at_the_end_is_not_ingested_and_what_is_in_between_is_named() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.below(7), (7, Vec::new()));
        for (first, last) in [(7, 7), (3, 4), (7, 7), (6, 6)] {
            gaps.add(first, last);
        }
        assert_eq!(gaps.below(7), (5, vec![(3, 4)]), "6 and 7 are at the end");
        assert_eq!(gaps.below(9), (9, vec![(3, 4), (6, 6), (7, 7)]));
        gaps.add(1, 2);
        assert_eq!(gaps.below(4), (0, Vec::new()), "nothing of it is there");
    }

    #[test]
    fn too_many_ranges_are_said_to_be_too_many() {
        let mut gaps = Gaps::default();
        (1..=RANGES_MAX as u64).for_each(|range| gaps.add(2 * range, 2 * range));
        assert!(gaps.is_complete());
        gaps.add(1, 1);
        assert!(!gaps.is_complete());
        assert_eq!(gaps.ranges.len(), RANGES_MAX);
    }
}
