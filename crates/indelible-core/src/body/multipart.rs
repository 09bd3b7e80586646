//! Multipart forms (RFC 7578) as they pass by: the fields that fit, and of every file name, type, size and digest.
//!
//! Parts are told apart as Django does: at `--boundary`, with or without the line break before it. What one parser takes for the end of a
//! field, the other must not take for its content, or a secret would stand under another name.

use std::mem;

use sha2::{Digest as _, Sha256};

use super::media::parameter;
use super::text::{Fields, masked_value};
use crate::event::write_hex;
use crate::json::{ArrayWriter, Json, ObjectWriter};
use crate::redact::Redactor;

const PARTS_MAX: usize = 1_000;
const HEADERS_BYTES_MAX: usize = 8_192;
const NAME_BYTES_MAX: usize = 256;

/// A form of which some parts have passed.
#[derive(Debug, Clone)]
pub(super) struct Multipart {
    /// `--boundary`
    delimiter: Vec<u8>,
    state: State,
    /// What has not been understood yet; never longer than headers may be, or than a delimiter and its line break.
    pending: Vec<u8>,
    parts: Vec<Part>,
    /// How many bytes of field values and names may still be kept.
    room: usize,
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    AfterDelimiter,
    Headers,
    Content,
    /// After the last delimiter, after too many parts, or after what is no multipart form.
    Done,
}

#[derive(Debug, Clone)]
struct Part {
    name: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Field { value: Vec<u8>, total: u64 },
    File { name: String, r#type: String, total: u64, digest: Box<Sha256> },
}

impl Multipart {
    pub(super) fn new(boundary: &[u8], bytes_max: usize) -> Self {
        let delimiter = [b"--", boundary].concat();
        Self { delimiter, state: State::Preamble, pending: Vec::new(), parts: Vec::new(), room: bytes_max, is_cut: false }
    }

    /// Takes the next chunk.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        if self.state == State::Done {
            return;
        }
        let mut pending = mem::take(&mut self.pending);
        let mut bytes = chunk;
        if !pending.is_empty() {
            pending.extend_from_slice(chunk);
            bytes = &pending;
        }
        let mut at = 0;
        while let Some(used) = self.step(&bytes[at..]) {
            at += used;
        }
        self.pending = bytes[at..].to_vec();
        if self.state == State::Done {
            self.pending = Vec::new();
        }
    }

    /// Understands the beginning of `bytes`; answers how many it was, `None` when more are needed.
    fn step(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.state {
            State::Preamble | State::Content => self.content(bytes),
            State::AfterDelimiter => self.after_delimiter(bytes),
            State::Headers => self.headers(bytes),
            State::Done => None,
        }
    }

    fn content(&mut self, bytes: &[u8]) -> Option<usize> {
        let found = find(bytes, &self.delimiter);
        // A line break before the delimiter belongs to it, so the last bytes wait for what follows.
        let end = found.unwrap_or_else(|| bytes.len().saturating_sub(self.delimiter.len() + 1));
        let content = if found.is_some() { without_line_break(&bytes[..end]) } else { &bytes[..end] };
        if self.state == State::Content {
            self.keep(content);
        }
        match found {
            Some(_) => {
                self.state = State::AfterDelimiter;
                Some(end + self.delimiter.len())
            }
            None => (end > 0).then_some(end),
        }
    }

    fn after_delimiter(&mut self, bytes: &[u8]) -> Option<usize> {
        if bytes.starts_with(b"--") {
            self.state = State::Done;
            return Some(2);
        }
        let line = bytes.iter().position(|&byte| byte == b'\n');
        if line.is_none() && bytes.len() <= NAME_BYTES_MAX {
            return None;
        }
        self.state = State::Headers;
        Some(line.map_or(0, |end| end + 1))
    }

    fn headers(&mut self, bytes: &[u8]) -> Option<usize> {
        if bytes.starts_with(b"\r\n") {
            self.begin("");
            return Some(2);
        }
        match find(bytes, b"\r\n\r\n") {
            Some(end) if end <= HEADERS_BYTES_MAX => {
                self.begin(&String::from_utf8_lossy(&bytes[..end]));
                Some(end + 4)
            }
            None if bytes.len() <= HEADERS_BYTES_MAX => None,
            _ => {
                self.stop();
                None
            }
        }
    }

    /// Begins the part that has these headers.
    fn begin(&mut self, headers: &str) {
        if self.parts.len() == PARTS_MAX {
            return self.stop();
        }
        let header = |name: &str| {
            let mut lines = headers.split("\r\n").filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let parameters = header("content-disposition").and_then(|value| value.split_once(';')).map_or("", |(_, parameters)| parameters);
        let file_name = parameter(parameters, "filename").or_else(|| parameter(parameters, "filename*"));
        let content = match file_name {
            Some(name) => Content::File {
                name: shortened(name),
                r#type: shortened(header("content-type").unwrap_or_default().to_owned()),
                total: 0,
                digest: Box::default(),
            },
            None => Content::Field { value: Vec::new(), total: 0 },
        };
        let name = shortened(parameter(parameters, "name").or_else(|| parameter(parameters, "name*")).unwrap_or_default());
        self.parts.push(Part { name, content });
        self.state = State::Content;
    }

    fn stop(&mut self) {
        self.is_cut = true;
        self.state = State::Done;
    }

    fn keep(&mut self, bytes: &[u8]) {
        match self.parts.last_mut().map(|part| &mut part.content) {
            Some(Content::Field { value, total }) => {
                *total += bytes.len() as u64;
                let kept = bytes.len().min(self.room);
                value.extend_from_slice(&bytes[..kept]);
                self.room -= kept;
            }
            Some(Content::File { total, digest, .. }) => {
                *total += bytes.len() as u64;
                digest.update(bytes);
            }
            None => {}
        }
    }

    /// `read`: how many bytes were read where that is not all.
    pub(super) fn to_json(&self, redactor: &Redactor, read: Option<u64>) -> Json {
        let mut fields = Fields::new();
        for part in &self.parts {
            if let Content::Field { value, total } = &part.content {
                let (name, is_secret) = name_of(redactor, &part.name);
                fields.push(name.into(), field(redactor, is_secret, value, *total));
            }
        }
        let mut out = String::new();
        let mut object = ObjectWriter::begin(&mut out);
        fields.write(object.key("fields"));
        self.files(redactor, object.key("files"));
        if let Some(read) = read {
            object.integer("read", read);
        }
        if self.is_cut || self.state != State::Done {
            object.boolean("truncated", true);
        }
        object.end();
        Json::from_text(out)
    }

    fn files(&self, redactor: &Redactor, out: &mut String) {
        let mut files = ArrayWriter::begin(out);
        for part in &self.parts {
            let Content::File { name, r#type, total, digest } = &part.content else { continue };
            let mut file = ObjectWriter::begin(files.element());
            file.string("field", &name_of(redactor, &part.name).0);
            file.string("name", &redactor.text(name));
            file.string("type", &redactor.text(r#type));
            file.integer("bytes", *total);
            write_hex(file.key("sha256"), &digest.as_ref().clone().finalize());
            file.end();
        }
        files.end();
    }
}

/// A name as it may be shown, and whether what stands under it is secret: nobody knows what stands under no name, and a name that holds a
/// secret is none.
fn name_of(redactor: &Redactor, name: &str) -> (String, bool) {
    let shown = redactor.text(name);
    // What was cut, to within a character of the limit, may have said at its end that it is secret.
    let is_cut = name.len() > NAME_BYTES_MAX - 4;
    let is_secret = name.is_empty() || is_cut || shown != name || redactor.masks_field(name);
    (shown.into_owned(), is_secret)
}

fn field(redactor: &Redactor, is_secret: bool, value: &[u8], total: u64) -> Json {
    if value.len() as u64 == total {
        return masked_value(redactor, is_secret, &String::from_utf8_lossy(value));
    }
    let mut out = String::new();
    let mut object = ObjectWriter::begin(&mut out);
    object.boolean("truncated", true);
    object.integer("bytes", total);
    object.end();
    Json::from_text(out)
}

fn shortened(mut text: String) -> String {
    if text.len() > NAME_BYTES_MAX {
        let end = (0..=NAME_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn without_line_break(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let (&first, _) = wanted.split_first()?;
    let mut from = 0;
    while let Some(skipped) = bytes.get(from..)?.iter().position(|&byte| byte == first) {
        from += skipped;
        if bytes[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
    None
}
