//! How much of a request is recorded: levels, and rules that choose one.

mod pattern;

use std::fmt;
use std::str::FromStr;

use crate::query::suggest::{did_you_mean, nearest};
use pattern::{Pattern, Statuses, extension, extension_of, items};

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
    #[error("unknown key {key:?} in a rule{}; there are route, path, method, status, user, extension and level", did_you_mean(*.nearest))]
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
    #[error("a rule needs a route, a path, a method, a status, a user or an extension to match by")]
    NoCondition,
    /// Text that is no status.
    #[error("{0:?} is not a status; write 404, 5xx or 400-499, or several with commas")]
    NotAStatus(String),
    /// Text that is no extension.
    #[error("{0:?} is not an extension; write one like .css, or several like \".css, .js\"")]
    NotAnExtension(String),
    /// A kind of user that there is not.
    #[error("unknown user {name:?}{}; there are anonymous, authenticated and staff", did_you_mean(*.nearest))]
    UnknownUser {
        /// What was written.
        name: String,
        /// The kind that was probably meant.
        nearest: Option<&'static str>,
    },
    /// Text that cannot be a method.
    #[error("{0:?} is not an HTTP method; write one like GET, or several like \"PUT, PATCH\"")]
    NotAMethod(String),
}

/// What is known of the user of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// `anonymous`: nobody is logged in.
    Anonymous,
    /// `authenticated`: somebody is.
    Authenticated,
    /// `staff`: somebody who may use the administration; also authenticated.
    Staff,
}

impl User {
    const ALL: [Self; 3] = [Self::Anonymous, Self::Authenticated, Self::Staff];

    /// The name used in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::Staff => "staff",
        }
    }

    /// Whether somebody of this kind is meant by `wanted`.
    const fn is(self, wanted: Self) -> bool {
        self as u8 == wanted as u8 || matches!((self, wanted), (Self::Staff, Self::Authenticated))
    }
}

impl FromStr for User {
    type Err = PolicyError;

    fn from_str(name: &str) -> Result<Self, PolicyError> {
        Self::ALL.into_iter().find(|user| user.as_str() == name).ok_or_else(|| PolicyError::UnknownUser {
            name: name.to_owned(),
            nearest: nearest(name, Self::ALL.into_iter().map(Self::as_str)),
        })
    }
}

/// What rules look at. Of what is `None` a rule that asks for it cannot say that it matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Visit<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The template (`/patients/:id`), absent where no view was found.
    pub route: Option<&'a str>,
    /// Status of the response, absent where there is none.
    pub status: Option<u16>,
    /// The user, absent where nobody knows.
    pub user: Option<User>,
}

/// A level for the requests that match every condition given. An empty list is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    route: Option<Pattern>,
    path: Option<Pattern>,
    /// Upper-case.
    methods: Vec<String>,
    statuses: Vec<Statuses>,
    users: Vec<User>,
    /// Lower-case, without dots.
    extensions: Vec<String>,
    level: Level,
}

const RULE_KEYS: [&str; 7] = ["route", "path", "method", "status", "user", "extension", "level"];

impl Rule {
    /// Reads a rule of the settings: `route` and `path` are patterns with `*`; `method`, `status` (`404`, `5xx`, `400-499`), `user`
    /// (`anonymous`, `authenticated`, `staff`) and `extension` (`.css`) are one or several with commas; `level` is the name of a [`Level`].
    ///
    /// # Errors
    /// The first [`PolicyError`] in the order of the keys; then that the level or every condition is missing.
    pub fn parse<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, PolicyError> {
        let mut rule = Self::default();
        let mut level = None;
        for (key, value) in keys {
            match key {
                "route" => rule.route = Some(Pattern::new(value)),
                "path" => rule.path = Some(Pattern::new(value)),
                "method" => rule.methods = value.split(',').map(method).collect::<Result<_, _>>()?,
                "status" => rule.statuses = items(value).map(Statuses::parse).collect::<Result<_, _>>()?,
                "user" => rule.users = items(value).map(str::parse).collect::<Result<_, _>>()?,
                "extension" => rule.extensions = items(value).map(extension).collect::<Result<_, _>>()?,
                "level" => level = Some(value.parse()?),
                _ => return Err(PolicyError::UnknownKey { key: key.to_owned(), nearest: nearest(key, RULE_KEYS.into_iter()) }),
            }
        }
        rule.level = level.ok_or(PolicyError::NoLevel)?;
        if rule == (Self { level: rule.level, ..Self::default() }) {
            return Err(PolicyError::NoCondition);
        }
        Ok(rule)
    }

    fn matches(&self, visit: &Visit<'_>) -> bool {
        self.matches_start(visit.method, visit.path)
            && self.route.as_ref().is_none_or(|pattern| visit.route.is_some_and(|route| pattern.matches(route)))
            && (self.statuses.is_empty() || visit.status.is_some_and(|status| self.statuses.iter().any(|known| known.contains(status))))
            && (self.users.is_empty() || visit.user.is_some_and(|user| self.users.iter().any(|&wanted| user.is(wanted))))
    }

    /// Whether what is known when a request begins speaks for this rule.
    fn matches_start(&self, method: &str, path: &str) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|known| known.eq_ignore_ascii_case(method)))
            && self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
            && (self.extensions.is_empty() || self.extensions.iter().any(|known| known.eq_ignore_ascii_case(extension_of(path))))
    }

    /// Whether a condition can only be decided when the request has been answered.
    fn has_late_condition(&self) -> bool {
        self.route.is_some() || !self.statuses.is_empty() || !self.users.is_empty()
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            route: None,
            path: None,
            methods: Vec::new(),
            statuses: Vec::new(),
            users: Vec::new(),
            extensions: Vec::new(),
            level: Level::Metadata,
        }
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
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Policy {
    /// `rules` are tried in their order; requests that match none get `default`.
    #[must_use]
    pub fn new(default: Level, rules: Vec<Rule>) -> Self {
        Self { rules, default, include: Vec::new(), exclude: Vec::new() }
    }

    /// The same for those requests only whose route or path matches a pattern of `include`, or for all if there is none, and for none that
    /// matches a pattern of `exclude`. The others get [`Level::None`], whatever a rule says.
    #[must_use]
    pub fn only<'a>(mut self, include: impl IntoIterator<Item = &'a str>, exclude: impl IntoIterator<Item = &'a str>) -> Self {
        self.include = include.into_iter().map(Pattern::new).collect();
        self.exclude = exclude.into_iter().map(Pattern::new).collect();
        self
    }

    /// The level of a request that has been answered: of the first rule that matches.
    #[must_use]
    pub fn level(&self, visit: &Visit<'_>) -> Level {
        let is_in = |patterns: &[Pattern]| {
            patterns.iter().any(|pattern| pattern.matches(visit.path) || visit.route.is_some_and(|route| pattern.matches(route)))
        };
        if is_in(&self.exclude) || !(self.include.is_empty() || is_in(&self.include)) {
            return Level::None;
        }
        self.rules.iter().find(|rule| rule.matches(visit)).map_or(self.default, |rule| rule.level)
    }

    /// The highest level that a request can still get, judged by what is known when it begins: what must be captured on the way.
    #[must_use]
    pub fn level_max(&self, method: &str, path: &str) -> Level {
        // A template is not known yet, so only the path can exclude for certain.
        if self.exclude.iter().any(|pattern| pattern.matches(path)) {
            return Level::None;
        }
        let mut highest = Level::None;
        for rule in self.rules.iter().filter(|rule| rule.matches_start(method, path)) {
            highest = highest.max(rule.level);
            if !rule.has_late_condition() {
                return highest;
            }
        }
        highest.max(self.default)
    }

    /// Whether a rule asks who the user is.
    #[must_use]
    pub fn asks_for_user(&self) -> bool {
        self.rules.iter().any(|rule| !rule.users.is_empty())
    }
}
