//! Which level a request gets, and what is said about a policy that cannot be read.

use indelible_core::{Level, Policy, Rule};

fn rule(keys: &[(&str, &str)]) -> Rule {
    Rule::parse(keys.iter().copied()).unwrap()
}

fn error(keys: &[(&str, &str)]) -> String {
    Rule::parse(keys.iter().copied()).unwrap_err().to_string()
}

#[test]
fn the_first_rule_that_matches_wins() {
    let policy = Policy::new(
        Level::Metadata,
        vec![
            rule(&[("path", "/health*"), ("level", "none")]),
            rule(&[("route", "/patients/:id"), ("method", "PUT, patch"), ("level", "request_response")]),
            rule(&[("route", "/patients/*"), ("level", "request")]),
        ],
    );
    for (method, route, path, level) in [
        ("GET", Some("/health"), "/healthz", Level::None),
        ("PUT", Some("/patients/:id"), "/patients/7", Level::RequestResponse),
        ("PATCH", Some("/patients/:id"), "/patients/7", Level::RequestResponse),
        ("patch", Some("/patients/:id"), "/patients/7", Level::RequestResponse),
        ("GET", Some("/patients/:id"), "/patients/7", Level::Request),
        ("GET", Some("/patients"), "/patients", Level::Metadata),
        ("GET", None, "/patients/7", Level::Metadata),
        ("GET", None, "/", Level::Metadata),
    ] {
        assert_eq!(policy.level(method, route, path), level, "{method} {route:?} {path}");
    }
}

#[test]
fn without_rules_every_request_gets_the_default() {
    assert_eq!(Policy::default().level("GET", None, "/"), Level::Metadata);
    assert_eq!(Policy::new(Level::Request, vec![]).level("GET", Some("/x"), "/x"), Level::Request);
}

#[test]
fn a_star_stands_for_anything_anywhere() {
    for (pattern, path, matches) in [
        ("/a", "/a", true),
        ("/a", "/a/", false),
        ("/a", "/ab", false),
        ("/a*", "/a", true),
        ("/a*", "/a/b/c", true),
        ("*", "", true),
        ("*/export", "/x/y/export", true),
        ("*/export", "/x/y/export/", false),
        ("/api/*/notes/*", "/api/v1/patients/notes/3", true),
        ("/api/*/notes/*", "/api/notes/3", false),
        ("/a*b*c", "/axbxbxc", true),
        ("/a*b*c", "/axcxb", false),
        ("/a*a", "/a", false),
        ("/a**b", "/ab", true),
        ("a*ab*b", "aabb", true),
        ("a*ab*b", "aab", false),
        ("ü*é", "üxé", true),
    ] {
        let policy = Policy::new(Level::None, vec![rule(&[("path", pattern), ("level", "request")])]);
        assert_eq!(policy.level("GET", None, path) == Level::Request, matches, "{pattern} {path}");
    }
}

#[test]
fn levels_are_ordered_and_have_names() {
    assert!(Level::None < Level::Metadata && Level::Metadata < Level::Request && Level::Request < Level::RequestResponse);
    for name in ["none", "metadata", "request", "request_response"] {
        assert_eq!(name.parse::<Level>().unwrap().to_string(), name);
    }
}

#[test]
fn mistakes_are_named_with_what_was_probably_meant() {
    assert_eq!(
        "meta".parse::<Level>().unwrap_err().to_string(),
        r#"unknown level "meta", did you mean "metadata"?; there are none, metadata, request and request_response"#
    );
    assert_eq!(
        "zebra".parse::<Level>().unwrap_err().to_string(),
        r#"unknown level "zebra"; there are none, metadata, request and request_response"#
    );
    assert_eq!(
        error(&[("rout", "/x"), ("level", "none")]),
        r#"unknown key "rout" in a rule, did you mean "route"?; there are route, path, method and level"#
    );
    assert_eq!(error(&[("path", "/x")]), "a rule needs a level: none, metadata, request or request_response");
    assert_eq!(error(&[("level", "none")]), "a rule needs a route, a path or a method to match by");
    assert_eq!(
        error(&[("method", "GET,"), ("level", "none")]),
        r#""" is not an HTTP method; write one like GET, or several like "PUT, PATCH""#
    );
}
