//! Signed notes (C2SP signed-note): text with Ed25519 signatures that a stranger's tools can check.
//!
//! Reading a note proves nothing. Its text is handed out by [`Note::verify`] alone, once a known key has vouched for it.

#[cfg(feature = "signing")]
mod key;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[cfg(feature = "signing")]
pub use key::{KeyError, SigningKey, VerifierKey};

const SIGNATURE_PREFIX: &str = "— ";

/// Text that claims to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line of a [`Note`], not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// Bytes that are not a signed note, or a note that a key does not vouch for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than [`Note::BYTES_MAX`].
    #[error("the note is longer than {} bytes", Note::BYTES_MAX)]
    TooLong,
    /// Not UTF-8, or with a control character other than the line feed.
    #[error("the note is not plain text: it contains a control character or is not UTF-8")]
    NotText,
    /// Without the empty line that ends the text, or cut off before the last line feed.
    #[error("the note is incomplete: its text must end in a line feed, followed by an empty line and whole signature lines")]
    Incomplete,
    /// A line after the text that is not a signature, counted from 1.
    #[error("signature line {line} of the note is malformed")]
    Signature {
        /// Number of the signature line, from 1.
        line: usize,
    },
    /// More than [`Note::SIGNATURES_MAX`] signatures.
    #[error("the note has more than {} signatures", Note::SIGNATURES_MAX)]
    TooManySignatures,
    /// None of the signatures is by the key.
    #[error("the note is not signed by {key}; it belongs to another key")]
    UnknownKey {
        /// Name and id of the key that was trusted.
        key: String,
    },
    /// A signature under the name and id of the key is false: the text or the signature was changed.
    #[error("the signature of {key} does not match the note; it was changed after signing")]
    BadSignature {
        /// Name and id of the key that was trusted.
        key: String,
    },
}

impl Note {
    /// The longest note that is read, in bytes.
    pub const BYTES_MAX: usize = 1 << 20;
    /// The most signatures that are read; the specification asks for at least 16.
    pub const SIGNATURES_MAX: usize = 100;

    /// Reads a note. Nothing is verified yet.
    ///
    /// # Errors
    /// - [`NoteError::TooLong`], [`NoteError::TooManySignatures`]: out of bounds.
    /// - [`NoteError::NotText`], [`NoteError::Incomplete`], [`NoteError::Signature`]: not the form of C2SP signed-note, "Format".
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if !is_plain(note) {
            return Err(NoteError::NotText);
        }
        // The text may hold empty lines of its own; only the last one ends it.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Incomplete)?;
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Incomplete)?;
        Ok(Self { text: format!("{text}\n"), signatures: parse_signatures(signatures)? })
    }

    /// The text, which anybody may have written. Use [`Note::verify`] for text to rely on.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Note {
    /// Writes the note as it is stored and sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, key_id, signature } in &self.signatures {
            writeln!(f, "{SIGNATURE_PREFIX}{name} {}", STANDARD.encode([key_id.as_slice(), signature].concat()))?;
        }
        Ok(())
    }
}

fn parse_signatures(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    if lines.split('\n').nth(Note::SIGNATURES_MAX).is_some() {
        return Err(NoteError::TooManySignatures);
    }
    let numbered = lines.split('\n').zip(1..);
    numbered.map(|(line, number)| parse_signature(line).ok_or(NoteError::Signature { line: number })).collect()
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (key_id, signature) = bytes.split_first_chunk()?;
    if !is_key_name(name) || signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
}

/// Whether `text` may stand in a note: no control characters (below U+0020) but the line feed.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' || byte == b'\n')
}

/// Whether `name` can name a key: not empty, without Unicode spaces, plus and control characters.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}
