//! The thread that ingests: batch after batch while there is a backlog, otherwise one every [`PACE`].

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use indelible_core::Outcome;

use super::Status;
use super::sealing::Sealing;
use super::status::Message;
use crate::clock::now;
use crate::config::Recorded;
use crate::ingest::{IngestError, Ingester, OwnEvent, Step};

/// How often the journals are looked at when there is no backlog. A batch costs a transaction and two signed files, with their syncs, however little
/// it brings: what live processes record in the meantime shares them.
const PACE: Duration = Duration::from_millis(50);
/// How long to wait before the trail is opened again after a failure; doubled with each that follows.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(2);

/// Ingests until told to stop, or until idle for as long as asked.
///
/// # Errors
/// [`IngestError`]: one that trying again cannot help.
pub(super) fn run(
    mut ingester: Ingester,
    changed: Option<(OwnEvent, Recorded)>,
    until_idle: Option<Duration>,
    messages: &Receiver<Message>,
    status: &Status,
    sealing: &Sealing,
) -> Result<(), IngestError> {
    let mut own = vec![started(&ingester)];
    let mut changed = changed.map(|(event, recorded)| {
        own.push(event);
        recorded
    });
    let mut idle = IdleTime::new(until_idle);
    loop {
        let began = Instant::now();
        let turned = turn(&mut ingester, &mut own, status);
        changed.take_if(|_| own.is_empty()).iter().for_each(remember);
        let wait = match turned {
            Ok(step) if step.rolled_over => {
                sealing.wake();
                Duration::ZERO
            }
            Ok(step) if idle.is_over(&step) && sealing.is_done() && status.retention().is_none_or(|retention| retention.is_idle()) => break,
            Ok(step) if step.is_behind || (step.worked && idle.is_awaited()) => Duration::ZERO,
            Ok(_) => PACE.saturating_sub(began.elapsed()),
            Err(error) => match mend(&mut ingester, error, messages, status)? {
                true => Duration::ZERO,
                false => return Ok(()),
            },
        };
        match hear(messages, wait, &mut ingester) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => match mend(&mut ingester, error, messages, status)? {
                true => {}
                false => return Ok(()),
            },
        }
    }
    own.push(OwnEvent::new("audit.stop", Outcome::Success));
    ingester.record_own(&own, now())?;
    status.metrics().set_tree_size(ingester.signed());
    // They read beside the writer, as long as there is one.
    status.stop_sinks();
    ingester.close()
}

/// Records what is to be recorded first, then one batch of the journals.
fn turn(ingester: &mut Ingester, own: &mut Vec<OwnEvent>, status: &Status) -> Result<Step, IngestError> {
    if !own.is_empty() {
        ingester.record_own(own, now())?;
        own.clear();
    }
    let step = ingester.step(now())?;
    status.metrics().observe(&step, now());
    status.set_trouble(None);
    Ok(step)
}

fn remember(recorded: &Recorded) {
    if let Err(error) = recorded.remember() {
        tracing::warn!(%error, "cannot remember that the configuration was recorded; the next start records it again");
    }
}

fn started(ingester: &Ingester) -> OwnEvent {
    OwnEvent::new("audit.start", Outcome::Success).about("trail", ingester.origin())
}

/// For how long everything has been in the trail and nobody there to record more.
struct IdleTime {
    limit: Option<Duration>,
    since: Option<Instant>,
}

impl IdleTime {
    fn new(limit: Option<Duration>) -> Self {
        Self { limit, since: None }
    }

    /// Whether somebody waits for it.
    fn is_awaited(&self) -> bool {
        self.limit.is_some()
    }

    fn is_over(&mut self, step: &Step) -> bool {
        let Some(limit) = self.limit else { return false };
        if !step.is_idle() {
            self.since = None;
            return false;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() >= limit
    }
}

/// Waits for messages and does what they ask; `false` when told to stop.
fn hear(messages: &Receiver<Message>, wait: Duration, ingester: &mut Ingester) -> Result<bool, IngestError> {
    let (mut events, mut replies, mut closing) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = messages.recv_timeout(wait);
    let goes_on = loop {
        match next {
            Ok(Message::Record(event, reply)) => {
                events.push(*event);
                replies.push(reply);
            }
            Ok(Message::CloseFile(reply)) => closing.push(reply),
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
        next = messages.recv_timeout(Duration::ZERO);
    };
    if !events.is_empty() {
        ingester.record_own(&events, now())?;
        // Whoever asked may have gone.
        for reply in replies {
            let _ = reply.send(());
        }
    }
    if !closing.is_empty() {
        let is_closed = ingester.roll_over_now()?;
        for reply in closing {
            let _ = reply.send(is_closed);
        }
    }
    Ok(goes_on)
}

fn report(error: &IngestError, status: &Status) {
    tracing::error!(%error, "ingesting failed and is tried again; journals are kept");
    status.metrics().count_error();
    status.set_trouble(Some(error.to_string()));
}

/// Opens the trail again after a failure that may pass, a full disk for one; `false` when told to stop meanwhile.
///
/// # Errors
/// [`IngestError`]: one that trying again cannot help.
fn mend(ingester: &mut Ingester, error: IngestError, messages: &Receiver<Message>, status: &Status) -> Result<bool, IngestError> {
    if error.is_final() {
        return Err(error);
    }
    let Some(opened) = reopen(ingester, &error, messages, status)? else { return Ok(false) };
    *ingester = opened;
    Ok(true)
}

/// Opens the trail again, as often as it takes. `None` when told to stop meanwhile.
fn reopen(failed: &Ingester, error: &IngestError, messages: &Receiver<Message>, status: &Status) -> Result<Option<Ingester>, IngestError> {
    report(error, status);
    let mut wait = RETRY_INTERVAL;
    loop {
        if !refuse_until(messages, Instant::now() + wait) {
            return Ok(None);
        }
        match Ingester::open(status.dir(), failed.settings()) {
            Ok(ingester) => return Ok(Some(ingester.collecting(failed.collected().to_vec()))),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => report(&error, status),
        }
        wait = (wait * 2).min(RETRY_INTERVAL_MAX);
    }
}

/// Lets time pass, however much is asked for meanwhile; `false` when told to stop. What is asked for cannot be done now: dropping the reply says so.
fn refuse_until(messages: &Receiver<Message>, until: Instant) -> bool {
    loop {
        match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Message::Record(..) | Message::CloseFile(_)) if Instant::now() < until => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Ok(Message::Record(..) | Message::CloseFile(_)) | Err(RecvTimeoutError::Timeout) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn who_keeps_asking_does_not_keep_the_trail_from_being_opened_again() {
        let (asking, asked) = sync_channel(1);
        let (done, is_done) = sync_channel(1);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    if asking.send(Message::CloseFile(oneshot::channel().0)).is_err() {
                        break;
                    }
                }
            });
            // Moved in, so that whoever still asks is let go.
            scope.spawn(move || done.send(refuse_until(&asked, Instant::now() + Duration::from_millis(50))));
            let answer = is_done.recv_timeout(Duration::from_secs(30));
            stop.store(true, Ordering::Relaxed);
            assert_eq!(answer, Ok(true));
        });
    }

    #[test]
    fn who_is_told_to_stop_stops_waiting() {
        let (asking, asked) = sync_channel(1);
        asking.send(Message::Stop).unwrap();
        assert!(!refuse_until(&asked, Instant::now() + Duration::from_secs(3600)));
    }
}
