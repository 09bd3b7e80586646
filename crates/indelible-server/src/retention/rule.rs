//! One `[[retention]]` of `config.toml`: how long what it matches is kept.

use indelible_core::query::Query;

/// Classes of records whose shortest keeping somebody else has decided, and the days of it: 45 CFR 164.316(b)(2)(i) and 164.530(j)(2), six
/// years; PCI DSS 4.0.1 requirement 10.5.1, twelve months.
const CLASS_DAYS: [(&str, u32); 2] = [("hipaa", 2190), ("pci", 365)];
/// What `class` may say.
pub(crate) const CLASSES: &[&str] = &["none", CLASS_DAYS[0].0, CLASS_DAYS[1].0];

/// The shortest keeping of a class, in days; 0 for one without.
pub(crate) fn class_days(class: &str) -> u32 {
    CLASS_DAYS.iter().find(|(name, _)| *name == class).map_or(0, |(_, days)| *days)
}

/// From when on the days are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Since {
    /// When it happened, as the application says; when it was recorded, where it does not say.
    #[default]
    Occurred,
    /// When the agent took it in.
    Received,
}

/// How long some events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What it is called.
    pub(crate) name: String,
    /// What it matches.
    pub(crate) query: Query,
    /// Days that it keeps; without end when absent.
    pub(crate) days: Option<u32>,
    /// What `days` must not be below, in days.
    pub(crate) floor_days: u32,
    /// From when on.
    pub(crate) since: Since,
}
