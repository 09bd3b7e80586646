//! Sets of leaves as ranges, and their text, as purges and holds name them (docs/format.md, "Erasure").

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// A set of leaves: ranges that rise and do not touch.
///
/// Its text names each range by its first and its last leaf, or by the only one, with spaces between: `0-4 7 9-12`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeafRanges {
    ranges: Vec<Range<u64>>,
}

/// A text that names no set of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRanges;

impl LeafRanges {
    /// Adds a leaf that is above all others.
    ///
    /// # Panics
    /// In a debug build, when it is not.
    pub(crate) fn push(&mut self, leaf: u64) {
        match self.ranges.last_mut() {
            Some(last) if last.end == leaf => last.end = leaf + 1,
            last => {
                debug_assert!(last.is_none_or(|last| last.end < leaf), "leaves come in their order");
                self.ranges.push(leaf..leaf + 1);
            }
        }
    }

    /// The ranges, by rising leaf.
    pub(crate) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// How many leaves there are.
    pub(crate) fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a leaf is one of them.
    pub(crate) fn contains(&self, leaf: u64) -> bool {
        let after = self.ranges.partition_point(|range| range.start <= leaf);
        after > 0 && self.ranges[after - 1].contains(&leaf)
    }

    /// Whether one of them lies in a range.
    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        let first = self.ranges.partition_point(|own| own.end <= range.start);
        !range.is_empty() && self.ranges.get(first).is_some_and(|own| own.start < range.end)
    }

    /// The leaves of both.
    pub(crate) fn union(&self, other: &Self) -> Self {
        Self::union_of([self, other].into_iter())
    }

    /// The leaves of all.
    pub(crate) fn union_of<'a>(sets: impl Iterator<Item = &'a Self>) -> Self {
        let mut all: Vec<_> = sets.flat_map(|set| &set.ranges).cloned().collect();
        all.sort_unstable_by_key(|range| range.start);
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(all.len());
        for range in all {
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        Self { ranges }
    }

    /// The leaves that are not in the other.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let mut taken = other.ranges.iter().peekable();
        for range in &self.ranges {
            let mut start = range.start;
            while taken.next_if(|taken| taken.end <= start).is_some() {}
            // The last one that reaches in may reach into the next range, too.
            while let Some(hole) = taken.peek().filter(|hole| hole.start < range.end) {
                if start < hole.start {
                    ranges.push(start..hole.start);
                }
                start = start.max(hole.end.min(range.end));
                if hole.end > range.end {
                    break;
                }
                taken.next();
            }
            if start < range.end {
                ranges.push(start..range.end);
            }
        }
        Self { ranges }
    }

    /// The leaves that are in both.
    pub(crate) fn within(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }
}

impl From<Range<u64>> for LeafRanges {
    fn from(range: Range<u64>) -> Self {
        Self { ranges: if range.is_empty() { Vec::new() } else { vec![range] } }
    }
}

impl FromIterator<u64> for LeafRanges {
    /// Takes leaves that rise.
    fn from_iter<I: IntoIterator<Item = u64>>(leaves: I) -> Self {
        let mut ranges = Self::default();
        leaves.into_iter().for_each(|leaf| ranges.push(leaf));
        ranges
    }
}

impl fmt::Display for LeafRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.ranges.iter().enumerate() {
            let between = if place == 0 { "" } else { " " };
            match range.end - 1 {
                last if last == range.start => write!(f, "{between}{last}")?,
                last => write!(f, "{between}{}-{last}", range.start)?,
            }
        }
        Ok(())
    }
}

impl FromStr for LeafRanges {
    type Err = NoRanges;

    fn from_str(text: &str) -> Result<Self, NoRanges> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for part in text.split(' ').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u64 = first.parse().map_err(|_| NoRanges)?;
            let last: u64 = last.parse().map_err(|_| NoRanges)?;
            let end = last.checked_add(1).filter(|end| *end > first).ok_or(NoRanges)?;
            if ranges.last().is_some_and(|before| before.end >= first) {
                return Err(NoRanges);
            }
            ranges.push(first..end);
        }
        Ok(Self { ranges })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set() -> impl Strategy<Value = BTreeSet<u64>> {
        prop::collection::btree_set(0_u64..40, 0..30)
    }

    proptest! {
        #[test]
        fn ranges_are_the_sets_that_they_stand_for(one in set(), other in set(), leaf in 0_u64..42, length in 0_u64..5) {
            let [a, b] = [&one, &other].map(|set| set.iter().copied().collect::<LeafRanges>());
            prop_assert_eq!(a.ranges().iter().cloned().flatten().collect::<BTreeSet<_>>(), one.clone());
            prop_assert_eq!(a.len() as usize, one.len());
            prop_assert_eq!(a.is_empty(), one.is_empty());
            prop_assert_eq!(a.contains(leaf), one.contains(&leaf));
            prop_assert_eq!(a.touches(&(leaf..leaf + length)), one.range(leaf..leaf + length).next().is_some());
            prop_assert_eq!(a.union(&b), one.union(&other).copied().collect::<LeafRanges>());
            prop_assert_eq!(a.without(&b), one.difference(&other).copied().collect::<LeafRanges>());
            prop_assert_eq!(a.within(&b), one.intersection(&other).copied().collect::<LeafRanges>());
            prop_assert_eq!(a.to_string().parse::<LeafRanges>(), Ok(a));
        }
    }

    #[test]
    fn only_ranges_that_rise_are_a_text_of_leaves() {
        let leaves = "0-4 7 9-12".parse::<LeafRanges>().unwrap();
        assert_eq!(leaves.ranges(), [0..5, 7..8, 9..13]);
        assert!("".parse::<LeafRanges>().unwrap().is_empty());
        for bad in [" ", "1,2", "4-2", "3 3", "0-4 5", "-1", "7 5", "1-", "18446744073709551615"] {
            assert_eq!(bad.parse::<LeafRanges>(), Err(NoRanges), "{bad}");
        }
    }
}
