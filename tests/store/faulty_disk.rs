//! A disk that fails at the k-th operation that changes something: for good, as if the process had
//! been killed there, or once.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use mailcall::store::disk::{Access, Disk, DiskFile, Kind, Lock};

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The operation and all after it fail.
    Killed,
    /// The operation fails and those after it do not.
    Once(io::ErrorKind),
}

#[derive(Clone)]
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    counter: Arc<Counter>,
}

struct Counter {
    done: AtomicU64,
    fails_at: u64,
    fault: Fault,
}

impl FaultyDisk {
    /// Fails at the operation `fails_at`, counted from 0.
    pub fn new(inner: Arc<dyn Disk>, fails_at: u64, fault: Fault) -> Self {
        Self { inner, counter: Arc::new(Counter { done: AtomicU64::new(0), fails_at, fault }) }
    }

    /// True once the fault has struck.
    pub fn struck(&self) -> bool {
        self.counter.done.load(SeqCst) > self.counter.fails_at
    }
}

impl Counter {
    fn step(&self) -> io::Result<()> {
        let number = self.done.fetch_add(1, SeqCst);
        match self.fault {
            Fault::Killed if number >= self.fails_at => Err(io::Error::other("killed")),
            Fault::Once(kind) if number == self.fails_at => Err(kind.into()),
            Fault::Killed | Fault::Once(_) => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.inner.open(path, access)?;
        Ok(Box::new(FaultyFile { inner, counter: self.counter.clone() }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.counter.step()?;
        let inner = self.inner.create(path)?;
        Ok(Box::new(FaultyFile { inner, counter: self.counter.clone() }))
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.inner.kind(path)
    }

    fn file_id(&self, path: &Path) -> io::Result<(u64, u64)> {
        self.inner.file_id(path)
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        self.inner.modified(path)
    }

    fn list(&self, folder: &Path, each: &mut dyn FnMut(&OsStr) -> bool) -> io::Result<()> {
        self.inner.list(folder, each)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.counter.step()?;
        self.inner.make_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.counter.step()?;
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.counter.step()?;
        self.inner.hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.counter.step()?;
        self.inner.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.counter.step()?;
        self.inner.sync_folder(path)
    }

    fn pause(&self, time: Duration) {
        self.inner.pause(time);
    }

    fn host_name(&self) -> OsString {
        self.inner.host_name()
    }
}

struct FaultyFile {
    inner: Box<dyn DiskFile>,
    counter: Arc<Counter>,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let already_dead = matches!(self.counter.fault, Fault::Killed)
            && self.counter.done.load(SeqCst) > self.counter.fails_at;
        self.counter.step().inspect_err(|_| {
            // It stops in the middle of a write, having done half of it.
            if !already_dead {
                let _ = self.inner.write_all_at(&bytes[..bytes.len() / 2], offset);
            }
        })?;
        self.inner.write_all_at(bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.counter.step()?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.counter.step()?;
        self.inner.sync()
    }

    fn file_id(&self) -> io::Result<(u64, u64)> {
        self.inner.file_id()
    }

    fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        self.inner.try_lock(lock)
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }
}
