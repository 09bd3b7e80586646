//! The search grammar: what reads as what, what is refused and with which advice, and that a query survives its own text.

use indelible_core::query::{Cause, Condition, Key, Moment, Order, Pattern, Query, QueryError, Range, Term, VALUES_MAX, Value};
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
    assert_eq!(query.condition, Some(Condition::Term(Term::new(Key::Action, values))));
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
        ("Ana", "ana"),
        ("ana  AND maria", "ana maria"),
        ("ana maria ana", "ana maria"),
        ("\"Ana,  MARIA\"", "\"ana maria\""),
        ("ticket-42", "\"ticket 42\""),
        ("-ana NOT bo", "-text:ana,bo"),
        ("-text:ana", "-ana"),
        ("text:ana,\"bo b\"", "text:ana,\"bo b\""),
        ("text:ana text:bo", "ana bo"),
        ("tick*", "tick*"),
        ("\"see tick\"*", "\"see tick\"*"),
        ("text:*ket", "text:*ket"),
        ("text:*ick*", "text:*ick*"),
        ("text:*\"ket 42\"", "text:*\"ket 42\""),
        ("\"OR\" \"not\"", "\"or\" \"not\""),
        ("\"patient.update\"", "\"patient update\""),
        ("\"0190a1b2c3d47000800000000000000f\"", "\"0190a1b2c3d47000800000000000000f\""),
        ("none any", "none any"),
        ("text:none reason:\"none\" reason:none", "none reason:\"none\",none"),
        ("ana OR (bo -eva)", "ana OR bo -eva"),
        ("reason:Ticket", "reason:ticket"),
        ("agent:\"Mozilla/5.0\"", "agent:\"mozilla 5 0\""),
        ("method:post", "method:POST"),
        ("path:/api/* route:/patients/:id", "path:/api/* route:/patients/:id"),
        ("ip:10.1.2.3/8 ip:2001:DB8::7", "ip:10.0.0.0/8,2001:db8::7"),
        ("-ip:none", "-ip:none"),
        ("trace:4BF92F3577B34DA6A3CE929D0E0E4736 trace:4B*", "trace:4bf92f3577b34da6a3ce929d0e0e4736,4b*"),
        ("duration:>2000ms", "duration:>2s"),
        ("duration:0.1s..2s,any", "duration:100ms..2s,any"),
        ("hours:OFF hours:22..6 hours:9", "hours:off,22..6,9..10"),
        ("hours:22..0", "hours:22..24"),
        ("meta.ticket:ABC-1 meta.ticket:7 meta.a.b:*", "meta.ticket:ABC-1,7 meta.a.b:any"),
        ("-meta.ticket:none", "-meta.ticket:none"),
        ("leaf:100.. seq:=7 -seq:<3", "leaf:>=100 seq:7 -seq:<3"),
        ("stream:0190*", "stream:0190*"),
        ("is:Masked has:diff,error", "is:masked has:diff,error"),
        ("was:\"old@x.org\" now:\"\"*", "was:old@x.org now:any"),
        ("created:any received:>-1h", "created:any received:>-1h"),
        ("status:none", "status:none"),
        ("tenant:t1 session:s auth:jwt onbehalf:bo role:admin", "tenant:t1 session:s auth:jwt onbehalf:bo role:admin"),
        ("host:web-1 release:1.2* environment:none field:email", "host:web-1 release:1.2* environment:none field:email"),
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
        ("zzzzz:5", 1, "the keys are actor, actor.type"),
        ("outcome:failed", 9, "did you mean `outcome:failure`?"),
        ("kind:chnage", 6, "did you mean `kind:change`?"),
        ("is:sealed", 4, "`is:` takes masked, gap, truncated"),
        ("country:de", 1, "`ip:` finds addresses and networks"),
        ("sensitive:yes", 1, "`type:` finds the types"),
        ("tag:x", 1, "`meta.NAME:` finds"),
        ("seal:intact", 1, "`indelible verify` says"),
        ("checkpoint:7", 1, "`leaf:` finds records"),
        ("parent:x", 1, "`request:` and `trace:`"),
        ("task:x", 1, "`kind:task` finds tasks"),
        ("group:actor", 1, "`indelible search --facet actor`"),
        ("source:web", 1, "did you mean `service:`?"),
        ("meta:7", 1, "name the member, for example `meta.ticket:ABC-1`"),
        ("meta.:7", 1, "name the member"),
        ("kind:read or kind:auth", 11, "write OR in capitals, or quote it"),
        ("actor=ana", 1, "did you mean `actor:ana`?"),
        ("kind:read clinic.Patient/42", 11, "did you mean `resource:clinic.Patient/42`?"),
        ("patient.update", 1, "did you mean `action:patient.update`?"),
        ("patient.*", 1, "did you mean `action:patient.*`?"),
        ("/api/x", 1, "did you mean `path:/api/x`?"),
        ("10.0.0.7", 1, "did you mean `ip:10.0.0.7`?"),
        ("0190a1b2-c3d4-7000-8000-00000000000f", 1, "did you mean `id:0190a1b2-c3d4-7000-8000-00000000000f`?"),
        ("actor:", 7, "`actor:none` finds events without it; else `actor:` takes a text"),
        ("actor:\"\"", 7, "`actor:none` finds events without it"),
        ("actor:ana, kind:read", 11, "`actor:none` finds events without it"),
        ("text:", 6, "`text:` takes a word"),
        ("meta.ticket:", 13, "`meta.ticket:none` finds events without it"),
        ("kind:", 6, "`kind:` takes request, change"),
        ("\"\"", 1, "`text:` takes a word"),
        ("!!", 1, "`text:` takes a word"),
        ("created:>", 9, "`created:` takes a date"),
        ("created:none", 9, "`created:` takes a date"),
        ("created:2026-02-30", 9, "`created:` takes a date"),
        ("created:today..tomorrow", 16, "`created:` takes a date"),
        ("created:-24h", 9, "`created:` takes a date"),
        ("received:any", 10, "`received:` takes a date"),
        ("status:99", 8, "`status:` takes an HTTP status"),
        ("status:4*", 8, "`status:` takes an HTTP status"),
        ("status:>=400 status:<500", 14, "write one range, `status:FROM..TO`"),
        ("duration:>1s duration:<2s", 14, "write one range, `duration:FROM..TO`"),
        ("duration:2s", 10, "`duration:` takes a comparison like `>2s`"),
        ("duration:>2", 11, "`duration:` takes a comparison like `>2s`"),
        ("hours:25", 7, "`hours:` takes an hour"),
        ("hours:9..9", 7, "`hours:` takes an hour"),
        ("hours:9*", 7, "`hours:` takes an hour"),
        ("ip:10.*", 4, "`ip:` takes an address"),
        ("ip:10.0.0.0/33", 4, "`ip:` takes an address"),
        ("trace:xyz", 7, "`trace:` takes the 32 hexadecimal digits"),
        ("leaf:-1", 6, "`leaf:` takes a number"),
        ("leaf:9223372036854775808", 6, "`leaf:` takes a number"),
        ("stream:0190", 8, "`stream:` takes a whole id"),
        ("action:*.update", 8, "only `text:*.update` takes a `*` at the beginning, beside a `created:` of at most 31 days"),
        ("*ana", 1, "only `text:*ana` takes"),
        ("now:*@x", 5, "only `text:*@x` takes"),
        ("action:a*b", 8, "only a `*` at the end"),
        ("action:>a", 8, "`action:` takes a text"),
        ("resource:patient", 10, "`resource:` takes TYPE/ID"),
        ("id:0190", 4, "`id:` takes a whole id"),
        ("kind:re*", 6, "`kind:` takes request, change"),
        ("sort:actor", 1, "`sort:` takes `created-asc`"),
        ("kind:read (actor:ana sort:created-asc)", 22, "write `sort:created-asc`"),
    ] {
        let found = error(text);
        assert_eq!(found.column(), column, "{text}: {found}");
        assert!(found.help().starts_with(help), "{text}: {}", found.help());
    }
}

#[test]
fn a_caret_stands_under_the_place() {
    assert_eq!(error("kind:read actr:ana").caret("kind:read actr:ana"), "kind:read actr:ana\n          ^");
    assert_eq!(error("äö actr:b").caret("äö actr:b"), "äö actr:b\n   ^");
    assert_eq!(error("kind:read\n(").caret("kind:read\n("), "kind:read (\n           ^");
}

#[test]
fn what_is_said_about_an_error_is_what_was_written() {
    for (text, message) in [
        ("meta.ticket:>1", "column 13: `>1` is not a value of `meta.ticket:`"),
        ("country:de", "column 1: `country:` cannot be searched: events have no such field"),
        ("meta:x", "column 1: `meta:` does not say which member of it"),
        ("action:*.update", "column 8: `*.update` has a `*` at its beginning"),
        ("patient.update", "column 1: `patient.update` would be searched for as words"),
        ("meta.a:>1", "column 8: `>1` is not a value of `meta.a:`"),
        ("text:", "column 6: `text:` has an empty value"),
    ] {
        assert_eq!(error(text).to_string(), message);
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
        ("ana,bo", 4, Cause::Unexpected { found: ',' }),
        (">5", 1, Cause::Unexpected { found: '>' }),
        ("-", 2, Cause::MissingTerm),
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
    assert_eq!(error(&format!("actor:{}", "a,".repeat(VALUES_MAX))).cause(), &Cause::TooManyValues);
    assert_eq!(error(&"a ".repeat(VALUES_MAX + 1)).cause(), &Cause::TooManyValues);
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
    let range = Term::new(Key::Created, vec![Value::Time(Range::From(Moment::parse("-24h").unwrap()))]);
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

#[test]
fn a_query_without_times_gets_the_default_as_a_condition_that_can_be_seen() {
    let within = |text: &str| text.parse::<Query>().unwrap().within_default().to_string();
    assert_eq!(within("kind:read"), "kind:read created:>=-30d");
    assert_eq!(within(""), "created:>=-30d");
    assert_eq!(within("created:any"), "created:any");
    assert_eq!(within("created:today OR actor:ana"), "created:today OR actor:ana");
}

#[test]
fn only_words_that_are_sought_by_their_end_need_a_range() {
    let needs = |text: &str| text.parse::<Query>().unwrap().needs_range();
    assert!(needs("text:*ket") && needs("kind:read -(actor:ana OR text:a,*ick*)"));
    assert!(!needs("ket") && !needs("text:tick*") && !needs("action:a*") && !needs(""));
}

#[test]
fn a_part_can_be_taken_out() {
    let query: Query = "kind:read (actor:ana OR service:web) -ana sort:created-asc".parse().unwrap();
    let parts: Vec<_> = query.parts().iter().map(ToString::to_string).collect();
    assert_eq!(parts, ["kind:read", "(actor:ana OR service:web)", "-ana"]);
    assert_eq!(query.without(0).to_string(), "(actor:ana OR service:web) -ana sort:created-asc");
    assert_eq!(query.without(0).without(1).without(0).to_string(), "sort:created-asc");
    assert_eq!(query.without(7), query);
}

/// What a hostile client may send within the longest text: each is answered at once, in a time that grows with its length.
#[test]
fn hostile_texts_of_full_length_are_answered_at_once() {
    let started = std::time::Instant::now();
    for unit in [
        "(", ")", "-", "NOT ", "a ", "a OR ", "(a OR ", "-(", "a,", "text:a,", "\"", "\\", "*", "..", ":", "a:", "é", "actor:\"", "meta.",
        "\"a\" ", "- ",
    ] {
        let text = unit.repeat(4096 / unit.len());
        for prefix in ["", "actor:", "created:", "ip:", "(", "-text:"] {
            let text = format!("{prefix}{}", &text[..text.len() - if unit.len() == 1 { prefix.len() } else { 0 }]);
            match text.parse::<Query>() {
                Ok(query) => assert_eq!(query.to_string().parse::<Query>(), Ok(query)),
                Err(error) => assert!(error.column() <= text.chars().count() + 1),
            }
        }
    }
    // 126 texts; a quadratic reader takes longer for a single one of them.
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
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
    let words = prop_oneof![
        "[a-zA-Zéİß0-9]{1,6}\\*?",
        "\"[a-zA-ZÉΣ ,.()\\-]{0,3}[a-z][a-z ,']{0,4}\"\\*?",
        "text:\\*?[a-z]{1,3}\\*?(,[a-z]{1,2}){0,2}",
        "(reason|agent):(none|any|[a-z]{1,3}|\"[a-z ]{0,2}x\")",
        "text:\\*\"[a-z ]{0,3}x\"",
    ];
    let rest = prop_oneof![
        "ip:(10\\.(0|[1-9][0-9]?)\\.0\\.1(/[0-9]|/2[0-9])?|2001:db8::[0-9a-f]{1,4}(/[0-9]{1,2})?|none|any)",
        "duration:(>|<|>=|<=)[0-9]{1,4}(\\.[0-9])?(ms|s|m|h)",
        "duration:[0-9]{1,3}ms\\.\\.[0-9]{1,3}s",
        "hours:(off|weekend|1?[0-9]|2[0-3]\\.\\.[1-9])",
        "(leaf|seq):(>=|<|)[0-9]{1,6}",
        "meta\\.[a-z.]{1,4}:([a-z]{1,3}|any|\"[ a]{1,3}\")",
        "(is:masked|is:gap,truncated|has:diff|has:error,body)",
        "trace:[0-9a-f]{1,8}\\*",
        "(method|route|path|field|was|now|tenant|host):[a-zA-Z/]{1,5}\\*?",
        "(created:any|received:today|status:none|stream:0\\*)",
    ];
    let one = prop_oneof![
        6 => words,
        6 => rest,
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
