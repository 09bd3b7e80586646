//! Reading a trail without ever changing it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{TrailError, schema};
use crate::data_dir::DataDir;

/// How long an agent may take from its lock to an open trail.
const AGENT_START_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// A read-only view of the newest trail file.
///
/// While an agent runs, its file is read beside it, and each transaction is a consistent view. Without an agent the file is
/// read as it lies there; when a killed agent has left a write-ahead log, which SQLite could only read by writing beside it, a
/// private copy is read instead and removed afterwards.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    _copy: Option<PrivateCopy>,
}

impl Reader {
    /// Opens the trail of a data directory.
    ///
    /// # Errors
    /// - [`TrailError::Missing`]: there is none.
    /// - [`TrailError::Version`]: it is not of a version that we read.
    /// - [`TrailError::File`], [`TrailError::Sqlite`]: it cannot be read.
    pub fn open(dir: &DataDir) -> Result<Self, TrailError> {
        let deadline = Instant::now() + AGENT_START_DEADLINE;
        loop {
            let waits = Instant::now() < deadline;
            match Self::try_open(dir, waits) {
                Ok(Some(reader)) => return Ok(reader),
                Err(TrailError::Sqlite(error)) if is_log_missing(&error) && waits => {}
                Err(error) => return Err(error),
                Ok(None) => {}
            }
            thread::sleep(RETRY_INTERVAL);
        }
    }

    /// `None`: an agent that has just started has its lock before it has made the log readable, and one that has just ended has
    /// removed it. With `waits` false the holder of the lock is no agent that writes, and the file is read as it lies there.
    fn try_open(dir: &DataDir, waits: bool) -> Result<Option<Self>, TrailError> {
        let path = schema::open_file_path(dir)?.ok_or_else(|| TrailError::Missing { path: dir.trail() })?;
        let failed = |error| TrailError::File { path: path.clone(), error };
        let is_locked = dir.agent_is_running().map_err(failed)?;
        let is_written = is_locked && beside(&path, "-shm").try_exists().map_err(failed)?;
        if is_locked && !is_written && waits {
            return Ok(None);
        }
        // Where there is no log, SQLite would make one.
        let (connection, copy) = if is_written {
            (open_beside_the_writer(&path)?, None)
        } else if log_is_empty(&path).map_err(failed)? {
            (open_unchanging(&path)?, None)
        } else {
            let copy = PrivateCopy::make(&path).map_err(failed)?;
            (Connection::open(copy.file())?, Some(copy))
        };
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        schema::check_version(&connection)?;
        Ok(Some(Self { connection, path, _copy: copy }))
    }

    /// The connection. Nothing that is done with it reaches the trail.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same, for transactions.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The trail file that is read, or was copied.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether SQLite could not read the log without writing beside it.
fn is_log_missing(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn open_beside_the_writer(path: &Path) -> Result<Connection, TrailError> {
    Ok(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

/// Opens a file that nobody writes, without locks and without the files that SQLite would put beside it.
fn open_unchanging(path: &Path) -> Result<Connection, TrailError> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(uri, flags)?)
}

fn log_is_empty(path: &Path) -> io::Result<bool> {
    match fs::metadata(log_path(path)) {
        Ok(log) => Ok(log.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn log_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    PathBuf::from(beside)
}

/// A copy of a trail file and its log in a folder that only this user can enter, removed on drop.
#[derive(Debug)]
struct PrivateCopy {
    folder: PathBuf,
}

impl PrivateCopy {
    fn make(path: &Path) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let folder = std::env::temp_dir().join(format!("indelible-{:032x}", u128::from_ne_bytes(random)));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let copy = Self { folder };
        copy_file(path, &copy.file())?;
        copy_file(&log_path(path), &log_path(&copy.file()))?;
        Ok(copy)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("copy.trail")
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder, readable by this user alone.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut fs::File::open(from)?, &mut target)?;
    Ok(())
}
