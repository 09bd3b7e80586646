//! Which leaves `verify` names, to the last one, and what it says of what somebody signed who has the trail's key, or another one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod dump;
mod seed;
mod single_file;

use std::fs;
use std::ops::Range;
use std::path::Path;

use dump::{copy_folder, fast_folder};
use indelible::{Event, Json, Kind};
use indelible_core::{BatchNote, Checkpoint, Frontier, Hash, LeafEntry, SigningKey, TreeHead, commitment};
use indelible_server::{DataDir, FaultKind, Intact, Reader, Report, Trust, verify};
use rusqlite::Connection;
use seed::Seed;
use single_file::{put_back, sql, trail_file};
use tempfile::TempDir;

/// Records in the trail of [`honest`], and how many of them its `old` has.
const SIZE: u64 = 12;
const OLD_SIZE: u64 = 2;

/// A change of one thing: its name, how it is made, the kind that `verify` must name, and the leaves.
type Tampering = (&'static str, fn(&Path), &'static str, Option<Range<u64>>);

const TAMPERING: &[Tampering] = &[
    ("a dropped row", |dir| sql(dir, "DELETE FROM record WHERE leaf_index = 6"), "missing_record", Some(6..7)),
    ("a copied row", |dir| sql(dir, COPY_A_ROW), "stream_index", Some(SIZE..SIZE + 1)),
    ("a row rewritten", |dir| rewrite(dir, 8), "root", Some(8..12)),
    (
        "a row rewritten, and a head that leads nowhere",
        |dir| {
            rewrite(dir, 3);
            fit_head(dir, |frontier| *frontier.last_mut().unwrap() ^= 1);
        },
        "root",
        Some(0..SIZE),
    ),
    (
        "a row rewritten under a checkpoint behind which more is committed",
        |dir| {
            put_back(dir, &["checkpoint", "state"]);
            rewrite(dir, 1);
            fit_head(dir, |_| ());
        },
        "root",
        Some(0..OLD_SIZE),
    ),
    (
        "a row rewritten behind the checkpoint",
        |dir| {
            put_back(dir, &["checkpoint", "state"]);
            rewrite(dir, 8);
            fit_head(dir, |_| ());
        },
        "batch",
        Some(OLD_SIZE..SIZE),
    ),
    ("an older trail file", |dir| drop(fs::copy(dir.join("old/000000000000.trail"), trail_file(dir))), "rolled_back", Some(OLD_SIZE..SIZE)),
    ("a run that does not begin with the file", |dir| sql(dir, RUN_BEHIND_THE_FIRST), "index", Some(0..1)),
    ("a page that nothing leads to", add_page, "file", None),
    ("no head", |dir| sql(dir, "DELETE FROM head"), "damaged", None),
    ("a head of less than nothing", |dir| sql(dir, "UPDATE head SET tree_size = -1"), "damaged", None),
    ("a batch of another root", |dir| sign_batch(dir, SIZE, Hash::from_bytes([7; 32])), "batch", None),
    ("a batch of fewer records", |dir| sign_batch(dir, SIZE - 2, Hash::from_bytes([7; 32])), "surplus_record", Some(SIZE - 2..SIZE)),
    ("a batch of more records", |dir| sign_batch(dir, SIZE + 2, Hash::from_bytes([7; 32])), "missing_record", Some(SIZE..SIZE + 2)),
];

/// The same where only the records of a range are checked.
const TAMPERING_IN_RANGE: &[(Range<u64>, Tampering)] = &[
    (3..6, ("the first one dropped", |dir| sql(dir, "DELETE FROM record WHERE leaf_index = 3"), "missing_record", Some(3..4))),
    (3..6, ("one in the middle dropped", |dir| sql(dir, "DELETE FROM record WHERE leaf_index = 4"), "missing_record", Some(4..5))),
    (7..12, ("the last ones dropped", |dir| sql(dir, "DELETE FROM record WHERE leaf_index > 8"), "missing_record", Some(9..12))),
    (3..6, ("all of them dropped", |dir| sql(dir, "DELETE FROM record"), "missing_record", Some(3..6))),
    (3..6, ("a salt", |dir| sql(dir, "UPDATE record SET salt = zeroblob(32) WHERE leaf_index = 4"), "body", Some(4..5))),
    (3..6, ("a leaf hash", |dir| sql(dir, "UPDATE record SET leaf_hash = zeroblob(32) WHERE leaf_index = 4"), "leaf_hash", Some(4..5))),
    (3..6, ("a leaf of no form", |dir| sql(dir, "UPDATE record SET entry = x'00' WHERE leaf_index = 4"), "leaf", Some(4..5))),
    (3..6, ("a hash of one byte", |dir| sql(dir, "UPDATE record SET leaf_hash = x'00' WHERE leaf_index = 4"), "damaged", Some(3..6))),
    (3..6, ("another one dropped", |dir| sql(dir, "DELETE FROM record WHERE leaf_index = 9"), "leaf", Some(9..10))),
    (3..6, ("one rewritten", |dir| rewrite(dir, 4), "root", Some(3..6))),
    (
        0..1,
        ("an older trail file", |dir| drop(fs::copy(dir.join("old/000000000000.trail"), trail_file(dir))), "rolled_back", Some(2..SIZE)),
    ),
];

const COPY_A_ROW: &str = "INSERT INTO record SELECT 12, entry, leaf_hash, salt, body FROM record WHERE leaf_index = 4";
const RUN_BEHIND_THE_FIRST: &str = "INSERT INTO run VALUES (2, 4, 0, 0, zeroblob(16), zeroblob(16), zeroblob(4))";

/// A trail in one file, with its own past in `old`.
fn honest() -> Seed {
    let seed = Seed::empty();
    seed.ingest();
    let old = seed.path().join("old");
    fs::create_dir(&old).unwrap();
    for name in ["checkpoint", "state", "000000000000.trail"] {
        fs::copy(seed.path().join("trail").join(name), old.join(name)).unwrap();
    }
    seed.record("clinic", (0..8).map(numbered).collect());
    seed.ingest();
    assert_eq!(intact(seed.path(), &Trust::default()).tree_size, SIZE);
    assert_eq!(intact(past(seed.path()).path(), &Trust::default()).tree_size, OLD_SIZE);
    seed
}

fn numbered(number: u64) -> Event {
    let mut event = Event::new(Kind::Action, "visit.note");
    event.meta = Some(Json::from_text(format!(r#"{{"number":{number}}}"#)));
    event
}

fn copy(from: &Path) -> TempDir {
    let to = fast_folder();
    for folder in ["trail", "old", "keys"] {
        copy_folder(&from.join(folder), &to.path().join(folder));
    }
    to
}

/// The trail as it was before.
fn past(from: &Path) -> TempDir {
    let copy = copy(from);
    put_back(copy.path(), &["checkpoint", "state", "000000000000.trail"]);
    copy
}

/// What somebody does who has read docs/format.md and lacks only the key.
fn rewrite(dir: &Path, leaf_index: i64) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    let select = "SELECT entry, salt FROM record WHERE leaf_index = ?1";
    let (entry, salt): (Vec<u8>, [u8; 32]) = connection.query_row(select, [leaf_index], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let body = b"{}";
    let entry = LeafEntry { commitment: commitment(&salt, body), ..LeafEntry::decode(&entry).unwrap() };
    let update = "UPDATE record SET entry = ?2, leaf_hash = ?3, body = ?4 WHERE leaf_index = ?1";
    connection.execute(update, rusqlite::params![leaf_index, entry.encode(), entry.hash().as_bytes(), body]).unwrap();
}

/// Makes the head that of the records, and then something else of its frontier.
fn fit_head(dir: &Path, change: fn(&mut Vec<u8>)) {
    let connection = Connection::open(trail_file(dir)).unwrap();
    let mut tree = Frontier::default();
    let mut statement = connection.prepare("SELECT leaf_hash FROM record ORDER BY leaf_index").unwrap();
    for leaf in statement.query_map([], |row| row.get::<_, [u8; 32]>(0)).unwrap() {
        tree.push(Hash::from_bytes(leaf.unwrap()));
    }
    let mut frontier = tree.to_bytes();
    change(&mut frontier);
    connection.execute("UPDATE head SET root_hash = ?1, frontier = ?2", rusqlite::params![tree.root().as_bytes(), frontier]).unwrap();
}

/// Adds a page to the file, and to the number of pages in its header.
fn add_page(dir: &Path) {
    let mut bytes = fs::read(trail_file(dir)).unwrap();
    let pages = u32::from_be_bytes(bytes[28..32].try_into().unwrap());
    assert_eq!(bytes.len(), pages as usize * 4096);
    bytes[28..32].copy_from_slice(&(pages + 1).to_be_bytes());
    bytes.extend([0; 4096]);
    fs::write(trail_file(dir), bytes).unwrap();
}

fn key(dir: &Path) -> SigningKey {
    fs::read_to_string(dir.join("keys/trail.key")).unwrap().trim_end().parse().unwrap()
}

/// Another key of this name.
fn another_key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, &[7; 32]).unwrap()
}

/// Signs a newest batch with the trail's key.
fn sign_batch(dir: &Path, tree_size: u64, root_hash: Hash) {
    let key = key(dir);
    let connection = Connection::open(trail_file(dir)).unwrap();
    let note: String = connection.query_row("SELECT batch FROM head", [], |row| row.get(0)).unwrap();
    let batch = BatchNote::open(note.as_bytes(), &key.verifier()).unwrap();
    let note = BatchNote { tree_size, root_hash, ..batch }.sign(&key).unwrap().to_string();
    connection.execute("UPDATE head SET batch = ?1", [note]).unwrap();
}

/// What `indelible checkpoint` prints, of a key and a tree.
fn kept(dir: &Path, key: &SigningKey, head: TreeHead) -> Trust {
    let checkpoint = Checkpoint { origin: key.name().parse().unwrap(), tree_size: head.tree_size, root_hash: head.root_hash };
    let path = dir.join("kept.txt");
    fs::write(&path, format!("{}\n{}\n", checkpoint.sign(key).unwrap(), key.verifier())).unwrap();
    Trust { against: Some(path), ..Trust::default() }
}

fn root(dir: &Path, tree_size: u64) -> TreeHead {
    let root_hash =
        if tree_size == 0 { Frontier::default().root() } else { Reader::open(&DataDir::new(dir)).unwrap().subtree(0..tree_size).unwrap() };
    TreeHead { tree_size, root_hash }
}

fn check(dir: &Path, trust: &Trust) -> Report {
    verify(&DataDir::new(dir), trust)
}

fn intact(dir: &Path, trust: &Trust) -> Intact {
    match check(dir, trust) {
        Report::Intact(intact) => intact,
        report => panic!("{report:?}"),
    }
}

fn range(range: Range<u64>) -> Trust {
    Trust { range: Some(range), ..Trust::default() }
}

/// Kind of fault and the leaves, or the whole answer where there is none.
fn found(report: Report) -> Result<(&'static str, Option<Range<u64>>), Report> {
    match report {
        Report::Tampered(fault) => Ok((fault.kind.as_str(), fault.leaves)),
        report => Err(report),
    }
}

#[test]
fn every_leaf_that_is_named_is_one_of_those_that_were_changed() {
    let honest = honest();
    let of_all = TAMPERING.iter().map(|tampering| (Trust::default(), tampering));
    let of_a_range = TAMPERING_IN_RANGE.iter().map(|(leaves, tampering)| (range(leaves.clone()), tampering));
    let mut wrong = Vec::new();
    for (trust, (what, tamper, kind, leaves)) in of_all.chain(of_a_range) {
        let copy = copy(honest.path());
        tamper(copy.path());
        let found = found(check(copy.path(), &trust));
        if found != Ok((*kind, leaves.clone())) {
            wrong.push(format!("{what}, {:?}: {found:?}, not {kind} {leaves:?}", trust.range));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_page_that_cannot_be_read_is_not_called_a_value_of_another_form() {
    let honest = honest();
    let copy = copy(honest.path());
    let bytes = fs::read(trail_file(copy.path())).unwrap();
    for place in (4096..bytes.len()).step_by(4096) {
        let mut cut = bytes.clone();
        cut[place..place + 4096].fill(0xff);
        fs::write(trail_file(copy.path()), cut).unwrap();
        let report = check(copy.path(), &range(3..6));
        assert!(!matches!(report, Report::Tampered(_)), "page at {place}: {report:?}");
        let report = check(copy.path(), &Trust::default());
        assert!(!matches!(&report, Report::Tampered(fault) if fault.kind == FaultKind::Damaged), "page at {place}: {report:?}");
    }
}

#[test]
fn a_kept_checkpoint_is_compared_in_all_that_it_says() {
    let honest = honest();
    let dir = honest.path();
    let (own, fake) = (key(dir), another_key("indelible/00000000000000000000000000000000"));
    let some = |trust: &Trust| Trust { range: Some(0..2), ..trust.clone() };
    let mut wrong = Vec::new();
    let mut expect = |what: &str, trust: &Trust, expected: Option<(&'static str, Option<Range<u64>>)>, of_range: Option<Range<u64>>| {
        let of_range = expected.as_ref().map(|(kind, _)| (*kind, of_range));
        for (trust, expected) in [(trust.clone(), expected), (some(trust), of_range)] {
            let report = check(dir, &trust);
            let is_right = match (&report, &expected) {
                (Report::Intact(intact), None) => intact.unsigned == 0,
                (Report::Tampered(fault), Some((kind, leaves))) => (fault.kind.as_str(), &fault.leaves) == (*kind, leaves),
                _ => false,
            };
            if !is_right {
                wrong.push(format!("{what}, {:?}: {report:?}, not {expected:?}", trust.range));
            }
        }
    };
    for size in [0, 1, 5, 8, SIZE - 1, SIZE] {
        expect(&format!("its own of {size}"), &kept(dir, &own, root(dir, size)), None, None);
    }
    let forked = |tree_size| kept(dir, &own, TreeHead { tree_size, root_hash: Hash::from_bytes([7; 32]) });
    for size in [5, SIZE] {
        expect(&format!("a fork of {size}"), &forked(size), Some(("kept_checkpoint", Some(0..size))), Some(0..size));
    }
    expect("a fork that is longer", &forked(SIZE + 1), Some(("kept_checkpoint", Some(SIZE..SIZE + 1))), Some(0..SIZE + 1));
    let other = |size| kept(dir, &fake, root(dir, size));
    expect("another trail of the same root", &other(5), Some(("kept_checkpoint", Some(0..5))), Some(0..5));
    expect("another trail of nothing", &other(0), Some(("kept_checkpoint", None)), Some(0..1));
    let replaced = kept(dir, &another_key(own.name()), root(dir, SIZE));
    expect("a key that was replaced", &replaced, Some(("verifier", None)), None);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
