//! Delivery: from the part into the Maildir or mbox, exactly once.
//!
//! The order of steps is drawn in [`super`]. [`Store::settle`] is the one place that says what became
//! of a batch: right after the renames, and after a crash.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::mailbox::identity::{MessageDigest, MessageId};
use crate::mailbox::mbox::{Boundaries, NotAnMbox, Splitter};

use super::book::Taken;
use super::disk::PIECE;
use super::error::{DiskContext, StoreError};
use super::maildir::{Maildir, file_name};
use super::mbox_file::{self, Behind, LockedMbox, Locker};
use super::record::{Entry, Intent, Known, Place, Record, Tail};
use super::{Delivered, Delivery, PartEnd, Settling, Store};

impl Store {
    /// Delivers the messages in the part and moves the known prefix forward.
    ///
    /// After an error nothing is lost or half recorded: call it again when the reason is gone, or
    /// open the store anew.
    pub fn deliver(&mut self, end: PartEnd) -> Result<Delivered, StoreError> {
        self.settle(Settling::AfterCrash)?;
        if self.removal_pending() {
            return Err(StoreError::RemovalUnsettled);
        }
        // A batch can only be repeated from bytes that are on the disk.
        self.part.sync()?;
        let mut done = Delivered::default();
        let mut splitter = Splitter::new(self.known());
        let mut batch = Vec::new();
        let mut buffer = vec![0; PIECE];
        let mut at = self.known();
        loop {
            let read = self.part.read_at(&mut buffer, at)?;
            at += read as u64;
            let split = match (read, end) {
                (0, PartEnd::AllComplete) => splitter.finish(),
                (0, PartEnd::LastMayBeTorn) => Ok(()),
                (read, _) => splitter.push(&buffer[..read]),
            };
            split.map_err(|error| self.no_mbox(error))?;
            while let Some(message) = splitter.next_message() {
                batch.push(message);
                if batch.len() >= BATCH_MESSAGES || message.next - self.known() >= BATCH_BYTES {
                    self.deliver_batch(&std::mem::take(&mut batch), &mut done)?;
                }
            }
            if read == 0 {
                break;
            }
        }
        self.deliver_batch(&batch, &mut done)?;
        if self.known() == self.part_end() {
            self.part.remove()?;
            if end == PartEnd::AllComplete {
                self.counted()?;
            }
        }
        Ok(done)
    }

    fn deliver_batch(&mut self, batch: &[Boundaries], done: &mut Delivered) -> Result<(), StoreError> {
        let Some(last) = batch.last() else { return Ok(()) };
        let (known, entries) = self.plan(batch)?;
        let news: Vec<Entry> = entries.iter().filter(|entry| !entry.known_before).copied().collect();
        let skipped = entries.len() - news.len();
        let bytes = last.next - self.known();
        if news.is_empty() {
            self.record(Record::Kept { known: Some(known), entries })?;
        } else {
            let intent = Intent { known, time: seconds(self.now), mbox: None, entries };
            match self.book.targets.get(self.book.target as usize).cloned() {
                Some(Delivery::Maildir(path)) => {
                    let disk = self.disk.clone();
                    self.fill_maildir(intent, &news, &Maildir { disk: &*disk, path: &path })?;
                }
                Some(Delivery::Mbox(path)) => {
                    let (disk, birth) = (self.disk.clone(), self.book.birth.clone());
                    let locker = Locker { birth: &birth, now: self.now };
                    self.append_mbox(intent, &LockedMbox::lock(&*disk, &path, locker)?)?;
                }
                None => return Err(self.ledger.damaged("it names no target")),
            }
        }
        done.messages += news.len();
        done.skipped_as_known += skipped;
        done.bytes += bytes;
        Ok(())
    }

    /// Says of each message what it is and whether it is here already; places are in a Maildir.
    fn plan(&self, batch: &[Boundaries]) -> Result<(Known, Vec<Entry>), StoreError> {
        let mut digest = self.book.known.clone();
        let mut entries = Vec::with_capacity(batch.len());
        let mut taken = Taken::new();
        let mut file = self.book.next_file;
        for message in batch {
            let mut content = MessageDigest::new();
            self.part.each_piece(digest.len(), message.start, &mut |piece| {
                digest.update(piece);
                Ok(())
            })?;
            let mut from_line = crc32fast::Hasher::new();
            self.part.each_piece(message.start, message.header, &mut |piece| {
                digest.update(piece);
                from_line.update(piece);
                Ok(())
            })?;
            self.part.each_piece(message.header, message.end, &mut |piece| {
                digest.update(piece);
                content.update(piece);
                Ok(())
            })?;
            self.part.each_piece(message.end, message.next, &mut |piece| {
                digest.update(piece);
                Ok(())
            })?;
            let id = content.finish();
            let from = (message.header - message.start, Some(from_line.finalize()));
            let here = self.book.spare_copy(id, from, &mut taken);
            let new = Place::Maildir { target: self.book.target, time: seconds(self.now), file };
            file += u64::from(here.is_none());
            entries.push(Entry {
                known_before: here.is_some(),
                start: message.start,
                from_line: from.0,
                from_crc: from.1,
                content: message.end - message.header,
                separator: message.next - message.end,
                id,
                place: here.unwrap_or(new),
            });
        }
        Ok((Known(digest), entries))
    }

    fn fill_maildir(&mut self, intent: Intent, news: &[Entry], maildir: &Maildir) -> Result<(), StoreError> {
        let names: Vec<String> = news.iter().filter_map(|entry| self.name(entry)).collect();
        let written = news
            .iter()
            .zip(&names)
            .try_for_each(|(entry, name)| maildir.write(name, &self.part, entry.header(), entry.end()))
            .and_then(|()| maildir.sync_tmp());
        if let Err(error) = written {
            maildir.forget(names.iter());
            return Err(error);
        }
        self.record(Record::Intent(intent))?;
        self.settle(Settling::AtOnce)
    }

    fn append_mbox(&mut self, mut intent: Intent, mbox: &LockedMbox) -> Result<(), StoreError> {
        let from = self.known();
        let blank_first = ranges(from, &intent).next().is_some_and(|(from, entry)| from < entry.start);
        let tail = mbox.tail(self.our_end(), blank_first)?;
        intent.mbox = Some(tail);
        let mut at = tail.len + tail.newlines;
        let placed: Vec<u64> = ranges(from, &intent)
            .map(|(from, entry)| {
                let place = at + (entry.start - from);
                at += entry.next() - from;
                place
            })
            .collect();
        let news = intent.entries.iter_mut().filter(|entry| !entry.known_before);
        for (entry, at) in news.zip(placed) {
            entry.place = Place::Mbox { target: self.book.target, at };
        }
        self.record(Record::Intent(intent.clone()))?;
        let mut at = tail.len;
        let written = self
            .appended(&intent, tail, &mut |piece| {
                mbox.file.write_all_at(piece, at).at("write to", mbox.path)?;
                at += piece.len() as u64;
                Ok(())
            })
            .and_then(|()| mbox.file.sync().at("sync", mbox.path));
        match written {
            Ok(()) => self.record(Record::Done),
            Err(error) => {
                // If this fails too, the next run finds the intent and sets it right.
                let _ = mbox.cut(tail.len).and_then(|()| self.record(Record::Undo(Vec::new())));
                Err(error)
            }
        }
    }

    /// Says what became of the batch that was begun last, if nobody has said so yet.
    pub(super) fn settle(&mut self, when: Settling) -> Result<(), StoreError> {
        let Some(intent) = self.book.pending.clone() else { return Ok(()) };
        let new = |entry: &&Entry| !entry.known_before;
        let target = intent.entries.iter().find(new).map_or(0, |entry| entry.place.target());
        let delivered = match self.book.targets.get(target as usize).cloned() {
            Some(Delivery::Maildir(path)) => {
                let disk = self.disk.clone();
                self.settle_maildir(&intent, &Maildir { disk: &*disk, path: &path }, when)?
            }
            Some(Delivery::Mbox(path)) => {
                let (disk, birth) = (self.disk.clone(), self.book.birth.clone());
                let locker = Locker { birth: &birth, now: self.now };
                self.settle_mbox(&intent, &LockedMbox::lock(&*disk, &path, locker)?, target)?
            }
            None => return Err(self.ledger.damaged("it names no target")),
        };
        if delivered.len() == intent.entries.iter().filter(new).count() {
            return self.record(Record::Done);
        }
        self.record(Record::Undo(delivered))?;
        match (when, self.book.targets.get(target as usize)) {
            (Settling::AtOnce, Some(Delivery::Maildir(path) | Delivery::Mbox(path))) => {
                let why = "another program removed messages from tmp while they were delivered; start again";
                Err(StoreError::Delivery { path: path.clone(), why })
            }
            (Settling::AtOnce, None) | (Settling::AfterCrash, _) => Ok(()),
        }
    }

    /// Renames what is in tmp. What is not was delivered before the crash and moved by its reader;
    /// unless so long ago that a reader may have cleared tmp: then it must be found to count.
    fn settle_maildir(
        &self,
        intent: &Intent,
        maildir: &Maildir,
        when: Settling,
    ) -> Result<Vec<usize>, StoreError> {
        if when == Settling::AfterCrash {
            maildir.check()?;
        }
        let age = seconds(self.now).saturating_sub(intent.time);
        let moved = when == Settling::AfterCrash && age < TMP_AGE_MAX.as_secs();
        let mut delivered = Vec::new();
        for (position, entry) in intent.entries.iter().enumerate().filter(|(_, entry)| !entry.known_before) {
            let Some(name) = self.name(entry) else { continue };
            if maildir.deliver(&name)? || moved || maildir.locate(&name)?.is_some() {
                delivered.push(position);
            }
        }
        maildir.sync_deliveries()?;
        Ok(delivered)
    }

    /// Looks at what stands behind the mbox's recorded length: takes a torn beginning away, and
    /// where other mail follows believes only in messages that stand there whole.
    fn settle_mbox(&self, intent: &Intent, mbox: &LockedMbox, target: u32) -> Result<Vec<usize>, StoreError> {
        let tail = intent.mbox.unwrap_or(Tail { len: mbox.len()?, newlines: 0 });
        let news = intent.entries.iter().enumerate().filter(|(_, entry)| !entry.known_before);
        let part_is_here = self.part.end(self.known()) >= intent.known.0.len();
        let behind = match part_is_here {
            true => mbox.compare(tail, &mut |each| self.appended(intent, tail, each))?,
            false => Behind::Foreign,
        };
        match behind {
            Behind::Whole => {
                mbox.file.sync().at("sync", mbox.path)?;
                Ok(news.map(|(position, _)| position).collect())
            }
            Behind::Torn => mbox.cut(tail.len).map(|()| Vec::new()),
            Behind::Foreign => {
                let mut here: Vec<_> = Vec::new();
                mbox_file::each_message(&*mbox.file, mbox.path, &mut |_, id| {
                    here.push(id);
                    true
                })?;
                let mut found: HashMap<MessageId, usize> = HashMap::new();
                // Two that are the same must stand there twice, beside those of earlier batches.
                let stands = |(_, entry): &(usize, &Entry)| {
                    let found = found.entry(entry.id).or_insert_with(|| self.book.count(entry.id, target));
                    *found += 1;
                    here.iter().filter(|id| **id == entry.id).count() >= *found
                };
                Ok(news.filter(stands).map(|(position, _)| position).collect())
            }
        }
    }

    /// Gives out what a batch appends to an mbox: newlines, then the messages as the host has them.
    fn appended(
        &self,
        intent: &Intent,
        tail: Tail,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 0..tail.newlines.min(NEWLINES_MAX) {
            each(b"\n")?;
        }
        ranges(self.known(), intent)
            .try_for_each(|(from, entry)| self.part.each_piece(from, entry.next(), each))
    }

    /// Where our last message in the mbox ends, if it is of this mailbox.
    fn our_end(&self) -> Option<u64> {
        let last = self.book.messages.iter().rev().find(|entry| !entry.known_before)?;
        match last.place {
            Place::Mbox { target, at } if target == self.book.target => {
                Some(at + last.from_line + last.content + last.separator)
            }
            Place::Mbox { .. } | Place::Maildir { .. } => None,
        }
    }

    fn name(&self, entry: &Entry) -> Option<String> {
        match entry.place {
            Place::Maildir { time, file, .. } => Some(file_name(&self.book, time, file)),
            Place::Mbox { .. } => None,
        }
    }

    fn no_mbox(&self, error: NotAnMbox) -> StoreError {
        let mailbox = self.book.mailbox.escape_debug().to_string();
        let shown = error.line.escape_ascii().to_string();
        match self.known() {
            0 => StoreError::NotAnMbox { mailbox, shown },
            _ => StoreError::NoBoundary { mailbox, at: error.at, shown },
        }
    }
}

/// The new messages of a batch with where each one's bytes begin: blank lines before it are its own.
fn ranges(known: u64, intent: &Intent) -> impl Iterator<Item = (u64, &Entry)> {
    let mut next = known;
    let starts = intent.entries.iter().map(move |entry| (std::mem::replace(&mut next, entry.next()), entry));
    starts.filter(|(_, entry)| !entry.known_before)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Messages that share one intent, and its fsyncs.
const BATCH_MESSAGES: usize = 64;
/// Bytes after which a batch is closed: what a crash may make us write twice.
const BATCH_BYTES: u64 = 8 << 20;
/// Maildir readers remove files from tmp that were not accessed for this long (maildir(5)).
const TMP_AGE_MAX: Duration = Duration::from_secs(36 * 60 * 60);
/// Newlines put before a message at most: a line's end and a blank line.
const NEWLINES_MAX: u64 = 2;
