//! What the commands write to standard output: one table, three machine formats.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::body::{Body, or_dash};
use super::fields::Columns;
use crate::search::{Hit, Line, Page, SearchResult, shown_in, zone_name};

/// Format of what goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people
    Table,
    /// One JSON document
    Json,
    /// One JSON object per line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

impl Format {
    /// A table for a terminal, NDJSON for a pipe.
    pub(crate) fn for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson }
    }
}

/// Says something on standard error; that nobody listens there is no reason to fail.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Standard output, and what it can show.
pub(crate) struct Output {
    to: io::StdoutLock<'static>,
    terminal: bool,
    colour: bool,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        let to = io::stdout().lock();
        let terminal = to.is_terminal();
        let colour = is_coloured(terminal, std::env::var_os("NO_COLOR").as_deref());
        Self { to, terminal, colour }
    }

    /// Writes a line of the table formats, with what could command the terminal made visible.
    pub(crate) fn text(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.to, "{}", escaped(line))
    }

    /// Writes a heading.
    pub(crate) fn heading(&mut self, line: &str) -> io::Result<()> {
        let line = escaped(line);
        if self.colour { writeln!(self.to, "\x1b[1m{line}\x1b[0m") } else { writeln!(self.to, "{line}") }
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_string(value)?;
        let line = if self.terminal { escaped_in_json(&line) } else { Cow::Owned(line) };
        writeln!(self.to, "{line}")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Writes a whole result in a format.
    pub(crate) fn result(&mut self, result: &SearchResult, format: Format, zone: &TimeZone) -> io::Result<()> {
        match format {
            Format::Table => Table::new(&result.rows, zone).write(self)?,
            Format::Json => self.json(&Page::new(result))?,
            Format::Ndjson => result.rows.iter().try_for_each(|hit| self.json(&Line::new(hit)))?,
            Format::Csv => {
                self.csv_header()?;
                result.rows.iter().try_for_each(|hit| self.csv_row(hit))?;
            }
        }
        self.flush()
    }

    /// Writes the chosen fields of a whole result in a format.
    pub(crate) fn columns(&mut self, result: &SearchResult, columns: &Columns, format: Format) -> io::Result<()> {
        let rows = || result.rows.iter().map(|hit| columns.of(hit));
        match format {
            Format::Table => {
                let heading = columns.names().map(str::to_uppercase).collect();
                let texts = rows().map(|row| row.texts("-").map(Cow::into_owned).collect());
                Table::of(std::iter::once(heading).chain(texts)).write(self)?;
            }
            Format::Json => self.json(&Page::with_rows(result, rows().collect()))?,
            Format::Ndjson => rows().try_for_each(|row| self.json(&row))?,
            Format::Csv => {
                self.csv(&columns.names().collect::<Vec<_>>())?;
                rows().try_for_each(|row| self.csv(&row.texts("").collect::<Vec<_>>()))?;
            }
        }
        self.flush()
    }

    /// Writes the names of the columns of [`Output::csv_row`].
    pub(crate) fn csv_header(&mut self) -> io::Result<()> {
        self.csv(&CSV_HEADER)
    }

    /// Writes one record as a line of CSV.
    pub(crate) fn csv_row(&mut self, hit: &Hit) -> io::Result<()> {
        self.csv(&csv_cells(hit))
    }

    /// Writes cells as a line of CSV.
    pub(crate) fn csv<S: AsRef<str>>(&mut self, cells: &[S]) -> io::Result<()> {
        let cells: Vec<_> = cells.iter().map(|cell| csv_cell(cell.as_ref())).collect();
        let line = cells.join(",");
        let line = if self.terminal { escaped(&line) } else { Cow::Owned(line) };
        write!(self.to, "{line}\r\n")
    }
}

/// Whether headings are set off: on a terminal, unless `NO_COLOR` holds anything (no-color.org).
fn is_coloured(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

/// Rows in aligned columns, the first of them the heading.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(hits: &[Hit], zone: &TimeZone) -> Self {
        let names = ["ACTOR", "ACTION", "RESOURCE", "OUTCOME", "SERVICE", "LEAF"].map(str::to_owned);
        let header = std::iter::once(time_heading(zone)).chain(names).collect();
        Self { rows: std::iter::once(header).chain(hits.iter().map(|hit| cells(hit, zone).to_vec())).collect() }
    }

    /// Rows of texts; control characters in them are made visible.
    pub(crate) fn of(rows: impl Iterator<Item = Vec<String>>) -> Self {
        Self { rows: rows.map(|row| row.iter().map(|cell| escaped(cell).into_owned()).collect()).collect() }
    }

    pub(crate) fn write(&self, output: &mut Output) -> io::Result<()> {
        let mut widths = vec![0; self.rows.first().map_or(0, Vec::len)];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            let line = cells.join("  ");
            if index == 0 { output.heading(line.trim_end())? } else { output.text(line.trim_end())? }
        }
        Ok(())
    }
}

/// The name of the time column, with the zone in it.
fn time_heading(zone: &TimeZone) -> String {
    format!("TIME ({})", zone_name(zone, jiff::Timestamp::now()))
}

fn cells(hit: &Hit, zone: &TimeZone) -> [String; 7] {
    let body = Body::of(hit);
    let service = body.source.as_ref().and_then(|source| source.service.as_deref());
    [
        happened(&body, hit, zone),
        body.actor(),
        or_dash(body.action.as_deref()).to_owned(),
        body.object(),
        outcome(&body, &hit.verdict),
        or_dash(service).to_owned(),
        hit.leaf_index.to_string(),
    ]
    .map(|cell| escaped(&cell).into_owned())
}

/// When it happened, in a zone; when it arrived where the body does not say.
pub(crate) fn happened(body: &Body, hit: &Hit, zone: &TimeZone) -> String {
    let stated = body.occurred_at.as_deref().and_then(|text| text.parse().ok());
    shown_in(zone, stated.unwrap_or(hit.received_at))
}

/// The outcome, with the verdict where it is not the ordinary one.
pub(crate) fn outcome(body: &Body, verdict: &str) -> String {
    let outcome = or_dash(body.outcome.as_deref());
    match verdict {
        "recorded" | "committed" => outcome.to_owned(),
        other => format!("{outcome} ({other})"),
    }
}

/// Records as one text of CSV with a header.
pub(crate) fn csv_text(hits: &[Hit]) -> String {
    let line = |cells: Vec<String>| cells.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>().join(",") + "\r\n";
    let header = line(CSV_HEADER.map(str::to_owned).to_vec());
    header + &hits.iter().map(|hit| line(csv_cells(hit).to_vec())).collect::<String>()
}

const CSV_HEADER: [&str; 13] = [
    "leaf",
    "occurred_at",
    "received_at",
    "verdict",
    "id",
    "kind",
    "action",
    "outcome",
    "actor_type",
    "actor_id",
    "actor_label",
    "resource",
    "service",
];

fn csv_cells(hit: &Hit) -> [String; 13] {
    let body = Body::of(hit);
    let resource = if body.resource.is_some() { body.resource() } else { String::new() };
    let actor = body.actor.unwrap_or_default();
    let text = Option::unwrap_or_default;
    [
        hit.leaf_index.to_string(),
        text(body.occurred_at),
        hit.received_at.to_string(),
        hit.verdict.clone(),
        text(body.id),
        text(body.kind),
        text(body.action),
        text(body.outcome),
        text(actor.r#type),
        text(actor.id),
        text(actor.label),
        resource,
        text(body.source.and_then(|source| source.service)),
    ]
}

/// A cell of RFC 4180. One that a spreadsheet would run as a formula gets an apostrophe in front.
fn csv_cell(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// Whether a character moves the cursor, hides text or turns its direction, instead of showing itself.
pub(crate) fn is_deceptive(character: char) -> bool {
    let invisible = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    character.is_control() || invisible
}

/// A text with such characters made visible.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, |character, out| out.extend(character.escape_unicode()))
}

/// A JSON text with such characters in the form that JSON has for them. Those above U+FFFF are not among them.
fn escaped_in_json(text: &str) -> Cow<'_, str> {
    replaced(text, |character, out| out.push_str(&format!("\\u{:04x}", u32::from(character))))
}

fn replaced(text: &str, replace: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_deceptive(character) { replace(character, &mut out) } else { out.push(character) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_made_visible() {
        assert_eq!(escaped("a\x1b[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(escaped_in_json("{\"a\":\"\u{9b}\"}"), "{\"a\":\"\\u009b\"}");
        assert!(matches!(escaped("Zoë – 東京"), Cow::Borrowed(_)));
    }

    #[test]
    fn only_a_terminal_is_coloured_and_no_color_is_honoured() {
        assert!(is_coloured(true, None) && is_coloured(true, Some(OsStr::new(""))));
        assert!(!is_coloured(true, Some(OsStr::new("1"))) && !is_coloured(false, None));
    }

    #[test]
    fn a_spreadsheet_sees_text_and_not_a_formula() {
        for (cell, written) in
            [("=1+1", "'=1+1"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("-2,3", "\"'-2,3\""), ("plain", "plain")]
        {
            assert_eq!(csv_cell(cell), written);
        }
    }
}
