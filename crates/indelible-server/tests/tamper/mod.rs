//! What somebody may do to the files of a trail who can write to its folder, and has read docs/format.md.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use indelible_core::{Checkpoint, LeafEntry, Note, SigningKey, commitment};
use indelible_server::{DataDir, Reader};
use rusqlite::Connection;

use crate::files::{seal_of, trail_files};

/// Where the files of the trail stand: sealed ones, the first of three blocks, a closed one and the open one.
pub(crate) const FIRST: usize = 0;
pub(crate) const MIDDLE: usize = 1;
pub(crate) const LAST_SEALED: usize = 2;
pub(crate) const CLOSED: usize = 3;
pub(crate) const OPEN: usize = 4;

pub(crate) fn file(dir: &Path, place: usize) -> PathBuf {
    trail_files(dir)[place].clone()
}

/// The leaf that the name of a file names.
pub(crate) fn first_of(file: &Path) -> u64 {
    file.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn named(dir: &Path, first_index: u64) -> PathBuf {
    dir.join(format!("trail/{first_index:012}.trail"))
}

pub(crate) fn sql(dir: &Path, place: usize, statements: &str) {
    let connection = Connection::open(file(dir, place)).unwrap();
    connection.execute_batch(statements).unwrap();
    let defines = ["PRAGMA", "CREATE"].iter().any(|word| statements.starts_with(word));
    assert!(connection.total_changes() > 0 || defines, "nothing was changed by {statements}");
    // Readers of a closed file look at no log.
    connection.close().unwrap();
}

pub(crate) fn delete(path: &Path) {
    fs::remove_file(path).unwrap();
}

/// Deletes a sealed file and its seal.
pub(crate) fn remove(dir: &Path, place: usize) {
    delete(&seal_of(&file(dir, place)));
    delete(&file(dir, place));
}

pub(crate) fn put(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

pub(crate) fn rename(dir: &Path, place: usize, by: u64) {
    let path = file(dir, place);
    fs::rename(&path, named(dir, first_of(&path) + by)).unwrap();
}

/// Puts a copy of a file behind the first leaf of another one.
pub(crate) fn copy_as(dir: &Path, place: usize, behind: usize, by: u64) {
    let first_index = first_of(&file(dir, behind)) + by;
    put(&file(dir, place), &named(dir, first_index));
}

pub(crate) fn exchange(dir: &Path, one: usize, other: usize) {
    let (one, other) = (file(dir, one), file(dir, other));
    for (one, other) in [(one.clone(), other.clone()), (seal_of(&one), seal_of(&other))] {
        let content = fs::read(&one).unwrap();
        put(&other, &one);
        fs::write(other, content).unwrap();
    }
}

/// Changes a digit or letter at the end of one line of a note.
pub(crate) fn change_text(path: &Path, line: usize) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let first = lines[line].remove(0);
    lines[line].insert(0, if first == '1' { '2' } else { '1' });
    fs::write(path, lines.join("\n")).unwrap();
}

pub(crate) fn flip_blob(dir: &Path, place: usize, column: &str, block: i64) {
    let connection = Connection::open(file(dir, place)).unwrap();
    let select = format!("SELECT {column} FROM block WHERE first_index = ?1");
    let mut bytes: Vec<u8> = connection.query_row(&select, [block], |row| row.get(0)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    connection.execute(&format!("UPDATE block SET {column} = ?2 WHERE first_index = ?1"), rusqlite::params![block, bytes]).unwrap();
}

pub(crate) fn exchange_blocks(dir: &Path) {
    sql(
        dir,
        FIRST,
        "UPDATE block SET first_index = -1 WHERE first_index = 0; UPDATE block SET first_index = 0 WHERE first_index = 256; UPDATE block SET first_index = 256 WHERE first_index = -1",
    );
}

/// What somebody does who can sign, and lacks only the key.
pub(crate) fn forge_seal(dir: &Path, place: usize) {
    use sha2::{Digest as _, Sha256};
    let (file, seal) = (file(dir, place), seal_of(&file(dir, place)));
    let text = fs::read_to_string(&seal).unwrap();
    let (text, _) = text.split_once("\n\n").unwrap();
    let digest = indelible_core::Hash::from_bytes(Sha256::digest(fs::read(file).unwrap()).into());
    let kept: Vec<&str> = text.lines().take(4).collect();
    let verifier = fs::read_to_string(dir.join("trail/verifier")).unwrap();
    let key = SigningKey::from_seed(verifier.split_once('+').unwrap().0, &[7; 32]).unwrap();
    fs::write(seal, key.sign(&format!("{}\n{}\n", kept.join("\n"), digest.to_base64())).unwrap().to_string()).unwrap();
}

pub(crate) fn append_a_page(dir: &Path) {
    let path = file(dir, MIDDLE);
    let mut content = fs::read(&path).unwrap();
    content.extend([0; 4096]);
    fs::write(path, content).unwrap();
}

pub(crate) fn cut(path: &Path, parts: usize) {
    let content = fs::read(path).unwrap();
    fs::write(path, &content[..content.len() / parts]).unwrap();
}

pub(crate) fn batch_of_another(dir: &Path) {
    let another = Connection::open(file(dir, LAST_SEALED)).unwrap();
    let batch: String = another.query_row("SELECT batch FROM head", [], |row| row.get(0)).unwrap();
    Connection::open(file(dir, MIDDLE)).unwrap().execute("UPDATE head SET batch = ?1", [batch]).unwrap();
}

/// Gives a record another body with everything that follows from it, but the head.
pub(crate) fn rewrite_in_closed(dir: &Path) {
    let connection = Connection::open(file(dir, CLOSED)).unwrap();
    let select = "SELECT leaf_index, entry, salt, body FROM record ORDER BY leaf_index LIMIT 1 OFFSET 5";
    let (leaf, entry, salt, body): (i64, Vec<u8>, [u8; 32], Vec<u8>) =
        connection.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    let body = String::from_utf8(body).unwrap().replace("number", "numbet");
    let mut entry = indelible_core::LeafEntry::decode(&entry).unwrap();
    entry.commitment = indelible_core::commitment(&salt, body.as_bytes());
    let update = "UPDATE record SET entry = ?2, leaf_hash = ?3, body = ?4 WHERE leaf_index = ?1";
    connection.execute(update, rusqlite::params![leaf, entry.encode(), entry.hash().as_bytes(), body.as_bytes()]).unwrap();
}

pub(crate) fn make_up_run(dir: &Path) {
    sql(
        dir,
        OPEN,
        "INSERT INTO run SELECT min(leaf_index), min(leaf_index) + 2, 0, 0, zeroblob(16), zeroblob(16), zeroblob(4) FROM record",
    );
}

/// Lets the index of a table miss a row, and look like the one that has all.
pub(crate) fn forge_index(dir: &Path) {
    let connection = Connection::open(file(dir, CLOSED)).unwrap();
    let sql = "PRAGMA writable_schema = ON; \
               CREATE INDEX forged ON pending (intent) WHERE 0; \
               UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'forged') \
               WHERE name = 'sqlite_autoindex_pending_1'; \
               DELETE FROM sqlite_schema WHERE name = 'forged'";
    connection.execute_batch(sql).unwrap();
}

/// What somebody does who can sign.
pub(crate) fn forget_the_newest(dir: &Path) {
    let note = checkpoint(dir, first_of(&file(dir, CLOSED))).to_string();
    fs::write(dir.join("trail/checkpoint"), note).unwrap();
    delete(&file(dir, OPEN));
    delete(&file(dir, CLOSED));
}

/// The checkpoint that the agent signed, or would have, at this size.
pub(crate) fn checkpoint(dir: &Path, tree_size: u64) -> Note {
    let key: SigningKey = fs::read_to_string(dir.join("keys/trail.key")).unwrap().trim_end().parse().unwrap();
    let root_hash = Reader::open(&DataDir::new(dir)).unwrap().subtree(0..tree_size).unwrap();
    Checkpoint { origin: key.name().parse().unwrap(), tree_size, root_hash }.sign(&key).unwrap()
}

pub(crate) fn earlier_open_file(dir: &Path) {
    put(&dir.join("old/open"), &file(dir, OPEN));
}

/// Gives the first record another body, and the leaf hash that follows from it.
pub(crate) fn rewrite_first_record(dir: &Path) {
    let record = Reader::open(&DataDir::new(dir)).unwrap().record(0).unwrap().unwrap();
    let body = String::from_utf8(record.body.clone()).unwrap().replacen("\"v\":1", "\"v\":2", 1).into_bytes();
    assert!(body != record.body);
    let entry = LeafEntry { commitment: commitment(&record.salt.unwrap(), &body), ..record.entry };
    let replaced = |bytes: &[u8], from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    let connection = Connection::open(file(dir, FIRST)).unwrap();
    let select = "SELECT leaves, bodies FROM block WHERE first_index = 0";
    let (leaves, bodies): (Vec<u8>, Vec<u8>) = connection.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let leaves = replaced(&leaves, record.leaf_hash.as_bytes(), entry.hash().as_bytes());
    let raw = zstd::bulk::decompress(&bodies[16..], number(&bodies[8..])).unwrap();
    let bodies = [&bodies[..8], &packed(&replaced(&raw, &record.body, &body))].concat();
    connection.execute("UPDATE block SET leaves = ?1, bodies = ?2 WHERE first_index = 0", rusqlite::params![leaves, bodies]).unwrap();
}

fn number(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize
}

/// Both lengths and the compressed bytes, as a block has them.
fn packed(raw: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(raw, 1).unwrap();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&length(raw)[..], &length(&packed), &packed].concat()
}

/// Marks the first body as erased, and takes it away unless it is kept.
pub(crate) fn erase_first_body(dir: &Path, commitment: &[u8; 32], is_kept: bool) {
    let connection = Connection::open(file(dir, FIRST)).unwrap();
    let select = "SELECT leaves, bodies FROM block WHERE first_index = 0";
    let (leaves, bodies): (Vec<u8>, Vec<u8>) = connection.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let (columns, rest) = leaves[8..].split_at(number(&leaves[4..]));
    let (mut columns, mut rest) = (zstd::bulk::decompress(columns, number(&leaves)).unwrap(), rest.to_vec());
    columns[0] = 1;
    rest[2560..2592].copy_from_slice(commitment);
    let leaves = [packed(&columns), rest].concat();
    let mut raw = zstd::bulk::decompress(&bodies[16..], number(&bodies[8..])).unwrap();
    if !is_kept {
        // Of 256 bodies of 128 bytes or more, each length is two bytes long.
        let length = usize::from(raw[0] & 127) | usize::from(raw[1]) << 7;
        raw.drain(512..512 + length);
        raw.splice(0..2, [0]);
    }
    let bodies = [&bodies[..8], &packed(&raw)].concat();
    connection.execute("UPDATE block SET leaves = ?1, bodies = ?2 WHERE first_index = 0", rusqlite::params![leaves, bodies]).unwrap();
}
