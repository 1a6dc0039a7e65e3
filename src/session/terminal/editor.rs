//! One line of text that a person types where there is no cooked terminal to edit it: a file's name, a
//! rate.

/// A line being edited. The cursor is always at its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Editor {
    text: String,
    /// The beginning of a character whose end has not been typed.
    character: Vec<u8>,
    sequence: Sequence,
    hint: String,
}

/// What a key did to the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// It may look different now.
    Changed,
    /// It is to be completed.
    Complete,
    /// It is what was wanted.
    Done(String),
    /// Nothing is wanted any more.
    Cancelled,
}

/// A key that sends more than one byte, of which none is meant.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    Escape,
    Control,
}

impl Editor {
    /// A line that has this in it already.
    pub fn with(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Takes one byte.
    pub fn press(&mut self, byte: u8) -> Edited {
        self.hint.clear();
        match (self.sequence, byte) {
            (_, CTRL_C | CTRL_G) => return Edited::Cancelled,
            (_, b'\r' | b'\n') => return Edited::Done(std::mem::take(&mut self.text)),
            (_, ESC) => self.sequence = Sequence::Escape,
            (Sequence::Escape, b'[' | b'O') => self.sequence = Sequence::Control,
            (Sequence::Escape, _) | (Sequence::Control, 0x40..=0x7e) => self.sequence = Sequence::None,
            (Sequence::Control, _) => {}
            (Sequence::None, b'\t') => return Edited::Complete,
            (Sequence::None, BACKSPACE | DELETE) => drop(self.text.pop()),
            (Sequence::None, CTRL_U) => self.text.clear(),
            (Sequence::None, CTRL_W) => self.rub_out_word(),
            (Sequence::None, 0..0x20) => {}
            (Sequence::None, _) => self.push(byte),
        }
        Edited::Changed
    }

    /// What is typed so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same, with what is to be said about it.
    pub fn shown(&self) -> String {
        if self.hint.is_empty() { self.text.clone() } else { format!("{}   {}", self.text, self.hint) }
    }

    /// The text is now this, and there is something to say about it.
    pub fn completed(&mut self, text: String, hint: String) {
        (self.text, self.hint) = (text, hint);
    }

    fn push(&mut self, byte: u8) {
        self.character.push(byte);
        match std::str::from_utf8(&self.character) {
            Ok(character) if self.text.len() < LINE_BYTES_MAX => {
                self.text.push_str(character);
                self.character.clear();
            }
            Err(error) if error.error_len().is_none() => {} // there is more of it to come
            Ok(_) => self.character.clear(),
            // What came before was no beginning of a character; this may be one.
            Err(_) => {
                let alone = self.character.len() == 1;
                self.character.clear();
                if !alone {
                    self.push(byte);
                }
            }
        }
    }

    fn rub_out_word(&mut self) {
        let rest = self.text.trim_end_matches([' ', '/']);
        let from = rest.rfind([' ', '/']).map_or(0, |at| at + 1);
        self.text.truncate(from);
    }
}

const CTRL_C: u8 = 0x03;
const CTRL_G: u8 = 0x07;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const ESC: u8 = 0x1b;
const DELETE: u8 = 0x7f;
/// The longest path that Linux takes (PATH_MAX).
const LINE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> (Editor, Edited) {
        let mut editor = Editor::default();
        let mut last = Edited::Changed;
        for &key in keys {
            last = editor.press(key);
        }
        (editor, last)
    }

    #[test]
    fn a_line_is_edited_and_told_at_its_end() {
        for (keys, line) in [
            (&b"abc\r"[..], "abc"),
            (b"abx\x7fc\r", "abc"),
            (b"abc\x08\x08\x08\x08\r", ""),
            (b"wrong\x15right\r", "right"),
            (b"~/mail/wrong\x17right\r", "~/mail/right"),
            (b"a\x1b[D\x1b[1;5Cb\x1bOPc\x1bxd\r", "abcd"),
            ("\u{e4}\u{20ac}\u{7f}\r".as_bytes(), "\u{e4}"),
            (b"a\xff\xe4b\r", "ab"),
        ] {
            assert_eq!(typed(keys).1, Edited::Done(line.into()), "{keys:?}");
        }
    }

    #[test]
    fn ctrl_c_cancels_wherever_it_is_typed() {
        for before in [&b""[..], b"abc", b"a\x1b", b"a\x1b[1", b"\xe2\x82"] {
            assert_eq!(typed(&[before, b"\x03"].concat()).1, Edited::Cancelled);
        }
    }

    #[test]
    fn any_bytes_leave_a_text_that_can_be_shown() {
        for byte in 0..=255 {
            let (editor, _) = typed(&[b'x', byte, byte]);
            assert!(!editor.shown().chars().any(char::is_control), "{byte}");
        }
    }
}
