//! `indelible timeline`: everything that happened to one resource, oldest first.

use indelible_core::query::{Condition, Key, Order, Pattern, Query, Term, Value};
use jiff::tz::TimeZone;

use super::body::Body;
use super::output::{Format, Output, happened, outcome};
use super::search::{at_least_one, pages, tell_what_is_left};
use super::{Exit, Failure, Globals, reads};
use crate::http::Read;
use crate::search::{Clock, Cursor, DEADLINE, Hit, SearchRequest};
use crate::trail::Reader;

/// Show everything that happened to one resource, oldest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The resource, for example clinic.Patient/42
    #[arg(value_name = "TYPE/ID")]
    resource: String,
    /// Most records to show
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 500, value_parser = at_least_one)]
    limit: usize,
    /// Continue where an earlier timeline stopped
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let query = everything_about(&args.resource)?;
    let cursor = args.cursor.as_deref().map(str::parse::<Cursor>).transpose()?;
    let clock = Clock::system();
    let zone = clock.zone.clone();
    let dir = globals.data_dir()?;
    let mut reader = Reader::open(&dir)?;
    let result = pages(&mut reader, SearchRequest { query, limit: args.limit, cursor, clock, deadline: DEADLINE })?;
    reads::record(&dir, &Read::of_this_user("timeline", &args.resource, &result.canonical).count(result.rows.len()));
    let mut output = Output::stdout();
    match globals.format() {
        Format::Table => {
            for hit in &result.rows {
                write_entry(&mut output, hit, &zone)?;
            }
            output.flush()?;
        }
        format => output.result(&result, format, &zone)?,
    }
    tell_what_is_left(&result);
    Ok(Exit::Success)
}

fn everything_about(resource: &str) -> Result<Query, Failure> {
    let Some((resource_type, id)) = resource.split_once('/').filter(|(kind, id)| !kind.is_empty() && !id.is_empty()) else {
        return Err(
            Failure::new(Exit::Usage, format!("`{resource}` is not a resource")).help("write TYPE/ID, for example clinic.Patient/42")
        );
    };
    let value = Value::Resource { resource_type: resource_type.to_owned(), id: Pattern::Exact(id.to_owned()) };
    let term = Term { negated: false, key: Key::Resource, values: vec![value] };
    Ok(Query { condition: Some(Condition::Term(term)), order: Order::OldestFirst })
}

fn write_entry(output: &mut Output, hit: &Hit, zone: &TimeZone) -> std::io::Result<()> {
    let body = Body::parse(&hit.body);
    let action = body.action.as_deref().unwrap_or("-");
    let head =
        format!("{}  {}  {action}  {}  leaf {}", happened(&body, hit, zone), body.actor(), outcome(&body, &hit.verdict), hit.leaf_index);
    output.heading(&head)?;
    if let Some(reason) = &body.reason {
        output.text(&format!("    because: {reason}"))?;
    }
    body.diff().iter().try_for_each(|line| output.text(&format!("    {line}")))
}
