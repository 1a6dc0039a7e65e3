//! The ledger's vocabulary: what each of its lines says, to text and back.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::mailbox::{digest::PrefixDigest, identity::MessageId};

use super::Delivery;

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    /// The first line: a word that no other ledger has, and the host name used in file names.
    Begin { birth: String, host: String },
    /// Which mailbox on the host the following is about.
    Mailbox(String),
    /// From here on a mailbox is counted from its beginning again.
    Epoch(u64),
    /// Where the following messages go. Targets are numbered from 0 in the order of appearance.
    Target(Delivery),
    /// The number of the next Maildir file.
    NextFile(u64),
    /// Messages of earlier epochs that are here.
    Copies(Vec<Copied>),
    /// These messages of the mailbox are here already; with `known`, all of it up to there is.
    Kept { known: Option<Known>, entries: Vec<Entry> },
    /// These messages are about to be delivered.
    Intent(Intent),
    /// The intent before was carried out.
    Done,
    /// The intent before was given up; of its messages only these (by position) were delivered.
    Undo(Vec<usize>),
    /// These messages of the mailbox (by position, ascending) are about to be removed from it.
    Removing(Vec<usize>),
    /// They were. `known` is what is left of the prefix; without it the mailbox is counted from its
    /// beginning again.
    Removed(Option<Known>),
    /// They were not.
    Stays,
    /// The mailbox was counted to its end: what has not been met in it is not in it.
    Counted,
    /// Messages of which nobody knows whether they are still in the mailbox.
    Doubtful(Vec<Copied>),
    /// Messages that were removed from the mailbox and stand in a local mbox, perhaps.
    Gone(Vec<(MessageId, Place)>),
}

/// A length of the mailbox's prefix, with its checksums.
#[derive(Clone)]
pub(super) struct Known(pub(super) PrefixDigest);

/// What one batch will deliver.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Intent {
    /// Up to where the mailbox is delivered afterwards.
    pub(super) known: Known,
    /// When, in seconds since 1970.
    pub(super) time: u64,
    /// For an mbox: its length before, and the newlines to put first.
    pub(super) mbox: Option<Tail>,
    /// The messages, in the mailbox's order, tiling it without gaps.
    pub(super) entries: Vec<Entry>,
}

/// The end of a local mbox before something was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) len: u64,
    /// Newlines put between what was there and the first message.
    pub(super) newlines: u64,
}

/// One message of the host's mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// True if it was here before, found by its identity.
    pub(super) known_before: bool,
    /// Where its From_ line begins in the host's mailbox.
    pub(super) start: u64,
    /// Length of its From_ line.
    pub(super) from_line: u64,
    /// The CRC-32 of its From_ line. Earlier versions did not note it.
    pub(super) from_crc: Option<u32>,
    /// Length of its content.
    pub(super) content: u64,
    /// Length of the blank line behind it.
    pub(super) separator: u64,
    pub(super) id: MessageId,
    pub(super) place: Place,
}

/// A message that is here and, so far, in no place of the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) id: MessageId,
    pub(super) place: Place,
    pub(super) from: FromMark,
}

/// What is noted of a From_ line: its length and CRC-32. Earlier versions noted less.
pub(super) type FromMark = (u64, Option<u32>);

/// Where a message was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A Maildir, and the two numbers that its file name is made of.
    Maildir { target: u32, time: u64, file: u64 },
    /// An mbox, and where the From_ line was put.
    Mbox { target: u32, at: u64 },
}

impl Place {
    /// Index of the Maildir or mbox it is in.
    pub(super) fn target(&self) -> u32 {
        match self {
            Self::Maildir { target, .. } | Self::Mbox { target, .. } => *target,
        }
    }
}

impl Entry {
    /// What is noted of its From_ line.
    pub(super) fn mark(&self) -> FromMark {
        (self.from_line, self.from_crc)
    }

    /// Where its content begins.
    pub(super) fn header(&self) -> u64 {
        self.start + self.from_line
    }

    /// Where its content ends.
    pub(super) fn end(&self) -> u64 {
        self.header() + self.content
    }

    /// Where the next message begins.
    pub(super) fn next(&self) -> u64 {
        self.end() + self.separator
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.save() == other.0.save()
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Record {
    /// The line's text, without number, checksum and newline.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Begin { birth, host } => format!("{BEGIN} {birth} {}", escape(host.as_bytes())),
            Self::Mailbox(name) => format!("mailbox {}", escape(name.as_bytes())),
            Self::Epoch(number) => format!("epoch {number}"),
            Self::Target(Delivery::Maildir(path)) => {
                format!("target maildir {}", escape(path.as_os_str().as_bytes()))
            }
            Self::Target(Delivery::Mbox(path)) => {
                format!("target mbox {}", escape(path.as_os_str().as_bytes()))
            }
            Self::NextFile(number) => format!("next {number}"),
            Self::Copies(copies) => copies_text("copies", copies),
            Self::Doubtful(copies) => copies_text("doubtful", copies),
            Self::Gone(gone) => gone.iter().fold("gone".to_owned(), |mut text, (id, place)| {
                let _ = write!(text, " {id}:{}", place_text(place));
                text
            }),
            Self::Kept { known, entries } => {
                entries_text(format!("kept {}", known_text(known.as_ref())), entries)
            }
            Self::Intent(intent) => {
                let tail = intent.mbox.map_or("-".into(), |tail| format!("{}:{}", tail.len, tail.newlines));
                let head = format!("intent {} {tail} {}", intent.time, intent.known.0.save());
                entries_text(head, &intent.entries)
            }
            Self::Done => "done".into(),
            Self::Undo(delivered) => delivered.iter().fold("undo".to_owned(), |mut text, position| {
                let _ = write!(text, " {position}");
                text
            }),
            Self::Removing(positions) => runs(positions).fold("removing".to_owned(), |mut text, run| {
                let _ = write!(text, " {}-{}", run.start(), run.end());
                text
            }),
            Self::Removed(known) => format!("removed {}", known_text(known.as_ref())),
            Self::Stays => "stays".into(),
            Self::Counted => "counted".into(),
        }
    }

    /// Reads what [`Self::to_text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let record = match words.next()? {
            BEGIN => Self::Begin { birth: words.next()?.to_owned(), host: unescape_text(words.next()?)? },
            "mailbox" => Self::Mailbox(unescape_text(words.next()?)?),
            "epoch" => Self::Epoch(words.next()?.parse().ok()?),
            "target" => {
                let (kind, path) = (words.next()?, unescape(words.next()?)?);
                let path = PathBuf::from(OsString::from_vec(path));
                match kind {
                    "maildir" => Self::Target(Delivery::Maildir(path)),
                    "mbox" => Self::Target(Delivery::Mbox(path)),
                    _ => return None,
                }
            }
            "next" => Self::NextFile(words.next()?.parse().ok()?),
            "copies" => Self::Copies(words.by_ref().map(parse_copied).collect::<Option<_>>()?),
            "kept" => {
                let known = parse_known(words.next()?)?;
                Self::Kept { known, entries: words.by_ref().map(parse_entry).collect::<Option<_>>()? }
            }
            "intent" => {
                let time = words.next()?.parse().ok()?;
                let mbox = parse_tail(words.next()?)?;
                let known = Known(PrefixDigest::restore(words.next()?).ok()?);
                let entries = words.by_ref().map(parse_entry).collect::<Option<_>>()?;
                Self::Intent(Intent { known, time, mbox, entries })
            }
            "done" => Self::Done,
            "undo" => Self::Undo(words.by_ref().map(|word| word.parse().ok()).collect::<Option<_>>()?),
            "removing" => Self::Removing(parse_runs(words.by_ref())?),
            "removed" => Self::Removed(parse_known(words.next()?)?),
            "stays" => Self::Stays,
            "counted" => Self::Counted,
            "doubtful" => Self::Doubtful(words.by_ref().map(parse_copied).collect::<Option<_>>()?),
            "gone" => Self::Gone(words.by_ref().map(parse_gone).collect::<Option<_>>()?),
            _ => return None,
        };
        words.next().is_none().then_some(record)
    }
}

fn entries_text(mut text: String, entries: &[Entry]) -> String {
    for entry in entries {
        let mark = if entry.known_before { '=' } else { '+' };
        let Entry { start, content, separator, id, place, .. } = entry;
        let (from, place) = (mark_text(entry.mark()), place_text(place));
        // Writing to a String cannot fail.
        let _ = write!(text, " {mark}{start}:{from}:{content}:{separator}:{id}:{place}");
    }
    text
}

fn parse_entry(word: &str) -> Option<Entry> {
    let known_before = word.starts_with('=');
    let mut parts = word.strip_prefix(['=', '+'])?.splitn(6, ':');
    let start: u64 = parts.next()?.parse().ok()?;
    let (from_line, from_crc) = parse_mark(parts.next()?)?;
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (content, separator) = (number()?, number()?);
    let id = MessageId::parse(parts.next()?)?;
    let place = parse_place(parts.next()?)?;
    // A sum that cannot be is no mailbox's.
    start.checked_add(from_line)?.checked_add(content)?.checked_add(separator)?;
    Some(Entry { known_before, start, from_line, from_crc, content, separator, id, place })
}

fn copies_text(word: &str, copies: &[Copied]) -> String {
    copies.iter().fold(word.to_owned(), |mut text, Copied { id, place, from }| {
        // Writing to a String cannot fail.
        let _ = write!(text, " {id}:{}:{}", place_text(place), mark_text(*from));
        text
    })
}

fn known_text(known: Option<&Known>) -> String {
    known.map_or("-".into(), |known| known.0.save())
}

fn parse_known(word: &str) -> Option<Option<Known>> {
    match word {
        "-" => Some(None),
        saved => Some(Some(Known(PrefixDigest::restore(saved).ok()?))),
    }
}

/// A From_ line's length and CRC: `32.89abcdef`.
fn mark_text((len, crc): FromMark) -> String {
    crc.map_or_else(|| len.to_string(), |crc| format!("{len}.{crc:08x}"))
}

fn parse_mark(word: &str) -> Option<FromMark> {
    match word.split_once('.') {
        None => Some((word.parse().ok()?, None)),
        Some((len, crc)) => Some((len.parse().ok()?, Some(u32::from_str_radix(crc, 16).ok()?))),
    }
}

fn parse_copied(word: &str) -> Option<Copied> {
    let mut parts = word.splitn(3, ':');
    let (id, place) = (MessageId::parse(parts.next()?)?, parse_place(parts.next()?)?);
    let from = parts.next().map_or(Some((0, None)), parse_mark)?;
    Some(Copied { id, place, from })
}

/// Ascending numbers as runs of neighbours.
pub(super) fn runs(positions: &[usize]) -> impl Iterator<Item = RangeInclusive<usize>> + '_ {
    let neighbours = positions.chunk_by(|before, next| before.checked_add(1) == Some(*next));
    neighbours.filter_map(|run| Some(*run.first()?..=*run.last()?))
}

fn parse_runs<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<usize>> {
    let mut positions = Vec::new();
    for word in words {
        let (first, last) = word.split_once('-')?;
        let run = first.parse::<usize>().ok()?..=last.parse().ok()?;
        // No mailbox has as many messages: a damaged line must not fill the memory.
        if run.end() - run.start().min(run.end()) > POSITIONS_MAX {
            return None;
        }
        positions.extend(run);
    }
    Some(positions)
}

fn parse_gone(word: &str) -> Option<(MessageId, Place)> {
    let (id, place) = word.split_once(':')?;
    Some((MessageId::parse(id)?, parse_place(place)?))
}

fn place_text(place: &Place) -> String {
    match place {
        Place::Maildir { target, time, file } => format!("d{target}.{time}.{file}"),
        Place::Mbox { target, at } => format!("b{target}.{at}"),
    }
}

fn parse_place(text: &str) -> Option<Place> {
    let kind = text.get(..1)?;
    let mut parts = text.get(1..)?.split('.');
    let target = parts.next()?.parse().ok()?;
    let mut number = || parts.next()?.parse::<u64>().ok();
    let place = match kind {
        "d" => Place::Maildir { target, time: number()?, file: number()? },
        "b" => Place::Mbox { target, at: number()? },
        _ => return None,
    };
    parts.next().is_none().then_some(place)
}

fn parse_tail(word: &str) -> Option<Option<Tail>> {
    if word == "-" {
        return Some(None);
    }
    let (len, newlines) = word.split_once(':')?;
    Some(Some(Tail { len: len.parse().ok()?, newlines: newlines.parse().ok()? }))
}

/// Any bytes as one printable word.
pub(super) fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut word, &byte| {
        match byte {
            b'%' | 0..=b' ' | 0x7f.. => {
                let _ = write!(word, "%{byte:02x}");
            }
            plain => word.push(plain.into()),
        }
        word
    })
}

pub(super) fn unescape(word: &str) -> Option<Vec<u8>> {
    let mut pieces = word.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    Some(bytes)
}

pub(super) fn unescape_text(word: &str) -> Option<String> {
    String::from_utf8(unescape(word)?).ok()
}

/// Messages of the largest mailbox that is believed.
const POSITIONS_MAX: usize = 100_000_000;
/// The ledger's first word. The number grows when a line changes its meaning.
const BEGIN: &str = "mailcall-ledger-1";

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Record> {
        let mut digest = PrefixDigest::new();
        digest.update(b"From x\n");
        let id = MessageId::of(b"x");
        let file = Place::Maildir { target: 3, time: 1_700_000_000, file: 7 };
        let mbox = Place::Mbox { target: 0, at: 5_000_000_000 };
        let entry = |known_before, place| Entry {
            known_before,
            start: 5_000_000_000,
            from_line: 32,
            from_crc: Some(7),
            content: 0,
            separator: 2,
            id,
            place,
        };
        let known = Known(digest);
        vec![
            Record::Begin { birth: "b1".into(), host: "host".into() },
            Record::Mailbox("/var/mail/mary and % \u{e9}\n".into()),
            Record::Epoch(2),
            Record::Target(Delivery::Maildir("/home/mary/Mail dir".into())),
            Record::Target(Delivery::Mbox(PathBuf::from(OsString::from_vec(b"/\xff%0".to_vec())))),
            Record::NextFile(12),
            Record::Copies(vec![
                Copied { id, place: mbox, from: (32, Some(u32::MAX)) },
                Copied { id, place: file, from: (0, None) },
            ]),
            Record::Kept { known: Some(known.clone()), entries: vec![entry(true, file)] },
            Record::Kept { known: None, entries: vec![] },
            Record::Intent(Intent {
                known: known.clone(),
                time: 1,
                mbox: Some(Tail { len: 5, newlines: 2 }),
                entries: vec![entry(false, mbox), entry(true, mbox)],
            }),
            Record::Intent(Intent { known, time: 1, mbox: None, entries: vec![] }),
            Record::Done,
            Record::Undo(vec![]),
            Record::Undo(vec![0, 5]),
            Record::Removing(vec![0, 2, 3, 4, 9]),
            Record::Removing(vec![]),
            Record::Removed(None),
            Record::Removed(Some(Known(PrefixDigest::new()))),
            Record::Stays,
            Record::Counted,
            Record::Doubtful(vec![Copied { id, place: mbox, from: (32, Some(0)) }]),
            Record::Gone(vec![(id, mbox)]),
        ]
    }

    #[test]
    fn every_record_there_and_back_on_one_printable_line() {
        for record in all() {
            let text = record.to_text();
            assert!(text.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{text}");
            assert_eq!(Record::parse(&text), Some(record), "{text}");
        }
    }

    #[test]
    fn a_line_of_a_version_that_noted_no_from_lines_is_read() {
        let id = MessageId::of(b"x");
        let text = format!("kept - =5:32:0:2:{id}:d3.9.7");
        let Some(Record::Kept { entries, .. }) = Record::parse(&text) else { panic!("{text}") };
        assert_eq!(entries[0].mark(), (32, None));
        let copied = Copied { id, place: entries[0].place, from: (0, None) };
        assert_eq!(Record::parse(&format!("copies {id}:d3.9.7")), Some(Record::Copies(vec![copied])));
        assert_eq!(Record::parse(&format!("removing 0-{}", u64::MAX)), None);
    }

    #[test]
    fn a_line_cut_anywhere_panics_nowhere() {
        for record in all() {
            let text = record.to_text();
            for at in 0..text.len() {
                let _ = Record::parse(&text[..at]);
            }
            assert_eq!(Record::parse(&format!("{text} \u{e9}")), None);
        }
        assert_eq!(Record::parse("mailbox %\u{e9}\u{e9}"), None);
    }
}
