//! Which names are sensitive: `api_key`, `apiKey`, `API-KEY` and `X-Api-Key` are one name.
//!
//! A name is split into words at everything that is not a letter or a digit and at the boundaries of camelCase and
//! ACRONYMWord; words are lower-cased and lose their trailing digits. It is sensitive when neighbouring words, joined,
//! are a listed name, or when a word ends in one that is never innocent at the end of a word (`userpassword`, but not
//! `secretary`). A name that says something about a secret (`has_password`, `token_count`) is innocent.

use std::borrow::Cow;

use super::builtin::{ANYWHERE, ENDINGS, FACT_ENDS, FACT_STARTS, INSIDE, NO_PLURAL, WHOLE};
use super::sieve::Sieve;

/// Longest name that is split without touching the heap, in bytes.
const SHORT_NAME_BYTES_MAX: usize = 64;

/// Names to mask.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// What an application added; no word around it makes it innocent.
    own: NameSet,
    anywhere: NameSet,
    whole: NameSet,
    sieve: Sieve,
}

impl Names {
    /// The built-in names and `more`; those of `more` match anywhere in a name.
    pub(super) fn with<'a>(more: impl IntoIterator<Item = &'a str>) -> Self {
        let own = NameSet::new(more.into_iter());
        let plurals: Vec<String> = ANYWHERE.iter().filter(|name| !NO_PLURAL.contains(name)).map(|name| format!("{name}s")).collect();
        let anywhere = NameSet::new(ANYWHERE.iter().copied().chain(plurals.iter().map(String::as_str)));
        let whole = NameSet::new(WHOLE.iter().copied());
        let strong = ENDINGS.iter().chain(INSIDE).map(|word| word.as_bytes());
        let sieve = Sieve::of(own.iter().chain(anywhere.iter()).chain(strong), whole.iter());
        Self { own, anywhere, whole, sieve }
    }

    /// Whether the value under this name must be masked.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.sieve.may_hold_listed(name.as_bytes()) && split(name, |words| self.lists(words))
    }

    fn lists(&self, words: &Words<'_>) -> bool {
        let is_listed = self.whole.contains(words.text) || self.anywhere.contains_run_of(words) || has_strong_word(words);
        (is_listed && !is_fact(words)) || self.own.contains_run_of(words)
    }
}

/// Whether a name tells something about a secret instead of holding it.
fn is_fact(words: &Words<'_>) -> bool {
    let mut ends = words.ends.iter().rev().skip(1).map(|&end| usize::from(end));
    let (before_last, before_both) = (ends.next(), ends.next());
    let Some(before_last) = before_last else { return false };
    let is_end = |from: usize| FACT_ENDS.iter().any(|end| end.as_bytes() == &words.text[from..]);
    let first = &words.text[..usize::from(words.ends[0])];
    is_end(before_last) || before_both.is_some_and(is_end) || FACT_STARTS.iter().any(|start| start.as_bytes() == first)
}

/// Whether a word, or all words up to it, end in a strong word.
fn has_strong_word(words: &Words<'_>) -> bool {
    let mut from = 0;
    words.ends.iter().any(|&end| {
        let end = usize::from(end);
        let word = &words.text[from..end];
        from = end;
        let ending = &words.text[..end];
        (ENDING_PAIRS.may_end(ending) && ENDINGS.iter().any(|strong| ending.ends_with(strong.as_bytes())))
            || (word.len() > INSIDE_BYTES_MIN && INSIDE.iter().any(|strong| occurs_in(word, strong.as_bytes())))
    })
}

const INSIDE_BYTES_MIN: usize = 6;

fn occurs_in(word: &[u8], part: &[u8]) -> bool {
    word.windows(part.len()).any(|window| window == part)
}

/// Joined, lower-case names, with a first look that turns most words away without a search.
#[derive(Debug, Clone)]
struct NameSet {
    /// Sorted.
    names: Vec<Box<[u8]>>,
    /// For the low five bits of a first byte: a bit for each length (modulo 64) that occurs.
    lengths: [u64; 32],
    longest: usize,
}

impl NameSet {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut names: Vec<Box<[u8]>> = names.map(|name| split(name, |words| Box::from(words.text))).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
        let mut lengths = [0; 32];
        for name in &names {
            lengths[usize::from(name[0] & 31)] |= 1 << (name.len() & 63);
        }
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        Self { names, lengths, longest }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether neighbouring words, joined, are in the set.
    fn contains_run_of(&self, words: &Words<'_>) -> bool {
        let mut from = 0;
        for (first, &end_of_first) in words.ends.iter().enumerate() {
            for &end in &words.ends[first..] {
                let run = &words.text[from..usize::from(end)];
                if run.len() > self.longest {
                    break;
                }
                if self.contains(run) {
                    return true;
                }
            }
            from = usize::from(end_of_first);
        }
        false
    }

    fn contains(&self, word: &[u8]) -> bool {
        let Some(first) = word.first() else { return false };
        self.lengths[usize::from(first & 31)] >> (word.len() & 63) & 1 == 1
            && self.names.binary_search_by(|name| (**name).cmp(word)).is_ok()
    }
}

/// The pairs of letters in which a strong word can end, as one bit each.
struct Pairs([u32; 32]);

static ENDING_PAIRS: Pairs = Pairs::of(ENDINGS);

impl Pairs {
    const fn of(words: &[&str]) -> Self {
        let mut bits = [0_u32; 32];
        let mut at = 0;
        while at < words.len() {
            let word = words[at].as_bytes();
            bits[(word[word.len() - 2] & 31) as usize] |= 1 << (word[word.len() - 1] & 31);
            at += 1;
        }
        Self(bits)
    }

    fn may_end(&self, text: &[u8]) -> bool {
        let Some([before, last]) = text.last_chunk() else { return false };
        self.0[usize::from(before & 31)] >> (last & 31) & 1 == 1
    }
}

/// A name in lower case without separators, and where its words end.
struct Words<'a> {
    text: &'a [u8],
    ends: &'a [u16],
}

/// Splits `name` and hands its words over.
fn split<T>(name: &str, use_words: impl FnOnce(&Words<'_>) -> T) -> T {
    let name = cut(name);
    let name = if name.is_ascii() { Cow::Borrowed(name) } else { Cow::Owned(lower_beyond_ascii(name)) };
    if name.len() <= SHORT_NAME_BYTES_MAX {
        use_words(&split_into(name.as_bytes(), &mut [0; SHORT_NAME_BYTES_MAX], &mut [0; SHORT_NAME_BYTES_MAX]))
    } else {
        use_words(&split_into(name.as_bytes(), &mut vec![0; name.len()], &mut vec![0; name.len()]))
    }
}

/// Longest part of a name that is looked at, in bytes; a longer one is judged by its end, where the word that counts stands.
const NAME_BYTES_MAX: usize = 4096;

fn cut(name: &str) -> &str {
    let mut from = name.len().saturating_sub(NAME_BYTES_MAX);
    while !name.is_char_boundary(from) {
        from += 1;
    }
    &name[from..]
}

/// Lower-cases what ASCII rules cannot; what is no letter or digit becomes a separator.
fn lower_beyond_ascii(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        let character = narrow(character);
        if character.is_ascii() {
            out.push(character);
        } else if character.is_alphanumeric() {
            out.extend(character.to_lowercase());
        } else {
            out.push('_');
        }
    }
    out
}

/// The ASCII character that a full-width one looks like; any other as it is.
fn narrow(character: char) -> char {
    const FULL_WIDTH: std::ops::RangeInclusive<char> = '\u{ff01}'..='\u{ff5e}';
    const DISTANCE: u32 = '\u{ff01}' as u32 - '!' as u32;
    if !FULL_WIDTH.contains(&character) {
        return character;
    }
    char::from_u32(character as u32 - DISTANCE).unwrap_or(character)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Separator,
    Lower,
    Upper,
    Digit,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Separator; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | 0x80.. => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b'0'..=b'9' => Class::Digit,
            _ => Class::Separator,
        };
        byte += 1;
    }
    classes
};

/// Both buffers have at least the length of `name`.
fn split_into<'a>(name: &[u8], text: &'a mut [u8], ends: &'a mut [u16]) -> Words<'a> {
    let mut builder = WordBuilder { text, ends, length: 0, words: 0, word_start: 0 };
    let mut previous = Class::Separator;
    for (at, &byte) in name.iter().enumerate() {
        let class = CLASSES[usize::from(byte)];
        if starts_word(previous, class, name.get(at + 1)) {
            builder.end_word();
        }
        if class != Class::Separator {
            builder.text[builder.length] = byte.to_ascii_lowercase();
            builder.length += 1;
        }
        previous = class;
    }
    builder.end_word();
    Words { text: &builder.text[..builder.length], ends: &builder.ends[..builder.words] }
}

fn starts_word(previous: Class, class: Class, next: Option<&u8>) -> bool {
    match (previous, class) {
        (_, Class::Separator) | (Class::Lower | Class::Digit, Class::Upper) => true,
        (Class::Upper, Class::Upper) => next.is_some_and(|&byte| CLASSES[usize::from(byte)] == Class::Lower),
        _ => false,
    }
}

struct WordBuilder<'a> {
    text: &'a mut [u8],
    ends: &'a mut [u16],
    length: usize,
    words: usize,
    word_start: usize,
}

impl WordBuilder<'_> {
    fn end_word(&mut self) {
        while self.length > self.word_start && self.text[self.length - 1].is_ascii_digit() {
            self.length -= 1;
        }
        if self.length > self.word_start {
            // NAME_BYTES_MAX keeps every length within 16 bits, also where lower-casing made the text longer.
            self.ends[self.words] = u16::try_from(self.length).unwrap_or(u16::MAX);
            self.words += 1;
            self.word_start = self.length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str) -> Vec<String> {
        split(name, |words| {
            let mut from = 0;
            words
                .ends
                .iter()
                .map(|&end| {
                    let word = String::from_utf8(words.text[from..usize::from(end)].to_vec()).unwrap();
                    from = usize::from(end);
                    word
                })
                .collect()
        })
    }

    #[test]
    fn names_are_split_at_separators_and_at_changes_of_case() {
        assert_eq!(words("api_key"), ["api", "key"]);
        assert_eq!(words("XApiKey2"), ["x", "api", "key"]);
        assert_eq!(words("HTTPServer-v2.Token"), ["http", "server", "v", "token"]);
        assert_eq!(words("user[password]"), ["user", "password"]);
        assert_eq!(words("ÜberGröße"), ["über", "größe"]);
        assert_eq!(words("_42_"), [""; 0]);
    }

    #[test]
    fn long_names_are_judged_by_their_end() {
        let names = Names::with([]);
        assert!(names.contains(&format!("{}_password", "é".repeat(1_000_000))));
        assert!(names.contains(&format!("{}password", "x".repeat(1_000_000))));
        assert!(!names.contains(&"a_".repeat(1_000_000)));
        // Without the letter that the cut goes through it says something about a password.
        let fact = format!("is_{}_password", "x".repeat(NAME_BYTES_MAX - 1 - "is__password".len()));
        assert!(!names.contains(&format!("é{fact}")));
        assert!(names.contains(&format!("é{}", &fact[1..])));
    }

    #[test]
    fn endings_are_compared_only_where_the_last_letters_are_those_of_one() {
        for word in ENDINGS {
            assert!(ENDING_PAIRS.may_end(word.as_bytes()), "{word}");
        }
        for word in ["", "d", "email", "status", "name", "created", "price"] {
            assert!(!ENDING_PAIRS.may_end(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn own_names_join_the_list() {
        let names = Names::with(["birthDate", "größe", ""]);
        assert!(names.contains("patient_birth_date"));
        assert!(names.contains("GRÖßE"));
        assert!(!names.contains("birth"));
        assert!(!names.contains(""));
    }
}
