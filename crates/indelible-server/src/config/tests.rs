//! Good and bad files, and what is said about them.

use std::fs;

use super::*;
use crate::retention::Since;

fn load(text: &str) -> Result<Config, ConfigError> {
    let temporary = tempfile::tempdir().unwrap();
    let dir = DataDir::new(temporary.path());
    fs::write(dir.config(), text).unwrap();
    Config::load(&dir, None)
}

fn mistakes(text: &str) -> Vec<String> {
    match load(text) {
        Err(ConfigError::Mistakes { mistakes, .. }) => mistakes.0.iter().map(ToString::to_string).collect(),
        other => panic!("{text} gives {other:?}"),
    }
}

const FILES: &str = "[[sink]]\nname = \"a\"\ntype = \"files\"\n";

#[test]
fn a_file_that_is_not_there_means_the_defaults_unless_it_was_named() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = DataDir::new(temporary.path());
    let config = Config::load(&dir, None).unwrap();
    assert_eq!((config.sinks().len(), config.digest(), config.listen()), (0, None, None));
    assert_eq!(config.deadlines(), Deadlines::default());
    assert_eq!(effective(&config).len(), spec::AGENT.len());
    let named = Config::load(&dir, Some(&temporary.path().join("other.toml")));
    assert!(matches!(named, Err(ConfigError::File { .. })), "{named:?}");
}

#[test]
fn what_is_said_holds_and_the_defaults_hold_for_the_rest() {
    let text = format!(
        "[agent]\nlisten = \"127.0.0.1:9\"\ntransaction_deadline_ms = 5_000\n{FILES}file_bytes_max = 0x800\nfile_mode = \"0640\"\nshape = \"j1\"\nfolder = \"/var/log/x\"\n[[sink]]\nname = \"b\"\ntype = \"stdout\"\nstart = \"newest\"\n"
    );
    let config = load(&text).unwrap();
    assert_eq!(config.listen(), Some("127.0.0.1:9".parse().unwrap()));
    assert_eq!(config.deadlines().transaction_deadline_ms, 5_000);
    let [a, b] = config.sinks() else { panic!("two sinks") };
    let Target::Files(files) = &a.target else { panic!("files") };
    let expected =
        FilesConfig { folder: "/var/log/x".into(), file_bytes_max: 2048, rotated_files_max: 5, rotate_after: None, file_mode: 0o640 };
    assert_eq!((files, a.shape, a.starts_newest), (&expected, Shape::J1, false));
    assert_eq!((&b.target, b.shape, b.starts_newest), (&Target::Stdout, Shape::Native, true));
    assert_eq!((a.limits.batch_records_max, a.limits.retry_max), (1_000, Duration::from_secs(60)));
    let shown = effective(&config);
    let row = |key: &str| shown.iter().find(|row| row.key == key).map(|row| (row.value.to_string(), row.origin.as_str())).unwrap();
    assert_eq!(row("agent.transaction_deadline_ms"), ("5000".to_owned(), "line 3"));
    assert_eq!(row("sink.a.rotated_files_max"), ("5".to_owned(), "default"));
    assert_eq!(row("sink.b.start"), ("\"newest\"".to_owned(), "line 14"));
    assert!(shown.iter().all(|row| row.key != "sink.b.folder"), "standard output has no folder");
}

#[test]
fn every_mistake_is_named_with_its_place_and_a_cure_and_no_secret_is_repeated() {
    let text = "[agnt]\nx = 1\n[agent]\npassword = \"s3cret\"\n[[sink]]\nname = \"A b\"\ntype = \"file\"\nshap = \"j1\"\nbatch_records_max = 0\ncall_timeout_ms = \"s3cret\"\nstart = 5\n";
    let found = mistakes(text);
    let expected = [
        "1:2: unknown key `agnt`; did you mean `agent`?",
        "4:1: unknown key `password`; known here are listen, transaction_deadline_ms",
        "6:8: `name` is 1 to 32 characters of a-z, 0-9, `_` and `-`, a letter or digit first",
        "7:8: `type` is one of files, stdout; did you mean `files`?",
        "8:1: unknown key `shap`; did you mean `shape`?",
        "9:21: `batch_records_max` is a number from 1 to 10000",
        "10:19: `call_timeout_ms` is a whole number from 100 to 600000, without quotes",
        "11:9: `start` is a text in quotes",
    ];
    assert_eq!(found, expected);
    let broken = mistakes("[agent]\nlisten = \"s3cret\n");
    assert!(broken.len() == 1 && broken[0].starts_with("2:") && !broken[0].contains("s3cret"), "{broken:?}");
}

#[test]
fn every_number_has_a_least_and_a_greatest_value() {
    for key in spec::keys_of_sink(None) {
        let spec::Kind::Integer { min, max } = key.kind else { continue };
        for good in [min, max] {
            // The pauses bound each other.
            let other = match key.name {
                "retry_min_ms" => "retry_max_ms = 3600000\n",
                "retry_max_ms" => "retry_min_ms = 10\n",
                _ => "",
            };
            load(&format!("{FILES}{} = {good}\n{other}", key.name)).unwrap();
        }
        for bad in [i128::from(min) - 1, i128::from(max) + 1] {
            assert_eq!(mistakes(&format!("{FILES}{} = {bad}\n", key.name)).len(), 1, "{} = {bad}", key.name);
        }
    }
}

#[test]
fn what_is_right_one_by_one_can_be_wrong_together() {
    for (text, expected) in [
        (format!("{FILES}{FILES}"), "4:1: the same name as the sink in line 1; a name belongs to one sink"),
        (
            format!("{FILES}folder = \"/x\"\n[[sink]]\nname = \"b\"\ntype = \"files\"\nfolder = \"/x\"\n"),
            "5:1: the same folder as the sink in line 1; a sink owns the files of its folder",
        ),
        (
            "[[sink]]\nname = \"a\"\ntype = \"stdout\"\n[[sink]]\nname = \"b\"\ntype = \"stdout\"\n".to_owned(),
            "4:1: the same standard output as the sink in line 1; there is one",
        ),
        (format!("{FILES}retry_min_ms = 500\nretry_max_ms = 400\n"), "1:1: `retry_min_ms` is above `retry_max_ms`; exchange them"),
        (
            "[[sink]]\ntype = \"stdout\"\nfolder = \"/x\"\nname = \"a\"\n".to_owned(),
            "3:1: unknown key `folder`; known here are name, type, shape, start, batch_records_max, batch_bytes_max, call_timeout_ms, retry_min_ms, retry_max_ms, dead_letters_max",
        ),
    ] {
        assert!(mistakes(&text).contains(&expected.to_owned()), "{:?}", mistakes(&text));
    }
    let many: String = (0..=spec::SINKS_MAX).map(|number| FILES.replace("\"a\"", &format!("\"a{number}\""))).collect();
    assert_eq!(mistakes(&many).len(), 1);
    assert!(mistakes("sink = 1\nagent = 2\n").len() == 2 && mistakes("sink = [1]\n").len() == 1);
}

#[test]
fn a_rule_of_retention_is_read_and_its_floor_is_not_undercut() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = DataDir::new(temporary.path());
    let text = "[[retention]]\nname = \"a\"\nmatch = \"kind:read\"\ndays = 0\nsince = \"received\"\n[[retention]]\nname = \"b\"\nclass = \"pci\"\n";
    fs::write(dir.config(), text).unwrap();
    let config = Config::load(&dir, None).unwrap();
    let [first, second] = config.rules() else { panic!("{:?}", config.rules()) };
    assert_eq!((first.query.to_string().as_str(), first.days, first.floor_days, first.since), ("kind:read", Some(0), 0, Since::Received));
    assert_eq!((second.query.to_string().as_str(), second.days, second.floor_days, second.since), ("", None, 365, Since::Occurred));
    for (text, expected) in [
        (
            "[[retention]]\nname = \"a\"\nclass = \"hipaa\"\ndays = 2189\n",
            "1:1: the rule `a` keeps 2189 days, which is below the floor of the class `hipaa`, 2190 days; raise `days`; nothing was erased",
        ),
        (
            "[[retention]]\nname = \"a\"\nclass = \"pci\"\nfloor_days = 400\ndays = 399\n",
            "1:1: the rule `a` keeps 399 days, which is below the floor of `floor_days`, 400 days; raise `days`; nothing was erased",
        ),
        (
            "[[retention]]\nname = \"a\"\n[[retention]]\nname = \"a\"\n",
            "3:1: the same name as the rule in line 1; a name belongs to one rule",
        ),
        ("[[retention]]\nname = \"a\"\nmatch = \"kind:\"\n", "3:9: `match` is no query"),
        ("retention = 1\n", "1:1: `retention` is a list of tables; write [[retention]]"),
    ] {
        assert!(mistakes(text).iter().any(|found| found.starts_with(expected)), "{:?}", mistakes(text));
    }
    let many: String = (0..=spec::RULES_MAX).map(|number| format!("[[retention]]\nname = \"a{number}\"\n")).collect();
    assert_eq!(mistakes(&many).len(), 1);
}

#[test]
fn whoever_may_post_an_outbox_is_named_with_the_digest_of_a_token() {
    let digest = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
    let entry = |service: &str, digest: &str| format!("[[collector]]\nservice = \"{service}\"\ntoken_sha256 = \"{digest}\"\n");
    let config = load(&(entry("clinic.eu", digest) + &entry("clinic.eu", &"0".repeat(64)))).unwrap();
    let [first, second] = config.senders() else { panic!("{:?}", config.senders()) };
    assert_eq!((first.service.as_str(), &first.token_sha256[..4]), ("clinic.eu", &[0x01, 0x23, 0x45, 0x67][..]));
    assert_eq!(second.token_sha256, [0; 32]);
    assert!(effective(&config).iter().any(|row| row.key == "collector.clinic.eu.token_sha256"));
    for (text, expected) in [
        (entry("../etc", digest), "2:11: `service` is 1 to 64 characters of a-z, 0-9, `.`, `_` and `-`, a letter or digit first"),
        (entry("a", &digest[1..]), "3:16: `token_sha256` is a SHA-256 in 64 hexadecimal digits"),
        (entry("a", &digest.replace('0', "g")), "3:16: `token_sha256` is a SHA-256 in 64 hexadecimal digits"),
        (
            entry("a", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            "3:16: `token_sha256` is the SHA-256 of a token, and this is that of an empty text",
        ),
        ("[[collector]]\nservice = \"a\"\n".to_owned(), "1:1: `token_sha256` is missing"),
        ("collector = 1\n".to_owned(), "1:1: `collector` is a list of tables; write [[collector]]"),
        ("collector = [1]\n".to_owned(), "1:14: an entry of the collector is a table; write [[collector]]"),
    ] {
        assert!(mistakes(&text).iter().any(|found| found.starts_with(expected)), "{:?}", mistakes(&text));
    }
    let many: String = (0..=spec::SENDERS_MAX).map(|_| entry("a", digest)).collect();
    assert_eq!(mistakes(&many).len(), 1);
}

#[test]
fn a_changed_file_is_an_event_once() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = DataDir::new(temporary.path());
    let changed = || Recorded::change(&dir, &Config::load(&dir, None).unwrap()).map(|(_, recorded)| recorded);
    assert!(changed().is_none(), "no file, and none before");
    fs::write(dir.config(), FILES).unwrap();
    assert!(changed().is_some() && changed().is_some(), "until it is remembered");
    changed().unwrap().remember().unwrap();
    assert!(changed().is_none());
    fs::write(dir.config(), format!("{FILES}# a comment\n")).unwrap();
    changed().unwrap().remember().unwrap();
    fs::remove_file(dir.config()).unwrap();
    assert!(changed().is_some(), "the defaults hold again");
}

#[test]
fn the_schema_has_every_key_with_its_bounds() {
    let schema = schema();
    let sink = &schema["properties"]["sink"]["items"]["properties"];
    for key in spec::keys_of_sink(None) {
        assert_eq!(sink[key.name]["description"], key.meaning, "{}", key.name);
    }
    assert_eq!(sink["batch_records_max"]["maximum"], 10_000);
    assert_eq!(schema["properties"]["sink"]["items"]["required"], serde_json::json!(["name", "type"]));
    assert_eq!(schema["properties"]["agent"]["additionalProperties"], false);
    let rule = &schema["properties"]["retention"]["items"]["properties"];
    for key in spec::RETENTION {
        assert_eq!(rule[key.name]["description"], key.meaning, "{}", key.name);
    }
}

#[test]
fn the_documentation_has_every_key_with_its_default_and_its_bounds() {
    let sinks = spec::AGENT.iter().chain(spec::keys_of_sink(None)).map(|key| (key, include_str!("../../../../docs/sinks.md")));
    let rules = spec::RETENTION.iter().map(|key| (key, include_str!("../../../../docs/retention.md")));
    let senders = spec::COLLECTOR.iter().map(|key| (key, include_str!("../../../../docs/evidence.md")));
    for (key, docs) in sinks.chain(rules).chain(senders) {
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        let row = row.unwrap_or_else(|| panic!("no page has a row for {}", key.name));
        let says = |text: &str| assert!(row.contains(&format!("`{text}`")), "{row} does not say {text}");
        match key.fallback {
            spec::Fallback::Integer(number) => says(&number.to_string()),
            spec::Fallback::Text(text) => says(text),
            spec::Fallback::Required | spec::Fallback::Found(_) => {}
        }
        match key.kind {
            spec::Kind::Integer { min, max } => [min, max].into_iter().for_each(|bound| says(&bound.to_string())),
            spec::Kind::Choice(words) => words.iter().for_each(|word| says(word)),
            spec::Kind::Name | spec::Kind::Path | spec::Kind::Address | spec::Kind::Query | spec::Kind::Service | spec::Kind::Digest => {}
        }
    }
}
