//! mboxrd quoting: a `>` before each `From `, `>From `, `>>From `, and so on at a line's start; and
//! undone again.
//!
//! A delivery agent puts the `>` before any body line that a reader would take for a From_ line.
//! Older ones (mboxo) quote `From ` alone and leave `>From `, which nobody can tell apart afterwards.

use memchr::memchr;

use super::from_line::PREFIX;

/// Undoes the quoting of a message that comes in slices of any size.
#[derive(Debug, Clone)]
pub struct Unquote {
    at: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// At a line's start, behind this many `>` and this many bytes of `From `. None is written yet.
    LineStart { quotes: u64, matched: usize },
    /// In the rest of a line, which stays as it is.
    Rest,
}

impl Unquote {
    /// At the first byte of a message.
    pub fn new() -> Self {
        Self { at: LINE_START }
    }

    /// Takes the next bytes and appends what they become to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&byte) = bytes.first() {
            match self.at {
                Place::Rest => {
                    let len = memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
                    out.extend_from_slice(&bytes[..len]);
                    if bytes[len - 1] == b'\n' {
                        self.at = LINE_START;
                    }
                    bytes = &bytes[len..];
                }
                Place::LineStart { quotes, matched: 0 } if byte == b'>' => {
                    // Each `>` releases the one before it: only the last may have to go.
                    if quotes > 0 {
                        out.push(b'>');
                    }
                    self.at = Place::LineStart { quotes: 1, matched: 0 };
                    bytes = &bytes[1..];
                }
                Place::LineStart { quotes: 1.., matched } if byte == PREFIX[matched] => {
                    bytes = &bytes[1..];
                    if matched + 1 == PREFIX.len() {
                        out.extend_from_slice(PREFIX);
                        self.at = Place::Rest;
                    } else {
                        self.at = Place::LineStart { quotes: 1, matched: matched + 1 };
                    }
                }
                Place::LineStart { .. } => self.finish(out),
            }
        }
    }

    /// Appends what was held back: call it at the message's end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Place::LineStart { quotes: 1.., matched } = self.at {
            out.push(b'>');
            out.extend_from_slice(&PREFIX[..matched]);
        }
        self.at = Place::Rest;
    }
}

impl Default for Unquote {
    fn default() -> Self {
        Self::new()
    }
}

/// Undoes the quoting of a whole message.
pub fn unquote(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let mut unquote = Unquote::new();
    unquote.push(message, &mut out);
    unquote.finish(&mut out);
    out
}

/// Quotes a message that comes in slices of any size: what [`Unquote`] undoes.
#[derive(Debug, Clone)]
pub struct Quote {
    at: Written,
}

#[derive(Debug, Clone, Copy)]
enum Written {
    /// At a line's start, perhaps behind `>`, which are written, and behind this many bytes of `From `,
    /// which are not.
    LineStart { matched: usize },
    /// In the rest of a line.
    Rest,
}

impl Quote {
    /// At the first byte of a message.
    pub fn new() -> Self {
        Self { at: Written::LineStart { matched: 0 } }
    }

    /// Takes the next bytes and appends what they become to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&byte) = bytes.first() {
            match self.at {
                Written::Rest => {
                    let len = memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1);
                    out.extend_from_slice(&bytes[..len]);
                    if bytes[len - 1] == b'\n' {
                        self.at = Written::LineStart { matched: 0 };
                    }
                    bytes = &bytes[len..];
                }
                Written::LineStart { matched: 0 } if byte == b'>' => {
                    out.push(byte);
                    bytes = &bytes[1..];
                }
                Written::LineStart { matched } if byte == PREFIX[matched] => {
                    bytes = &bytes[1..];
                    self.at = Written::LineStart { matched: matched + 1 };
                    if matched + 1 == PREFIX.len() {
                        // Behind the other `>`, which all look the same.
                        out.push(b'>');
                        self.finish(out);
                    }
                }
                Written::LineStart { .. } => self.finish(out),
            }
        }
    }

    /// Appends what was held back: call it at the message's end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Written::LineStart { matched } = self.at {
            out.extend_from_slice(&PREFIX[..matched]);
        }
        self.at = Written::Rest;
    }
}

impl Default for Quote {
    fn default() -> Self {
        Self::new()
    }
}

const LINE_START: Place = Place::LineStart { quotes: 0, matched: 0 };

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_quote_comes_off_and_nothing_else_changes() {
        let quoted = b">From a\n>>From b\n >From c\n>from d\n>Fromage\nFrom e\n>\n>>>>From f\r\n>From";
        let plain = b"From a\n>From b\n >From c\n>from d\n>Fromage\nFrom e\n>\n>>>From f\r\n>From";
        assert_eq!(unquote(quoted), plain);
    }

    #[test]
    fn a_line_without_end_of_quotes_needs_no_memory() {
        let mut unquote = Unquote::new();
        let mut out = Vec::new();
        for _ in 0..1000 {
            out.clear();
            unquote.push(&[b'>'; 100], &mut out);
            assert!(out.len() <= 100);
        }
    }

    proptest! {
        #[test]
        fn slices_change_nothing(text in "(>|From |\n|F|[ -~]{0,3}){0,30}", at in 0usize..100) {
            let (a, b) = text.as_bytes().split_at(at.min(text.len()));
            let mut unquote_in_two = Unquote::new();
            let mut out = Vec::new();
            unquote_in_two.push(a, &mut out);
            unquote_in_two.push(b, &mut out);
            unquote_in_two.finish(&mut out);
            prop_assert_eq!(&out, &unquote(text.as_bytes()));
        }

        #[test]
        fn what_is_quoted_in_any_slices_is_undone(text in "(>|From |\n|F|\r|[ -~]{0,3}){0,30}", at in 0usize..100) {
            let (a, b) = text.as_bytes().split_at(at.min(text.len()));
            let (mut quote, mut out) = (Quote::new(), Vec::new());
            quote.push(a, &mut out);
            quote.push(b, &mut out);
            quote.finish(&mut out);
            prop_assert!(!out.split(|&byte| byte == b'\n').any(|line| line.starts_with(PREFIX)));
            prop_assert_eq!(unquote(&out), text.as_bytes());
        }

        #[test]
        fn it_undoes_what_a_delivery_agent_does(text in "(>|From |\n|[ -~]{0,3}){0,30}") {
            let quoted: String = text
                .split_inclusive('\n')
                .map(|line| if line.trim_start_matches('>').starts_with("From ") { format!(">{line}") } else { line.into() })
                .collect();
            prop_assert_eq!(unquote(quoted.as_bytes()), text.as_bytes());
        }
    }
}
