//! What `verify` says of trails of several files: of honest ones of every shape, and of what somebody may do to their files.
#![allow(clippy::unwrap_used, reason = "tests")]

mod dump;
mod files;
mod seed;
mod tamper;

use std::fs;
use std::path::Path;

use dump::{copy_folder, fast_folder};
use files::{fill, seal_of, trail_files};
use indelible::{Event, Json, Kind};
use indelible_server::{DataDir, FileState, Reader, Report, Trust, verify};
use rusqlite::Connection;
use seed::Seed;
use tamper::{
    CLOSED, FIRST, LAST_SEALED, MIDDLE, OPEN, append_a_page, batch_of_another, change_text, checkpoint, copy_as, cut, delete,
    earlier_open_file, erase_first_body, exchange, exchange_blocks, file, first_of, flip_blob, forge_index, forge_seal, forget_the_newest,
    make_up_run, put, remove, rename, rewrite_first_record, rewrite_in_closed, sql,
};
use tempfile::TempDir;

/// A change of one thing: its name, how it is made, the kind that `verify` must name, the first leaf as a place in a file, and the file.
type Tampering = (&'static str, fn(&Path), &'static str, Option<(usize, u64)>, Option<usize>);

const TAMPERING: &[Tampering] = &[
    ("a sealed file deleted", |dir| remove(dir, MIDDLE), "missing_record", Some((MIDDLE, 0)), Some(LAST_SEALED)),
    ("a sealed file deleted and not its seal", |dir| delete(&file(dir, MIDDLE)), "missing_record", Some((MIDDLE, 0)), Some(LAST_SEALED)),
    ("the first file deleted", |dir| remove(dir, FIRST), "missing_record", Some((FIRST, 0)), Some(MIDDLE)),
    ("a closed file deleted", |dir| delete(&file(dir, CLOSED)), "missing_record", Some((CLOSED, 0)), Some(OPEN)),
    ("the newest file deleted", |dir| delete(&file(dir, OPEN)), "rolled_back", Some((OPEN, 0)), Some(CLOSED)),
    (
        "the newest two files deleted",
        |dir| {
            delete(&file(dir, OPEN));
            delete(&file(dir, CLOSED));
        },
        "rolled_back",
        Some((CLOSED, 0)),
        Some(LAST_SEALED),
    ),
    (
        "the newest two files deleted, and a checkpoint of before them",
        forget_the_newest,
        "rolled_back",
        Some((CLOSED, 0)),
        Some(LAST_SEALED),
    ),
    ("a file renamed", |dir| rename(dir, MIDDLE, 1), "missing_record", Some((MIDDLE, 0)), None),
    ("the first file renamed", |dir| rename(dir, FIRST, 1), "missing_record", Some((FIRST, 0)), None),
    ("the open file renamed", |dir| rename(dir, OPEN, 7), "missing_record", Some((OPEN, 0)), None),
    ("a copy of a file among the others", |dir| copy_as(dir, MIDDLE, FIRST, 300), "meta", None, None),
    ("a copy of a file behind the others", |dir| copy_as(dir, CLOSED, OPEN, 100), "missing_record", None, None),
    ("a file of another trail", |dir| replace_by_another(dir, MIDDLE, false), "meta", None, Some(MIDDLE)),
    ("a file of another trail with its seal", |dir| replace_by_another(dir, MIDDLE, true), "meta", None, Some(MIDDLE)),
    ("a closed file of another trail", |dir| replace_by_another(dir, CLOSED, false), "meta", None, Some(CLOSED)),
    ("a sealed file in the place of another", |dir| exchange(dir, FIRST, LAST_SEALED), "meta", None, Some(FIRST)),
    ("the seal of another file", |dir| put(&seal_of(&file(dir, FIRST)), &seal_of(&file(dir, MIDDLE))), "seal", None, Some(MIDDLE)),
    ("a seal with another end", |dir| change_text(&seal_of(&file(dir, MIDDLE)), 3), "seal", None, Some(MIDDLE)),
    ("a seal with another digest", |dir| change_text(&seal_of(&file(dir, MIDDLE)), 4), "seal", None, Some(MIDDLE)),
    ("a seal that is empty", |dir| fs::write(seal_of(&file(dir, MIDDLE)), "").unwrap(), "seal", None, Some(MIDDLE)),
    ("one byte of a body in a block", |dir| flip_blob(dir, FIRST, "bodies", 256), "block", Some((FIRST, 256)), Some(FIRST)),
    ("one byte of the leaves in a block", |dir| flip_blob(dir, FIRST, "leaves", 256), "leaf_hash", None, Some(FIRST)),
    (
        "a block dropped",
        |dir| sql(dir, FIRST, "DELETE FROM block WHERE first_index = 256"),
        "missing_record",
        Some((FIRST, 256)),
        Some(FIRST),
    ),
    (
        "the first block dropped",
        |dir| sql(dir, FIRST, "DELETE FROM block WHERE first_index = 0"),
        "missing_record",
        Some((FIRST, 0)),
        Some(FIRST),
    ),
    (
        "the last block dropped",
        |dir| sql(dir, FIRST, "DELETE FROM block WHERE first_index = 512"),
        "missing_record",
        Some((FIRST, 512)),
        Some(FIRST),
    ),
    ("two blocks exchanged", exchange_blocks, "stream_index", Some((FIRST, 0)), Some(FIRST)),
    (
        "a block twice",
        |dir| {
            sql(dir, FIRST, "INSERT INTO block SELECT 768, count, id_min, id_max, node, leaves, bodies FROM block WHERE first_index = 256")
        },
        "surplus_record",
        Some((MIDDLE, 0)),
        Some(FIRST),
    ),
    (
        "a block in place of another",
        |dir| {
            sql(
                dir,
                FIRST,
                "UPDATE block SET (leaves, bodies, id_min, id_max, node) = (SELECT leaves, bodies, id_min, id_max, node FROM block WHERE first_index = 0) WHERE first_index = 256",
            )
        },
        "stream_index",
        Some((FIRST, 256)),
        Some(FIRST),
    ),
    (
        "a block of fewer records",
        |dir| sql(dir, FIRST, "UPDATE block SET count = 255 WHERE first_index = 256"),
        "block",
        Some((FIRST, 256)),
        Some(FIRST),
    ),
    (
        "a block too many that counts less than nothing",
        |dir| sql(dir, FIRST, "INSERT INTO block SELECT 768, -1, id_min, id_max, node, leaves, bodies FROM block WHERE first_index = 256"),
        "seal",
        None,
        Some(FIRST),
    ),
    (
        "the node of a block",
        |dir| sql(dir, FIRST, "UPDATE block SET node = zeroblob(32) WHERE first_index = 256"),
        "block",
        Some((FIRST, 256)),
        Some(FIRST),
    ),
    (
        "a block without its node",
        |dir| sql(dir, FIRST, "UPDATE block SET node = NULL WHERE first_index = 256"),
        "block",
        Some((FIRST, 256)),
        Some(FIRST),
    ),
    (
        "the smallest id of a block",
        |dir| sql(dir, FIRST, "UPDATE block SET id_min = zeroblob(16) WHERE first_index = 256"),
        "block",
        Some((FIRST, 256)),
        Some(FIRST),
    ),
    ("a piece of a sealed index", |dir| sql(dir, FIRST, CUT_A_PIECE), "seal", None, Some(FIRST)),
    (
        "a piece of a sealed index under a seal of another key",
        |dir| {
            sql(dir, FIRST, CUT_A_PIECE);
            forge_seal(dir, FIRST);
        },
        "seal",
        None,
        Some(FIRST),
    ),
    ("a piece of a sealed index dropped", |dir| sql(dir, FIRST, "DELETE FROM run_piece"), "seal", None, Some(FIRST)),
    (
        "a value of a sealed index",
        |dir| sql(dir, MIDDLE, "UPDATE run_value SET value = 'nobody' WHERE value = 'visit.note'"),
        "seal",
        None,
        Some(MIDDLE),
    ),
    (
        "the streams of a sealed file",
        |dir| sql(dir, MIDDLE, "UPDATE stream SET next_sequence = next_sequence + 1"),
        "seal",
        None,
        Some(MIDDLE),
    ),
    (
        "a count of a sealed file",
        |dir| sql(dir, MIDDLE, "UPDATE stream SET next_stream_index = next_stream_index + 1"),
        "unfinished_work",
        None,
        Some(MIDDLE),
    ),
    ("a stream of a sealed file dropped", |dir| sql(dir, MIDDLE, "DELETE FROM stream"), "unfinished_work", None, Some(MIDDLE)),
    ("free space of a sealed file", append_a_page, "seal", None, Some(MIDDLE)),
    (
        "free space of a sealed file beside a second seal that is none",
        |dir| {
            append_a_page(dir);
            fs::write(file(dir, MIDDLE).with_extension("reseal"), "no note").unwrap();
        },
        "seal",
        None,
        Some(MIDDLE),
    ),
    ("a sealed file that was cut off", |dir| cut(&file(dir, FIRST), 2), "seal", None, Some(FIRST)),
    ("a view in a sealed file", |dir| sql(dir, FIRST, "CREATE VIEW v AS SELECT 1"), "schema", None, Some(FIRST)),
    ("the batch of another file", batch_of_another, "missing_record", None, Some(MIDDLE)),
    (
        "the tree before a file",
        |dir| sql(dir, MIDDLE, "UPDATE meta SET value = replace(value, '0', '1') WHERE key = 'frontier'"),
        "meta",
        None,
        Some(MIDDLE),
    ),
    (
        "a body of a closed file",
        |dir| sql(dir, CLOSED, "UPDATE record SET body = CAST('{}' AS BLOB) WHERE leaf_index = (SELECT min(leaf_index) + 3 FROM record)"),
        "body",
        Some((CLOSED, 3)),
        Some(CLOSED),
    ),
    ("a record of a closed file rewritten", rewrite_in_closed, "root", None, Some(CLOSED)),
    (
        "the last record of a closed file dropped",
        |dir| sql(dir, CLOSED, "DELETE FROM record WHERE leaf_index = (SELECT max(leaf_index) FROM record)"),
        "missing_record",
        None,
        Some(CLOSED),
    ),
    (
        "a high-water of a closed file",
        |dir| sql(dir, CLOSED, "UPDATE stream SET next_sequence = next_sequence + 1"),
        "unfinished_work",
        None,
        Some(CLOSED),
    ),
    ("a count of a closed file", |dir| sql(dir, CLOSED, "UPDATE stream SET next_stream_index = 7"), "unfinished_work", None, Some(CLOSED)),
    ("a stream of a closed file dropped", |dir| sql(dir, CLOSED, "DELETE FROM stream"), "unfinished_work", None, Some(CLOSED)),
    ("what is pending in a closed file", |dir| sql(dir, CLOSED, "DELETE FROM pending"), "unfinished_work", None, Some(CLOSED)),
    (
        "a high-water of the open file",
        |dir| sql(dir, OPEN, "UPDATE stream SET next_sequence = next_sequence + 1"),
        "unfinished_work",
        None,
        Some(OPEN),
    ),
    ("a run made up in the open file", make_up_run, "index", None, Some(OPEN)),
    ("a value of no run in a closed file", |dir| sql(dir, CLOSED, "INSERT INTO run_value VALUES (5, 1, 'x')"), "index", None, Some(CLOSED)),
    ("the head of a closed file gone", |dir| sql(dir, CLOSED, "DELETE FROM head"), "damaged", None, Some(CLOSED)),
    (
        "a salt of four bytes in a closed file",
        |dir| sql(dir, CLOSED, "UPDATE record SET salt = x'01020304'"),
        "body",
        Some((CLOSED, 0)),
        Some(CLOSED),
    ),
    ("a hash of four bytes in the head", |dir| sql(dir, CLOSED, "UPDATE head SET root_hash = x'01020304'"), "damaged", None, Some(CLOSED)),
    ("the index of a closed table", forge_index, "unfinished_work", None, Some(CLOSED)),
    ("the open file of an earlier day", earlier_open_file, "rolled_back", None, Some(OPEN)),
];

/// Something that is taken away: its name, and how.
type Removal = (&'static str, fn(&Path));

/// What must not be mistaken for tampering, and not for an intact trail either.
const UNCHECKABLE: &[Removal] = &[
    ("a seal deleted", |dir| delete(&seal_of(&file(dir, MIDDLE)))),
    ("a seal of no file", |dir| put(&seal_of(&file(dir, FIRST)), &dir.join("trail/000000999999.seal"))),
    ("a seal of the open file", |dir| put(&seal_of(&file(dir, FIRST)), &seal_of(&file(dir, OPEN)))),
    ("a file of no name", |dir| put(&file(dir, FIRST), &dir.join("trail/copy.trail"))),
    ("a file of a short name", |dir| put(&file(dir, FIRST), &dir.join("trail/12.trail"))),
    ("a file behind all leaves that can be counted", |dir| put(&file(dir, OPEN), &dir.join("trail/9223372036854775808.trail"))),
    ("a rollback journal of a sealed file", |dir| fs::write(dir.join("trail/000000000000.trail-journal"), "x").unwrap()),
    ("a sealed file of nothing", |dir| fs::write(file(dir, FIRST), "").unwrap()),
    ("a sealed file of another version", |dir| sql(dir, CLOSED, "PRAGMA user_version = 1")),
];

const CUT_A_PIECE: &str =
    "UPDATE run_piece SET bytes = substr(bytes, 1, length(bytes) - 1) WHERE first_term = (SELECT max(first_term) FROM run_piece)";

fn replace_by_another(dir: &Path, place: usize, with_seal: bool) {
    let another = honest();
    put(&file(another.path(), place), &file(dir, place));
    if with_seal {
        put(&seal_of(&file(another.path(), place)), &seal_of(&file(dir, place)));
    }
}

fn numbered(number: u64) -> Event {
    let mut event = Event::new(Kind::Action, "visit.note");
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

fn rounds(sizes: &[u64]) -> Vec<Vec<Event>> {
    let mut first = 0;
    let mut round = |size: &u64| {
        first += size;
        (first - size..first).map(numbered).collect()
    };
    sizes.iter().map(&mut round).collect()
}

/// Three sealed files, the first one of three blocks, a closed one and the open one, with a pending intent and, in `old`, an earlier form
/// of the open one.
fn honest() -> Seed {
    let seed = Seed::empty();
    seed.leave_in_doubt("clinic", vec![numbered(9000)]);
    fill(&seed, rounds(&[600, 20, 300, 20, 10]));
    fs::create_dir(seed.path().join("old")).unwrap();
    put(&file(seed.path(), OPEN), &seed.path().join("old/open"));
    let closed = fs::read(file(seed.path(), CLOSED)).unwrap();
    seed.record("clinic", rounds(&[5]).remove(0));
    seed.ingest();
    delete(&seal_of(&file(seed.path(), CLOSED)));
    fs::write(file(seed.path(), CLOSED), closed).unwrap();
    assert!(matches!(check(seed.path(), false), Report::Intact(_)), "{:?}", check(seed.path(), false));
    seed
}

fn check(dir: &Path, deep: bool) -> Report {
    verify(&DataDir::new(dir), &Trust { deep, ..Trust::default() })
}

fn copy(from: &Path) -> TempDir {
    let to = fast_folder();
    for folder in ["trail", "old", "keys"] {
        copy_folder(&from.join(folder), &to.path().join(folder));
    }
    to
}

#[test]
fn a_trail_of_all_kinds_of_files_is_intact() {
    let seed = honest();
    let reader = Reader::open(&seed.dir()).unwrap();
    let states: Vec<_> = reader.files().iter().map(|file| file.state()).collect();
    assert_eq!(states, [FileState::Sealed, FileState::Sealed, FileState::Sealed, FileState::Closed, FileState::Open]);
    let deep = check(seed.path(), true);
    assert!(matches!(deep, Report::Intact(_)), "{deep:?}");
}

#[test]
fn every_change_of_a_file_is_found_and_its_place_is_named() {
    let honest = honest();
    let files = trail_files(honest.path());
    let name = |place: usize| files[place].file_name().unwrap().to_str().unwrap().to_owned();
    let mut wrong = Vec::new();
    for (what, tamper, kind, leaf, place) in TAMPERING {
        let copy = copy(honest.path());
        tamper(copy.path());
        let Report::Tampered(found) = check(copy.path(), false) else {
            wrong.push(format!("{what}: {:?}", check(copy.path(), false)));
            continue;
        };
        let expected_leaf = leaf.map(|(place, offset)| first_of(&files[place]) + offset);
        let is_leaf = expected_leaf.is_none() || found.leaves.as_ref().map(|leaves| leaves.start) == expected_leaf;
        let is_file = place.is_none() || found.file == place.map(name);
        if found.kind.as_str() != *kind || !is_leaf || !is_file {
            wrong.push(format!("{what}: {found:?}, not {kind} at {expected_leaf:?} in {:?}", place.map(name)));
        }
        if found.leaves.as_ref().is_some_and(std::ops::Range::is_empty) {
            wrong.push(format!("{what}: no leaf lies there: {found:?}"));
        }
        if found.kind.as_str() == "block" && found.leaves.as_ref().is_none_or(|leaves| leaves.end - leaves.start > 256) {
            wrong.push(format!("{what}: a block is at most 256 records: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_cannot_be_checked_is_neither_intact_nor_tampered() {
    let honest = honest();
    let mut wrong = Vec::new();
    for (what, remove) in UNCHECKABLE {
        let copy = copy(honest.path());
        remove(copy.path());
        match check(copy.path(), false) {
            Report::CouldNotCheck(_) => {}
            report => wrong.push(format!("{what}: {report:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A hole costs nothing to make, and hours to read.
#[test]
fn a_sealed_file_that_was_grown_is_found_without_reading_what_it_grew_by() {
    let honest = honest();
    let copy = copy(honest.path());
    fs::OpenOptions::new().write(true).open(file(copy.path(), MIDDLE)).unwrap().set_len(1 << 40).unwrap();
    let (done, report) = std::sync::mpsc::channel();
    let dir = copy.path().to_owned();
    std::thread::spawn(move || done.send(check(&dir, false)));
    let report = report.recv_timeout(seed::PATIENCE).expect("verify reads what the file grew by");
    let Report::Tampered(found) = report else { panic!("{report:?}") };
    assert_eq!(found.kind.as_str(), "seal");
}

/// What was taken out must not look like what does not match.
#[test]
fn a_search_that_cannot_see_every_record_says_so() {
    let honest = honest();
    let index_without_its_first_run =
        "INSERT INTO run SELECT min(leaf_index) + 1, min(leaf_index) + 2, 0, 0, zeroblob(16), zeroblob(16), zeroblob(4) FROM record";
    for (place, statements, exit) in [(FIRST, "DELETE FROM block WHERE first_index = 256", 5), (OPEN, index_without_its_first_run, 1)] {
        let copy = copy(honest.path());
        sql(copy.path(), place, statements);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_indelible"));
        let output = command.arg("--data").arg(copy.path()).args(["search", "--asc", "-n", "1000"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(exit), 0), "{statements}: {told}");
        assert!(told.contains("run `indelible verify`"), "{told}");
    }
}

/// A seal vouches for the index; whoever does not want to believe it has it built again.
#[test]
fn a_deep_verification_finds_a_changed_index_without_its_seal() {
    let honest = honest();
    for statements in [CUT_A_PIECE, "DELETE FROM run_piece", "UPDATE run SET occurred_min = 0", "DELETE FROM run_value", "DELETE FROM run"]
    {
        let copy = copy(honest.path());
        sql(copy.path(), FIRST, statements);
        let Report::Tampered(found) = check(copy.path(), true) else { panic!("{statements}: {:?}", check(copy.path(), true)) };
        assert_eq!((found.kind.as_str(), found.file), ("index", Some("000000000000.trail".to_owned())), "{statements}");
    }
}

/// SQLite reads a log that lies beside a file, whatever the file says, and no seal vouches for it.
#[test]
fn a_log_beside_a_sealed_file_is_not_read() {
    let honest = honest();
    let copy = copy(honest.path());
    let (sealed, other) = (file(copy.path(), FIRST), copy.path().join("old/other"));
    put(&sealed, &other);
    let connection = Connection::open(&other).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; DELETE FROM run; DELETE FROM run_piece").unwrap();
    put(&copy.path().join("old/other-wal"), &sealed.with_extension("trail-wal"));
    drop(connection);
    assert!(matches!(check(copy.path(), true), Report::Intact(_)), "{:?}", check(copy.path(), true));
    let reader = Reader::open(&DataDir::new(copy.path())).unwrap();
    assert!(reader.files()[FIRST].spans().unwrap().iter().all(|span| span.indexed));
}

/// A body that is gone leaves nothing to recompute.
// covers: H3
#[test]
fn a_body_that_somebody_erased_is_missed_where_its_record_alone_is_checked() {
    let honest = honest();
    let reader = Reader::open(&honest.dir()).unwrap();
    let commitment = reader.record(0).unwrap().unwrap().entry.commitment;
    for is_kept in [false, true] {
        let copy = copy(honest.path());
        erase_first_body(copy.path(), commitment.as_bytes(), is_kept);
        let range = |range| verify(&DataDir::new(copy.path()), &Trust { range: Some(range), ..Trust::default() });
        let Report::Tampered(found) = range(0..2) else { panic!("{:?}", range(0..2)) };
        assert_eq!(found.kind.as_str(), if is_kept { "block" } else { "seal" });
        assert!(matches!(range(300..310), Report::Intact(_)), "others are not touched by that");
    }
}

/// The growth is proved by hashes in a block that nothing else of the range leads through.
#[test]
fn a_block_that_the_growth_from_a_kept_checkpoint_needs_is_named_when_it_is_damaged() {
    let honest = honest();
    let copy = copy(honest.path());
    let kept = copy.path().join("kept.txt");
    let verifier = fs::read_to_string(copy.path().join("trail/verifier")).unwrap();
    fs::write(&kept, format!("{}\n{verifier}", checkpoint(copy.path(), 300))).unwrap();
    let trust = Trust { range: Some(0..2), against: Some(kept), ..Trust::default() };
    let check = || verify(&DataDir::new(copy.path()), &trust);
    assert!(matches!(check(), Report::Intact(_)), "{:?}", check());
    sql(copy.path(), FIRST, "UPDATE block SET leaves = x'00' WHERE first_index = 256");
    let Report::Tampered(found) = check() else { panic!("{:?}", check()) };
    assert_eq!((found.kind.as_str(), found.leaves), ("block", Some(256..512)));
}

/// A sealed file stores the root over each block. The block that a range lies in is computed from the leaves instead.
#[test]
fn a_record_that_is_rewritten_in_a_block_is_found_though_the_node_of_the_block_is_kept() {
    let honest = honest();
    let copy = copy(honest.path());
    rewrite_first_record(copy.path());
    let found = |range| match verify(&DataDir::new(copy.path()), &Trust { range, ..Trust::default() }) {
        Report::Tampered(fault) => (fault.kind.as_str(), fault.leaves),
        report => panic!("{report:?}"),
    };
    assert_eq!(found(Some(0..2)), ("root", Some(0..2)));
    assert_eq!(found(None), ("block", Some(0..256)));
}

/// The agent may be killed between the seal and the rename, so a closed file with a seal is one that is about to be sealed.
#[test]
fn a_file_in_its_closed_form_beside_its_seal_is_honest() {
    let seed = Seed::empty();
    let seal = |name: &str| {
        seed.record("clinic", rounds(&[30]).remove(0));
        let mut command = seed.command(&["serve", "--listen", "127.0.0.1:0", "--leaves-per-file", "30"]);
        assert!(!command.env("INDELIBLE_FAILPOINT", name).stderr(std::process::Stdio::null()).status().unwrap().success());
        let report = check(seed.path(), true);
        assert!(matches!(report, Report::Intact(_)), "killed at {name}: {report:?}");
    };
    [
        "seal.before_commit",
        "seal.after_commit",
        "seal.after_sync",
        "seal.before_note",
        "seal.before_rename",
        "seal.after_rename",
        "seal.after_unlink",
    ]
    .iter()
    .for_each(|name| seal(name));
    [
        "roll.before_fold",
        "roll.after_fold",
        "roll.before_commit",
        "roll.after_commit",
        "roll.after_sync",
        "roll.before_rename",
        "roll.after_rename",
    ]
    .iter()
    .for_each(|name| seal(name));
    seed.ingest();
    assert!(matches!(check(seed.path(), true), Report::Intact(_)));
}
