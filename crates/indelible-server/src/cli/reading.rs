//! What the commands that read the trail have in common: how a query is read, narrowed, run page by page and recorded.

use indelible_core::query::{Key, Moment, Order, Query, Range, Term, Value};
use jiff::tz::TimeZone;

use super::fields::Columns;
use super::output::{Format, Output, tell};
use super::{Exit, Failure, Globals, reads};
use crate::agent::Announced;
use crate::data_dir::DataDir;
use crate::http::Read;
use crate::search::{
    COUNT_DEADLINE, Clock, CountRequest, Cursor, DEADLINE, PAGE_RECORDS, PAGE_RECORDS_MAX, SearchError, SearchRequest, SearchResult,
    search, zone_name,
};
use crate::trail::Reader;

/// Options of every command that lists records.
#[derive(Debug, clap::Args)]
pub(super) struct Listing {
    /// Only what happened from this time on, for example 2026-01-31 or -24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    since: Option<Moment>,
    /// Only what happened up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    until: Option<Moment>,
    /// Continue where an earlier command stopped
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    cursor: Option<Cursor>,
    /// Show these fields instead, for example created,actor,action
    #[arg(long, value_name = "FIELDS", value_parser = Columns::parse)]
    pub(super) fields: Option<Columns>,
}

impl Listing {
    /// Applies the options that say in the command line what the query could say, too.
    pub(super) fn narrowed(&self, query: Query) -> Result<Query, Failure> {
        let range = match (self.since, self.until) {
            (None, None) => return Ok(query),
            (Some(since), None) => Range::From(since),
            (None, Some(until)) => Range::UpTo(until),
            (Some(since), Some(until)) => Range::Between(since, until),
        };
        if query.mentions(Key::Created) {
            return Err(Failure::new(Exit::Usage, "the query has `created:`, and --since or --until are given, too")
                .help("say it in one place, for example `created:2026-01-01..2026-01-31`"));
        }
        Ok(query.and(Term::new(Key::Created, vec![Value::Time(range)])))
    }
}

/// A trail that one command reads.
pub(super) struct Reading {
    pub(super) dir: DataDir,
    pub(super) reader: Reader,
    clock: Clock,
}

impl Reading {
    pub(super) fn open(globals: &Globals) -> Result<Self, Failure> {
        let dir = globals.data_dir()?;
        Ok(Self { reader: Reader::open(&dir)?, clock: Clock::system(), dir })
    }

    /// The name of the zone in which days and hours are meant.
    pub(super) fn zone_name(&self) -> String {
        zone_name(&self.clock.zone, self.clock.now)
    }

    pub(super) fn zone(&self) -> TimeZone {
        self.clock.zone.clone()
    }

    /// Finds as many records as were asked for.
    pub(super) fn find(&self, query: Query, limit: usize, listing: &Listing) -> Result<SearchResult, Failure> {
        let query = listing.narrowed(query)?;
        let request = self.request(query, limit, listing.cursor);
        pages(&self.reader, request)
    }

    /// Finds the first page alone.
    pub(super) fn first_page(&self, query: Query) -> Result<SearchResult, Failure> {
        Ok(search(&self.reader, &self.request(query, PAGE_RECORDS, None))?)
    }

    /// What is to be counted.
    pub(super) fn to_count(&self, query: Query, listing: &Listing) -> Result<CountRequest, Failure> {
        Ok(CountRequest { query: listing.narrowed(query)?, clock: self.clock.clone(), deadline: COUNT_DEADLINE })
    }

    fn request(&self, query: Query, limit: usize, cursor: Option<Cursor>) -> SearchRequest {
        SearchRequest { query, limit, cursor, clock: self.clock.clone(), deadline: DEADLINE }
    }

    /// Has the agent record what is about to be shown.
    pub(super) fn record(&self, command: &str, asked: &str, result: &SearchResult) {
        let read = Read::of_this_user(command, asked, &result.canonical).within(&result.range).count(result.rows.len());
        reads::record(&self.dir, &read);
    }

    /// Writes a list of records in the format that was asked for, and says on standard error that there are more.
    pub(super) fn write(&self, result: &SearchResult, listing: &Listing, format: Format) -> Result<(), Failure> {
        let mut output = Output::stdout();
        match &listing.fields {
            Some(columns) => output.columns(result, columns, format)?,
            None => output.result(result, format, &self.clock.zone)?,
        }
        tell_what_is_left(result, format);
        Ok(())
    }

    /// The address of a page about what is shown.
    pub(super) fn page(&self, path: &str) -> Result<String, Failure> {
        let nobody = |reason: &str| Failure::new(Exit::Temporary, reason).help("start the agent with `indelible serve`");
        if !self.dir.agent_is_running()? {
            return Err(nobody(&format!("no agent runs on {}, and it is the agent that serves the pages", self.dir.root().display())));
        }
        let announced = Announced::read(&self.dir).ok_or_else(|| nobody("the agent has not said yet where it listens"))?;
        Ok(format!("http://{}/{path}", announced.address))
    }
}

/// Reads a query; what is wrong with it is shown with a caret below the place.
pub(super) fn query(text: &str) -> Result<Query, Failure> {
    text.parse().map_err(|error| Failure::of_query(&error, text))
}

/// A query for all that has one value, in an order.
pub(super) fn all_with(key: Key, value: Value, order: Order) -> Query {
    Query { condition: Some(indelible_core::query::Condition::Term(Term::new(key, vec![value]))), order }
}

/// Joins as many pages as it takes, each with its own deadline, to one result.
fn pages(reader: &Reader, mut request: SearchRequest) -> Result<SearchResult, Failure> {
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

/// Says on standard error that the result is not all there is, and to people that there is none.
pub(super) fn tell_what_is_left(result: &SearchResult, format: Format) {
    let Some(next) = result.next else {
        if result.rows.is_empty() && format == Format::Table {
            tell("nothing found");
        }
        return;
    };
    if result.partial {
        tell(&format!("partial: the time was up; continue with --cursor {next}, or narrow the query"));
    } else {
        tell(&format!("more: continue with --cursor {next}"));
    }
}

/// A part of an address: what has a meaning in one is written in hexadecimal.
pub(super) fn in_address(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| "expected a date, an RFC 3339 time, `-24h`, `today`, `yesterday` or `last week`".to_owned())
}

pub(super) fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|error: SearchError| error.to_string())
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}
