//! What `verify` says of trails that were changed, of trails that cannot be checked, and of honest ones.
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;
mod single_file;

use std::fs;
use std::path::Path;

use indelible::{Event, Kind, Recorder};
use indelible_server::{DataDir, Report, Trust};
use rusqlite::Connection;
use seed::Seed;
use serde_json::{Value, json};
use single_file::{put_back, sql, trail_file};
use tempfile::TempDir;

/// A change of one thing: its name, how it is made, and the kind and the first leaf that `verify` must name.
type Tampering = (&'static str, fn(&Path), &'static str, Option<u64>);

const TAMPERING: &[Tampering] = &[
    (
        "one letter of a body",
        |dir| sql(dir, "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'number', 'numbet') AS BLOB) WHERE leaf_index = 3"),
        "body",
        Some(3),
    ),
    (
        "a body and its search row",
        |dir| sql(dir, "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), '\"visit.', '\"visid.') AS BLOB) WHERE leaf_index = 3"),
        "body",
        Some(3),
    ),
    ("one bit of a salt", |dir| sql(dir, "UPDATE record SET salt = zeroblob(32) WHERE leaf_index = 4"), "body", Some(4)),
    ("a shorter salt", |dir| sql(dir, "UPDATE record SET salt = x'00' WHERE leaf_index = 4"), "body", Some(4)),
    ("a leaf's time", |dir| change_entry(dir, 5, 60), "leaf_hash", Some(5)),
    ("a leaf's commitment", |dir| change_entry(dir, 5, 101), "leaf_hash", Some(5)),
    ("a leaf's version", |dir| change_entry(dir, 5, 0), "leaf", Some(5)),
    ("a leaf hash", |dir| sql(dir, "UPDATE record SET leaf_hash = zeroblob(32) WHERE leaf_index = 2"), "leaf_hash", Some(2)),
    ("a dropped row", |dir| sql(dir, "DELETE FROM record WHERE leaf_index = 6"), "missing_record", Some(6)),
    ("the first row dropped", |dir| sql(dir, "DELETE FROM record WHERE leaf_index = 0"), "missing_record", Some(0)),
    (
        "the last row dropped",
        |dir| sql(dir, "DELETE FROM record WHERE leaf_index = (SELECT max(leaf_index) FROM record)"),
        "missing_record",
        Some(11),
    ),
    ("two rows of a stream exchanged", |dir| exchange(dir, 3, 7), "stream_index", Some(3)),
    ("two rows of two streams exchanged", |dir| exchange(dir, 2, 3), "root", Some(0)),
    (
        "a copied row inserted",
        |dir| sql(dir, "INSERT INTO record SELECT 12, entry, leaf_hash, salt, body FROM record WHERE leaf_index = 4"),
        "stream_index",
        Some(12),
    ),
    ("a row rewritten with a true commitment", rewrite_row, "root", Some(8)),
    ("the head's root", |dir| sql(dir, "UPDATE head SET root_hash = zeroblob(32)"), "head", None),
    ("the head's size", |dir| sql(dir, "UPDATE head SET tree_size = 11"), "surplus_record", Some(11)),
    (
        "the trail's name",
        |dir| sql(dir, "UPDATE meta SET value = 'indelible/00000000000000000000000000000000' WHERE key = 'origin'"),
        "meta",
        None,
    ),
    ("a high-water", |dir| sql(dir, "UPDATE stream SET next_sequence = next_sequence + 1"), "unfinished_work", None),
    ("a stream's count", |dir| sql(dir, "UPDATE stream SET next_stream_index = next_stream_index + 1"), "unfinished_work", None),
    ("a pending intent dropped", |dir| sql(dir, "DELETE FROM pending"), "unfinished_work", None),
    ("a checkpoint's name", |dir| change_byte(&dir.join("trail/checkpoint"), 12), "checkpoint", None),
    ("a checkpoint's size", |dir| change_byte(&dir.join("trail/checkpoint"), 43), "checkpoint", None),
    ("a checkpoint's root", |dir| change_byte(&dir.join("trail/checkpoint"), 60), "checkpoint", None),
    ("a checkpoint's signature", |dir| change_byte(&dir.join("trail/checkpoint"), 200), "checkpoint", None),
    ("an empty checkpoint", |dir| fs::write(dir.join("trail/checkpoint"), "").unwrap_or_default(), "checkpoint", None),
    ("a state's digest", |dir| change_byte(&dir.join("trail/state"), 80), "state", None),
    ("an older state", |dir| drop(fs::copy(dir.join("old/state"), dir.join("trail/state"))), "state", None),
    ("an older checkpoint", |dir| drop(fs::copy(dir.join("old/checkpoint"), dir.join("trail/checkpoint"))), "checkpoint", None),
    ("an older checkpoint with its state", |dir| put_back(dir, &["checkpoint", "state"]), "state", None),
    (
        "a pending intent dropped, as if its batch were not signed yet",
        |dir| {
            put_back(dir, &["state"]);
            sql(dir, "DELETE FROM pending");
        },
        "unfinished_work",
        None,
    ),
    (
        "a high-water, as if its batch were not signed yet",
        |dir| {
            put_back(dir, &["state"]);
            sql(dir, "UPDATE stream SET next_sequence = next_sequence + 5");
        },
        "unfinished_work",
        None,
    ),
    ("the service of a stream", |dir| sql(dir, "UPDATE stream SET service = 'another'"), "unfinished_work", None),
    ("a record made up", make_up_record, "surplus_record", Some(12)),
    (
        "a record made up, as if its batch were not signed yet",
        |dir| {
            put_back(dir, &["checkpoint", "state"]);
            make_up_record(dir);
        },
        "surplus_record",
        Some(12),
    ),
    (
        "every record after an older checkpoint rewritten",
        |dir| {
            put_back(dir, &["checkpoint", "state"]);
            rewrite_row(dir);
            fit_head(dir);
        },
        "batch",
        Some(2),
    ),
    (
        "a batch that nobody signed",
        |dir| sql(dir, "UPDATE head SET batch = replace(batch, char(10) || '12', char(10) || '13')"),
        "batch",
        None,
    ),
    ("a batch of another key", sign_batch_anew, "batch", None),
    ("a trigger", |dir| define(dir, "CREATE TRIGGER evil AFTER INSERT ON pending BEGIN DELETE FROM pending; END"), "schema", None),
    (
        "a view in place of a table",
        |dir| define(dir, "ALTER TABLE record RENAME TO kept; CREATE VIEW record AS SELECT * FROM kept WHERE leaf_index <> 4"),
        "schema",
        None,
    ),
    ("another table", |dir| define(dir, "CREATE TABLE note (text TEXT)"), "schema", None),
    ("another column", |dir| define(dir, "ALTER TABLE record ADD COLUMN note TEXT"), "schema", None),
    ("another index", |dir| define(dir, "CREATE INDEX evil ON pending (ingested_at, intent) WHERE 0"), "schema", None),
    ("another first leaf", |dir| sql(dir, "UPDATE meta SET value = '68' WHERE key = 'first_index'"), "meta", None),
    ("another row of meta", |dir| sql(dir, "INSERT INTO meta VALUES ('note', 'x')"), "meta", None),
    ("a second trail file", |dir| drop(fs::copy(trail_file(dir), dir.join("trail/000000000068.trail"))), "missing_record", Some(12)),
    ("an older trail file", |dir| drop(fs::copy(dir.join("old/000000000000.trail"), trail_file(dir))), "rolled_back", Some(2)),
];

/// Something that is taken away: its name, and how.
type Removal = (&'static str, fn(&Path));

/// Everything that must not be mistaken for tampering, and not for an intact trail either.
const UNCHECKABLE: &[Removal] = &[
    ("no verifier key", |dir| fs::remove_file(dir.join("trail/verifier")).unwrap_or_default()),
    ("a damaged verifier key", |dir| change_byte(&dir.join("trail/verifier"), 60)),
    ("a verifier key with a damaged name", |dir| change_byte(&dir.join("trail/verifier"), 12)),
    ("an empty verifier key", |dir| fs::write(dir.join("trail/verifier"), "").unwrap_or_default()),
    ("another trail's verifier key", |dir| drop(fs::copy(Seed::clinic().path().join("trail/verifier"), dir.join("trail/verifier")))),
    ("no checkpoint", |dir| fs::remove_file(dir.join("trail/checkpoint")).unwrap_or_default()),
    ("no state", |dir| fs::remove_file(dir.join("trail/state")).unwrap_or_default()),
    ("no trail file", |dir| fs::remove_file(trail_file(dir)).unwrap_or_default()),
    ("no trail", |dir| fs::remove_dir_all(dir.join("trail")).unwrap_or_default()),
    ("a trail file that is none", |dir| fs::write(trail_file(dir), "x").unwrap_or_default()),
    ("a trail file of another version", |dir| sql(dir, "PRAGMA user_version = 9")),
    ("a trail file of another name", |dir| fs::write(dir.join("trail/zzz.trail"), "").unwrap_or_default()),
    ("a rollback journal", |dir| fs::write(dir.join("trail/000000000000.trail-journal"), "x").unwrap_or_default()),
    ("a pipe for a checkpoint", |dir| make_pipe(&dir.join("trail/checkpoint"))),
    ("a pipe for a state", |dir| make_pipe(&dir.join("trail/state"))),
    ("a pipe for a verifier key", |dir| make_pipe(&dir.join("trail/verifier"))),
    ("a pipe for a trail file", |dir| make_pipe(&trail_file(dir))),
    ("a pipe for a log", |dir| make_pipe(&dir.join("trail/000000000000.trail-wal"))),
    ("a checkpoint without end", |dir| {
        fs::remove_file(dir.join("trail/checkpoint")).unwrap_or_default();
        std::os::unix::fs::symlink("/dev/zero", dir.join("trail/checkpoint")).unwrap_or_default();
    }),
    ("a state of 65 KiB", |dir| fs::write(dir.join("trail/state"), vec![b'x'; 65 << 10]).unwrap_or_default()),
    ("a trail file that was cut off", |dir| {
        let bytes = fs::read(trail_file(dir)).unwrap_or_default();
        fs::write(trail_file(dir), &bytes[..bytes.len() / 2]).unwrap_or_default();
    }),
];

/// As [`sql`], for statements that define something.
fn define(dir: &Path, statements: &str) {
    Connection::open(trail_file(dir)).unwrap().execute_batch(statements).unwrap();
}

fn make_pipe(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn change_byte(path: &Path, place: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
    fs::write(path, bytes).unwrap();
}

fn change_entry(dir: &Path, leaf_index: i64, place: usize) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    let mut entry: Vec<u8> =
        connection.query_row("SELECT entry FROM record WHERE leaf_index = ?1", [leaf_index], |row| row.get(0)).unwrap();
    entry[place] ^= 1;
    connection.execute("UPDATE record SET entry = ?2 WHERE leaf_index = ?1", rusqlite::params![leaf_index, entry]).unwrap();
}

fn exchange(dir: &Path, one: u64, other: u64) {
    sql(
        dir,
        &format!(
            "UPDATE record SET leaf_index = -1 WHERE leaf_index = {one}; UPDATE record SET leaf_index = {one} WHERE leaf_index = {other}; \
             UPDATE record SET leaf_index = {other} WHERE leaf_index = -1"
        ),
    );
}

/// What somebody does who has read docs/format.md and lacks only the key.
fn rewrite_row(dir: &Path) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    let row = connection.query_row("SELECT entry, salt, body FROM record WHERE leaf_index = 8", [], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, Vec<u8>>(2)?))
    });
    let (entry, salt, body) = row.unwrap();
    let body = String::from_utf8(body).unwrap().replace("number", "numbet");
    let mut entry = indelible_core::LeafEntry::decode(&entry).unwrap();
    entry.commitment = indelible_core::commitment(&salt, body.as_bytes());
    connection
        .execute(
            "UPDATE record SET entry = ?1, leaf_hash = ?2, body = ?3 WHERE leaf_index = 8",
            rusqlite::params![entry.encode(), entry.hash().as_bytes(), body.as_bytes()],
        )
        .unwrap();
}

/// Makes the head that of the records, as far as that goes without the key.
fn fit_head(dir: &Path) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    let mut tree = indelible_core::Frontier::default();
    let mut statement = connection.prepare("SELECT leaf_hash FROM record ORDER BY leaf_index").unwrap();
    for leaf in statement.query_map([], |row| row.get::<_, [u8; 32]>(0)).unwrap() {
        tree.push(indelible_core::Hash::from_bytes(leaf.unwrap()));
    }
    let (tree_size, root_hash) = (i64::try_from(tree.size()).unwrap(), tree.root());
    let head = rusqlite::params![tree_size, root_hash.as_bytes(), tree.to_bytes()];
    connection.execute("UPDATE head SET tree_size = ?1, root_hash = ?2, frontier = ?3", head).unwrap();
}

/// Appends a copy of record 3 as the next one of its stream, with everything that belongs to it but a signature.
fn make_up_record(dir: &Path) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    let entry: Vec<u8> = connection.query_row("SELECT entry FROM record WHERE leaf_index = 3", [], |row| row.get(0)).unwrap();
    let mut entry = indelible_core::LeafEntry::decode(&entry).unwrap();
    let stream = *entry.stream.as_bytes();
    let next = "SELECT next_stream_index FROM stream WHERE stream = ?1";
    entry.stream_index = u64::try_from(connection.query_row(next, [stream], |row| row.get::<_, i64>(0)).unwrap()).unwrap();
    let insert = "INSERT INTO record SELECT 12, ?1, ?2, salt, body FROM record WHERE leaf_index = 3";
    connection.execute(insert, rusqlite::params![entry.encode(), entry.hash().as_bytes()]).unwrap();
    connection.execute("UPDATE stream SET next_stream_index = next_stream_index + 1 WHERE stream = ?1", [stream]).unwrap();
    drop(connection);
    fit_head(dir);
}

/// Signs the newest batch with a new key of the same name.
fn sign_batch_anew(dir: &Path) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    let note: String = connection.query_row("SELECT batch FROM head", [], |row| row.get(0)).unwrap();
    let text = note.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let note = forged_key(dir).sign(&text).unwrap().to_string();
    connection.execute("UPDATE head SET batch = ?1", [note]).unwrap();
}

/// Another key of the trail's name.
fn forged_key(dir: &Path) -> indelible_core::SigningKey {
    let verifier = fs::read_to_string(dir.join("trail/verifier")).unwrap();
    indelible_core::SigningKey::from_seed(verifier.split_once('+').unwrap().0, &[7; 32]).unwrap()
}

/// A trail of twelve records by two processes and the agent, with a pending intent and, in `old`, its own past.
fn honest() -> Seed {
    let seed = Seed::empty();
    seed.ingest();
    let old = seed.path().join("old");
    fs::create_dir(&old).unwrap();
    for name in ["checkpoint", "state", "000000000000.trail"] {
        fs::copy(seed.path().join("trail").join(name), old.join(name)).unwrap();
    }
    seed.record("clinic", (0..7).map(numbered).collect());
    seed.leave_in_doubt("clinic", vec![numbered(7)]);
    seed.ingest();
    assert_eq!(verify(seed.path(), &[]), (0, "intact".into(), None, None));
    seed
}

fn numbered(number: u64) -> Event {
    let mut event = Event::new(Kind::Action, "visit.note");
    event.meta = Some(indelible::Json::from_text(json!({ "number": number }).to_string()));
    event
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for folder in ["trail", "old"] {
        fs::create_dir(to.path().join(folder)).unwrap();
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.path().join(folder).join(entry.file_name())).unwrap();
        }
    }
    to
}

/// Exit code, result, kind of fault and first leaf.
fn verify(dir: &Path, arguments: &[&str]) -> (i32, String, Option<String>, Option<u64>) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_indelible"));
    let output = command.arg("--data").arg(dir).args(["-o", "json", "verify"]).args(arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let text = |key: &str| report[key].as_str().map(str::to_owned);
    (output.status.code().unwrap(), text("result").unwrap(), text("kind"), report["first_leaf"].as_u64())
}

// covers: H3
#[test]
fn every_change_is_found_and_its_place_is_named() {
    let honest = honest();
    let mut wrong = Vec::new();
    for (what, tamper, kind, leaf) in TAMPERING {
        let copy = copy(honest.path());
        tamper(copy.path());
        let found = verify(copy.path(), &[]);
        let expected = (5, "tampered".to_owned(), Some((*kind).to_owned()), *leaf);
        if found != expected {
            wrong.push(format!("{what}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// All that a trail file says, or nothing when it cannot be read.
fn content(trail: &Path) -> Option<String> {
    let connection = Connection::open(trail).ok()?;
    let mut content = String::new();
    for table in ["meta", "head", "record", "run", "run_piece", "run_value", "stream", "pending", "orphan_outcome"] {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).ok()?;
        let columns = statement.column_count();
        let mut rows = statement.query([]).ok()?;
        while let Some(row) = rows.next().ok()? {
            (0..columns).for_each(|column| content.push_str(&format!("{:?} ", row.get_ref(column))));
        }
    }
    Some(content)
}

/// A file has bytes that say nothing: free space, the b-tree's own. Whatever says something else than before must be noticed.
#[test]
fn no_single_byte_of_the_file_can_make_an_intact_trail_say_something_else() {
    let honest = honest();
    let copy = copy(honest.path());
    let trail = trail_file(copy.path());
    let bytes = fs::read(&trail).unwrap();
    let before = content(&trail).unwrap();
    let (dir, trust) = (DataDir::new(copy.path()), Trust::default());
    let mut noticed = 0;
    for place in (0..bytes.len()).step_by(bytes.len() / 256) {
        let mut changed = bytes.clone();
        changed[place] ^= 0x55;
        fs::write(&trail, changed).unwrap();
        match indelible_server::verify(&dir, &trust) {
            Report::Intact(_) => assert_eq!(content(&trail).as_ref(), Some(&before), "byte {place}"),
            _ => noticed += 1,
        }
    }
    assert!(noticed > 20, "only {noticed} changes hit something");
}

// covers: H3
#[test]
fn what_cannot_be_checked_is_neither_intact_nor_tampered() {
    let honest = honest();
    let mut wrong = Vec::new();
    for (what, remove) in UNCHECKABLE {
        let copy = copy(honest.path());
        remove(copy.path());
        let found = verify(copy.path(), &[]);
        if found != (6, "could_not_check".to_owned(), None, None) {
            wrong.push(format!("{what}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_place_without_a_trail_is_named_as_such() {
    let empty = tempfile::tempdir().unwrap();
    let Report::CouldNotCheck(reason) = indelible_server::verify(&DataDir::new(empty.path()), &Trust::default()) else { panic!("checked") };
    assert!(reason.starts_with("no trail at ") && reason.contains("--data"), "{reason}");
}

#[test]
fn a_key_that_was_named_is_trusted_and_another_one_is_unknown() {
    let honest = honest();
    let key = honest.path().join("trail/verifier");
    let copy = copy(honest.path());
    fs::remove_file(copy.path().join("trail/verifier")).unwrap();
    assert_eq!(verify(copy.path(), &["--key", key.to_str().unwrap()]).0, 0);
    let foreign = Seed::clinic();
    let foreign = foreign.path().join("trail/verifier");
    assert_eq!(verify(honest.path(), &["--key", foreign.to_str().unwrap()]).0, 6);
    assert_eq!(verify(honest.path(), &["--key", "/nonexistent"]).0, 6);
}

#[test]
fn some_records_are_checked_alone_and_proved_by_the_hashes_of_all_others() {
    let seed = honest();
    for range in ["0..1", "0..12", "3..5", "11..12", "3..999"] {
        assert_eq!(verify(seed.path(), &[range]), (0, "intact".into(), None, first_of(range)), "{range}");
    }
    assert_eq!(verify(seed.path(), &["12..13"]).0, 6, "there is no such record yet");

    let body = copy(seed.path());
    sql(body.path(), "UPDATE record SET body = CAST('{}' AS BLOB) WHERE leaf_index = 3");
    assert_eq!(verify(body.path(), &["3..4"]), (5, "tampered".into(), Some("body".into()), Some(3)));
    assert_eq!(verify(body.path(), &["4..6"]).0, 0, "what was not asked for is not looked at");

    let rewritten = copy(seed.path());
    rewrite_row(rewritten.path());
    assert_eq!(verify(rewritten.path(), &["7..10"]), (5, "tampered".into(), Some("root".into()), Some(7)));
    assert_eq!(verify(rewritten.path(), &["0..2"]).0, 5, "and its hash leads nowhere");

    let cut = copy(seed.path());
    sql(cut.path(), "DELETE FROM record WHERE leaf_index > 8");
    assert_eq!(verify(cut.path(), &["7..10"]), (5, "tampered".into(), Some("missing_record".into()), Some(9)));

    let usage = seed.indelible(&["verify", "5..5"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}

fn first_of(range: &str) -> Option<u64> {
    range.split_once("..").unwrap().0.parse().ok()
}

#[test]
fn only_a_checkpoint_that_was_kept_outside_shows_that_a_trail_was_replaced() {
    let seed = honest();
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("kept.txt");
    fs::write(&kept, seed.indelible(&["checkpoint"]).stdout).unwrap();
    let against = ["--against", kept.to_str().unwrap()];
    assert_eq!(verify(seed.path(), &against).0, 0);
    seed.record("clinic", vec![numbered(9)]);
    seed.ingest();
    assert_eq!(verify(seed.path(), &against).0, 0, "a trail that went on leads to it");
    assert_eq!(verify(seed.path(), &["0..3", against[0], against[1]]).0, 0);

    let rolled_back = copy(seed.path());
    for entry in fs::read_dir(rolled_back.path().join("old")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), rolled_back.path().join("trail").join(entry.file_name())).unwrap();
    }
    assert_eq!(verify(rolled_back.path(), &[]).0, 0, "by itself it is an honest trail of an earlier day");
    assert_eq!(verify(rolled_back.path(), &against), (5, "tampered".into(), Some("kept_checkpoint".into()), Some(2)));
    assert_eq!(verify(rolled_back.path(), &["0..1", against[0], against[1]]).0, 5);
    let another = Seed::clinic();
    assert_eq!(verify(another.path(), &["0..1", against[0], against[1]]).0, 5);
    assert_eq!(verify(another.path(), &against), (5, "tampered".into(), Some("kept_checkpoint".into()), Some(0)));

    change_byte(&kept, 60);
    assert_eq!(verify(seed.path(), &against).0, 6, "a kept checkpoint that is damaged accuses nobody");
    fs::write(&kept, "").unwrap();
    assert_eq!(verify(seed.path(), &against).0, 6);
}

/// Whoever replaces the verifier key can sign everything anew. The kept checkpoint says which key it was.
#[test]
fn a_kept_checkpoint_shows_that_the_key_was_replaced() {
    let seed = honest();
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("kept.txt");
    fs::write(&kept, seed.indelible(&["checkpoint"]).stdout).unwrap();
    let forged = copy(seed.path());
    sign_batch_anew(forged.path());
    let key = forged_key(forged.path());
    for name in ["checkpoint", "state"] {
        let path = forged.path().join("trail").join(name);
        let text = fs::read_to_string(&path).unwrap().split_once("\n\n").unwrap().0.to_owned() + "\n";
        fs::write(&path, key.sign(&text).unwrap().to_string()).unwrap();
    }
    fs::write(forged.path().join("trail/verifier"), format!("{}\n", key.verifier())).unwrap();
    assert_eq!(verify(forged.path(), &[]).0, 0, "by itself it is an honest trail of another key");
    let found = verify(forged.path(), &["--against", kept.to_str().unwrap()]);
    assert_eq!(found, (5, "tampered".into(), Some("verifier".into()), None));
}

/// A lock says that an agent runs, and SQLite would make the log of an agent that does not.
#[test]
fn verifying_beside_a_lock_that_no_agent_holds_makes_no_file() {
    let copy = copy(honest().path());
    let lock = fs::File::create(copy.path().join("agent.lock")).unwrap();
    lock.try_lock().unwrap();
    let names = || fs::read_dir(copy.path().join("trail")).unwrap().count();
    let before = names();
    assert!(matches!(indelible_server::verify(&DataDir::new(copy.path()), &Trust::default()), Report::Intact(_)));
    assert_eq!(names(), before);
}

#[test]
fn verifying_changes_no_byte_and_leaves_nothing_behind() {
    let seed = honest();
    let content = |dir: &Path| -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(dir.join("trail")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap(), path)).collect()
    };
    let before = content(seed.path());
    verify(seed.path(), &[]);
    assert!(content(seed.path()) == before);

    let killed = copy(seed.path());
    let writer = Connection::open(trail_file(killed.path())).unwrap();
    writer.execute_batch("PRAGMA wal_autocheckpoint = 0; CREATE TABLE note (x); DROP TABLE note").unwrap();
    let killed = copy(killed.path());
    assert!(fs::metadata(killed.path().join("trail/000000000000.trail-wal")).unwrap().len() > 0, "a killed agent leaves its log");
    let before = content(killed.path());
    assert_eq!(verify(killed.path(), &[]).0, 0);
    assert!(content(killed.path()) == before);
}

#[test]
fn verifying_a_living_trail_is_recorded_in_it() {
    let seed = Seed::empty();
    let agent = seed.agent();
    assert_eq!(verify(seed.path(), &[]).0, 0);
    let found = seed.indelible(&["search", "action:audit.verify", "-o", "ndjson"]);
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["event"]["meta"]["result"], "intact");
    drop(agent);
    let alone = seed.indelible(&["verify"]);
    assert!(String::from_utf8_lossy(&alone.stderr).contains("not recorded"), "{alone:?}");
}

#[test]
fn a_trail_is_verified_while_it_grows() {
    let seed = Seed::empty();
    let _agent = seed.agent();
    let recorder = Recorder::open(indelible::Config::new(seed.path(), "clinic")).unwrap();
    for round in 0..20 {
        for number in 0..50 {
            recorder.record(numbered(round * 50 + number));
        }
        let found = verify(seed.path(), &[]);
        assert_eq!(found.0, 0, "{found:?}");
    }
}
