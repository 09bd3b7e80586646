//! What the benchmarks of the journal share: a typical event, the kernel's account of a thread, and where figures go.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use indelible::{Actor, Config, Durability, Event, Kind, Limits, Recorder, Request, Resource};

/// A change of two fields inside a request, as the Django package records it.
pub(crate) fn event() -> Event {
    let mut event = Event::new(Kind::Change, "patient.update");
    event.actor = Actor::user("7", "ana").into();
    event.resource = Some(Resource::new("clinic.Patient", "1042"));
    event.request = Some(Request::from_id("0f8fad5b-d9cb-469f-a165-70867728950e"));
    event.changes.push_values("phone", Some("\"+49 30 1234567\""), Some("\"+49 30 7654321\""));
    event.changes.push_values("balance", Some("\"12.50\""), Some("\"99.95\""));
    event.reason = Some("the patient called".to_owned());
    event
}

/// A recorder whose journal is never full.
pub(crate) fn recorder(data_dir: &Path, durability: Durability) -> Result<Recorder, Box<dyn Error>> {
    let limits = Limits { journal_bytes: u64::MAX, ..Limits::default() };
    Ok(Recorder::open(Config { durability, limits, environment: "production".to_owned(), ..Config::new(data_dir, "bench") })?)
}

/// Appends a figure to the file of `BENCH_RESULTS`, for the table of `make bench`.
pub(crate) fn add_result(name: &str, value: f64, unit: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("BENCH_RESULTS") else { return Ok(()) };
    let line = serde_json::json!({"scale": "", "name": name, "value": value, "unit": unit});
    writeln!(fs::OpenOptions::new().append(true).create(true).open(path)?, "{line}")
}

/// Nanoseconds this thread has run, or 0 where the kernel does not say.
pub(crate) fn thread_cpu() -> u64 {
    let account = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    account.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
