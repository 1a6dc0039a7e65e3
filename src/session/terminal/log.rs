//! A session's log: what the host said, line by line with the time, or byte by byte. Secrets are masked in
//! either, and a disk that is full ends no session.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;

use crate::mailbox::display::safe_line;
use crate::secret::{Masks, WipedQueue};

/// A log that is being written.
pub struct SessionLog<W: Write = File> {
    file: W,
    is_raw: bool,
    masks: Masks,
    /// What may be the beginning of a secret.
    pending: WipedQueue,
    /// The line that is not whole.
    line: Vec<u8>,
    /// Bytes that could not be written.
    missing: u64,
    told: bool,
}

impl SessionLog {
    /// Opens the file to write behind what is there. Only its owner can read what is new.
    pub fn open(path: &Path, is_raw: bool) -> io::Result<Self> {
        // Not blocking: a named pipe that nobody reads is no reason to wait.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        Ok(Self::over(file, is_raw))
    }
}

impl<W: Write> SessionLog<W> {
    fn over(file: W, is_raw: bool) -> Self {
        let (masks, pending) = (Masks::default(), WipedQueue::default());
        Self { file, is_raw, masks, pending, line: Vec::new(), missing: 0, told: false }
    }

    /// From now on these secrets are masked.
    pub fn hide_by(&mut self, masks: Masks) {
        self.masks = masks;
    }

    /// What the host said at the time `stamp`. An error is told once.
    pub fn received(&mut self, stamp: &str, bytes: &[u8]) -> Option<io::Error> {
        self.pending.extend_from_slice(bytes);
        let text = self.masks.stream(&mut self.pending, &mut 0, false);
        self.take(stamp, &text)
    }

    /// A remark of ours.
    pub fn note(&mut self, stamp: &str, text: &str) -> Option<io::Error> {
        if self.is_raw {
            return None;
        }
        let error = self.end(stamp);
        error.or(self.write(format!("{stamp} -- {}\n", safe_line(text)).as_bytes()))
    }

    /// The log is over: what was held back is written.
    pub fn end(&mut self, stamp: &str) -> Option<io::Error> {
        let text = self.masks.stream(&mut self.pending, &mut 0, true);
        let error = self.take(stamp, &text);
        let line = std::mem::take(&mut self.line);
        error.or(if line.is_empty() { None } else { self.write(stamped(stamp, &line).as_bytes()) })
    }

    fn take(&mut self, stamp: &str, text: &[u8]) -> Option<io::Error> {
        if self.is_raw {
            return self.write(text);
        }
        let mut lines = String::new();
        for piece in text.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LINE_MAX {
                lines += &stamped(stamp, &std::mem::take(&mut self.line));
            }
        }
        self.write(lines.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Option<io::Error> {
        if bytes.is_empty() {
            return None;
        }
        let missing = std::mem::take(&mut self.missing);
        let gap = match missing {
            1.. if !self.is_raw => format!("-- {missing} bytes are missing here\n"),
            _ => String::new(),
        };
        match self.file.write_all(&[gap.as_bytes(), bytes].concat()) {
            Ok(()) => None,
            Err(error) => {
                self.missing = missing + bytes.len() as u64;
                (!std::mem::replace(&mut self.told, true)).then_some(error)
            }
        }
    }
}

impl<W: Write> std::fmt::Debug for SessionLog<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionLog").field("is_raw", &self.is_raw).finish_non_exhaustive()
    }
}

fn stamped(stamp: &str, line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    format!("{stamp} {}\n", safe_line(line.trim_end_matches(['\n', '\r'])))
}

/// A line longer than this is written in pieces.
const LINE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn logged(is_raw: bool, pieces: &[&[u8]]) -> String {
        let mut log = SessionLog::over(Vec::new(), is_raw);
        log.hide_by(Masks::of(&Secret::new("hunter2".into())));
        for piece in pieces {
            assert!(log.received("NOW", piece).is_none());
        }
        assert!(log.end("END").is_none());
        String::from_utf8(log.file).unwrap()
    }

    #[test]
    fn lines_are_stamped_and_control_characters_made_visible() {
        let text = logged(false, &[b"one\r\ntw", b"o\r\n\x1b[2J$ "]);
        assert!(text.starts_with("NOW one\nNOW two\nEND "), "{text:?}");
        assert!(text.ends_with("[2J$ \n") && !text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn a_raw_log_has_the_bytes() {
        assert_eq!(logged(true, &[b"one\r\n", b"\x1b[2J\x00h"]), "one\r\n\x1b[2J\x00h");
    }

    #[test]
    fn a_secret_is_masked_however_it_is_split() {
        let said = b"password hunter2, hunter2\r\n$ ";
        for is_raw in [false, true] {
            for split in 0..=said.len() {
                let text = logged(is_raw, &[&said[..split], &said[split..]]);
                assert!(text.contains("password ********, ********") && !text.contains("hunter2"), "{text}");
            }
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_cut_outside_of_a_secret() {
        let long = [vec![b'x'; LINE_MAX - 3], b"hunter2\r\n".to_vec()].concat();
        let (one, two) = long.split_at(LINE_MAX);
        let text = logged(false, &[one, two]);
        assert!(text.contains("********") && !text.contains("hun"), "{text}");
    }

    #[test]
    fn a_full_disk_is_told_once_and_what_is_missing_is_told_in_the_log() {
        struct Full(Vec<u8>, bool);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.1 { Err(io::ErrorKind::StorageFull.into()) } else { self.0.write(bytes) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut log = SessionLog::over(Full(Vec::new(), true), false);
        assert!(log.received("NOW", b"one\n").is_some());
        assert!(log.received("NOW", b"two\n").is_none());
        log.file.1 = false;
        assert!(log.received("NOW", b"three\n").is_none());
        assert_eq!(log.file.0, b"-- 16 bytes are missing here\nNOW three\n");
    }
}
