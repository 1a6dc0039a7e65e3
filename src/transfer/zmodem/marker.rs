//! The end marker: what the shell prints when the program on the host has ended.

use std::time::{Duration, Instant};

/// Finds the marker in what arrives, split anywhere, and leaves it on the line whole.
#[derive(Debug, Default)]
pub(super) struct EndMarker {
    /// `None` where nobody prints one.
    text: Option<Vec<u8>>,
    /// Until when the possible beginning of it is left on the line.
    held_until: Option<Instant>,
    /// That time has passed once.
    release: bool,
}

impl EndMarker {
    pub(super) fn new(text: Option<Vec<u8>>) -> Self {
        Self { text: text.filter(|text| !text.is_empty()), held_until: None, release: false }
    }

    /// How many bytes stand before the marker, and whether it is there. Bytes at the end that may be
    /// its beginning are left on the line, for it belongs to the next machine whole; but not for
    /// long, for they may be the end of a frame that is waiting for our answer.
    pub(super) fn before(&mut self, now: Instant, bytes: &[u8]) -> (usize, bool) {
        let release = std::mem::take(&mut self.release);
        let held_until = self.held_until.take();
        let Some(text) = self.text.as_deref() else { return (bytes.len(), false) };
        if let Some(at) = memchr::memmem::find(bytes, text) {
            return (at, true);
        }
        let longest = bytes.len().min(text.len() - 1);
        let held = (1..=longest).rev().find(|&held| bytes.ends_with(&text[..held])).unwrap_or(0);
        if held == 0 || release {
            return (bytes.len(), false);
        }
        self.held_until = held_until.or(Some(now + MARKER_HOLD));
        (bytes.len() - held, false)
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.held_until
    }

    /// What is held back goes to the machine with the next bytes, or as they are offered again.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.held_until.is_some_and(|at| at <= now) {
            self.held_until = None;
            self.release = true;
        }
    }

    /// The conversation is over: nothing is held back any more.
    pub(super) fn forget(&mut self) {
        self.held_until = None;
    }
}

/// How long the possible beginning of an end marker is left on the line.
const MARKER_HOLD: Duration = Duration::from_millis(500);
