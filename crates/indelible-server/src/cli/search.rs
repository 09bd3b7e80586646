//! `indelible search`: finds records.

use indelible_core::query::{Key, Moment, Query, Range, Term, Value};

use super::output::Output;
use super::{Exit, Failure, Globals, reads};
use crate::http::Read;
use crate::search::{Clock, Cursor, DEADLINE, PAGE_RECORDS, PAGE_RECORDS_MAX, SearchRequest, SearchResult, search};
use crate::trail::Reader;

/// Find records, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look for, for example 'actor:ana kind:change created:>-24h'
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Most records to show
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = PAGE_RECORDS, value_parser = at_least_one)]
    limit: usize,
    /// Only what happened from this time on, for example 2026-01-31 or -24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    since: Option<Moment>,
    /// Only what happened up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    until: Option<Moment>,
    /// Continue where an earlier search stopped
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    cursor: Option<Cursor>,
    /// Oldest first, like sort:created-asc
    #[arg(long)]
    asc: bool,
    /// Exit with 3 when nothing was found
    #[arg(short = 'e', long)]
    exit_status: bool,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let text = args.query.join(" ");
    let query = narrowed(text.parse()?, args)?;
    let clock = Clock::system();
    let zone = clock.zone.clone();
    let dir = globals.data_dir()?;
    let mut reader = Reader::open(&dir)?;
    let request = SearchRequest { query, limit: args.limit, cursor: args.cursor, clock, deadline: DEADLINE };
    let result = pages(&mut reader, request)?;
    reads::record(&dir, &Read::of_this_user("search", &text, &result.canonical).within(&result.range).count(result.rows.len()));
    Output::stdout().result(&result, globals.format(), &zone)?;
    tell_what_is_left(&result);
    Ok(if result.rows.is_empty() && args.exit_status { Exit::NothingFound } else { Exit::Success })
}

/// Applies the options that say in the command line what the query could say, too.
fn narrowed(mut query: Query, args: &Args) -> Result<Query, Failure> {
    if args.asc {
        query.order = indelible_core::query::Order::OldestFirst;
    }
    let range = match (args.since, args.until) {
        (None, None) => return Ok(query),
        (Some(since), None) => Range::From(since),
        (None, Some(until)) => Range::UpTo(until),
        (Some(since), Some(until)) => Range::Between(since, until),
    };
    if query.mentions(Key::Created) {
        return Err(Failure::new(Exit::Usage, "the query has `created:`, and --since or --until are given, too")
            .help("say it in one place, for example `created:2026-01-01..2026-01-31`"));
    }
    Ok(query.and(Term { negated: false, key: Key::Created, values: vec![Value::Created(range)] }))
}

/// Joins as many pages as it takes, each with its own deadline, to one result.
pub(super) fn pages(reader: &mut Reader, mut request: SearchRequest) -> Result<SearchResult, Failure> {
    let wanted = request.limit;
    request.limit = wanted.min(PAGE_RECORDS_MAX);
    let mut result = search(reader, &request)?;
    while result.rows.len() < wanted && result.next.is_some() && !result.partial {
        request.cursor = result.next;
        request.limit = (wanted - result.rows.len()).min(PAGE_RECORDS_MAX);
        let page = search(reader, &request)?;
        result.rows.extend(page.rows);
        result.next = page.next;
        result.partial = page.partial;
    }
    Ok(result)
}

/// Says on standard error that the result is not all there is.
pub(super) fn tell_what_is_left(result: &SearchResult) {
    let Some(next) = result.next else { return };
    if result.partial {
        eprintln!("partial: the time was up; continue with --cursor {next}, or narrow the query");
    } else {
        eprintln!("more: continue with --cursor {next}");
    }
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| "expected a date, an RFC 3339 time, `-24h`, `today`, `yesterday` or `last week`".to_owned())
}

fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|error: crate::search::SearchError| error.to_string())
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}
