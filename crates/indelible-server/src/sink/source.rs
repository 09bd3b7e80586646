//! Where sinks read: the trail, as far as it is under a checkpoint.

use std::ops::ControlFlow;

use super::Record;
use crate::data_dir::DataDir;
use crate::trail::{Order, Reader, TrailError};

/// Bounds of one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchMax {
    pub(super) records: usize,
    /// Of bodies. A single larger one is a batch of its own.
    pub(super) bytes: usize,
}

/// Gives records in the order of the leaves.
pub(super) trait Source: Send {
    /// The records from a leaf on, before `end`, as many as a batch takes; at least one where `from` is before `end`.
    ///
    /// # Errors
    /// In one sentence; it is tried again.
    fn read(&mut self, from: u64, end: u64, max: BatchMax) -> Result<Vec<Record>, String>;
}

/// The trail of a data directory.
#[derive(Debug)]
pub(super) struct Trail {
    dir: DataDir,
    reader: Option<Reader>,
}

impl Trail {
    pub(super) fn new(dir: DataDir) -> Self {
        Self { dir, reader: None }
    }

    fn query(&mut self, from: u64, end: u64, max: BatchMax) -> Result<Vec<Record>, TrailError> {
        let reader = match &mut self.reader {
            Some(reader) if reader.tree_size() > from => reader,
            outdated => outdated.insert(Reader::open(&self.dir)?),
        };
        let (mut records, mut bytes) = (Vec::new(), 0);
        reader.records(from..end, Order::OldestFirst, |leaf| {
            bytes += leaf.body.len();
            if !records.is_empty() && (bytes > max.bytes || records.len() >= max.records) {
                return ControlFlow::Break(());
            }
            records.push(Record { leaf_index: leaf.leaf_index, entry: leaf.entry, body: leaf.body });
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }
}

impl Source for Trail {
    fn read(&mut self, from: u64, end: u64, max: BatchMax) -> Result<Vec<Record>, String> {
        let read = self.query(from, end, max).map_err(|error| error.to_string()).and_then(|records| match records.first() {
            Some(first) if first.leaf_index == from => Ok(records),
            _ => Err(format!("leaf {from} cannot be read from the trail although {end} are signed: run `indelible verify`")),
        });
        let has_all = read.as_ref().map_or(true, |records| records.last().is_some_and(|last| last.leaf_index + 1 == end));
        if has_all {
            // A reader that nobody needs holds files, and a view of them that grows old.
            self.reader = None;
        }
        read
    }
}
