//! What a receive does when nothing, or nothing of use, has come in time.

use std::time::{Duration, Instant};

use super::super::frame::FrameType;
use super::super::report::ZmodemError;
use super::{Receive, State};

impl Receive {
    pub(super) fn on_deadline(&mut self, now: Instant) {
        match self.state {
            State::Opening { .. }
            | State::Proving { .. }
            | State::Seeking
            | State::Data
            | State::Closing
            | State::Stopping => self.remind(now),
            State::Farewell(_) => self.farewell_again(now),
            State::Cancelling { .. } | State::PeerCancelled { .. } => self.line_is_quiet(),
            State::Deciding(_) | State::Ended(_) => {}
        }
    }

    /// The sender has not answered in time: says it again, or gives up.
    fn remind(&mut self, now: Instant) {
        self.stats.timeouts += 1;
        self.silent_tries += 1;
        self.zrpos_open = 0;
        if self.silent_tries > SILENT_TRIES_MAX {
            return self.give_up(now);
        }
        // A terminal that echoes shows ZDLE so: the sender has let go of it.
        if memchr::memmem::find(self.decoder.text(), b"*^XB0").is_some() {
            return self.sender_gone();
        }
        match self.state {
            State::Opening { .. } => self.remind_opening(now),
            State::Proving { .. } => self.prove_again(now),
            State::Data if self.is_ack_lost() => self.acknowledge(now),
            State::Seeking | State::Data => self.request_patiently(now),
            State::Closing if self.tries >= CLOSING_TRIES_MAX && self.batch.is_none() => self.give_up(now),
            State::Closing => self.send_zrinit(now),
            State::Stopping if self.tries >= CLOSING_TRIES_MAX => self.give_up(now),
            State::Stopping => self.stop_sender(now),
            State::Deciding(_)
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    fn remind_opening(&mut self, now: Instant) {
        if self.fruitless > 0 {
            return self.greet(now);
        }
        // Not one header yet. Ours makes a sender speak whose own was lost; nobody may be there.
        let waited = self.timers.began.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        match self.options.first_header.checked_sub(waited).filter(|left| !left.is_zero()) {
            Some(left) => {
                self.greet(now);
                self.arm_earlier(now, left);
            }
            None => self.give_up(now),
        }
    }

    /// Asks for the stream again, less and less often. While bytes run on, our ZRPOS is probably still
    /// behind them, and in a silence (a modem's retrain) it is only stored up: each one that arrives
    /// makes the sender go back once more.
    fn request_patiently(&mut self, now: Instant) {
        let is_flowing =
            self.timers.last_input.is_some_and(|at| now.saturating_duration_since(at) < self.quiet_wait());
        self.request(now);
        if !matches!(self.state, State::Seeking) {
            return; // given up
        }
        let (doublings, longest) = if is_flowing {
            self.stale_waits += 1;
            (self.stale_waits, STALE_WAIT_MAX)
        } else {
            (self.silent_tries.saturating_sub(1), SILENT_WAIT_MAX)
        };
        let base = self.reply_wait();
        let wait = base.saturating_mul(1 << doublings.min(DOUBLINGS_MAX)).min(longest.max(base));
        self.timers.seek_until = Some(now + wait);
        self.arm(now, wait);
    }

    /// Whether the sender stands still for want of our ZACK rather than for damage.
    fn is_ack_lost(&self) -> bool {
        let quiet = match (self.timers.last_input, self.timers.acknowledged) {
            (Some(input), Some(acknowledged)) => input <= acknowledged,
            (None, _) | (_, None) => false,
        };
        self.silent_tries == 1 && quiet && self.is_ack_unanswered() && self.decoder.is_between()
    }

    /// Whether our last word was a ZACK and no good subpacket has come since.
    pub(super) fn is_ack_unanswered(&self) -> bool {
        self.last_header.is_some_and(|header| {
            header.kind == FrameType::Zack && u64::from(header.position()) == self.stream
        })
    }

    /// How long the stream may pause. Where the sender owes us a header or an answer it is shorter.
    pub(super) fn stream_wait(&self) -> Duration {
        if self.decoder.may_hold_header() {
            HELD_HEADER_WAIT
        } else if self.decoder.is_in_frame() && !self.is_ack_unanswered() {
            self.options.silence
        } else {
            self.quiet_wait()
        }
    }

    /// How long the line may be quiet where the sender owes us something. While ZRPOS is on its way
    /// to a sender that waits, the line is quiet for a round trip.
    pub(super) fn quiet_wait(&self) -> Duration {
        self.rtt() + QUIET_SLACK
    }

    /// Ends in vain, unless all that was wanted is here.
    pub(super) fn give_up(&mut self, now: Instant) {
        let (end, tries) = (self.next, self.tries);
        let received = self.received();
        match self.state {
            State::Closing if self.batch.is_none() => self.end(Ok(received)),
            State::Stopping => self.cancel_with(now, Ok(received)),
            State::Opening { .. } if self.fruitless == 0 => {
                self.abort(now, ZmodemError::Silent { end, tries });
            }
            State::Opening { .. }
            | State::Deciding(_)
            | State::Proving { .. }
            | State::Seeking
            | State::Data
            | State::Closing => {
                let error = if self.silent_tries > SILENT_TRIES_MAX {
                    ZmodemError::Silent { end, tries }
                } else {
                    ZmodemError::NoProgress { end, tries }
                };
                self.abort(now, error);
            }
            State::Farewell(_) | State::Cancelling { .. } | State::PeerCancelled { .. } | State::Ended(_) => {
            }
        }
    }

    /// A ZRPOS sent twice will be answered twice: the sender is about to go back once more.
    pub(super) fn is_jump_due(&self, now: Instant) -> bool {
        let since = self.timers.last_zrpos.map(|at| now.saturating_duration_since(at));
        self.zrpos_open > 0 && since.is_some_and(|since| since < self.reply_wait())
    }

    /// Something of use has come.
    pub(super) fn progress(&mut self, now: Instant) {
        self.timers.progress = Some(now);
        self.tries = 0;
        self.silent_tries = 0;
        self.stale_waits = 0;
        self.fruitless = 0;
        self.echoes = 0;
    }

    /// How long an answer may take.
    pub(super) fn reply_wait(&self) -> Duration {
        self.rtt() * 2 + REPLY_SLACK
    }

    pub(super) fn rtt(&self) -> Duration {
        self.options.rtt.min(RTT_MAX)
    }

    pub(super) fn arm(&mut self, now: Instant, wait: Duration) {
        self.timers.deadline = Some(now + wait.min(PROGRESS_WAIT_MAX));
    }

    pub(super) fn arm_earlier(&mut self, now: Instant, wait: Duration) {
        let at = now + wait.min(PROGRESS_WAIT_MAX);
        self.timers.deadline = Some(self.timers.deadline.map_or(at, |deadline| deadline.min(at)));
    }
}

/// What an answer takes beside the round trip: a busy host, a buffered modem.
const REPLY_SLACK: Duration = Duration::from_secs(4);
/// What a busy host may add to a round trip before it goes on.
const QUIET_SLACK: Duration = Duration::from_millis(1_500);
/// The pause behind what may be a ZNAK in the middle of a frame.
const HELD_HEADER_WAIT: Duration = Duration::from_millis(700);
/// A longer round trip is not believed.
const RTT_MAX: Duration = Duration::from_secs(30);
/// The wait for the first header is divided by this: we speak first at the second part's beginning.
pub(super) const OPENING_TRIES: u32 = 3;
/// Requests in a row that may be met with utter silence: a minute or more.
const SILENT_TRIES_MAX: u32 = 5;
/// The longest wait between two of them, unless an answer may take longer.
const SILENT_WAIT_MAX: Duration = Duration::from_secs(15);
/// Requests in a row without a single good subpacket. `sz` needs many of them to shorten its blocks
/// to what a bad line can carry.
pub(super) const TRIES_MAX: u32 = 40;
/// Requests for ZFIN; the file is here, so not many.
const CLOSING_TRIES_MAX: u32 = 3;
/// Bytes between two frames of a stream that are more than a stray hit: a header was among them.
pub(super) const STRAY_BYTES_MAX: u64 = 32;
/// The longest wait between two requests while stale bytes run on.
const STALE_WAIT_MAX: Duration = Duration::from_secs(60);
/// Doublings of the wait for an answer.
const DOUBLINGS_MAX: u32 = 4;
/// Line time without a new byte of the file, though the line is alive.
pub(super) const PROGRESS_WAIT_MAX: Duration = Duration::from_secs(600);
/// Frames and damaged frames in a row that bring nothing new.
pub(super) const FRUITLESS_ITEMS_MAX: u32 = 10_000;
