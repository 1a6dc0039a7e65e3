//! The journal of a removal: what a run that was killed in its middle was doing, for the next run.
//!
//! It lies in the account's own folder, two files: `removal` says what is removed from where and how far
//! it has come, `removal.copy` holds the mailbox's bytes from the first that changes to the end, as they
//! were. The second goes when the mailbox is as it shall be; the first stays until the ledger has
//! written down that the messages are gone. So a removal is never done without a trace of it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::rewrite::RewriteError;
use crate::mailbox::digest::PrefixDigest;
use crate::store::disk::{Access, Disk, DiskFile};

/// What is being removed, and how far it has come.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    pub(super) what: What,
    pub(super) stage: Stage,
    /// Of what was known of the mailbox before.
    pub(super) before: PrefixDigest,
    /// Of what is left of it afterwards.
    pub(super) known: PrefixDigest,
}

/// Where messages are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// From an mbox.
    Mbox {
        mailbox: PathBuf,
        /// How long it was when the copy was taken.
        len: u64,
        /// The messages, ascending. The copy begins where the first of them does.
        ranges: Vec<Range<u64>>,
    },
    /// From a Maildir: these files, by the part of their names that never changes.
    Files { folder: PathBuf, names: Vec<OsString> },
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The mailbox is being written, and is as long as before.
    Writing,
    /// All that stays is in its new place, and blank lines stand behind it: only the end is to be cut off.
    Blanked,
    /// The mailbox is as it shall be.
    Done,
    /// Another program changed the mailbox in between: nobody knows any more.
    GivenUp,
}

/// The files of a journal.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) folder: &'a Path,
}

impl Files<'_> {
    /// The journal that an earlier run left. A damaged one is an error: it was written whole, by one
    /// rename, so somebody else has changed it.
    pub(super) fn find(&self) -> io::Result<Option<Journal>> {
        let path = self.path();
        let file = match self.disk.open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut text = vec![0; usize::try_from(file.size()?).unwrap_or(0).min(JOURNAL_MAX)];
        read_exact_at(&*file, &mut text, 0)?;
        let mut journal =
            Journal::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, DAMAGED))?;
        let is_mbox = matches!(journal.what, What::Mbox { .. });
        if is_mbox && journal.stage != Stage::GivenUp && self.disk.kind(&self.copy())?.is_none() {
            journal.stage = Stage::Done;
        }
        Ok(Some(journal))
    }

    /// Writes the journal in place of any before, in one step.
    pub(super) fn write(&self, journal: &Journal) -> io::Result<()> {
        let new = self.folder.join("removal.new");
        self.remove(&new)?;
        let file = self.disk.create(&new)?;
        file.write_all_at(journal.text().as_bytes(), 0)?;
        file.sync()?;
        self.disk.rename(&new, &self.path())?;
        self.disk.sync_folder(self.folder)
    }

    /// Makes an empty copy, in place of one that no journal speaks of.
    pub(super) fn create_copy(&self) -> io::Result<Box<dyn DiskFile>> {
        self.remove(&self.copy())?;
        self.disk.create(&self.copy())
    }

    pub(super) fn open_copy(&self) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.copy(), Access::Edit)
    }

    /// The mailbox is as it shall be.
    pub(super) fn drop_copy(&self) -> io::Result<()> {
        self.remove(&self.copy())?;
        self.disk.sync_folder(self.folder)
    }

    /// Gives the copy a second name, under which no later removal touches it.
    pub(super) fn keep_copy(&self) -> io::Result<PathBuf> {
        for number in 1..KEPT_MAX {
            let kept = self.folder.join(format!("removal.kept.{number}"));
            match self.disk.hard_link(&self.copy(), &kept) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    other?;
                    self.disk.sync_folder(self.folder)?;
                    return Ok(kept);
                }
            }
        }
        Err(io::Error::other("too many copies of unfinished removals are kept already"))
    }

    /// Another program has changed the mailbox: the copy is kept, and that is told, once.
    pub(super) fn give_up(&self, mut journal: Journal) -> io::Result<(u64, PathBuf)> {
        let kept = self.keep_copy()?;
        journal.stage = Stage::GivenUp;
        self.write(&journal).map(|()| (journal.first(), kept))
    }

    /// The removal has not begun and does not. The journal first: without a copy it would say "done".
    pub(super) fn abandon(&self) -> io::Result<()> {
        self.remove(&self.path())?;
        self.disk.sync_folder(self.folder)?;
        self.remove(&self.copy())
    }

    /// The ledger has written down what became of the removal.
    pub(super) fn forget(&self) -> io::Result<()> {
        if self.disk.kind(&self.path())?.is_none() {
            return Ok(());
        }
        // The copy first: without it, the journal says "done", and without a journal it says nothing.
        self.remove(&self.copy())?;
        self.remove(&self.path())?;
        self.disk.sync_folder(self.folder)
    }

    /// Says that it fails.
    pub(super) fn failed(&self, doing: &'static str, cause: io::Error) -> RewriteError {
        RewriteError::Journal { doing, path: self.path(), cause }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("removal")
    }

    pub(super) fn copy(&self) -> PathBuf {
        self.folder.join("removal.copy")
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl Journal {
    /// The first byte of the mailbox that changes.
    pub(super) fn first(&self) -> u64 {
        match &self.what {
            What::Mbox { ranges, .. } => ranges.first().map_or(0, |range| range.start),
            What::Files { .. } => 0,
        }
    }

    fn text(&self) -> String {
        let stage = match self.stage {
            Stage::Writing => "writing",
            Stage::Blanked => "blanked",
            Stage::Done => "done",
            Stage::GivenUp => "given-up",
        };
        let (before, known) = (self.before.save(), self.known.save());
        let mut text = format!("{BEGIN}\nstage {stage}\nbefore {before}\nknown {known}\n");
        let hex = |name: &std::ffi::OsStr| HEXLOWER.encode(name.as_bytes());
        // Writing to a String cannot fail.
        let _ = match &self.what {
            What::Mbox { mailbox, len, ranges } => {
                let _ = writeln!(text, "mbox {} {len}", hex(mailbox.as_os_str()));
                ranges.iter().try_for_each(|range| writeln!(text, "range {} {}", range.start, range.end))
            }
            What::Files { folder, names } => {
                let _ = writeln!(text, "maildir {}", hex(folder.as_os_str()));
                names.iter().try_for_each(|name| writeln!(text, "file {}", hex(name)))
            }
        };
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc {crc:08x}");
        text
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (checked, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let checked = &text[..checked.len() + 1];
        if u32::from_str_radix(crc.strip_prefix("crc ")?, 16).ok()? != crc32fast::hash(checked.as_bytes()) {
            return None;
        }
        let mut lines = checked.lines();
        if lines.next()? != BEGIN {
            return None;
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let stage = match value("stage")? {
            "writing" => Stage::Writing,
            "blanked" => Stage::Blanked,
            "done" => Stage::Done,
            "given-up" => Stage::GivenUp,
            _ => return None,
        };
        let before = PrefixDigest::restore(value("before")?).ok()?;
        let known = PrefixDigest::restore(value("known")?).ok()?;
        let path = |hex: &str| Some(OsString::from_vec(HEXLOWER.decode(hex.as_bytes()).ok()?));
        let place = lines.next()?;
        let what = if let Some(rest) = place.strip_prefix("mbox ") {
            let (mailbox, len) = rest.split_once(' ')?;
            let ranges = lines.map(parse_range).collect::<Option<Vec<_>>>()?;
            What::Mbox { mailbox: path(mailbox)?.into(), len: len.parse().ok()?, ranges }
        } else {
            let folder = path(place.strip_prefix("maildir ")?)?.into();
            let names = lines.map(|line| path(line.strip_prefix("file ")?)).collect::<Option<Vec<_>>>()?;
            What::Files { folder, names }
        };
        let journal = Self { what, stage, before, known };
        journal.is_sound().then_some(journal)
    }

    /// Ranges ascend within what was known, and what is left is as long as it must be.
    fn is_sound(&self) -> bool {
        let What::Mbox { len, ranges, .. } = &self.what else { return true };
        let mut end = 0;
        let ascend = ranges.iter().all(|range| {
            let behind = end <= range.start && range.start < range.end;
            end = range.end;
            behind
        });
        let out: u64 = if ascend { ranges.iter().map(|range| range.end - range.start).sum() } else { 0 };
        let within = end <= self.before.len() && self.before.len() <= *len;
        ascend && !ranges.is_empty() && within && self.known.len() == self.before.len() - out
    }
}

fn parse_range(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.strip_prefix("range ")?.split_once(' ')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

/// Fills the buffer from an offset on. A file that ends before is an error.
pub(super) fn read_exact_at(file: &dyn DiskFile, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                at += read as u64;
                buffer = &mut buffer[read..];
            }
        }
    }
    Ok(())
}

/// The journal's first line. The number grows when a line changes its meaning.
const BEGIN: &str = "mailcall-removal-1";
const DAMAGED: &str = "it is damaged. Move it away, and removal.copy beside it, which holds what stood in the \
                       mailbox: compare them";
/// Bytes of a journal that are read: of more messages than any mailbox has.
const JOURNAL_MAX: usize = 1 << 30;
/// Copies that are kept side by side.
const KEPT_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> PrefixDigest {
        let mut digest = PrefixDigest::new();
        digest.update(bytes);
        digest
    }

    fn all() -> [Journal; 2] {
        let mailbox = PathBuf::from(OsString::from_vec(b"/var/m \xff\n".to_vec()));
        let names = vec!["1.a.h".into(), OsString::from_vec(b"2\n\xfe".to_vec())];
        [
            Journal {
                what: What::Mbox { mailbox, len: 9, ranges: vec![0..2, 3..6] },
                stage: Stage::Blanked,
                before: digest(b"12345678"),
                known: digest(b"378"),
            },
            Journal {
                what: What::Files { folder: "/m".into(), names },
                stage: Stage::GivenUp,
                before: digest(b"1234"),
                known: digest(b""),
            },
        ]
    }

    #[test]
    fn a_journal_there_and_back() {
        for journal in all() {
            let read = Journal::parse(journal.text().as_bytes()).expect("just written");
            assert_eq!((&read.what, read.stage), (&journal.what, journal.stage));
            assert_eq!(read.text(), journal.text());
        }
    }

    #[test]
    fn a_damaged_or_unsound_one_is_none() {
        let [mbox, files] = all();
        for whole in [mbox.text().into_bytes(), files.text().into_bytes()] {
            for at in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                assert!(Journal::parse(&damaged).is_none(), "byte {at}");
                assert!(Journal::parse(&whole[..at]).is_none(), "cut at {at}");
            }
        }
        let unsound: [(u64, &[(u64, u64)]); 5] =
            [(9, &[]), (9, &[(3, 5), (2, 3)]), (9, &[(4, 9)]), (7, &[(0, 5)]), (9, &[(0, 1)])];
        for (len, ranges) in unsound {
            let ranges = ranges.iter().map(|(start, end)| *start..*end).collect();
            let what = What::Mbox { mailbox: "/m".into(), len, ranges };
            let text = Journal { what, ..mbox.clone() }.text();
            assert!(Journal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
