//! Which service the events of a row name: a token is for some, and says nothing in the name of another.

use std::borrow::Cow;

use indelible_core::{Frame, INTENT_KIND};
use serde::Deserialize;

/// The most characters of a foreign name that are repeated.
const NAME_CHARS_MAX: usize = 64;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    source: Source<'a>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    service: Cow<'a, str>,
}

/// The first service that the events of an intent name and that is not among `services`; empty where one names none that can be read.
/// Nothing where the payload is no intent.
pub(super) fn foreign(payload: &[u8], services: &[String]) -> Option<String> {
    let Ok(Frame::Intent { items, .. }) = Frame::parse(INTENT_KIND, payload) else { return None };
    items.iter().find_map(|item| match serde_json::from_slice::<Body<'_>>(item.body) {
        Ok(body) if services.iter().any(|service| *service == body.source.service) => None,
        Ok(body) => Some(body.source.service.chars().take(NAME_CHARS_MAX).collect()),
        Err(_) => Some(String::new()),
    })
}

#[cfg(test)]
mod tests {
    use indelible_core::{EventId, Evidence, FRAME_HEADER_BYTES, IntentId, Item, StreamId, Timestamp, encode_frame};

    use super::*;

    fn payload(bodies: &[&str]) -> Vec<u8> {
        let item = |body| Item { event: EventId::from_bytes([1; 16]), recorded_at: Timestamp::from_micros(1), body };
        let items = bodies.iter().map(|body| item(body.as_bytes())).collect();
        let frame = Frame::Intent { intent: IntentId::from_bytes([2; 16]), evidence: Evidence::Outbox, alias: "default", items };
        let mut encoded = Vec::new();
        encode_frame(StreamId::from_bytes([3; 16]), 1, &frame, &mut encoded);
        encoded.split_off(FRAME_HEADER_BYTES)
    }

    #[test]
    fn a_body_that_names_another_service_is_found_wherever_it_stands() {
        let [clinic, lab] =
            ["clinic", "lab"].map(|name| format!(r#"{{"id":"1","source":{{"host":"h","service":"{name}"}},"meta":{{"source":1}}}}"#));
        let services = ["clinic".to_owned(), "web".to_owned()];
        assert_eq!(foreign(&payload(&[&clinic, &clinic]), &services), None);
        assert_eq!(foreign(&payload(&[&clinic, &lab]), &services).as_deref(), Some("lab"));
        assert_eq!(foreign(&payload(&[&lab]), &[services.as_slice(), &["lab".to_owned()]].concat()), None, "the token is for both");
        let escaped = clinic.replace("clinic", r"clini\u0063");
        assert_eq!(foreign(&payload(&[&escaped]), &services), None);
        let twice = clinic.replace("\"service\":", "\"service\":\"lab\",\"service\":");
        for unreadable in ["", "{}", "null", r#"{"source":{}}"#, twice.as_str()] {
            assert_eq!(foreign(&payload(&[unreadable]), &services).as_deref(), Some(""), "{unreadable}");
        }
        let long = clinic.replace("clinic", &"x".repeat(1000));
        assert_eq!(foreign(&payload(&[&long]), &services).unwrap().len(), NAME_CHARS_MAX);
    }
}
