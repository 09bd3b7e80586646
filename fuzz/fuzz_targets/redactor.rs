//! The redactor: no input panics, what claims to be JSON is answered with JSON, and a planted secret does not come out.
#![no_main]

use std::borrow::Cow;
use std::sync::LazyLock;

use indelible_core::Redactor;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const BYTES_MAX: usize = 1 << 20;
/// It has no shape by which a detector could find it: only its name or its place gives it away.
const CANARY: &str = "hunter2canary";
const CARD: &str = "4111 1111 1111 1111";
const NAMES: [&str; 6] = ["password", "apiKey", "client-secret", "X_SESSION_ID", "userPassword", "card.number"];

static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);

const TEXTS: [for<'t> fn(&Redactor, &'t str) -> Cow<'t, str>; 5] =
    [Redactor::text, Redactor::form, Redactor::query, Redactor::path, other_header];

fn other_header<'v>(redactor: &Redactor, value: &'v str) -> Cow<'v, str> {
    redactor.header("X-Anything", value)
}

fuzz_target!(|bytes: &[u8]| {
    json_of(bytes);
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    for redact in TEXTS {
        redact(&REDACTOR, text);
    }
    planted(text, NAMES[usize::from(choice) % NAMES.len()], usize::from(choice) / NAMES.len());
});

/// The answer to a body, which is JSON whatever the body is.
fn json_of(body: &[u8]) -> String {
    let answer = REDACTOR.json(body, BYTES_MAX).as_str().to_owned();
    assert!(serde_json::from_str::<Value>(&answer).is_ok() || is_too_deep(&answer), "this is no JSON: {answer}");
    answer
}

/// `serde_json` refuses more than 128 levels.
fn is_too_deep(answer: &str) -> bool {
    answer.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > 120
}

/// A secret beside any text, in every representation.
fn planted(text: &str, name: &str, place: usize) {
    let cut = (0..=text.len() * place / 43).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let (before, after) = text.split_at(cut);
    for body in [
        json!({"a": before, name: CANARY, "b": after}),
        json!([before, {"x": {name: [after, {"y": CANARY}]}}]),
        json!({"log": json!({name: CANARY, "b": text}).to_string()}),
        json!({"fields": [{"name": name, "value": CANARY}, text]}),
    ] {
        gone(&json_of(body.to_string().as_bytes()), CANARY, &body.to_string());
    }
    let form = format!("a={}&{name}={CANARY}&b={}", encoded(before), encoded(after));
    gone(&REDACTOR.form(&form), CANARY, &form);
    gone(&REDACTOR.query(&form), CANARY, &form);
    let prose = format!("{before}\n{CARD}\n{after}");
    gone(&REDACTOR.text(&prose), CARD, &prose);
    let header = format!("{before}\nAuthorization: Bearer {CANARY}\n{after}");
    gone(&REDACTOR.text(&header), CANARY, &header);
}

/// A value as a browser writes it.
fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*');
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn gone(output: &str, secret: &str, input: &str) {
    let planted = input.matches(secret).count();
    assert!(!output.contains(secret) || planted > 1, "{secret} is still there: {input} → {output}");
}
