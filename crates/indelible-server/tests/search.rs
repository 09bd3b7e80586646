//! What each key of the grammar finds on a real trail, in which order, and how pages join.
#![allow(clippy::unwrap_used)]

mod seed;

use std::time::Duration;

use indelible::{Actor, Event, Kind};
use indelible_server::Reader;
use indelible_server::search::{Clock, Cursor, SearchError, SearchRequest, SearchResult, search};
use jiff::tz::TimeZone;
use seed::{Seed, event};

/// 5 February 2026, a Thursday, in UTC.
fn clock() -> Clock {
    Clock { now: "2026-02-05T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

fn request(query: &str) -> SearchRequest {
    SearchRequest { query: query.parse().unwrap(), limit: 100, cursor: None, clock: clock(), deadline: Duration::from_secs(30) }
}

fn find(seed: &Seed, request: &SearchRequest) -> Result<SearchResult, SearchError> {
    search(&Reader::open(&seed.dir()).unwrap(), request)
}

/// The actions of what a query finds, without the agent's own events.
fn actions(seed: &Seed, query: &str) -> Vec<String> {
    let result = find(seed, &request(query)).unwrap();
    let actions = result.rows.iter().map(|hit| {
        let body: serde_json::Value = serde_json::from_slice(&hit.body).unwrap();
        body["action"].as_str().unwrap().to_owned()
    });
    actions.filter(|action| !action.starts_with("audit.")).collect()
}

#[test]
fn every_key_finds_what_it_names_and_nothing_else() {
    let seed = Seed::clinic();
    for (query, expected) in [
        ("actor:7", "patient.create patient.read"),
        ("actor:ana", "patient.create patient.read"),
        ("actor:ANA", ""),
        ("actor:n*", "report.export"),
        ("actor:ana,sync", "patient.create patient.read stock.move"),
        ("actor:ana actor:bo kind:change", "patient.create patient.update"),
        ("-actor:ana", "invoice.approve patient.update report.export stock.move"),
        ("actor:none", "auth.login page.error"),
        ("-actor:any", "auth.login page.error"),
        ("actor.type:anonymous,unresolved", "auth.login page.error"),
        ("action:patient.*", "patient.create patient.read patient.update"),
        ("action:patient.update", "patient.update"),
        ("-action:patient.* -kind:audit", "auth.login invoice.approve page.error report.export stock.move"),
        ("kind:task", "report.export"),
        ("outcome:failure", "auth.login page.error"),
        ("outcome:denied,aborted", "invoice.approve report.export"),
        ("outcome:unknown", "stock.move"),
        ("verdict:in_doubt", "stock.move"),
        ("verdict:recorded service:worker", "report.export"),
        ("resource:clinic.Patient/42", "patient.create patient.update"),
        ("resource:clinic.Patient/4*", "patient.create patient.read patient.update"),
        ("resource:clinic.Patient/*", "patient.create patient.read patient.update"),
        ("resource:\"stock.Item/a b\"", "stock.move"),
        ("resource:Patient/42", "patient.create patient.update"),
        ("resource:atient/42", ""),
        ("type:billing.Invoice,stock.Item", "invoice.approve stock.move"),
        ("type:invoice,ITEM", "invoice.approve stock.move"),
        ("request:r2", "patient.update"),
        ("request:none kind:change,task", "report.export stock.move"),
        ("service:worker", "report.export"),
        ("status:200", "patient.read patient.update"),
        ("status:>=400", "auth.login page.error"),
        ("status:>401", "page.error"),
        ("status:<=201", "patient.create patient.read patient.update"),
        ("status:<201", "patient.read patient.update"),
        ("status:400..499", "auth.login"),
        ("-status:200..299", "auth.login page.error"),
        ("status:200 OR status:500", "page.error patient.read patient.update"),
        ("status:200 OR action:auth.*", "auth.login patient.read patient.update"),
        ("(actor:ana OR actor:bo) kind:read,action", "invoice.approve patient.read"),
        ("-(actor:ana OR kind:audit OR status:>=200)", "invoice.approve report.export stock.move"),
        ("created:2026-01-31", "patient.read"),
        ("created:2026-02-01", "auth.login"),
        ("created:2026-01-20..2026-01-31", "patient.read patient.update"),
        ("created:>2026-02-03 -kind:audit", "page.error stock.move"),
        ("created:<2026-01-20", "patient.create"),
        ("created:<=2026-01-20", "patient.create patient.update"),
        ("created:2026-01-31T23:59:59.999999Z", "patient.read"),
        ("created:today kind:change", "stock.move"),
        ("created:yesterday", "page.error"),
        ("created:-48h..now", "page.error stock.move"),
        ("created:\"last week\"", "auth.login patient.read"),
        ("created:\"last month\" kind:change", "patient.create patient.update"),
    ] {
        let mut found = actions(&seed, query);
        found.sort();
        assert_eq!(found.join(" "), expected, "{query}");
    }
}

#[test]
fn an_event_in_doubt_that_was_resolved_later_is_no_longer_unknown() {
    let seed = Seed::clinic();
    assert_eq!(actions(&seed, "outcome:unknown"), ["stock.move"]);
    seed.resolve_the_doubt();
    seed.ingest();
    assert_eq!(actions(&seed, "outcome:unknown"), Vec::<String>::new());
    assert_eq!(actions(&seed, "verdict:in_doubt"), ["stock.move"], "the leaf stays what it was");
    assert_eq!(actions(&seed, "-outcome:unknown kind:change verdict:in_doubt"), ["stock.move"]);
}

#[test]
fn an_id_is_found_whole_and_by_its_beginning() {
    let seed = Seed::clinic();
    let hit = find(&seed, &request("action:invoice.approve")).unwrap().rows.remove(0);
    let body: serde_json::Value = serde_json::from_slice(&hit.body).unwrap();
    let id = body["id"].as_str().unwrap();
    assert_eq!(actions(&seed, &format!("id:{id}")), ["invoice.approve"]);
    assert_eq!(actions(&seed, &format!("id:{}*", &id[..35])), ["invoice.approve"]);
    assert_eq!(actions(&seed, &format!("-id:{id} kind:action")), Vec::<String>::new());
}

#[test]
fn the_newest_arrival_comes_first_and_sort_turns_the_order() {
    let seed = Seed::clinic();
    let newest_first = actions(&seed, "kind:change");
    assert_eq!(newest_first, ["stock.move", "patient.update", "patient.create"]);
    let oldest_first = actions(&seed, "kind:change sort:created-asc");
    assert_eq!(oldest_first, ["patient.create", "patient.update", "stock.move"]);
}

#[test]
fn the_answer_names_the_canonical_query_and_the_resolved_times() {
    let seed = Seed::clinic();
    let result = find(&seed, &request("kind:read  NOT actor:bo created:yesterday,2026-01-31")).unwrap();
    assert_eq!(result.canonical, "kind:read -actor:bo created:yesterday,2026-01-31");
    assert_eq!(result.range.from, Some("2026-01-31T00:00:00Z".parse().unwrap()));
    assert_eq!(result.range.before, Some("2026-02-05T00:00:00Z".parse().unwrap()));
    let open = find(&seed, &request("created:>=yesterday OR kind:read")).unwrap();
    assert_eq!((open.range.from, open.range.before), (None, None), "other events match, too");
}

/// Twenty events that all happened, and arrived, at the same time.
fn ties(first: usize) -> Vec<Event> {
    let tie = |number: usize| Event {
        actor: Actor::user(number.to_string(), "tied").into(),
        ..event(Kind::Change, "row.insert", "2026-01-01T00:00:00Z")
    };
    (first..first + 20).map(tie).collect()
}

/// The leaves of every page of three records; `between` runs after each page.
fn leaves_of_all_pages(seed: &Seed, query: &str, mut between: impl FnMut()) -> Vec<u64> {
    let mut request = SearchRequest { limit: 3, ..request(query) };
    let mut leaves = Vec::new();
    loop {
        let page = find(seed, &request).unwrap();
        assert!(page.rows.len() <= 3);
        leaves.extend(page.rows.iter().map(|hit| hit.leaf_index));
        let Some(next) = page.next else { return leaves };
        // A cursor travels as text.
        request.cursor = Some(next.to_string().parse().unwrap());
        between();
    }
}

#[test]
fn pages_join_without_gap_or_overlap_over_ties_in_both_orders() {
    let seed = Seed::empty();
    seed.record("rows", ties(0));
    seed.ingest();
    let all: Vec<u64> = find(&seed, &request("kind:change sort:created-asc")).unwrap().rows.iter().map(|hit| hit.leaf_index).collect();
    assert_eq!(all.len(), 20);
    assert_eq!(leaves_of_all_pages(&seed, "kind:change sort:created-asc", || ()), all);
    let reversed: Vec<u64> = all.into_iter().rev().collect();
    assert_eq!(leaves_of_all_pages(&seed, "kind:change", || ()), reversed);
}

#[test]
fn pages_do_not_shift_while_records_arrive() {
    let seed = Seed::empty();
    seed.record("rows", ties(0));
    seed.ingest();
    let mut arrived = 20;
    let leaves = leaves_of_all_pages(&seed, "kind:change", || {
        if arrived < 60 {
            seed.record("rows", ties(arrived));
            seed.ingest();
            arrived += 20;
        }
    });
    let expected: Vec<u64> = leaves.iter().copied().take(1).chain(leaves.windows(2).map(|pair| pair[0] - 1)).collect();
    assert_eq!((leaves.len(), leaves == expected), (20, true), "the twenty that were there, one after the other: {leaves:?}");

    let mut more = 60;
    let leaves = leaves_of_all_pages(&seed, "kind:change sort:created-asc", || {
        if more < 80 {
            seed.record("rows", ties(more));
            seed.ingest();
            more += 20;
        }
    });
    assert_eq!(leaves.len(), 80, "oldest first, the pages reach what arrives meanwhile");
    assert!(leaves.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_full_last_page_has_no_next() {
    let seed = Seed::empty();
    seed.record("rows", ties(0));
    seed.ingest();
    let page = find(&seed, &SearchRequest { limit: 20, ..request("kind:change") }).unwrap();
    assert_eq!((page.rows.len(), page.next, page.partial), (20, None, false));
}

#[test]
fn a_cursor_of_the_other_order_and_a_range_that_ends_before_it_begins_are_errors() {
    let seed = Seed::clinic();
    let page = find(&seed, &SearchRequest { limit: 1, ..request("") }).unwrap();
    let turned = SearchRequest { cursor: page.next, ..request("sort:created-asc") };
    assert!(matches!(find(&seed, &turned), Err(SearchError::Cursor { .. })));
    assert!(matches!("7".parse::<Cursor>(), Err(SearchError::Cursor { .. })));
    for backwards in ["created:2026-02-01..2026-01-01", "created:today..yesterday"] {
        assert!(matches!(find(&seed, &request(backwards)), Err(SearchError::EmptyRange { .. })), "{backwards}");
    }
}

#[test]
fn a_search_without_time_says_so_instead_of_finding_nothing() {
    let seed = Seed::empty();
    seed.record("rows", (0..100).flat_map(|block| ties(block * 20)).collect());
    seed.ingest();
    let hurried = SearchRequest { deadline: Duration::ZERO, ..request("actor:nobody") };
    assert!(matches!(find(&seed, &hurried), Err(SearchError::Deadline { .. })));
}

#[test]
fn a_value_that_looks_like_sql_is_only_a_value() {
    let seed = Seed::clinic();
    for query in [r#"actor:"x' OR '1'='1""#, r#"actor:"'; DROP TABLE event; --""#, r#"resource:"a/' OR 1=1 --"*"#] {
        assert_eq!(actions(&seed, query), Vec::<String>::new(), "{query}");
    }
    assert_eq!(actions(&seed, "kind:task"), ["report.export"]);
}
