//! Finds the word that somebody meant.

/// The nearest candidate that differs from `word` by at most a third of its letters, and by two at most; or the only one
/// that `word` begins.
pub fn nearest(word: &str, candidates: impl Iterator<Item = &'static str> + Clone) -> Option<&'static str> {
    let allowed = (word.chars().count() / 3).clamp(1, 2);
    let near = candidates
        .clone()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    near.or_else(|| only(candidates.filter(|candidate| word.len() > 2 && (candidate.starts_with(word) || stem(candidate, word)))))
}

/// The end of a message about an unknown word.
pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |word| format!(", did you mean {word:?}?"))
}

fn only(mut found: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Whether two words begin with the same four letters: `failed` and `failure`.
fn stem(candidate: &str, word: &str) -> bool {
    matches!((candidate.get(..4), word.get(..4)), (Some(a), Some(b)) if a == b)
}

/// Number of letters to insert, drop, replace, or swap with their neighbour, to turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_a_swapped_and_a_wrong_letter_are_one_step_each() {
        assert_eq!(distance("actr", "actor"), 1);
        assert_eq!(distance("atcor", "actor"), 1);
        assert_eq!(distance("actur", "actor"), 1);
        assert_eq!(distance("", "actor"), 5);
    }

    #[test]
    fn words_that_share_nothing_suggest_nothing() {
        let words = ["success", "failure", "denied"];
        assert_eq!(nearest("failed", words.into_iter()), Some("failure"));
        assert_eq!(nearest("succes", words.into_iter()), Some("success"));
        assert_eq!(nearest("zebra", words.into_iter()), None);
    }
}
