//! `indelible show`: one record, whole, and whether it still is what its leaf committed to.

use std::io::Write as _;

use jiff::tz::TimeZone;

use super::body::{Body, Change, shown};
use super::output::{Format, Output, Table, happened};
use super::reading::Reading;
use super::{Exit, Failure, Globals, reads};
use crate::http::Read;
use crate::retention::Purge;
use crate::search::{Check, Document, Hit, StoredRecord, Wanted, find, zone_name};
use crate::verify::receipt;

/// Show one record: what happened, what changed, and its leaf
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Event id, its first digits, or the number of a leaf; digits alone are a leaf, with `*` behind them an id
    #[arg(value_name = "ID")]
    id: String,
    /// Print instead its receipt (C2SP tlog-proof), which `indelible verify --proof` checks without the trail
    #[arg(long, conflicts_with_all = ["diff", "web"])]
    proof: bool,
    /// How to show what changed: both values beside each other, or below each other
    #[arg(long, value_name = "FORM")]
    diff: Option<Diff>,
    /// Print instead the address of the page about it
    #[arg(long, conflicts_with = "diff")]
    web: bool,
}

/// How a change is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Diff {
    /// Values beside each other
    Split,
    /// Values below each other
    Unified,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let format = globals.format();
    if format == Format::Csv && !args.web && !args.proof {
        return Err(Failure::new(Exit::Usage, "one record has no CSV form").help("use -o json, or search for its id with -o csv"));
    }
    let wanted = Wanted::parse(&args.id)?;
    let reading = Reading::open(globals)?;
    let record = find(&reading.reader, &wanted, &args.id)?;
    let instead = args.instead(&reading, &record)?;
    reads::record(&reading.dir, &Read::of_this_user("show", &args.id, &record.query()).count(1));
    if let Some(text) = instead {
        write!(std::io::stdout().lock(), "{text}")?;
        return Ok(Exit::Success);
    }
    let check = Check::of(&record);
    let mut output = Output::stdout();
    match format {
        Format::Table => write_for_people(&mut output, &record, &check, args.diff)?,
        _ => output.json(&Document::new(&record, &check))?,
    }
    output.flush()?;
    Ok(if check.holds() { Exit::Success } else { Exit::Tampered })
}

impl Args {
    /// What is printed instead of the record: what a stranger needs in order to know that it is in the trail, or an address.
    fn instead(&self, reading: &Reading, record: &StoredRecord) -> Result<Option<String>, Failure> {
        if self.proof {
            return Ok(Some(receipt(&reading.dir, &reading.reader, record.hit.leaf_index)?.to_string()));
        }
        if self.web {
            let page = reading.page(&format!("events/{}", record.event()))?;
            return Ok(Some(page + "\n"));
        }
        Ok(None)
    }
}

fn write_for_people(output: &mut Output, record: &StoredRecord, check: &Check, diff: Option<Diff>) -> std::io::Result<()> {
    let StoredRecord { hit, .. } = record;
    let body = Body::of(hit);
    let erased = record.purge.as_ref().map_or_else(|| "by nothing that the trail names".to_owned(), Purge::sentence);
    let erased = hit.erased.then(|| format!("erased {erased}"));
    output.heading(erased.as_ref().unwrap_or(&body.sentence()))?;
    write_changes(output, &body.changes(), diff)?;
    output.text("")?;
    for (name, value) in facts(hit, &body, &TimeZone::system()).into_iter().chain(leaf_facts(hit, check)) {
        output.text(&format!("{name:<12} {value}"))?;
    }
    output.text("")?;
    output.text(&String::from_utf8_lossy(&hit.body))
}

fn write_changes(output: &mut Output, changes: &[Change], diff: Option<Diff>) -> std::io::Result<()> {
    match diff {
        Some(Diff::Split) if !changes.is_empty() => {
            let heading = ["FIELD", "BEFORE", "AFTER"].map(str::to_owned).to_vec();
            Table::of(std::iter::once(heading).chain(changes.iter().map(beside))).write(output)
        }
        Some(Diff::Unified) => changes.iter().flat_map(below).try_for_each(|line| output.text(&format!("    {line}"))),
        _ => changes.iter().try_for_each(|change| output.text(&format!("    {}", change.line()))),
    }
}

fn beside(change: &Change) -> Vec<String> {
    let field = change.field.clone().unwrap_or_default();
    let (old, new) = change.sides.clone().unwrap_or_else(|| (String::new(), change.text.clone()));
    vec![field, old, new]
}

fn below(change: &Change) -> Vec<String> {
    match (&change.field, &change.sides) {
        (Some(field), Some((old, new))) => vec![field.clone(), format!("  - {old}"), format!("  + {new}")],
        _ => vec![change.line()],
    }
}

/// What the body says, one line for each part that is there.
fn facts(hit: &Hit, body: &Body, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let mut facts = vec![("happened", format!("{} ({})", happened(body, hit, zone), zone_name(zone, jiff::Timestamp::now())))];
    let texts =
        [("id", &body.id), ("kind", &body.kind), ("recorded", &body.recorded_at), ("trace", &body.trace_id), ("tenant", &body.tenant)];
    facts.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    let values = [("error", &body.error), ("request", &body.request), ("meta", &body.meta), ("notes", &body.notes)];
    facts.extend(values.into_iter().filter_map(|(name, value)| Some((name, shown(value.as_ref()?).into_owned()))));
    if let Some(source) = &body.source {
        let parts = [&source.service, &source.version, &source.environment, &source.process_kind, &source.host];
        let parts: Vec<_> = parts.into_iter().flatten().filter(|part| !part.is_empty()).cloned().collect();
        facts.push(("source", parts.join(" · ")));
    }
    facts
}

/// What the leaf says.
fn leaf_facts(hit: &Hit, check: &Check) -> Vec<(&'static str, String)> {
    let mut facts = vec![("leaf", hit.leaf_index.to_string()), ("verdict", hit.verdict.clone()), ("received", hit.received_at.to_string())];
    if let Some(entry) = &check.entry {
        let place = format!("{} (its leaf {}, frame {}, item {})", entry.stream, entry.stream_index, entry.sequence, entry.item);
        facts.push(("stream", place));
        facts.push(("commitment", entry.commitment.to_string()));
    }
    facts.push(("check", check.sentence().to_owned()));
    facts
}
