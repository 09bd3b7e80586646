//! `indelible search`: finds records.

use indelible_core::query::{Condition, Order, Query};
use serde::Serialize;

use super::output::{Format, Output, Table, tell};
use super::reading::{self, Listing, Reading, at_least_one};
use super::{Exit, Failure, Globals, reads};
use crate::http::Read;
use crate::search::{Counted, CountedDocument, PAGE_RECORDS, SearchResult, TOP_MAX, TopDocument, top, total};

/// Find records, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look for, for example 'actor:ana kind:change created:>-24h'
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Most records to show
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = PAGE_RECORDS, value_parser = at_least_one)]
    limit: usize,
    #[command(flatten)]
    listing: Listing,
    /// Oldest first, like sort:created-asc
    #[arg(long)]
    asc: bool,
    /// Show how many records there are instead of the records
    #[arg(long, conflicts_with_all = ["limit", "cursor", "fields", "explain", "facet"])]
    count: bool,
    /// Show the most frequent values of a key, for example actor, instead of the records; at most 100
    #[arg(long, value_name = "KEY", conflicts_with_all = ["cursor", "fields", "explain", "asc"])]
    facet: Option<String>,
    /// Show what the query means and how it is answered instead of the records
    #[arg(long, conflicts_with_all = ["limit", "cursor", "fields"])]
    explain: bool,
    /// Exit with 3 when nothing was found
    #[arg(short = 'e', long)]
    exit_status: bool,
}

/// What a query means, and what its first page cost.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    canonical: &'a str,
    from: Option<String>,
    before: Option<String>,
    zone: String,
    order: &'static str,
    conditions: Vec<String>,
    work: WorkDone,
}

/// What a search had to do, as docs/search.md explains it.
#[derive(Debug, Serialize)]
struct WorkDone {
    files_opened: u64,
    files: u64,
    stretches: u64,
    stretches_skipped: u64,
    lookups: u64,
    candidates: u64,
    records_read: u64,
    records_found: usize,
}

/// One frequent value.
#[derive(Debug, Serialize)]
struct Frequent<'a> {
    value: &'a str,
    count: u64,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let text = args.query.join(" ");
    let mut query = reading::query(&text)?;
    if args.asc {
        query.order = Order::OldestFirst;
    }
    let reading = Reading::open(globals)?;
    let format = globals.format();
    if args.count {
        return count(args, &reading, query, &text, format);
    }
    if let Some(key) = &args.facet {
        return facet(args, key, &reading, query, &text, format);
    }
    if args.explain {
        return explain(args, &reading, query, &text, format);
    }
    let result = reading.find(query, args.limit, &args.listing)?;
    reading.record("search", &text, &result);
    reading.write(&result, &args.listing, format)?;
    Ok(args.exit(result.rows.is_empty()))
}

impl Args {
    fn exit(&self, found_nothing: bool) -> Exit {
        if found_nothing && self.exit_status { Exit::NothingFound } else { Exit::Success }
    }
}

fn count(args: &Args, reading: &Reading, query: Query, text: &str, format: Format) -> Result<Exit, Failure> {
    let counted = total(&reading.reader, &reading.to_count(query, &args.listing)?)?;
    reads::record(&reading.dir, &Read::of_this_user("count", text, &counted.canonical).within(&counted.range));
    let mut output = Output::stdout();
    match format {
        Format::Table => output.text(&counted.matches.to_string())?,
        Format::Json | Format::Ndjson => output.json(&CountedDocument::new(&counted))?,
        Format::Csv => {
            output.csv(&["matches", "approx", "partial"])?;
            output.csv(&[counted.matches.to_string(), counted.approx.to_string(), counted.partial.to_string()])?;
        }
    }
    output.flush()?;
    tell_what_is_missing(&counted);
    Ok(args.exit(counted.matches == 0))
}

fn facet(args: &Args, key: &str, reading: &Reading, query: Query, text: &str, format: Format) -> Result<Exit, Failure> {
    let found = top(&reading.reader, &reading.to_count(query, &args.listing)?, key, args.limit.min(TOP_MAX))?;
    let read = Read::of_this_user("top", text, &found.counted.canonical).within(&found.counted.range);
    reads::record(&reading.dir, &read.count(found.values.len()));
    let mut output = Output::stdout();
    let rows = || found.values.iter().map(|(value, count)| vec![value.clone(), count.to_string()]);
    match format {
        Format::Table => {
            let heading = vec![key.to_uppercase(), "COUNT".to_owned()];
            Table::of(std::iter::once(heading).chain(rows())).write(&mut output)?;
        }
        Format::Json => output.json(&TopDocument::new(&found, key))?,
        Format::Ndjson => found.values.iter().try_for_each(|(value, count)| output.json(&Frequent { value, count: *count }))?,
        Format::Csv => {
            output.csv(&["value", "count"])?;
            rows().try_for_each(|row| output.csv(&row))?;
        }
    }
    output.flush()?;
    tell_what_is_missing(&found.counted);
    Ok(args.exit(found.values.is_empty()))
}

fn tell_what_is_missing(counted: &Counted) {
    if counted.partial {
        tell("at least: the time was up, and only the newest part was counted; narrow the query for the exact number");
    }
}

fn explain(args: &Args, reading: &Reading, query: Query, text: &str, format: Format) -> Result<Exit, Failure> {
    if format == Format::Csv {
        return Err(Failure::new(Exit::Usage, "an explanation has no CSV form").help("use -o json"));
    }
    let query = args.listing.narrowed(query)?;
    let result = reading.first_page(query.clone())?;
    reads::record(&reading.dir, &Read::of_this_user("explain", text, &result.canonical).within(&result.range).count(0));
    let explanation = Explanation {
        canonical: &result.canonical,
        from: result.range.from.map(|time| time.to_string()),
        before: result.range.before.map(|time| time.to_string()),
        zone: reading.zone_name(),
        order: if query.order == Order::OldestFirst { "oldest first" } else { "newest first" },
        conditions: query.parts().iter().map(Condition::to_string).collect(),
        work: WorkDone::of(&result),
    };
    let mut output = Output::stdout();
    match format {
        Format::Table => explanation.write(&mut output)?,
        _ => output.json(&explanation)?,
    }
    output.flush()?;
    Ok(Exit::Success)
}

impl WorkDone {
    fn of(result: &SearchResult) -> Self {
        let work = &result.work;
        Self {
            files_opened: work.files,
            files: work.files_total,
            stretches: work.spans,
            stretches_skipped: work.spans_skipped,
            lookups: work.lookups,
            candidates: work.candidates,
            records_read: work.tested,
            records_found: result.rows.len(),
        }
    }
}

impl Explanation<'_> {
    fn write(&self, output: &mut Output) -> std::io::Result<()> {
        let open = || "open".to_owned();
        let everything = || "(everything)".to_owned();
        let canonical = if self.canonical.is_empty() { everything() } else { self.canonical.to_owned() };
        output.text(&format!("{:<12} {canonical}", "query"))?;
        output.text(&format!("{:<12} {}", "from", self.from.clone().unwrap_or_else(open)))?;
        output.text(&format!("{:<12} {}", "before", self.before.clone().unwrap_or_else(open)))?;
        output.text(&format!("{:<12} {}", "zone", self.zone))?;
        output.text(&format!("{:<12} {}", "order", self.order))?;
        self.conditions.iter().try_for_each(|condition| output.text(&format!("{:<12} {condition}", "must hold")))?;
        let WorkDone { files_opened, files, stretches, stretches_skipped, lookups, candidates, records_read, records_found } = &self.work;
        output.text(&format!(
            "{:<12} {files_opened} of {files} files, {stretches} stretches of the index, {stretches_skipped} of them skipped",
            "opened"
        ))?;
        output.text(&format!("{:<12} {candidates} candidates by {lookups} lookups", "index"))?;
        output.text(&format!("{:<12} {records_read}, of which the first page holds {records_found}", "records read"))
    }
}
