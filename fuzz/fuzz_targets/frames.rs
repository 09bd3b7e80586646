//! Segments of a journal: whatever the bytes, reading them does not panic, goes on, and what could be read is written back as it was.
#![no_main]

use indelible_core::{FRAME_HEADER_BYTES, Frame, FrameError, SegmentHeader, StreamId, encode_frame, read_frame};
use libfuzzer_sys::fuzz_target;

const STREAM: StreamId = StreamId::from_bytes([7; 16]);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
    scan(bytes);
    payload(bytes);
});

/// Reads frame after frame, and byte after byte where there is none.
fn scan(bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        let step = match read_frame(STREAM, &bytes[at..]) {
            Ok((frame, size)) => {
                assert_eq!(size, FRAME_HEADER_BYTES + frame.payload.len());
                size
            }
            Err(FrameError::Crc { length }) => {
                assert!((FRAME_HEADER_BYTES..=bytes.len() - at).contains(&length), "the next frame would begin inside the segment");
                1
            }
            Err(_) => 1,
        };
        at += step;
    }
}

/// The fuzzer finds no checksum, so the payload is framed for it. The first byte is the kind.
fn payload(bytes: &[u8]) {
    let Some((&kind, payload)) = bytes.split_first() else { return };
    let Ok(frame) = Frame::parse(kind, payload) else { return };
    let mut encoded = Vec::new();
    encode_frame(STREAM, 1, &frame, &mut encoded);
    let (raw, size) = read_frame(STREAM, &encoded).expect("what was framed can be read");
    assert_eq!((raw.sequence, raw.kind, raw.payload, size), (1, kind, payload, encoded.len()), "a payload has one form");
    assert_eq!(raw.parse(), Ok(frame));
    flip(&mut encoded, bytes);
}

/// One changed bit is never overlooked. Its place comes from the input, so that runs repeat; the two spare bytes behind the kind are
/// covered like everything else.
fn flip(encoded: &mut [u8], bytes: &[u8]) {
    let place = bytes.iter().fold(0_usize, |place, &byte| place.wrapping_mul(31).wrapping_add(usize::from(byte))) % (encoded.len() * 8);
    encoded[place / 8] ^= 1 << (place % 8);
    assert!(read_frame(STREAM, encoded).is_err(), "bit {place} was changed");
}
