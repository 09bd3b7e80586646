//! What a file system is good for, by the magic number that statfs(2) names (linux/magic.h).

/// A kind of file system, as far as it matters to a journal or a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// A disk of this host, as far as anybody knows.
    Local,
    /// A server's: a free lock does not tell that its owner is gone, so neither recorder nor agent goes on.
    Network(&'static str),
    /// The upper layer of a container, which is thrown away with it.
    Overlay,
    /// Memory: nothing survives the machine, whatever is synced.
    Memory(&'static str),
}

const OVERLAY: u32 = 0x794c_7630;
const MEMORY: &[(u32, &str)] = &[(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0102_1997, "9P"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x4750_4653, "GPFS"),
];

impl FileSystem {
    /// The kind with this magic number, of which only the lower 32 bits count.
    #[must_use]
    pub fn from_magic(magic: u32) -> Self {
        let named = |table: &[(u32, &'static str)]| table.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name);
        match (named(NETWORK), named(MEMORY)) {
            (Some(name), _) => Self::Network(name),
            (_, Some(name)) => Self::Memory(name),
            _ if magic == OVERLAY => Self::Overlay,
            _ => Self::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_known_by_its_magic_number() {
        for (magic, kind) in [
            (0xef53, FileSystem::Local),
            (0x6969, FileSystem::Network("NFS")),
            (0x0102_1997, FileSystem::Network("9P")),
            (0x0102_1994, FileSystem::Memory("tmpfs")),
            (0x794c_7630, FileSystem::Overlay),
        ] {
            assert_eq!(FileSystem::from_magic(magic), kind, "{magic:#x}");
        }
    }
}
