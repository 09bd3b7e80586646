//! Pauses between attempts: doubling, bounded, and never the same for two sinks that failed at the same moment.

use std::time::Duration;

/// The pauses of one series of failures.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// The pause after one more failure: between half of what has doubled so often, at most `max`, and all of it.
    ///
    /// `random`: any number, another one each time.
    pub(super) fn after_failure(&mut self, random: u32) -> Duration {
        let whole = self.min.saturating_mul(1 << self.failures.min(31)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

/// Any number; where the system has none, the pauses are merely alike.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_anew_after_a_success() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        let longest: Vec<_> = (0..4).map(|_| backoff.after_failure(u32::MAX)).collect();
        assert_eq!(longest, [ms(100), ms(200), ms(350), ms(350)]);
        assert_eq!(backoff.after_failure(0), ms(175), "half at least");
        backoff.succeeded();
        assert!(!backoff.is_failing());
        assert_eq!(backoff.after_failure(u32::MAX), ms(100));
        let mut long = Backoff::new(ms(100), Duration::from_secs(60));
        for _ in 0..100 {
            assert!(long.after_failure(7) <= Duration::from_secs(60));
        }
    }
}
