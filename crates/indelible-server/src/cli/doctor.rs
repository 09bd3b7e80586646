//! `indelible doctor`: what is wrong with this data directory, and what to do about it.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use super::output::Output;
use super::{Exit, Failure, Format, Globals};
use crate::doctor::{Check, Questions, Verdict, examine, probe};

/// Check the data directory, the agent, keys, trail, journals and the clock
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Exit with 7 when there is a warning
    #[arg(long)]
    strict: bool,
    /// Check also whether an agent could listen on ADDRESS
    #[arg(long, value_name = "ADDRESS", value_parser = super::loopback)]
    listen: Option<SocketAddr>,
    /// Try, as an application of SERVICE, what it may and may not do; doctor runs itself like that
    #[arg(long, value_name = "SERVICE", hide = true)]
    probe: Option<String>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let dir = globals.data_dir()?;
    if let Some(service) = &args.probe {
        probe(&dir, service).iter().try_for_each(|fault| writeln!(io::stdout(), "{fault}"))?;
        return Ok(Exit::Success);
    }
    let checks = examine(&dir, &Questions { listen: args.listen });
    print(&checks, globals.format())?;
    let any = |verdict| checks.iter().any(|check| check.verdict == verdict);
    Ok(match (any(Verdict::Fail), any(Verdict::Warn) && args.strict) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Degraded,
        (false, false) => Exit::Success,
    })
}

fn print(checks: &[Check], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string(checks).map_err(io::Error::from)?),
        Format::Ndjson => checks.iter().try_for_each(|check| writeln!(out, "{}", serde_json::to_string(check).map_err(io::Error::from)?)),
        Format::Table => print_lines(checks, &mut out),
        Format::Csv => {
            drop(out);
            print_csv(checks)
        }
    }
}

/// Writes a line for each check, with its findings below each other.
fn print_lines(checks: &[Check], out: &mut impl io::Write) -> io::Result<()> {
    let width = checks.iter().map(|check| check.id.len()).max().unwrap_or_default();
    checks.iter().try_for_each(|check| {
        let mark = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
            Verdict::Skipped => "-",
        };
        writeln!(out, "{mark:<5} {:<width$} {}", check.id, check.finding)?;
        check.fix.iter().try_for_each(|fix| writeln!(out, "{:<5} {:<width$} → {fix}", "", ""))
    })
}

fn print_csv(checks: &[Check]) -> io::Result<()> {
    let mut output = Output::stdout();
    output.csv(&["id", "verdict", "finding", "fix"])?;
    checks.iter().try_for_each(|check| {
        let verdict = serde_json::to_value(check.verdict).map_err(io::Error::from)?;
        output.csv(&[check.id, verdict.as_str().unwrap_or_default(), &check.finding, check.fix.as_deref().unwrap_or_default()])
    })?;
    output.flush()
}
