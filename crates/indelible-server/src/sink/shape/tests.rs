//! Every shape against testdata/sinks/shapes.json, to the byte.

use indelible_core::{EventId, Hash, LeafEntry, StreamId, Timestamp, Verdict};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

#[derive(Deserialize)]
struct Case {
    title: String,
    leaf: u64,
    verdict: String,
    body: Box<RawValue>,
    file: String,
    line: Box<RawValue>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../../../testdata/sinks/shapes.json")).unwrap()
}

fn record(leaf_index: u64, verdict: &str, body: &str) -> Record {
    let parsed: Value = serde_json::from_str(body).unwrap_or_default();
    let at: Timestamp = "2026-01-10T08:00:01Z".parse().unwrap();
    let entry = LeafEntry {
        event: parsed["id"].as_str().map_or(EventId::from_bytes([0; 16]), |id| id.parse().unwrap()),
        stream: StreamId::from_bytes([1; 16]),
        stream_index: leaf_index,
        sequence: 1,
        item: 0,
        recorded_at: at,
        received_at: at,
        verdict: Verdict::ALL.into_iter().find(|known| known.as_str() == verdict).unwrap(),
        commitment: Hash::from_bytes([0; 32]),
    };
    Record { leaf_index, entry, body: body.as_bytes().to_vec() }
}

fn rendered(shape: Shape, record: &Record) -> (Rendered, String) {
    let mut line = String::new();
    (shape.render(record, &mut line), line)
}

#[test]
fn every_record_of_django_activity_audit_has_its_keys_and_values() {
    for case in cases() {
        let record = record(case.leaf, &case.verdict, case.body.get());
        let (result, line) = rendered(Shape::Activity, &record);
        let Rendered::Line(file) = result else { panic!("{}: {result:?}", case.title) };
        assert_eq!((Shape::Activity.files()[file], line.as_str()), (case.file.as_str(), case.line.get()), "{}", case.title);
    }
}

#[test]
fn a_single_shape_has_a_line_for_its_own_events_and_for_no_other() {
    for case in cases() {
        let record = record(case.leaf, &case.verdict, case.body.get());
        for shape in [Shape::J1, Shape::J4, Shape::J7, Shape::J8] {
            let (result, line) = rendered(shape, &record);
            if shape.files() == [case.file.as_str()] {
                assert_eq!((result, line.as_str()), (Rendered::Line(0), case.line.get()), "{}", case.title);
            } else {
                assert_eq!((result, line.as_str()), (Rendered::Nothing, ""), "{}", case.title);
            }
        }
    }
}

/// What a reader of those records may rely on: the keys in the order of FEATURES J1, J4, J7 and J8, and the type of each value.
#[test]
fn keys_and_types_are_those_of_the_originals() {
    let common = "timestamp:string level:string name:string message:string log_type:string";
    let user = "request_id:string user_id:string user_info:object";
    let expected = [
        ("audit.log", format!("{common} model:string event_type:string instance_id:string instance_repr:object {user} extra:object")),
        (
            "api.log",
            format!(
                "{common} service_name:string request_type:string protocol:string {user} request_repr:object response_repr:object \
                 error_message:string? execution_time:number? extra:object"
            ),
        ),
        ("app.log", format!("{common} filename:string func_name:string request_id:string! exception:string! extra:object")),
        ("login.log", format!("{common} filename:string func_name:string {user} event:string success:boolean error:string extra:object")),
    ];
    for case in cases() {
        let line: Value = serde_json::from_str(case.line.get()).unwrap();
        let shape = &expected.iter().find(|(file, _)| *file == case.file).unwrap().1;
        let mut known = 0;
        for (key, kind) in shape.split(' ').map(|member| member.split_once(':').unwrap()) {
            let value = line.get(key);
            assert!(value.is_some() || kind.ends_with('!'), "{}: {key} is missing", case.title);
            let Some(value) = value else { continue };
            known += 1;
            let found = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            assert!(kind.starts_with(found) || (kind.ends_with('?') && found == "null"), "{}: {key} is {found}", case.title);
        }
        assert_eq!(line.as_object().unwrap().len(), known, "{}: a key that the original does not have", case.title);
    }
}

#[test]
fn our_own_shape_keeps_the_event_to_the_byte() {
    let body = r#"{"v":1,"id":"0199f3a0-0000-7000-8000-000000000001","kind":"task","action":"a.b","outcome":"success","occurred_at":"","meta":{"n":12345678901234567890.10,"e":"\u00e9"}}"#;
    let (result, line) = rendered(Shape::Native, &record(3, "recorded", body));
    assert_eq!(result, Rendered::Line(0));
    assert_eq!(line, format!(r#"{{"leaf":3,"verdict":"recorded","received_at":"2026-01-10T08:00:01.000000Z","event":{body}}}"#));
    let (_, line) = rendered(Shape::Native, &record(3, "recorded", &body.replace("\"v\":1,", "\"v\":1,\r\n")));
    assert!(!line.contains(['\r', '\n']) && line.contains("\"v\":1,  \"id\""), "{line}");
}

#[test]
fn what_is_no_event_is_refused_with_a_reason_and_what_was_erased_is_passed_over() {
    for damaged in ["{", "[]", "{}", "\"text\"", r#"{"kind":1}"#] {
        for shape in NAMES.iter().map(|name| Shape::from_name(name).unwrap()) {
            let (result, line) = rendered(shape, &record(0, "recorded", damaged));
            assert!(matches!(&result, Rendered::Refused(reason) if reason.contains("docs/format.md")), "{damaged}: {result:?}");
            assert_eq!(line, "");
        }
    }
    assert_eq!(rendered(Shape::Native, &record(0, "recorded", "")), (Rendered::Nothing, String::new()));
}

#[test]
fn every_name_of_the_configuration_is_a_shape_with_a_file_for_each_kind() {
    for name in NAMES {
        assert_eq!(Shape::from_name(name).unwrap().as_str(), *name);
    }
    assert_eq!(Shape::from_name("j2"), None);
}
