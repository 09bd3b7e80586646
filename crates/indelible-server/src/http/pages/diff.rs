//! The changes of an event as people read them: field, before, after; for texts word by word.

use serde::Serialize;
use serde_json::Value;

/// Longest value that is shown at once, in characters; the rest is in the raw JSON.
const VALUE_CHARACTERS_MAX: usize = 2000;
/// Words of the two texts that are compared; longer ones are shown whole, before and after.
const WORDS_MAX: usize = 400;
/// Fields that are shown at once; the rest folds.
pub(super) const FIELDS_MAX: usize = 200;

/// One change of one field, or one statement over many rows.
#[derive(Debug, Serialize, PartialEq)]
#[serde(tag = "form", rename_all = "snake_case")]
pub(super) enum Change {
    /// A value became another.
    Values { field: String, old: Side, new: Side },
    /// It changed, and no more may be said.
    Masked { field: String },
    /// Links were added and removed.
    Links { field: String, added: Vec<String>, removed: Vec<String>, exact: bool },
    /// A statement touched many rows.
    Statement { count: Option<u64>, filter: Option<String>, fields: Vec<String>, ids: Vec<String> },
    /// Something that is no change as the format has it: as it stands there.
    Raw { text: String },
}

/// One side of a change.
#[derive(Debug, Serialize, PartialEq)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Side {
    /// There was no such value: before a creation, after a deletion.
    Absent,
    /// It was never known.
    Unknown { why: String },
    /// It is known.
    Known { pieces: Vec<Piece>, cut: bool },
}

/// A stretch of a text, and whether the other side lacks it.
#[derive(Debug, Serialize, PartialEq, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) differs: bool,
}

/// The changes of a body.
pub(super) fn changes(changes: Option<&Value>) -> Vec<Change> {
    match changes {
        None => Vec::new(),
        Some(Value::Array(changes)) => changes.iter().map(change).collect(),
        Some(other) => vec![Change::Raw { text: other.to_string() }],
    }
}

fn change(change: &Value) -> Change {
    let flag = |name: &str| change.get(name) == Some(&Value::Bool(true));
    let Some(field) = change.get("field").and_then(Value::as_str).map(str::to_owned) else { return statement(change) };
    if flag("masked") {
        return Change::Masked { field };
    }
    if change.get("added").is_some() || change.get("removed").is_some() {
        return Change::Links { field, added: texts(change.get("added")), removed: texts(change.get("removed")), exact: flag("exact") };
    }
    let expression = change.get("expression").and_then(Value::as_str);
    let unknown = |name: &str, why: String| flag(name).then_some(Side::Unknown { why });
    let old = unknown("old_unknown", "was not loaded".to_owned());
    let new = unknown("new_unknown", expression.map_or_else(|| "computed by the database".to_owned(), |text| format!("computed: {text}")));
    let (old_value, new_value) = (change.get("old"), change.get("new"));
    let (old_pieces, new_pieces) = match (old_value, new_value) {
        (Some(old), Some(new)) => compared(&shown(old), &shown(new)),
        (old, new) => (old.map(|old| whole(&shown(old))), new.map(|new| whole(&shown(new)))).or_empty(),
    };
    Change::Values {
        field,
        old: old.unwrap_or_else(|| known(old_value, old_pieces)),
        new: new.unwrap_or_else(|| known(new_value, new_pieces)),
    }
}

trait OrEmpty {
    fn or_empty(self) -> (Vec<Piece>, Vec<Piece>);
}

impl OrEmpty for (Option<Vec<Piece>>, Option<Vec<Piece>>) {
    fn or_empty(self) -> (Vec<Piece>, Vec<Piece>) {
        (self.0.unwrap_or_default(), self.1.unwrap_or_default())
    }
}

fn known(value: Option<&Value>, mut pieces: Vec<Piece>) -> Side {
    if value.is_none() {
        return Side::Absent;
    }
    let cut = cut(&mut pieces);
    Side::Known { pieces, cut }
}

/// Shortens a value to what is shown at once.
fn cut(pieces: &mut Vec<Piece>) -> bool {
    let mut left = VALUE_CHARACTERS_MAX;
    for index in 0..pieces.len() {
        let length = pieces[index].text.chars().count();
        if length > left {
            pieces[index].text = pieces[index].text.chars().take(left).collect();
            pieces.truncate(index + 1);
            return true;
        }
        left -= length;
    }
    false
}

fn statement(change: &Value) -> Change {
    if change.get("count").is_none() && change.get("ids").is_none() {
        return Change::Raw { text: change.to_string() };
    }
    Change::Statement {
        count: change.get("count").and_then(Value::as_u64),
        filter: change.get("where").and_then(Value::as_str).map(str::to_owned),
        fields: texts(change.get("fields")),
        ids: texts(change.get("ids")),
    }
}

fn texts(values: Option<&Value>) -> Vec<String> {
    values.and_then(Value::as_array).map(|values| values.iter().map(shown).collect()).unwrap_or_default()
}

/// A value for people: a text as it is, everything else as JSON.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn whole(text: &str) -> Vec<Piece> {
    vec![Piece { text: text.to_owned(), differs: false }]
}

/// The two texts in pieces, of which those differ that the other lacks.
fn compared(old: &str, new: &str) -> (Vec<Piece>, Vec<Piece>) {
    let (old_words, new_words) = (words(old), words(new));
    let differs = |text: &str| vec![Piece { text: text.to_owned(), differs: true }];
    if old == new {
        return (whole(old), whole(new));
    }
    if old_words.len() > WORDS_MAX || new_words.len() > WORDS_MAX || old_words.len() < 3 || new_words.len() < 3 {
        return (differs(old), differs(new));
    }
    let common = common(&old_words, &new_words);
    if common.is_empty() {
        return (differs(old), differs(new));
    }
    let (in_old, in_new): (Vec<_>, Vec<_>) = common.into_iter().unzip();
    (pieces(&old_words, &in_old), pieces(&new_words, &in_new))
}

/// Words and what stands between them.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut inside = None;
    for (at, character) in text.char_indices() {
        let is_word = character.is_alphanumeric();
        if inside.is_some_and(|inside| inside != is_word || !is_word) {
            words.push(&text[start..at]);
            start = at;
        }
        inside = Some(is_word);
    }
    words.push(&text[start..]);
    words
}

/// Places of the longest common subsequence in both. At most [`WORDS_MAX`] squared steps.
fn common(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0_u16; new.len() + 1]; old.len() + 1];
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            lengths[i][j] = if one == other { lengths[i + 1][j + 1] + 1 } else { lengths[i + 1][j].max(lengths[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut places) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            places.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    places
}

fn pieces(words: &[&str], common: &[usize]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let differs = common.binary_search(&place).is_err();
        match pieces.last_mut() {
            Some(last) if last.differs == differs => last.text.push_str(word),
            _ => pieces.push(Piece { text: (*word).to_owned(), differs }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| if piece.differs { format!("[{}]", piece.text) } else { piece.text.clone() }).collect()
    }

    fn both(old: &str, new: &str) -> (String, String) {
        let (old, new) = compared(old, new);
        (marked(&old), marked(&new))
    }

    #[test]
    fn texts_are_compared_word_by_word_and_short_values_as_a_whole() {
        assert_eq!(
            both("Mild fever, stable since noon", "High fever, stable since noon."),
            ("[Mild] fever, stable since noon".into(), "[High] fever, stable since noon[.]".into())
        );
        assert_eq!(both("in", "out"), ("[in]".into(), "[out]".into()));
        assert_eq!(both("same text here", "same text here"), ("same text here".into(), "same text here".into()));
    }

    #[test]
    fn nothing_of_either_text_is_lost() {
        for (old, new) in [("", "a b c"), ("äöü – 東京 x", "äöü - 京都 x y"), ("a  b\n\nc", "a b c d")] {
            let (one, other) = compared(old, new);
            let text = |pieces: Vec<Piece>| pieces.into_iter().map(|piece| piece.text).collect::<String>();
            assert_eq!((text(one), text(other)), (old.to_owned(), new.to_owned()));
        }
    }

    #[test]
    fn every_form_of_change_is_told_apart() {
        let value = serde_json::from_str(
            r#"[{"field":"name","old":"Ana","new":"Bo"},{"field":"ssn","masked":true},{"field":"age","old_unknown":true,"new":4},
                {"field":"n","old":1,"new_unknown":true,"expression":"n + ?"},{"field":"tags","added":[1],"removed":["x"],"exact":false},
                {"count":3,"ids":[1,2],"where":"age > ?","fields":["age"]},{"odd":1},{"field":"born","new":null}]"#,
        )
        .unwrap();
        let changes = changes(Some(&value));
        assert_eq!(changes[1], Change::Masked { field: "ssn".into() });
        assert!(matches!(&changes[2], Change::Values { old: Side::Unknown { .. }, new: Side::Known { .. }, .. }));
        assert!(matches!(&changes[3], Change::Values { new: Side::Unknown { why }, .. } if why == "computed: n + ?"));
        assert!(matches!(&changes[4], Change::Links { added, removed, exact: false, .. } if added == &["1"] && removed == &["x"]));
        assert!(matches!(&changes[5], Change::Statement { count: Some(3), ids, .. } if ids == &["1", "2"]));
        assert!(matches!(&changes[6], Change::Raw { .. }));
        assert!(matches!(&changes[7], Change::Values { old: Side::Absent, new: Side::Known { .. }, .. }));
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let value = serde_json::json!([{"field": "note", "new": "x".repeat(VALUE_CHARACTERS_MAX + 1)}]);
        let Change::Values { new: Side::Known { pieces, cut }, .. } = changes(Some(&value)).remove(0) else { panic!("a value") };
        assert_eq!((pieces[0].text.len(), cut), (VALUE_CHARACTERS_MAX, true));
    }
}
