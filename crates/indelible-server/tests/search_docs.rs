//! docs/search.md says what is there, and its examples run.
#![allow(clippy::unwrap_used)]

mod seed;

use std::path::Path;
use std::process::Command;

use indelible::query::{Cause, DEFAULT_DAYS, DEPTH_MAX, Key, OPEN_START_DAYS_MAX, QUERY_BYTES_MAX, Query, VALUES_MAX};
use indelible_server::search::{PAGE_RECORDS, PAGE_RECORDS_MAX};
use seed::Seed;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/search.md");
    std::fs::read_to_string(path).unwrap()
}

/// A row of the table of keys.
struct Row {
    key: String,
    /// What stands in backquotes in what the key finds.
    words: Vec<String>,
    example: String,
}

fn rows(page: &str) -> Vec<Row> {
    let table = page.lines().skip_while(|line| *line != "| key | finds | example |").skip(2);
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells: Vec<_> = line.split(" | ").map(quoted).collect();
        let [key, words, example] = cells.as_slice() else { panic!("{line}") };
        Row { key: key[0].clone(), words: words.clone(), example: example[0].clone() }
    };
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

#[test]
fn every_key_has_its_row_and_no_row_another_key() {
    let documented: Vec<_> = rows(&page()).into_iter().map(|row| row.key).collect();
    let keys: Vec<_> = Key::ALL.iter().map(|key| key.as_str()).collect();
    assert_eq!(documented, keys);
}

#[test]
fn the_example_of_every_key_finds_something() {
    let seed = Seed::ward();
    for row in rows(&page()) {
        let query: Query = row.example.parse().unwrap_or_else(|error| panic!("{}: {error}", row.example));
        let key = Key::ALL.iter().find(|key| key.as_str() == row.key).unwrap();
        assert!(query.mentions(*key), "{} is no example of {}", row.example, row.key);
        let output = seed.indelible(&["search", "-e", &row.example]);
        assert_eq!(output.status.code(), Some(0), "{}: {}", row.example, String::from_utf8_lossy(&output.stderr));
        let without = seed.indelible(&["search", "-e", "kind:log", &row.example]);
        assert_eq!(without.status.code(), Some(if row.key == "kind" { 0 } else { 3 }), "{}", row.example);
    }
}

#[test]
fn the_words_that_a_key_takes_are_all_named_and_all_taken() {
    for row in rows(&page()) {
        let key = Key::ALL.iter().find(|key| key.as_str() == row.key).unwrap();
        if !key.choices().is_empty() {
            assert_eq!(row.words, key.choices(), "{key}");
        }
    }
}

#[test]
fn words_without_a_field_are_those_of_the_code() {
    let page = page();
    let sentence = page.split_once("no field of an event answers: ").unwrap().1.lines().next().unwrap();
    let words: Vec<_> = sentence.split('`').skip(1).step_by(2).collect();
    assert!(words.len() >= 8);
    for word in words {
        let error = format!("{word}x").parse::<Query>().unwrap_err();
        assert!(matches!(error.cause(), Cause::NoSuchField { .. }), "{error}");
    }
}

#[test]
fn every_option_and_field_is_there_and_in_the_help() {
    let page = page();
    let seed = Seed::empty();
    for command in ["search", "tail", "show", "timeline", "trace", "actor"] {
        let help = String::from_utf8(seed.indelible(&[command, "--help"]).stdout).unwrap();
        let options = help.split_whitespace().filter_map(|word| word.strip_prefix("--")).map(|word| word.trim_end_matches([',', '.', ';']));
        for option in options.filter(|option| !["data", "output", "help", "limit", "exit-status"].contains(option)) {
            assert!(page.contains(&format!("`--{option}")), "{command} --{option}");
        }
    }
    let refused = String::from_utf8(seed.indelible(&["search", "--fields", "nothing"]).stderr).unwrap();
    let fields = refused.split_once("the fields are ").unwrap().1.lines().next().unwrap();
    for field in fields.split(", ") {
        assert!(page.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let page = page();
    assert!(page.contains(&format!(
        "at most {},{:03} records, {PAGE_RECORDS} unless asked",
        PAGE_RECORDS_MAX / 1000,
        PAGE_RECORDS_MAX % 1000
    )));
    let (bytes, thousands) = (QUERY_BYTES_MAX % 1000, QUERY_BYTES_MAX / 1000);
    for sentence in [
        format!("at most {thousands},{bytes:03} bytes long, has at most {VALUES_MAX} values and {DEPTH_MAX} levels"),
        format!("a `created:` of at most {OPEN_START_DAYS_MAX} days"),
        format!("the last {DEFAULT_DAYS} days"),
    ] {
        assert!(page.contains(&sentence), "{sentence}");
    }
}

#[test]
fn its_examples_run() {
    let seed = Seed::ward();
    let folder = Path::new(env!("CARGO_BIN_EXE_indelible")).parent().unwrap().to_owned();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
    let page = page();
    let examples: Vec<_> = page
        .lines()
        .filter(|line| ["search", "timeline", "trace", "actor"].iter().any(|name| line.starts_with(&format!("indelible {name}"))))
        .collect();
    assert!(examples.len() >= 7);
    for example in examples {
        let output = Command::new("sh").args(["-c", example]).env("PATH", &path).env("INDELIBLE_DATA_DIR", seed.path()).output().unwrap();
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
