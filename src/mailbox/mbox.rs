//! Finds the messages of an mbox, in bytes that arrive in any slices.
//!
//! A From_ line begins a message at the file's start whatever it says; after a blank line if it has
//! a date in it; and without a blank line only if its date is asctime's, so that a sentence which
//! begins with "From " and was not quoted does not tear a message in two. The one blank line before
//! a From_ line (or at the end) separates messages and belongs to none.

use std::collections::VecDeque;

use memchr::memchr;

use super::from_line::{Form, FromLine, PREFIX};

/// Where a message stands in its mailbox: offsets from the mailbox's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundaries {
    /// Its From_ line's first byte.
    pub start: u64,
    /// The byte behind the From_ line: the header's first, or the end.
    pub header: u64,
    /// The byte behind its content.
    pub end: u64,
    /// The byte behind the blank line that separates it from the next message.
    pub next: u64,
}

/// The bytes are no mbox: something other than a From_ line stands where a message must begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no From_ line at byte {at}, but {}", line.escape_ascii())]
pub struct NotAnMbox {
    /// Where the line begins.
    pub at: u64,
    /// Its first bytes, at most [`SHOWN_MAX`].
    pub line: Vec<u8>,
}

/// Takes an mbox in slices of any size and gives out where its messages are.
///
/// ```
/// # use mailcall::mailbox::mbox::Splitter;
/// let mut splitter = Splitter::new(0);
/// splitter.push(b"From mary Thu Jan  1 00:00:00 1970\nSubject: hi\n\nhello\n\nFrom joe Th")?;
/// assert_eq!(splitter.next_message(), None); // the second From_ line may still become anything
/// splitter.push(b"u Jan  1 00:00:01 1970\n")?;
/// assert_eq!(splitter.next_message().map(|m| (m.start, m.header, m.end, m.next)), Some((0, 35, 54, 55)));
/// # Ok::<(), mailcall::mailbox::mbox::NotAnMbox>(())
/// ```
#[derive(Debug, Clone)]
pub struct Splitter {
    at: Place,
    /// The blank line right before the line being read: its length, 0 if there is none.
    blank: u64,
    line: Line,
    found: VecDeque<Boundaries>,
}

/// What the line being read belongs to.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Before the first From_ line: only blank lines may stand here.
    Start,
    /// In a message. `crlf`: its From_ line ended so, and its separator may too.
    Message { start: u64, header: u64, crlf: bool },
    /// Behind a line that made it no mbox.
    Refused,
}

/// The line being read, when a slice ended in its middle.
#[derive(Debug, Clone, Default)]
struct Line {
    start: u64,
    len: u64,
    /// Its first bytes, kept only as long as they may become a From_ line or a blank one.
    head: Vec<u8>,
}

impl Splitter {
    /// A splitter for an mbox, or for the rest of one from the boundary at offset `base` on.
    pub fn new(base: u64) -> Self {
        Self {
            at: Place::Start,
            blank: 0,
            line: Line { start: base, ..Line::default() },
            found: VecDeque::new(),
        }
    }

    /// Takes the next bytes. After an error it takes no more and answers nothing new.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), NotAnMbox> {
        while !bytes.is_empty() {
            if matches!(self.at, Place::Refused) {
                return Ok(());
            }
            let Some(newline) = memchr(b'\n', bytes) else {
                self.line.extend(bytes);
                return self.refuse_early();
            };
            let (piece, rest) = bytes.split_at(newline + 1);
            bytes = rest;
            if self.line.len == 0 {
                // The usual case, a whole line in one slice, is judged where it lies.
                self.line.len = piece.len() as u64;
                self.judge(piece)?;
            } else {
                self.line.extend(piece);
                let head = std::mem::take(&mut self.line.head);
                self.judge(&head)?;
            }
            self.line = Line { start: self.line.start + self.line.len, ..Line::default() };
        }
        Ok(())
    }

    /// The next message whose end is known, in the mailbox's order.
    pub fn next_message(&mut self) -> Option<Boundaries> {
        self.found.pop_front()
    }

    /// Says that the mailbox ends here: [`Self::next_message`] then gives out the last message too.
    pub fn finish(&mut self) -> Result<(), NotAnMbox> {
        let end = self.line.start + self.line.len;
        if self.line.len > 0 {
            let head = std::mem::take(&mut self.line.head);
            self.judge(&head)?;
            self.line = Line { start: end, ..Line::default() };
        }
        self.close(end);
        self.at = Place::Start;
        Ok(())
    }

    /// A whole line (of a long one, the head).
    fn judge(&mut self, line: &[u8]) -> Result<(), NotAnMbox> {
        let blank = match line {
            b"\n" => 1,
            b"\r\n" => 2,
            _ => 0,
        };
        if blank == 0 && self.begins_message(line) {
            self.close(self.line.start);
            let header = self.line.start + self.line.len;
            self.at = Place::Message { start: self.line.start, header, crlf: line.ends_with(b"\r\n") };
        } else if blank == 0 && matches!(self.at, Place::Start) {
            return Err(self.refuse(line));
        }
        self.blank = blank;
        Ok(())
    }

    fn begins_message(&self, line: &[u8]) -> bool {
        if !line.starts_with(PREFIX) || self.line.len > FROM_LINE_MAX as u64 {
            return false;
        }
        let Some(from) = FromLine::parse(line) else { return false };
        match self.at {
            Place::Start => true,
            Place::Message { .. } if self.blank > 0 => from.form >= Form::Dated,
            Place::Message { .. } => from.form == Form::Asctime,
            Place::Refused => false,
        }
    }

    /// Ends the message being read, if there is one, before `next`.
    fn close(&mut self, next: u64) {
        let Place::Message { start, header, crlf } = self.at else { return };
        // A CR LF before the From_ line of a mailbox with LF is the content's own last line.
        let separator = if self.blank == 2 && !crlf { 0 } else { self.blank };
        self.found.push_back(Boundaries { start, header, end: next - separator, next });
        self.blank = 0;
    }

    /// Says that it is no mbox as soon as that is certain: a line may be 2 GB long.
    fn refuse_early(&mut self) -> Result<(), NotAnMbox> {
        let head = &self.line.head;
        let hope = self.line.len <= FROM_LINE_MAX as u64
            && (head.starts_with(PREFIX) || PREFIX.starts_with(head) || head == b"\r");
        if matches!(self.at, Place::Start) && !hope {
            let head = std::mem::take(&mut self.line.head);
            return Err(self.refuse(&head));
        }
        Ok(())
    }

    fn refuse(&mut self, line: &[u8]) -> NotAnMbox {
        self.at = Place::Refused;
        NotAnMbox { at: self.line.start, line: line[..line.len().min(SHOWN_MAX)].to_vec() }
    }
}

impl Line {
    fn extend(&mut self, bytes: &[u8]) {
        let room = (FROM_LINE_MAX + 1).saturating_sub(self.head.len());
        let plain = !self.head.is_empty() && !b"F\r".contains(&self.head[0]);
        let keep = if plain { SHOWN_MAX.saturating_sub(self.head.len()) } else { room };
        self.head.extend_from_slice(&bytes[..bytes.len().min(keep)]);
        self.len += bytes.len() as u64;
    }
}

/// Bytes of the longest From_ line believed. RFC 5321 allows a path of 256; lists encode theirs.
pub const FROM_LINE_MAX: usize = 4096;
/// Bytes of a line that is no From_ line that are kept to be shown.
pub const SHOWN_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "From a Thu Jan  1 00:00:00 1970\n";

    fn split(slices: &[&[u8]]) -> Result<Vec<Boundaries>, NotAnMbox> {
        let mut splitter = Splitter::new(0);
        let mut all = Vec::new();
        for slice in slices {
            splitter.push(slice)?;
            all.extend(std::iter::from_fn(|| splitter.next_message()));
        }
        splitter.finish()?;
        all.extend(std::iter::from_fn(|| splitter.next_message()));
        Ok(all)
    }

    fn contents(mbox: &str) -> Vec<&str> {
        let found = split(&[mbox.as_bytes()]).expect("an mbox");
        found.iter().map(|m| &mbox[m.header as usize..m.end as usize]).collect()
    }

    #[test]
    fn exactly_one_blank_line_separates() {
        assert_eq!(contents(&format!("{A}x\n\n\n{A}y\n\n")), ["x\n\n", "y\n"]);
        assert_eq!(contents(&format!("{A}x\n{A}y")), ["x\n", "y"]);
        assert_eq!(contents(&format!("{A}\n{A}{A}\n\n")), ["", "", "\n"]);
        assert_eq!(contents(""), [""; 0]);
    }

    #[test]
    fn a_sentence_tears_nothing() {
        let one = format!("{A}\nFrom here on\n\nFrom there, too.\nFrom 1574 Sat, 3 Jan 2015 22:57:09\n");
        assert_eq!(contents(&one).len(), 1);
        let two = format!("{A}\n\nFrom 1574 Sat, 3 Jan 2015 22:57:09\n");
        assert_eq!(contents(&two).len(), 2);
    }

    #[test]
    fn crlf_separates_only_in_a_crlf_mailbox() {
        let crlf = A.replace('\n', "\r\n");
        assert_eq!(contents(&format!("{crlf}x\r\n\r\n{crlf}y\r\n\r\n")), ["x\r\n", "y\r\n"]);
        assert_eq!(contents(&format!("{A}x\r\n\r\n{A}y\n")), ["x\r\n\r\n", "y\n"]);
    }

    #[test]
    fn blank_lines_may_stand_before_the_first_message_and_nothing_else() {
        assert_eq!(contents(&format!("\n\r\n{A}x\n")), ["x\n"]);
        assert_eq!(contents("From whatever\nx\n"), ["x\n"]);
        let error = split(&[b"\n\x1b[2JHello"]).expect_err("no mbox");
        assert_eq!((error.at, error.to_string().contains('\x1b')), (1, false));
        // Certain before the line's end has come, and bounded.
        assert!(Splitter::new(0).push(b"Frog").is_err());
        assert!(Splitter::new(0).push(b"Fro").is_ok());
        let mut endless = Splitter::new(0);
        assert!(endless.push(b"From ").is_ok());
        assert!((0..100).any(|_| endless.push(&[b'x'; 100]).is_err()));
    }

    #[test]
    fn a_message_open_at_the_end_waits_for_finish() {
        let mut splitter = Splitter::new(1000);
        splitter.push(format!("{A}x\n\n").as_bytes()).expect("an mbox");
        assert_eq!(splitter.next_message(), None);
        splitter.finish().expect("an mbox");
        let last = splitter.next_message().expect("a message");
        assert_eq!(last, Boundaries { start: 1000, header: 1032, end: 1034, next: 1035 });
    }

    #[test]
    fn a_long_line_is_not_kept() {
        let mut splitter = Splitter::new(0);
        splitter.push(A.as_bytes()).expect("an mbox");
        for _ in 0..1000 {
            splitter.push(&[b'F'; 1000]).expect("content");
        }
        assert!(splitter.line.head.len() <= FROM_LINE_MAX + 1);
    }

    #[test]
    fn slices_change_nothing_split_at_every_byte() {
        let mbox = format!(
            "\n{A}S: x\n\nb\n\r\n\n{A}{A}\n>From x\n\nFrom y\n\n{A}z\n\n\nFrom b Thu Jan  1 00:00 1970"
        );
        let whole = split(&[mbox.as_bytes()]).expect("an mbox");
        assert_eq!(whole.len(), 5);
        for at in 0..=mbox.len() {
            let (a, b) = mbox.as_bytes().split_at(at);
            assert_eq!(split(&[a, b]).as_ref(), Ok(&whole), "split at {at}");
        }
        let bytes: Vec<&[u8]> = mbox.as_bytes().chunks(1).collect();
        assert_eq!(split(&bytes), Ok(whole));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_slices_give_the_same_tiling(
            lines in proptest::collection::vec("(From |F|\r|\n|>|From a Thu Jan  1 00:00 1970|[ -~]{0,9}|\n\n){0,4}", 0..12),
            sizes in proptest::collection::vec(1usize..40, 1..20),
        ) {
            let mbox = format!("From start\n{}", lines.concat());
            let whole = split(&[mbox.as_bytes()]).expect("begins with a From_ line");
            let mut slices = Vec::new();
            let mut rest = mbox.as_bytes();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break }
                let (slice, behind) = rest.split_at((*size).min(rest.len()));
                slices.push(slice);
                rest = behind;
            }
            prop_assert_eq!(split(&slices), Ok(whole.clone()));
            let mut at = 0;
            for message in &whole {
                prop_assert_eq!(message.start, at);
                prop_assert!(message.start < message.header && message.header <= message.end);
                prop_assert!(message.end <= message.next && message.next <= message.end + 2);
                at = message.next;
            }
            prop_assert_eq!(at, mbox.len() as u64);
        }
    }
}
