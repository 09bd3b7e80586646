//! Which configuration was recorded last, so that a changed one is an event in the trail.

use std::io;

use indelible_core::{Outcome, push_string};

use super::Config;
use crate::data_dir::{DataDir, read_small, write_atomically};
use crate::ingest::OwnEvent;

/// The configuration of this start against the one that was recorded last.
///
/// `DATA_DIR/sinks/config.recorded` holds the digest of the latter and is a hint: without it a configuration is recorded once more.
#[derive(Debug)]
pub(crate) struct Recorded {
    dir: DataDir,
    config: String,
}

impl Recorded {
    /// The event that a changed configuration is, and what remembers that it was recorded; nothing when it is the same as before.
    ///
    /// The event names digest, file and sinks, and holds nothing of the file's text.
    pub(crate) fn change(dir: &DataDir, config: &Config) -> Option<(OwnEvent, Self)> {
        let digest = config.digest().unwrap_or("none");
        let before = read_small(&dir.config_recorded()).ok().and_then(|content| String::from_utf8(content).ok());
        let before = before.as_deref().map_or("none", str::trim_end);
        if digest == before {
            return None;
        }
        let event = OwnEvent::new("audit.config", Outcome::Success).about("config", config.file().display()).meta(|meta| {
            push_string(meta.member("sha256"), digest);
            push_string(meta.member("previous_sha256"), before);
            let names: Vec<_> = config.sinks().iter().map(|sink| sink.name.as_str()).collect();
            push_string(meta.member("sinks"), &names.join(" "));
            let rules: Vec<_> = config.rules().iter().map(|rule| rule.name.as_str()).collect();
            push_string(meta.member("retention"), &rules.join(" "));
        });
        Some((event, Self { dir: dir.clone(), config: digest.to_owned() }))
    }

    /// Remembers that the event is in the trail.
    ///
    /// # Errors
    /// When the file cannot be written; the event is then recorded again at the next start.
    pub(crate) fn remember(&self) -> io::Result<()> {
        crate::data_dir::create_private_dir(&self.dir.sinks())?;
        write_atomically(&self.dir.config_recorded(), format!("{}\n", self.config).as_bytes())
    }
}
