//! A Maildir: written in tmp, renamed into new, found again wherever its reader moved it.
//!
//! The rename is the moment of delivery. It is one step on the disk, so a message is either still in
//! tmp or was delivered, however the machine went down.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::mailbox::quoting::Unquote;

use super::book::Book;
use super::disk::{self, Disk, DiskFile, Kind};
use super::error::{DiskContext, StoreError};
use super::part::Part;

/// A Maildir at a path.
pub(super) struct Maildir<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) path: &'a Path,
}

impl Maildir<'_> {
    /// Makes it, or what is missing of it.
    pub(super) fn prepare(&self) -> Result<(), StoreError> {
        if self.disk.kind(self.path).at("look at", self.path)?.is_some_and(|kind| kind != Kind::Folder) {
            return Err(self.refuse("it is a file and no Maildir; name a folder, or deliver to an mbox"));
        }
        for folder in FOLDERS {
            disk::make_folders(self.disk, &self.path.join(folder))?;
        }
        Ok(())
    }

    /// Makes sure that it is still there, before a missing file is believed to have been moved.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for folder in FOLDERS {
            let folder = self.path.join(folder);
            if self.disk.kind(&folder).at("look at", &folder)? != Some(Kind::Folder) {
                return Err(self.refuse(
                    "the Maildir that the last messages went to is gone. Mount the disk it is on; \
                     or, if you deleted it, make an empty one there (folders new, cur and tmp)",
                ));
            }
        }
        Ok(())
    }

    /// Writes a message into tmp and makes it last: the part's bytes `from..to`, mboxrd undone.
    pub(super) fn write(&self, name: &str, part: &Part, from: u64, to: u64) -> Result<(), StoreError> {
        let path = self.path.join("tmp").join(name);
        let file = self.create(&path)?;
        let mut unquote = Unquote::new();
        let mut out = Vec::with_capacity(disk::PIECE);
        let mut len = 0;
        part.each_piece(from, to, &mut |piece| {
            out.clear();
            unquote.push(piece, &mut out);
            append(&*file, &path, &out, &mut len)
        })?;
        out.clear();
        unquote.finish(&mut out);
        append(&*file, &path, &out, &mut len)?;
        file.sync().at("sync", &path)
    }

    /// Makes the names in tmp last.
    pub(super) fn sync_tmp(&self) -> Result<(), StoreError> {
        self.sync("tmp")
    }

    /// Delivers a message that was written. False if it is not in tmp.
    pub(super) fn deliver(&self, name: &str) -> Result<bool, StoreError> {
        let new = self.path.join("new").join(name);
        match self.disk.rename(&self.path.join("tmp").join(name), &new) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("deliver", &new),
        }
    }

    /// Makes deliveries last.
    pub(super) fn sync_deliveries(&self) -> Result<(), StoreError> {
        self.sync("new")?;
        self.sync("tmp")
    }

    /// Where a delivered message is now: in new, or in cur under any flags.
    pub(super) fn locate(&self, name: &str) -> Result<Option<PathBuf>, StoreError> {
        let new = self.path.join("new").join(name);
        if self.disk.kind(&new).at("look at", &new)?.is_some() {
            return Ok(Some(new));
        }
        let cur = self.path.join("cur");
        let mut found = None;
        let listed = self.disk.list(&cur, &mut |entry| {
            if is_file_of(entry, name) {
                found = Some(cur.join(entry));
            }
            found.is_none()
        });
        match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.at("list", &cur).map(|()| found),
        }
    }

    /// Removes from tmp what a run of this ledger left there. It must have no batch pending.
    pub(super) fn tidy(&self, book: &Book) -> Result<(), StoreError> {
        let tmp = self.path.join("tmp");
        let ours = format!(".R{}Q", book.birth);
        let mut left = Vec::new();
        self.disk
            .list(&tmp, &mut |name| {
                left.extend(name.to_str().filter(|name| name.contains(&ours)).map(|name| tmp.join(name)));
                left.len() < TIDY_MAX
            })
            .at("list", &tmp)?;
        left.iter().try_for_each(|path| disk::remove_if_there(self.disk, path))
    }

    /// Removes files from tmp whose batch failed. What cannot be removed now is tidied up later.
    pub(super) fn forget<'n>(&self, names: impl Iterator<Item = &'n String>) {
        for name in names {
            let _ = self.disk.remove(&self.path.join("tmp").join(name));
        }
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, StoreError> {
        match self.disk.create(path) {
            // The name holds this ledger's own word: an earlier attempt of ours, never recorded.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk::remove_if_there(self.disk, path)?;
                self.disk.create(path).at("make", path)
            }
            other => other.at("make", path),
        }
    }

    fn sync(&self, folder: &str) -> Result<(), StoreError> {
        let folder = self.path.join(folder);
        self.disk.sync_folder(&folder).at("sync the folder", &folder)
    }

    fn refuse(&self, why: &'static str) -> StoreError {
        StoreError::Delivery { path: self.path.to_owned(), why }
    }
}

/// A message's file name: `time.unique.host`, the unique part a random word (R) and a count (Q), as
/// the Maildir specification (cr.yp.to/proto/maildir.html) lays down.
pub(super) fn file_name(book: &Book, time: u64, file: u64) -> String {
    format!("{time}.R{}Q{file}.{}", book.birth, book.host)
}

/// A host name as it may stand in a file name: `/` and `:` become `\057` and `\072` (same place), and
/// so does all else that is not plain.
pub(super) fn harmless_host(name: &OsStr) -> String {
    let mut host = String::new();
    for &byte in name.as_encoded_bytes().iter().take(HOST_MAX) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => host.push(byte.into()),
            other => host.push_str(&format!("\\{other:03o}")),
        }
    }
    if host.is_empty() { "localhost".into() } else { host }
}

/// `name:2,FS`, and what some readers put before the colon (`name,S=1234:2,`).
pub(super) fn is_file_of(entry: &OsStr, name: &str) -> bool {
    let Some(flags) = entry.as_encoded_bytes().strip_prefix(name.as_bytes()) else { return false };
    !flags.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || b".-_\\".contains(byte))
}

fn append(file: &dyn DiskFile, path: &Path, bytes: &[u8], len: &mut u64) -> Result<(), StoreError> {
    if !bytes.is_empty() {
        file.write_all_at(bytes, *len).at("write to", path)?;
        *len += bytes.len() as u64;
    }
    Ok(())
}

const FOLDERS: [&str; 3] = ["tmp", "new", "cur"];
/// Bytes of a host name that are used.
const HOST_MAX: usize = 48;
/// Files tidied up at once; a failed batch leaves at most 64.
const TIDY_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_cannot_leave_the_folder() {
        assert_eq!(harmless_host(OsStr::new("../a:b c")), "..\\057a\\072b\\040c");
        assert_eq!(harmless_host(OsStr::new("")), "localhost");
        assert!(harmless_host(OsStr::new(&"/".repeat(9999))).len() <= 4 * HOST_MAX);
    }

    #[test]
    fn a_message_is_found_under_any_flags_and_no_other_is() {
        for found in ["1.R2Q3.h", "1.R2Q3.h:2,", "1.R2Q3.h:2,FS", "1.R2Q3.h,S=12:2,S", "1.R2Q3.h;2,S"] {
            assert!(is_file_of(OsStr::new(found), "1.R2Q3.h"), "{found}");
        }
        for other in ["1.R2Q3.host:2,", "1.R2Q31.h:2,", "1.R2Q3.h.org", "2"] {
            assert!(!is_file_of(OsStr::new(other), "1.R2Q3.h"), "{other}");
        }
    }
}
