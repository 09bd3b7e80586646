//! The commit protocol, checked in every order in which its steps and faults can happen (docs/guarantees.md, "The protocol").
//!
//! Two processes write two transactions each while processes, the database and the resolver are killed. The checker visits every state
//! that can be reached and asks of each whether what the trail says is true. It is a model, not the code: this is where each step lives.
//!
//! | step | code |
//! | --- | --- |
//! | `WriteIntent`, `WriteOutcome` | `Intent::journal`, `Intent::tell` in `crates/indelible/src/intent.rs` |
//! | `InsertMarker`, `Commit`, `FailCommit` | `python/indelible/django/_transactions.py`, `evidence/_proofs.py`, `evidence/_marks.py`, and the database |
//! | `KillWriter`, `ExecuteSent`, `DropConnection` | SIGKILL; what the database does with statements that were sent before it |
//! | `Ingest` | `Apply::intent`, `Apply::outcome` in `crates/indelible-server/src/ingest/outcome.rs`, in one SQLite transaction with the high-water |
//! | `Doubt` | `Deadlines::is_overdue` in `ingest/doubt.rs`, `Apply::overdue` in `ingest/outcome.rs` |
//! | `WriteAnswers` | `Answers::write` in `crates/indelible-server/src/answers/mod.rs`; a file may be as old as it likes |
//! | `Pick`, `Fence`, `CommitFence`, `Answer` | `Resolver` in `python/indelible/django/evidence/_resolver.py`, `Markers.fence` in `_fences.py` |
//! | `KillResolver`, `StartResolver` | `resolver.lock` is free again, and another process takes it, with another stream |
//! | `CleanUp`, `ReportMarker`, `ReportLost` | `Reconciler` in `python/indelible/django/evidence/_reconciler.py` |
//! | `Flush`, `CrashDatabase` | the database; with `synchronous_commit = off` it forgets what it has said to be committed |
//! | `LosePower` | the machine: what the kernel had not written of journals is gone, from any frame on |
//! | `DayPasses` | markers may be deleted, and intents are not fenced any more |
//!
//! What the model leaves out: times (whatever may happen late may happen at once), bodies, savepoints, and the outbox. One resolver works at a
//! time, because `resolver.lock` is held from a look at the age to the fence; a fence that was sent waits at most a second for its key, and what
//! a killed process had sent is executed or refused within a day.
#![allow(clippy::unwrap_used, reason = "tests")]

mod model;
mod properties;
mod state;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::model::{Bug, Protocol};
use crate::state::Faults;

/// Far more than any of these takes.
const PATIENCE: Duration = Duration::from_secs(3600);

const NONE: Faults = Faults {
    writer_kills: 0,
    database_crashes: 0,
    resolver_kills: 0,
    failed_commits: 0,
    power_losses: 0,
    days: 0,
    repeated_answers: 0,
    slow_transactions: 0,
};

fn protocol(writers: usize, transactions: u8, faults: Faults) -> Protocol {
    Protocol { writers, transactions, faults, asynchronous: false, bug: None }
}

/// Visits every state; prints how many, and how the model gets to one that is wrong.
fn check(what: &str, protocol: Protocol) -> BTreeSet<&'static str> {
    let started = Instant::now();
    let checker = protocol.checker().threads(2).timeout(PATIENCE).spawn_bfs().join();
    println!("{what}: {} states, {} steps, {:.1?}", checker.unique_state_count(), checker.state_count(), started.elapsed());
    assert!(checker.is_done() && started.elapsed() < PATIENCE, "{what}: not every state was visited");
    for property in checker.model().properties().into_iter().filter(|property| property.expectation == Expectation::Always) {
        if let Some(path) = checker.discovery(property.name) {
            panic!("{what}: it is not always so that {}:\n{:#?}", property.name, path.into_actions());
        }
    }
    checker.discoveries().into_keys().collect()
}

/// That the protocol is wrong in this way shows, as a path to a state in which the property does not hold.
fn find(bug: Bug, property: &'static str, protocol: Protocol) {
    let protocol = Protocol { bug: Some(bug), ..protocol };
    let wanted = HasDiscoveries::AllOf(BTreeSet::from([property]));
    let checker = protocol.checker().threads(2).timeout(PATIENCE).finish_when(wanted).spawn_bfs().join();
    let path = checker.discovery(property).unwrap_or_else(|| panic!("{bug:?} was not found in {} states", checker.unique_state_count()));
    println!("{bug:?}: not always {property}: {:?}", path.into_actions());
}

#[test]
fn two_writers_with_two_transactions_survive_a_kill_a_database_crash_a_resolver_crash_and_retries() {
    let faults = Faults { writer_kills: 1, database_crashes: 1, resolver_kills: 1, ..NONE };
    let reached = check("two writers", protocol(2, 2, faults));
    for trap in properties::traps() {
        assert!(reached.contains(trap.name), "nothing was proved about: {}", trap.name);
    }
}

#[test]
#[ignore = "many minutes: ask for it with --ignored"]
fn two_writers_survive_it_also_when_both_are_killed_and_a_commit_fails() {
    let faults = Faults { writer_kills: 2, database_crashes: 1, resolver_kills: 1, failed_commits: 1, ..NONE };
    check("two killed writers", protocol(2, 1, faults));
}

#[test]
fn transactions_that_outlast_the_agents_patience_and_answers_that_come_twice_do_no_harm() {
    let faults = Faults { writer_kills: 1, failed_commits: 1, resolver_kills: 1, repeated_answers: 1, slow_transactions: 1, ..NONE };
    check("a slow writer", protocol(1, 2, faults));
}

#[test]
fn markers_are_deleted_without_making_a_verdict_wrong() {
    let faults = Faults { writer_kills: 1, database_crashes: 1, resolver_kills: 1, days: 1, ..NONE };
    check("clean-up", protocol(1, 1, faults));
    check("clean-up beside another", protocol(2, 1, Faults { writer_kills: 1, days: 1, ..NONE }));
}

#[test]
fn what_a_journal_loses_with_the_power_is_missed() {
    let faults = Faults { power_losses: 1, days: 1, ..NONE };
    check("power loss", protocol(1, 2, faults));
    check("power loss beside another", protocol(2, 1, Faults { power_losses: 1, ..NONE }));
}

#[test]
fn what_a_database_loses_that_answers_before_it_writes_is_told() {
    let faults = Faults { writer_kills: 1, database_crashes: 1, resolver_kills: 1, ..NONE };
    check("asynchronous commits", Protocol { asynchronous: true, ..protocol(1, 1, faults) });
    let faults = Faults { database_crashes: 1, ..NONE };
    check("asynchronous commits of two", Protocol { asynchronous: true, ..protocol(2, 1, faults) });
}

#[test]
fn each_seeded_bug_is_found() {
    let one = |faults| protocol(1, 1, faults);
    let kill = Faults { writer_kills: 1, ..NONE };
    let crash = Faults { database_crashes: 1, ..NONE };
    find(Bug::FenceTheLiving, properties::LIVING_NOT_REFUSED, one(NONE));
    find(Bug::TrustTheConflict, properties::NO_PHANTOM, one(Faults { resolver_kills: 1, ..kill }));
    let lost = Faults { resolver_kills: 1, database_crashes: 1, ..kill };
    find(Bug::TrustTheUnwritten, properties::NO_CONTRADICTION, Protocol { asynchronous: true, ..one(lost) });
    find(Bug::OutcomeBeforeCommit, properties::NO_PHANTOM, one(kill));
    find(Bug::ReuseTheIntent, properties::NO_DENIAL, one(crash));
    find(Bug::LostAnswerIsRollback, properties::NO_DENIAL, one(crash));
    find(Bug::OutcomeBeforeFence, properties::NO_DENIAL, one(kill));
    find(Bug::CleanUpBeforeHighWater, properties::NOTHING_MISSING, one(Faults { power_losses: 1, days: 1, ..NONE }));
    find(Bug::FenceTheOld, properties::NO_DENIAL, one(Faults { days: 1, ..kill }));
    find(Bug::AgeFromIngest, properties::NO_DENIAL, one(Faults { days: 1, ..kill }));
    find(Bug::GapCountsAsIngested, properties::NOTHING_MISSING, one(Faults { power_losses: 1, ..NONE }));
}
