//! What is wrong with a data directory, and one command against each fault. Examining changes nothing.
//!
//! Every check has an id that does not change and appears in each examination, in this order: data, agent, keys, trail, journals,
//! records, clock, host, sinks, retention. One fault shows in one check: what cannot be told because of another fault is *skipped*, and says so.
//! docs/operations.md lists the ids.

mod agent;
mod answers;
mod clock;
mod collector;
mod directory;
mod host;
mod journals;
mod keys;
pub(crate) mod layout;
mod records;
mod retention;
mod sinks;
mod trail;

use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use crate::config::Config;
use crate::data_dir::DataDir;
pub(crate) use host::probe;

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Ok,
    /// Something deserves a look; nothing is lost yet, or it is lost already and the trail says so.
    Warn,
    /// Records are not taken in, not protected or not provable as long as this stays.
    Fail,
    /// It could not be told, or does not apply here.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// Its name, which does not change.
    pub(crate) id: &'static str,
    /// How it came out.
    pub(crate) verdict: Verdict,
    /// What was seen.
    pub(crate) finding: String,
    /// The command to run next, where something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

impl Check {
    fn ok(id: &'static str, finding: impl Into<String>) -> Self {
        Self { id, verdict: Verdict::Ok, finding: finding.into(), fix: None }
    }

    fn warn(id: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, verdict: Verdict::Warn, finding: finding.into(), fix: Some(fix.into()) }
    }

    fn fail(id: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, verdict: Verdict::Fail, finding: finding.into(), fix: Some(fix.into()) }
    }

    fn skipped(id: &'static str, why: impl Into<String>) -> Self {
        Self { id, verdict: Verdict::Skipped, finding: why.into(), fix: None }
    }

    fn is_ok(&self) -> bool {
        self.verdict == Verdict::Ok
    }
}

/// What to examine beside the directory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Questions {
    /// The address that an agent is going to listen on.
    pub(crate) listen: Option<SocketAddr>,
}

/// Examines a data directory.
pub(crate) fn examine(dir: &DataDir, questions: &Questions) -> Vec<Check> {
    let directory = directory::check(dir);
    let readable = directory.is_ok();
    let mut checks = vec![directory];
    if !readable {
        checks.extend(ids().skip(1).map(|id| Check::skipped(id, "the data directory cannot be read")));
        return checks;
    }
    checks.extend(directory::checks(dir));
    let agent = agent::Agent::of(dir);
    let keys = keys::Keys::of(dir);
    let mut trail = trail::Trail::of(dir, &keys);
    let journals = journals::Journals::of(dir, trail.reader());
    let config = Config::load(dir, None);
    let listen = questions.listen.or_else(|| config.as_ref().ok().and_then(Config::listen));
    checks.extend(agent.checks(dir, &journals, listen));
    checks.extend(keys.checks(dir));
    checks.extend(trail.checks(&agent));
    checks.extend(journals.checks(&agent));
    checks.extend(answers::checks(dir));
    checks.extend(records::checks(dir, trail.reader_mut()));
    checks.extend(clock::checks(trail.reader()));
    checks.extend(host::checks(dir));
    checks.extend(sinks::checks(dir, &config, &agent));
    checks.extend(collector::checks(dir, &config, &agent));
    checks.extend(retention::checks(dir, &config, trail.reader()));
    checks
}

/// Every id, in the order of the checks.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    let journals = [journals::IDS, answers::IDS];
    let before = [directory::IDS, agent::IDS, keys::IDS, trail::IDS];
    let after = [records::IDS, clock::IDS, host::IDS, sinks::IDS, collector::IDS, retention::IDS];
    let groups = before.into_iter().chain(journals).chain(after);
    groups.flatten().copied()
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+".contains(character);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A command of ours on this directory.
fn command(dir: &DataDir, words: &str) -> String {
    format!("indelible --data {} {words}", quoted(dir.root()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_id_appears_once_and_in_every_examination() {
        let temporary = tempfile::tempdir().unwrap();
        let ids: Vec<_> = ids().collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        for root in [temporary.path().to_owned(), temporary.path().join("missing")] {
            let checks = examine(&DataDir::new(root), &Questions::default());
            assert_eq!(checks.iter().map(|check| check.id).collect::<Vec<_>>(), ids);
            assert!(checks.iter().all(|check| check.fix.is_some() == matches!(check.verdict, Verdict::Warn | Verdict::Fail)));
        }
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(quoted(Path::new("/var/lib/indelible")), "/var/lib/indelible");
        assert_eq!(quoted(Path::new("/it's here")), r"'/it'\''s here'");
    }
}
