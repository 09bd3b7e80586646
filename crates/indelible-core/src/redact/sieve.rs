//! Turns most innocent names away before they are split into words.
//!
//! However a sensitive name is written, its letters hold those of a listed name in a row. So a name is innocent when none
//! of its runs of four letters is the first four of a listed name.

/// Letters that are looked at together.
const LETTERS: u32 = 4;
const LETTER_BITS: u32 = 5;
const SLOT_BITS: u32 = 15;

/// A set of runs of four letters; it may hold more than was put in, never less.
#[derive(Debug, Clone)]
pub(super) struct Sieve {
    bits: Box<[u64]>,
}

/// The last letters seen, five bits each.
#[derive(Debug, Clone, Copy, Default)]
struct Run(u32);

impl Run {
    fn then(self, letter: u8) -> Self {
        Self((self.0 << LETTER_BITS | u32::from(letter)) & ((1 << (LETTERS * LETTER_BITS)) - 1))
    }

    /// Multiplicative hashing: the upper bits of the product depend on all letters.
    fn slot(self) -> usize {
        (self.0.wrapping_mul(0x9E37_79B1) >> (u32::BITS - SLOT_BITS)) as usize
    }
}

/// Separators and digits are passed over. So are letters beyond ASCII: names that hold any are not sieved.
const SKIP: u8 = 0;

/// 1 to 26 for letters of either case, otherwise [`SKIP`].
static LETTER: [u8; 256] = {
    let mut letters = [SKIP; 256];
    let mut byte = 0;
    while byte < 256 {
        letters[byte] = match byte as u8 {
            letter @ (b'a'..=b'z' | b'A'..=b'Z') => letter & 31,
            _ => SKIP,
        };
        byte += 1;
    }
    letters
};

fn first_letters(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| LETTER[usize::from(byte)]).filter(|&letter| letter != SKIP).take(LETTERS as usize).collect()
}

impl Sieve {
    /// The sieve for names that are sensitive `anywhere` in a name, and for those that are as the `whole` name.
    pub(super) fn of<'a>(anywhere: impl Iterator<Item = &'a [u8]>, whole: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut sieve = Self { bits: vec![0; 1 << (SLOT_BITS - 6)].into() };
        // A name beyond ASCII can only be in one that is not sieved.
        for name in anywhere.filter(|name| name.is_ascii()) {
            let letters = first_letters(name);
            sieve.insert_ending_in(Run::default(), &letters, LETTERS as usize - letters.len());
        }
        for name in whole {
            sieve.insert_ending_in(Run::default(), &first_letters(name), 0);
        }
        sieve
    }

    /// Inserts every run that ends in `letters` with `missing` letters before them; there may be none before.
    fn insert_ending_in(&mut self, run: Run, letters: &[u8], missing: usize) {
        if missing > 0 {
            for letter in 0..=26 {
                self.insert_ending_in(run.then(letter), letters, missing - 1);
            }
            return;
        }
        let slot = letters.iter().fold(run, |run, &letter| run.then(letter)).slot();
        self.bits[slot / 64] |= 1 << (slot % 64);
    }

    /// `false`: no listed name can be in `name`.
    pub(super) fn may_hold_listed(&self, name: &[u8]) -> bool {
        if !name.is_ascii() {
            return true;
        }
        let mut run = Run::default();
        for letter in name.iter().map(|&byte| LETTER[usize::from(byte)]).filter(|&letter| letter != SKIP) {
            run = run.then(letter);
            let slot = run.slot();
            if self.bits[slot / 64] >> (slot % 64) & 1 == 1 {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sieve<'a>(anywhere: &[&'a str], whole: &[&'a str]) -> Sieve {
        Sieve::of(anywhere.iter().map(|name| name.as_bytes()), whole.iter().map(|name| name.as_bytes()))
    }

    #[test]
    fn names_that_hold_a_listed_one_get_through() {
        let sieve = sieve(&["password", "pin", "otp"], &["access", "pw"]);
        for name in ["password", "userPASSWORD2", "p_a-s.s", "pin", "x_pin", "atm_pin_code", "Otp", "access", "pw", "größe"] {
            assert!(sieve.may_hold_listed(name.as_bytes()), "{name}");
        }
    }

    /// It is allowed to let more through, and would be of no use if it did.
    #[test]
    fn other_names_are_turned_away() {
        let sieve = sieve(&["password", "pin", "otp"], &["access", "pw"]);
        for name in
            ["", "42", "id", "email", "address", "price", "created_at", "description", "spelling", "note", "points", "success", "status"]
        {
            assert!(!sieve.may_hold_listed(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_beyond_ascii_open_it_for_no_other() {
        assert!(!sieve(&["名前"], &[]).may_hold_listed(b"email"));
    }
}
