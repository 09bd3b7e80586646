//! Who owns what in `host` mode, and who may do what with it: `indelible init` makes it so, `doctor` compares.

use std::path::PathBuf;

use crate::data_dir::DataDir;

/// One folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

/// The agent's folders. Applications pass through the first two and see nothing in them.
pub(crate) fn folders(dir: &DataDir, agent: u32, group: u32) -> Vec<Folder> {
    let folder = |path, mode| Folder { path, uid: agent, gid: group, mode };
    vec![
        folder(dir.root().to_owned(), 0o711),
        folder(dir.journal(), 0o711),
        folder(dir.trail(), 0o700),
        folder(dir.keys(), 0o700),
        folder(dir.quarantine(), 0o700),
    ]
}

/// The journals of one service: the application's, and open to the agent's group, which everything that is made in it has.
pub(crate) fn service(dir: &DataDir, service: &str, application: u32, group: u32) -> Folder {
    Folder { path: dir.journal().join(service), uid: application, gid: group, mode: 0o2770 }
}
