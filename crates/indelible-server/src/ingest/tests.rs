//! From journals to records, with a clock that is turned by hand, and with every crash between two steps.

mod answers;
mod company;
mod erasing;
mod rolling;
mod sealing;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use indelible_core::{Evidence, Frame, Item, LeafEntry, Resolution, Timestamp, Verdict};
use serde_json::Value;

use super::{BATCH_BYTES, BATCH_FRAMES, Deadlines, IngestError, Ingester, Settings, Step};
use crate::data_dir::DataDir;
use crate::journal::testing::{TestStream, body, event_id, item};
use crate::trail::{LEAVES_PER_FILE, Order, Reader, TrailError};
use crate::verify::{Intact, Report, Trust, verify};

const COMMITTED: Resolution = Resolution::Committed;
const ROLLED_BACK: Resolution = Resolution::RolledBack;

/// A data directory, its agent, and a clock.
struct Site {
    dir: DataDir,
    ingester: Option<Ingester>,
    now_ms: i64,
    leaves_per_file: u64,
    _temporary: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self::with_files_of(LEAVES_PER_FILE)
    }

    fn with_files_of(leaves_per_file: u64) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::new(temporary.path());
        let mut site = Self { dir, ingester: None, now_ms: 1_000_000, leaves_per_file, _temporary: temporary };
        site.start().unwrap();
        site
    }

    fn start(&mut self) -> Result<(), IngestError> {
        self.ingester = None;
        self.ingester = Some(Ingester::open(&self.dir, self.settings())?);
        Ok(())
    }

    fn settings(&self) -> Settings {
        Settings { deadlines: Deadlines::default(), leaves_per_file: self.leaves_per_file }
    }

    /// The agent is gone between two steps, without a word.
    fn kill(&mut self) {
        self.ingester = None;
    }

    fn stream(&self, number: u8) -> TestStream {
        TestStream::new(&self.dir.journal(), number)
    }

    fn step(&mut self) -> Step {
        let now = Timestamp::from_micros(self.now_ms * 1000);
        self.ingester.as_mut().unwrap().step(now).unwrap()
    }

    fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
    }

    /// Every record: number of its event (or its action for the agent's own) and verdict.
    fn records(&self) -> Vec<(String, Verdict)> {
        self.leaves().into_iter().map(|(entry, body)| (name(&body), entry.verdict)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.records().into_iter().map(|(name, _)| name).collect()
    }

    fn leaves(&self) -> Vec<(LeafEntry, Value)> {
        let reader = Reader::open(&self.dir).unwrap();
        let mut leaves = Vec::new();
        reader
            .records(0..u64::MAX, Order::OldestFirst, |leaf| {
                leaves.push((leaf.entry, serde_json::from_slice(&leaf.body).unwrap()));
                ControlFlow::Continue(())
            })
            .unwrap();
        leaves
    }

    fn own(&self, action: &str) -> Vec<Value> {
        self.leaves().into_iter().map(|(_, body)| body).filter(|body| body["action"] == action).collect()
    }

    fn intact(&self) -> Intact {
        match verify(&self.dir, &Trust::default()) {
            Report::Intact(intact) => intact,
            report => panic!("{report:?}"),
        }
    }
}

fn name(body: &Value) -> String {
    body["meta"]["number"].as_u64().map_or_else(|| body["action"].as_str().unwrap().to_owned(), |number| number.to_string())
}

#[test]
fn events_become_records_and_their_journal_goes() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.event(1);
    stream.event(2);
    assert!(site.step().worked);
    stream.event(3);
    stream.die();
    let step = site.step();
    assert_eq!((step.live_streams, step.unresolved), (0, 0));
    assert_eq!(
        site.records(),
        [("1".to_owned(), Verdict::Recorded), ("2".to_owned(), Verdict::Recorded), ("3".to_owned(), Verdict::Recorded)]
    );
    assert!(!stream.path().exists(), "everything is in the trail, and its process is gone");
    assert!(site.step().is_idle());
    assert_eq!(site.intact().tree_size, 3);
}

#[test]
fn a_committed_intent_gets_its_leaves_and_a_rolled_back_one_gets_none() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    let intent = stream.intent(1, &[1, 2]);
    stream.intent(2, &[3]);
    stream.outcome(2, ROLLED_BACK);
    assert_eq!(site.step().unresolved, 1);
    assert!(site.names().is_empty());
    stream.outcome(1, COMMITTED);
    assert_eq!(site.step().unresolved, 0);
    let leaves = site.leaves();
    let places: Vec<_> = leaves.iter().map(|(entry, _)| (entry.sequence, entry.item, entry.stream_index, entry.verdict)).collect();
    assert_eq!(places, [(intent, 0, 0, Verdict::Committed), (intent, 1, 1, Verdict::Committed)]);
    site.intact();
}

#[test]
fn an_outcome_replaces_bodies_and_an_empty_one_means_that_nothing_happened() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1, 2]);
    let learnt = body(20);
    let items = [Item { body: &[], ..item(1, &learnt) }, Item { body: &learnt, ..item(2, &learnt) }];
    stream.outcome_with(1, COMMITTED, &items);
    site.step();
    let leaves = site.leaves();
    assert_eq!(leaves.len(), 1);
    assert_eq!((leaves[0].0.event, leaves[0].0.item, leaves[0].0.stream_index), (event_id(2), 1, 0));
    assert_eq!(name(&leaves[0].1), "20");
}

#[test]
fn an_outcome_that_names_other_events_is_corrupt_and_its_intent_stays_in_doubt() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1, 2]);
    let other = body(9);
    stream.outcome_with(1, COMMITTED, &[item(1, &other)]);
    site.step();
    assert_eq!(site.own("audit.gap")[0]["meta"]["cause"], "corrupt_record");
    assert_eq!(fs::read_dir(site.dir.quarantine()).unwrap().count(), 1);
    stream.die();
    site.step();
    site.wait(2_000);
    site.step();
    assert_eq!(site.records()[1..], [("1".to_owned(), Verdict::InDoubt), ("2".to_owned(), Verdict::InDoubt)]);
}

#[test]
fn an_outcome_may_come_from_another_stream_and_before_its_intent() {
    let mut site = Site::new();
    let (mut early, mut late) = (site.stream(1), site.stream(2));
    early.outcome(1, COMMITTED);
    site.step();
    assert!(site.names().is_empty());
    site.kill();
    site.start().unwrap();
    late.intent(1, &[1]);
    site.step();
    assert_eq!(site.records(), [("1".to_owned(), Verdict::Committed)]);
    site.wait(Deadlines::default().orphan_ms * 2);
    site.step();
    site.intact();
}

#[test]
fn what_proves_a_commit_is_the_verdict_of_its_leaves() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    let proofs = [Evidence::Ack, Evidence::Marker, Evidence::Outbox];
    for (number, by) in (1..).zip(proofs) {
        stream.intent_with(number, by, &[u64::from(number)]);
        stream.outcome_by(number, COMMITTED, by, &[]);
    }
    stream.intent_with(9, Evidence::Marker, &[9]);
    stream.outcome_by(9, ROLLED_BACK, Evidence::Marker, &[]);
    // The process lived and said so itself, though another could have found out.
    stream.intent_with(10, Evidence::Marker, &[10]);
    stream.outcome(10, COMMITTED);
    site.step();
    let verdicts = [Verdict::Committed, Verdict::CommittedByMarker, Verdict::CommittedByOutbox, Verdict::Committed];
    let names = ["1", "2", "3", "10"].map(str::to_owned);
    assert_eq!(site.records(), names.into_iter().zip(verdicts).collect::<Vec<_>>());
    site.intact();
}

/// The first frame of a stream was an INTENT whose OUTCOME had come before. Its leaves were made before the stream was known, with an empty
/// service; after the agent's next start the stream was taken for a copy under another service and never read again.
#[test]
fn a_stream_that_begins_with_an_awaited_intent_is_read_on_after_a_restart() {
    let mut site = Site::new();
    let (mut early, mut late) = (site.stream(1), site.stream(2));
    early.outcome(1, COMMITTED);
    site.step();
    late.intent(1, &[1]);
    site.step();
    site.kill();
    site.start().unwrap();
    late.event(2);
    site.step();
    assert_eq!(site.names(), ["1", "2"]);
    site.intact();
}

#[test]
fn an_intent_of_a_dead_process_is_in_doubt_after_two_seconds_and_once() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1, 2]);
    stream.die();
    site.step();
    site.wait(1_999);
    assert_eq!(site.step().unresolved, 1);
    site.wait(1);
    assert_eq!(site.step().unresolved, 0);
    site.wait(100_000);
    assert!(site.step().is_idle());
    assert_eq!(site.records(), [("1".to_owned(), Verdict::InDoubt), ("2".to_owned(), Verdict::InDoubt)]);
    site.intact();
}

#[test]
fn a_marker_gives_its_resolver_a_minute() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent_with(1, Evidence::Marker, &[1]);
    stream.die();
    site.step();
    site.wait(59_999);
    assert_eq!(site.step().unresolved, 1);
    site.wait(1);
    assert_eq!(site.step().unresolved, 0);
}

#[test]
fn an_intent_of_a_living_process_is_in_doubt_after_a_minute() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1]);
    site.step();
    site.wait(59_999);
    assert_eq!(site.step().unresolved, 1);
    site.wait(1);
    site.step();
    assert_eq!(site.records(), [("1".to_owned(), Verdict::InDoubt)]);
}

#[test]
fn a_late_outcome_is_told_once_for_each_event_with_what_it_has_learnt() {
    let mut site = Site::new();
    let (mut stream, mut resolver) = (site.stream(1), site.stream(2));
    stream.intent(1, &[1, 2, 3]);
    stream.intent(2, &[4]);
    stream.die();
    site.step();
    site.wait(2_000);
    site.step();
    let learnt = body(20);
    resolver.outcome_with(1, COMMITTED, &[item(1, &learnt), Item { body: &[], ..item(2, &[]) }, item(3, &learnt)]);
    resolver.outcome(2, ROLLED_BACK);
    resolver.outcome(2, ROLLED_BACK);
    site.step();
    let resolved: Vec<_> = site
        .own("audit.resolve")
        .into_iter()
        .map(|body| {
            let number = &body["meta"]["body"]["meta"]["number"];
            (body["resource"]["id"].as_str().unwrap().to_owned(), body["meta"]["result"].as_str().unwrap().to_owned(), number.as_u64())
        })
        .collect();
    let expected = [(1, "committed", Some(20)), (2, "nothing_happened", None), (3, "committed", Some(20)), (4, "rolled_back", None)];
    assert_eq!(resolved, expected.map(|(number, result, learnt)| (event_id(number).to_string(), result.to_owned(), learnt)));
    assert_eq!(site.records().iter().filter(|(_, verdict)| *verdict == Verdict::InDoubt).count(), 4, "leaves are never changed");
    site.intact();
}

#[test]
fn an_outcome_deep_in_a_backlog_is_found_before_its_intent_is_doubted() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1]);
    stream.events(100..=100 + BATCH_FRAMES as u64);
    stream.outcome(1, COMMITTED);
    stream.die();
    assert_eq!(site.step().unresolved, 1);
    site.wait(100_000);
    assert_eq!(site.step().unresolved, 0);
    assert!(site.records().iter().all(|(_, verdict)| *verdict != Verdict::InDoubt));
}

#[test]
fn gaps_losses_and_corrupt_records_are_told() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.event(1);
    stream.skip(2);
    stream.append(&Frame::Loss { count: 7, first_at: Timestamp::from_micros(1), last_at: Timestamp::from_micros(2) });
    let mut corrupt = stream.encode(&Frame::Close);
    corrupt[8] ^= 1;
    stream.append_bytes(&corrupt);
    stream.event(2);
    stream.append_bytes(&[9; 30]);
    stream.die();
    site.step();
    assert_eq!(site.names(), ["1", "audit.gap", "audit.loss", "audit.gap", "2", "audit.gap"]);
    let gaps: Vec<_> = site
        .own("audit.gap")
        .iter()
        .map(|body| {
            let meta = &body["meta"];
            (meta["cause"].as_str().unwrap().to_owned(), meta["first_sequence"].as_u64().unwrap(), meta["last_sequence"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(gaps, [("missing".to_owned(), 2, 3), ("corrupt_record".to_owned(), 5, 5), ("torn_tail".to_owned(), 7, 7)]);
    assert_eq!(site.own("audit.loss")[0]["meta"]["count"], 7);
    let kept = fs::read_dir(site.dir.quarantine()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(kept).unwrap(), corrupt);
    site.intact();
}

/// A journal that was restored, or that could not be deleted, is read again.
#[test]
fn what_was_ingested_before_is_dropped() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.event(1);
    stream.skip(1);
    stream.intent(1, &[2]);
    stream.outcome(1, COMMITTED);
    stream.append_bytes(&[9; 30]);
    let segment = fs::read(stream.segment_path()).unwrap();
    stream.die();
    site.step();
    let names = site.names();
    fs::create_dir_all(stream.path()).unwrap();
    fs::write(stream.segment_path(), segment).unwrap();
    site.kill();
    site.start().unwrap();
    site.step();
    assert_eq!(site.names(), names);
    assert!(!stream.path().exists());
    site.intact();
}

/// An agent was killed again and again while a process wrote one long segment. Each new agent read the same 8 MiB that it had
/// ingested before, found nothing in them, took itself for idle and ended, and the folder of a process that had ended by then was
/// never read to its end. What was only passed over counts as work now.
#[test]
fn a_segment_that_was_ingested_for_the_most_part_is_read_to_its_end() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    let long = format!(r#"{{"action":"{}"}}"#, "x".repeat(BATCH_BYTES / 4));
    for number in 1..=5 {
        stream.append(&Frame::Event(item(number, long.as_bytes())));
    }
    while site.step().worked {}
    assert_eq!(site.names().len(), 5);
    stream.event(6);
    stream.die();
    site.kill();
    site.start().unwrap();
    let step = site.step();
    assert!(!step.worked && step.is_behind && !step.is_idle());
    while !site.step().is_idle() {}
    assert_eq!(site.names()[5..], ["6"]);
    assert!(!stream.path().exists());
}

/// Whoever copied the folder of a stream to another service had each of its events recorded a second time.
#[test]
fn a_stream_is_read_under_one_service_only() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.event(1);
    let copied = copy_stream(&stream, &site.dir.journal().join("other"));
    site.step();
    assert_eq!(site.names(), ["1"]);
    stream.die();
    let step = site.step();
    assert!(!stream.path().exists() && copied.exists() && step.is_idle());
    site.kill();
    site.start().unwrap();
    assert!(site.step().is_idle(), "it is known whose stream it was");
    assert_eq!(site.names(), ["1"]);
    site.intact();
}

/// Copies the folder of a stream into that of a service and returns the copy.
fn copy_stream(stream: &TestStream, service: &Path) -> PathBuf {
    let copy = service.join(stream.stream.to_string());
    fs::create_dir_all(&copy).unwrap();
    fs::copy(stream.segment_path(), copy.join("00000001.journal")).unwrap();
    copy
}

/// A pipe in place of the lock kept the agent waiting for its other end, and with it every service.
#[test]
fn what_is_no_journal_stops_nobody() {
    let mut site = Site::new();
    let mut pipe = site.stream(1);
    pipe.die();
    fs::remove_file(pipe.path().join("lock")).unwrap();
    assert!(Command::new("mkfifo").arg(pipe.path().join("lock")).status().unwrap().success());
    let mut stray = site.stream(2);
    fs::write(stray.path().join("7.journal"), "stray").unwrap();
    stray.event(1);
    stray.die();
    assert!(site.step().worked);
    assert!(site.step().is_idle());
    assert_eq!(site.names(), ["1"]);
    assert!(stray.path().join("7.journal").exists() && !pipe.path().exists());
}

/// The agent may be killed after any of its steps. What it has done is done again or found done; nothing is lost or doubled.
#[test]
fn a_crash_after_any_step_is_made_good_at_the_next_start() {
    for signed in [&["checkpoint", "state"][..], &["checkpoint"], &[]] {
        let mut site = Site::new();
        let mut stream = site.stream(1);
        stream.event(1);
        site.step();
        let before = ["checkpoint", "state"].map(|name| fs::read(site.dir.trail().join(name)).unwrap());
        let segment = fs::read(stream.segment_path()).unwrap();
        stream.event(2);
        stream.intent(1, &[3]);
        site.step();
        for (name, old) in ["checkpoint", "state"].iter().zip(before) {
            if !signed.contains(name) {
                fs::write(site.dir.trail().join(name), old).unwrap();
            }
        }
        assert!(segment.len() < fs::read(stream.segment_path()).unwrap().len(), "the segment is still there");
        site.kill();
        let unsigned = u64::from(!signed.contains(&"checkpoint"));
        assert_eq!(site.intact().unsigned, unsigned, "{signed:?}");
        site.start().unwrap();
        assert_eq!((site.intact().tree_size, site.intact().unsigned), (2, 0));
        stream.outcome(1, COMMITTED);
        stream.die();
        site.step();
        assert_eq!(site.names(), ["1", "2", "3"]);
        assert!(!stream.path().exists());
    }
}

#[test]
fn a_trail_that_is_not_the_signed_one_is_not_continued() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.event(1);
    site.step();
    site.ingester.take().unwrap().close().unwrap();
    let old = fs::read(site.dir.trail().join("000000000000.trail")).unwrap();
    site.start().unwrap();
    stream.event(2);
    site.step();
    site.ingester.take().unwrap().close().unwrap();
    let new = fs::read(site.dir.trail().join("000000000000.trail")).unwrap();
    let checkpoint = fs::read(site.dir.checkpoint()).unwrap();

    fs::write(site.dir.trail().join("000000000000.trail"), old).unwrap();
    assert!(matches!(site.start(), Err(IngestError::Trail(TrailError::BehindCheckpoint { found: 1, signed: 2 }))));
    fs::write(site.dir.trail().join("000000000000.trail"), &new).unwrap();
    site.start().unwrap();
    site.kill();

    fs::remove_file(site.dir.checkpoint()).unwrap();
    assert!(matches!(site.start(), Err(IngestError::Trail(TrailError::CheckpointMissing { tree_size: 2, .. }))));
    let mut changed = checkpoint.clone();
    changed[60] ^= 1;
    fs::write(site.dir.checkpoint(), changed).unwrap();
    assert!(matches!(site.start(), Err(IngestError::Trail(TrailError::Note { .. }))));
    fs::write(site.dir.checkpoint(), &checkpoint).unwrap();

    fs::rename(site.dir.signing_key(), site.dir.root().join("elsewhere")).unwrap();
    assert!(matches!(site.start(), Err(IngestError::Keys(_))));
    fs::rename(site.dir.root().join("elsewhere"), site.dir.signing_key()).unwrap();
    fs::remove_file(site.dir.trail().join("000000000000.trail")).unwrap();
    assert!(matches!(site.start(), Err(IngestError::Trail(TrailError::Missing { .. }))));
    fs::write(site.dir.trail().join("000000000000.trail"), new).unwrap();
    site.start().unwrap();
}

/// Segments are the only copy until the records are signed; a batch that fails must not cost them.
#[test]
fn nothing_is_deleted_while_a_batch_cannot_be_made_durable() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.event(1);
    let mut corrupt = stream.encode(&Frame::Close);
    corrupt[8] ^= 1;
    stream.append_bytes(&corrupt);
    stream.event(2);
    stream.die();
    fs::write(site.dir.quarantine(), "in the way").unwrap();
    let failed = site.ingester.as_mut().unwrap().step(Timestamp::from_micros(0)).unwrap_err();
    assert!(!failed.is_final(), "{failed}");
    assert!(stream.segment_path().exists() && site.names().is_empty());
    fs::remove_file(site.dir.quarantine()).unwrap();
    site.start().unwrap();
    site.step();
    assert_eq!(site.names(), ["1", "audit.gap", "2"]);
    assert!(!stream.path().exists());
}
