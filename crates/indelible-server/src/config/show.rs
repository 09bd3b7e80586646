//! What holds, with where it comes from; and what may be said at all, as JSON Schema.

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::Config;
use super::read::{Origin, Section, Value};
use super::spec::{self, Fallback, Key, Kind};

/// One key with what holds for it.
#[derive(Debug, Serialize)]
pub(crate) struct Effective {
    /// `agent.listen`, `sink.NAME.shape`.
    pub(crate) key: String,
    /// The value; where the program finds it out, how.
    pub(crate) value: Json,
    /// `default`, or `line 7`.
    pub(crate) origin: String,
}

/// Every setting of a configuration, in the order of the documentation.
pub(crate) fn effective(config: &Config) -> Vec<Effective> {
    let mut rows = section("agent", &config.document.agent);
    for sink in &config.document.sinks {
        rows.extend(section(&format!("sink.{}", sink.text("name").unwrap_or_default()), sink));
    }
    for rule in &config.document.retention {
        rows.extend(section(&format!("retention.{}", rule.text("name").unwrap_or_default()), rule));
    }
    for sender in &config.document.collector {
        rows.extend(section(&format!("collector.{}", sender.text("service").unwrap_or_default()), sender));
    }
    rows
}

fn section(prefix: &str, section: &Section) -> Vec<Effective> {
    let settings = section.settings.iter().filter(|setting| setting.key.name != "name" && setting.key.name != "service");
    settings
        .map(|setting| Effective {
            key: format!("{prefix}.{}", setting.key.name),
            value: match (&setting.value, setting.key.fallback) {
                (Some(Value::Integer(number)), _) => json!(number),
                (Some(Value::Text(text)), _) => json!(text),
                (None, Fallback::Found(how)) => json!(how),
                (None, _) => Json::Null,
            },
            origin: match setting.origin {
                Origin::Default => "default".to_owned(),
                Origin::Line(line) => format!("line {line}"),
            },
        })
        .collect()
}

/// The JSON Schema (draft 2020-12) of the file, read as TOML.
pub(crate) fn schema() -> Json {
    let mut sink = object(spec::keys_of_sink(None));
    let of_files = spec::FILES.iter().map(|key| (key.name.to_owned(), Json::Bool(false))).collect::<serde_json::Map<_, _>>();
    sink["if"] = json!({ "properties": { "type": { "const": "stdout" } } });
    sink["then"] = json!({ "properties": of_files });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the Indelible agent (config.toml)",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "agent": object(spec::AGENT.iter()),
            "sink": { "type": "array", "maxItems": spec::SINKS_MAX, "items": sink },
            "retention": { "type": "array", "maxItems": spec::RULES_MAX, "items": object(spec::RETENTION.iter()) },
            "collector": { "type": "array", "maxItems": spec::SENDERS_MAX, "items": object(spec::COLLECTOR.iter()) },
        },
    })
}

fn object(keys: impl Iterator<Item = &'static Key> + Clone) -> Json {
    let required: Vec<_> = keys.clone().filter(|key| key.fallback == Fallback::Required).map(|key| key.name).collect();
    let properties: serde_json::Map<_, _> = keys.map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn property(key: &Key) -> Json {
    let mut property = match key.kind {
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Name => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$", "maxLength": spec::NAME_BYTES_MAX }),
        Kind::Service => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]*$", "maxLength": spec::SERVICE_BYTES_MAX }),
        Kind::Digest => json!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" }),
        Kind::Query => json!({ "type": "string" }),
        Kind::Path | Kind::Address => json!({ "type": "string", "minLength": 1 }),
    };
    property["description"] = json!(key.meaning);
    match key.fallback {
        Fallback::Integer(number) => property["default"] = json!(number),
        Fallback::Text(text) => property["default"] = json!(text),
        Fallback::Required | Fallback::Found(_) => {}
    }
    property
}
