//! The parts of an HTTP request that are neither form nor body: headers and paths.

use std::borrow::Cow;

use super::{MASK, Redactor, percent};

impl Redactor {
    /// Masks what is found in the name of a header, written in small letters.
    #[must_use]
    pub fn header_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        // No secret is made of small letters and dashes alone.
        if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') { Cow::Borrowed(name) } else { self.text(name) }
    }

    /// Masks the value of a header: as a whole where the name is sensitive (`Authorization`, `Cookie`, `X-Api-Key`, in any
    /// case), otherwise what is found in it as in text, and in the query of a URL (`Referer`).
    #[must_use]
    pub fn header<'v>(&self, name: &str, value: &'v str) -> Cow<'v, str> {
        if self.masks_field(name) {
            return Cow::Borrowed(MASK);
        }
        self.query_of(self.text(value))
    }

    /// Masks secrets in a path, and in the query after it where there is one. Segments are told apart by their shape only:
    /// a token of a known kind and that of a link for a new password (`/reset/Mg/c8v2d1-1f2e…/`) are masked.
    #[must_use]
    pub fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let path = self.query_of(self.text(path));
        if !path.contains('%') {
            return path;
        }
        match self.encoded_segments(&path) {
            Some(redacted) => Cow::Owned(redacted),
            None => path,
        }
    }

    /// Masks the query in a text that may hold one.
    fn query_of<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        let Some((before, query)) = text.split_once('?') else { return text };
        match self.query(query) {
            Cow::Borrowed(_) => text,
            Cow::Owned(redacted) => Cow::Owned(format!("{before}?{redacted}")),
        }
    }

    /// `None`: there is nothing to mask.
    fn encoded_segments(&self, path: &str) -> Option<String> {
        let (segments, query) = path.split_at(path.find('?').unwrap_or(path.len()));
        let redacted: Vec<_> = segments.split('/').map(|segment| (segment, self.encoded(segment, percent::decode))).collect();
        if redacted.iter().all(|(_, redacted)| redacted.is_none()) {
            return None;
        }
        let segments: Vec<_> = redacted.iter().map(|(segment, redacted)| redacted.as_deref().unwrap_or(segment)).collect();
        Some(segments.join("/") + query)
    }
}
