//! `indelible config`: check the configuration, show what holds and why, print its schema.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::output::escaped;
use super::{Exit, Failure, Format, Globals};
use crate::config::{Config, ConfigError, Effective, effective, schema};

/// Permission bits of others and of the group to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Check the agent's configuration, show what holds, or print its schema
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check a configuration file and say what is wrong with it
    Check {
        /// The file [default: config.toml in the data directory]
        file: Option<PathBuf>,
        /// Exit with 7 when there is a warning
        #[arg(long)]
        strict: bool,
    },
    /// Show every setting with where it comes from
    Show {
        /// The file [default: config.toml in the data directory]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the JSON Schema of the configuration
    Schema,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check { file, strict } => check(file.as_deref(), *strict, globals),
        Command::Show { config } => show(config.as_deref(), globals),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&schema()).map_err(io::Error::from)?;
            writeln!(io::stdout(), "{schema}")?;
            Ok(Exit::Success)
        }
    }
}

fn check(file: Option<&Path>, strict: bool, globals: &Globals) -> Result<Exit, Failure> {
    let config = Config::load(&globals.data_dir()?, file)?;
    let warning = writable_by_others(config.file());
    if let Some(warning) = &warning {
        eprintln!("warning: {warning}");
    }
    let said = match config.digest() {
        Some(digest) => format!("{}: ok, {} sinks, sha256 {digest}", config.file().display(), config.sinks().len()),
        None => format!("{}: not there, the defaults hold", config.file().display()),
    };
    writeln!(io::stdout(), "{}", escaped(&said))?;
    Ok(if strict && warning.is_some() { Exit::Degraded } else { Exit::Success })
}

/// Whoever can write the configuration decides where events go.
fn writable_by_others(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let help = "others can decide where events go: run `chmod go-w`";
    (mode & WRITABLE_BY_OTHERS != 0).then(|| format!("{} has mode {:04o}; {help}", path.display(), mode & 0o7777))
}

fn show(file: Option<&Path>, globals: &Globals) -> Result<Exit, Failure> {
    let config = Config::load(&globals.data_dir()?, file)?;
    let rows = effective(&config);
    let mut out = io::stdout().lock();
    match globals.format() {
        Format::Json => writeln!(out, "{}", serde_json::to_string(&rows).map_err(io::Error::from)?)?,
        Format::Ndjson => rows.iter().try_for_each(|row| writeln!(out, "{}", serde_json::to_string(row).map_err(io::Error::from)?))?,
        Format::Table | Format::Csv => table(&mut out, &config, &rows)?,
    }
    Ok(Exit::Success)
}

fn table(out: &mut impl io::Write, config: &Config, rows: &[Effective]) -> io::Result<()> {
    let values: Vec<_> = rows.iter().map(|row| row.value.as_str().map_or_else(|| row.value.to_string(), str::to_owned)).collect();
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let keys = width(&mut rows.iter().map(|row| row.key.len()));
    let wide = width(&mut values.iter().map(|value| value.chars().count()));
    writeln!(out, "{}", escaped(&format!("# {}", config.file().display())))?;
    for (row, value) in rows.iter().zip(&values) {
        writeln!(out, "{:keys$}  {:wide$}  {}", row.key, escaped(value), row.origin)?;
    }
    Ok(())
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::File { error: cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Self::new(Exit::Permission, &error)
            }
            ConfigError::File { .. } => Self::new(Exit::Failed, &error),
            ConfigError::Mistakes { .. } => Self::new(Exit::Usage, &error)
                .help("docs/sinks.md, docs/retention.md and docs/evidence.md explain the keys, `indelible config schema` has them all"),
        }
    }
}
