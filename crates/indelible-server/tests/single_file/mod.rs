//! A trail of a single file, and its own past beside it in `old`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Puts files of the trail's own past back.
pub(crate) fn put_back(dir: &Path, names: &[&str]) {
    for name in names {
        fs::copy(dir.join("old").join(name), dir.join("trail").join(name)).unwrap();
    }
}

pub(crate) fn trail_file(dir: &Path) -> PathBuf {
    dir.join("trail/000000000000.trail")
}

/// Changes something in it.
pub(crate) fn sql(dir: &Path, statements: &str) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    connection.execute_batch(statements).unwrap();
    assert!(connection.total_changes() > 0 || statements.starts_with("PRAGMA"), "nothing was changed by {statements}");
}
