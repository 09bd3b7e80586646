//! Text to query: conditions that mean the same become the same.

use super::error::Cause;
use super::{Condition, Key, Term, Value};

/// Adds a condition to those that must all hold; a term joins the values of an earlier one with the same key. Words are the
/// exception: each must occur.
pub(super) fn add(parts: &mut Vec<Condition>, part: Condition) -> Result<(), Cause> {
    let Condition::Term(term) = part else {
        parts.push(part);
        return Ok(());
    };
    let same = parts.iter_mut().find_map(|part| match part {
        Condition::Term(earlier) if are_joined(earlier, &term) => Some(earlier),
        _ => None,
    });
    let Some(earlier) = same else {
        parts.push(Condition::Term(term));
        return Ok(());
    };
    for value in term.values {
        if !term.negated && earlier.values.iter().any(|other| are_opposite(other, &value)) {
            return Err(Cause::SplitRange { key: earlier.name() });
        }
        if !earlier.values.contains(&value) {
            earlier.values.push(value);
        }
    }
    Ok(())
}

fn are_joined(one: &Term, other: &Term) -> bool {
    let same = one.key == other.key && one.member == other.member && one.negated == other.negated;
    // Not to hold any of some words is to lack each of them; to hold all of them is not to hold one.
    same && (one.key != Key::Text || one.negated || one.values == other.values)
}

/// Whether one value bounds from below and the other from above.
fn are_opposite(one: &Value, other: &Value) -> bool {
    match (side(one), side(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

const fn side(value: &Value) -> Option<bool> {
    match value {
        Value::Status(range) => range.side(),
        Value::Duration(range) => range.side(),
        Value::Number(range) => range.side(),
        Value::Time(range) => range.side(),
        _ => None,
    }
}

pub(super) fn all(mut parts: Vec<Condition>) -> Option<Condition> {
    if parts.len() > 1 { Some(Condition::All(parts)) } else { parts.pop() }
}

pub(super) fn any(parts: Vec<Condition>) -> Option<Condition> {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Condition::Any(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    if flat.len() > 1 { Some(Condition::Any(flat)) } else { flat.pop() }
}

pub(super) fn negate(condition: Condition) -> Condition {
    match condition {
        Condition::Not(inner) => *inner,
        Condition::Term(term) => Condition::Term(Term { negated: !term.negated, ..term }),
        group => Condition::Not(Box::new(group)),
    }
}
