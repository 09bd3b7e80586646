//! The difference of two states: what changed, and nothing that must not be said.

use indelible_core::{Json, Redactor, diff};

fn json(text: &str) -> Json {
    Json::from_text(text.to_owned())
}

fn changes(old: &[(&str, Json)], new: &[(&str, Json)]) -> String {
    diff(old, new, &Redactor::default(), &|field| field == "diagnosis").to_json().into_text()
}

#[test]
fn only_what_differs_is_a_change() {
    let old = [("name", json("\"Ana\"")), ("age", json("41")), ("tags", json("[1,2]"))];
    let new = [("name", json("\"Ana\"")), ("age", json("42")), ("tags", json("[2,1]"))];
    assert_eq!(changes(&old, &new), r#"[{"field":"age","old":41,"new":42},{"field":"tags","old":[1,2],"new":[2,1]}]"#);
    assert!(diff(&old, &old, &Redactor::default(), &|_| true).is_empty());
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let old = [("a", json("1")), ("b", json("2")), ("c", json("3"))];
    let new = [("c", json("3")), ("a", json("1")), ("b", json("0"))];
    assert_eq!(changes(&old, &new), r#"[{"field":"b","old":2,"new":0}]"#);
}

#[test]
fn what_one_side_lacks_has_one_value() {
    let row = [("a", json("1")), ("b", json("null"))];
    assert_eq!(changes(&[], &row), r#"[{"field":"a","new":1},{"field":"b","new":null}]"#);
    assert_eq!(changes(&row, &[]), r#"[{"field":"a","old":1},{"field":"b","old":null}]"#);
    assert_eq!(changes(&row, &row[..1]), r#"[{"field":"b","old":null}]"#);
}

#[test]
fn masked_fields_carry_no_value() {
    let old = [("diagnosis", json("\"canary-1\"")), ("password", json("\"canary-2\"")), ("apiKey", json("{\"a\":\"canary-3\"}"))];
    let new = [("diagnosis", json("\"canary-4\"")), ("password", json("null")), ("apiKey", json("{}"))];
    assert_eq!(
        changes(&old, &new),
        r#"[{"field":"diagnosis","masked":true},{"field":"password","masked":true},{"field":"apiKey","masked":true}]"#
    );
    assert_eq!(changes(&[], &new[..1]), r#"[{"field":"diagnosis","masked":true}]"#);
}

#[test]
fn a_masked_field_that_stayed_the_same_is_no_change() {
    let row = [("diagnosis", json("\"x\"")), ("password", json("\"y\""))];
    assert_eq!(changes(&row, &row.clone()), "[]");
}

#[test]
fn values_are_redacted() {
    let old = [("note", json("\"paid with 4111 1111 1111 1111\"")), ("config", json(r#"{"url":"x","token":"canary"}"#))];
    let new = [("note", json("\"paid\"")), ("config", json(r#"{"url":"y","token":"canary"}"#))];
    assert_eq!(
        changes(&old, &new),
        concat!(
            r#"[{"field":"note","old":"paid with [masked]","new":"paid"},"#,
            r#"{"field":"config","old":{"url":"x","token":"[masked]"},"new":{"url":"y","token":"[masked]"}}]"#,
        )
    );
}

#[test]
fn a_change_between_two_secrets_says_only_that() {
    let old = [("note", json("\"4111111111111111\"")), ("config", json(r#"{"token":"canary-1"}"#))];
    let new = [("note", json("\"5555555555554444\"")), ("config", json(r#"{"token":"canary-2"}"#))];
    assert_eq!(changes(&old, &new), r#"[{"field":"note","masked":true},{"field":"config","masked":true}]"#);
}
