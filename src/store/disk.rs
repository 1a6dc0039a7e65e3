//! The disk as the store sees it: the few operations whose order decides what a crash can leave.
//!
//! Everything the store does to a disk goes through [`Disk`], so that a test can kill it, or cut the
//! power, at each single operation. [`HostDisk`] is the real one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::error::{DiskContext, StoreError};

/// A file system.
pub trait Disk: Send + Sync {
    /// Opens a file that exists, for reading and, if asked, writing.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a file that only its owner may read or write; `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// What stands at a path, symbolic links followed; `None` if nothing.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;
    /// Which file stands at a path: device and number.
    fn file_id(&self, path: &Path) -> io::Result<(u64, u64)>;
    /// When a file was last written.
    fn modified(&self, path: &Path) -> io::Result<SystemTime>;
    /// Names in a folder, in any order, until `each` answers false.
    fn list(&self, folder: &Path, each: &mut dyn FnMut(&OsStr) -> bool) -> io::Result<()>;
    /// Makes a folder that only its owner may enter.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name; `AlreadyExists` if that is taken.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder last.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Waits, for a lock that another program holds.
    fn pause(&self, time: Duration);
    /// What this machine is called.
    fn host_name(&self) -> OsString;
}

/// An open file.
pub trait DiskFile: Send {
    /// Reads at an offset; 0 bytes at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at an offset.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the file's bytes and length last.
    fn sync(&self) -> io::Result<()>;
    /// Which file it is, as [`Disk::file_id`] says.
    fn file_id(&self) -> io::Result<(u64, u64)>;
    /// Takes the whole file's lock, or answers false if another holds it. Closing lets it go.
    fn try_lock(&self, lock: Lock) -> io::Result<bool>;
    /// Lets a lock of flock(2) go.
    fn unlock(&self) -> io::Result<()>;
}

/// A file whose lock of flock(2) is ours until this is dropped.
///
/// Closing would not be enough: a program that another thread is just starting has a copy of the
/// descriptor, and the lock with it, until it is executed.
pub(super) struct Locked(Box<dyn DiskFile>);

impl Locked {
    /// Takes the lock; `None` if another holds it.
    pub(super) fn take(file: Box<dyn DiskFile>, lock: Lock) -> io::Result<Option<Self>> {
        Ok(file.try_lock(lock)?.then(|| Self(file)))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // closing comes next, and does it as well but for the copies
    }
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Edit,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A device, a pipe, a socket.
    Other,
}

/// Which of Unix's locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// flock(2), for files that are ours alone.
    Flock,
    /// The same, shared: refused only while another holds it alone.
    FlockShared,
    /// fcntl(2), what mail programs take on an mbox.
    Fcntl,
}

/// Gives the bytes `from..to` of a file to `each`, in pieces of at most [`PIECE`]. A file that ends
/// before is an error.
pub(super) fn each_piece(
    file: &dyn DiskFile,
    path: &Path,
    from: u64,
    to: u64,
    each: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut buffer = vec![0; to.saturating_sub(from).min(PIECE as u64) as usize];
    let mut at = from;
    while at < to {
        let want = (to - at).min(PIECE as u64) as usize;
        let read = match file.read_at(&mut buffer[..want], at) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        let read = read.at("read", path)?;
        each(&buffer[..read])?;
        at += read as u64;
    }
    Ok(())
}

/// Opens a file for reading and writing, made anew if it is not there.
pub(super) fn open_or_create(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn DiskFile>> {
    match disk.open(path, Access::Edit) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(path),
        other => other,
    }
}

/// Makes a folder and those above it that are missing, and makes them last.
pub(super) fn make_folders(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    match disk.kind(path).at("look at", path)? {
        Some(Kind::Folder) => {}
        Some(Kind::File | Kind::Other) => {
            return Err(io::Error::from(io::ErrorKind::NotADirectory)).at("make the folder", path);
        }
        None => {
            above.map_or(Ok(()), |above| make_folders(disk, above))?;
            match disk.make_folder(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.at("make the folder", path)?,
            }
        }
    }
    sync_names_above(disk, path)
}

/// Makes a file's or folder's name last, and those of the folders it is in. Even one that was found
/// there: a run that was killed may have made it and not come to this.
pub(super) fn sync_names_above(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        match disk.sync_folder(above) {
            // Who may not read a folder cannot fsync it, and did not make it either.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            other => other.at("sync the folder", above)?,
        }
    }
    Ok(())
}

/// Removes a name that may be gone already.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

/// Bytes read or written at once.
pub(super) const PIECE: usize = 64 * 1024;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostDisk;

impl Disk for HostDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(access == Access::Edit).open(path)?;
        Ok(Box::new(file))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)?;
        // A umask may have taken the owner's own bits away. Where modes cannot be set (FAT, CIFS),
        // mounting decided who may read.
        let _ = file.set_permissions(Permissions::from_mode(FILE_MODE));
        Ok(Box::new(file))
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => Ok(Some(Kind::File)),
            Ok(found) if found.is_dir() => Ok(Some(Kind::Folder)),
            Ok(_) => Ok(Some(Kind::Other)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file_id(&self, path: &Path) -> io::Result<(u64, u64)> {
        std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        std::fs::symlink_metadata(path)?.modified()
    }

    fn list(&self, folder: &Path, each: &mut dyn FnMut(&OsStr) -> bool) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            if !each(&entry?.file_name()) {
                break;
            }
        }
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(FOLDER_MODE).create(path)?;
        let _ = std::fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        match File::open(path)?.sync_all() {
            // fsync(2): EINVAL where the file system has nothing to do for a folder.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    #[allow(clippy::disallowed_methods)] // the store is outside the machines, and so are its locks
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn host_name(&self) -> OsString {
        nix::unistd::gethostname().unwrap_or_else(|_| "localhost".into())
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|found| found.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn file_id(&self) -> io::Result<(u64, u64)> {
        self.metadata().map(|found| (found.dev(), found.ino()))
    }

    fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        match lock {
            Lock::Flock => taken(File::try_lock(self)),
            Lock::FlockShared => taken(File::try_lock_shared(self)),
            Lock::Fcntl => try_lock_fcntl(self),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        File::unlock(self)
    }
}

fn taken(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn try_lock_fcntl(file: &File) -> io::Result<bool> {
    use nix::{errno::Errno, fcntl, libc};
    // From the first byte to the end, wherever that will be (fcntl(2): l_len 0).
    let whole = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl::fcntl(file, fcntl::FcntlArg::F_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Mail is nobody else's business, whatever the umask says.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
