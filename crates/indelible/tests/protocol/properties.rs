//! What must be true of every state, and what must be possible, so that nothing is proved about a model in which nothing happens.

use stateright::Property;

use crate::model::{Protocol, writer_of};
use crate::state::{INTENTS, Phase, Resolving, Row, Set, State};

pub(crate) const NO_PHANTOM: &str = "what the trail claims as success is committed, or the reconciler says that the database has lost it";
pub(crate) const NO_DENIAL: &str = "what is committed is never told as rolled back";
pub(crate) const NOTHING_MISSING: &str = "in the end what is committed is recorded as success, or flagged";
pub(crate) const ALL_RESOLVED: &str = "in the end nothing younger than a day is in doubt";
pub(crate) const ONCE: &str = "each event has one leaf, and at most one resolution";
pub(crate) const FENCED_NEVER_COMMITS: &str = "what was fenced never commits";
pub(crate) const LIVING_NOT_REFUSED: &str = "no transaction of a living process is refused by a fence";
pub(crate) const NO_CONTRADICTION: &str = "no OUTCOME contradicts another";
pub(crate) const NO_FALSE_ALARM: &str = "the reconciler reports only what was lost";

fn always(name: &'static str, condition: fn(&Protocol, &State) -> bool) -> Property<Protocol> {
    Property::always(name, condition)
}

fn sometimes(name: &'static str, condition: fn(&Protocol, &State) -> bool) -> Property<Protocol> {
    Property::sometimes(name, condition)
}

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        always(NO_PHANTOM, no_phantom),
        always(NO_DENIAL, |_, state| state.agent.denied().and(state.database.committed).is_empty()),
        always(NOTHING_MISSING, |protocol, state| !is_settled(protocol, state) || missing(state).is_empty()),
        always(ALL_RESOLVED, |protocol, state| !is_settled(protocol, state) || in_doubt(state).is_empty()),
        always(ONCE, once),
        always(FENCED_NEVER_COMMITS, |_, state| state.database.ever_fenced.and(state.database.committed).is_empty()),
        always(LIVING_NOT_REFUSED, |_, state| state.refused.is_empty()),
        always(NO_CONTRADICTION, |_, state| state.agent.contradicted.is_empty()),
        always(NO_FALSE_ALARM, no_false_alarm),
    ]
}

/// Whether nothing more will happen unless another fault does.
fn is_settled(protocol: &Protocol, state: &State) -> bool {
    let mut steps = Vec::new();
    protocol.progress(state, &mut steps);
    steps.is_empty()
}

fn no_phantom(protocol: &Protocol, state: &State) -> bool {
    let phantoms = state.agent.claimed().without(state.database.committed);
    // Nobody can know a loss before the database has come back and was asked; in the end it is told.
    let excused =
        if protocol.asynchronous && !is_settled(protocol, state) { state.database.ever_committed } else { state.agent.lost_by_database };
    phantoms.without(excused).is_empty()
}

fn missing(state: &State) -> Set {
    let agent = &state.agent;
    state.database.committed.without(agent.claimed()).without(agent.in_doubt).without(agent.without_record)
}

fn in_doubt(state: &State) -> Set {
    state.agent.pending.without(state.old)
}

fn once(_: &Protocol, state: &State) -> bool {
    let agent = &state.agent;
    let leaves = [agent.committed, agent.committed_by_marker, agent.in_doubt];
    let resolutions = [agent.resolved_committed, agent.resolved_rolled_back];
    let disjoint = |sets: &[Set]| (0..INTENTS as u8).all(|intent| sets.iter().filter(|set| set.has(intent)).count() <= 1);
    disjoint(&leaves) && disjoint(&resolutions) && agent.doubled.is_empty()
}

fn no_false_alarm(_: &Protocol, state: &State) -> bool {
    let agent = &state.agent;
    agent.without_record.and(agent.claimed().or(agent.in_doubt)).is_empty()
        && agent.lost_by_database.and(state.database.committed).is_empty()
}

/// What must be reachable: each is a trap that the protocol has to survive, not to avoid.
pub(crate) fn traps() -> Vec<Property<Protocol>> {
    vec![
        sometimes("a fence is committed", |_, state| !state.database.ever_fenced.is_empty()),
        sometimes("a marker proves a commit that nobody told", |_, state| !state.agent.committed_by_marker.is_empty()),
        sometimes("a doubt is resolved as committed", |_, state| !state.agent.resolved_committed.is_empty()),
        sometimes("a doubt is resolved as rolled back", |_, state| !state.agent.resolved_rolled_back.is_empty()),
        sometimes("an OUTCOME comes twice", |_, state| state.agent.repeated),
        sometimes("a fence waits for a transaction of a dead process", |_, state| match state.resolver.at {
            Resolving::Picked(intent) => state.database.held.has(intent),
            _ => false,
        }),
        sometimes("a dead process's COMMIT meets a fence", |_, state| {
            state.writers.iter().enumerate().any(|(number, writer)| {
                matches!(writer.phase, Phase::Dead(crate::state::Sent::MarkerAndCommit))
                    && (0..INTENTS as u8)
                        .any(|intent| writer_of(intent) == number && state.database.rows[usize::from(intent)] == Some(Row::Fenced))
            })
        }),
    ]
}
