//! What can happen, step by step. Each step is one durable act; two that nobody can see between are one.

use stateright::{Model, Property};

use crate::properties;
use crate::state::{
    ATTEMPTS, Agent, Answers, Database, Faults, Frame, INTENTS, Intent, Outcome, Phase, Resolver, Resolving, Row, STREAMS, Sent, Set,
    State, Stream, TRANSACTIONS, Teller, WRITERS, Writer,
};

/// A protocol that somebody could have built instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// An intent is fenced because it is old enough, though its process lives.
    FenceTheLiving,
    /// A fence that inserts nothing takes the row for that of a commit.
    TrustTheConflict,
    /// A marker is believed before it is on the database's disk.
    TrustTheUnwritten,
    /// A marker is deleted for its age alone.
    CleanUpBeforeHighWater,
    /// OUTCOME is written before COMMIT.
    OutcomeBeforeCommit,
    /// A transaction that is tried again keeps its intent.
    ReuseTheIntent,
    /// A COMMIT whose answer was lost is told as rolled back.
    LostAnswerIsRollback,
    /// OUTCOME is written before the fence is committed.
    OutcomeBeforeFence,
    /// A resolver fences whatever is listed, however old.
    FenceTheOld,
    /// The age of an intent is counted from when the agent read it.
    AgeFromIngest,
    /// A sequence that was passed over counts as ingested.
    GapCountsAsIngested,
}

/// One protocol under a number of faults.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    /// Writing processes that do anything.
    pub(crate) writers: usize,
    pub(crate) transactions: u8,
    pub(crate) faults: Faults,
    /// Whether the database loses commits of the last moment when it crashes.
    pub(crate) asynchronous: bool,
    pub(crate) bug: Option<Bug>,
}

/// One step. The number is that of a writer, of a stream or of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    WriteIntent(u8),
    InsertMarker(u8),
    Commit(u8),
    FailCommit(u8),
    WriteOutcome(u8),
    KillWriter(u8, Sent),
    ExecuteSent(u8),
    DropConnection(u8),
    Ingest(u8),
    Doubt(u8),
    WriteAnswers,
    Pick(Intent),
    Fence(Intent),
    CommitFence(Intent),
    Answer(Intent),
    KillResolver { fence_commits: bool },
    StartResolver,
    CleanUp(Intent),
    ReportMarker(Intent),
    ReportLost(Intent),
    Flush,
    CrashDatabase { answers_lost: bool },
    LosePower { kept: [u8; WRITERS], torn: bool },
    DayPasses,
}

fn intent_of(writer: usize, transaction: u8, attempt: u8) -> Intent {
    writer as u8 * TRANSACTIONS * ATTEMPTS + transaction * ATTEMPTS + attempt
}

pub(crate) fn writer_of(intent: Intent) -> usize {
    usize::from(intent / (TRANSACTIONS * ATTEMPTS))
}

/// Intents that have neither an OUTCOME nor leaves.
fn waiting(state: &State) -> impl Iterator<Item = Intent> {
    state.agent.pending.without(state.agent.in_doubt).iter()
}

impl Protocol {
    /// Whether some step looks at sequences; without one they would only multiply states.
    fn counts(&self) -> bool {
        self.faults.days > 0 || self.faults.power_losses > 0
    }

    /// Whether the agent reads what a writer writes in the same step. When it reads a stream shows in `answers.json` alone, which is as old
    /// as it likes anyway; where sequences, or commits that can be lost, count, it is a step of its own.
    fn reads_at_once(&self) -> bool {
        !self.counts() && !self.asynchronous && self.bug.is_none()
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn intent(&self, state: &State, writer: usize) -> Intent {
        let Writer { transaction, attempt, .. } = state.writers[writer];
        intent_of(writer, transaction, if self.has(Bug::ReuseTheIntent) { 0 } else { attempt })
    }

    /// Steps that the parts of the system take by themselves.
    pub(crate) fn progress(&self, state: &State, steps: &mut Vec<Step>) {
        (0..self.writers).for_each(|writer| self.writer_steps(state, writer, steps));
        self.agent_steps(state, steps);
        self.resolver_steps(state, steps);
        if !state.database.unflushed.is_empty() {
            steps.push(Step::Flush);
        }
    }

    fn writer_steps(&self, state: &State, writer: usize, steps: &mut Vec<Step>) {
        let (number, intent) = (writer as u8, self.intent(state, writer));
        let key_is_free = state.database.fencing != Some(intent);
        match state.writers[writer].phase {
            Phase::Open => steps.push(Step::WriteIntent(number)),
            Phase::Announced if key_is_free => steps.push(Step::InsertMarker(number)),
            Phase::Marked => steps.push(Step::Commit(number)),
            Phase::Committed | Phase::Failed | Phase::Unknown => steps.push(Step::WriteOutcome(number)),
            Phase::Dead(sent) => {
                if sent == Sent::Commit || sent == Sent::MarkerAndCommit && key_is_free {
                    steps.push(Step::ExecuteSent(number));
                }
                if sent != Sent::Nothing || state.database.held.has(intent) {
                    steps.push(Step::DropConnection(number));
                }
            }
            Phase::Announced | Phase::Done => {}
        }
    }

    fn agent_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let unread = (0..STREAMS).filter(|&stream| !state.streams[stream].unread.is_empty());
        steps.extend(unread.map(|stream| Step::Ingest(stream as u8)));
        let is_due = |writer: &usize| state.streams[*writer].has_ended() && waiting(state).any(|intent| writer_of(intent) == *writer);
        steps.extend((0..WRITERS).filter(is_due).map(|writer| Step::Doubt(writer as u8)));
        if state.answers.as_ref() != Some(&self.answers(state)) {
            steps.push(Step::WriteAnswers);
        }
    }

    fn answers(&self, state: &State) -> Answers {
        let of = |writer: usize| &state.streams[writer];
        let ended = [of(0).has_ended(), of(1).has_ended()];
        let mut unresolved = state.agent.pending;
        for intent in state.agent.pending.iter() {
            if !ended[writer_of(intent)] && !self.has(Bug::FenceTheLiving) {
                unresolved.remove(intent);
            }
        }
        let high_waters = [of(0).high_water, of(1).high_water];
        let ended = if self.counts() { ended } else { Default::default() };
        Answers { high_waters, gaps: [of(0).gap, of(1).gap], ended, unresolved }
    }

    fn resolver_steps(&self, state: &State, steps: &mut Vec<Step>) {
        match state.resolver.at {
            Resolving::Idle => self.idle_resolver_steps(state, steps),
            // While the key is held by a transaction that has not ended, the fence times out; it is tried again.
            Resolving::Picked(intent) if !state.database.held.has(intent) => steps.push(Step::Fence(intent)),
            Resolving::Picked(_) => {}
            Resolving::Fencing(intent) => {
                steps.push(Step::CommitFence(intent));
                if self.has(Bug::OutcomeBeforeFence) {
                    steps.push(Step::Answer(intent));
                }
            }
            Resolving::Knows(intent, _) => steps.push(Step::Answer(intent)),
            Resolving::Dead => steps.push(Step::StartResolver),
        }
    }

    fn idle_resolver_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let Some(answers) = &state.answers else { return };
        let too_old = if self.has(Bug::AgeFromIngest) { state.old.without(state.ingested_old) } else { state.old };
        let too_old = if self.has(Bug::FenceTheOld) { Set::default() } else { too_old };
        let candidates = answers.unresolved.without(too_old).without(state.resolver.answered);
        // In the order of the list.
        steps.extend(candidates.iter().next().map(Step::Pick));
        if self.counts() {
            self.keeping_steps(state, answers, steps);
        }
        let stored = state.agent.claimed().without(state.old).without(state.agent.lost_by_database);
        let lost = stored.iter().filter(|&intent| state.database.rows[usize::from(intent)].is_none());
        steps.extend(lost.map(Step::ReportLost));
    }

    /// Clean-up, and the half of the reconciler that looks at markers.
    fn keeping_steps(&self, state: &State, answers: &Answers, steps: &mut Vec<Step>) {
        for intent in (0..INTENTS as u8).filter(|&intent| state.database.rows[usize::from(intent)].is_some()) {
            let is_stored = self.is_stored(state, answers, intent);
            if state.old.has(intent) && (is_stored || self.has(Bug::CleanUpBeforeHighWater)) {
                steps.push(Step::CleanUp(intent));
            }
            let is_commit = state.database.rows[usize::from(intent)] == Some(Row::Committed);
            if is_commit && !is_stored && answers.ended[writer_of(intent)] && !state.agent.without_record.has(intent) {
                steps.push(Step::ReportMarker(intent));
            }
        }
    }

    /// Whether `answers.json` says that the INTENT of this marker is in the trail.
    fn is_stored(&self, state: &State, answers: &Answers, intent: Intent) -> bool {
        let (writer, sequence) = (writer_of(intent), state.database.sequences[usize::from(intent)]);
        let is_gap = answers.gaps[writer] && answers.high_waters[writer] == sequence && !self.has(Bug::GapCountsAsIngested);
        answers.high_waters[writer] >= sequence && !is_gap
    }

    fn faults(&self, state: &State, steps: &mut Vec<Step>) {
        let left = state.left;
        for (number, writer) in (0..).zip(&state.writers[..self.writers]) {
            let sent: &[Sent] = match writer.phase {
                Phase::Dead(_) | Phase::Done => continue,
                Phase::Announced => &[Sent::Nothing, Sent::MarkerAndCommit],
                Phase::Marked => &[Sent::Nothing, Sent::Commit],
                _ => &[Sent::Nothing],
            };
            if left.writer_kills > 0 {
                steps.extend(sent.iter().map(|&sent| Step::KillWriter(number, sent)));
            }
            if left.failed_commits > 0 && writer.phase == Phase::Marked {
                steps.push(Step::FailCommit(number));
            }
        }
        if left.slow_transactions > 0 {
            // Whoever has not read a stream to its end may still find the OUTCOME there.
            let is_read = |writer: &usize| state.streams[*writer].live && state.streams[*writer].unread.is_empty();
            let is_due = |writer: &usize| is_read(writer) && waiting(state).any(|intent| writer_of(intent) == *writer);
            steps.extend((0..WRITERS).filter(is_due).map(|writer| Step::Doubt(writer as u8)));
        }
        // One that has done nothing yet is as good as the next.
        let is_fresh = matches!(state.resolver.at, Resolving::Idle | Resolving::Picked(_)) && state.resolver.answered.is_empty();
        if left.resolver_kills > 0 && state.resolver.at != Resolving::Dead && !is_fresh {
            steps.push(Step::KillResolver { fence_commits: false });
            if matches!(state.resolver.at, Resolving::Fencing(_)) {
                steps.push(Step::KillResolver { fence_commits: true });
            }
        }
        if left.database_crashes > 0 {
            steps.push(Step::CrashDatabase { answers_lost: false });
            if state.writers.iter().any(|writer| writer.phase == Phase::Committed) {
                steps.push(Step::CrashDatabase { answers_lost: true });
            }
        }
        // A day is long: what a dead process had sent was executed or refused.
        if left.days > 0 && state.writers.iter().all(|writer| !matches!(writer.phase, Phase::Dead(Sent::Commit | Sent::MarkerAndCommit))) {
            steps.push(Step::DayPasses);
        }
        if left.power_losses > 0 {
            power_losses(state, steps);
        }
        if left.repeated_answers > 0 && state.resolver.at == Resolving::Idle {
            steps.extend(state.resolver.answered.iter().map(Step::Pick));
        }
    }
}

/// Each way in which the unread ends of the journals can be lost.
fn power_losses(state: &State, steps: &mut Vec<Step>) {
    let unread = |writer: usize| state.streams[writer].unread.len() as u8;
    for kept in (0..=unread(0)).flat_map(|first| (0..=unread(1)).map(move |second| [first, second])) {
        steps.push(Step::LosePower { kept, torn: false });
        if kept != [unread(0), unread(1)] {
            steps.push(Step::LosePower { kept, torn: true });
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut streams: [Stream; STREAMS] = Default::default();
        (0..=WRITERS).for_each(|stream| streams[stream].live = true);
        let mut writers = [Writer { transaction: 0, attempt: 0, phase: Phase::Open }; WRITERS];
        writers[self.writers..].iter_mut().for_each(|writer| writer.phase = Phase::Done);
        vec![State {
            writers,
            streams,
            database: Database::default(),
            agent: Agent::default(),
            answers: None,
            resolver: Resolver { at: Resolving::Idle, life: 0, answered: Set::default() },
            left: self.faults,
            old: Set::default(),
            ingested_old: Set::default(),
            refused: Set::default(),
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.progress(state, steps);
        self.faults(state, steps);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        // Only now: the properties have looked at this state with everything in it.
        self.forget(&mut next);
        self.take(&mut next, step);
        for writer in (0..WRITERS).filter(|_| self.reads_at_once()) {
            while !next.streams[writer].unread.is_empty() {
                self.ingest(&mut next, writer);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all().into_iter().chain(properties::traps()).collect()
    }
}

impl Protocol {
    /// Drops what is known of intents that nothing will name again, so that two histories with the same future are one state.
    fn forget(&self, state: &mut State) {
        for intent in (0..INTENTS as u8).filter(|&intent| self.is_over(state, intent)).collect::<Vec<_>>() {
            state.database.forget(intent);
            state.agent.forget(intent);
            state.resolver.answered.remove(intent);
        }
    }

    fn is_over(&self, state: &State, intent: Intent) -> bool {
        let writer = writer_of(intent);
        let is_past = match state.writers[writer].phase {
            Phase::Done | Phase::Dead(Sent::Nothing) => true,
            _ => intent < self.intent(state, writer) && !self.has(Bug::ReuseTheIntent),
        };
        let names = |frame: &Frame| matches!(*frame, Frame::Intent(named) | Frame::Outcome(named, ..) if named == intent);
        let is_listed = state.answers.as_ref().is_some_and(|answers| answers.unresolved.has(intent));
        let (database, agent) = (&state.database, &state.agent);
        let is_told = !agent.claimed().has(intent) || database.committed.has(intent) || agent.lost_by_database.has(intent);
        is_past
            && is_told
            && !self.counts()
            && !is_listed
            && !agent.pending.has(intent)
            && !database.held.has(intent)
            && !database.unflushed.has(intent)
            && !state.resolver.at.is_about(intent)
            && !state.streams.iter().any(|stream| stream.unread.iter().any(names))
    }

    fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::WriteIntent(writer) => self.write_intent(state, usize::from(writer)),
            Step::InsertMarker(writer) => self.insert_marker(state, usize::from(writer)),
            Step::Commit(writer) => self.commit(state, usize::from(writer)),
            Step::FailCommit(writer) => self.fail_commit(state, usize::from(writer)),
            Step::WriteOutcome(writer) => self.write_outcome(state, usize::from(writer)),
            Step::KillWriter(writer, sent) => self.kill_writer(state, usize::from(writer), sent),
            Step::ExecuteSent(writer) => self.execute_sent(state, usize::from(writer)),
            Step::DropConnection(writer) => self.drop_connection(state, usize::from(writer)),
            Step::Ingest(stream) => self.ingest(state, usize::from(stream)),
            Step::Doubt(writer) => doubt(state, usize::from(writer)),
            Step::WriteAnswers => state.answers = Some(self.answers(state)),
            Step::Pick(intent) => pick(state, intent),
            Step::Fence(intent) => self.fence(state, intent),
            Step::CommitFence(intent) => commit_fence(state, intent),
            Step::Answer(intent) => answer(state, intent),
            Step::KillResolver { fence_commits } => kill_resolver(state, fence_commits),
            Step::StartResolver => start_resolver(state),
            Step::CleanUp(intent) => state.database.rows[usize::from(intent)] = None,
            Step::ReportMarker(intent) => state.agent.without_record.add(intent),
            Step::ReportLost(intent) => state.agent.lost_by_database.add(intent),
            Step::Flush => state.database.unflushed = Set::default(),
            Step::CrashDatabase { answers_lost } => self.crash_database(state, answers_lost),
            Step::LosePower { kept, torn } => lose_power(state, kept, torn),
            Step::DayPasses => day_passes(state),
        }
    }

    fn write_intent(&self, state: &mut State, writer: usize) {
        let intent = self.intent(state, writer);
        let Stream { unread, high_water, .. } = &mut state.streams[writer];
        unread.push_back(Frame::Intent(intent));
        if self.counts() {
            state.database.sequences[usize::from(intent)] = *high_water + unread.len() as u8;
        }
        state.writers[writer].phase = Phase::Announced;
        if self.has(Bug::OutcomeBeforeCommit) {
            unread.push_back(Frame::Outcome(intent, Outcome::Committed, Teller::Process));
        }
    }

    fn insert_marker(&self, state: &mut State, writer: usize) {
        let intent = self.intent(state, writer);
        if state.database.rows[usize::from(intent)].is_some() {
            if state.database.rows[usize::from(intent)] == Some(Row::Fenced) {
                state.refused.add(intent);
            }
            state.writers[writer].phase = Phase::Failed;
        } else {
            state.database.held.add(intent);
            state.writers[writer].phase = Phase::Marked;
        }
    }

    /// What the database does when COMMIT reaches it.
    fn make_true(&self, database: &mut Database, intent: Intent) {
        database.held.remove(intent);
        database.rows[usize::from(intent)] = Some(Row::Committed);
        database.committed.add(intent);
        database.ever_committed.add(intent);
        if self.asynchronous {
            database.unflushed.add(intent);
        }
    }

    fn commit(&self, state: &mut State, writer: usize) {
        let intent = self.intent(state, writer);
        self.make_true(&mut state.database, intent);
        state.writers[writer].phase = Phase::Committed;
    }

    fn fail_commit(&self, state: &mut State, writer: usize) {
        let intent = self.intent(state, writer);
        state.left.failed_commits -= 1;
        state.database.held.remove(intent);
        state.writers[writer].phase = Phase::Failed;
    }

    fn write_outcome(&self, state: &mut State, writer: usize) {
        let intent = self.intent(state, writer);
        let phase = state.writers[writer].phase;
        let outcome = match phase {
            Phase::Committed => Some(Outcome::Committed),
            Phase::Failed => Some(Outcome::RolledBack),
            _ if self.has(Bug::LostAnswerIsRollback) => Some(Outcome::RolledBack),
            _ => None,
        };
        let outcome = outcome.filter(|_| !self.has(Bug::OutcomeBeforeCommit));
        state.streams[writer].unread.extend(outcome.map(|outcome| Frame::Outcome(intent, outcome, Teller::Process)));
        self.go_on(state, writer, phase == Phase::Committed);
    }

    /// The next attempt, or the next transaction.
    fn go_on(&self, state: &mut State, writer: usize, succeeded: bool) {
        let Writer { transaction, attempt, phase } = &mut state.writers[writer];
        *phase = Phase::Open;
        if !succeeded && *attempt + 1 < ATTEMPTS {
            *attempt += 1;
        } else if *transaction + 1 < self.transactions {
            *transaction += 1;
            *attempt = 0;
        } else {
            *phase = Phase::Done;
            state.streams[writer].live = false;
        }
    }

    fn kill_writer(&self, state: &mut State, writer: usize, sent: Sent) {
        state.left.writer_kills -= 1;
        state.writers[writer].phase = Phase::Dead(sent);
        state.streams[writer].live = false;
    }

    fn execute_sent(&self, state: &mut State, writer: usize) {
        let intent = self.intent(state, writer);
        if state.database.held.has(intent) || state.database.rows[usize::from(intent)].is_none() {
            self.make_true(&mut state.database, intent);
        }
        state.writers[writer].phase = Phase::Dead(Sent::Nothing);
    }

    fn drop_connection(&self, state: &mut State, writer: usize) {
        let intent = self.intent(state, writer);
        state.database.held.remove(intent);
        state.writers[writer].phase = Phase::Dead(Sent::Nothing);
    }

    fn fence(&self, state: &mut State, intent: Intent) {
        let row = state.database.rows[usize::from(intent)];
        state.resolver.at = match row {
            None => {
                state.database.fencing = Some(intent);
                Resolving::Fencing(intent)
            }
            Some(Row::Fenced) if !self.has(Bug::TrustTheConflict) => Resolving::Knows(intent, Outcome::RolledBack),
            Some(_) => {
                // The row is written to, so that it is on the disk with all before it.
                if !self.has(Bug::TrustTheUnwritten) {
                    state.database.unflushed = Set::default();
                }
                Resolving::Knows(intent, Outcome::Committed)
            }
        };
    }

    fn ingest(&self, state: &mut State, stream: usize) {
        let Stream { unread, high_water, gap, .. } = &mut state.streams[stream];
        let Some(frame) = unread.pop_front() else { return };
        if self.counts() {
            *high_water += 1;
            *gap = frame == Frame::Torn;
        }
        match frame {
            Frame::Intent(intent) => {
                // One of the same id that waits already is a corrupt record, and stays the one that waits.
                if state.agent.pending.has(intent) {
                    return;
                }
                state.agent.pending.add(intent);
                if state.old.has(intent) {
                    state.ingested_old.add(intent);
                }
                if let Some((outcome, teller)) = state.agent.orphans[usize::from(intent)].take() {
                    apply(&mut state.agent, intent, outcome, teller);
                }
            }
            Frame::Outcome(intent, outcome, teller) => apply(&mut state.agent, intent, outcome, teller),
            Frame::Torn => {}
        }
    }

    /// Everything that was not committed is gone; whoever waits for an answer gets an error.
    fn crash_database(&self, state: &mut State, answers_lost: bool) {
        state.left.database_crashes -= 1;
        let database = &mut state.database;
        database.held = Set::default();
        database.fencing = None;
        for intent in std::mem::take(&mut database.unflushed).iter() {
            database.rows[usize::from(intent)] = None;
            database.committed.remove(intent);
        }
        for writer in &mut state.writers {
            writer.phase = match writer.phase {
                Phase::Marked => Phase::Unknown,
                Phase::Committed if answers_lost => Phase::Unknown,
                Phase::Dead(_) => Phase::Dead(Sent::Nothing),
                phase => phase,
            };
        }
        if matches!(state.resolver.at, Resolving::Fencing(_)) {
            state.resolver.at = Resolving::Idle;
        }
    }
}

/// All of a stream at once: they have waited for the same moment.
fn doubt(state: &mut State, writer: usize) {
    if state.streams[writer].live {
        state.left.slow_transactions -= 1;
    }
    let due: Vec<Intent> = waiting(state).filter(|&intent| writer_of(intent) == writer).collect();
    due.into_iter().for_each(|intent| state.agent.in_doubt.add(intent));
}

/// An OUTCOME meets what the agent knows: the first decides, a further one changes nothing.
fn apply(agent: &mut Agent, intent: Intent, outcome: Outcome, teller: Teller) {
    if !agent.pending.has(intent) {
        let decided =
            agent.claimed().has(intent).then_some(Outcome::Committed).or(agent.denied().has(intent).then_some(Outcome::RolledBack));
        match decided {
            Some(decided) if decided == outcome => agent.repeated = true,
            Some(_) => agent.contradicted.add(intent),
            None => {
                agent.orphans[usize::from(intent)].get_or_insert((outcome, teller));
            }
        }
        return;
    }
    agent.pending.remove(intent);
    let told = match (agent.in_doubt.has(intent), outcome, teller) {
        (false, Outcome::Committed, Teller::Process) => &mut agent.committed,
        (false, Outcome::Committed, Teller::Marker) => &mut agent.committed_by_marker,
        (false, Outcome::RolledBack, _) => &mut agent.dropped,
        (true, Outcome::Committed, _) => &mut agent.resolved_committed,
        (true, Outcome::RolledBack, _) => &mut agent.resolved_rolled_back,
    };
    let is_second = told.has(intent);
    told.add(intent);
    if is_second {
        agent.doubled.add(intent);
    }
}

fn pick(state: &mut State, intent: Intent) {
    if state.resolver.answered.has(intent) {
        state.left.repeated_answers -= 1;
    }
    state.resolver.at = Resolving::Picked(intent);
}

/// The fence is durable whatever the database does with other commits (`SET LOCAL synchronous_commit = on`), and with it all before it.
fn commit_fence(state: &mut State, intent: Intent) {
    state.database.fencing = None;
    state.database.unflushed = Set::default();
    state.database.rows[usize::from(intent)] = Some(Row::Fenced);
    state.database.ever_fenced.add(intent);
    state.resolver.at = Resolving::Knows(intent, Outcome::RolledBack);
}

fn answer(state: &mut State, intent: Intent) {
    let outcome = match state.resolver.at {
        Resolving::Knows(_, outcome) => outcome,
        _ => Outcome::RolledBack,
    };
    let stream = WRITERS + usize::from(state.resolver.life);
    state.streams[stream].unread.push_back(Frame::Outcome(intent, outcome, Teller::Marker));
    state.resolver.answered.add(intent);
    // Only a resolver that answers too early has its fence still open here.
    state.resolver.at = Resolving::Idle;
    state.database.fencing = None;
}

fn kill_resolver(state: &mut State, fence_commits: bool) {
    state.left.resolver_kills -= 1;
    end_resolver(state, fence_commits);
}

fn end_resolver(state: &mut State, fence_commits: bool) {
    if let Some(intent) = state.database.fencing.take()
        && fence_commits
    {
        state.database.rows[usize::from(intent)] = Some(Row::Fenced);
        state.database.ever_fenced.add(intent);
    }
    state.streams[WRITERS + usize::from(state.resolver.life)].live = false;
    state.resolver.at = Resolving::Dead;
}

fn start_resolver(state: &mut State) {
    let life = state.resolver.life + 1;
    state.resolver = Resolver { at: Resolving::Idle, life, answered: Set::default() };
    state.streams[WRITERS + usize::from(life)].live = true;
}

/// The machine of the application is gone, and with it what its kernel had not written. The database is another machine.
fn lose_power(state: &mut State, kept: [u8; WRITERS], torn: bool) {
    state.left.power_losses -= 1;
    for (writer, kept) in (0..).zip(kept) {
        let stream = &mut state.streams[writer];
        let loses = usize::from(kept) < stream.unread.len();
        stream.unread.truncate(usize::from(kept));
        if torn && loses {
            stream.unread.push_back(Frame::Torn);
        }
        stream.live = false;
        let writer = &mut state.writers[writer];
        writer.phase = match writer.phase {
            Phase::Done | Phase::Dead(_) => writer.phase,
            Phase::Marked => Phase::Dead(Sent::Commit),
            _ => Phase::Dead(Sent::Nothing),
        };
    }
    state.streams[WRITERS + usize::from(state.resolver.life)].unread.clear();
    if state.resolver.at != Resolving::Dead {
        end_resolver(state, false);
    }
}

fn day_passes(state: &mut State) {
    state.left.days -= 1;
    for (number, writer) in state.writers.iter().enumerate() {
        let now = intent_of(number, writer.transaction, writer.attempt);
        let has_announced = writer.phase != Phase::Open;
        (0..INTENTS as u8)
            .filter(|&intent| writer_of(intent) == number && (intent < now || intent == now && has_announced))
            .for_each(|intent| state.old.add(intent));
    }
}
