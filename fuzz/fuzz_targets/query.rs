//! The search grammar: no text panics, a fault is shown at its place, and a query's own text means the same query.
#![no_main]

use indelible_core::query::Query;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<Query>() {
        Ok(query) => {
            let canonical = query.to_string();
            assert_eq!(canonical.parse::<Query>().as_ref(), Ok(&query), "{canonical}");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!((1..=text.chars().count() + 1).contains(&error.column()), "{error} stands at {}", error.column());
            assert!(!error.help().is_empty());
        }
    }
});
