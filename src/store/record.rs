//! The ledger's vocabulary: what each of its lines says, to text and back.

use std::ffi::OsString;
use std::fmt::Write as _;
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
    Copies(Vec<(MessageId, Place)>),
    /// These messages of the mailbox are here already; with `known`, all of it up to there is.
    Kept { known: Option<Known>, entries: Vec<Entry> },
    /// These messages are about to be delivered.
    Intent(Intent),
    /// The intent before was carried out.
    Done,
    /// The intent before was given up; of its messages only these (by position) were delivered.
    Undo(Vec<usize>),
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
    /// Length of its content.
    pub(super) content: u64,
    /// Length of the blank line behind it.
    pub(super) separator: u64,
    pub(super) id: MessageId,
    pub(super) place: Place,
}

/// Where a message was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            Self::Copies(copies) => copies.iter().fold("copies".to_owned(), |mut text, (id, place)| {
                // Writing to a String cannot fail.
                let _ = write!(text, " {id}:{}", place_text(place));
                text
            }),
            Self::Kept { known, entries } => {
                let known = known.as_ref().map_or("-".into(), |known| known.0.save());
                entries_text(format!("kept {known}"), entries)
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
            "copies" => Self::Copies(words.by_ref().map(parse_copy).collect::<Option<_>>()?),
            "kept" => {
                let known = match words.next()? {
                    "-" => None,
                    saved => Some(Known(PrefixDigest::restore(saved).ok()?)),
                };
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
            _ => return None,
        };
        words.next().is_none().then_some(record)
    }
}

fn entries_text(mut text: String, entries: &[Entry]) -> String {
    for entry in entries {
        let mark = if entry.known_before { '=' } else { '+' };
        let Entry { start, from_line, content, separator, id, place, .. } = entry;
        let place = place_text(place);
        // Writing to a String cannot fail.
        let _ = write!(text, " {mark}{start}:{from_line}:{content}:{separator}:{id}:{place}");
    }
    text
}

fn parse_entry(word: &str) -> Option<Entry> {
    let known_before = word.starts_with('=');
    let mut parts = word.strip_prefix(['=', '+'])?.splitn(6, ':');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (start, from_line, content, separator) = (number()?, number()?, number()?, number()?);
    let id = MessageId::parse(parts.next()?)?;
    let place = parse_place(parts.next()?)?;
    // A sum that cannot be is no mailbox's.
    start.checked_add(from_line)?.checked_add(content)?.checked_add(separator)?;
    Some(Entry { known_before, start, from_line, content, separator, id, place })
}

fn parse_copy(word: &str) -> Option<(MessageId, Place)> {
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

fn unescape(word: &str) -> Option<Vec<u8>> {
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
            Record::Copies(vec![(id, file), (id, mbox)]),
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
