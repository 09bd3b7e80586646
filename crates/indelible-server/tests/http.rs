//! The agent's HTTP answers, asked over a real connection.
#![allow(clippy::unwrap_used)]

mod seed;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use seed::{Agent, PATIENCE, Seed, eventually};
use serde_json::{Value, json};

/// Sends one request as it stands and returns status and body.
fn raw(address: SocketAddr, request: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

fn get(agent: &Agent, target: &str) -> (u16, Value) {
    let Agent { address, token, .. } = agent;
    let (status, body) = raw(*address, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"));
    (status, serde_json::from_str(&body).unwrap())
}

fn post(agent: &Agent, target: &str, body: &str) -> u16 {
    let (token, length) = (&agent.token, body.len());
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    raw(agent.address, &(head + body)).0
}

/// The `meta` of every reading in the trail, oldest first.
fn readings(seed: &Seed) -> Vec<Value> {
    let output = seed.indelible(&["search", "action:audit.read", "--asc", "-o", "ndjson"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"]["meta"].clone();
    lines.lines().map(line).collect()
}

#[test]
fn health_and_metrics_speak_of_the_trail() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let health = eventually("the agent has signed its start", || {
        let (status, health) = get(&agent, "/healthz");
        assert_eq!((status, &health["state"]), (200, &json!("ok")));
        (health["tree_size"].as_u64()? > 12).then_some(health)
    });
    assert!(health["lag_seconds"].is_number());
    let (status, metrics) = raw(agent.address, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 200);
    assert!(metrics.contains("indelible_tree_size 13") && metrics.trim_end().ends_with("# EOF"), "{metrics}");
}

#[test]
fn a_page_over_http_has_the_rows_of_the_command_and_goes_on_at_its_cursor() {
    let seed = Seed::clinic();
    let expected = seed.indelible(&["search", "kind:change", "-o", "ndjson"]);
    let expected: Vec<Value> =
        String::from_utf8(expected.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let agent = seed.agent();
    let (status, first) = get(&agent, "/v1/events?q=kind%3Achange&limit=2");
    assert_eq!(status, 200);
    assert_eq!((&first["canonical"], &first["partial"]), (&json!("kind:change"), &json!(false)));
    let next = first["next"].as_str().unwrap();
    let (_, second) = get(&agent, &format!("/v1/events?q=kind%3Achange&limit=2&cursor={next}"));
    assert_eq!(second["next"], Value::Null);
    let rows: Vec<Value> = [&first, &second].into_iter().flat_map(|page| page["rows"].as_array().unwrap().clone()).collect();
    assert_eq!(rows, expected);
}

#[test]
fn counts_come_by_time_and_by_value_and_are_readings_too() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let (status, bars) = get(&agent, "/v1/histogram?q=kind%3Achange&from=2026-01-01&to=2026-02-28&bars=10");
    assert_eq!((status, &bars["matches"], &bars["bar_seconds"], &bars["partial"]), (200, &json!(3), &json!(604_800), &json!(false)));
    let counted: u64 = bars["bars"].as_array().unwrap().iter().filter_map(|bar| bar["outcomes"]["success"].as_u64()).sum();
    assert_eq!(counted, 3, "{bars}");
    assert_eq!(bars["range"], json!({"from": "2026-01-01T00:00:00.000000Z", "before": "2026-03-01T00:00:00.000000Z"}));
    let (_, top) = get(&agent, "/v1/top?q=type%3Apatient&facet=actor&n=5");
    assert_eq!(top["values"], json!([{"value": "7", "count": 2}, {"value": "8", "count": 1}]));
    let (_, page) = get(&agent, "/v1/events?q=kind%3Achange&explain=true");
    assert_eq!((&page["explain"]["files_total"], &page["approx"]), (&json!(1), &json!(false)));
    assert!(page["explain"]["tested"].as_u64() >= Some(3), "{page}");
    for wrong in ["/v1/histogram?from=soon", "/v1/histogram?q=actr%3A1", "/v1/top", "/v1/top?facet=reason", "/v1/top?facet=actor&m=1"] {
        assert_eq!(get(&agent, wrong).0, 400, "{wrong}");
    }
    let commands: Vec<Value> = readings(&seed).iter().map(|meta| meta["command"].clone()).collect();
    assert_eq!(commands[..3], [json!("histogram"), json!("top"), json!("search")]);
}

#[test]
fn one_record_comes_with_its_leaf() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let (status, record) = get(&agent, "/v1/events/2");
    assert_eq!((status, &record["event"]["action"]), (200, &json!("patient.update")));
    assert_eq!((&record["body_matches"], &record["entry"]["verdict"]), (&json!(true), &json!("recorded")));
    let id = record["event"]["id"].as_str().unwrap();
    assert_eq!(get(&agent, &format!("/v1/events/{id}")).1, record);
    assert_eq!(get(&agent, "/v1/events/999999").0, 404);
    assert_eq!(get(&agent, "/v1/events/nonsense").0, 400);
}

/// A page as somebody sees it who has opened a link.
fn pages(seed: &Seed, agent: &Agent) -> impl Fn(&str) -> String {
    let address = agent.address;
    let ask = move |target: &str, cookie: &str| {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(connection, "GET {target} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    };
    let link = String::from_utf8(seed.indelible(&["link"]).stdout).unwrap();
    let (_, token) = link.trim().split_once("/open/").unwrap();
    let opened = ask(&format!("/open/{token}"), "");
    let cookie = opened.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap().split(';').next().unwrap().to_owned();
    // A slash is escaped, as in text of others.
    move |target| ask(target, &cookie).replace("&#x2f;", "/")
}

#[test]
fn the_page_of_an_event_in_doubt_leads_to_what_became_of_it_and_back() {
    let seed = Seed::clinic();
    let first = |agent: &Agent, query: &str| {
        let (_, page) = get(agent, &format!("/v1/events?q={query}"));
        page["rows"][0]["event"]["id"].as_str().unwrap().to_owned()
    };
    let agent = seed.agent();
    let doubtful = first(&agent, "verdict%3Ain_doubt");
    let page = pages(&seed, &agent)(&format!("/events/{doubtful}"));
    assert!(page.contains("nothing has told it since.</p>"), "{page}");
    drop(agent);
    seed.resolve_the_doubt();
    seed.ingest();
    let agent = seed.agent();
    let resolution = first(&agent, "action%3Aaudit.resolve");
    let page = pages(&seed, &agent);
    let of_event = page(&format!("/events/{doubtful}"));
    assert!(of_event.contains(&format!(r#"told later: <a href="/events/{resolution}">it was committed</a>.</p>"#)), "{of_event}");
    let of_resolution = page(&format!("/events/{resolution}"));
    assert!(
        of_resolution.contains(&format!(r#"what became of <a href="/events/{doubtful}">an event in doubt</a>.</p>"#)),
        "{of_resolution}"
    );
    let of_another = page("/events/2");
    assert!(of_another.contains("Verify this event again") && !of_another.contains("in doubt"), "{of_another}");
}

#[test]
fn every_reading_is_in_the_trail_before_its_answer_leaves() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    get(&agent, "/v1/events?q=actor%3Aana%20actor%3Abo");
    get(&agent, "/v1/events/1");
    get(&agent, "/v1/events?q=created%3A2026-02-03");
    let metas = readings(&seed);
    assert_eq!(metas.len(), 3, "{metas:?}");
    assert_eq!(metas[0], json!({"command": "search", "query": "actor:ana actor:bo", "canonical": "actor:ana,bo", "count": 4}));
    assert_eq!((&metas[2]["from"], &metas[2]["before"]), (&json!("2026-02-03T00:00:00.000000Z"), &json!("2026-02-04T00:00:00.000000Z")));
    assert_eq!((&metas[1]["command"], &metas[1]["query"], &metas[1]["count"]), (&json!("show"), &json!("1"), &json!(1)));
}

#[test]
fn looking_at_audit_events_is_recorded_once_in_a_sitting() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    // A reader who begins in the middle is recorded like any other.
    let (_, first) = get(&agent, "/v1/events?q=kind%3Aaudit&limit=1&cursor=nffff");
    get(&agent, &format!("/v1/events?q=kind%3Aaudit&limit=1&cursor={}", first["next"].as_str().unwrap()));
    get(&agent, "/v1/events?q=kind%3Aaudit");
    let looks = readings(&seed).into_iter().filter(|meta| meta["query"] == "kind:audit").count();
    assert_eq!(looks, 1);
}

#[test]
fn a_posted_reading_is_recorded_under_the_user_whom_it_states() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let read = json!({"command": "search", "query": "q", "canonical": "c", "count": 3, "uid": 1234}).to_string();
    assert_eq!(post(&agent, "/v1/reads", &read), 204);
    let output = seed.indelible(&["search", "actor:uid:1234", "-o", "ndjson"]);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["event"]["action"], "audit.read");
    assert_eq!(line["event"]["actor"], json!({"type": "user", "id": "uid:1234", "auth": "stated"}));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place_and_a_cure() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let (status, problem) = get(&agent, "/v1/events?q=kind%3Aread%20actr%3Aana");
    assert_eq!(status, 400);
    assert_eq!((&problem["column"], &problem["help"]), (&json!(11), &json!("did you mean `actor:`?")));
    assert_eq!(get(&agent, "/v1/events?query=x").0, 400, "an unknown parameter");
    assert_eq!(get(&agent, "/v1/events?cursor=zzz").0, 400);
    assert_eq!(get(&agent, "/nothing").0, 404);
    assert_eq!(post(&agent, "/v1/reads", "{\"command\":\"x\"}"), 422);
    let long = json!({"command": "search", "query": "q".repeat(5000), "canonical": "", "count": 0, "uid": 1}).to_string();
    assert_eq!(post(&agent, "/v1/reads", &long), 413);
    assert_eq!(post(&agent, "/v1/reads", &" ".repeat(40_000)), 413, "a body over the bound");
    assert_eq!(readings(&seed).len(), 0, "nothing was read");
}

/// A page on the web whose name resolves to 127.0.0.1 sends its own name as the host.
#[test]
fn a_request_for_another_host_is_refused() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let token = &agent.token;
    let refused = [
        ("/v1/events", "Host: evil.example:8420\r\n"),
        ("/v1/events", "Host: 10.0.0.1\r\n"),
        ("/v1/events", "Host: \r\n"),
        ("/v1/events", "Host: localhost\r\nHost: evil.example\r\n"),
        ("/v1/events", "Host: localhost\r\nHost: localhost\r\n"),
        ("http://evil.example/v1/events", "Host: localhost\r\n"),
        ("http://me@evil.example/healthz", "Host: localhost\r\n"),
    ];
    for (target, host) in refused {
        let (status, body) = raw(agent.address, &format!("GET {target} HTTP/1.1\r\n{host}Authorization: Bearer {token}\r\n\r\n"));
        assert_eq!(status, 403, "{target} {host}: {body}");
        assert!(!body.contains("patient"));
    }
    assert_eq!(readings(&seed).len(), 0);
    assert_eq!(get(&agent, &format!("http://{}/healthz", agent.address)).0, 200);
}

/// Every user of a host can reach its loopback, and saw records that only the owner of the directory may read.
#[test]
fn only_who_knows_the_token_sees_records_or_states_a_reading() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let reading = json!({"command": "verify", "query": "", "canonical": "", "result": "intact", "uid": 0}).to_string();
    let length = reading.len();
    for authorization in ["", "Authorization: Bearer \r\n", "Authorization: Bearer 00\r\n", &format!("Authorization: {}\r\n", agent.token)]
    {
        let head = format!("HTTP/1.1\r\nHost: localhost\r\n{authorization}");
        let (status, body) = raw(agent.address, &format!("GET /v1/events {head}\r\n"));
        assert_eq!(status, 401, "{authorization}: {body}");
        assert!(body.contains("agent.json") && !body.contains(&agent.token));
        assert_eq!(raw(agent.address, &format!("GET /v1/events/1 {head}\r\n")).0, 401);
        let post = format!("POST /v1/reads {head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{reading}");
        assert_eq!(raw(agent.address, &post).0, 401);
        assert_eq!(raw(agent.address, &format!("GET /healthz {head}\r\n")).0, 200);
    }
    assert_eq!(readings(&seed).len(), 0);
    let mode = fs::metadata(seed.dir().agent_json()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Clients that open connections and never finish a request took every file descriptor of the agent.
#[test]
fn unfinished_requests_are_bounded_and_given_up() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let slow: Vec<_> = (0..150)
        .map(|_| {
            let mut connection = TcpStream::connect(agent.address).unwrap();
            connection.write_all(b"GET /healthz HTTP/1.1\r\nX: ").unwrap();
            connection
        })
        .collect();
    let since = Instant::now();
    assert_eq!(get(&agent, "/healthz").0, 200, "after those before it were given up");
    // Their own time is 5 seconds, and 64 have a place.
    assert!(since.elapsed() < Duration::from_secs(4), "others waited {:?} for them", since.elapsed());
    let descriptors = fs::read_dir(format!("/proc/{}/fd", agent.process.id())).unwrap().count();
    assert!(descriptors < 100, "{descriptors} files are open");
    for mut connection in slow {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        // A connection is closed or reset, with an answer or without one; it does not stay.
        let ended = connection.read_to_string(&mut answer);
        assert!(ended.is_ok_and(|_| !answer.contains("200 OK")), "{answer}");
    }
}

/// Programs that preview links ask for the head of a page.
#[test]
fn asking_only_for_its_head_does_not_use_a_link_up() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    let ask = |method: &str, target: &str, rest: &str| {
        raw(agent.address, &format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{rest}"))
    };
    let asked = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}", agent.token);
    let (_, link) = ask("POST", "/v1/links", &asked);
    let link: Value = serde_json::from_str(&link).unwrap();
    let path = link["path"].as_str().unwrap();
    assert_eq!(["HEAD", "GET", "GET"].map(|method| ask(method, path, "\r\n").0), [405, 200, 403]);
}

#[test]
fn several_readers_at_once_all_get_their_answer() {
    let seed = Seed::clinic();
    let agent = seed.agent();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..12).map(|_| scope.spawn(|| get(&agent, "/v1/events?q=kind%3Achange").0)).collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 200);
        }
    });
    assert_eq!(readings(&seed).len(), 12);
}
