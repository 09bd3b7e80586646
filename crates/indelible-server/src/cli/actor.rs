//! `indelible actor`: who somebody is to the trail, and what they did, newest first.

use std::collections::BTreeSet;

use indelible_core::query::{Key, Order, Pattern, Value};
use serde_json::Value as Json;

use super::body::Body;
use super::output::{Format, Output, happened};
use super::reading::{Listing, Reading, all_with, at_least_one};
use super::{Exit, Failure, Globals};
use crate::search::{PAGE_RECORDS, SearchResult};

/// Most values of one line of the summary.
const VALUES_MAX: usize = 8;

/// Show who an actor is and what they did, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id or label of the actor
    #[arg(value_name = "ID")]
    id: String,
    /// Most records to show
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = PAGE_RECORDS, value_parser = at_least_one)]
    limit: usize,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    if args.id.is_empty() {
        return Err(Failure::new(Exit::Usage, "the id of the actor is empty")
            .help("`indelible search actor:none` shows what nobody in particular did"));
    }
    let reading = Reading::open(globals)?;
    let query = all_with(Key::Actor, Value::Text(Pattern::Exact(args.id.clone())), Order::NewestFirst);
    let result = reading.find(query, args.limit, &args.listing)?;
    reading.record("actor", &args.id, &result);
    let format = globals.format();
    if format == Format::Table && args.listing.fields.is_none() && !result.rows.is_empty() {
        let mut output = Output::stdout();
        write_summary(&mut output, &result, &reading)?;
    }
    reading.write(&result, &args.listing, format)?;
    Ok(Exit::Success)
}

/// What the records that follow say about the actor.
fn write_summary(output: &mut Output, result: &SearchResult, reading: &Reading) -> std::io::Result<()> {
    let bodies: Vec<_> = result.rows.iter().map(|hit| Body::parse(&hit.body)).collect();
    let names: BTreeSet<_> = bodies.iter().map(Body::actor).collect();
    output.heading(&names.into_iter().collect::<Vec<_>>().join(", "))?;
    let times = |index: usize| happened(&bodies[index], &result.rows[index], &reading.zone());
    let last = result.rows.len() - 1;
    output.text(&format!("{:<12} {} records, {} to {}", "shown", result.rows.len(), times(last), times(0)))?;
    for (name, pointer) in [("sessions", "/actor/session"), ("addresses", "/request/client_ip"), ("agents", "/request/user_agent")] {
        let values = distinct(result, pointer);
        if !values.is_empty() {
            output.text(&format!("{name:<12} {}", values.join(", ")))?;
        }
    }
    output.text("")
}

/// The different texts at a place of the bodies, the newest first.
fn distinct(result: &SearchResult, pointer: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for hit in &result.rows {
        let body: Json = serde_json::from_slice(&hit.body).unwrap_or_default();
        let Some(text) = body.pointer(pointer).and_then(Json::as_str) else { continue };
        if values.iter().all(|known| known != text) {
            values.push(text.to_owned());
        }
    }
    let more = values.len().saturating_sub(VALUES_MAX);
    values.truncate(VALUES_MAX);
    if more > 0 {
        values.push(format!("and {more} more"));
    }
    values
}
