//! What a drainer is told of the streams of its service: of what the agent says to applications, how far streams are that a row may be assigned to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answers::ANSWERS_BYTES_MAX;
use crate::data_dir::{open_unlinked, read_unlinked};

/// The most bytes of streams that are passed on.
const STREAMS_BYTES_MAX: usize = 4 << 20;

/// The answers of a service, as far as they are other than those that were seen.
#[derive(Debug)]
pub(crate) enum Told {
    /// They are the same.
    Same,
    /// These, of this version.
    Answers(String, String),
    /// There are none yet. The agent writes them within seconds: they have been asked for.
    Nothing,
}

/// What is there of a service's `answers.json`.
pub(super) enum Found {
    /// It is of the version that was seen.
    Same,
    /// Another user has put it there.
    Foreign,
    /// This, of this version.
    File(Vec<u8>, String),
}

/// Reads a service's `answers.json`, unless it is of the version `seen`.
///
/// # Errors
/// It is not there, or cannot be read.
pub(super) fn read(path: &Path, seen: Option<&str>) -> io::Result<Found> {
    let metadata = open_unlinked(path)?.metadata()?;
    if !is_own(&metadata) {
        return Ok(Found::Foreign);
    }
    if seen == Some(version_of(&metadata).as_str()) {
        return Ok(Found::Same);
    }
    let mut version = String::new();
    let text = read_unlinked(path, ANSWERS_BYTES_MAX, |metadata| {
        version = version_of(metadata);
        is_own(metadata)
    })?;
    Ok(Found::File(text, version))
}

fn is_own(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// What tells one version of a file from another.
fn version_of(metadata: &fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("\"{}-{}-{}-{}\"", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

/// The members of `answers.json` that are passed on (docs/format.md, "Answers").
#[derive(Deserialize, Serialize)]
struct Document<'a> {
    v: u64,
    #[serde(borrow)]
    written_at: Cow<'a, str>,
    #[serde(borrow)]
    streams: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// What transactions of applications on this host wait for is none of a drainer's business.
    #[serde(skip_deserializing)]
    unresolved: [(); 0],
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Deserialize)]
struct Stream {
    ended: bool,
}

/// The part of `answers.json` for a drainer: streams that are lent, and those that have ended, which may have been. When these are too
/// many the newest are named, and that there are more.
pub(super) fn passed_on(text: &[u8], is_lent: impl Fn(&str) -> bool) -> serde_json::Result<String> {
    passed_on_within(text, is_lent, STREAMS_BYTES_MAX)
}

fn passed_on_within(text: &[u8], is_lent: impl Fn(&str) -> bool, bytes_max: usize) -> serde_json::Result<String> {
    let mut document: Document<'_> = serde_json::from_slice(text)?;
    let (mut lent, mut ended) = (Vec::new(), Vec::new());
    for (name, stream) in std::mem::take(&mut document.streams) {
        if is_lent(&name) {
            lent.push((name, stream));
        } else if serde_json::from_str::<Stream>(stream.get())?.ended {
            ended.push((name, stream));
        }
    }
    let mut bytes = 0;
    // The time of a stream's birth begins its name.
    for (name, stream) in lent.into_iter().chain(ended.into_iter().rev()) {
        bytes += name.len() + stream.get().len();
        if bytes > bytes_max {
            document.more = true;
            break;
        }
        document.streams.insert(name, stream);
    }
    serde_json::to_string(&document)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(text: &Value, bytes_max: usize) -> Value {
        let text = serde_json::to_vec(text).unwrap();
        serde_json::from_str(&passed_on_within(&text, |name| name == "0190-lent", bytes_max).unwrap()).unwrap()
    }

    #[test]
    fn of_the_answers_only_streams_are_passed_on_that_rows_may_be_assigned_to() {
        let (living, ended) = (json!({"high_water": 4, "ended": false}), json!({"high_water": 9, "ended": true, "gaps": [[1, 2]]}));
        let streams = json!({"0190-lent": living, "0191": ended, "0192": ended, "0193-of-this-host": living});
        let unresolved = json!([{"intent": "i", "stream": "0191", "alias": "default"}]);
        let all = json!({"v": 1, "written_at": "2026-01-02T03:04:05Z", "origin": "o", "streams": streams, "unresolved": unresolved});
        let mut expected = json!({"v": 1, "written_at": "2026-01-02T03:04:05Z", "unresolved": []});
        expected["streams"] = json!({"0190-lent": living, "0191": ended, "0192": ended});
        assert_eq!(told(&all, 1000), expected);
        expected["streams"] = json!({"0190-lent": living, "0192": ended});
        expected["more"] = true.into();
        assert_eq!(told(&all, 100), expected, "the newest, and that there are more");
        assert!(passed_on(b"{\"v\":1}", |_| false).is_err());
    }
}
