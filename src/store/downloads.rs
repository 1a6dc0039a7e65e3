//! Files that come from a host: under a name that can do no harm, never over another file, and whole
//! or not at all under that name.
//!
//! What has come of a file stands in `NAME.mailcall-part`, which only its owner may read; the file gets
//! its name when all of it is there and synced. A part that is left may be gone on with, once somebody
//! has proven that the host's file begins with it.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::libc;

use super::error::{DiskContext, StoreError};

/// What to do where the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The new file is called `NAME.1`, or by the next number that is free.
    Number,
    /// The new file is not kept.
    Refuse,
    /// The new file takes the old one's place.
    Replace,
}

/// A file that is coming.
#[derive(Debug)]
pub struct Download {
    part: File,
    part_path: PathBuf,
    folder: PathBuf,
    name: OsString,
    taken: Taken,
    len: u64,
    /// It has its name, or is left.
    is_settled: bool,
}

/// Whoever was stopped while it came has no use for nothing of it.
impl Drop for Download {
    fn drop(&mut self) {
        if !self.is_settled && self.len == 0 {
            let _ = std::fs::remove_file(&self.part_path);
        }
    }
}

impl Download {
    /// Prepares a file for a folder, which is made if it is not there. `name` is taken as it is: of a
    /// name that a host says, make a [`safe_name`] first.
    pub fn begin(folder: &Path, name: &OsStr, taken: Taken) -> Result<Self, StoreError> {
        make_folder(folder)?;
        // Beside the part of another run only what may get a name beside that run's file.
        let last = if taken == Taken::Number { NUMBER_MAX } else { 0 };
        for number in 0..=last {
            let part_path = folder.join(with_suffix(&numbered(name, number), PART_SUFFIX));
            if let Some(part) = open_part(&part_path)? {
                let len = part.metadata().at("look at", &part_path)?.len();
                return Ok(Self {
                    part,
                    part_path,
                    folder: folder.to_owned(),
                    name: name.to_owned(),
                    taken,
                    len,
                    is_settled: false,
                });
            }
        }
        Err(StoreError::PartLocked { path: folder.join(with_suffix(name, PART_SUFFIX)) })
    }

    /// How many bytes are here.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives the first `length` bytes of what is here, in pieces.
    pub fn each_piece(&self, length: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        each_piece(&self.part, length, each).at("read", &self.part_path)
    }

    /// Forgets what is here behind `offset`.
    pub fn cut_at(&mut self, offset: u64) -> Result<(), StoreError> {
        if offset < self.len {
            self.part.set_len(offset).at("cut", &self.part_path)?;
            self.len = offset;
        }
        Ok(())
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        if offset != self.len {
            return Err(StoreError::WrongOffset { offset, expected: self.len });
        }
        self.part.write_all_at(bytes, offset).at("write to", &self.part_path)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// All is here: gives the file its name, and says which that is. `changed` is when the host's file
    /// was changed last, which is believed if it can be.
    pub fn finish(mut self, changed: Option<u64>, now: SystemTime) -> Result<PathBuf, StoreError> {
        if let Some(changed) = changed.and_then(|seconds| believable(seconds, now)) {
            // A file system without times keeps the file all the same.
            let _ = self.part.set_modified(changed);
        }
        self.part.sync_all().at("sync", &self.part_path)?;
        let path = self.place()?;
        self.is_settled = true;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).at("sync the folder", &self.folder)?;
        Ok(path)
    }

    /// Leaves what is here for another time, and says where it is; nothing is left of nothing.
    pub fn leave(self) -> Option<PathBuf> {
        if self.len == 0 {
            return None; // it is taken away as it is dropped
        }
        let _ = self.part.sync_all(); // it is proven before it is built upon
        Some(self.part_path.clone())
    }

    /// Where it is while it comes.
    pub fn part(&self) -> &Path {
        &self.part_path
    }

    /// Does away with what is here.
    pub fn discard(mut self) -> Result<(), StoreError> {
        self.cut_at(0)?;
        self.leave();
        Ok(())
    }

    fn place(&self) -> Result<PathBuf, StoreError> {
        let last = if self.taken == Taken::Number { NUMBER_MAX } else { 0 };
        for number in 0..=last {
            let path = self.folder.join(numbered(&self.name, number));
            let placed = match self.taken {
                Taken::Replace => std::fs::rename(&self.part_path, &path),
                Taken::Number | Taken::Refuse => self.place_beside(&path),
            };
            match placed {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                placed => return placed.at("make", &path).map(|()| path),
            }
        }
        Err(StoreError::NameTaken { path: self.folder.join(&self.name) })
    }

    /// Under a name that is free, in one step: nothing is ever written over.
    fn place_beside(&self, path: &Path) -> io::Result<()> {
        match std::fs::hard_link(&self.part_path, path) {
            Ok(()) => std::fs::remove_file(&self.part_path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // A file system without links: the name is taken by an empty file of ours first.
            Err(_) => {
                OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
                std::fs::rename(&self.part_path, path)
            }
        }
    }
}

/// Gives the first `length` bytes of a file in pieces.
pub fn each_piece(file: &File, length: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let want = usize::try_from(length - at).map_or(PIECE, |left| left.min(PIECE));
        file.read_exact_at(&mut buffer[..want], at)?;
        each(&buffer[..want]);
        at += want as u64;
    }
    Ok(())
}

/// A name for a file whose name somebody else says: the last part of a path, and nothing in it that
/// steers a terminal, hides the file, looks like an option, or is another file's part.
pub fn safe_name(said: &[u8]) -> OsString {
    let last = said.rsplit(|&byte| byte == b'/').find(|part| !part.is_empty()).unwrap_or_default();
    let mut name: String =
        String::from_utf8_lossy(last).chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    name = name.trim().to_owned();
    if name.starts_with(['.', '-', '~']) {
        name.replace_range(..1, "_");
    }
    if name.len() > NAME_BYTES_MAX {
        // The end says what kind of file it is.
        let extension = name.rfind('.').map(|at| name[at..].to_owned());
        let extension =
            extension.filter(|extension| extension.len() <= EXTENSION_BYTES_MAX).unwrap_or_default();
        let mut end = NAME_BYTES_MAX - extension.len();
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name.push_str(&extension);
    }
    if name.is_empty() {
        name.push_str("file");
    }
    if name.ends_with(PART_SUFFIX) {
        name.push('_');
    }
    OsString::from_vec(name.into_bytes())
}

/// No control character, nothing that reorders or hides text, and no separator of any system.
fn is_safe(c: char) -> bool {
    let hides = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !hides && !matches!(c, '/' | '\\')
}

fn numbered(name: &OsStr, number: u32) -> OsString {
    if number == 0 { name.to_owned() } else { with_suffix(name, &format!(".{number}")) }
}

fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.as_os_str().as_bytes().is_empty() || folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).at("make the folder", folder)
}

/// Opens a part, old or new; `None` if another run has it, or what stands there is nothing of ours.
fn open_part(path: &Path) -> Result<Option<File>, StoreError> {
    let mut options = OpenOptions::new();
    // Neither through a link that somebody put there, nor into a pipe that nobody reads.
    options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO | libc::EISDIR)) => {
            return Ok(None);
        }
        Err(error) => return Err(error).at("make", path),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // A file system without locks.
        Err(TryLockError::Error(_)) => {}
    }
    let found = file.metadata().at("look at", path)?;
    // Between opening and locking the run that had it may have given it its name.
    let is_still_there = std::fs::symlink_metadata(path).is_ok_and(|there| there.ino() == found.ino());
    let is_ours = found.is_file() && found.nlink() == 1 && found.uid() == nix::unistd::geteuid().as_raw();
    Ok((is_ours && is_still_there).then_some(file))
}

/// A time between the first microcomputer and tomorrow.
fn believable(seconds: u64, now: SystemTime) -> Option<SystemTime> {
    let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    (seconds >= EARLIEST && changed <= now + CLOCKS_DIFFER).then_some(changed)
}

/// Behind the name of a file that is not all there.
pub const PART_SUFFIX: &str = ".mailcall-part";
const OWNER_ONLY: u32 = 0o600;
/// Files of one name, beside the first.
const NUMBER_MAX: u32 = 999;
/// Bytes of a name, so that number and part fit into the 255 that file systems have.
const NAME_BYTES_MAX: usize = 200;
/// Bytes of an extension that is kept when a name is cut, with its dot.
const EXTENSION_BYTES_MAX: usize = 16;
/// Bytes read at once.
const PIECE: usize = 65_536;
/// Seconds since 1970: the year 1975.
const EARLIEST: u64 = 157_766_400;
/// What a host's clock may be ahead of ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn put(folder: &Path, name: &str, taken: Taken, content: &[u8]) -> Result<PathBuf, StoreError> {
        let mut download = Download::begin(folder, OsStr::new(name), taken)?;
        download.cut_at(0)?;
        download.append(0, content)?;
        download.finish(Some(1_000_000_000), now())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn names_that_could_do_harm_become_harmless() {
        for (said, safe) in [
            (&b"letter.txt"[..], "letter.txt"),
            (b"/etc/passwd", "passwd"),
            (b"../../.bashrc", "_bashrc"),
            (b"..", "_."),
            (b".", "_"),
            (b"-rf", "_rf"),
            (b"~root", "_root"),
            (b"C:\\x\\y.exe", "C:_x_y.exe"),
            (b"a\x1b]0;pwned\x07b\n", "a_]0;pwned_b_"),
            (b"invoice\xe2\x80\xaefdp.exe", "invoice_fdp.exe"),
            (b"caf\xc3\xa9 au lait", "caf\u{e9} au lait"),
            (b"caf\xe9", "caf_"),
            (b"", "file"),
            (b"///", "file"),
            (b"  ", "file"),
            (b"dir/", "dir"),
            (b"a.mailcall-part", "a.mailcall-part_"),
        ] {
            assert_eq!(safe_name(said), OsStr::new(safe), "{}", said.escape_ascii());
        }
        let long = safe_name(format!("{}.tar.gz", "\u{e9}".repeat(300)).as_bytes());
        assert!(long.len() <= NAME_BYTES_MAX && long.to_string_lossy().ends_with(".gz"), "{long:?}");
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_its_folder(said in prop::collection::vec(any::<u8>(), 0..400)) {
            let name = safe_name(&said);
            let path = Path::new(&name);
            prop_assert_eq!(path.components().count(), 1);
            prop_assert_eq!(path.file_name(), Some(name.as_os_str()));
            prop_assert!(!name.as_bytes().starts_with(b".") && !name.as_bytes().starts_with(b"-"));
            prop_assert!(name.len() <= NAME_BYTES_MAX + 1);
            prop_assert!(!name.to_string_lossy().chars().any(char::is_control));
        }
    }

    #[test]
    fn a_second_file_of_a_name_is_numbered_and_the_first_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = &folder.path().join("made/here");
        for content in [b"one", b"two", b"ten"] {
            put(folder, "a.txt", Taken::Number, content).expect("a file");
        }
        assert_eq!(names(folder), ["a.txt", "a.txt.1", "a.txt.2"]);
        assert_eq!(std::fs::read(folder.join("a.txt")).expect("it"), b"one");
        assert_eq!(std::fs::read(folder.join("a.txt.2")).expect("it"), b"ten");
        let found = std::fs::metadata(folder.join("a.txt")).expect("it");
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(found.mtime(), 1_000_000_000);
    }

    #[test]
    fn a_name_that_is_taken_is_refused_or_replaced_as_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), "a", Taken::Refuse, b"one").expect("a file");
        let refused = put(folder.path(), "a", Taken::Refuse, b"two").expect_err("it is taken");
        assert!(matches!(refused, StoreError::NameTaken { .. }), "{refused}");
        assert_eq!(std::fs::read(folder.path().join("a")).expect("it"), b"one");
        put(folder.path(), "a", Taken::Replace, b"two").expect("a file");
        assert_eq!(std::fs::read(folder.path().join("a")).expect("it"), b"two");
    }

    #[test]
    fn no_link_is_followed_and_no_other_part_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = folder.path().join("victim");
        std::fs::write(&victim, b"dear").expect("a file");
        symlink(&victim, folder.path().join("a.mailcall-part")).expect("a link");
        std::fs::hard_link(&victim, folder.path().join("a.1.mailcall-part")).expect("a link");
        std::fs::create_dir(folder.path().join("a.2.mailcall-part")).expect("a folder");
        symlink(folder.path().join("nowhere"), folder.path().join("a")).expect("a link");
        let held = Download::begin(folder.path(), OsStr::new("a"), Taken::Number).expect("a part");
        let path = put(folder.path(), "a", Taken::Number, b"new").expect("a file");
        assert_eq!(path, folder.path().join("a.1"));
        assert_eq!(std::fs::read(&victim).expect("it"), b"dear");
        assert!(!folder.path().join("nowhere").exists());
        drop(held);
    }

    #[test]
    fn what_is_cut_off_is_left_and_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin = || Download::begin(folder.path(), OsStr::new("a"), Taken::Number).expect("a part");
        let mut download = begin();
        download.append(0, b"half of ").expect("room");
        assert_eq!(download.leave(), Some(folder.path().join("a.mailcall-part")));
        let mut download = begin();
        let mut here = Vec::new();
        download.each_piece(8, &mut |piece| here.extend_from_slice(piece)).expect("it is here");
        assert_eq!(here, b"half of ");
        assert!(download.append(9, b"x").is_err(), "no gap");
        download.append(8, b"it").expect("room");
        let path = download.finish(Some(99_999_999_999), now()).expect("a file");
        assert_eq!(std::fs::read(&path).expect("it"), b"half of it");
        assert!(std::fs::metadata(&path).expect("it").mtime() < 99_999_999_999, "no time of the future");
        assert_eq!(begin().leave(), None);
        assert_eq!(names(folder.path()), ["a"], "nothing is left of nothing");
    }

    #[test]
    fn nothing_is_left_of_nothing_when_it_is_broken_off() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Download::begin(folder.path(), OsStr::new("a"), Taken::Refuse).expect("a part"));
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn two_runs_do_not_bring_one_file_that_only_one_may_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin = |taken| Download::begin(folder.path(), OsStr::new("a"), taken);
        let held = begin(Taken::Refuse).expect("a part");
        for taken in [Taken::Refuse, Taken::Replace] {
            let refused = begin(taken).expect_err("it is coming already");
            assert!(matches!(refused, StoreError::PartLocked { .. }), "{refused}");
        }
        drop((begin(Taken::Number).expect("beside it"), held));
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_full_disk_is_told() {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let mut download = Download {
            part: full,
            part_path: "/dev/full".into(),
            folder: "/dev".into(),
            name: "x".into(),
            taken: Taken::Refuse,
            len: 0,
            is_settled: true,
        };
        let error = download.append(0, b"x").expect_err("no room").to_string();
        assert!(error.contains("free some space"), "{error}");
    }
}
