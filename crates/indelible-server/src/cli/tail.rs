//! `indelible tail`: shows the newest records and then each one as it arrives.

use std::thread;
use std::time::Duration;

use indelible_core::query::{Order, Query};
use jiff::tz::TimeZone;

use super::body::Body;
use super::output::{Format, Output, happened, outcome};
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
    /// End after this many records
    #[arg(long, value_name = "COUNT", value_parser = super::search::at_least_one)]
    until_count: Option<usize>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let text = args.query.join(" ");
    let query: Query = text.parse()?;
    let canonical = query.to_string();
    let format = globals.format();
    if format == Format::Json {
        return Err(Failure::new(Exit::Usage, "a tail has no end, so it is no JSON document").help("use -o ndjson"));
    }
    let dir = globals.data_dir()?;
    let mut tail =
        Tail { trail: Follower::open(&dir)?, query, cursor: Cursor::from_leaf(Order::OldestFirst, 0), shown: 0, until: args.until_count };
    let newest = tail.newest(usize::from(args.limit))?;
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
    Ok(Exit::Success)
}

struct Tail {
    trail: Follower,
    query: Query,
    cursor: Cursor,
    shown: usize,
    until: Option<usize>,
}

impl Tail {
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
                let body = Body::parse(&hit.body);
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

    /// A reader that sees what is there now. One that was opened without an agent sees a file that nobody writes, and has
    /// to be opened again once there is one.
    fn reader(&mut self) -> Result<&mut Reader, Failure> {
        let agent = self.dir.agent_is_running()?;
        if agent != self.agent {
            self.reader = Reader::open(&self.dir)?;
            self.agent = agent;
        }
        Ok(&mut self.reader)
    }
}
