//! A message's identity: what it says, whatever mail programs noted in it since.
//!
//! When a host's mailbox was rewritten (a message deleted, a Status header added), offsets mean
//! nothing any more and only the content can say which messages are here already. So the digest
//! leaves out what programs rewrite: the From_ line, the headers in [`REWRITTEN`], CR before LF and
//! the newlines at the end.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use memchr::memchr;
use sha2::{Digest, Sha256};

/// The SHA-256 of a message's lasting content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 32]);

impl MessageId {
    /// The identity of a whole message without its From_ line.
    pub fn of(content: &[u8]) -> Self {
        let mut digest = MessageDigest::new();
        digest.update(content);
        digest.finish()
    }

    /// Reads what `Display` wrote.
    pub fn parse(hex: &str) -> Option<Self> {
        let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// Computes a [`MessageId`] of a message that comes in slices of any size.
#[derive(Debug, Clone)]
pub struct MessageDigest {
    at: Place,
    /// The last header line was left out, and so are its folded lines.
    dropping: bool,
    text: LastingText,
}

#[derive(Debug, Clone)]
enum Place {
    HeaderLineStart,
    /// In a header's name: its bytes so far, at most [`NAME_MAX`] and one.
    Name(Vec<u8>),
    HeaderLineRest,
    Body,
}

impl MessageDigest {
    /// At the first byte behind the From_ line.
    pub fn new() -> Self {
        Self { at: Place::HeaderLineStart, dropping: false, text: LastingText::default() }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &mut self.at {
                Place::Body => {
                    self.text.update(bytes);
                    bytes.len()
                }
                Place::HeaderLineRest => {
                    let len = memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
                    if !self.dropping {
                        self.text.update(&bytes[..len]);
                    }
                    if bytes[len - 1] == b'\n' {
                        self.at = Place::HeaderLineStart;
                    }
                    len
                }
                // RFC 5322 section 2.2.3: a folded line belongs to the header before it.
                Place::HeaderLineStart if matches!(bytes[0], b' ' | b'\t') => {
                    self.at = Place::HeaderLineRest;
                    0
                }
                Place::HeaderLineStart => {
                    self.at = Place::Name(Vec::new());
                    0
                }
                Place::Name(name) => {
                    name.push(bytes[0]);
                    let name = std::mem::take(name);
                    self.name(name);
                    1
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// The identity of what was taken.
    pub fn finish(mut self) -> MessageId {
        if let Place::Name(name) = &self.at {
            self.text.update(name);
        }
        MessageId(self.text.finish())
    }

    /// Decides about a header line as soon as its name is known.
    fn name(&mut self, name: Vec<u8>) {
        let blank = name == b"\n" || name == b"\r\n";
        let ended = name.ends_with(b"\n");
        let known = name.strip_suffix(b":").is_some_and(is_rewritten);
        if !ended && !known && name.len() <= NAME_MAX && !name.ends_with(b":") {
            self.at = Place::Name(name);
            return;
        }
        self.dropping = known;
        if !known {
            self.text.update(&name);
        }
        self.at = match (blank, ended) {
            (true, _) => Place::Body,
            (false, true) => Place::HeaderLineStart,
            (false, false) => Place::HeaderLineRest,
        };
    }
}

impl Default for MessageDigest {
    fn default() -> Self {
        Self::new()
    }
}

/// Hashes text with LF for CR LF and without the newlines at its end.
#[derive(Debug, Clone, Default)]
struct LastingText {
    hash: Sha256,
    /// Newlines that count only if more text follows.
    newlines: u64,
    /// A CR behind them that counts only if no LF follows.
    cr: bool,
}

impl LastingText {
    fn update(&mut self, mut bytes: &[u8]) {
        while let Some(newline) = memchr(b'\n', bytes) {
            self.within_line(&bytes[..newline]);
            self.cr = false;
            self.newlines += 1;
            bytes = &bytes[newline + 1..];
        }
        self.within_line(bytes);
    }

    fn within_line(&mut self, bytes: &[u8]) {
        let (text, cr) = match bytes {
            [] => return,
            [text @ .., b'\r'] => (text, true),
            text => (text, false),
        };
        if !text.is_empty() || self.cr {
            self.release();
        }
        self.hash.update(text);
        self.cr = cr;
    }

    fn release(&mut self) {
        while self.newlines > 0 {
            let run = self.newlines.min(NEWLINES.len() as u64);
            self.hash.update(&NEWLINES[..run as usize]);
            self.newlines -= run;
        }
        if std::mem::take(&mut self.cr) {
            self.hash.update(b"\r");
        }
    }

    fn finish(mut self) -> [u8; 32] {
        if self.cr {
            self.release();
        }
        self.hash.finalize().into()
    }
}

fn is_rewritten(name: &[u8]) -> bool {
    REWRITTEN.iter().any(|header| name.eq_ignore_ascii_case(header.as_bytes()))
}

/// Headers in which mail programs keep notes of their own inside the mailbox.
pub const REWRITTEN: [&str; 8] =
    ["Status", "X-Status", "X-UID", "X-IMAP", "X-IMAPbase", "X-Keywords", "Content-Length", "Lines"];
/// Bytes of the longest name in [`REWRITTEN`], with its colon.
const NAME_MAX: usize = "Content-Length:".len();
const NEWLINES: [u8; 64] = [b'\n'; 64];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &str = "Received: here\nSubject: hi\n\nStatus: quo\nhello\n";

    fn id(text: &str) -> MessageId {
        MessageId::of(text.as_bytes())
    }

    #[test]
    fn a_mail_programs_notes_change_nothing() {
        for same in [
            "Received: here\nStatus: RO\nSubject: hi\nX-IMAPbase: 1 2\n  folded\n\tagain\n\nStatus: quo\nhello\n",
            "content-length: 17\nReceived: here\nSubject: hi\nLines:\n\nStatus: quo\nhello\n\n\n",
            "Received: here\r\nSubject: hi\r\n\r\nStatus: quo\r\nhello",
        ] {
            assert_eq!(id(same), id(PLAIN), "{same}");
        }
    }

    #[test]
    fn what_a_message_says_changes_it() {
        for other in [
            "Received: there\nSubject: hi\n\nStatus: quo\nhello\n",
            "Received: here\nSubject: hi\n\nhello\n",
            "Received: here\nSubject: hi\n\n\nStatus: quo\nhello\n",
            "Received: here\nSubject: hi\n\nStatus: quo\nhello\n\r",
            "Received: here\nX-Statuses: 1\nSubject: hi\n\nStatus: quo\nhello\n",
            "Received: here\n Status: RO\nSubject: hi\n\nStatus: quo\nhello\n",
            "Received: here\nSubject: hi\nStatus\n\nStatus: quo\nhello\n",
            "",
        ] {
            assert_ne!(id(other), id(PLAIN), "{other}");
        }
    }

    #[test]
    fn hex_there_and_back() {
        assert_eq!(MessageId::parse(&id(PLAIN).to_string()), Some(id(PLAIN)));
        assert_eq!(MessageId::parse("12"), None);
        assert_eq!(
            id("\n").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
        );
    }

    #[test]
    fn slices_change_nothing_split_at_every_byte() {
        let text = b"X-Status: A\r\n b\r\nStatus:\nSubject: x\nno colon\nLines: 1\n c\r\n\r\n\r\r\nStatus: b\r\n\n\nend\r\n\r";
        let bytewise = text.chunks(1).fold(MessageDigest::new(), |mut digest, byte| {
            digest.update(byte);
            digest
        });
        assert_eq!(bytewise.finish(), MessageId::of(text));
        for at in 0..=text.len() {
            let mut digest = MessageDigest::new();
            digest.update(&text[..at]);
            digest.update(&text[at..]);
            assert_eq!(digest.finish(), MessageId::of(text), "split at {at}");
        }
    }

    proptest! {
        #[test]
        fn any_text_in_two_slices(text in "(\r|\n|Status|:| |[a-z]{0,3}){0,30}", at in 0usize..80) {
            let (a, b) = text.as_bytes().split_at(at.min(text.len()));
            let mut digest = MessageDigest::new();
            digest.update(a);
            digest.update(b);
            prop_assert_eq!(digest.finish(), id(&text));
        }
    }
}
