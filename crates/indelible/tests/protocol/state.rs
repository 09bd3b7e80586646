//! What the model remembers: the smallest set of facts on which the verdict of an intent can depend.

use std::collections::VecDeque;

/// Writing processes.
pub(crate) const WRITERS: usize = 2;
/// Transactions that each of them wants to commit.
pub(crate) const TRANSACTIONS: u8 = 2;
/// How often one transaction is tried.
pub(crate) const ATTEMPTS: u8 = 2;
/// Intents that can exist: one for each attempt.
pub(crate) const INTENTS: usize = WRITERS * (TRANSACTIONS * ATTEMPTS) as usize;
/// Streams: one for each writer, one for each life of the resolver.
pub(crate) const STREAMS: usize = WRITERS + 3;

/// Number of an intent.
pub(crate) type Intent = u8;

/// A set of intents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Set(u8);

impl Set {
    pub(crate) fn has(self, intent: Intent) -> bool {
        self.0 & (1 << intent) != 0
    }

    pub(crate) fn add(&mut self, intent: Intent) {
        self.0 |= 1 << intent;
    }

    pub(crate) fn remove(&mut self, intent: Intent) {
        self.0 &= !(1 << intent);
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Intent> {
        (0..INTENTS as u8).filter(move |&intent| self.has(intent))
    }
}

/// What became of an intent, as an OUTCOME says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Committed,
    RolledBack,
}

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Teller {
    Process,
    Marker,
}

/// A frame of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    Intent(Intent),
    Outcome(Intent, Outcome, Teller),
    /// Half a frame, which ends the stream: the agent passes over its sequence and says so.
    Torn,
}

/// The journal of one process, from where the agent is in it. What was read is gone, as its segments are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Stream {
    pub(crate) unread: VecDeque<Frame>,
    /// Whether its process holds the lock.
    pub(crate) live: bool,
    /// The agent's high-water; 0 where no step looks at it.
    pub(crate) high_water: u8,
    /// Whether the last sequence that was passed was none that could be read.
    pub(crate) gap: bool,
}

impl Stream {
    pub(crate) fn has_ended(&self) -> bool {
        !self.live && self.unread.is_empty()
    }
}

/// Where a writer is with its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Changes are held in memory.
    Open,
    /// INTENT is in the journal.
    Announced,
    /// The marker is inserted and nothing is committed.
    Marked,
    /// The database has said that it is committed.
    Committed,
    /// The database has said that it is not.
    Failed,
    /// The connection was lost while COMMIT was under way.
    Unknown,
    /// There is nothing more to write.
    Done,
    /// The process was killed; what it had sent may still reach the database.
    Dead(Sent),
}

/// What a killed process had sent and the database has not yet executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sent {
    Nothing,
    /// The marker is inserted, and COMMIT is under way.
    Commit,
    /// Both are under way, as with a pipeline.
    MarkerAndCommit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    pub(crate) transaction: u8,
    pub(crate) attempt: u8,
    pub(crate) phase: Phase,
}

/// A committed row of the marker table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    Committed,
    Fenced,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Database {
    /// The marker table.
    pub(crate) rows: [Option<Row>; INTENTS],
    /// Sequence of each intent, as its marker says; 0 where no step looks at it.
    pub(crate) sequences: [u8; INTENTS],
    /// Whose key an open transaction of its writer holds.
    pub(crate) held: Set,
    /// The key that an open fence holds.
    pub(crate) fencing: Option<Intent>,
    /// The truth: transactions whose changes are in the database.
    pub(crate) committed: Set,
    /// Transactions that the database has ever said to be committed.
    pub(crate) ever_committed: Set,
    /// Intents that were ever fenced.
    pub(crate) ever_fenced: Set,
    /// Commits that a crash of the database may still lose (`synchronous_commit = off`).
    pub(crate) unflushed: Set,
}

impl Database {
    pub(crate) fn forget(&mut self, intent: Intent) {
        self.rows[usize::from(intent)] = None;
        [&mut self.committed, &mut self.ever_committed, &mut self.ever_fenced].into_iter().for_each(|set| set.remove(intent));
    }
}

/// What the trail says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Agent {
    /// INTENTs without OUTCOME, the ones in doubt included.
    pub(crate) pending: Set,
    /// OUTCOMEs without INTENT.
    pub(crate) orphans: [Option<(Outcome, Teller)>; INTENTS],
    /// Leaves with verdict `committed`, `committed_by_marker` and `in_doubt`.
    pub(crate) committed: Set,
    pub(crate) committed_by_marker: Set,
    pub(crate) in_doubt: Set,
    /// `audit.resolve` with result `committed` and `rolled_back`.
    pub(crate) resolved_committed: Set,
    pub(crate) resolved_rolled_back: Set,
    /// Intents whose OUTCOME was applied without making leaves: they were rolled back.
    pub(crate) dropped: Set,
    /// Intents whose second OUTCOME said the contrary of the first.
    pub(crate) contradicted: Set,
    /// Whether an OUTCOME came for an intent that was decided.
    pub(crate) repeated: bool,
    /// Intents that got leaves, or their `audit.resolve`, twice.
    pub(crate) doubled: Set,
    /// Events of the reconciler: a marker without record, a record without marker.
    pub(crate) without_record: Set,
    pub(crate) lost_by_database: Set,
}

impl Agent {
    pub(crate) fn forget(&mut self, intent: Intent) {
        self.orphans[usize::from(intent)] = None;
        let leaves = [&mut self.committed, &mut self.committed_by_marker, &mut self.in_doubt, &mut self.dropped];
        let told = [&mut self.resolved_committed, &mut self.resolved_rolled_back, &mut self.lost_by_database, &mut self.without_record];
        leaves.into_iter().chain(told).for_each(|set| set.remove(intent));
    }

    /// Intents of which the trail says that they were committed.
    pub(crate) fn claimed(&self) -> Set {
        self.committed.or(self.committed_by_marker).or(self.resolved_committed)
    }

    /// Intents of which the trail says that they were not.
    pub(crate) fn denied(&self) -> Set {
        self.dropped.or(self.resolved_rolled_back)
    }
}

/// `answers.json`: what the agent knew when it wrote the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Answers {
    pub(crate) high_waters: [u8; WRITERS],
    pub(crate) gaps: [bool; WRITERS],
    pub(crate) ended: [bool; WRITERS],
    pub(crate) unresolved: Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Resolving {
    Idle,
    /// It has decided to fence this one.
    Picked(Intent),
    /// The fence is inserted and not committed.
    Fencing(Intent),
    /// It knows what became of it.
    Knows(Intent, Outcome),
    /// It was killed; nobody holds `resolver.lock`.
    Dead,
}

impl Resolving {
    pub(crate) fn is_about(self, intent: Intent) -> bool {
        matches!(self, Self::Picked(at) | Self::Fencing(at) | Self::Knows(at, _) if at == intent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Resolver {
    pub(crate) at: Resolving,
    /// Which life it is in.
    pub(crate) life: u8,
    /// What it has answered in this life.
    pub(crate) answered: Set,
}

/// Faults that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    pub(crate) writer_kills: u8,
    pub(crate) database_crashes: u8,
    pub(crate) resolver_kills: u8,
    pub(crate) failed_commits: u8,
    pub(crate) power_losses: u8,
    pub(crate) days: u8,
    pub(crate) repeated_answers: u8,
    /// Transactions of living processes that outlast the agent's patience.
    pub(crate) slow_transactions: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) writers: [Writer; WRITERS],
    pub(crate) streams: [Stream; STREAMS],
    pub(crate) database: Database,
    pub(crate) agent: Agent,
    pub(crate) answers: Option<Answers>,
    pub(crate) resolver: Resolver,
    pub(crate) left: Faults,
    /// Intents that are older than 24 hours.
    pub(crate) old: Set,
    /// Intents that were ingested after they had become old.
    pub(crate) ingested_old: Set,
    /// Intents that a fence refused though their process lived.
    pub(crate) refused: Set,
}
