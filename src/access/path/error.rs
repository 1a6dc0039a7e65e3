//! Why a mailbox could not be reached by its path.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::mount;
use crate::mailbox::mbox::NotAnMbox;

/// What stands between us and the mailbox.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// Neither the file is there nor its folder.
    #[error("there is no mailbox {}, nor its folder: is the file system mounted?", path.display())]
    NoMailbox {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The folder is there and the file is not: no mail yet.
    #[error("there is no file {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("not allowed to {what} {}: {cause}{}", path.display(), mailbox_of(path))]
    NoPermission {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// In the system's words.
        cause: io::Error,
    },
    /// Something else stands there.
    #[error("{} is {what}", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Something other than mail stands there.
    #[error("{} is no mbox: {cause}", path.display())]
    NotAnMbox {
        /// Where.
        path: PathBuf,
        /// What stands there.
        cause: NotAnMbox,
    },
    /// Another program has it locked, and kept it so.
    #[error("{} is locked: {by}; waited for {} s", path.display(), waited.as_secs())]
    Locked {
        /// The mailbox.
        path: PathBuf,
        /// Who has locked it, as far as can be told.
        by: String,
        /// For how long.
        waited: Duration,
    },
    /// Other programs cannot be kept from the mailbox, so it is not rewritten.
    #[error(
        "{} cannot be locked for rewriting: its folder takes no dotlock from us ({cause}), and {helper}. \
         Install liblockfile-bin (dotlockfile) or mutt_dotlock, or let mailcall run where it may write there",
        path.display()
    )]
    NoLock {
        /// The mailbox.
        path: PathBuf,
        /// Why the folder takes none.
        cause: io::Error,
        /// What became of the programs that are allowed to.
        helper: String,
    },
    /// The dotlock that was ours is gone, or the mailbox is another file: nothing may be written.
    #[error("the lock on {} was taken from us by another program", path.display())]
    LockLost {
        /// The mailbox.
        path: PathBuf,
    },
    /// The file changes or becomes stale as often as it is opened.
    #[error("{} became stale (ESTALE) or was replaced each of the {tries} times that it was opened", path.display())]
    Unsteady {
        /// The mailbox.
        path: PathBuf,
        /// How often it was opened.
        tries: u32,
    },
    /// Nothing comes back from the file system.
    #[error(
        "the file system that {} is on does not answer: nothing for {} s. Is its server up?",
        path.display(), waited.as_secs()
    )]
    Silent {
        /// The mailbox.
        path: PathBuf,
        /// For how long.
        waited: Duration,
    },
    /// The network between us and the mailbox fails.
    #[error("cannot {what} {}: {cause}; it is on another machine, and the way there was lost", path.display())]
    CutOff {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// In the system's words.
        cause: io::Error,
    },
    /// It was there, and is gone with all that was around it.
    #[error("the file system that {} was on is no longer mounted", path.display())]
    Unmounted {
        /// The mailbox.
        path: PathBuf,
    },
    /// Messages could not be taken out of it.
    #[error(transparent)]
    Rewrite(#[from] super::rewrite::RewriteError),
    /// Nobody wants it any more.
    #[error("broken off")]
    GivenUp,
    /// The disk fails.
    #[error("cannot {what} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// In the system's words.
        cause: io::Error,
    },
}

impl PathError {
    /// What an error of the system means.
    pub fn io(what: &'static str, path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NoPermission { what, path, cause }
            }
            io::ErrorKind::NotFound => Self::Missing { path },
            _ if is_cut_off(&path, &cause) => Self::CutOff { what, path, cause },
            _ => Self::Io { what, path, cause },
        }
    }

    /// The server has another file under this handle now (NFS): opened anew, it may be had.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.raw_os_error() == Some(nix::libc::ESTALE))
    }
}

/// Whether an error is the network's: EIO is what NFS (soft mounts) and sshfs say of a lost connection, and
/// what a local disk says of a bad block.
fn is_cut_off(path: &Path, cause: &io::Error) -> bool {
    use nix::libc;
    match cause.raw_os_error() {
        Some(libc::EIO) => mount::is_remote(path),
        Some(
            libc::ENOTCONN
            | libc::ESHUTDOWN
            | libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::ECONNREFUSED
            | libc::ETIMEDOUT
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::ENOLINK
            | libc::EREMOTEIO,
        ) => true,
        Some(_) | None => false,
    }
}

/// Says of which step on which file an error came.
pub(super) trait At<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, PathError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, PathError> {
        self.map_err(|cause| PathError::io(what, path, cause))
    }
}

/// Whose file it is: what one wants to know next.
fn mailbox_of(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(found) = std::fs::metadata(path) else { return String::new() };
    format!(" (it belongs to {}, mode {:o})", user_name(found.uid()), found.mode() & 0o7777)
}

/// A user's name, or number.
pub(super) fn user_name(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid));
    user.ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}
