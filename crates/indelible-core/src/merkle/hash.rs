//! SHA-256 hashes and the three ways they are made.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, a node, a tree, or a commitment. Shown in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

/// Something that is not a hash of 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Another number of bytes.
    #[error("a hash is 32 bytes long, this one {found}")]
    Length {
        /// The length that was found.
        found: usize,
    },
    /// Text that is not canonical, padded base64 (RFC 4648 §4).
    #[error("a hash is not written in base64")]
    Base64,
    /// Text that is not 64 hexadecimal digits.
    #[error("a hash is not written in 64 hexadecimal digits")]
    Hexadecimal,
}

impl Hash {
    /// Takes 32 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash in base64, as in checkpoints.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] writes, and nothing else.
    ///
    /// # Errors
    /// - [`HashError::Base64`]: not canonical base64 with padding.
    /// - [`HashError::Length`]: base64 of something else than 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let bytes = STANDARD.decode(text).map_err(|_| HashError::Base64)?;
        Self::try_from(bytes.as_slice())
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = HashError;

    fn try_from(bytes: &[u8]) -> Result<Self, HashError> {
        bytes.try_into().map(Self).map_err(|_| HashError::Length { found: bytes.len() })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    /// Reads 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits: Vec<u32> = text.chars().map_while(|digit| digit.to_digit(16)).collect();
        if digits.len() != 64 || text.len() != 64 {
            return Err(HashError::Hexadecimal);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(pair[0] << 4 | pair[1]).map_err(|_| HashError::Hexadecimal)?;
        }
        Ok(Self(bytes))
    }
}

/// Hash of a leaf: `SHA-256(0x00 ‖ entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0x00]).chain_update(entry).finalize().into())
}

/// Hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(Sha256::new().finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_well_known_hash_of_nothing() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty_root().to_string(), text);
        assert_eq!(text.parse(), Ok(empty_root()));
        assert_eq!(text.to_uppercase().parse(), Ok(empty_root()));
    }

    #[test]
    fn base64_round_trips_and_only_its_canonical_form_is_read() {
        let text = empty_root().to_base64();
        assert_eq!(text, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(Hash::from_base64(&text), Ok(empty_root()));
        // The last digit before the padding has two unused bits: U is canonical, V the same bytes with a bit set.
        assert_eq!(Hash::from_base64(&text.replace("FU=", "FV=")), Err(HashError::Base64));
        assert_eq!(Hash::from_base64(text.trim_end_matches('=')), Err(HashError::Base64));
        assert_eq!(Hash::from_base64("AAAA"), Err(HashError::Length { found: 3 }));
    }

    #[test]
    fn hexadecimal_of_another_shape_is_refused() {
        let good = empty_root().to_string();
        for bad in ["", &good[1..], &format!("{good}0"), &good.replace('e', "g"), &format!("é{}", &good[2..])] {
            assert_eq!(bad.parse::<Hash>(), Err(HashError::Hexadecimal), "{bad}");
        }
    }
}
