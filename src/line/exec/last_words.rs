//! What a command said last, if it was a sentence: the reason that `ssh` gives before it ends.

use zeroize::Zeroize;

/// The end of what was said. A host's echo of a password may be in it.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    tail: Vec<u8>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        self.tail.zeroize();
    }
}

impl LastWords {
    /// Only the end is kept.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if self.tail.capacity() == 0 {
            self.tail.reserve_exact(KEPT_MAX); // never copied to where it would not be wiped
        }
        let kept = &bytes[bytes.len().saturating_sub(KEPT_MAX)..];
        let excess = (self.tail.len() + kept.len()).saturating_sub(KEPT_MAX);
        self.tail.drain(..excess);
        self.tail.extend_from_slice(kept);
    }

    /// The last line, if it reads as one that a program wrote for people: plain words with blanks
    /// between them. The end of a transfer that was cut off does not.
    pub(super) fn sentence(&self) -> Option<String> {
        let lines = || self.tail.split(|&byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
        let begins =
            |line: &[u8]| SSH_BEGINS.iter().filter_map(|words| memchr::memmem::rfind(line, words)).max();
        // ssh begins no new line: what the host was saying may stand before its words. Behind them may
        // stand what we were sending, for ssh has given the terminal its echo back by then.
        let of_ssh = lines().filter_map(|line| Some(&line[begins(line)?..])).next_back();
        let last = match of_ssh {
            Some(words) => words,
            None => lines().rfind(|line| !line.is_empty())?,
        };
        let plain = last.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic());
        let words = last.split(|&byte| byte == b' ').filter(|word| word.iter().any(u8::is_ascii_lowercase));
        let reads_well = plain && last.len() <= SENTENCE_MAX && words.count() >= WORDS_MIN;
        reads_well.then(|| last.iter().map(|&byte| char::from(byte)).collect())
    }
}

/// How ssh begins to say that a connection is over (OpenSSH, packet.c and clientloop.c).
const SSH_BEGINS: [&[u8]; 6] = [
    b"Connection to ",
    b"Connection closed by ",
    b"Connection reset by ",
    b"Timeout, server ",
    b"Read from remote host ",
    b"client_loop: ",
];
/// Bytes kept of what was said.
const KEPT_MAX: usize = 512;
/// Bytes; a longer line is no word of farewell.
const SENTENCE_MAX: usize = 200;
/// Fewer words may be a prompt.
const WORDS_MIN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence_in(pieces: &[&[u8]]) -> Option<String> {
        let mut words = LastWords::default();
        pieces.iter().for_each(|piece| words.hear(piece));
        words.sentence()
    }

    #[test]
    fn the_last_line_is_told_if_it_reads_as_one() {
        let closed = "Connection to 192.0.2.1 closed by remote host.";
        let said = format!("$ \r\n{closed}\r\n");
        for cut in 0..said.len() {
            let (before, after) = said.as_bytes().split_at(cut);
            assert_eq!(sentence_in(&[before, after]).as_deref(), Some(closed), "cut at {cut}");
        }
        let mail = vec![0xa5; 5_000];
        assert_eq!(sentence_in(&[&mail, b"\r\n", said.as_bytes()]).as_deref(), Some(closed));
        let nothing: [&[u8]; 4] = [b"", b"$ ", b"\x18B0800000000022d", b"mary@host:~$ "];
        for said in nothing {
            assert_eq!(sentence_in(&[said]), None, "{}", said.escape_ascii());
        }
        assert_eq!(sentence_in(&[closed.as_bytes(), b"\r\n", &mail]), None);
        let frame = b"begin 0 4c1f ".repeat(20);
        assert_eq!(sentence_in(&[&frame, &said.as_bytes()[4..]]).as_deref(), Some(closed), "in mid-frame");
        let echoed: [&[u8]; 2] = [said.as_bytes(), b"3631280616 4.8 - t 4.8 90112 32768 10 '';continue\r\n"];
        assert_eq!(sentence_in(&echoed).as_deref(), Some(closed), "before an echo of ours");
    }
}
