//! Terminal control sequences (ECMA-48, VT100), cut out of a host's bytes one byte at a time.
//!
//! Nothing is drawn: what matters to a reader of prompts are the characters, where lines end, and
//! what the host asks the terminal and waits for.

/// What one byte amounted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A byte of text: ASCII, or part of something beyond it.
    Char(u8),
    /// The line is finished.
    LineFeed,
    /// Back to the first column.
    Return,
    /// So many columns to the left.
    Back(usize),
    /// So many columns to the right.
    Forward(usize),
    /// The host asks the terminal something and may wait for the answer.
    Query(Query),
}

/// What a host asks a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// DSR 6: where is the cursor?
    CursorPosition,
    /// DSR 6 with the cursor sent to the far corner: how large is the screen?
    ScreenSize,
    /// DSR 5: is the terminal well?
    Status,
    /// DA (`ESC [ c`) or DECID (`ESC Z`): what terminal is it?
    Attributes,
}

impl Query {
    /// The answer of a plain VT100 of 24 lines and 80 columns, cursor at home.
    pub(super) fn answer(self) -> &'static [u8] {
        match self {
            Self::CursorPosition => b"\x1b[1;1R",
            Self::ScreenSize => b"\x1b[24;80R",
            Self::Status => b"\x1b[0n",
            Self::Attributes => b"\x1b[?1;0c",
        }
    }
}

/// The decoder. It holds at most [`SEQUENCE_MAX`] bytes of an unfinished sequence.
#[derive(Debug, Default)]
pub(super) struct Escapes {
    state: State,
    sequence: Vec<u8>,
    cornered: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: `ESC ( B` names a character set.
    Intermediate,
    /// After `ESC [`: the sequence so far is kept.
    Csi,
    /// After OSC, DCS, SOS, PM or APC: so many bytes were dropped, up to BEL or ST.
    ControlString(usize),
    /// ESC within a control string: ST, if `\` follows.
    ControlStringEscape,
}

impl Escapes {
    /// Takes one byte; `None` if it said nothing by itself.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Piece> {
        // C0 controls act even within a sequence (ECMA-48 leaves it open, VT100s do it). A line end
        // there means that the sequence was damaged, so text behind it must not be swallowed.
        match byte {
            CAN | SUB => {
                self.state = State::Ground;
                return None;
            }
            ESC => {
                self.state = match self.state {
                    State::ControlString(_) => State::ControlStringEscape,
                    State::Ground
                    | State::Escape
                    | State::Intermediate
                    | State::Csi
                    | State::ControlStringEscape => State::Escape,
                };
                return None;
            }
            BEL if matches!(self.state, State::ControlString(_)) => {
                self.state = State::Ground;
                return None;
            }
            b'\n' | VT | FF => {
                self.state = State::Ground;
                return Some(Piece::LineFeed);
            }
            b'\r' => {
                self.state = State::Ground;
                return Some(Piece::Return);
            }
            0x08 => return (self.state == State::Ground).then_some(Piece::Back(1)),
            b'\t' => return (self.state == State::Ground).then_some(Piece::Char(b' ')),
            // NUL and DEL are padding; ENQ asks for an answerback that no one sets; XON, XOFF, BEL.
            0x00..=0x1f | 0x7f => return None,
            0x20..=0x7e | 0x80..=0xff => {}
        }
        match self.state {
            State::Ground => {
                self.cornered = false;
                Some(Piece::Char(byte))
            }
            State::Escape => self.after_escape(byte),
            State::Intermediate => {
                if !(0x20..=0x2f).contains(&byte) {
                    self.state = State::Ground;
                }
                None
            }
            State::Csi => self.within_csi(byte),
            State::ControlString(length) => {
                self.state = if length < CONTROL_STRING_MAX {
                    State::ControlString(length + 1)
                } else {
                    State::Ground
                };
                None
            }
            State::ControlStringEscape if byte == b'\\' => {
                self.state = State::Ground;
                None
            }
            State::ControlStringEscape => self.after_escape(byte),
        }
    }

    fn after_escape(&mut self, byte: u8) -> Option<Piece> {
        self.state = match byte {
            b'[' => {
                self.sequence.clear();
                State::Csi
            }
            b']' | b'P' | b'X' | b'^' | b'_' => State::ControlString(0),
            0x20..=0x2f => State::Intermediate,
            0x00..=0x1f | 0x30..=0xff => State::Ground,
        };
        match byte {
            b'Z' => Some(Piece::Query(Query::Attributes)),
            b'D' | b'E' => Some(Piece::LineFeed), // IND, NEL
            _other => None,                       // a sequence that draws, or the start of a longer one
        }
    }

    fn within_csi(&mut self, byte: u8) -> Option<Piece> {
        if !(0x40..=0x7e).contains(&byte) {
            if byte >= 0x80 || self.sequence.len() >= SEQUENCE_MAX {
                self.state = State::Ground; // damaged
            } else {
                self.sequence.push(byte);
            }
            return None;
        }
        self.state = State::Ground;
        let first = number(self.sequence.split(|&b| b == b';').next());
        let second = number(self.sequence.split(|&b| b == b';').nth(1));
        match (byte, self.sequence.as_slice()) {
            (b'n', b"6" | b"?6") if self.cornered => Some(Piece::Query(Query::ScreenSize)),
            (b'n', b"6" | b"?6") => Some(Piece::Query(Query::CursorPosition)),
            (b'n', b"5") => Some(Piece::Query(Query::Status)),
            (b'c', b"" | b"0") => Some(Piece::Query(Query::Attributes)),
            (b'C', _) => {
                self.cornered |= first >= CORNER;
                Some(Piece::Forward(first.clamp(1, COLUMNS_MAX)))
            }
            (b'B', _) => {
                self.cornered |= first >= CORNER;
                None
            }
            (b'D', _) => Some(Piece::Back(first.clamp(1, COLUMNS_MAX))),
            (b'H' | b'f', _) => {
                self.cornered = first >= CORNER && second >= CORNER;
                // To another place on the screen: what follows is no part of this line.
                Some(Piece::LineFeed)
            }
            (_colour_or_erasure, _) => None,
        }
    }
}

/// A decimal parameter; 0 if there is none or it is none.
fn number(digits: Option<&[u8]>) -> usize {
    digits.and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| d.parse().ok()).unwrap_or(0)
}

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const VT: u8 = 0x0b;
const FF: u8 = 0x0c;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
/// Parameter bytes of one control sequence; longer ones are damage.
const SEQUENCE_MAX: usize = 32;
/// Bytes of one control string (a window title); longer ones have lost their end.
const CONTROL_STRING_MAX: usize = 512;
/// Rows or columns beyond any screen: hosts send the cursor there to learn where it stops.
const CORNER: usize = 200;
/// The furthest the cursor is moved along one line, in columns.
const COLUMNS_MAX: usize = 132;

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8]) -> (String, Vec<Query>) {
        let mut escapes = Escapes::default();
        let mut text = String::new();
        let mut queries = Vec::new();
        for &byte in bytes {
            match escapes.feed(byte) {
                Some(Piece::Char(c)) => text.push(char::from(c)),
                Some(Piece::LineFeed) => text.push('\n'),
                Some(Piece::Return) => text.push('\r'),
                Some(Piece::Back(n)) => text.push_str(&"<".repeat(n)),
                Some(Piece::Forward(n)) => text.push_str(&">".repeat(n)),
                Some(Piece::Query(query)) => queries.push(query),
                None => {}
            }
        }
        (text, queries)
    }

    #[test]
    fn colours_titles_and_character_sets_leave_only_the_text() {
        let bytes =
            b"\x1b]0;mary@host: ~\x07\x1b(B\x1b[0;1;32mmary\x1b[m@host\x1b[?2004h$ \x1bP+q544e\x1b\\!";
        assert_eq!(pieces(bytes), ("mary@host$ !".into(), vec![]));
    }

    #[test]
    fn padding_and_handshake_characters_say_nothing() {
        assert_eq!(pieces(b"lo\0gi\x7fn:\x07\x05\x11\x13 ").0, "login: ");
    }

    #[test]
    fn what_the_host_asks_the_terminal_is_answered_as_a_vt100_would() {
        let (text, queries) = pieces(b"\x1b[6n\x1b[c\x1b[0c\x1bZ\x1b[5n\x1b[999C\x1b[999B\x1b[6n");
        assert_eq!(text, ">".repeat(COLUMNS_MAX));
        assert_eq!(
            queries,
            [
                Query::CursorPosition,
                Query::Attributes,
                Query::Attributes,
                Query::Attributes,
                Query::Status,
                Query::ScreenSize
            ]
        );
        assert_eq!(Query::CursorPosition.answer(), b"\x1b[1;1R");
    }

    #[test]
    fn a_sequence_that_lost_its_end_swallows_no_later_line() {
        assert_eq!(pieces(b"\x1b]0;title without end\r\nlogin: ").0, "\r\nlogin: ");
        assert_eq!(pieces(b"\x1b[1;3\r\nlogin: ").0, "\r\nlogin: ");
        let mut long = b"\x1b]".to_vec();
        long.extend([b'x'; CONTROL_STRING_MAX + 1]);
        long.extend(b"login: ");
        assert_eq!(pieces(&long).0, "login: ");
    }
}
