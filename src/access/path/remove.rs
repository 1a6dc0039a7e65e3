//! Removal by path: under the locks that other mail programs respect, with a trace of what is done.
//!
//! An mbox is rewritten in place ([`super::rewrite`]); a mailbox that is emptied stays, with length 0,
//! as delivery agents and other programs expect it. Of a Maildir files are unlinked. The trace is kept
//! in the account's folder until [`settled`]: so [`recover`] can say for certain what became of a removal
//! whose end nobody saw.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use super::error::{At, PathError};
use super::journal::{Files, Journal, Stage, What};
use super::lock::{Patience, Purpose, SpoolLock};
use super::rewrite::{Check, Resumed, Rewrite};
use crate::access::{Recovered, Removal};
use crate::mailbox::digest::PrefixDigest;
use crate::store::disk::{Disk, HostDisk};

/// Removes messages from the mbox at `mailbox`, as [`crate::access::Mailbox::remove`] says. `folder` is
/// the account's own.
pub fn from_mbox(
    mailbox: &Path,
    folder: &Path,
    known: &PrefixDigest,
    ranges: &[Range<u64>],
    patience: &Patience<'_>,
) -> Result<Removal, PathError> {
    let lock = match SpoolLock::acquire(mailbox, Purpose::Rewrite, patience) {
        Err(PathError::Missing { .. }) => return Ok(Removal::Changed),
        other => other?,
    };
    let left = rewriting(lock, mailbox, folder, |rewrite| {
        rewrite.resume()?; // a trace that nobody asked about: what it says shows in the digest
        rewrite.forget()?;
        rewrite.remove(known, ranges)
    })?;
    Ok(match left {
        Some(known) => Removal::Done { known: Some(Box::new(known)) },
        None => Removal::Changed,
    })
}

/// Removes messages from the Maildir at `maildir`: the files whose names begin with these. `known` is
/// what the caller has just proven, and `left` what is left of it.
pub fn from_maildir(
    maildir: &Path,
    folder: &Path,
    known: &PrefixDigest,
    left: &PrefixDigest,
    names: &[OsString],
) -> Result<Removal, PathError> {
    let files = Files { disk: &HostDisk, folder };
    let what = What::Files { folder: maildir.to_owned(), names: names.to_vec() };
    let mut journal = Journal { what, stage: Stage::Writing, before: known.clone(), known: left.clone() };
    files.write(&journal).at("write the journal", &files.path())?;
    unlink(maildir, names)?;
    journal.stage = Stage::Done;
    files.write(&journal).at("write the journal", &files.path())?;
    Ok(Removal::Done { known: Some(Box::new(left.clone())) })
}

/// Brings a removal to its end that an earlier run on the account began, whatever mailbox it was.
pub fn recover(folder: &Path, patience: &Patience<'_>) -> Result<Recovered, PathError> {
    let files = Files { disk: &HostDisk, folder };
    let found = files.find().at("read the journal", &files.path())?;
    let Some(Journal { what, mut stage, before, known }) = found else { return Ok(Recovered::Nothing) };
    match (&what, stage) {
        (What::Files { folder: maildir, names }, Stage::Writing | Stage::Blanked) => {
            unlink(maildir, names)?;
            let journal = Journal {
                what: what.clone(),
                stage: Stage::Done,
                before: before.clone(),
                known: known.clone(),
            };
            files.write(&journal).at("write the journal", &files.path())?;
            stage = Stage::Done;
        }
        (What::Mbox { mailbox, .. }, Stage::Writing | Stage::Blanked) => {
            let lock = SpoolLock::acquire(mailbox, Purpose::Rewrite, patience)?;
            stage = match rewriting(lock, mailbox, folder, |rewrite| rewrite.resume())? {
                None | Some(Resumed::Done { .. }) => Stage::Done,
                Some(Resumed::GivenUp) => Stage::GivenUp,
            };
        }
        (_, Stage::Done | Stage::GivenUp) => {}
    }
    Ok(match stage {
        Stage::GivenUp => Recovered::CannotTell,
        Stage::Done | Stage::Writing | Stage::Blanked => {
            Recovered::Done { before: Box::new(before), known: Box::new(known) }
        }
    })
}

/// The ledger has written down what became of the removal: its trace goes.
pub fn settled(folder: &Path) -> Result<(), PathError> {
    let files = Files { disk: &HostDisk, folder };
    files.forget().at("remove the journal", &files.path())
}

/// Does something to a locked mailbox, and leaves its times so that nobody is told of new mail.
fn rewriting<T>(
    mut lock: SpoolLock,
    mailbox: &Path,
    folder: &Path,
    work: impl FnOnce(&mut Rewrite<'_>) -> Result<T, super::rewrite::RewriteError>,
) -> Result<T, PathError> {
    // The same open file, so the same lock.
    let spool = lock.file().try_clone().at("open", mailbox)?;
    let had_new_mail = has_new_mail(&spool);
    let mut hold = |check: Check| {
        let held = match check {
            Check::Fully => lock.keep_fresh().and_then(|()| lock.verify()),
            Check::Amid => lock.keep_fresh(),
        };
        held.map_err(io::Error::other)
    };
    let done = work(&mut Rewrite::new(&HostDisk, folder, mailbox, &spool, &mut hold))?;
    if !had_new_mail {
        // "Written after it was read" is how shells and biff know of new mail. What we have written is none.
        let written = spool.metadata().and_then(|found| found.modified());
        #[allow(clippy::disallowed_methods)] // the time that a file was read last
        let now = SystemTime::now();
        let read = written.map_or(now, |written| written.max(now));
        let _ = spool.set_times(FileTimes::new().set_accessed(read)); // only its owner may
    }
    Ok(done)
}

fn has_new_mail(spool: &File) -> bool {
    let times = spool.metadata().and_then(|found| Ok((found.accessed()?, found.modified()?)));
    times.is_ok_and(|(read, written)| read < written)
}

/// Unlinks files of a Maildir, wherever its readers have moved them. One that is not there is gone.
fn unlink(maildir: &Path, names: &[OsString]) -> Result<(), PathError> {
    let (new, cur) = (maildir.join("new"), maildir.join("cur"));
    let mut left: Vec<&OsString> = names.iter().collect();
    // A reader may move one between the look and the deed, from new to cur or to other flags.
    for _ in 0..FIND_TRIES {
        let there = names_in(&cur)?;
        let mut moved = Vec::new();
        for name in left {
            let at_new = remove(&new.join(name))?;
            let at_cur = match there.get(name.as_os_str()) {
                Some(flagged) => remove(&cur.join(flagged))?,
                None => false,
            };
            if !at_new && !at_cur {
                moved.push(name);
            }
        }
        left = moved;
        if left.is_empty() {
            break;
        }
    }
    for folder in [&new, &cur] {
        HostDisk.sync_folder(folder).at("sync the folder", folder)?;
    }
    Ok(())
}

/// False if there is none.
fn remove(path: &Path) -> Result<bool, PathError> {
    match HostDisk.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).at("remove", path),
    }
}

/// The files in cur by their names without flags.
fn names_in(cur: &Path) -> Result<HashMap<OsString, OsString>, PathError> {
    let mut names = HashMap::new();
    HostDisk
        .list(cur, &mut |name| {
            names.insert(without_flags(name).to_owned(), name.to_owned());
            true
        })
        .at("list", cur)?;
    Ok(names)
}

/// `unique:2,FS` without what a reader changes.
pub(super) fn without_flags(name: &OsStr) -> &OsStr {
    let bytes = name.as_bytes();
    OsStr::from_bytes(&bytes[..memchr::memchr(b':', bytes).unwrap_or(bytes.len())])
}

/// Looks for a file that is being moved.
const FIND_TRIES: usize = 3;
