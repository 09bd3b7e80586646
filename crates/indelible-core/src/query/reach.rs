//! How far back a query looks, and what needs a bound on that.

use super::{Condition, Key, Moment, Query, Range, Term, Unit, Value};

/// How many days back the pages look when a query does not say. The command looks at all times.
pub const DEFAULT_DAYS: u32 = 30;

/// Longest range of `created:`, in days, beside which `text:` takes a `*` at the beginning: such words are found by reading
/// every text.
pub const OPEN_START_DAYS_MAX: u32 = 31;

impl Query {
    /// The query with a range of times: its own, or else the newest [`DEFAULT_DAYS`] days, as a condition that can be seen
    /// and replaced. `created:any` is the way to ask for all times.
    #[must_use]
    pub fn within_default(self) -> Self {
        if self.mentions(Key::Created) { self } else { self.and(newest(DEFAULT_DAYS)) }
    }

    /// Whether the query looks for words by their end, and so needs a range of times of at most [`OPEN_START_DAYS_MAX`] days.
    #[must_use]
    pub fn needs_range(&self) -> bool {
        self.condition.as_ref().is_some_and(Condition::has_open_start)
    }

    /// The conditions that must all hold, in their order; none when the query asks for everything.
    #[must_use]
    pub fn parts(&self) -> &[Condition] {
        match &self.condition {
            None => &[],
            Some(Condition::All(all)) => all,
            Some(one) => std::slice::from_ref(one),
        }
    }

    /// The query without one of its [`Query::parts`]; the same query when there is no such part.
    #[must_use]
    pub fn without(&self, part: usize) -> Self {
        let rest = self.parts().iter().enumerate().filter(|(index, _)| *index != part).map(|(_, condition)| condition.clone());
        Self { condition: super::combine::all(rest.collect()), order: self.order }
    }
}

impl Condition {
    fn has_open_start(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::has_open_start),
            Self::Not(inner) => inner.has_open_start(),
            Self::Term(term) => term.values.iter().any(|value| matches!(value, Value::Words(words) if words.is_open_at_start())),
        }
    }
}

fn newest(days: u32) -> Term {
    Term::new(Key::Created, vec![Value::Time(Range::From(Moment::Ago(days, Unit::Day)))])
}
