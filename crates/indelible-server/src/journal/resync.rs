//! Finding the next valid frame behind bytes that are none.

use indelible_core::{FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, StreamId, read_frame};

/// The longest frame.
pub(crate) const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX;

/// Kinds of frames that version 1 knows (docs/format.md, "Frame").
const KINDS: std::ops::RangeInclusive<u8> = 1..=5;
const KIND_OFFSET: usize = 16;
/// Bytes that may be checksummed in vain for each byte of a segment that was passed.
const EFFORT_FACTOR: u64 = 4;

/// Bytes of one segment that were checksummed and turned out to be no frame.
///
/// Each place in damaged bytes can look like the beginning of a long frame. Without a bound, somebody who writes such bytes makes
/// the time to pass them grow with their square; with it, a segment costs a small multiple of its length. A frame that can no
/// longer be afforded counts as damaged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effort {
    spent: u64,
}

impl Effort {
    /// Whether `size` bytes may be tried at this offset of the segment. The longest frame always may, before anything else failed.
    pub(crate) fn affords(self, size: usize, offset: u64) -> bool {
        let allowed = (FRAME_BYTES_MAX as u64).saturating_add(offset.saturating_mul(EFFORT_FACTOR));
        self.spent.saturating_add(size as u64) <= allowed
    }

    /// Counts bytes that were no frame.
    pub(crate) fn spend(&mut self, size: usize) {
        self.spent = self.spent.saturating_add(size as u64);
    }
}

/// Where a frame is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) stream: StreamId,
    /// The bytes, which are no frame at their beginning.
    pub(crate) bytes: &'a [u8],
    /// Their offset in the segment.
    pub(crate) offset: u64,
    /// How many there are up to the end of the segment, in memory or not.
    pub(crate) rest: usize,
    /// Sequences of frames that count.
    pub(crate) sequences: (u64, u64),
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// The first valid frame begins after so many bytes.
    Frame(usize),
    /// There is none; what may be one begins after so many bytes and is longer than the bytes in memory.
    Candidate(usize),
    /// There is none.
    Nothing,
}

impl Search<'_> {
    /// Looks for a frame, one byte ahead or further.
    ///
    /// A place is tried only when its header could be one, so that long runs of other bytes cost no checksums.
    pub(crate) fn next_frame(&self, effort: &mut Effort) -> Behind {
        let mut candidate = Behind::Nothing;
        let kinds = self.bytes.iter().skip(KIND_OFFSET).enumerate().skip(1);
        for offset in kinds.filter(|(_, kind)| KINDS.contains(kind)).map(|(offset, _)| offset) {
            let Some(size) = self.plausible_size(offset) else { continue };
            if !effort.affords(size, self.offset + offset as u64) {
                continue;
            }
            match self.bytes.get(offset..offset + size) {
                Some(frame) if read_frame(self.stream, frame).is_ok() => return Behind::Frame(offset),
                Some(_) => effort.spend(size),
                None if candidate == Behind::Nothing => candidate = Behind::Candidate(offset),
                None => {}
            }
        }
        candidate
    }

    /// Size of the frame that may begin at `offset`.
    fn plausible_size(&self, offset: usize) -> Option<usize> {
        let header: &[u8; FRAME_HEADER_BYTES] = self.bytes.get(offset..)?.first_chunk()?;
        let size = announced_size(header)?;
        let sequence = u64::from_le_bytes(*header[8..].first_chunk()?);
        let (first, last) = self.sequences;
        let plausible = size <= self.rest - offset && header[17..] == [0; 3] && (first..=last).contains(&sequence);
        plausible.then_some(size)
    }
}

/// Whether these bytes are as long as the frame that they begin with says.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    bytes.get(KIND_OFFSET).is_some_and(|kind| KINDS.contains(kind)) && announced_size(bytes) == Some(bytes.len())
}

/// Size of the frame that begins here, as far as its first bytes tell. `None`: no frame is that long.
pub(crate) fn announced_size(bytes: &[u8]) -> Option<usize> {
    let payload = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    (payload <= FRAME_PAYLOAD_BYTES_MAX).then_some(FRAME_HEADER_BYTES + payload)
}

#[cfg(test)]
mod tests {
    use indelible_core::{Frame, encode_frame};

    use super::*;

    const STREAM: StreamId = StreamId::from_bytes([1; 16]);

    fn search(bytes: &[u8], first: u64) -> Behind {
        let search = Search { stream: STREAM, bytes, offset: 0, rest: bytes.len(), sequences: (first, 100) };
        search.next_frame(&mut Effort::default())
    }

    #[test]
    fn the_next_frame_is_found_behind_any_bytes_and_only_one_of_the_same_stream_in_the_range() {
        let mut bytes = vec![5, 0, 0, 0, 9, 9, 9];
        encode_frame(StreamId::from_bytes([2; 16]), 9, &Frame::Close, &mut bytes);
        encode_frame(STREAM, 3, &Frame::Close, &mut bytes);
        encode_frame(STREAM, 101, &Frame::Close, &mut bytes);
        let expected = bytes.len();
        encode_frame(STREAM, 9, &Frame::Close, &mut bytes);
        assert_eq!(search(&bytes, 4), Behind::Frame(expected));
        assert_eq!(search(&bytes, 10), Behind::Nothing);
        assert_eq!(search(&bytes[..19], 0), Behind::Nothing);
    }

    #[test]
    fn a_frame_at_the_very_beginning_is_no_progress() {
        let mut bytes = Vec::new();
        encode_frame(STREAM, 9, &Frame::Close, &mut bytes);
        assert_eq!(search(&bytes, 1), Behind::Nothing);
    }

    #[test]
    fn a_frame_that_begins_in_memory_and_ends_behind_it_is_a_candidate() {
        let mut bytes = vec![7; 30];
        encode_frame(STREAM, 9, &Frame::Loss { count: 1, first_at: at(), last_at: at() }, &mut bytes);
        let mut search = Search { stream: STREAM, bytes: &bytes[..bytes.len() - 1], offset: 0, rest: bytes.len(), sequences: (1, 9) };
        assert_eq!(search.next_frame(&mut Effort::default()), Behind::Candidate(30));
        search.rest -= 1;
        assert_eq!(search.next_frame(&mut Effort::default()), Behind::Nothing, "it runs past the end of its segment");
    }

    fn at() -> indelible_core::Timestamp {
        indelible_core::Timestamp::from_micros(1)
    }

    /// Four megabytes of headers, each of which announced a frame of all the bytes behind it, took half a terabyte of checksums.
    #[test]
    fn what_is_checksummed_in_vain_is_a_small_multiple_of_what_is_passed() {
        let headers = 4 << 20;
        let mut bytes = Vec::new();
        while bytes.len() < headers {
            let start = bytes.len();
            encode_frame(STREAM, 9, &Frame::Close, &mut bytes);
            let length = u32::try_from(headers.saturating_sub(start + 100).max(1)).unwrap();
            bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        }
        let mut effort = Effort::default();
        let search = Search { stream: STREAM, bytes: &bytes, offset: 0, rest: bytes.len(), sequences: (1, 9) };
        assert_eq!(search.next_frame(&mut effort), Behind::Nothing);
        let bound = (FRAME_BYTES_MAX + 4 * bytes.len()) as u64;
        assert!((1..=bound).contains(&effort.spent), "{} bytes", effort.spent);
    }
}
