//! From a committed batch to a signed head: what was written is read back, recomputed and only then signed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use indelible_core::{Checkpoint, CheckpointError, Frontier, Hash, LeafEntry, Note, Origin, StateDigest, commitment};
use rusqlite::{Connection, OpenFlags, Transaction};

use super::files::Listed;
use super::schema::Meta;
use super::{TrailError, check_state, check_tree, read_batch, rows, schema, state_digest, writer};
use crate::data_dir::{DataDir, read_small, write_atomically};
use crate::keys::TrailKey;

/// A tree head whose every new leaf was recomputed from stored bytes, with the digest of the work that was unfinished at it.
///
/// Only [`Signer::verify`] makes one, so nothing else can be signed.
#[derive(Debug)]
pub(crate) struct VerifiedHead {
    tree: Frontier,
    state: Hash,
}

/// Signs the heads of one trail, each larger than the last. It reads through its own connection.
#[derive(Debug)]
pub(crate) struct Signer {
    dir: DataDir,
    key: Arc<TrailKey>,
    connection: Connection,
    /// The tree under the newest checkpoint; `None` before the first one.
    signed: Option<Frontier>,
}

impl Signer {
    /// Compares a trail file with its checkpoint and gets ready to sign what the file has beyond it.
    ///
    /// # Errors
    /// - [`TrailError::BehindCheckpoint`], [`TrailError::Root`], [`TrailError::CheckpointMissing`], [`TrailError::Note`],
    ///   [`TrailError::Changed`]: the trail is not the one that was signed. Nothing may be signed on top of it.
    pub(crate) fn open(dir: &DataDir, file: &Listed, key: Arc<TrailKey>) -> Result<Self, TrailError> {
        let connection = Connection::open_with_flags(&file.path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        let mut signer = Self { dir: dir.clone(), key, connection, signed: None };
        signer.signed = signer.signed_tree()?;
        signer.check_signed_state()?;
        Ok(signer)
    }

    /// Name of the trail.
    pub(crate) fn origin(&self) -> &Origin {
        &self.key.origin
    }

    /// Recomputes everything beyond the newest checkpoint from stored bytes.
    ///
    /// # Errors
    /// - [`TrailError::ReadBack`], [`TrailError::Root`], [`TrailError::Changed`]: what is stored is not what was written.
    pub(crate) fn verify(&mut self) -> Result<VerifiedHead, TrailError> {
        let mut tree = self.signed.clone().unwrap_or_default();
        let view = self.connection.transaction()?;
        let head = writer::read_head(&view)?;
        push_recomputed(&view, &mut tree)?;
        if tree != head {
            return Err(TrailError::Root { tree_size: tree.size(), claim: "stored" });
        }
        let batch = read_batch(&view, &self.key.signing.verifier())?;
        let state = state_digest(&view)?;
        check_tree(&batch, &tree)?;
        check_state(&batch, state)?;
        Ok(VerifiedHead { tree, state })
    }

    /// Writes checkpoint and state, in this order, each durable before the next. Returns the tree size that is now signed.
    ///
    /// # Errors
    /// - [`TrailError::File`], [`TrailError::Note`]: not written; segments must stay.
    pub(crate) fn sign(&mut self, head: VerifiedHead) -> Result<u64, TrailError> {
        let VerifiedHead { tree, state } = head;
        let tree_size = tree.size();
        if self.signed.as_ref() != Some(&tree) {
            let checkpoint = Checkpoint { origin: self.key.origin.clone(), tree_size, root_hash: tree.root() };
            failpoint!("sign.before_checkpoint");
            self.write(&self.dir.checkpoint(), checkpoint.sign(&self.key.signing))?;
            self.signed = Some(tree);
        }
        failpoint!("sign.before_state");
        let note = StateDigest { origin: self.key.origin.clone(), tree_size, digest: state };
        self.write(&self.dir.state(), note.sign(&self.key.signing))?;
        failpoint!("sign.after_state");
        Ok(tree_size)
    }

    fn write(&self, path: &Path, note: Result<Note, CheckpointError>) -> Result<(), TrailError> {
        let note = note.expect("checkpoint and state are texts that can be signed");
        write_atomically(path, note.to_string().as_bytes()).map_err(|error| TrailError::File { path: path.to_owned(), error })
    }

    /// The tree of the newest checkpoint, rebuilt from the database, if it leads to the signed root.
    fn signed_tree(&self) -> Result<Option<Frontier>, TrailError> {
        let head = writer::read_head(&self.connection)?;
        let Some(checkpoint) = self.read_note(&self.dir.checkpoint(), |bytes| Checkpoint::open(bytes, &self.key.signing.verifier()))?
        else {
            if head.size() > 0 {
                return Err(TrailError::CheckpointMissing { path: self.dir.checkpoint(), tree_size: head.size() });
            }
            return Ok(None);
        };
        if head.size() < checkpoint.tree_size {
            return Err(TrailError::BehindCheckpoint { found: head.size(), signed: checkpoint.tree_size });
        }
        let tree = if head.size() == checkpoint.tree_size { head } else { self.tree_of_size(checkpoint.tree_size)? };
        if tree.root() != checkpoint.root_hash {
            return Err(TrailError::Root { tree_size: checkpoint.tree_size, claim: "signed" });
        }
        Ok(Some(tree))
    }

    fn tree_of_size(&self, tree_size: u64) -> Result<Frontier, TrailError> {
        let mut tree = Meta::read(&self.connection)?.before;
        // A file begins with what was signed, so an older checkpoint was put here by somebody else.
        if tree_size < tree.size() {
            return Err(TrailError::Changed { place: "checkpoint" });
        }
        let mut statement = self.connection.prepare("SELECT leaf_hash FROM record WHERE leaf_index < ?1 ORDER BY leaf_index")?;
        let mut rows = statement.query([rows::stored(tree_size)])?;
        while let Some(row) = rows.next()? {
            tree.push(Hash::from_bytes(rows::array(row, 0, "record.leaf_hash")?));
        }
        Ok(tree)
    }

    /// A batch is committed before it is signed, so the file may be one batch ahead of the signed state, and never more.
    fn check_signed_state(&self) -> Result<(), TrailError> {
        let batch = read_batch(&self.connection, &self.key.signing.verifier())?;
        match self.read_note(&self.dir.state(), |bytes| StateDigest::open(bytes, &self.key.signing.verifier()))? {
            Some(signed) if [batch.state, batch.previous_state].contains(&signed.digest) => Ok(()),
            Some(_) => Err(TrailError::Changed { place: "state" }),
            None if batch.tree_size == 0 => Ok(()),
            None => Err(TrailError::CheckpointMissing { path: self.dir.state(), tree_size: batch.tree_size }),
        }
    }

    fn read_note<T>(&self, path: &Path, open: impl Fn(&[u8]) -> Result<T, CheckpointError>) -> Result<Option<T>, TrailError> {
        match read_small(path) {
            Ok(bytes) => open(&bytes).map(Some).map_err(|error| TrailError::Note { path: path.to_owned(), error }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TrailError::File { path: path.to_owned(), error }),
        }
    }
}

/// Appends every record from the tree's size on, each recomputed from its body.
fn push_recomputed(view: &Transaction<'_>, tree: &mut Frontier) -> Result<(), TrailError> {
    let select = "SELECT leaf_index, entry, leaf_hash, salt, body FROM record WHERE leaf_index >= ?1 ORDER BY leaf_index";
    let mut statement = view.prepare_cached(select)?;
    let mut rows = statement.query([rows::stored(tree.size())])?;
    while let Some(row) = rows.next()? {
        let leaf_index = rows::count(row, 0, "record.leaf_index")?;
        let differs = |what| TrailError::ReadBack { leaf_index, what };
        if leaf_index != tree.size() {
            return Err(differs("a record before it is missing"));
        }
        let entry = LeafEntry::decode(rows::blob(row, 1, "record.entry")?).map_err(|_| differs("its leaf cannot be read"))?;
        let salt = rows::array(row, 3, "record.salt")?;
        if commitment(&salt, rows::blob(row, 4, "record.body")?) != entry.commitment {
            return Err(differs("its body does not match its leaf"));
        }
        let leaf = entry.hash();
        if *leaf.as_bytes() != rows::array(row, 2, "record.leaf_hash")? {
            return Err(differs("its leaf does not match its hash"));
        }
        tree.push(leaf);
    }
    Ok(())
}
