//! A local mbox that mail is appended to, under the locks that other mail programs respect.
//!
//! Debian's writers take fcntl and then a dotlock, others the other way round: so whoever holds one
//! never waits for the second, but lets go and begins again, a bounded number of times.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::mailbox::identity::{MessageDigest, MessageId};
use crate::mailbox::mbox::{Boundaries, Splitter};

use super::disk::{self, Access, Disk, DiskFile, Kind, Lock};
use super::error::{DiskContext, StoreError};
use super::record::Tail;

/// An mbox that we hold locked. Dropping it lets go.
pub(super) struct LockedMbox<'a> {
    disk: &'a dyn Disk,
    pub(super) path: &'a Path,
    pub(super) file: Box<dyn DiskFile>,
    dotlock: Option<PathBuf>,
}

/// Who locks, and when: for dotlocks and their age.
#[derive(Clone, Copy)]
pub(super) struct Locker<'a> {
    /// This ledger's own word. It is locked by itself, so a dotlock with the word is a dead run's.
    pub(super) birth: &'a str,
    pub(super) now: SystemTime,
}

/// Takes bytes piece by piece.
pub(super) type Each<'a> = dyn FnMut(&[u8]) -> Result<(), StoreError> + 'a;

/// What stands behind a recorded length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// All that was to be appended (and perhaps other mail).
    Whole,
    /// A beginning of it, or zeros where the disk had not come to it, and nothing else.
    Torn,
    /// Something else.
    Foreign,
}

/// Refuses a path that no mbox can be at, before anybody dials.
pub(super) fn check(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    let refuse = |why| Err(StoreError::Delivery { path: path.to_owned(), why });
    match disk.kind(path).at("look at", path)? {
        None => Ok(()),
        Some(Kind::Folder) => refuse("it is a folder and no mbox; name a file, or deliver to a Maildir"),
        Some(Kind::Other) => refuse("it is no plain file; name another"),
        Some(Kind::File) => {
            let file = disk.open(path, Access::Edit).at("open", path)?;
            let mut splitter = Splitter::new(0);
            let mut start = vec![0; disk::PIECE];
            let read = file.read_at(&mut start, 0).at("read", path)?;
            match splitter.push(&start[..read]) {
                Ok(()) => Ok(()),
                Err(_) => refuse("it is no mbox, it does not begin with a From_ line; name another file"),
            }
        }
    }
}

/// Removes the locks that a dead run of this ledger left.
pub(super) fn tidy(disk: &dyn Disk, path: &Path, birth: &str) -> Result<(), StoreError> {
    let dotlock = with_suffix(path, ".lock");
    let unique = with_suffix(&dotlock, &format!(".{birth}"));
    for left in [(&dotlock, holds_token(disk, &dotlock, birth)), (&unique, true)] {
        match left {
            (path, true) if disk.kind(path).at("look at", path)?.is_some() => {
                disk::remove_if_there(disk, path)?;
            }
            (_, true | false) => {}
        }
    }
    Ok(())
}

impl<'a> LockedMbox<'a> {
    /// Locks an mbox, made anew if it is missing.
    pub(super) fn lock(disk: &'a dyn Disk, path: &'a Path, locker: Locker) -> Result<Self, StoreError> {
        let mut held = path.to_owned();
        for turn in 0..LOCK_TRIES {
            if turn > 0 {
                disk.pause(LOCK_PAUSE);
            }
            let file = disk::open_or_create(disk, path).at("open", path)?;
            if !file.try_lock(Lock::Fcntl).at("lock", path)? {
                held = path.to_owned();
                continue;
            }
            // A program that rewrites an mbox may have put another file in its place.
            if disk.file_id(path).ok() != Some(file.file_id().at("look at", path)?) {
                continue;
            }
            match take_dotlock(disk, path, locker)? {
                Dotlock::Taken(dotlock) => return Self { disk, path, file, dotlock: Some(dotlock) }.named(),
                Dotlock::Impossible => return Self { disk, path, file, dotlock: None }.named(),
                Dotlock::Held(dotlock) => held = dotlock,
            }
        }
        Err(StoreError::MboxLocked { path: held })
    }

    fn named(self) -> Result<Self, StoreError> {
        disk::sync_names_above(self.disk, self.path)?;
        Ok(self)
    }

    pub(super) fn len(&self) -> Result<u64, StoreError> {
        self.file.size().at("look at", self.path)
    }

    /// Where the next message goes: behind a blank line, if the mail before it is not ours. Ours
    /// (`our_end`) ends as it does on the host, and so goes on, unless that would glue two lines.
    pub(super) fn tail(&self, our_end: Option<u64>, blank_first: bool) -> Result<Tail, StoreError> {
        let len = self.len()?;
        let mut end = Vec::new();
        disk::each_piece(&*self.file, self.path, len.saturating_sub(3), len, &mut |piece| {
            end.extend_from_slice(piece);
            Ok(())
        })?;
        let newlines = if end.is_empty() || end.ends_with(b"\n\n") || end.ends_with(b"\n\r\n") {
            0
        } else if our_end == Some(len) {
            u64::from(!end.ends_with(b"\n") && !blank_first)
        } else if end.ends_with(b"\n") {
            1
        } else {
            2
        };
        Ok(Tail { len, newlines })
    }

    /// Compares what stands behind `tail.len` with what was to be appended there, which `ours` gives
    /// out in pieces.
    pub(super) fn compare(
        &self,
        tail: Tail,
        ours: &mut dyn FnMut(&mut Each) -> Result<(), StoreError>,
    ) -> Result<Behind, StoreError> {
        let end = self.len()?;
        let (mut at, mut same, mut torn) = (tail.len, true, end >= tail.len);
        ours(&mut |piece| {
            let there = (piece.len() as u64).min(end.saturating_sub(at)) as usize;
            same &= there == piece.len();
            let mut rest = &piece[..there];
            disk::each_piece(&*self.file, self.path, at, at + there as u64, &mut |found| {
                let (wanted, later) = rest.split_at(found.len());
                same &= wanted == found;
                torn &= wanted.iter().zip(found).all(|(wanted, found)| wanted == found || *found == 0);
                rest = later;
                Ok(())
            })?;
            at += piece.len() as u64;
            Ok(())
        })?;
        Ok(match (same, torn && end <= at) {
            (true, _) => Behind::Whole,
            (false, true) => Behind::Torn,
            (false, false) => Behind::Foreign,
        })
    }

    /// Cuts off what was appended behind a length.
    pub(super) fn cut(&self, len: u64) -> Result<(), StoreError> {
        self.file.set_len(len).at("repair", self.path)?;
        self.file.sync().at("sync", self.path)
    }
}

impl Drop for LockedMbox<'_> {
    fn drop(&mut self) {
        // Left behind it would hold others up until it is stale; there is nobody to tell here.
        if let Some(dotlock) = &self.dotlock {
            let _ = self.disk.remove(dotlock);
        }
    }
}

/// Goes through the messages of an mbox with their identities; `each` answers false to stop. A file
/// that is no mbox has none.
pub(super) fn each_message(
    file: &dyn DiskFile,
    path: &Path,
    each: &mut dyn FnMut(Boundaries, MessageId) -> bool,
) -> Result<(), StoreError> {
    let mut splitter = Splitter::new(0);
    let mut buffer = vec![0; disk::PIECE];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at).at("read", path)?;
        at += read as u64;
        let split = if read > 0 { splitter.push(&buffer[..read]) } else { splitter.finish() };
        if split.is_err() {
            return Ok(());
        }
        while let Some(message) = splitter.next_message() {
            if !each(message, identity(file, path, message.header, message.end)?) {
                return Ok(());
            }
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// The identity of the message whose content is the file's bytes `from..to`.
pub(super) fn identity(
    file: &dyn DiskFile,
    path: &Path,
    from: u64,
    to: u64,
) -> Result<MessageId, StoreError> {
    let mut digest = MessageDigest::new();
    disk::each_piece(file, path, from, to, &mut |piece| {
        digest.update(piece);
        Ok(())
    })?;
    Ok(digest.finish())
}

enum Dotlock {
    Taken(PathBuf),
    Held(PathBuf),
    /// The folder may not be written: fcntl has to do.
    Impossible,
}

/// Takes `path.lock` by link(), which is one step even over NFS.
fn take_dotlock(disk: &dyn Disk, path: &Path, locker: Locker) -> Result<Dotlock, StoreError> {
    let dotlock = with_suffix(path, ".lock");
    let unique = with_suffix(&dotlock, &format!(".{}", locker.birth));
    disk::remove_if_there(disk, &unique)
        .or_else(|error| if is_denied(&error) { Ok(()) } else { Err(error) })?;
    match write_dotlock(disk, &unique, locker) {
        Err(error) if is_denied(&error) => return Ok(Dotlock::Impossible),
        other => other?,
    }
    let mut taken = link(disk, &unique, &dotlock, locker)?;
    if !taken && is_stale(disk, &dotlock, locker)? {
        disk::remove_if_there(disk, &dotlock)?;
        taken = link(disk, &unique, &dotlock, locker)?;
    }
    disk::remove_if_there(disk, &unique)?;
    Ok(if taken { Dotlock::Taken(dotlock) } else { Dotlock::Held(dotlock) })
}

fn write_dotlock(disk: &dyn Disk, path: &Path, locker: Locker) -> Result<(), StoreError> {
    let file = disk.create(path).at("make the lock", path)?;
    // The pid alone in the first line: what other programs look for.
    let text = format!("{}\n{TOKEN}{}\n", std::process::id(), locker.birth);
    file.write_all_at(text.as_bytes(), 0).at("write the lock", path)?;
    // An empty lock left by a power cut would be nobody's, and hold us up until it is stale.
    file.sync().at("sync", path)
}

fn link(disk: &dyn Disk, unique: &Path, dotlock: &Path, locker: Locker) -> Result<bool, StoreError> {
    match disk.hard_link(unique, dotlock) {
        Ok(()) => Ok(true),
        // NFS may lose the answer to a link that was made (open(2), O_EXCL).
        Err(_) if disk.file_id(unique).ok().is_some_and(|id| disk.file_id(dotlock).ok() == Some(id)) => {
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // No hard links on this file system; making a file anew does notice another's lock.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
        {
            match write_dotlock(disk, dotlock, locker) {
                Ok(()) => Ok(true),
                Err(StoreError::Disk { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists => {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error).at("make the lock", dotlock),
    }
}

/// A dotlock that nobody holds any more: a dead run of this ledger left it, or nobody has touched it
/// for long. The pid in it says nothing: it may be of another machine.
fn is_stale(disk: &dyn Disk, dotlock: &Path, locker: Locker) -> Result<bool, StoreError> {
    if holds_token(disk, dotlock, locker.birth) {
        return Ok(true);
    }
    match disk.modified(dotlock) {
        Ok(modified) => Ok(locker.now.duration_since(modified).is_ok_and(|age| age > DOTLOCK_AGE_MAX)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).at("look at", dotlock),
    }
}

fn holds_token(disk: &dyn Disk, dotlock: &Path, birth: &str) -> bool {
    let mut text = vec![0; DOTLOCK_LEN_MAX];
    let read = disk.open(dotlock, Access::Read).and_then(|file| file.read_at(&mut text, 0)).unwrap_or(0);
    let token = format!("\n{TOKEN}{birth}\n");
    text[..read].windows(token.len()).any(|window| window == token.as_bytes())
}

fn is_denied(error: &StoreError) -> bool {
    matches!(error, StoreError::Disk { cause, .. }
        if matches!(cause.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

const TOKEN: &str = "mailcall ";
/// Tries to lock, [`LOCK_PAUSE`] apart: half a minute in all.
const LOCK_TRIES: u32 = 60;
const LOCK_PAUSE: Duration = Duration::from_millis(500);
/// A dotlock untouched for longer is nobody's. The usual time among mail programs.
const DOTLOCK_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// Bytes of a dotlock that are read.
const DOTLOCK_LEN_MAX: usize = 256;
