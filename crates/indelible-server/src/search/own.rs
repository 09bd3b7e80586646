//! What the agent itself recorded under some actions, found by the index.

use std::ops::ControlFlow;

use indelible_core::StreamId;
use indelible_core::query::Order;

use super::SearchError;
use super::walk::{Deadline, Progress, StoredRun, Trail};
use crate::index::{Bits, Facts, Field, Term};
use crate::trail::{Reader, Span, StoredLeaf, TrailError, TrailFile};

/// Calls back with each record of the agent's own that has one of these actions, oldest first.
///
/// # Errors
/// - [`SearchError::Trail`]: the trail cannot be read.
pub(crate) fn own_records(reader: &Reader, actions: &[&str], mut each: impl FnMut(StoredLeaf)) -> Result<(), SearchError> {
    let trail = Trail::new(reader);
    let mut deadline = Deadline::when(|| false);
    for file in trail.files(Order::OldestFirst) {
        for span in trail.spans(file)? {
            let hint = if span.indexed { Some(candidates(trail.file(file), span, actions)?) } else { None };
            let progress = trail.look(&span.range(), span.first_index, hint.as_ref(), Order::OldestFirst, &mut deadline, |leaf| {
                if is_own(&leaf, actions) {
                    each(leaf);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if progress != Progress::Through {
                return Err(TrailError::ReadBack { leaf_index: span.first_index, what: "records from here on are not there" }.into());
            }
        }
    }
    Ok(())
}

fn candidates(file: &TrailFile, span: &Span, actions: &[&str]) -> Result<Bits, SearchError> {
    use super::plan::Index as _;
    let run = StoredRun::new(file, span);
    let mut bits = run.lookup(Term::MORE)?;
    for action in actions {
        bits.or(&run.lookup(Term::of(Field::Action, action.as_bytes()))?);
    }
    Ok(bits)
}

fn is_own(leaf: &StoredLeaf, actions: &[&str]) -> bool {
    leaf.entry.stream == StreamId::AGENT
        && Facts::read(&leaf.entry, &leaf.body).body.action.is_some_and(|action| actions.contains(&action.as_str()))
}
