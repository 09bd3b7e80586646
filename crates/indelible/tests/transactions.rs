//! INTENT before COMMIT, OUTCOME after it, savepoint scopes and the bounds of held events.

mod support;

use indelible::{Config, Json, KeepRolledBack, Limits, Recorded, Recorder, Resolution};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Read, actions, change, read_only_stream, recorder, stream_folders};

#[test]
fn held_events_become_one_intent_and_the_outcome_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut transaction = recorder.transaction("default");
    assert_eq!(transaction.record(change("patient.create", "1")), Recorded::Held);
    transaction.record(change("patient.update", "1"));
    assert!(stream_folders(folder.path(), "clinic").is_empty(), "nothing is written before COMMIT");
    let intent = transaction.prepare().unwrap().expect("two events are held");
    assert!(transaction.is_empty());
    intent.committed();
    let frames = read_only_stream(folder.path());
    let [Read::Intent(intent, alias, bodies), Read::Outcome(outcome, Resolution::Committed, finals)] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert_eq!((intent, alias.as_str(), finals.len()), (outcome, "default", 0));
    assert_eq!(actions(bodies), ["patient.create", "patient.update"]);
}

#[test]
fn an_empty_transaction_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut transaction = recorder.transaction("default");
    assert!(transaction.prepare().unwrap().is_none());
    transaction.rollback();
    recorder.intent("default", Vec::new()).unwrap().committed();
    assert!(stream_folders(folder.path(), "clinic").is_empty());
}

#[test]
fn an_autocommit_write_tells_what_its_events_have_become() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut unsaved = change("patient.create", "");
    unsaved.resource.as_mut().unwrap().id = None;
    let intent = recorder.intent("default", vec![unsaved, change("patient.update", "2")]).unwrap();
    intent.committed_with(&[Some(change("patient.create", "1")), None]);
    let frames = read_only_stream(folder.path());
    let [Read::Intent(_, _, announced), Read::Outcome(_, _, finals)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(announced[0]["resource"].get("id"), None);
    assert_eq!((&finals[0]["resource"]["id"], &finals[0]["id"]), (&json!("1"), &announced[0]["id"]));
    assert!(finals[1].is_null(), "nothing happened");
}

#[test]
fn an_autocommit_write_tells_the_key_that_the_database_made() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let unsaved = || {
        let mut event = change("patient.create", "");
        event.resource.as_mut().unwrap().id = None;
        event.changes.push_pending_key("id");
        event
    };
    recorder.intent("default", vec![unsaved()]).unwrap().committed_keyed(vec![("7".to_owned(), Json::integer(7))]);
    recorder.intent("default", vec![unsaved()]).unwrap().committed_keyed(Vec::new());
    let frames = read_only_stream(folder.path());
    let [Read::Intent(_, _, announced), Read::Outcome(_, _, finals), Read::Intent(..), Read::Outcome(_, _, other_number)] = &frames[..]
    else {
        panic!("{frames:?}")
    };
    let keys = |event: &Value| (event["resource"].get("id").cloned(), event["changes"].as_array().unwrap().last().unwrap()["new"].clone());
    assert_eq!(keys(&announced[0]), (None, Value::Null));
    assert_eq!(keys(&finals[0]), (Some(json!("7")), json!(7)));
    assert!(other_number.is_empty(), "the events stay as announced");
}

#[test]
fn an_intent_that_is_dropped_has_no_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    drop(recorder.intent("default", vec![change("patient.create", "1")]).unwrap());
    assert!(matches!(&read_only_stream(folder.path())[..], [Read::Intent(..)]));
}

#[test]
fn a_rollback_keeps_what_the_policy_says_as_aborted() {
    let sensitive = || indelible::Event { sensitive: true, ..change("patient.update", "2") };
    for (keep, kept) in [
        (KeepRolledBack::None, vec![]),
        (KeepRolledBack::Sensitive, vec!["patient.update"]),
        (KeepRolledBack::All, vec!["patient.create", "patient.update"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(Config { keep_rolled_back: keep, ..Config::new(folder.path(), "clinic") }).unwrap();
        let mut transaction = recorder.transaction("default");
        transaction.record(change("patient.create", "1"));
        transaction.record(sensitive());
        transaction.rollback();
        recorder.intent("default", vec![change("patient.create", "1"), sensitive()]).unwrap().rolled_back();
        let frames = read_only_stream(folder.path());
        let aborted: Vec<_> =
            frames.iter().filter_map(|frame| if let Read::Event(body) = frame { Some(body.clone()) } else { None }).collect();
        assert_eq!(actions(&aborted), [kept.clone(), kept.clone()].concat());
        assert!(aborted.iter().all(|body| body["outcome"] == "aborted"));
        let Some(Read::Intent(intent, ..)) = frames.iter().find(|frame| matches!(frame, Read::Intent(..))) else { panic!("{frames:?}") };
        assert!(aborted.iter().skip(kept.len()).all(|body| body["meta"]["intent"] == intent.to_string()), "an intent's event names it");
    }
}

#[test]
fn beyond_the_bounds_changes_are_counted_by_type_and_action() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { transaction_events: 3, ..Limits::default() };
    let recorder = Recorder::open(Config { limits, ..Config::new(folder.path(), "clinic") }).unwrap();
    let mut transaction = recorder.transaction("default");
    for id in 0..5 {
        transaction.record(change("patient.create", &id.to_string()));
    }
    transaction.savepoint("s");
    for id in 5..2_000 {
        transaction.record(change("patient.create", &id.to_string()));
        transaction.record(change("patient.delete", &id.to_string()));
    }
    transaction.rollback_to("s");
    for id in 5..1_500 {
        transaction.record(change("patient.create", &id.to_string()));
    }
    assert_eq!(transaction.len(), 4);
    transaction.prepare().unwrap().unwrap().committed();
    let Read::Intent(_, _, bodies) = &read_only_stream(folder.path())[0] else { panic!("an intent") };
    assert_eq!(actions(bodies), ["patient.create"; 4]);
    let folded = &bodies[3]["changes"][0];
    assert_eq!(folded["count"], 1_497, "3 of 1,500 are held, 2 were folded before the savepoint");
    assert_eq!(folded["ids"].as_array().unwrap().len(), 1_000);
    assert_eq!((&folded["ids"][0], &folded["ids"][2]), (&json!("3"), &json!("5")));
}

#[test]
fn the_bound_in_bytes_holds_too() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { transaction_bytes: 4_000, ..Limits::default() };
    let recorder = Recorder::open(Config { limits, ..Config::new(folder.path(), "clinic") }).unwrap();
    let mut transaction = recorder.transaction("default");
    for id in 0..100 {
        transaction.record(change("patient.create", &id.to_string()));
    }
    assert!(transaction.len() < 9, "{} are held", transaction.len());
}

/// What a program does on one connection.
#[derive(Debug, Clone)]
enum Step {
    Record,
    Savepoint(u8),
    RollbackTo(u8),
    Release(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Record),
        (0_u8..3).prop_map(Step::Savepoint),
        (0_u8..3).prop_map(Step::RollbackTo),
        (0_u8..3).prop_map(Step::Release)
    ]
}

proptest! {
    #[test]
    fn savepoint_scopes_hold_what_a_database_would(steps in proptest::collection::vec(step(), 0..60)) {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(folder.path());
        let mut transaction = recorder.transaction("default");
        let mut rows: Vec<usize> = Vec::new();
        let mut scopes: Vec<(u8, usize)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Record => {
                    rows.push(number);
                    transaction.record(change("patient.create", &number.to_string()));
                }
                Step::Savepoint(name) => {
                    scopes.push((name, rows.len()));
                    transaction.savepoint(&name.to_string());
                }
                Step::RollbackTo(name) => {
                    if let Some(at) = scopes.iter().rposition(|scope| scope.0 == name) {
                        scopes.truncate(at + 1);
                        rows.truncate(scopes[at].1);
                    }
                    transaction.rollback_to(&name.to_string());
                }
                Step::Release(name) => {
                    if let Some(at) = scopes.iter().rposition(|scope| scope.0 == name) {
                        scopes.truncate(at);
                    }
                    transaction.release(&name.to_string());
                }
            }
        }
        let held: Vec<String> = match transaction.prepare().unwrap() {
            None => Vec::new(),
            Some(intent) => {
                intent.committed();
                let Read::Intent(_, _, bodies) = &read_only_stream(folder.path())[0] else { panic!("an intent") };
                bodies.iter().map(|body| body["resource"]["id"].as_str().unwrap().to_owned()).collect()
            }
        };
        prop_assert_eq!(held, rows.iter().map(usize::to_string).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_said_about_a_change_takes_its_place_and_a_savepoint_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut transaction = recorder.transaction("default");
    let written = |id: &str| {
        let mut event = change("patient.update", id);
        event.changes.push_values("name", Some("1"), Some("2"));
        event
    };
    transaction.record(written("1"));
    transaction.record(written("2"));
    transaction.savepoint("s");
    transaction.supersede(change("patient.discharge", "1"));
    assert_eq!(transaction.len(), 2);
    transaction.rollback_to("s");
    transaction.supersede(change("patient.admit", "2"));
    // Nothing is left to stand for: these stand for themselves.
    transaction.supersede(change("patient.greet", "2"));
    transaction.supersede(change("patient.greet", "3"));
    assert_eq!(transaction.len(), 4);
    transaction.prepare().unwrap().expect("events are held").committed();
    let frames = read_only_stream(folder.path());
    let Read::Intent(_, _, bodies) = &frames[0] else { panic!("{frames:?}") };
    let with_changes: Vec<_> = bodies.iter().map(|body| (body["action"].as_str().unwrap(), body.get("changes").is_some())).collect();
    let expected = [("patient.update", true), ("patient.admit", true), ("patient.greet", false), ("patient.greet", false)];
    assert_eq!(with_changes, expected);
}

#[test]
fn what_is_said_about_a_change_takes_the_place_of_no_other_change() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut transaction = recorder.transaction("default");
    let written = |action: &str, field: &str| {
        let mut event = change(action, "1");
        event.changes.push_values(field, Some("1"), Some("2"));
        event
    };
    let mut linked = change("patient.update", "1");
    linked.changes.push_m2m("conditions", &[], &[], true);
    transaction.record(written("patient.update", "name"));
    transaction.record(written("patient.update", "ward"));
    transaction.record(linked);
    transaction.record(written("patient.delete", "name"));
    // By field, by neither, by verb, by what is left of the row, and of the links.
    transaction.supersede(written("patient.rename", "name"));
    transaction.supersede(written("patient.move", "bed"));
    transaction.supersede(change("patient.update", "1"));
    transaction.supersede(change("patient.part", "1"));
    transaction.supersede(change("patient.diagnose", "1"));
    transaction.prepare().unwrap().expect("events are held").committed();
    let frames = read_only_stream(folder.path());
    let Read::Intent(_, _, bodies) = &frames[0] else { panic!("{frames:?}") };
    let told: Vec<_> =
        bodies.iter().map(|body| (body["action"].as_str().unwrap(), body["changes"][0]["field"].as_str().unwrap())).collect();
    let expected = [
        ("patient.rename", "name"),
        ("patient.update", "ward"),
        ("patient.diagnose", "conditions"),
        ("patient.part", "name"),
        ("patient.move", "bed"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_said_about_each_of_many_changes_costs_as_much_for_the_last_as_for_the_first() {
    // Each looked at everything that was held: a long import never ended. There is no clock here, only patience.
    const ROWS: usize = 15_000;
    let folder = tempfile::tempdir().unwrap();
    let recorder = recorder(folder.path());
    let mut transaction = recorder.transaction("default");
    for row in 0..ROWS {
        let mut created = change("patient.create", &row.to_string());
        created.changes.push_values("ward", None, Some("1"));
        transaction.record(created);
    }
    for row in 0..ROWS {
        transaction.savepoint("each");
        transaction.supersede(change("patient.import", &row.to_string()));
        if row % 2 == 1 {
            transaction.rollback_to("each");
        }
        transaction.release("each");
    }
    assert_eq!(transaction.len(), ROWS);
    transaction.prepare().unwrap().expect("they are held").committed();
    let frames = read_only_stream(folder.path());
    let Read::Intent(_, _, bodies) = &frames[0] else { panic!("{frames:?}") };
    let (imported, created): (Vec<_>, Vec<_>) = actions(bodies).into_iter().partition(|&action| action == "patient.import");
    assert_eq!((imported.len(), created.len()), (ROWS / 2, ROWS / 2));
}
