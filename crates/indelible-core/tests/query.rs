//! The search grammar: what reads as what, what is refused and with which advice, and that a query survives its own text.

use indelible_core::query::{Cause, Condition, Key, Moment, Order, Pattern, Query, QueryError, Range, Term, Value};
use proptest::prelude::*;

fn canonical(text: &str) -> String {
    text.parse::<Query>().unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

fn error(text: &str) -> QueryError {
    text.parse::<Query>().expect_err(text)
}

#[test]
fn a_term_becomes_its_key_and_values() {
    let query: Query = "action:patient.*".parse().unwrap();
    let values = vec![Value::Text(Pattern::Prefix("patient.".to_owned()))];
    assert_eq!(query.condition, Some(Condition::Term(Term { negated: false, key: Key::Action, values })));
    assert_eq!(query.order, Order::NewestFirst);
}

#[test]
fn an_empty_text_asks_for_everything() {
    assert_eq!("  ".parse(), Ok(Query::default()));
    assert_eq!(Query::default().to_string(), "");
}

#[test]
fn different_ways_of_writing_have_one_text() {
    for (text, expected) in [
        ("  kind:change   AND actor:ana ", "kind:change actor:ana"),
        ("actor:ana actor:bo", "actor:ana,bo"),
        ("actor:ana,bo,ana", "actor:ana,bo"),
        ("NOT kind:read", "-kind:read"),
        ("-kind:read -kind:auth", "-kind:read,auth"),
        ("(actor:ana) actor:bo", "actor:ana,bo"),
        ("kind:read OR (kind:auth OR kind:task)", "kind:read OR kind:auth OR kind:task"),
        ("(actor:ana OR service:web) kind:read", "(actor:ana OR service:web) kind:read"),
        ("actor:ana OR service:web kind:read", "actor:ana OR service:web kind:read"),
        ("-(actor:ana kind:read)", "-(actor:ana kind:read)"),
        ("NOT (-kind:read)", "kind:read"),
        ("-(-(actor:ana kind:read))", "actor:ana kind:read"),
        ("actor:\"ana\"", "actor:ana"),
        ("actor:\"ana maria\"", "actor:\"ana maria\""),
        (r#"actor:"a \"b\" \\c""#, r#"actor:"a \"b\" \\c""#),
        ("actor:none request:\"none\"", "actor:none request:\"none\""),
        ("request:* type:any", "request:any type:any"),
        ("kind:Change", "kind:change"),
        ("status:=404", "status:404"),
        ("status:400..", "status:>=400"),
        ("status:..399", "status:<=399"),
        ("status:400..499,>=500", "status:400..499,>=500"),
        ("created:\"Last Week\"", "created:\"last week\""),
        ("created:\"last week\"..today", "created:\"last week\"..today"),
        ("created:2026-01-31T10:30:00+01:00", "created:2026-01-31T09:30:00.000000Z"),
        ("created:2026-01-01..2026-01-31", "created:2026-01-01..2026-01-31"),
        ("id:0190A1B2*", "id:0190a1b2*"),
        ("id:0190a1b2c3d47000800000000000000f", "id:0190a1b2-c3d4-7000-8000-00000000000f"),
        ("resource:clinic.Patient/4/2", "resource:clinic.Patient/4/2"),
        ("resource:\"clinic.Patient/a b\"*", "resource:\"clinic.Patient/a b\"*"),
        ("resource:clinic.Patient/*", "resource:clinic.Patient/*"),
        ("sort:created-asc kind:read", "kind:read sort:created-asc"),
        ("sort:created-desc", ""),
        ("kind:read OR actor:ana", "kind:read OR actor:ana"),
        ("(kind:read OR actor:ana) sort:created-asc", "(kind:read OR actor:ana) sort:created-asc"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
        assert_eq!(canonical(expected), expected, "{text}");
    }
}

/// Repeating a key means OR only side by side: a nested group must still hold beside its neighbours.
#[test]
fn a_nested_group_is_not_dissolved_into_its_neighbours() {
    let query: Query = "actor:ana (actor:bo kind:read)".parse().unwrap();
    assert!(matches!(query.condition, Some(Condition::All(parts)) if parts.len() == 2));
    assert_eq!(canonical("actor:ana (actor:bo kind:read)"), "actor:ana (actor:bo kind:read)");
}

#[test]
fn errors_name_the_column_and_advise() {
    for (text, column, help) in [
        ("actr:ana", 1, "did you mean `actor:`?"),
        ("kind:read user:ana", 11, "did you mean `actor:`?"),
        ("object:patient/42", 1, "did you mean `resource:`?"),
        ("limit:5", 1, "did you mean the option `-n`?"),
        ("outcome:failed", 9, "did you mean `outcome:failure`?"),
        ("kind:chnage", 6, "did you mean `kind:change`?"),
        ("ip:10.0.0.1", 1, "the keys that can be searched are actor, actor.type"),
        ("meta.ticket:7", 1, "the keys that can be searched are actor"),
        ("ana", 1, "name the field, for example `actor:ana`"),
        ("\"ana maria\"", 1, "name the field"),
        ("kind:read or kind:auth", 11, "write OR in capitals"),
        ("actor:", 7, "`actor:none` finds events without it"),
        ("actor:ana, kind:read", 11, "`actor:none` finds events without it"),
        ("created:>", 9, "`created:none`"),
        ("created:2026-02-30", 9, "`created:` takes a date"),
        ("created:today..tomorrow", 16, "`created:` takes a date"),
        ("created:-24h", 9, "`created:` takes a date"),
        ("status:99", 8, "`status:` takes an HTTP status"),
        ("status:4*", 8, "`status:` takes an HTTP status"),
        ("status:>=400 status:<500", 14, "write one range, `status:FROM..TO`"),
        ("action:*.update", 8, "only a `*` at the end"),
        ("action:>a", 8, "`action:` takes a text"),
        ("resource:patient", 10, "`resource:` takes TYPE/ID"),
        ("id:0190", 4, "`id:` takes a whole event id"),
        ("kind:re*", 6, "`kind:` takes request, change"),
        ("sort:actor", 1, "`sort:` takes `created-asc`"),
        ("kind:read (actor:ana sort:created-asc)", 22, "write `sort:created-asc`"),
    ] {
        let found = error(text);
        assert_eq!(found.column(), column, "{text}: {found}");
        let advice = found.help().unwrap_or_default();
        assert!(advice.starts_with(help), "{text}: {advice}");
    }
}

#[test]
fn broken_structure_is_an_error_at_its_place() {
    for (text, column, cause) in [
        ("(kind:read", 11, Cause::UnclosedParenthesis),
        ("kind:read)", 10, Cause::Unexpected { found: ')' }),
        ("()", 2, Cause::MissingTerm),
        ("kind:read OR", 13, Cause::MissingTerm),
        ("OR kind:read", 1, Cause::MissingTerm),
        ("kind:read AND", 14, Cause::MissingTerm),
        ("NOT", 4, Cause::MissingTerm),
        ("- kind:read", 2, Cause::MissingTerm),
        ("actor:\"ana", 7, Cause::UnclosedQuote),
        ("actor:ana\"b\"", 10, Cause::Unexpected { found: '"' }),
        (":ana", 1, Cause::Unexpected { found: ':' }),
        ("-sort:created-asc", 2, Cause::MisplacedSort),
    ] {
        let found = error(text);
        assert_eq!((found.column(), found.cause()), (column, &cause), "{text}");
    }
}

#[test]
fn columns_count_characters_and_not_bytes() {
    assert_eq!(error("actor:äöü actr:b").column(), 11);
}

#[test]
fn every_bound_is_an_error_and_not_a_crash() {
    assert_eq!(error(&"(".repeat(4096)).cause(), &Cause::TooDeep);
    assert_eq!(error(&" ".repeat(4097)).cause(), &Cause::TooLong);
    assert_eq!(error(&format!("actor:{}", "a,".repeat(256))).cause(), &Cause::TooManyValues);
}

#[test]
fn a_required_key_is_found_only_where_every_match_must_have_it() {
    let required = |text: &str| text.parse::<Query>().unwrap().required(Key::Kind).map(<[Value]>::to_vec);
    assert_eq!(required("actor:ana kind:audit"), Some(vec![Value::Choice("audit")]));
    assert_eq!(required("kind:audit OR actor:ana"), None);
    assert_eq!(required("-kind:audit"), None);
}

#[test]
fn a_time_range_added_to_a_query_narrows_it() {
    let range = Term { negated: false, key: Key::Created, values: vec![Value::Created(Range::From(Moment::parse("-24h").unwrap()))] };
    for (text, expected) in [
        ("", "created:>=-24h"),
        ("kind:read", "kind:read created:>=-24h"),
        ("kind:read OR kind:auth", "(kind:read OR kind:auth) created:>=-24h"),
    ] {
        let query = text.parse::<Query>().unwrap().and(range.clone());
        assert_eq!(query.to_string(), expected);
        assert_eq!(expected.parse(), Ok(query));
    }
}

/// One term as somebody may write it.
fn term() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z.]{1,6}",
        "[a-z]{1,3}\\*",
        "\"[a-zé ,()*:<>\\-]{1,8}\"",
        "\"[a-z ]{1,4}\"\\*",
        Just("none".to_owned()),
        Just("any".to_owned())
    ];
    let status = prop_oneof!["[1-5][0-9]{2}", ">[1-5]00", ">=[1-5]00", "[1-5]00\\.\\.5[0-9]{2}", "\\.\\.404"];
    let moment = prop_oneof![
        Just("today".to_owned()),
        Just("\"last week\"".to_owned()),
        Just(">-24h".to_owned()),
        Just("2026-01-01..2026-01-31".to_owned()),
        Just("2026-01-31T09:30:00.5+01:00".to_owned()),
    ];
    let one = prop_oneof![
        6 => ("(actor|action|type|request|service)", prop::collection::vec(text, 1..3)).prop_map(|(key, values)| format!("{key}:{}", values.join(","))),
        2 => status.prop_map(|value| format!("status:{value}")),
        2 => moment.prop_map(|value| format!("created:{value}")),
        2 => "kind:(read|change|auth)",
        1 => "outcome:(success,unknown|denied)",
        1 => "verdict:in_doubt",
        1 => "actor\\.type:(user|system)",
        1 => "resource:[a-z]{1,3}/[0-9]{0,2}[0-9*]",
        1 => "id:[0-9a-f]{1,8}\\*",
    ];
    ("(|-|NOT )", one).prop_map(|(not, one)| format!("{not}{one}"))
}

/// A whole query as somebody may write it.
fn query_text() -> impl Strategy<Value = String> {
    term().prop_recursive(4, 24, 4, |inner| {
        let joint = prop_oneof![Just(" "), Just(" AND "), Just(" OR ")];
        ("(|-|NOT )", prop::collection::vec(inner, 1..4), joint).prop_map(|(not, parts, joint)| format!("{not}({})", parts.join(joint)))
    })
}

proptest! {
    #[test]
    fn a_query_survives_its_own_text(text in query_text()) {
        match text.parse::<Query>() {
            Ok(query) => prop_assert_eq!(query.to_string().parse::<Query>(), Ok(query.clone()), "{} became {}", text, query),
            // The generator writes lower and upper bounds apart now and then; nothing else in it is wrong.
            Err(error) => prop_assert!(matches!(error.cause(), Cause::SplitRange { .. }), "{text}: {error}"),
        }
    }

    #[test]
    fn any_text_at_all_is_a_query_or_an_error_within_it(text in "[ -~é]{0,40}|([a-z]{2,7}:|-|\\(|\\)|\"|OR|AND|NOT|,|\\.\\.|>|=|\\*| ){0,20}") {
        match text.parse::<Query>() {
            Ok(query) => prop_assert_eq!(query.to_string().parse::<Query>(), Ok(query)),
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.column()), "{error}"),
        }
    }
}
