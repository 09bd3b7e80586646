//! What holds for every input, not only for the shapes that somebody thought of.

use std::borrow::Cow;

use indelible_core::Redactor;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const BYTES_MAX: usize = 1 << 20;
const CANARY: &str = "hunter2canary";

/// Pieces of which secrets and the text around them are made.
fn fragment() -> impl Strategy<Value = String> {
    let pieces = [
        "eyJ",
        "eyJhbGciOiJI",
        ".",
        "Bearer ",
        "basic ",
        "abc123",
        "password",
        "token",
        "=",
        ":",
        ": ",
        "\"",
        "'",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        "://",
        "ana",
        "@",
        "/",
        "?",
        "#",
        "%",
        "%25",
        "%3D",
        "+",
        "&",
        ";",
        "4111111111111111",
        "4111 1111",
        " ",
        "-",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "[masked]",
        "\n",
        "\u{0}",
        "é",
        "\\u0070",
        "null",
        "12",
        "{\"password\":\"x\"}",
        "<too deep>",
        "b'",
        "f(",
        "(",
        ")",
        "<password>",
        "</",
        "--password",
        "name=\"password\"",
        "\r\n\r\n",
        "ghp_abcdefghijklmnopqrstuvwx",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-",
        "_",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$",
        "code",
        "state",
        "\u{a0}",
        "name",
        "value",
    ];
    prop_oneof![8 => select(pieces.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..24).prop_map(|pieces| pieces.concat())
}

/// A sensitive name, written in any way.
fn sensitive_name() -> impl Strategy<Value = String> {
    let words = select(vec![vec!["password"], vec!["api", "key"], vec!["client", "secret"], vec!["session", "id"], vec!["card", "number"]]);
    let around = || select(vec!["", "my", "user", "new", "http"]);
    (around(), words, around(), select(vec!["_", "-", ".", "camel", "Pascal", "UPPER", "joined"])).prop_map(
        |(before, words, after, style)| {
            let words: Vec<&str> = [before].into_iter().chain(words).chain([after]).filter(|word| !word.is_empty()).collect();
            match style {
                "camel" => words.iter().enumerate().map(|(at, word)| if at == 0 { (*word).to_owned() } else { capital(word) }).collect(),
                "Pascal" => words.iter().map(|word| capital(word)).collect(),
                "UPPER" => words.join("_").to_uppercase(),
                // Nothing tells where the words end, so only the listed word itself is recognised.
                "joined" => words[usize::from(!before.is_empty())..words.len() - usize::from(!after.is_empty())].concat(),
                separator => words.join(separator),
            }
        },
    )
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

/// A value that no one could take for a secret, under names that no one could either.
fn innocent_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1_000_000_i64..1_000_000).prop_map(Value::from),
        "[b-dB-D é,.!\\n\\\\\"]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-e]{1,3}", inner, 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Hides a member in some object or array of a tree.
fn plant(tree: Value, name: &str, value: Value, place: usize) -> Value {
    match tree {
        Value::Array(mut items) if !items.is_empty() && !place.is_multiple_of(3) => {
            let at = place % items.len();
            items[at] = plant(items[at].take(), name, value, place / 3);
            Value::Array(items)
        }
        Value::Object(mut members) => {
            members.insert(name.to_owned(), value);
            Value::Object(members)
        }
        other => json!([other, { name: value }]),
    }
}

fn escape_all(name: &str) -> String {
    name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn digits_with_check(mut digits: Vec<u8>) -> String {
    let sum: u32 = digits.iter().rev().enumerate().map(|(at, &digit)| luhn(at, digit)).sum();
    digits.push(u8::try_from((10 - sum % 10) % 10).unwrap());
    digits.iter().map(|digit| char::from(b'0' + digit)).collect()
}

/// What a digit counts when it stands `at` places before the check digit.
fn luhn(at: usize, digit: u8) -> u32 {
    let digit = u32::from(digit) * if at.is_multiple_of(2) { 2 } else { 1 };
    digit / 10 + digit % 10
}

/// A Visa number of 16 digits.
fn card() -> impl Strategy<Value = String> {
    prop::collection::vec(0..10_u8, 14).prop_map(|digits| digits_with_check([vec![4], digits].concat()))
}

fn grouped(number: &str, separator: &str) -> String {
    number.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect::<Vec<_>>().join(separator)
}

fn other_header<'v>(redactor: &Redactor, value: &'v str) -> Cow<'v, str> {
    redactor.header("X-Anything", value)
}

fn gone(output: &str, secret: &str) -> Result<(), TestCaseError> {
    prop_assert!(!output.contains(secret), "{secret} is still in {output}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn json_answers_with_json_whatever_the_bytes(bytes in any::<Vec<u8>>()) {
        let output = Redactor::default().json(&bytes, BYTES_MAX);
        prop_assert!(serde_json::from_str::<Value>(output.as_str()).is_ok(), "{output}");
    }

    #[test]
    fn json_answers_with_json_and_a_second_pass_changes_nothing(text in hostile_text()) {
        let redactor = Redactor::default();
        let once = redactor.json(text.as_bytes(), BYTES_MAX);
        prop_assert!(serde_json::from_str::<Value>(once.as_str()).is_ok(), "{once}");
        let twice = redactor.json(once.as_str().as_bytes(), BYTES_MAX);
        prop_assert_eq!(twice.as_str(), once.as_str());
    }

    #[test]
    fn a_second_pass_changes_nothing(text in hostile_text()) {
        let redactor = Redactor::default();
        for redact in [Redactor::text, Redactor::form, Redactor::query, Redactor::path, other_header] {
            let once = redact(&redactor, &text);
            prop_assert_eq!(redact(&redactor, &once), once.as_ref());
        }
    }

    #[test]
    fn innocent_json_keeps_its_meaning(tree in innocent_value()) {
        let output = Redactor::default().json(serde_json::to_string_pretty(&tree).unwrap().as_bytes(), BYTES_MAX);
        prop_assert_eq!(serde_json::from_str::<Value>(output.as_str()).unwrap(), tree);
    }

    #[test]
    fn a_planted_value_is_gone_and_everything_else_stays(tree in innocent_value(), name in sensitive_name(), place in any::<usize>(), secret in innocent_value()) {
        let input = plant(tree.clone(), &name, json!([CANARY, secret]), place);
        let output = Redactor::default().json(input.to_string().as_bytes(), BYTES_MAX);
        prop_assert_eq!(serde_json::from_str::<Value>(output.as_str()).unwrap(), plant(tree, &name, json!("[masked]"), place));
    }

    #[test]
    fn a_planted_value_is_gone_from_json_that_was_cut_off(tree in innocent_value(), name in sensitive_name(), place in any::<usize>(), cut in any::<prop::sample::Index>(), escaped in any::<bool>()) {
        let mut input = serde_json::to_string_pretty(&plant(tree, &name, json!({"x": CANARY}), place)).unwrap();
        if escaped {
            input = input.replace(&format!("\"{name}\""), &format!("\"{}\"", escape_all(&name)));
        }
        let output = Redactor::default().json(&input.as_bytes()[..cut.index(input.len())], BYTES_MAX);
        gone(output.as_str(), &CANARY[..3])?;
    }

    #[test]
    fn a_planted_value_is_gone_from_json_that_was_damaged_elsewhere(before in "[\"{}\\[\\],:a \\n\\\\]{0,12}", name in sensitive_name(), after in any::<String>()) {
        let input = format!("{before}\n\"{name}\": \"{CANARY}\",{after}");
        let output = Redactor::default().json(input.as_bytes(), BYTES_MAX);
        gone(output.as_str(), CANARY)?;
    }

    #[test]
    fn a_planted_parameter_is_gone(before in "[a-z0-9%+&=]{0,20}", name in sensitive_name(), after in any::<String>()) {
        let input = format!("{before}&{name}={CANARY}&{after}");
        let redactor = Redactor::default();
        gone(&redactor.form(&input), CANARY)?;
        gone(&redactor.query(&format!("?{input}")), CANARY)?;
        gone(&redactor.text(&input), CANARY)?;
        gone(&redactor.header("Referer", &format!("https://host/?{input}")), CANARY)?;
        gone(&redactor.path(&format!("/x?{input}")), CANARY)?;
    }

    #[test]
    fn a_sensitive_header_is_gone(name in sensitive_name(), value in any::<String>()) {
        let redactor = Redactor::default();
        prop_assert_eq!(redactor.header(&name, &value), "[masked]");
    }

    #[test]
    fn a_planted_card_is_gone(before in "[a-zA-Z ,.(]{0,10}", number in card(), separator in select(vec!["", " ", "-", ".", "_", "\u{a0}"]), after in "[a-zA-Z ,.)]{0,10}") {
        let number = grouped(&number, separator);
        let input = format!("{before}{number}{after}");
        let redactor = Redactor::default();
        prop_assert_eq!(redactor.text(&input), format!("{before}[masked]{after}"));
        gone(redactor.json(json!({ "n": input }).to_string().as_bytes(), BYTES_MAX).as_str(), &number)?;
        gone(&redactor.form(&format!("n={}", input.replace(' ', "+"))), &number.replace(' ', "+"))?;
        gone(&redactor.path(&format!("/n/{}", input.replace(' ', "%20"))), &number.replace(' ', "%20"))?;
    }

    /// The digits of a card at either end of a hash, the last or the first of them behind a separator.
    #[test]
    fn lucky_digits_of_a_hexadecimal_number_stay(hash in "[0-9a-f]{20,40}[a-f]", number in card(), digits in 12_usize..16, separator in select(vec!["", " ", "-", "."])) {
        let (head, tail) = number.split_at(digits);
        let redactor = Redactor::default();
        for text in [format!("{hash}{head}{separator}{tail}"), format!("{hash}{number}{separator}0"), format!("0{separator}{number}{}", hash.chars().rev().collect::<String>())] {
            prop_assert_eq!(redactor.text(&text), Cow::Borrowed(text.as_str()));
        }
    }

    #[test]
    fn a_number_with_a_wrong_check_digit_stays(number in card(), wrong in 1..10_u8, separator in select(vec!["", " ", "-"])) {
        let check = number.as_bytes()[15] - b'0';
        let input = grouped(&format!("{}{}", &number[..15], (check + wrong) % 10), separator);
        prop_assert_eq!(Redactor::default().text(&input), Cow::Borrowed(input.as_str()));
    }

    #[test]
    fn a_planted_token_is_gone(before in "[ -~]{0,20}", header in "[A-Za-z0-9_-]{10,40}", payload in "[A-Za-z0-9_-]{1,40}", signature in "[A-Za-z0-9_-]{20,40}", after in "[ ,)]?") {
        let input = format!("{before}eyJ{header}.{payload}.{signature}{after}");
        let redactor = Redactor::default();
        gone(&redactor.text(&input), &signature)?;
        gone(redactor.json(json!([input]).to_string().as_bytes(), BYTES_MAX).as_str(), &signature)?;
    }

    #[test]
    fn prose_is_borrowed(text in "([A-Zac-z][a-z]{0,8}[ ,.;!?\\n]{1,2}){0,30}") {
        let redactor = Redactor::default();
        prop_assert!(matches!(redactor.text(&text), Cow::Borrowed(_)));
        prop_assert!(matches!(redactor.form(&text), Cow::Borrowed(_)));
        prop_assert!(matches!(redactor.path(&text), Cow::Borrowed(_)));
        prop_assert!(matches!(redactor.header("User-Agent", &text), Cow::Borrowed(_)));
    }
}
