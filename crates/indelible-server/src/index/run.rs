//! The index of a stretch of leaves: sorted terms with the leaves that have them, times, and the values of some fields.

use std::collections::{BTreeMap, HashMap, HashSet};

use indelible_core::LeafEntry;

use super::Bits;
use super::facts::Facts;
use super::posting::{Posting, Stored};
use super::term::{Field, Term};
use super::times::{second_of, times_encode};
use super::varint::{self, Damaged};

/// A piece ends with the posting that makes it so long, in bytes.
const PIECE_BYTES: usize = 4096;
/// Most values that a run lists of one field.
const VALUES_MAX: usize = 10_000;
/// Longest value that a run lists, in bytes.
const VALUE_BYTES_MAX: usize = 512;

/// Builds the [`Run`] of leaves that follow each other.
///
/// Memory grows with the terms of the leaves and not with their bodies: about 40 bytes for a term that one leaf has, less for
/// each of many.
#[derive(Debug)]
pub(crate) struct RunBuilder {
    first_index: u64,
    postings: HashMap<Term, Posting>,
    values: BTreeMap<Field, HashSet<String>>,
    unlisted: HashSet<Field>,
    seconds: Vec<i64>,
    occurred: Option<(i64, i64)>,
    ids: Option<([u8; 16], [u8; 16])>,
}

/// The index of the leaves from `first_index` up to, and without, `end_index`; the same leaves give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first leaf.
    pub(crate) first_index: u64,
    /// The leaf behind the last one.
    pub(crate) end_index: u64,
    /// The first and the last microsecond at which a leaf happened. 0 and 0 without leaves.
    pub(crate) occurred: (i64, i64),
    /// The smallest and the largest event id.
    pub(crate) ids: ([u8; 16], [u8; 16]),
    /// When each leaf happened; see [`super::times_decode`].
    pub(crate) times: Vec<u8>,
    /// Terms and postings, cut into pieces of about 4 KiB.
    pub(crate) pieces: Vec<Piece>,
    /// The values of the fields that are listed ([`Field::is_listed`]), sorted by the field's code and value, each once. Of a field
    /// with too many values or a long one there are none, and the first leaf has [`Term::unlisted`] of it.
    pub(crate) values: Vec<(Field, String)>,
}

/// Some of a run's terms, in order, with their postings; see [`piece_lookup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The first term of the piece. The piece holds all terms from it on that are below the first one of the next piece.
    pub(crate) first_term: u64,
    /// The bytes (docs/format.md, "Index").
    pub(crate) bytes: Vec<u8>,
}

impl RunBuilder {
    /// Begins with a leaf.
    pub(crate) fn new(first_index: u64) -> Self {
        Self {
            first_index,
            postings: HashMap::new(),
            values: BTreeMap::new(),
            unlisted: HashSet::new(),
            seconds: Vec::new(),
            occurred: None,
            ids: None,
        }
    }

    /// Number of leaves so far.
    pub(crate) fn len(&self) -> usize {
        self.seconds.len()
    }

    /// Adds the next leaf. A body that is missing, since it was erased, is empty.
    ///
    /// # Panics
    /// At 2^32 leaves, which no file holds.
    pub(crate) fn push(&mut self, entry: &LeafEntry, body: &[u8]) {
        let leaf = u32::try_from(self.len()).expect("a file holds fewer than 2^32 leaves");
        let facts = Facts::read(entry, body);
        let Self { postings, values, unlisted, .. } = self;
        facts.each_term(|term, field, text| {
            postings.entry(term).or_default().push(leaf);
            let text = text.filter(|_| field.is_listed() && !unlisted.contains(&field));
            if text.is_some_and(|text| !list(values.entry(field).or_default(), text)) {
                values.remove(&field);
                unlisted.insert(field);
            }
        });
        let occurred_at = facts.occurred_at();
        self.seconds.push(second_of(occurred_at));
        self.occurred = Some(self.occurred.map_or((occurred_at, occurred_at), |(low, high)| (low.min(occurred_at), high.max(occurred_at))));
        let id = *entry.event.as_bytes();
        self.ids = Some(self.ids.map_or((id, id), |(low, high)| (low.min(id), high.max(id))));
    }

    /// The run.
    pub(crate) fn finish(mut self) -> Run {
        let count = self.seconds.len();
        for field in self.unlisted {
            self.postings.entry(Term::unlisted(field)).or_default().push(0);
        }
        let mut values: Vec<(Field, String)> =
            self.values.into_iter().flat_map(|(field, values)| values.into_iter().map(move |value| (field, value))).collect();
        values.sort_unstable();
        Run {
            first_index: self.first_index,
            end_index: self.first_index + count as u64,
            occurred: self.occurred.unwrap_or_default(),
            ids: self.ids.unwrap_or_default(),
            times: times_encode(&self.seconds),
            pieces: pieces(self.postings, count),
            values,
        }
    }
}

/// Adds a value to those of a field, if it can be.
fn list(values: &mut HashSet<String>, value: &str) -> bool {
    if values.contains(value) {
        return true;
    }
    if value.len() > VALUE_BYTES_MAX || values.len() == VALUES_MAX {
        return false;
    }
    values.insert(value.to_owned())
}

fn pieces(postings: HashMap<Term, Posting>, count: usize) -> Vec<Piece> {
    let mut postings: Vec<(Term, Posting)> = postings.into_iter().collect();
    postings.sort_unstable_by_key(|(term, _)| *term);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut last = 0;
    for (term, posting) in postings {
        if pieces.last().is_none_or(|piece| piece.bytes.len() >= PIECE_BYTES) {
            pieces.push(Piece { first_term: term.get(), bytes: Vec::with_capacity(PIECE_BYTES + 64) });
            last = 0;
        }
        let Some(piece) = pieces.last_mut() else { continue };
        varint::push(&mut piece.bytes, term.get() - last);
        posting.write(count, &mut piece.bytes);
        last = term.get();
    }
    pieces
}

/// Finds the leaves of a term in the piece that would hold it: the last one of a run whose first term is not above it.
/// `count` is the number of leaves of the run.
///
/// # Errors
/// - [`Damaged`]: these bytes were never written.
pub(crate) fn piece_lookup(mut bytes: &[u8], term: Term, count: usize) -> Result<Bits, Damaged> {
    let mut bits = Bits::none(count);
    let mut at = 0_u64;
    while !bytes.is_empty() && at <= term.get() {
        at = at.checked_add(varint::take(&mut bytes)?).ok_or(Damaged)?;
        let posting = Stored::take(&mut bytes)?;
        if at == term.get() {
            posting.insert_into(&mut bits)?;
            break;
        }
    }
    Ok(bits)
}

/// Counts the leaves of a set that have a term, for the first of some sorted terms, as many as this piece can tell of: at least
/// one. It is the piece that would hold the first of them, and the set is one of the run.
///
/// # Errors
/// - [`Damaged`]: these bytes were never written.
pub(crate) fn piece_counts(mut bytes: &[u8], terms: &[Term], within: &Bits) -> Result<Vec<u64>, Damaged> {
    let mut counts = Vec::new();
    let mut at = 0_u64;
    while !bytes.is_empty() && counts.len() < terms.len() {
        at = at.checked_add(varint::take(&mut bytes)?).ok_or(Damaged)?;
        let posting = Stored::take(&mut bytes)?;
        let rest = &terms[counts.len()..];
        let absent = rest.iter().take_while(|term| term.get() < at).count();
        let here = rest[absent..].iter().take_while(|term| term.get() == at).count();
        counts.extend((0..absent).map(|_| 0));
        if here > 0 {
            let leaves = posting.len_and(within)?;
            counts.extend((0..here).map(|_| leaves));
        }
    }
    if counts.is_empty() && !terms.is_empty() {
        // It lies between the last term of this piece and the first of the next one.
        counts.push(0);
    }
    Ok(counts)
}

impl Run {
    /// The piece that would hold a term.
    pub(crate) fn piece(&self, term: Term) -> Option<&[u8]> {
        let behind = self.pieces.partition_point(|piece| piece.first_term <= term.get());
        behind.checked_sub(1).and_then(|index| self.pieces.get(index)).map(|piece| &piece.bytes[..])
    }

    /// Finds the leaves of a term, counted from the first of the run.
    ///
    /// # Errors
    /// - [`Damaged`]: the pieces were never written so.
    pub(crate) fn lookup(&self, term: Term) -> Result<Bits, Damaged> {
        let count = usize::try_from(self.end_index - self.first_index).map_err(|_| Damaged)?;
        self.piece(term).map_or_else(|| Ok(Bits::none(count)), |piece| piece_lookup(piece, term, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::times_decode;
    use indelible_core::query::Order;
    use indelible_core::{EventId, StreamId, Timestamp, Verdict, commitment};
    use proptest::prelude::*;

    fn entry(number: u8) -> LeafEntry {
        LeafEntry {
            event: EventId::from_bytes([number; 16]),
            stream: StreamId::AGENT,
            stream_index: 0,
            sequence: 0,
            item: 0,
            recorded_at: Timestamp::from_micros(i64::from(number) * 1_000_000),
            received_at: Timestamp::from_micros(0),
            verdict: Verdict::ALL[usize::from(number) % 5],
            commitment: commitment(&[0; 32], b""),
        }
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let text = "[a-c]{0,2}";
        prop_oneof![
            6 => (text, text, text, 200..204_u16, 0..5_i64).prop_map(|(actor, action, id, status, second)| format!(
                r#"{{"kind":"read","action":"{action}","occurred_at":"1970-01-01T00:00:0{second}.000000Z","actor":{{"type":"user","id":"{actor}","label":"{action} {actor}"}},"resource":{{"type":"x.Y","id":"{id}"}},"request":{{"status":{status},"client_ip":"10.0.0.{status}","duration_us":{status}}}}}"#
            ).into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ]
    }

    fn counts(run: &Run, terms: &[Term], within: &Bits) -> Vec<u64> {
        let mut counts = Vec::new();
        while let Some(term) = terms.get(counts.len()) {
            let rest = &terms[counts.len()..];
            counts.extend(run.piece(*term).map_or_else(|| vec![0], |piece| piece_counts(piece, rest, within).unwrap()));
        }
        counts
    }

    proptest! {
        #[test]
        fn a_run_finds_for_each_term_the_leaves_that_have_it_and_no_others(bodies in prop::collection::vec(body(), 0..60)) {
            let mut builder = RunBuilder::new(1000);
            let mut expected: BTreeMap<Term, Vec<usize>> = BTreeMap::new();
            let mut seconds = Vec::new();
            for (index, body) in bodies.iter().enumerate() {
                let entry = entry(u8::try_from(index).unwrap());
                builder.push(&entry, body);
                let facts = Facts::read(&entry, body);
                seconds.push(second_of(facts.occurred_at()));
                for term in facts.terms() {
                    let leaves = expected.entry(term).or_default();
                    if leaves.last() != Some(&index) {
                        leaves.push(index);
                    }
                }
            }
            let run = builder.finish();
            prop_assert_eq!((run.first_index, run.end_index), (1000, 1000 + bodies.len() as u64));
            for (term, leaves) in &expected {
                prop_assert_eq!(&run.lookup(*term).unwrap().iter(Order::OldestFirst).collect::<Vec<_>>(), leaves);
            }
            let within = Bits::all(bodies.len());
            let sorted: Vec<Term> = expected.keys().copied().collect();
            prop_assert_eq!(counts(&run, &sorted, &within), expected.values().map(|leaves| leaves.len() as u64).collect::<Vec<_>>());
            for absent in [Term::of(Field::Request, b"nobody"), Term::MORE, Term::has(Field::Tenant)] {
                prop_assert!(run.lookup(absent).unwrap().is_empty());
            }
            prop_assert_eq!(times_decode(&run.times, bodies.len()), Ok(seconds));
            prop_assert!(run.values.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn damaged_pieces_are_damage_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for term in [Term::MORE, Term::has(Field::Kind), Term::of(Field::Kind, b"read")] {
                let _ = piece_lookup(&bytes, term, 100);
                let _ = piece_counts(&bytes, &[term], &Bits::all(100));
            }
        }
    }

    #[test]
    fn a_run_of_many_pieces_finds_the_first_and_the_last_term_of_each() {
        let mut builder = RunBuilder::new(0);
        for number in 0..2000 {
            builder.push(&entry(0), format!(r#"{{"request":{{"id":"r{number}"}}}}"#).as_bytes());
        }
        let run = builder.finish();
        assert!(run.pieces.len() > 2 && run.pieces.iter().all(|piece| piece.bytes.len() < PIECE_BYTES + 300));
        for number in 0..2000 {
            let found = run.lookup(Term::of(Field::Request, format!("r{number}").as_bytes())).unwrap();
            assert_eq!(found.iter(Order::NewestFirst).collect::<Vec<_>>(), [number]);
        }
        // One in two is there, and one in two of those is in the set.
        let mut within = Bits::none(2000);
        (0..2000).filter(|number| number % 2 == 0).for_each(|number| within.insert(number));
        let mut terms: Vec<(Term, u64)> = (0..4000)
            .map(|number| (Term::of(Field::Request, format!("r{number}").as_bytes()), u64::from(number < 2000 && number % 2 == 0)))
            .collect();
        terms.sort_unstable();
        let sorted: Vec<Term> = terms.iter().map(|(term, _)| *term).collect();
        assert_eq!(counts(&run, &sorted, &within), terms.iter().map(|(_, count)| *count).collect::<Vec<_>>());
    }

    #[test]
    fn a_field_with_too_many_values_or_a_long_one_is_not_listed() {
        let mut builder = RunBuilder::new(0);
        for number in 0..=VALUES_MAX {
            let service = if number == 5 { "s".repeat(VALUE_BYTES_MAX + 1) } else { "s".to_owned() };
            builder
                .push(&entry(0), format!(r#"{{"kind":"read","actor":{{"id":"{number}"}},"source":{{"service":"{service}"}}}}"#).as_bytes());
        }
        let run = builder.finish();
        for &field in Field::ALL {
            let is_unlisted = !run.lookup(Term::unlisted(field)).unwrap().is_empty();
            assert_eq!(is_unlisted, matches!(field, Field::ActorId | Field::Service), "{field:?}");
        }
        let listed: Vec<(Field, &str)> = run.values.iter().map(|(field, value)| (*field, value.as_str())).collect();
        let stream = "00000000000000000000000000000000";
        assert_eq!(listed, [(Field::Kind, "read"), (Field::Verdict, "recorded"), (Field::Received, "0"), (Field::Stream, stream)]);
    }
}
