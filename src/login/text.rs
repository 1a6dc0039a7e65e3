//! The line a host is writing: what stands on it now, with 7-bit parity undone. It may have echoed a
//! password there, so all of it is wiped.

use zeroize::Zeroize;

use super::escape::{Escapes, Piece, Query};

/// A host's output as text. Only the unfinished line is held here, at most [`LINE_MAX`] bytes;
/// finished lines are handed out.
///
/// Each byte is read twice, as it came and without its top bit, and [`Parity`] says which of the
/// two makes sense: a host set to 7 bits with parity shows `login:` as `loçéî:` on an 8-bit line.
#[derive(Default)]
pub(super) struct HostText {
    eight_bit: OpenLine,
    seven_bit: OpenLine,
    parity: Parity,
}

/// What one byte did.
#[derive(Default)]
pub(super) struct Heard {
    /// Something a person would see: text, or the cursor moved.
    pub(super) visible: bool,
    /// A line was finished.
    pub(super) line: Option<Line>,
    /// The host asks the terminal something.
    pub(super) query: Option<Query>,
}

/// A line of text, and which part of it stood there when we typed an answer to it.
///
/// Without `Debug`: what follows a password prompt may be the password.
#[derive(Clone, Default)]
pub(super) struct Line {
    text: String,
    answered: Option<usize>,
    secret: bool,
}

impl Line {
    /// What the host has said on this line, or since we typed on it.
    pub(super) fn said(&self) -> &str {
        self.answered.and_then(|at| self.text.get(at..)).unwrap_or(&self.text).trim()
    }

    /// True if we typed an answer on this line.
    pub(super) fn was_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// True if the password was typed on this line.
    pub(super) fn is_secret(&self) -> bool {
        self.secret
    }

    /// The line for people to see: whatever a host shows behind its password prompt is masked.
    pub(super) fn shown(&self) -> String {
        match self.answered {
            Some(at) if self.secret && !self.said().is_empty() => {
                format!("{}{MASK}", self.text.get(..at).unwrap_or_default())
            }
            Some(_) | None => self.text.trim().to_owned(),
        }
    }
}

impl HostText {
    pub(super) fn feed(&mut self, byte: u8) -> Heard {
        self.parity.watch(byte);
        let eight = self.eight_bit.feed(byte);
        let seven = self.seven_bit.feed(byte & 0x7f);
        if self.is_seven_bit() { seven } else { eight }
    }

    /// The unfinished line as it stands.
    pub(super) fn open_line(&self) -> Line {
        self.chosen().line_at_cursor()
    }

    /// From here on the unfinished line holds the answer to what stands on it.
    pub(super) fn answer_here(&mut self, secret: bool) {
        for line in [&mut self.eight_bit, &mut self.seven_bit] {
            line.answered = Some(line.bytes.len());
            line.secret |= secret;
        }
    }

    /// True if the host sends seven bits and parity.
    pub(super) fn is_seven_bit(&self) -> bool {
        self.parity.is_used()
    }

    fn chosen(&self) -> &OpenLine {
        if self.is_seven_bit() { &self.seven_bit } else { &self.eight_bit }
    }
}

/// The line being written, under one reading of the bytes.
#[derive(Default)]
struct OpenLine {
    escapes: Escapes,
    bytes: Vec<u8>,
    /// The column, if the cursor was moved back: the next character wipes what stands from there on.
    column: Option<usize>,
    answered: Option<usize>,
    secret: bool,
}

impl OpenLine {
    fn feed(&mut self, byte: u8) -> Heard {
        let Some(piece) = self.escapes.feed(byte) else { return Heard::default() };
        let mut heard = Heard { visible: true, ..Heard::default() };
        match piece {
            Piece::Char(byte) => self.put(byte),
            Piece::Return => self.column = Some(0),
            Piece::LineFeed => {
                heard.line = Some(self.line(self.bytes.len()));
                self.clear();
            }
            Piece::Back(columns) => self.column = Some(self.current_column().saturating_sub(columns)),
            Piece::Forward(columns) => self.move_right(columns),
            Piece::Query(query) => heard = Heard { query: Some(query), ..Heard::default() },
        }
        heard
    }

    fn put(&mut self, byte: u8) {
        if let Some(column) = self.column.take() {
            self.wipe_from(self.offset_of(column));
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(LINE_MAX); // never copied to where it would not be wiped
        }
        if self.bytes.len() >= LINE_MAX {
            // No prompt is that long; its end may be one.
            self.bytes.drain(..LINE_MAX / 2);
            self.answered = self.answered.map(|at| at.saturating_sub(LINE_MAX / 2));
        }
        self.bytes.push(byte);
    }

    fn move_right(&mut self, columns: usize) {
        let target = self.current_column() + columns;
        let end = self.columns();
        self.column = Some(target).filter(|&column| column < end);
        (end..target).for_each(|_| self.put(b' '));
    }

    fn wipe_from(&mut self, offset: usize) {
        self.bytes.truncate(offset);
        self.answered = self.answered.map(|at| at.min(offset));
        if offset == 0 && !self.secret {
            self.clear(); // a new prompt, unanswered; but behind a password all is kept hidden
        }
    }

    fn clear(&mut self) {
        self.bytes.zeroize();
        self.column = None;
        self.answered = None;
        self.secret = false;
    }

    fn current_column(&self) -> usize {
        self.column.unwrap_or_else(|| self.columns())
    }

    /// Characters on the line; those of UTF-8 count once.
    fn columns(&self) -> usize {
        self.bytes.iter().filter(|&&byte| starts_a_character(byte)).count()
    }

    fn offset_of(&self, column: usize) -> usize {
        let starts = self.bytes.iter().enumerate().filter(|&(_, &byte)| starts_a_character(byte));
        starts.map(|(offset, _)| offset).nth(column).unwrap_or(self.bytes.len())
    }

    /// The line up to the cursor, for behind it stands a clock or a suggestion. A cursor in the first
    /// column may only have wiped nothing yet.
    fn line_at_cursor(&self) -> Line {
        match self.column {
            Some(column @ 1..) => self.line(self.offset_of(column)),
            Some(0) | None => self.line(self.bytes.len()),
        }
    }

    fn line(&self, end: usize) -> Line {
        let cut = self.answered.unwrap_or(end).min(end);
        let mut text = decode(&self.bytes[..cut]);
        let answered = self.answered.map(|_| text.len());
        text.push_str(&decode(&self.bytes[cut..end]));
        Line { text, answered, secret: self.secret }
    }
}

impl Drop for OpenLine {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

fn starts_a_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// UTF-8 if it is, else Latin-1; nothing that could act on a terminal or reorder what people read.
fn decode(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    text.chars().map(|c| if is_harmless(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn is_harmless(c: char) -> bool {
    let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !reorders
}

/// Notices that the top bit of each byte is parity.
///
/// With even or odd parity all bytes have an even (odd) number of ones, with mark parity all have
/// the top bit. UTF-8 can look like that (the bytes of U+2550, out of which boxes are drawn, are
/// all even), but then its sequences are well-formed, and parity's are not.
#[derive(Default)]
struct Parity {
    even: u32,
    odd: u32,
    high: u32,
    well_formed: u32,
    malformed: u32,
    continuations_due: u32,
}

impl Parity {
    fn watch(&mut self, byte: u8) {
        if byte & 0x7f == 0 {
            return; // padding, sent without care for parity
        }
        if self.even + self.odd >= PARITY_WINDOW {
            for count in
                [&mut self.even, &mut self.odd, &mut self.high, &mut self.well_formed, &mut self.malformed]
            {
                *count /= 2;
            }
        }
        if byte.count_ones().is_multiple_of(2) {
            self.even += 1
        } else {
            self.odd += 1
        }
        self.high += u32::from(byte >= 0x80);
        match (byte, self.continuations_due) {
            (0x80..=0xbf, 1) => {
                self.well_formed += 1;
                self.continuations_due = 0;
            }
            (0x80..=0xbf, 2..) => self.continuations_due -= 1,
            (0xc2..=0xf4, 0) => self.continuations_due = byte.leading_ones() - 1,
            (0x00..=0x7f, 0) => {}
            (_out_of_place, _) => {
                self.malformed += 1;
                self.continuations_due = 0;
            }
        }
    }

    fn is_used(&self) -> bool {
        let seen = self.even + self.odd;
        let nearly_all = seen - seen / 16;
        seen >= PARITY_BYTES_MIN
            && self.high > 0
            && self.malformed > self.well_formed
            && [self.even, self.odd, self.high].into_iter().any(|count| count >= nearly_all)
    }
}

/// What stands for a password where a host shows it.
const MASK: &str = "***";
/// Bytes of an unfinished line that are kept; of a longer one the end.
const LINE_MAX: usize = 1024;
/// Bytes seen before parity is believed in: `CR LF login:` is eight.
pub(super) const PARITY_BYTES_MIN: u32 = 8;
/// Bytes over which parity is judged; older ones count half.
const PARITY_WINDOW: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_parity(text: &str, even: bool) -> Vec<u8> {
        text.bytes().map(|b| if b.count_ones().is_multiple_of(2) == even { b } else { b | 0x80 }).collect()
    }

    fn read(bytes: &[u8]) -> (Vec<String>, String) {
        let mut text = HostText::default();
        let lines = bytes.iter().filter_map(|&byte| text.feed(byte).line).map(|line| line.shown()).collect();
        (lines, text.open_line().shown())
    }

    #[test]
    fn lines_are_cut_at_line_feeds_and_backspace_erases() {
        let (lines, open) = read(b"\r\nWelcomr\x08e to \x1b[1mhost\x1b[m\r\nlogin: ");
        assert_eq!(lines, ["", "Welcome to host"]);
        assert_eq!(open, "login:");
    }

    #[test]
    fn a_carriage_return_starts_the_line_afresh_as_zsh_does_before_its_prompt() {
        let zsh =
            b"\x1b[7m%\x1b[27m                    \r \r\r\x1b[0m\x1b[Jhost% \x1b[K\x1b[5C<12:01>\x1b[12D";
        assert_eq!(read(zsh).1, "host%");
        assert_eq!(read(b"login: \r").1, "login:"); // and nothing was wiped before text follows
    }

    #[test]
    fn a_prompt_drawn_anew_under_the_cursor_stays_as_fish_leaves_it() {
        assert_eq!(read("mary@host ~> \x1b[K\r\x1b[13C".as_bytes()).1, "mary@host ~>");
        assert_eq!(read("é~> sugg\x1b[4D".as_bytes()).1, "é~>");
        assert_eq!(read("$ lsx\x1b[1D\x1b[Ky".as_bytes()).1, "$ lsy");
    }

    #[test]
    fn seven_bits_with_any_parity_read_as_text() {
        for bytes in [
            with_parity("\r\nhost login: ", true),
            with_parity("\r\nhost login: ", false),
            "\r\nhost login: ".bytes().map(|b| b | 0x80).collect(),
        ] {
            assert_eq!(read(&bytes).1, "host login:");
        }
    }

    #[test]
    fn utf_8_and_latin_1_are_not_taken_for_parity() {
        assert_eq!(
            read("══════════\r\nContraseña: ".as_bytes()),
            (vec!["══════════".into()], "Contraseña:".into())
        );
        assert_eq!(read(b"Contrase\xf1a: ").1, "Contraseña:");
        assert_eq!(
            read(b"Bienvenue \xe0 l'universit\xe9. Mot de passe : ").1,
            "Bienvenue à l'université. Mot de passe :"
        );
    }

    #[test]
    fn what_is_typed_behind_a_password_prompt_is_never_shown() {
        let mut text = HostText::default();
        b"Password: ".iter().for_each(|&byte| drop(text.feed(byte)));
        text.answer_here(true);
        let line = b"hunter2\r\n".iter().find_map(|&byte| text.feed(byte).line);
        assert_eq!(line.map(|line| line.shown()).as_deref(), Some("Password: ***"));
        // Nor if the host draws the line anew.
        b"Password: ".iter().for_each(|&byte| drop(text.feed(byte)));
        text.answer_here(true);
        let line = b"\rPassword: hunter2\r\n".iter().find_map(|&byte| text.feed(byte).line);
        assert_eq!(line.map(|line| line.shown()).as_deref(), Some("***"));
    }

    #[test]
    fn a_line_without_end_keeps_its_end_in_bounded_memory() {
        let mut text = HostText::default();
        (0..1_000_000).for_each(|_| drop(text.feed(b'x')));
        b" login: ".iter().for_each(|&byte| drop(text.feed(byte)));
        assert!(text.open_line().shown().len() <= LINE_MAX);
        assert!(text.open_line().shown().ends_with(" login:"));
    }

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left_in_a_line() {
        let all: Vec<u8> = (0..=255).filter(|&byte| byte != b'\n').collect();
        assert!(read(&all).1.chars().all(is_harmless));
        assert!(read("a\u{9b}31m\u{202e}b".as_bytes()).1.chars().all(is_harmless));
    }
}
