//! The clock: behind the newest record, or turned back between records.

use std::ops::ControlFlow;

use indelible_core::StreamId;

use super::Check;
use crate::clock::now;
use crate::trail::{Order, Reader};

pub(super) const IDS: &[&str] = &["clock.now", "clock.records"];

/// The newest records that are looked at.
const RECORDS: u64 = 1000;
/// A difference that no scheduling explains, in microseconds.
const STEP: i64 = 5_000_000;
const FIX: &str = "timedatectl timesync-status";

pub(super) fn checks(reader: Option<&Reader>) -> Vec<Check> {
    let Some(reader) = reader else {
        return IDS.iter().map(|id| Check::skipped(id, "the trail cannot be read")).collect();
    };
    let mut newest = None;
    let mut later: Option<i64> = None;
    let (mut early, mut back) = (0_u64, 0_u64);
    let range = reader.tree_size().saturating_sub(RECORDS)..reader.tree_size();
    let read = reader.records(range, Order::NewestFirst, |leaf| {
        let (received, recorded) = (leaf.entry.received_at.micros(), leaf.entry.recorded_at.micros());
        newest = newest.max(Some(received));
        early += u64::from(leaf.entry.stream != StreamId::AGENT && recorded - received > STEP);
        back += u64::from(later.is_some_and(|later| received - later > STEP));
        later = Some(received);
        ControlFlow::Continue(())
    });
    if let Err(error) = read {
        return IDS.iter().map(|id| Check::skipped(id, error.to_string())).collect();
    }
    // Taken after the trail was opened, so that what is being written does not lie in the future.
    let ahead = newest.map_or(0, |newest| newest - now().micros());
    let now = if ahead > STEP {
        let finding = format!("the clock is {} s behind the newest record: it was turned back", ahead / 1_000_000);
        Check::warn("clock.now", finding, FIX)
    } else {
        Check::ok("clock.now", "not behind the newest record")
    };
    let records = if early + back > 0 {
        let finding = format!(
            "of the newest {RECORDS} records {early} were received before they were recorded, and the clock was turned back {back} times: \
             their order holds, their times do not"
        );
        // One turn of the clock shows in one check.
        if now.is_ok() { Check::warn("clock.records", finding, FIX) } else { Check::skipped("clock.records", "the clock itself is wrong") }
    } else {
        Check::ok("clock.records", "times agree with the order of records")
    };
    vec![now, records]
}
