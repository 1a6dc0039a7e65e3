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
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::asking::Teller;
use super::error::{At, PathError};
use super::journal::{Files, Journal, Stage, What};
use super::lock::{Patience, Purpose, SpoolLock};
use super::maildir::{self, Lengths};
use super::reading::steadily;
use super::rewrite::{Check, Resumed, Rewrite, RewriteError};
use crate::access::{Recovered, Removal};
use crate::mailbox::digest::PrefixDigest;
use crate::store::disk::{Disk, HostDisk};

/// What is to be removed.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The account's folder.
    pub(super) traces: PathBuf,
    /// What the mailbox must begin with.
    pub(super) known: PrefixDigest,
    pub(super) ranges: Vec<Range<u64>>,
}

/// Removes messages from an mbox.
pub(super) fn from_mbox<T>(mailbox: &Path, what: &Wanted, teller: &Teller<T>) -> Result<Removal, PathError> {
    let left = steadily(mailbox, || {
        let lock = match lock(mailbox, teller) {
            Err(PathError::Missing { .. }) => return Ok(None),
            other => other?,
        };
        rewriting(lock, mailbox, &what.traces, teller, |rewrite| {
            rewrite.resume()?; // a trace that nobody asked about: what it says shows in the digest
            rewrite.forget()?;
            rewrite.remove(&what.known, &what.ranges)
        })
    })?;
    Ok(match left {
        Some(known) => Removal::Done { known: Some(Box::new(known)) },
        None => Removal::Changed,
    })
}

/// Removes messages from a Maildir: their files, whose names are for ever theirs alone.
pub(super) fn from_maildir<T>(
    maildir: &Path,
    what: &Wanted,
    lengths: &mut Lengths,
    teller: &Teller<T>,
) -> Result<Removal, PathError> {
    let found = maildir::steadily(maildir, || weigh(maildir, what, lengths, teller));
    let (left, names) = match found {
        Ok(Some(found)) => found,
        Ok(None) | Err(PathError::Missing { .. }) => return Ok(Removal::Changed),
        Err(error) => return Err(error),
    };
    let files = Files { disk: &HostDisk, folder: &what.traces };
    let mut journal = Journal {
        what: What::Files { folder: maildir.to_owned(), names },
        stage: Stage::Writing,
        before: what.known.clone(),
        known: left.clone(),
    };
    files.write(&journal).map_err(|cause| files.failed("write", cause))?;
    unlink_all(&mut journal, &files, teller)?;
    Ok(Removal::Done { known: Some(Box::new(left)) })
}

/// What is left of the known bytes, and the names of the messages meant. `None` if the Maildir does not
/// begin with what is known, or a range is no message's.
fn weigh<T>(
    maildir: &Path,
    what: &Wanted,
    lengths: &mut Lengths,
    teller: &Teller<T>,
) -> Result<Option<(PrefixDigest, Vec<OsString>)>, PathError> {
    let (mut all, mut left) = (PrefixDigest::new(), PrefixDigest::new());
    let mut ranges = what.ranges.iter().peekable();
    let mut names = Vec::new();
    let listed = maildir::list(maildir, teller)?;
    for (at, file) in listed.iter().enumerate() {
        let begins = all.len();
        if begins >= what.known.len() {
            break;
        }
        let range = ranges.next_if(|range| range.start == begins);
        maildir::each_piece(file, lengths, teller, &mut |_, piece| {
            all.update(piece);
            if range.is_none() {
                left.update(piece);
            }
            Ok(())
        })?;
        match range {
            Some(range) if range.end != all.len() => return Ok(None),
            Some(_) => {
                let beside = [at.checked_sub(1), at.checked_add(1)].into_iter().flatten();
                if beside.filter_map(|at| listed.get(at)).any(|other| other.name == file.name) {
                    return Err(PathError::io("remove", &file.path, io::Error::other(TWO_OF_A_NAME)));
                }
                names.push(OsString::from_vec(file.name.clone()));
            }
            None => {}
        }
    }
    let proven = all.len() == what.known.len() && all.sha256_hex() == what.known.sha256_hex();
    Ok((proven && ranges.next().is_none()).then_some((left, names)))
}

/// Brings a removal to its end that an earlier run on the account began, whatever mailbox it was; now it
/// is `configured`.
pub(super) fn recover<T>(
    traces: &Path,
    configured: &Path,
    teller: &Teller<T>,
) -> Result<Recovered, PathError> {
    let files = Files { disk: &HostDisk, folder: traces };
    let found = files.find().map_err(|cause| files.failed("read", cause))?;
    let Some(mut journal) = found else { return Ok(Recovered::Nothing) };
    if matches!(journal.stage, Stage::Writing | Stage::Blanked) {
        match journal.what.clone() {
            What::Files { folder, .. } if !folder.is_dir() => {
                if folder == configured && !folder.parent().is_some_and(Path::is_dir) {
                    return Err(PathError::NoMailbox { path: folder }); // not mounted, perhaps
                }
                give_up_files(&mut journal, &files)?;
            }
            // What may not be unlinked keeps nobody from the mail: by what the Maildir shows it is judged
            // how far that came.
            What::Files { .. } => match unlink_all(&mut journal, &files, teller) {
                Ok(()) => {}
                Err(_) => give_up_files(&mut journal, &files)?,
            },
            What::Mbox { mailbox, .. } => {
                let lock = match lock(&mailbox, teller) {
                    Err(error) if is_gone(&error, mailbox == configured) => {
                        let (first, copy) = files.give_up(journal).at("keep a copy of", &mailbox)?;
                        return Err(RewriteError::ChangedMeanwhile { mailbox, first, copy }.into());
                    }
                    other => other?,
                };
                let resumed = rewriting(lock, &mailbox, traces, teller, |rewrite| rewrite.resume())?;
                journal.stage = match resumed {
                    None | Some(Resumed::Done { .. }) => Stage::Done,
                    Some(Resumed::GivenUp) => Stage::GivenUp,
                };
            }
        }
    }
    Ok(match journal.stage {
        Stage::GivenUp => Recovered::CannotTell,
        Stage::Done | Stage::Writing | Stage::Blanked => {
            Recovered::Done { before: journal.before.into(), known: journal.known.into() }
        }
    })
}

/// Whether nothing can be brought to its end in a mailbox any more: what it held is in the copy. One that
/// may come back (it is not mounted) is waited for, unless the account has another by now.
fn is_gone(error: &PathError, is_configured: bool) -> bool {
    match error {
        PathError::Missing { .. } | PathError::NotAFile { .. } => true,
        PathError::NoMailbox { .. } | PathError::NoPermission { .. } | PathError::NoLock { .. } => {
            !is_configured
        }
        PathError::NotAnMbox { .. }
        | PathError::Locked { .. }
        | PathError::LockLost { .. }
        | PathError::Unsteady { .. }
        | PathError::Silent { .. }
        | PathError::Rewrite(_)
        | PathError::GivenUp
        | PathError::CutOff { .. }
        | PathError::Unmounted { .. }
        | PathError::Io { .. } => false,
    }
}

/// The ledger has written down what became of the removal: its trace goes.
pub(super) fn settled(traces: &Path) -> Result<(), PathError> {
    let files = Files { disk: &HostDisk, folder: traces };
    Ok(files.forget().map_err(|cause| files.failed("remove", cause))?)
}

/// Waits as long as is usual for whoever has the mailbox.
fn lock<T>(mailbox: &Path, teller: &Teller<T>) -> Result<SpoolLock, PathError> {
    let (given_up, waiting) = (|| teller.given_up(), |by: &str| teller.waiting(by));
    let patience = Patience { given_up: &given_up, waiting: &waiting, ..Patience::usual() };
    SpoolLock::acquire(mailbox, Purpose::Rewrite, &patience)
}

/// Does something to a locked mailbox, and leaves its times so that nobody is told of new mail.
fn rewriting<T, W>(
    mut lock: SpoolLock,
    mailbox: &Path,
    traces: &Path,
    teller: &Teller<T>,
    work: impl FnOnce(&mut Rewrite<'_>) -> Result<W, RewriteError>,
) -> Result<W, PathError> {
    // The same open file, so the same lock.
    let spool = lock.file().try_clone().at("open", mailbox)?;
    let had_new_mail = has_new_mail(&spool);
    let mut hold = |check: Check| {
        teller.given_up(); // only to be heard: what is begun is best brought to its end
        let held = match check {
            Check::Fully => lock.keep_fresh().and_then(|()| lock.verify()),
            Check::Amid => lock.keep_fresh(),
        };
        held.map_err(io::Error::other)
    };
    let done = work(&mut Rewrite::new(&HostDisk, traces, mailbox, &spool, &mut hold))?;
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

fn give_up_files(journal: &mut Journal, files: &Files<'_>) -> Result<(), PathError> {
    journal.stage = Stage::GivenUp;
    Ok(files.write(journal).map_err(|cause| files.failed("write", cause))?)
}

/// Unlinks the files that a journal names, and notes that there.
fn unlink_all<T>(journal: &mut Journal, files: &Files<'_>, teller: &Teller<T>) -> Result<(), PathError> {
    if let What::Files { folder, names } = &journal.what {
        unlink(folder, names, teller)?;
    }
    journal.stage = Stage::Done;
    Ok(files.write(journal).map_err(|cause| files.failed("write", cause))?)
}

/// Unlinks files of a Maildir, wherever its readers have moved them. One that is not there is gone.
fn unlink<T>(maildir: &Path, names: &[OsString], teller: &Teller<T>) -> Result<(), PathError> {
    let (new, cur) = (maildir.join("new"), maildir.join("cur"));
    let mut left: Vec<&OsString> = names.iter().collect();
    // A reader may move one between the look and the deed, from new to cur or to other flags.
    for _ in 0..FIND_TRIES {
        let there = names_in(&cur)?;
        let mut moved = Vec::new();
        for name in left {
            teller.given_up(); // only to be heard
            let at_new = remove(&new.join(name))?;
            let mut at_cur = false;
            for flagged in there.get(name).into_iter().flatten() {
                at_cur |= remove(&cur.join(flagged))?;
            }
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.at("remove", path).map(|()| true),
    }
}

/// The files in cur, by their names without flags.
fn names_in(cur: &Path) -> Result<HashMap<OsString, Vec<OsString>>, PathError> {
    let mut names: HashMap<_, Vec<_>> = HashMap::new();
    let mut take = |name: &OsStr| {
        let base = OsStr::from_bytes(maildir::base_name(name.as_bytes()));
        names.entry(base.to_owned()).or_default().push(name.to_owned());
        true
    };
    HostDisk.list(cur, &mut take).at("list", cur)?;
    Ok(names)
}

/// Looks for a file that is being moved.
const FIND_TRIES: usize = 3;
const TWO_OF_A_NAME: &str = "two messages have this name but for their flags, and a name is all that tells them \
                             apart: rename one";
