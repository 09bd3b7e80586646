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
        let lines = [Shape::J1, Shape::J4, Shape::J5, Shape::J6, Shape::J7, Shape::J8].map(|shape| (shape, rendered(shape, &record)));
        let told: Vec<_> = lines.iter().filter(|(_, (result, _))| *result != Rendered::Nothing).collect();
        let [(shape, (Rendered::Line(0), line))] = told[..] else { panic!("{}: {told:?}", case.title) };
        assert_eq!((shape.files(), line.as_str()), (&[case.file.as_str()][..], case.line.get()), "{}", case.title);
    }
}

/// What a reader of those records may rely on: the keys in the order of the originals (docs/sinks.md, "Shapes"), and the type of each value.
#[test]
fn keys_and_types_are_those_of_the_originals() {
    let common = "timestamp:string level:string name:string message:string log_type:string";
    let user = "request_id:string user_id:string user_info:object";
    let expected = [
        ("audit.log", format!("{common} model:string event_type:string instance_id:string instance_repr:object {user} extra:object")),
        (
            "api.log",
            format!(
                "{common} service_name:string request_type:string protocol:string {user} request_repr:object/string response_repr:object/string \
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
            assert!(
                kind.split('/').any(|kind| kind.starts_with(found)) || (kind.ends_with('?') && found == "null"),
                "{}: {key} is {found}",
                case.title
            );
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
    for (place, (shape, ..)) in SHAPES.iter().enumerate() {
        assert_eq!(*shape as usize, place, "the table is in the order of the variants");
    }
}

/// Every line that a shape has for the cases of shapes.json, one below the other, each behind the name of its file.
fn all_lines(shape: Shape) -> String {
    let mut text = String::new();
    for case in cases() {
        let (result, line) = rendered(shape, &record(case.leaf, &case.verdict, case.body.get()));
        if let Rendered::Line(file) = result {
            assert!(serde_json::from_str::<Value>(&line).is_ok_and(|line| line.is_object()), "{}: {line}", case.title);
            text.push_str(&format!("{{\"case\":{},\"file\":\"{}\",\"line\":{line}}}\n", Value::from(case.title), shape.files()[file]));
        }
    }
    text
}

#[test]
fn the_records_of_the_other_packages_are_those_of_the_golden_files() {
    let golden = [
        (Shape::J9, include_str!("../../../../../testdata/sinks/j9.jsonl")),
        (Shape::J10, include_str!("../../../../../testdata/sinks/j10.jsonl")),
        (Shape::J11, include_str!("../../../../../testdata/sinks/j11.jsonl")),
        (Shape::J12, include_str!("../../../../../testdata/sinks/j12.jsonl")),
        (Shape::J13, include_str!("../../../../../testdata/sinks/j13.jsonl")),
        (Shape::J14, include_str!("../../../../../testdata/sinks/j14.jsonl")),
        (Shape::J15, include_str!("../../../../../testdata/sinks/j15.jsonl")),
    ];
    for (shape, expected) in golden {
        for (line, expected) in all_lines(shape).lines().zip(expected.lines()) {
            assert_eq!(line, expected, "{}", shape.as_str());
        }
        assert_eq!(all_lines(shape).lines().count(), expected.lines().count(), "{}", shape.as_str());
    }
}

/// The keys that readers of those records rely on, in the order of the originals.
#[test]
fn the_records_of_the_other_packages_have_their_keys() {
    let keys = [
        (Shape::J11, "description attributes timestamp_ns"),
        (
            Shape::J12,
            "timestamp method path query_params headers body content_type status_code response_headers response_body response_time_ms \
             ip_address user_id user_agent session_id extra_data",
        ),
        (
            Shape::J13,
            "timestamp method path query_params headers body ip_address user_id status_code response_headers response_body response_time_ms",
        ),
        (Shape::J14, "actor_id action target_content_type target_object_id metadata created_at"),
        (
            Shape::J15,
            "timestamp level name message service_name user_id user_info action entity_type entity_id entity_name changed_fields extra",
        ),
    ];
    for (shape, expected) in keys {
        let mut lines = 0;
        for case in cases() {
            let (result, line) = rendered(shape, &record(case.leaf, &case.verdict, case.body.get()));
            if result == Rendered::Nothing {
                continue;
            }
            lines += 1;
            let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(&line).unwrap();
            let mut places: Vec<_> =
                expected.split_whitespace().map(|key| line.find(&format!("\"{key}\":")).unwrap_or(usize::MAX)).collect();
            assert_eq!(members.len(), places.len(), "{}: {line}", shape.as_str());
            assert!(!places.contains(&usize::MAX), "{}: {line}", shape.as_str());
            places.dedup();
            assert_eq!(members.len(), places.len());
        }
        assert!(lines > 0, "{}", shape.as_str());
    }
}

#[test]
fn what_did_not_happen_is_not_told_as_if_it_had() {
    for case in cases() {
        let refused = case.body.get().replacen(r#""outcome":"success""#, r#""outcome":"denied""#, 1);
        let record = record(case.leaf, &case.verdict, &refused);
        if !refused.contains(r#""kind":"change""#) {
            continue;
        }
        for shape in [Shape::J11, Shape::J15] {
            assert_eq!(rendered(shape, &record).0, Rendered::Nothing, "{}", case.title);
        }
        let row: Value = serde_json::from_str(&rendered(Shape::J14, &record).1).unwrap();
        assert!(row["action"].as_str().unwrap().ends_with("_DENIED"), "{}: {row}", case.title);
    }
}

// covers: H8
#[test]
fn no_masked_value_and_no_fact_about_a_person_is_in_any_shape() {
    for shape in NAMES.iter().map(|name| Shape::from_name(name).unwrap()) {
        for line in all_lines(shape).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let Some(user) = line["line"].get("user_info").or_else(|| line["line"].get("user")) {
                let facts = user.as_object().unwrap().iter().filter(|(name, _)| *name != "id");
                assert!(facts.into_iter().all(|(_, fact)| fact == ""), "{}: {line}", shape.as_str());
            }
        }
    }
}
