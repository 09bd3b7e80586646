//! The configuration, and the sinks that it names.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::agent::Agent;
use super::{Check, command, quoted};
use crate::config::{Config, ConfigError};
use crate::data_dir::{DataDir, open_regular};
use crate::sink::{Health, State};

pub(super) const IDS: &[&str] = &["config.file", "sink.delivery", "sink.paused", "sink.dead_letters"];

/// The longest cursor (docs/sinks.md).
const CURSOR_BYTES_MAX: u64 = 16 << 20;

/// What matters here of a sink's cursor.
#[derive(Debug, Deserialize)]
struct Cursor {
    paused: bool,
    dead: Vec<IgnoredAny>,
}

pub(super) fn checks(dir: &DataDir, config: &Result<Config, ConfigError>, agent: &Agent) -> Vec<Check> {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let fix = format!("${{EDITOR:-vi}} {} && {}", quoted(&dir.config()), command(dir, "config check"));
            let file = Check::fail("config.file", format!("no agent starts with it: {error}"), fix);
            let others = IDS[1..].iter().map(|id| Check::skipped(id, "the configuration cannot be read"));
            return std::iter::once(file).chain(others).collect();
        }
    };
    let names: Vec<_> = config.sinks().iter().map(|sink| sink.name.as_str()).collect();
    let file = Check::ok(
        "config.file",
        match config.file().exists() {
            true => format!("{}, sinks: {}", config.file().display(), names.len()),
            false => "there is none, so everything is at its default".to_owned(),
        },
    );
    if names.is_empty() {
        return std::iter::once(file).chain(IDS[1..].iter().map(|id| Check::skipped(id, "no sink is configured"))).collect();
    }
    let cursors: Vec<_> = names.iter().filter_map(|name| Some((*name, cursor(dir, name)?))).collect();
    let paused = cursors.iter().find(|(_, cursor)| cursor.paused).map_or_else(
        || Check::ok("sink.paused", "none"),
        |(name, _)| Check::warn("sink.paused", format!("`{name}` was told to wait"), command(dir, &format!("sink resume {name}"))),
    );
    let dead = cursors.iter().find(|(_, cursor)| !cursor.dead.is_empty()).map_or_else(
        || Check::ok("sink.dead_letters", "none"),
        |(name, cursor)| {
            let finding = format!("the destination of `{name}` refused {} events", cursor.dead.len());
            Check::warn("sink.dead_letters", finding, command(dir, &format!("sink dead {name}")))
        },
    );
    vec![file, delivery(dir, agent), paused, dead]
}

fn cursor(dir: &DataDir, name: &str) -> Option<Cursor> {
    let file = open_regular(&dir.sinks().join(name).join("cursor"), CURSOR_BYTES_MAX).ok()?;
    serde_json::from_reader(std::io::BufReader::new(file)).ok()
}

fn delivery(dir: &DataDir, agent: &Agent) -> Check {
    let id = "sink.delivery";
    let sinks: Vec<Health> = match agent.ask("/v1/sinks") {
        None => return Check::skipped(id, "no agent answers"),
        Some(Err(error)) => return Check::skipped(id, error),
        Some(Ok(sinks)) => sinks,
    };
    match sinks.iter().find(|sink| sink.state.is_trouble()) {
        None => Check::ok(id, format!("{} sinks deliver", sinks.len())),
        Some(sink) => {
            let error = sink.last_error.as_deref().unwrap_or("it does not say why");
            let finding = format!("`{}` is {}, {} records behind: {error}", sink.name, sink.state.as_str(), sink.lag_records);
            let cure = match sink.state {
                State::Blocked if sink.dead_letters == 0 => format!("sink replay {} --from 0", sink.name),
                State::Blocked => format!("sink dead {}", sink.name),
                _ => format!("sink test {}", sink.name),
            };
            Check::warn(id, finding, command(dir, &cure))
        }
    }
}
