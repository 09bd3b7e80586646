//! Standard output of the agent, one line for each event, for a collector that reads the output of processes.
//!
//! A pipe cannot be asked what it has. After a kill the lines since the last cursor come again, and a line may have been left
//! unfinished: a reader knows an event by its id.

use std::io::{self, Stdout as Out};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::shape::{Rendered, Shape};
use super::{Delivered, Position, Record, Rejected, Sink, SinkError};

/// What a pipe that can take anything takes without making its writer wait (Linux: one page; POSIX guarantees 512 bytes).
const WRITE_BYTES: usize = 4096;

/// A sink to standard output.
pub(super) struct Stdout {
    out: Out,
    shape: Shape,
    /// The rest of a line whose beginning is out, and the leaf of its record.
    unfinished: Option<(u64, Vec<u8>)>,
}

impl Stdout {
    pub(super) fn new(shape: Shape) -> Self {
        Self { out: io::stdout(), shape, unfinished: None }
    }

    /// Writes as much as is taken before the deadline; says how much that is, and what ended it before its end.
    fn write(&self, line: &[u8], deadline: Instant) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < line.len() {
            match self.is_ready(deadline) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return (written, Err(error)),
            }
            let part = &line[written..line.len().min(written + WRITE_BYTES)];
            // Past the buffer of `Stdout`: what is in there is not out.
            match rustix::io::write(self.out.as_fd(), part) {
                Ok(bytes) => written += bytes,
                Err(error) => return (written, Err(error.into())),
            }
            failpoint!("sink.stdout.write");
        }
        (written, Ok(()))
    }

    /// Waits until something can be written; `false` when nothing can by the deadline.
    fn is_ready(&self, deadline: Instant) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut ready = [PollFd::new(&self.out, PollFlags::OUT)];
        Ok(poll(&mut ready, Some(&timespec(left)))? > 0)
    }

    /// Writes the line of one record, or what is left of it; `false` when it is not all out by the deadline.
    fn line(&mut self, leaf: u64, line: Vec<u8>, deadline: Instant) -> io::Result<bool> {
        if let Some((of, rest)) = self.unfinished.take() {
            if !self.put(of, rest, true, deadline)? {
                return Ok(false);
            }
            if of == leaf {
                return Ok(true);
            }
        }
        self.put(leaf, line, false, deadline)
    }

    /// Writes bytes of a record, and remembers what is left once its line is begun.
    fn put(&mut self, leaf: u64, mut bytes: Vec<u8>, is_begun: bool, deadline: Instant) -> io::Result<bool> {
        let (written, result) = self.write(&bytes, deadline);
        let is_out = written == bytes.len();
        if !is_out && (is_begun || written > 0) {
            self.unfinished = Some((leaf, bytes.split_off(written)));
        }
        result.map(|()| is_out)
    }
}

impl Sink for Stdout {
    fn begin(&mut self, position: Position) -> Result<Position, SinkError> {
        Ok(position)
    }

    fn deliver(&mut self, batch: &[Record], position: &Position, deadline: Instant) -> Result<Delivered, SinkError> {
        let mut delivered = Delivered { position: position.clone(), ..Delivered::default() };
        for (index, record) in batch.iter().enumerate() {
            let mut line = String::new();
            match self.shape.render(record, &mut line) {
                Rendered::Line(_) => {
                    line.push('\n');
                    let is_out = self.line(record.leaf_index, line.into_bytes(), deadline);
                    match is_out.map_err(|error| SinkError::Unavailable(format!("standard output: {error}"))) {
                        Ok(true) => {}
                        Ok(false) if index == 0 => return Err(SinkError::Deadline("standard output")),
                        Err(error) if index == 0 => return Err(error),
                        Ok(false) | Err(_) => return Ok(delivered),
                    }
                }
                Rendered::Nothing => delivered.skipped += 1,
                Rendered::Refused(reason) => delivered.rejected.push(Rejected { index, reason }),
            }
            delivered.records = index + 1;
        }
        Ok(delivered)
    }

    fn check(&mut self, deadline: Instant) -> Result<String, SinkError> {
        match self.is_ready(deadline) {
            Ok(true) => Ok("standard output takes something; nothing was written".to_owned()),
            Ok(false) => Err(SinkError::Deadline("standard output")),
            Err(error) => Err(SinkError::Unavailable(format!("standard output: {error}"))),
        }
    }
}

fn timespec(left: Duration) -> Timespec {
    let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: left.subsec_nanos().into() }
}
