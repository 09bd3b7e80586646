//! A thousand honest trails: whatever a recorder or its disk may do, and wherever the agent is killed, nothing is called tampering.

use std::path::Path;

use indelible_core::{Frame, Resolution, Timestamp};
use proptest::prelude::*;

use super::{Report, StateCheck, Trust, verify};
use crate::data_dir::DataDir;
use crate::ingest::{Deadlines, Ingester, Settings};
use crate::journal::testing::{TestStream, body, item};

/// What happens between two verifications.
#[derive(Debug, Clone)]
enum Action {
    Event(u64),
    Intent(u8, Vec<u64>),
    Outcome(u8, bool),
    Replace(u8, u64),
    Gap(u64),
    Corrupt,
    Torn,
    Rotate,
    NewProcess,
    Ingest(i64),
    KillAgent,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => any::<u64>().prop_map(|number| Action::Event(number >> 20)),
        3 => (0_u8..6, prop::collection::vec(0_u64..100, 0..4)).prop_map(|(intent, numbers)| Action::Intent(intent, numbers)),
        3 => (0_u8..6, any::<bool>()).prop_map(|(intent, committed)| Action::Outcome(intent, committed)),
        1 => (0_u8..6, 0_u64..100).prop_map(|(intent, number)| Action::Replace(intent, number)),
        1 => (1_u64..9).prop_map(Action::Gap),
        1 => Just(Action::Corrupt),
        1 => Just(Action::Torn),
        1 => Just(Action::Rotate),
        1 => Just(Action::NewProcess),
        3 => (0_i64..90_000).prop_map(Action::Ingest),
        1 => Just(Action::KillAgent),
    ]
}

/// A disk that forgets at once costs no time, and these trails need none that remembers.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Opens an agent whose files are full so soon that most trails have several.
fn open(dir: &DataDir) -> Ingester {
    Ingester::open(dir, Settings { deadlines: Deadlines::default(), leaves_per_file: 3 }).unwrap()
}

fn perform(action: &Action, stream: &mut TestStream, dir: &DataDir, agent: &mut Option<Ingester>, now_ms: &mut i64) {
    match action {
        Action::Event(number) => {
            stream.event(*number);
        }
        Action::Intent(intent, numbers) => {
            stream.intent(*intent, numbers);
        }
        Action::Outcome(intent, true) => {
            stream.outcome(*intent, Resolution::Committed);
        }
        Action::Outcome(intent, false) => {
            stream.outcome(*intent, Resolution::RolledBack);
        }
        Action::Replace(intent, number) => {
            let body = body(*number);
            stream.outcome_with(*intent, Resolution::Committed, &[item(*number, &body)]);
        }
        Action::Gap(sequences) => stream.skip(*sequences),
        Action::Corrupt => {
            let mut frame = stream.encode(&Frame::Close);
            frame[4] ^= 1;
            stream.append_bytes(&frame);
        }
        Action::Torn => {
            stream.append_bytes(&[7; 25]);
            stream.rotate();
        }
        Action::Rotate => stream.rotate(),
        Action::NewProcess => {
            stream.die();
            let next = stream.stream.as_bytes()[0] + 1;
            *stream = TestStream::new(&dir.journal(), next);
        }
        Action::Ingest(ms) => {
            *now_ms += ms;
            let agent = agent.get_or_insert_with(|| open(dir));
            agent.step(Timestamp::from_micros(*now_ms * 1000)).unwrap();
        }
        Action::KillAgent => *agent = None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_thousand_honest_trails_are_intact(actions in prop::collection::vec(action(), 0..16)) {
        let folder = folder();
        let dir = DataDir::new(folder.path());
        let mut agent = Some(open(&dir));
        let (mut stream, mut now_ms) = (TestStream::new(&dir.journal(), 1), 1_000_000);
        for action in &actions {
            perform(action, &mut stream, &dir, &mut agent, &mut now_ms);
        }
        perform(&Action::Ingest(0), &mut stream, &dir, &mut agent, &mut now_ms);
        drop(agent);
        match verify(&dir, &Trust::default()) {
            Report::Intact(intact) => prop_assert_eq!((intact.unsigned, intact.state), (0, StateCheck::Signed)),
            report => prop_assert!(false, "{:?}", report),
        }
    }
}
