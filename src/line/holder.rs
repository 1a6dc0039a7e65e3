//! Who has a port: found by looking only. Nothing is opened, locked or changed.

use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::stat::{major, minor};
use nix::unistd::Pid;

/// Who has a port, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process; `None` when a lock file names none.
    pub pid: Option<i32>,
    /// What it runs, as far as we may know.
    pub command: Option<String>,
    /// What says so.
    pub by: HeldBy,
}

/// What says that a port is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBy {
    /// A UUCP lock file.
    LockFile(PathBuf),
    /// An flock on the device.
    Flock,
    /// A descriptor of the device, open in that process.
    Descriptor,
}

impl Holder {
    /// A process, with the name it has now.
    pub fn process(pid: i32, by: HeldBy) -> Self {
        Self { pid: Some(pid), command: command_of(pid), by }
    }

    /// A lock file that names nobody.
    pub fn nameless(lock_file: PathBuf) -> Self {
        Self { pid: None, command: None, by: HeldBy::LockFile(lock_file) }
    }
}

/// `minicom (pid 1234)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.command, self.pid) {
            (Some(command), Some(pid)) => write!(f, "{command} (pid {pid})"),
            (Some(command), None) => f.write_str(command),
            (None, Some(pid)) => write!(f, "process {pid}"),
            (None, None) => f.write_str("an unknown program"),
        }
    }
}

/// A sentence for the user: who has `device`, and what can be done.
pub fn in_use(device: &Path, holder: Option<&Holder>) -> String {
    let (who, remedy) = in_use_by(device, holder);
    format!("{who}: {remedy}")
}

/// The two halves of it: who has `device`; what can be done.
pub fn in_use_by(device: &Path, holder: Option<&Holder>) -> (String, String) {
    let device = device.display();
    let end_it = || "end it first, or wait".to_owned();
    match holder {
        Some(Holder { pid: None, by: HeldBy::LockFile(file), .. }) => (
            format!("{device} is locked by the file {}, which names no process", file.display()),
            format!(
                "remove that file by hand if nothing uses the port (`fuser -v {device}` names what does)"
            ),
        ),
        Some(holder @ Holder { by: HeldBy::LockFile(file), .. }) => {
            (format!("{device} is in use by {holder}, says {}", file.display()), end_it())
        }
        Some(holder) => (format!("{device} is in use by {holder}"), end_it()),
        None => (
            format!("another program is using {device}, and which one is hidden from us"),
            format!("end it first (`sudo fuser -v {device}` names it)"),
        ),
    }
}

/// Who has an flock on a file, as far as the kernel tells.
pub fn flock_holder(path: &Path) -> Option<Holder> {
    let file = fs::metadata(path).ok()?;
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let owner = flock_owner(&locks, file.dev(), file.ino()).filter(|&pid| is_alive(pid));
    owner.map(|pid| Holder::process(pid, HeldBy::Flock))
}

/// Who has an flock on the device, or else a descriptor of it. This process is not looked at for
/// descriptors, because it may hold one only to ask.
pub(super) fn by_the_kernel(device: &Path) -> Option<Holder> {
    let node = fs::metadata(device).ok()?;
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let locker = flock_owner(&locks, node.dev(), node.ino());
    if let Some(pid) = locker.filter(|&pid| is_alive(pid)) {
        return Some(Holder::process(pid, HeldBy::Flock));
    }
    // An flock outlives the process that took it in whoever inherited the descriptor, as in a script
    // that calls flock(1).
    let opener = node.file_type().is_char_device().then(|| descriptor_owner(node.rdev())).flatten();
    let by = if locker.is_some() { HeldBy::Flock } else { HeldBy::Descriptor };
    opener.or(locker).map(|pid| Holder::process(pid, by))
}

/// The process behind an flock in the text of `/proc/locks` (proc(5)), where a lock reads
/// `1: FLOCK  ADVISORY  WRITE 1234 00:06:93 0 EOF` and one that is waited for has `->` behind the number.
fn flock_owner(locks: &str, dev: u64, ino: u64) -> Option<i32> {
    let file = format!("{:02x}:{:02x}:{ino}", major(dev), minor(dev));
    let mut owners = locks.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let flock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?.parse().ok()?;
        (flock && words.next() == Some(file.as_str())).then_some(pid)
    });
    owners.find(|&pid| pid > 0) // 0: a process of another namespace
}

/// A process that has the device open, as far as we may look.
fn descriptor_owner(rdev: u64) -> Option<i32> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids: Vec<i32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().filter(|&pid| pid != own_pid()).find(|&pid| has_open(pid, rdev))
}

fn has_open(pid: i32, rdev: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.filter_map(Result::ok).any(|descriptor| {
        let path = descriptor.path();
        // Only what looks like a device is asked: a file on a dead NFS mount would hold us up.
        fs::read_link(&path).is_ok_and(|target| target.starts_with("/dev"))
            && fs::metadata(&path).is_ok_and(|open| open.file_type().is_char_device() && open.rdev() == rdev)
    })
}

/// The name of what a process runs.
pub(super) fn command_of(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name);
    // A process names itself; its name must not write on our terminal.
    let name: String = name.trim_end().chars().filter(|c| !c.is_control()).take(COMMAND_CHARS_MAX).collect();
    (!name.is_empty()).then_some(name)
}

/// Whether a process still runs. Another user's does if it may not be signalled; a zombie has closed
/// its files already.
pub(super) fn is_alive(pid: i32) -> bool {
    match kill(Pid::from_raw(pid), None) {
        Ok(()) | Err(Errno::EPERM) => !is_zombie(pid),
        Err(errno) => errno != Errno::ESRCH,
    }
}

fn is_zombie(pid: i32) -> bool {
    // proc(5): the state is the first word behind the name, which may itself contain `)`.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let dead = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']));
    // A first thread that ended before the others is shown so too, and they hold the files.
    dead && fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) <= 1
}

/// Our number as lock files have it.
pub(super) fn own_pid() -> i32 {
    Pid::this().as_raw()
}

/// Characters of a command's name that are shown; the kernel keeps 15.
const COMMAND_CHARS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_flock_is_found_by_device_and_inode_and_who_waits_for_it_is_not_its_holder() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 00:06:93 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 00:06:94 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 00:06:93 0 EOF\n\
                     4: -> FLOCK  ADVISORY  WRITE 13 00:06:93 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 14 00:06:93 0 EOF\n\
                     6: FLOCK\n";
        let dev = nix::sys::stat::makedev(0, 6);
        assert_eq!(flock_owner(locks, dev, 93), Some(14));
        assert_eq!(flock_owner(locks, dev, 94), Some(12));
        assert_eq!(flock_owner(locks, dev, 95), None);
        assert_eq!(flock_owner("", dev, 93), None);
    }

    #[test]
    fn the_living_are_alive_and_a_zombie_is_not() {
        assert!(is_alive(own_pid()));
        assert!(is_alive(1), "init, whoever we are");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        // Waits for the end and leaves the zombie where it is.
        let left = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(Pid::from_raw(pid)), left).unwrap();
        assert!(!is_alive(pid));
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }

    #[test]
    fn each_holder_is_named_with_what_to_do() {
        let device = Path::new("/dev/ttyS9");
        let file = HeldBy::LockFile("/run/lock/LCK..ttyS9".into());
        let named = Holder { pid: Some(7), command: Some("minicom".into()), by: file.clone() };
        let told = in_use(device, Some(&named));
        assert!(told.contains("minicom (pid 7)") && told.contains("/run/lock/LCK..ttyS9"), "{told}");
        let hidden = Holder { pid: Some(7), command: None, by: HeldBy::Flock };
        assert!(in_use(device, Some(&hidden)).contains("process 7"));
        let told = in_use(device, Some(&Holder::nameless("/run/lock/LCK..ttyS9".into())));
        assert!(told.contains("remove that file by hand") && told.contains("/run/lock/LCK..ttyS9"), "{told}");
        assert!(in_use(device, None).contains("`sudo fuser -v /dev/ttyS9`"));
    }
}
