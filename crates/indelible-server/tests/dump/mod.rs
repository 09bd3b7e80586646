//! Everything that a trail says, read by plain SQL from copies: none of the code that `verify` or search read with is used here.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses a part of it")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

/// A folder in memory where there is one: what lies in it need not outlast the machine, and syncs cost nothing.
pub(crate) fn fast_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Bodies, salts, leaves, heads, high-waters, pending and index rows of all trail files, and the signed notes beside them; `None`
/// when something of it cannot be read.
pub(crate) fn dump(dir: &Path) -> Option<String> {
    let mut text = String::new();
    for path in files_of(&dir.join("trail")) {
        let name = path.file_name()?.to_str()?;
        let is_note = ["checkpoint", "state", "verifier"].contains(&name) || name.ends_with(".seal");
        if name.ends_with(".trail") {
            writeln!(text, "== {name}").ok()?;
            dump_file(&path, &mut text)?;
        } else if is_note {
            let note = String::from_utf8(fs::read(&path).ok()?).ok()?;
            writeln!(text, "== {name}\n{}", note.trim_end()).ok()?;
        }
    }
    Some(text)
}

/// The files in a folder and below, by name.
pub(crate) fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_of(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Copies a folder with everything below.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for path in files_of(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}

fn dump_file(path: &Path, text: &mut String) -> Option<()> {
    let folder = fast_folder();
    let copy = folder.path().join("copy");
    fs::copy(path, &copy).ok()?;
    let log = PathBuf::from(format!("{}-wal", path.display()));
    if log.exists() {
        fs::copy(log, folder.path().join("copy-wal")).ok()?;
    }
    let connection = Connection::open(copy).ok()?;
    dump_rows(&connection, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name", text)?;
    for pragma in ["application_id", "user_version"] {
        dump_rows(&connection, &format!("PRAGMA {pragma}"), text)?;
    }
    for table in names(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")? {
        writeln!(text, "-- {table}").ok()?;
        dump_rows(&connection, &format!("SELECT * FROM \"{table}\" NOT INDEXED"), text)?;
        for index in names(&connection, &format!("SELECT name FROM pragma_index_list('{table}') WHERE partial = 0 ORDER BY name"))? {
            dump_index(&connection, &table, &index, text)?;
        }
    }
    Some(())
}

/// What a query that goes by this index finds.
fn dump_index(connection: &Connection, table: &str, index: &str, text: &mut String) -> Option<()> {
    let without_rowid: bool = connection.query_row("SELECT wr FROM pragma_table_list WHERE name = ?1", [table], |row| row.get(0)).ok()?;
    // Such a table is its own index.
    if without_rowid {
        return Some(());
    }
    let columns = names(connection, &format!("SELECT name FROM pragma_index_info('{index}') ORDER BY seqno"))?.join(", ");
    writeln!(text, "-- {index}").ok()?;
    dump_rows(connection, &format!("SELECT {columns} FROM \"{table}\" INDEXED BY \"{index}\" ORDER BY {columns}"), text)
}

fn names(connection: &Connection, select: &str) -> Option<Vec<String>> {
    let mut statement = connection.prepare(select).ok()?;
    let names = statement.query_map([], |row| row.get(0)).ok()?;
    names.collect::<Result<_, _>>().ok()
}

fn dump_rows(connection: &Connection, select: &str, text: &mut String) -> Option<()> {
    let mut statement = connection.prepare(select).ok()?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).ok()?;
    while let Some(row) = rows.next().ok()? {
        for column in 0..columns {
            write!(text, "{:?} ", row.get_ref(column).ok()?).ok()?;
        }
        text.push('\n');
    }
    Some(())
}
