//! What it was done to.

use crate::json::encoded_len;

/// What it was done to. Copied into the event, so that it can still be read when the row is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// Type, for example `clinic.Patient`.
    pub r#type: String,
    /// Identifier within the type; absent when it is not known.
    pub id: Option<String>,
    /// Name to show.
    pub label: Option<String>,
    /// Other resources that it touches; their own `related` is not encoded.
    pub related: Vec<Resource>,
}

impl Resource {
    /// One resource by type and identifier.
    #[must_use]
    pub fn new(r#type: impl Into<String>, id: impl Into<String>) -> Self {
        Self { r#type: r#type.into(), id: Some(id.into()), ..Self::default() }
    }

    pub(super) fn size_hint(&self) -> usize {
        const NAMES: usize = 32;
        let own = NAMES + encoded_len(&self.r#type) + super::texts([&self.id, &self.label]);
        own + self.related.iter().map(Self::size_hint).sum::<usize>()
    }
}
