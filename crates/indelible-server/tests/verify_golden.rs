//! Files of every format that was written are read forever, and those of a format that nobody has written yet are refused.
//!
//! `testdata/golden/v2` holds a trail of a sealed, a closed and the open file with its notes and its key, and a journal that was not
//! ingested. Before the first release, and never after it, `INDELIBLE_WRITE_GOLDEN=1 cargo nextest run --test verify_golden` makes them
//! anew.
#![allow(clippy::unwrap_used, reason = "tests")]

mod dump;
mod files;
mod seed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dump::{copy_folder, fast_folder};
use files::{fill, trail_files};
use indelible::{Event, Kind};
use indelible_server::{DataDir, Intact, Report, Trust, verify};
use rusqlite::Connection;
use seed::Seed;
use tempfile::TempDir;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/v2")
}

fn events(count: usize) -> Vec<Event> {
    (0..count).map(|_| Event::new(Kind::Action, "visit.note")).collect()
}

fn write() {
    let seed = Seed::empty();
    seed.leave_in_doubt("clinic", events(1));
    fill(&seed, vec![events(260), events(5), events(3)]);
    seed.record("clinic", events(2));
    let _ = fs::remove_dir_all(golden());
    for folder in ["trail", "keys", "journal"] {
        copy_folder(&seed.path().join(folder), &golden().join(folder));
    }
    let intact = intact(seed.path());
    fs::write(golden().join("root"), format!("{}\n{}\n", intact.tree_size, intact.root_hash)).unwrap();
}

fn copy() -> TempDir {
    let folder = fast_folder();
    copy_folder(&golden(), folder.path());
    folder
}

fn intact(dir: &Path) -> Intact {
    match verify(&DataDir::new(dir), &Trust { deep: true, ..Trust::default() }) {
        Report::Intact(intact) => intact,
        report => panic!("{report:?}"),
    }
}

#[test]
fn a_trail_of_version_2_leads_to_its_root_and_an_agent_of_today_goes_on_with_it() {
    if std::env::var_os("INDELIBLE_WRITE_GOLDEN").is_some() {
        write();
    }
    let copy = copy();
    let found = intact(copy.path());
    assert_eq!(format!("{}\n{}\n", found.tree_size, found.root_hash), fs::read_to_string(golden().join("root")).unwrap());
    let mut agent = Command::new(env!("CARGO_BIN_EXE_indelible"));
    agent.arg("--data").arg(copy.path()).args(["serve", "--listen", "127.0.0.1:0", "--until-idle", "0"]);
    let output = agent.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(intact(copy.path()).tree_size >= found.tree_size + 4, "two events of the journal, a start and a stop");
}

#[test]
fn a_file_of_another_version_is_refused_by_name() {
    let places = trail_files(&golden()).len();
    for (version, place) in [1, 3].into_iter().flat_map(|version| (0..places).map(move |place| (version, place))) {
        let copy = copy();
        let file = trail_files(copy.path())[place].clone();
        Connection::open(file).unwrap().pragma_update(None, "user_version", version).unwrap();
        let report = verify(&DataDir::new(copy.path()), &Trust::default());
        // A seal tells that a sealed file was changed; any other may be one that a later program wrote.
        match report {
            Report::CouldNotCheck(reason) => assert!(reason.contains(&format!("version {version}")), "{reason}"),
            Report::Tampered(fault) => assert_eq!(fault.kind.as_str(), "seal"),
            Report::Intact(_) => panic!("file {place} of version {version} is believed"),
        }
    }
}
