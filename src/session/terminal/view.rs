//! What a person sees of the host's bytes, and what the host gets of the person's: line ends, local echo,
//! bytes in hex. Functions of the bytes alone, however these are cut into pieces.

use std::fmt::Write as _;

use crate::config::{Return, Shows, TerminalConfig};

/// How bytes are shown and sent.
#[derive(Debug, Default)]
pub struct View {
    /// What RETURN sends.
    pub sends: Return,
    /// What a received line end shows.
    pub shows: Shows,
    /// What is typed is shown.
    pub local_echo: bool,
    /// The row of the hex view that is not full, where there is a hex view.
    hex: Option<Row>,
    behind_cr: bool,
}

#[derive(Debug, Default)]
struct Row {
    offset: u64,
    bytes: Vec<u8>,
}

impl View {
    /// As configured.
    pub fn new(config: &TerminalConfig) -> Self {
        let TerminalConfig { sends, shows, local_echo, .. } = *config;
        Self { sends, shows, local_echo, ..Self::default() }
    }

    /// Whether bytes are shown in hex.
    pub fn is_hex(&self) -> bool {
        self.hex.is_some()
    }

    /// Turns the hex view on or off; offsets count from here.
    pub fn toggle_hex(&mut self) {
        self.hex = if self.hex.is_some() { None } else { Some(Row::default()) };
        self.behind_cr = false;
    }

    /// A line of ours has come between: the row begins again below it.
    pub fn interrupted(&mut self) {
        self.behind_cr = false;
    }

    /// What these bytes of the host's show.
    pub fn received(&mut self, bytes: &[u8], screen: &mut Vec<u8>) {
        if let Some(row) = &mut self.hex {
            return row.take(bytes, screen);
        }
        match self.shows {
            Shows::AsIs => screen.extend_from_slice(bytes),
            Shows::Lf => {
                for &byte in bytes {
                    if byte == b'\n' && !self.behind_cr {
                        screen.push(b'\r');
                    }
                    screen.push(byte);
                    self.behind_cr = byte == b'\r';
                }
            }
            Shows::Cr => {
                for &byte in bytes {
                    match byte {
                        b'\r' => screen.extend_from_slice(b"\r\n"),
                        b'\n' if self.behind_cr => {} // shown with its CR
                        other => screen.push(other),
                    }
                    self.behind_cr = byte == b'\r';
                }
            }
        }
    }

    /// What this key sends.
    pub fn sent(&self, byte: u8, line: &mut Vec<u8>) {
        match byte {
            b'\r' => line.extend_from_slice(self.sends.bytes()),
            other => line.push(other),
        }
    }

    /// What this key shows, where the host echoes nothing.
    pub fn echoed(&self, byte: u8, screen: &mut Vec<u8>) {
        match byte {
            _ if !self.local_echo || self.is_hex() => {}
            b'\r' => screen.extend_from_slice(b"\r\n"),
            b'\x08' | b'\x7f' => screen.extend_from_slice(b"\x08 \x08"),
            b'\t' | b'\n' => screen.push(byte),
            // ASCII's column of control characters, as `stty echoctl` shows them.
            control @ 0..0x20 => screen.extend([b'^', control | 0x40]),
            other => screen.push(other),
        }
    }
}

impl Row {
    /// Each row is drawn again as it fills up, so that nothing is held back.
    fn take(&mut self, mut bytes: &[u8], screen: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(ROW_BYTES - self.bytes.len()));
            self.bytes.extend_from_slice(now);
            bytes = later;
            screen.push(b'\r');
            screen.extend_from_slice(self.shown().as_bytes());
            if self.bytes.len() == ROW_BYTES {
                screen.extend_from_slice(b"\r\n");
                self.offset += ROW_BYTES as u64;
                self.bytes.clear();
            }
        }
    }

    fn shown(&self) -> String {
        let mut shown = format!("{:08x} ", self.offset);
        for place in 0..ROW_BYTES {
            if place == ROW_BYTES / 2 {
                shown.push(' ');
            }
            match self.bytes.get(place) {
                Some(byte) => drop(write!(shown, " {byte:02x}")), // a String takes all
                None => shown.push_str("   "),
            }
        }
        let visible = |&byte: &u8| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '.' };
        shown.push_str("  ");
        shown.extend(self.bytes.iter().map(visible));
        shown
    }
}

/// As hexdump has it.
const ROW_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mut view: View, pieces: &[&[u8]]) -> String {
        let mut screen = Vec::new();
        pieces.iter().for_each(|piece| view.received(piece, &mut screen));
        String::from_utf8(screen).unwrap()
    }

    #[test]
    fn a_line_end_shows_what_was_chosen_however_it_is_split() {
        let bytes = b"a\rb\nc\r\nd\n\re";
        for (shows, expected) in [
            (Shows::AsIs, "a\rb\nc\r\nd\n\re"),
            (Shows::Lf, "a\rb\r\nc\r\nd\r\n\re"),
            (Shows::Cr, "a\r\nb\nc\r\nd\n\r\ne"),
        ] {
            for split in 0..=bytes.len() {
                let view = View { shows, ..View::default() };
                let (one, two) = bytes.split_at(split);
                assert_eq!(shown(view, &[one, two]), expected, "{shows:?} split at {split}");
            }
        }
    }

    #[test]
    fn return_sends_what_was_chosen_and_every_other_key_itself() {
        for sends in [Return::Cr, Return::Lf, Return::CrLf] {
            let view = View { sends, ..View::default() };
            for byte in 0..=255 {
                let mut line = Vec::new();
                view.sent(byte, &mut line);
                let own: &[u8] = &[byte];
                assert_eq!(line, if byte == b'\r' { sends.bytes() } else { own });
            }
        }
    }

    #[test]
    fn local_echo_shows_control_characters_as_letters() {
        let view = View { local_echo: true, ..View::default() };
        let mut screen = Vec::new();
        b"l\x03s\x7f\r\xe4".iter().for_each(|&byte| view.echoed(byte, &mut screen));
        assert_eq!(screen, b"l^Cs\x08 \x08\r\n\xe4");
        let mut screen = Vec::new();
        View::default().echoed(b'l', &mut screen);
        assert_eq!(screen, b"", "a host echoes");
    }

    #[test]
    fn the_hex_view_shows_each_byte_at_once_and_full_rows_however_they_came() {
        let bytes: Vec<u8> = (0x3a..0x5c).chain([0x1b, 0xff]).collect();
        for split in 0..=bytes.len() {
            let mut view = View::default();
            view.toggle_hex();
            let (one, two) = bytes.split_at(split);
            let screen = shown(view, &[one, two]);
            let last_drawn: Vec<&str> =
                screen.split("\r\n").map(|row| row.rsplit('\r').next().unwrap()).collect();
            assert_eq!(
                last_drawn,
                [
                    "00000000  3a 3b 3c 3d 3e 3f 40 41  42 43 44 45 46 47 48 49  :;<=>?@ABCDEFGHI",
                    "00000010  4a 4b 4c 4d 4e 4f 50 51  52 53 54 55 56 57 58 59  JKLMNOPQRSTUVWXY",
                    "00000020  5a 5b 1b ff                                       Z[..",
                ]
            );
        }
    }
}
