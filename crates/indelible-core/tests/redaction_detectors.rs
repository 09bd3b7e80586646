//! The detectors one by one: each finds its kind of secret, nothing else finds it, and what only looks like one stays.

use std::borrow::Cow;

use indelible_core::{Detector, Detectors, Redactor};

const SECRETS: [(Detector, &str, &str); 8] = [
    (Detector::Card, "card 4111-1111-1111-1111.", "card [masked]."),
    (Detector::Jwt, "jwt eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", "jwt [masked]"),
    (Detector::Bearer, "sent Bearer s3cr3t", "sent Bearer [masked]"),
    (Detector::Basic, "sent Basic YW5hOnB3", "sent Basic [masked]"),
    (Detector::PrivateKey, "key -----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----.", "key [masked]."),
    (Detector::UrlPassword, "at amqp://ana:pw@host/x", "at amqp://ana:[masked]@host/x"),
    (Detector::ApiToken, "push ghp_16C7e42F292c6912E7710c838347Ae178B4a.", "push [masked]."),
    (Detector::PasswordHash, "was $2b$12$R9h/cIPz0gi.URNNX3kh2OPST9 now", "was [masked] now"),
];

#[test]
fn each_detector_finds_its_kind_of_secret_and_no_other_does() {
    for (detector, text, masked) in SECRETS {
        assert_eq!(Redactor::new([], Detectors::none().with(detector)).text(text), masked);
        let others = Detector::ALL.into_iter().filter(|other| *other != detector).fold(Detectors::none(), Detectors::with);
        assert_eq!(Redactor::new([], others).text(text), Cow::Borrowed(text));
    }
}

#[test]
fn detectors_have_names() {
    let names: Vec<_> = Detector::ALL.into_iter().map(Detector::as_str).collect();
    assert_eq!(Detectors::parse(names), Ok(Detectors::all()));
    assert_eq!(Detectors::parse([]), Ok(Detectors::none()));
    assert_eq!(Detectors::parse(["card", "card"]), Ok(Detectors::none().with(Detector::Card)));
    let error = Detectors::parse(["card", "privat_key"]).unwrap_err();
    assert_eq!(error.nearest, Some("private_key"));
    assert_eq!(
        error.to_string(),
        r#"unknown detector "privat_key", did you mean "private_key"?; there are card, jwt, bearer, basic, private_key, url_password, api_token and password_hash"#
    );
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    let redactor = Redactor::default();
    for text in [
        "",
        "Order 1234567890123456 of 2026-11-21 23:00:11.123456",
        "00000000-0000-4000-8000-000000000000",
        "sha256 4111111111111111aa00ff4111111111111111aa00ff4111111111111111aa00",
        "3.4242424242424242",
        "heyJude.mp3 and eyJ.a.b",
        "the bearer of this letter has a basic understanding",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "https://host:8080/path/@ana?x=1",
        "https://ana@host/path",
        "https://ana:@host/path",
        "mailto:ana@host, 12:30@noon",
        "40128888-8888-1881-8000-000000000000",
        // Lucky digits at the end of a hexadecimal number that goes on behind a separator.
        "9b2cf535f27731c974343059723719285-0",
        "9b2cf535f27731c974343059723719285 0",
        "ab12f3059723719285-0",
        "0-30597237192850f1ab",
        "40128888-8888-1881-8000-000000000000-0",
        "part-40128888-8888-1881-8000-000000000000",
        "phone +49 4012 8888 8888 1881",
        "10.0.0.1 4.11.11.11 version 4111.1111",
        "use sk-learn, ask_live_help and npm_config_registry",
        "paid $2 and $2b$ for AKIAs in ASIA",
        "Token::new(x) -- password",
        "<password> is asked for, <password/> and </password>",
        "name=\"password\" twice",
        "(\"a\", \"password\")",
        "has_usable_password=True, password_changed_at: 2026-11-21",
        "a=1, b = 2, tokens_used=17, secretary=Ana",
        "password=",
        "password='' token=\"\"",
        r#""name": "password""#,
    ] {
        assert_eq!(redactor.text(text), Cow::Borrowed(text));
        assert!(matches!(redactor.text(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn json_keeps_what_is_no_secret_digit_by_digit() {
    let redactor = Redactor::default();
    for (input, expected) in [
        (
            r#"{"n":123456789012345678901234567890,"f":1.50,"e":-0.0e+10,"n":1}"#,
            r#"{"n":123456789012345678901234567890,"f":1.50,"e":-0.0e+10,"n":1}"#,
        ),
        (r#"["password","email"]"#, r#"["password","email"]"#),
        (r#"{"name":"password"}"#, r#"{"name":"password"}"#),
        (r#"{"name":"ana","value":"x"}"#, r#"{"name":"ana","value":"x"}"#),
        (" [ null , true\t,false\r\n, \"\" , {} , [ ] ] ", r#"[null,true,false,"",{},[]]"#),
        (r#"["[ 1, 2 ]","{ \"a\": 1 }","{not json}"]"#, r#"["[ 1, 2 ]","{ \"a\": 1 }","{not json}"]"#),
        (r#""\u00e9\ud83d\ude00\ud800\u0000\/""#, "\"é😀\u{fffd}\\u0000/\""),
        ("[NaN,Infinity,-Infinity]", r#"["NaN","Infinity","-Infinity"]"#),
        ("\u{feff}{}", "{}"),
        ("\"a\tb\"", r#""a\tb""#),
    ] {
        assert_eq!(redactor.json(input.as_bytes(), 4096).as_str(), expected);
    }
}

#[test]
fn what_is_not_json_is_kept_as_text_and_says_so() {
    let redactor = Redactor::default();
    for (input, text) in [
        (&b""[..], ""),
        (b"hello", "hello"),
        (b"{\"a\":1", "{\\\"a\\\":1"),
        (b"[1,]", "[1,]"),
        (b"[1 2]", "[1 2]"),
        (b"[01]", "[01]"),
        (b"[1.]", "[1.]"),
        (b"[1e]", "[1e]"),
        (b"[-]", "[-]"),
        (b"[nul]", "[nul]"),
        (b"{1:2}", "{1:2}"),
        (b"{\"a\" 1}", "{\\\"a\\\" 1}"),
        (b"[}", "[}"),
        (b"[\"\\x\"]", "[\\\"\\\\x\\\"]"),
        (b"{} {}", "{} {}"),
        (b"\"\xff\"", "\\\"\u{fffd}\\\""),
    ] {
        assert_eq!(redactor.json(input, 4096).as_str(), format!(r#"{{"type":"unparsed","text":"{text}"}}"#));
    }
}

#[test]
fn an_answer_that_is_too_long_is_replaced_by_its_length_and_digest() {
    let redactor = Redactor::default();
    let input = format!(r#"{{"password": "x", "a": "{}"}}"#, "y".repeat(200));
    let whole = redactor.json(input.as_bytes(), 4096);
    assert_eq!(redactor.json(input.as_bytes(), whole.len()), whole);
    let digest = "8545e2bbd7c0f4b38e56083b2079c2212db21e6adefb38fdbdcb06ba7e15a84c";
    let cut = redactor.json(input.as_bytes(), whole.len() - 1);
    assert_eq!(cut.as_str(), format!(r#"{{"truncated":true,"bytes":{},"sha256":"{digest}"}}"#, whole.len()));
}
