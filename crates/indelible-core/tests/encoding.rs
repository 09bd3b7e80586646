//! The body: one encoding, valid JSON, never over its limit, identity always there.

use indelible_core::{
    Actor, ActorType, Code, EVENT_BYTES_MIN, ErrorInfo, Event, EventId, Json, Kind, Outcome, Request, Resource, Source, Stamp, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn source() -> Source {
    Source { service: "clinic".into(), host: "h1".into(), process: 7, process_kind: "web".into(), ..Source::default() }
}

fn stamp() -> Stamp {
    Stamp { id: EventId::from_parts(1, [2; 10]), recorded_at: Timestamp::from_micros(1_795_300_999_123_456) }
}

fn encode(event: &Event, limit: usize) -> (String, Value) {
    let mut body = String::new();
    event.encode(&stamp(), &source(), limit, &mut body);
    let value = serde_json::from_str(&body).expect("a body is JSON");
    (body, value)
}

// covers: A-26, S-14
#[test]
fn a_change_has_the_members_of_the_format_in_their_order() {
    let mut event = Event::new(Kind::Change, "patient.update");
    event.actor = Actor::user("7", "ana").into();
    event.resource = Some(Resource::new("clinic.Patient", "42"));
    event.changes.push_values("name", Some("\"Ada\""), Some("\"Ida\""));
    event.changes.push_masked("ssn");
    event.changes.push_new_unknown("visits", Some("3"), Some("F(visits) + ?"));
    event.request = Some(Request::from_id("r1"));
    event.reason = Some("ticket 42".into());
    let (body, _) = encode(&event, 262_144);
    assert_eq!(
        body,
        concat!(
            r#"{"v":1,"id":"00000000-0001-7202-8202-020202020202","kind":"change","action":"patient.update","outcome":"success","#,
            r#""occurred_at":"2026-11-21T22:43:19.123456Z","recorded_at":"2026-11-21T22:43:19.123456Z","#,
            r#""actor":{"type":"user","id":"7","label":"ana"},"resource":{"type":"clinic.Patient","id":"42"},"#,
            r#""changes":[{"field":"name","old":"Ada","new":"Ida"},{"field":"ssn","masked":true},"#,
            r#"{"field":"visits","old":3,"new_unknown":true,"expression":"F(visits) + ?"}],"request":{"id":"r1"},"reason":"ticket 42","#,
            r#""source":{"service":"clinic","host":"h1","process":7,"process_kind":"web"}}"#,
        )
    );
}

#[test]
fn the_place_in_the_code_stands_within_the_source_whatever_was_cut() {
    let mut event = Event::new(Kind::Action, "invoice.approve");
    event.code = Some(Code { file: "clinic/views.py".into(), line: 17, function: "admit".into() });
    event.meta = Some(Json::string(&"m".repeat(30_000)));
    for limit in [262_144, EVENT_BYTES_MIN] {
        let source = &encode(&event, limit).1["source"];
        assert_eq!(source["code"], json!({"file": "clinic/views.py", "line": 17, "function": "admit"}));
        assert_eq!(source["service"], json!("clinic"));
    }
}

#[test]
fn a_success_carries_no_error() {
    let mut event = Event::new(Kind::Action, "invoice.approve");
    event.error = Some(ErrorInfo { r#type: "ValueError".into(), message: "no".into(), place: None });
    assert_eq!(encode(&event, 262_144).1.get("error"), None);
    event.outcome = Outcome::Failure;
    assert_eq!(encode(&event, 262_144).1["error"], json!({"type": "ValueError", "message": "no"}));
}

#[test]
fn payload_goes_in_the_stated_order_and_leaves_its_size_and_digest() {
    let response = Json::string(&"r".repeat(10_000));
    let mut event = Event::new(Kind::Request, "request.post");
    event.request = Some(Request {
        id: Some("r1".into()),
        body: Some(Json::string(&"b".repeat(10_000))),
        response: Some(response.clone()),
        ..Request::default()
    });
    let (_, value) = encode(&event, EVENT_BYTES_MIN);
    let digest: String = Sha256::digest(response.as_str()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(value["truncated"], true);
    assert_eq!(value["request"]["response"], json!({"truncated": true, "bytes": 10_002, "sha256": digest}));
    assert_eq!(value["request"]["body"], "b".repeat(10_000), "what fits stays");
}

#[test]
fn metadata_is_extended_and_not_replaced() {
    let mut event = Event::new(Kind::Action, "invoice.approve");
    event.push_meta("intent", &Json::string("i1"));
    event.push_meta("amount", &Json::integer(3));
    assert_eq!(encode(&event, 262_144).1["meta"], json!({"intent": "i1", "amount": 3}));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\u{0}-\u{1f}]{300,400}", "é{0,900}"]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn whatever_is_in_it_a_body_is_json_within_its_limit_with_its_identity(
        texts in proptest::collection::vec(text(), 18),
        lists in proptest::collection::vec(text(), 0..40),
        meta_bytes in 0_usize..400_000,
    ) {
        let mut texts = texts.into_iter();
        let mut next = || texts.next();
        let mut actor = Actor { id: next(), label: next(), auth: next(), session: next(), roles: lists.clone(), ..Actor::new(ActorType::User) };
        actor.on_behalf_of = Some(Box::new(actor.clone()));
        let mut event = Event::new(Kind::Action, "report.export");
        event.outcome = Outcome::Failure;
        event.error = Some(ErrorInfo { r#type: next().unwrap_or_default(), message: next().unwrap_or_default(), place: Some(next().unwrap_or_default()) });
        event.actor = actor.into();
        event.resource = Some(Resource { r#type: next().unwrap_or_default(), id: next(), label: next(), related: vec![Resource::new("a.B", "1"); 400] });
        event.request = Some(Request { id: next(), route: next(), path: next(), query: next(), client_ip: next(), user_agent: next(), ..Request::default() });
        event.trace_id = next();
        event.tenant = next();
        event.reason = next();
        event.meta = Some(Json::string(&"m".repeat(meta_bytes)));
        event.notes = lists;
        let (whole, _) = encode(&event, usize::MAX);
        for limit in [0, EVENT_BYTES_MIN, 262_144, usize::MAX] {
            let (body, value) = encode(&event, limit);
            prop_assert!(body.len() <= limit.max(EVENT_BYTES_MIN), "{} bytes", body.len());
            prop_assert_eq!(&value["action"], "report.export");
            prop_assert_eq!(&value["actor"]["type"], "user");
            prop_assert!(value["resource"]["type"].is_string());
            prop_assert_eq!(value.get("truncated").is_none(), whole.len() <= limit.max(EVENT_BYTES_MIN));
        }
        prop_assert!(whole.len() <= event.size_hint() + 1300, "{} bytes, hint {}", whole.len(), event.size_hint());
    }
}
