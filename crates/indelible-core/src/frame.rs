//! Journal segments and frames (docs/format.md, "Journal"): bytes to values and back, without files.

use crate::id::{EventId, IntentId, StreamId};
use crate::time::Timestamp;

/// Length of a segment's header in bytes.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Length of a frame without its payload in bytes.
pub const FRAME_HEADER_BYTES: usize = 20;
/// The largest payload of a frame in bytes.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most items of an INTENT or OUTCOME. A recorder holds 65,536 events and one more for each model and action beyond.
pub const FRAME_ITEMS_MAX: usize = 131_072;

/// Kind of an INTENT frame.
pub const INTENT_KIND: u8 = 2;
/// Kind of an OUTCOME frame.
pub const OUTCOME_KIND: u8 = 3;

const MAGIC: &[u8; 8] = b"INDELJNL";
const VERSION: u32 = 1;
const ITEM_HEADER_BYTES: usize = 28;

/// The first 64 bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Stream that the segment belongs to.
    pub stream: StreamId,
    /// Number of the segment in its stream, from 1.
    pub number: u64,
    /// Sequence of its first frame.
    pub first_sequence: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Bytes that are not a segment header of a version that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// There are fewer than 64 bytes; the writer may not have come further yet.
    #[error("segment header is incomplete")]
    Incomplete,
    /// It does not begin with `INDELJNL`.
    #[error("not a journal segment")]
    Magic,
    /// It was written by another version.
    #[error("journal segment of version {0}, this program reads version 1: install the version that wrote it")]
    Version(u32),
    /// Its checksum is wrong.
    #[error("segment header is corrupt")]
    Crc,
}

impl SegmentHeader {
    /// The 64 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(SEGMENT_HEADER_BYTES as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(self.stream.as_bytes());
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.created_at.micros().to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the beginning of a segment.
    ///
    /// # Errors
    /// See [`SegmentError`]; nothing after the header is looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        let header = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(SegmentError::Incomplete)?;
        let mut reader = Reader(header);
        if reader.array::<8>() != Some(*MAGIC) {
            return Err(SegmentError::Magic);
        }
        if crc32c::crc32c(&header[..60]).to_le_bytes() != header[60..] {
            return Err(SegmentError::Crc);
        }
        let version = reader.u32().ok_or(SegmentError::Incomplete)?;
        if version != VERSION {
            return Err(SegmentError::Version(version));
        }
        reader.u32();
        let fields = (|| {
            Some(Self {
                stream: StreamId::from_bytes(reader.array()?),
                number: reader.u64()?,
                first_sequence: reader.u64()?,
                created_at: reader.timestamp()?,
            })
        })();
        fields.ok_or(SegmentError::Incomplete)
    }
}

/// One event in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Identifier of the event, as in its body.
    pub event: EventId,
    /// When it was recorded, as in its body.
    pub recorded_at: Timestamp,
    /// The encoded event; empty in an OUTCOME where nothing happened.
    pub body: &'a [u8],
}

/// How a commit leaves evidence, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Evidence {
    /// The process says so after COMMIT.
    #[default]
    Ack,
    /// A row in the same transaction says so, or a fence in its place that it never was nor can be.
    Marker,
    /// The whole event is in a row of the same transaction.
    Outbox,
}

impl Evidence {
    /// Its word in settings, files and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Marker => "marker",
            Self::Outbox => "outbox",
        }
    }
}

/// What became of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Its transaction was committed.
    Committed,
    /// Its transaction was rolled back.
    RolledBack,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// An event that is a record as it stands.
    Event(Item<'a>),
    /// Events of a transaction that is about to be committed.
    Intent {
        /// Identifier that its OUTCOME will name.
        intent: IntentId,
        /// How its commit can be proved.
        evidence: Evidence,
        /// Database alias, at most 255 bytes.
        alias: &'a str,
        /// Its events.
        items: Vec<Item<'a>>,
    },
    /// What became of an intent of this or another stream.
    Outcome {
        /// The intent.
        intent: IntentId,
        /// What became of it.
        resolution: Resolution,
        /// What proves that: the process's own word, a row of the same transaction, or the row that carried the events. A rollback
        /// cannot be proved by an outbox.
        by: Evidence,
        /// Nothing, or the final body of each event.
        items: Vec<Item<'a>>,
    },
    /// Events that could not be recorded were counted.
    Loss {
        /// How many.
        count: u64,
        /// When the first was lost.
        first_at: Timestamp,
        /// When the last was lost.
        last_at: Timestamp,
    },
    /// The process ended in order.
    Close,
}

/// A frame whose checksum holds and whose payload has not been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// Sequence in the stream, from 1.
    pub sequence: u64,
    /// Kind of frame.
    pub kind: u8,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Why there is no frame at a place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error("frame is incomplete")]
    Incomplete,
    /// The length cannot be that of a frame.
    #[error("frame length {0} is larger than any frame")]
    Length(u32),
    /// The checksum is wrong.
    #[error("frame of {length} bytes is corrupt")]
    Crc {
        /// Length that the header names, header included: where a following frame would begin.
        length: usize,
    },
    /// The checksum holds and the payload is not what its kind promises.
    #[error("frame of kind {kind} cannot be read: {what}")]
    Payload {
        /// Kind of frame.
        kind: u8,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Appends one frame to `out`.
///
/// # Panics
/// When the payload is larger than [`FRAME_PAYLOAD_BYTES_MAX`] or the alias longer than 255 bytes; the recorder's bounds lie below both.
/// When an OUTCOME says that an outbox proves a rollback: nothing of the kind exists.
pub fn encode_frame(stream: StreamId, sequence: u64, frame: &Frame<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    frame.push_payload(out);
    let length = out.len() - start - FRAME_HEADER_BYTES;
    assert!(length <= FRAME_PAYLOAD_BYTES_MAX, "a frame's payload has at most {FRAME_PAYLOAD_BYTES_MAX} bytes, this one has {length}");
    let header = &mut out[start..];
    header[..4].copy_from_slice(&(length as u32).to_le_bytes());
    header[8..16].copy_from_slice(&sequence.to_le_bytes());
    header[16] = frame.kind();
    let crc = frame_crc(stream, header);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The stream is part of the checksum, so that a frame copied into another stream's segment is corrupt there.
fn frame_crc(stream: StreamId, frame: &[u8]) -> u32 {
    let crc = crc32c::crc32c(stream.as_bytes());
    let crc = crc32c::crc32c_append(crc, &frame[..4]);
    crc32c::crc32c_append(crc, &frame[8..])
}

/// Reads the frame at the beginning of `bytes`, and how many bytes it takes.
///
/// # Errors
/// [`FrameError::Incomplete`], [`FrameError::Length`] and [`FrameError::Crc`]; the payload is read by [`RawFrame::parse`].
pub fn read_frame(stream: StreamId, bytes: &[u8]) -> Result<(RawFrame<'_>, usize), FrameError> {
    let mut reader = Reader(bytes);
    let length = reader.u32().ok_or(FrameError::Incomplete)?;
    let payload_length = length as usize;
    if payload_length > FRAME_PAYLOAD_BYTES_MAX {
        return Err(FrameError::Length(length));
    }
    let frame = bytes.get(..FRAME_HEADER_BYTES + payload_length).ok_or(FrameError::Incomplete)?;
    let header = (|| Some((reader.u32()?, reader.u64()?, reader.u8()?)))();
    let (crc, sequence, kind) = header.ok_or(FrameError::Incomplete)?;
    if frame_crc(stream, frame) != crc {
        return Err(FrameError::Crc { length: frame.len() });
    }
    Ok((RawFrame { sequence, kind, payload: &frame[FRAME_HEADER_BYTES..] }, frame.len()))
}

impl<'a> RawFrame<'a> {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`FrameError::Payload`] when it is not what its kind promises, which no crash explains: a record of another version or a forgery.
    pub fn parse(&self) -> Result<Frame<'a>, FrameError> {
        Frame::parse(self.kind, self.payload)
    }
}

impl<'a> Frame<'a> {
    fn kind(&self) -> u8 {
        match self {
            Self::Event(_) => 1,
            Self::Intent { .. } => INTENT_KIND,
            Self::Outcome { .. } => OUTCOME_KIND,
            Self::Loss { .. } => 4,
            Self::Close => 5,
        }
    }

    fn push_payload(&self, out: &mut Vec<u8>) {
        match self {
            Self::Event(item) => push_item(out, item),
            Self::Intent { intent, evidence, alias, items } => {
                out.extend_from_slice(intent.as_bytes());
                out.push(*evidence as u8);
                out.push(u8::try_from(alias.len()).expect("a database alias has at most 255 bytes"));
                out.extend_from_slice(alias.as_bytes());
                push_items(out, items);
            }
            Self::Outcome { intent, resolution, by, items } => {
                out.extend_from_slice(intent.as_bytes());
                out.push(result_byte(*resolution, *by));
                push_items(out, items);
            }
            Self::Loss { count, first_at, last_at } => {
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&first_at.micros().to_le_bytes());
                out.extend_from_slice(&last_at.micros().to_le_bytes());
            }
            Self::Close => {}
        }
    }

    /// Reads the payload of a frame of this kind.
    ///
    /// # Errors
    /// [`FrameError::Payload`]: an unknown kind, a count that does not fit, text that is not UTF-8, or bytes left over.
    pub fn parse(kind: u8, payload: &'a [u8]) -> Result<Self, FrameError> {
        let wrong = |what| FrameError::Payload { kind, what };
        let mut reader = Reader(payload);
        let short = wrong("it ends too early, or has more items than a frame may");
        let frame = match kind {
            1 => Self::Event(reader.item().ok_or(short)?),
            INTENT_KIND => {
                let intent = reader.array().map(IntentId::from_bytes).ok_or(short)?;
                let evidence = match reader.u8() {
                    Some(0) => Evidence::Ack,
                    Some(1) => Evidence::Marker,
                    Some(2) => Evidence::Outbox,
                    _ => return Err(wrong("unknown evidence")),
                };
                let alias = reader.u8().and_then(|length| reader.bytes(usize::from(length))).ok_or(short)?;
                let alias = std::str::from_utf8(alias).map_err(|_| wrong("the alias is not UTF-8"))?;
                Self::Intent { intent, evidence, alias, items: reader.items().ok_or(short)? }
            }
            OUTCOME_KIND => {
                let intent = reader.array().map(IntentId::from_bytes).ok_or(short)?;
                let (resolution, by) = match reader.u8() {
                    Some(1) => (Resolution::Committed, Evidence::Ack),
                    Some(2) => (Resolution::RolledBack, Evidence::Ack),
                    Some(3) => (Resolution::Committed, Evidence::Marker),
                    Some(4) => (Resolution::RolledBack, Evidence::Marker),
                    Some(5) => (Resolution::Committed, Evidence::Outbox),
                    _ => return Err(wrong("unknown result")),
                };
                Self::Outcome { intent, resolution, by, items: reader.items().ok_or(short)? }
            }
            4 => {
                let loss = (|| Some(Self::Loss { count: reader.u64()?, first_at: reader.timestamp()?, last_at: reader.timestamp()? }))();
                loss.ok_or(short)?
            }
            5 => Self::Close,
            _ => return Err(wrong("unknown kind")),
        };
        if reader.0.is_empty() { Ok(frame) } else { Err(wrong("bytes are left over")) }
    }
}

fn result_byte(resolution: Resolution, by: Evidence) -> u8 {
    match (resolution, by) {
        (Resolution::Committed, Evidence::Ack) => 1,
        (Resolution::RolledBack, Evidence::Ack) => 2,
        (Resolution::Committed, Evidence::Marker) => 3,
        (Resolution::RolledBack, Evidence::Marker) => 4,
        (Resolution::Committed, Evidence::Outbox) => 5,
        (Resolution::RolledBack, Evidence::Outbox) => panic!("what was rolled back left no row in an outbox"),
    }
}

fn push_items(out: &mut Vec<u8>, items: &[Item<'_>]) {
    let count = u32::try_from(items.len()).expect("a transaction holds at most 65,536 events");
    out.extend_from_slice(&count.to_le_bytes());
    for item in items {
        push_item(out, item);
    }
}

fn push_item(out: &mut Vec<u8>, item: &Item<'_>) {
    out.extend_from_slice(item.event.as_bytes());
    out.extend_from_slice(&item.recorded_at.micros().to_le_bytes());
    out.extend_from_slice(&u32::try_from(item.body.len()).expect("a body has at most event_bytes").to_le_bytes());
    out.extend_from_slice(item.body);
}

/// Takes fixed-size integers off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        self.array().map(i64::from_le_bytes).map(Timestamp::from_micros)
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let event = EventId::from_bytes(self.array()?);
        let recorded_at = self.timestamp()?;
        let length = self.u32()?;
        Some(Item { event, recorded_at, body: self.bytes(length as usize)? })
    }

    fn items(&mut self) -> Option<Vec<Item<'a>>> {
        let count = self.u32()? as usize;
        // A forged count must not reserve memory that the payload cannot fill, nor millions of empty items more than it fills.
        if count > (self.0.len() / ITEM_HEADER_BYTES).min(FRAME_ITEMS_MAX) {
            return None;
        }
        (0..count).map(|_| self.item()).collect()
    }
}
