//! Through the trail from one end: file by file, run by run, and in each run only to the leaves that the index points at.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use indelible_core::query::Order;
use indelible_core::{EventId, StreamId};

use super::SearchError;
use super::hint::Hint;
use super::matches::{Record, Resolutions};
use super::plan::Index;
use crate::index::{Bits, Damaged, Facts, Field, Term, piece_lookup, times_decode};
use crate::trail::{self, Ids, Reader, Span, StoredLeaf, TrailError, TrailFile};

/// Leaves between two looks at the clock. A sealed file compresses bodies in blocks of as many.
const BLOCK_LEAVES: u64 = 256;
/// What tells in the trail that an event is no longer in doubt.
const RESOLVING: &str = "audit.resolve";

/// When the time is up.
pub(super) struct Deadline<'a>(Box<dyn FnMut() -> bool + 'a>);

impl<'a> Deadline<'a> {
    /// So long after now.
    pub(super) fn after(duration: Duration) -> Self {
        let ends_at = Instant::now().checked_add(duration);
        Self::when(move || ends_at.is_some_and(|end| Instant::now() >= end))
    }

    /// When something says so.
    pub(super) fn when(is_over: impl FnMut() -> bool + 'a) -> Self {
        Self(Box::new(is_over))
    }

    pub(super) fn is_over(&mut self) -> bool {
        (self.0)()
    }
}

/// One run of a file, as its tables hold it.
pub(super) struct StoredRun<'a> {
    file: &'a TrailFile,
    span: &'a Span,
    /// Terms are asked for once: the same one may stand in several conditions.
    known: std::cell::RefCell<HashMap<Term, Bits>>,
    lookups: std::cell::Cell<u64>,
}

impl<'a> StoredRun<'a> {
    pub(super) fn new(file: &'a TrailFile, span: &'a Span) -> Self {
        Self { file, span, known: std::cell::RefCell::default(), lookups: std::cell::Cell::new(0) }
    }

    /// Terms that were looked up so far.
    pub(super) fn lookups(&self) -> u64 {
        self.lookups.get()
    }

    fn count(&self) -> usize {
        usize::try_from(self.span.end_index - self.span.first_index).unwrap_or(0)
    }
}

impl Index for StoredRun<'_> {
    fn range(&self) -> Range<u64> {
        self.span.range()
    }

    fn occurred(&self) -> (i64, i64) {
        (self.span.occurred_min, self.span.occurred_max)
    }

    fn ids(&self) -> ([u8; 16], [u8; 16]) {
        (self.span.id_min, self.span.id_max)
    }

    fn with_ids(&self, ids: &Ids) -> Result<Option<Bits>, SearchError> {
        let (mut places, mut bits) = (Vec::new(), Bits::none(self.count()));
        self.file.places(&self.span.range(), ids, &mut places)?;
        let within = places.into_iter().filter(|leaf| self.span.range().contains(leaf));
        within.for_each(|leaf| bits.insert(usize::try_from(leaf - self.span.first_index).unwrap_or(usize::MAX)));
        Ok(Some(bits))
    }

    fn lookup(&self, term: Term) -> Result<Bits, SearchError> {
        if let Some(bits) = self.known.borrow().get(&term) {
            return Ok(bits.clone());
        }
        self.lookups.set(self.lookups.get() + 1);
        let bits = match self.piece(term)? {
            None => Bits::none(self.count()),
            Some(piece) => piece_lookup(&piece, term, self.count()).map_err(|damage| damaged(damage, "run_piece.bytes"))?,
        };
        if self.known.borrow().len() < KNOWN_TERMS_MAX {
            self.known.borrow_mut().insert(term, bits.clone());
        }
        Ok(bits)
    }

    fn piece(&self, term: Term) -> Result<Option<Cow<'_, [u8]>>, SearchError> {
        Ok(self.file.piece(self.span.first_index, term.get())?.map(Cow::Owned))
    }

    fn values(&self, field: Field, prefix: &str, limit: u32) -> Result<Vec<String>, SearchError> {
        Ok(self.file.values(self.span.first_index, field.code(), prefix, limit)?)
    }

    fn seconds(&self) -> Result<Vec<i64>, SearchError> {
        let times = self.file.times(self.span.first_index)?.ok_or(TrailError::Damaged { place: "run.times" })?;
        times_decode(&times, self.count()).map_err(|damage| damaged(damage, "run.times"))
    }
}

/// Most terms of one run that are kept in memory at a time.
const KNOWN_TERMS_MAX: usize = 16;

fn damaged(_: Damaged, place: &'static str) -> SearchError {
    TrailError::Damaged { place }.into()
}

/// A file with the runs that were read from it, which is done once and only where it is needed.
struct Part<'a> {
    file: &'a TrailFile,
    spans: OnceCell<Vec<Span>>,
}

/// The trail on the way of one search.
pub(super) struct Trail<'a> {
    reader: &'a Reader,
    parts: Vec<Part<'a>>,
}

impl<'a> Trail<'a> {
    pub(super) fn new(reader: &'a Reader) -> Self {
        Self { reader, parts: reader.files().iter().map(|file| Part { file, spans: OnceCell::new() }).collect() }
    }

    /// The files, in the order of the query.
    pub(super) fn files(&self, order: Order) -> impl Iterator<Item = usize> + use<> {
        let count = self.parts.len();
        (0..count).map(move |index| if order == Order::NewestFirst { count - 1 - index } else { index })
    }

    pub(super) fn file(&self, index: usize) -> &'a TrailFile {
        self.parts[index].file
    }

    /// The runs of a file and what none covers, oldest first.
    pub(super) fn spans(&self, index: usize) -> Result<&[Span], SearchError> {
        let part = &self.parts[index];
        if let Some(spans) = part.spans.get() {
            return Ok(spans);
        }
        let spans = part.file.spans()?;
        Ok(part.spans.get_or_init(|| spans))
    }

    /// Looks at the leaves of a part of a run that a hint allows. `each` may end it. Answers where the part that was looked
    /// at ends, from the side that comes first; all of it unless the time was up or `each` has ended it.
    pub(super) fn look(
        &self,
        part: &Range<u64>,
        first_index: u64,
        hint: Option<&Bits>,
        order: Order,
        deadline: &mut Deadline<'_>,
        mut each: impl FnMut(StoredLeaf) -> Result<ControlFlow<()>, SearchError>,
    ) -> Result<Progress, SearchError> {
        let mut rest = part.clone();
        while let Some(block) = next_block(&rest, first_index, hint, order) {
            if deadline.is_over() {
                // What lies before the block holds no candidate.
                let rest = match order {
                    Order::NewestFirst => rest.start..block.end,
                    Order::OldestFirst => block.start..rest.end,
                };
                return Ok(Progress::Late { rest });
            }
            let mut outcome = Ok(ControlFlow::Continue(()));
            let mut seen = 0;
            self.reader.records(block.clone(), trail_order(order), |leaf| {
                seen += 1;
                let place = usize::try_from(leaf.leaf_index - first_index).unwrap_or(usize::MAX);
                if hint.is_some_and(|bits| !bits.contains(place)) {
                    return ControlFlow::Continue(());
                }
                outcome = each(leaf);
                if matches!(outcome, Ok(ControlFlow::Continue(()))) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if outcome?.is_break() {
                return Ok(Progress::Ended);
            }
            // What is not there must not look like what does not match.
            if seen != block.end - block.start {
                return Err(TrailError::ReadBack { leaf_index: block.start, what: "records from here on are not there" }.into());
            }
            match order {
                Order::NewestFirst => rest.end = block.start,
                Order::OldestFirst => rest.start = block.end,
            }
        }
        Ok(Progress::Through)
    }
}

/// How far a part of a run was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of it.
    Through,
    /// As far as was wanted.
    Ended,
    /// The time was up; this is what was not looked at.
    Late {
        /// The leaves that are left.
        rest: Range<u64>,
    },
}

fn trail_order(order: Order) -> trail::Order {
    match order {
        Order::NewestFirst => trail::Order::NewestFirst,
        Order::OldestFirst => trail::Order::OldestFirst,
    }
}

/// The next leaves to read in one go: those between the first and the last candidate of one block.
fn next_block(rest: &Range<u64>, first_index: u64, hint: Option<&Bits>, order: Order) -> Option<Range<u64>> {
    let block_of = |leaf: u64| {
        let start = leaf - leaf % BLOCK_LEAVES;
        start.max(rest.start)..(start + BLOCK_LEAVES).min(rest.end)
    };
    let Some(bits) = hint else {
        return match order {
            _ if rest.is_empty() => None,
            Order::NewestFirst => Some(block_of(rest.end - 1)),
            Order::OldestFirst => Some(block_of(rest.start)),
        };
    };
    // Leaves of a run fit into memory.
    let place = |leaf: u64| usize::try_from(leaf - first_index).unwrap_or(usize::MAX);
    let leaf = |place: usize| first_index + place as u64;
    let first = bits.next_within(place(rest.start)..place(rest.end), order)?;
    let block = block_of(leaf(first));
    let places = place(block.start)..place(block.end);
    let low = bits.next_within(places.clone(), Order::OldestFirst)?;
    let high = bits.next_within(places, Order::NewestFirst)?;
    Some(leaf(low)..leaf(high) + 1)
}

/// Looks up what became of events in doubt.
pub(super) struct TrailResolutions<'a, 't> {
    trail: &'t Trail<'a>,
    known: HashMap<EventId, bool>,
    /// What the parts that no run covers say: the leaf by the event that it resolves; read once.
    unindexed: Option<HashMap<String, u64>>,
}

impl<'a, 't> TrailResolutions<'a, 't> {
    pub(super) fn new(trail: &'t Trail<'a>) -> Self {
        Self { trail, known: HashMap::new(), unindexed: None }
    }

    /// The leaf that says what became of an event.
    pub(super) fn look_up(&mut self, event: EventId) -> Result<Option<u64>, SearchError> {
        let id = event.to_string();
        if let Some(leaf_index) = self.unindexed()?.get(&id) {
            return Ok(Some(*leaf_index));
        }
        let term = Term::of(Field::Resource, format!("event/{id}").as_bytes());
        for file in self.trail.files(Order::NewestFirst) {
            for span in self.trail.spans(file)?.iter().filter(|span| span.indexed) {
                let run = StoredRun::new(self.trail.file(file), span);
                let mut bits = run.lookup(term)?;
                bits.or(&run.lookup(Term::MORE)?);
                for place in bits.iter(Order::NewestFirst) {
                    let leaf_index = span.first_index + place as u64;
                    let record = self.trail.reader.record(leaf_index)?;
                    if record.is_some_and(|record| resolved(&record).is_some_and(|resolved| resolved == id)) {
                        return Ok(Some(leaf_index));
                    }
                }
            }
        }
        Ok(None)
    }

    fn unindexed(&mut self) -> Result<&HashMap<String, u64>, SearchError> {
        if self.unindexed.is_none() {
            let mut found = HashMap::new();
            for file in self.trail.files(Order::OldestFirst) {
                for span in self.trail.spans(file)?.iter().filter(|span| !span.indexed) {
                    self.trail.reader.records(span.range(), trail::Order::OldestFirst, |record| {
                        found.extend(resolved(&record).map(|event| (event, record.leaf_index)));
                        ControlFlow::Continue(())
                    })?;
                }
            }
            self.unindexed = Some(found);
        }
        Ok(self.unindexed.get_or_insert_default())
    }
}

impl Resolutions for TrailResolutions<'_, '_> {
    fn is_resolved(&mut self, event: EventId) -> Result<bool, SearchError> {
        if let Some(known) = self.known.get(&event) {
            return Ok(*known);
        }
        let found = self.look_up(event)?.is_some();
        self.known.insert(event, found);
        Ok(found)
    }
}

/// The event that a record resolves, if it does: only the agent can tell.
pub(super) fn resolved(record: &StoredLeaf) -> Option<String> {
    if record.entry.stream != StreamId::AGENT {
        return None;
    }
    let facts = Facts::read(&record.entry, &record.body);
    let is_resolving = facts.body.action.as_ref().is_some_and(|action| action.as_str() == RESOLVING);
    facts.resource().filter(|(about, _)| is_resolving && *about == "event").map(|(_, id)| id.to_owned())
}

/// A record as conditions see it.
pub(super) fn record(leaf: &StoredLeaf) -> Record<'_> {
    Record { leaf_index: leaf.leaf_index, facts: Facts::read(&leaf.entry, &leaf.body) }
}

/// What a search has cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Work {
    /// Files that were opened.
    pub files: u64,
    /// Files of the trail.
    pub files_total: u64,
    /// Runs of the index, and stretches without one, that were looked at.
    pub spans: u64,
    /// Those of them that held no candidate.
    pub spans_skipped: u64,
    /// Terms that were looked up in runs.
    pub lookups: u64,
    /// Records that the index pointed at, as far as it was asked.
    pub candidates: u64,
    /// Records that were read and tested.
    pub tested: u64,
}

impl Work {
    /// Adds what the index said about a stretch of leaves.
    pub(super) fn add_span(&mut self, hint: &Hint, part: &Range<u64>, first_index: u64) {
        self.spans += 1;
        let candidates = match &hint.bits {
            None => part.end - part.start,
            Some(bits) => {
                let place = |leaf: u64| usize::try_from(leaf - first_index).unwrap_or(usize::MAX);
                bits.count_range(place(part.start)..place(part.end))
            }
        };
        self.candidates += candidates;
        self.spans_skipped += u64::from(candidates == 0);
    }
}
