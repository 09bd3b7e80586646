//! `indelible show`: one record, whole, and whether it still is what its leaf committed to.

use jiff::tz::TimeZone;

use super::body::{Body, shown};
use super::output::{Format, Output, happened};
use super::{Exit, Failure, Globals, reads};
use crate::http::Read;
use crate::search::{Check, Document, Hit, StoredRecord, Wanted, find, zone_name};
use crate::trail::Reader;

/// Show one record: what happened, what changed, and its leaf
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Event id, its first digits, or the number of a leaf; digits alone are a leaf, with `*` behind them an id
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let format = globals.format();
    if format == Format::Csv {
        return Err(Failure::new(Exit::Usage, "one record has no CSV form").help("use -o json, or search for its id with -o csv"));
    }
    let wanted = Wanted::parse(&args.id)?;
    let dir = globals.data_dir()?;
    let record = find(&Reader::open(&dir)?, &wanted, &args.id)?;
    reads::record(&dir, &Read::of_this_user("show", &args.id, &record.query()).count(1));
    let check = Check::of(&record);
    let mut output = Output::stdout();
    match format {
        Format::Table => write_for_people(&mut output, &record, &check)?,
        _ => output.json(&Document::new(&record, &check))?,
    }
    output.flush()?;
    Ok(if check.holds() { Exit::Success } else { Exit::Tampered })
}

fn write_for_people(output: &mut Output, record: &StoredRecord, check: &Check) -> std::io::Result<()> {
    let StoredRecord { hit, .. } = record;
    let body = Body::parse(&hit.body);
    output.heading(&body.sentence())?;
    body.diff().iter().try_for_each(|line| output.text(&format!("    {line}")))?;
    output.text("")?;
    for (name, value) in facts(hit, &body, &TimeZone::system()).into_iter().chain(leaf_facts(hit, check)) {
        output.text(&format!("{name:<12} {value}"))?;
    }
    output.text("")?;
    output.text(&String::from_utf8_lossy(&hit.body))
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
