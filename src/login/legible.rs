//! Whether what a host sends can be read at all, or is what a port makes of another speed or framing.

use super::text::PARITY_BYTES_MIN;

/// What came since the last BREAK, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct Legibility {
    heard: Vec<u8>,
}

impl Legibility {
    /// Only the last [`HEARD_MAX`] bytes count.
    pub(super) fn watch(&mut self, byte: u8) {
        if self.heard.len() >= HEARD_MAX {
            self.heard.drain(..HEARD_MAX / 2);
        }
        self.heard.push(byte);
    }

    /// Enough that parity would have been known for what it is.
    pub(super) fn is_plenty(&self) -> bool {
        self.heard.len() >= PARITY_BYTES_MIN as usize
    }

    /// From here on anew.
    pub(super) fn start_again(&mut self) {
        self.heard.clear();
    }

    /// A third of what came is nothing that a host writes for people: no ASCII, no UTF-8, no Latin-1
    /// letter among ASCII. Or there is a little that is not, and nowhere three characters in a row that
    /// are, for a prompt heard at a quarter of its speed is only three bytes.
    pub(super) fn is_garbage(&self) -> bool {
        let (mut read, mut rare, mut odd, mut padding) = (0, 0, 0, 0);
        let (mut run, mut longest_run) = (0, 0);
        for c in String::from_utf8_lossy(&self.heard).chars() {
            let is_printable = !c.is_control() && c != char::REPLACEMENT_CHARACTER;
            match c {
                // Hosts pad with them, and a port that is too fast makes them of start bits.
                '\0' | '\x7f' => {
                    padding += 1;
                    continue;
                }
                '\x07'..='\x0a' | '\r' | '\x1b' => read += 1, // BEL, BS, TAB, LF, CR; ESC begins a sequence
                '\x0b' | '\x0c' | '\x0e' | '\x0f' => rare += 1, // VT, FF, SO, SI
                _ if is_printable => read += 1,
                _control => odd += 1,
            }
            run = if is_printable { run + 1 } else { 0 };
            longest_run = run.max(longest_run);
        }
        if self.is_other_charset() {
            return false;
        }
        odd >= ODD_MIN && 3 * odd >= read + rare + odd
            || odd + rare >= ODD_MIN && longest_run < RUN_MIN
            || read + rare == 0 && odd + padding >= ODD_MIN
    }
}

impl Legibility {
    /// Lines of a code page that is not known here, such as KOI8-R, CP437 or Shift JIS: they end as lines do,
    /// and no control character stands in them that has no business there.
    fn is_other_charset(&self) -> bool {
        let is_text = |byte: u8| byte >= b' ' && byte != 0x7f || matches!(byte, 0x07..=0x0f | 0x1b);
        self.heard.windows(2).any(|pair| pair == b"\r\n") && self.heard.iter().all(|&byte| is_text(byte))
    }
}

/// Bytes looked at.
const HEARD_MAX: usize = 256;
/// A single odd byte is noise.
const ODD_MIN: usize = 2;
/// Characters in a row that make a word.
const RUN_MIN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::misclocked::misclocked;

    fn is_garbage(bytes: &[u8]) -> bool {
        let mut legibility = Legibility::default();
        bytes.iter().for_each(|&byte| legibility.watch(byte));
        legibility.is_garbage()
    }

    #[test]
    fn what_hosts_write_is_legible() {
        let said: [&[u8]; 11] = [
            b"",
            b"\r\nDebian GNU/Linux 12 debian ttyS0\r\n\r\ndebian login: ",
            "\r\nContraseña: ".as_bytes(),
            b"\r\nBienvenue \xe0 l'universit\xe9. Mot de passe : ",
            "パスワード:".as_bytes(),
            b"\r\0\0\0\0\n\0\0login: ",
            b"\x1b[2J\x1b[H\x0elqqk\x0f\r\nlogin: ",
            b"\xfflogin: ", // one byte of noise
            b"\xc4\xcf\xc2\xd2\xcf \xd0\xcf\xd6\xc1\xcc\xcf\xd7\xc1\xd4\xd8\r\n\xee\xc1\xd6\xcd\xc9\xd4\xc5", // KOI8-R
            b"\r\n\xc9\xcd\xcd\xcd\xcd\xbb\r\n\xba    \xba\r\n\xc8\xcd\xcd\xcd\xcd\xbc\r\n", // CP437
            b"\x83\x8d\x83O\x83C\x83\x93\r\n\x83p\x83X",                                     // Shift JIS
        ];
        for said in said {
            assert!(!is_garbage(said), "{}", said.escape_ascii());
        }
    }

    #[test]
    fn a_prompt_heard_at_another_speed_is_garbage() {
        let speeds = [1_200, 2_400, 4_800, 9_600];
        for prompt in ["\r\nlogin: ", "\r\nhost.example.org login: ", "\r\n\nSystem V R4\r\n\r\nUsername: "] {
            for theirs in speeds {
                for ours in speeds.into_iter().filter(|&ours| ours != theirs && theirs <= 4 * ours) {
                    // As soon as a RETURN has brought it again.
                    let heard = misclocked(prompt.as_bytes(), theirs, ours).repeat(2);
                    let shown = heard.escape_ascii();
                    assert!(is_garbage(&heard), "{prompt:?} at {theirs}, heard at {ours}: {shown}");
                }
            }
        }
    }
}
