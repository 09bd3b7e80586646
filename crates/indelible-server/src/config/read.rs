//! Reads a configuration text against [`spec`], and collects every mistake with its place.

use std::net::SocketAddr;
use std::ops::Range;

use indelible_core::query::{Query, nearest};
use sha2::{Digest as _, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Mistake;
use super::spec::{self, Fallback, Key, Kind};

/// A value that was read or stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(i64),
    Text(String),
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    /// Line of the file, from 1.
    Line(usize),
}

/// One key with what holds for it; no value is [`Fallback::Found`].
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) key: &'static Key,
    pub(crate) value: Option<Value>,
    pub(crate) origin: Origin,
}

/// One table with a setting for each of its keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    pub(crate) settings: Vec<Setting>,
    /// Where it begins: line and column.
    pub(crate) place: (usize, usize),
}

impl Section {
    /// The number under a key that has a default.
    pub(crate) fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Integer(value)) => *value,
            other => unreachable!("the list of keys says that {name} is a number with a default, not {other:?}"),
        }
    }

    /// The number under a key that may be absent.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(value) => Some(*value),
            Value::Text(_) => None,
        }
    }

    /// The text under a key.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            Value::Integer(_) => None,
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.settings.iter().find(|setting| setting.key.name == name)?.value.as_ref()
    }

    /// A mistake at the beginning of this table.
    pub(crate) fn mistake(&self, message: String, help: &str) -> Mistake {
        let (line, column) = self.place;
        Mistake { line, column, message, help: Some(help.to_owned()) }
    }
}

/// A file as it was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    pub(crate) agent: Section,
    pub(crate) sinks: Vec<Section>,
    pub(crate) retention: Vec<Section>,
    pub(crate) collector: Vec<Section>,
}

/// Reads a text.
///
/// # Errors
/// Every mistake, in the order of the file.
pub(crate) fn read(text: &str) -> Result<Document, Vec<Mistake>> {
    let mut reading = Reading { text, mistakes: Vec::new() };
    let document = match DeTable::parse(text) {
        Ok(table) => reading.document(table.get_ref()),
        Err(error) => {
            // The error's own text repeats a line of the file.
            reading.mistake(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message().trim_end()), None);
            Document::default()
        }
    };
    reading.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    if reading.mistakes.is_empty() { Ok(document) } else { Err(reading.mistakes) }
}

struct Reading<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Reading<'_> {
    fn document(&mut self, table: &DeTable<'_>) -> Document {
        let agent = self.section(&DeTable::default(), spec::AGENT.iter(), 0..0);
        let mut document = Document { agent, ..Document::default() };
        for (name, value) in table {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("agent", DeValue::Table(table)) => document.agent = self.section(table, spec::AGENT.iter(), name.span()),
                ("sink", DeValue::Array(sinks)) => document.sinks = sinks.iter().filter_map(|sink| self.sink(sink)).collect(),
                ("retention", DeValue::Array(rules)) => document.retention = rules.iter().filter_map(|rule| self.rule(rule)).collect(),
                ("collector", DeValue::Array(senders)) => {
                    document.collector = senders.iter().filter_map(|sender| self.sender(sender)).collect()
                }
                ("collector", _) => {
                    self.mistake(name.span(), "`collector` is a list of tables".to_owned(), Some("write [[collector]]".to_owned()));
                }
                ("retention", _) => {
                    self.mistake(name.span(), "`retention` is a list of tables".to_owned(), Some("write [[retention]]".to_owned()));
                }
                ("agent", _) => self.mistake(name.span(), "`agent` is a table".to_owned(), Some("write [agent]".to_owned())),
                ("sink", _) => self.mistake(name.span(), "`sink` is a list of tables".to_owned(), Some("write [[sink]]".to_owned())),
                (unknown, _) => self.unknown(unknown, ["agent", "sink", "retention", "collector"].into_iter(), name.span()),
            }
        }
        document
    }

    fn rule(&mut self, rule: &Spanned<DeValue<'_>>) -> Option<Section> {
        let DeValue::Table(table) = rule.get_ref() else {
            self.mistake(rule.span(), "a rule is a table".to_owned(), Some("write [[retention]]".to_owned()));
            return None;
        };
        Some(self.section(table, spec::RETENTION.iter(), rule.span()))
    }

    fn sender(&mut self, sender: &Spanned<DeValue<'_>>) -> Option<Section> {
        let DeValue::Table(table) = sender.get_ref() else {
            self.mistake(sender.span(), "an entry of the collector is a table".to_owned(), Some("write [[collector]]".to_owned()));
            return None;
        };
        Some(self.section(table, spec::COLLECTOR.iter(), sender.span()))
    }

    fn sink(&mut self, sink: &Spanned<DeValue<'_>>) -> Option<Section> {
        let DeValue::Table(table) = sink.get_ref() else {
            self.mistake(sink.span(), "a sink is a table".to_owned(), Some("write [[sink]]".to_owned()));
            return None;
        };
        let sink_type = table.iter().find(|(name, _)| name.get_ref() == "type").and_then(|(_, value)| value.get_ref().as_str());
        Some(self.section(table, spec::keys_of_sink(sink_type), sink.span()))
    }

    /// One table: every key of the list once, with what the file says or what stands in.
    fn section(&mut self, table: &DeTable<'_>, keys: impl Iterator<Item = &'static Key> + Clone, span: Range<usize>) -> Section {
        for name in table.keys().filter(|name| keys.clone().all(|key| key.name != name.get_ref().as_ref())) {
            self.unknown(name.get_ref(), keys.clone().map(|key| key.name), name.span());
        }
        let settings = keys.map(|key| {
            let said = table.iter().find(|(name, _)| name.get_ref().as_ref() == key.name);
            let (value, origin) = match said {
                Some((name, value)) => (self.value(key, value), Origin::Line(self.place(name.span().start).0)),
                None => (self.fallback(key, &span), Origin::Default),
            };
            Setting { key, value, origin }
        });
        let settings = settings.collect();
        Section { settings, place: self.place(span.start) }
    }

    fn fallback(&mut self, key: &Key, span: &Range<usize>) -> Option<Value> {
        match key.fallback {
            Fallback::Integer(value) => Some(Value::Integer(value)),
            Fallback::Text(text) => Some(Value::Text(text.to_owned())),
            Fallback::Found(_) => None,
            Fallback::Required => {
                self.mistake(span.clone(), format!("`{}` is missing", key.name), Some(key.meaning.to_owned()));
                None
            }
        }
    }

    fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let read = match (key.kind, value.get_ref()) {
            (Kind::Integer { min, max }, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| (min..=max).contains(number));
                number.map(Value::Integer).ok_or_else(|| format!("`{}` is a number from {min} to {max}", key.name))
            }
            (Kind::Integer { min, max }, _) => Err(format!("`{}` is a whole number from {min} to {max}, without quotes", key.name)),
            (kind, DeValue::String(text)) => text_value(key.name, kind, text).map(|()| Value::Text(text.to_string())),
            _ => Err(format!("`{}` is a text in quotes", key.name)),
        };
        read.map_err(|message| {
            let help = help(key.kind, value.get_ref());
            self.mistake(value.span(), message, help);
        })
        .ok()
    }

    fn unknown(&mut self, name: &str, known: impl Iterator<Item = &'static str> + Clone, span: Range<usize>) {
        let help = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here are {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.mistake(span, format!("unknown key `{}`", name.escape_default()), Some(help));
    }

    fn mistake(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        let (line, column) = self.place(span.start);
        self.mistakes.push(Mistake { line, column, message, help });
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..offset.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |line_feed| line_feed + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

fn text_value(name: &str, kind: Kind, text: &str) -> Result<(), String> {
    let said = match kind {
        Kind::Choice(words) if !words.contains(&text) => format!("one of {}", words.join(", ")),
        Kind::Name if !spec::is_name(text) => {
            format!("1 to {} characters of a-z, 0-9, `_` and `-`, a letter or digit first", spec::NAME_BYTES_MAX)
        }
        Kind::Path if text.is_empty() || text.contains('\0') => "a path".to_owned(),
        Kind::Address if !text.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()) => {
            "an address and a port of loopback, for example 127.0.0.1:8420".to_owned()
        }
        Kind::Service if !spec::is_service(text) => {
            format!("1 to {} characters of a-z, 0-9, `.`, `_` and `-`, a letter or digit first", spec::SERVICE_BYTES_MAX)
        }
        Kind::Digest if parse_digest(text).is_none() => "a SHA-256 in 64 hexadecimal digits".to_owned(),
        Kind::Digest if parse_digest(text) == Some(Sha256::digest(b"").into()) => {
            "the SHA-256 of a token, and this is that of an empty text".to_owned()
        }
        Kind::Query => return text.parse::<Query>().map(drop).map_err(|error| format!("`{name}` is no query: {error}")),
        _ => return Ok(()),
    };
    Err(format!("`{name}` is {said}"))
}

/// A SHA-256 as it is written.
pub(super) fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Vec<u8> = digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if text.len() == 64 { bytes.try_into().ok() } else { None }
}

fn help(kind: Kind, value: &DeValue<'_>) -> Option<String> {
    if let (Kind::Query, Some(text)) = (kind, value.as_str()) {
        return text.parse::<Query>().err().map(|error| error.help());
    }
    let (Kind::Choice(words), Some(text)) = (kind, value.as_str()) else { return None };
    nearest(text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}
