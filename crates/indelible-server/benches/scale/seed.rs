//! Journals as a busy clinic would leave them: many actors, objects and requests over ninety days, with a few needles among them.
//!
//! The frames are those of the recorder, by the same encoder; only their times and identifiers are made up, so that a trail that took
//! months can be made in a minute, and the same one for the same seed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use indelible::{
    Actor, EncodedSource, Event, EventId, Evidence, Frame, IntentId, Item, Kind, Outcome, Request, Resolution, Resource, SegmentHeader,
    Source, Stamp, StreamId, Timestamp, encode_frame,
};

/// Streams that are written side by side.
const STREAMS: usize = 4;
const SEGMENT_BYTES: u64 = 16 << 20;
const EVENT_BYTES_MAX: usize = 262_144;
const DAYS: u64 = 90;
const ACTORS: u64 = 2_000;
/// Objects of each type.
const OBJECTS: u64 = 100_000;
/// Requests whose ids are kept, to be searched for.
const SAMPLES: usize = 64;

/// What there is only a little of: so many events each, spread over the whole time.
pub(crate) const NEEDLE_EVENTS: u64 = 40;
pub(crate) const NEEDLE_ACTOR: &str = "u-needle";
pub(crate) const NEEDLE_OBJECT: &str = "clinic.Patient/needle";
pub(crate) const NEEDLE_WORD: &str = "quokka";

const ROUTES: [(&str, &str, &str); 12] = [
    ("GET", "/api/patients/:id/", "clinic.Patient"),
    ("PATCH", "/api/patients/:id/", "clinic.Patient"),
    ("POST", "/api/patients/", "clinic.Patient"),
    ("GET", "/api/visits/:id/", "clinic.Visit"),
    ("POST", "/api/visits/", "clinic.Visit"),
    ("PATCH", "/api/prescriptions/:id/", "clinic.Prescription"),
    ("POST", "/api/prescriptions/", "clinic.Prescription"),
    ("DELETE", "/api/prescriptions/:id/", "clinic.Prescription"),
    ("GET", "/api/invoices/:id/", "billing.Invoice"),
    ("POST", "/api/invoices/:id/approve/", "billing.Invoice"),
    ("GET", "/api/reports/:id/", "reports.Report"),
    ("PATCH", "/api/staff/:id/", "staff.Employee"),
];
const FIELDS: [&str; 8] = ["phone", "address", "balance", "status", "dose_mg", "until", "name", "insurer"];
const WORDS: [&str; 24] = [
    "called",
    "asked",
    "moved",
    "corrected",
    "typing",
    "error",
    "insurer",
    "ward",
    "night",
    "shift",
    "ticket",
    "doctor",
    "requested",
    "billing",
    "query",
    "duplicate",
    "record",
    "after",
    "visit",
    "before",
    "discharge",
    "phone",
    "update",
    "family",
];

/// What was written.
pub(crate) struct Seeded {
    pub(crate) events: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) body_bytes: u64,
    /// Some requests and actors that occur.
    pub(crate) requests: Vec<String>,
    pub(crate) objects: Vec<String>,
}

/// SplitMix64: enough for a shape, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number below `end`, small ones far more often.
    pub(crate) fn skewed(&mut self, end: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((unit * unit * unit) * end as f64) as u64
    }

    fn id(&mut self) -> [u8; 10] {
        let (a, b) = (self.next().to_le_bytes(), self.next().to_le_bytes());
        [a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0], b[1]]
    }

    fn hex(&mut self, digits: usize) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())[..digits].to_owned()
    }
}

/// Name of an actor that occurs often.
pub(crate) fn actor(number: u64) -> String {
    format!("u-{number}")
}

/// Writes `events` events, or a few more, into the journal of a data directory.
///
/// # Errors
/// When the journal cannot be written.
pub(crate) fn write(data_dir: &Path, events: u64, seed: u64) -> io::Result<Seeded> {
    let now_us =
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_micros()).map_err(io::Error::other)?;
    let mut clinic = Clinic::new(data_dir, events, seed, now_us)?;
    while clinic.seeded.events < events {
        clinic.request()?;
    }
    clinic.finish()
}

struct Clinic {
    random: Random,
    source: EncodedSource,
    streams: Vec<Stream>,
    turn: usize,
    now_us: u64,
    /// Time from one request to the next, on average.
    pause_us: u64,
    needle_every: u64,
    next_needle: u64,
    wanted: u64,
    seeded: Seeded,
    body: String,
}

impl Clinic {
    fn new(data_dir: &Path, events: u64, seed: u64, now_us: u64) -> io::Result<Self> {
        let mut random = Random(seed);
        let folder = data_dir.join("journal").join("clinic");
        let streams =
            (0..STREAMS).map(|_| Stream::create(&folder, StreamId::from_parts(now_us / 1000, random.id()))).collect::<io::Result<_>>()?;
        let source = Source {
            service: "clinic".to_owned(),
            environment: "prod".to_owned(),
            version: "2.4".to_owned(),
            host: "web-1".to_owned(),
            process: 4711,
            process_kind: "web".to_owned(),
        };
        let requests = (events / 2).max(1);
        Ok(Self {
            random,
            source: EncodedSource::new(source),
            streams,
            turn: 0,
            now_us: now_us - DAYS * 86_400_000_000,
            pause_us: (DAYS * 86_400_000_000 / requests).max(2),
            needle_every: (events / NEEDLE_EVENTS).max(1),
            next_needle: 0,
            wanted: events,
            seeded: Seeded { events: 0, journal_bytes: 0, body_bytes: 0, requests: Vec::new(), objects: Vec::new() },
            body: String::new(),
        })
    }

    /// One request and what it caused.
    fn request(&mut self) -> io::Result<()> {
        self.now_us += 1 + self.random.below(2 * self.pause_us - 1);
        self.turn = (self.turn + 1) % STREAMS;
        let (method, route, r#type) = ROUTES[self.random.below(ROUTES.len() as u64) as usize];
        let is_needle = self.seeded.events >= self.next_needle;
        if is_needle {
            self.next_needle += self.needle_every;
        }
        let user = actor(self.random.skewed(ACTORS));
        let user = if is_needle { NEEDLE_ACTOR.to_owned() } else { user };
        let object = if is_needle { "needle".to_owned() } else { self.random.skewed(OBJECTS).to_string() };
        let r#type = if is_needle { "clinic.Patient" } else { r#type };
        let (request, trace) = (self.random.hex(32), self.random.hex(32));
        let resource = Resource {
            label: Some(format!("{} {object}", &r#type[r#type.find('.').map_or(0, |dot| dot + 1)..])),
            ..Resource::new(r#type, &object)
        };
        let mut event = Event::new(Kind::Request, "request.answer");
        event.actor = Actor::user(&user, format!("{user}@clinic.example")).into();
        if method != "GET" {
            self.sample(&request, r#type, &object);
            let caused = Event { trace_id: Some(trace), resource: Some(resource), ..event.clone() };
            self.change(&caused, &request, method, is_needle)?;
        } else if self.random.below(2) == 0 {
            let mut read = Event { kind: Kind::Read, resource: Some(resource), ..event.clone() };
            read.action = indelible::Action::new(&format!("{}.read", noun(r#type)));
            read.request = Some(Request::from_id(&request));
            self.record(&read)?;
        }
        self.answer(event, request, method, route, &object)
    }

    fn sample(&mut self, request: &str, r#type: &str, object: &str) {
        let every = self.wanted / SAMPLES as u64 / 2;
        if self.seeded.requests.len() < SAMPLES && self.seeded.events >= self.seeded.requests.len() as u64 * every {
            self.seeded.requests.push(request.to_owned());
            self.seeded.objects.push(format!("{type}/{object}"));
        }
    }

    /// A change is promised before COMMIT and confirmed after it.
    fn change(&mut self, template: &Event, request: &str, method: &str, is_needle: bool) -> io::Result<()> {
        let verb = match method {
            "POST" => "create",
            "DELETE" => "delete",
            _ => "update",
        };
        let mut event = Event { kind: Kind::Change, ..template.clone() };
        let noun = event.resource.as_ref().map_or_else(String::new, |resource| noun(&resource.r#type));
        event.action = indelible::Action::new(&format!("{noun}.{verb}"));
        event.request = Some(Request::from_id(request));
        for _ in 0..1 + self.random.below(2) {
            let field = FIELDS[self.random.below(FIELDS.len() as u64) as usize];
            let (old, new) = (format!("\"{}\"", self.random.below(100_000)), format!("\"{}\"", self.random.below(100_000)));
            event.changes.push_values(field, Some(&old), Some(&new));
        }
        if is_needle || self.random.below(4) == 0 {
            let words: Vec<_> = (0..4).map(|_| WORDS[self.random.below(WORDS.len() as u64) as usize]).collect();
            event.reason = Some(if is_needle { format!("{} {NEEDLE_WORD}", words.join(" ")) } else { words.join(" ") });
        }
        self.encode(&event)?;
        let stamp = self.stamp();
        let intent = IntentId::from_parts(self.now_us / 1000, self.random.id());
        let items = vec![Item { event: stamp.id, recorded_at: stamp.recorded_at, body: self.body.as_bytes() }];
        let stream = &mut self.streams[self.turn];
        stream.append(&Frame::Intent { intent, evidence: Evidence::Ack, alias: "default", items })?;
        stream.append(&Frame::Outcome { intent, resolution: Resolution::Committed, by: Evidence::Ack, items: Vec::new() })
    }

    fn answer(&mut self, mut event: Event, id: String, method: &str, route: &str, object: &str) -> io::Result<()> {
        let fault = self.random.below(50);
        let status = match fault {
            0 => 403,
            1 => 500,
            2 => 404,
            _ => 200,
        };
        event.outcome = match fault {
            0 => Outcome::Denied,
            1 | 2 => Outcome::Failure,
            _ => Outcome::Success,
        };
        event.request = Some(Request {
            id: Some(id),
            method: Some(method.to_owned()),
            route: Some(route.to_owned()),
            path: Some(route.replace(":id", object)),
            status: Some(status),
            duration_us: Some(1_000 + self.random.skewed(2_000_000)),
            client_ip: Some(format!("10.{}.{}.{}", self.random.below(4), self.random.below(256), self.random.below(256))),
            ..Request::default()
        });
        self.record(&event)
    }

    fn record(&mut self, event: &Event) -> io::Result<()> {
        self.encode(event)?;
        let stamp = self.stamp();
        let item = Item { event: stamp.id, recorded_at: stamp.recorded_at, body: self.body.as_bytes() };
        self.streams[self.turn].append(&Frame::Event(item))
    }

    /// Encodes into the buffer; the stamp that is in it is read back by [`Clinic::stamp`].
    fn encode(&mut self, event: &Event) -> io::Result<()> {
        self.now_us += 1;
        let stamp = Stamp {
            id: EventId::from_parts(self.now_us / 1000, self.random.id()),
            recorded_at: Timestamp::from_micros(self.now_us as i64),
        };
        self.body.clear();
        event.encode_from(&stamp, &self.source, EVENT_BYTES_MAX, &mut self.body);
        self.seeded.events += 1;
        self.seeded.body_bytes += self.body.len() as u64;
        Ok(())
    }

    fn stamp(&self) -> Stamp {
        let id = self.body.split('"').nth(5).and_then(|text| text.parse().ok()).expect("a body names its event third");
        Stamp { id, recorded_at: Timestamp::from_micros(self.now_us as i64) }
    }

    fn finish(mut self) -> io::Result<Seeded> {
        for stream in &mut self.streams {
            stream.append(&Frame::Close)?;
            stream.file.flush()?;
            self.seeded.journal_bytes += stream.total_bytes;
        }
        Ok(self.seeded)
    }
}

fn noun(r#type: &str) -> String {
    r#type[r#type.find('.').map_or(0, |dot| dot + 1)..].to_lowercase()
}

/// A stream of a process that has ended.
struct Stream {
    id: StreamId,
    folder: PathBuf,
    file: BufWriter<File>,
    segment: u64,
    segment_bytes: u64,
    total_bytes: u64,
    next_sequence: u64,
    frame: Vec<u8>,
}

impl Stream {
    fn create(service: &Path, id: StreamId) -> io::Result<Self> {
        let folder = service.join(id.to_string());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("lock"), "")?;
        let file = BufWriter::new(File::create(folder.join("00000001.journal"))?);
        let mut stream = Self { id, folder, file, segment: 0, segment_bytes: 0, total_bytes: 0, next_sequence: 1, frame: Vec::new() };
        stream.rotate()?;
        Ok(stream)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.segment += 1;
        self.segment_bytes = 0;
        self.file = BufWriter::with_capacity(1 << 20, File::create(self.folder.join(format!("{:08}.journal", self.segment)))?);
        let created_at = Timestamp::from_micros(0);
        let header = SegmentHeader { stream: self.id, number: self.segment, first_sequence: self.next_sequence, created_at };
        self.file.write_all(&header.encode())
    }

    fn append(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        if self.segment_bytes >= SEGMENT_BYTES {
            self.rotate()?;
        }
        self.frame.clear();
        encode_frame(self.id, self.next_sequence, frame, &mut self.frame);
        self.next_sequence += 1;
        self.segment_bytes += self.frame.len() as u64;
        self.total_bytes += self.frame.len() as u64;
        self.file.write_all(&self.frame)
    }
}
