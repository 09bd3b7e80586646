//! `indelible link`: a one-time link to the pages of the running agent.

use std::io::{self, Write as _};
use std::time::Duration;

use super::{Exit, Failure, Globals, reads};
use crate::http::{LinkRequest, NewLink};

/// Print a link that opens the pages of the running agent in a browser, once, within ten minutes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let dir = globals.data_dir()?;
    let asked = LinkRequest { uid: Some(rustix::process::getuid().as_raw()) };
    let (address, answer) = reads::ask(&dir, "/v1/links", &asked)
        .map_err(|reason| Failure::new(Exit::Temporary, reason).help("`indelible up` runs an agent here and prints a link"))?;
    let link: NewLink =
        answer.into_body().read_json().map_err(|error| Failure::new(Exit::Failed, format!("the agent at {address}: {error}")))?;
    writeln!(io::stdout().lock(), "http://{address}{}", link.path)?;
    eprintln!("opens once, within {} minutes", Duration::from_secs(link.lifetime_seconds).as_secs() / 60);
    Ok(Exit::Success)
}
