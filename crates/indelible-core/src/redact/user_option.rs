//! The password in an option of a command line: with the user (`curl -u ana:hunter2`, `--user=ana:hunter2`), or alone where the program is
//! known to take one (`mysql -phunter2`, `redis-cli -a hunter2`).

use std::ops::Range;

use super::credential::starts_with_ignoring_case;
use super::pairs::{ends_assignment, is_quote};

/// Options that take `user:password`.
const OPTIONS: [&[u8]; 6] = [b"--user", b"--proxy-user", b"--userpwd", b"--login", b"-u", b"-U"];

/// Programs with an option of one letter for a password: how their names begin, the letter, and whether a blank may stand behind it.
///
/// `mysql -p clinic` asks for the password, and names a database.
const PROGRAMS: [(&[u8], u8, bool); 5] =
    [(b"mysql", b'p', false), (b"mariadb", b'p', false), (b"mongo", b'p', true), (b"sshpass", b'p', true), (b"redis-cli", b'a', true)];

/// Longest user name that is looked at, in bytes.
const USER_BYTES_MAX: usize = 256;

/// Finds the password in the option whose first dash stands at `at`.
///
/// Numbers on both sides are those of a user and a group (`docker run -u 1000:1000`), and a URL is looked at as one.
pub(super) fn password_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    if !is_first(text, at) {
        return None;
    }
    let Some(option) = OPTIONS.into_iter().find(|option| text[at..].starts_with(option)) else { return password_alone_at(text, at) };
    let user = value_start(text, at + option.len(), |byte| byte.is_ascii_alphanumeric() && option.len() == 2 && runs(text, at, b"curl"))?;
    let length = text[user..].iter().take(USER_BYTES_MAX).position(|&byte| byte == b':' || ends_assignment(byte))?;
    let colon = user + length;
    let password =
        colon + 1..text[colon..].iter().position(|&byte| ends_assignment(byte) || byte == b',').map_or(text.len(), |end| colon + end);
    let is_pair = length > 0 && text[colon] == b':' && !password.is_empty() && !text[colon..].starts_with(b"://");
    (is_pair && !is_something_else(&text[user..colon], &text[password.clone()])).then_some(password)
}

/// Whether the dash may begin such an option.
pub(super) fn may_begin(text: &[u8], at: usize) -> bool {
    matches!(text.get(at + 1), Some(b'u' | b'U' | b'p' | b'a')) && is_first(text, at)
}

fn is_first(text: &[u8], at: usize) -> bool {
    at == 0 || text[at - 1].is_ascii_whitespace() || is_quote(text[at - 1])
}

/// The password in an option that takes nothing else.
fn password_alone_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    let letter = *text.get(at + 1)?;
    let (_, _, may_be_apart) = PROGRAMS.into_iter().find(|&(program, option, _)| option == letter && runs(text, at, program))?;
    let behind = *text.get(at + 2)?;
    if !may_be_apart && (behind.is_ascii_whitespace() || (is_quote(behind) && text.get(at + 3) == Some(&b','))) {
        return None;
    }
    let start = value_start(text, at + 2, |_| true)?;
    let end = text[start..].iter().position(|&byte| ends_assignment(byte)).map_or(text.len(), |end| start + end);
    (end > start).then_some(start..end)
}

/// Where the value of an option begins that ends at `end`: after a blank, `=`, or `', '` of a list, or at once where `is_glued` to its first byte.
fn value_start(text: &[u8], end: usize, is_glued: impl Fn(u8) -> bool) -> Option<usize> {
    let start = match text.get(end..)? {
        [b' ' | b'\t' | b'=', ..] => end + 1,
        [quote, b',', ..] if is_quote(*quote) => end + 2,
        [byte, ..] if is_glued(*byte) => end,
        _ => return None,
    };
    let is_gap = |byte: &&u8| matches!(byte, b' ' | b'\t') || is_quote(**byte);
    Some(start + text[start..].iter().take_while(is_gap).count())
}

/// How far before its option the name of the program is looked for, in bytes.
const COMMAND_BYTES_MAX: usize = 128;

/// Whether the option at `at` is one of this program, which may read it otherwise than others.
fn runs(text: &[u8], at: usize, program: &[u8]) -> bool {
    let command = &text[at.saturating_sub(COMMAND_BYTES_MAX)..at];
    command.windows(program.len()).any(|window| window == program)
}

fn is_something_else(user: &[u8], password: &[u8]) -> bool {
    let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let is_host = starts_with_ignoring_case(user, b"localhost") || (user.contains(&b'.') && !user.contains(&b'@'));
    is_number(password) && (is_number(user) || is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Option<&str> {
        let at = text.find('-').unwrap();
        password_at(text.as_bytes(), at).map(|found| &text[found])
    }

    #[test]
    fn a_password_behind_a_user_is_found() {
        for text in [
            "curl -u ana:pw x",
            "curl --user ana:pw",
            "curl --user=ana:pw",
            "x --proxy-user 'ana:pw'",
            "['curl', '-u', 'ana:pw']",
            "curl -uana:pw x",
            "mysql -ppw clinic",
            "mysqldump -p'pw' clinic",
            "['mariadb', '-ppw', 'clinic']",
            "['sshpass', '-p', 'pw', 'ssh']",
            "sshpass -ppw ssh",
            "mongo -p pw",
        ] {
            assert_eq!(password(text), Some("pw"), "{text}");
        }
    }

    #[test]
    fn other_values_of_such_options_stay() {
        for text in [
            "docker run -u 1000:1000 x",
            "nc -u localhost:53",
            "x -u db.example.org:5432",
            "psql -U ana clinic",
            "git push -u origin main",
            "x --user=https://a/b",
            "build -unit:x",
            "a -ux:y",
            "sort -u a: b",
            "x --user-agent a:b",
            "to-update a:b",
            "mysql -p clinic",
            "['mysql', '-p', 'clinic']",
            "mysql -p",
            "ssh -p2222 host",
            "ls -a x",
        ] {
            assert_eq!(password(text), None, "{text}");
        }
    }
}
