//! What it costs to mask two bodies of 1 KB and to encode the event that carries them.
//!
//! `cargo bench -p indelible-core --bench encode` prints nanoseconds. `make bench` also runs it under callgrind, once with
//! `--iterations 200` and once with twice as many, and counts the instructions of the difference.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use indelible_core::{Actor, EncodedSource, Event, EventId, Kind, Redactor, Request, Source, Stamp, Timestamp};

/// In each round.
const ITERATIONS: u64 = 2_000;
const ROUNDS: usize = 11;
const BODY_BYTES_MAX: usize = 16_384;
const EVENT_BYTES_MAX: usize = 262_144;

/// A patient as a client posts it: nested, with a password and a card in free text; 1 KB.
fn body() -> String {
    let visits: Vec<_> = (0..4)
        .map(|number| format!(r#"{{"at":"2026-11-{:02}T08:30:00Z","ward":"B{number}","doctor":"Dr. Ingeborg Björnsdóttir","note":"follow-up in two weeks, bring results"}}"#, number + 1))
        .collect();
    format!(
        r#"{{"name":"Ana Müller","birth_date":"1961-04-17","address":{{"street":"Hauptstraße 12","city":"Berlin","zip":"10115"}},"insurer":{{"name":"TK","number":"A123456789"}},"allergies":["nuts","latex"],"balance":"12.50","password":"hunter2","note":"paid with 4111 1111 1111 1111 at the desk","consent":true,"phone":"+49 30 1234567","visits":[{}],"comment":"{}"}}"#,
        visits.join(","),
        "the patient called and asked to move the visit. ".repeat(2)
    )
}

struct Bench {
    redactor: Redactor,
    body: String,
    source: EncodedSource,
    out: String,
}

impl Bench {
    fn new() -> Self {
        let source = Source {
            service: "clinic".to_owned(),
            environment: "production".to_owned(),
            version: "2.4".to_owned(),
            host: "web-1".to_owned(),
            process: 4711,
            process_kind: "web".to_owned(),
        };
        Self { redactor: Redactor::default(), body: body(), source: EncodedSource::new(source), out: String::new() }
    }

    fn redact(&self) -> usize {
        black_box(self.redactor.json(black_box(self.body.as_bytes()), BODY_BYTES_MAX)).len()
    }

    /// An event without bodies.
    fn encode(&mut self) -> usize {
        let event = event();
        self.write(&event)
    }

    /// An event with the bodies of request and response, masked and encoded.
    fn redact_and_encode(&mut self) -> usize {
        let mut event = event();
        if let Some(request) = &mut event.request {
            request.body = Some(self.redactor.json(black_box(self.body.as_bytes()), BODY_BYTES_MAX));
            request.response = Some(self.redactor.json(black_box(self.body.as_bytes()), BODY_BYTES_MAX));
        }
        self.write(&event)
    }

    fn write(&mut self, event: &Event) -> usize {
        let stamp =
            Stamp { id: EventId::from_parts(1_790_000_000_000, [7; 10]), recorded_at: Timestamp::from_micros(1_790_000_000_000_000) };
        self.out.clear();
        black_box(event).encode_from(&stamp, &self.source, EVENT_BYTES_MAX, &mut self.out);
        black_box(&self.out).len()
    }

    fn run(&mut self, operation: &str) -> usize {
        match operation {
            "redact" => self.redact(),
            "encode" => self.encode(),
            _ => self.redact_and_encode(),
        }
    }
}

fn event() -> Event {
    let mut event = Event::new(Kind::Request, "patient.create");
    event.actor = Actor::user("7", "ana").into();
    event.request = Some(Request {
        method: Some("POST".to_owned()),
        route: Some("/api/patients/".to_owned()),
        status: Some(201),
        duration_us: Some(12_345),
        ..Request::from_id("0f8fad5b-d9cb-469f-a165-70867728950e")
    });
    event
}

const OPERATIONS: [(&str, &str); 3] =
    [("encode", "encode an event"), ("redact", "mask one body"), ("redact_and_encode", "mask two bodies and encode")];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let mut bench = Bench::new();
    // Under callgrind: so many times one operation, and nothing else.
    if let [_, iterations, operation] = words.as_slice() {
        let iterations: u64 = iterations.parse()?;
        (0..iterations).for_each(|_| _ = bench.run(operation));
        return Ok(());
    }
    println!("a body has {} bytes", bench.body.len());
    for (operation, title) in OPERATIONS {
        println!("{title:<40} {:>8.0} ns", nanoseconds(&mut bench, operation));
    }
    Ok(())
}

/// The median of some rounds: other programs only ever add.
fn nanoseconds(bench: &mut Bench, operation: &str) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            (0..ITERATIONS).for_each(|_| _ = bench.run(operation));
            started.elapsed().as_secs_f64() * 1e9 / (ITERATIONS) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
