//! One round over all streams: those that are in use are read each time, those that are quiet less often.
//!
//! **Invariant**: the cost of a round has a bound that does not grow with the number of quiet streams.

use std::collections::HashSet;

use indelible_core::StreamId;

use super::{Budget, Found, Tail};

/// Rounds without anything new after which a stream is quiet.
pub(super) const QUIET_AFTER: u32 = 40;
/// The most quiet streams that are asked for new bytes in one round, two system calls each.
const PEEKS: usize = 512;
/// The most quiet streams whose folder and lock are looked at in one round.
const FULL_LOOKS: usize = 16;
/// Each quiet stream is looked at in full at most every so many rounds.
const FULL_LOOK_ROUNDS_MIN: usize = 20;

/// What one round has read.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// What was found, by stream and service.
    pub(crate) batch: Vec<(StreamId, String, Vec<Found>)>,
    /// Streams that hold something that could not be read yet.
    pub(crate) unread_streams: usize,
}

/// Counts rounds, so that streams take turns.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    turn: usize,
}

impl Rounds {
    /// Reads one batch. Another stream is the first in each round, and those in `wanted` are never passed over.
    pub(crate) fn read(&mut self, tails: &mut [Tail], mut budget: Budget, wanted: &HashSet<StreamId>) -> Round {
        self.turn = self.turn.wrapping_add(1);
        let mut round = Round::default();
        let count = tails.len();
        let start = self.turn.checked_rem(count).unwrap_or(0);
        for index in (start..count).chain(0..start) {
            let tail = &mut tails[index];
            if !(wanted.contains(&tail.stream()) || self.is_due(tail, index, count)) {
                continue;
            }
            let mut found = Vec::new();
            if let Err(error) = tail.read(&mut found, &mut budget) {
                tail.warn_once(&error);
            }
            if !found.is_empty() {
                round.batch.push((tail.stream(), tail.service().to_owned(), found));
            }
        }
        round.unread_streams = tails.iter().filter(|tail| tail.is_unreadable()).count();
        round
    }

    fn is_due(&self, tail: &Tail, index: usize, count: usize) -> bool {
        let is_turn = |rounds: usize| self.turn.wrapping_add(index).is_multiple_of(rounds);
        !tail.is_quiet()
            || is_turn(count.div_ceil(FULL_LOOKS).max(FULL_LOOK_ROUNDS_MIN))
            || (is_turn(count.div_ceil(PEEKS).max(1)) && tail.has_grown())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::journal::StreamFolder;
    use crate::journal::testing::{SERVICE, TestStream};

    fn plenty() -> Budget {
        Budget { frames: usize::MAX, bytes: usize::MAX }
    }

    /// A stream that nothing will come of: its folder is not there.
    fn quiet_tail(number: u32) -> Tail {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        let stream = StreamId::from_bytes(id);
        let mut tail = Tail::new(StreamFolder { service: SERVICE.to_owned(), stream, path: PathBuf::from("/nonexistent") }, 1);
        while !tail.is_quiet() {
            tail.read(&mut Vec::new(), &mut plenty()).unwrap();
        }
        tail
    }

    /// Each look at a quiet stream took ten system calls, twenty times a second: five thousand streams took more than a core.
    #[test]
    fn a_round_over_thousands_of_quiet_streams_looks_at_a_few_and_at_each_in_its_turn() {
        let tails: Vec<_> = (0..5000).map(quiet_tail).collect();
        let mut rounds = Rounds::default();
        let mut looks = vec![0; tails.len()];
        let every = tails.len().div_ceil(FULL_LOOKS);
        for turn in 0..every {
            rounds.turn = turn;
            let due: Vec<_> = (0..tails.len()).filter(|&index| rounds.is_due(&tails[index], index, tails.len())).collect();
            assert!(due.len() <= FULL_LOOKS, "{} in round {turn}", due.len());
            due.into_iter().for_each(|index| looks[index] += 1);
        }
        assert!(looks.iter().all(|&count| count == 1), "each once in {every} rounds");
    }

    #[test]
    fn a_quiet_stream_that_grows_or_is_wanted_is_read_at_once_and_a_dead_one_within_a_second() {
        let journal = tempfile::tempdir().unwrap();
        let mut stream = TestStream::new(journal.path(), 1);
        let mut tails = vec![Tail::new(stream.folder(), 1)];
        let mut rounds = Rounds::default();
        let nobody = HashSet::new();
        let read = |rounds: &mut Rounds, tails: &mut [Tail]| rounds.read(tails, plenty(), &nobody).batch.len();
        while !tails[0].is_quiet() {
            assert_eq!(read(&mut rounds, &mut tails), 0);
        }
        stream.event(1);
        assert_eq!(read(&mut rounds, &mut tails), 1);
        while !tails[0].is_quiet() {
            assert_eq!(read(&mut rounds, &mut tails), 0);
        }
        stream.rotate();
        stream.event(2);
        assert_eq!(read(&mut rounds, &mut tails), 1, "a further segment");
        while !tails[0].is_quiet() {
            read(&mut rounds, &mut tails);
        }
        stream.die();
        for _ in 0..FULL_LOOK_ROUNDS_MIN {
            read(&mut rounds, &mut tails);
        }
        assert!(tails[0].has_ended());
    }
}
