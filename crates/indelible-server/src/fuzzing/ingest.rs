//! What the fuzz target `ingest` runs: an agent, and journals that are written by the rules, or against them, as the input says.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use indelible_core::{EventId, Evidence, Frame, IntentId, Item, Resolution, SegmentHeader, StreamId, Timestamp, encode_frame};

use crate::data_dir::DataDir;
use crate::ingest::{Deadlines, Ingester, Settings, Step};
use crate::trail::{Order, Reader, StoredLeaf};
use crate::verify::{Report, Trust, verify};

/// Streams that are written at the same time.
const STREAMS: usize = 4;
/// The most that one script does.
const ACTIONS_MAX: usize = 256;
/// The most steps until everything that can be ingested is ingested: each takes the whole of what a script can write.
const STEPS_MAX: usize = 64;
/// Few, so that files roll over.
const LEAVES_PER_FILE: u64 = 8;
/// Past every deadline of an intent.
const LONG_MS: i64 = 120_000;
const KINDS: u8 = 7;

/// Writes journals as `script` says, lets an agent ingest them meanwhile, and verifies the trail. `root` is an empty folder.
///
/// # Panics
/// When the agent fails, does not come to an end, loses an event of a stream that was written by the rules, or leaves a trail that is
/// not intact.
pub fn ingest(root: &Path, script: &[u8]) {
    let mut site = Site::new(root);
    let mut script = Script(script);
    for _ in 0..ACTIONS_MAX {
        let Some(action) = script.byte() else { break };
        site.act(action, &mut script);
    }
    site.finish();
}

/// The rest of the input. What it does not say is zero.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn small(&mut self) -> u64 {
        u64::from(self.byte().unwrap_or(0))
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}

/// A stream's folder, and the process that writes it.
struct Stream {
    id: StreamId,
    folder: PathBuf,
    /// Held while its process lives.
    lock: Option<File>,
    segment: u64,
    next_sequence: u64,
    /// Events that must become records: none as soon as anything was written against the rules.
    promised: u64,
    is_damaged: bool,
}

impl Stream {
    fn new(journal: &Path, number: u8) -> Self {
        let id = StreamId::from_bytes([number; 16]);
        let folder = journal.join("fuzz").join(id.to_string());
        fs::create_dir_all(&folder).expect("the folder is ours");
        let lock = File::create(folder.join("lock")).expect("the folder is ours");
        lock.try_lock().expect("nobody else locks it");
        let mut stream = Self { id, folder, lock: Some(lock), segment: 0, next_sequence: 1, promised: 0, is_damaged: false };
        stream.rotate();
        stream
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{:08}.journal", self.segment))
    }

    fn rotate(&mut self) {
        self.segment += 1;
        let created_at = Timestamp::from_micros(0);
        let header = SegmentHeader { stream: self.id, number: self.segment, first_sequence: self.next_sequence, created_at };
        fs::write(self.path(), header.encode()).expect("the folder is ours");
    }

    fn append(&mut self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        encode_frame(self.id, self.next_sequence, frame, &mut bytes);
        self.next_sequence += 1;
        self.append_bytes(&bytes);
    }

    /// Appends any bytes; where the segment was deleted already, they begin a file that is none.
    fn append_bytes(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path()).expect("the folder is ours");
        file.write_all(bytes).expect("the disk is not full");
    }

    /// From here on, what was promised is not.
    fn damage(&mut self) {
        self.is_damaged = true;
    }

    fn flip(&mut self, place: u64, mask: u8) {
        self.damage();
        let Ok(file) = OpenOptions::new().read(true).write(true).open(self.path()) else { return };
        let mut byte = [0];
        let length = file.metadata().map_or(0, |metadata| metadata.len()).max(1);
        if file.read_exact_at(&mut byte, place % length).is_ok() {
            file.write_all_at(&[byte[0] ^ mask], place % length).expect("the file is ours");
        }
    }

    fn cut(&mut self, bytes: u64) {
        self.damage();
        if let Ok(file) = OpenOptions::new().write(true).open(self.path()) {
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            file.set_len(length.saturating_sub(bytes)).expect("the file is ours");
        }
    }
}

struct Site {
    dir: DataDir,
    ingester: Option<Ingester>,
    now_ms: i64,
    streams: Vec<Stream>,
    /// Streams that have ended.
    ended: Vec<Stream>,
    /// Number of the next event.
    next_event: u64,
}

impl Site {
    fn new(root: &Path) -> Self {
        let dir = DataDir::new(root);
        let mut site = Self { dir, ingester: None, now_ms: 1_000_000, streams: Vec::new(), ended: Vec::new(), next_event: 0 };
        site.start();
        site
    }

    fn start(&mut self) {
        self.ingester = None;
        let settings = Settings { deadlines: Deadlines::default(), leaves_per_file: LEAVES_PER_FILE };
        self.ingester = Some(Ingester::open(&self.dir, settings).expect("a trail that nobody else touched can be opened"));
    }

    fn step(&mut self) -> Step {
        self.now_ms += 1;
        let now = Timestamp::from_micros(self.now_ms * 1000);
        self.ingester.as_mut().expect("it was started").step(now).expect("no journal stops the agent")
    }

    fn stream(&mut self, choice: u8) -> &mut Stream {
        let place = usize::from(choice >> 4) % STREAMS;
        while self.streams.len() <= place {
            let number = u8::try_from(self.streams.len() + self.ended.len() + 1).expect("a script ends fewer streams");
            self.streams.push(Stream::new(&self.dir.journal(), number));
        }
        &mut self.streams[place]
    }

    fn act(&mut self, action: u8, script: &mut Script<'_>) {
        match action & 15 {
            0 | 1 => self.event(action),
            2 => self.intent(action, script),
            3 => self.outcome(action, script),
            4 => self.any_frame(action, script),
            5 => {
                let bytes = script.bytes();
                let stream = self.stream(action);
                stream.damage();
                stream.append_bytes(bytes);
            }
            6 => self.stream(action).rotate(),
            7 => self.end(action),
            8 => {
                let skipped = script.small();
                let stream = self.stream(action);
                stream.next_sequence += skipped;
            }
            9 => {
                self.step();
            }
            10 => self.start(),
            11 => self.now_ms += i64::try_from(script.small()).expect("a byte") * 500,
            12 => {
                let bytes = script.small();
                self.stream(action).cut(bytes);
            }
            13 => {
                let (place, mask) = (script.small() << 8 | script.small(), script.byte().unwrap_or(1));
                self.stream(action).flip(place, mask);
            }
            14 => {
                let name = script.small();
                let stream = self.stream(action);
                let _ = fs::write(stream.folder.join(format!("{name:08}.journal")), script.bytes());
                stream.damage();
            }
            _ => {
                let (first_at, last_at) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
                let count = script.small();
                self.stream(action).append(&Frame::Loss { count, first_at, last_at });
            }
        }
    }

    fn event(&mut self, choice: u8) {
        let (number, body) = self.next_body();
        let stream = self.stream(choice);
        stream.append(&Frame::Event(item(number, &body)));
        stream.promised += 1;
    }

    fn intent(&mut self, choice: u8, script: &mut Script<'_>) {
        let what = script.small();
        let intent = IntentId::from_bytes([(what & 7) as u8; 16]);
        let evidence = if what & 8 == 0 { Evidence::Ack } else { Evidence::Marker };
        let bodies: Vec<_> = (0..what >> 4 & 3).map(|_| self.next_body()).collect();
        let items = bodies.iter().map(|(number, body)| item(*number, body)).collect();
        self.stream(choice).append(&Frame::Intent { intent, evidence, alias: "default", items });
    }

    /// An outcome by the rules has no items; others may or may not fit their intent.
    fn outcome(&mut self, choice: u8, script: &mut Script<'_>) {
        let what = script.small();
        let intent = IntentId::from_bytes([(what & 7) as u8; 16]);
        let resolution = if what & 8 == 0 { Resolution::Committed } else { Resolution::RolledBack };
        let by = match (what >> 6, resolution) {
            (2, _) => Evidence::Marker,
            (3, Resolution::Committed) => Evidence::Outbox,
            _ => Evidence::Ack,
        };
        let bodies: Vec<_> = (0..what >> 4 & 3).map(|_| (script.small(), script.bytes())).collect();
        let items = bodies.iter().map(|(number, body)| item(*number, body)).collect();
        self.stream(choice).append(&Frame::Outcome { intent, resolution, by, items });
    }

    /// A frame whose checksum holds, of any kind and with any payload.
    fn any_frame(&mut self, choice: u8, script: &mut Script<'_>) {
        let kind = script.byte().unwrap_or(0) % KINDS;
        let payload = script.bytes();
        let stream = self.stream(choice);
        stream.damage();
        let mut bytes = Vec::new();
        encode_frame(stream.id, stream.next_sequence, &Frame::Close, &mut bytes);
        stream.next_sequence += 1;
        bytes[..4].copy_from_slice(&u32::try_from(payload.len()).expect("a byte").to_le_bytes());
        bytes[16] = kind;
        bytes.extend_from_slice(payload);
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(stream.id.as_bytes()), &bytes[..4]), &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        stream.append_bytes(&bytes);
    }

    /// The process of a stream ends; another one takes its place when it is written again.
    fn end(&mut self, choice: u8) {
        self.stream(choice).lock = None;
        let place = usize::from(choice >> 4) % STREAMS;
        let number = u8::try_from(self.streams.len() + self.ended.len() + 1);
        let Ok(number) = number else { return };
        let next = Stream::new(&self.dir.journal(), number);
        self.ended.push(std::mem::replace(&mut self.streams[place], next));
    }

    fn next_body(&mut self) -> (u64, Vec<u8>) {
        self.next_event += 1;
        let id = event_id(self.next_event);
        (self.next_event, format!(r#"{{"v":1,"id":"{id}","kind":"action","action":"test.event"}}"#).into_bytes())
    }

    /// Everything ends: nothing may be left to do, nothing that was promised may be missing, and the trail must be intact.
    fn finish(mut self) {
        for stream in &mut self.streams {
            stream.lock = None;
        }
        let mut steps = 0;
        while self.is_unfinished() {
            steps += 1;
            assert!(steps < STEPS_MAX, "the agent does not come to an end");
        }
        let promised: u64 = self.streams.iter().chain(&self.ended).filter(|stream| !stream.is_damaged).map(|stream| stream.promised).sum();
        self.ingester.take().expect("it was started").close().expect("nobody else reads the trail");
        self.assert_nothing_is_twice();
        match verify(&self.dir, &Trust::default()) {
            Report::Intact(intact) => assert!(intact.tree_size >= promised, "{promised} events, {} records", intact.tree_size),
            report => panic!("{report:?}"),
        }
    }

    /// No frame became two records, whatever happened between.
    fn assert_nothing_is_twice(&self) {
        let mut places = HashSet::new();
        let reader = Reader::open(&self.dir).expect("the trail can be read");
        let each = |record: StoredLeaf| {
            let entry = record.entry;
            assert!(places.insert((entry.stream, entry.sequence, entry.item)), "twice: {entry:?}");
            ControlFlow::Continue(())
        };
        reader.records(0..reader.tree_size(), Order::OldestFirst, each).expect("every record can be read");
    }

    /// Takes a step past every deadline; whether there was anything to do.
    fn is_unfinished(&mut self) -> bool {
        self.now_ms += LONG_MS;
        let step = self.step();
        step.worked || step.is_behind || step.unresolved > 0
    }
}

fn event_id(number: u64) -> EventId {
    EventId::from_parts(number, [0; 10])
}

fn item(number: u64, body: &[u8]) -> Item<'_> {
    Item { event: event_id(number), recorded_at: Timestamp::from_micros(1), body }
}
