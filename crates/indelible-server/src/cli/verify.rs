//! `indelible verify`: intact, tampered at N, or could not check.

use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use super::{Exit, Failure, Format, Globals, reads, receipt};
use crate::http::Read;
use crate::verify::{Intact, Report, StateCheck, Trust, verify};

/// Recompute the trail and compare it with what was signed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leaves to check alone, for example 1000..2000, which is 1000 to 1999 [default: the whole trail]
    #[arg(value_name = "RANGE", value_parser = leaves, conflicts_with_all = ["proof", "deep"])]
    range: Option<Range<u64>>,
    /// File with the verifier key to trust [default: the trail's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Checkpoint that was kept elsewhere, as `indelible checkpoint` printed it
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Also build the index of sealed files again and compare it, which their seals vouch for otherwise
    #[arg(long, conflicts_with = "proof")]
    deep: bool,
    /// Check this receipt, as `indelible show ID --proof` printed it, instead of the trail; the trail need not be there
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    proof: Option<PathBuf>,
}

/// The report in machine formats.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_leaf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_leaf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<u64>,
    message: String,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    match &args.proof {
        Some(receipt) => receipt::run(receipt, args.key.as_deref(), globals),
        None => run_on_trail(args, globals),
    }
}

fn run_on_trail(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let trust = Trust { key: args.key.clone(), against: args.against.clone(), deep: args.deep, range: args.range.clone() };
    let dir = globals.data_dir()?;
    let report = verify(&dir, &trust);
    let line = line(&report);
    reads::record(&dir, &Read::of_a_verification(line.result));
    let mut out = io::stdout().lock();
    match globals.format() {
        Format::Table | Format::Csv => writeln!(out, "{}", line.message)?,
        Format::Json | Format::Ndjson => writeln!(out, "{}", serde_json::to_string(&line).map_err(io::Error::from)?)?,
    }
    Ok(match report {
        Report::Intact(_) => Exit::Success,
        Report::Tampered(_) => Exit::Tampered,
        Report::CouldNotCheck(_) => Exit::CouldNotCheck,
    })
}

fn line(report: &Report) -> Line<'_> {
    match report {
        Report::Intact(intact) => Line {
            result: "intact",
            origin: Some(&intact.origin),
            tree_size: Some(intact.tree_size),
            root_hash: Some(intact.root_hash.to_base64()),
            unsigned: Some(intact.unsigned),
            against: intact.against,
            first_leaf: intact.range.as_ref().map(|range| range.start),
            last_leaf: intact.range.as_ref().map(|range| range.end - 1),
            message: intact_message(intact),
            ..Line::default()
        },
        Report::Tampered(fault) => Line {
            result: "tampered",
            kind: Some(fault.kind.as_str()),
            first_leaf: fault.leaves.as_ref().map(|leaves| leaves.start),
            last_leaf: fault.leaves.as_ref().map(|leaves| leaves.end - 1),
            event: fault.event.map(|event| event.to_string()),
            file: fault.file.as_deref(),
            verified: Some(fault.verified),
            message: fault.to_string(),
            ..Line::default()
        },
        Report::CouldNotCheck(reason) => {
            Line { result: "could_not_check", message: format!("could not check: {reason}"), ..Line::default() }
        }
    }
}

/// Reads `FIRST..END`, where the last leaf is the one before END.
fn leaves(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    let range = range.ok_or_else(|| "expected two leaf numbers, for example 1000..2000".to_owned())?;
    if range.is_empty() { Err("there is no leaf between these numbers".to_owned()) } else { Ok(range) }
}

fn intact_message(intact: &Intact) -> String {
    let root = intact.root_hash.to_base64();
    let mut message = match &intact.range {
        None => format!("intact: {} records, root {root}", intact.tree_size),
        Some(range) => format!(
            "intact: records {} to {} are under the checkpoint of {} records, root {root}; nothing else was checked",
            range.start,
            range.end - 1,
            intact.tree_size
        ),
    };
    if intact.unsigned > 0 {
        message.push_str(&format!("; {} more are not signed yet", intact.unsigned));
    }
    if intact.state == StateCheck::OneBatchAhead {
        message.push_str("; the newest batch was committed and not signed yet: start the agent to sign it");
    }
    match intact.against {
        Some(tree_size) => message.push_str(&format!("; it continues the kept checkpoint of {tree_size} records")),
        None => message.push_str("; no outside checkpoint was given, so a trail that was replaced as a whole would look the same"),
    }
    message
}
