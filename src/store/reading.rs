//! Delivered mail read again, wherever its reader moved it.

use std::collections::{BTreeSet, HashMap, hash_map};
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::mailbox::quoting::Unquote;

use super::book::Book;
use super::disk::{self, Access, Disk, DiskFile, HostDisk};
use super::error::{DiskContext, StoreError};
use super::ledger::Ledger;
use super::maildir::{self, Maildir, file_name};
use super::mbox_file;
use super::record::{Entry, Place};
use super::{Delivery, Location, Message, account_folder};

/// What was delivered, for looking at it while nobody, or somebody else, works on the account.
#[derive(Debug)]
pub struct Archive {
    book: Book,
}

impl Archive {
    /// Reads an account's ledger and changes nothing. `None` if nothing was ever fetched.
    pub fn open(state: &Path, account: &str) -> Result<Option<Self>, StoreError> {
        let path = account_folder(state, account)?.join("ledger");
        if HostDisk.kind(&path).at("look at", &path)?.is_none() {
            return Ok(None);
        }
        let mut book = Book::default();
        Ledger::read(&HostDisk, &path, &mut |record| book.apply(record))?;
        Ok(Some(Self { book }))
    }

    /// What the host calls the mailbox.
    pub fn mailbox(&self) -> &str {
        &self.book.mailbox
    }

    /// The delivered messages of the mailbox, in its order.
    pub fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        messages(&self.book)
    }

    /// A delivered message without its From_ line, as it was before mboxrd quoted it.
    pub fn read(&self, number: usize) -> Result<Vec<u8>, StoreError> {
        read(&HostDisk, &self.book, number)
    }

    /// The first bytes of these messages, at most `max` of each, for a list of them. Nothing of one that
    /// a mail program has put where only a search through all mail would find it: of many that would
    /// take for ever.
    pub fn heads(&self, numbers: &[usize], max: usize) -> Vec<Vec<u8>> {
        let mut listed = HashMap::new();
        let head =
            |&number: &usize| head(&HostDisk, &self.book, number, max, &mut listed).unwrap_or_default();
        numbers.iter().map(head).collect()
    }
}

pub(super) fn messages(book: &Book) -> impl Iterator<Item = Message> + '_ {
    book.messages.iter().enumerate().map(|(index, entry)| Message {
        number: index + 1,
        offset: entry.start,
        len: entry.content,
        id: entry.id,
        place: match entry.place {
            Place::Maildir { time, file, .. } => {
                Location::Maildir { folder: target(book, entry), name: file_name(book, time, file) }
            }
            Place::Mbox { at, .. } => Location::Mbox { path: target(book, entry), offset: at },
        },
    })
}

pub(super) fn read(disk: &dyn Disk, book: &Book, number: usize) -> Result<Vec<u8>, StoreError> {
    let found = find(disk, book, number)?;
    let len = found.to - found.from;
    if len > READ_MAX {
        return Err(StoreError::MessageTooLarge { number, len, path: found.path });
    }
    found.bytes(found.to)
}

/// What is in each Maildir's cur, in order.
type Listed = HashMap<PathBuf, BTreeSet<OsString>>;

fn head(
    disk: &dyn Disk,
    book: &Book,
    number: usize,
    max: usize,
    listed: &mut Listed,
) -> Result<Vec<u8>, StoreError> {
    let gone = |path: &Path| StoreError::MessageGone { number, path: path.to_owned() };
    let entry = entry_of(book, number)?;
    let path = target(book, entry);
    let found = match entry.place {
        Place::Maildir { time, file, .. } => {
            let name = file_name(book, time, file);
            let there = match disk.kind(&path.join("new").join(&name)).at("look at", &path)? {
                Some(_) => Some(path.join("new").join(&name)),
                None => in_cur(disk, &path, &name, listed)?,
            };
            let there = there.ok_or_else(|| gone(&path))?;
            let file = disk.open(&there, Access::Read).at("open", &there)?;
            let to = file.size().at("look at", &there)?;
            Found { file, path: there, from: 0, to, quoted: false }
        }
        Place::Mbox { at, .. } => {
            let file = disk.open(&path, Access::Read).at("open", &path)?;
            let from = at.saturating_add(entry.from_line);
            let mut from_line = crc32fast::Hasher::new();
            disk::each_piece(&*file, &path, at, from, &mut |piece| {
                from_line.update(piece);
                Ok(())
            })?;
            if entry.from_crc.is_some_and(|crc| crc != from_line.finalize()) {
                return Err(gone(&path));
            }
            let to = from.saturating_add(entry.content);
            Found { file, path, from, to, quoted: true }
        }
    };
    // Unquoting takes bytes away, but no more than the bytes a From_ line has.
    let mut bytes = found.bytes(found.to.min(found.from.saturating_add(max as u64)))?;
    bytes.truncate(max);
    Ok(bytes)
}

/// Where a reader has moved a delivered file, by a list that is made once.
fn in_cur(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    listed: &mut Listed,
) -> Result<Option<PathBuf>, StoreError> {
    let cur = folder.join("cur");
    let names = match listed.entry(cur.clone()) {
        hash_map::Entry::Occupied(names) => names.into_mut(),
        hash_map::Entry::Vacant(place) => {
            let mut names = BTreeSet::new();
            let mut take = |entry: &OsStr| names.insert(entry.to_owned());
            disk.list(&cur, &mut take).at("list", &cur)?;
            place.insert(names)
        }
    };
    let mut behind = names.range::<OsStr, _>((Bound::Included(OsStr::new(name)), Bound::Unbounded));
    let begins = |entry: &&OsString| entry.as_encoded_bytes().starts_with(name.as_bytes());
    let found = behind.by_ref().take_while(begins).find(|entry| maildir::is_file_of(entry, name));
    Ok(found.map(|entry| cur.join(entry)))
}

fn entry_of(book: &Book, number: usize) -> Result<&Entry, StoreError> {
    let newest = book.messages.len();
    let entry = number.checked_sub(1).and_then(|index| book.messages.get(index));
    entry.ok_or(StoreError::NoSuchMessage { number, newest })
}

/// A message that was found: these bytes of this file.
struct Found {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    from: u64,
    to: u64,
    quoted: bool,
}

impl Found {
    fn bytes(&self, to: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        let mut unquote = Unquote::new();
        disk::each_piece(&*self.file, &self.path, self.from, to, &mut |piece| {
            if self.quoted {
                unquote.push(piece, &mut bytes);
            } else {
                bytes.extend_from_slice(piece);
            }
            Ok(())
        })?;
        if self.quoted {
            unquote.finish(&mut bytes);
        }
        Ok(bytes)
    }
}

fn find(disk: &dyn Disk, book: &Book, number: usize) -> Result<Found, StoreError> {
    let entry = entry_of(book, number)?;
    let path = target(book, entry);
    let found = match entry.place {
        Place::Maildir { time, file, .. } => in_maildir(disk, &path, &file_name(book, time, file))?,
        Place::Mbox { at, .. } => in_mbox(disk, &path, entry, at)?,
    };
    found.ok_or(StoreError::MessageGone { number, path })
}

fn in_maildir(disk: &dyn Disk, folder: &Path, name: &str) -> Result<Option<Found>, StoreError> {
    // Its reader may move it from new to cur between the look and the opening.
    for _ in 0..FIND_TRIES {
        let Some(path) = (Maildir { disk, path: folder }).locate(name)? else { return Ok(None) };
        match disk.open(&path, Access::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => {
                let file = other.at("open", &path)?;
                let to = file.size().at("look at", &path)?;
                return Ok(Some(Found { file, path, from: 0, to, quoted: false }));
            }
        }
    }
    Ok(None)
}

fn in_mbox(disk: &dyn Disk, path: &Path, entry: &Entry, at: u64) -> Result<Option<Found>, StoreError> {
    let file = match disk.open(path, Access::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.at("open", path)?,
    };
    let from = at.saturating_add(entry.from_line);
    let to = from.saturating_add(entry.content);
    let stands =
        to <= file.size().at("look at", path)? && mbox_file::identity(&*file, path, from, to)? == entry.id;
    // A mail program that rewrote the mbox moved it: then what it says is what finds it.
    let mut range = stands.then_some((from, to));
    if range.is_none() {
        mbox_file::each_message(&*file, path, &mut |message, id| {
            range = (id == entry.id).then_some((message.header, message.end));
            range.is_none()
        })?;
    }
    Ok(range.map(|(from, to)| Found { file, path: path.to_owned(), from, to, quoted: true }))
}

fn target(book: &Book, entry: &Entry) -> PathBuf {
    match book.targets.get(entry.place.target() as usize) {
        Some(Delivery::Maildir(path) | Delivery::Mbox(path)) => path.clone(),
        None => PathBuf::new(), // the book took no entry in without its target
    }
}

/// Bytes of a message that are held in memory.
const READ_MAX: u64 = 256 << 20;
/// Looks for a file that is being moved.
const FIND_TRIES: usize = 3;
