//! What a rule compares with: text with `*`, extensions, statuses.

use super::PolicyError;

/// Text in which `*` stands for any number of characters, slashes included; cut at its stars once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    start: String,
    /// What stands between the first and the last star, part by part; `None`: there is no star.
    rest: Option<(Vec<String>, String)>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let Some((start, rest)) = text.split_once('*') else { return Self { start: text.to_owned(), rest: None } };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middle = middle.split('*').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Self { start: start.to_owned(), rest: Some((middle, end.to_owned())) }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((middle, end)) = &self.rest else { return self.start == text };
        let Some(text) = text.strip_prefix(self.start.as_str()) else { return false };
        let Some(mut text) = text.strip_suffix(end.as_str()) else { return false };
        // The leftmost place for each part leaves the most room for the next one, so no choice is ever taken back.
        middle.iter().all(|part| match text.find(part.as_str()) {
            Some(at) => {
                text = &text[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

/// The items of a list with commas.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// An extension as it is compared: lower case, without its dot.
pub(super) fn extension(text: &str) -> Result<String, PolicyError> {
    let name = text.strip_prefix('.').unwrap_or(text);
    if name.is_empty() || name.contains(['/', '.', '*']) {
        return Err(PolicyError::NotAnExtension(text.to_owned()));
    }
    Ok(name.to_lowercase())
}

/// The extension of the last segment of a path, without its dot; empty when it has none.
pub(super) fn extension_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// From one status to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statuses(u16, u16);

impl Statuses {
    /// Reads `404`, `5xx` or `400-499`.
    pub(super) fn parse(text: &str) -> Result<Self, PolicyError> {
        let refused = || PolicyError::NotAStatus(text.to_owned());
        let one = |digits: &str| digits.parse::<u16>().ok().filter(|status| (100..=999).contains(status));
        if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            let class = class.parse::<u16>().ok().filter(|class| (1..=9).contains(class)).ok_or_else(refused)?;
            return Ok(Self(class * 100, class * 100 + 99));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (one(first.trim()), one(last.trim())) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first, last)),
            _ => Err(refused()),
        }
    }

    pub(super) fn contains(self, status: u16) -> bool {
        (self.0..=self.1).contains(&status)
    }
}
