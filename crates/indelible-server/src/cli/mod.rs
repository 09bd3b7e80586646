//! The `indelible` command: reads its arguments, finds the data directory, runs one subcommand.
//!
//! Data goes to standard output and nothing else does. A table is for people, on a terminal; a pipe gets NDJSON.

mod actor;
mod body;
mod checkpoint;
mod client;
mod config;
mod doctor;
mod failure;
mod fields;
mod init;
mod link;
mod output;
mod reading;
mod reads;
mod receipt;
mod retention;
mod search;
mod serve;
mod show;
mod sink;
mod tail;
mod timeline;
mod trace;
mod verify;
mod version;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;

pub(crate) use body::{Body, Party};
pub(crate) use failure::{Exit, Failure};
pub(crate) use output::{Format, csv_text};

use crate::data_dir::DataDir;

/// The data directory of a host where nobody names one.
const SYSTEM_DATA_DIR: &str = "/var/lib/indelible";
/// The data directory of a project, looked for from the current folder upwards.
const PROJECT_DATA_DIR: &str = ".indelible";

/// An audit trail that can be defended.
#[derive(Debug, clap::Parser)]
#[command(name = "indelible", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand understands.
#[derive(Debug, clap::Args)]
pub(crate) struct Globals {
    /// Data directory [default: .indelible here or in a parent folder, else /var/lib/indelible]
    #[arg(long, global = true, value_name = "DIR", env = "INDELIBLE_DATA_DIR")]
    data: Option<PathBuf>,
    /// Output format [default: table on a terminal, ndjson in a pipe]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(serve::Args),
    Up(serve::UpArgs),
    Init(init::Args),
    Search(search::Args),
    Show(show::Args),
    Timeline(timeline::Args),
    Trace(trace::Args),
    Actor(actor::Args),
    Tail(tail::Args),
    Verify(verify::Args),
    Checkpoint(checkpoint::Args),
    Link(link::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    Sink(sink::Args),
    Retention(retention::Args),
    Version(version::Args),
}

impl Command {
    fn run(self, globals: &Globals) -> Result<Exit, Failure> {
        match self {
            Self::Serve(args) => serve::run(&args, globals),
            Self::Up(args) => serve::run_up(&args, globals),
            Self::Init(args) => init::run(&args, globals),
            Self::Search(args) => search::run(&args, globals),
            Self::Show(args) => show::run(&args, globals),
            Self::Timeline(args) => timeline::run(&args, globals),
            Self::Trace(args) => trace::run(&args, globals),
            Self::Actor(args) => actor::run(&args, globals),
            Self::Tail(args) => tail::run(&args, globals),
            Self::Verify(args) => verify::run(&args, globals),
            Self::Checkpoint(args) => checkpoint::run(&args, globals),
            Self::Link(args) => link::run(&args, globals),
            Self::Doctor(args) => doctor::run(&args, globals),
            Self::Config(args) => config::run(&args, globals),
            Self::Sink(args) => sink::run(&args, globals),
            Self::Retention(args) => retention::run(&args, globals),
            Self::Version(args) => version::run(&args, globals),
        }
    }
}

/// Runs the command line of this process and answers its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse_from(std::env::args_os().map(exclusion_as_word));
    cli.command.run(&cli.globals).unwrap_or_else(|failure| failure.report()).into()
}

/// Turns the exclusion `-key:value`, `-(` or `-"` into `NOT key:value`, since an argument with a hyphen would be an option. No
/// option of ours looks like that.
fn exclusion_as_word(argument: OsString) -> OsString {
    let excluded = argument.to_str().and_then(|text| text.strip_prefix('-')).filter(|text| {
        text.starts_with(['(', '"']) || text.split_once(':').is_some_and(|(key, _)| !key.is_empty() && !key.starts_with('-'))
    });
    excluded.map_or_else(|| argument.clone(), |text| format!("NOT {text}").into())
}

impl Globals {
    /// The data directory: the one named, else the nearest `.indelible` upwards, else the host's.
    pub(crate) fn data_dir(&self) -> Result<DataDir, Failure> {
        if let Some(named) = self.named_data_dir() {
            return Ok(named);
        }
        let here = std::env::current_dir()?;
        Ok(DataDir::new(project_dir(&here).unwrap_or_else(|| PathBuf::from(SYSTEM_DATA_DIR))))
    }

    /// The data directory that `--data` or the environment names.
    pub(crate) fn named_data_dir(&self) -> Option<DataDir> {
        self.data.as_ref().filter(|named| named.as_os_str() != OsStr::new("")).map(DataDir::new)
    }

    /// The format to write.
    pub(crate) fn format(&self) -> Format {
        self.output.unwrap_or_else(Format::for_stdout)
    }
}

/// Reads an address to listen on. Answers hold whole records, and nothing asks a client who it is, so only this host may connect.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "expected an address and a port, for example 127.0.0.1:8420".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("the agent listens on loopback only, for example on 127.0.0.1:8420".to_owned())
    }
}

fn project_dir(here: &Path) -> Option<PathBuf> {
    here.ancestors().map(|folder| folder.join(PROJECT_DATA_DIR)).find(|candidate| candidate.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_project_directory_upwards_is_found() {
        let temporary = tempfile::tempdir().unwrap();
        let deep = temporary.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(temporary.path().join(".indelible")).unwrap();
        assert_eq!(project_dir(&deep), Some(temporary.path().join(".indelible")));
        std::fs::create_dir(temporary.path().join("a/.indelible")).unwrap();
        assert_eq!(project_dir(&deep), Some(temporary.path().join("a/.indelible")));
    }

    #[test]
    fn an_exclusion_is_no_option_and_an_option_no_exclusion() {
        for (argument, read) in [
            ("-kind:read", "NOT kind:read"),
            ("-actor.type:user kind:read", "NOT actor.type:user kind:read"),
            ("-(kind:read)", "NOT (kind:read)"),
            ("-\"ticket 42\"", "NOT \"ticket 42\""),
            ("-n", "-n"),
            ("-n5", "-n5"),
            ("-ojson", "-ojson"),
            ("-24h", "-24h"),
            ("--listen=127.0.0.1:0", "--listen=127.0.0.1:0"),
            ("kind:read -actor:ana", "kind:read -actor:ana"),
        ] {
            assert_eq!(exclusion_as_word(argument.into()), OsStr::new(read));
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
