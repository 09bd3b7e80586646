//! What the command prints where, and how it exits.
#![allow(clippy::unwrap_used)]

mod seed;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use indelible::{Actor, Event, Kind};
use indelible_server::Reader;
use seed::{Seed, event, eventually};
use serde_json::{Value, json};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(output: &Output) -> Vec<String> {
    lines(output).iter().map(|line| line["event"]["action"].as_str().unwrap().to_owned()).collect()
}

fn rows(count: usize) -> Vec<Event> {
    let row = |number: usize| Event {
        actor: Actor::user(number.to_string(), "tied").into(),
        ..event(Kind::Change, "row.insert", "2026-01-01T00:00:00Z")
    };
    (0..count).map(row).collect()
}

#[test]
fn a_pipe_gets_one_json_object_per_line_with_the_body_as_it_is_stored() {
    let seed = Seed::clinic();
    let output = seed.indelible(&["search", "action:patient.update"]);
    let stored: Vec<u8> = {
        let reader = Reader::open(&seed.dir()).unwrap();
        reader.connection().query_row("SELECT body FROM record WHERE leaf_index = 2", [], |row| row.get(0)).unwrap()
    };
    let line = stdout(&output);
    let (head, event) = line.trim_end_matches('\n').split_once(r#","event":"#).unwrap();
    assert_eq!(event.strip_suffix('}').unwrap().as_bytes(), stored);
    let head: Value = serde_json::from_str(&format!("{head}}}")).unwrap();
    assert_eq!((&head["leaf"], &head["verdict"]), (&json!(2), &json!("recorded")));
    assert!(head["received_at"].as_str().unwrap().ends_with('Z'));
    assert!(head.as_object().unwrap().len() == 3 && line.ends_with("}\n") && line.lines().count() == 1);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_table_is_aligned_and_shows_a_verdict_that_is_not_ordinary() {
    let seed = Seed::clinic();
    let output = seed.indelible(&["search", "kind:change,task", "-o", "table"]);
    assert_eq!(
        stdout(&output),
        "\
TIME (UTC)           ACTOR             ACTION          RESOURCE           OUTCOME             SERVICE  LEAF
2026-02-05 00:00:00  sync (service)    stock.move      stock.Item/a b     success (in_doubt)  clinic   10
2026-02-03 00:00:00  nightly (system)  report.export   -                  aborted             worker   9
2026-01-20 08:00:00  bo (user 8)       patient.update  clinic.Patient/42  success             clinic   2
2026-01-10 08:00:00  ana (user 7)      patient.create  clinic.Patient/42  success             clinic   1
"
    );
}

#[test]
fn times_in_a_table_are_those_of_the_readers_zone() {
    let seed = Seed::clinic();
    let output = seed.command(&["search", "kind:task", "-o", "table"]).env("TZ", "XST-05:30").output().unwrap();
    assert!(stdout(&output).contains("2026-02-03 05:30:00"), "{}", stdout(&output));
}

#[test]
fn the_other_formats_say_the_same() {
    let seed = Seed::clinic();
    let csv = stdout(&seed.indelible(&["search", "kind:task", "-o", "csv"]));
    let mut csv = csv.split("\r\n");
    assert_eq!(
        csv.next(),
        Some("leaf,occurred_at,received_at,verdict,id,kind,action,outcome,actor_type,actor_id,actor_label,resource,service")
    );
    let row = csv.next().unwrap();
    assert!(
        row.starts_with("9,2026-02-03T00:00:00.000000Z,") && row.ends_with(",task,report.export,aborted,system,nightly,,,worker"),
        "{row}"
    );
    let page: Value = serde_json::from_slice(&seed.indelible(&["search", "kind:task", "kind:change", "-n1", "-ojson"]).stdout).unwrap();
    assert_eq!(page["canonical"], "kind:task,change");
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["partial"]), (1, &json!(false)));
    assert!(page["next"].is_string());
}

#[test]
fn errors_go_to_standard_error_with_cause_cure_and_exit_code() {
    let seed = Seed::clinic();
    for (arguments, code, error, help) in [
        (&["search", "actr:ana"][..], 2, "error: column 1: unknown key `actr:`", "help: did you mean `actor:`?"),
        (
            &["search", "created:2026-02-30"],
            2,
            "error: column 9: `2026-02-30` is not a value of `created:`",
            "help: `created:` takes a date",
        ),
        (&["search", "created:today..yesterday"], 2, "error: `created:today..yesterday` ends before it begins", ""),
        (&["search", "created:today", "--since", "-1h"], 2, "error: the query has `created:`", "help: say it in one place"),
        (&["search", "-n", "0"], 2, "error: invalid value '0'", "For more information"),
        (&["search", "--cursor", "zzz"], 2, "error: invalid value 'zzz'", ""),
        (&["search", "--frobnicate"], 2, "error: unexpected argument", "Usage"),
        (&["show", "99999"], 1, "error: the trail has no record `99999`", ""),
        (&["show", "nonsense"], 2, "error: `nonsense` is neither an event id", ""),
        (&["show", "2", "-o", "csv"], 2, "error: one record has no CSV form", "help: use -o json"),
        (&["timeline", "patient"], 2, "error: `patient` is not a resource", "help: write TYPE/ID"),
        (&["serve", "--listen", "0.0.0.0:0"], 2, "the agent listens on loopback only", ""),
        (&["tail", "-o", "json"], 2, "error: a tail has no end", "help: use -o ndjson"),
    ] {
        let output = seed.indelible(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(stderr(&output).contains(error) && stderr(&output).contains(help), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn finding_nothing_is_a_success_unless_asked_otherwise() {
    let seed = Seed::clinic();
    let nothing = seed.indelible(&["search", "kind:log"]);
    assert_eq!((nothing.status.code(), stdout(&nothing).as_str()), (Some(0), ""));
    assert!(!stderr(&nothing).contains("nothing found"), "a program counts the lines: {}", stderr(&nothing));
    for command in [&["search", "kind:log"][..], &["timeline", "clinic.Patient/4711"], &["trace", "r-none"], &["actor", "nobody"]] {
        let told = seed.indelible(&[command, &["-o", "table"]].concat());
        assert!(told.status.success() && stderr(&told).contains("nothing found"), "{command:?}: {}", stderr(&told));
    }
    assert_eq!(seed.indelible(&["search", "kind:log", "-e"]).status.code(), Some(3));
    assert_eq!(seed.indelible(&["search", "kind:task", "-e"]).status.code(), Some(0));
}

#[test]
fn without_a_trail_the_error_says_how_to_get_one() {
    let seed = Seed::empty();
    for command in [&["search"][..], &["show", "1"], &["timeline", "a.B/1"], &["tail"]] {
        let output = seed.indelible(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(stderr(&output).contains("indelible serve"), "{}", stderr(&output));
    }
}

#[test]
fn an_exclusion_needs_no_quoting_tricks() {
    let seed = Seed::clinic();
    let output = seed.indelible(&["search", "-kind:audit", "-actor:ana", "-n", "1"]);
    assert_eq!(actions(&output), ["stock.move"]);
}

#[test]
fn since_and_until_narrow_and_asc_turns_the_order() {
    let seed = Seed::clinic();
    let output = seed.indelible(&["search", "kind:change,read", "--since", "2026-01-20", "--until", "2026-01-31", "--asc"]);
    assert_eq!(actions(&output), ["patient.update", "patient.read"]);
    let page: Value = serde_json::from_slice(&seed.indelible(&["search", "kind:read", "--since", "2026-01-20", "-ojson"]).stdout).unwrap();
    assert_eq!(page["canonical"], "kind:read created:>=2026-01-20");
    assert_eq!(page["range"], json!({"from": "2026-01-20T00:00:00.000000Z", "before": null}));
}

#[test]
fn more_than_a_page_is_shown_when_asked_for_and_the_rest_is_announced() {
    let seed = Seed::empty();
    seed.record("rows", rows(1100));
    seed.ingest();
    assert_eq!(lines(&seed.indelible(&["search", "kind:change", "-n", "5000"])).len(), 1100);
    let first = seed.indelible(&["search", "kind:change", "-n", "1050"]);
    assert_eq!(lines(&first).len(), 1050);
    let message = stderr(&first);
    let cursor = message.split("--cursor ").nth(1).unwrap().trim();
    let rest = seed.indelible(&["search", "kind:change", "-n", "1050", "--cursor", cursor]);
    assert_eq!(lines(&rest).len(), 50);
    assert_eq!(lines(&rest)[0]["leaf"].as_u64().unwrap() + 1, lines(&first)[1049]["leaf"].as_u64().unwrap());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let seed = Seed::empty();
    seed.record("rows", rows(1000));
    seed.ingest();
    let mut search = seed.command(&["search", "-n", "1000"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(search.stdout.take());
    let output = search.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
}

#[test]
fn show_finds_a_record_by_leaf_by_id_and_by_the_beginning_of_an_id() {
    let seed = Seed::clinic();
    let by_leaf = seed.indelible(&["show", "2"]);
    let record = &lines(&by_leaf)[0];
    let id = record["event"]["id"].as_str().unwrap();
    assert_eq!(record["entry"]["event"], id);
    assert_eq!(record["entry"]["stream_index"], 1);
    assert_eq!(stdout(&seed.indelible(&["show", id])), stdout(&by_leaf));
    assert_eq!(stdout(&seed.indelible(&["show", &format!("{}*", &id[..35])])), stdout(&by_leaf));
    let ambiguous = seed.indelible(&["show", "0*"]);
    assert_eq!(ambiguous.status.code(), Some(2));
    assert!(stderr(&ambiguous).contains("several ids begin with `0*`") && stderr(&ambiguous).contains("(leaf "), "{}", stderr(&ambiguous));
}

#[test]
fn show_tells_the_story_and_makes_control_characters_visible() {
    let seed = Seed::clinic();
    let shown = stdout(&seed.indelible(&["show", "2", "-o", "table"]));
    let mut story = shown.lines();
    assert_eq!(story.next(), Some("bo (user 8): patient.update on clinic.Patient/42: success"));
    assert_eq!(story.next(), Some(r#"    name: "Ana" → "Bo\u{1b}[2J""#));
    assert_eq!(story.next(), Some("    ssn: •••• (changed)"));
    assert!(shown.contains("\ncheck        the body is what the leaf commits to"), "{shown}");
    assert!(!shown.contains('\x1b'));
}

#[test]
fn show_does_not_vouch_for_a_record_that_was_changed() {
    for (statement, what) in [
        (
            "UPDATE record SET body = CAST(replace(body, 'ana', 'eva') AS BLOB) WHERE leaf_index = 1",
            "the body is not what the leaf commits to",
        ),
        ("UPDATE record SET leaf_hash = zeroblob(32) WHERE leaf_index = 1", "the leaf entry is not what its hash was made of"),
    ] {
        let seed = Seed::clinic();
        let file = Reader::open(&seed.dir()).unwrap().path().to_owned();
        let changed = rusqlite::Connection::open(file).unwrap().execute(statement, []).unwrap();
        assert_eq!(changed, 1);
        let output = seed.indelible(&["show", "1", "-o", "table"]);
        assert_eq!(output.status.code(), Some(5), "{statement}");
        assert!(stdout(&output).contains(&format!("TAMPERED: {what}")), "{}", stdout(&output));
    }
}

#[test]
fn search_shows_no_record_that_was_changed() {
    for (statement, what) in [
        (
            "UPDATE record SET body = CAST(replace(body, 'ana', 'eva') AS BLOB) WHERE leaf_index = 1",
            "its body is not what its leaf commits to",
        ),
        ("UPDATE record SET leaf_hash = zeroblob(32) WHERE leaf_index = 1", "its leaf is not what its hash was made of"),
    ] {
        let seed = Seed::clinic();
        let file = Reader::open(&seed.dir()).unwrap().path().to_owned();
        assert_eq!(rusqlite::Connection::open(file).unwrap().execute(statement, []).unwrap(), 1);
        let output = seed.indelible(&["search", "--asc", "-n", "2"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(5), ""), "{told}");
        assert!(told.contains(&format!("TAMPERED: record 1 is not shown: {what}; run `indelible verify`")), "{told}");
        assert!(told.contains("help: `indelible search -leaf:1` finds the others"), "{told}");
        assert_eq!(seed.indelible(&["search", "-leaf:1"]).status.code(), Some(0), "the others are found");
        let before = seed.indelible(&["search", "--asc", "-n", "1"]);
        assert_eq!(before.status.code(), Some(0), "a record that is not shown is not checked");
    }
}

#[test]
fn show_says_tampered_where_a_leaf_cannot_be_read() {
    let seed = Seed::clinic();
    let file = Reader::open(&seed.dir()).unwrap().path().to_owned();
    let statement = "UPDATE record SET entry = zeroblob(9) WHERE leaf_index = 1";
    assert_eq!(rusqlite::Connection::open(file).unwrap().execute(statement, []).unwrap(), 1);
    let output = seed.indelible(&["show", "1", "-o", "table"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("its leaf cannot be read"));
}

#[test]
fn a_timeline_runs_from_the_oldest_to_the_newest_with_what_changed() {
    let seed = Seed::clinic();
    let output = seed.indelible(&["timeline", "clinic.Patient/42", "-o", "table"]);
    assert_eq!(
        stdout(&output),
        r#"2026-01-10 08:00:00  ana (user 7)  patient.create  success  leaf 1
    because: intake
2026-01-20 08:00:00  bo (user 8)  patient.update  success  leaf 2
    name: "Ana" → "Bo\u{1b}[2J"
    ssn: •••• (changed)
"#
    );
    assert_eq!(actions(&seed.indelible(&["timeline", "stock.Item/a b"])), ["stock.move"]);
}

#[test]
fn a_tail_shows_the_newest_and_then_what_arrives() {
    let seed = Seed::clinic();
    let _agent = seed.agent();
    let tail = seed.command(&["tail", "kind:change", "-n", "2", "--until-count", "5"]);
    let mut tail = spawn_piped(tail);
    let mut shown = std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().unwrap()));
    let mut next = move || serde_json::from_str::<Value>(&shown.next().unwrap().unwrap()).unwrap()["event"]["actor"]["id"].clone();
    assert_eq!([next(), next()], [json!("8"), json!("sync")]);
    seed.record("rows", rows(3));
    assert_eq!([next(), next(), next()], [json!("0"), json!("1"), json!("2")]);
    assert!(tail.wait().unwrap().success());
}

/// A shell reports this end as 130.
#[test]
fn an_interrupted_tail_ends_as_interrupted() {
    use std::os::unix::process::ExitStatusExt as _;
    let seed = Seed::clinic();
    let mut tail = spawn_piped(seed.command(&["tail", "-n", "1", "-o", "csv"]));
    let mut shown = std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().unwrap()));
    assert!(shown.next().unwrap().unwrap().starts_with("leaf,"));
    assert!(shown.next().unwrap().unwrap().contains("audit.stop"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&tail), rustix::process::Signal::INT).unwrap();
    assert_eq!(tail.wait().unwrap().signal(), Some(2));
}

/// A tail that began without an agent has a file before it that nobody writes.
#[test]
fn a_tail_goes_on_when_an_agent_starts() {
    let seed = Seed::clinic();
    let mut tail = spawn_piped(seed.command(&["tail", "action:row.insert", "--until-count", "1"]));
    let mut complaints = std::io::BufRead::lines(std::io::BufReader::new(tail.stderr.take().unwrap()));
    assert!(complaints.next().unwrap().unwrap().starts_with("not recorded"));
    seed.record("rows", rows(1));
    let _agent = seed.agent();
    let output = tail.wait_with_output().unwrap();
    assert_eq!(actions(&output), ["row.insert"]);
}

fn spawn_piped(mut command: Command) -> std::process::Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

// covers: G-18, H5
#[test]
fn each_command_that_reads_the_live_trail_is_recorded_once() {
    let seed = Seed::clinic();
    let _agent = seed.agent();
    for command in [
        &["search", "kind:change", "actor:ana"][..],
        &["show", "2"],
        &["timeline", "clinic.Patient/42"],
        &["tail", "kind:change", "-n", "3", "--until-count", "2"],
    ] {
        let output = seed.indelible(command);
        let complaints = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(complaints.lines().all(|line| line.starts_with("more: continue with --from-cursor ")), "{command:?}: {complaints}");
    }
    let reads = seed.indelible(&["search", "action:audit.read", "--asc"]);
    let reads: Vec<_> = lines(&reads).iter().map(|line| line["event"]["meta"].clone()).collect();
    let told: Vec<_> =
        reads.iter().map(|meta| (meta["command"].as_str().unwrap(), meta["canonical"].as_str().unwrap(), meta["count"].as_u64())).collect();
    let id = reads[1]["canonical"].as_str().unwrap();
    assert!(id.starts_with("id:"));
    assert_eq!(
        told,
        [
            ("search", "kind:change actor:ana", Some(1)),
            ("show", id, Some(1)),
            ("timeline", "resource:clinic.Patient/42 sort:created-asc", Some(2)),
            ("tail", "kind:change", None),
        ]
    );
}

#[test]
fn looking_at_audit_events_again_and_again_adds_one_event() {
    let seed = Seed::clinic();
    let _agent = seed.agent();
    for _ in 0..3 {
        seed.indelible(&["search", "kind:audit"]);
    }
    assert_eq!(lines(&seed.indelible(&["search", "action:audit.read"])).len(), 1);
}

#[test]
fn without_an_agent_nothing_is_recorded_and_the_reader_is_told() {
    let seed = Seed::clinic();
    for command in [&["search"][..], &["show", "1"], &["timeline", "clinic.Patient/42"], &["tail", "--until-count", "1"]] {
        let output = seed.indelible(command);
        assert_eq!(output.status.code(), Some(0));
        assert!(stderr(&output).starts_with("not recorded: no agent runs on "), "{command:?}: {}", stderr(&output));
    }
    assert_eq!(lines(&seed.indelible(&["search", "action:audit.read"])).len(), 0);
}

/// A copied directory names the agent of the original, which must not be told of readings of the copy.
#[test]
fn reading_a_copy_is_not_recorded_in_the_original() {
    let seed = Seed::clinic();
    let _agent = seed.agent();
    let copy = Seed::empty();
    copy_folder(seed.path(), copy.path());
    assert!(copy.dir().agent_json().exists());
    let output = copy.indelible(&["search", "kind:task"]);
    assert_eq!(actions(&output), ["report.export"]);
    assert!(stderr(&output).starts_with("not recorded"), "{}", stderr(&output));
    assert_eq!(lines(&seed.indelible(&["search", "action:audit.read"])).len(), 0);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_data_directory_is_found_upwards_and_naming_one_wins() {
    let project = Seed::empty();
    let trail = Seed::clinic();
    copy_folder(trail.path(), &project.path().join(".indelible"));
    let deep = project.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    let run = |set_up: &dyn Fn(&mut Command)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_indelible"));
        command.current_dir(&deep).env_remove("INDELIBLE_DATA_DIR").args(["search", "kind:task"]);
        set_up(&mut command);
        command.output().unwrap()
    };
    assert_eq!(actions(&run(&|_| ())), ["report.export"]);
    let empty = Seed::empty();
    let elsewhere = run(&|command| {
        command.env("INDELIBLE_DATA_DIR", empty.path());
    });
    assert_eq!(elsewhere.status.code(), Some(1));
    let named = run(&|command| {
        command.env("INDELIBLE_DATA_DIR", empty.path()).arg("--data").arg(trail.path());
    });
    assert_eq!(actions(&named), ["report.export"]);
}

#[test]
fn what_arrives_is_visible_within_a_second_or_so() {
    let seed = Seed::clinic();
    let _agent = seed.agent();
    seed.record("rows", rows(1));
    eventually("the record can be found", || (lines(&seed.indelible(&["search", "action:row.insert"])).len() == 1).then_some(()));
}
