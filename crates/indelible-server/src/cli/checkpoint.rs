//! `indelible checkpoint`: the newest signed tree head and the key, to be kept where nobody who can change the trail can reach.

use std::io::{self, Write as _};

use indelible_core::Checkpoint;

use super::{Exit, Failure, Globals};
use crate::keys::read_verifier;

/// Print the newest checkpoint and the verifier key, to be kept elsewhere for `verify --against`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let dir = globals.data_dir()?;
    let key = read_verifier(&dir.verifier()).map_err(|error| Failure::new(Exit::CouldNotCheck, error))?;
    let path = dir.checkpoint();
    let note = std::fs::read(&path).map_err(|error| Failure::new(Exit::CouldNotCheck, format!("{}: {error}", path.display())))?;
    if let Err(error) = Checkpoint::open(&note, &key) {
        let failure = Failure::new(Exit::Tampered, format!("{}: {error}", path.display()));
        return Err(failure.help("run `indelible verify`; a checkpoint that the trail's key did not sign is worth nothing"));
    }
    let mut out = io::stdout().lock();
    out.write_all(&note)?;
    writeln!(out, "\n{key}")?;
    Ok(Exit::Success)
}
