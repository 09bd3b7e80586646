//! `indelible sink` and `indelible config`, and what they leave in the trail.
#![allow(clippy::unwrap_used, reason = "tests")]

mod seed;
mod sinks_support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use indelible_server::{Announced, Order, Reader};
use seed::Seed;
use serde_json::{Value, json};
use sinks_support::{FILES, World, end};

/// Bodies of the agent's own events about the configuration.
fn config_events(seed: &Seed) -> Vec<Value> {
    let reader = Reader::open(&seed.dir()).unwrap();
    let mut found = Vec::new();
    let add = |leaf: indelible_server::StoredLeaf| {
        let body: Value = serde_json::from_slice(&leaf.body).unwrap();
        if body["action"] == "audit.config" {
            found.push(body);
        }
        std::ops::ControlFlow::Continue(())
    };
    reader.records(0..reader.tree_size(), Order::OldestFirst, add).unwrap();
    found
}

#[test]
fn every_command_is_an_event_before_it_is_carried_out() {
    let mut world = World::new(FILES);
    let mut agent = world.start(None);
    world.wait_for("it runs", |sink| sink["state"] == "caught_up");
    for command in [&["test", "s"][..], &["pause", "s"], &["resume", "s"], &["replay", "s", "--from", "0"], &["dead", "s"]] {
        let (code, _, told) = world.sink(command);
        assert_eq!(code, 0, "{command:?}: {told}");
    }
    let (code, _, told) = world.sink(&["pause", "nobody"]);
    assert_eq!((code, told.contains("there is no sink `nobody`; there are: s")), (2, true), "{told}");
    assert_eq!(world.sink(&["pause", "../s"]).0, 2);
    end(&mut agent);
    let events = config_events(&world.seed);
    let commands: Vec<_> = events.iter().filter_map(|event| event["meta"]["command"].as_str()).collect();
    assert_eq!(commands, ["test", "pause", "resume", "replay", "dead"]);
    let replay = events.iter().find(|event| event["meta"]["command"] == "replay").unwrap();
    assert_eq!((&replay["meta"]["from"], &replay["resource"]), (&json!(0), &json!({"type": "sink", "id": "s"})));
    assert_eq!(replay["actor"]["auth"], "stated");
}

#[test]
fn another_configuration_is_an_event_at_the_start_and_holds_none_of_its_text() {
    let mut world = World::new(FILES);
    let live = |world: &mut World| {
        let mut agent = world.start(None);
        world.wait_for("it runs", |sink| sink["state"] == "caught_up");
        end(&mut agent);
        config_events(&world.seed)
    };
    let first = live(&mut world);
    assert_eq!(first.len(), 1);
    assert_eq!((&first[0]["meta"]["previous_sha256"], &first[0]["meta"]["sinks"]), (&json!("none"), &json!("s")));
    assert_eq!(live(&mut world).len(), 1, "the same file again");
    fs::write(world.seed.dir().config(), format!("{FILES}# the secret of the comment\n")).unwrap();
    let second = live(&mut world);
    assert_eq!(second.len(), 2);
    assert_eq!(second[1]["meta"]["previous_sha256"], first[0]["meta"]["sha256"]);
    assert!(!second[1].to_string().contains("secret"));
}

#[test]
fn a_bad_configuration_stops_the_start_with_its_place_and_a_cure() {
    let world = World::new("[[sink]]\nname = \"s\"\ntype = \"fils\"\n");
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["config", "check"], &["config", "show"]] {
        let refused = world.seed.indelible(command);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("config.toml:3:8: `type` is one of files, stdout; did you mean `files`?"), "{told}");
    }
    assert!(!world.seed.dir().trail().exists(), "nothing was begun");
    let missing = world.seed.indelible(&["serve", "--config", "nowhere.toml"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
}

#[test]
fn check_warns_of_a_file_that_others_can_write_and_show_says_where_a_value_comes_from() {
    let world = World::new(FILES);
    let path = world.seed.dir().config();
    let run = |arguments: &[&str]| {
        let output = world.seed.indelible(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said, warned) = run(&["config", "check", "--strict"]);
    assert_eq!((code, said.contains("ok, 1 sinks, sha256 "), warned.as_str()), (0, true, ""), "{said}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let (code, _, warned) = run(&["config", "check", "--strict"]);
    assert_eq!((code, warned.contains("chmod go-w")), (7, true), "{warned}");
    let (_, shown, _) = run(&["config", "show", "-o", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&shown).unwrap();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).map(|row| (row["value"].clone(), row["origin"].clone())).unwrap();
    assert_eq!(row("sink.s.file_bytes_max"), (json!(8192), json!("line 4")));
    assert_eq!(row("sink.s.shape"), (json!("native"), json!("default")));
    let (code, table, _) = run(&["config", "show", "-o", "table"]);
    assert!(code == 0 && table.lines().any(|line| line.starts_with("sink.s.shape ") && line.ends_with("default")), "{table}");
    let (code, schema, _) = run(&["config", "schema"]);
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!((code, &schema["properties"]["sink"]["type"]), (0, &json!("array")));
}

#[test]
fn without_an_agent_the_command_says_so() {
    let world = World::new(FILES);
    for command in [&["list"][..], &["pause", "s"]] {
        let (code, _, told) = world.sink(command);
        assert_eq!((code, told.contains("no agent runs on")), (75, true), "{told}");
        assert!(told.contains("indelible serve"), "{told}");
    }
}

#[test]
fn health_and_metrics_tell_how_a_sink_is() {
    let mut world = World::new(FILES);
    world.record(1);
    let mut agent = world.start(None);
    let sink = world.wait_for("everything is delivered", |sink| sink["state"] == "caught_up" && sink["delivered"].as_u64() >= Some(6));
    assert_eq!([&sink["name"], &sink["type"], &sink["shape"]], ["s", "files", "native"].map(|text| json!(text)).each_ref());
    assert!(sink["last_success_at"].is_string() && sink["last_error"].is_null() && sink["dead_letters"] == 0, "{sink}");
    let address = Announced::read(&world.seed.dir()).unwrap().address;
    let metrics = ureq::get(format!("http://{address}/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    for line in [
        "indelible_sink_lag_records{sink=\"s\"} 0",
        "indelible_sink_state{sink=\"s\",state=\"caught_up\"} 1",
        "indelible_sink_state{sink=\"s\",state=\"hanging\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    let delivered = format!("indelible_sink_delivered_records{{sink=\"s\"}} {}", sink["delivered"]);
    assert!(metrics.lines().any(|found| found == delivered), "{delivered} is not in\n{metrics}");
    let (code, list, _) = world.sink(&["list", "-o", "table"]);
    assert!(code == 0 && list.contains("caught_up") && list.starts_with("NAME"), "{list}");
    end(&mut agent);
}
