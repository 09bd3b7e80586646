//! Reads a journal back the way the agent will: segment by segment, frame by frame.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use indelible::{
    Config, Event, Frame, IntentId, Kind, Recorder, Resolution, Resource, SEGMENT_HEADER_BYTES, SegmentHeader, StreamId, read_frame,
};
use serde_json::Value;

/// One frame of a journal, with its events as JSON; `null` stands for an empty body.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    Event(Value),
    Intent(IntentId, String, Vec<Value>),
    Outcome(IntentId, Resolution, Vec<Value>),
    Loss(u64),
    Close,
}

pub fn stream_folders(data_dir: &Path, service: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(data_dir.join("journal").join(service)) else { return Vec::new() };
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

pub fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "journal"));
    paths.sort();
    paths
}

/// Reads every frame of a stream and checks that sequences have no gap; torn tails end their segment.
pub fn read_stream(folder: &Path) -> Vec<Read> {
    let mut frames = Vec::new();
    let mut next = 1;
    for path in segments(folder) {
        let bytes = fs::read(path).unwrap();
        let header = SegmentHeader::decode(&bytes).unwrap();
        assert_eq!(header.stream.to_string(), folder.file_name().unwrap().to_str().unwrap());
        let mut at = SEGMENT_HEADER_BYTES;
        while let Ok((raw, consumed)) = read_frame(header.stream, &bytes[at..]) {
            at += consumed;
            assert!(raw.sequence <= next, "sequence {} follows {}", raw.sequence, next - 1);
            if raw.sequence == next {
                next += 1;
                frames.push(read(&raw.parse().unwrap()));
            }
        }
    }
    frames
}

fn read(frame: &Frame<'_>) -> Read {
    let body = |bytes: &[u8]| if bytes.is_empty() { Value::Null } else { serde_json::from_slice(bytes).unwrap() };
    let bodies = |items: &[indelible::Item<'_>]| items.iter().map(|item| body(item.body)).collect();
    match frame {
        Frame::Event(item) => Read::Event(body(item.body)),
        Frame::Intent { intent, alias, items, .. } => Read::Intent(*intent, (*alias).to_owned(), bodies(items)),
        Frame::Outcome { intent, resolution, items, .. } => Read::Outcome(*intent, *resolution, bodies(items)),
        Frame::Loss { count, .. } => Read::Loss(*count),
        Frame::Close => Read::Close,
    }
}

/// Every frame of the only stream there is.
pub fn read_only_stream(data_dir: &Path) -> Vec<Read> {
    let folders = stream_folders(data_dir, "clinic");
    assert_eq!(folders.len(), 1, "{folders:?}");
    read_stream(&folders[0])
}

pub fn recorder(data_dir: &Path) -> Recorder {
    Recorder::open(Config::new(data_dir, "clinic")).unwrap()
}

pub fn change(action: &str, id: &str) -> Event {
    let mut event = Event::new(Kind::Change, action);
    event.resource = Some(Resource::new("clinic.Patient", id));
    event
}

/// Actions of the events in a frame.
pub fn actions(bodies: &[Value]) -> Vec<&str> {
    bodies.iter().map(|body| body["action"].as_str().unwrap()).collect()
}

pub fn stream_of(folder: &Path) -> StreamId {
    folder.file_name().unwrap().to_str().unwrap().parse().unwrap()
}
