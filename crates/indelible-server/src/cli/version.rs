//! `indelible version`.

use std::io::{self, Write as _};

use super::{Exit, Failure, Format, Globals};

/// Print the version
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = io::stdout().lock();
    match globals.format() {
        Format::Table | Format::Csv => writeln!(out, "indelible {version}")?,
        Format::Json | Format::Ndjson => writeln!(out, r#"{{"name":"indelible","version":"{version}"}}"#)?,
    }
    Ok(Exit::Success)
}
