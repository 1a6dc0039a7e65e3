//! A session's log: what the host said, line by line with the time, or byte by byte. Secrets are masked in
//! either, and a disk that is full ends no session.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;

use crate::mailbox::display::safe_line;
use crate::secret::Secret;

/// A log that is being written.
#[derive(Debug)]
pub struct SessionLog<W: Write = File> {
    file: W,
    is_raw: bool,
    masks: Vec<Secret>,
    /// The line that is not whole, or what may be the beginning of a secret.
    pending: Vec<u8>,
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
        Self { file, is_raw, masks: Vec::new(), pending: Vec::new(), missing: 0, told: false }
    }

    /// From now on this is masked.
    pub fn hide(&mut self, secret: Secret) {
        if !secret.expose().is_empty() {
            self.masks.push(secret);
        }
    }

    /// What the host said at the time `stamp`. An error is told once.
    pub fn received(&mut self, stamp: &str, bytes: &[u8]) -> Option<io::Error> {
        self.pending.extend_from_slice(bytes);
        if self.is_raw {
            let mut text = mask(std::mem::take(&mut self.pending), &self.masks);
            let held = held(&text, &self.masks);
            self.pending = text.split_off(text.len() - held);
            return self.write(&text);
        }
        let mut lines = Vec::new();
        while let Some(end) = self.line_end() {
            let line: Vec<u8> = self.pending.drain(..end).collect();
            lines.extend_from_slice(stamped(stamp, line, &self.masks).as_bytes());
        }
        self.write(&lines)
    }

    /// A remark of ours.
    pub fn note(&mut self, stamp: &str, text: &str) -> Option<io::Error> {
        if self.is_raw {
            return None;
        }
        let unfinished = self.unfinished(stamp);
        self.write(format!("{unfinished}{stamp} -- {}\n", safe_line(text)).as_bytes())
    }

    /// The log is over: what was held back is written.
    pub fn end(&mut self, stamp: &str) -> Option<io::Error> {
        if self.is_raw {
            let pending = std::mem::take(&mut self.pending);
            return self.write(&pending);
        }
        let unfinished = self.unfinished(stamp);
        self.write(unfinished.as_bytes())
    }

    fn unfinished(&mut self, stamp: &str) -> String {
        let line = std::mem::take(&mut self.pending);
        if line.is_empty() { String::new() } else { stamped(stamp, line, &self.masks) }
    }

    /// Where the first line ends. A line that does not end is cut, but not within a secret.
    fn line_end(&self) -> Option<usize> {
        match memchr::memchr(b'\n', &self.pending) {
            Some(at) => Some(at + 1),
            None if self.pending.len() < LINE_MAX => None,
            None => Some(self.pending.len() - held(&self.pending, &self.masks)).filter(|&end| end > 0),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Option<io::Error> {
        if bytes.is_empty() {
            return None;
        }
        let missing = std::mem::take(&mut self.missing);
        let gap = if missing > 0 && !self.is_raw {
            format!("-- {missing} bytes are missing here\n")
        } else {
            String::new()
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

fn stamped(stamp: &str, line: Vec<u8>, masks: &[Secret]) -> String {
    let line = mask(line, masks);
    let line = String::from_utf8_lossy(&line);
    format!("{stamp} {}\n", safe_line(line.trim_end_matches(['\n', '\r'])))
}

fn mask(mut text: Vec<u8>, masks: &[Secret]) -> Vec<u8> {
    for secret in masks {
        let secret = secret.expose().as_bytes();
        if memchr::memmem::find(&text, secret).is_none() {
            continue;
        }
        let mut masked = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some(at) = memchr::memmem::find(rest, secret) {
            masked.extend_from_slice(&rest[..at]);
            masked.extend_from_slice(MASK);
            rest = &rest[at + secret.len()..];
        }
        masked.extend_from_slice(rest);
        text = masked;
    }
    text
}

/// How many bytes at the end may be the beginning of a secret.
fn held(text: &[u8], masks: &[Secret]) -> usize {
    let of = |secret: &Secret| {
        let secret = secret.expose().as_bytes();
        (1..secret.len().min(text.len() + 1)).rev().find(|&n| text.ends_with(&secret[..n])).unwrap_or(0)
    };
    masks.iter().map(of).max().unwrap_or(0)
}

const MASK: &[u8] = b"********";
/// A line longer than this is written in pieces.
const LINE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(is_raw: bool, pieces: &[&[u8]]) -> String {
        let mut log = SessionLog::over(Vec::new(), is_raw);
        log.hide(Secret::new("hunter2".into()));
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
        let said = b"password hunter2, hunter2\r\nhunt";
        for is_raw in [false, true] {
            for split in 0..=said.len() {
                let text = logged(is_raw, &[&said[..split], &said[split..]]);
                assert!(text.contains("password ********, ********") && !text.contains("hunter2"), "{text}");
                assert!(text.trim_end().ends_with("hunt"), "{text}");
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
