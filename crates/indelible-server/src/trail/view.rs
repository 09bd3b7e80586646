//! Opening one trail file so that nothing beside or in it changes.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{FileState, TrailError, files, schema};

/// A connection that only reads, and the private copy that it reads where there is one.
#[derive(Debug)]
pub(super) struct View {
    pub(super) connection: Connection,
    copy: Option<PrivateCopy>,
}

impl View {
    /// Opens the file that an agent is writing, beside its write-ahead log.
    pub(super) fn beside_the_writer(path: &Path) -> Result<Self, TrailError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::checked(Connection::open_with_flags(path, flags)?, None)
    }

    /// Opens a file that nobody writes. Its log, which SQLite could only read by writing beside it, is read from a private copy.
    ///
    /// A sealed file has no log. SQLite would read one that lies beside it all the same, and no seal vouches for it.
    pub(super) fn at_rest(path: &Path) -> Result<Self, TrailError> {
        let failed = |error| TrailError::File { path: path.to_owned(), error };
        if log_is_empty(path).map_err(failed)? || files::state_of(path)? == FileState::Sealed {
            return Self::checked(open_unchanging(path)?, None);
        }
        let copy = PrivateCopy::make(path).map_err(failed)?;
        Self::checked(copy.open()?, Some(copy))
    }

    /// Whether a private copy is read.
    pub(super) fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    fn checked(connection: Connection, copy: Option<PrivateCopy>) -> Result<Self, TrailError> {
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        schema::check_version(&connection)?;
        Ok(Self { connection, copy })
    }
}

/// Opens a file that nobody writes, without locks and without the files that SQLite would put beside it.
pub(super) fn open_unchanging(path: &Path) -> Result<Connection, TrailError> {
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

/// Whether everything that was committed is in the file itself.
pub(super) fn log_is_empty(path: &Path) -> io::Result<bool> {
    match fs::metadata(log_path(path)) {
        Ok(log) => Ok(log.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

pub(super) fn log_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// The name that SQLite gives to a file of its own beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
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

    fn open(&self) -> Result<Connection, TrailError> {
        let connection = Connection::open(self.file())?;
        // It is thrown away: folding its log into it at the end, with two syncs, would be for nobody.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(connection)
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
