//! How sending ends: our cancel, the peer's, and a receiver that is gone.

use std::time::{Duration, Instant};

use super::super::frame::{CANCEL, CANS_TO_CANCEL, ZDLE};
use super::super::report::last_said;
use super::report::SendError;
use super::{Outcome, Send, State, Step};

impl Send {
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.timers.deadline = None;
        self.marker.forget();
        self.asking = None;
        self.state = State::Ended(Some(outcome));
    }

    /// Stops the receiver and ends with this error (section 8.4).
    pub(super) fn abort(&mut self, now: Instant, error: SendError) {
        self.abort_saying(now, Vec::new(), error);
    }

    /// The same, with a last word in front.
    pub(super) fn abort_saying(&mut self, now: Instant, last_words: Vec<u8>, error: SendError) {
        self.outbox.retain(|step| matches!(step, Step::Tell(_)));
        if last_words.is_empty() {
            self.outbox.push_back(Step::Discard);
        } else {
            self.outbox.push_back(Step::Send(last_words));
        }
        self.outbox.push_back(Step::Send(CANCEL.to_vec()));
        self.state = State::Cancelling { outcome: Err(error), until: now + CANCEL_WAIT_MAX };
        self.arm(now, self.rtt() + CANCEL_QUIET);
    }

    /// Lets what was on its way run out. lrzsz answers a cancel with one of its own, and what stands
    /// behind that is the shell's.
    pub(super) fn drain(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let State::Cancelling { until, .. } = &self.state else { return 0 };
        if now >= *until {
            self.line_is_quiet();
            return bytes.len();
        }
        let cans = [ZDLE; CANS_TO_CANCEL as usize];
        let Some(at) = memchr::memmem::find(bytes, &cans) else {
            self.arm(now, self.rtt() + CANCEL_QUIET);
            return bytes.len();
        };
        if let State::Cancelling { outcome, .. } = std::mem::replace(&mut self.state, State::Ended(None)) {
            self.state = State::CancelHeard { outcome };
        }
        self.arm(now, CANCEL_QUIET);
        at + self.take_cancel_tail(&bytes[at..])
    }

    /// Takes the rest of the CANs and backspaces; what follows is the shell's.
    pub(super) fn take_cancel_tail(&mut self, bytes: &[u8]) -> usize {
        let tail = bytes.iter().take_while(|&&byte| byte == ZDLE || byte == BACKSPACE).count();
        if tail < bytes.len() {
            self.line_is_quiet();
        }
        tail
    }

    /// The line is quiet behind a cancel of ours or of the peer's.
    pub(super) fn line_is_quiet(&mut self) {
        match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Cancelling { outcome, .. } | State::CancelHeard { outcome } => self.end(outcome),
            other => self.state = other,
        }
    }

    /// What is queued here and on the line is not sent any more.
    pub(super) fn discard_queued(&mut self) {
        self.outbox.retain(|step| matches!(step, Step::Tell(_)));
        self.outbox.push_back(Step::Discard);
    }

    pub(super) fn receiver_gone(&mut self) {
        let (sent, said) = (self.sent, self.said());
        match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Opening
            | State::Introducing
            | State::Offering
            | State::Streaming
            | State::Waiting
            | State::AtEnd => {
                self.discard_queued(); // it would be typed at the shell
                self.end(Err(SendError::ReceiverGone { said }));
            }
            State::Leaving { .. } => self.end(Ok(sent)),
            State::Cancelling { outcome, .. } | State::CancelHeard { outcome } => self.end(outcome),
            ended @ State::Ended(_) => self.state = ended,
        }
    }

    /// Ends in vain, unless the receiver has all files.
    pub(super) fn give_up(&mut self, now: Instant) {
        let (at, sent) = (self.stream.best, self.sent);
        if matches!(self.state, State::Leaving { .. }) {
            return self.end(Ok(sent));
        }
        let error = if self.silent_tries > 0 {
            SendError::Silent { at, tries: self.silent_tries }
        } else {
            SendError::NoProgress { at, tries: self.tries }
        };
        self.abort(now, error);
    }

    /// The receiver's last words.
    pub(super) fn said(&self) -> String {
        last_said(self.decoder.text())
    }
}

const BACKSPACE: u8 = 0x08;
/// Silence behind a cancel that means it is over, beside the round trip.
pub(super) const CANCEL_QUIET: Duration = Duration::from_secs(1);
/// Line time that the receiver may go on speaking.
const CANCEL_WAIT_MAX: Duration = Duration::from_secs(60);
