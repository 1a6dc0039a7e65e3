//! What can go wrong with the store, in words that name the file and the remedy.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do as it was asked. Nothing is half recorded after any of these: the next
/// [`Store::open`](super::Store::open) finishes or undoes what was begun.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another run works on this account.
    #[error("another run is working on this account (it holds {}); wait for it to end", lock.display())]
    Busy {
        /// The lock it holds.
        lock: PathBuf,
    },
    /// Another run keeps a memory for all accounts.
    #[error("another run keeps what is remembered of earlier calls locked ({}); wait for it to end", lock.display())]
    MemoryLocked {
        /// The lock it holds.
        lock: PathBuf,
    },
    /// The account's name cannot be a folder's.
    #[error("the account name {name:?} is empty or too long for a folder's name; choose a shorter one")]
    AccountName {
        /// The name.
        name: String,
    },
    /// A disk operation failed.
    #[error("cannot {doing} {}: {cause}{}", path.display(), remedy(cause))]
    Disk {
        /// What was tried, as "write to".
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The ledger was changed or damaged in a place where no crash could have done it.
    #[error(
        "the record of delivered mail {} is damaged at line {line} ({why}); it was left as it is. \
         Restore it from a backup; or, to fetch everything once more, move it away",
        path.display()
    )]
    LedgerDamaged {
        /// The ledger.
        path: PathBuf,
        /// The first line that is wrong, counted from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Earlier an operation on the ledger failed and its state on the disk is unknown.
    #[error("the record of delivered mail {} could not be written before; start again", path.display())]
    LedgerUnsure {
        /// The ledger.
        path: PathBuf,
    },
    /// What the host calls a mailbox is none.
    #[error("{mailbox} is no mbox: it does not begin with a From_ line but with \"{shown}\"")]
    NotAnMbox {
        /// The mailbox's name on the host.
        mailbox: String,
        /// Its first bytes, made harmless.
        shown: String,
    },
    /// What follows the delivered part of a mailbox is no new message.
    #[error(
        "{mailbox} does not go on with a From_ line at byte {at} but with \"{shown}\": it was changed \
         on the host; fetch it from its beginning"
    )]
    NoBoundary {
        /// The mailbox's name on the host.
        mailbox: String,
        /// Where a From_ line was expected.
        at: u64,
        /// What stands there, made harmless.
        shown: String,
    },
    /// Bytes were offered for another place than the end of what is here.
    #[error("bytes for offset {offset} do not follow the {expected} that are here")]
    WrongOffset {
        /// Where the bytes belong.
        offset: u64,
        /// Where bytes were expected.
        expected: u64,
    },
    /// Mail cannot be delivered into what stands at the configured path.
    #[error("cannot deliver into {}: {why}", path.display())]
    Delivery {
        /// The Maildir or mbox.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: &'static str,
    },
    /// Another program keeps the mbox locked.
    #[error("another mail program keeps {} locked; close it or try again later", path.display())]
    MboxLocked {
        /// The mbox or its dotlock.
        path: PathBuf,
    },
    /// What is to be removed from the mailbox makes too long a list.
    #[error("too many messages in too many places to be removed at once; remove them in smaller parts")]
    RemovalTooLong,
    /// Something was asked for while nobody has said what became of a removal.
    #[error("it was not settled yet whether messages were removed from the mailbox")]
    RemovalUnsettled,
    /// There is no message of this number.
    #[error("there is no message {number}; {}", numbered(*newest))]
    NoSuchMessage {
        /// The number asked for.
        number: usize,
        /// The highest there is.
        newest: usize,
    },
    /// A delivered message is not where it was put.
    #[error("message {number} is no longer in {}: it was moved or deleted there", path.display())]
    MessageGone {
        /// Its number.
        number: usize,
        /// The Maildir or mbox it was delivered to.
        path: PathBuf,
    },
    /// A file of that name is there, and is not to be replaced.
    #[error("{} is there already, and is not overwritten", path.display())]
    NameTaken {
        /// The file.
        path: PathBuf,
    },
    /// Another run brings a file of that name, or something strange stands where its part would.
    #[error("{} is in use by another run; wait for it to end, or move it away", path.display())]
    PartLocked {
        /// The part.
        path: PathBuf,
    },
    /// A message is too large to be held in memory.
    #[error("message {number} has {len} bytes, too many to be shown; open it in {}", path.display())]
    MessageTooLarge {
        /// Its number.
        number: usize,
        /// Its length in bytes.
        len: u64,
        /// The Maildir or mbox it was delivered to.
        path: PathBuf,
    },
}

/// Says on which file, and doing what, an operation failed.
pub(super) trait DiskContext<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> DiskContext<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|cause| StoreError::Disk { doing, path: path.to_owned(), cause })
    }
}

fn numbered(newest: usize) -> String {
    if newest == 0 {
        "none of those in the mailbox is here".to_owned()
    } else {
        format!("they are numbered from 1 to {newest}")
    }
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull => "; free some space and start again, nothing that was recorded is lost",
        io::ErrorKind::QuotaExceeded => "; your quota is used up: delete something and start again",
        io::ErrorKind::PermissionDenied => {
            "; give yourself the right to write there, or choose another place"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; it is mounted read-only: remount it, or choose another place",
        io::ErrorKind::NotFound => "; make its folder, or mount the disk it is on",
        io::ErrorKind::NotADirectory => "; a part of its path is a file: choose another place",
        io::ErrorKind::FileTooLarge => "; a file may not grow that large there: choose another file system",
        _ => "",
    }
}
