//! The options of the commands that read, each on a real trail.
#![allow(clippy::unwrap_used)]

mod seed;

use std::process::Output;

use indelible::{Actor, Event, Kind, Resource};
use seed::{Seed, event};
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

#[test]
fn a_query_that_makes_no_sense_is_shown_with_a_caret_below_the_place() {
    let seed = Seed::empty();
    for (query, shown) in [
        (
            "kind:read actr:ana",
            "error: column 11: unknown key `actr:`\n    kind:read actr:ana\n              ^\nhelp: did you mean `actor:`?\n",
        ),
        ("ip:10.*", "error: column 4: `10.*` is not a value of `ip:`\n    ip:10.*\n       ^\nhelp: `ip:` takes an address"),
        (
            "country:de",
            "error: column 1: `country:` cannot be searched: events have no such field\n    country:de\n    ^\nhelp: `ip:` finds",
        ),
        ("a\u{202e}b \u{1b}[2J (", "error: column 11: a condition is missing here\n    a b  [2J (\n              ^\n"),
        ("actor:", "error: column 7: `actor:` has an empty value\n    actor:\n          ^\nhelp: `actor:none` finds"),
    ] {
        for command in ["search", "tail"] {
            let output = seed.indelible(&[command, query]);
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{query}");
            assert!(stderr(&output).starts_with(shown), "{}", stderr(&output));
        }
    }
}

/// `indelible … 2>&1 | head -1` closes both.
#[test]
fn listeners_that_go_away_are_no_error() {
    let seed = Seed::clinic();
    for command in
        [&["search", "-n", "1"][..], &["timeline", "clinic.Patient/42", "-n", "1"], &["actor", "ana", "-o", "table"], &["show", "1"]]
    {
        let mut command = seed.command(command);
        let mut running = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        drop((running.stdout.take(), running.stderr.take()));
        assert_eq!(running.wait().unwrap().code(), Some(0), "{command:?}");
    }
}

#[test]
fn chosen_fields_are_shown_in_their_order_in_every_format() {
    let seed = Seed::ward();
    let fields = "created,actor,action,status,meta.ticket,meta.bed.number,changes";
    let search = |format: &str| stdout(&seed.indelible(&["search", "kind:change,request", "--fields", fields, "-o", format]));
    assert_eq!(
        search("ndjson"),
        concat!(
            r#"{"created":"2026-02-02T09:00:00.000000Z","actor":"ana (user 7)","action":"patient.open","status":403,"#,
            r#""meta.ticket":null,"meta.bed.number":null,"changes":null}"#,
            "\n",
            r#"{"created":"2026-01-31T23:30:00.000000Z","actor":"ana (user 7)","action":"patient.update","status":200,"#,
            r#""meta.ticket":"ABC-1","meta.bed.number":7,"changes":["email: \"ana@old.example\" → \"ana@new.example\"","ward: 3 → 4","ssn: •••• (changed)"]}"#,
            "\n",
        )
    );
    let page: Value = serde_json::from_str(&search("json")).unwrap();
    assert_eq!((page["canonical"].as_str(), page["rows"][1]["meta.bed.number"].as_u64()), (Some("kind:change,request"), Some(7)));
    assert_eq!(
        search("csv").split("\r\n").take(2).collect::<Vec<_>>(),
        ["created,actor,action,status,meta.ticket,meta.bed.number,changes", "2026-02-02T09:00:00.000000Z,ana (user 7),patient.open,403,,,"]
    );
    let table = search("table");
    let mut table = table.lines();
    assert!(
        table.next().unwrap().starts_with("CREATED                      ACTOR         ACTION          STATUS  META.TICKET"),
        "{table:?}"
    );
    assert!(table.next().unwrap().ends_with("403     -            -                -"));
    let refused = seed.indelible(&["search", "--fields", "created,acter"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("no field is called `acter`"), "{}", stderr(&refused));
}

/// A spreadsheet must not run what somebody wrote into a field.
#[test]
fn a_cell_that_begins_like_a_formula_is_text() {
    let seed = Seed::empty();
    let row = |label: &str| Event {
        actor: Actor::user("7", label).into(),
        resource: Some(Resource::new("a.B", label)),
        ..event(Kind::Change, "row.insert", "2026-01-01T00:00:00Z")
    };
    let labels = ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", "plain"];
    seed.record("rows", labels.map(row).to_vec());
    seed.ingest();
    let cells = |arguments: &[&str]| -> Vec<String> {
        let output = stdout(&seed.indelible(arguments));
        output
            .split("\r\n")
            .skip(1)
            .filter(|line| !line.is_empty())
            .map(|line| line.split(',').nth(10).unwrap_or(line).to_owned())
            .collect()
    };
    let written = ["'=1+1", "'+1", "'-1", "'@sum", "'\tx", "\"'\rx\"", "plain"];
    assert_eq!(cells(&["search", "kind:change", "--asc", "-o", "csv"]), written);
    assert_eq!(cells(&["search", "kind:change", "--asc", "-o", "csv", "--fields", "actor_label"]), written);
}

#[test]
fn records_are_counted_without_being_shown() {
    let seed = Seed::clinic();
    let count = |arguments: &[&str]| {
        let output = seed.indelible(&[&["search", "--count"], arguments].concat());
        (output.status.code().unwrap(), stdout(&output))
    };
    let (exit, told) = count(&["kind:change"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((exit, &told["canonical"], &told["matches"], &told["partial"]), (0, &json!("kind:change"), &json!(3), &json!(false)));
    assert!(told["approx"].is_boolean() && told["range"].is_object());
    assert_eq!(count(&["kind:change", "-o", "table"]), (0, "3\n".to_owned()));
    let csv = count(&["kind:change", "-o", "csv"]).1;
    assert!(csv.starts_with("matches,approx,partial\r\n3,") && csv.ends_with(",false\r\n"), "{csv}");
    assert_eq!(count(&["kind:change", "--since", "2026-01-20", "-o", "table"]), (0, "2\n".to_owned()));
    assert_eq!(count(&["kind:log", "-e", "-o", "table"]), (3, "0\n".to_owned()));
    assert_eq!(seed.indelible(&["search", "--count", "--fields", "leaf"]).status.code(), Some(2));
}

#[test]
fn the_most_frequent_values_of_a_key_come_first() {
    let seed = Seed::clinic();
    let facet = |arguments: &[&str]| seed.indelible(&[&["search", "--facet"], arguments].concat());
    assert_eq!(
        lines(&facet(&["kind", "kind:change,read,auth"])),
        [json!({"value": "change", "count": 3}), json!({"value": "auth", "count": 1}), json!({"value": "read", "count": 1})]
    );
    assert_eq!(stdout(&facet(&["type", "-kind:audit", "-o", "csv", "-n", "1"])), "value,count\r\nclinic.Patient,3\r\n");
    assert_eq!(stdout(&facet(&["status", "kind:auth", "-o", "table"])), "STATUS  COUNT\n401     1\n");
    let page: Value = serde_json::from_slice(&facet(&["outcome", "kind:task", "-o", "json"]).stdout).unwrap();
    assert_eq!(
        (&page["facet"], &page["values"], &page["matches"]),
        (&json!("outcome"), &json!([{"value": "aborted", "count": 1}]), &json!(1))
    );
    assert_eq!(facet(&["kind", "kind:log", "-e"]).status.code(), Some(3));
    let wrong = facet(&["acter"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("`acter` has no list of values; one of: actor, "), "{}", stderr(&wrong));
}

#[test]
fn words_and_phrases_are_those_of_labels_and_reason() {
    let seed = Seed::ward();
    for (arguments, found) in [
        (&["ward"][..], &["patient.update"][..]),
        (&["WARD", "ticket"], &["patient.update"]),
        (&["ward", "intake"], &[]),
        (&["ward OR mailer", "-kind:audit"], &["patient.update"]),
        (&["\"ticket 42\""], &["patient.update"]),
        (&["\"42 ticket\""], &[]),
        (&["tick*"], &["patient.update"]),
        (&["NOT ward", "kind:change,request"], &["patient.open"]),
        (&["-\"ticket 42\" kind:change,request"], &["patient.open"]),
        (&["firefox"], &[]),
        (&["ana", "kind:change"], &["patient.update"]),
    ] {
        let output = seed.indelible(&[&["search"], arguments].concat());
        assert_eq!(actions(&output), found, "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(seed.indelible(&["search", "-ward"]).status.code(), Some(2));
}

#[test]
fn the_end_of_a_word_is_sought_within_a_month_at_most() {
    let seed = Seed::ward();
    for (arguments, code) in [
        (&["text:*ard"][..], 2),
        (&["text:*ard created:>=2026-01-01"], 2),
        (&["text:*ard created:2026-01-01..2026-02-01"], 2),
        (&["text:*ard created:2026-01-01..2026-01-31"], 0),
        (&["text:*ar*", "--since", "2026-01-20", "--until", "2026-02-10"], 0),
        (&["text:*ard", "--since", "-24h"], 3),
        (&["text:*wa created:2026-01-01..2026-01-31"], 3),
        (&["-text:*ard created:any"], 2),
    ] {
        let output = seed.indelible(&[&["search", "-e"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert_eq!(code == 2, stderr(&output).contains("at most 31 days"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn an_explanation_says_what_a_query_means_and_shows_no_record() {
    let seed = Seed::clinic();
    let explain = |arguments: &[&str]| seed.indelible(&[&["search", "--explain"], arguments].concat());
    let output = explain(&["actor:ana", "(kind:change OR kind:read)", "--since", "2026-01-20", "--until", "2026-01-31", "--asc"]);
    let told = &lines(&output)[0];
    assert_eq!(told["canonical"], "actor:ana (kind:change OR kind:read) created:2026-01-20..2026-01-31 sort:created-asc");
    assert_eq!((&told["from"], &told["before"]), (&json!("2026-01-20T00:00:00.000000Z"), &json!("2026-02-01T00:00:00.000000Z")));
    assert_eq!((&told["zone"], &told["order"]), (&json!("UTC"), &json!("oldest first")));
    assert_eq!(told["conditions"], json!(["actor:ana", "(kind:change OR kind:read)", "created:2026-01-20..2026-01-31"]));
    let work = &told["work"];
    assert_eq!((&work["files"], &work["records_found"]), (&json!(1), &json!(1)));
    assert!(work["records_read"].as_u64().unwrap() >= 1, "{work}");
    let table = stdout(&explain(&["-o", "table"]));
    assert!(
        table.starts_with("query        (everything)\nfrom         open\nbefore       open\nzone         UTC\norder        newest first\n"),
        "{table}"
    );
    assert_eq!(explain(&["-o", "csv"]).status.code(), Some(2));
}

#[test]
fn a_trace_holds_the_request_and_what_it_caused() {
    let seed = Seed::ward();
    let caused = ["patient.update", "patient.open", "mail.send"];
    assert_eq!(actions(&seed.indelible(&["trace", "r-1001"])), caused);
    assert_eq!(actions(&seed.indelible(&["trace", seed::ward::TRACE])), ["patient.update", "mail.send"]);
    assert_eq!(actions(&seed.indelible(&["trace", "r-1001", "-n", "1"])), ["patient.update"]);
    assert_eq!(actions(&seed.indelible(&["trace", "r-1001", "--since", "2026-02-01"])), ["patient.open"]);
    let table = stdout(&seed.indelible(&["trace", "r-1001", "-o", "table"]));
    assert!(table.starts_with("2026-01-31 23:30:00  ana (user 7)  patient.update  success  leaf 1\n"), "{table}");
    assert_eq!(lines(&seed.indelible(&["trace", "r-1001", "--fields", "trace"]))[2], json!({"trace": seed::ward::TRACE}));
    assert_eq!(seed.indelible(&["trace", ""]).status.code(), Some(2));
    assert_eq!(stdout(&seed.indelible(&["trace", "unknown"])), "");
}

#[test]
fn an_actor_is_summed_up_above_what_they_did() {
    let seed = Seed::ward();
    assert_eq!(actions(&seed.indelible(&["actor", "7"])), ["patient.open", "patient.update"]);
    assert_eq!(actions(&seed.indelible(&["actor", "ana", "-n", "1"])), ["patient.open"]);
    let table = stdout(&seed.indelible(&["actor", "7", "-o", "table"]));
    assert!(
        table.starts_with(
            "\
ana (user 7)
shown        2 records, 2026-01-31 23:30:00 to 2026-02-02 09:00:00
sessions     9f2c4e0d
addresses    10.1.2.3
agents       Mozilla/5.0 (X11) Firefox/140.0

TIME (UTC) "
        ),
        "{table}"
    );
    assert_eq!(seed.indelible(&["actor", ""]).status.code(), Some(2));
    // An id with a comma is one id, and one that looks like an operator is no operator.
    assert_eq!(stdout(&seed.indelible(&["actor", "7,8"])), "");
    assert_eq!(stdout(&seed.indelible(&["actor", "any"])), "");
}

#[test]
fn changes_are_shown_beside_or_below_each_other() {
    let seed = Seed::ward();
    let show = |diff: &str| stdout(&seed.indelible(&["show", "1", "-o", "table", "--diff", diff]));
    let split = show("split");
    assert!(
        split.contains(
            "
FIELD  BEFORE             AFTER
email  \"ana@old.example\"  \"ana@new.example\"
ward   3                  4
ssn                       •••• (changed)
"
        ),
        "{split}"
    );
    let unified = show("unified");
    assert!(unified.contains("\n    email\n      - \"ana@old.example\"\n      + \"ana@new.example\"\n    ward\n      - 3\n      + 4\n    ssn: •••• (changed)\n"), "{unified}");
    assert_eq!(seed.indelible(&["show", "1", "--diff", "sideways"]).status.code(), Some(2));
}

#[test]
fn the_address_of_a_page_is_that_of_the_agent() {
    let seed = Seed::ward();
    let without = seed.indelible(&["show", "1", "--web"]);
    assert_eq!(without.status.code(), Some(75));
    assert!(stderr(&without).contains("no agent runs on ") && stderr(&without).contains("help: start the agent"), "{}", stderr(&without));
    let agent = seed.agent();
    let id = lines(&seed.indelible(&["show", "1"]))[0]["event"]["id"].as_str().unwrap().to_owned();
    for (arguments, path) in [
        (&["show", "1", "--web"][..], format!("events/{id}")),
        (&["timeline", "clinic.Patient/4 2", "--web"], "objects/clinic.Patient/4%202".to_owned()),
        (&["trace", "r-1001?x", "--web"], "requests/r-1001%3Fx".to_owned()),
    ] {
        let output = seed.indelible(arguments);
        assert_eq!(stdout(&output), format!("http://{}/{path}\n", agent.address), "{}", stderr(&output));
    }
}

#[test]
fn a_receipt_goes_out_whole_in_every_format() {
    let seed = Seed::ward();
    let receipt = |arguments: &[&str]| stdout(&seed.indelible(&[&["show", "1", "--proof"], arguments].concat()));
    let text = receipt(&[]);
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\n"), "{text}");
    assert_eq!(receipt(&["-o", "csv"]), text);
    assert_eq!(seed.indelible(&["show", "1", "--proof", "--web"]).status.code(), Some(2));
}

#[test]
fn a_tail_goes_on_where_another_one_ended() {
    let seed = Seed::clinic();
    let first = seed.indelible(&["tail", "kind:change,read", "-n", "4", "--until-count", "2"]);
    assert_eq!(actions(&first), ["patient.create", "patient.update"]);
    let message = stderr(&first);
    let cursor = message.split("--from-cursor ").nth(1).unwrap().trim();
    let second = seed.indelible(&["tail", "kind:change,read", "--from-cursor", cursor, "--until-count", "2"]);
    assert_eq!(actions(&second), ["patient.read", "stock.move"]);
    let from_start = seed.indelible(&["tail", "kind:task", "--from-cursor", "o0", "--until-count", "1"]);
    assert_eq!(actions(&from_start), ["report.export"]);
    for wrong in [&["tail", "--from-cursor", "n5"][..], &["tail", "--from-cursor", "zzz"], &["tail", "--from-cursor", "o0", "-n", "2"]] {
        assert_eq!(seed.indelible(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(stderr(&seed.indelible(&["tail", "--from-cursor", "n5"])).contains("runs from the newest record to the oldest"));
}

#[test]
fn a_list_is_continued_where_it_stopped_whatever_it_lists() {
    let seed = Seed::clinic();
    for command in [&["timeline", "clinic.Patient/42"][..], &["actor", "ana"], &["trace", "r1"], &["search", "kind:change"]] {
        let all = lines(&seed.indelible(command));
        let first = seed.indelible(&[command, &["-n", "1"]].concat());
        let message = stderr(&first);
        let rest = match message.split("--cursor ").nth(1) {
            Some(cursor) => lines(&seed.indelible(&[command, &["--cursor", cursor.trim()]].concat())),
            None => Vec::new(),
        };
        assert_eq!([lines(&first), rest].concat(), all, "{command:?}");
    }
}

#[test]
fn the_new_commands_are_recorded_like_the_others() {
    let seed = Seed::ward();
    for command in [&["trace", "r-1001"][..], &["actor", "7"], &["search", "--count", "kind:change"], &["show", "1", "--proof"]] {
        assert!(stderr(&seed.indelible(command)).starts_with("not recorded: no agent runs on "), "{command:?}");
    }
    let _agent = seed.agent();
    for command in [
        &["trace", "r-1001"][..],
        &["actor", "7"],
        &["search", "--count", "kind:change"],
        &["show", "1", "--proof"],
        &["show", "1", "--web"],
        &["search", "--explain", "kind:change"],
        &["search", "--facet", "kind"],
    ] {
        let output = seed.indelible(command);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{command:?}");
    }
    let reads = lines(&seed.indelible(&["search", "action:audit.read", "--asc"]));
    let told: Vec<_> = reads.iter().map(|line| line["event"]["meta"]["command"].as_str().unwrap()).collect();
    assert_eq!(told, ["trace", "actor", "count", "show", "show", "explain", "top"]);
    assert_eq!(reads[2]["event"]["meta"]["canonical"], "kind:change");
    assert!(reads[0]["event"]["meta"]["canonical"].as_str().unwrap().starts_with("(request:r-1001 OR trace:4bf9"));
}
