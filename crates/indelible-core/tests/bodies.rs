//! Bodies of requests and responses: however they are cut into chunks, they stand for the same, and no secret is in it.

use indelible_core::{Body, Redactor, body_json};
use proptest::prelude::*;

const LIMIT: usize = 4096;
const FORM: &str = "multipart/form-data; boundary=\"b-1\"";

fn in_chunks(content_type: &str, body: &[u8], sizes: &[usize]) -> String {
    let mut passing = Body::new(content_type, LIMIT);
    let mut rest = body;
    for &size in sizes.iter().cycle().take(body.len() + 1) {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        passing.push(chunk);
        rest = after;
    }
    passing.push(rest);
    passing.to_json(&Redactor::default(), Some(body.len() as u64)).into_text()
}

fn whole(content_type: &str, body: &[u8]) -> String {
    body_json(&Redactor::default(), content_type, body, LIMIT).into_text()
}

/// The text without the SHA-256 of the whole body: among its digits may be those of a secret, by chance and for everybody to see.
fn without_digest(shown: &str) -> String {
    let Some((before, rest)) = shown.split_once(r#""sha256":""#) else { return shown.to_owned() };
    assert!(rest.as_bytes()[..64].iter().all(u8::is_ascii_hexdigit), "{shown}");
    format!("{before}{}", &rest[64..])
}

fn part(headers: &str, content: &str) -> String {
    format!("--b-1\r\n{headers}\r\n\r\n{content}\r\n")
}

fn form(parts: &[String]) -> Vec<u8> {
    format!("{}--b-1--\r\n", parts.concat()).into_bytes()
}

#[test]
fn a_multipart_form_is_its_fields_and_files() {
    let body = form(&[
        part("Content-Disposition: form-data; name=\"tag\"", "a"),
        part("content-disposition: form-data; name=tag", "b\r\n--b-2\r\n"),
        part("Content-Disposition: form-data; name=\"user[password]\"", "hunter2"),
        part("Content-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json", r#"{"pin": 1234}"#),
        part("Content-Disposition: form-data; name=\"scan\"; filename=\"a b.txt\"\r\nContent-Type: text/plain", "hello"),
    ]);
    let expected = concat!(
        r#"{"fields":{"tag":["a","b\r\n--b-2\r\n"],"user[password]":"[masked]","meta":"{\"pin\":\"[masked]\"}"},"#,
        r#""files":[{"field":"scan","name":"a b.txt","type":"text/plain","bytes":5,"#,
        r#""sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}]}"#
    );
    assert_eq!(whole(FORM, &body), expected);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(in_chunks(FORM, &body, &[size]), expected, "{size}");
    }
}

#[test]
fn a_value_whose_name_nobody_knows_is_masked() {
    for headers in ["Content-Disposition: form-data", "Content-Disposition: form-data; nam=\"x\"", "X: y"] {
        let shown = whole(FORM, &form(&[part(headers, "hunter2")]));
        assert!(shown.contains("[masked]") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_secret_name_is_known_however_it_is_hidden() {
    let long = format!("Content-Disposition: form-data; name=\"{}[password]\"", "a".repeat(300));
    for headers in ["Content-Disposition: form-data; name=color; name=password", &long] {
        let shown = whole(FORM, &form(&[part(headers, "hunter2")]));
        assert!(shown.contains("[masked]") && !shown.contains("hunter2"), "{shown}");
    }
    let patch = br#"[{"op": "replace", "path": "/user/password", "value": "hunter2"}]"#;
    assert_eq!(whole("application/json-patch+json", patch), r#"[{"op":"replace","path":"/user/password","value":"[masked]"}]"#);
    assert_eq!(whole("application/json", br#"{"path":"/user/name","value":"Ana"}"#), r#"{"path":"/user/name","value":"Ana"}"#);
}

#[test]
fn a_delimiter_without_its_line_break_ends_a_field_as_in_django() {
    let body = b"--b-1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx--b-1\r\nContent-Disposition: form-data; name=\"pin\"\r\n\r\n1234\n--b-1--";
    assert_eq!(whole(FORM, body), r#"{"fields":{"a":"x","pin":"[masked]"},"files":[]}"#);
}

#[test]
fn fields_share_one_limit_and_parts_have_a_bound() {
    let large = part("Content-Disposition: form-data; name=\"a\"", &"x".repeat(LIMIT + 1));
    assert_eq!(whole(FORM, &form(&[large])), r#"{"fields":{"a":{"truncated":true,"bytes":4097}},"files":[]}"#);
    let many: Vec<_> = (0..1_500).map(|number| part(&format!("Content-Disposition: form-data; name=\"f{number}\""), "")).collect();
    let shown = whole(FORM, &form(&many));
    assert!(shown.contains("\"f999\"") && !shown.contains("\"f1000\"") && shown.ends_with(r#""truncated":true}"#));
}

#[test]
fn what_was_not_read_is_said() {
    let redactor = Redactor::default();
    let unread = Body::new("application/json", LIMIT);
    assert_eq!(unread.to_json(&redactor, Some(9)).as_str(), r#"{"type":"not_captured","reason":"unread","bytes":9}"#);
    let mut partly = Body::new("text/plain", LIMIT);
    partly.push(b"one two");
    let shown = partly.to_json(&redactor, Some(20)).into_text();
    assert!(shown.starts_with(r#"{"truncated":true,"bytes":20,"read":7,"sha256":""#) && shown.ends_with(r#""text":"one"}"#), "{shown}");
}

#[test]
fn compressed_bodies_are_binary() {
    let mut body = Body::new("application/json", LIMIT).encoded();
    body.push(b"{}");
    assert!(body.to_json(&Redactor::default(), None).as_str().starts_with(r#"{"type":"binary","bytes":2,"#));
}

fn content_types() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "application/json",
        "application/x-www-form-urlencoded",
        FORM,
        "text/plain",
        "image/png",
        "",
        "text/x; charset=utf-16",
    ])
}

proptest! {
    #[test]
    fn chunks_do_not_matter(content_type in content_types(), body in prop::collection::vec(any::<u8>(), 0..9000), sizes in prop::collection::vec(1_usize..700, 1..5)) {
        prop_assert_eq!(in_chunks(content_type, &body, &sizes), whole(content_type, &body));
    }

    #[test]
    fn chunks_do_not_matter_for_forms(
        text in "((\r\n)?--b-1(--)?|\r\n|\n|-|Content-Disposition: form-data; name=\"[a-c]\"(; filename=\"f\")?|\r\n\r\n|[a-c ]){0,60}",
        sizes in prop::collection::vec(1_usize..30, 1..5)
    ) {
        prop_assert_eq!(in_chunks(FORM, text.as_bytes(), &sizes), whole(FORM, text.as_bytes()));
    }

    #[test]
    fn what_stands_for_a_body_is_json_and_bounded(content_type in content_types(), body in prop::collection::vec(any::<u8>(), 0..9000)) {
        let shown = whole(content_type, &body);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{}", shown);
        // The longest escape of one byte is a U+FFFD of three or `\u0000` of six.
        prop_assert!(shown.len() <= 6 * LIMIT + 512);
    }

    #[test]
    fn a_planted_secret_is_masked_wherever_a_text_is_cut(before in 0_usize..LIMIT + 50, kind in 0_usize..3) {
        let secret = ["4111 1111 1111 1111", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "password: hunter2canary"][kind];
        let text = format!("{}{secret} and more{}", "word ".repeat(before / 5), " x".repeat(LIMIT));
        let shown = whole("text/plain", text.as_bytes());
        let shown = without_digest(&shown);
        for leaked in ["4111", "eyJhbGciOi", "hunter"] {
            prop_assert!(!shown.contains(leaked), "{}", leaked);
        }
    }

    #[test]
    fn a_planted_secret_is_masked_wherever_json_is_cut(before in 0_usize..LIMIT + 50, kind in 0_usize..6) {
        let secret = [
            r#""card": 4111111111111111"#,
            r#""note": "4111 1111 1111 1111""#,
            r#""t": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N""#,
            r#""password": "hunter2canary""#,
            r#""secret": {"deep": ["hunter2canary", "hunter2canary"]}"#,
            r#""pair": [["token", "hunter2canary"], {"name": "pin", "value": "hunter2canary"}]"#,
        ][kind];
        let text = format!(r#"{{"rows": [{}1], {secret}, "more": [{}1]}}"#, "12345, ".repeat(before / 7), "12345, ".repeat(LIMIT / 5));
        let shown = whole("application/json", text.as_bytes());
        prop_assert!(shown.contains("truncated") || text.len() <= LIMIT);
        let shown = without_digest(&shown);
        for leaked in ["4111", "eyJhbGciOi", "hunter"] {
            prop_assert!(!shown.contains(leaked), "{}", leaked);
        }
    }
}
