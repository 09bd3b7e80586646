//! Tokens of well-known services, which say with their first letters whose they are.

use std::ops::Range;

/// A prefix, and how many letters, digits, dashes and underscores follow it at least.
struct Shape {
    prefix: &'static [u8],
    /// Where in the prefix its first `_` or `-` stands, or its only `G` or first `A`: the byte at which a scan stops.
    trigger: usize,
    length_min: usize,
}

const fn shape(prefix: &'static str, trigger: usize, length_min: usize) -> Shape {
    Shape { prefix: prefix.as_bytes(), trigger, length_min }
}

/// GitHub, GitLab, npm, Stripe, OpenAI and its like, Slack, DigitalOcean, Docker, AWS, Google, SendGrid.
static SHAPES: &[Shape] = &[
    shape("ghp_", 3, 20),
    shape("gho_", 3, 20),
    shape("ghu_", 3, 20),
    shape("ghs_", 3, 20),
    shape("ghr_", 3, 20),
    shape("github_pat_", 6, 20),
    shape("glpat-", 5, 16),
    shape("npm_", 3, 30),
    shape("sk_live_", 2, 10),
    shape("sk_test_", 2, 10),
    shape("rk_live_", 2, 10),
    shape("rk_test_", 2, 10),
    shape("sk-", 2, 20),
    shape("xoxa-", 4, 13),
    shape("xoxb-", 4, 13),
    shape("xoxp-", 4, 13),
    shape("xoxr-", 4, 13),
    shape("xoxs-", 4, 13),
    shape("xapp-", 4, 13),
    shape("glrt-", 4, 16),
    shape("GOCSPX-", 6, 20),
    shape("dop_v1_", 3, 40),
    shape("dckr_pat_", 4, 20),
    shape("AKIA", 0, 16),
    shape("ASIA", 0, 16),
    shape("AIza", 0, 35),
    shape("SG.", 1, 40),
];

/// For every byte in which prefixes it stands beside the trigger, as bits: a look that turns most triggers away.
static BESIDE: [u8; 256] = {
    let mut beside = [0; 256];
    let mut at = 0;
    while at < SHAPES.len() {
        let (prefix, trigger) = (SHAPES[at].prefix, SHAPES[at].trigger);
        let neighbour = if trigger == 0 { prefix[1] } else { prefix[trigger - 1] };
        beside[neighbour as usize] |= bit_of(prefix[trigger]);
        at += 1;
    }
    beside
};

const fn bit_of(trigger: u8) -> u8 {
    match trigger {
        b'_' => 1,
        b'-' => 2,
        b'A' => 4,
        _ => 8,
    }
}

/// Whether the byte beside a trigger can be that of a prefix. `A` is the first of its prefixes, the others are not.
pub(super) fn may_be_prefix(text: &[u8], at: usize) -> bool {
    let neighbour = if text[at] == b'A' { Some(at + 1) } else { at.checked_sub(1) };
    neighbour.and_then(|place| text.get(place)).is_some_and(|&byte| BESIDE[usize::from(byte)] & bit_of(text[at]) != 0)
}

/// Longest text after a prefix that is looked at, in bytes; a text full of prefixes would be searched over and over without it.
const BODY_BYTES_MAX: usize = 512;

const SLACK_HOOKS: &[u8] = b"://hooks.slack.com/";

/// Finds the token of which a prefix has its trigger at `at`.
///
/// A token is not part of a longer word, and holds a digit: `ask_live_help` and `sk-learn-contributors-guide` are none.
pub(super) fn token_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    if !may_be_prefix(text, at) {
        return None;
    }
    let shape = SHAPES.iter().find(|shape| {
        shape.prefix[shape.trigger] == text[at]
            && at.checked_sub(shape.trigger).is_some_and(|start| text[start..].starts_with(shape.prefix))
    })?;
    let start = at - shape.trigger;
    if start > 0 && text[start - 1].is_ascii_alphanumeric() {
        return None;
    }
    let body = start + shape.prefix.len();
    let end = body
        + text[body..].iter().take(BODY_BYTES_MAX).take_while(|&&byte| is_token(byte) || (byte == b'.' && shape.prefix == b"SG.")).count();
    let end = end - text[body..end].iter().rev().take_while(|&&byte| byte == b'.').count();
    let found = &text[body..end];
    (found.len() >= shape.length_min && found.iter().any(u8::is_ascii_digit)).then_some(start..end)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

const BOT: &[u8] = b"/bot";
const BOT_TOKEN_BYTES_MIN: usize = 30;

/// Finds the token of a Telegram bot in a path, `/bot123456:…/`, of which the colon stands at `colon`.
pub(super) fn bot_at(text: &[u8], colon: usize) -> Option<Range<usize>> {
    let digits = text[..colon].iter().rev().take(16).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || !text[..colon - digits].ends_with(BOT) {
        return None;
    }
    let length = text[colon + 1..].iter().take(BODY_BYTES_MAX).take_while(|&&byte| is_token(byte)).count();
    (length >= BOT_TOKEN_BYTES_MIN).then_some(colon + 1..colon + 1 + length)
}

/// Finds the path of a Slack webhook in the URL whose `:` stands at `colon`; who knows it may post.
pub(super) fn webhook_at(text: &[u8], colon: usize) -> Option<Range<usize>> {
    if !text[colon..].starts_with(SLACK_HOOKS) {
        return None;
    }
    let start = colon + SLACK_HOOKS.len();
    let length = text[start..].iter().take_while(|&&byte| is_token(byte) || byte == b'/').count();
    (length > 0).then_some(start..start + length)
}
