//! What is found out about intents by others than their own process: answers of a resolver, and rows of an outbox.
//!
//! **Exactly once, by the outbox.** A row's events are in the trail once, whatever dies when, because
//!
//! 1. the row says at which position its OUTCOME will be, committed in the database, before anything of it is journaled; what gets
//!    another position is not journaled ([`Outboxed::Moved`]), so the row never names a place that holds something else;
//! 2. its INTENT is directly before that position and is written first;
//! 3. frames of a stream are ingested in order, and none twice. When the stream has ended and its high-water is known, then with
//!    *high-water ≥ position − 1* its INTENT is in the trail, which takes it as committed also where no OUTCOME came, and the row is deleted;
//!    with less, neither frame is nor ever will be, and both are journaled anew. A row is therefore never journaled again without its INTENT.
//!
//! As long as the stream lives, nobody but the drainer that assigned the row touches it. No sync is needed for any of that: what a
//! power loss takes from the journal lies above the high-water, which only counts what is under a checkpoint.

use indelible_core::{Evidence, Frame, INTENT_KIND, IntentId, Resolution};

use crate::config::OnFailure;
use crate::error::Error;
use crate::journal::Position;
use crate::recorder::Recorder;

/// What became of a row of the outbox that was to be journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outboxed {
    /// Its INTENT is in the journal directly before the position that was given, and its OUTCOME there, or nowhere where the journal took only the one:
    /// the agent needs no OUTCOME of it.
    Done,
    /// The OUTCOME would get another position: nothing was journaled. Ask for the next one, assign the row anew, and come again.
    Moved,
}

/// Whether a payload is what [`crate::Transaction::seal`] gave: what is not, never will be.
#[must_use]
pub fn is_sealed(payload: &[u8]) -> bool {
    matches!(Frame::parse(INTENT_KIND, payload), Ok(Frame::Intent { evidence: Evidence::Outbox, .. }))
}

impl Recorder {
    /// Journals what a marker, or a fence in its place, has proved about an intent of another process, and forces it to disk where the
    /// journal is one that does. Said twice, it does no harm: the agent gives up what answers no intent.
    ///
    /// # Errors
    /// [`Error`]: the answer is not in the journal, or not known to be on disk; try again in the next round.
    /// [`Error::Nowhere`]: this process captures its events.
    pub fn resolve(&self, intent: IntentId, resolution: Resolution) -> Result<Position, Error> {
        self.journal()?;
        let frame = Frame::Outcome { intent, resolution, by: Evidence::Marker, items: Vec::new() };
        self.append_frame(&frame, true, OnFailure::Standard)
    }

    /// Where the next frame of this process will be, unless another thread is faster. Opens the stream, and writes down what was lost.
    ///
    /// # Errors
    /// [`Error`]: the journal cannot be written at the moment. [`Error::Nowhere`]: this process captures its events.
    pub fn next_position(&self) -> Result<Position, Error> {
        self.journal()?.next_position()
    }

    /// Ends the stream without a word, so that nothing stands at a position that a row of an outbox was promised. What is recorded later goes to
    /// a new stream.
    ///
    /// # Errors
    /// [`Error`]: another thread writes at this moment, and the stream goes on. [`Error::Nowhere`]: this process captures its events.
    pub fn abandon(&self) -> Result<(), Error> {
        self.journal()?.abandon()
    }

    /// Journals one row of the outbox whose transaction is known to be committed: INTENT and, at `position`, OUTCOME.
    ///
    /// `payload`: what [`crate::Transaction::seal`] gave. `position` is the one after [`Recorder::next_position`].
    ///
    /// # Errors
    /// - [`Error::Outbox`]: the payload is not what was sealed. It will never be: keep the row and tell somebody.
    /// - [`Error::Nowhere`]: this process captures its events.
    /// - Any other: nothing of this call is in the journal.
    pub fn append_outbox(&self, payload: &[u8], position: Position) -> Result<Outboxed, Error> {
        let journal = self.journal()?;
        let frame = Frame::parse(INTENT_KIND, payload).map_err(Error::Outbox)?;
        let Frame::Intent { intent, evidence: Evidence::Outbox, .. } = frame else { return Err(Error::NoOutbox) };
        let before = Position { sequence: position.sequence.saturating_sub(1), ..position };
        if journal.append_as(&frame, before)?.is_none() {
            return Ok(Outboxed::Moved);
        }
        let outcome = Frame::Outcome { intent, resolution: Resolution::Committed, by: Evidence::Outbox, items: Vec::new() };
        // Without OUTCOME the agent waits for the stream's end, and then takes the INTENT as committed. A second INTENT would be a second record.
        if let Ok(Some(position)) = journal.append_as(&outcome, position) {
            journal.settle(position);
        }
        Ok(Outboxed::Done)
    }
}
