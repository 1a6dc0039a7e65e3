//! What the ledger's records add up to: the same bookkeeping for a record read and for one just
//! written, so that a restart knows exactly what the run before knew.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::mailbox::{digest::PrefixDigest, identity::MessageId};

use super::Delivery;
use super::record::{Copied, Entry, FromMark, Intent, Known, Place, Record};

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
    copies: Copies,
    /// Messages that are here and, as far as is known, not in the mailbox: it was counted and they were
    /// not met, or they were about to be removed and nobody lived to say whether they were. Should the
    /// mailbox come back as it was, they are known by their From_ lines too, and by nothing less: words
    /// that are said again are a new message.
    doubtful: Copies,
    /// Messages of local mboxes that were removed from the mailbox. They are never seen there again,
    /// so one that says the same is new; but they still stand, or stood, in the mbox.
    gone: Vec<(MessageId, Place)>,
    /// A batch of which nobody has said yet whether it was delivered.
    pub(super) pending: Option<Intent>,
    /// Positions of messages of which nobody has said yet whether they were removed.
    pub(super) removing: Option<Vec<usize>>,
}

/// By what they say: where they are, and what is noted of their From_ lines.
type Copies = HashMap<MessageId, Vec<(FromMark, Place)>>;

/// Copies that a batch being planned has already taken.
pub(super) type Taken = HashSet<Place>;

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
                for Copied { id, place, from } in copies {
                    self.check_place(place)?;
                    self.copies.entry(id).or_default().push((from, place));
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
            Record::Removing(positions) => {
                if self.removing.is_some() || self.pending.is_some() {
                    return Err("what was begun before it was not ended");
                }
                let ascending = positions.is_sorted_by(|before, next| before < next);
                if !ascending || positions.last().is_none_or(|&last| last >= self.messages.len()) {
                    return Err("it names messages that are not there");
                }
                self.removing = Some(positions);
            }
            Record::Removed(known) => self.removed(known)?,
            Record::Stays => {
                self.removing.take().ok_or("it ends a removal that was not begun")?;
            }
            Record::Counted => {
                for (id, copies) in self.copies.drain() {
                    self.doubtful.entry(id).or_default().extend(copies);
                }
            }
            Record::Doubtful(doubtful) => {
                for Copied { id, place, from } in doubtful {
                    self.check_place(place)?;
                    self.doubtful.entry(id).or_default().push((from, place));
                }
            }
            Record::Gone(gone) => {
                gone.iter().try_for_each(|(_, place)| self.check_place(*place))?;
                self.gone.extend(gone);
            }
        }
        Ok(())
    }

    /// Where a message stands in the mailbox, up to the next one: its position counts from 0.
    pub(super) fn range(&self, position: usize) -> Option<Range<u64>> {
        let start = self.messages.get(position)?.start;
        let end = self.messages.get(position + 1).map_or(self.known.len(), |next| next.start);
        Some(start..end)
    }

    /// A place where this message is already, beside those that the batch has taken.
    pub(super) fn spare_copy(&self, id: MessageId, from: FromMark, taken: &mut Taken) -> Option<Place> {
        // Same words and the same From_ line, to the second: it is the very message. Of those that are
        // surely in the mailbox another From_ line is believed, too: a program may have rewritten it. Of
        // the doubtful ones it is not: a message is rather delivered twice than lost.
        let same = |mark: &FromMark| mark.1.is_some() && *mark == from;
        let copies = || self.copies.get(&id).into_iter().flatten().rev();
        let doubtful = self.doubtful.get(&id).into_iter().flatten();
        let the_same = copies().chain(doubtful).filter(|(mark, _)| same(mark));
        let mut places = the_same.chain(copies()).map(|(_, place)| *place);
        let place = places.find(|place| !taken.contains(place))?;
        taken.insert(place);
        Some(place)
    }

    /// True if messages are here that would still be looked for in the mailbox.
    pub(super) fn looks_for_copies(&self) -> bool {
        !self.copies.is_empty()
    }

    /// How often this message was delivered to this target.
    pub(super) fn count(&self, id: MessageId, target: u32) -> usize {
        let here = |place: &Place| place.target() == target;
        let messages = self.messages.iter().filter(|entry| entry.id == id && here(&entry.place)).count();
        let copies =
            [&self.copies, &self.doubtful].into_iter().filter_map(|copies| copies.get(&id)).flatten();
        let gone = self.gone.iter().filter(|(gone, place)| *gone == id && here(place)).count();
        messages + copies.filter(|(_, place)| here(place)).count() + gone
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
        let copies = chunks(&self.copies).map(Record::Copies);
        let doubtful = chunks(&self.doubtful).map(Record::Doubtful);
        let gone = self.gone.chunks(RECORD_ENTRIES).map(|chunk| Record::Gone(chunk.to_vec()));
        let chunks = self.messages.chunks(RECORD_ENTRIES);
        let messages = chunks.map(|chunk| Record::Kept { known: None, entries: chunk.to_vec() });
        let known = [Record::Kept { known: Some(Known(self.known.clone())), entries: Vec::new() }];
        let removing = self.removing.clone().map(Record::Removing);
        let here = copies.chain(doubtful).chain(gone).chain(messages).chain(known).chain(removing);
        head.into_iter().chain(targets).chain(next).chain(here)
    }

    /// Messages that the ledger must remember.
    pub(super) fn remembered(&self) -> usize {
        let copies = self.copies.values().map(Vec::len).sum::<usize>();
        let doubtful = self.doubtful.values().map(Vec::len).sum::<usize>();
        self.messages.len() + copies + doubtful + self.gone.len()
    }

    fn begin_epoch(&mut self, number: u64) -> Result<(), &'static str> {
        if self.pending.is_some() || number <= self.epoch {
            return Err("it is not in its place");
        }
        self.epoch = number;
        self.known = PrefixDigest::new();
        let mut removing = self.removing.take().unwrap_or_default().into_iter().peekable();
        for (position, entry) in std::mem::take(&mut self.messages).into_iter().enumerate() {
            if removing.next_if_eq(&position).is_some() {
                self.doubtful.entry(entry.id).or_default().push((entry.mark(), entry.place));
            } else {
                self.copies.entry(entry.id).or_default().push((entry.mark(), entry.place));
            }
        }
        Ok(())
    }

    /// Takes the messages out that were being removed. The offsets of those behind them move, or, when
    /// it is not known what the mailbox begins with now, all are counted again as after a change.
    fn removed(&mut self, known: Option<Known>) -> Result<(), &'static str> {
        let positions = self.removing.take().ok_or("it ends a removal that was not begun")?;
        let ranges: Vec<_> = positions.iter().filter_map(|&position| self.range(position)).collect();
        let out: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if known.as_ref().is_some_and(|known| known.0.len() != self.known.len() - out) {
            return Err("its offsets and checksums do not agree");
        }
        let mut out = 0;
        let mut gone = positions.iter().zip(ranges).peekable();
        for (position, mut entry) in std::mem::take(&mut self.messages).into_iter().enumerate() {
            if let Some((_, range)) = gone.next_if(|(gone, _)| **gone == position) {
                out += range.end - range.start;
                if matches!(entry.place, Place::Mbox { .. }) {
                    self.gone.push((entry.id, entry.place));
                }
            } else if known.is_some() {
                entry.start -= out; // it stands behind all that was taken out so far
                self.messages.push(entry);
            } else {
                self.copies.entry(entry.id).or_default().push((entry.mark(), entry.place));
            }
        }
        self.known = known.map_or_else(PrefixDigest::new, |known| known.0);
        self.epoch += 1;
        Ok(())
    }

    fn keep(&mut self, known: Option<Known>, entries: Vec<Entry>) -> Result<(), &'static str> {
        self.check_entries(known.as_ref(), &entries)?;
        for entry in entries.iter().filter(|entry| entry.known_before) {
            take_out(&mut self.copies, entry);
            take_out(&mut self.doubtful, entry);
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
                self.copies.entry(entry.id).or_default().push((entry.mark(), entry.place));
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

/// In portions that fit a line.
fn chunks(copies: &Copies) -> impl Iterator<Item = Vec<Copied>> + '_ {
    let each = |(id, all): (&MessageId, &Vec<(FromMark, Place)>)| {
        all.iter().map(|&(from, place)| Copied { id: *id, place, from }).collect::<Vec<_>>()
    };
    let mut all = copies.iter().flat_map(each);
    std::iter::from_fn(move || {
        let chunk: Vec<_> = all.by_ref().take(RECORD_ENTRIES).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Takes out the one that an entry has found.
fn take_out(copies: &mut Copies, entry: &Entry) {
    let Some(same) = copies.get_mut(&entry.id) else { return };
    if let Some(index) = same.iter().rposition(|(_, place)| *place == entry.place) {
        same.remove(index);
    }
    if same.is_empty() {
        copies.remove(&entry.id);
    }
}

/// Entries in one line of a rewritten ledger.
const RECORD_ENTRIES: usize = 64;
