//! What the agent does with a trail that somebody else has changed: nothing, and it says so.

use std::fs;
use std::path::{Path, PathBuf};

use indelible_core::Timestamp;
use rusqlite::Connection;

use super::TrailError;
use crate::data_dir::DataDir;
use crate::ingest::{Deadlines, IngestError, Ingester};
use crate::journal::testing::TestStream;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn trail_file(dir: &DataDir) -> PathBuf {
    dir.trail().join("000000000000.trail")
}

fn sql(dir: &DataDir, statements: &str) {
    Connection::open(trail_file(dir)).unwrap().execute_batch(statements).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

/// A trail with a record and a pending intent; a frame that is not ingested is in the journal. In `old`, the state of its first batch.
fn stopped(root: &Path) -> (DataDir, TestStream) {
    let dir = DataDir::new(root);
    let mut agent = Ingester::open(&dir, Deadlines::default()).unwrap();
    let mut stream = TestStream::new(&dir.journal(), 1);
    stream.event(1);
    agent.step(NOW).unwrap();
    fs::copy(dir.state(), root.join("old")).unwrap();
    stream.intent(1, &[2]);
    agent.step(NOW).unwrap();
    stream.intent(2, &[3]);
    agent.step(NOW).unwrap();
    agent.close().unwrap();
    stream.event(4);
    (dir, stream)
}

/// A change by hand: its name, and how it is made.
type Change = (&'static str, fn(&DataDir));

const CHANGES: &[Change] = &[
    ("a high-water", |dir| sql(dir, "UPDATE stream SET next_sequence = next_sequence + 5")),
    ("a service", |dir| sql(dir, "UPDATE stream SET service = 'another'")),
    ("a pending intent dropped", |dir| sql(dir, "DELETE FROM pending")),
    ("a batch that nobody signed", |dir| sql(dir, "UPDATE head SET batch = replace(batch, 'v1', 'v2')")),
    ("a head", |dir| sql(dir, "UPDATE head SET tree_size = 0, frontier = zeroblob(8)")),
    ("a trigger", |dir| sql(dir, "CREATE TRIGGER evil AFTER INSERT ON pending BEGIN DELETE FROM pending; END")),
    ("a view", |dir| sql(dir, "ALTER TABLE record RENAME TO kept; CREATE VIEW record AS SELECT * FROM kept")),
    ("an index", |dir| sql(dir, "CREATE INDEX evil ON pending (ingested_at, intent) WHERE 0")),
    ("a row of meta", |dir| sql(dir, "INSERT INTO meta VALUES ('note', 'x')")),
    ("a state of two batches ago", |dir| copy(&dir.root().join("old"), &dir.state())),
    ("no state", |dir| fs::remove_file(dir.state()).unwrap()),
    ("a second trail file", |dir| copy(&trail_file(dir), &dir.trail().join("zzz.trail"))),
    ("a rollback journal", |dir| fs::write(dir.trail().join("000000000000.trail-journal"), "x").unwrap()),
];

/// An agent once took a high-water that was raised by hand, passed over the next frames as if it had them, deleted their segment
/// and signed the result.
#[test]
fn a_trail_that_somebody_changed_is_not_continued_and_nothing_is_deleted() {
    for (what, change) in CHANGES {
        let temporary = tempfile::tempdir().unwrap();
        let (dir, stream) = stopped(temporary.path());
        change(&dir);
        let notes = [fs::read(dir.checkpoint()).ok(), fs::read(dir.state()).ok()];
        let error = Ingester::open(&dir, Deadlines::default()).err().unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(error.is_final(), "{what}: {error}");
        assert_eq!([fs::read(dir.checkpoint()).ok(), fs::read(dir.state()).ok()], notes, "{what}");
        assert!(stream.segment_path().exists(), "{what}");
    }
}

#[test]
fn a_trail_that_somebody_writes_into_while_the_agent_runs_is_not_continued() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, mut stream) = stopped(temporary.path());
    let mut agent = Ingester::open(&dir, Deadlines::default()).unwrap();
    agent.step(NOW).unwrap();
    stream.event(5);
    sql(&dir, "DELETE FROM pending");
    let error = agent.step(NOW).unwrap_err();
    assert!(matches!(error, IngestError::Trail(TrailError::Changed { .. })), "{error}");
    assert!(error.is_final());
}

#[test]
fn an_honest_trail_is_continued() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, _stream) = stopped(temporary.path());
    let mut agent = Ingester::open(&dir, Deadlines::default()).unwrap();
    assert!(agent.step(NOW).unwrap().worked);
}
