//! Words of a text, as free text is searched.

use std::iter;

/// The words of a text: its longest stretches of letters and digits, in lower case.
///
/// Index, evaluator and grammar all cut texts by this one rule.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    // Character by character, since the lower case of a whole text depends on what stands around a letter.
    let mut characters = text.chars().flat_map(char::to_lowercase);
    iter::from_fn(move || {
        let first = characters.by_ref().find(|character| character.is_alphanumeric())?;
        let rest = characters.by_ref().take_while(|character| character.is_alphanumeric());
        Some(iter::once(first).chain(rest).collect())
    })
}

/// One or more words that occur one after the other; the first may end, and the last begin, a longer word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    words: Vec<String>,
    open_start: bool,
    open_end: bool,
}

impl Words {
    /// Cuts a text into words; `open_start` and `open_end` say whether a `*` stands before and behind it. A text without a
    /// letter or digit has none.
    #[must_use]
    pub fn parse(text: &str, open_start: bool, open_end: bool) -> Option<Self> {
        let words: Vec<_> = words(text).collect();
        (!words.is_empty()).then_some(Self { words, open_start, open_end })
    }

    /// The words, at least one, in lower case.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.words
    }

    /// Whether the first word may be the end of a longer one.
    #[must_use]
    pub const fn is_open_at_start(&self) -> bool {
        self.open_start
    }

    /// Whether the last word may be the beginning of a longer one.
    #[must_use]
    pub const fn is_open_at_end(&self) -> bool {
        self.open_end
    }

    /// The words that a matching text contains whole: all but those at an open end.
    #[must_use]
    pub fn whole(&self) -> &[String] {
        let end = self.words.len() - usize::from(self.open_end);
        self.words[..end].get(usize::from(self.open_start)..).unwrap_or_default()
    }

    /// Whether the words occur in a text, one after the other.
    #[must_use]
    pub fn occur_in(&self, text: &str) -> bool {
        let found: Vec<_> = words(text).collect();
        found.windows(self.words.len()).any(|window| self.are(window))
    }

    fn are(&self, found: &[String]) -> bool {
        let last = self.words.len() - 1;
        self.words.iter().zip(found).enumerate().all(|(index, (word, found))| {
            match (self.open_start && index == 0, self.open_end && index == last) {
                (false, false) => found == word,
                (false, true) => found.starts_with(word.as_str()),
                (true, false) => found.ends_with(word.as_str()),
                (true, true) => found.contains(word.as_str()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_everything_that_is_no_letter_or_digit() {
        let cut = |text| words(text).collect::<Vec<_>>();
        assert_eq!(cut("Dr. Zoë O'Neil, ticket-42!"), ["dr", "zoë", "o", "neil", "ticket", "42"]);
        assert_eq!(cut(" … "), Vec::<String>::new());
        assert_eq!(cut("İ東京ΑΣ"), ["i", "東京ασ"]);
    }

    #[test]
    fn words_match_in_order_and_open_ends_match_parts() {
        let occurs = |text, open_start, open_end, within| Words::parse(text, open_start, open_end).unwrap().occur_in(within);
        assert!(occurs("ticket 42", false, false, "see Ticket-42."));
        assert!(!occurs("42 ticket", false, false, "ticket 42"));
        assert!(!occurs("tick", false, false, "ticket"));
        assert!(occurs("tick", false, true, "a ticket") && !occurs("cket", false, true, "a ticket"));
        assert!(occurs("cket", true, false, "a ticket") && !occurs("tick", true, false, "a ticket"));
        assert!(occurs("icke", true, true, "a ticket"));
        assert!(occurs("ket 4", true, true, "ticket 42") && !occurs("ket 4", true, true, "ticket 7 42"));
        assert!(!occurs("a b", false, false, "a"));
    }

    #[test]
    fn only_words_inside_are_whole() {
        let whole = |text, open_start, open_end| Words::parse(text, open_start, open_end).unwrap().whole().to_vec();
        assert_eq!(whole("a b c", true, true), ["b"]);
        assert_eq!(whole("a", true, true), Vec::<String>::new());
        assert_eq!(whole("a b", false, true), ["a"]);
    }
}
