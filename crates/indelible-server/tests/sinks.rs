//! What a sink must do when real agents are killed, and destinations refuse, hang, fill up and come back.
#![allow(clippy::unwrap_used, reason = "tests")]

mod faulty;
mod seed;
mod sinks_support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use indelible::{Frame, Item, SegmentHeader, StreamId, Timestamp, encode_frame};
use seed::eventually;
use serde_json::json;
use sinks_support::{Arrived, FILES, Process, STDOUT, World, end, end_code, files_in};

/// One kind of sink as this suite sees it.
struct Kind {
    config: &'static str,
    /// Begins of the names of failpoints that lie on its way.
    failpoints: &'static [&'static str],
    /// What arrived, in the order in which it lies at each place.
    arrived: fn(&World) -> Vec<Vec<Arrived>>,
    /// Whether nothing ever comes twice.
    once: bool,
}

const NATIVE: Kind =
    Kind { config: FILES, failpoints: &["sink.cursor", "sink.delivered", "sink.files"], arrived: World::files, once: true };
const STDOUT_KIND: Kind =
    Kind { config: STDOUT, failpoints: &["sink.cursor", "sink.delivered", "sink.stdout"], arrived: World::outputs, once: false };

/// Failpoints that a healthy destination never comes by; each has a test of its own below that leads there.
const RARE: [&str; 5] =
    ["sink.files.cut", "sink.files.rotate.cut", "sink.files.rotate.deleted", "sink.files.rotate.empty", "sink.files.taken_over"];

/// Those that an agent comes by once in its life.
const ONCE: [&str; 1] = ["sink.files.folder"];

/// Every failpoint of the sinks, from the source.
fn failpoints(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(failpoints(&path));
        } else {
            let source = fs::read_to_string(path).unwrap();
            found.extend(source.split("failpoint!(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    found
}

fn check(kind: &Kind, world: &World) {
    let (arrived, trail) = ((kind.arrived)(world), world.trail());
    for place in &arrived {
        let is_ordered = |place: &[Arrived]| place.is_sorted_by(|one, next| one.0 < next.0);
        assert!(is_ordered(place), "out of order or twice: {:?}", place.iter().map(|event| event.0).collect::<Vec<_>>());
    }
    let mut all: Vec<_> = arrived.into_iter().flatten().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert!(all == trail, "{} of {} events arrived", all.len(), trail.len());
    assert!(!kind.once || count == trail.len(), "{} events came twice", count - trail.len());
}

/// Kills an agent at every place of delivering, the first and the third time it comes by, and looks what has arrived in the end.
fn survives_kills(kind: &Kind) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink");
    let of_kind = |name: &String| kind.failpoints.iter().any(|begin| name.starts_with(begin)) && !RARE.contains(&name.as_str());
    let names: Vec<_> = failpoints(&source).into_iter().filter(of_kind).collect();
    assert!(names.len() >= 7, "{names:?}");
    let mut world = World::new(kind.config);
    for name in &names {
        let hits: &[&str] = if ONCE.contains(&name.as_str()) { &[""] } else { &["", ":3"] };
        for hit in hits {
            world.record(3);
            let mut agent = world.start(Some(&format!("{name}{hit}")));
            let status = eventually(&format!("{name}{hit} kills the agent"), || agent.try_wait().unwrap());
            assert_eq!(status.code(), None, "{name}{hit}: killed, not ended");
        }
    }
    world.record(1);
    let mut agent = world.start(None);
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up" && sink["lag_records"] == 0);
    end(&mut agent);
    check(kind, &world);
    assert_eq!(world.seed.indelible(&["verify"]).status.code(), Some(0));
}

/// A data directory whose events are delivered, all to one file, and whose agent has ended.
fn delivered() -> World {
    let mut world = World::new(&FILES.replace("file_bytes_max = 8192", "file_bytes_max = 1000000"));
    world.record(1);
    caught_up(&mut world);
    world
}

fn caught_up(world: &mut World) {
    let mut agent = world.start(None);
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up" && sink["lag_records"] == 0);
    end(&mut agent);
}

fn current_file(world: &World) -> PathBuf {
    world.seed.dir().sink("s").join("files").join("events.jsonl")
}

fn killed_at(mut agent: Process, failpoint: &str) {
    let status = eventually(&format!("{failpoint} kills the agent"), || agent.try_wait().unwrap());
    assert_eq!(status.code(), None, "{failpoint}: killed, not ended");
}

/// After a crash of the machine a file can be longer than what reached the disk of it.
fn lengthen(file: &Path) {
    fs::OpenOptions::new().append(true).open(file).unwrap().write_all(&[0; 700]).unwrap();
}

#[test]
fn an_agent_killed_while_it_cuts_off_what_nobody_wrote_delivers_every_event_once() {
    let mut world = delivered();
    lengthen(&current_file(&world));
    world.record(1);
    killed_at(world.start(Some("sink.files.cut")), "sink.files.cut");
    caught_up(&mut world);
    check(&NATIVE, &world);
}

#[test]
fn an_agent_killed_while_it_cuts_a_full_file_delivers_every_event_once() {
    let mut world = World::new(FILES);
    world.record(3);
    killed_at(world.start(Some("sink.files.rotate.before")), "sink.files.rotate.before");
    lengthen(&current_file(&world));
    killed_at(world.start(Some("sink.files.rotate.cut")), "sink.files.rotate.cut");
    caught_up(&mut world);
    check(&NATIVE, &world);
}

#[test]
fn an_agent_killed_while_it_deletes_old_files_keeps_as_many_as_it_was_told() {
    let mut world = World::new(&FILES.replace("rotated_files_max = 10000", "rotated_files_max = 1"));
    world.record(6);
    killed_at(world.start(Some("sink.files.rotate.deleted")), "sink.files.rotate.deleted");
    caught_up(&mut world);
    let (kept, trail) = (world.files().concat(), world.trail());
    assert_eq!(kept, trail[trail.len() - kept.len()..], "the newest, in order, each once");
    let files = fs::read_dir(current_file(&world).parent().unwrap()).unwrap().count();
    assert_eq!(files, 2, "the current one and one that was put away");
}

/// Its first sync fails, so that what was written may never have reached the disk and nothing of the file is covered.
#[test]
fn an_agent_killed_while_it_gives_up_a_file_that_could_not_be_synced_delivers_every_event_once() {
    let mut world = World::new(FILES);
    world.record(1);
    let (signs, fault) = (faulty::Signs::new(), faulty::Fault { kind: faulty::KINDS[3], at: 1, and_on: false });
    let file = current_file(&world);
    let failpoint = "sink.files.rotate.empty";
    let armed = |command: &mut Command| faulty::arm(command, &file, fault.kind, Some(&fault), &signs);
    killed_at(world.start_armed(Some(failpoint), Stdio::null(), armed), failpoint);
    caught_up(&mut world);
    check(&NATIVE, &world);
}

#[test]
fn an_agent_killed_while_it_takes_over_a_file_that_somebody_has_cut_goes_on_behind_what_it_has() {
    let mut world = delivered();
    let before = world.trail().len();
    fs::write(current_file(&world), "{\"cut").unwrap();
    world.record(1);
    killed_at(world.start(Some("sink.files.taken_over")), "sink.files.taken_over");
    caught_up(&mut world);
    let text = fs::read_to_string(current_file(&world)).unwrap();
    let (cut, rest) = text.split_once('\n').unwrap();
    assert_eq!(cut, "{\"cut");
    let leaves: Vec<u64> =
        rest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["leaf"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = world.trail().iter().map(|event| event.0).skip(before).collect();
    assert_eq!(leaves, expected);
}

#[test]
fn files_have_every_event_once_wherever_the_agent_is_killed() {
    survives_kills(&NATIVE);
}

#[test]
fn four_files_together_have_every_event_once_wherever_the_agent_is_killed() {
    let config: &'static str = Box::leak(format!("{FILES}shape = \"activity\"\n").into_boxed_str());
    survives_kills(&Kind { config, ..NATIVE });
}

#[test]
fn standard_output_has_every_event_wherever_the_agent_is_killed() {
    survives_kills(&STDOUT_KIND);
}

/// A pipe that is full made its writer wait; a line was then half out when the deadline came.
#[test]
fn a_reader_who_stops_reading_gets_every_event_once_when_he_goes_on() {
    let world = World::new(STDOUT);
    world.record(30);
    let mut agent = world.start_with(None, Stdio::piped());
    let stuck = world.wait_for("the pipe is full", |sink| sink["state"] == "retrying" && sink["lag_records"].as_u64() > Some(0));
    assert_eq!(stuck["last_error"], "standard output took nothing before the deadline");
    let mut pipe = agent.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    });
    world.wait_for("it has come back", |sink| sink["state"] == "caught_up");
    end(&mut agent);
    let text = reading.join().unwrap();
    let found: Vec<u64> =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["leaf"].as_u64().unwrap()).collect();
    assert_eq!(found, world.trail().iter().map(|event| event.0).collect::<Vec<_>>());
}

#[test]
fn a_full_device_behind_standard_output_is_waited_for() {
    let mut world = World::new(STDOUT);
    world.record(2);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut agent = world.start_with(None, full.into());
    let sink = world.wait_for("it says that the device is full", |sink| sink["state"] == "retrying" && sink["retries"].as_u64() > Some(2));
    assert!(sink["last_error"].as_str().unwrap().contains("No space left"), "{sink}");
    end(&mut agent);
    let mut agent = world.start(None);
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up");
    end(&mut agent);
    check(&STDOUT_KIND, &world);
}

/// A small file system in memory, where this process may mount one.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(folder: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_waited_for_and_no_line_is_torn() {
    let mut world = World::new(FILES);
    let folder = world.seed.dir().sink("s").join("files");
    let Some(_disk) = Tmpfs::mount(&folder, "size=64k") else {
        println!("skipped: this user cannot mount a tmpfs");
        return;
    };
    world.record(40);
    let mut agent = world.start(None);
    let sink = world.wait_for("the disk is full", |sink| sink["state"] == "retrying" && sink["retries"].as_u64() > Some(2));
    assert!(sink["last_error"].as_str().unwrap().contains("No space left"), "{sink}");
    // The agent itself goes on, and it can be killed in this state.
    agent.kill().unwrap();
    agent.wait().unwrap();
    let mut agent = world.start(None);
    world.wait_for("the disk is still full", |sink| sink["state"] == "retrying" && sink["retries"].as_u64() > Some(2));
    let grown = Command::new("mount").args(["-o", "remount,size=8m"]).arg(&folder).status().unwrap();
    assert!(grown.success());
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up");
    end(&mut agent);
    check(&NATIVE, &world);
}

#[test]
fn a_folder_that_is_gone_is_waited_for() {
    let mut world = World::new(FILES);
    world.record(1);
    let mut agent = world.start(None);
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up");
    let folder = world.seed.dir().sink("s").join("files");
    let away = world.seed.path().join("away");
    fs::rename(&folder, &away).unwrap();
    fs::write(&folder, "in the way").unwrap();
    world.record(2);
    world.wait_for("it says that it cannot write", |sink| sink["state"] == "retrying");
    let (code, _, told) = world.sink(&["test", "s"]);
    assert_eq!((code, told.contains("events.jsonl") || told.contains("files")), (75, true), "{told}");
    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up");
    end(&mut agent);
    check(&NATIVE, &world);
}

/// A sink that hangs does not keep another one, or the agent's end, waiting.
#[test]
fn one_sink_in_trouble_delays_no_other() {
    let stuck = STDOUT.replace("\"s\"", "\"stuck\"").replace("call_timeout_ms = 300", "call_timeout_ms = 60000");
    let world = World::new(&format!("{FILES}{stuck}"));
    world.record(40);
    // Nobody reads this pipe.
    let mut agent = world.start_with(None, Stdio::piped());
    world.wait_for("the other sink has everything", |sink| sink["name"] == "s" && sink["state"] == "caught_up");
    end(&mut agent);
    check(&NATIVE, &world);
}

/// Puts a frame into a journal whose body is not JSON.
fn record_nonsense(world: &World) {
    let stream = StreamId::from_bytes([9; 16]);
    let at = Timestamp::from_micros(1_760_000_000_000_000);
    let header = SegmentHeader { stream, number: 1, first_sequence: 1, created_at: at };
    let mut segment = header.encode().to_vec();
    let event = "0199f3a0-0000-7000-8000-00000000dead".parse().unwrap();
    encode_frame(stream, 1, &Frame::Event(Item { event, recorded_at: at, body: b"no event" }), &mut segment);
    let folder = world.seed.dir().journal().join("load").join(stream.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    fs::write(folder.join("00000001.journal"), segment).unwrap();
}

// covers: F-2
#[test]
fn what_no_destination_takes_waits_among_the_dead_letters_and_holds_nobody_up() {
    let mut world = World::new(FILES);
    record_nonsense(&world);
    let mut agent = world.start(None);
    world.wait_for("it is refused", |sink| sink["dead_letters"] == 1 && sink["state"] == "caught_up");
    world.record(2);
    let (code, list, _) = world.sink(&["dead", "s"]);
    let letter: serde_json::Value = serde_json::from_str(list.trim()).unwrap();
    assert_eq!((code, &letter["event"]), (0, &json!("0199f3a0-0000-7000-8000-00000000dead")), "{list}");
    assert!(letter["reason"].as_str().unwrap().contains("docs/format.md"));
    let (code, done, _) = world.sink(&["dead", "s", "--replay"]);
    assert_eq!((code, done.contains("0 of 1 dead letters delivered")), (0, true), "{done}");
    assert_eq!(world.sink(&["dead", "s", "--discard"]).0, 2, "only with --yes");
    let (code, done, _) = world.sink(&["dead", "s", "--discard", "--yes", "--dry-run"]);
    assert_eq!((code, done.contains("would discard 1 dead letters")), (0, true), "{done}");
    assert_eq!(world.sink(&["list", "--strict"]).0, 7);
    let (code, done, _) = world.sink(&["dead", "s", "--discard", "--yes"]);
    assert_eq!((code, done.contains("1 dead letters discarded")), (0, true), "{done}");
    world.wait_for("everything else is delivered", |sink| sink["dead_letters"] == 0 && sink["state"] == "caught_up");
    end(&mut agent);
    let (found, mut trail) = (world.files().remove(0), world.trail());
    trail.retain(|event| event.1 != "0199f3a0-0000-7000-8000-00000000dead");
    assert_eq!(found, trail);
}

#[test]
fn a_paused_sink_waits_through_restarts_and_a_replay_comes_in_files_of_its_own() {
    let mut world = World::new(FILES);
    let mut agent = world.start(None);
    world.wait_for("it runs", |sink| sink["state"] == "caught_up");
    assert_eq!(world.sink(&["pause", "s"]).0, 0);
    world.record(3);
    world.wait_for("it is paused and behind", |sink| sink["state"] == "paused" && sink["lag_records"].as_u64() >= Some(12));
    end(&mut agent);
    let mut agent = world.start(None);
    let paused = world.wait_for("it is still paused", |sink| sink["state"] == "paused" && sink["lag_seconds"].as_f64() > Some(0.0));
    assert!(paused["next_leaf"].as_u64().unwrap() < 12, "{paused}");
    assert_eq!(world.sink(&["resume", "s"]).0, 0);
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up");
    let rotated = |world: &World| fs::read_dir(world.seed.dir().sink("s").join("files")).unwrap().count();
    let before = rotated(&world);
    let (code, told, _) = world.sink(&["replay", "s", "--from", "5", "--dry-run"]);
    assert_eq!((code, told.contains("again from leaf 5")), (0, true), "{told}");
    let (code, _, told) = world.sink(&["replay", "s", "--from", "100000"]);
    assert_eq!((code, told.contains("the trail ends before leaf")), (75, true), "{told}");
    assert_eq!(world.sink(&["replay", "s", "--from", "5"]).0, 0);
    world.wait_for("everything is delivered again", |sink| sink["state"] == "caught_up");
    end(&mut agent);
    assert!(rotated(&world) > before);
    let (found, trail) = (files_in(&world.seed.dir().sink("s").join("files")).remove(0), world.trail());
    let again = found.iter().skip(1).position(|event| event.0 == 5 && found[0].0 == 0).unwrap();
    let again = found.iter().enumerate().position(|(at, event)| at > again + 1 && event.0 == 5).unwrap();
    assert!(found[..again].is_sorted() && found[again..].is_sorted(), "what comes again is apart");
    assert_eq!(found[again..], trail[5..]);
}

/// An older copy of the trail was put back, or somebody wrote into the cursor: nothing would ever be delivered again.
#[test]
fn a_cursor_beyond_the_trail_is_trouble_until_somebody_says_from_where() {
    for beyond in [1_000_000, u64::MAX] {
        let mut world = World::new(FILES);
        world.record(1);
        let folder = world.seed.dir().sink("s");
        fs::create_dir_all(&folder).unwrap();
        let cursor = json!({"version": 1, "next_leaf": beyond, "paused": false, "position": null, "dead": []});
        fs::write(folder.join("cursor"), cursor.to_string()).unwrap();
        let mut agent = world.start(None);
        let sink = world.wait_for("it says that it is blocked", |sink| sink["state"] == "blocked");
        let told = sink["last_error"].as_str().unwrap();
        assert!(told.contains(&beyond.to_string()) && told.contains("`indelible sink replay s --from LEAF`"), "{told}");
        assert_eq!(world.sink(&["list", "--strict"]).0, 7);
        let doctor = world.seed.indelible(&["doctor", "-o", "json"]);
        let found = String::from_utf8(doctor.stdout).unwrap();
        assert!(found.contains("beyond the end of the trail") && found.contains("sink replay s --from 0"), "{found}");
        assert_eq!(world.sink(&["replay", "s", "--from", "0"]).0, 0);
        world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up");
        end(&mut agent);
        check(&NATIVE, &world);
    }
}

#[test]
fn a_panic_of_a_sink_is_told_and_the_agent_does_not_end_as_if_nothing_had_been() {
    let mut world = World::new(FILES);
    world.record(1);
    let mut agent = world.start(Some("sink.delivered:panic"));
    let sink = world.wait_for("its thread is gone", |sink| sink["state"] == "ended");
    assert!(sink["last_error"].as_str().unwrap().contains("panicked: the failpoint sink.delivered"), "{sink}");
    assert_eq!(end_code(&mut agent), Some(1));
    let mut agent = world.start(None);
    world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up");
    end(&mut agent);
    check(&NATIVE, &world);
}

#[test]
fn a_dead_letter_beyond_the_trail_can_only_be_discarded() {
    let mut world = World::new(FILES);
    let folder = world.seed.dir().sink("s");
    fs::create_dir_all(&folder).unwrap();
    let letter = json!({"leaf": u64::MAX, "event": "x", "reason": "x", "rejected_at": "2026-01-01T00:00:00.000000Z"});
    let cursor = json!({"version": 1, "next_leaf": 0, "paused": false, "position": null, "dead": [letter]});
    fs::write(folder.join("cursor"), cursor.to_string()).unwrap();
    let mut agent = world.start(None);
    world.wait_for("it delivers", |sink| sink["state"] == "caught_up");
    let (code, _, told) = world.sink(&["dead", "s", "--replay"]);
    assert_eq!((code, told.contains("beyond the end of the trail; only discarding is left")), (75, true), "{told}");
    assert_eq!(world.sink(&["dead", "s", "--discard", "--yes"]).0, 0);
    end(&mut agent);
    check(&NATIVE, &world);
}
