//! What goes to a person's screen: the host's bytes, our own words between them, and one line of ours
//! that stays below the cursor while a key or an answer is waited for.
//!
//! The host draws as it likes, so ours must not tear what it draws: nothing of ours comes into the middle
//! of a character or of an escape sequence (ECMA-48, 5.4), and behind a line of ours the cursor is where
//! the host left it.

use crate::mailbox::display::{cut, safe_line};

/// Bytes for a screen, in order.
#[derive(Debug)]
pub struct Screen {
    unshown: Vec<u8>,
    /// Our words, where they have a screen of their own.
    apart: Option<Vec<u8>>,
    host: Sequence,
    /// Ours, and not yet to be seen because the host is in the middle of something.
    held: Vec<u8>,
    line: Option<String>,
    line_is_drawn: bool,
    columns: usize,
    /// The screen knows no cursor movements.
    is_dumb: bool,
}

impl Screen {
    /// A screen. With `apart` our own words go elsewhere than the host's.
    pub fn new(apart: bool, is_dumb: bool) -> Self {
        Self {
            unshown: Vec::new(),
            apart: apart.then(Vec::new),
            host: Sequence::Ground,
            held: Vec::new(),
            line: None,
            line_is_drawn: false,
            columns: COLUMNS,
            is_dumb,
        }
    }

    /// How wide it is now.
    pub fn set_columns(&mut self, columns: u16) {
        self.columns = usize::from(columns).max(COLUMNS_LEAST);
    }

    /// What the host shows.
    pub fn host(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.apart.is_some() {
            self.unshown.extend_from_slice(bytes);
            return;
        }
        self.erase();
        // What is held goes in at the first place where it tears nothing.
        let mut rest = bytes;
        while let (Some((&byte, behind)), false) = (rest.split_first(), self.held.is_empty()) {
            self.unshown.push(byte);
            self.host = self.host.behind(byte);
            rest = behind;
            if self.host == Sequence::Ground {
                self.unshown.append(&mut self.held);
            }
        }
        self.unshown.extend_from_slice(rest);
        self.host = rest.iter().fold(self.host, |host, &byte| host.behind(byte));
        self.draw();
    }

    /// Words of ours, on lines of their own.
    pub fn say(&mut self, text: &str) {
        self.erase();
        let mut words = b"\r\n".to_vec();
        for line in text.lines() {
            words.extend_from_slice(safe_line(line).as_bytes());
            words.extend_from_slice(b"\r\n");
        }
        self.ours(&words);
        self.draw();
    }

    /// Bytes of ours that are shown as they are, as those of the host.
    pub fn ours(&mut self, bytes: &[u8]) {
        if let Some(apart) = &mut self.apart {
            apart.extend_from_slice(bytes);
        } else if self.host == Sequence::Ground {
            self.unshown.extend_from_slice(bytes);
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    /// The line that stays below the cursor until it is `None`.
    pub fn set_line(&mut self, line: Option<String>) {
        if self.line != line {
            self.erase();
            self.line = line;
            self.draw();
        }
    }

    /// Whether something of ours waits for the host to end a sequence.
    pub fn is_held(&self) -> bool {
        self.host != Sequence::Ground && (!self.held.is_empty() || self.line.is_some() && !self.line_is_drawn)
    }

    /// The host has not ended it for long enough: it is broken off.
    pub fn break_off(&mut self) {
        self.unshown.push(CAN);
        self.host = Sequence::Ground;
        self.unshown.append(&mut self.held);
        self.draw();
    }

    /// What is to be written next.
    pub fn unshown(&self) -> &[u8] {
        &self.unshown
    }

    /// So much of it has been written.
    pub fn shown(&mut self, count: usize) {
        self.unshown.drain(..count);
    }

    /// The same for the screen of our own.
    pub fn unshown_apart(&self) -> &[u8] {
        self.apart.as_deref().unwrap_or_default()
    }

    /// So much of that has been written.
    pub fn shown_apart(&mut self, count: usize) {
        if let Some(apart) = &mut self.apart {
            apart.drain(..count);
        }
    }

    /// The session is over: what could not be shown is not shown in the next one.
    pub fn clear(&mut self) {
        self.unshown.clear();
        self.held.clear();
        self.apart.iter_mut().for_each(Vec::clear);
        self.host = Sequence::Ground;
    }

    fn draw(&mut self) {
        let Some(line) = self.line.as_ref().filter(|_| !self.line_is_drawn) else { return };
        if self.apart.is_none() && self.host != Sequence::Ground {
            return;
        }
        let line = cut(line, self.columns - 1); // the last column wraps on some screens
        let drawn = if self.is_dumb {
            format!("\r\n{line}")
        } else {
            // Down and up again makes room at the bottom; then the cursor's place is saved (DECSC).
            format!("\n\x1b[A\x1b7\x1b[B\r\x1b[m{line}\x1b[K")
        };
        self.line_is_drawn = true;
        self.ours(drawn.as_bytes());
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.line_is_drawn) {
            self.ours(if self.is_dumb { b"\r\n" } else { b"\r\x1b[K\x1b8" });
        }
    }
}

/// How far the host has come in what is one thing to a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    /// Nowhere: whatever comes next is the beginning of something.
    Ground,
    /// Behind ESC.
    Escape,
    /// In a control sequence, behind `ESC [`.
    Control,
    /// In a string: OSC, DCS, SOS, PM, APC.
    String,
    /// Behind an ESC in a string, which should end it with `\`.
    StringEscape,
    /// So many more bytes of a UTF-8 character.
    Utf8(u8),
}

impl Sequence {
    fn behind(self, byte: u8) -> Self {
        match (self, byte) {
            (_, CAN | SUB) => Self::Ground,
            (Self::Utf8(left), 0x80..=0xbf) => {
                if left > 1 {
                    Self::Utf8(left - 1)
                } else {
                    Self::Ground
                }
            }
            (Self::String, ESC) => Self::StringEscape,
            (_, ESC) => Self::Escape,
            (Self::Ground | Self::Utf8(_), 0xc2..=0xdf) => Self::Utf8(1),
            (Self::Ground | Self::Utf8(_), 0xe0..=0xef) => Self::Utf8(2),
            (Self::Ground | Self::Utf8(_), 0xf0..=0xf4) => Self::Utf8(3),
            (Self::Ground | Self::Utf8(_), _) => Self::Ground,
            (Self::Escape | Self::StringEscape, b'[') => Self::Control,
            (Self::Escape | Self::StringEscape, b']' | b'P' | b'X' | b'^' | b'_') => Self::String,
            (Self::Escape | Self::StringEscape, 0x30..=0x7e) => Self::Ground,
            (Self::Escape | Self::StringEscape, _) => Self::Escape, // intermediates, and control characters
            (Self::Control, 0x40..=0x7e) => Self::Ground,
            (Self::Control, _) => Self::Control,
            (Self::String, BEL) => Self::Ground, // as xterm ends an OSC
            (Self::String, _) => Self::String,
        }
    }
}

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
/// Columns until the screen has said how wide it is, and the least that a line of ours is cut for.
const COLUMNS: usize = 80;
const COLUMNS_LEAST: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "\n\x1b[A\x1b7\x1b[B\r\x1b[m[menu]\x1b[K";
    const GONE: &str = "\r\x1b[K\x1b8";

    fn taken(screen: &mut Screen) -> String {
        let bytes = screen.unshown().to_vec();
        screen.shown(bytes.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_line_is_taken_away_before_the_host_s_bytes_and_drawn_again_behind_them() {
        let mut screen = Screen::new(false, false);
        screen.set_line(Some("[menu]".into()));
        assert_eq!(taken(&mut screen), LINE);
        screen.host(b"abc");
        assert_eq!(taken(&mut screen), format!("{GONE}abc{LINE}"));
        screen.set_line(None);
        assert_eq!(taken(&mut screen), GONE);
        screen.host(b"abc");
        assert_eq!(taken(&mut screen), "abc");
    }

    #[test]
    fn nothing_of_ours_comes_into_the_middle_of_a_sequence_or_a_character() {
        for whole in
            ["\x1b[1;31m", "\x1b(B", "\x1b]0;title\x07", "\x1bP1$r\x1b\\", "\u{e4}", "\u{20ac}", "\u{1f600}"]
        {
            for split in 1..whole.len() {
                let (one, two) = whole.as_bytes().split_at(split);
                let mut screen = Screen::new(false, false);
                screen.host(one);
                screen.say("word");
                screen.set_line(Some("[menu]".into()));
                assert!(screen.is_held(), "{whole:?} split at {split}");
                screen.host(two);
                let bytes = screen.unshown().to_vec();
                let expected = format!("{whole}\r\nword\r\n{LINE}");
                assert_eq!(String::from_utf8_lossy(&bytes), expected, "{whole:?} split at {split}");
            }
        }
    }

    #[test]
    fn a_sequence_that_the_host_never_ends_is_broken_off() {
        let mut screen = Screen::new(false, false);
        screen.host(b"\x1b]0;no end of it");
        screen.set_line(Some("[menu]".into()));
        assert!(screen.is_held());
        screen.break_off();
        assert!(!screen.is_held());
        assert!(taken(&mut screen).ends_with(&format!("\x18{LINE}")));
    }

    #[test]
    fn what_a_line_of_ours_holds_moves_no_cursor_and_fits() {
        let mut screen = Screen::new(false, false);
        screen.set_columns(30);
        screen.set_line(Some(format!("name: \x1b[2J{}", "x".repeat(100))));
        let drawn = taken(&mut screen);
        assert!(!drawn.contains("\x1b[2J") && drawn.chars().filter(|&c| c == 'x').count() < 30, "{drawn}");
    }

    #[test]
    fn our_words_go_apart_where_the_host_s_go_into_a_file() {
        let mut screen = Screen::new(true, false);
        screen.set_line(Some("[menu]".into()));
        screen.host(b"\x1b[data");
        screen.say("word");
        assert_eq!(screen.unshown(), b"\x1b[data");
        assert_eq!(screen.unshown_apart(), format!("{LINE}{GONE}\r\nword\r\n{LINE}").as_bytes());
    }
}
