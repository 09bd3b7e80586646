//! When the leaves of a run happened, in whole seconds: enough for bars of a histogram and to skip what is out of range.

use super::varint::{self, Damaged};

/// Leaves that room is made for before they are there; a damaged count must not take all memory.
const COUNT_LIKELY: usize = 1 << 18;
/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// The second that a time lies in.
pub(crate) fn second_of(micros: i64) -> i64 {
    micros.div_euclid(SECOND)
}

/// Writes one second for each leaf: the differences from leaf to leaf, and behind each difference of zero how many more zeros follow.
pub(crate) fn times_encode(seconds: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = 0;
    let mut rest = seconds;
    while let Some((&second, behind)) = rest.split_first() {
        varint::push(&mut out, varint::zigzag(second.wrapping_sub(before)));
        rest = behind;
        if second == before {
            let more = rest.iter().take_while(|next| **next == second).count();
            varint::push(&mut out, more as u64);
            rest = &rest[more..];
        }
        before = second;
    }
    out
}

/// Reads the seconds of `count` leaves.
///
/// # Errors
/// - [`Damaged`]: they are not of so many leaves.
pub(crate) fn times_decode(mut bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    let mut seconds = Vec::with_capacity(count.min(COUNT_LIKELY));
    let mut second = 0_i64;
    while seconds.len() < count {
        let difference = varint::unzigzag(varint::take(&mut bytes)?);
        second = second.wrapping_add(difference);
        seconds.push(second);
        if difference == 0 {
            let more = varint::take(&mut bytes)?;
            let room = count - seconds.len();
            let more = usize::try_from(more).ok().filter(|more| *more <= room).ok_or(Damaged)?;
            seconds.extend((0..more).map(|_| second));
        }
    }
    if bytes.is_empty() { Ok(seconds) } else { Err(Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_are_read_as_they_were_written(seconds in prop::collection::vec(prop_oneof![Just(0_i64), Just(7), any::<i64>()], 0..50)) {
            prop_assert_eq!(times_decode(&times_encode(&seconds), seconds.len()), Ok(seconds.clone()));
            prop_assert!(times_decode(&times_encode(&seconds), seconds.len() + 1).is_err());
        }

        #[test]
        fn damaged_times_are_damage_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0..100_usize) {
            let _ = times_decode(&bytes, count);
        }
    }

    #[test]
    fn leaves_of_one_second_cost_next_to_nothing() {
        assert!(times_encode(&vec![1_770_000_000; 4096]).len() < 16);
        assert_eq!(second_of(-1), -1);
    }
}
