//! What `verify` does beside an agent, how it says what it found, and a thousand honest trails: whatever a recorder or its disk may do, and
//! wherever the agent is killed, nothing is called tampering.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use indelible_core::{EventId, Frame, Hash, Resolution, Timestamp};
use proptest::prelude::*;

use super::{ATTEMPTS, Fault, FaultKind, Halt, Intact, Names, Report, StateCheck, Trust, excused, settled, verify, while_nothing_moves};
use crate::data_dir::DataDir;
use crate::ingest::{Deadlines, Ingester, Settings};
use crate::journal::testing::{TestStream, body, item};

const HOUR: Duration = Duration::from_secs(3600);

fn fault(kind: FaultKind) -> Fault {
    Fault { kind, leaves: None, event: None, verified: 0, file: None }
}

fn intact() -> Report {
    let (origin, root_hash) = (String::new(), Hash::from_bytes([0; 32]));
    Report::Intact(Intact { origin, tree_size: 0, root_hash, unsigned: 0, state: StateCheck::Signed, against: None, range: None })
}

/// What is signed, and what is committed.
const SETTLED: (Hash, Option<Hash>) = (Hash::from_bytes([1; 32]), Some(Hash::from_bytes([1; 32])));
const AHEAD: (Hash, Option<Hash>) = (Hash::from_bytes([1; 32]), Some(Hash::from_bytes([2; 32])));
const UNREADABLE: (Hash, Option<Hash>) = (Hash::from_bytes([1; 32]), None);

/// Finds one after the other, and no more.
fn looks<const N: usize>(found: [(Hash, Option<Hash>); N]) -> impl FnMut() -> Result<((Hash, Option<Hash>), usize), Halt> {
    let mut found = found.into_iter().zip(1..);
    move || found.next().ok_or_else(|| Halt::CouldNotCheck("looked again".to_owned()))
}

#[test]
fn an_agent_is_waited_for_until_it_has_signed_what_it_committed() {
    assert_eq!(settled(HOUR, || true, looks([SETTLED])).unwrap(), 1);
    assert_eq!(settled(HOUR, || true, looks([AHEAD, UNREADABLE, AHEAD, SETTLED])).unwrap(), 4);
}

#[test]
fn what_nobody_will_sign_is_looked_at_once() {
    assert_eq!(settled(HOUR, || false, looks([AHEAD])).unwrap(), 1);
}

#[test]
fn patience_with_an_agent_that_never_signs_ends() {
    let found = settled(Duration::from_millis(20), || true, looks([AHEAD; 1000])).unwrap();
    assert!(found > 1, "{found}");
}

/// Makes each answer once, and says how many were asked for.
fn attempts<const N: usize>(answers: [Report; N], moves: bool) -> (Report, usize) {
    let (asked, looked) = (Cell::new(0), Cell::new(0));
    let names = || {
        looked.set(looked.get() + 1);
        if moves { looked.get() } else { 0 }
    };
    let attempt = || {
        asked.set(asked.get() + 1);
        answers[(asked.get() - 1).min(N - 1)].clone()
    };
    (while_nothing_moves(names, attempt), asked.get())
}

#[test]
fn what_is_found_while_files_come_and_go_accuses_nobody() {
    let tampered = Report::Tampered(fault(FaultKind::Missing));
    assert_eq!(attempts([tampered.clone()], false), (tampered.clone(), 1));
    assert_eq!(attempts([intact()], true), (intact(), 1));
    assert_eq!(attempts([tampered.clone(), intact()], true), (intact(), 2));
    let (report, asked) = attempts([tampered], true);
    assert!(matches!(report, Report::CouldNotCheck(_)) && asked == ATTEMPTS, "{report:?}");
}

#[test]
fn only_an_agent_that_runs_excuses_a_state_that_was_not_signed_last() {
    let folder = folder();
    let dir = DataDir::new(folder.path());
    let is_excused = |kind| matches!(excused(Halt::Fault(fault(kind)), &dir), Halt::CouldNotCheck(_));
    assert!(!is_excused(FaultKind::State));
    let lock = fs::File::create(dir.agent_lock()).unwrap();
    lock.try_lock().unwrap();
    assert!(is_excused(FaultKind::State));
    assert!(!is_excused(FaultKind::Batch), "it signs what it commits");
}

#[test]
fn a_file_or_seal_that_was_replaced_has_moved_and_a_note_has_not() {
    let folder = folder();
    let dir = DataDir::new(folder.path());
    fs::create_dir(dir.trail()).unwrap();
    let replace = |name: &str| {
        fs::write(dir.trail().join("new"), "").unwrap();
        fs::rename(dir.trail().join("new"), dir.trail().join(name)).unwrap();
    };
    let names = ["000000000000.trail", "000000000000.seal", "000000000000.reseal", "checkpoint", "state"];
    names.iter().for_each(|name| replace(name));
    for (name, moves) in names.iter().zip([true, true, true, false, false]) {
        let before = Names::of(&dir);
        replace(name);
        assert_eq!(before != Names::of(&dir), moves, "{name}");
    }
    let before = Names::of(&dir);
    let lock = fs::File::create(dir.agent_lock()).unwrap();
    lock.try_lock().unwrap();
    assert!(before != Names::of(&dir), "an agent has started");
}

#[test]
fn a_fault_says_what_and_where() {
    let said = |leaves: Option<std::ops::Range<u64>>, event, file: Option<&str>| {
        Fault { leaves, event, file: file.map(str::to_owned), ..fault(FaultKind::Body) }.to_string()
    };
    let event = EventId::from_bytes([1; 16]);
    let what = "the body does not match the commitment in its leaf";
    assert_eq!(said(Some(17..18), Some(event), Some("a.trail")), format!("tampered at 17, event {event}, in a.trail: {what}"));
    assert_eq!(said(Some(17..19), None, None), format!("tampered within 17 to 18: {what}"));
    assert_eq!(said(None, None, None), format!("tampered: {what}"));
}

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
