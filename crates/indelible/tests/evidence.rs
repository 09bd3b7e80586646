//! What an intent says about its evidence, what another process says about it, and rows of an outbox.

mod support;

use indelible::{
    Config, Evidence, Frame, IntentId, KeepRolledBack, OnFailure, Outboxed, Position, Recorder, Resolution, SegmentHeader, encode_frame,
    read_frame,
};
use support::{Read, change, read_only_stream, recorder, segments, stream_folders};

/// What the frames of the only stream say: sequence, evidence or proof, and how many items.
fn frames(folder: &tempfile::TempDir) -> Vec<(u64, String, usize)> {
    let stream = &stream_folders(folder.path(), "clinic")[0];
    let mut told = Vec::new();
    for path in segments(stream) {
        let bytes = std::fs::read(path).unwrap();
        let header = SegmentHeader::decode(&bytes).unwrap();
        let mut at = 64;
        while let Ok((raw, consumed)) = read_frame(header.stream, &bytes[at..]) {
            at += consumed;
            told.push(match raw.parse().unwrap() {
                Frame::Intent { evidence, items, .. } => (raw.sequence, format!("intent {evidence:?}"), items.len()),
                Frame::Outcome { resolution, by, items, .. } => (raw.sequence, format!("{resolution:?} by {by:?}"), items.len()),
                Frame::Loss { count, .. } => (raw.sequence, format!("loss of {count}"), 0),
                other => (raw.sequence, format!("{other:?}"), 0),
            });
        }
    }
    told
}

fn told(frames: &[(u64, String, usize)]) -> Vec<&str> {
    frames.iter().map(|(_, what, _)| what.as_str()).collect()
}

#[test]
fn the_strongest_evidence_that_was_asked_for_is_that_of_the_intent() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut transaction = recorder.transaction("default");
    transaction.record(change("patient.create", "1"));
    transaction.savepoint("s");
    transaction.require(Evidence::Marker);
    transaction.require(Evidence::Ack);
    transaction.rollback_to("s");
    let intent = transaction.prepare().unwrap().unwrap();
    assert_eq!((intent.evidence(), intent.position().unwrap().sequence), (Evidence::Marker, 1));
    intent.committed();
    transaction.record(change("patient.create", "2"));
    transaction.prepare().unwrap().unwrap().committed();
    recorder.intent_with("default", vec![change("patient.create", "3")], Evidence::Marker).unwrap().rolled_back();
    let expected = ["intent Marker", "Committed by Ack", "intent Ack", "Committed by Ack", "intent Marker", "RolledBack by Ack"];
    assert_eq!(told(&frames(&folder)), expected, "the own word stays the own word, and the next transaction asks for nothing");
}

#[test]
fn without_its_marker_an_intent_is_taken_back_in_silence_and_its_events_are_announced_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { keep_rolled_back: KeepRolledBack::All, ..Config::new(folder.path(), "clinic") };
    let recorder = Recorder::open(config).unwrap();
    let intent = recorder.intent_with("default", vec![change("patient.create", "1")], Evidence::Marker).unwrap();
    let first = intent.id();
    let again = intent.without_marker("default").unwrap();
    assert_eq!((again.evidence(), again.position().unwrap().sequence, again.len()), (Evidence::Ack, 3, 1));
    assert_ne!(again.id(), first);
    again.committed();
    let read = read_only_stream(folder.path());
    let [Read::Intent(_, _, before), Read::Outcome(taken_back, ..), Read::Intent(_, _, after), Read::Outcome(_, committed, _)] = &read[..]
    else {
        panic!("{read:?}")
    };
    assert_eq!((taken_back, committed), (&first, &Resolution::Committed));
    assert_ne!(before[0]["id"], after[0]["id"], "the trail may have the old one already, in doubt");
    assert_eq!(before[0]["action"], after[0]["action"]);
}

#[test]
fn an_intent_that_is_not_in_the_journal_has_no_position() {
    let folder = tempfile::tempdir().unwrap();
    let full = |on_failure| {
        let limits = indelible::Limits { journal_bytes: 64, ..indelible::Limits::default() };
        Recorder::open(Config { limits, on_failure, ..Config::new(folder.path(), "clinic") }).unwrap()
    };
    let recorder = full(OnFailure::BestEffort);
    let intent = recorder.intent_with("default", vec![change("patient.create", "1")], Evidence::Marker).unwrap();
    assert_eq!((intent.position(), recorder.health().lost), (None, 1));
    let recorder = full(OnFailure::Required);
    assert!(recorder.intent_with("default", vec![change("patient.create", "1")], Evidence::Marker).is_err());
    assert_eq!(recorder.health().lost, 1, "the refusal itself becomes an event");
}

#[test]
fn what_a_marker_proved_is_an_outcome_in_the_stream_of_who_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let intent = IntentId::from_bytes([3; 16]);
    assert_eq!(recorder.resolve(intent, Resolution::Committed).unwrap().sequence, 1);
    assert_eq!(recorder.resolve(intent, Resolution::RolledBack).unwrap().sequence, 2);
    assert_eq!(told(&frames(&folder)), ["Committed by Marker", "RolledBack by Marker"]);
}

#[test]
fn what_is_sealed_for_an_outbox_is_journaled_by_its_drainer_alone() {
    let folder = tempfile::tempdir().unwrap();
    let writer = recorder(folder.path());
    let mut transaction = writer.transaction("default");
    transaction.record(change("patient.create", "1"));
    transaction.record(change("patient.update", "1"));
    let (intent, payload) = transaction.seal().unwrap().unwrap();
    assert_eq!((intent.position(), intent.evidence(), intent.len()), (None, Evidence::Outbox, 2));
    intent.committed();
    assert!(stream_folders(folder.path(), "clinic").is_empty(), "nothing is journaled by who committed");
    drop(writer);

    let drainer = recorder(folder.path());
    let next = drainer.next_position().unwrap();
    let outcome_at = Position { sequence: next.sequence + 1, ..next };
    assert!(indelible::is_sealed(&payload));
    assert_eq!(drainer.append_outbox(&payload, outcome_at).unwrap(), Outboxed::Done);
    let [intent, outcome] = &frames(&folder)[..] else { panic!() };
    assert_eq!((intent, outcome), (&(1, "intent Outbox".to_owned(), 2), &(2, "Committed by Outbox".to_owned(), 0)));
}

/// What a transaction of one change puts into the outbox.
fn sealed(recorder: &Recorder) -> Vec<u8> {
    let mut transaction = recorder.transaction("default");
    transaction.record(change("patient.create", "1"));
    transaction.seal().unwrap().unwrap().1
}

#[test]
fn a_row_of_an_outbox_is_never_journaled_at_another_place_than_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let drainer = recorder(folder.path());
    let payload = sealed(&drainer);
    let next = drainer.next_position().unwrap();
    let place = |sequence| Position { sequence, ..next };
    drainer.record(change("patient.read", "9"));
    assert_eq!(drainer.append_outbox(&payload, place(2)).unwrap(), Outboxed::Moved, "another thread was faster");
    drainer.count_losses(4);
    assert_eq!(drainer.append_outbox(&payload, place(3)).unwrap(), Outboxed::Moved, "what was lost comes first");
    assert_eq!(drainer.next_position().unwrap(), place(3), "the loss is written down");
    assert_eq!(drainer.append_outbox(&payload, place(4)).unwrap(), Outboxed::Done);
    let read = frames(&folder);
    assert_eq!(told(&read)[1..], ["loss of 4", "intent Outbox", "Committed by Outbox"]);
}

#[test]
fn a_stream_that_is_abandoned_ends_as_it_stands_and_is_never_continued() {
    let folder = tempfile::tempdir().unwrap();
    let drainer = recorder(folder.path());
    let payload = sealed(&drainer);
    let next = drainer.next_position().unwrap();
    let place = |sequence| Position { sequence, ..next };
    assert_eq!(drainer.append_outbox(&payload, place(2)).unwrap(), Outboxed::Done);
    drainer.abandon().unwrap();
    assert_eq!(drainer.append_outbox(&payload, place(4)).unwrap(), Outboxed::Moved);
    drop(drainer);
    assert_eq!(told(&frames(&folder)), ["intent Outbox", "Committed by Outbox"], "no CLOSE where a row may be assigned");
    let lock = std::fs::File::open(stream_folders(folder.path(), "clinic")[0].join("lock")).unwrap();
    lock.try_lock().unwrap();
}

#[test]
fn after_a_stream_was_abandoned_there_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let drainer = recorder(folder.path());
    let first = drainer.next_position().unwrap();
    drainer.abandon().unwrap();
    let second = drainer.next_position().unwrap();
    assert_ne!(first.stream, second.stream);
    assert_eq!(second.sequence, 1);
}

#[test]
fn a_row_that_somebody_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let drainer = recorder(folder.path());
    let next = drainer.next_position().unwrap();
    let outcome_at = Position { sequence: 2, ..next };
    let append = |payload: &[u8]| drainer.append_outbox(payload, outcome_at);
    assert!(matches!(append(b"no intent"), Err(indelible::Error::Outbox(_))));
    let mut frame = Vec::new();
    let intent = IntentId::from_bytes([1; 16]);
    encode_frame(next.stream, 1, &Frame::Intent { intent, evidence: Evidence::Ack, alias: "default", items: Vec::new() }, &mut frame);
    assert!(matches!(append(&frame[20..]), Err(indelible::Error::NoOutbox)));
    assert!(!indelible::is_sealed(b"no intent") && !indelible::is_sealed(&frame[20..]));
    assert_eq!(frames(&folder), []);
}
