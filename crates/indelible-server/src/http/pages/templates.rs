//! The templates, which come with the program. Undefined names are errors; everything is escaped.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, HtmlEscape, UndefinedBehavior, Value, context, escape_formatter};
use serde::Serialize;

use super::super::Api;
use super::super::error::Problem;
use super::assets;
use super::query_bar::lists;

macro_rules! template {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../ui/templates/", $name)))
    };
}

const TEMPLATES: &[(&str, &str)] = &[
    template!("actor.html"),
    template!("base.html"),
    template!("event.html"),
    template!("events.html"),
    template!("health.html"),
    template!("macros.html"),
    template!("object.html"),
    template!("opened.html"),
    template!("problem.html"),
    template!("request.html"),
    template!("signin.html"),
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(|out, state, value| {
        let visible = value.as_str().filter(|text| !value.is_safe() && text.contains(is_no_text));
        match visible.map(|text| Value::from(visibly(text).into_owned())) {
            Some(visible) => escape_formatter(out, state, &visible),
            None => escape_formatter(out, state, value),
        }
    });
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the delimiters are those of every template"));
    environment.add_filter("ticks", ticks);
    environment.add_filter("sentence", sentence);
    environment.add_global("assets", assets::folder());
    environment.add_global("version", env!("CARGO_PKG_VERSION"));
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).expect("every template parses, which a test has checked");
    }
    environment
});

/// Anything that serializes, for a template.
pub(super) fn data(value: impl Serialize) -> Value {
    Value::from(Serde(value))
}

/// Whether HTML cannot hold a character: one that controls something, other than the ends of lines and the tabs of a text.
fn is_no_text(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

/// A text with such characters made visible.
fn visibly(text: &str) -> Cow<'_, str> {
    if !text.contains(is_no_text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_no_text(character) { out.extend(character.escape_unicode()) } else { out.push(character) }
    }
    Cow::Owned(out)
}

/// A message of the program as a sentence of its own: with a capital, unless it begins with a name, and with an end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let begun: String = letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect());
    if begun.ends_with(['.', '?', '!']) { begun } else { begun + "." }
}

/// What stands between backticks in the messages of the program, as code.
fn ticks(text: &str) -> Value {
    let mut out = String::with_capacity(text.len() + 16);
    for (index, piece) in visibly(text).split('`').enumerate() {
        let escaped = HtmlEscape(piece);
        out.push_str(&if index % 2 == 1 { format!("<code>{escaped}</code>") } else { escaped.to_string() });
    }
    Value::from_safe_string(out)
}

/// What surrounds every page that shows records.
pub(super) fn frame(api: &Api, title: &str, section: &str) -> Value {
    context! { title, section, lists => data(lists()), badge => data(api.checks.badge()) }
}

/// Renders a page.
pub(super) fn render(name: &str, page: Value) -> Response {
    match text(name, page) {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, template = name, "a page could not be rendered");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this page could not be rendered; the log of the agent says why")
                .into_response()
        }
    }
}

fn text(name: &str, page: Value) -> Result<String, minijinja::Error> {
    ENVIRONMENT.get_template(name)?.render(context! { ..page })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_backticks_is_code() {
        assert_eq!(ticks("unknown key `<b>` & more").to_string(), "unknown key <code>&lt;b&gt;</code> &amp; more");
    }

    #[test]
    fn a_message_becomes_a_sentence() {
        assert_eq!(["no such record", "`x` is none", "Is it?"].map(sentence), ["No such record.", "`x` is none.", "Is it?"]);
    }

    #[test]
    fn what_html_cannot_hold_is_made_visible() {
        let told = "a\0b\u{1b}[2J `c\u{7}<d>`\n\te";
        let page = context! { title => told, status => 400, problem => told, help => told };
        let text = ENVIRONMENT.render_str("{{ problem }}|{{ help | ticks }}|<p title=\"{{ title }}\">", page).unwrap();
        assert!(!text.contains(is_no_text), "{text:?}");
        assert!(text.starts_with("a\\u{0}b\\u{1b}[2J `c\\u{7}") && text.contains("<code>c\\u{7}&lt;d&gt;</code>\n\te"), "{text:?}");
    }

    #[test]
    fn every_template_parses_and_a_name_that_nobody_set_is_an_error() {
        assert_eq!(ENVIRONMENT.templates().count(), TEMPLATES.len());
        assert!(text("events.html", context! {}).is_err());
    }
}
