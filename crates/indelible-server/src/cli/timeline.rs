//! `indelible timeline`: everything that happened to one resource, oldest first.

use indelible_core::query::{Key, Order, Pattern, Query, Value};
use jiff::tz::TimeZone;

use super::body::Body;
use super::output::{Format, Output, happened, outcome};
use super::reading::{Listing, Reading, all_with, at_least_one, in_address, tell_what_is_left};
use super::{Exit, Failure, Globals};
use crate::search::{Hit, SearchResult};

/// Show everything that happened to one resource, oldest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The resource, for example clinic.Patient/42
    #[arg(value_name = "TYPE/ID")]
    resource: String,
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
    let query = everything_about(&args.resource)?;
    let reading = Reading::open(globals)?;
    if args.web {
        let page = reading.page(&format!("objects/{}", in_address(&args.resource)))?;
        Output::stdout().text(&page)?;
        return Ok(Exit::Success);
    }
    let result = reading.find(query, args.limit, &args.listing)?;
    reading.record("timeline", &args.resource, &result);
    write_entries(&reading, &result, &args.listing, globals)?;
    Ok(Exit::Success)
}

/// Writes records with what changed for people, or as any other list where a format or columns were asked for.
pub(super) fn write_entries(reading: &Reading, result: &SearchResult, listing: &Listing, globals: &Globals) -> Result<(), Failure> {
    match globals.format() {
        Format::Table if listing.fields.is_none() => {
            let mut output = Output::stdout();
            result.rows.iter().try_for_each(|hit| write_entry(&mut output, hit, &reading.zone()))?;
            output.flush()?;
            tell_what_is_left(result, Format::Table);
        }
        format => reading.write(result, listing, format)?,
    }
    Ok(())
}

fn everything_about(resource: &str) -> Result<Query, Failure> {
    let Some((resource_type, id)) = resource.split_once('/').filter(|(kind, id)| !kind.is_empty() && !id.is_empty()) else {
        return Err(
            Failure::new(Exit::Usage, format!("`{resource}` is not a resource")).help("write TYPE/ID, for example clinic.Patient/42")
        );
    };
    let value = Value::Resource { resource_type: resource_type.to_owned(), id: Pattern::Exact(id.to_owned()) };
    Ok(all_with(Key::Resource, value, Order::OldestFirst))
}

/// Writes one record with what changed, for people.
fn write_entry(output: &mut Output, hit: &Hit, zone: &TimeZone) -> std::io::Result<()> {
    let body = Body::of(hit);
    let action = body.action.as_deref().unwrap_or("-");
    let head =
        format!("{}  {}  {action}  {}  leaf {}", happened(&body, hit, zone), body.actor(), outcome(&body, &hit.verdict), hit.leaf_index);
    output.heading(&head)?;
    if let Some(reason) = &body.reason {
        output.text(&format!("    because: {reason}"))?;
    }
    body.diff().iter().try_for_each(|line| output.text(&format!("    {line}")))
}
