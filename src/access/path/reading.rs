//! An mbox read where it stands: what is in it, and its bytes. All of this blocks, and runs on a thread
//! that [`asking`](super::asking) watches.
//!
//! A survey locks the file, looks at its size, and so sees whole messages only. Then the dotlock goes,
//! and a little later the lock on the file: bytes that were there are not changed by mail that comes
//! in, and a program that rewrites them is found out by the digest.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::asking::Teller;
use super::error::{At, PathError};
use super::lock::{Patience, Purpose, SpoolLock, now};
use crate::access::Keep;
use crate::access::index::Entry;
use crate::mailbox::mbox::{Boundaries, Splitter};
use crate::mailbox::message::raw_fields;

/// What a survey finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) size: u64,
    /// SHA-256 in hexadecimal of as many first bytes as asked for, where there are so many.
    pub(super) digests: Vec<Option<String>>,
    /// It is being written to, by a program that does not lock.
    pub(super) restless: bool,
}

/// Looks at an mbox. `None` if there is no mail.
pub(super) fn survey<T>(
    path: &Path,
    lengths: &[u64],
    teller: &Teller<T>,
) -> Result<Option<Found>, PathError> {
    let restless = is_restless(path, teller)?;
    steadily(path, || {
        let mut reading = match Reading::open(path, teller) {
            Err(PathError::Missing { .. }) => return Ok(None),
            other => other?,
        };
        let size = reading.size;
        if size == 0 {
            return Ok(None);
        }
        let mut digesting = Digesting::new(lengths);
        let longest = lengths.iter().copied().filter(|length| *length <= size).max().unwrap_or(0);
        reading.each_piece(0, longest, teller, &mut |_, piece| {
            digesting.update(piece);
            Ok(())
        })?;
        Ok(Some(Found { size, digests: digesting.finish(), restless }))
    })
}

/// Gives the bytes `from..size` to `each`, fewer if the file has become shorter.
pub(super) fn carry<T>(path: &Path, from: u64, size: u64, teller: &Teller<T>) -> Result<(), PathError> {
    let mut at = from;
    steadily(path, || {
        let mut reading = match Reading::open(path, teller) {
            Err(PathError::Missing { .. }) => return Ok(()), // the proof that comes next says so too
            other => other?,
        };
        let to = size.min(reading.size);
        reading.each_piece(at, to, teller, &mut |offset, piece| {
            teller.bytes(offset, piece.to_vec())?;
            at = offset + piece.len() as u64;
            Ok(())
        })
    })
}

/// The messages in the first `size` bytes.
pub(super) fn index<T>(path: &Path, size: u64, teller: &Teller<T>) -> Result<Vec<Entry>, PathError> {
    steadily(path, || {
        let mut reading = Reading::open(path, teller)?;
        let mut splitter = Splitter::new(0);
        let mut found: Vec<Boundaries> = Vec::new();
        let not_mbox = |cause| PathError::NotAnMbox { path: path.to_owned(), cause };
        let to = size.min(reading.size);
        reading.each_piece(0, to, teller, &mut |_, piece| {
            splitter.push(piece).map_err(not_mbox)?;
            found.extend(std::iter::from_fn(|| splitter.next_message()));
            Ok(())
        })?;
        splitter.finish().map_err(not_mbox)?;
        found.extend(std::iter::from_fn(|| splitter.next_message()));
        let mut entries = Vec::with_capacity(found.len());
        for (index, message) in found.iter().enumerate() {
            teller.alive()?;
            let mut head = vec![0; (message.end - message.header).min(HEAD_MAX) as usize];
            let read = read_full(reading.lock.file(), &mut head, message.header).at("read", path)?;
            entries.push(entry(index, message.start, message.next - message.start, &head[..read]));
        }
        Ok(entries)
    })
}

/// What a list says of a message with this header.
pub(super) fn entry(index: usize, offset: u64, length: u64, head: &[u8]) -> Entry {
    let [from, date, subject] = raw_fields(head, ["From", "Date", "Subject"]);
    Entry { number: index as u64 + 1, offset, length, from, date, subject }
}

/// Does `job` again where the file has become stale (NFS) since it was opened.
pub(super) fn steadily<T>(
    path: &Path,
    mut job: impl FnMut() -> Result<T, PathError>,
) -> Result<T, PathError> {
    for _ in 0..OPEN_TRIES {
        match job() {
            Err(error) if error.is_stale() => {}
            other => return other,
        }
    }
    Err(PathError::Unsteady { path: path.to_owned(), tries: OPEN_TRIES })
}

/// SHA-256 at several lengths, in one pass.
pub(super) struct Digesting {
    lengths: Vec<u64>,
    digests: Vec<Option<String>>,
    running: Sha256,
    at: u64,
}

impl Digesting {
    pub(super) fn new(lengths: &[u64]) -> Self {
        let mut new = Self {
            lengths: lengths.to_vec(),
            digests: vec![None; lengths.len()],
            running: Sha256::new(),
            at: 0,
        };
        new.note();
        new
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let behind = |length: &&u64| **length > self.at;
            let Some(next) = self.lengths.iter().filter(behind).min() else { return };
            let (now, later) = bytes.split_at(bytes.len().min((next - self.at).min(1 << 30) as usize));
            self.running.update(now);
            self.at += now.len() as u64;
            self.note();
            bytes = later;
        }
    }

    fn note(&mut self) {
        for (length, digest) in self.lengths.iter().zip(&mut self.digests) {
            if *length == self.at {
                *digest = Some(HEXLOWER.encode(&self.running.clone().finalize()));
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Option<String>> {
        self.digests
    }
}

/// An mbox open for reading.
struct Reading<'p> {
    path: &'p Path,
    lock: SpoolLock,
    /// When it was locked; `None` once others may write.
    locked: Option<Instant>,
    /// While nobody could write to it.
    size: u64,
    /// When it was read and written last, before us.
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
}

impl<'p> Reading<'p> {
    fn open<T>(path: &'p Path, teller: &Teller<T>) -> Result<Self, PathError> {
        let patience = Patience {
            given_up: &|| teller.given_up(),
            waiting: &|by| teller.waiting(by),
            ..Patience::usual()
        };
        let mut lock = SpoolLock::acquire(path, Purpose::Read, &patience)?;
        let found = lock.file().metadata().at("look at", path)?;
        lock.release_dotlocks();
        Ok(Self {
            path,
            lock,
            locked: Some(now()),
            size: found.len(),
            accessed: found.accessed().ok(),
            modified: found.modified().ok(),
        })
    }

    /// Gives the bytes `from..to` to `each`, fewer if the file ends before.
    fn each_piece<T>(
        &mut self,
        from: u64,
        to: u64,
        teller: &Teller<T>,
        each: &mut Keep<'_, PathError>,
    ) -> Result<(), PathError> {
        let mut buffer = vec![0; to.saturating_sub(from).min(PIECE) as usize];
        let mut at = from;
        while at < to {
            let want = (to - at).min(PIECE) as usize;
            let read = read_full(self.lock.file(), &mut buffer[..want], at).at("read", self.path)?;
            if read == 0 {
                break; // cut off meanwhile
            }
            each(at, &buffer[..read])?;
            at += read as u64;
            teller.alive()?;
            if self.locked.is_some_and(|since| since.elapsed() > HOLD_MAX) {
                self.lock.let_others_write();
                self.locked = None;
            }
        }
        Ok(())
    }
}

impl Drop for Reading<'_> {
    /// The shell tells "you have new mail" by a file that was written after it was read. Where it could
    /// not be opened without leaving a trace, the time of the last reading is set back, as Mutt does.
    fn drop(&mut self) {
        let file = self.lock.file();
        let now = file.metadata().and_then(|found| found.accessed()).ok();
        if let (Some(before), true) = (self.accessed, now != self.accessed && self.accessed <= self.modified)
        {
            let _ = file.set_times(FileTimes::new().set_accessed(before)); // only its owner may
        }
    }
}

/// Not all programs lock. One that writes a message slowly leaves a file that was written just now and
/// ends anywhere: so a fresh one is looked at again, until it has been at rest for a while. By its own
/// date, or, where that lies in the future, by what is seen of it.
fn is_restless<T>(path: &Path, teller: &Teller<T>) -> Result<bool, PathError> {
    let begun = now();
    let mut seen = None;
    loop {
        let Ok(found) = std::fs::metadata(path) else { return Ok(false) }; // told by whoever opens it
        let Ok(modified) = found.modified() else { return Ok(false) };
        #[allow(clippy::disallowed_methods)] // a file's age
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        let is = (found.len(), modified);
        let since = match seen {
            Some((was, since)) if was == is => since,
            Some(_) | None => seen.insert((is, now())).1,
        };
        let age = age.max(since.elapsed());
        if found.len() == 0 || !found.is_file() || age >= REST {
            return Ok(false);
        }
        if begun.elapsed() >= RESTLESS_MAX {
            return Ok(true);
        }
        teller.alive()?;
        #[allow(clippy::disallowed_methods)] // whoever writes does so in the world's time
        std::thread::sleep((REST - age).clamp(LOOK_LEAST, LOOK_MOST));
    }
}

/// Reads as much as there is, even where a read brings less.
pub(super) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes read at once: few enough for a slow mount to bring them before it is taken for a dead one.
const PIECE: u64 = 64 * 1024;
/// Bytes of a message in which its header is looked for.
pub(super) const HEAD_MAX: u64 = 64 * 1024;
/// How often a file that becomes stale is opened.
const OPEN_TRIES: u32 = 5;
/// Others are kept from writing no longer than this, however long reading takes.
const HOLD_MAX: Duration = Duration::from_secs(10);
/// A file untouched for this long is at rest. A clock of the server's that is behind ours by more
/// makes every file look so.
const REST: Duration = Duration::from_secs(2);
/// A file that is never at rest is taken as it is, its last message left for the next time.
const RESTLESS_MAX: Duration = Duration::from_secs(8);
/// Between two looks at a file.
const LOOK_LEAST: Duration = Duration::from_millis(20);
const LOOK_MOST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_becomes_stale_is_opened_again_a_bounded_number_of_times() {
        let stale =
            || PathError::io("read", Path::new("box"), io::Error::from_raw_os_error(nix::libc::ESTALE));
        let mut left = 2;
        let read = steadily(Path::new("box"), || {
            left -= 1;
            if left >= 0 { Err(stale()) } else { Ok("read") }
        });
        assert_eq!(read.unwrap(), "read");
        let mut tries = 0;
        let never: Result<(), _> = steadily(Path::new("box"), || {
            tries += 1;
            Err(stale())
        });
        assert!(matches!(never, Err(PathError::Unsteady { tries: OPEN_TRIES, .. })));
        assert_eq!(tries, OPEN_TRIES);
        let other: Result<(), _> = steadily(Path::new("box"), || Err(PathError::GivenUp));
        assert!(matches!(other, Err(PathError::GivenUp)));
    }

    #[test]
    fn digests_at_several_lengths_are_those_of_the_first_bytes_however_they_come() {
        let text = b"From mary\n\nhello";
        let lengths = [5, 0, 16, 9, 17, 5];
        for size in 1..=text.len() {
            let mut digesting = Digesting::new(&lengths);
            text.chunks(size).for_each(|piece| digesting.update(piece));
            let expected = lengths.map(|length| {
                text.get(..length as usize).map(|first| HEXLOWER.encode(&Sha256::digest(first)))
            });
            assert_eq!(digesting.finish(), expected, "pieces of {size}");
        }
    }
}
