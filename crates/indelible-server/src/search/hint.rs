//! What the index says about a condition: which leaves may satisfy it, and how sure that is.

use crate::index::Bits;

/// How sure it is that the leaves of a [`Hint`] satisfy the condition. All others do not, in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    /// Some do not.
    Superset,
    /// All do, unless two values have the same term.
    Hashed,
    /// All do.
    Certain,
}

/// The leaves of a run that may satisfy a condition.
#[derive(Debug, Clone)]
pub(super) struct Hint {
    /// The leaves; all of the run when absent.
    pub(super) bits: Option<Bits>,
    pub(super) certainty: Certainty,
}

impl Hint {
    /// Every leaf satisfies the condition.
    pub(super) const fn everything() -> Self {
        Self { bits: None, certainty: Certainty::Certain }
    }

    /// Every leaf may satisfy the condition.
    pub(super) const fn anything() -> Self {
        Self { bits: None, certainty: Certainty::Superset }
    }

    /// No leaf satisfies the condition.
    pub(super) fn nothing(count: usize) -> Self {
        Self { bits: Some(Bits::none(count)), certainty: Certainty::Certain }
    }

    /// These leaves, so surely.
    pub(super) const fn of(bits: Bits, certainty: Certainty) -> Self {
        Self { bits: Some(bits), certainty }
    }

    /// The same leaves, no longer surely.
    pub(super) fn at_most(self, certainty: Certainty) -> Self {
        Self { certainty: self.certainty.min(certainty), ..self }
    }

    /// Whether no leaf satisfies the condition.
    pub(super) fn is_nothing(&self) -> bool {
        self.bits.as_ref().is_some_and(Bits::is_empty)
    }

    /// Both conditions.
    pub(super) fn and(self, other: Self) -> Self {
        let certainty = self.certainty.min(other.certainty);
        let bits = match (self.bits, other.bits) {
            (Some(mut one), Some(other)) => {
                one.and(&other);
                Some(one)
            }
            (one, other) => one.or(other),
        };
        let hint = Self { bits, certainty };
        // What nothing may satisfy, nothing satisfies.
        if hint.is_nothing() { Self { certainty: Certainty::Certain, ..hint } } else { hint }
    }

    /// One of both conditions.
    pub(super) fn or(self, other: Self) -> Self {
        for one in [&self, &other] {
            if one.bits.is_none() && one.certainty == Certainty::Certain {
                return Self::everything();
            }
        }
        let certainty = self.certainty.min(other.certainty);
        let bits = self.bits.zip(other.bits).map(|(mut one, other)| {
            one.or(&other);
            one
        });
        Self { bits, certainty }
    }

    /// The opposite. Of hashed leaves, `may_miss` says whether those may be missing in it that share a term with others:
    /// a count may be wrong by so few, a search must not.
    pub(super) fn not(self, count: usize, may_miss: bool) -> Self {
        match (self.certainty, self.bits) {
            (Certainty::Certain, None) => Self::nothing(count),
            (certainty, Some(mut bits)) if certainty == Certainty::Certain || (may_miss && certainty == Certainty::Hashed) => {
                bits.not();
                Self::of(bits, certainty)
            }
            _ => Self::anything(),
        }
    }
}
