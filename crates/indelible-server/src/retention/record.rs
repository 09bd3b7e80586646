//! What retention records in the trail, and how it is read back (docs/format.md, "Erasure").

use indelible_core::{Actor, ObjectWriter, Outcome, StreamId, push_string};
use serde::Deserialize;

use super::plan::Batch;
use super::rule::Rule;
use crate::ingest::OwnEvent;
use crate::ranges::LeafRanges;
use crate::trail::erase::Erased;

/// Says which bodies are about to be erased, or were.
pub(crate) const PURGE: &str = "audit.purge";
/// Says that something is to be kept, or no longer.
pub(crate) const HOLD: &str = "audit.hold";
/// Both: what must never be erased, since all others are judged by it.
pub(crate) const ACTIONS: [&str; 2] = [PURGE, HOLD];
/// Bytes of a body within which its action begins.
const HEAD_BYTES: usize = 256;

/// What a record says about retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// These bodies are about to be erased.
    Begin {
        /// Which.
        leaves: LeafRanges,
        /// The rules by which.
        rules: Vec<String>,
    },
    /// A hold is in force from here on. It listed these leaves.
    HoldAdded {
        /// Its name.
        name: String,
        /// What it keeps.
        query: String,
        /// What it kept when it was added.
        leaves: LeafRanges,
        /// Why.
        reason: String,
    },
    /// A hold is no longer in force.
    HoldReleased {
        /// Its name.
        name: String,
    },
}

#[derive(Deserialize)]
struct Body {
    action: String,
    #[serde(default)]
    reason: String,
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    step: String,
    leaves: String,
    rules: Vec<RuleOf>,
    command: String,
    name: String,
    query: String,
}

#[derive(Deserialize)]
struct RuleOf {
    name: String,
}

/// Reads what a record says about retention. Only the agent's own records say something: an application cannot write into its stream.
pub(crate) fn said(stream: StreamId, body: &[u8]) -> Option<Said> {
    if stream != StreamId::AGENT || !may_say(body) {
        return None;
    }
    let Body { action, reason, meta } = serde_json::from_slice(body).ok()?;
    let leaves = || meta.leaves.parse().ok();
    match (action.as_str(), meta.step.as_str(), meta.command.as_str()) {
        (PURGE, "begin", _) => Some(Said::Begin { leaves: leaves()?, rules: meta.rules.into_iter().map(|rule| rule.name).collect() }),
        (HOLD, _, "add") => Some(Said::HoldAdded { leaves: leaves()?, name: meta.name, query: meta.query, reason }),
        (HOLD, _, "release") => Some(Said::HoldReleased { name: meta.name }),
        _ => None,
    }
}

/// A look that costs nothing, for the many records of the agent that are about something else.
fn may_say(body: &[u8]) -> bool {
    let head = &body[..body.len().min(HEAD_BYTES)];
    ACTIONS.iter().any(|action| head.windows(action.len()).any(|part| part == action.as_bytes()))
}

/// Which run, and which part of it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Names the run.
    pub(super) run: String,
    /// Counts its batches from 1.
    pub(super) batch: u64,
    /// Who ordered it.
    pub(super) actor: Actor,
    /// Why, as they said.
    pub(super) reason: String,
}

/// The event that makes a batch legitimate; it must be under a checkpoint before anything is erased.
pub(super) fn begin(place: &Place, batch: &Batch, rules: &[Rule]) -> OwnEvent {
    let leaves = batch.leaves.to_string();
    let event = event(place, batch.first_index).quoting(leaves.len());
    event.meta(|meta| {
        stage(meta, place, "begin");
        meta.integer("count", batch.leaves.len());
        meta.integer("bytes", batch.bytes);
        let mut text = String::from("[");
        for (rule, count) in rules.iter().zip(&batch.by_rule).filter(|(_, count)| **count > 0) {
            text.push_str(if text.len() > 1 { "," } else { "" });
            let mut object = ObjectWriter::begin(&mut text);
            object.string("name", &rule.name);
            object.string("match", &rule.query.to_string());
            object.integer("days", rule.days.unwrap_or_default().into());
            object.integer("count", *count);
            object.end();
        }
        text.push(']');
        meta.json("rules", &indelible_core::Json::from_text(text));
        meta.string("leaves", &leaves);
    })
}

/// The event that says that a batch is done.
pub(super) fn done(place: &Place, batch: &Batch, erased: &Erased) -> OwnEvent {
    event(place, batch.first_index).meta(|meta| {
        stage(meta, place, "done");
        meta.integer("erased", erased.bodies);
        meta.integer("file_bytes_before", erased.bytes_before);
        meta.integer("file_bytes", erased.bytes);
    })
}

fn event(place: &Place, first_index: u64) -> OwnEvent {
    let file = crate::trail::files::file_name(first_index);
    let event = OwnEvent::new(PURGE, Outcome::Success).by(place.actor.clone()).about("trail_file", file);
    event.because(&place.reason)
}

fn stage(meta: &mut ObjectWriter<'_>, place: &Place, step: &str) {
    push_string(meta.member("run"), &place.run);
    meta.integer("batch", place.batch);
    push_string(meta.member("step"), step);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agent_says_something_about_retention() {
        let body =
            br#"{"v":1,"id":"x","kind":"audit","action":"audit.purge","meta":{"step":"begin","leaves":"3-4","rules":[{"name":"r"}]}}"#;
        let leaves = "3-4".parse().unwrap();
        assert_eq!(said(StreamId::AGENT, body), Some(Said::Begin { leaves, rules: vec!["r".to_owned()] }));
        assert_eq!(said(StreamId::from_bytes([7; 16]), body), None, "an application");
        for other in ["done", ""] {
            let body = String::from_utf8(body.to_vec()).unwrap().replace("begin", other);
            assert_eq!(said(StreamId::AGENT, body.as_bytes()), None, "{other}");
        }
        let quoting = br#"{"kind":"audit","action":"audit.read","meta":{"query":"action:audit.purge","step":"begin","leaves":"3"}}"#;
        assert_eq!(said(StreamId::AGENT, quoting), None);
    }
}
