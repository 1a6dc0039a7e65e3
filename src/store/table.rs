//! A small file for all accounts that remembers something by name: of numbers what became of dials, of
//! lines what is wrong with them.
//!
//! Each change writes it whole: a new file, fsynced, renamed over the old one, under a lock. Each line is
//! `crc name words ..`. A line that is damaged is left out and the file it stood in is set aside,
//! because a damaged memory must not keep mail from coming.

use std::collections::BTreeMap;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{self, Access, Disk, Kind, Lock, Locked};
use super::error::{DiskContext, StoreError};
use super::record::{escape, unescape_text};

/// What is remembered under a name. The default is nothing, and is not written.
pub(super) trait Entry: Clone + Default + PartialEq {
    /// What stands behind the name, with blanks between.
    fn words(&self) -> String;
    /// Reads that; `None` is damage.
    fn read<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self>;
    /// Makes a table that has grown past all reason smaller, but keeps this name.
    fn forget_oldest(entries: &mut BTreeMap<String, Self>, keep: &str);
}

/// What a change found, and where a damaged file was put.
#[derive(Debug)]
pub struct Remembered<T> {
    /// What was asked for.
    pub found: T,
    /// The file that was damaged, under the name that it has now.
    pub set_aside: Option<PathBuf>,
}

/// The file and those beside it.
pub(super) struct Table<E> {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Begins with a dot, as no account's folder does (`account_folder`).
    file: &'static str,
    entry: PhantomData<fn() -> E>,
}

impl<E: Entry> Table<E> {
    pub(super) fn new(disk: Arc<dyn Disk>, state: &Path, file: &'static str) -> Self {
        Self { disk, folder: state.to_owned(), file, entry: PhantomData }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that is remembered. Changes nothing; what is damaged is passed over.
    pub(super) fn all(&self) -> Result<BTreeMap<String, E>, StoreError> {
        self.read().map(|(entries, _)| entries)
    }

    /// Changes what is remembered under a name, while no other run can. When this returns, the change
    /// is on the disk.
    pub(super) fn change<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut E) -> T,
    ) -> Result<Remembered<T>, StoreError> {
        // Once it is there it lasts; an fsync of all folders above is not for the middle of a call.
        if self.disk.kind(&self.folder).at("look at", &self.folder)? != Some(Kind::Folder) {
            disk::make_folders(&*self.disk, &self.folder)?;
        }
        let _lock = self.lock()?;
        let (mut entries, damaged) = self.read()?;
        let set_aside = if damaged { Some(self.set_aside()?) } else { None };
        let entry = entries.entry(name.to_owned()).or_default();
        let before = entry.clone();
        let found = change(entry);
        if *entry != before || damaged {
            entries.retain(|_, entry| *entry != E::default());
            E::forget_oldest(&mut entries, name);
            self.write(&entries)?;
        }
        Ok(Remembered { found, set_aside })
    }

    /// The file, or one beside it.
    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.file))
    }

    fn lock(&self) -> Result<Locked, StoreError> {
        let path = self.path(LOCK);
        for _ in 0..LOCK_TRIES {
            // Two may make it at once: the second then finds it there.
            let opened = disk::open_or_create(&*self.disk, &path);
            let opened = opened.or_else(|_| disk::open_or_create(&*self.disk, &path));
            if let Some(locked) = Locked::take(opened.at("open", &path)?, Lock::Flock).at("lock", &path)? {
                return Ok(locked);
            }
            self.disk.pause(LOCK_PAUSE);
        }
        Err(StoreError::MemoryLocked { lock: path })
    }

    /// The whole lines, and whether others were damaged.
    fn read(&self) -> Result<(BTreeMap<String, E>, bool), StoreError> {
        let path = self.path("");
        let file = match self.disk.open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((BTreeMap::new(), false)),
            other => other.at("open", &path)?,
        };
        let size = file.size().at("look at", &path)?;
        let mut bytes = Vec::new();
        disk::each_piece(&*file, &path, 0, size.min(FILE_MAX), &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let mut entries = BTreeMap::new();
        let mut damaged = size > FILE_MAX;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match parse(line) {
                Some((name, entry)) => drop(entries.insert(name, entry)),
                None => damaged = true,
            }
        }
        Ok((entries, damaged))
    }

    fn set_aside(&self) -> Result<PathBuf, StoreError> {
        let (path, aside) = (self.path(""), self.path(DAMAGED));
        // A second name first: the whole lines must not be gone if this run is killed here.
        disk::remove_if_there(&*self.disk, &aside)?;
        // Where files have one name only (FAT), it is moved.
        let linked = self.disk.hard_link(&path, &aside);
        linked.or_else(|_| self.disk.rename(&path, &aside)).at("set aside", &path)?;
        Ok(aside)
    }

    fn write(&self, entries: &BTreeMap<String, E>) -> Result<(), StoreError> {
        let text = entries.iter().fold(String::new(), |text, (name, entry)| text + &line(name, entry));
        let (path, new) = (self.path(""), self.path(NEW));
        disk::remove_if_there(&*self.disk, &new)?;
        let file = self.disk.create(&new).at("make", &new)?;
        file.write_all_at(text.as_bytes(), 0).at("write to", &new)?;
        file.sync().at("sync", &new)?;
        self.disk.rename(&new, &path).at("replace", &path)?;
        self.disk.sync_folder(&self.folder).at("sync the folder", &self.folder)
    }
}

pub(super) fn line<E: Entry>(name: &str, entry: &E) -> String {
    let text = format!("{} {}", escape(name.as_bytes()), entry.words());
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()))
}

pub(super) fn parse<E: Entry>(line: &[u8]) -> Option<(String, E)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (crc, text) = line.split_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(text.as_bytes()) {
        return None;
    }
    let mut words = text.split(' ');
    let name = unescape_text(words.next()?)?;
    Some((name, E::read(words)?))
}

const NEW: &str = ".new";
const DAMAGED: &str = ".damaged";
const LOCK: &str = ".lock";

/// Bytes of the file that are read: many times what the entries take that are kept.
const FILE_MAX: u64 = 4 << 20;
/// How often the lock is tried, and the pause between: others hold it for as long as an fsync takes.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
