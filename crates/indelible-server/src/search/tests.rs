//! What the index points at, compared with what a look at every record finds: over runs in memory, and over a trail of open,
//! sealed and unindexed leaves.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use indelible_core::query::{Key, Query};
use indelible_core::{EventId, LeafEntry, Outcome, StreamId, Timestamp, Verdict, commitment};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::hint::Certainty;
use super::matches::{Matcher, Record, Resolutions};
use super::memory::MemoryRun;
use super::plan::{Index, Planner, candidates};
use super::walk::{Trail, TrailResolutions, record};
use super::{Clock, CountRequest, Cursor, SearchError, SearchRequest, TimeRange, histogram, search, top};
use crate::index::{Bits, Facts, Field, RunBuilder, Term};
use crate::trail::{Order, Reader};
use crate::{DataDir, Deadlines, Options, serve};

/// A zone with summer time, so that hours depend on it.
fn clock() -> Clock {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    Clock { now: "2026-02-05T12:00:00Z".parse().unwrap(), zone }
}

/// Where nothing was resolved.
struct Unresolved;

impl Resolutions for Unresolved {
    fn is_resolved(&mut self, _: EventId) -> Result<bool, SearchError> {
        Ok(false)
    }
}

fn entry(number: u8) -> LeafEntry {
    LeafEntry {
        event: EventId::from_bytes([number; 16]),
        stream: StreamId::from_bytes([number % 3; 16]),
        stream_index: 0,
        sequence: u64::from(number),
        item: 0,
        recorded_at: Timestamp::from_micros(1_770_000_000_000_000),
        received_at: Timestamp::from_micros(1_770_000_000_000_000 + i64::from(number) * 1_800_000_000),
        verdict: Verdict::ALL[usize::from(number) % 5],
        commitment: commitment(&[0; 32], b""),
    }
}

/// An event that has every field that can be searched.
const FULL: &str = r#"{"v":1,"kind":"change","action":"patient.update","outcome":"success","occurred_at":"2026-02-01T20:30:00.500000Z",
    "actor":{"type":"user","id":"7","label":"Ana Roe","auth":"session","session":"s1","on_behalf_of":{"type":"user","id":"9","label":"Bo"},"roles":["nurse"]},
    "resource":{"type":"clinic.Patient","id":"42","label":"Patient 42"},
    "changes":[{"field":"name","old":"Ana","new":"Eva"},{"field":"ssn","masked":true},{"field":"tags","added":[3],"removed":[4],"exact":true}],
    "request":{"id":"r1","method":"POST","route":"/p/:id","path":"/p/42","status":201,"duration_us":1500,"client_ip":"10.1.2.3","user_agent":"Mozilla/5.0 curl","body":{}},
    "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","reason":"see ticket-42","tenant":"north","meta":{"ticket":"A-1","deep":{"n":5}},
    "source":{"service":"clinic","environment":"prod","version":"1.2","host":"h1"},"error":{"type":"E"},"notes":["n"],"truncated":true}"#;

/// For each key, what finds [`FULL`] and what does not. The first also says whether the index of the key narrows a search.
const KEYS: &[(&str, &str, bool)] = &[
    ("actor:7,nobody", "actor:8", true),
    ("actor.type:user", "actor.type:system", true),
    ("onbehalf:Bo", "onbehalf:Ana*", true),
    ("session:s1", "session:s2", true),
    ("auth:session", "auth:jwt", true),
    ("role:nurse", "role:admin", true),
    ("ip:10.1.0.0/16", "ip:10.2.0.0/16", true),
    ("agent:curl", "agent:wget", true),
    ("action:patient.*", "action:patient", true),
    ("kind:change", "kind:read", true),
    ("outcome:success", "outcome:failure,unknown", true),
    ("verdict:recorded", "verdict:committed", true),
    ("method:post", "method:get", true),
    ("route:/p/*", "route:/p", true),
    ("path:/p/42", "path:/q*", true),
    ("status:200..299", "status:>=400", true),
    ("duration:>1ms", "duration:>1s", true),
    ("resource:clinic.Patient/42", "resource:patient/43", true),
    ("type:PATIENT", "type:clinic.patient", true),
    ("field:ssn", "field:age", true),
    ("was:Ana,4", "was:Eva", true),
    ("now:E*", "now:Ana", true),
    ("tenant:north", "tenant:none", true),
    ("request:r1", "request:r2", true),
    ("trace:4bf92f3577b34da6a3ce929d0e0e4736", "trace:4bf92f3577b34da6a3ce929d0e0e4737", true),
    ("service:clinic", "service:worker", true),
    ("environment:prod", "environment:test", true),
    ("release:1.2", "release:1", true),
    ("host:h1", "host:none", true),
    ("reason:ticket", "reason:ana", true),
    ("meta.deep.n:5", "meta.ticket:B-2", true),
    ("created:2026-02-01", "created:>2026-02-01", true),
    ("received:2026-02-02", "received:<2026-02-01", true),
    ("hours:21", "hours:20", true),
    ("id:00*", "id:01*", true),
    ("leaf:0", "leaf:>0", true),
    ("stream:00*", "stream:01*", true),
    ("seq:<=1", "seq:>7", false),
    ("is:masked,gap", "is:gap", true),
    ("has:diff has:body", "-has:error,notes", true),
    ("text:\"ana roe\"", "text:zoe", true),
];

fn matcher(query: &str) -> Matcher {
    Matcher::new(&query.parse::<Query>().unwrap_or_else(|error| panic!("{query}: {error}")), &clock()).unwrap()
}

fn holds(matcher: &Matcher, leaf_index: u64, entry: &LeafEntry, body: &[u8]) -> bool {
    matcher.holds(&Record { leaf_index, facts: Facts::read(entry, body) }, &mut Unresolved).unwrap()
}

#[test]
fn every_key_is_tested_on_records_and_narrows_a_search_by_its_index() {
    let full = entry(0);
    let mut builder = RunBuilder::new(0);
    builder.push(&full, FULL.as_bytes());
    let run = MemoryRun(builder.finish());
    let mut without = RunBuilder::new(0);
    without.push(&full, b"{}");
    let without = MemoryRun(without.finish());
    for key in Key::ALL {
        let name = format!("{}{}", key.as_str(), if *key == Key::Meta { "." } else { ":" });
        let (finds, misses, narrows) =
            KEYS.iter().find(|(finds, ..)| finds.starts_with(&name)).unwrap_or_else(|| panic!("no example of `{name}`"));
        assert!(holds(&matcher(finds), 0, &full, FULL.as_bytes()), "{finds}");
        assert!(!holds(&matcher(misses), 0, &full, FULL.as_bytes()), "{misses}");
        assert!(candidates(&matcher(finds), &run).unwrap().bits.is_none_or(|bits| bits.contains(0)), "{finds}");
        // Of some keys the index only knows whether there is anything that could match.
        let is_coarse = matches!(key, Key::Was | Key::Now | Key::Reason | Key::Text | Key::Has);
        let (query, run) = if is_coarse { (finds, &without) } else { (misses, &run) };
        assert!(!narrows || candidates(&matcher(query), run).unwrap().is_nothing(), "{query} is looked for in every record");
    }
}

#[test]
fn hostile_bodies_have_no_fields_and_harm_nobody() {
    let deep = format!("{{\"kind\":\"change\",\"meta\":{}1{}}}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
    let twice = FULL.replacen("\"kind\":\"change\"", "\"kind\":\"change\",\"kind\":\"change\"", 1);
    let position = r#"["change","patient.update","success"]"#.to_owned();
    let mut builder = RunBuilder::new(0);
    for body in ["", "{", "null", "\"\"", "[]", "{}", &deep[..9000], &twice, &position] {
        builder.push(&entry(0), body.as_bytes());
        for (finds, ..) in KEYS {
            let by_leaf = ["verdict", "received", "id", "leaf", "stream", "seq"].iter().any(|key| finds.starts_with(key));
            // A body that does not say when it happened counts from when it was recorded.
            let by_time = finds.starts_with("created") || finds.starts_with("hours");
            if !by_leaf && !by_time {
                assert!(!holds(&matcher(finds), 0, &entry(0), body.as_bytes()), "{finds} in {}", &body[..body.len().min(40)]);
            }
        }
    }
    builder.push(&entry(0), deep.as_bytes());
    let _ = holds(&matcher("meta.a:1"), 0, &entry(0), deep.as_bytes());
    assert_eq!(builder.finish().end_index, 10);
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "ab", "abc", "b", "ba", "é", "a b"]).prop_map(str::to_owned)
}

fn member(name: &'static str) -> impl Strategy<Value = Option<String>> {
    prop::option::of(word().prop_map(move |word| format!("\"{name}\":\"{word}\"")))
}

fn object(name: &'static str, members: impl Strategy<Value = Vec<Option<String>>>) -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(
        0.8,
        members.prop_map(move |members| format!("\"{name}\":{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(","))),
    )
}

/// A body with some fields, each with values that other bodies have, too.
fn body() -> impl Strategy<Value = String> {
    let actor = (member("id"), member("label"), member("session"), prop::option::of(Just("\"roles\":[\"a\",\"b\"]".to_owned())));
    let actor = object(
        "actor",
        actor.prop_map(|(id, label, session, roles)| vec![Some("\"type\":\"user\"".to_owned()), id, label, session, roles]),
    );
    let resource_type = prop::sample::select(vec!["x.A", "y.ab", "a", "x.y.A/b"]).prop_map(|name| Some(format!("\"type\":\"{name}\"")));
    let resource = object("resource", (resource_type, member("id"), member("label")).prop_map(|(name, id, label)| vec![name, id, label]));
    let status = prop::sample::select(vec![200, 201, 404]).prop_map(|status| Some(format!("\"status\":{status}")));
    let duration = prop::option::of((0..5000_u32).prop_map(|micros| format!("\"duration_us\":{micros}")));
    let address = prop::sample::select(vec!["10.0.0.1", "10.0.1.1", "11.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "nowhere"]);
    let address = prop::option::of(address.prop_map(|address| format!("\"client_ip\":\"{address}\"")));
    let request = (member("id"), member("path"), member("user_agent"), status, duration, address);
    let request = object(
        "request",
        request.prop_map(|(id, path, agent, status, duration, address)| vec![id, path, agent, status, duration, address]),
    );
    let changes = prop::option::of(
        (word(), word(), word())
            .prop_map(|(field, old, new)| format!("\"changes\":[{{\"field\":\"{field}\",\"old\":\"{old}\",\"new\":\"{new}\"}}]")),
    );
    let meta =
        object("meta", (member("a"), member("b"), object("o", member("a").prop_map(|a| vec![a]))).prop_map(|(a, b, o)| vec![a, b, o]));
    let outcome =
        prop::option::of(prop::sample::select(vec!["success", "denied"]).prop_map(|outcome| format!("\"outcome\":\"{outcome}\"")));
    let time = prop::option::of(
        (0..4_u32, 0..30_u32, 0..3_u32)
            .prop_map(|(day, second, micros)| format!("\"occurred_at\":\"2026-02-0{}T2{}:14:{second:02}.00000{micros}Z\"", day + 1, day)),
    );
    let many = prop::option::weighted(
        0.05,
        Just(format!("\"notes\":[],\"reason\":\"{}\"", (0..400).map(|number| format!("w{number} ")).collect::<String>())),
    );
    let parts = (actor, resource, request, changes, meta, outcome, time, many);
    prop_oneof![
        15 => (parts, member("tenant")).prop_map(|((actor, resource, request, changes, meta, outcome, time, many), tenant)| {
            let parts = [Some("\"kind\":\"read\"".to_owned()), actor, resource, request, changes, meta, outcome, time, many, tenant];
            format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(","))
        }),
        1 => "\\PC{0,10}",
    ]
}

fn query() -> impl Strategy<Value = String> {
    let quoted = || word().prop_map(|word| format!("\"{word}\""));
    let text =
        prop_oneof![4 => quoted(), 2 => quoted().prop_map(|word| word + "*"), 1 => Just("none".to_owned()), 1 => Just("any".to_owned())];
    let keys = "(actor|session|role|tenant|request|path|agent|field|was|now|type|meta\\.a|meta\\.o\\.a|reason|onbehalf)";
    let fixed = prop::sample::select(vec![
        "kind:read",
        "kind:change",
        "outcome:success",
        "outcome:unknown",
        "verdict:in_doubt,committed",
        "type:a,AB",
        "resource:a/ab",
        "resource:x.A/a*",
        "resource:\"x.y.A/b\"",
        "resource:\"x.y.A/b/a\"",
        "status:>=201",
        "status:200..201",
        "status:none",
        "duration:>1ms",
        "duration:100us..2ms",
        "ip:10.0.0.0/23",
        "ip:10.0.0.0/7",
        "ip:2001:db8::/40",
        "ip:any",
        "created:2026-02-02",
        "created:2026-02-01T20:14:10Z..2026-02-02T21:14:10.000001Z",
        "created:>2026-02-02T21:14:05.000001Z",
        "created:any",
        "received:>2026-02-02T03:00:00Z",
        "received:2026-02-02",
        "hours:off",
        "hours:22..23",
        "leaf:3..9",
        "leaf:>1005",
        "seq:<9",
        "stream:01*",
        "stream:00000000000000000000000000000000",
        "id:0*",
        "id:05*",
        "is:masked",
        "has:diff",
        "has:notes",
        "ab",
        "\"a b\"",
        "w399",
        "w39*",
    ])
    .prop_map(str::to_owned);
    let term = prop_oneof![2 => (keys, prop::collection::vec(text, 1..3))
.prop_map(|(key, values): (String, Vec<String>)| format!("{key}:{}", values.join(","))), 3 => fixed];
    let text = ("(|-)", term).prop_map(|(not, term)| not + &term).prop_recursive(3, 12, 3, |inner| {
        ("(|-)", prop::collection::vec(inner, 1..4), "( | OR )")
            .prop_map(|(not, parts, joint): (String, Vec<String>, String)| format!("{not}({})", parts.join(&joint)))
    });
    text.prop_filter("bounds of both sides apart are refused", |text| text.parse::<Query>().is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_index_points_at_every_match_and_counts_just_those(bodies in prop::collection::vec(body(), 1..40), queries in prop::collection::vec(query(), 8)) {
        let entries: Vec<LeafEntry> = (0..bodies.len()).map(|number| entry(u8::try_from(number).unwrap())).collect();
        let mut builder = RunBuilder::new(1000);
        entries.iter().zip(&bodies).for_each(|(entry, body)| builder.push(entry, body.as_bytes()));
        let run = MemoryRun(builder.finish());
        for query in queries {
            let matcher = matcher(&query);
            let mut expected = Bits::none(bodies.len());
            for (index, (entry, body)) in entries.iter().zip(&bodies).enumerate() {
                if holds(&matcher, 1000 + index as u64, entry, body.as_bytes()) {
                    expected.insert(index);
                }
            }
            let hint = candidates(&matcher, &run).unwrap();
            let pointed = hint.bits.unwrap_or_else(|| Bits::all(bodies.len()));
            let mut missed = pointed;
            missed.not();
            missed.and(&expected);
            prop_assert!(missed.is_empty(), "{} misses", query);
            let counted = Planner::new(&run, &matcher.zone, true).root(&matcher).unwrap();
            if counted.certainty > Certainty::Superset {
                prop_assert_eq!(counted.bits.unwrap_or_else(|| Bits::all(bodies.len())), expected, "{} is counted wrongly", query);
            }
        }
    }
}

/// A trail with two sealed files, and an open one in which a part is indexed and the rest is not.
struct Site {
    folder: tempfile::TempDir,
}

const LEAVES_PER_FILE: u64 = 2_000;
const EVENTS: u32 = 8_500;

impl Site {
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        // A file ends with the batch that fills it, and a batch may be all that one process recorded.
        site.record(0..2_100, LEAVES_PER_FILE);
        site.record(2_100..4_200, LEAVES_PER_FILE);
        site.record(4_200..EVENTS, 1_000_000);
        site
    }

    fn dir(&self) -> DataDir {
        DataDir::new(self.folder.path())
    }

    fn record(&self, numbers: std::ops::Range<u32>, leaves_per_file: u64) {
        let recorder = indelible::Recorder::open(indelible::Config::new(self.folder.path(), "clinic")).unwrap();
        for number in numbers {
            recorder.record(numbered(number));
        }
        recorder.close().unwrap();
        let deadlines = Deadlines { stream_dead_ms: 0, ..Deadlines::default() };
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let config = crate::config::Config::default();
        serve(&Options { dir: self.dir(), listen, until_idle: Some(Duration::ZERO), deadlines, leaves_per_file, config }, |_| ()).unwrap();
    }
}

/// One event of many; what it says follows from its number.
fn numbered(number: u32) -> indelible::Event {
    use indelible::{Actor, Event, Kind, Request, Resource};
    let kind = if number.is_multiple_of(7) { Kind::Read } else { Kind::Change };
    let mut event = Event::new(kind, if number.is_multiple_of(3) { "patient.update" } else { "patient.create" });
    event.outcome = if number.is_multiple_of(50) { Outcome::Denied } else { Outcome::Success };
    event.occurred_at = Some(Timestamp::from_micros(1_770_000_000_000_000 + i64::from(number) * 1_500_000));
    event.actor = Actor::user((number % 1000).to_string(), format!("User {}", number % 10)).into();
    event.resource = Some(Resource::new("clinic.Patient", (number / 100).to_string()));
    event.request =
        Some(Request { status: Some(if number.is_multiple_of(20) { 404 } else { 200 }), ..Request::from_id(format!("r{}", number / 2)) });
    event.reason = (number.is_multiple_of(997)).then(|| format!("ticket {number}"));
    event
}

const QUERIES: &[&str] = &[
    "",
    "actor:7",
    "actor:nobody",
    "actor:7,8 kind:read",
    "resource:patient/12 -kind:read",
    "request:r4000",
    "ticket OR actor:5 status:404",
    "\"ticket 997\"",
    "-kind:change -outcome:success",
    "created:2026-02-02T03:00:00Z..2026-02-02T04:10:00.5Z outcome:denied",
    "hours:5 actor:1*",
    "leaf:2095..2110 OR leaf:>8490",
    "reason:any -reason:ticket",
    "verdict:recorded service:clinic status:>=400 actor:9*",
    "actor:1 sort:created-asc",
    "-(kind:change OR status:404) sort:created-asc",
];

fn by_looking_at_everything(reader: &Reader, query: &str) -> Vec<u64> {
    let (parsed, matcher) = (query.parse::<Query>().unwrap(), matcher(query));
    let trail = Trail::new(reader);
    let mut resolutions = TrailResolutions::new(&trail);
    let mut found = Vec::new();
    reader
        .records(0..reader.tree_size(), Order::OldestFirst, |leaf| {
            if matcher.holds(&record(&leaf), &mut resolutions).unwrap() {
                found.push(leaf.leaf_index);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    if parsed.order == indelible_core::query::Order::NewestFirst {
        found.reverse();
    }
    found
}

fn request(query: &str, limit: usize, cursor: Option<Cursor>) -> SearchRequest {
    SearchRequest { query: query.parse().unwrap(), limit, cursor, clock: clock(), deadline: Duration::from_secs(60) }
}

/// Leaves of all pages, and how many pages there were.
fn by_pages(reader: &Reader, query: &str, limit: usize) -> (Vec<u64>, usize) {
    let (mut leaves, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = search(reader, &request(query, limit, cursor)).unwrap();
        leaves.extend(page.rows.iter().map(|hit| hit.leaf_index));
        pages += 1;
        if page.next.is_none() {
            return (leaves, pages);
        }
        cursor = page.next;
    }
}

#[test]
fn a_trail_of_many_files_answers_as_a_look_at_every_record_does() {
    let site = Site::new();
    let reader = Reader::open(&site.dir()).unwrap();
    let states: Vec<_> = reader
        .files()
        .iter()
        .map(|file| (file.state(), file.spans().unwrap().iter().map(|span| span.indexed).collect::<Vec<_>>()))
        .collect();
    assert!(states.iter().filter(|(state, _)| *state == crate::trail::FileState::Sealed).count() >= 2, "{states:?}");
    assert_eq!(states.last().unwrap().1, [true, false], "the open file is indexed in part");
    for query in QUERIES {
        let expected = by_looking_at_everything(&reader, query);
        assert_eq!(by_pages(&reader, query, 700).0, expected, "{query}");
        let counting = CountRequest { query: query.parse().unwrap(), clock: clock(), deadline: Duration::from_secs(60) };
        let bars = histogram(&reader, &counting, TimeRange::default(), 60).unwrap();
        assert_eq!((bars.counted.matches, bars.counted.partial), (expected.len() as u64, false), "{query}");
        assert_eq!(top(&reader, &counting, "kind", 10).unwrap().counted.matches, expected.len() as u64, "{query}");
    }
    pages_join(&reader);
    time_that_is_up_loses_nothing(&reader);
    figures_are_those_of_the_records(&reader);
    frequent_values_are_those_of_the_records(&reader);
    ids_are_found_without_reading_what_lies_around_them(&reader);
    work_is_bounded_by_the_index(&reader);
}

/// The thousandth page by cursor is the slice that a full scan has there.
fn pages_join(reader: &Reader) {
    let all = by_looking_at_everything(reader, "kind:change");
    let (leaves, pages) = by_pages(reader, "kind:change", 7);
    assert!(pages > 1000, "{pages}");
    assert_eq!(leaves[999 * 7..1000 * 7], all[999 * 7..1000 * 7]);
    assert_eq!(leaves, all);
}

fn time_that_is_up_loses_nothing(reader: &Reader) {
    for query in ["seq:<9000 actor:7", "seq:<9000 actor:7 sort:created-asc"] {
        let expected = by_looking_at_everything(reader, query);
        let (mut leaves, mut partial, mut cursor) = (Vec::new(), 0, None);
        loop {
            // The clock is looked at before each run and each block; the time is up at the third look.
            let mut looks = 0;
            let mut deadline = super::walk::Deadline::when(|| {
                looks += 1;
                looks > 2
            });
            let page = super::page::find_until(reader, &matcher(query), &request(query, 1000, cursor), &mut deadline).unwrap();
            leaves.extend(page.rows.iter().map(|hit| hit.leaf_index));
            partial += u32::from(page.partial);
            if page.next.is_none() {
                break;
            }
            cursor = page.next;
        }
        assert_eq!(leaves, expected, "{query}");
        assert!(partial > 5, "{partial}");
    }
}

fn figures_are_those_of_the_records(reader: &Reader) {
    let counting = |query: &str| CountRequest { query: query.parse().unwrap(), clock: clock(), deadline: Duration::from_secs(60) };
    let within = TimeRange { from: Some("2026-02-02T03:00:00Z".parse().unwrap()), before: Some("2026-02-02T05:00:00Z".parse().unwrap()) };
    let bars = histogram(reader, &counting("service:clinic"), within, 8).unwrap();
    assert_eq!((bars.bar_seconds, bars.bars.len()), (900, 8));
    let mut expected: BTreeMap<(usize, bool), u64> = BTreeMap::new();
    for number in 0..EVENTS {
        let micros = 1_770_000_000_000_000 + i64::from(number) * 1_500_000;
        let offset = micros - within.from.unwrap().micros();
        if (0..7_200_000_000).contains(&offset) {
            *expected.entry((usize::try_from(offset / 900_000_000).unwrap(), number.is_multiple_of(50))).or_default() += 1;
        }
    }
    for (index, bar) in bars.bars.iter().enumerate() {
        let of = |denied: bool| expected.get(&(index, denied)).copied().unwrap_or(0);
        let by_outcome: BTreeMap<&str, u64> =
            Outcome::ALL.iter().map(|outcome| outcome.as_str()).zip(bar.outcomes.iter().copied()).collect();
        assert_eq!((by_outcome["success"], by_outcome["denied"], by_outcome["failure"]), (of(false), of(true), 0), "bar {index}");
    }
    let actors = top(reader, &counting("kind:read service:clinic"), "actor", 3).unwrap();
    let mut expected: BTreeMap<u32, u64> = BTreeMap::new();
    (0..EVENTS).filter(|number| number.is_multiple_of(7)).for_each(|number| *expected.entry(number % 1000).or_default() += 1);
    let mut expected: Vec<(String, u64)> = expected.into_iter().map(|(actor, count)| (actor.to_string(), count)).collect();
    expected.sort_by(|(one, count), (other, other_count)| other_count.cmp(count).then_with(|| one.cmp(other)));
    assert_eq!(actors.values, expected[..3]);
    assert!(matches!(top(reader, &counting(""), "reason", 3), Err(SearchError::Facet { .. })));
}

fn ids_are_found_without_reading_what_lies_around_them(reader: &Reader) {
    for leaf in [0, 700, 4000, 8400] {
        let id = reader.record(leaf).unwrap().unwrap().entry.event.to_string();
        let whole = search(reader, &request(&format!("id:{id}"), 50, None)).unwrap();
        assert_eq!(whole.rows.iter().map(|hit| hit.leaf_index).collect::<Vec<_>>(), [leaf]);
        for digits in [6, 13, 20, id.len()] {
            let query = format!("id:{}*", &id[..digits]);
            assert_eq!(by_pages(reader, &query, 700).0, by_looking_at_everything(reader, &query), "{query}");
        }
        let tail: u64 =
            reader.open_file().spans().unwrap().iter().filter(|span| !span.indexed).map(|span| span.end_index - span.first_index).sum();
        assert!(whole.work.tested <= tail + 1, "{:?}", whole.work);
    }
}

fn frequent_values_are_those_of_the_records(reader: &Reader) {
    for (facet, field) in [("actor", Field::ActorId), ("resource", Field::Resource), ("status", Field::Status)] {
        for query in ["", "kind:read", "actor:1* status:404", "ticket OR actor:5", "request:r4000", "actor:nobody"] {
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for leaf in by_pages(reader, query, 1000).0 {
                let leaf = reader.record(leaf).unwrap().unwrap();
                record(&leaf).facts.texts(field, |value| *expected.entry(value.to_owned()).or_default() += 1);
            }
            let mut expected: Vec<(String, u64)> = expected.into_iter().collect();
            expected.sort_by(|(one, count), (other, other_count)| other_count.cmp(count).then_with(|| one.cmp(other)));
            expected.truncate(100);
            let counting = CountRequest { query: query.parse().unwrap(), clock: clock(), deadline: Duration::from_secs(60) };
            let found = top(reader, &counting, facet, 100).unwrap();
            assert_eq!((found.values, found.counted.partial), (expected, false), "{facet} of {query}");
        }
    }
}

#[test]
fn values_that_are_counted_until_the_time_is_up_are_the_first_ones_and_right() {
    let mut builder = RunBuilder::new(0);
    for number in 0..4000 {
        builder.push(&entry(0), format!(r#"{{"actor":{{"id":"{}"}}}}"#, number % 2000).as_bytes());
    }
    let run = MemoryRun(builder.finish());
    let mut terms: Vec<Term> = (0..2000).map(|number| Term::of(Field::ActorId, number.to_string().as_bytes())).collect();
    terms.sort_unstable();
    let mut looks = 0;
    let mut deadline = super::walk::Deadline::when(|| {
        looks += 1;
        looks > 2
    });
    let counts = run.counts(&terms, &Bits::all(4000), &mut deadline).unwrap();
    assert!(!counts.is_empty() && counts.len() < 2000 && counts.iter().all(|leaves| *leaves == 2), "{}", counts.len());
}

fn work_is_bounded_by_the_index(reader: &Reader) {
    let work = search(reader, &request("request:r100", 50, None)).unwrap().work;
    let unindexed: u64 =
        reader.open_file().spans().unwrap().iter().filter(|span| !span.indexed).map(|span| span.end_index - span.first_index).sum();
    assert_eq!((work.tested, work.files, work.files_total), (2 + unindexed, work.files_total, reader.files().len() as u64), "{work:?}");
    let newest = search(reader, &request("", 50, None)).unwrap().work;
    assert_eq!((newest.files, newest.lookups), (1, 0), "{newest:?}");
}
