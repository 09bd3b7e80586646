//! Secrets in free text: one pass over the bytes that stops where a secret could begin.

use std::borrow::Cow;
use std::ops::Range;

use super::detectors::Detector;
use super::pairs::{Pairs, Separator, name_before, value_after};
use super::{
    MASK, Redactor, api_token, block, card, credential, jwt, oauth, password_hash, pem, percent, reset_token, row_values, signed, table,
    url, user_option, words,
};

/// What may stand at a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Nothing,
    Digit,
    /// The `J` of `eyJ`: rarer than the letters before it.
    Token,
    /// The `b` of `bearer` and `basic`.
    Scheme,
    Dash,
    Colon,
    Equals,
    /// The `%` of an encoded `=` or `:`.
    Percent,
    /// The end of a tag.
    Tag,
    /// A bracket before a pair.
    Bracket,
    /// The `_`, `A` or `G` in the prefix of a token.
    Prefix,
    Dollar,
}

static TRIGGERS: [Trigger; 256] = {
    let mut triggers = [Trigger::Nothing; 256];
    let mut byte = 0;
    while byte < 256 {
        triggers[byte] = match byte as u8 {
            b'0'..=b'9' => Trigger::Digit,
            b'J' => Trigger::Token,
            b'b' | b'B' => Trigger::Scheme,
            b'-' => Trigger::Dash,
            b':' => Trigger::Colon,
            b'=' => Trigger::Equals,
            b'%' => Trigger::Percent,
            b'>' => Trigger::Tag,
            b'(' | b'[' => Trigger::Bracket,
            b'_' | b'A' | b'G' => Trigger::Prefix,
            b'$' => Trigger::Dollar,
            _ => Trigger::Nothing,
        };
        byte += 1;
    }
    triggers
};

/// Whether a secret can be recognised at this byte.
pub(super) const fn is_trigger(byte: u8) -> bool {
    !matches!(TRIGGERS[byte as usize], Trigger::Nothing)
}

/// Shortest secret at a digit, a `J` or a dash but for options (`--pin 1`), in bytes: a card; tokens and keys are longer.
pub(super) const LONG_SECRET_BYTES_MIN: usize = card::CARD_DIGITS_MIN;

/// Whether a closer look at the triggers could find anything. A quick pass that turns away prose with dates, numbers and dashes in it.
///
/// Each arm is what [`Scan::look`] cannot do without at such a byte. With `LINES` a text of several lines may, since it can be a table.
fn may_hold_secret<const LINES: bool>(text: &[u8]) -> bool {
    let may_begin = |at: usize| (LINES && text[at] == b'\n') || may_begin_secret(text, at);
    let is_looked_at = |&at: &usize| LOOKS[usize::from(text[at])] == look::CLOSER;
    let (eights, rest) = text.as_chunks::<8>();
    let mut digits = 0;
    // Eight bytes in one step: most of them need no closer look, and the sum of their looks tells how many are digits.
    for (place, eight) in eights.iter().enumerate() {
        let looks = eight.iter().fold(0, |looks, &byte| looks + LOOKS[usize::from(byte)]);
        digits += usize::from(looks & look::DIGITS);
        if looks >= look::CLOSER && (place * 8..place * 8 + 8).filter(is_looked_at).any(may_begin) {
            return true;
        }
    }
    digits += rest.iter().filter(|byte| byte.is_ascii_digit()).count();
    digits >= card::CARD_DIGITS_MIN || (text.len() - rest.len()..text.len()).filter(is_looked_at).any(may_begin)
}

fn may_begin_secret(text: &[u8], at: usize) -> bool {
    match TRIGGERS[usize::from(text[at])] {
        Trigger::Nothing | Trigger::Digit => false,
        Trigger::Token => at > 0 && text[at - 1] == b'y',
        Trigger::Scheme => credential::may_begin_scheme(&text[at + 1..]),
        Trigger::Dash => {
            text.get(at + 1) == Some(&b'-')
                || api_token::may_be_prefix(text, at)
                || user_option::may_begin(text, at)
                || reset_token::may_hold(text, at)
        }
        Trigger::Prefix => api_token::may_be_prefix(text, at),
        Trigger::Colon | Trigger::Equals | Trigger::Percent | Trigger::Tag | Trigger::Bracket | Trigger::Dollar => true,
    }
}

/// How [`may_hold_secret`] looks at a byte: most are passed over, digits only counted.
mod look {
    pub(super) const DIGIT: u8 = 1;
    /// The digits in the sum of eight looks.
    pub(super) const DIGITS: u8 = 15;
    pub(super) const CLOSER: u8 = 16;
}

static LOOKS: [u8; 256] = {
    let mut looks = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        looks[byte] = match TRIGGERS[byte] {
            Trigger::Nothing => 0,
            Trigger::Digit => look::DIGIT,
            _ => look::CLOSER,
        };
        byte += 1;
    }
    looks[b'\n' as usize] = look::CLOSER;
    looks
};

/// How often a text is looked at while there is something to mask.
const PASSES_MAX: usize = 4;

/// Masks secrets in `text`; borrowed when there are none.
///
/// A mask can join what stood apart: once a key with blanks in it is gone, the URL around it may have a password. So what has
/// been masked is looked at again, until nothing is found.
pub(super) fn redact<'t>(redactor: &Redactor, text: &'t str, pairs: Pairs) -> Cow<'t, str> {
    if !may_hold_secret::<true>(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let table = if text.as_bytes().contains(&b'\n') { table::redact(redactor, text) } else { None };
    match table {
        None => redact_lines(redactor, text, pairs),
        Some(masked) => Cow::Owned(redact_lines(redactor, &masked, pairs).into_owned()),
    }
}

fn redact_lines<'t>(redactor: &Redactor, text: &'t str, pairs: Pairs) -> Cow<'t, str> {
    if !may_hold_secret::<false>(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    repeated(text, |text| {
        let Scanned { masked, is_encoded } = scan(redactor, text, pairs);
        // Only what is still there can be encoded.
        masked.or_else(|| if is_encoded { words::redact(redactor, text, pairs) } else { None })
    })
}

/// The same for text that is decoded already, or will be: it is taken as it stands.
pub(super) fn redact_literally<'t>(redactor: &Redactor, text: &'t str) -> Cow<'t, str> {
    repeated(text, |text| scan(redactor, text, Pairs::InProse).masked)
}

fn repeated(text: &str, mask: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..PASSES_MAX {
        let Some(masked) = mask(&text) else { break };
        text = Cow::Owned(masked);
    }
    text
}

/// What one look at a text found.
pub(super) struct Scanned {
    /// The text without its secrets; `None`: there is nothing to mask.
    pub(super) masked: Option<String>,
    /// Whether bytes of it are percent-encoded.
    pub(super) is_encoded: bool,
}

/// Looks at a text once, as it stands.
pub(super) fn scan(redactor: &Redactor, text: &str, pairs: Pairs) -> Scanned {
    let mut scan = Scan { redactor, text, pairs, out: String::new(), copied: 0, no_token_before: 0, password: 0..0, is_encoded: false };
    scan.run(0, text.len());
    let is_encoded = scan.is_encoded;
    Scanned { masked: scan.finish(), is_encoded }
}

struct Scan<'r, 't> {
    redactor: &'r Redactor,
    text: &'t str,
    pairs: Pairs,
    /// The text up to `copied`, masked.
    out: String,
    copied: usize,
    /// Up to here it is known that no token begins, so that no part is measured twice.
    no_token_before: usize,
    /// The password of the URL that the scan is in.
    password: Range<usize>,
    /// Whether a percent-encoded byte was seen.
    is_encoded: bool,
}

impl Scan<'_, '_> {
    /// Looks at every trigger from `at` on that stands before `end`; returns where to go on, which may be behind `end`.
    fn run(&mut self, mut at: usize, end: usize) -> usize {
        let is_trigger = |byte: &u8| TRIGGERS[usize::from(*byte)] != Trigger::Nothing;
        while let Some(skipped) = self.text.as_bytes().get(at..end).and_then(|bytes| bytes.iter().position(is_trigger)) {
            at = self.look(at + skipped);
        }
        at
    }

    /// Looks at a byte that is a trigger; returns where to go on.
    fn look(&mut self, at: usize) -> usize {
        let found = match TRIGGERS[usize::from(self.text.as_bytes()[at])] {
            Trigger::Nothing => None,
            Trigger::Digit => return self.digits(at),
            Trigger::Token => self.token(at),
            Trigger::Scheme => credential::credential_at(self.text.as_bytes(), at, self.redactor.detectors),
            Trigger::Dash => self.dash(at),
            Trigger::Colon => self.colon(at),
            Trigger::Equals => {
                let named = self.redactor.part(self.text, at).or_else(|| self.redactor.attribute(self.text, at)).or_else(|| self.pair(at));
                named.or_else(|| self.redactor.key_values(self.text, at)).or_else(|| oauth::code_at(self.text.as_bytes(), at))
            }
            Trigger::Percent => {
                self.is_encoded |= percent::is_triple(&self.text.as_bytes()[at..]);
                self.pair(at)
            }
            Trigger::Tag => self.redactor.element(self.text, at),
            Trigger::Bracket => self.redactor.second_of_pair(self.text, at).or_else(|| Redactor::failing_row(self.text.as_bytes(), at)),
            Trigger::Prefix => self.api_token(at),
            Trigger::Dollar => self.password_hash(at),
        };
        found.map_or(at + 1, |secret| self.mask_beyond(at, secret))
    }

    fn has(&self, detector: Detector) -> bool {
        self.redactor.detectors.has(detector)
    }

    fn digits(&mut self, at: usize) -> usize {
        let run = card::digit_run(self.text.as_bytes(), at, self.copied);
        match run.card {
            Some(card) if self.has(Detector::Card) => self.mask(card),
            _ => match self.reset_token(at..run.end) {
                Some(token) => self.mask(token),
                None => run.end,
            },
        }
    }

    /// A token whose dash stands in a run of digits, which the scan would pass over with it.
    fn reset_token(&self, run: Range<usize>) -> Option<Range<usize>> {
        let text = self.text.as_bytes();
        if text.len() < reset_token::PATH_BYTES_MIN {
            return None;
        }
        let dash = run.start + text[run].iter().position(|&byte| byte == b'-')?;
        if !reset_token::may_hold(text, dash) || !self.has(Detector::ApiToken) {
            return None;
        }
        self.unmasked(reset_token::token_at(text, dash)?)
    }

    fn token(&mut self, at: usize) -> Option<Range<usize>> {
        let start = at.checked_sub(2).filter(|&start| start >= self.no_token_before.max(self.copied))?;
        if !self.text.as_bytes()[start..].starts_with(b"eyJ") || !self.has(Detector::Jwt) {
            return None;
        }
        match jwt::token_at(self.text.as_bytes(), start) {
            Ok(token) => Some(token),
            Err(end) => {
                self.no_token_before = end;
                None
            }
        }
    }

    fn dash(&self, at: usize) -> Option<Range<usize>> {
        let key = if self.has(Detector::PrivateKey) { pem::private_key_at(self.text.as_bytes(), at) } else { None };
        key.or_else(|| self.api_token(at))
            .or_else(|| self.redactor.option(self.text, at))
            .or_else(|| user_option::password_at(self.text.as_bytes(), at))
    }

    fn api_token(&self, at: usize) -> Option<Range<usize>> {
        if !self.has(Detector::ApiToken) {
            return None;
        }
        let text = self.text.as_bytes();
        self.unmasked(api_token::token_at(text, at).or_else(|| reset_token::token_at(text, at))?)
    }

    fn password_hash(&self, at: usize) -> Option<Range<usize>> {
        if self.has(Detector::PasswordHash) { self.unmasked(password_hash::hash_at(self.text.as_bytes(), at)?) } else { None }
    }

    /// What was recognised behind its first byte counts only if nothing of it is masked yet.
    fn unmasked(&self, secret: Range<usize>) -> Option<Range<usize>> {
        (secret.start >= self.copied).then_some(secret)
    }

    /// A colon begins a password that was seen at `://`, or a URL, or a value.
    fn colon(&mut self, at: usize) -> Option<Range<usize>> {
        if at + 1 == self.password.start {
            return Some(self.password.clone());
        }
        if !self.text.as_bytes()[at..].starts_with(b"://") {
            return self.signed(at).or_else(|| self.pair(at)).or_else(|| row_values::of_detail(self.text, at));
        }
        // The password is masked when the scan gets there: the user name is looked at too.
        if self.has(Detector::UrlPassword) {
            self.password = url::password_at(self.text.as_bytes(), at).unwrap_or(0..0);
        }
        if self.has(Detector::ApiToken) { api_token::webhook_at(self.text.as_bytes(), at) } else { None }
    }

    /// A value with its signature, or the token in a path of Telegram's, which goes on behind the colon.
    fn signed(&self, at: usize) -> Option<Range<usize>> {
        if !self.has(Detector::ApiToken) {
            return None;
        }
        let text = self.text.as_bytes();
        self.unmasked(signed::value_at(text, at).or_else(|| api_token::bot_at(text, at))?)
    }

    fn pair(&self, at: usize) -> Option<Range<usize>> {
        let separator = Separator::at(self.text.as_bytes(), at)?;
        let name = name_before(self.text, at)?;
        if !name.readings().any(|name| self.redactor.masks_field(name)) {
            return None;
        }
        let text = self.text.as_bytes();
        let is_bare = separator == Separator::Colon && !name.is_quoted;
        let is_prose = is_bare && self.pairs == Pairs::InProse;
        let value = value_after(text, at, if is_prose { Separator::ColonOfProse } else { separator });
        let in_block = if is_bare { block::value_at(text, at) } else { None };
        // The value in quotes or brackets is exact, and may have more lines than this one.
        match (value, in_block) {
            (Some(value), Some(line)) if value.start <= line.start && value.end < line.end => Some(value.start..line.end),
            (None, Some(line)) => Some(line),
            (value, _) => value,
        }
    }

    /// Masks a secret that was recognised at `at`, and before it what stands between: the headers of a part, a name in quotes.
    fn mask_beyond(&mut self, at: usize, secret: Range<usize>) -> usize {
        self.run(at + 1, secret.start);
        if secret.start < self.copied {
            // The last mask before it reaches into it.
            self.copied = self.copied.max(secret.end);
            return self.copied;
        }
        self.mask(secret)
    }

    /// Replaces a secret; returns where it ends.
    fn mask(&mut self, secret: Range<usize>) -> usize {
        if let Some(end) = self.masked_before(&secret) {
            return end;
        }
        self.out.push_str(&self.text[self.copied..secret.start]);
        self.out.push_str(MASK);
        self.copied = secret.end;
        secret.end
    }

    /// Where the mask ends that stands in place of this secret already. A bare value ends before a bracket, so that the last byte
    /// of a mask may not seem to belong to it.
    fn masked_before(&self, secret: &Range<usize>) -> Option<usize> {
        let end = secret.start + MASK.len();
        (self.text[secret.start..].starts_with(MASK) && (end - 1..=end).contains(&secret.end)).then_some(end)
    }

    fn finish(mut self) -> Option<String> {
        if self.copied == 0 {
            return None;
        }
        self.out.push_str(&self.text[self.copied..]);
        Some(self.out)
    }
}
