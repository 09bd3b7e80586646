//! Journals in bad company: clocks that are turned, segments that are forged, exchanged, deleted or filled with zeros.

use indelible_core::{FRAME_ITEMS_MAX, FRAME_PAYLOAD_BYTES_MAX, IntentId, SegmentHeader};

use super::*;
use crate::doctor::{Questions, Verdict as Finding, examine};

const HOUR_MS: i64 = 3_600_000;

/// Ids of doctor's checks that are not well.
fn faults(site: &Site) -> Vec<&'static str> {
    let checks = examine(&site.dir, &Questions::default());
    let ill = checks.into_iter().filter(|check| matches!(check.verdict, Finding::Warn | Finding::Fail));
    ill.map(|check| check.id).filter(|id| !id.starts_with("data.")).collect()
}

fn wall_clock_ms() -> i64 {
    crate::clock::now().micros() / 1000
}

#[test]
fn a_clock_that_is_turned_by_an_hour_moves_no_record_and_refuses_none_and_doctor_says_so() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    site.now_ms = wall_clock_ms() - 2 * HOUR_MS;
    for (number, step_ms) in [(1, HOUR_MS), (2, -HOUR_MS), (3, 1000), (4, 0)] {
        stream.event(number);
        site.step();
        site.wait(step_ms);
    }
    assert_eq!(site.names(), ["1", "2", "3", "4"]);
    let of_stream: Vec<_> = site.leaves().into_iter().map(|(entry, _)| (entry.stream_index, entry.sequence)).collect();
    assert_eq!(of_stream, [(0, 1), (1, 2), (2, 3), (3, 4)], "neither hole nor repetition");
    site.intact();
    assert_eq!(faults(&site), ["clock.records"]);
    site.now_ms = wall_clock_ms() + HOUR_MS;
    stream.event(5);
    site.step();
    assert_eq!(site.names().len(), 5);
    assert_eq!(faults(&site), ["clock.now"], "the clock was turned back behind the newest record");
    site.intact();
}

#[test]
fn a_clock_that_jumps_ahead_doubts_a_transaction_early_and_its_outcome_puts_that_right() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1]);
    site.step();
    site.wait(HOUR_MS);
    site.step();
    assert_eq!(site.records(), [("1".to_owned(), Verdict::InDoubt)]);
    site.wait(-HOUR_MS);
    stream.outcome(1, COMMITTED);
    site.step();
    assert_eq!(site.own("audit.resolve")[0]["meta"]["result"], "committed");
    site.intact();
}

#[test]
fn a_tail_of_zeros_is_a_torn_tail_and_what_stands_before_it_is_recorded() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.events(1..=3);
    stream.append_bytes(&[0; 8192]);
    site.step();
    assert_eq!(site.names(), ["1", "2", "3"], "while the process lives, more may come");
    stream.die();
    site.step();
    assert_eq!(site.own("audit.gap")[0]["meta"]["cause"], "torn_tail");
    site.step();
    assert_eq!(site.names().len(), 4, "it is told once");
    site.intact();
}

#[test]
fn a_deleted_last_segment_shows_only_when_later_frames_come() {
    let mut site = Site::new();
    let (mut told, mut untold) = (site.stream(1), site.stream(2));
    for stream in [&mut told, &mut untold] {
        stream.event(1);
        stream.rotate();
        stream.event(2);
        fs::remove_file(stream.segment_path()).unwrap();
    }
    told.rotate();
    told.event(3);
    [&mut told, &mut untold].into_iter().for_each(TestStream::die);
    site.step();
    let gaps = site.own("audit.gap");
    assert_eq!(gaps.len(), 1, "nobody knows that there was more of the other");
    assert_eq!((&gaps[0]["meta"]["cause"], &gaps[0]["meta"]["first_sequence"]), (&"missing".into(), &2.into()));
    assert_eq!(gaps[0]["resource"]["id"], told.stream.to_string());
    assert_eq!(site.names().iter().filter(|name| *name != "audit.gap").count(), 3);
    site.intact();
}

#[test]
fn a_forged_first_sequence_hides_no_frame() {
    for first_sequence in [0, 2, 1 << 40, u64::MAX] {
        let mut site = Site::new();
        let mut stream = site.stream(1);
        stream.events(1..=3);
        let header = SegmentHeader { stream: stream.stream, number: 1, first_sequence, created_at: Timestamp::from_micros(0) };
        let mut bytes = fs::read(stream.segment_path()).unwrap();
        bytes[..64].copy_from_slice(&header.encode());
        fs::write(stream.segment_path(), bytes).unwrap();
        stream.die();
        site.step();
        assert_eq!(site.names(), ["1", "2", "3"], "{first_sequence}");
        site.intact();
    }
}

#[test]
fn segments_that_are_exchanged_between_streams_are_corrupt_in_both() {
    let mut site = Site::new();
    let (mut one, mut other) = (site.stream(1), site.stream(2));
    one.event(1);
    other.event(2);
    let swapped = one.segment_path().with_extension("swapped");
    fs::rename(one.segment_path(), &swapped).unwrap();
    fs::rename(other.segment_path(), one.segment_path()).unwrap();
    fs::rename(&swapped, other.segment_path()).unwrap();
    for stream in [&mut one, &mut other] {
        stream.event(3);
        stream.die();
    }
    site.step();
    let gaps = site.own("audit.gap");
    let causes: Vec<_> = gaps.iter().map(|gap| gap["meta"]["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["corrupt_record", "corrupt_record"]);
    assert_eq!(site.names().iter().filter(|name| *name == "3").count(), 2, "the frames behind them are recorded");
    assert_eq!(fs::read_dir(site.dir.quarantine()).unwrap().count(), 2);
    site.intact();
}

/// A payload of 64 MiB can hold two million empty items, which took ten times as much memory.
#[test]
fn an_intent_of_too_many_items_is_a_corrupt_record() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    let items = |count: usize| vec![Item { event: event_id(1), recorded_at: Timestamp::from_micros(1), body: &[] }; count];
    let intent =
        |id, count| Frame::Intent { intent: IntentId::from_bytes([id; 16]), evidence: Evidence::Ack, alias: "", items: items(count) };
    stream.append(&intent(1, FRAME_ITEMS_MAX));
    stream.append(&intent(2, FRAME_ITEMS_MAX + 1));
    stream.event(3);
    site.step();
    assert_eq!(site.names(), ["audit.gap", "3"]);
    assert_eq!(site.own("audit.gap")[0]["meta"]["cause"], "corrupt_record");
    let kept: Vec<_> = fs::read_dir(site.dir.quarantine()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(kept.len() == 1 && kept[0] < FRAME_PAYLOAD_BYTES_MAX as u64);
    site.intact();
}
