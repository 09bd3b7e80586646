//! The values of terms.

use super::{Elapsed, Hours, IdPrefix, Moment, Network, Words};

/// One value of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// `none`: the event lacks the field.
    Missing,
    /// `any`: the event has the field. Of `created:`, which every event has, it is the visible way to ask for all times.
    Present,
    /// A text, or the beginning of one.
    Text(Pattern),
    /// Words that occur one after the other.
    Words(Words),
    /// One word of a fixed list, in lower case.
    Choice(&'static str),
    /// Something that was acted on.
    Resource {
        /// The whole type.
        resource_type: String,
        /// The id, or its beginning.
        id: Pattern,
    },
    /// Addresses.
    Network(Network),
    /// HTTP statuses.
    Status(Range<u16>),
    /// Lengths of time.
    Duration(Range<Elapsed>),
    /// Places in the tree, or sequences.
    Number(Range<u64>),
    /// Times.
    Time(Range<Moment>),
    /// Hours of the day or days of the week.
    Hours(Hours),
    /// Ids of events or streams.
    Id(IdPrefix),
}

/// A text, or the beginning of one; upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// `text*`: every text that begins so.
    Prefix(String),
}

impl Pattern {
    /// Whether a text fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(whole) => text == whole,
            Self::Prefix(start) => text.starts_with(start.as_str()),
        }
    }
}

/// One value or an interval of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range<T> {
    /// `a`: equal, or for a day, within it.
    At(T),
    /// `>a`: after.
    Above(T),
    /// `>=a`: from the beginning of `a` on.
    From(T),
    /// `<a`: before.
    Below(T),
    /// `<=a`: up to the end of `a`.
    UpTo(T),
    /// `a..b`: from the beginning of `a` up to the end of `b`.
    Between(T, T),
}

impl<T: PartialOrd> Range<T> {
    /// Whether a value lies within. Times are for whoever knows a clock to compare.
    pub fn contains(&self, value: &T) -> bool {
        match self {
            Self::At(only) => value == only,
            Self::Above(low) => value > low,
            Self::From(low) => value >= low,
            Self::Below(high) => value < high,
            Self::UpTo(high) => value <= high,
            Self::Between(low, high) => value >= low && value <= high,
        }
    }
}

impl<T> Range<T> {
    /// Whether this bounds from one side only: `Some(true)` from below, `Some(false)` from above.
    pub(super) const fn side(&self) -> Option<bool> {
        match self {
            Self::Above(_) | Self::From(_) => Some(true),
            Self::Below(_) | Self::UpTo(_) => Some(false),
            Self::At(_) | Self::Between(..) => None,
        }
    }
}
