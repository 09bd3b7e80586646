//! Ed25519 keys of notes, and what is done with them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Note, NoteError, NoteSignature, is_key_name, is_plain};

/// Signature type of C2SP signed-note.
const ED25519: u8 = 1;
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// The public half of a key: `NAME+KEYID+BASE64` (docs/format.md, "Checkpoint").
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

/// The secret half of a key. It is wiped from memory when dropped and never shown.
pub struct SigningKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

/// Text that is not a key, or a text that a key cannot sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not of the form of a verifier key or of a signing key.
    #[error("not a key: expected NAME+KEYID+BASE64, with PRIVATE+KEY+ before it if the key is secret")]
    Malformed,
    /// A name that is empty or holds a space, a plus or a control character.
    #[error("{name:?} cannot name a key: a name is not empty and has no spaces, plus signs or control characters")]
    Name {
        /// The name that was given.
        name: String,
    },
    /// A kind of key other than Ed25519.
    #[error("a key of type {found}; only type {ED25519}, Ed25519, is supported")]
    Type {
        /// The signature type that was found.
        found: u8,
    },
    /// The key id does not belong to the name and the key: one of them was mistyped or changed.
    #[error("the key id is {found}, but name and key give {expected}: the key is damaged")]
    Id {
        /// The id that follows from name and key.
        expected: String,
        /// The id that was found.
        found: String,
    },
    /// A text that does not end in a line feed, or holds another control character.
    #[error("only plain text that ends in a line feed can be signed")]
    Text,
}

impl VerifierKey {
    /// Name of the key; for a trail its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)`.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let digest = Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.key.as_bytes()).finalize();
        let [a, b, c, d, ..] = digest.0;
        [a, b, c, d]
    }

    /// Name and id, `NAME+KEYID`: enough to tell keys apart, for messages.
    fn label(&self) -> String {
        format!("{}+{}", self.name, hexadecimal(self.id()))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([&[ED25519], self.key.as_bytes().as_slice()].concat());
        write!(f, "{}+{encoded}", self.label())
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    /// Reads one verifier key without white space around it.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parts = KeyParts::parse(text)?;
        let key = VerifyingKey::from_bytes(&parts.key).map_err(|_| KeyError::Malformed)?;
        let verifier = Self { name: parts.name.to_owned(), key };
        parts.check_id(&verifier)?;
        Ok(verifier)
    }
}

impl SigningKey {
    /// Makes the key from its name and 32 random bytes.
    ///
    /// # Errors
    /// - [`KeyError::Name`]: no signature line could carry this name.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(seed) })
    }

    /// Name of the key; for a trail its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The secret in the form that [`FromStr`] reads, `PRIVATE+KEY+NAME+KEYID+BASE64`, for the key file and nothing else.
    #[must_use]
    pub fn secret_text(&self) -> Zeroizing<String> {
        let mut seed = Zeroizing::new([ED25519; 33]);
        seed[1..].copy_from_slice(self.key.as_bytes());
        let encoded = Zeroizing::new(STANDARD.encode(*seed));
        Zeroizing::new([PRIVATE_PREFIX, &self.verifier().label(), "+", &encoded].concat())
    }

    /// Makes a note of this text with one signature.
    ///
    /// # Errors
    /// - [`KeyError::Text`]: the text does not end in a line feed or holds a control character.
    pub fn sign(&self, text: &str) -> Result<Note, KeyError> {
        if !text.ends_with('\n') || !is_plain(text) {
            return Err(KeyError::Text);
        }
        let signature = NoteSignature {
            name: self.name.clone(),
            key_id: self.verifier().id(),
            signature: self.key.sign(text.as_bytes()).to_bytes().to_vec(),
        };
        Ok(Note { text: text.to_owned(), signatures: vec![signature] })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    /// Reads one signing key without white space around it.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parts = KeyParts::parse(text.strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::Malformed)?)?;
        let signer = Self::from_seed(parts.name, &parts.key)?;
        parts.check_id(&signer.verifier())?;
        Ok(signer)
    }
}

impl Note {
    /// Returns the text if `key` signed it.
    ///
    /// Signatures by other keys are ignored, also when they share the name or the id (C2SP signed-note, "Signatures").
    ///
    /// # Errors
    /// - [`NoteError::UnknownKey`]: no signature carries the name and id of `key`.
    /// - [`NoteError::BadSignature`]: at least one that does is false.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let id = key.id();
        let mut by_key = self.signatures.iter().filter(|by| by.name == key.name && by.key_id == id).peekable();
        if by_key.peek().is_none() {
            return Err(NoteError::UnknownKey { key: key.label() });
        }
        let signed = |by: &NoteSignature| {
            // Strict: no key and no signature that would vouch for more than one text.
            Signature::from_slice(&by.signature).is_ok_and(|signature| key.key.verify_strict(self.text.as_bytes(), &signature).is_ok())
        };
        if !by_key.all(signed) {
            return Err(NoteError::BadSignature { key: key.label() });
        }
        Ok(&self.text)
    }
}

/// `NAME+KEYID+BASE64`, taken apart: the form that both halves of a key share.
struct KeyParts<'a> {
    name: &'a str,
    id: &'a str,
    key: Zeroizing<[u8; 32]>,
}

impl<'a> KeyParts<'a> {
    fn parse(text: &'a str) -> Result<Self, KeyError> {
        // Neither name nor id holds a plus, base64 may.
        let (name, rest) = text.split_once('+').ok_or(KeyError::Malformed)?;
        let (id, encoded) = rest.split_once('+').ok_or(KeyError::Malformed)?;
        if !is_key_name(name) {
            return Err(KeyError::Name { name: name.to_owned() });
        }
        let decoded = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| KeyError::Malformed)?);
        let (&found, key) = decoded.split_first().ok_or(KeyError::Malformed)?;
        if found != ED25519 {
            return Err(KeyError::Type { found });
        }
        let key = key.try_into().map(Zeroizing::new).map_err(|_| KeyError::Malformed)?;
        Ok(Self { name, id, key })
    }

    fn check_id(&self, verifier: &VerifierKey) -> Result<(), KeyError> {
        let expected = hexadecimal(verifier.id());
        if self.id != expected {
            return Err(KeyError::Id { expected, found: self.id.to_owned() });
        }
        Ok(())
    }
}

fn hexadecimal(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}
