//! The dotlock beside a mailbox: `mary.lock`, which also programs on other machines respect.
//!
//! It is made by link(2) from a file of another name, which is one step on the server even over NFS
//! (open(2), O_EXCL). Untouched for five minutes it is nobody's. The pid in one says nothing about a
//! process here unless this very system wrote it, so ours begins with `0`, as procmail's do: programs
//! that look whether the pid is alive (`dotlockfile -p`) would take ours away on another machine.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::error::user_name;

/// A dotlock that is ours. Dropping it lets go.
#[derive(Debug)]
pub(super) struct Dotlock {
    path: PathBuf,
    /// What stands in it: of one that another took away and made anew, device and number may be the
    /// same, and on sshfs each name has a number of its own.
    text: Vec<u8>,
    /// Device and number, for one without text of ours.
    id: (u64, u64),
    /// Kept open, so that no other file gets that number.
    _open: Option<File>,
    /// The program that made it, and takes it away.
    helper: Option<Helper>,
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Take {
    /// It is ours.
    Ours(Dotlock),
    /// It is another's: who, as far as can be told.
    Held(String),
    /// The folder takes none from us.
    Impossible(io::Error),
}

impl Dotlock {
    /// Tries once.
    pub(super) fn take(mailbox: &Path) -> io::Result<Take> {
        let path = name(mailbox);
        let unique = unique_beside(&path);
        let written = match Written::at(&unique) {
            Ok(written) => written,
            Err(error) if is_refusal(&error) => return Ok(Take::Impossible(error)),
            Err(error) => return Err(error),
        };
        let taken = link(&unique, &path, &written);
        let _ = std::fs::remove_file(&unique); // as good as gone: nobody else knows its name
        taken
    }

    /// Only looks, where none can be made: who has one, if it is not stale.
    pub(super) fn look(mailbox: &Path) -> Option<String> {
        let path = name(mailbox);
        // NFS clients remember for a while that a name was not there; opening the folder asks anew.
        drop(path.parent().map(File::open));
        let found = std::fs::symlink_metadata(&path).ok()?;
        #[allow(clippy::disallowed_methods)] // the age of another's file
        let now = SystemTime::now();
        (!is_stale(&path, &found, now)).then(|| told(&path, &found, now))
    }

    /// Has a program make it that is allowed to.
    pub(super) fn by_helper(mailbox: &Path) -> Result<Take, String> {
        let mut said = Vec::new();
        for helper in [Helper::Dotlockfile, Helper::MuttDotlock] {
            match helper.lock(mailbox) {
                Ok(Some(id)) => {
                    let path = name(mailbox);
                    let open = File::open(&path).ok();
                    return Ok(Take::Ours(Self {
                        path,
                        id,
                        text: Vec::new(),
                        _open: open,
                        helper: Some(helper),
                    }));
                }
                Ok(None) => {
                    let by = Self::look(mailbox).unwrap_or_else(|| "another program has a dotlock".into());
                    return Ok(Take::Held(by));
                }
                Err(why) => said.push(why),
            }
        }
        Err(said.join(", "))
    }

    /// Says that its holder lives.
    pub(super) fn touch(&self) -> io::Result<()> {
        let now = TimeSpec::UTIME_NOW;
        Ok(utimensat(AT_FDCWD, &self.path, &now, &now, UtimensatFlags::NoFollowSymlink)?)
    }

    /// Whether it is still there and ours: nobody has found it stale.
    pub(super) fn is_ours(&self) -> bool {
        if self.text.is_empty() {
            return std::fs::symlink_metadata(&self.path).is_ok_and(|found| id(&found) == self.id);
        }
        text_of(&self.path).is_some_and(|text| text == self.text)
    }
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        // There is nobody to tell here; left behind, it is stale in five minutes.
        match self.helper {
            _ if !self.is_ours() => {} // another has found it stale, and has one of its own
            None => drop(std::fs::remove_file(&self.path)),
            Some(helper) => helper.unlock(&self.path),
        }
    }
}

/// A program that may write where users may not: setgid mail on Debian's /var/mail.
#[derive(Debug, Clone, Copy)]
enum Helper {
    /// Of liblockfile: dotlockfile(1).
    Dotlockfile,
    /// Of Mutt: mutt_dotlock(1).
    MuttDotlock,
}

impl Helper {
    fn program(self) -> &'static str {
        match self {
            Self::Dotlockfile => "dotlockfile",
            Self::MuttDotlock => "mutt_dotlock",
        }
    }

    /// The lock's identity, or `None` if another has it.
    fn lock(self, mailbox: &Path) -> Result<Option<(u64, u64)>, String> {
        let program = self.program();
        let dotlock = name(mailbox);
        let mut command = self.command();
        match self {
            Self::Dotlockfile => command.args(["-l", "-r", "0"]).arg(&dotlock),
            Self::MuttDotlock => command.args(["-p", "-r", "0"]).arg(mailbox),
        };
        let output = command.output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!("there is no {program}"),
            _ => format!("{program}: {error}"),
        })?;
        match (self, output.status.code()) {
            (_, Some(0)) => match std::fs::symlink_metadata(&dotlock) {
                Ok(found) => Ok(Some(id(&found))),
                Err(error) => Err(format!("{program} made no lock: {error}")),
            },
            (Self::Dotlockfile, Some(DOTLOCKFILE_HELD)) | (Self::MuttDotlock, Some(MUTT_DOTLOCK_HELD)) => {
                Ok(None)
            }
            (_, _) => {
                let text = String::from_utf8_lossy(&output.stderr);
                let text = text.lines().next().unwrap_or_default().escape_debug().to_string();
                Err(format!(
                    "{program} made none ({}{}{text})",
                    output.status,
                    if text.is_empty() { "" } else { ": " }
                ))
            }
        }
    }

    fn unlock(self, dotlock: &Path) {
        let mut command = self.command();
        match self {
            Self::Dotlockfile => command.arg("-u").arg(dotlock),
            // It puts the `.lock` there itself.
            Self::MuttDotlock => command.args(["-p", "-u"]).arg(dotlock.with_extension("")),
        };
        let _ = command.status();
    }

    fn command(self) -> Command {
        let mut command = Command::new(self.program());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // They need to know who we are; whatever else is in our environment, passwords too, is not theirs.
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| LOCKERS_ENV.iter().any(|own| own == name)));
        command
    }
}

/// What lock programs find in their environment.
const LOCKERS_ENV: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR"];

/// The dotlock's name.
pub(super) fn name(mailbox: &Path) -> PathBuf {
    let mut name = mailbox.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// A name in the same folder that nobody else has, on whatever machine.
fn unique_beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".lk{:x}.{}.{}", std::process::id(), unique(), host()))
}

/// A word that this process has used nowhere, and no other of its number before it.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    #[allow(clippy::disallowed_methods)] // one part of a name
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}.{:x}", since.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    name.as_encoded_bytes().iter().copied().filter(plain).map(char::from).take(HOST_MAX).collect()
}

/// A lock file that was written, and what the server says of it: its clock tells the age of others.
struct Written {
    found: Metadata,
    text: Vec<u8>,
}

impl Written {
    fn at(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(LOCK_MODE).open(path)?;
        // A lock without its text is one too: a full disk need not keep us from it.
        let text = Writer::us().text();
        let wrote = file.write_all(text.as_bytes());
        let text = wrote.map_or_else(|_| Vec::new(), |()| text.into_bytes());
        match file.metadata() {
            Ok(found) => Ok(Self { found, text }),
            Err(error) => {
                let _ = std::fs::remove_file(path);
                Err(error)
            }
        }
    }

    fn ours(&self, path: &Path) -> Take {
        let text = self.text.clone();
        Take::Ours(Dotlock { path: path.to_owned(), text, id: id(&self.found), _open: None, helper: None })
    }
}

fn link(unique: &Path, path: &Path, written: &Written) -> io::Result<Take> {
    for _ in 0..LINK_TRIES {
        match std::fs::hard_link(unique, path) {
            Ok(()) => return Ok(written.ours(path)),
            // NFS may lose the answer to a link that was made: then there are two names for it.
            Err(_) if std::fs::symlink_metadata(unique).is_ok_and(|found| found.nlink() == 2) => {
                return Ok(written.ours(path));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // No hard links on this file system; making a file anew does notice another's.
            Err(error) if is_refusal(&error) || has_no_links(&error) => match Written::at(path) {
                Ok(written) => return Ok(written.ours(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if is_refusal(&error) => return Ok(Take::Impossible(error)),
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
        let found = match std::fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // just let go
            Err(error) => return Err(error),
        };
        let now = written.found.modified()?;
        if !is_stale(path, &found, now) || !take_away(path, &found) {
            return Ok(Take::Held(told(path, &found, now)));
        }
    }
    Ok(Take::Held(format!("others keep taking the dotlock {}", path.display())))
}

/// Takes a stale lock away. Between looking and removing, another may have done so and locked anew:
/// so it is renamed, looked at again, and put back if it is a living one.
fn take_away(path: &Path, seen: &Metadata) -> bool {
    let aside = unique_beside(path);
    if std::fs::rename(path, &aside).is_err() {
        return false; // gone, or not ours to remove
    }
    let is_seen = std::fs::symlink_metadata(&aside)
        .is_ok_and(|found| id(&found) == id(seen) && found.mtime() == seen.mtime());
    if !is_seen {
        let _ = std::fs::hard_link(&aside, path);
    }
    let _ = std::fs::remove_file(&aside);
    is_seen
}

fn is_stale(path: &Path, found: &Metadata, now: SystemTime) -> bool {
    let old = |modified: SystemTime| now.duration_since(modified).is_ok_and(|age| age > STALE_AFTER);
    found.modified().is_ok_and(old) || Writer::of(path).is_some_and(|writer| writer.is_dead())
}

/// Whose lock it is, in words.
fn told(path: &Path, found: &Metadata, now: SystemTime) -> String {
    let age =
        found.modified().ok().and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default();
    let user = user_name(found.uid());
    let by =
        Writer::of(path).map(|writer| format!(", of mailcall's process {} on {}", writer.pid, writer.host));
    format!(
        "the dotlock {} is there, {} s old, made by {user}{}",
        path.display(),
        age.as_secs(),
        by.unwrap_or_default()
    )
}

/// Which process made a dotlock, where it is one of this program: so that one that was killed holds
/// nobody up for five minutes.
#[derive(Debug, PartialEq, Eq)]
struct Writer {
    pid: i32,
    host: String,
    /// Which run of which system, and which of its pid namespaces: in no other the pid means anything.
    system: String,
}

impl Writer {
    fn us() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let pids = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let plain = |c: &char| c.is_ascii_alphanumeric();
        let pids: String = pids.to_string_lossy().chars().filter(plain).collect();
        let system = match (boot.trim(), pids.as_str()) {
            ("", _) | (_, "") => "unknown".to_owned(),
            (boot, pids) => format!("{boot}-{pids}"),
        };
        Self { pid: std::process::id() as i32, host: host(), system }
    }

    fn text(&self) -> String {
        format!("0\nmailcall {} {} {} {}\n", self.pid, self.host, self.system, unique())
    }

    fn of(dotlock: &Path) -> Option<Self> {
        let text = String::from_utf8(text_of(dotlock)?).ok()?;
        let words: Vec<&str> = text.lines().nth(1)?.split(' ').collect();
        let ["mailcall", pid, host, system, _word] = words[..] else { return None };
        let pid = pid.parse().ok().filter(|pid| *pid > 0)?;
        Some(Self { pid, host: host.to_owned(), system: system.to_owned() })
    }

    /// Certain only of a process of this very system.
    fn is_dead(&self) -> bool {
        let us = Self::us();
        let here = us.system != "unknown" && us.system == self.system && us.host == self.host;
        here && nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), None)
            == Err(nix::errno::Errno::ESRCH)
    }
}

/// The first bytes of a lock file.
fn text_of(path: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).ok()?;
    let mut text = Vec::new();
    file.take(TEXT_MAX).read_to_end(&mut text).ok()?;
    Some(text)
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// The folder is not ours to write in, or full.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::InvalidFilename
    )
}

fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::CrossesDevices | ErrorKind::TooManyLinks)
}

/// A dotlock untouched for longer is nobody's: the usual time among mail programs.
const STALE_AFTER: Duration = Duration::from_secs(5 * 60);
/// Links tried at once: the second where a lock was let go, or stale and taken away.
const LINK_TRIES: u32 = 3;
/// dotlockfile(1): the lock is held by another and no retries are left.
const DOTLOCKFILE_HELD: i32 = 4;
/// Mutt's dotlock.h, DL_EX_EXIST.
const MUTT_DOTLOCK_HELD: i32 = 3;
/// Anybody may see whose lock it is.
const LOCK_MODE: u32 = 0o644;
/// Bytes of a host name that are used.
const HOST_MAX: usize = 48;
/// Bytes of a dotlock that are read.
const TEXT_MAX: u64 = 256;
