//! The thread of one sink: reads, delivers, remembers, tries again, and does what it is told.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, random};
use super::control::{Answer, Command, CommandError, Control, Progress};
use super::cursor::{Cursor, CursorFile, DeadLetter, bounded};
use super::source::{BatchMax, Source};
use super::{Delivered, Record, Sink, SinkError};
use crate::clock::now;
use crate::config::Limits;

/// How often a sink that has everything looks for more.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a sink waits that cannot go on without help; commands wake it.
const BLOCKED_INTERVAL: Duration = Duration::from_secs(1);

/// How many records are under a checkpoint.
pub(super) type Signed = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Everything that the thread of one sink needs.
pub(super) struct Delivery {
    pub(super) sink: Box<dyn Sink>,
    pub(super) source: Box<dyn Source>,
    pub(super) signed: Signed,
    pub(super) control: Arc<Control>,
    pub(super) limits: Limits,
    /// Whether a sink without cursor begins with the next record.
    pub(super) starts_newest: bool,
    /// `DATA_DIR/sinks/NAME`.
    pub(super) folder: PathBuf,
}

/// What a turn of the loop came to.
enum Turn {
    /// Something was done; there may be more.
    Worked,
    /// Everything that is signed is delivered, or nothing is to be delivered now.
    Idle,
    /// The next attempt is after this pause.
    Failed(Duration),
    /// Somebody has to help.
    Blocked,
}

/// The cursor as it is in memory, and whether the file says the same.
struct Place {
    cursor: Cursor,
    is_saved: bool,
    has_begun: bool,
}

impl Delivery {
    /// Delivers until told to end. Without trouble everything that is signed by then is delivered, as far as the time allows.
    ///
    /// # Panics
    /// When the sink does; that it did is said before.
    pub(super) fn run(self) {
        let control = Arc::clone(&self.control);
        let work = AssertUnwindSafe(|| self.work());
        let ended = panic::catch_unwind(work);
        let panic = ended.as_ref().err().map(|panic| bounded(message(panic.as_ref())));
        control.update(|progress| {
            if let Some(panic) = &panic {
                progress.last_error = Some((format!("its thread panicked: {panic}; start the agent again, and report it"), now()));
            }
            progress.panic = panic;
            progress.has_ended = true;
        });
        if let Err(panic) = ended {
            panic::resume_unwind(panic);
        }
    }

    fn work(self) {
        let file = CursorFile::new(self.folder.clone());
        let backoff = Backoff::new(self.limits.retry_min, self.limits.retry_max);
        let control = Arc::clone(&self.control);
        let mut running = Running { delivery: self, file, place: None, backoff };
        loop {
            running.obey();
            let turn = running.turn();
            running.publish();
            let wait = match (turn, control.stop_by()) {
                (Turn::Worked, None) => continue,
                (Turn::Worked, Some(by)) if Instant::now() < by => continue,
                (_, Some(_)) => return,
                (Turn::Idle, None) => POLL_INTERVAL,
                (Turn::Failed(pause), None) => pause,
                (Turn::Blocked, None) => BLOCKED_INTERVAL,
            };
            control.wait(wait);
        }
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it gave no reason".to_owned())
}

struct Running {
    delivery: Delivery,
    file: CursorFile,
    /// Nothing until the cursor has been read.
    place: Option<Place>,
    backoff: Backoff,
}

impl Running {
    fn turn(&mut self) -> Turn {
        match self.place.as_ref() {
            None => self.load(),
            Some(place) if !place.is_saved => self.save(),
            Some(place) if place.cursor.paused => self.look_at_what_waits(),
            Some(place) if !place.has_begun => self.begin(),
            Some(place) => match self.obstacle(&place.cursor) {
                Some(why) => self.block(why),
                None => self.deliver_next(),
            },
        }
    }

    /// Why a sink with this cursor cannot go on without help.
    fn obstacle(&self, cursor: &Cursor) -> Option<String> {
        if cursor.dead.len() >= self.delivery.limits.dead_letters_max {
            let full = format!("{} dead letters are all that it may have", cursor.dead.len());
            return Some(format!("{full}: see `indelible sink dead`, then replay or discard them"));
        }
        // Until the agent knows its trail, nothing is signed. How many are is not told here: it would be another message with each record.
        let signed = (self.delivery.signed)();
        (signed > 0 && cursor.next_leaf > signed).then(|| {
            let name = self.delivery.folder.file_name().unwrap_or_default().display();
            format!(
                "its cursor is at leaf {}, beyond the end of the trail, as after an older copy was put back: \
                 `indelible sink replay {name} --from LEAF` delivers from a leaf on, 0 for everything",
                cursor.next_leaf
            )
        })
    }

    fn load(&mut self) -> Turn {
        match self.file.load() {
            Ok(Some(cursor)) => self.place = Some(Place { cursor, is_saved: true, has_begun: false }),
            Ok(None) => {
                let first = if self.delivery.starts_newest { (self.delivery.signed)() } else { 0 };
                self.place = Some(Place { cursor: Cursor::new(first), is_saved: false, has_begun: false });
            }
            Err(error) => {
                let path = self.file.path();
                return self.block(format!("{}: {error}; `indelible sink replay` begins anew with the leaf it is given", path.display()));
            }
        }
        Turn::Worked
    }

    fn save(&mut self) -> Turn {
        let Some(place) = &mut self.place else { return Turn::Idle };
        match self.file.save(&place.cursor) {
            Ok(()) => {
                place.is_saved = true;
                self.succeeded();
                Turn::Worked
            }
            Err(error) => {
                let error = format!("{}: {error}", self.file.folder().display());
                self.failed(error)
            }
        }
    }

    fn begin(&mut self) -> Turn {
        let Some(position) = self.place.as_ref().map(|place| place.cursor.position.clone()) else { return Turn::Idle };
        let begun = self.call(|sink, _| sink.begin(position));
        match begun {
            Ok(position) => {
                self.change(|cursor| cursor.position = position);
                self.place.iter_mut().for_each(|place| place.has_begun = true);
                Turn::Worked
            }
            Err(error) => self.failed(error.to_string()),
        }
    }

    fn deliver_next(&mut self) -> Turn {
        let Some(from) = self.place.as_ref().map(|place| place.cursor.next_leaf) else { return Turn::Idle };
        let end = (self.delivery.signed)();
        if from >= end {
            self.delivery.control.update(|progress| progress.waiting_since = None);
            return Turn::Idle;
        }
        let max = BatchMax { records: self.delivery.limits.batch_records_max, bytes: self.delivery.limits.batch_bytes_max };
        match self.delivery.source.read(from, end, max) {
            Ok(batch) => self.deliver(&batch, true),
            Err(error) => self.failed(error),
        }
    }

    /// Delivers records; with `moves` they are the next ones, else dead letters that are tried again.
    fn deliver(&mut self, batch: &[Record], moves: bool) -> Turn {
        self.delivery.control.update(|progress| progress.waiting_since = batch.first().map(|record| record.entry.received_at));
        let Some(position) = self.place.as_ref().map(|place| place.cursor.position.clone()) else { return Turn::Idle };
        match self.call(|sink, deadline| sink.deliver(batch, &position, deadline)) {
            Ok(delivered) => {
                failpoint!("sink.delivered");
                self.account(batch, delivered, moves);
                // Saved at once, so that a crash repeats as little as can be.
                self.save()
            }
            Err(error) => self.failed(error.to_string()),
        }
    }

    fn account(&mut self, batch: &[Record], delivered: Delivered, moves: bool) {
        let count = delivered.records.min(batch.len());
        let dealt_with = &batch[..count];
        let rejected = u64::try_from(delivered.rejected.len()).unwrap_or(u64::MAX);
        self.change(|cursor| {
            cursor.position = delivered.position;
            if moves {
                cursor.next_leaf = dealt_with.last().map_or(cursor.next_leaf, |last| last.leaf_index + 1);
            } else {
                cursor.dead.retain(|letter| dealt_with.iter().all(|record| record.leaf_index != letter.leaf));
            }
            for rejected in delivered.rejected {
                if let Some(record) = batch.get(rejected.index) {
                    cursor.bury(dead_letter(record, rejected.reason));
                }
            }
        });
        let taken = (count as u64).saturating_sub(delivered.skipped).saturating_sub(rejected);
        self.delivery.control.update(|progress| {
            progress.delivered += taken;
            progress.skipped += delivered.skipped;
            if taken > 0 {
                progress.last_success = Some(now());
            }
        });
    }

    /// A paused sink still says since when records wait.
    fn look_at_what_waits(&mut self) -> Turn {
        let Some(from) = self.place.as_ref().map(|place| place.cursor.next_leaf) else { return Turn::Idle };
        let end = (self.delivery.signed)();
        let first = (from < end).then(|| self.delivery.source.read(from, end, BatchMax { records: 1, bytes: 0 }));
        let since = first.and_then(Result::ok).and_then(|batch| batch.first().map(|record| record.entry.received_at));
        self.delivery.control.update(|progress| progress.waiting_since = since);
        Turn::Idle
    }

    /// Calls the sink with a deadline, and lets everybody see for how long.
    fn call<T>(&mut self, call: impl FnOnce(&mut dyn Sink, Instant) -> Result<T, SinkError>) -> Result<T, SinkError> {
        let started = Instant::now();
        self.delivery.control.update(|progress| progress.in_call_since = Some(started));
        let result = call(self.delivery.sink.as_mut(), started + self.delivery.limits.call_timeout);
        self.delivery.control.update(|progress| progress.in_call_since = None);
        result
    }

    fn change(&mut self, change: impl FnOnce(&mut Cursor)) {
        if let Some(place) = &mut self.place {
            change(&mut place.cursor);
            place.is_saved = false;
        }
    }

    fn succeeded(&mut self) {
        if self.backoff.is_failing() {
            tracing::info!(cursor = %self.file.path().display(), "the sink delivers again");
        }
        self.backoff.succeeded();
    }

    fn failed(&mut self, error: String) -> Turn {
        let error = bounded(error);
        if !self.backoff.is_failing() {
            // Once for each series of failures; health and metrics tell how it goes on.
            tracing::warn!(cursor = %self.file.path().display(), error, "the sink cannot deliver and tries again");
        }
        let pause = self.backoff.after_failure(random());
        self.delivery.control.update(|progress| {
            progress.retries += 1;
            progress.last_error = Some((error, now()));
        });
        Turn::Failed(pause)
    }

    fn block(&mut self, why: String) -> Turn {
        let cursor = self.file.path();
        self.delivery.control.update(|progress| {
            if progress.blocked.as_ref() != Some(&why) {
                tracing::error!(cursor = %cursor.display(), why, "the sink cannot go on without help");
                progress.last_error = Some((why.clone(), now()));
                progress.blocked = Some(why);
            }
        });
        Turn::Blocked
    }

    /// Lets everybody see where it stands.
    fn publish(&self) {
        let is_retrying = self.backoff.is_failing();
        let has_begun = self.place.as_ref().is_some_and(|place| place.has_begun);
        let cursor = self.place.as_ref().map(|place| &place.cursor);
        let is_free = cursor.is_some_and(|cursor| self.obstacle(cursor).is_none());
        self.delivery.control.update(|progress: &mut Progress| {
            progress.is_retrying = is_retrying;
            progress.has_begun = has_begun;
            let Some(cursor) = cursor else { return };
            progress.next_leaf = cursor.next_leaf;
            progress.is_paused = cursor.paused;
            if progress.dead != cursor.dead {
                progress.dead.clone_from(&cursor.dead);
            }
            if is_free {
                progress.blocked = None;
            }
        });
    }
}

/// Commands.
impl Running {
    fn obey(&mut self) {
        while let Some((command, answer)) = self.delivery.control.next_command() {
            let done = self.carry_out(command);
            self.publish();
            // Whoever asked may have gone.
            let _ = answer.send(done);
        }
    }

    fn carry_out(&mut self, command: Command) -> Answer {
        match command {
            Command::Test => self.call(|sink, deadline| sink.check(deadline)).map_err(|error| CommandError::Failed(error.to_string())),
            Command::Pause => self.keep(|cursor| cursor.paused = true, "paused"),
            Command::Resume => {
                self.backoff.succeeded();
                self.keep(|cursor| cursor.paused = false, "delivers again")
            }
            Command::Replay { from } => self.replay(from),
            Command::ReplayDead => self.replay_dead(),
            Command::DiscardDead => {
                let count = self.place.as_ref().map_or(0, |place| place.cursor.dead.len());
                self.keep(|cursor| cursor.dead.clear(), &format!("{count} dead letters discarded"))
            }
        }
    }

    /// Changes the cursor for good.
    fn keep(&mut self, change: impl FnOnce(&mut Cursor), done: &str) -> Answer {
        if self.place.is_none() {
            self.load();
        }
        let Some(before) = self.place.as_ref().map(|place| place.cursor.clone()) else {
            let blocked = self.delivery.control.progress().blocked.unwrap_or_else(|| "the cursor cannot be read".to_owned());
            return Err(CommandError::Failed(blocked));
        };
        self.change(change);
        match self.save() {
            Turn::Failed(_) => {
                self.change(|cursor| *cursor = before);
                let error = self.delivery.control.progress().last_error;
                Err(CommandError::Failed(error.map_or_else(String::new, |(error, _)| error)))
            }
            _ => Ok(done.to_owned()),
        }
    }

    fn replay(&mut self, from: u64) -> Answer {
        let end = (self.delivery.signed)();
        if from > end {
            return Err(CommandError::Failed(format!("the trail ends before leaf {end}")));
        }
        self.backoff.succeeded();
        if self.place.is_none() && !matches!(self.load(), Turn::Worked) {
            // A cursor that cannot be read is replaced.
            self.place = Some(Place { cursor: Cursor::new(from), is_saved: false, has_begun: false });
        }
        let position = self.place.as_ref().map(|place| place.cursor.position.clone()).unwrap_or_default();
        let position = self.delivery.sink.set_apart(position);
        self.keep(
            |cursor| {
                cursor.next_leaf = from;
                cursor.position = position;
            },
            &format!("delivers again from leaf {from}; {} records", end - from),
        )
    }

    fn replay_dead(&mut self) -> Answer {
        let Some(place) = self.place.as_ref().filter(|place| place.has_begun && place.is_saved) else {
            return Err(CommandError::Failed("the sink has not begun yet; look at `indelible sink list`".to_owned()));
        };
        let leaves: Vec<u64> = place.cursor.dead.iter().map(|letter| letter.leaf).collect();
        let mut taken = 0;
        for &leaf in &leaves {
            self.replay_one(leaf)?;
            let is_dead = self.place.as_ref().is_some_and(|place| place.cursor.dead.iter().any(|letter| letter.leaf == leaf));
            taken += usize::from(!is_dead);
        }
        Ok(format!("{taken} of {} dead letters delivered", leaves.len()))
    }

    /// Tries one dead letter until the sink has dealt with it.
    fn replay_one(&mut self, leaf: u64) -> Result<(), CommandError> {
        let failed = CommandError::Failed;
        if leaf >= (self.delivery.signed)() {
            return Err(failed(format!("leaf {leaf} of a dead letter is beyond the end of the trail; only discarding is left")));
        }
        let batch = self.delivery.source.read(leaf, leaf + 1, BatchMax { records: 1, bytes: 0 }).map_err(failed)?;
        // A sink may answer for nothing once, to have another position stored first.
        for _ in 0..3 {
            let before = self.delivery.control.progress();
            if let Turn::Failed(_) = self.deliver(&batch, false) {
                let error = self.delivery.control.progress().last_error;
                return Err(failed(error.map_or_else(String::new, |(error, _)| error)));
            }
            let after = self.delivery.control.progress();
            let is_dead = self.place.as_ref().is_some_and(|place| place.cursor.dead.iter().any(|letter| letter.leaf == leaf));
            if !is_dead || (before.delivered, before.skipped) != (after.delivered, after.skipped) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn dead_letter(record: &Record, reason: String) -> DeadLetter {
    let event = record.entry.event.to_string();
    DeadLetter { leaf: record.leaf_index, event, reason: bounded(reason), rejected_at: now().to_string() }
}
