//! The host's echo of what we type, with a line editor's doings set aside, and the questions that
//! hosts ask a terminal.

/// Collects what the host shows and keeps what a person would see of it.
#[derive(Debug, Default)]
pub struct Screen {
    visible: Vec<u8>,
    /// Where the last line begins.
    line_start: usize,
    /// The last line there was before we typed.
    prompt: Vec<u8>,
    /// The character before a carriage return, which may be about to be shown again.
    overwritten: Option<u8>,
    /// The cursor was sent to a place on the screen, as line editors do not.
    jumped: bool,
    state: Escape,
}

#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    Esc,
    /// ESC and intermediates: one final byte follows (character sets).
    Intermediate,
    Csi(Vec<u8>),
    /// A string (OSC, DCS ...) up to BEL or ESC.
    String(usize),
}

impl Screen {
    /// Takes one byte; returns the answer if the host asked the terminal something.
    pub fn push(&mut self, byte: u8) -> Option<&'static [u8]> {
        match &mut self.state {
            Escape::None => self.push_text(byte),
            Escape::Esc => {
                self.state = match byte {
                    b'[' => Escape::Csi(Vec::new()),
                    b']' | b'P' | b'X' | b'^' | b'_' => Escape::String(0),
                    b' '..=b'/' => Escape::Intermediate,
                    0x1b => Escape::Esc,
                    _ => Escape::None,
                };
            }
            Escape::Intermediate => self.state = Escape::None,
            Escape::Csi(parameters) => match byte {
                b'@'..=b'~' => {
                    let answer = answer_to(parameters, byte);
                    self.state = Escape::None;
                    if byte == b'C' {
                        self.overwritten = None; // moved on to another place
                    }
                    self.jumped |= matches!(byte, b'H' | b'f');
                    return answer;
                }
                0x1b => self.state = Escape::Esc,
                b' '..=b'?' if parameters.len() < SEQUENCE_BYTES_MAX => parameters.push(byte),
                _ => self.state = Escape::None,
            },
            Escape::String(length) => match byte {
                0x07 | b'\n' => self.state = Escape::None,
                0x1b => self.state = Escape::Esc,
                _ if *length >= STRING_BYTES_MAX => self.state = Escape::None,
                _ => *length += 1,
            },
        }
        None
    }

    /// What was shown is the prompt; what comes next is the echo of something new.
    pub fn clear(&mut self) {
        self.prompt = without_blanks(&self.visible[self.line_start..]);
        self.visible.clear();
        self.line_start = 0;
        self.overwritten = None;
        self.jumped = false;
    }

    /// What was shown since, without controls.
    pub fn visible(&self) -> &[u8] {
        &self.visible
    }

    /// Whether what was shown since is this line, which begins with a blank: blank for blank, for
    /// noise makes a NUL of a blank and a NUL shows nothing; and with nothing in front of it that
    /// noise may have typed. In front may stand the prompt, which some editors show again, or the
    /// line itself without its blanks, as fish shows it before it colours it.
    pub fn shows(&self, line: &str) -> bool {
        let Some(start) = memchr::memmem::find(&self.visible, line.trim_start().as_bytes()) else {
            return false;
        };
        let before = without_blanks(&self.visible[..start]);
        match before.as_slice() {
            [] => self.visible[..start].ends_with(b" "),
            before => before == self.prompt || before == without_blanks(line.as_bytes()),
        }
    }

    /// Whether a key that was typed stands on the last line, behind the prompt or before what an
    /// editor suggests, and nothing was said to it. vi shows it too, elsewhere on its screen.
    pub fn shows_key(&self, key: u8) -> bool {
        let line = without_blanks(&self.visible[self.line_start..]);
        !self.jumped && (line.first() == Some(&key) || line.last() == Some(&key))
    }

    fn push_text(&mut self, byte: u8) {
        match byte {
            0x1b => self.state = Escape::Esc,
            b'\r' => {
                // Editors cross the right margin with a blank that is no part of the line, or by
                // going back and showing the last character again.
                let crossed = self.drop_blank();
                self.overwritten = self.visible.last().copied().filter(|_| !crossed);
            }
            b'\n' => {
                self.overwritten = None;
                self.line_start = self.visible.len();
            }
            0x08 => {
                self.drop_blank();
            }
            // Other controls show nothing; what is beyond ASCII never equals what was typed.
            0x00..=0x1f | 0x7f => {}
            byte => {
                if self.overwritten.take() != Some(byte) {
                    if self.visible.len() >= VISIBLE_BYTES_MAX {
                        self.visible.drain(..VISIBLE_BYTES_MAX / 2);
                        self.line_start = self.line_start.saturating_sub(VISIBLE_BYTES_MAX / 2);
                    }
                    self.visible.push(byte);
                }
            }
        }
    }

    fn drop_blank(&mut self) -> bool {
        let is_blank = self.visible.last() == Some(&b' ');
        if is_blank {
            self.visible.pop();
            self.line_start = self.line_start.min(self.visible.len());
        }
        is_blank
    }
}

fn without_blanks(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|&byte| byte != b' ').collect()
}

/// What a plain terminal answers, so that no shell waits for it.
fn answer_to(parameters: &[u8], last: u8) -> Option<&'static [u8]> {
    match (parameters, last) {
        // Where is the cursor? BusyBox asks at every prompt.
        (b"6", b'n') => Some(b"\x1b[1;1R"),
        (b"5", b'n') => Some(b"\x1b[0n"),
        // What are you? fish waits for it; a VT102.
        (b"" | b"0", b'c') => Some(b"\x1b[?6c"),
        _ => None,
    }
}

const VISIBLE_BYTES_MAX: usize = 4_096;
const SEQUENCE_BYTES_MAX: usize = 64;
const STRING_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn screen(bytes: &[u8]) -> Screen {
        let mut screen = Screen::default();
        for &byte in bytes {
            screen.push(byte);
        }
        screen
    }

    #[test]
    fn wrapped_lines_compare_equal_as_each_shell_wraps_them() {
        let line = " do echo \"$a\"|k";
        let busybox = b" do ec\r\r\nho \"$a\"|k";
        let tcsh = b" do  \x08echo \"$a\"|k";
        let readline = b"\x07 do echo\ro \"$a\"|k";
        let zsh = b" \x08 do ec \r\x1b[Kh\rho \"$a\"|k";
        let fish =
            b" \r\x1b[3Cdo \r\x1b[6Cecho \r\x1b[11C\"$a\"|\r\x1b[16Ck\x1b[9Ddo\x1b[m\x1b(B echo \"$a\"|k";
        let ksh = b"\r\n\r#  do echo \"$a\"|k";
        for (shell, echo) in [
            ("BusyBox", &busybox[..]),
            ("tcsh", tcsh),
            ("readline", readline),
            ("zsh", zsh),
            ("fish", fish),
            ("ksh", ksh),
        ] {
            let mut screen = screen(b"Welcome\r\n# ");
            screen.clear();
            echo.iter().for_each(|&byte| assert!(screen.push(byte).is_none()));
            assert!(screen.shows(line), "{shell}: {}", screen.visible().escape_ascii());
        }
    }

    #[test]
    fn a_doubled_letter_at_the_wrap_stays_doubled() {
        assert_eq!(screen(b"pa \r\x1b[Ks\rss").visible(), b"pass");
        assert_eq!(screen(b"pas \r\x1b[Ks\rs!").visible(), b"pass!");
    }

    #[test]
    fn a_damaged_echo_is_not_taken_for_the_line() {
        assert!(screen(b" echo hello").shows(" echo hello"));
        for hit in [
            &b" echo hellp"[..],
            b" echo\0hello",
            b" echo\xa0hello",
            b"echo hello",
            b"!echo hello",
            b"U echo hello",
        ] {
            assert!(!screen(hit).shows(" echo hello"), "{}", hit.escape_ascii());
        }
    }

    #[test]
    fn a_key_that_shows_is_told_from_an_answer_to_it() {
        for shown in [&b";"[..], b"\x1b[32m;\x1b[m ls\x1b[3D", b"\r\n$ ;", b"\r\nWall!\r\n;"] {
            assert!(screen(shown).shows_key(b';'), "{}", shown.escape_ascii());
        }
        for answer in
            [&b""[..], b"\x07", b";\r\nNo such choice.\r\nChoice: ", b"[Press 'h' for instructions.]"]
        {
            assert!(!screen(answer).shows_key(b';'), "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn questions_to_the_terminal_are_answered() {
        let mut screen = Screen::default();
        let answers: Vec<_> =
            b"# \x1b[6n\x1b[c\x1b[>1u".iter().filter_map(|&byte| screen.push(byte)).collect();
        assert_eq!(answers, [&b"\x1b[1;1R"[..], b"\x1b[?6c"]);
        assert_eq!(screen.visible(), b"# ");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_bytes_are_shown_in_bounded_memory(bytes in prop::collection::vec(any::<u8>(), 0..9_000)) {
            let screen = screen(&bytes);
            prop_assert!(screen.visible().len() <= VISIBLE_BYTES_MAX);
        }
    }
}
