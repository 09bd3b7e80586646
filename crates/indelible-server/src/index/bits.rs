//! A set of the leaves of one run, one bit each.

use std::ops::Range;

use indelible_core::query::Order;

/// A set of leaves, counted from the first leaf of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    /// Bit `i` of the set is bit `i % 64` of word `i / 64`; bits from `count` on are 0.
    words: Vec<u64>,
    count: usize,
}

impl Bits {
    /// The empty set of a run of `count` leaves.
    pub(crate) fn none(count: usize) -> Self {
        Self { words: vec![0; count.div_ceil(64)], count }
    }

    /// All leaves of a run of `count`.
    pub(crate) fn all(count: usize) -> Self {
        let mut bits = Self { words: vec![u64::MAX; count.div_ceil(64)], count };
        bits.clear_rest();
        bits
    }

    fn clear_rest(&mut self) {
        let used = self.count % 64;
        if let Some(last) = self.words.last_mut().filter(|_| used != 0) {
            *last &= (1 << used) - 1;
        }
    }

    /// Number of leaves of the run, in the set or not.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether a leaf is in the set; one behind the run is not.
    pub(crate) fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Puts a leaf in; one behind the run is left out.
    pub(crate) fn insert(&mut self, index: usize) {
        if index < self.count {
            self.words[index / 64] |= 1 << (index % 64);
        }
    }

    /// Puts in every leaf of a range, as far as the run goes.
    pub(crate) fn insert_range(&mut self, range: Range<usize>) {
        let end = range.end.min(self.count);
        let mut index = range.start;
        while index < end {
            let (word, first) = (index / 64, index % 64);
            let taken = (64 - first).min(end - index);
            let ones = if taken == 64 { u64::MAX } else { (1 << taken) - 1 };
            self.words[word] |= ones << first;
            index += taken;
        }
    }

    /// Keeps what is in the other set, too.
    pub(crate) fn and(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Takes in what is in the other set.
    pub(crate) fn or(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Turns the set into the leaves that were not in it.
    pub(crate) fn not(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.clear_rest();
    }

    /// Whether nothing is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many leaves are in the set.
    pub(crate) fn len(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many leaves of a range are in the set.
    pub(crate) fn count_range(&self, range: Range<usize>) -> u64 {
        let end = range.end.min(self.count);
        if range.start >= end {
            return 0;
        }
        let words = range.start / 64..=(end - 1) / 64;
        words.map(|word| u64::from(self.word_within(word, &(range.start..end)).count_ones())).sum()
    }

    /// A word that a range touches, without what lies outside of it. The range is not empty and ends within the run.
    fn word_within(&self, word: usize, range: &Range<usize>) -> u64 {
        let mut bits = self.words[word];
        if word == range.start / 64 {
            bits &= u64::MAX << (range.start % 64);
        }
        if word == (range.end - 1) / 64 {
            bits &= u64::MAX >> (63 - (range.end - 1) % 64);
        }
        bits
    }

    /// The newest or the oldest leaf of the set that lies in a range.
    pub(crate) fn next_within(&self, range: Range<usize>, order: Order) -> Option<usize> {
        let end = range.end.min(self.count);
        if range.start >= end {
            return None;
        }
        let (first, last) = (range.start / 64, (end - 1) / 64);
        let in_range = |word: usize| self.word_within(word, &(range.start..end));
        match order {
            Order::OldestFirst => (first..=last)
                .map(|word| (word, in_range(word)))
                .find(|(_, bits)| *bits != 0)
                .map(|(word, bits)| word * 64 + bits.trailing_zeros() as usize),
            Order::NewestFirst => (first..=last)
                .rev()
                .map(|word| (word, in_range(word)))
                .find(|(_, bits)| *bits != 0)
                .map(|(word, bits)| word * 64 + 63 - bits.leading_zeros() as usize),
        }
    }

    /// The leaves of the set, the newest or the oldest first.
    pub(crate) fn iter(&self, order: Order) -> Iter<'_> {
        let words = self.words.len();
        match order {
            Order::OldestFirst => Iter { bits: self, order, word: 0, rest: self.words.first().copied().unwrap_or(0) },
            Order::NewestFirst => Iter { bits: self, order, word: words.saturating_sub(1), rest: self.words.last().copied().unwrap_or(0) },
        }
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn or_word(&mut self, index: usize, word: u64) {
        if let Some(mine) = self.words.get_mut(index) {
            *mine |= word;
        }
        if index + 1 == self.words.len() {
            self.clear_rest();
        }
    }
}

/// The leaves of a set in one order.
#[derive(Debug)]
pub(crate) struct Iter<'a> {
    bits: &'a Bits,
    order: Order,
    word: usize,
    /// What is left of the word.
    rest: u64,
}

impl Iterator for Iter<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.rest == 0 {
            self.word = match self.order {
                Order::OldestFirst => self.word + 1,
                Order::NewestFirst => self.word.checked_sub(1)?,
            };
            self.rest = *self.bits.words.get(self.word)?;
        }
        let bit = match self.order {
            Order::OldestFirst => self.rest.trailing_zeros(),
            Order::NewestFirst => 63 - self.rest.leading_zeros(),
        };
        self.rest &= !(1 << bit);
        Some(self.word * 64 + bit as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn bits(count: usize, set: &BTreeSet<usize>) -> Bits {
        let mut bits = Bits::none(count);
        set.iter().for_each(|&index| bits.insert(index));
        bits
    }

    fn members(bits: &Bits) -> BTreeSet<usize> {
        bits.iter(Order::OldestFirst).collect()
    }

    proptest! {
        #[test]
        fn a_set_of_bits_is_a_set(
            count in 0..300_usize,
            one in prop::collection::btree_set(0..300_usize, 0..80),
            other in prop::collection::btree_set(0..300_usize, 0..80),
            range in (0..320_usize, 0..320_usize),
        ) {
            let one: BTreeSet<_> = one.into_iter().filter(|index| *index < count).collect();
            let other: BTreeSet<_> = other.into_iter().filter(|index| *index < count).collect();
            let (mut a, b) = (bits(count, &one), bits(count, &other));
            prop_assert_eq!(members(&a), one.clone());
            prop_assert_eq!(a.iter(Order::NewestFirst).collect::<Vec<_>>(), one.iter().rev().copied().collect::<Vec<_>>());
            prop_assert_eq!(a.len(), one.len() as u64);
            let range = range.0..range.1;
            prop_assert_eq!(a.count_range(range.clone()), one.iter().filter(|index| range.contains(index)).count() as u64);
            let within: Vec<usize> = one.iter().copied().filter(|index| range.contains(index)).collect();
            prop_assert_eq!(a.next_within(range.clone(), Order::OldestFirst), within.first().copied());
            prop_assert_eq!(a.next_within(range.clone(), Order::NewestFirst), within.last().copied());
            let mut and = a.clone();
            and.and(&b);
            prop_assert_eq!(members(&and), one.intersection(&other).copied().collect::<BTreeSet<_>>());
            let mut not = a.clone();
            not.not();
            prop_assert_eq!(members(&not), (0..count).filter(|index| !one.contains(index)).collect::<BTreeSet<_>>());
            a.or(&b);
            prop_assert_eq!(members(&a), one.union(&other).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(Bits::all(count).len(), count as u64);
        }
    }
}
