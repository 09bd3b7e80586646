//! The digest of the unfinished work (docs/format.md, "State").

use indelible_core::Hash;
use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};

use super::{TrailError, rows};

/// SHA-256 over high-waters, pending intents and orphan outcomes, as they stand in this connection's view.
///
/// # Errors
/// - [`TrailError::Sqlite`], [`TrailError::Damaged`]: a row cannot be read.
pub(crate) fn state_digest(connection: &Connection) -> Result<Hash, TrailError> {
    let mut digest = Sha256::new();
    let streams = "SELECT stream, next_sequence, next_stream_index, service FROM stream ORDER BY stream";
    push_table(connection, &mut digest, streams, |row, digest| {
        digest.update(rows::array::<16>(row, 0, "stream.stream")?);
        digest.update(rows::count(row, 1, "stream.next_sequence")?.to_le_bytes());
        digest.update(rows::count(row, 2, "stream.next_stream_index")?.to_le_bytes());
        push_bytes(
            row.get_ref(3)?.as_str().map_err(|_| TrailError::Damaged { place: "stream.service" })?.as_bytes(),
            "stream.service",
            digest,
        )
    })?;
    let pending = "SELECT intent, stream, sequence, ingested_at, payload, in_doubt FROM pending ORDER BY intent";
    push_table(connection, &mut digest, pending, |row, digest| {
        push_waiting(row, digest)?;
        digest.update([u8::from(row.get::<_, bool>(5)?)]);
        push_bytes(rows::blob(row, 4, "payload")?, "payload", digest)
    })?;
    let orphans = "SELECT intent, stream, sequence, ingested_at, payload FROM orphan_outcome ORDER BY intent";
    push_table(connection, &mut digest, orphans, |row, digest| {
        push_waiting(row, digest)?;
        push_bytes(rows::blob(row, 4, "payload")?, "payload", digest)
    })?;
    Ok(Hash::from_bytes(digest.finalize().into()))
}

/// Adds the number of rows and then each row.
fn push_table(
    connection: &Connection,
    digest: &mut Sha256,
    select: &str,
    push_row: impl Fn(&Row<'_>, &mut Sha256) -> Result<(), TrailError>,
) -> Result<(), TrailError> {
    let count: i64 = connection.prepare_cached(&format!("SELECT count(*) FROM ({select})"))?.query_row([], |row| row.get(0))?;
    digest.update(count.to_le_bytes());
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        push_row(row, digest)?;
    }
    Ok(())
}

fn push_waiting(row: &Row<'_>, digest: &mut Sha256) -> Result<(), TrailError> {
    digest.update(rows::array::<16>(row, 0, "intent")?);
    digest.update(rows::array::<16>(row, 1, "stream")?);
    digest.update(rows::count(row, 2, "sequence")?.to_le_bytes());
    digest.update(row.get::<_, i64>(3)?.to_le_bytes());
    Ok(())
}

/// Adds the length and then the bytes.
fn push_bytes(bytes: &[u8], place: &'static str, digest: &mut Sha256) -> Result<(), TrailError> {
    let length = u32::try_from(bytes.len()).map_err(|_| TrailError::Damaged { place })?;
    digest.update(length.to_le_bytes());
    digest.update(bytes);
    Ok(())
}
