//! The most frequent values of a key among the matches.

use std::collections::HashMap;
use std::ops::ControlFlow;

use indelible_core::query::Order;

use super::SearchError;
use super::count::{CountRequest, Counted, Matching, count};
use super::walk::Deadline;
use crate::index::{Facts, Field, Term};
use crate::trail::{self, Reader};

/// Most values that are returned.
pub const TOP_MAX: usize = 100;
/// Most values that are counted at a time; beyond, the rarest half is forgotten.
const COUNTED_MAX: usize = 100_000;
/// Most values of one run.
const VALUES_MAX: u32 = 10_000;

/// The keys whose values can be counted, and where those stand.
const FACETS: &[(&str, Field)] = &[
    ("actor", Field::ActorId),
    ("actor.type", Field::ActorType),
    ("onbehalf", Field::OnBehalf),
    ("auth", Field::Auth),
    ("role", Field::Role),
    ("agent", Field::Agent),
    ("action", Field::Action),
    ("kind", Field::Kind),
    ("outcome", Field::Outcome),
    ("verdict", Field::Verdict),
    ("method", Field::Method),
    ("route", Field::Route),
    ("path", Field::Path),
    ("status", Field::Status),
    ("resource", Field::Resource),
    ("type", Field::Type),
    ("field", Field::Touched),
    ("tenant", Field::Tenant),
    ("service", Field::Service),
    ("environment", Field::Environment),
    ("release", Field::Release),
    ("host", Field::Host),
    ("is", Field::Is),
    ("has", Field::Has),
    ("stream", Field::Stream),
];

/// The keys that [`top`] takes.
pub(super) fn facets() -> Vec<&'static str> {
    FACETS.iter().map(|(name, _)| *name).collect()
}

/// The most frequent values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// What was counted.
    pub counted: Counted,
    /// Values with the number of matches that have them, the most frequent first; equal ones by value.
    pub values: Vec<(String, u64)>,
}

/// Finds the most frequent values of a key among the matches, at most `most` (1 to [`TOP_MAX`]).
///
/// With more different values than fit into memory, the counts of rare ones are lower bounds, and `approx` says so.
///
/// # Errors
/// - [`SearchError::Facet`]: the key has no list of values.
/// - Otherwise as [`super::search`].
pub fn top(reader: &Reader, request: &CountRequest, facet: &str, most: usize) -> Result<Top, SearchError> {
    let field = FACETS.iter().find(|(name, _)| *name == facet).map(|(_, field)| *field);
    let field = field.ok_or_else(|| SearchError::Facet { facet: facet.to_owned() })?;
    let mut tally = Tally { reader, field, counts: HashMap::new(), forgot: false, partial: false };
    let mut counted = count(reader, request, &(i64::MIN..i64::MAX), &mut |matching, deadline| tally.add(matching, deadline))?;
    counted.approx |= tally.forgot;
    counted.partial |= tally.partial;
    let mut values: Vec<(String, u64)> = tally.counts.into_iter().collect();
    values.sort_unstable_by(|(one, count), (other, other_count)| other_count.cmp(count).then_with(|| one.cmp(other)));
    values.truncate(most.clamp(1, TOP_MAX));
    Ok(Top { counted, values })
}

struct Tally<'a> {
    reader: &'a Reader,
    field: Field,
    counts: HashMap<String, u64>,
    forgot: bool,
    partial: bool,
}

impl Tally<'_> {
    fn add(&mut self, matching: &Matching<'_>, deadline: &mut Deadline<'_>) -> Result<(), SearchError> {
        let Some(values) = self.listed(matching)? else { return self.read(matching, deadline) };
        let mut values: Vec<(Term, String)> = values.into_iter().map(|value| (Term::of(self.field, value.as_bytes()), value)).collect();
        values.sort_unstable();
        let terms: Vec<Term> = values.iter().map(|(term, _)| *term).collect();
        let counts = matching.index.counts(&terms, matching.bits, deadline)?;
        self.partial |= counts.len() < terms.len();
        values.into_iter().zip(counts).for_each(|((_, value), leaves)| self.put(value, leaves));
        Ok(())
    }

    /// The values of the run; none where it does not list them all, or where reading the matches is less work.
    fn listed(&self, matching: &Matching<'_>) -> Result<Option<Vec<String>>, SearchError> {
        let is_cut = !matching.index.lookup(Term::MORE)?.is_empty();
        if is_cut || !matching.index.lookup(Term::unlisted(self.field))?.is_empty() {
            return Ok(None);
        }
        let values = matching.index.values(self.field, "", VALUES_MAX)?;
        Ok(Some(values).filter(|values| values.len() as u64 <= matching.bits.len().saturating_mul(READ_COST)))
    }

    /// Counts from the records themselves.
    fn read(&mut self, matching: &Matching<'_>, deadline: &mut Deadline<'_>) -> Result<(), SearchError> {
        let first = matching.index.range().start;
        let mut block = matching.bits.iter(Order::NewestFirst).peekable();
        while let Some(last) = block.next() {
            if deadline.is_over() {
                self.partial = true;
                return Ok(());
            }
            let mut start = last;
            while let Some(next) = block.next_if(|next| (first + *next as u64) / BLOCK_LEAVES == (first + last as u64) / BLOCK_LEAVES) {
                start = next;
            }
            let leaves = first + start as u64..first + last as u64 + 1;
            let Self { reader, field, .. } = *self;
            reader.records(leaves, trail::Order::NewestFirst, |leaf| {
                let place = usize::try_from(leaf.leaf_index - first).unwrap_or(usize::MAX);
                if matching.bits.contains(place) {
                    let mut values: Vec<String> = Vec::new();
                    Facts::read(&leaf.entry, &leaf.body).texts(field, |value| values.push(value.to_owned()));
                    values.sort_unstable();
                    values.dedup();
                    values.into_iter().for_each(|value| self.put(value, 1));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    fn put(&mut self, value: String, leaves: u64) {
        if leaves == 0 {
            return;
        }
        *self.counts.entry(value).or_default() += leaves;
        if self.counts.len() > COUNTED_MAX {
            self.forget();
        }
    }

    /// Makes room by forgetting the rarer half.
    fn forget(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let (_, median, _) = counts.select_nth_unstable(COUNTED_MAX / 2);
        let median = *median;
        self.counts.retain(|_, count| *count > median);
        self.forgot = true;
    }
}

/// Leaves that are compressed together where a file is sealed.
const BLOCK_LEAVES: u64 = 256;
/// How many values are looked up for the cost of reading one record.
const READ_COST: u64 = 16;
