//! The check of the whole trail that the badge speaks of: run here, in the background, one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use indelible_core::{Actor, Timestamp};
use serde::Serialize;

use super::super::Api;
use super::super::reads::Read;
use super::row::duration;
use super::sessions::Visitor;
use crate::clock::now;
use crate::verify::{Report, Trust, verify};

/// A check that is older than this is due again.
const CHECK_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Trails up to this size are checked when somebody signs in and a check is due; larger ones only when asked for.
const CHECKED_UNASKED: u64 = 1_000_000;

/// The last check and the one that runs.
#[derive(Debug, Default)]
pub(in super::super) struct Checks {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    running_since: Option<Instant>,
    last: Option<Check>,
}

#[derive(Debug, Clone)]
struct Check {
    ended: Instant,
    at: Timestamp,
    took: Duration,
    report: Report,
}

/// What the badge says. Its words are fixed: they claim what was checked and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Badge {
    /// `intact`, `overdue`, `unchecked` or `tampered`.
    pub(super) class: &'static str,
    pub(super) text: String,
    pub(super) detail: String,
    pub(super) running: bool,
    /// When the check ended, where there was one.
    pub(super) at: Option<String>,
}

impl Checks {
    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    pub(super) fn badge(&self) -> Badge {
        let inner = self.locked();
        let running = inner.running_since.is_some();
        let Some(last) = &inner.last else {
            let detail = if running { "the first check is running" } else { "nobody has checked the trail since this agent started" };
            return Badge { class: "overdue", text: "Check overdue".to_owned(), detail: detail.to_owned(), running, at: None };
        };
        let (class, text, detail) = words(last);
        Badge { class, text, detail, running, at: Some(last.at.to_string()) }
    }

    /// Begins a check unless one runs.
    fn begins(&self) -> bool {
        let mut inner = self.locked();
        if inner.running_since.is_some() {
            return false;
        }
        inner.running_since = Some(Instant::now());
        true
    }

    fn ends(&self, report: Report) {
        let mut inner = self.locked();
        let took = inner.running_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        inner.last = Some(Check { ended: Instant::now(), at: now(), took, report });
    }

    fn is_due(&self) -> bool {
        self.locked().last.as_ref().is_none_or(|last| last.ended.elapsed() > CHECK_LIFETIME)
    }

    /// Begins a check when one is due and the trail is small.
    pub(super) fn start_if_due(self: &Arc<Self>, api: &Arc<Api>, actor: Actor) {
        let is_small = u64::try_from(api.status.metrics().tree_size()).is_ok_and(|size| size <= CHECKED_UNASKED);
        if is_small && self.is_due() {
            run(api, actor);
        }
    }
}

fn words(last: &Check) -> (&'static str, String, String) {
    let ago = ago(last.ended.elapsed());
    let took = duration(u64::try_from(last.took.as_micros()).unwrap_or(u64::MAX));
    match &last.report {
        Report::Intact(intact) if last.ended.elapsed() > CHECK_LIFETIME => {
            ("overdue", "Check overdue".to_owned(), format!("it was intact to checkpoint {} {ago}", intact.tree_size))
        }
        Report::Intact(intact) => (
            "intact",
            format!("Intact to checkpoint {} · {ago}", grouped(intact.tree_size)),
            format!("all records, leaves and signatures were recomputed in {took}; no outside checkpoint was given"),
        ),
        Report::Tampered(fault) => {
            let place = fault.leaves.as_ref().map_or_else(String::new, |leaves| format!(" at #{}", leaves.start));
            ("tampered", format!("TAMPERED{place}"), format!("{fault} ({ago})"))
        }
        Report::CouldNotCheck(reason) => ("unchecked", "Could not check".to_owned(), format!("{reason} ({ago})")),
    }
}

/// Starts a check that somebody asks for, and goes back to where its result will stand.
pub(super) async fn start(State(api): State<Arc<Api>>, Extension(visitor): Extension<Visitor>) -> Redirect {
    run(&api, visitor.actor());
    Redirect::to("/health")
}

/// Checks the trail on a thread that may wait for the disk, and records that it was done and what it found.
fn run(api: &Arc<Api>, actor: Actor) {
    if !api.checks.begins() {
        return;
    }
    let api = Arc::clone(api);
    tokio::spawn(async move {
        let dir = api.status.dir().clone();
        let checked = tokio::task::spawn_blocking(move || verify(&dir, &Trust::default())).await;
        let report = checked.unwrap_or_else(|panic| Report::CouldNotCheck(panic.to_string()));
        let read = Read::of_a_check(result(&report));
        api.checks.ends(report);
        if let Err(error) = api.record(actor, &read).await {
            tracing::warn!(%error, "a check of the trail is not recorded");
        }
    });
}

fn result(report: &Report) -> &'static str {
    match report {
        Report::Intact(_) => "intact",
        Report::Tampered(_) => "tampered",
        Report::CouldNotCheck(_) => "could_not_check",
    }
}

fn ago(passed: Duration) -> String {
    match passed.as_secs() {
        0..60 => "just now".to_owned(),
        seconds @ 60..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Fault, FaultKind, Intact, StateCheck};
    use indelible_core::empty_root;

    fn intact() -> Report {
        Report::Intact(Intact {
            origin: "o".into(),
            tree_size: 1284,
            root_hash: empty_root(),
            unsigned: 0,
            state: StateCheck::Signed,
            against: None,
            range: None,
        })
    }

    #[test]
    fn the_badge_claims_what_was_checked_and_no_more() {
        let checks = Checks::default();
        assert_eq!(checks.badge().text, "Check overdue");
        for (report, class, text) in [
            (intact(), "intact", "Intact to checkpoint 1\u{202f}284 · just now"),
            (Report::CouldNotCheck("no key".into()), "unchecked", "Could not check"),
            (
                Report::Tampered(Fault { kind: FaultKind::Body, leaves: Some(17..18), event: None, verified: 0, file: None }),
                "tampered",
                "TAMPERED at #17",
            ),
        ] {
            assert!(checks.begins());
            assert!(!checks.begins(), "one at a time");
            checks.ends(report);
            let badge = checks.badge();
            assert_eq!((badge.class, badge.text.as_str(), badge.running), (class, text, false));
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([7, 1000, 1_234_567].map(grouped), ["7", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
