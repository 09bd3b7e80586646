//! `indelible sink`: how the sinks of the running agent are, and commands to them.

use std::io::{self, Write as _};

use serde_json::Value as Json;

use super::client::Agent;
use super::output::escaped;
use super::{Exit, Failure, Format, Globals};
use crate::http::SinkOrder;
use crate::sink::{DeadLetter, Health};

/// Show the sinks of the running agent, test them, pause, resume and replay them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show how every sink is
    List {
        /// Exit with 7 when a sink is in trouble
        #[arg(long)]
        strict: bool,
    },
    /// See whether the destination takes something now
    Test { name: String },
    /// Deliver nothing until told to resume
    Pause { name: String },
    /// Deliver again after a pause
    Resume { name: String },
    /// Deliver again from a leaf on
    Replay {
        name: String,
        /// First leaf
        #[arg(long, value_name = "LEAF")]
        from: u64,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the events that the destination refused, try them again, or forget them
    Dead {
        name: String,
        /// Try all of them again
        #[arg(long, conflicts_with = "discard")]
        replay: bool,
        /// Forget all of them; the records stay in the trail
        #[arg(long, requires = "yes")]
        discard: bool,
        /// Yes, forget them
        #[arg(long)]
        yes: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let agent = Agent::of(&globals.data_dir()?, "sinks belong to the agent: start it with `indelible serve`")?;
    let format = globals.format();
    match &args.command {
        Command::List { strict } => list(&agent, *strict, format),
        Command::Test { name } => order(&agent, name, "test", None, false, format),
        Command::Pause { name } => order(&agent, name, "pause", None, false, format),
        Command::Resume { name } => order(&agent, name, "resume", None, false, format),
        Command::Replay { name, from, dry_run } => order(&agent, name, "replay", Some(*from), *dry_run, format),
        Command::Dead { name, replay: true, dry_run, .. } => order(&agent, name, "replay-dead", None, *dry_run, format),
        Command::Dead { name, discard: true, dry_run, .. } => order(&agent, name, "discard-dead", None, *dry_run, format),
        Command::Dead { name, .. } => dead(&agent, name, format),
    }
}

fn list(agent: &Agent, strict: bool, format: Format) -> Result<Exit, Failure> {
    let sinks: Vec<Health> = agent.get("/v1/sinks")?;
    rows(&sinks, format, &["NAME", "TYPE", "SHAPE", "STATE", "NEXT LEAF", "LAG", "DEAD", "LAST ERROR"], |sink| {
        let lag = format!("{} ({:.1} s)", sink.lag_records, sink.lag_seconds);
        let error = sink.last_error.clone().unwrap_or_else(|| "-".to_owned());
        let (name, sink_type, shape) = (sink.name.clone(), sink.r#type.clone(), sink.shape.clone());
        vec![name, sink_type, shape, sink.state.as_str().to_owned(), sink.next_leaf.to_string(), lag, sink.dead_letters.to_string(), error]
    })?;
    if sinks.is_empty() {
        eprintln!("no sink is configured: docs/sinks.md says how");
    }
    let is_trouble = sinks.iter().any(|sink| sink.state.is_trouble() || sink.dead_letters > 0);
    Ok(if strict && is_trouble { Exit::Degraded } else { Exit::Success })
}

fn dead(agent: &Agent, name: &str, format: Format) -> Result<Exit, Failure> {
    let letters: Vec<DeadLetter> = agent.get(&format!("/v1/sinks/{}/dead", in_path(name)?))?;
    rows(&letters, format, &["LEAF", "EVENT", "REFUSED AT", "REASON"], |letter| {
        vec![letter.leaf.to_string(), letter.event.clone(), letter.rejected_at.clone(), letter.reason.clone()]
    })?;
    Ok(Exit::Success)
}

/// Writes rows: aligned columns for people, JSON for programs.
pub(super) fn rows<T: serde::Serialize>(rows: &[T], format: Format, heading: &[&str], cells: impl Fn(&T) -> Vec<String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string(rows)?),
        Format::Ndjson => rows.iter().try_for_each(|row| writeln!(out, "{}", serde_json::to_string(row)?)),
        Format::Table | Format::Csv => {
            let heading = heading.iter().map(|&cell| cell.to_owned()).collect();
            let table: Vec<Vec<String>> = std::iter::once(heading).chain(rows.iter().map(cells)).collect();
            let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            table.iter().try_for_each(|row| {
                let cells: Vec<_> = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column))).collect();
                writeln!(out, "{}", escaped(cells.join("  ").trim_end()))
            })
        }
    }
}

fn order(agent: &Agent, name: &str, word: &str, from: Option<u64>, dry_run: bool, format: Format) -> Result<Exit, Failure> {
    let order = SinkOrder { from, dry_run, uid: Some(rustix::process::getuid().as_raw()) };
    let answer: Json = agent.post(&format!("/v1/sinks/{}/{word}", in_path(name)?), &order)?;
    let line = match format {
        Format::Json | Format::Ndjson => answer.to_string(),
        Format::Table | Format::Csv => format!("{name}: {}", answer["done"].as_str().unwrap_or_default()),
    };
    writeln!(io::stdout(), "{}", escaped(&line))?;
    Ok(Exit::Success)
}

/// A name as part of a path; one that no sink can have is no question for the agent.
fn in_path(name: &str) -> Result<&str, Failure> {
    let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_plain.then_some(name).ok_or_else(|| Failure::new(Exit::Usage, "no sink can have this name").help("run `indelible sink list`"))
}
