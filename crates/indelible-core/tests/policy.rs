//! Which level a request gets, and what is said about a policy that cannot be read.

use indelible_core::{Level, Policy, Rule, User, Visit};

fn rule(keys: &[(&str, &str)]) -> Rule {
    Rule::parse(keys.iter().copied()).unwrap()
}

fn visit<'a>(method: &'a str, route: Option<&'a str>, path: &'a str) -> Visit<'a> {
    Visit { method, path, route, ..Visit::default() }
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
        assert_eq!(policy.level(&visit(method, route, path)), level, "{method} {route:?} {path}");
    }
}

#[test]
fn without_rules_every_request_gets_the_default() {
    assert_eq!(Policy::default().level(&visit("GET", None, "/")), Level::Metadata);
    assert_eq!(Policy::new(Level::Request, vec![]).level(&visit("GET", Some("/x"), "/x")), Level::Request);
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
        assert_eq!(policy.level(&visit("GET", None, path)) == Level::Request, matches, "{pattern} {path}");
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
        r#"unknown key "rout" in a rule, did you mean "route"?; there are route, path, method, status, user, extension and level"#
    );
    assert_eq!(error(&[("path", "/x")]), "a rule needs a level: none, metadata, request or request_response");
    assert_eq!(error(&[("level", "none")]), "a rule needs a route, a path, a method, a status, a user or an extension to match by");
    assert_eq!(
        error(&[("method", "GET,"), ("level", "none")]),
        r#""" is not an HTTP method; write one like GET, or several like "PUT, PATCH""#
    );
}

#[test]
fn status_user_and_extension_decide_when_the_answer_is_there() {
    let policy = Policy::new(
        Level::Metadata,
        vec![
            rule(&[("extension", ".css, JS"), ("level", "none")]),
            rule(&[("status", "5xx,404"), ("level", "request_response")]),
            rule(&[("status", "400-499"), ("user", "anonymous"), ("level", "none")]),
            rule(&[("user", "staff"), ("level", "request")]),
        ],
    );
    let end = |path, status, user| policy.level(&Visit { method: "GET", path, status: Some(status), user, route: None });
    assert_eq!(end("/static/site.css", 500, None), Level::None);
    assert_eq!(end("/static/site.min.js", 200, None), Level::None);
    assert_eq!(end("/a.css/b", 200, None), Level::Metadata);
    assert_eq!(end("/x", 503, None), Level::RequestResponse);
    assert_eq!(end("/x", 404, Some(User::Anonymous)), Level::RequestResponse);
    assert_eq!(end("/x", 401, Some(User::Anonymous)), Level::None);
    assert_eq!(end("/x", 401, None), Level::Metadata);
    assert_eq!(end("/x", 200, Some(User::Staff)), Level::Request);
    assert_eq!(end("/x", 200, Some(User::Authenticated)), Level::Metadata);
    assert_eq!(policy.level(&visit("GET", None, "/x")), Level::Metadata);
    assert!(policy.asks_for_user());
}

#[test]
fn staff_are_authenticated_too() {
    let policy = Policy::new(Level::None, vec![rule(&[("user", "authenticated"), ("level", "request")])]);
    for (user, level) in [(User::Staff, Level::Request), (User::Authenticated, Level::Request), (User::Anonymous, Level::None)] {
        assert_eq!(policy.level(&Visit { user: Some(user), ..visit("GET", None, "/") }), level);
    }
}

#[test]
fn what_may_still_be_asked_for_is_known_at_the_beginning() {
    let policy = Policy::new(
        Level::Metadata,
        vec![
            rule(&[("path", "/healthz"), ("level", "none")]),
            rule(&[("path", "/pay*"), ("status", "5xx"), ("level", "request_response")]),
            rule(&[("path", "/pay*"), ("level", "request")]),
            rule(&[("method", "POST"), ("route", "/notes/:id"), ("level", "request")]),
        ],
    );
    for (method, path, level) in [
        ("GET", "/healthz", Level::None),
        ("GET", "/payments", Level::RequestResponse),
        ("POST", "/notes/1", Level::Request),
        ("GET", "/notes/1", Level::Metadata),
    ] {
        assert_eq!(policy.level_max(method, path), level, "{method} {path}");
    }
}

#[test]
fn include_and_exclude_come_before_every_rule() {
    let policy =
        Policy::new(Level::Request, vec![rule(&[("path", "*"), ("level", "request")])]).only(["/api/*", "/notes/:id"], ["*/internal/*"]);
    for (route, path, level) in [
        (None, "/api/x", Level::Request),
        (Some("/notes/:id"), "/notes/7", Level::Request),
        (Some("/notes"), "/notes", Level::None),
        (None, "/api/internal/x", Level::None),
    ] {
        assert_eq!(policy.level(&visit("GET", route, path)), level, "{path}");
    }
    assert_eq!(policy.level_max("GET", "/api/internal/x"), Level::None);
    assert_eq!(Policy::new(Level::Request, vec![]).only([], []).level(&visit("GET", None, "/")), Level::Request);
}

#[test]
fn statuses_users_and_extensions_that_cannot_be_are_refused() {
    for status in ["", "4xy", "xx", "99", "500-400", "200-"] {
        assert!(error(&[("status", status), ("level", "none")]).contains("is not a status"), "{status}");
    }
    assert_eq!(
        error(&[("user", "stuff"), ("level", "none")]),
        r#"unknown user "stuff", did you mean "staff"?; there are anonymous, authenticated and staff"#
    );
    for extension in ["", ".", "tar.gz", "/css"] {
        assert!(error(&[("extension", extension), ("level", "none")]).contains("is not an extension"), "{extension}");
    }
}
