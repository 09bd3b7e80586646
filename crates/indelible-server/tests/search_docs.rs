//! docs/search.md says what is there, and its examples run.
#![allow(clippy::unwrap_used)]

mod seed;

use std::path::Path;
use std::process::Command;

use indelible::query::Key;
use indelible_server::search::{PAGE_RECORDS, PAGE_RECORDS_MAX};
use seed::Seed;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/search.md");
    std::fs::read_to_string(path).unwrap()
}

/// What stands in backquotes in the row of a key.
fn words_of(page: &str, key: &str) -> Vec<String> {
    let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).unwrap_or_else(|| panic!("no row for `{key}`"));
    row.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_has_its_row() {
    let page = page();
    for key in Key::ALL {
        words_of(&page, key.as_str());
    }
}

#[test]
fn the_words_that_a_key_takes_are_all_named_and_all_taken() {
    let page = page();
    for key in ["actor.type", "kind", "outcome", "verdict"] {
        let documented = words_of(&page, key);
        let unknown = format!("{key}:no-such-word").parse::<indelible::query::Query>().unwrap_err();
        let indelible::query::Cause::UnknownChoice { choices, .. } = unknown.cause() else { panic!("{unknown}") };
        assert_eq!(&documented, choices);
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
}

#[test]
fn its_examples_run() {
    let seed = Seed::clinic();
    let folder = Path::new(env!("CARGO_BIN_EXE_indelible")).parent().unwrap().to_owned();
    let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
    let page = page();
    let examples: Vec<_> =
        page.lines().filter(|line| line.starts_with("indelible search") || line.starts_with("indelible timeline")).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        let output = Command::new("sh").args(["-c", example]).env("PATH", &path).env("INDELIBLE_DATA_DIR", seed.path()).output().unwrap();
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
