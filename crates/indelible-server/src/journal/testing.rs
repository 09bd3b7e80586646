//! A stream's folder as a recorder would write it, and as it would never do.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use indelible_core::{EventId, Evidence, Frame, IntentId, Item, Resolution, SegmentHeader, StreamId, Timestamp, encode_frame};

use super::StreamFolder;

/// Service of every test stream.
pub(crate) const SERVICE: &str = "clinic";

/// The hand that writes a stream.
pub(crate) struct TestStream {
    pub(crate) stream: StreamId,
    folder: PathBuf,
    lock: Option<File>,
    segment: u64,
    next_sequence: u64,
}

impl TestStream {
    /// A live stream with one empty segment. `number` tells streams apart.
    pub(crate) fn new(journal: &Path, number: u8) -> Self {
        let stream = StreamId::from_bytes([number; 16]);
        let folder = journal.join(SERVICE).join(stream.to_string());
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.try_lock().unwrap();
        let mut stream = Self { stream, folder, lock: Some(lock), segment: 0, next_sequence: 1 };
        stream.rotate();
        stream
    }

    pub(crate) fn folder(&self) -> StreamFolder {
        StreamFolder { service: SERVICE.to_owned(), stream: self.stream, path: self.folder.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn segment_path(&self) -> PathBuf {
        super::segment::path(&self.folder, self.segment)
    }

    /// Begins the next segment.
    pub(crate) fn rotate(&mut self) {
        self.segment += 1;
        let header = SegmentHeader {
            stream: self.stream,
            number: self.segment,
            first_sequence: self.next_sequence,
            created_at: Timestamp::from_micros(0),
        };
        fs::write(self.segment_path(), header.encode()).unwrap();
    }

    /// The bytes of the next frame, which takes the next sequence.
    pub(crate) fn encode(&mut self, frame: &Frame<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_frame(self.stream, self.next_sequence, frame, &mut bytes);
        self.next_sequence += 1;
        bytes
    }

    /// Appends any bytes.
    pub(crate) fn append_bytes(&self, bytes: &[u8]) {
        OpenOptions::new().append(true).open(self.segment_path()).unwrap().write_all(bytes).unwrap();
    }

    /// Appends a frame and returns its sequence.
    pub(crate) fn append(&mut self, frame: &Frame<'_>) -> u64 {
        let bytes = self.encode(frame);
        self.append_bytes(&bytes);
        self.next_sequence - 1
    }

    pub(crate) fn event(&mut self, number: u64) -> u64 {
        let body = body(number);
        self.append(&Frame::Event(item(number, &body)))
    }

    /// An event of the application's about the first event, of kind `audit`.
    pub(crate) fn told(&mut self, number: u64, action: &str, meta: &str) -> u64 {
        let (id, about) = (event_id(number), event_id(1));
        let at = crate::clock::now();
        let body = format!(
            r#"{{"v":1,"id":"{id}","kind":"audit","action":"{action}","occurred_at":"{at}","resource":{{"type":"event","id":"{about}"}},"meta":{meta}}}"#
        );
        self.append(&Frame::Event(Item { event: id, recorded_at: at, body: body.as_bytes() }))
    }

    pub(crate) fn events(&mut self, numbers: RangeInclusive<u64>) {
        for number in numbers {
            self.event(number);
        }
    }

    pub(crate) fn intent(&mut self, intent: u8, numbers: &[u64]) -> u64 {
        self.intent_with(intent, Evidence::Ack, numbers)
    }

    pub(crate) fn intent_with(&mut self, intent: u8, evidence: Evidence, numbers: &[u64]) -> u64 {
        let bodies: Vec<_> = numbers.iter().copied().map(body).collect();
        let items = numbers.iter().zip(&bodies).map(|(&number, body)| item(number, body)).collect();
        self.append(&Frame::Intent { intent: IntentId::from_bytes([intent; 16]), evidence, alias: "default", items })
    }

    pub(crate) fn outcome(&mut self, intent: u8, resolution: Resolution) -> u64 {
        self.outcome_with(intent, resolution, &[])
    }

    pub(crate) fn outcome_with(&mut self, intent: u8, resolution: Resolution, items: &[Item<'_>]) -> u64 {
        self.outcome_by(intent, resolution, Evidence::Ack, items)
    }

    pub(crate) fn outcome_by(&mut self, intent: u8, resolution: Resolution, by: Evidence, items: &[Item<'_>]) -> u64 {
        self.append(&Frame::Outcome { intent: IntentId::from_bytes([intent; 16]), resolution, by, items: items.to_vec() })
    }

    /// Leaves out so many sequences.
    pub(crate) fn skip(&mut self, sequences: u64) {
        self.next_sequence += sequences;
    }

    /// The process ends.
    pub(crate) fn die(&mut self) {
        self.lock = None;
    }
}

/// The event of this number.
pub(crate) fn event_id(number: u64) -> EventId {
    EventId::from_parts(number, [0; 10])
}

/// Its body.
pub(crate) fn body(number: u64) -> Vec<u8> {
    format!(r#"{{"v":1,"id":"{}","kind":"action","action":"test.event","meta":{{"number":{number}}}}}"#, event_id(number)).into_bytes()
}

/// Its item, with this body.
pub(crate) fn item(number: u64, body: &[u8]) -> Item<'_> {
    Item { event: event_id(number), recorded_at: Timestamp::from_micros(1), body }
}
