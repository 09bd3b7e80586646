//! Rotating files of JSON lines.
//!
//! What the sink knows of a file is how many of its bytes are covered by the cursor. Lines of the same record are always the same
//! bytes, so whatever a killed agent wrote beyond that is the beginning of what is written next: it is kept and completed. What is
//! not such a beginning, which a crash of the machine can leave, is cut off. So every event arrives, once, and no line is torn.
//!
//! A file that is full gets a number that no other file has, in one rename. That it is going to is stored with the cursor first, so a
//! rename that was or was not done before a crash is told apart.

mod append;
mod position;
mod rotate;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use self::append::append;
use self::position::FilesPosition;
use super::shape::{Rendered, Shape};
use super::{Delivered, Position, Record, Rejected, Sink, SinkError};
use crate::clock::now;
use crate::config::FilesConfig;

/// Permissions of a folder that the sink makes.
const FOLDER_MODE: u32 = 0o700;

/// A sink of rotating files.
pub(super) struct Files {
    config: FilesConfig,
    shape: Shape,
    /// Files whose last sync failed: what the system then still has of them says nothing about the disk.
    unsynced: BTreeSet<&'static str>,
}

/// What is to be written, before it is.
struct Lines {
    /// For each file of the shape.
    buffers: Vec<Vec<u8>>,
    delivered: Delivered,
    /// The file that had no room for the record after those.
    full: Option<&'static str>,
}

impl Files {
    pub(super) fn new(config: FilesConfig, shape: Shape) -> Self {
        Self { config, shape, unsynced: BTreeSet::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.config.folder.join(name)
    }

    fn failed(path: &Path, error: &io::Error) -> SinkError {
        SinkError::Unavailable(format!("{}: {error}", path.display()))
    }

    /// Renames files whose turn it is; afterwards their position is that of a new file.
    fn rotate(&self, position: &mut FilesPosition) -> Result<(), SinkError> {
        for (name, file) in position.files.iter_mut().filter(|(_, file)| file.rotate_to.is_some()) {
            rotate::rotate(&self.config, name, file).map_err(|error| Self::failed(&self.path(name), &error))?;
        }
        Ok(())
    }

    /// Marks files for rotation that are too old, or that can no longer be trusted to be on the disk.
    fn mark_old(&mut self, position: &mut FilesPosition) -> Result<bool, SinkError> {
        let now_s = now().micros() / 1_000_000;
        let mut any = false;
        for (name, file) in &mut position.files {
            let age_s = now_s.saturating_sub(file.began_at_s).unsigned_abs();
            let is_old = file.bytes > 0 && self.config.rotate_after.is_some_and(|limit| age_s >= limit.as_secs());
            if is_old || self.unsynced.contains(name.as_str()) {
                self.mark(name, file)?;
                any = true;
            }
        }
        self.unsynced.clear();
        Ok(any)
    }

    fn mark(&self, name: &str, file: &mut position::FilePosition) -> Result<(), SinkError> {
        let number = rotate::free_number(&self.config.folder, name).map_err(|error| Self::failed(&self.config.folder, &error))?;
        let number = rotate::checked(number.max(file.next_number)).map_err(|error| Self::failed(&self.config.folder, &error))?;
        file.rotate_to = Some(number);
        Ok(())
    }

    /// Lines for as many records as the current files have room for.
    fn render(&self, batch: &[Record], position: &FilesPosition) -> Lines {
        let names = self.shape.files();
        let mut lines = Lines { buffers: vec![Vec::new(); names.len()], delivered: Delivered::default(), full: None };
        let mut line = String::new();
        for (index, record) in batch.iter().enumerate() {
            line.clear();
            match self.shape.render(record, &mut line) {
                Rendered::Line(file) => {
                    line.push('\n');
                    let buffer = &mut lines.buffers[file];
                    let before = position.files.get(names[file]).map_or(0, |known| known.bytes).saturating_add(buffer.len() as u64);
                    if before > 0 && before.saturating_add(line.len() as u64) > self.config.file_bytes_max {
                        lines.full = Some(names[file]);
                        break;
                    }
                    buffer.extend_from_slice(line.as_bytes());
                }
                Rendered::Nothing => lines.delivered.skipped += 1,
                Rendered::Refused(reason) => lines.delivered.rejected.push(Rejected { index, reason }),
            }
            lines.delivered.records = index + 1;
        }
        lines
    }

    fn write(&mut self, lines: &Lines, position: &mut FilesPosition) -> Result<(), SinkError> {
        for (name, buffer) in self.shape.files().iter().zip(&lines.buffers).filter(|(_, buffer)| !buffer.is_empty()) {
            let path = self.path(name);
            let file = position.files.entry((*name).to_owned()).or_default();
            let bytes = append(&path, file.bytes, buffer, self.config.file_mode).map_err(|failure| {
                if failure.in_sync {
                    self.unsynced.insert(name);
                }
                Self::failed(&path, &failure.error)
            })?;
            if file.bytes == 0 {
                file.began_at_s = now().micros() / 1_000_000;
            }
            file.bytes = bytes;
        }
        Ok(())
    }
}

impl Sink for Files {
    fn begin(&mut self, position: Position) -> Result<Position, SinkError> {
        let folder = &self.config.folder;
        failpoint!("sink.files.folder");
        let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
        // The same folder under another name, as from another working directory, is the same folder.
        let canonical = created.and_then(|()| std::fs::canonicalize(folder)).map_err(|error| Self::failed(folder, &error))?;
        self.config.folder = canonical;
        let folder = &self.config.folder;
        let mut position = FilesPosition::read(position, folder);
        for name in self.shape.files() {
            if !position.files.contains_key(*name) {
                // A file of somebody else, or of a sink whose cursor was deleted, is set aside and never written to.
                let found = std::fs::symlink_metadata(self.path(name)).map_or(0, |metadata| metadata.len());
                let mut file = position::FilePosition { bytes: found, ..Default::default() };
                if found > 0 {
                    self.mark(name, &mut file)?;
                }
                position.files.insert((*name).to_owned(), file);
            }
        }
        Ok(position.to_json())
    }

    fn deliver(&mut self, batch: &[Record], position: &Position, _deadline: Instant) -> Result<Delivered, SinkError> {
        let mut position = FilesPosition::read(position.clone(), &self.config.folder);
        self.rotate(&mut position)?;
        if self.mark_old(&mut position)? {
            return Ok(Delivered { position: position.to_json(), ..Delivered::default() });
        }
        let lines = self.render(batch, &position);
        self.write(&lines, &mut position)?;
        if let Some((name, file)) = lines.full.and_then(|name| position.files.get_key_value(name)) {
            let (name, mut file) = (name.clone(), file.clone());
            self.mark(&name, &mut file)?;
            position.files.insert(name, file);
        }
        Ok(Delivered { position: position.to_json(), ..lines.delivered })
    }

    fn check(&mut self, _deadline: Instant) -> Result<String, SinkError> {
        let probe = self.path(".indelible-probe");
        let failed = |error: io::Error| Self::failed(&probe, &error);
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.config.folder).map_err(failed)?;
        let written = append(&probe, 0, b"probe\n", self.config.file_mode).map_err(|failure| failure.error);
        let removed = std::fs::remove_file(&probe);
        written.and(removed).map_err(failed)?;
        Ok(format!("wrote, synced and removed a file in {}", self.config.folder.display()))
    }

    fn set_apart(&mut self, position: Position) -> Position {
        let mut position = FilesPosition::read(position, &self.config.folder);
        for (name, file) in &mut position.files {
            if file.bytes > 0 && file.rotate_to.is_none() {
                // Where the folder cannot be looked at, what comes again follows in the same file.
                let _ = self.mark(name, file);
            }
        }
        position.to_json()
    }
}
