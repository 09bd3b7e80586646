//! File systems on which a free lock does not mean that its owner is gone.

use std::path::Path;

use crate::error::Error;

/// Magic numbers of network file systems (statfs(2), linux/magic.h).
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
];

/// Refuses a data directory on a network file system.
pub(super) fn refuse(data_dir: &Path) -> Result<(), Error> {
    let system = rustix::fs::statfs(data_dir).map_err(|error| Error::Path { path: data_dir.to_owned(), source: error.into() })?;
    let magic = system.f_type as u32;
    match NETWORK.iter().find(|&&(number, _)| number == magic) {
        Some(&(_, kind)) => Err(Error::NetworkFileSystem { path: data_dir.to_owned(), kind }),
        None => Ok(()),
    }
}
