//! What is kept on this machine's disk: no message lost, none delivered twice, even if the program is
//! killed, or the power fails, at any single disk operation.
//!
//! Of each account there is a folder with three things in it:
//!
//! - `ledger`: what was delivered, up to where the host's mailbox is known, and what is about to be
//!   delivered; appended and fsynced line by line. It grows with the mail, by about 150 bytes a message.
//! - `part.*`: the mailbox's bytes that came behind that and are not delivered yet.
//! - `lock`: held while a [`Store`] is open.
//!
//! # How a batch of messages is delivered
//!
//! ```text
//! part: fsync          so that the batch can be repeated
//! tmp/*: write, fsync  (Maildir)
//! ledger: intent       which messages, where to, the checksums afterwards
//! rename tmp -> new, fsync both;  or: append to the mbox, fsync
//! ledger: done         known moves forward
//! ```
//!
//! A crash before the intent has delivered nothing. After it, [`Store::open`] looks at what stands in
//! the Maildir or mbox, brings the delivery to its end or takes it back, and says so in the ledger.
//! After a power cut the part may hold less, or other bytes, than were received since the last
//! [`Store::sync_part`]: compare [`Store::part_digest`] with the host's before going on behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::mailbox::{digest::PrefixDigest, identity::MessageId};

mod book;
mod deliver;
pub mod dials;
pub mod disk;
pub mod downloads;
mod error;
pub mod hosts;
mod ledger;
pub mod look;
mod maildir;
mod mbox_file;
mod part;
mod reading;
mod record;
mod removal;
mod table;
pub mod troubles;

pub use error::StoreError;
pub use reading::Archive;

use book::Book;
use disk::{Disk, HostDisk, Lock, Locked};
use error::DiskContext;
use ledger::Ledger;
use maildir::Maildir;
use part::Part;
use record::Record;

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A file each, in the Maildir at this path.
    Maildir(PathBuf),
    /// Appended to the mbox at this path.
    Mbox(PathBuf),
}

/// What is known about the last message in the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartEnd {
    /// The part ends where the mailbox ends: all messages in it are whole.
    AllComplete,
    /// More may follow: the last message stays in the part.
    LastMayBeTorn,
}

/// What one [`Store::deliver`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Messages that were delivered.
    pub messages: usize,
    /// Bytes by which the known prefix of the mailbox grew.
    pub bytes: u64,
    /// Messages that had been delivered before the mailbox changed, and were not again.
    pub skipped_as_known: usize,
}

/// A delivered message of the host's mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in the mailbox, counted from 1.
    pub number: usize,
    /// Where its From_ line begins in the host's mailbox.
    pub offset: u64,
    /// Length of its content there: without From_ line and separating blank line.
    pub len: u64,
    /// What it says.
    pub id: MessageId,
    /// Where it was delivered.
    pub place: Location,
}

/// Where a message was delivered. Mail programs may have moved it since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a Maildir, under this name and perhaps flags.
    Maildir {
        /// The Maildir.
        folder: PathBuf,
        /// The file's name when it was delivered into new.
        name: String,
    },
    /// In an mbox.
    Mbox {
        /// The mbox.
        path: PathBuf,
        /// Where its From_ line was put.
        offset: u64,
    },
}

/// One account's mail on this machine's disk.
pub struct Store {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    _lock: Locked,
    ledger: Ledger,
    book: Book,
    part: Part,
    /// Checksums up to the part's end.
    part_digest: PrefixDigest,
    now: SystemTime,
}

impl Store {
    /// Opens an account's store, made anew if there is none, and sets right what a crash left.
    /// `state` is the folder for all accounts; `mailbox` is what the host calls the mailbox: another
    /// one than last time is counted from its beginning.
    pub fn open(
        state: &Path,
        account: &str,
        mailbox: &str,
        delivery: Delivery,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(HostDisk), state, account, mailbox, delivery, now)
    }

    /// [`Self::open`] on another disk than this machine's: for tests that let it fail.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        state: &Path,
        account: &str,
        mailbox: &str,
        delivery: Delivery,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        let delivery = delivery.absolute()?;
        let folder = account_folder(state, account)?;
        disk::make_folders(&*disk, &folder)?;
        let lock = take_lock(&*disk, &folder)?;
        let mut book = Book::default();
        let ledger = open_ledger(&disk, &folder, mailbox, &delivery, now, &mut book)?;
        let part = Part::find(disk.clone(), &folder, book.epoch, book.known.len())?;
        let part_digest = PrefixDigest::new();
        let mut store = Self { disk, folder, _lock: lock, ledger, book, part, part_digest, now };
        store.settle(Settling::AfterCrash)?;
        store.set_mailbox(mailbox)?;
        store.prepare_target(delivery)?;
        if store.ledger.len() > COMPACT_FROM + COMPACT_PER_MESSAGE * store.book.remembered() as u64 {
            store.ledger.rewrite(&mut store.book.records())?;
        }
        store.weigh_part()?;
        Ok(store)
    }

    /// Says what the host calls the mailbox, when that is known only after the login. Another one
    /// than before is counted from its beginning; mail that is here already stays known.
    pub fn set_mailbox(&mut self, mailbox: &str) -> Result<(), StoreError> {
        if self.book.mailbox == mailbox {
            return Ok(());
        }
        // In this order: a crash in between must not count the old prefix for the new mailbox.
        self.restart()?;
        self.record(Record::Mailbox(mailbox.to_owned()))
    }

    /// The account's own folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Length of the mailbox's prefix that is delivered and recorded.
    pub fn known(&self) -> u64 {
        self.book.known.len()
    }

    /// Checksums of that prefix.
    pub fn known_digest(&self) -> &PrefixDigest {
        &self.book.known
    }

    /// The offset in the mailbox up to which bytes are here, delivered or in the part.
    pub fn part_end(&self) -> u64 {
        self.part_digest.len()
    }

    /// Checksums of the mailbox up to there.
    pub fn part_digest(&self) -> &PrefixDigest {
        &self.part_digest
    }

    /// Takes the mailbox's bytes from `offset` on, which must be [`Self::part_end`].
    pub fn append_part(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let expected = self.part_end();
        if offset != expected {
            return Err(StoreError::WrongOffset { offset, expected });
        }
        self.part.append(expected, bytes)?;
        self.part_digest.update(bytes);
        Ok(())
    }

    /// Makes the part last. Call it now and then, and at the end: what came since is what a power
    /// cut costs.
    pub fn sync_part(&mut self) -> Result<(), StoreError> {
        self.part.sync()
    }

    /// Throws the part away: its bytes are not what the host's mailbox holds.
    pub fn drop_part(&mut self) -> Result<(), StoreError> {
        self.truncate_part(self.known())
    }

    /// Cuts the part off at an offset between [`Self::known`] and [`Self::part_end`].
    pub fn truncate_part(&mut self, end: u64) -> Result<(), StoreError> {
        self.settle(Settling::AfterCrash)?;
        let expected = self.part_end();
        if end < self.known() || end > expected {
            return Err(StoreError::WrongOffset { offset: end, expected });
        }
        self.part.cut(end)?;
        self.weigh_part()
    }

    /// Counts the mailbox from its beginning again, because it changed. What was delivered stays
    /// remembered by what it says, so that it is not delivered again when it is fetched again.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.settle(Settling::AfterCrash)?;
        let epoch = self.book.epoch + 1;
        self.record(Record::Epoch(epoch))?;
        self.part.restart(epoch)?;
        self.part_digest = PrefixDigest::new();
        Ok(())
    }

    /// Says that the mailbox holds nothing beyond what is known. What was delivered before it changed
    /// and was not met in it since is not in it: the same words, met later, are a new message, unless
    /// the From_ line is the same too and so the mailbox is back as it was.
    pub fn counted(&mut self) -> Result<(), StoreError> {
        match self.book.looks_for_copies() {
            true => self.record(Record::Counted),
            false => Ok(()),
        }
    }

    /// The delivered messages of the mailbox, in its order.
    pub fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        reading::messages(&self.book)
    }

    /// A delivered message without its From_ line, as it was before mboxrd quoted it.
    pub fn read(&self, number: usize) -> Result<Vec<u8>, StoreError> {
        reading::read(&*self.disk, &self.book, number)
    }

    /// Writes a record down, then counts with it.
    fn record(&mut self, record: Record) -> Result<(), StoreError> {
        self.ledger.append(&record)?;
        self.book.apply(record).map_err(|why| self.ledger.damaged(why))
    }

    /// Says where messages go from now on, and refuses what cannot be delivered to.
    fn prepare_target(&mut self, delivery: Delivery) -> Result<(), StoreError> {
        match &delivery {
            Delivery::Maildir(path) => {
                let maildir = Maildir { disk: &*self.disk, path };
                maildir.prepare()?;
                maildir.tidy(&self.book)?;
            }
            Delivery::Mbox(path) => {
                if let Some(folder) = path.parent() {
                    disk::make_folders(&*self.disk, folder)?;
                }
                mbox_file::check(&*self.disk, path)?;
                mbox_file::tidy(&*self.disk, path, &self.book.birth)?;
            }
        }
        if self.book.targets.get(self.book.target as usize) != Some(&delivery) {
            self.record(Record::Target(delivery))?;
        }
        Ok(())
    }

    /// Computes the checksums of the part's bytes anew.
    fn weigh_part(&mut self) -> Result<(), StoreError> {
        let known = self.known();
        let mut digest = self.book.known.clone();
        self.part.each_piece(known, self.part.end(known), &mut |piece| {
            digest.update(piece);
            Ok(())
        })?;
        self.part_digest = digest;
        Ok(())
    }
}

impl Delivery {
    /// The ledger outlives the working folder, so its paths must not depend on it.
    fn absolute(self) -> Result<Self, StoreError> {
        let absolute = |path: PathBuf| std::path::absolute(&path).at("find", &path);
        Ok(match self {
            Self::Maildir(path) => Self::Maildir(absolute(path)?),
            Self::Mbox(path) => Self::Mbox(absolute(path)?),
        })
    }
}

/// When the outcome of a batch is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    /// Right behind the intent: what is not in tmp is delivered by nobody.
    AtOnce,
    /// Later, when a mail program may have moved what was delivered.
    AfterCrash,
}

/// The folder of an account: its name with all but plain letters and digits escaped, so that none is
/// hidden, leaves `state` or stands for another.
fn account_folder(state: &Path, account: &str) -> Result<PathBuf, StoreError> {
    let mut name = String::new();
    for &byte in account.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            b'.' | b'@' if !name.is_empty() => name.push(byte.into()),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    if name.is_empty() || name.len() > ACCOUNT_NAME_MAX {
        return Err(StoreError::AccountName { name: account.chars().take(ACCOUNT_NAME_MAX).collect() });
    }
    std::path::absolute(state).at("find", state).map(|state| state.join(name))
}

fn take_lock(disk: &dyn Disk, folder: &Path) -> Result<Locked, StoreError> {
    let path = folder.join("lock");
    // Two may make it at once: the second then finds it there.
    let opened = disk::open_or_create(disk, &path).or_else(|_| disk::open_or_create(disk, &path));
    let file = opened.at("open", &path)?;
    Locked::take(file, Lock::Flock).at("lock", &path)?.ok_or(StoreError::Busy { lock: path })
}

fn open_ledger(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    mailbox: &str,
    delivery: &Delivery,
    now: SystemTime,
    book: &mut Book,
) -> Result<Ledger, StoreError> {
    let path = folder.join("ledger");
    if disk.kind(&path).at("look at", &path)?.is_some() {
        return Ledger::open(disk.clone(), path, &mut |record| book.apply(record));
    }
    let host = maildir::harmless_host(&disk.host_name());
    let first = [
        Record::Begin { birth: birth(folder, now), host },
        Record::Mailbox(mailbox.to_owned()),
        Record::Epoch(1),
        Record::Target(delivery.clone()),
    ];
    let ledger = Ledger::create(disk.clone(), path, &mut first.iter().cloned())?;
    for record in first {
        book.apply(record).map_err(|why| ledger.damaged(why))?;
    }
    Ok(ledger)
}

/// A word that no other ledger has: no two processes make one in the same folder at the same time.
fn birth(folder: &Path, now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = format!("{}\n{}\n{}", folder.display(), since.as_nanos(), std::process::id());
    data_encoding::HEXLOWER.encode(&Sha256::digest(text)[..BIRTH_LEN])
}

/// Bytes of an account folder's name.
const ACCOUNT_NAME_MAX: usize = 200;
/// Random bytes in file names.
const BIRTH_LEN: usize = 8;
/// A ledger is rewritten when it is longer than this...
const COMPACT_FROM: u64 = 64 * 1024;
/// ...and this for each message in it: several times what one takes.
const COMPACT_PER_MESSAGE: u64 = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_may_be_handed_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Store>();
        is_send::<Archive>();
    }

    #[test]
    fn an_account_name_stays_inside_the_state_folder() {
        let name = |account: &str| {
            let folder = account_folder(Path::new("/s"), account).expect("a name");
            assert_eq!(folder.parent(), Some(Path::new("/s")));
            folder.file_name().and_then(|name| name.to_str()).map(str::to_owned)
        };
        for (account, folder) in [
            ("home", "home"),
            ("..", "%2e."),
            ("a/b", "a%2fb"),
            ("m@x.org", "m@x.org"),
            ("%2f", "%252f"),
            ("é", "%c3%a9"),
        ] {
            assert_eq!(name(account).as_deref(), Some(folder));
        }
        assert!(account_folder(Path::new("/s"), "").is_err());
        assert!(account_folder(Path::new("/s"), &"/".repeat(100)).is_err());
    }
}
