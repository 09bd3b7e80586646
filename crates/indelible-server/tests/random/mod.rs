//! Chance that can be repeated: a small generator (xorshift64*) and the seed that a run prints.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it")]

use std::env;

/// A sequence of numbers that a seed repeats.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed | 1)
    }

    /// A number from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// The same for places in a list.
    pub(crate) fn place(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A number from the environment.
pub(crate) fn from_env(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// The seed that `INDELIBLE_SEED` repeats, or another one at each run.
pub(crate) fn seed() -> u64 {
    from_env("INDELIBLE_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 32 | 0x5eed)
}
