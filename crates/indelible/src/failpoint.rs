//! Places where a test kills the process: before or after each write, sync, rename, unlink and commit that must leave a whole journal or trail.
//!
//! One file for the engine and the agent: that of the agent is a link, so that the names of each are its own.
//! `INDELIBLE_FAILPOINT=NAME` ends the process with SIGKILL when it comes to `failpoint!("NAME")`, `NAME:3` when it comes there for
//! the third time. `NAME:panic` panics there instead, the first time, and `NAME:stop` stops there until somebody continues it. Nothing of
//! this is in a release build.

/// Marks a place where a test can kill the process. The name is a literal, so that a test can list all of them from the source.
macro_rules! failpoint {
    ($name:literal) => {{
        #[cfg(debug_assertions)]
        $crate::failpoint::reached($name);
    }};
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// The name that kills, and how often the process still comes past it.
    struct Armed {
        name: String,
        left: AtomicU64,
        panics: bool,
        signal: Signal,
    }

    fn from_env() -> Option<Armed> {
        let value = std::env::var("INDELIBLE_FAILPOINT").ok()?;
        let (name, hits) = value.split_once(':').unwrap_or((&value, "1"));
        let (panics, stops) = (hits == "panic", hits == "stop");
        let expectation = "INDELIBLE_FAILPOINT is NAME, NAME:NUMBER, NAME:panic or NAME:stop";
        let hits = if panics || stops { 1 } else { hits.parse().expect(expectation) };
        let signal = if stops { Signal::STOP } else { Signal::KILL };
        Some(Armed { name: name.to_owned(), left: AtomicU64::new(hits), panics, signal })
    }

    /// Ends the process as `kill -9` does when this is the place and the time.
    pub(crate) fn reached(name: &str) {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let Some(armed) = ARMED.get_or_init(from_env) else { return };
        if armed.name == name && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            assert!(!armed.panics, "the failpoint {name}");
            kill_process(getpid(), armed.signal).expect("a process may kill itself");
        }
    }
}

#[cfg(debug_assertions)]
pub(crate) use armed::reached;
