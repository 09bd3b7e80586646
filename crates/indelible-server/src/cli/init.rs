//! `indelible init`: sets up a host where the agent has a user of its own.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Exit, Failure, Globals, SYSTEM_DATA_DIR};
use crate::data_dir::{DataDir, write_atomically};
use crate::doctor::layout;

const UNIT: &str = include_str!("../../../../packaging/indelible.service");
const SERVICE_BYTES_MAX: usize = 64;

/// Set up a host: folders, owners, permissions and a systemd unit, so that applications cannot touch the trail
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// User that the application runs as; a name or a number
    #[arg(long, value_name = "USER")]
    app_user: String,
    /// Name of the application's service [default: the name of its user]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// User that the agent runs as; a name or a number
    #[arg(long, value_name = "USER", default_value = "indelible")]
    agent_user: String,
    /// Group that the agent reads journals by; a name or a number
    #[arg(long, value_name = "GROUP", default_value = "indelible")]
    group: String,
    /// Where the systemd unit goes
    #[arg(long, value_name = "FILE", default_value = "/etc/systemd/system/indelible.service")]
    unit: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What somebody is called and which number that is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: String,
    id: u32,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> Result<Exit, Failure> {
    let dir = globals.named_data_dir().unwrap_or_else(|| DataDir::new(SYSTEM_DATA_DIR));
    let root = std::path::absolute(dir.root())?;
    let dir = DataDir::new(root);
    let service = service(args)?;
    let (application, agent, group) = people(args)?;
    if application.id == agent.id {
        return Err(Failure::new(Exit::Usage, "application and agent are one user, which protects nothing")
            .help("leave out --agent-user, or run `indelible up` without init"));
    }
    if !args.dry_run && !rustix::process::geteuid().is_root() {
        return Err(Failure::new(Exit::Permission, "only root can give folders to other users").help("run it with sudo, or with --dry-run"));
    }
    let mut steps = Steps { dry_run: args.dry_run, done: 0 };
    for folder in layout::folders(&dir, agent.id, group.id) {
        steps.folder(&folder)?;
    }
    steps.folder(&layout::service(&dir, &service, application.id, group.id))?;
    for own in [dir.trail(), dir.keys(), dir.quarantine()] {
        steps.give_files(&own, agent.id, group.id)?;
    }
    steps.open_streams(&dir.journal().join(&service), group.id)?;
    steps.unit(&args.unit, &unit(&dir, &agent, &group)?)?;
    steps.end(&args.unit)?;
    Ok(Exit::Success)
}

fn service(args: &Args) -> Result<String, Failure> {
    let service = args.service.clone().unwrap_or_else(|| args.app_user.clone());
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_number = args.service.is_none() && service.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = service.len() <= SERVICE_BYTES_MAX
        && service.bytes().next().is_some_and(allowed)
        && service.bytes().all(|byte| allowed(byte) || b"._-".contains(&byte));
    if is_name && !is_number {
        return Ok(service);
    }
    Err(Failure::new(Exit::Usage, format!("`{service}` cannot be the name of a service"))
        .help("name it with --service: lower-case letters, digits, '.', '_' and '-', at most 64, as in INDELIBLE[\"SERVICE\"]"))
}

/// Application, agent and group; who is missing is told with the commands that make them.
fn people(args: &Args) -> Result<(Named, Named, Named), Failure> {
    let found = (lookup("passwd", &args.app_user), lookup("passwd", &args.agent_user), lookup("group", &args.group));
    let mut commands = Vec::new();
    if found.2.is_none() {
        commands.push(format!("groupadd --system {}", args.group));
    }
    let useradd = |user: &str| format!("useradd --system --no-create-home --shell /usr/sbin/nologin {user}");
    if found.1.is_none() {
        commands.push(format!("{} --gid {}", useradd(&args.agent_user), args.group));
    }
    if found.0.is_none() {
        commands.push(useradd(&args.app_user));
    }
    match found {
        (Some(application), Some(agent), Some(group)) => Ok((application, agent, group)),
        _ => Err(Failure::new(Exit::Failed, "a user or group is not there")
            .help(format!("make them, then try again:\n  {}", commands.join("\n  ")))),
    }
}

/// Looks a name up as the system does; a number is taken as it stands.
fn lookup(database: &str, name: &str) -> Option<Named> {
    let entry = Command::new("getent").args([database, name]).output().ok().filter(|found| found.status.success());
    let entry = entry.and_then(|found| parse_entry(&String::from_utf8_lossy(&found.stdout)));
    entry.or_else(|| name.parse().ok().map(|id| Named { name: name.to_owned(), id }))
}

/// Name and number of a line `name:x:number:…`.
fn parse_entry(line: &str) -> Option<Named> {
    let mut fields = line.trim_end().split(':');
    let name = fields.next()?.to_owned();
    let id = fields.nth(1)?.parse().ok()?;
    Some(Named { name, id })
}

fn unit(dir: &DataDir, agent: &Named, group: &Named) -> Result<String, Failure> {
    let data = dir.root().display().to_string();
    if data.contains(|character: char| character.is_whitespace() || "%\"'\\".contains(character)) {
        return Err(Failure::new(Exit::Usage, format!("{data} cannot stand in a systemd unit"))
            .help("choose a path without spaces, quotes and percent signs"));
    }
    let binary = std::env::current_exe()?.display().to_string();
    Ok(UNIT.replace("@USER@", &agent.name).replace("@GROUP@", &group.name).replace("@DATA@", &data).replace("@BINARY@", &binary))
}

/// Does what is missing, says each thing, and leaves alone what is right already.
struct Steps {
    dry_run: bool,
    done: usize,
}

impl Steps {
    fn tell(&mut self, what: &str) -> io::Result<()> {
        self.done += 1;
        writeln!(io::stdout(), "{}{what}", if self.dry_run { "would: " } else { "" })
    }

    /// Makes a folder, or gives it its owner, group and mode.
    fn folder(&mut self, folder: &layout::Folder) -> Result<(), Failure> {
        let layout::Folder { path, uid, gid, mode } = folder;
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_dir() => return Err(Failure::new(Exit::Failed, format!("{shown} is no folder"))),
            Ok(found) if (found.uid(), found.gid(), found.permissions().mode() & 0o7777) == (*uid, *gid, *mode) => return Ok(()),
            Ok(_) => self.tell(&format!("give {shown} to {uid}:{gid}, mode {mode:04o}"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.tell(&format!("create {shown} for {uid}:{gid}, mode {mode:04o}"))?;
                if !self.dry_run {
                    if let Some(parent) = path.parent() {
                        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
                    }
                    DirBuilder::new().mode(0o700).create(path)?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        if !self.dry_run {
            own(path, *uid, *gid, *mode)?;
        }
        Ok(())
    }

    /// Gives the files of a folder that another user's agent has left to its new owner.
    fn give_files(&mut self, folder: &Path, uid: u32, gid: u32) -> Result<(), Failure> {
        for path in entries(folder)? {
            let found = fs::symlink_metadata(&path)?;
            if found.is_file() && found.uid() != uid {
                self.tell(&format!("give {} to {uid}:{gid}", path.display()))?;
                if !self.dry_run {
                    own(&path, uid, gid, 0o600)?;
                }
            }
        }
        Ok(())
    }

    /// Lets the group read and delete the streams that were made before.
    fn open_streams(&mut self, service: &Path, gid: u32) -> Result<(), Failure> {
        for stream in entries(service)? {
            let found = fs::symlink_metadata(&stream)?;
            if !found.is_dir() || found.gid() == gid {
                continue;
            }
            self.tell(&format!("open {} to group {gid}", stream.display()))?;
            if self.dry_run {
                continue;
            }
            for path in entries(&stream)? {
                let file = fs::symlink_metadata(&path)?;
                let mode = if path.ends_with("lock") { 0o660 } else { 0o640 };
                if file.is_file() {
                    own(&path, file.uid(), gid, mode)?;
                }
            }
            own(&stream, found.uid(), gid, 0o2770)?;
        }
        Ok(())
    }

    fn unit(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        if fs::read_to_string(path).is_ok_and(|found| found == text) {
            return Ok(());
        }
        let has_folder = path.parent().is_some_and(Path::is_dir);
        if self.dry_run || !has_folder {
            self.tell(&format!("write {}:\n{text}", path.display()))?;
            return Ok(());
        }
        self.tell(&format!("write {}", path.display()))?;
        write_atomically(path, text.as_bytes())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
        Ok(())
    }

    fn end(&self, unit: &Path) -> io::Result<()> {
        match (self.done, self.dry_run) {
            (0, _) => writeln!(io::stdout(), "everything is as it should be"),
            (_, true) => Ok(()),
            (_, false) => {
                let unit = unit.file_stem().unwrap_or_default().to_string_lossy();
                writeln!(io::stdout(), "now: systemctl daemon-reload && systemctl enable --now {unit}")
            }
        }
    }
}

/// Names in a folder; none where there is no folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Owner first: giving something away takes its special bits.
fn own(path: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_user_database_is_read() {
        let nobody = Named { name: "nobody".to_owned(), id: 65_534 };
        assert_eq!(parse_entry("nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"), Some(nobody));
        assert_eq!(parse_entry("indelible:x:991:app\n"), Some(Named { name: "indelible".to_owned(), id: 991 }));
        assert_eq!(parse_entry(""), None);
    }

    #[test]
    fn the_unit_has_every_place_filled_in() {
        let named = |name: &str| Named { name: name.to_owned(), id: 1 };
        let unit = unit(&DataDir::new("/var/lib/indelible"), &named("indelible"), &named("indelible")).unwrap();
        for line in ["User=indelible", "ReadWritePaths=/var/lib/indelible", "NoNewPrivileges=true", "CapabilityBoundingSet="] {
            assert!(unit.lines().any(|found| found == line), "{line} is not in\n{unit}");
        }
        assert!(!unit.lines().filter(|line| !line.starts_with('#') && !line.starts_with("SystemCall")).any(|line| line.contains('@')));
        assert!(super::unit(&DataDir::new("/with space"), &named("a"), &named("b")).is_err());
    }
}
