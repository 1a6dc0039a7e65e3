//! How a receive ends: the farewell with its OO, our cancel, the peer's, and a sender that is gone.

use std::time::{Duration, Instant};

use super::super::frame::{CANCEL, CANS_TO_CANCEL, FrameType, Header, XON, ZDLE, ZPAD};
use super::super::report::ZmodemError;
use super::{Farewell, Outcome, Receive, State, Step};

impl Receive {
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.timers.deadline = None;
        self.timers.paused_until = None;
        self.marker.forget();
        self.state = State::Ended(Some(outcome));
    }

    // The farewell (section 8.3): ZFIN, our ZFIN, OO.

    pub(super) fn say_goodbye(&mut self, now: Instant, outcome: Outcome) {
        self.state = State::Farewell(Farewell { outcome, tail: 0, o: false, sent: 1 });
        self.send(Header::with_position(FrameType::Zfin, 0));
        self.arm(now, self.farewell_wait());
    }

    /// Takes what belongs to the farewell and not a byte more: a shell's prompt may come instead of
    /// OO. A ZPAD may begin another ZFIN, if ours was lost; it stays on the line until that is sure.
    pub(super) fn take_farewell(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let zfin = Header::with_position(FrameType::Zfin, 0).to_hex();
        let zfin = zfin.trim_ascii_end();
        let mut at = 0;
        while let (State::Farewell(farewell), Some(&byte)) = (&mut self.state, bytes.get(at)) {
            let rest = &bytes[at..];
            let line_end = byte == XON || matches!(byte & 0x7f, b'\r' | b'\n');
            if byte == b'O' && farewell.o {
                at += 1;
                self.farewell_over();
            } else if byte == b'O' {
                farewell.o = true;
                at += 1;
            } else if line_end && !farewell.o && farewell.tail < FAREWELL_TAIL_MAX {
                farewell.tail += 1;
                at += 1;
            } else if byte == ZPAD
                && !farewell.o
                && rest.starts_with(zfin)
                && farewell.sent < FAREWELL_TRIES_MAX
            {
                farewell.tail = 0;
                farewell.sent += 1;
                at += zfin.len();
                self.send(Header::with_position(FrameType::Zfin, 0));
                self.arm(now, self.farewell_wait());
            } else if byte == ZPAD && !farewell.o && rest.len() < zfin.len() && zfin.starts_with(rest) {
                return at;
            } else {
                self.farewell_over();
            }
        }
        at
    }

    /// No OO in time. If the line has been quiet, our ZFIN may have been lost, and the sender would
    /// hold the terminal for another minute.
    pub(super) fn farewell_again(&mut self, now: Instant) {
        let quiet = self.farewell_wait();
        let is_quiet = self.timers.last_input.is_none_or(|at| now.saturating_duration_since(at) >= quiet);
        match &mut self.state {
            State::Farewell(farewell) if is_quiet && !farewell.o && farewell.sent < FAREWELL_TRIES_MAX => {
                farewell.sent += 1;
                self.send(Header::with_position(FrameType::Zfin, 0));
                self.arm(now, quiet);
            }
            State::Farewell(_) => self.farewell_over(),
            State::Opening { .. }
            | State::Deciding(_)
            | State::Proving { .. }
            | State::Seeking
            | State::Data
            | State::Closing
            | State::Stopping
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    fn farewell_over(&mut self) {
        if let State::Farewell(farewell) = std::mem::replace(&mut self.state, State::Ended(None)) {
            self.end(farewell.outcome);
        }
    }

    fn farewell_wait(&self) -> Duration {
        self.rtt() + FAREWELL_SLACK
    }

    // Our cancel (section 8.4).

    /// Stops the sender and ends with this error.
    pub(super) fn abort(&mut self, now: Instant, error: ZmodemError) {
        self.cancel_with(now, Err(error));
    }

    /// Stops the sender and ends so. What is proven is still told.
    pub(super) fn cancel_with(&mut self, now: Instant, outcome: Outcome) {
        self.outbox.retain(|step| matches!(step, Step::Tell(_)));
        self.outbox.push_back(Step::Send(CANCEL.to_vec()));
        self.timers.paused_until = None;
        self.state = State::Cancelling { outcome, sent: 1, sent_at: now, until: now + CANCEL_WAIT_MAX };
        self.arm(now, self.cancel_quiet());
    }

    /// Lets what was on its way run out, and says it again to a sender that did not hear.
    pub(super) fn drain(&mut self, now: Instant, bytes: &[u8]) -> usize {
        // lrzsz answers a cancel with one of its own, and what stands behind that is the shell's: where
        // a person waits for it, it is not taken.
        let cans = [ZDLE; CANS_TO_CANCEL as usize];
        let answer = memchr::memmem::find(bytes, &cans).filter(|_| self.batch.is_some());
        if let Some(at) = answer {
            let tail = bytes[at..].iter().take_while(|&&byte| byte == ZDLE || byte == BACKSPACE).count();
            self.stats.garbage_bytes += (at + tail) as u64;
            self.line_is_quiet();
            return at + tail;
        }
        self.stats.garbage_bytes += bytes.len() as u64;
        let quiet = self.cancel_quiet();
        let patience = self.reply_wait();
        if let State::Cancelling { sent, sent_at, until, .. } = &mut self.state {
            if now >= *until {
                self.line_is_quiet();
                return bytes.len();
            }
            if *sent < CANCELS_MAX && now.saturating_duration_since(*sent_at) > patience {
                *sent += 1;
                *sent_at = now;
                self.outbox.push_back(Step::Send(CANCEL.to_vec()));
            }
        }
        self.arm(now, quiet);
        bytes.len()
    }

    /// The line is quiet behind a cancel of ours or of the peer's.
    pub(super) fn line_is_quiet(&mut self) {
        match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Cancelling { outcome, .. } => self.end(outcome),
            State::PeerCancelled { said } => self.end(Err(ZmodemError::PeerCancelled { said })),
            other => self.state = other,
        }
    }

    fn cancel_quiet(&self) -> Duration {
        self.rtt() + CANCEL_QUIET
    }

    // The peer's cancel.

    /// Takes the rest of the CANs and backspaces; what follows is the shell's.
    pub(super) fn take_cancel_tail(&mut self, bytes: &[u8]) -> usize {
        let tail = bytes.iter().take_while(|&&byte| byte == ZDLE || byte == BACKSPACE).count();
        if tail < bytes.len() {
            self.line_is_quiet();
        }
        tail
    }

    // A sender that is gone.

    pub(super) fn sender_gone(&mut self) {
        let received = self.received();
        match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Opening { .. }
            | State::Deciding(_)
            | State::Proving { .. }
            | State::Seeking
            | State::Data => {
                let said = self.said();
                self.end(Err(ZmodemError::SenderGone { said }));
            }
            State::Closing | State::Stopping => self.end(Ok(received)),
            State::Farewell(farewell) => self.end(farewell.outcome),
            State::Cancelling { outcome, .. } => self.end(outcome),
            State::PeerCancelled { said } => self.end(Err(ZmodemError::PeerCancelled { said })),
            ended @ State::Ended(_) => self.state = ended,
        }
    }
}

const BACKSPACE: u8 = 0x08;
/// What a farewell takes beside the round trip.
const FAREWELL_SLACK: Duration = Duration::from_secs(1);
/// ZFIN we send at most.
const FAREWELL_TRIES_MAX: u32 = 3;
/// Bytes of line end taken behind ZFIN: CR, LF and a stray XON.
const FAREWELL_TAIL_MAX: usize = 3;
/// Silence behind a cancel that means it is over, beside the round trip.
pub(super) const CANCEL_QUIET: Duration = Duration::from_secs(1);
/// Cancels sent at most.
const CANCELS_MAX: u32 = 3;
/// Line time that a cancelled stream may take to run out.
const CANCEL_WAIT_MAX: Duration = Duration::from_secs(60);
