//! What a query means, said once more without SQL, and compared with what SQLite makes of the compiled query.

use indelible_core::Verdict;
use indelible_core::query::{Condition, Key, Moment, Pattern, Query, Range, Term, Value};
use proptest::prelude::*;
use rusqlite::{Connection, params, params_from_iter};

use super::Clock;
use super::compile::compile;

/// The columns of one event; texts come from a few words, so that values meet.
#[derive(Debug, Clone)]
struct Row {
    actor_id: Option<String>,
    actor_label: Option<String>,
    action: String,
    kind: String,
    outcome: Option<String>,
    verdict: Verdict,
    resource_type: Option<String>,
    resource_id: Option<String>,
    request: Option<String>,
    status: Option<u16>,
    occurred_at: Option<i64>,
    recorded_at: i64,
}

fn holds(condition: &Condition, row: &Row) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| holds(part, row)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, row)),
        Condition::Not(inner) => !holds(inner, row),
        Condition::Term(term) => term_holds(term, row),
    }
}

fn term_holds(term: &Term, row: &Row) -> bool {
    let has_it = !texts(term.key, row).is_empty() || number(term.key, row).is_some();
    let matches = |value: &Value| match value {
        Value::Missing => !has_it,
        Value::Present => has_it,
        Value::Text(pattern) if term.key == Key::Type => row.resource_type.as_ref().is_some_and(|found| is_type(pattern, found)),
        Value::Text(pattern) => texts(term.key, row).iter().any(|text| fits(pattern, text)),
        Value::Choice("unknown") => row.verdict == Verdict::InDoubt,
        Value::Choice(word) => texts(term.key, row).contains(word),
        Value::Resource { resource_type, id } => {
            let asked = Pattern::Exact(resource_type.clone());
            row.resource_type.as_ref().is_some_and(|found| is_type(&asked, found))
                && row.resource_id.as_ref().is_some_and(|found| fits(id, found))
        }
        Value::Status(range) => number(term.key, row).is_some_and(|status| within(range, status, |bound| i64::from(*bound))),
        Value::Created(range) => number(term.key, row).is_some_and(|time| within(range, time, micros)),
        other => panic!("{other} is not generated"),
    };
    let any = term.values.iter().any(matches);
    match (term.negated, term.values.contains(&Value::Present)) {
        (false, _) => any,
        (true, true) => !has_it,
        (true, false) => has_it && !any,
    }
}

fn is_type(pattern: &Pattern, found: &str) -> bool {
    let last = found.rsplit('.').next().unwrap_or(found);
    match pattern {
        Pattern::Exact(name) if !name.contains('.') => name.eq_ignore_ascii_case(last),
        pattern => fits(pattern, found),
    }
}

fn texts(key: Key, row: &Row) -> Vec<&str> {
    let found = match key {
        Key::Actor => [row.actor_id.as_deref(), row.actor_label.as_deref()],
        Key::Action => [Some(row.action.as_str()), None],
        Key::Kind => [Some(row.kind.as_str()), None],
        Key::Outcome => [row.outcome.as_deref(), None],
        Key::Verdict => [Some(row.verdict.as_str()), None],
        Key::Type | Key::Resource => [row.resource_type.as_deref(), None],
        Key::Request => [row.request.as_deref(), None],
        _ => [None, None],
    };
    found.into_iter().flatten().collect()
}

fn number(key: Key, row: &Row) -> Option<i64> {
    match key {
        Key::Status => row.status.map(i64::from),
        Key::Created => Some(row.occurred_at.unwrap_or(row.recorded_at)),
        _ => None,
    }
}

fn fits(pattern: &Pattern, text: &str) -> bool {
    match pattern {
        Pattern::Exact(whole) => text == whole,
        Pattern::Prefix(start) => text.starts_with(start.as_str()),
    }
}

fn within<T>(range: &Range<T>, value: i64, bound: impl Fn(&T) -> i64) -> bool {
    match range {
        Range::At(only) => value == bound(only),
        Range::Above(low) => value > bound(low),
        Range::From(low) => value >= bound(low),
        Range::Below(high) => value < bound(high),
        Range::UpTo(high) => value <= bound(high),
        Range::Between(low, high) => (bound(low)..=bound(high)).contains(&value),
    }
}

fn micros(moment: &Moment) -> i64 {
    let Moment::Instant(instant) = moment else { panic!("{moment} is not generated") };
    instant.micros()
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "ab", "abc", "b", "ba", "é"]).prop_map(str::to_owned)
}

fn resource_type() -> impl Strategy<Value = String> {
    prop_oneof![word(), prop::sample::select(vec!["x.a", "y.AB", "x.y.b", "xa", "."]).prop_map(str::to_owned)]
}

fn row() -> impl Strategy<Value = Row> {
    let maybe = || prop::option::of(word());
    let outcome = prop::option::of(prop::sample::select(vec!["success", "denied"]).prop_map(str::to_owned));
    let kind = prop::sample::select(vec!["read", "change"]).prop_map(str::to_owned);
    let status = prop::option::of(prop::sample::select(vec![200_u16, 201, 404]));
    let actor = (maybe(), maybe());
    let resource = (prop::option::of(resource_type()), maybe(), maybe());
    (actor, word(), kind, outcome, prop::sample::select(Verdict::ALL.to_vec()), resource, status, prop::option::of(0..4_i64), 0..4_i64)
        .prop_map(
            |(
                (actor_id, actor_label),
                action,
                kind,
                outcome,
                verdict,
                (resource_type, resource_id, request),
                status,
                occurred_at,
                recorded_at,
            )| Row {
                actor_id,
                actor_label,
                action,
                kind,
                outcome,
                verdict,
                resource_type,
                resource_id,
                request,
                status,
                occurred_at,
                recorded_at,
            },
        )
}

fn query() -> impl Strategy<Value = Query> {
    let text = prop_oneof![4 => word(), 2 => word().prop_map(|word| word + "*"), 1 => Just("none".to_owned()), 1 => Just("any".to_owned())];
    let instant = (0..4_u8).prop_map(|micros| format!("1970-01-01T00:00:00.00000{micros}Z"));
    let term = prop_oneof![
        2 => prop::sample::select(vec!["type:a", "type:ab,B", "type:x.a", "-type:ab", "resource:ab/*", "resource:x.a/ab"]).prop_map(str::to_owned),
        4 => ("(actor|action|type|request)", prop::collection::vec(text, 1..3)).prop_map(|(key, values)| format!("{key}:{}", values.join(","))),
        1 => "kind:(read|change)",
        1 => "outcome:(success|denied,unknown|unknown)",
        1 => "verdict:(recorded|in_doubt)",
        1 => (word(), word(), "\\*?").prop_map(|(kind, id, star)| format!("resource:{kind}/{id}{star}")),
        1 => "status:(200|>200|>=201|<404|<=201|200\\.\\.201)",
        1 => ("(|>|>=|<|<=)", instant).prop_map(|(comparison, instant)| format!("created:{comparison}{instant}")),
    ];
    let text = ("(|-)", term).prop_map(|(not, term)| not + &term).prop_recursive(3, 12, 3, |inner| {
        ("(|-)", prop::collection::vec(inner, 1..4), "( | OR )").prop_map(|(not, parts, joint)| format!("{not}({})", parts.join(&joint)))
    });
    // Bounds of both sides apart are refused, as they should be.
    text.prop_filter_map("a split range", |text| text.parse().ok())
}

fn stored(rows: &[Row]) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE event (leaf_index INTEGER PRIMARY KEY, event_id BLOB, occurred_at, recorded_at, kind, action, outcome, verdict, \
             actor_id, actor_label, resource_type, resource_id, request_id, status)",
        )
        .unwrap();
    for (index, row) in rows.iter().enumerate() {
        let insert = "INSERT INTO event VALUES (?1, zeroblob(16), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        let values = params![
            i64::try_from(index).unwrap(),
            row.occurred_at,
            row.recorded_at,
            row.kind,
            row.action,
            row.outcome,
            row.verdict.as_str(),
            row.actor_id,
            row.actor_label,
            row.resource_type,
            row.resource_id,
            row.request,
            row.status
        ];
        connection.execute(insert, values).unwrap();
    }
    connection
}

fn found(connection: &Connection, query: &Query) -> Vec<usize> {
    let compiled = compile(query, &Clock::system()).unwrap();
    let mut statement = connection.prepare(&format!("SELECT leaf_index FROM event WHERE {} ORDER BY leaf_index", compiled.sql)).unwrap();
    let rows = statement.query_map(params_from_iter(compiled.parameters), |row| row.get::<_, i64>(0)).unwrap();
    rows.map(|row| usize::try_from(row.unwrap()).unwrap()).collect()
}

proptest! {
    #[test]
    fn sql_finds_what_the_query_means(rows in prop::collection::vec(row(), 1..20), query in query()) {
        let condition = query.condition.as_ref();
        let expected: Vec<usize> = (0..rows.len()).filter(|&index| condition.is_none_or(|condition| holds(condition, &rows[index]))).collect();
        prop_assert_eq!(found(&stored(&rows), &query), expected, "{}", query);
    }
}
