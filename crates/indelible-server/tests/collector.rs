//! What a collector lends and takes, what it refuses and how, and that nobody who asks for too much keeps others from their share.
#![allow(clippy::unwrap_used, reason = "tests")]

mod faulty;
mod random;
mod seed;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use faulty::trace::{Op, read_trace};
use faulty::{Signs, arm_trace};
use indelible::{Config, Event, Kind, Recorder};
use seed::{Agent, PATIENCE, Seed, eventually};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const CLINIC: &str = "a-token-of-the-clinic";
const LAB: &str = "a-token-of-the-lab";
/// Time for rows to arrive is 10 s: whoever is answered within this has not waited for it.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A host that takes outboxes of two services.
struct Host {
    seed: Seed,
    agent: Agent,
}

/// An answer: its status, its head, its body.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Host {
    fn new() -> Self {
        Self::traced(None)
    }

    fn traced(signs: Option<&Signs>) -> Self {
        let seed = Seed::empty();
        let entry = |service, token: &str| {
            let digest: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("[[collector]]\nservice = \"{service}\"\ntoken_sha256 = \"{digest}\"\n")
        };
        fs::write(seed.dir().config(), entry("clinic", CLINIC) + &entry("lab", LAB)).unwrap();
        let mut command = seed.command(&["serve", "--listen", "127.0.0.1:0"]);
        if let Some(signs) = signs {
            arm_trace(&mut command, seed.path(), signs);
        }
        let agent = seed.announced(command.stderr(Stdio::from(File::create(seed.path().join("log")).unwrap())));
        Self { seed, agent }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.seed.path().join("log")).unwrap()
    }

    /// Begins a request, of whose body `missing` bytes do not come.
    fn begin(&self, method: &str, path: &str, token: &str, body: &[u8], missing: usize) -> TcpStream {
        let mut connection = TcpStream::connect(self.agent.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len() + missing;
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n");
        connection.write_all(&[head.as_bytes(), body].concat()).unwrap();
        connection
    }

    fn ask_with(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Answer {
        heard(self.begin(method, path, token, body, 0))
    }

    fn ask(&self, method: &str, path: &str, token: &str) -> Answer {
        self.ask_with(method, &format!("/v1/outbox/{path}"), token, b"")
    }

    /// A new stream: its path, and where its first frame will be.
    fn lent(&self, service: &str, token: &str) -> (String, u64) {
        let answer = self.ask("POST", &format!("{service}/streams"), token);
        assert_eq!(answer.status, 201, "{}", answer.body);
        (format!("/v1/outbox/{service}/streams/{}", answer.body["stream"].as_str().unwrap()), answer.body["sequence"].as_u64().unwrap())
    }

    /// What the doctor says of refusals.
    fn doctor(&self) -> Value {
        let said = self.seed.indelible(&["doctor", "-o", "json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        said.as_array().unwrap().iter().find(|check| check["id"] == "collector.refusals").unwrap().clone()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        self.begin("GET", "/metrics", "", b"", 0).read_to_string(&mut text).unwrap();
        text
    }
}

fn heard(mut connection: TcpStream) -> Answer {
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: serde_json::from_str(body).unwrap_or_default() }
}

/// What a service of this name puts into its outbox.
fn payload(service: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(Config::new(folder.path(), service)).unwrap();
    let mut transaction = recorder.transaction("default");
    transaction.record(Event::new(Kind::Action, "patient.create"));
    let (intent, payload) = transaction.seal().unwrap().unwrap();
    intent.committed();
    payload
}

fn row(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&sequence.to_le_bytes()[..], &length.to_le_bytes(), payload].concat()
}

#[test]
fn one_service_does_not_take_the_streams_of_all_others_from_the_collector() {
    let host = Host::new();
    let streams: Vec<_> = (0..16).map(|_| host.lent("clinic", CLINIC)).collect();
    for _ in 0..3 {
        let refused = host.ask("POST", "clinic/streams", CLINIC);
        assert_eq!((refused.status, &refused.body["error"]), (503, &json!("16 drainers of this service have a stream here")));
        assert!(refused.head.contains("retry-after: 2"), "{}", refused.head);
    }
    host.lent("lab", LAB);
    assert_eq!(host.ask_with("DELETE", &streams[0].0, CLINIC, b"").status, 204);
    host.lent("clinic", CLINIC);
    assert_eq!(host.log().matches("a request to the collector was refused").count(), 1, "{}", host.log());
    assert_eq!(host.log().matches("lent streams to drainers").count(), 2, "once for each service: {}", host.log());
    let check = host.doctor();
    assert_eq!(check["verdict"], "warn", "{check}");
    assert!(check["finding"].as_str().unwrap().starts_with("3 requests about clinic were refused (crowded)"), "{check}");
    let metrics = host.metrics();
    for line in [
        "indelible_collector_streams 17",
        "indelible_collector_lent_streams 18",
        r#"indelible_collector_refused_requests{service="clinic",reason="crowded"} 3"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn who_shows_no_token_of_the_collector_is_counted_and_logged_once_and_the_token_is_not() {
    let host = Host::new();
    assert_eq!(host.doctor()["verdict"], "ok");
    for number in 0..20 {
        for service in ["clinic", &format!("unheard-of-{number}")] {
            assert_eq!(host.ask("POST", &format!("{service}/streams"), "a-token-of-nobody").status, 401);
        }
    }
    let log = host.log();
    assert_eq!(log.matches("a request to the collector was refused").count(), 2, "{log}");
    assert!(!log.contains("a-token-of-nobody") && !log.contains("unheard-of"), "{log}");
    let metrics = host.metrics();
    for service in ["clinic", ""] {
        let line = format!(r#"indelible_collector_refused_requests{{service="{service}",reason="token"}} 20"#);
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert_eq!(host.doctor()["verdict"], "warn");
}

#[test]
fn a_token_for_one_service_of_the_collector_says_nothing_in_the_name_of_another() {
    let host = Host::new();
    let refused = host.ask("POST", "lab/streams", CLINIC);
    assert_eq!((refused.status, &refused.body["error"]), (403, &json!("this token is for the outbox of another service")));
    let (stream, sequence) = host.lent("clinic", CLINIC);
    let [own, foreign] = ["clinic", "lab"].map(payload);
    let rows = [row(sequence + 1, &own), row(sequence + 3, &foreign)].concat();
    let refused = host.ask_with("POST", &stream, CLINIC, &rows);
    let said = "row 1 has an event of the service \"lab\", which this token is not for";
    assert_eq!((refused.status, &refused.body["error"]), (403, &json!(said)));
    assert_eq!(host.ask_with("POST", &stream, CLINIC, &row(sequence + 1, &own)).status, 204, "nothing of it was written");
    eventually("the event is in the trail", || (host.seed.records("patient.create").len() == 1).then_some(()));
    assert_eq!(host.seed.records("patient.create")[0].0["source"]["service"], "clinic");
}

#[test]
fn what_the_collector_tells_others_names_no_path_of_its_host() {
    let host = Host::new();
    fs::create_dir_all(host.seed.dir().journal()).unwrap();
    fs::write(host.seed.dir().journal().join("clinic"), "").unwrap();
    let root = host.seed.path().display().to_string();
    for (method, path) in [("POST", "clinic/streams"), ("GET", "clinic/answers")] {
        let refused = host.ask(method, path, CLINIC);
        assert_eq!(refused.status, 503, "{}", refused.body);
        assert!(refused.head.contains("retry-after: 10"), "{}", refused.head);
        let said = refused.body.to_string();
        assert!(said.contains("its agent's log says why") && !said.contains(&root) && !said.contains("journal/"), "{said}");
    }
    let folder = host.seed.dir().journal().join("clinic");
    assert!(host.log().contains(&folder.display().to_string()), "{}", host.log());
}

#[test]
fn answers_of_the_collector_that_cannot_be_understood_are_told_without_their_path() {
    let host = Host::new();
    let folder = host.seed.dir().journal().join("lab");
    fs::create_dir_all(&folder).unwrap();
    // The agent puts its own there once, when it comes to it.
    let refused = eventually("the answers are refused", || {
        fs::write(folder.join("answers.json"), "{").unwrap();
        Some(host.ask("GET", "lab/answers", LAB)).filter(|answer| answer.status != 200)
    });
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert!(!refused.body.to_string().contains(&folder.display().to_string()), "{}", refused.body);
    assert!(host.log().contains(&folder.display().to_string()), "{}", host.log());
}

/// Two of those who sent their rows slowly had both turns for as long as a request may take, and all others waited for them.
#[test]
fn who_sends_rows_slowly_keeps_no_other_service_from_the_collector_and_is_ended() {
    let host = Host::new();
    let (stream, sequence) = host.lent("clinic", CLINIC);
    let since = Instant::now();
    let mut slow: Vec<_> = (0..8).map(|_| host.begin("POST", &stream, CLINIC, b"rows", 1_000)).collect();
    slow.extend((0..2).map(|_| host.begin("POST", &stream, CLINIC, b"rows", 2 << 20)));
    let (other, first) = host.lent("lab", LAB);
    assert_eq!(host.ask_with("POST", &other, LAB, &row(first + 1, &payload("lab"))).status, 204);
    assert!(since.elapsed() < AT_ONCE, "others waited {:?} for them", since.elapsed());
    let ends: Vec<u16> = slow.into_iter().map(|connection| heard(connection).status).collect();
    // Four of the short ones and one of the long ones are read at a time; the others wait for their turn until their own time is over.
    assert_eq!(ends.iter().filter(|status| **status == 408).count(), 5, "{ends:?}");
    assert_eq!(ends.iter().filter(|status| **status == 504).count(), 5, "{ends:?}");
    assert_eq!(host.ask_with("POST", &stream, CLINIC, &row(sequence + 1, &payload("clinic"))).status, 204, "its turns are free again");
}

/// Who only came for rows that were assigned here before was answered when something of the service was ingested, which may be never.
#[test]
fn a_collector_answers_a_service_that_it_has_never_had_anything_of() {
    let host = Host::new();
    let asked = host.ask("GET", "clinic/answers", CLINIC);
    assert_eq!((asked.status, &asked.body["answers"]), (200, &Value::Null));
    assert!(asked.head.contains("retry-after: 1"), "{}", asked.head);
    let answers = eventually("the agent answers", || {
        let answers = host.ask("GET", "clinic/answers", CLINIC).body["answers"].clone();
        (!answers.is_null()).then_some(answers)
    });
    assert_eq!((&answers["v"], &answers["streams"], &answers["unresolved"]), (&json!(1), &json!({}), &json!([])));
    assert!(!host.seed.dir().journal().join("lab").exists(), "of whom nobody has asked");
}

#[test]
fn the_folders_of_the_first_stream_that_a_collector_lends_have_reached_the_disk() {
    let signs = Signs::new();
    let host = Host::traced(Some(&signs));
    assert!(!host.seed.dir().journal().join("clinic").exists());
    let (stream, _) = host.lent("clinic", CLINIC);
    let operations = read_trace(&signs, host.seed.path());
    let name = stream.rsplit('/').next().unwrap().to_owned();
    let named = operations.iter().position(|operation| matches!(operation, Op::Rename { to, .. } if to.ends_with(&name))).unwrap();
    for folder in ["journal/clinic", "journal", ""] {
        let is_sync = |operation: &Op| matches!(operation, Op::Sync { path } if path == Path::new(folder));
        assert!(operations[named..].iter().any(is_sync), "{folder:?} is not synced: {operations:?}");
    }
}
