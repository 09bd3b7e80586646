//! `indelible checkpoint`: the newest signed tree head and the key, to be kept where nobody who can change the trail can reach.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use indelible_core::Checkpoint;

use super::{Exit, Failure, Globals};
use crate::data_dir::DataDir;
use crate::keys::read_verifier;
use crate::trail::Reader;
use crate::verify::growth;

/// Print the newest checkpoint and the verifier key, to be kept elsewhere for `verify --against`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print instead the proof that the trail grew out of this checkpoint, as `indelible checkpoint` printed it, and check it
    #[arg(long, value_name = "FILE")]
    consistency_from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let dir = globals.data_dir()?;
    match &args.consistency_from {
        Some(kept) => print_growth(&dir, kept),
        None => print_newest(&dir),
    }
}

fn print_growth(dir: &DataDir, kept: &Path) -> Result<Exit, Failure> {
    let growth = growth(dir, &Reader::open(dir)?, kept)?;
    write!(io::stdout().lock(), "{growth}")?;
    let (old, new) = (growth.old_size, growth.new_size);
    eprintln!("consistent: the trail of {new} records grew out of the kept checkpoint of {old}, and no record under that was changed");
    Ok(Exit::Success)
}

fn print_newest(dir: &DataDir) -> Result<Exit, Failure> {
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
