//! Which tables SQL text writes, and a fingerprint of the text: nothing of its literals is kept.
//!
//! It reads like a scanner, not like a database: comments, strings, quoted names, dollar quotes and CTEs are understood, what a procedure or
//! a trigger does is not seen. A statement that runs what stands elsewhere (`DO`, `CALL`, `EXECUTE`) is named as one that may write; what it
//! does not understand writes nothing.

mod scan;
mod token;

pub use scan::{SqlVerb, SqlWrite};

use sha2::{Digest, Sha256};
use token::{Token, Tokens};

/// How much of a text is looked at.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What one text of SQL does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlSummary {
    /// 16 hexadecimal digits; the same for texts that differ in literals, lengths of lists, comments, white space and case of words.
    pub fingerprint: String,
    /// Whether rows come back from a write: some drivers count them only when they were fetched.
    pub returning: bool,
    /// The tables that are written, in the order of the text.
    pub writes: Vec<SqlWrite>,
    /// Statements that may write tables which the text does not name, by their verbs: `DO`, `CALL`, `EXECUTE`.
    pub opaque: Vec<&'static str>,
}

impl SqlSummary {
    /// Reads a text; at most its first mebibyte counts.
    #[must_use]
    pub fn of(sql: &str) -> Self {
        let tokens: Vec<Token<'_>> = Tokens::new(beginning(sql)).collect();
        let returning = tokens.iter().any(|token| token.is("returning"));
        Self { fingerprint: fingerprint(&tokens), returning, writes: scan::writes(&tokens), opaque: scan::opaque(&tokens) }
    }
}

fn beginning(sql: &str) -> &str {
    let mut end = sql.len().min(TEXT_BYTES_MAX);
    while !sql.is_char_boundary(end) {
        end -= 1;
    }
    &sql[..end]
}

/// Hashes the shape: words without their case, `?` for each literal and for each list of them, and once for rows that are alike.
fn fingerprint(tokens: &[Token<'_>]) -> String {
    let mut shape: Vec<String> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Literal if ends_with(&shape, &["?", ","]) => {
                shape.pop();
            }
            Token::Literal => shape.push("?".to_owned()),
            Token::Word(word) => shape.push(word.to_lowercase()),
            Token::Quoted(name) => shape.push(format!("\"{name}")),
            Token::Mark(mark) => shape.push(mark.to_string()),
        }
        if ends_with(&shape, &["(", "?", ")", ",", "(", "?", ")"]) {
            shape.truncate(shape.len() - 4);
        }
    }
    let mut hash = Sha256::new();
    for part in &shape {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .take(8)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn ends_with(shape: &[String], end: &[&str]) -> bool {
    shape.len() >= end.len() && shape[shape.len() - end.len()..].iter().zip(end).all(|(part, expected)| part == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sql: &str) -> Vec<(&'static str, String, bool)> {
        SqlSummary::of(sql).writes.into_iter().map(|write| (write.verb.as_str(), write.table, write.counted)).collect()
    }

    fn one(verb: &'static str, table: &str) -> Vec<(&'static str, String, bool)> {
        vec![(verb, table.to_owned(), true)]
    }

    #[test]
    fn every_verb_names_its_table() {
        for (sql, verb, table) in [
            ("INSERT INTO clinic_patient (name) VALUES (%s)", "INSERT", "clinic_patient"),
            ("insert or replace into \"clinic_patient\" values (1)", "INSERT", "clinic_patient"),
            ("REPLACE INTO `clinic_patient` VALUES (1)", "REPLACE", "clinic_patient"),
            ("UPDATE ONLY public.\"Clinic Patient\" SET a = 1", "UPDATE", "Clinic Patient"),
            ("UPDATE OR IGNORE main.t SET a = 1", "UPDATE", "t"),
            ("UPDATE [my table] SET a = 1", "UPDATE", "my table"),
            ("  -- who?\n /* a /* nested */ comment */ delete from t where a = 'x'", "DELETE", "t"),
            ("DELETE FROM ONLY t", "DELETE", "t"),
            ("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1", "MERGE", "t"),
            ("COPY t (a, b) FROM STDIN", "COPY", "t"),
            ("EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1", "UPDATE", "t"),
            ("EXPLAIN ANALYZE VERBOSE DELETE FROM t", "DELETE", "t"),
            ("WITH a AS (SELECT 1) UPDATE t SET b = a.c FROM a", "UPDATE", "t"),
            ("WITH RECURSIVE a(x) AS (SELECT 1), b AS MATERIALIZED (SELECT 2) INSERT INTO t SELECT * FROM a", "INSERT", "t"),
            ("WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY x SET y UPDATE t SET b = 1 FROM a", "UPDATE", "t"),
            ("WITH update AS (SELECT 1) DELETE FROM t", "DELETE", "t"),
            ("CREATE FUNCTION f() RETURNS void AS $$ DELETE FROM s; $$ LANGUAGE sql; UPDATE t SET a = 1", "UPDATE", "t"),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; DELETE FROM s; END; UPDATE t SET a = 1",
                "UPDATE",
                "t",
            ),
            ("CREATE TRIGGER r AFTER INSERT ON s BEGIN UPDATE s SET a = 1; DELETE FROM s; END; DELETE FROM t", "DELETE", "t"),
            ("CREATE RULE r AS ON INSERT TO s DO (DELETE FROM s; DELETE FROM s); DELETE FROM t", "DELETE", "t"),
            ("CREATE TABLE s (rule text, begin date); DELETE FROM t", "DELETE", "t"),
            ("UPDATE t SET body = $tag$ ; DELETE FROM other $tag$", "UPDATE", "t"),
            ("UPDATE t SET body = E'it\\'s; DELETE FROM other'", "UPDATE", "t"),
            ("UPDATE t SET body = 'it''s; DELETE FROM other';", "UPDATE", "t"),
        ] {
            assert_eq!(written(sql), one(verb, table), "{sql}");
        }
    }

    #[test]
    fn what_reads_writes_nothing() {
        for sql in [
            "SELECT * FROM t FOR UPDATE",
            "SELECT replace(a, 'x', 'y') FROM t",
            "SELECT (delete) FROM t",
            "COPY t TO STDOUT",
            "EXPLAIN UPDATE t SET a = 1",
            "CREATE TABLE t (a int REFERENCES s ON DELETE CASCADE ON UPDATE CASCADE)",
            "CREATE TRIGGER r AFTER UPDATE ON t BEGIN UPDATE s SET a = 1; DELETE FROM t; END",
            "CREATE OR REPLACE FUNCTION f() RETURNS void AS $$ DELETE FROM t $$ LANGUAGE sql",
            "GRANT UPDATE ON t TO somebody",
            "SAVEPOINT \"s1\"",
            "-- UPDATE t SET a = 1",
            "SELECT 'UPDATE t SET a = 1'",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "UPDATE",
            "DELETE FROM",
            "",
            "'",
            "$a$",
        ] {
            assert_eq!(written(sql), [], "{sql}");
        }
    }

    #[test]
    fn several_writes_are_named_and_none_is_credited_with_the_count() {
        let both = vec![("UPDATE", "a".to_owned(), false), ("DELETE", "b".to_owned(), false)];
        assert_eq!(written("UPDATE a SET x = 1; DELETE FROM b"), both);
        assert_eq!(written("WITH u AS (UPDATE a SET x = 1 RETURNING *), d AS (DELETE FROM b) SELECT 1"), both);
        let all = vec![("TRUNCATE", "a".to_owned(), false), ("TRUNCATE", "b".to_owned(), false)];
        assert_eq!(written("TRUNCATE TABLE ONLY a, public.b RESTART IDENTITY CASCADE"), all);
        assert_eq!(written("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone").len(), 2);
        assert_eq!(written("WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone"), [("DELETE", "a".to_owned(), false)]);
        assert_eq!(written("COPY (DELETE FROM a RETURNING *) TO STDOUT"), [("DELETE", "a".to_owned(), false)]);
    }

    #[test]
    fn a_fingerprint_knows_the_shape_and_nothing_of_the_literals() {
        let of = |sql: &str| SqlSummary::of(sql).fingerprint;
        let first = of("UPDATE t SET a = 1 WHERE b IN (1, 2, 3)");
        assert_eq!(first.len(), 16);
        assert_eq!(first, of("update T  set a = 'secret' /* x */ where b in ( %s ,%s)"));
        assert_eq!(first, of("UPDATE t SET a = $1 WHERE b IN (:one)"));
        assert_ne!(first, of("UPDATE t SET a = 1 WHERE c IN (1, 2, 3)"));
        assert_eq!(of("INSERT INTO t VALUES (1, 2)"), of("INSERT INTO t VALUES (%(a)s, 'b'), (3, 4), (-5.5e3, ?)"));
    }

    #[test]
    fn what_runs_something_that_stands_elsewhere_is_named() {
        for (sql, verbs) in [
            ("DO $$ BEGIN DELETE FROM t; END $$", &["DO"][..]),
            ("do language plpgsql 'BEGIN NULL; END'", &["DO"]),
            ("CALL clinic.close_month(1, 'x')", &["CALL"]),
            ("call \"Close\"()", &["CALL"]),
            ("EXECUTE plan(1); -- x\n CALL p()", &["EXECUTE", "CALL"]),
            ("PREPARE plan AS UPDATE t SET a = 1", &[]),
            ("DEALLOCATE plan", &[]),
            ("SELECT f()", &[]),
            ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", &[]),
            ("CREATE TRIGGER r AFTER UPDATE ON t EXECUTE FUNCTION f()", &[]),
            ("CREATE FUNCTION f() RETURNS void AS $$ $$; CALL p()", &["CALL"]),
            ("CREATE PROCEDURE f() BEGIN ATOMIC SELECT 1; CALL p(); END", &[]),
            ("EXPLAIN (ANALYZE) EXECUTE plan(1)", &["EXECUTE"]),
            ("EXPLAIN EXECUTE plan(1)", &[]),
            ("UPDATE t SET call = 1", &[]),
            ("do", &[]),
        ] {
            assert_eq!(SqlSummary::of(sql).opaque, verbs, "{sql}");
        }
    }

    #[test]
    fn casts_are_no_parameters_and_returning_is_noticed() {
        assert_eq!(written("UPDATE t SET a = '1'::int"), one("UPDATE", "t"));
        assert!(SqlSummary::of("DELETE FROM t RETURNING id").returning);
        assert!(!SqlSummary::of("DELETE FROM t WHERE a = 'returning'").returning);
    }
}
