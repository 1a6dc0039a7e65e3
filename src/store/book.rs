//! What the ledger's records add up to: the same bookkeeping for a record read and for one just
//! written, so that a restart knows exactly what the run before knew.

use std::collections::HashMap;

use crate::mailbox::{digest::PrefixDigest, identity::MessageId};

use super::Delivery;
use super::record::{Entry, Intent, Known, Place, Record};

/// The state of one account's mail.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// A word that no other ledger has; part of every file name given.
    pub(super) birth: String,
    /// The host name in file names, made harmless.
    pub(super) host: String,
    pub(super) mailbox: String,
    /// Counts how often the mailbox was begun anew.
    pub(super) epoch: u64,
    pub(super) targets: Vec<Delivery>,
    /// Index of the target that messages go to.
    pub(super) target: u32,
    /// Number of the next Maildir file.
    pub(super) next_file: u64,
    /// Checksums of the mailbox's prefix that is delivered.
    pub(super) known: PrefixDigest,
    /// The messages in that prefix.
    pub(super) messages: Vec<Entry>,
    /// Messages that are here but, so far, in no place of the mailbox: from before it changed. Two
    /// identical ones are two.
    copies: HashMap<MessageId, Vec<Place>>,
    /// A batch of which nobody has said yet whether it was delivered.
    pub(super) pending: Option<Intent>,
}

/// Copies that a batch being planned has already taken.
pub(super) type Taken = HashMap<MessageId, usize>;

impl Book {
    /// Takes a record in, or says why it cannot follow those before.
    pub(super) fn apply(&mut self, record: Record) -> Result<(), &'static str> {
        if self.birth.is_empty() != matches!(record, Record::Begin { .. }) {
            return Err("it is not in its place");
        }
        match record {
            Record::Begin { birth, host } => (self.birth, self.host) = (birth, host),
            Record::Mailbox(name) => self.mailbox = name,
            Record::Epoch(number) => self.begin_epoch(number)?,
            Record::Target(delivery) => {
                let index = self.targets.iter().position(|target| *target == delivery);
                self.target = u32::try_from(index.unwrap_or(self.targets.len()))
                    .map_err(|_| "it has too many targets")?;
                if index.is_none() {
                    self.targets.push(delivery);
                }
            }
            Record::NextFile(number) => self.next_file = number,
            Record::Copies(copies) => {
                for (id, place) in copies {
                    self.check_place(place)?;
                    self.copies.entry(id).or_default().push(place);
                }
            }
            Record::Kept { known, entries } => self.keep(known, entries)?,
            Record::Intent(intent) => {
                if self.pending.is_some() {
                    return Err("the batch before was not ended");
                }
                self.check_entries(Some(&intent.known), &intent.entries)?;
                for entry in &intent.entries {
                    if let Place::Maildir { file, .. } = entry.place {
                        self.next_file = self.next_file.max(file.saturating_add(1));
                    }
                }
                self.pending = Some(intent);
            }
            Record::Done => {
                let intent = self.pending.take().ok_or("it ends a batch that was not begun")?;
                self.keep(Some(intent.known), intent.entries)?;
            }
            Record::Undo(delivered) => self.undo(&delivered)?,
        }
        Ok(())
    }

    /// A place where this message is already, beside those that the batch has taken.
    pub(super) fn spare_copy(&self, id: MessageId, taken: &mut Taken) -> Option<Place> {
        let copies = self.copies.get(&id)?;
        let used = taken.entry(id).or_default();
        let place = copies.len().checked_sub(*used + 1).map(|index| copies[index])?;
        *used += 1;
        Some(place)
    }

    /// How often this message was delivered to this target.
    pub(super) fn count(&self, id: MessageId, target: u32) -> usize {
        let here = |place: &Place| place.target() == target;
        let messages = self.messages.iter().filter(|entry| entry.id == id && here(&entry.place)).count();
        messages + self.copies.get(&id).map_or(0, |copies| copies.iter().filter(|place| here(place)).count())
    }

    /// All of this in as few records as possible.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let head = [
            Record::Begin { birth: self.birth.clone(), host: self.host.clone() },
            Record::Mailbox(self.mailbox.clone()),
            Record::Epoch(self.epoch),
        ];
        let current = self.targets.get(self.target as usize).cloned();
        let targets = self.targets.iter().cloned().chain(current).map(Record::Target);
        let next = [Record::NextFile(self.next_file)];
        let mut copies = self.copies.iter().flat_map(|(id, places)| places.iter().map(|place| (*id, *place)));
        let copies = std::iter::from_fn(move || {
            let chunk: Vec<_> = copies.by_ref().take(RECORD_ENTRIES).collect();
            (!chunk.is_empty()).then_some(Record::Copies(chunk))
        });
        let chunks = self.messages.chunks(RECORD_ENTRIES);
        let messages = chunks.map(|chunk| Record::Kept { known: None, entries: chunk.to_vec() });
        let known = [Record::Kept { known: Some(Known(self.known.clone())), entries: Vec::new() }];
        head.into_iter().chain(targets).chain(next).chain(copies).chain(messages).chain(known)
    }

    /// Messages that the ledger must remember.
    pub(super) fn remembered(&self) -> usize {
        self.messages.len() + self.copies.values().map(Vec::len).sum::<usize>()
    }

    fn begin_epoch(&mut self, number: u64) -> Result<(), &'static str> {
        if self.pending.is_some() || number <= self.epoch {
            return Err("it is not in its place");
        }
        self.epoch = number;
        self.known = PrefixDigest::new();
        for entry in std::mem::take(&mut self.messages) {
            self.copies.entry(entry.id).or_default().push(entry.place);
        }
        Ok(())
    }

    fn keep(&mut self, known: Option<Known>, entries: Vec<Entry>) -> Result<(), &'static str> {
        self.check_entries(known.as_ref(), &entries)?;
        for entry in entries.iter().filter(|entry| entry.known_before) {
            let Some(places) = self.copies.get_mut(&entry.id) else { continue };
            if let Some(index) = places.iter().rposition(|place| *place == entry.place) {
                places.remove(index);
            }
            if places.is_empty() {
                self.copies.remove(&entry.id);
            }
        }
        self.messages.extend(entries);
        if let Some(known) = known {
            self.known = known.0;
        }
        Ok(())
    }

    fn undo(&mut self, delivered: &[usize]) -> Result<(), &'static str> {
        let intent = self.pending.take().ok_or("it ends a batch that was not begun")?;
        for &position in delivered {
            let entry = intent.entries.get(position).ok_or("it names a message that was not in the batch")?;
            if !entry.known_before {
                self.copies.entry(entry.id).or_default().push(entry.place);
            }
        }
        Ok(())
    }

    /// Messages follow each other, and the prefix ends with the last.
    fn check_entries(&self, known: Option<&Known>, entries: &[Entry]) -> Result<(), &'static str> {
        let mut end = self.messages.last().map_or(0, Entry::next).max(self.known.len());
        for entry in entries {
            if entry.start < end {
                return Err("its offsets do not follow those before");
            }
            self.check_place(entry.place)?;
            end = entry.next();
        }
        match known {
            Some(known) if known.0.len() != end => Err("its offsets and checksums do not agree"),
            Some(_) | None => Ok(()),
        }
    }

    fn check_place(&self, place: Place) -> Result<(), &'static str> {
        let target = self.targets.get(place.target() as usize);
        match (place, target) {
            (Place::Maildir { .. }, Some(Delivery::Maildir(_)))
            | (Place::Mbox { .. }, Some(Delivery::Mbox(_))) => Ok(()),
            (Place::Maildir { .. } | Place::Mbox { .. }, _) => Err("it names a target that is not there"),
        }
    }
}

/// Entries in one line of a rewritten ledger.
const RECORD_ENTRIES: usize = 64;
