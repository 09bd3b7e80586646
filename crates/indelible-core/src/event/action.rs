//! Names of actions: `noun.verb`, lower case, low cardinality.

use std::fmt;
use std::sync::Arc;

const LENGTH_MAX: usize = 100;

/// What was done, as `noun.verb`: `patient.update`, `auth.login`.
///
/// Made from any text: letters become lower case, everything that is not a letter, digit or dot becomes one underscore. A name without a
/// noun gets the noun `app`; an empty one is `app.unnamed`. At most 100 bytes are kept. Cloning copies no text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Action(Arc<str>);

impl Action {
    /// Normalises `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if is_normal(text) {
            return Self(text.into());
        }
        let parts: Vec<String> = text.split('.').map(normalise_part).filter(|part| !part.is_empty()).collect();
        let mut name = match parts.as_slice() {
            [] => "app.unnamed".to_owned(),
            [verb] => format!("app.{verb}"),
            parts => parts.join("."),
        };
        name.truncate(LENGTH_MAX);
        let kept = name.trim_end_matches(['.', '_']).len();
        name.truncate(kept);
        // Cutting may have removed the verb of a very long noun.
        Self(if name.contains('.') { name.into() } else { format!("app.{}", &name[..name.len().min(LENGTH_MAX - 4)]).into() })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first dot.
    #[must_use]
    pub fn noun(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

fn is_normal(text: &str) -> bool {
    let mut parts = 0;
    for part in text.split('.') {
        if part.is_empty() || !part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            return false;
        }
        parts += 1;
    }
    parts > 1 && text.len() <= LENGTH_MAX
}

fn normalise_part(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for character in part.chars() {
        if character.is_ascii_alphanumeric() {
            out.push(character.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn free_text_is_normalised() {
        for (text, action) in [
            ("patient.update", "patient.update"),
            ("Invoice.Approve Now!", "invoice.approve_now"),
            ("LOGIN", "app.login"),
            ("a..b", "a.b"),
            ("", "app.unnamed"),
            ("...", "app.unnamed"),
            ("été.été", "t.t"),
        ] {
            assert_eq!(Action::new(text).as_str(), action, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_gives_a_normal_name_and_normalising_again_changes_nothing(text in any::<String>()) {
            let action = Action::new(&text);
            prop_assert!(is_normal(action.as_str()), "{}", action);
            prop_assert_eq!(Action::new(action.as_str()), action);
        }

        #[test]
        fn long_names_are_cut_to_the_limit(text in "[a-z.]{90,400}") {
            prop_assert!(is_normal(Action::new(&text).as_str()));
        }
    }
}
