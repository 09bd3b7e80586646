//! The thread that ingests: batch after batch, and a short wait when there is nothing.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use indelible_core::Outcome;

use super::Status;
use super::status::Message;
use crate::clock::now;
use crate::ingest::{IngestError, Ingester, OwnEvent, Step};

/// How often journals are looked at while nothing comes.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait before the trail is opened again after a failure; doubled with each that follows.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Ingests until told to stop, or until idle for as long as asked.
///
/// # Errors
/// [`IngestError`]: one that trying again cannot help.
pub(super) fn run(
    mut ingester: Ingester,
    until_idle: Option<Duration>,
    messages: &Receiver<Message>,
    status: &Status,
) -> Result<(), IngestError> {
    let mut own = vec![started(&ingester)];
    let mut idle = IdleTime::new(until_idle);
    loop {
        let wait = match turn(&mut ingester, &mut own, status) {
            Ok(step) if idle.is_over(&step) => break,
            Ok(step) if step.worked || step.is_behind => Duration::ZERO,
            Ok(_) => POLL_INTERVAL,
            Err(error) if error.is_final() => return Err(error),
            Err(error) => match reopen(&ingester, &error, messages, status)? {
                Some(opened) => {
                    ingester = opened;
                    Duration::ZERO
                }
                None => return Ok(()),
            },
        };
        if !hear(messages, wait, &mut ingester)? {
            break;
        }
    }
    own.push(OwnEvent::new("audit.stop", Outcome::Success));
    ingester.record_own(&own, now())?;
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
    let (mut events, mut replies) = (Vec::new(), Vec::new());
    let mut next = messages.recv_timeout(wait);
    let goes_on = loop {
        match next {
            Ok(Message::Record(event, reply)) => {
                events.push(*event);
                replies.push(reply);
            }
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
    Ok(goes_on)
}

fn report(error: &IngestError, status: &Status) {
    tracing::error!(%error, "ingesting failed and is tried again; journals are kept");
    status.metrics().count_error();
    status.set_trouble(Some(error.to_string()));
}

/// Opens the trail again, as often as it takes. `None` when told to stop meanwhile.
fn reopen(failed: &Ingester, error: &IngestError, messages: &Receiver<Message>, status: &Status) -> Result<Option<Ingester>, IngestError> {
    report(error, status);
    let mut wait = RETRY_INTERVAL;
    loop {
        // Events that are asked for now cannot be recorded: dropping their reply says so.
        match messages.recv_timeout(wait) {
            Ok(Message::Record(..)) => continue,
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
        match Ingester::open(status.dir(), failed.deadlines()) {
            Ok(ingester) => return Ok(Some(ingester)),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => report(&error, status),
        }
        wait = (wait * 2).min(RETRY_INTERVAL_MAX);
    }
}
