//! The leaves that have one term, written in the shortest of three forms (docs/format.md, "Index").

use std::ops::Range;

use super::Bits;
use super::varint::{self, Damaged};

/// Each leaf as the distance from the one before it.
const DISTANCES: u64 = 0;
/// Stretches of leaves as distance from the end of the one before, and length less one.
const STRETCHES: u64 = 1;
/// One bit for each leaf of the run.
const BITMAP: u64 = 2;
/// The form stands in the low bits of a posting's head, the length of its bytes above.
const FORM_BITS: u32 = 2;

/// Leaves of one term while a run is built, in the order in which they come.
///
/// It grows in both sparse forms at once as long as either can be the shortest, so that a term of every leaf costs a few bytes,
/// and so does one of a single leaf.
#[derive(Debug, Default)]
pub(super) struct Posting {
    /// The stretch that the newest leaf may go on with.
    stretch: Option<(u32, u32)>,
    /// End of the stretch before it.
    before: u32,
    stretches: Vec<u8>,
}

impl Posting {
    /// Adds a leaf, counted from the first of the run; the one that was added last may come again.
    pub(super) fn push(&mut self, leaf: u32) {
        match &mut self.stretch {
            Some((_, end)) if *end > leaf => {}
            Some((_, end)) if *end == leaf => *end += 1,
            _ => {
                self.close();
                self.stretch = Some((leaf, leaf + 1));
            }
        }
    }

    fn close(&mut self) {
        if let Some((start, end)) = self.stretch.take() {
            varint::push(&mut self.stretches, u64::from(start - self.before));
            varint::push(&mut self.stretches, u64::from(end - start - 1));
            self.before = end;
        }
    }

    /// Appends head and bytes, in the shortest form for a run of `count` leaves.
    pub(super) fn write(mut self, count: usize, out: &mut Vec<u8>) {
        self.close();
        // What was written here is read here, so no damage is possible.
        let distances = distances(&self.stretches, count.div_ceil(8).min(self.stretches.len())).unwrap_or_default();
        let bitmap = count.div_ceil(64) * 8;
        match distances {
            Some(bytes) if bytes.len() <= self.stretches.len() && bytes.len() <= bitmap => push(out, DISTANCES, &bytes),
            _ if self.stretches.len() <= bitmap => push(out, STRETCHES, &self.stretches),
            _ => {
                let mut bits = Bits::none(count);
                let _ = each_stretch(&self.stretches, count, |stretch| bits.insert_range(stretch));
                let bytes: Vec<u8> = bits.words().iter().flat_map(|word| word.to_le_bytes()).collect();
                push(out, BITMAP, &bytes);
            }
        }
    }
}

fn push(out: &mut Vec<u8>, form: u64, bytes: &[u8]) {
    varint::push(out, (bytes.len() as u64) << FORM_BITS | form);
    out.extend_from_slice(bytes);
}

/// Stretches as distances, unless that takes more than `most` bytes.
fn distances(mut stretches: &[u8], most: usize) -> Result<Option<Vec<u8>>, Damaged> {
    let mut out = Vec::new();
    while !stretches.is_empty() {
        varint::push(&mut out, varint::take(&mut stretches)?);
        let more = varint::take(&mut stretches)?;
        if out.len() as u64 + more > most as u64 {
            return Ok(None);
        }
        out.extend((0..more).map(|_| 0));
    }
    Ok(Some(out))
}

fn each_stretch(mut bytes: &[u8], count: usize, mut each: impl FnMut(Range<usize>)) -> Result<(), Damaged> {
    let mut at = 0;
    while !bytes.is_empty() {
        let start = step(at, varint::take(&mut bytes)?, count)?;
        let last = step(start, varint::take(&mut bytes)?, count)?;
        each(start..last + 1);
        at = last + 1;
    }
    Ok(())
}

fn each_leaf(mut bytes: &[u8], count: usize, mut each: impl FnMut(usize)) -> Result<(), Damaged> {
    let mut at = 0;
    while !bytes.is_empty() {
        at = step(at, varint::take(&mut bytes)?, count)?;
        each(at);
        at += 1;
    }
    Ok(())
}

/// A leaf of the run, so far behind another.
fn step(from: usize, distance: u64, count: usize) -> Result<usize, Damaged> {
    let to = usize::try_from(distance).ok().and_then(|distance| from.checked_add(distance));
    to.filter(|to| *to < count).ok_or(Damaged)
}

/// A posting as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    form: u64,
    bytes: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Takes a posting off the front.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Result<Self, Damaged> {
        let head = varint::take(bytes)?;
        Ok(Self { form: head & ((1 << FORM_BITS) - 1), bytes: varint::take_bytes(bytes, head >> FORM_BITS)? })
    }

    /// Puts its leaves into a set.
    pub(super) fn insert_into(self, bits: &mut Bits) -> Result<(), Damaged> {
        match self.form {
            DISTANCES => each_leaf(self.bytes, bits.count(), |leaf| bits.insert(leaf)),
            STRETCHES => each_stretch(self.bytes, bits.count(), |stretch| bits.insert_range(stretch)),
            _ => self.each_word(bits.count(), |index, word| bits.or_word(index, word)),
        }
    }

    /// How many of its leaves are in a set.
    pub(super) fn len_and(self, bits: &Bits) -> Result<u64, Damaged> {
        let mut leaves = 0;
        match self.form {
            DISTANCES => each_leaf(self.bytes, bits.count(), |leaf| leaves += u64::from(bits.contains(leaf))),
            STRETCHES => each_stretch(self.bytes, bits.count(), |stretch| leaves += bits.count_range(stretch)),
            _ => self.each_word(bits.count(), |index, word| leaves += u64::from((bits.words()[index] & word).count_ones())),
        }?;
        Ok(leaves)
    }

    /// The words of a bitmap of a run of `count` leaves.
    fn each_word(self, count: usize, mut each: impl FnMut(usize, u64)) -> Result<(), Damaged> {
        if self.form != BITMAP || self.bytes.len() != count.div_ceil(64) * 8 {
            return Err(Damaged);
        }
        for (index, word) in self.bytes.chunks_exact(8).enumerate() {
            // Chunks are as long as words.
            each(index, u64::from_le_bytes(word.try_into().map_err(|_| Damaged)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use indelible_core::query::Order;
    use proptest::prelude::*;

    fn written(leaves: &BTreeSet<u32>, count: usize) -> Vec<u8> {
        let mut posting = Posting::default();
        leaves.iter().for_each(|&leaf| posting.push(leaf));
        let mut out = Vec::new();
        posting.write(count, &mut out);
        out
    }

    fn read(mut bytes: &[u8], count: usize) -> Result<BTreeSet<u32>, Damaged> {
        let mut bits = Bits::none(count);
        Stored::take(&mut bytes)?.insert_into(&mut bits)?;
        Ok(bits.iter(Order::OldestFirst).map(|leaf| u32::try_from(leaf).unwrap()).collect())
    }

    #[test]
    fn each_form_is_used_where_it_is_the_shortest() {
        let form = |leaves: BTreeSet<u32>| written(&leaves, 1000)[0] & 3;
        assert_eq!(form([5, 900].into()), 0);
        assert_eq!(form((0..1000).collect()), 1);
        assert_eq!(form((0..1000).filter(|leaf| leaf % 3 == 0).collect()), 2);
    }

    #[test]
    fn a_leaf_that_is_pushed_twice_is_there_once() {
        let mut posting = Posting::default();
        [3, 3, 4, 4].into_iter().for_each(|leaf| posting.push(leaf));
        let mut out = Vec::new();
        posting.write(10, &mut out);
        assert_eq!(read(&out, 10), Ok([3, 4].into()));
    }

    proptest! {
        #[test]
        fn a_posting_is_read_as_it_was_written(count in 1..700_usize, seed in prop::collection::vec((0..700_u32, 1..60_u32), 0..60)) {
            let leaves: BTreeSet<u32> = seed.iter().flat_map(|(start, length)| *start..start + length).filter(|leaf| (*leaf as usize) < count).collect();
            prop_assert_eq!(read(&written(&leaves, count), count), Ok(leaves));
        }

        #[test]
        fn the_leaves_of_a_posting_that_are_in_a_set_are_counted_as_the_set_counts_them(
            count in 1..700_usize,
            seed in prop::collection::vec((0..700_u32, 1..60_u32), 0..60),
            within in prop::collection::vec((0..700_usize, 1..60_usize), 0..20),
        ) {
            let leaves: BTreeSet<u32> = seed.iter().flat_map(|(start, length)| *start..start + length).filter(|leaf| (*leaf as usize) < count).collect();
            let mut set = Bits::none(count);
            within.iter().for_each(|(start, length)| set.insert_range(*start..start + length));
            let expected = leaves.iter().filter(|leaf| set.contains(**leaf as usize)).count() as u64;
            prop_assert_eq!(Stored::take(&mut &written(&leaves, count)[..]).unwrap().len_and(&set), Ok(expected));
        }

        #[test]
        fn damaged_bytes_are_damage_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0..200_usize) {
            let _ = read(&bytes, count);
            let _ = Stored::take(&mut &bytes[..]).map(|posting| posting.len_and(&Bits::all(count)));
        }
    }
}
