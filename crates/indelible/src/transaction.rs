//! Events of a database transaction, held in memory until it is about to be committed.

use indelible_core::{Event, Evidence, Json};

use crate::capture::Fate;
use crate::clock;
use crate::intent::{Intent, Refused, record_aborted};
use crate::recorder::{Recorded, Recorder};
use crate::superseding::Superseding;

const FOLDED_IDS_MAX: usize = 1_000;

/// The events of one transaction on one database connection, per savepoint scope.
///
/// After [`Transaction::prepare`] or [`Transaction::rollback`] it is empty and serves the connection's next transaction.
/// Events that a forked child inherits are dropped on its first call: they are its parent's to tell.
pub struct Transaction {
    recorder: Recorder,
    alias: String,
    process: u32,
    held: Vec<Event>,
    superseding: Superseding,
    bytes: usize,
    folds: Vec<Fold>,
    savepoints: Vec<Savepoint>,
    evidence: Evidence,
    /// Numbers of the events in the capture, where there is one.
    captured: Vec<u64>,
    /// Of each pair of events that a capture shows as one: place of the later, place and number of the earlier.
    superseded: Vec<(usize, usize, u64)>,
}

/// Where a savepoint began.
struct Savepoint {
    name: String,
    held: usize,
    folds: Vec<(u64, usize)>,
    captured: usize,
}

/// Events beyond the bounds, counted by what they did to which type.
struct Fold {
    event: Event,
    count: u64,
    ids: Vec<Json>,
}

impl Transaction {
    pub(crate) fn new(recorder: Recorder, alias: &str) -> Self {
        let process = std::process::id();
        Self {
            recorder,
            alias: alias.to_owned(),
            process,
            held: Vec::new(),
            superseding: Superseding::default(),
            bytes: 0,
            folds: Vec::new(),
            savepoints: Vec::new(),
            evidence: Evidence::Ack,
            captured: Vec::new(),
            superseded: Vec::new(),
        }
    }

    /// Holds one event until COMMIT.
    ///
    /// Beyond `transaction_events` or `transaction_bytes` it is folded: one event per type and action counts the rest and names the first 1,000 ids.
    pub fn record(&mut self, mut event: Event) -> Recorded {
        self.forget_parents_events();
        event.occurred_at.get_or_insert_with(clock::now);
        if let Some(capture) = self.recorder.capture() {
            let body = self.recorder.captured_body(&event, &self.recorder.stamp());
            self.captured.push(capture.keep(Fate::Pending, body));
        }
        let limits = &self.recorder.config().limits;
        let size = event.size_hint();
        if self.held.len() < limits.transaction_events && self.bytes + size <= limits.transaction_bytes {
            self.bytes += size;
            self.held.push(event);
        } else {
            self.fold(event);
        }
        Recorded::Held
    }

    /// Holds an event that says more about a change than its writer could, in the place of the newest held change of the same resource that
    /// it can be about ([`Event::is_about`]): one of the row itself, else one of its links.
    ///
    /// The two become one when the transaction ends ([`Event::superseding`]). A savepoint that is rolled
    /// back in between takes this one along and leaves the earlier as it was. Without such a change, or beyond the bounds, it is held
    /// like any other.
    pub fn supersede(&mut self, event: Event) -> Recorded {
        self.forget_parents_events();
        let earlier = self.superseding.newest_change(&self.held, &event);
        let at = self.held.len();
        let recorded = self.record(event);
        if self.held.len() > at {
            self.superseding.push(&self.held, at, earlier);
            if let Some(earlier) = earlier {
                self.supersede_captured(at, earlier);
            }
        }
        recorded
    }

    /// Shows whoever looks at a capture the two as the one that they will be.
    fn supersede_captured(&mut self, later: usize, earlier: usize) {
        let Some(capture) = self.recorder.capture() else { return };
        // With folded events the places differ; then both are shown.
        if self.captured.len() == self.held.len() {
            let merged = self.held[later].clone().superseding(self.held[earlier].clone());
            capture.replace(self.captured[later], self.recorder.captured_body(&merged, &self.recorder.stamp()));
            capture.settle(&[self.captured[earlier]], Fate::RolledBack);
            self.superseded.push((later, earlier, std::mem::replace(&mut self.captured[earlier], u64::MAX)));
        }
    }

    /// Shows the earlier events again whose later ones are rolled back.
    fn restore_captured(&mut self, kept: usize) {
        while let Some((_, earlier, number)) = self.superseded.pop_if(|&mut (later, ..)| later >= kept) {
            self.captured[earlier] = number;
            self.settle(&[number], Fate::Pending);
        }
    }

    /// Asks for this evidence of the COMMIT, or a stronger one that was asked for before. It holds until the transaction ends, whichever
    /// savepoints are rolled back.
    pub fn require(&mut self, evidence: Evidence) {
        self.forget_parents_events();
        self.evidence = self.evidence.max(evidence);
    }

    /// What was asked for.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// Makes room for so many events that are about to be held, so that they are not moved while it fills.
    pub fn reserve(&mut self, events: usize) {
        let room = self.recorder.config().limits.transaction_events.saturating_sub(self.held.len());
        // Exactly for the first ones: most writes outside of a transaction are one row.
        if self.held.is_empty() { self.held.reserve_exact(events.min(room)) } else { self.held.reserve(events.min(room)) }
    }

    /// How many events are held; folded ones count once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len() + self.folds.len() - self.superseding.merged()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a savepoint scope. Names may repeat; the newest one counts.
    pub fn savepoint(&mut self, name: &str) {
        self.forget_parents_events();
        let folds = self.folds.iter().map(|fold| (fold.count, fold.ids.len())).collect();
        self.savepoints.push(Savepoint { name: name.to_owned(), held: self.held.len(), folds, captured: self.captured.len() });
    }

    /// Closes a savepoint scope and keeps its events: RELEASE SAVEPOINT.
    pub fn release(&mut self, name: &str) {
        if let Some(at) = self.find(name) {
            self.savepoints.truncate(at);
        }
    }

    /// Takes back every event since the savepoint, which stays: ROLLBACK TO SAVEPOINT. What the policy keeps is recorded as `aborted`.
    pub fn rollback_to(&mut self, name: &str) {
        self.forget_parents_events();
        let Some(at) = self.find(name) else { return };
        self.savepoints.truncate(at + 1);
        self.restore_captured(self.savepoints[at].held);
        let savepoint = &self.savepoints[at];
        let taken_back = self.held.split_off(savepoint.held);
        self.superseding.take_back(&self.held, &taken_back);
        let uncaptured = self.captured.split_off(savepoint.captured);
        self.folds.truncate(savepoint.folds.len());
        for (fold, &(count, ids)) in self.folds.iter_mut().zip(&savepoint.folds) {
            fold.count = count;
            fold.ids.truncate(ids);
        }
        self.bytes = self.bytes.saturating_sub(taken_back.iter().map(Event::size_hint).sum());
        self.settle(&uncaptured, Fate::RolledBack);
        self.keep_aborted(taken_back);
    }

    /// Journals INTENT with all held events; `None` when there are none. The transaction is empty afterwards, whatever is returned.
    ///
    /// # Errors
    /// [`Refused`] when it could not be journaled in time and an event is `OnFailure::Required`: roll back instead of committing.
    pub fn prepare(&mut self) -> Result<Option<Intent>, Refused> {
        let (events, captured, evidence) = self.take_all();
        if events.is_empty() {
            return Ok(None);
        }
        Intent::journal(&self.recorder, &self.alias, events, captured, evidence).map(Some)
    }

    /// Makes a payload of all held events for a row of the outbox, and journals nothing; `None` when there are none. The transaction is
    /// empty afterwards, whatever is returned.
    ///
    /// The row is written in the same transaction, so that it is there if and only if that is committed; [`Recorder::append_outbox`]
    /// takes it from there. The intent has no position: told *committed* it does nothing, told *rolled back* it records what the policy
    /// keeps as `aborted`. Where events are captured, the payload is empty and no row is to be written.
    ///
    /// # Errors
    /// [`Refused`] when the events cannot be encoded and one of them is `OnFailure::Required`. Otherwise they are counted as lost, and the
    /// answer is `None`.
    pub fn seal(&mut self) -> Result<Option<(Intent, Vec<u8>)>, Refused> {
        let (events, captured, _) = self.take_all();
        if events.is_empty() {
            return Ok(None);
        }
        Intent::seal(&self.recorder, &self.alias, events, captured)
    }

    fn take_all(&mut self) -> (Vec<Event>, Vec<u64>, Evidence) {
        self.forget_parents_events();
        let evidence = self.evidence;
        (self.take(), std::mem::take(&mut self.captured), evidence)
    }

    /// Drops what is held: ROLLBACK. What the policy keeps is recorded with outcome `aborted`.
    pub fn rollback(&mut self) {
        self.forget_parents_events();
        let events = self.take();
        let captured = std::mem::take(&mut self.captured);
        self.settle(&captured, Fate::RolledBack);
        self.keep_aborted(events);
    }

    fn settle(&self, captured: &[u64], fate: Fate) {
        if let Some(capture) = self.recorder.capture() {
            capture.settle(captured, fate);
        }
    }

    fn keep_aborted(&self, events: Vec<Event>) {
        for event in events.into_iter().filter(|event| self.recorder.keeps(event)) {
            record_aborted(&self.recorder, event);
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|savepoint| savepoint.name == name)
    }

    fn fold(&mut self, event: Event) {
        let id = event.resource.as_ref().and_then(|resource| resource.id.as_deref()).map(Json::string);
        let alike = |fold: &&mut Fold| fold.event.action == event.action && type_of(&fold.event) == type_of(&event);
        match self.folds.iter_mut().find(alike) {
            Some(fold) => fold.add(id),
            None => {
                let mut fold = Fold { event, count: 0, ids: Vec::new() };
                fold.event.changes = indelible_core::Changes::default();
                fold.add(id);
                self.folds.push(fold);
            }
        }
    }

    fn take(&mut self) -> Vec<Event> {
        self.savepoints.clear();
        self.superseded.clear();
        self.evidence = Evidence::Ack;
        self.bytes = 0;
        let mut events = self.superseding.merge(std::mem::take(&mut self.held));
        events.extend(self.folds.drain(..).map(Fold::into_event));
        events
    }

    fn forget_parents_events(&mut self) {
        let process = std::process::id();
        if self.process != process {
            self.process = process;
            self.take();
            self.captured.clear();
        }
    }
}

fn type_of(event: &Event) -> Option<&str> {
    event.resource.as_ref().map(|resource| resource.r#type.as_str())
}

impl Fold {
    fn add(&mut self, id: Option<Json>) {
        self.count += 1;
        if self.ids.len() < FOLDED_IDS_MAX {
            self.ids.extend(id);
        }
    }

    fn into_event(self) -> Event {
        let mut event = self.event;
        if let Some(resource) = &mut event.resource {
            resource.id = None;
            resource.label = None;
        }
        event.changes.push_statement(Some(self.count), &self.ids, None, &[]);
        event.notes.push("folded: the transaction reached its bound of held events".to_owned());
        event
    }
}
