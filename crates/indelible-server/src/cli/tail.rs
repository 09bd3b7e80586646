//! `indelible tail`: shows the newest records and then each one as it arrives.

use std::thread;
use std::time::Duration;

use indelible_core::query::{Order, Query};
use jiff::tz::TimeZone;

use super::body::Body;
use super::output::{Format, Output, happened, outcome, tell};
use super::reading::{self, at_least_one};
use super::{Exit, Failure, Globals, reads};
use crate::data_dir::DataDir;
use crate::http::Read;
use crate::search::{Clock, Cursor, DEADLINE, Hit, Line, PAGE_RECORDS_MAX, SearchRequest, SearchResult, search};
use crate::trail::Reader;

/// Time between two looks at the trail.
const INTERVAL: Duration = Duration::from_millis(200);

/// Show the newest records, then each one as it arrives
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look for; everything when left out
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Records to show before following, at most 1000
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=PAGE_RECORDS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier tail ended, instead of with the newest records
    #[arg(long, value_name = "CURSOR", conflicts_with = "limit", value_parser = position)]
    from_cursor: Option<Cursor>,
    /// End after this many records, and say where to go on
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    until_count: Option<usize>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let text = args.query.join(" ");
    let query = reading::query(&text)?;
    let canonical = query.to_string();
    let format = globals.format();
    if format == Format::Json {
        return Err(Failure::new(Exit::Usage, "a tail has no end, so it is no JSON document").help("use -o ndjson"));
    }
    let dir = globals.data_dir()?;
    let mut tail = Tail::open(&dir, query, args)?;
    let newest = if args.from_cursor.is_none() { tail.newest(usize::from(args.limit))? } else { Vec::new() };
    reads::record(&dir, &Read::of_this_user("tail", &text, &canonical));
    let mut writer = Writer { output: Output::stdout(), format, zone: TimeZone::system() };
    if format == Format::Csv {
        writer.output.csv_header()?;
    }
    let mut done = tail.show(&newest, &mut writer)?;
    while !done {
        let page = tail.arrived()?;
        done = tail.show(&page.rows, &mut writer)?;
        if !done && page.next.is_none() {
            thread::sleep(INTERVAL);
        }
    }
    tell(&format!("more: continue with --from-cursor {}", tail.after_shown));
    Ok(Exit::Success)
}

struct Tail {
    trail: Follower,
    query: Query,
    cursor: Cursor,
    /// Behind the last record that was shown.
    after_shown: Cursor,
    shown: usize,
    until: Option<usize>,
}

/// Reads where an earlier tail ended.
fn position(text: &str) -> Result<Cursor, String> {
    let cursor = reading::cursor(text)?;
    let of_a_tail = cursor.order() == Order::OldestFirst;
    of_a_tail.then_some(cursor).ok_or_else(|| format!("`{text}` is not where a tail ended: it runs from the newest record to the oldest"))
}

impl Tail {
    fn open(dir: &DataDir, query: Query, args: &Args) -> Result<Self, Failure> {
        let query = Query { order: Order::OldestFirst, ..query };
        let cursor = args.from_cursor.unwrap_or_else(|| Cursor::from_leaf(Order::OldestFirst, 0));
        Ok(Self { trail: Follower::open(dir)?, query, cursor, after_shown: cursor, shown: 0, until: args.until_count })
    }

    /// The newest matches, oldest of them first; what arrives from then on is left for [`Tail::arrived`].
    fn newest(&mut self, limit: usize) -> Result<Vec<Hit>, Failure> {
        self.query.order = Order::NewestFirst;
        let result = self.page(limit.max(1), None)?;
        self.query.order = Order::OldestFirst;
        self.cursor = Cursor::from_leaf(Order::OldestFirst, result.tree_size);
        let mut rows = result.rows;
        rows.truncate(limit);
        rows.reverse();
        Ok(rows)
    }

    /// What has arrived since the last look.
    fn arrived(&mut self) -> Result<SearchResult, Failure> {
        let result = self.page(PAGE_RECORDS_MAX, Some(self.cursor))?;
        self.cursor = result.next.unwrap_or_else(|| Cursor::from_leaf(Order::OldestFirst, result.tree_size));
        Ok(result)
    }

    fn page(&mut self, limit: usize, cursor: Option<Cursor>) -> Result<SearchResult, Failure> {
        let request = SearchRequest { query: self.query.clone(), limit, cursor, clock: Clock::system(), deadline: DEADLINE };
        Ok(search(self.trail.reader()?, &request)?)
    }

    /// Writes records; answers whether as many were shown as were asked for.
    fn show(&mut self, hits: &[Hit], writer: &mut Writer) -> Result<bool, Failure> {
        for hit in hits {
            if self.is_done() {
                break;
            }
            writer.write(hit)?;
            self.shown += 1;
            self.after_shown = Cursor::from_leaf(Order::OldestFirst, hit.leaf_index + 1);
        }
        writer.output.flush()?;
        Ok(self.is_done())
    }

    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.shown >= until)
    }
}

struct Writer {
    output: Output,
    format: Format,
    zone: TimeZone,
}

impl Writer {
    fn write(&mut self, hit: &Hit) -> std::io::Result<()> {
        match self.format {
            Format::Table => {
                let body = Body::of(hit);
                let time = happened(&body, hit, &self.zone);
                let action = body.action.as_deref().unwrap_or("-");
                let outcome = outcome(&body, &hit.verdict);
                self.output.text(&format!("{time}  {}  {action}  {}  {outcome}  leaf {}", body.actor(), body.resource(), hit.leaf_index))
            }
            Format::Csv => self.output.csv_row(hit),
            Format::Json | Format::Ndjson => self.output.json(&Line::new(hit)),
        }
    }
}

/// A trail that may get, or lose, its agent while it is followed.
struct Follower {
    dir: DataDir,
    reader: Reader,
    agent: bool,
}

impl Follower {
    fn open(dir: &DataDir) -> Result<Self, Failure> {
        Ok(Self { agent: dir.agent_is_running()?, reader: Reader::open(dir)?, dir: dir.clone() })
    }

    /// A reader that sees what is there now. A reader shows the trail as it was when it was opened, so where there is, or was,
    /// an agent that writes, it is opened again.
    fn reader(&mut self) -> Result<&mut Reader, Failure> {
        let agent = self.dir.agent_is_running()?;
        if agent || self.agent {
            self.reader = Reader::open(&self.dir)?;
            self.agent = agent;
        }
        Ok(&mut self.reader)
    }
}
