//! A mailbox locked against whoever else reads and writes it, here or on another machine.
//!
//! Two locks: fcntl(2) on the file, which NFS carries to its server, and the [`dotlock`](super::dotlock)
//! beside it, which works where fcntl does not (sshfs, old NFS) and for programs that know nothing
//! else. Debian's programs take fcntl first, Dovecot the dotlock first: so whoever has one of them here
//! never waits for the other, but lets go of both, rests, and tries again, for a bounded time.
//!
//! ```text
//! open ── fcntl, not waiting ── still the file of that name? ── dotlock, not waiting ── locked
//!              │ held                    │ no                       │ held
//!              └──────────── let go of all, rest, open again ◀──────┘
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::dotlock::{Dotlock, Take};
use super::error::{At, PathError};

/// What a mailbox is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Others may read it meanwhile. Only read permission is needed; where the folder takes no dotlock,
    /// another's is respected all the same.
    Read,
    /// Nobody else may read or write it. Without a dotlock this is refused.
    Rewrite,
}

/// How long to wait for locks.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// In all, over every try.
    pub wait: Duration,
    /// Whether nobody wants the lock any more: asked before each try.
    pub given_up: &'a dyn Fn() -> bool,
    /// Told who has the mailbox, once, when waiting begins.
    pub waiting: &'a dyn Fn(&str),
}

impl Patience<'_> {
    /// Waits as long as is usual, and tells nobody.
    pub fn usual() -> Self {
        Self { wait: LOCK_WAIT, given_up: &|| false, waiting: &|_| {} }
    }
}

/// Which file: device and number.
pub type FileId = (u64, u64);

/// A mailbox that is locked. Dropping it lets go, of the dotlocks first.
#[derive(Debug)]
pub struct SpoolLock {
    dotlocks: Vec<Dotlock>,
    touched: Instant,
    path: PathBuf,
    file: File,
}

impl SpoolLock {
    /// Locks the mailbox at `path`, waiting for others.
    pub fn acquire(path: &Path, purpose: Purpose, patience: &Patience<'_>) -> Result<Self, PathError> {
        let begun = now();
        let mut turn = 0;
        let mut told = false;
        loop {
            if (patience.given_up)() {
                return Err(PathError::GivenUp);
            }
            let by = match try_once(path, purpose)? {
                Tried::Locked(lock) => return Ok(lock),
                Tried::Held(by) => by,
                Tried::Replaced => "its file is replaced again and again".to_owned(),
            };
            if begun.elapsed() >= patience.wait {
                return Err(PathError::Locked { path: path.to_owned(), by, waited: patience.wait });
            }
            if !told && begun.elapsed() >= TELL_AFTER {
                (patience.waiting)(&by);
                told = true;
            }
            rest(turn);
            turn += 1;
        }
    }

    /// The file that is locked.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Which file that is.
    pub fn id(&self) -> Result<FileId, PathError> {
        self.file.metadata().at("look at", &self.path).map(|found| (found.dev(), found.ino()))
    }

    /// Lets go of the dotlocks, and keeps the lock on the file: for reading on while mail that comes in
    /// is not held up longer than needed.
    pub fn release_dotlocks(&mut self) {
        self.dotlocks.clear();
    }

    /// Lets go of all locks, and keeps the file open.
    pub fn let_others_write(&mut self) {
        self.release_dotlocks();
        self.unlock_file();
    }

    fn unlock_file(&self) {
        let none = libc::flock { l_type: libc::F_UNLCK as _, ..whole_file(Purpose::Read) };
        // Both kinds, whichever it was.
        let _ = set_lock(&self.file, &none);
        let _ = fcntl(&self.file, FcntlArg::F_SETLK(&none));
    }

    /// To be called every now and then while it is held: a dotlock that is not touched becomes stale.
    pub fn keep_fresh(&mut self) -> Result<(), PathError> {
        if self.touched.elapsed() < TOUCH_EVERY {
            return Ok(());
        }
        for dotlock in &self.dotlocks {
            dotlock.touch().at("touch the lock of", &self.path)?;
        }
        self.touched = now();
        Ok(())
    }

    /// To be called right before the mailbox is written to: that the dotlocks are still ours, and the
    /// file is still the mailbox.
    pub fn verify(&self) -> Result<(), PathError> {
        let lost = || PathError::LockLost { path: self.path.clone() };
        if !self.dotlocks.iter().all(Dotlock::is_ours) {
            return Err(lost());
        }
        let there = std::fs::metadata(&self.path).map_err(|_| lost())?;
        if (there.dev(), there.ino()) != self.id()? {
            return Err(lost());
        }
        Ok(())
    }
}

impl Drop for SpoolLock {
    /// Closing the file is not enough: a program that is being started at this moment by another thread
    /// has a copy of the descriptor until it is executed, and the lock with it.
    fn drop(&mut self) {
        self.unlock_file();
    }
}

enum Tried {
    Locked(SpoolLock),
    Held(String),
    /// Between opening and locking, another program put another file there.
    Replaced,
}

fn try_once(path: &Path, purpose: Purpose) -> Result<Tried, PathError> {
    let file = open(path, purpose)?;
    match try_fcntl(&file, purpose) {
        Ok(Fcntl::Ours | Fcntl::None) => {}
        Ok(Fcntl::Held(by)) => return Ok(Tried::Held(by)),
        Err(cause) => return Err(PathError::io("lock", path, cause)),
    }
    let opened = file.metadata().at("look at", path)?;
    match std::fs::metadata(path) {
        Ok(there) if (there.dev(), there.ino()) == (opened.dev(), opened.ino()) => {}
        Ok(_) => return Ok(Tried::Replaced),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tried::Replaced),
        Err(error) => return Err(PathError::io("look at", path, error)),
    }
    let mut dotlocks = Vec::new();
    for name in names(path) {
        match take_dotlock(&name, purpose)? {
            Ok(dotlock) => dotlocks.extend(dotlock),
            Err(by) => return Ok(Tried::Held(by)), // and all that was taken is let go
        }
    }
    Ok(Tried::Locked(SpoolLock { dotlocks, touched: now(), path: path.to_owned(), file }))
}

/// The names beside which a dotlock stands. Of a symbolic link Dovecot and procmail lock the name that
/// they were given, Mutt the file behind it: so both.
fn names(path: &Path) -> Vec<PathBuf> {
    let mut names = vec![path.to_owned()];
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        names.extend(std::fs::canonicalize(path));
    }
    names
}

/// A dotlock, none where reading can do without, or who has it.
fn take_dotlock(mailbox: &Path, purpose: Purpose) -> Result<Result<Option<Dotlock>, String>, PathError> {
    let refused = match Dotlock::take(mailbox).at("make a lock beside", mailbox)? {
        Take::Ours(dotlock) => return Ok(Ok(Some(dotlock))),
        Take::Held(by) => return Ok(Err(by)),
        Take::Impossible(cause) => cause,
    };
    match purpose {
        Purpose::Read => Ok(match Dotlock::look(mailbox) {
            Some(by) => Err(by),
            None => Ok(None),
        }),
        Purpose::Rewrite => match Dotlock::by_helper(mailbox) {
            Ok(Take::Ours(dotlock)) => Ok(Ok(Some(dotlock))),
            Ok(Take::Held(by)) => Ok(Err(by)),
            Ok(Take::Impossible(cause)) => Err(PathError::io("make a lock beside", mailbox, cause)),
            Err(helper) => Err(PathError::NoLock { path: mailbox.to_owned(), cause: refused, helper }),
        },
    }
}

/// Opens a mailbox, and nothing that only looks like one.
fn open(path: &Path, purpose: Purpose) -> Result<File, PathError> {
    let opened = |noatime| {
        OpenOptions::new()
            .read(true)
            .write(purpose == Purpose::Rewrite)
            // A pipe must not hold us up before it is seen to be one.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | noatime)
            .open(path)
    };
    // That we have read it is nobody's business: the shell says "you have new mail" as long as the file
    // was written after it was read last. Only the file's owner may ask for that (open(2)).
    let file = match opened(NO_ATIME) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => opened(0),
        other => other,
    };
    let file = file.map_err(|error| refused(path, error))?;
    let found = file.metadata().at("look at", path)?;
    let what = if found.is_file() {
        return Ok(file);
    } else if found.is_dir() {
        FOLDER
    } else {
        "no file: a pipe, a device or the like"
    };
    Err(PathError::NotAFile { path: path.to_owned(), what })
}

fn refused(path: &Path, error: io::Error) -> PathError {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match error.kind() {
        io::ErrorKind::NotFound if folder.is_none_or(Path::is_dir) => {
            PathError::Missing { path: path.to_owned() }
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            PathError::NoMailbox { path: path.to_owned() }
        }
        io::ErrorKind::IsADirectory => PathError::NotAFile { path: path.to_owned(), what: FOLDER },
        _ => match error.raw_os_error() {
            // A socket, or a device without a driver.
            Some(libc::ENXIO) => {
                PathError::NotAFile { path: path.to_owned(), what: "no file: a socket or a device" }
            }
            Some(libc::ELOOP) => PathError::NotAFile { path: path.to_owned(), what: LOOP },
            _ => PathError::io("open", path, error),
        },
    }
}

enum Fcntl {
    Ours,
    Held(String),
    /// This file system has no such locks.
    None,
}

/// An open file description's lock (F_OFD_SETLK), which conflicts with everybody's fcntl locks, but is
/// not lost when another descriptor of the file is closed in this process, as fcntl's own are.
fn try_fcntl(file: &File, purpose: Purpose) -> io::Result<Fcntl> {
    let mut whole = whole_file(purpose);
    let set = match set_lock(file, &whole) {
        // Linux before 3.15 has no such locks.
        Err(Errno::EINVAL) => fcntl(file, FcntlArg::F_SETLK(&whole)).map(drop),
        other => other,
    };
    match set {
        Ok(()) => Ok(Fcntl::Ours),
        Err(Errno::EACCES | Errno::EAGAIN) => {
            let told = fcntl(file, FcntlArg::F_GETLK(&mut whole)).map(|_| holder(&whole));
            Ok(Fcntl::Held(told.unwrap_or_else(|_| holder(&whole_file(purpose)))))
        }
        // NFS without its lock daemon, and file systems that never heard of locks.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => Ok(Fcntl::None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_lock(file: &File, whole: &libc::flock) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(whole)).map(drop)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_lock(file: &File, whole: &libc::flock) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_SETLK(whole)).map(drop)
}

/// From the first byte to the end, wherever that will be (fcntl(2): l_len 0).
fn whole_file(purpose: Purpose) -> libc::flock {
    let kind = match purpose {
        Purpose::Read => libc::F_RDLCK,
        Purpose::Rewrite => libc::F_WRLCK,
    };
    libc::flock { l_type: kind as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 }
}

/// Who holds a lock, as F_GETLK tells: a pid of this machine, or -1 and worse where it is another's.
fn holder(lock: &libc::flock) -> String {
    let name = std::fs::read_to_string(format!("/proc/{}/comm", lock.l_pid));
    match (lock.l_pid, name) {
        (1.., Ok(name)) => format!("process {} ({}) has it", lock.l_pid, name.trim().escape_debug()),
        (1.., Err(_)) => format!("process {}, perhaps of another machine, has it", lock.l_pid),
        (_, _) => "another program, perhaps on another machine, has it".to_owned(),
    }
}

/// Rests between two tries, not always for as long as whoever does the same elsewhere.
fn rest(turn: u32) {
    let spread = (std::process::id().wrapping_add(turn * 37) % 100) * 2;
    let longer = Duration::from_millis(u64::from(REST_LEAST_MS + spread));
    #[allow(clippy::disallowed_methods)] // another program is to have its turn, in the world's time
    std::thread::sleep(longer);
}

#[allow(clippy::disallowed_methods)] // locks are waited for, and become stale, in the world's time
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_ATIME: i32 = libc::O_NOATIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_ATIME: i32 = 0;

/// How long others are waited for, in all.
pub const LOCK_WAIT: Duration = Duration::from_secs(30);
/// A wait that is shorter is not worth a line.
const TELL_AFTER: Duration = Duration::from_secs(2);
/// Milliseconds of the shortest rest between two tries; the longest is 200 ms longer.
const REST_LEAST_MS: u32 = 100;
/// A dotlock is stale after five minutes: this is well before.
const TOUCH_EVERY: Duration = Duration::from_secs(30);
const LOOP: &str = "a symbolic link that leads back to itself";
const FOLDER: &str =
    "a folder and neither an mbox nor a Maildir (which has cur, new and tmp); MH folders are not read";

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::process::{Command, Stdio};

    use super::super::dotlock::name;
    use super::*;

    fn mailbox() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mary");
        std::fs::write(&path, "From x\n").unwrap();
        (dir, path)
    }

    fn at_once() -> Patience<'static> {
        Patience { wait: Duration::ZERO, ..Patience::usual() }
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn held(purpose: Purpose, path: &Path) -> String {
        match SpoolLock::acquire(path, purpose, &at_once()) {
            Err(PathError::Locked { by, .. }) => by,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lock_leaves_nothing_behind_and_keeps_others_out_meanwhile() {
        let (dir, path) = mailbox();
        let lock = SpoolLock::acquire(&path, Purpose::Rewrite, &at_once()).unwrap();
        lock.verify().unwrap();
        assert_eq!(names_in(dir.path()), ["mary", "mary.lock"]);
        // Even for a program that looks whether the pid in it lives, on another machine.
        assert!(std::fs::read(name(&path)).unwrap().starts_with(b"0\n"));
        for purpose in [Purpose::Read, Purpose::Rewrite] {
            let by = held(purpose, &path);
            assert!(by.contains("has it"), "{by}");
        }
        drop(lock);
        assert_eq!(names_in(dir.path()), ["mary"]);
    }

    #[test]
    fn two_may_read_and_nobody_may_write_meanwhile() {
        let (_dir, path) = mailbox();
        let mut first = SpoolLock::acquire(&path, Purpose::Read, &at_once()).unwrap();
        first.release_dotlocks();
        let mut second = SpoolLock::acquire(&path, Purpose::Read, &at_once()).unwrap();
        second.release_dotlocks();
        held(Purpose::Rewrite, &path);
        drop((first, second));
        SpoolLock::acquire(&path, Purpose::Rewrite, &at_once()).unwrap();
    }

    #[test]
    fn a_copy_of_the_descriptor_that_another_process_has_for_a_moment_holds_no_lock() {
        let (_dir, path) = mailbox();
        let mut lock = SpoolLock::acquire(&path, Purpose::Read, &at_once()).unwrap();
        lock.release_dotlocks();
        let _copy = lock.file().try_clone().unwrap();
        drop(lock);
        SpoolLock::acquire(&path, Purpose::Rewrite, &at_once()).unwrap();
    }

    #[test]
    fn a_lock_is_not_lost_when_another_descriptor_of_the_file_is_closed() {
        let (_dir, path) = mailbox();
        let mut lock = SpoolLock::acquire(&path, Purpose::Read, &at_once()).unwrap();
        lock.release_dotlocks();
        drop(std::fs::read(&path).unwrap());
        held(Purpose::Rewrite, &path);
    }

    #[test]
    fn a_dotlock_of_six_minutes_is_stale_and_one_of_four_is_not() {
        let (dir, path) = mailbox();
        for (minutes, stale) in [(4, false), (6, true)] {
            std::fs::write(name(&path), "4711").unwrap();
            aged(&name(&path), minutes);
            let taken = SpoolLock::acquire(&path, Purpose::Rewrite, &at_once());
            assert_eq!(taken.is_ok(), stale, "{minutes} minutes: {taken:?}");
        }
        assert_eq!(names_in(dir.path()), ["mary"]);
    }

    #[allow(clippy::disallowed_methods)]
    fn aged(path: &Path, minutes: u64) {
        let then = std::time::SystemTime::now() - Duration::from_secs(minutes * 60);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn the_lock_of_a_killed_run_on_this_system_is_taken_away_at_once_and_of_another_system_never() {
        let (_dir, path) = mailbox();
        let mut child = Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let lock = SpoolLock::acquire(&path, Purpose::Rewrite, &at_once()).unwrap();
        let ours = std::fs::read_to_string(name(&path)).unwrap();
        drop(lock);
        let killed = ours.replace(&std::process::id().to_string(), &dead.to_string());
        std::fs::write(name(&path), &killed).unwrap();
        SpoolLock::acquire(&path, Purpose::Rewrite, &at_once()).unwrap();
        let elsewhere = killed.replace("-pid", "-other-pid");
        assert_ne!(elsewhere, killed);
        std::fs::write(name(&path), elsewhere).unwrap();
        let by = held(Purpose::Rewrite, &path);
        assert!(by.contains(&format!("process {dead} on")), "{by}");
    }

    #[test]
    fn a_lock_that_another_took_away_is_noticed_and_theirs_is_left() {
        let (_dir, path) = mailbox();
        let lock = SpoolLock::acquire(&path, Purpose::Rewrite, &at_once()).unwrap();
        std::fs::remove_file(name(&path)).unwrap();
        std::fs::write(name(&path), "0").unwrap();
        assert!(matches!(lock.verify(), Err(PathError::LockLost { .. })));
        drop(lock);
        assert!(name(&path).exists());
    }

    #[test]
    fn a_mailbox_replaced_under_the_lock_is_noticed() {
        let (dir, path) = mailbox();
        let lock = SpoolLock::acquire(&path, Purpose::Rewrite, &at_once()).unwrap();
        std::fs::write(dir.path().join("other"), "From y\n").unwrap();
        std::fs::rename(dir.path().join("other"), &path).unwrap();
        assert!(matches!(lock.verify(), Err(PathError::LockLost { .. })));
    }

    #[test]
    fn both_names_of_a_symbolic_link_are_locked() {
        let (dir, path) = mailbox();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let lock = SpoolLock::acquire(&link, Purpose::Rewrite, &at_once()).unwrap();
        assert_eq!(names_in(dir.path()), ["link", "link.lock", "mary", "mary.lock"]);
        drop(lock);
        assert_eq!(names_in(dir.path()), ["link", "mary"]);
    }

    #[test]
    fn who_waits_is_told_whom_for_and_may_give_up() {
        let (_dir, path) = mailbox();
        let mut other = Command::new("python3");
        let script = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f,fcntl.LOCK_EX); print('locked',flush=True); sys.stdin.read()";
        other.args(["-c", script]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut other) = other.spawn() else { return println!("SKIPPED: no python3") };
        let mut said = [0; 7];
        io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut said).unwrap();
        let by = held(Purpose::Read, &path);
        assert!(by.contains(&format!("process {} (python", other.id())), "{by}");
        let tries = Cell::new(0);
        let given_up = || tries.replace(tries.get() + 1) == 3;
        let patience = Patience { given_up: &given_up, ..Patience::usual() };
        let ended = SpoolLock::acquire(&path, Purpose::Read, &patience);
        assert!(matches!(ended, Err(PathError::GivenUp)), "{ended:?}");
        drop(other.stdin.take());
        other.wait().unwrap();
    }

    #[test]
    fn what_is_no_mailbox_is_told_apart() {
        let (dir, path) = mailbox();
        let ask =
            |name: &str| SpoolLock::acquire(&dir.path().join(name), Purpose::Read, &at_once()).unwrap_err();
        assert!(matches!(ask("none-yet"), PathError::Missing { .. }));
        assert!(matches!(ask("no/folder"), PathError::NoMailbox { .. }));
        assert!(matches!(ask("mary/box"), PathError::NoMailbox { .. }));
        assert!(matches!(ask(""), PathError::NotAFile { .. }));
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        assert!(matches!(ask("loop"), PathError::NotAFile { .. }));
        nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(ask("pipe"), PathError::NotAFile { .. }));
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        assert!(matches!(ask("socket"), PathError::NotAFile { .. }));
        drop(path);
    }
}
