//! UUCP lock files: the lock on a port that getty, minicom, pppd and C-Kermit know too.
//!
//! A lock is a file `LCK..ttyUSB0` in the system's lock directory, which holds our process number as
//! text. It is made whole beside its place and linked into it, so nobody ever reads half of one. A
//! lock whose process has ended is taken over. Whoever calls [`PortLock::acquire`] holds the device's
//! flock already, and releases the lock before it: so two of us never work on one lock file.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc;
use nix::sys::stat::{major, minor};
use nix::unistd::{AccessFlags, Uid, faccessat};

use super::holder::{HeldBy, Holder, by_the_kernel, command_of, is_alive, own_pid};

/// The lock files on one port. Dropping it removes them.
#[derive(Debug, Default)]
pub struct PortLock {
    files: Vec<OwnFile>,
    warnings: Vec<String>,
}

impl PortLock {
    /// Locks `device` in `dir`, or in the system's lock directory; the error says who has it.
    ///
    /// A directory in which nothing can be made is a warning: the flock still keeps out whoever knows it.
    pub fn acquire(device: &Path, dir: Option<&Path>) -> Result<Self, Holder> {
        let mut lock = Self::default();
        let Some(dir) = dir.map(PathBuf::from).or_else(system_dir) else {
            lock.warnings.push(format!("there is no lock directory ({})", SYSTEM_DIRS.join(", ")));
            return Ok(lock);
        };
        let names = LockNames::of(device);
        if let Some(holder) = names.holder(&dir) {
            return Err(holder);
        }
        for name in &names.own {
            if !lock.take(&dir, name)? {
                break;
            }
        }
        Ok(lock)
    }

    /// What the user should know: a lock taken over, a directory that is not writable.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Makes one lock file; false when none can be made, which is warned of.
    fn take(&mut self, dir: &Path, name: &str) -> Result<bool, Holder> {
        let path = dir.join(name);
        for _ in 0..TRIES_MAX {
            match OwnFile::make(dir, &path) {
                Ok(file) => {
                    self.files.push(file);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let warning = format!("no lock file {}: {error}", path.display());
                    self.warnings.push(warning);
                    return Ok(false);
                }
            }
            let (stale, named) = match look(&path) {
                Look::Free => continue, // gone since
                Look::Held(holder) => return Err(holder),
                Look::Stale(stale, named) => (stale, named),
            };
            let left = format!("the stale lock {} of {named}", path.display());
            match stale.remove_from(&path) {
                Ok(true) => self.warnings.push(format!("took over {left}")),
                Ok(false) => {} // another has taken it over before us: look again
                Err(error) => {
                    self.warnings.push(format!("cannot remove {left}: {error}"));
                    return Ok(false);
                }
            }
        }
        Err(Holder::nameless(path)) // it came back as often as it went
    }
}

/// A port's lock directory, and what a dead process left there: found by looking only.
#[derive(Debug)]
pub struct LockPlace {
    /// The directory.
    pub dir: PathBuf,
    /// Why no lock file can be made there.
    pub refused: Option<io::Error>,
    /// Lock files on this port whose process has ended.
    pub stale: Vec<StaleLock>,
}

/// A lock file whose process has ended.
#[derive(Debug)]
pub struct StaleLock {
    /// The file.
    pub path: PathBuf,
    /// The process that made it, as the file has it: `process 1234 (minicom)`.
    pub made_by: String,
    /// Whether we may remove it.
    pub removable: bool,
}

impl LockPlace {
    /// The place for `device`: `dir`, or the system's lock directory; `None` if there is none.
    pub fn look(device: &Path, dir: Option<&Path>) -> Option<Self> {
        let dir = dir.map(PathBuf::from).or_else(system_dir)?;
        let access = AccessFlags::W_OK | AccessFlags::X_OK;
        let writable = faccessat(AT_FDCWD, &dir, access, AtFlags::AT_EACCESS);
        let found = fs::metadata(&dir).and_then(|found| match found.is_dir() {
            true => writable.map(|()| found).map_err(io::Error::from),
            false => Err(io::ErrorKind::NotADirectory.into()),
        });
        let names = LockNames::of(device);
        let paths = names.own.iter().chain(&names.others).map(|name| dir.join(name));
        let stale = paths.filter_map(|path| match look(&path) {
            Look::Stale(_, named) => {
                let removable = found.as_ref().is_ok_and(|dir| may_remove(dir, &path));
                Some(StaleLock { made_by: named.to_string(), removable, path })
            }
            Look::Free | Look::Held(_) => None,
        });
        Some(Self { stale: stale.collect(), refused: found.err(), dir })
    }
}

/// In a directory with the sticky bit a file is removed by its owner, the directory's, or root (unlink(2)).
fn may_remove(dir: &fs::Metadata, path: &Path) -> bool {
    let us = Uid::effective().as_raw();
    let owner = fs::symlink_metadata(path).map_or(us, |found| found.uid());
    dir.mode() & STICKY == 0 || us == 0 || us == owner || us == dir.uid()
}

/// Who has `device` now, as far as we may know. Takes nothing, and opens nothing.
pub fn holder_of(device: &Path) -> Option<Holder> {
    holder_in(device, None)
}

/// The same, with lock files in `dir` instead of the system's lock directory.
pub fn holder_in(device: &Path, dir: Option<&Path>) -> Option<Holder> {
    let dir = dir.map(PathBuf::from).or_else(system_dir);
    dir.and_then(|dir| LockNames::of(device).holder(&dir)).or_else(|| by_the_kernel(device))
}

/// The lock files that stand for one device.
#[derive(Debug, PartialEq, Eq)]
struct LockNames {
    /// Those that we make.
    own: Vec<String>,
    /// Those that others make; they are heeded.
    others: Vec<String>,
}

impl LockNames {
    fn of(device: &Path) -> Self {
        let target = fs::canonicalize(device).unwrap_or_else(|_| device.into());
        let folder = device.parent().and_then(|folder| fs::canonicalize(folder).ok());
        let place = folder.zip(device.file_name()).map(|(folder, name)| folder.join(name));
        let mut names = Self::from_paths(place.as_deref().unwrap_or(device), &target);
        if let Ok(node) = fs::metadata(&target) {
            names.others.push(numbered_name(node.dev(), node.rdev()));
        }
        names
    }

    /// `device` is where the user's path leads before its last link is followed, `target` after.
    fn from_paths(device: &Path, target: &Path) -> Self {
        let mut names = Self { own: Vec::new(), others: Vec::new() };
        // A link counts by its own name only among the devices: any folder may have a link `modem`.
        for path in [Some(target), Some(device).filter(|link| link.starts_with(DEVICES))] {
            let Some(path) = path else { continue };
            let name = lock_name(path.file_name().unwrap_or(path.as_os_str()));
            if !names.own.contains(&name) {
                names.own.push(name);
            }
            // pppd and picocom write the whole path below /dev: LCK..pts_3.
            if let Ok(below) = path.strip_prefix(DEVICES) {
                names.others.push(lock_name(below.as_os_str()));
            }
        }
        names.others.retain(|name| !names.own.contains(name));
        names
    }

    fn holder(&self, dir: &Path) -> Option<Holder> {
        let looks = self.own.iter().chain(&self.others).map(|name| look(&dir.join(name)));
        looks.into_iter().find_map(|look| match look {
            Look::Held(holder) => Some(holder),
            Look::Free | Look::Stale(..) => None,
        })
    }
}

/// `LCK..ttyUSB0`.
fn lock_name(device: &OsStr) -> String {
    format!("LCK..{}", device.to_string_lossy().replace('/', "_"))
}

/// The form of System V release 4: the file system's major number, then the device's numbers.
fn numbered_name(dev: u64, rdev: u64) -> String {
    format!("LK.{:03}.{:03}.{:03}", major(dev), major(rdev), minor(rdev))
}

/// The first lock directory that this system has.
fn system_dir() -> Option<PathBuf> {
    SYSTEM_DIRS.iter().map(PathBuf::from).find(|dir| dir.is_dir())
}

/// What stands in a lock file's place.
enum Look {
    Free,
    Held(Holder),
    /// Left by a process that has ended.
    Stale(FoundFile, Named),
}

fn look(path: &Path) -> Look {
    let found = match FoundFile::read(path) {
        Ok(Some(found)) => found,
        Ok(None) => return Look::Free,
        Err(_) => return Look::Held(Holder::nameless(path.into())),
    };
    let Some(named) = Named::parse(&found.bytes) else { return Look::Held(Holder::nameless(path.into())) };
    // Our own number in a file that we did not make is a dead process's: numbers are used again. (We
    // made none yet: the flock keeps a second line of this process off the same device.)
    if named.pid == own_pid() || !is_alive(named.pid) {
        return Look::Stale(found, named);
    }
    let command = command_of(named.pid).or(named.program);
    Look::Held(Holder { pid: Some(named.pid), command, by: HeldBy::LockFile(path.into()) })
}

/// A lock file as it was read.
#[derive(Debug, PartialEq, Eq)]
struct FoundFile {
    dev: u64,
    ino: u64,
    bytes: Vec<u8>,
}

impl FoundFile {
    /// `None` when there is none. Anything but a plain file is an error: lock directories are often
    /// open to everybody, and a link or a FIFO there is somebody's trap.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // What is wrong is the directory, and that is said when our own file cannot be made there.
            Err(_) if fs::symlink_metadata(path).is_err() => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("not a plain file"));
        }
        let mut bytes = Vec::new();
        file.take(LOCK_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(Self { dev: found.dev(), ino: found.ino(), bytes }))
    }

    /// Removes the file if it still is the one that was read; false when it is not.
    fn remove_from(&self, path: &Path) -> io::Result<bool> {
        if Self::read(path)?.as_ref() != Some(self) {
            return Ok(false);
        }
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Who made a lock, as its text says.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    pid: i32,
    program: Option<String>,
}

impl Named {
    /// Reads any form in use: `"      1234\n"` (HDB UUCP), the same without padding or newline or with
    /// a program's and a user's name behind it, and the four bytes of a native int (UUCP version 2).
    fn parse(bytes: &[u8]) -> Option<Self> {
        if let Some(named) = std::str::from_utf8(bytes).ok().and_then(Self::parse_text) {
            return Some(named);
        }
        // Text comes first: as an int its four bytes would be far above any process number.
        let pid = i32::from_ne_bytes(bytes.try_into().ok()?);
        (1..=PID_MAX).contains(&pid).then_some(Self { pid, program: None })
    }

    fn parse_text(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.trim_end_matches('\0');
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None; // `parse` would take a sign
        }
        let pid = number.parse().ok().filter(|&pid| pid > 0)?;
        let program = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_graphic()));
        Some(Self { pid, program: program.map(str::to_owned) })
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.program {
            Some(program) => write!(f, "process {} ({program})", self.pid),
            None => write!(f, "process {}", self.pid),
        }
    }
}

/// A lock file that we made.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    made: FoundFile,
}

impl OwnFile {
    /// `AlreadyExists` when something stands in its place.
    fn make(dir: &Path, path: &Path) -> io::Result<Self> {
        let (beside, mut file) = temporary_file(dir)?;
        let bytes = format!("{:10}\n", own_pid()).into_bytes();
        let made = file
            .write_all(&bytes)
            // Whatever our umask: a lock that others cannot read would stand for ever.
            .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
            .and_then(|()| file.metadata())
            .and_then(|made| fs::hard_link(&beside, path).map(|()| made));
        let _ = fs::remove_file(&beside); // it was ours alone
        let made = made?;
        Ok(Self { path: path.into(), made: FoundFile { dev: made.dev(), ino: made.ino(), bytes } })
    }
}

impl Drop for OwnFile {
    /// What another program has put in its place stays.
    fn drop(&mut self) {
        let _ = self.made.remove_from(&self.path);
    }
}

/// A new file in `dir` under a name that nobody else uses.
fn temporary_file(dir: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..TRIES_MAX {
        let path = dir.join(format!("LTMP.{}.{}", own_pid(), COUNT.fetch_add(1, Ordering::Relaxed)));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            // A process of our number was killed in this very moment of its life.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("its temporary names are all taken"))
}

/// Where lock files are kept, by system and by age.
const SYSTEM_DIRS: [&str; 4] = ["/var/lock", "/run/lock", "/var/spool/lock", "/var/spool/uucp"];
const DEVICES: &str = "/dev";
/// The sticky bit of a directory's mode (S_ISVTX).
const STICKY: u32 = 0o1000;
/// How often a lock that comes and goes is tried.
const TRIES_MAX: u32 = 5;
/// Bytes of a lock file that are read.
const LOCK_BYTES_MAX: u64 = 256;
/// The largest process number that Linux gives (`PID_MAX_LIMIT`).
const PID_MAX: i32 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_process_number_is_read() {
        let cases: &[(&[u8], i32, Option<&str>)] = &[
            (b"      1234\n", 1234, None),
            (b"1234", 1234, None),
            (b"1234\n", 1234, None),
            (b"123\n", 123, None), // four bytes, and text all the same
            (b"1234\0", 1234, None),
            (b"      1234 minicom mary\n", 1234, Some("minicom")),
            (b"1234 \x1b[2J mary\n", 1234, None),
            (&1234_i32.to_ne_bytes(), 1234, None),
            (&PID_MAX.to_ne_bytes(), PID_MAX, None),
        ];
        for (bytes, pid, program) in cases {
            let named = Named::parse(bytes).unwrap_or_else(|| panic!("{}", bytes.escape_ascii()));
            assert_eq!((named.pid, named.program.as_deref()), (*pid, *program), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_names_no_process_is_no_number() {
        let zero = 0_i32.to_ne_bytes();
        let negative = (-1_i32).to_ne_bytes();
        let beyond = (PID_MAX + 1).to_ne_bytes();
        let cases: [&[u8]; 12] = [
            b"",
            b"\n",
            b"          ",
            b"0\n",
            b"-1\n",
            b"+1\n",
            b"99999999999\n",
            b"12x4\n",
            b"minicom\n",
            &zero,
            &negative,
            &beyond,
        ];
        for bytes in cases {
            assert_eq!(Named::parse(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_link_counts_by_its_own_name_only_among_the_devices() {
        let names = |device: &str, target: &str| {
            let names = LockNames::from_paths(Path::new(device), Path::new(target));
            (names.own.join(" "), names.others.join(" "))
        };
        let is = |own: &str, others: &str| (own.to_owned(), others.to_owned());
        assert_eq!(names("/dev/ttyS0", "/dev/ttyS0"), is("LCK..ttyS0", ""));
        assert_eq!(names("/dev/modem", "/dev/ttyUSB0"), is("LCK..ttyUSB0 LCK..modem", ""));
        assert_eq!(
            names("/dev/serial/by-id/usb-A", "/dev/ttyUSB0"),
            is("LCK..ttyUSB0 LCK..usb-A", "LCK..serial_by-id_usb-A")
        );
        assert_eq!(names("/tmp/x/modem", "/dev/pts/3"), is("LCK..3", "LCK..pts_3"));
        assert_eq!(names("/devious/modem", "/dev/pts/3"), is("LCK..3", "LCK..pts_3"));
    }

    #[test]
    fn the_numbered_form_is_that_of_system_v() {
        use nix::sys::stat::makedev;
        assert_eq!(numbered_name(makedev(0, 6), makedev(4, 64)), "LK.000.004.064");
        assert_eq!(numbered_name(makedev(8, 1), makedev(188, 0)), "LK.008.188.000");
    }

    #[test]
    fn a_lock_file_that_is_a_link_a_folder_or_a_fifo_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::os::unix::fs::symlink("/nowhere", path("LCK..link")).unwrap();
        fs::create_dir(path("LCK..folder")).unwrap();
        nix::unistd::mkfifo(&path("LCK..fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["LCK..link", "LCK..folder", "LCK..fifo"] {
            match look(&path(name)) {
                Look::Held(holder) => assert_eq!(holder, Holder::nameless(path(name))),
                Look::Free | Look::Stale(..) => panic!("{name}"),
            }
        }
    }

    #[test]
    fn a_lock_directory_that_is_none_is_a_warning_and_no_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for dir in [file.path(), Path::new("/nowhere/at/all")] {
            let lock = PortLock::acquire(Path::new("/dev/ttyS99"), Some(dir)).expect("nobody has it");
            let warned = lock.warnings().join(" ");
            assert!(warned.contains("no lock file") && warned.contains("LCK..ttyS99"), "{warned}");
        }
    }

    #[test]
    fn a_look_names_what_a_dead_process_left_and_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (dead, living) = (dir.path().join("LCK..ttyS98"), dir.path().join("LCK..ttyS99"));
        fs::write(&dead, format!("{:10} minicom mary\n", child.id())).unwrap();
        fs::write(&living, "         1\n").unwrap(); // init, whoever we are
        let place = LockPlace::look(Path::new("/dev/ttyS98"), Some(dir.path())).unwrap();
        assert!(place.refused.is_none());
        let [left] = &place.stale[..] else { panic!("{place:?}") };
        assert!(left.removable && left.path == dead, "{left:?}");
        assert_eq!(left.made_by, format!("process {} (minicom)", child.id()));
        assert!(dead.exists());
        assert!(LockPlace::look(Path::new("/dev/ttyS99"), Some(dir.path())).unwrap().stale.is_empty());
        for none in [dead.as_path(), Path::new("/nowhere/at/all")] {
            assert!(LockPlace::look(Path::new("/dev/ttyS98"), Some(none)).unwrap().refused.is_some());
        }
    }

    #[test]
    fn a_stale_lock_that_changed_since_it_was_read_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LCK..ttyS9");
        fs::write(&path, "      1234\n").unwrap();
        let found = FoundFile::read(&path).unwrap().unwrap();
        fs::write(&path, "      1235\n").unwrap(); // the same inode
        assert!(!found.remove_from(&path).unwrap());
        let found = FoundFile::read(&path).unwrap().unwrap();
        fs::write(dir.path().join("new"), "      1235\n").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap(); // the same content
        assert!(!found.remove_from(&path).unwrap());
        assert!(path.exists());
        let found = FoundFile::read(&path).unwrap().unwrap();
        assert!(found.remove_from(&path).unwrap());
        assert!(!found.remove_from(&path).unwrap(), "there is none any more");
    }
}
