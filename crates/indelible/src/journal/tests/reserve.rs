//! What is still said when the disk is full or does not answer: outcomes of intents that are in the journal, and what was lost.

use indelible_core::{Evidence, IntentId, Resolution};

use super::*;

fn outcome(number: u8) -> Frame<'static> {
    let intent = IntentId::from_bytes([number; 16]);
    Frame::Outcome { intent, resolution: Resolution::Committed, by: Evidence::Ack, items: Vec::new() }
}

fn texts(setup: &Setup) -> Vec<String> {
    setup.segments().concat().into_iter().map(|(_, text)| text).collect()
}

/// Records an event that takes what comes of it, whatever that is.
fn append_or_lose(setup: &Setup, body: &[u8]) {
    let item = Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(0), body };
    if setup.try_append(&Frame::Event(item), true, Duration::ZERO, true).is_err() {
        setup.journal.count_losses(1);
    }
}

#[test]
fn an_outcome_that_could_not_be_written_precedes_the_next_frame_that_can_be() {
    let setup = setup(Durability::Buffered);
    setup.faults.no_reserve.store(true, SeqCst);
    setup.append(b"one").unwrap();
    setup.faults.disk_full.store(true, SeqCst);
    (1..=2).for_each(|number| setup.journal.answer(&outcome(number)));
    append_or_lose(&setup, b"lost");
    assert_eq!(texts(&setup), ["one"]);
    setup.faults.disk_full.store(false, SeqCst);
    append_or_lose(&setup, b"two");
    assert_eq!(texts(&setup), ["one", "outcome 1", "outcome 2", "lost 1", "two"]);
    setup.journal.answer(&outcome(3));
    assert_eq!(texts(&setup)[5..], ["outcome 3"], "and nothing twice");
}

#[test]
fn a_process_that_records_nothing_more_writes_what_it_kept_when_it_is_asked_to_and_when_it_ends() {
    for ends in [false, true] {
        let setup = setup(Durability::Synced);
        setup.faults.no_reserve.store(true, SeqCst);
        setup.append(b"one").unwrap();
        let stream = setup.journal.health().stream.unwrap();
        setup.faults.disk_full.store(true, SeqCst);
        setup.journal.answer(&outcome(1));
        assert!(setup.journal.write_waiting().is_err());
        setup.faults.disk_full.store(false, SeqCst);
        if ends {
            setup.journal.close().unwrap();
            assert_eq!(setup.of(stream).concat()[1..], [frame(2, "outcome 1"), frame(3, "close")]);
        } else {
            setup.journal.write_waiting().unwrap();
            assert_eq!(setup.of(stream).concat()[1..], [frame(2, "outcome 1")]);
        }
    }
}

#[test]
fn what_is_in_the_journal_is_answered_and_losses_are_told_though_the_disk_stays_full() {
    for (durability, segment_bytes) in [(Durability::Buffered, u64::MAX), (Durability::Synced, u64::MAX), (Durability::Buffered, 1)] {
        let setup = setup_with(durability, Limits { segment_bytes, ..Limits::default() });
        setup.append(b"one").unwrap();
        let stream = setup.journal.health().stream.unwrap();
        setup.faults.disk_full.store(true, SeqCst);
        append_or_lose(&setup, &[b'x'; 1 << 20]);
        setup.journal.answer(&outcome(1));
        append_or_lose(&setup, &[b'x'; 1 << 20]);
        append_or_lose(&setup, &[b'x'; 1 << 20]);
        setup.journal.answer(&outcome(2));
        let told = texts(&setup);
        assert_eq!(told[..3], ["one", "outcome 1", "lost 1"], "one LOSS for whoever is killed");
        assert_eq!(told.last().unwrap(), "outcome 2", "{durability:?}");
        setup.journal.close().unwrap();
        let told: Vec<String> = setup.of(stream).concat().into_iter().map(|(_, text)| text).collect();
        let lost: u64 = told.iter().filter_map(|text| text.strip_prefix("lost ")).map(|count| count.parse::<u64>().unwrap()).sum();
        assert_eq!((lost, told.last().unwrap().as_str()), (3, "close"), "{durability:?}");
    }
}

#[test]
fn the_reserve_is_whole_again_when_there_is_room() {
    let setup = setup(Durability::Buffered);
    let mut expected = Vec::new();
    for number in 1..=3 {
        append_or_lose(&setup, b"event");
        setup.faults.disk_full.store(true, SeqCst);
        (0..800).for_each(|_| setup.journal.answer(&outcome(number)));
        setup.faults.disk_full.store(false, SeqCst);
        expected.push("event".to_owned());
        expected.extend((0..800).map(|_| format!("outcome {number}")));
    }
    assert_eq!(texts(&setup), expected);
}

#[test]
fn events_and_losses_leave_the_reserve_alone() {
    let setup = setup(Durability::Buffered);
    setup.append(b"one").unwrap();
    setup.faults.disk_full.store(true, SeqCst);
    (0..2_000).for_each(|_| append_or_lose(&setup, &[b'x'; 1000]));
    (0..800).for_each(|_| setup.journal.answer(&outcome(1)));
    assert_eq!(texts(&setup).iter().filter(|text| *text == "outcome 1").count(), 800);
}

#[test]
fn a_journal_that_has_reached_its_bound_still_takes_the_outcomes_of_what_it_holds() {
    let setup = setup_with(Durability::Buffered, Limits { journal_bytes: 400, ..Limits::default() });
    setup.append(b"one").unwrap();
    while setup.append(b"event").is_ok() {}
    setup.journal.count_losses(1);
    setup.journal.answer(&outcome(1));
    let stream = setup.journal.health().stream.unwrap();
    setup.journal.close().unwrap();
    let told: Vec<String> = setup.of(stream).concat().into_iter().map(|(_, text)| text).collect();
    assert_eq!(told[told.len() - 3..], ["outcome 1", "lost 1", "close"]);
}

#[test]
fn a_write_that_does_not_come_back_holds_no_other_thread_for_long() {
    let setup = setup(Durability::Buffered);
    setup.append(b"one").unwrap();
    setup.faults.hangs.store(true, SeqCst);
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| setup.append(b"two"));
        let began = std::time::Instant::now();
        while setup.journal.writer.take(Duration::ZERO).is_ok() {
            assert!(began.elapsed() < HANGS_AT_MOST, "no write hangs");
            std::thread::sleep(Duration::from_millis(1));
        }
        let since = std::time::Instant::now();
        assert!(matches!(setup.append(b"three"), Err(Error::Busy(_))));
        setup.journal.count_losses(1);
        setup.journal.answer(&outcome(1));
        let health = setup.journal.health();
        assert!(health.degraded && health.lost == 1, "{health:?}");
        assert!(matches!(setup.append(b"four"), Err(Error::Degraded | Error::Busy(_))));
        assert!(since.elapsed() < 5 * super::super::TURN_PATIENCE, "{:?}", since.elapsed());
        setup.faults.hangs.store(false, SeqCst);
        assert_eq!(hanging.join().unwrap().unwrap(), 2);
    });
    append_or_lose(&setup, b"five");
    assert_eq!(texts(&setup), ["one", "two", "outcome 1", "lost 1", "five"]);
}
