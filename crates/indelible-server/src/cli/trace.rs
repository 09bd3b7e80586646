//! `indelible trace`: one request and all that it caused, oldest first.

use indelible_core::query::{Condition, Key, Order, Pattern, Query, Term, Value};

use super::body::Body;
use super::output::Output;
use super::reading::{Listing, Reading, all_with, at_least_one, in_address};
use super::timeline::write_entries;
use super::{Exit, Failure, Globals};
use crate::search::SearchResult;

/// Most traces that one request is followed into.
const TRACES_MAX: usize = 16;

/// Show one request and everything that it caused, oldest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of a request, or a W3C trace id
    #[arg(value_name = "REQUEST_ID")]
    id: String,
    /// Most records to show
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 500, value_parser = at_least_one)]
    limit: usize,
    /// Print the address of the page about it instead
    #[arg(long)]
    web: bool,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if args.id.is_empty() {
        return Err(Failure::new(Exit::Usage, "the id of the request is empty").help("`indelible search request:any` shows requests"));
    }
    let reading = Reading::open(globals)?;
    if args.web {
        Output::stdout().text(&reading.page(&format!("requests/{}", in_address(&args.id)))?)?;
        return Ok(Exit::Success);
    }
    let first = all_with(Key::Request, exactly(&args.id), Order::OldestFirst);
    let mut result = reading.find(or_trace(first, is_trace(&args.id).then_some(args.id.as_str())), args.limit, &args.listing)?;
    // A task that the request started has the same trace, and no request of its own.
    let traces = traces(&result);
    if traces.iter().any(|trace| *trace != args.id) {
        let wider = all_with(Key::Request, exactly(&args.id), Order::OldestFirst);
        let wider = traces.iter().fold(wider, |query, trace| or_trace(query, Some(trace)));
        result = reading.find(wider, args.limit, &args.listing)?;
    }
    reading.record("trace", &args.id, &result);
    write_entries(&reading, &result, &args.listing, globals)?;
    Ok(Exit::Success)
}

fn exactly(text: &str) -> Value {
    Value::Text(Pattern::Exact(text.to_owned()))
}

fn is_trace(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

fn or_trace(query: Query, trace: Option<&str>) -> Query {
    let Some(trace) = trace else { return query };
    let term = Condition::Term(Term::new(Key::Trace, vec![exactly(trace)]));
    let mut alternatives = match query.condition {
        Some(Condition::Any(parts)) => parts,
        other => other.into_iter().collect(),
    };
    if !alternatives.contains(&term) {
        alternatives.push(term);
    }
    Query { condition: Some(Condition::Any(alternatives)), order: query.order }
}

/// The traces that the records belong to.
fn traces(result: &SearchResult) -> Vec<String> {
    let mut traces: Vec<String> = Vec::new();
    for trace in result.rows.iter().filter_map(|hit| Body::parse(&hit.body).trace_id).filter(|trace| is_trace(trace)) {
        if traces.len() < TRACES_MAX && !traces.contains(&trace) {
            traces.push(trace);
        }
    }
    traces
}
