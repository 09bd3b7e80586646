//! What the agent itself recorded under some actions, found by the index.

use std::ops::ControlFlow;

use indelible_core::query::Order;
use indelible_core::{StreamId, Timestamp};

use super::SearchError;
use super::walk::{Deadline, Progress, StoredRun, Trail};
use crate::index::{Bits, Facts, Field, Term};
use crate::trail::forgotten::last_received_at;
use crate::trail::{Reader, Span, StoredLeaf, TrailError, TrailFile};

/// Calls back with each record of the agent's own that has one of these actions, oldest first.
///
/// # Errors
/// - [`SearchError::Trail`]: the trail cannot be read.
pub(crate) fn own_records(reader: &Reader, actions: &[&str], mut each: impl FnMut(StoredLeaf)) -> Result<(), SearchError> {
    let trail = Trail::new(reader);
    for file in trail.files(Order::OldestFirst) {
        for span in trail.spans(file)? {
            let progress = look(&trail, file, span, actions, Order::OldestFirst, |leaf| {
                each(leaf);
                ControlFlow::Continue(())
            })?;
            if progress != Progress::Through {
                return Err(TrailError::ReadBack { leaf_index: span.first_index, what: "records from here on are not there" }.into());
            }
        }
    }
    Ok(())
}

/// The same, newest first, until `each` has enough or a file was closed before `since`.
///
/// # Errors
/// As [`own_records`].
pub(crate) fn newest_own_records(
    reader: &Reader,
    actions: &[&str],
    since: Timestamp,
    mut each: impl FnMut(StoredLeaf) -> ControlFlow<()>,
) -> Result<(), SearchError> {
    let trail = Trail::new(reader);
    for file in trail.files(Order::NewestFirst) {
        if last_received_at(trail.file(file))? < since {
            break;
        }
        for span in trail.spans(file)?.iter().rev() {
            if look(&trail, file, span, actions, Order::NewestFirst, &mut each)? != Progress::Through {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn look(
    trail: &Trail<'_>,
    file: usize,
    span: &Span,
    actions: &[&str],
    order: Order,
    mut each: impl FnMut(StoredLeaf) -> ControlFlow<()>,
) -> Result<Progress, SearchError> {
    let mut deadline = Deadline::when(|| false);
    let hint = if span.indexed { Some(candidates(trail.file(file), span, actions)?) } else { None };
    trail.look(&span.range(), span.first_index, hint.as_ref(), order, &mut deadline, |leaf| {
        Ok(if is_own(&leaf, actions) { each(leaf) } else { ControlFlow::Continue(()) })
    })
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
