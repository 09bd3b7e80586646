//! Where statements begin, and what those that write are about.

use super::token::Token;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlVerb {
    /// `INSERT`
    Insert,
    /// `REPLACE`
    Replace,
    /// `UPDATE`
    Update,
    /// `DELETE`
    Delete,
    /// `MERGE`
    Merge,
    /// `TRUNCATE`
    Truncate,
    /// `COPY … FROM`
    Copy,
}

impl SqlVerb {
    const ALL: [Self; 7] = [Self::Insert, Self::Replace, Self::Update, Self::Delete, Self::Merge, Self::Truncate, Self::Copy];

    /// As it is written, in upper case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Replace => "REPLACE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Merge => "MERGE",
            Self::Truncate => "TRUNCATE",
            Self::Copy => "COPY",
        }
    }

    fn of(token: &Token<'_>) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| token.is(verb.as_str()))
    }
}

/// One table that a text writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlWrite {
    /// How it is written.
    pub verb: SqlVerb,
    /// The table as it is named there, without its schema.
    pub table: String,
    /// Whether the number of rows that the driver reports is of this table: the text is one statement, and this is its own verb.
    pub counted: bool,
}

/// What may stand between the verb and the table.
const BETWEEN: [&str; 11] = ["into", "from", "table", "only", "or", "rollback", "abort", "fail", "ignore", "replace", "low_priority"];

/// The tables that are written.
pub(super) fn writes(tokens: &[Token<'_>]) -> Vec<SqlWrite> {
    let mut found = Vec::new();
    for statement in run_now(tokens) {
        if !only_explains(statement) {
            in_statement(statement, &mut found);
        }
    }
    if found.len() > 1 {
        found.iter_mut().for_each(|write: &mut SqlWrite| write.counted = false);
    }
    found
}

/// First words of statements that run what stands elsewhere.
const OPAQUE: [&str; 3] = ["DO", "CALL", "EXECUTE"];

/// The statements that run what the text does not say: a block in a string, a procedure, a prepared statement.
pub(super) fn opaque(tokens: &[Token<'_>]) -> Vec<&'static str> {
    run_now(tokens)
        .filter_map(|statement| match statement {
            [first, rest @ ..] if first.is("explain") && !only_explains(statement) => {
                rest.iter().any(|token| token.is("EXECUTE")).then_some("EXECUTE")
            }
            [first, _, ..] => OPAQUE.into_iter().find(|verb| first.is(verb)),
            _ => None,
        })
        .collect()
}

/// The statements of a text, but for those that define a routine: its body is not run now, semicolons included.
fn run_now<'s, 'a>(tokens: &'s [Token<'a>]) -> impl Iterator<Item = &'s [Token<'a>]> {
    let mut open = 0_i64;
    tokens.split(|token| *token == Token::Mark(';')).filter(move |statement| {
        let is_body = open > 0 || defines_a_routine(statement);
        if is_body {
            open += statement.iter().map(opens).sum::<i64>();
        }
        !is_body
    })
}

/// What begins or ends a part of a body, inside of which a semicolon ends nothing.
fn opens(token: &Token<'_>) -> i64 {
    match token {
        Token::Mark('(') => 1,
        Token::Mark(')') => -1,
        Token::Word(_) if token.is("begin") || token.is("case") => 1,
        Token::Word(_) if token.is("end") => -1,
        _ => 0,
    }
}

fn defines_a_routine(statement: &[Token<'_>]) -> bool {
    let routine = |token: &Token<'_>| ["trigger", "function", "procedure", "rule"].into_iter().any(|word| token.is(word));
    // Behind a bracket such a word is the name of a column.
    let mut head = statement.iter().take(6).take_while(|token| **token != Token::Mark('('));
    statement.first().is_some_and(|first| first.is("create")) && head.any(routine)
}

/// Whether it shows how a statement would be run, and does not run it.
fn only_explains(statement: &[Token<'_>]) -> bool {
    let Some(first) = statement.first() else { return false };
    let verb = statement.iter().position(|token| SqlVerb::of(token).is_some()).unwrap_or(statement.len());
    first.is("explain") && !statement[..verb].iter().any(|token| token.is("analyze") || token.is("analyse"))
}

fn in_statement(statement: &[Token<'_>], found: &mut Vec<SqlWrite>) {
    let mut depth = 0_usize;
    let with = statement.first().is_some_and(|first| first.is("with"));
    let explain = statement.first().is_some_and(|first| first.is("explain"));
    let mut main = false;
    for (at, token) in statement.iter().enumerate() {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let before = at.checked_sub(1).map(|before| &statement[before]);
        let begins = match before {
            None | Some(Token::Mark('(')) => true,
            // The verb itself comes after the list of CTEs, or after what is said about explaining.
            Some(before) => depth == 0 && !main && (explain || (with && ends_a_cte(before))),
        };
        if depth == 0 && !main && (SqlVerb::of(token).is_some() || token.is("select")) && begins {
            main = true;
        }
        if begins && let Some(verb) = SqlVerb::of(token) {
            tables(verb, &statement[at + 1..], |table| {
                found.push(SqlWrite { verb, table, counted: depth == 0 });
            });
        }
    }
}

/// Whether the list of CTEs may be over: behind a closed bracket, or behind the last name of what is said about searching and cycles.
fn ends_a_cte(before: &Token<'_>) -> bool {
    const BEFORE_NAMES: [&str; 8] = ["with", "recursive", "by", "set", "using", "cycle", "to", "default"];
    match before {
        Token::Mark(mark) => *mark == ')',
        Token::Literal => true,
        Token::Word(_) | Token::Quoted(_) => !BEFORE_NAMES.into_iter().any(|word| before.is(word)),
    }
}

/// Reads the table after a verb, or the tables.
fn tables(verb: SqlVerb, rest: &[Token<'_>], mut found: impl FnMut(String)) {
    let words = rest.iter().take_while(|token| BETWEEN.into_iter().any(|word| token.is(word))).count();
    let needs = |word: &str| rest[..words].iter().any(|token| token.is(word));
    let introduced = match verb {
        SqlVerb::Insert | SqlVerb::Replace | SqlVerb::Merge => needs("into"),
        SqlVerb::Delete => needs("from"),
        SqlVerb::Copy => rest.iter().find(|token| token.is("from") || token.is("to")).is_some_and(|token| token.is("from")),
        SqlVerb::Update | SqlVerb::Truncate => true,
    };
    let mut rest = &rest[words..];
    while introduced && let Some((table, after)) = name(rest) {
        found(table.to_owned());
        rest = match after {
            [Token::Mark('*'), Token::Mark(','), more @ ..] | [Token::Mark(','), more @ ..] if verb == SqlVerb::Truncate => more,
            _ => return,
        };
    }
}

/// The last part of a name with its schema, and what follows it.
fn name<'a, 'b>(tokens: &'b [Token<'a>]) -> Option<(&'a str, &'b [Token<'a>])> {
    let (first, mut rest) = tokens.split_first()?;
    let mut name = first.name()?;
    while let [Token::Mark('.'), part, after @ ..] = rest
        && let Some(part) = part.name()
    {
        (name, rest) = (part, after);
    }
    Some((name, rest))
}
