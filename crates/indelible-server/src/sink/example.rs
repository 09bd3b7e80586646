//! A sink in 100 lines: a folder with one file for each event, named after its id.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::{Delivered, Position, Record, Rejected, Sink, SinkError};
use crate::data_dir::{sync_dir, write_atomically};

/// The folder. A name is a key, so writing an event again changes nothing: this sink has nothing to remember.
pub(super) struct Pile {
    pub(super) folder: PathBuf,
}

impl Pile {
    /// Every error is worth another attempt; which record is to blame is not known.
    fn unavailable(&self, error: &io::Error) -> SinkError {
        SinkError::Unavailable(format!("{}: {error}", self.folder.display()))
    }
}

impl Sink for Pile {
    /// Prepares. The position is what an earlier run answered; one that keeps everything at its destination needs none.
    fn begin(&mut self, position: Position) -> Result<Position, SinkError> {
        fs::create_dir_all(&self.folder).map_err(|error| self.unavailable(&error))?;
        Ok(position)
    }

    /// Delivers as many records as the time allows. What is answered for is on the disk.
    fn deliver(&mut self, batch: &[Record], position: &Position, deadline: Instant) -> Result<Delivered, SinkError> {
        let mut delivered = Delivered { position: position.clone(), ..Delivered::default() };
        for (index, record) in batch.iter().enumerate() {
            if Instant::now() >= deadline {
                // Dealing with fewer is no failure: the others come again at once.
                break;
            }
            if record.body.len() > 1 << 20 {
                // What will never be taken goes to the dead letters and holds nobody up.
                delivered.rejected.push(Rejected { index, reason: "longer than a mebibyte".to_owned() });
            } else {
                let path = self.folder.join(record.entry.event.to_string());
                write_atomically(&path, &record.body).map_err(|error| self.unavailable(&error))?;
            }
            delivered.records = index + 1;
        }
        Ok(delivered)
    }

    /// Looks whether something would be taken now, and leaves nothing there.
    fn check(&mut self, _deadline: Instant) -> Result<String, SinkError> {
        sync_dir(&self.folder).map_err(|error| self.unavailable(&error))?;
        Ok(format!("synced {}", self.folder.display()))
    }
}
