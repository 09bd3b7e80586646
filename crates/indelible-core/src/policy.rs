//! How much of a request is recorded: levels, and rules that choose one by route or path and method.

use std::fmt;
use std::str::FromStr;

use crate::query::suggest::{did_you_mean, nearest};

/// How much of a request is recorded; each level holds everything of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// `none`: no event.
    None,
    /// `metadata`: who, what, when, status; no headers and no bodies.
    #[default]
    Metadata,
    /// `request`: headers, query and body of the request too.
    Request,
    /// `request_response`: the body of the response too.
    RequestResponse,
}

impl Level {
    const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    /// The name used in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Metadata => "metadata",
            Self::Request => "request",
            Self::RequestResponse => "request_response",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = PolicyError;

    fn from_str(name: &str) -> Result<Self, PolicyError> {
        Self::ALL.into_iter().find(|level| level.as_str() == name).ok_or_else(|| PolicyError::UnknownLevel {
            name: name.to_owned(),
            nearest: nearest(name, Self::ALL.into_iter().map(Self::as_str)),
        })
    }
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A level that does not exist.
    #[error("unknown level {name:?}{}; there are none, metadata, request and request_response", did_you_mean(*.nearest))]
    UnknownLevel {
        /// What was written.
        name: String,
        /// The level that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that rules do not have.
    #[error("unknown key {key:?} in a rule{}; there are route, path, method and level", did_you_mean(*.nearest))]
    UnknownKey {
        /// What was written.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A rule without a level.
    #[error("a rule needs a level: none, metadata, request or request_response")]
    NoLevel,
    /// A rule that would match by nothing.
    #[error("a rule needs a route, a path or a method to match by")]
    NoCondition,
    /// Text that cannot be a method.
    #[error("{0:?} is not an HTTP method; write one like GET, or several like \"PUT, PATCH\"")]
    NotAMethod(String),
}

/// Text in which `*` stands for any number of characters, slashes included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(String);

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(text) = text.strip_prefix(start) else { return false };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut text) = text.strip_suffix(end) else { return false };
        // The leftmost place for each part leaves the most room for the next one, so no choice is ever taken back.
        middle.split('*').all(|part| match text.find(part) {
            Some(at) => {
                text = &text[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

/// A level for the requests that match every condition given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    route: Option<Pattern>,
    path: Option<Pattern>,
    /// Upper-case; empty: every method.
    methods: Vec<String>,
    level: Level,
}

const RULE_KEYS: [&str; 4] = ["route", "path", "method", "level"];

impl Rule {
    /// Reads a rule of the settings: `route` and `path` are patterns with `*`, `method` is one method or several with commas,
    /// `level` the name of a [`Level`].
    ///
    /// # Errors
    /// The first [`PolicyError`] in the order of the keys; then that the level or every condition is missing.
    pub fn parse<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, PolicyError> {
        let (mut route, mut path, mut methods, mut level) = (None, None, Vec::new(), None);
        for (key, value) in keys {
            match key {
                "route" => route = Some(Pattern(value.to_owned())),
                "path" => path = Some(Pattern(value.to_owned())),
                "method" => methods = value.split(',').map(method).collect::<Result<_, _>>()?,
                "level" => level = Some(value.parse()?),
                _ => return Err(PolicyError::UnknownKey { key: key.to_owned(), nearest: nearest(key, RULE_KEYS.into_iter()) }),
            }
        }
        let level = level.ok_or(PolicyError::NoLevel)?;
        if route.is_none() && path.is_none() && methods.is_empty() {
            return Err(PolicyError::NoCondition);
        }
        Ok(Self { route, path, methods, level })
    }

    fn matches(&self, method: &str, route: Option<&str>, path: &str) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|known| known.eq_ignore_ascii_case(method)))
            && self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
            && self.route.as_ref().is_none_or(|pattern| route.is_some_and(|route| pattern.matches(route)))
    }
}

fn method(text: &str) -> Result<String, PolicyError> {
    let name = text.trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
        return Err(PolicyError::NotAMethod(text.to_owned()));
    }
    Ok(name.to_ascii_uppercase())
}

/// Chooses the level of each request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    default: Level,
}

impl Policy {
    /// `rules` are tried in their order; requests that match none get `default`.
    #[must_use]
    pub fn new(default: Level, rules: Vec<Rule>) -> Self {
        Self { rules, default }
    }

    /// The level of the first rule that matches.
    ///
    /// `route` is the template (`/patients/:id`), absent where no view was found; a rule with a route matches none of those.
    #[must_use]
    pub fn level(&self, method: &str, route: Option<&str>, path: &str) -> Level {
        self.rules.iter().find(|rule| rule.matches(method, route, path)).map_or(self.default, |rule| rule.level)
    }
}
