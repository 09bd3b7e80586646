//! Bodies of requests and responses: kept as far as the limit goes while they pass by, then masked for the event.
//!
//! What stands for a body in an event depends on its media type (docs/format.md, "Bodies"): JSON as JSON, a form and a multipart form by their
//! fields, files by name, type, size and digest, text as text, everything else by size and digest.

mod charset;
mod media;
mod multipart;
mod text;

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use crate::event::write_hex;
use crate::json::{Json, ObjectWriter};
use crate::redact::Redactor;
use media::Media;
use multipart::Multipart;

/// A body on its way: takes every chunk, keeps at most the limit, knows size and digest of all of it.
///
/// ```
/// use indelible_core::{Body, Redactor};
///
/// let mut body = Body::new("application/json", 16_384);
/// body.push(br#"{"pin": 1"#);
/// body.push(b"234}");
/// assert_eq!(body.to_json(&Redactor::default(), None).as_str(), r#"{"pin":"[masked]"}"#);
/// ```
#[derive(Debug, Clone)]
pub struct Body {
    media: Media,
    bytes_max: usize,
    kept: Vec<u8>,
    total: u64,
    /// Of all bytes so far; only where more passed than are kept, since the digest of what is kept can be made at any time.
    digest: Option<Box<Sha256>>,
    form: Option<Box<Multipart>>,
}

impl Body {
    /// Nothing has passed yet. `content_type` is the header's value, empty when there is none.
    #[must_use]
    pub fn new(content_type: &str, bytes_max: usize) -> Self {
        let media = Media::of(content_type);
        let form = match &media {
            Media::Multipart(boundary) => Some(Box::new(Multipart::new(boundary, bytes_max))),
            _ => None,
        };
        Self { media, bytes_max, kept: Vec::new(), total: 0, digest: None, form }
    }

    /// Marks the body as encoded (gzip, br): its bytes are not what its type says.
    #[must_use]
    pub fn encoded(mut self) -> Self {
        self.media = Media::Binary;
        self.form = None;
        self
    }

    /// Takes the next chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.total += chunk.len() as u64;
        if let Some(form) = &mut self.form {
            form.push(chunk);
            return;
        }
        if let Some(digest) = &mut self.digest {
            digest.update(chunk);
            return;
        }
        let room = self.bytes_max - self.kept.len();
        if chunk.len() > room {
            let mut digest = Sha256::new_with_prefix(&self.kept);
            digest.update(chunk);
            self.digest = Some(Box::new(digest));
        }
        self.kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    /// How many bytes have passed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What stands for the body in an event. `declared` is how long it should be (`Content-Length`) where that is known: when less has
    /// passed, the rest was never read.
    #[must_use]
    pub fn to_json(&self, redactor: &Redactor, declared: Option<u64>) -> Json {
        let unread = declared.is_some_and(|declared| declared > self.total);
        if unread && self.total == 0 {
            return not_captured("unread", declared);
        }
        if let Some(form) = &self.form {
            return form.to_json(redactor, unread.then_some(self.total));
        }
        let whole =
            Whole { total: declared.unwrap_or(0).max(self.total), read: unread.then_some(self.total), digest: self.digest.as_deref() };
        whole.to_json(redactor, &self.media, &self.kept, self.bytes_max)
    }
}

/// What stands for a body that is there as a whole; the same as if it had passed through a [`Body`].
#[must_use]
pub fn body_json(redactor: &Redactor, content_type: &str, body: &[u8], bytes_max: usize) -> Json {
    let media = Media::of(content_type);
    if let Media::Multipart(boundary) = &media {
        let mut form = Multipart::new(boundary, bytes_max);
        form.push(body);
        return form.to_json(redactor, None);
    }
    let mut whole = Whole { total: body.len() as u64, read: None, digest: None };
    if body.len() <= bytes_max {
        return whole.to_json(redactor, &media, body, bytes_max);
    }
    let digest = Sha256::new_with_prefix(body);
    whole.digest = Some(&digest);
    whole.to_json(redactor, &media, &body[..bytes_max], bytes_max)
}

/// What stands for a body that nobody captured, and why: `unread`, `no_body_yet`.
#[must_use]
pub fn not_captured(reason: &str, bytes: Option<u64>) -> Json {
    let mut out = String::with_capacity(64);
    let mut object = ObjectWriter::begin(&mut out);
    object.string("type", "not_captured");
    object.string("reason", reason);
    if let Some(bytes) = bytes {
        object.integer("bytes", bytes);
    }
    object.end();
    Json::from_text(out)
}

/// A body of which only the beginning may be at hand.
struct Whole<'a> {
    total: u64,
    /// How much was read where that is not all.
    read: Option<u64>,
    /// Of all that was read, where that is more than what is at hand.
    digest: Option<&'a Sha256>,
}

impl Whole<'_> {
    fn to_json(&self, redactor: &Redactor, media: &Media, kept: &[u8], bytes_max: usize) -> Json {
        if kept.is_empty() {
            return Json::string("");
        }
        let is_cut = self.read.is_some() || self.digest.is_some();
        let Some((text, media)) = media.text_of(kept, is_cut) else { return self.described("binary", kept, None) };
        if is_cut {
            return self.described("", kept, Some(&text::beginning(redactor, media, &text)));
        }
        match media {
            Media::Form => text::form(redactor, &text),
            Media::Json => redactor.json(text.as_bytes(), bytes_max),
            _ => Json::string(&redactor.data(&text)),
        }
    }

    /// Size and digest, for what is binary (`type`) or cut (`text`).
    fn described(&self, r#type: &str, kept: &[u8], text: Option<&str>) -> Json {
        let mut out = String::with_capacity(text.map_or(0, str::len) + 160);
        let mut object = ObjectWriter::begin(&mut out);
        if !r#type.is_empty() {
            object.string("type", r#type);
        }
        if self.read.is_some() || text.is_some() {
            object.boolean("truncated", true);
        }
        object.integer("bytes", self.total);
        if let Some(read) = self.read {
            object.integer("read", read);
        }
        let digest = self.digest.map_or_else(|| Sha256::digest(kept), |digest| digest.clone().finalize());
        write_hex(object.key("sha256"), &digest);
        object.optional("text", text);
        object.end();
        Json::from_text(out)
    }
}

/// Text of bytes whose encoding is known, with what it is.
type Decoded<'a, 'm> = (Cow<'a, str>, &'m Media);
