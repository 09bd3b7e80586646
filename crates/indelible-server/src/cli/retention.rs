//! `indelible retention`: what may be erased by the rules of the configuration, erasing it, and legal holds.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use super::client::Agent;
use super::output::{escaped, tell};
use super::sink::rows;
use super::{Exit, Failure, Format, Globals};
use crate::clock::now;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::retention::{
    BATCH_RECORDS, BATCH_RECORDS_MAX, Hold, HoldOrder, HoldWord, Ledger, Order, Plan, Progress, RetentionError, Started, hold_offline,
    plan, run_offline,
};
use crate::search::SearchError;
use crate::trail::Reader;

/// How often the agent is asked how far it has come.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const ABOUT_THE_AGENT: &str = "start it with `indelible serve`, or try again when it has ended";

/// Show what may be erased by the rules of config.toml, erase it, and keep what is under a legal hold
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what a run would erase now, and change nothing
    Plan,
    /// Erase the bodies of all events that no rule and no hold keeps any more; leaves and proofs stay
    Run {
        /// Erase without asking
        #[arg(long)]
        yes: bool,
        /// The most events that are erased at once
        #[arg(long, value_name = "N", default_value_t = BATCH_RECORDS, value_parser = clap::value_parser!(u64).range(1..=BATCH_RECORDS_MAX))]
        batch: u64,
        /// Why, for the record
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Add, list and release legal holds
    Hold {
        #[command(subcommand)]
        command: HoldCommand,
    },
}

#[derive(Debug, clap::Subcommand)]
enum HoldCommand {
    /// Keep what matches, whatever the rules say, until the hold is released
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Add {
        /// What the hold is called
        name: String,
        /// Keep what this query finds
        #[arg(long, value_name = "QUERY", group = "what")]
        query: Option<String>,
        /// Keep what was done to this object
        #[arg(long, value_name = "TYPE/ID", group = "what")]
        resource: Option<String>,
        /// Keep what this actor did
        #[arg(long, value_name = "ACTOR", group = "what")]
        actor: Option<String>,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show the holds that are in force
    List,
    /// End a hold: the rules hold again
    Release {
        /// What the hold is called
        name: String,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let dir = globals.data_dir()?;
    let format = globals.format();
    match &args.command {
        Command::Plan => show_plan(&dir, format),
        Command::Run { yes, batch, reason } => erase(&dir, *yes, *batch, reason, format),
        Command::Hold { command: HoldCommand::List } => list(&dir, format),
        Command::Hold { command: HoldCommand::Add { name, query, resource, actor, reason } } => {
            let query =
                joined([query.clone(), resource.as_ref().map(|id| keyed("resource", id)), actor.as_ref().map(|id| keyed("actor", id))]);
            let query = super::reading::query(&query)?;
            if query.condition.is_none() {
                return Err(Failure::new(Exit::Usage, "a hold needs something to keep")
                    .help("to keep everything, remove the rules from config.toml"));
            }
            hold(&dir, HoldWord::Add, name, &query.to_string(), reason)
        }
        Command::Hold { command: HoldCommand::Release { name, reason } } => hold(&dir, HoldWord::Release, name, "", reason),
    }
}

fn keyed(key: &str, value: &str) -> String {
    format!("{key}:\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

/// All of the queries at once.
fn joined(parts: [Option<String>; 3]) -> String {
    let parts: Vec<_> = parts.into_iter().flatten().map(|part| format!("({part})")).collect();
    parts.join(" ")
}

fn made(dir: &DataDir) -> Result<(Config, Plan), Failure> {
    let config = Config::load(dir, None)?;
    let plan = plan(&Reader::open(dir)?, config.rules(), now(), None)?;
    Ok((config, plan))
}

fn show_plan(dir: &DataDir, format: Format) -> Result<Exit, Failure> {
    let (_, plan) = made(dir)?;
    write_plan(&plan, format)?;
    Ok(Exit::Success)
}

fn write_plan(plan: &Plan, format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !matches!(format, Format::Table | Format::Csv) {
        return writeln!(out, "{}", serde_json::to_string(plan)?);
    }
    drop(out);
    rows(
        &plan.rules,
        Format::Table,
        &["RULE", "DAYS", "ELIGIBLE", "BYTES", "OLDEST", "UNSEALED", "HELD", "KEPT BY OTHERS", "MATCH"],
        |rule| {
            let days = rule.days.map_or_else(|| "for ever".to_owned(), |days| days.to_string());
            let oldest = rule.oldest.clone().unwrap_or_else(|| "-".to_owned());
            let matched = if rule.r#match.is_empty() { "(everything)".to_owned() } else { rule.r#match.clone() };
            let counts = [rule.eligible, rule.bytes].map(|count| count.to_string());
            let [eligible, bytes] = counts;
            let others = [rule.unsealed, rule.held, rule.kept_by_others].map(|count| count.to_string());
            let [unsealed, held, kept] = others;
            vec![rule.name.clone(), days, eligible, bytes, oldest, unsealed, held, kept, matched]
        },
    )?;
    out = io::stdout().lock();
    plan.holds.iter().try_for_each(|hold| {
        writeln!(out, "{}", escaped(&format!("the hold `{}` ({}) keeps {} events from these rules", hold.name, hold.query, hold.held)))
    })?;
    if plan.unfinished > 0 {
        writeln!(out, "{} events were to be erased before and are still there; a run erases them first", plan.unfinished)?;
    }
    if plan.rules.is_empty() {
        writeln!(out, "config.toml has no [[retention]]: nothing expires")?;
    }
    Ok(())
}

fn erase(dir: &DataDir, yes: bool, batch: u64, reason: &str, format: Format) -> Result<Exit, Failure> {
    let (config, plan) = made(dir)?;
    let count = plan.eligible() + plan.unfinished;
    if count == 0 {
        write_progress(&Progress::default(), format)?;
        return Ok(Exit::Success);
    }
    if !yes && !asked(count)? {
        return Err(Failure::new(Exit::Failed, "nothing was erased"));
    }
    let uid = Some(rustix::process::getuid().as_raw());
    let order = Order { batch, reason: reason.to_owned(), uid, config: config.digest().map(str::to_owned) };
    let progress = if dir.agent_is_running()? { ordered(dir, &order)? } else { run_offline(dir, config.rules(), &order, |_| ())? };
    write_progress(&progress, format)?;
    Ok(Exit::Success)
}

/// Asks on the terminal whether to go on.
fn asked(count: u64) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nobody is there to be asked").help("look at `indelible retention plan`, then add --yes"));
    }
    write!(io::stderr(), "Erase the bodies of {count} events for ever? Type `erase`: ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "erase")
}

/// Has the agent do it, and waits for it.
fn ordered(dir: &DataDir, order: &Order) -> Result<Progress, Failure> {
    let agent = Agent::of(dir, ABOUT_THE_AGENT)?;
    let mut told: Started = agent.post("/v1/retention/run", order)?;
    while told.running {
        thread::sleep(POLL_INTERVAL);
        let before = told.progress.batches;
        told = agent.get("/v1/retention/run")?;
        if told.progress.batches > before {
            tell(&format!("{} batches, {} events erased", told.progress.batches, told.progress.erased));
        }
    }
    match told.error {
        None => Ok(told.progress),
        Some(error) => Err(Failure::new(Exit::Temporary, error)),
    }
}

fn write_progress(progress: &Progress, format: Format) -> io::Result<()> {
    let line = match format {
        Format::Json | Format::Ndjson => serde_json::to_string(progress)?,
        Format::Table | Format::Csv if progress.erased == 0 => "nothing to erase".to_owned(),
        Format::Table | Format::Csv => {
            format!(
                "erased {} events in {} batches; the trail is {} bytes shorter",
                progress.erased, progress.batches, progress.bytes_freed
            )
        }
    };
    writeln!(io::stdout(), "{line}")
}

/// A hold in machine formats.
#[derive(Serialize)]
struct HoldLine<'a> {
    name: &'a str,
    query: &'a str,
    reason: &'a str,
    added_at: String,
    leaf: u64,
    listed: u64,
}

fn list(dir: &DataDir, format: Format) -> Result<Exit, Failure> {
    let ledger = Ledger::read(&Reader::open(dir)?)?;
    let lines: Vec<_> = ledger.holds().map(line).collect();
    rows(&lines, format, &["HOLD", "SINCE", "LISTED", "REASON", "QUERY"], |hold| {
        let [name, query, reason] = [hold.name, hold.query, hold.reason].map(str::to_owned);
        vec![name, hold.added_at.clone(), hold.listed.to_string(), reason, query]
    })?;
    Ok(Exit::Success)
}

fn line(hold: &Hold) -> HoldLine<'_> {
    let Hold { name, query, reason, leaves, leaf_index, added_at } = hold;
    HoldLine { name, query, reason, added_at: added_at.to_string(), leaf: *leaf_index, listed: leaves.len() }
}

fn hold(dir: &DataDir, command: HoldWord, name: &str, query: &str, reason: &str) -> Result<Exit, Failure> {
    if !crate::config::is_name(name) {
        return Err(Failure::new(Exit::Usage, format!("`{name}` is no name")).help("1 to 32 characters of a-z, 0-9, `_` and `-`"));
    }
    let uid = Some(rustix::process::getuid().as_raw());
    let order = HoldOrder { command, name: name.to_owned(), query: query.to_owned(), reason: reason.to_owned(), uid };
    if dir.agent_is_running()? {
        let _: Json = Agent::of(dir, ABOUT_THE_AGENT)?.post("/v1/retention/holds", &order)?;
    } else {
        hold_offline(dir, &order)?;
    }
    let done = match command {
        HoldWord::Add => format!("the hold `{name}` is in force and recorded"),
        HoldWord::Release => format!("the hold `{name}` is released, and that is recorded"),
    };
    tell(&done);
    Ok(Exit::Success)
}

impl From<RetentionError> for Failure {
    fn from(error: RetentionError) -> Self {
        match error {
            RetentionError::Trail(error) if error.is_damage() => Self::new(Exit::Tampered, error).help("nothing was erased from it"),
            RetentionError::Trail(error) => error.into(),
            RetentionError::Search(SearchError::Trail(error)) if error.is_damage() => Self::new(Exit::Tampered, error),
            RetentionError::Search(error) => error.into(),
            RetentionError::HoldExists(_) | RetentionError::NoHold(_) => Self::new(Exit::Usage, error),
            RetentionError::OtherUser(_) => Self::new(Exit::Permission, error),
            RetentionError::Ingest(_) | RetentionError::ConfigChanged => Self::new(Exit::Failed, error),
            error => Self::new(Exit::Temporary, error),
        }
    }
}
