//! What applications may know: `answers.json` and `committed.json`, and what comes of the OUTCOMEs that they send.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::Duration;

use indelible_core::IntentId;

use super::*;
use crate::answers::{ANSWERS, COMMITTED as COMMITTED_FILE, UNRESOLVED_MAX, View, recalled_gaps};
use crate::doctor::{Questions, Verdict as Finding, examine};
use crate::journal::testing::SERVICE;
use crate::search::{Clock, SearchRequest, search};
use crate::trail::StreamRow;

const SECOND_MS: i64 = 1_000;

fn file(site: &Site, name: &str) -> PathBuf {
    site.dir.journal().join(SERVICE).join(name)
}

fn read(site: &Site, name: &str) -> Value {
    serde_json::from_slice(&fs::read(file(site, name)).unwrap()).unwrap()
}

/// What `answers.json` says a second later.
fn answers(site: &mut Site) -> Value {
    site.wait(SECOND_MS);
    site.step();
    read(site, ANSWERS)
}

fn stream_of(answers: &Value, stream: &TestStream) -> Value {
    answers["streams"][stream.stream.to_string()].clone()
}

fn unresolved(answers: &Value) -> Vec<String> {
    let of = |entry: &Value| entry["intent"].as_str().unwrap().to_owned();
    answers["unresolved"].as_array().unwrap().iter().map(of).collect()
}

fn intent_id(number: u8) -> String {
    IntentId::from_bytes([number; 16]).to_string()
}

#[test]
fn an_intent_of_a_process_that_has_ended_is_listed_until_it_is_answered() {
    let mut site = Site::new();
    let (mut stream, mut resolver) = (site.stream(1), site.stream(2));
    stream.event(1);
    stream.intent_with(7, Evidence::Marker, &[2]);
    let said = answers(&mut site);
    assert_eq!(stream_of(&said, &stream), serde_json::json!({"high_water": 2, "ended": false}), "{said}");
    assert!(unresolved(&said).is_empty(), "its process lives and may commit: {said}");
    stream.die();
    let said = answers(&mut site);
    assert_eq!((&said["v"], stream_of(&said, &stream)), (&Value::from(1), serde_json::json!({"high_water": 2, "ended": true})));
    let expected = serde_json::json!({
        "intent": intent_id(7), "stream": stream.stream.to_string(), "sequence": 2, "alias": "default", "evidence": "marker",
        "ingested_at": "1970-01-01T00:16:41.000000Z", "recorded_at": "1970-01-01T00:00:00.000001Z", "in_doubt": false,
    });
    assert_eq!(said["unresolved"], serde_json::json!([expected]));
    site.wait(60_000);
    site.step();
    assert_eq!(answers(&mut site)["unresolved"][0]["in_doubt"], true);
    resolver.outcome_by(7, COMMITTED, Evidence::Marker, &[]);
    let said = answers(&mut site);
    assert!(unresolved(&said).is_empty());
    assert_eq!(stream_of(&said, &resolver)["high_water"], 1);
    let told = site.own("audit.resolve");
    assert_eq!((&told[0]["meta"]["result"], &told[0]["meta"]["evidence"]), (&Value::from("committed"), &Value::from("marker")));
    site.intact();
}

#[test]
fn a_service_without_evidence_has_no_files_and_one_that_asks_has() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1]);
    stream.outcome(1, COMMITTED);
    site.step();
    site.wait(SECOND_MS);
    site.step();
    assert!(!file(&site, ANSWERS).exists());
    fs::write(file(&site, "resolver.lock"), "").unwrap();
    assert_eq!(stream_of(&answers(&mut site), &stream)["high_water"], 2);
    assert!(!file(&site, COMMITTED_FILE).exists(), "nothing has a marker");
}

#[test]
fn files_are_written_when_they_change_and_again_when_somebody_deletes_them() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent_with(1, Evidence::Marker, &[1]);
    site.step();
    let first = fs::metadata(file(&site, ANSWERS)).unwrap();
    assert_eq!(first.permissions().mode() & 0o777, 0o644);
    answers(&mut site);
    assert_eq!(fs::metadata(file(&site, ANSWERS)).unwrap().ino(), first.ino(), "nothing has changed");
    stream.event(2);
    site.step();
    assert_eq!(stream_of(&read(&site, ANSWERS), &stream)["high_water"], 1, "once a second");
    assert_eq!(stream_of(&answers(&mut site), &stream)["high_water"], 2);
    fs::remove_file(file(&site, ANSWERS)).unwrap();
    assert_eq!(stream_of(&answers(&mut site), &stream)["high_water"], 2);
    let folder = site.dir.journal().join(SERVICE);
    assert!(fs::read_dir(folder).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().ends_with(".new")));
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    let victim = site.dir.root().join("victim");
    fs::write(&victim, "mine").unwrap();
    for name in [".answers.json.new", ANSWERS] {
        symlink(&victim, file(&site, name)).unwrap();
    }
    stream.intent_with(1, Evidence::Marker, &[1]);
    answers(&mut site);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(file(&site, ANSWERS)).unwrap().is_file());
    fs::remove_file(file(&site, ANSWERS)).unwrap();
    fs::create_dir_all(file(&site, ANSWERS).join("occupied")).unwrap();
    stream.event(2);
    site.wait(SECOND_MS);
    assert!(site.step().worked, "that it cannot be written keeps nothing from being recorded");
    assert!(file(&site, ANSWERS).is_dir());
}

/// A process that was killed while it wrote the INTENT of a row in its outbox left a torn tail. The agent passed over that sequence, said
/// so as its high-water, and the row was deleted as if the event were recorded.
#[test]
fn a_torn_tail_does_not_count_as_ingested_and_neither_does_a_gap_also_after_a_restart() {
    let mut site = Site::new();
    // After its name says that it was born.
    site.now_ms = 1_110_000_000_000;
    let mut stream = site.stream(1);
    stream.intent_with(1, Evidence::Marker, &[1]);
    stream.skip(2);
    stream.event(4);
    stream.append_bytes(&[9; 30]);
    stream.die();
    site.step();
    let expected = serde_json::json!({"high_water": 4, "ended": true, "gaps": [[2, 3]]});
    assert_eq!(stream_of(&answers(&mut site), &stream), expected);
    site.kill();
    fs::remove_file(file(&site, ANSWERS)).unwrap();
    site.start().unwrap();
    assert_eq!(stream_of(&answers(&mut site), &stream), expected);
}

/// A drainer that was killed before its first frame had assigned rows to its stream. The agent removed the empty folder and never named the stream, so
/// nobody could say that nothing had arrived: the rows stayed where they were for ever.
#[test]
fn a_stream_that_ended_without_a_frame_is_named_also_after_a_restart() {
    let mut site = Site::new();
    // After their names say that they were born.
    site.now_ms = 1_110_000_000_000;
    let (mut empty, mut torn) = (site.stream(1), site.stream(2));
    torn.append_bytes(&[9; 30]);
    fs::write(file(&site, "outbox.lock"), "").unwrap();
    site.step();
    assert!(!file(&site, ANSWERS).exists(), "their processes live, and there is nothing to say");
    empty.die();
    torn.die();
    site.step();
    let expected = serde_json::json!({"high_water": 0, "ended": true});
    for _ in 0..2 {
        let said = answers(&mut site);
        assert_eq!((stream_of(&said, &empty), stream_of(&said, &torn)), (expected.clone(), expected.clone()));
        site.kill();
        fs::remove_file(file(&site, ANSWERS)).unwrap();
        site.start().unwrap();
    }
    assert!(!site.step().worked, "it is told once");
    site.intact();
}

#[test]
fn streams_are_named_after_their_file_is_closed_and_after_a_restart() {
    let mut site = Site::with_files_of(3);
    let (mut stream, mut other) = (site.stream(1), site.stream(2));
    stream.intent_with(1, Evidence::Marker, &[1, 2, 3]);
    stream.outcome(1, COMMITTED);
    stream.die();
    site.step();
    for number in 10..16 {
        other.event(number);
        site.step();
    }
    let said = answers(&mut site);
    assert_eq!((stream_of(&said, &stream)["high_water"].as_u64(), stream_of(&said, &stream)["ended"].as_bool()), (Some(2), Some(true)));
    site.kill();
    site.start().unwrap();
    other.event(20);
    assert_eq!(stream_of(&answers(&mut site), &stream), stream_of(&said, &stream));
    site.wait(49 * 3_600_000);
    other.event(21);
    assert_eq!(stream_of(&answers(&mut site), &stream), Value::Null, "no marker is that old");
}

#[test]
fn an_intent_that_is_a_day_old_is_not_listed_and_too_many_are_said_to_be_too_many() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    let body = body(1);
    for number in 0..=UNRESOLVED_MAX as u64 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let intent = IntentId::from_bytes(id);
        stream.append(&Frame::Intent { intent, evidence: Evidence::Marker, alias: "default", items: vec![item(1, &body)] });
    }
    stream.die();
    let said = answers(&mut site);
    assert_eq!((unresolved(&said).len(), &said["more"]), (UNRESOLVED_MAX, &Value::Bool(true)));
    site.wait(24 * 3_600_000);
    site.step();
    let said = answers(&mut site);
    assert_eq!((unresolved(&said).len(), said.get("more")), (0, None));
    assert_eq!(site.step().unanswered.intents, 0, "nobody can answer them any more");
}

#[test]
fn what_nobody_answers_is_counted_with_the_age_of_the_oldest() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent_with(1, Evidence::Marker, &[1]);
    stream.intent(2, &[2]);
    stream.die();
    site.step();
    site.wait(60_000);
    site.step();
    site.wait(5_000);
    let unanswered = site.step().unanswered;
    assert_eq!((unanswered.intents, unanswered.age), (1, 65_000_000));
    site.kill();
    site.start().unwrap();
    assert_eq!(site.step().unanswered, unanswered, "also by the next agent");
}

#[test]
fn committed_intents_with_markers_are_named_and_kept_over_a_restart() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent_with(1, Evidence::Marker, &[1]);
    stream.outcome(1, COMMITTED);
    stream.intent_with(2, Evidence::Marker, &[2]);
    stream.outcome(2, ROLLED_BACK);
    stream.intent(3, &[3]);
    stream.outcome(3, COMMITTED);
    site.step();
    let named = |site: &Site| {
        let committed = read(site, COMMITTED_FILE);
        let intents = committed["intents"].as_array().unwrap().iter().map(|entry| entry["intent"].as_str().unwrap().to_owned());
        intents.collect::<Vec<_>>()
    };
    assert_eq!(named(&site), [intent_id(1)]);
    let entry = &read(&site, COMMITTED_FILE)["intents"][0];
    assert_eq!((&entry["alias"], &entry["sequence"], &entry["stream"]), (&"default".into(), &1.into(), &stream.stream.to_string().into()));
    site.kill();
    site.start().unwrap();
    stream.intent_with(4, Evidence::Marker, &[4]);
    stream.outcome_by(4, COMMITTED, Evidence::Marker, &[]);
    site.step();
    assert_eq!(named(&site), [intent_id(1), intent_id(4)]);
    stream.intent_with(5, Evidence::Marker, &[5]);
    stream.outcome(5, COMMITTED);
    site.wait(9_000);
    site.step();
    assert_eq!(named(&site).len(), 2, "every ten seconds");
    site.wait(SECOND_MS);
    site.step();
    assert_eq!(named(&site).len(), 3);
}

#[test]
fn the_first_outcome_decides_a_repetition_is_nothing_and_a_contradiction_is_told() {
    let mut site = Site::new();
    let (mut stream, mut resolver) = (site.stream(1), site.stream(2));
    for (intent, own, others) in [(1, COMMITTED, ROLLED_BACK), (2, ROLLED_BACK, COMMITTED), (3, COMMITTED, COMMITTED)] {
        stream.intent_with(intent, Evidence::Marker, &[u64::from(intent)]);
        stream.outcome(intent, own);
        site.step();
        resolver.outcome_by(intent, others, Evidence::Marker, &[]);
        resolver.outcome_by(intent, others, Evidence::Marker, &[]);
    }
    // In doubt first, then answered twice.
    stream.intent_with(4, Evidence::Marker, &[4]);
    stream.die();
    site.step();
    site.wait(60_000);
    site.step();
    resolver.outcome_by(4, ROLLED_BACK, Evidence::Marker, &[]);
    resolver.outcome_by(4, COMMITTED, Evidence::Marker, &[]);
    site.step();
    let verdicts: Vec<_> = site.records().into_iter().filter(|(name, _)| name.parse::<u64>().is_ok()).collect();
    assert_eq!(
        verdicts,
        [("1", Verdict::Committed), ("3", Verdict::Committed), ("4", Verdict::InDoubt)].map(|(name, verdict)| (name.to_owned(), verdict))
    );
    let told: Vec<_> = site.own("audit.resolve").into_iter().map(|body| (body["resource"].clone(), body["meta"].clone())).collect();
    let contradicted: Vec<_> = told.iter().filter(|(_, meta)| meta["result"] == "contradicted").collect();
    // Each time it is said.
    let expected = [
        (1, "committed", "rolled_back"),
        (1, "committed", "rolled_back"),
        (2, "rolled_back", "committed"),
        (2, "rolled_back", "committed"),
        (4, "rolled_back", "committed"),
    ];
    assert_eq!(contradicted.len(), expected.len(), "{told:?}");
    for ((resource, meta), (intent, decided, said)) in contradicted.iter().zip(expected) {
        assert_eq!((&resource["type"], &resource["id"]), (&"intent".into(), &intent_id(intent).into()));
        assert_eq!((&meta["decided"], &meta["said"], &meta["evidence"]), (&decided.into(), &said.into(), &"marker".into()));
    }
    assert_eq!(told.len() - contradicted.len(), 1, "the doubt is resolved once");
    site.intact();
}

#[test]
fn an_intent_from_an_outbox_needs_no_outcome_and_gets_no_second_one() {
    let mut site = Site::new();
    let (mut drainer, mut next) = (site.stream(1), site.stream(2));
    drainer.intent_with(1, Evidence::Outbox, &[1]);
    site.step();
    assert!(site.names().is_empty(), "its outcome may follow");
    drainer.die();
    site.step();
    site.step();
    assert_eq!(site.records(), [("1".to_owned(), Verdict::CommittedByOutbox)]);
    next.outcome_by(1, COMMITTED, Evidence::Outbox, &[]);
    site.step();
    site.wait(25 * 3_600_000);
    assert!(!site.step().worked, "nothing waits");
    assert_eq!(site.names(), ["1"]);
    site.intact();
}

#[test]
fn a_proof_that_was_not_announced_proves_nothing() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    stream.intent(1, &[1]);
    stream.outcome_by(1, COMMITTED, Evidence::Marker, &[]);
    stream.intent_with(2, Evidence::Marker, &[2]);
    stream.outcome_by(2, COMMITTED, Evidence::Outbox, &[]);
    stream.outcome(1, ROLLED_BACK);
    stream.outcome(2, COMMITTED);
    site.step();
    assert_eq!(site.records().into_iter().filter(|(name, _)| name == "2").collect::<Vec<_>>(), [("2".to_owned(), Verdict::Committed)]);
    let whats: Vec<_> = site.own("audit.gap").iter().map(|body| body["meta"]["what"].clone()).collect();
    assert_eq!(whats, ["the outcome has a proof that its intent never announced"; 2]);
}

#[test]
fn doctor_says_when_no_resolver_asks() {
    let mut site = Site::new();
    let (mut stream, mut other) = (site.stream(1), site.stream(2));
    let faults = |site: &Site| {
        let checks = examine(&site.dir, &Questions::default());
        let ill = checks.into_iter().filter(|check| matches!(check.verdict, Finding::Warn | Finding::Fail));
        ill.map(|check| check.id).filter(|id| !id.starts_with("data.")).collect::<Vec<_>>()
    };
    site.now_ms = crate::clock::now().micros() / 1000 - 120_000;
    stream.intent_with(1, Evidence::Marker, &[1]);
    stream.die();
    site.step();
    assert_eq!(faults(&site), ["trail.unanswered"]);
    other.outcome_by(1, COMMITTED, Evidence::Marker, &[]);
    site.step();
    assert!(faults(&site).is_empty());
}

/// Anybody who records can call an event `audit.resolve`. Only those of the agent's own stream resolve anything.
#[test]
fn what_an_application_calls_a_resolution_resolves_nothing() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    site.now_ms = crate::clock::now().micros() / 1000;
    stream.intent_with(1, Evidence::Marker, &[1]);
    site.step();
    site.wait(60_000);
    stream.told(2, "audit.resolve", r#"{"result":"committed"}"#);
    site.step();
    let unknown = |site: &Site| {
        let query = "outcome:unknown".parse().unwrap();
        let request = SearchRequest { query, limit: 10, cursor: None, clock: Clock::system(), deadline: Duration::from_secs(60) };
        search(&Reader::open(&site.dir).unwrap(), &request).unwrap().rows.len()
    };
    assert_eq!(unknown(&site), 1);
    stream.outcome(1, COMMITTED);
    site.step();
    assert_eq!(unknown(&site), 0, "right after its resolution");
}

#[test]
fn what_could_not_be_written_is_tried_again() {
    let mut site = Site::new();
    let mut stream = site.stream(1);
    // No rename puts a file in the place of a folder.
    fs::create_dir(file(&site, COMMITTED_FILE)).unwrap();
    stream.intent_with(1, Evidence::Marker, &[1]);
    stream.outcome(1, COMMITTED);
    site.step();
    fs::remove_dir(file(&site, COMMITTED_FILE)).unwrap();
    site.wait(10 * SECOND_MS);
    site.step();
    assert_eq!(read(&site, COMMITTED_FILE)["intents"][0]["intent"], intent_id(1));
}

/// Every gap that was ever told was read at each start. These streams were born in 2004 and 2039, as their names say.
#[test]
fn gaps_are_recalled_back_to_the_birth_of_the_oldest_stream_that_is_named_and_no_more_than_so_many() {
    let mut site = Site::with_files_of(3);
    let (mut old, mut young) = (site.stream(1), site.stream(2));
    for (stream, year_ms) in [(&mut old, 1_110_000_000_000), (&mut young, 2_210_000_000_000)] {
        site.now_ms = year_ms;
        stream.event(1);
        stream.skip(2);
        stream.event(2);
        site.step();
        for number in 10..16 {
            stream.event(number);
            site.step();
        }
    }
    let row = || StreamRow { service: SERVICE.to_owned(), next_sequence: 9, next_stream_index: 0 };
    let rows: HashMap<_, _> = [old.stream, young.stream].map(|stream| (stream, row())).into();
    let both = View { streams: &rows, unfinished: HashSet::new(), unlisted: &[] };
    let known = vec![(2, 3)];
    let of = |view: &View<'_>, most, stream: &TestStream| recalled_gaps(&site.dir, view, most).remove(&stream.stream);
    assert_eq!([of(&both, 2, &old), of(&both, 2, &young)], [Some(Some(known.clone())), Some(Some(known.clone()))]);
    assert_eq!([of(&both, 1, &old), of(&both, 1, &young)], [Some(None), Some(Some(known.clone()))], "of the old one nothing is said");
    let rows = HashMap::from([(young.stream, row())]);
    let view = View { streams: &rows, unfinished: HashSet::new(), unlisted: &[] };
    assert_eq!([of(&view, 1, &old), of(&view, 1, &young)], [None, Some(Some(known))], "the gap of 2005 was not looked for");
}
