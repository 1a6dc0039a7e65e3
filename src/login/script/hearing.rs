//! A host's bytes in each of the ways in which a script may wait for them.

use super::super::escape::{Escapes, Piece, Query};
use super::super::text::{HostText, Line};

/// The host's bytes, decoded, and the lines they make.
#[derive(Default)]
pub(super) struct Hearing {
    text: HostText,
    whole: Escapes,
    stripped: Escapes,
}

/// One byte, and what it amounts to.
#[derive(Default)]
pub(super) struct Sound {
    /// As it came.
    pub(super) raw: u8,
    /// What a person sees of it, if anything.
    pub(super) whole: Option<u8>,
    /// The same without its top bit.
    pub(super) stripped: Option<u8>,
    /// A line was finished.
    pub(super) line: Option<Line>,
    /// The host asks the terminal something.
    pub(super) query: Option<Query>,
}

impl Hearing {
    pub(super) fn hear(&mut self, byte: u8) -> Sound {
        let heard = self.text.feed(byte);
        Sound {
            raw: byte,
            whole: self.whole.feed(byte).and_then(seen),
            stripped: self.stripped.feed(byte & 0x7f).and_then(seen),
            line: heard.line,
            query: heard.query,
        }
    }

    /// The unfinished line as it stands.
    pub(super) fn open_line(&self) -> Line {
        self.text.open_line()
    }

    /// From here on the unfinished line holds the answer to what stands on it.
    pub(super) fn answer_here(&mut self, secret: bool) {
        self.text.answer_here(secret);
    }

    /// True if the host sends seven bits and parity.
    pub(super) fn is_seven_bit(&self) -> bool {
        self.text.is_seven_bit()
    }
}

fn seen(piece: Piece) -> Option<u8> {
    match piece {
        Piece::Char(byte) => Some(byte),
        Piece::LineFeed => Some(b'\n'),
        Piece::Return => Some(b'\r'),
        Piece::Forward(_columns) => Some(b' '),
        Piece::Back(_) | Piece::Query(_) => None,
    }
}
