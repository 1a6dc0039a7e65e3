//! `NO CARRIER` as the modem says it, told from the same words in a mail.

use std::time::{Duration, Instant};

/// Notices `NO CARRIER` as the last thing said on a line whose leads are unknown.
///
/// The words may stand in a mail, so they count only at the very end of what arrived, on a line of
/// their own, with silence or a RING behind them (V.250, 6.3.2: the result code that follows loss of
/// carrier). Some modems leave out the CR LF that goes before it (5.7.1); then the host's last line ends
/// there.
#[derive(Debug, Default)]
pub(super) struct NoCarrierText {
    tail: Vec<u8>,
    last: Option<Instant>,
}

impl NoCarrierText {
    /// Where a line begins already.
    pub(super) fn behind_connect() -> Self {
        Self { tail: b"\n".to_vec(), last: None }
    }

    pub(super) fn look_at(&mut self, now: Instant, bytes: &[u8]) {
        self.last = Some(now);
        self.tail.extend_from_slice(bytes);
        // A host that calls back may do so at once.
        while self.tail.ends_with(RING) {
            self.tail.truncate(self.tail.len() - RING.len());
        }
        let excess = self.tail.len().saturating_sub(NO_CARRIER.len() + RING.len());
        self.tail.drain(..excess);
    }

    pub(super) fn holds(&self, now: Instant, quiet: Duration) -> bool {
        self.tail.ends_with(NO_CARRIER) && self.is_quiet(now, quiet)
    }

    pub(super) fn holds_in_numbers(&self, now: Instant, quiet: Duration) -> bool {
        self.tail.ends_with(NO_CARRIER_CODE) && self.is_quiet(now, quiet)
    }

    fn is_quiet(&self, now: Instant, quiet: Duration) -> bool {
        self.last.is_some_and(|at| now.saturating_duration_since(at) >= quiet)
    }
}

const NO_CARRIER: &[u8] = b"\nNO CARRIER\r\n";
/// The same in numbers, which nothing goes before (V.250, 6.2.6).
const NO_CARRIER_CODE: &[u8] = b"3\r";
const RING: &[u8] = b"\r\nRING\r\n";
