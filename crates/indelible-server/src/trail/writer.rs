//! The one writer of the open trail file: everything that belongs together goes into one transaction.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use indelible_core::{EventId, Evidence, Frontier, Hash, IntentId, LeafEntry, StreamId, Timestamp, Verdict, commitment};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::files::Listed;
use super::leaf::{Order, StoredLeaf};
use super::runs::{self, RUN_LEAVES};
use super::{FileState, TrailError, check_state, check_tree, loose, read_batch, rows, schema, state_digest};
use crate::index::RunBuilder;
use crate::keys::TrailKey;

/// Offset of the evidence code in an INTENT's payload (docs/format.md, "Frame").
const EVIDENCE_OFFSET: i64 = 16;
/// How long folding the log waits for readers, whose transactions are short.
const FOLD_PATIENCE: Duration = Duration::from_millis(250);

/// How far a stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRow {
    /// Service that the stream belongs to.
    pub(crate) service: String,
    /// The high-water: the first sequence that has not been ingested.
    pub(crate) next_sequence: u64,
    /// Leaves that the stream has.
    pub(crate) next_stream_index: u64,
}

/// An INTENT or OUTCOME that waits for the other, with the frame's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) intent: IntentId,
    pub(crate) stream: StreamId,
    pub(crate) sequence: u64,
    pub(crate) ingested_at: Timestamp,
    pub(crate) in_doubt: bool,
    pub(crate) payload: Vec<u8>,
}

/// A pending intent without its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) intent: IntentId,
    pub(crate) stream: StreamId,
    pub(crate) ingested_at: Timestamp,
    /// How its commit can be proved.
    pub(crate) evidence: Evidence,
}

/// What becomes one record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord<'a> {
    pub(crate) event: EventId,
    pub(crate) stream: StreamId,
    pub(crate) sequence: u64,
    pub(crate) item: u32,
    pub(crate) recorded_at: Timestamp,
    pub(crate) received_at: Timestamp,
    pub(crate) verdict: Verdict,
    pub(crate) body: &'a [u8],
}

/// The trail file that is open for writing, with the head and the high-waters in memory as they were last committed.
#[derive(Debug)]
pub(crate) struct OpenFile {
    connection: Connection,
    first_index: u64,
    head: Frontier,
    streams: HashMap<StreamId, StreamRow>,
    /// Digest of the state as the newest batch left it.
    state: Hash,
    /// SQLite's count of what others wrote; it moves only when somebody does.
    data_version: i64,
    /// The index of what no run covers yet; `None` after a batch that was dropped, until the next one begins.
    tail: Option<RunBuilder>,
    key: Arc<TrailKey>,
}

impl OpenFile {
    /// Opens the newest trail file. The caller holds the agent's lock.
    ///
    /// # Errors
    /// - [`TrailError::Version`]: not a trail file that we can write.
    /// - [`TrailError::Changed`], [`TrailError::Root`], [`TrailError::Damaged`]: it is not as its newest batch left it.
    pub(crate) fn open(file: &Listed, key: Arc<TrailKey>) -> Result<Self, TrailError> {
        let Listed { path, first_index } = file;
        let first_index = *first_index;
        let connection = Connection::open(path)?;
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        schema::check_version(&connection)?;
        schema::check_schema(&connection, FileState::Open)?;
        schema::configure_writer(&connection)?;
        let meta = schema::check_meta(&connection, &key.origin, first_index)?;
        let head = read_head(&connection)?;
        let batch = read_batch(&connection, &key.signing.verifier())?;
        check_tree(&batch, &head)?;
        check_state(&batch, state_digest(&connection)?)?;
        let streams = read_streams(&connection)?;
        let data_version = data_version(&connection)?;
        if head.size() < meta.before.size() {
            return Err(TrailError::Changed { place: "meta" });
        }
        Ok(Self { connection, first_index, head, streams, state: batch.state, data_version, tail: None, key })
    }

    /// The tree as the newest batch left it.
    pub(crate) fn head(&self) -> &Frontier {
        &self.head
    }

    /// Digest of the state as the newest batch left it.
    pub(crate) fn state(&self) -> Hash {
        self.state
    }

    /// Records in this file.
    pub(crate) fn leaves(&self) -> u64 {
        self.head.size() - self.first_index
    }

    /// Takes a stream up again that an older file knew. It is in this file from its next batch on.
    pub(crate) fn recall(&mut self, stream: StreamId, row: StreamRow) {
        self.streams.entry(stream).or_insert(row);
    }

    /// Whether the stream is known.
    pub(crate) fn knows(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Copies what goes on into the next file: what waits, the streams that it waits for, the agent's own, and those that live.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read or written.
    pub(super) fn carry_over(&self, next: &Transaction<'_>, is_live: impl Fn(StreamId, &StreamRow) -> bool) -> Result<(), TrailError> {
        let mut wanted = HashSet::from([StreamId::AGENT]);
        let tables: [(&str, InsertWaiting); 2] = [(SELECT_PENDING, insert_pending), (SELECT_ORPHANS, insert_orphan)];
        for (select, insert) in tables {
            let mut statement = self.connection.prepare(select)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let waiting = waiting(row)?;
                wanted.insert(waiting.stream);
                insert(next, &waiting)?;
            }
        }
        for (stream, row) in self.streams.iter().filter(|(stream, row)| wanted.contains(stream) || is_live(**stream, row)) {
            upsert_stream(next, *stream, row)?;
        }
        Ok(())
    }

    /// The first sequence of this stream that has not been ingested; 1 for a stream that is not known.
    pub(crate) fn next_sequence(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(1, |row| row.next_sequence)
    }

    /// How far each stream has come.
    pub(crate) fn streams(&self) -> &HashMap<StreamId, StreamRow> {
        &self.streams
    }

    /// Intents without OUTCOME whose commit can be proved.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read.
    pub(crate) fn proving(&self) -> Result<Vec<Waiting>, TrailError> {
        let mut statement = self.connection.prepare(&format!("{SELECT_PENDING} WHERE substr(payload, ?1, 1) <> x'00'"))?;
        let mut rows = statement.query([EVIDENCE_OFFSET + 1])?;
        let mut proving = Vec::new();
        while let Some(row) = rows.next()? {
            proving.push(waiting(row)?);
        }
        Ok(proving)
    }

    /// The service of a stream that is known.
    pub(crate) fn service(&self, stream: StreamId) -> Option<&str> {
        self.streams.get(&stream).map(|row| row.service.as_str())
    }

    /// Pending intents for which no leaf has been made yet, the oldest first.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read.
    pub(crate) fn unresolved(&self) -> Result<Vec<Unresolved>, TrailError> {
        let select =
            "SELECT intent, stream, ingested_at, substr(payload, ?1, 1) FROM pending WHERE in_doubt = 0 ORDER BY ingested_at, intent";
        let mut statement = self.connection.prepare_cached(select)?;
        let mut rows = statement.query([EVIDENCE_OFFSET + 1])?;
        let mut unresolved = Vec::new();
        while let Some(row) = rows.next()? {
            let [evidence] = rows::array(row, 3, "pending.payload")?;
            unresolved.push(Unresolved {
                intent: IntentId::from_bytes(rows::array(row, 0, "pending.intent")?),
                stream: StreamId::from_bytes(rows::array(row, 1, "pending.stream")?),
                ingested_at: Timestamp::from_micros(row.get(2)?),
                evidence: match evidence {
                    0 => Evidence::Ack,
                    1 => Evidence::Marker,
                    2 => Evidence::Outbox,
                    _ => return Err(TrailError::Damaged { place: "pending.payload" }),
                },
            });
        }
        Ok(unresolved)
    }

    /// Begins a batch. Nothing of it is there until [`Batch::commit`] returns.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`]: another writer holds the file, or the disk refuses.
    /// - [`TrailError::Changed`]: somebody else has written into the file since it was opened.
    pub(crate) fn begin(&mut self) -> Result<Batch<'_>, TrailError> {
        let transaction = Transaction::new(&mut self.connection, TransactionBehavior::Immediate)?;
        if data_version(&transaction)? != self.data_version {
            return Err(TrailError::Changed { place: "while the agent was running" });
        }
        let tail = match self.tail.take() {
            Some(tail) => tail,
            None => index_tail(&transaction, self.first_index..self.head.size())?,
        };
        Ok(Batch {
            transaction,
            tail,
            committed_tail: &mut self.tail,
            head: self.head.clone(),
            touched: HashMap::new(),
            committed_head: &mut self.head,
            streams: &mut self.streams,
            state: &mut self.state,
            key: &self.key,
        })
    }

    /// Moves the write-ahead log into the file, so that the file alone is the trail. `false`: a reader still needs the log.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`]: the file cannot be written.
    pub(crate) fn fold_log(&self) -> Result<bool, TrailError> {
        self.connection.busy_timeout(FOLD_PATIENCE)?;
        let mut is_busy = true;
        failpoint!("roll.at_fold");
        let folded = self.connection.pragma(None, "wal_checkpoint", "TRUNCATE", |row| {
            is_busy = row.get(0)?;
            Ok(())
        });
        self.connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        folded?;
        Ok(!is_busy)
    }
}

/// One transaction: records, head, high-waters and what waits.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    transaction: Transaction<'a>,
    tail: RunBuilder,
    committed_tail: &'a mut Option<RunBuilder>,
    head: Frontier,
    touched: HashMap<StreamId, StreamRow>,
    committed_head: &'a mut Frontier,
    streams: &'a mut HashMap<StreamId, StreamRow>,
    state: &'a mut Hash,
    key: &'a TrailKey,
}

const SELECT_PENDING: &str = "SELECT intent, stream, sequence, ingested_at, payload, in_doubt FROM pending";
const SELECT_ORPHANS: &str = "SELECT intent, stream, sequence, ingested_at, payload, 0 FROM orphan_outcome";

impl Batch<'_> {
    /// Appends one record: body, salt, leaf, tree and index.
    ///
    /// # Errors
    /// - [`TrailError::Random`], [`TrailError::Sqlite`]: the batch must be dropped.
    pub(crate) fn append(&mut self, service: &str, record: &NewRecord<'_>) -> Result<(), TrailError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(TrailError::Random)?;
        let leaf_index = self.head.size();
        let row = self.stream(record.stream, service);
        let stream_index = row.next_stream_index;
        row.next_stream_index += 1;
        let entry = LeafEntry {
            event: record.event,
            stream: record.stream,
            stream_index,
            sequence: record.sequence,
            item: record.item,
            recorded_at: record.recorded_at,
            received_at: record.received_at,
            verdict: record.verdict,
            commitment: commitment(&salt, record.body),
        };
        let leaf = entry.hash();
        self.head.push(leaf);
        self.tail.push(&entry, record.body);
        self.insert_record(leaf_index, &entry, &leaf, &salt, record.body)
    }

    fn insert_record(&self, leaf_index: u64, entry: &LeafEntry, leaf: &Hash, salt: &[u8; 32], body: &[u8]) -> Result<(), TrailError> {
        let insert = "INSERT INTO record (leaf_index, entry, leaf_hash, salt, body) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut statement = self.transaction.prepare_cached(insert)?;
        statement.execute(params![rows::stored(leaf_index), entry.encode(), leaf.as_bytes(), salt, body])?;
        Ok(())
    }

    /// The first sequence of this stream that has not been ingested, this batch included.
    pub(crate) fn next_sequence(&self, stream: StreamId) -> u64 {
        self.touched.get(&stream).or_else(|| self.streams.get(&stream)).map_or(1, |row| row.next_sequence)
    }

    /// Moves the high-water of a stream.
    pub(crate) fn set_next_sequence(&mut self, stream: StreamId, service: &str, next_sequence: u64) {
        self.stream(stream, service).next_sequence = next_sequence;
    }

    fn stream(&mut self, stream: StreamId, service: &str) -> &mut StreamRow {
        let known = &*self.streams;
        self.touched.entry(stream).or_insert_with(|| {
            known.get(&stream).cloned().unwrap_or_else(|| StreamRow { service: service.to_owned(), next_sequence: 1, next_stream_index: 0 })
        })
    }

    /// Service of a stream that was seen before.
    pub(crate) fn service(&self, stream: StreamId) -> Option<String> {
        self.touched.get(&stream).or_else(|| self.streams.get(&stream)).map(|row| row.service.clone())
    }

    /// The pending intent of this id.
    pub(crate) fn pending(&self, intent: IntentId) -> Result<Option<Waiting>, TrailError> {
        self.one_waiting(&format!("{SELECT_PENDING} WHERE intent = ?1"), intent)
    }

    /// Keeps an intent until its outcome comes. `false`: one of the same id is kept already and stays.
    pub(crate) fn insert_pending(&self, row: &Waiting) -> Result<bool, TrailError> {
        let inserted = insert_pending(&self.transaction, row)?;
        Ok(inserted == 1)
    }

    /// Notes that an intent has its leaves, in doubt. `payload` is the INTENT's with empty bodies: they are in the leaves' records now.
    pub(crate) fn set_in_doubt(&self, intent: IntentId, payload: &[u8]) -> Result<(), TrailError> {
        let update = "UPDATE pending SET in_doubt = 1, payload = ?2 WHERE intent = ?1";
        self.transaction.prepare_cached(update)?.execute(params![intent.as_bytes(), payload])?;
        Ok(())
    }

    /// Forgets an intent that is resolved.
    pub(crate) fn remove_pending(&self, intent: IntentId) -> Result<(), TrailError> {
        self.transaction.prepare_cached("DELETE FROM pending WHERE intent = ?1")?.execute([intent.as_bytes()])?;
        Ok(())
    }

    /// The outcome that came before its intent.
    pub(crate) fn orphan(&self, intent: IntentId) -> Result<Option<Waiting>, TrailError> {
        self.one_waiting(&format!("{SELECT_ORPHANS} WHERE intent = ?1"), intent)
    }

    /// Keeps an outcome until its intent comes. The first of several stays.
    pub(crate) fn insert_orphan(&self, row: &Waiting) -> Result<(), TrailError> {
        insert_orphan(&self.transaction, row)?;
        Ok(())
    }

    /// Forgets an outcome whose intent has come.
    pub(crate) fn remove_orphan(&self, intent: IntentId) -> Result<(), TrailError> {
        self.transaction.prepare_cached("DELETE FROM orphan_outcome WHERE intent = ?1")?.execute([intent.as_bytes()])?;
        Ok(())
    }

    /// Forgets outcomes that waited in vain since before `ingested_before`; returns how many.
    pub(crate) fn expire_orphans(&self, ingested_before: Timestamp) -> Result<usize, TrailError> {
        let delete = "DELETE FROM orphan_outcome WHERE ingested_at < ?1";
        Ok(self.transaction.prepare_cached(delete)?.execute([ingested_before.micros()])?)
    }

    fn one_waiting(&self, select: &str, intent: IntentId) -> Result<Option<Waiting>, TrailError> {
        let mut statement = self.transaction.prepare_cached(select)?;
        let mut rows = statement.query([intent.as_bytes()])?;
        rows.next()?.map(waiting).transpose()
    }

    /// Signs what the batch leaves behind and makes it durable, all of it or nothing.
    ///
    /// # Errors
    /// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: nothing of the batch is in the trail.
    pub(crate) fn commit(mut self) -> Result<(), TrailError> {
        if self.tail.len() as u64 >= RUN_LEAVES {
            let run = std::mem::replace(&mut self.tail, RunBuilder::new(self.head.size())).finish();
            runs::insert(&self.transaction, &run)?;
        }
        for (stream, row) in &self.touched {
            upsert_stream(&self.transaction, *stream, row)?;
        }
        let update = "UPDATE head SET tree_size = ?1, root_hash = ?2, frontier = ?3, batch = ?4 WHERE id = 1";
        let root_hash = self.head.root();
        let state = state_digest(&self.transaction)?;
        let batch = self.key.sign_batch(&self.head, state, *self.state);
        let values = params![rows::stored(self.head.size()), root_hash.as_bytes(), self.head.to_bytes(), batch];
        self.transaction.prepare_cached(update)?.execute(values)?;
        failpoint!("ingest.before_commit");
        self.transaction.commit()?;
        failpoint!("ingest.after_commit");
        *self.committed_tail = Some(self.tail);
        *self.committed_head = self.head;
        *self.state = state;
        self.streams.extend(self.touched);
        Ok(())
    }
}

/// Begins the index of what no run covers, with what is stored of it.
fn index_tail(transaction: &Transaction<'_>, file: Range<u64>) -> Result<RunBuilder, TrailError> {
    let tail = runs::tail(transaction, file)?;
    let mut builder = RunBuilder::new(tail.start);
    let mut push = |leaf: StoredLeaf| {
        builder.push(&leaf.entry, &leaf.body);
        ControlFlow::Continue(())
    };
    let _ = loose::records(transaction, tail, Order::OldestFirst, &mut push)?;
    Ok(builder)
}

pub(super) fn upsert_stream(transaction: &Transaction<'_>, stream: StreamId, row: &StreamRow) -> Result<(), TrailError> {
    let upsert = "INSERT INTO stream (stream, service, next_sequence, next_stream_index) VALUES (?1, ?2, ?3, ?4) \
                  ON CONFLICT (stream) DO UPDATE SET next_sequence = excluded.next_sequence, next_stream_index = excluded.next_stream_index";
    let values = params![stream.as_bytes(), row.service, rows::stored(row.next_sequence), rows::stored(row.next_stream_index)];
    transaction.prepare_cached(upsert)?.execute(values)?;
    Ok(())
}

/// Inserts a waiting frame where none of its intent waits; returns how many rows that made.
type InsertWaiting = fn(&Transaction<'_>, &Waiting) -> Result<usize, TrailError>;

/// Keeps an intent unless one of the same id is kept; returns how many rows that made.
fn insert_pending(transaction: &Transaction<'_>, row: &Waiting) -> Result<usize, TrailError> {
    let insert = "INSERT OR IGNORE INTO pending (intent, stream, sequence, ingested_at, in_doubt, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    Ok(transaction.prepare_cached(insert)?.execute(params![
        row.intent.as_bytes(),
        row.stream.as_bytes(),
        rows::stored(row.sequence),
        row.ingested_at.micros(),
        row.in_doubt,
        row.payload
    ])?)
}

/// Keeps an outcome unless one for the same intent is kept; returns how many rows that made.
fn insert_orphan(transaction: &Transaction<'_>, row: &Waiting) -> Result<usize, TrailError> {
    let insert = "INSERT OR IGNORE INTO orphan_outcome (intent, stream, sequence, ingested_at, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
    Ok(transaction.prepare_cached(insert)?.execute(params![
        row.intent.as_bytes(),
        row.stream.as_bytes(),
        rows::stored(row.sequence),
        row.ingested_at.micros(),
        row.payload
    ])?)
}

fn waiting(row: &rusqlite::Row<'_>) -> Result<Waiting, TrailError> {
    Ok(Waiting {
        intent: IntentId::from_bytes(rows::array(row, 0, "intent")?),
        stream: StreamId::from_bytes(rows::array(row, 1, "stream")?),
        sequence: rows::count(row, 2, "sequence")?,
        ingested_at: Timestamp::from_micros(row.get(3)?),
        payload: rows::blob(row, 4, "payload")?.to_vec(),
        in_doubt: row.get(5)?,
    })
}

/// Reads the head and checks that its three columns agree.
///
/// # Errors
/// - [`TrailError::Damaged`], [`TrailError::Root`]: they do not.
pub(crate) fn read_head(connection: &Connection) -> Result<Frontier, TrailError> {
    let mut statement = connection.prepare_cached("SELECT tree_size, root_hash, frontier FROM head WHERE id = 1")?;
    let head = statement
        .query_row([], |row| {
            Ok((|| {
                let frontier = Frontier::from_bytes(rows::blob(row, 2, "head.frontier")?);
                let frontier = frontier.map_err(|_| TrailError::Damaged { place: "head.frontier" })?;
                Ok::<_, TrailError>((
                    rows::count(row, 0, "head.tree_size")?,
                    Hash::from_bytes(rows::array(row, 1, "head.root_hash")?),
                    frontier,
                ))
            })())
        })
        .optional()?;
    let (tree_size, root_hash, frontier) = head.ok_or(TrailError::Damaged { place: "head" })??;
    if frontier.size() != tree_size || frontier.root() != root_hash {
        return Err(TrailError::Root { tree_size, claim: "stored" });
    }
    Ok(frontier)
}

fn data_version(connection: &Connection) -> Result<i64, TrailError> {
    Ok(connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
}

pub(super) fn read_streams(connection: &Connection) -> Result<HashMap<StreamId, StreamRow>, TrailError> {
    let mut statement = connection.prepare("SELECT stream, service, next_sequence, next_stream_index FROM stream")?;
    let mut rows = statement.query([])?;
    let mut streams = HashMap::new();
    while let Some(row) = rows.next()? {
        let stream = StreamId::from_bytes(rows::array(row, 0, "stream.stream")?);
        let next_sequence = rows::count(row, 2, "stream.next_sequence")?;
        let next_stream_index = rows::count(row, 3, "stream.next_stream_index")?;
        streams.insert(stream, StreamRow { service: row.get(1)?, next_sequence, next_stream_index });
    }
    Ok(streams)
}
