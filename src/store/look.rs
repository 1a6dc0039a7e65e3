//! What a fetch would find on this machine's disk: by looking only. Nothing is made, written or changed.
//!
//! A look is no promise: the disk may be full a minute later, and the store says so then.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat};

use super::disk::{Access, Disk, HostDisk, Kind, Lock, Locked};
use super::error::{DiskContext, StoreError};
use super::{Archive, Delivery, account_folder, mbox_file};

/// How it stands with something that is to be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there, and may be written to.
    There,
    /// It is not there, and can be made.
    CanBeMade,
}

/// An account's part of the state folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Messages of the mailbox that were delivered; `None` if nothing was ever fetched.
    pub messages: Option<usize>,
    /// The lock that another run holds.
    pub busy: Option<PathBuf>,
}

/// The disk that a path is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Bytes that we may still write.
    pub free: u64,
}

/// A folder that is made where it is missing.
pub fn folder(path: &Path) -> Result<Standing, StoreError> {
    match HostDisk.kind(path).at("look at", path)? {
        Some(Kind::Folder) => {
            allowed(path, AccessFlags::W_OK | AccessFlags::X_OK).at("write to", path)?;
            Ok(Standing::There)
        }
        Some(Kind::File | Kind::Other) => {
            Err(io::Error::from(io::ErrorKind::NotADirectory)).at("make the folder", path)
        }
        None => {
            let path = std::path::absolute(path).at("find", path)?;
            let above = path.parent().unwrap_or(Path::new("/"));
            folder(above).map(|_| Standing::CanBeMade)
        }
    }
}

/// Where an account's mail goes.
pub fn delivery(delivery: &Delivery) -> Result<Standing, StoreError> {
    match delivery {
        Delivery::Maildir(path) => {
            if HostDisk.kind(path).at("look at", path)?.is_some_and(|kind| kind != Kind::Folder) {
                let why = "it is a file and no Maildir; name a folder, or deliver to an mbox";
                return Err(StoreError::Delivery { path: path.clone(), why });
            }
            let mut standing = Standing::There;
            for part in ["tmp", "new", "cur"] {
                if folder(&path.join(part))? == Standing::CanBeMade {
                    standing = Standing::CanBeMade;
                }
            }
            Ok(standing)
        }
        Delivery::Mbox(path) => {
            mbox_file::check(&HostDisk, path)?;
            // The dotlock stands beside it, and the mbox itself may have to be made there.
            let absolute = std::path::absolute(path).at("find", path)?;
            let there = HostDisk.kind(path).at("look at", path)?.is_some();
            match folder(absolute.parent().unwrap_or(Path::new("/"))) {
                // Without a dotlock fcntl has to do, as in /var/mail.
                Err(_) if there => Ok(Standing::There),
                Err(error) => Err(error),
                Ok(_) if there => Ok(Standing::There),
                Ok(_) => Ok(Standing::CanBeMade),
            }
        }
    }
}

/// What an account's ledger says, and whether another run works on it.
pub fn account(state: &Path, account: &str) -> Result<AccountState, StoreError> {
    let folder = account_folder(state, account)?;
    let messages = Archive::open(state, account)?.map(|archive| archive.messages().count());
    let ledger = folder.join("ledger");
    if messages.is_some() {
        allowed(&ledger, AccessFlags::W_OK).at("write to", &ledger)?;
        allowed(&folder, AccessFlags::W_OK | AccessFlags::X_OK).at("write to", &folder)?;
    }
    let lock = folder.join("lock");
    let file = match HostDisk.open(&lock, Access::Edit) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(AccountState { messages, busy: None });
        }
        other => other.at("open", &lock)?,
    };
    // Shared, and let go at once: two looks do not meet, and a run that begins in this very moment is rare.
    let taken = Locked::take(file, Lock::FlockShared).at("lock", &lock)?;
    Ok(AccountState { messages, busy: taken.is_none().then_some(lock) })
}

/// The disk that `path` is on, or will be.
pub fn space(path: &Path) -> Result<Space, StoreError> {
    let path = std::path::absolute(path).at("find", path)?;
    let there = path.ancestors().find_map(|above| std::fs::canonicalize(above).ok());
    let there = there.unwrap_or_else(|| "/".into());
    let device = std::fs::metadata(&there).at("look at", &there)?.dev();
    let on_it = |above: &&Path| std::fs::metadata(above).is_ok_and(|found| found.dev() == device);
    let mount = there.ancestors().take_while(on_it).last().unwrap_or(&there).to_owned();
    let found = statvfs(&there).map_err(io::Error::from).at("look at", &there)?;
    // The widths of these differ from system to system.
    #[allow(clippy::useless_conversion)]
    let free = u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size()));
    Ok(Space { mount, free })
}

fn allowed(path: &Path, access: AccessFlags) -> io::Result<()> {
    faccessat(AT_FDCWD, path, access, AtFlags::AT_EACCESS).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::Store;
    use super::*;

    #[test]
    fn what_is_missing_can_be_made_and_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert_eq!(folder(dir.path()).unwrap(), Standing::There);
        assert_eq!(folder(&path).unwrap(), Standing::CanBeMade);
        assert_eq!(delivery(&Delivery::Maildir(path.clone())).unwrap(), Standing::CanBeMade);
        assert_eq!(delivery(&Delivery::Mbox(path.clone())).unwrap(), Standing::CanBeMade);
        assert_eq!(account(&path, "home").unwrap(), AccountState::default());
        assert!(space(&path).unwrap().free > 0);
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "no mbox\n").unwrap();
        for refused in [
            folder(&file.join("below")),
            folder(&file),
            delivery(&Delivery::Maildir(file.clone())),
            delivery(&Delivery::Mbox(file.clone())),
            delivery(&Delivery::Mbox(dir.path().to_owned())),
        ] {
            let told = refused.unwrap_err().to_string();
            assert!(told.contains(&dir.path().display().to_string()), "{told}");
        }
    }

    #[test]
    fn a_run_at_work_is_seen_and_not_disturbed() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let deliver = Delivery::Maildir(dir.path().join("mail"));
            Store::open(dir.path(), "home", "$MAIL", deliver, SystemTime::UNIX_EPOCH)
        };
        let store = open().unwrap();
        let seen = account(dir.path(), "home").unwrap();
        assert_eq!(seen.messages, Some(0));
        assert!(seen.busy.is_some());
        drop(store);
        assert_eq!(account(dir.path(), "home").unwrap().busy, None);
        open().unwrap();
        let ledger = dir.path().join("home/ledger");
        let damaged = std::fs::read_to_string(&ledger).unwrap().replacen("mailbox", "nailbox", 1);
        std::fs::write(&ledger, damaged).unwrap();
        assert!(matches!(account(dir.path(), "home"), Err(StoreError::LedgerDamaged { .. })));
    }
}
