//! `indelible verify --proof`: what the receipt of one record proves to somebody who does not have the trail.

use std::path::Path;

use indelible_core::{Checkpoint, Receipt};
use serde::Serialize;
use serde_json::value::RawValue;

use super::output::Output;
use super::{Exit, Failure, Format, Globals};
use crate::keys::read_verifier;
use crate::verify::{Proved, check_receipt};

/// The result in machine formats.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_hash: Option<String>,
    /// The body, where the receipt shows it and it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    message: String,
}

pub(super) fn run(path: &Path, key: Option<&Path>, globals: &Globals) -> Result<Exit, Failure> {
    let proved = match trusted_key(key, globals) {
        Ok(key) => check_receipt(path, &key),
        Err(reason) => Proved::CouldNotCheck(reason),
    };
    let body = body(&proved);
    let line = line(&proved, body.as_deref());
    let mut output = Output::stdout();
    match globals.format() {
        Format::Table | Format::Csv => {
            output.text(&line.message)?;
            body.iter().try_for_each(|body| output.text(body))?;
        }
        Format::Json | Format::Ndjson => output.json(&line)?,
    }
    output.flush()?;
    Ok(match proved {
        Proved::Proved(..) => Exit::Success,
        Proved::Refuted(_) => Exit::Tampered,
        Proved::CouldNotCheck(_) => Exit::CouldNotCheck,
    })
}

/// The key that was named, else that of the trail here.
fn trusted_key(named: Option<&Path>, globals: &Globals) -> Result<indelible_core::VerifierKey, String> {
    if let Some(path) = named {
        return read_verifier(path).map_err(|error| error.to_string());
    }
    let dir = globals.data_dir().map_err(|failure| failure.to_string())?;
    read_verifier(&dir.verifier()).map_err(|error| format!("{error}; name the verifier key of the trail with --key"))
}

fn body(proved: &Proved) -> Option<String> {
    let Proved::Proved(receipt, _) = proved else { return None };
    receipt.disclosed.as_ref().map(|shown| String::from_utf8_lossy(&shown.body).into_owned())
}

fn line<'a>(proved: &'a Proved, body: Option<&'a str>) -> Line<'a> {
    match proved {
        Proved::Proved(receipt, checkpoint) => {
            Line { event: body.and_then(|body| serde_json::from_str(body).ok()), ..proved_line(receipt, checkpoint) }
        }
        Proved::Refuted(reason) => Line { result: "tampered", message: format!("tampered: {reason}"), ..Line::default() },
        Proved::CouldNotCheck(reason) => {
            Line { result: "could_not_check", message: format!("could not check: {reason}"), ..Line::default() }
        }
    }
}

fn proved_line<'a>(receipt: &Receipt, checkpoint: &Checkpoint) -> Line<'a> {
    let (entry, leaf) = (&receipt.entry, receipt.proof.leaf_index);
    let root_hash = checkpoint.root_hash.to_base64();
    let shown = if receipt.disclosed.is_some() { "its body is the one below" } else { "its body is not shown" };
    Line {
        result: "proved",
        origin: Some(checkpoint.origin.to_string()),
        leaf: Some(leaf),
        id: Some(entry.event.to_string()),
        verdict: Some(entry.verdict.as_str()),
        recorded_at: Some(entry.recorded_at.to_string()),
        received_at: Some(entry.received_at.to_string()),
        tree_size: Some(checkpoint.tree_size),
        message: format!(
            "proved: event {} is leaf {leaf} of {} under its checkpoint of {} records, root {root_hash}; {shown}",
            entry.event, checkpoint.origin, checkpoint.tree_size
        ),
        root_hash: Some(root_hash),
        ..Line::default()
    }
}
