//! What a receive says: the headers it sends, and when they want an answer.

use std::time::{Duration, Instant};

use super::super::frame::{CANFC32, CANFDX, CANOVIO, ESCCTL, FrameType, Header};
use super::super::report::{ZmodemError, last_said};
use super::deadlines::TRIES_MAX;
use super::{Expect, Receive, State, Step};

impl Receive {
    /// ZACK carries the offset of the next byte, or lrzsz sends a small file over and over.
    pub(super) fn acknowledge(&mut self, now: Instant) {
        match u32::try_from(self.stream) {
            Ok(position) => {
                self.timers.acknowledged = Some(now);
                self.send(Header::with_position(FrameType::Zack, position));
                self.arm(now, self.reply_wait());
            }
            Err(_) => self.abort(now, ZmodemError::TooLarge { size: self.stream }),
        }
    }

    pub(super) fn greet(&mut self, now: Instant) {
        self.state = State::Opening { greeted: true };
        self.send_zrinit(now);
    }

    pub(super) fn send_zrinit(&mut self, now: Instant) {
        let mut flags = CANFDX | CANOVIO;
        if !self.options.crc16_only {
            flags |= CANFC32;
        }
        if self.options.escape_controls {
            flags |= ESCCTL;
        }
        self.ask(now, Header::with_flags(FrameType::Zrinit, flags));
    }

    /// Asks for the stream from `next` on, and ignores everything else until it comes.
    pub(super) fn request(&mut self, now: Instant) {
        let Ok(position) = u32::try_from(self.next) else {
            return self.abort(now, ZmodemError::TooLarge { size: self.next });
        };
        if self.started && matches!(self.state, State::Data | State::Seeking) {
            self.stats.zrpos_sent += 1;
            self.send_attention();
        }
        self.state = State::Seeking;
        self.expect = Expect::Nothing;
        self.decoder.hunt();
        self.zrpos_open += 1;
        self.timers.last_zrpos = Some(now);
        self.timers.seek_until = Some(now + self.reply_wait());
        self.ask(now, Header::with_position(FrameType::Zrpos, position));
    }

    /// Ends the stream at our limit. ZSKIP in mid-stream makes sz end the file and then the session.
    pub(super) fn stop_sender(&mut self, now: Instant) {
        self.state = State::Stopping;
        self.expect = Expect::Nothing;
        self.decoder.hunt();
        self.send_attention();
        self.ask(now, Header::with_position(FrameType::Zskip, 0));
    }

    /// Wakes a sender that does not listen while it sends (section 10): \335 is a break, \336 a pause.
    fn send_attention(&mut self) {
        let mut plain = Vec::new();
        for &byte in &self.attention {
            let step = match byte {
                0o335 => Step::Break,
                0o336 => Step::Pause(ATTENTION_PAUSE),
                _ => {
                    plain.push(byte);
                    continue;
                }
            };
            if !plain.is_empty() {
                self.outbox.push_back(Step::Send(std::mem::take(&mut plain)));
            }
            self.outbox.push_back(step);
        }
        if !plain.is_empty() {
            self.outbox.push_back(Step::Send(plain));
        }
    }

    /// Sends a header that wants an answer, unless it has been sent in vain too often.
    pub(super) fn ask(&mut self, now: Instant, header: Header) {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            return self.give_up(now);
        }
        self.send(header);
        self.arm(now, self.reply_wait());
    }

    pub(super) fn send(&mut self, header: Header) {
        self.outbox.push_back(Step::Send(header.to_hex()));
        // A ZNAK that is answered by a ZNAK is not worth another one.
        if header.kind != FrameType::Znak {
            self.last_header = Some(header);
        }
    }

    /// The sender could not read our last header.
    pub(super) fn repeat(&mut self, now: Instant) {
        match self.state {
            State::Seeking => {
                self.zrpos_open = self.zrpos_open.saturating_sub(1);
                self.request(now);
            }
            State::Data if self.is_ack_unanswered() => self.acknowledge(now),
            // Noise made it listen; now it waits for a word of ours, whatever we said last.
            State::Data => self.request(now),
            State::Opening { .. } | State::Proving { .. } | State::Closing | State::Stopping => {
                match self.last_header {
                    Some(header) => self.ask(now, header),
                    None => self.greet(now),
                }
            }
            State::Deciding(_)
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    /// The limit is reached, and the file is known to go on behind it.
    pub(super) fn is_stop_due(&self) -> bool {
        self.options
            .limit
            .is_some_and(|limit| self.next >= limit && self.announced.is_some_and(|size| size > limit))
    }

    /// The last words that were no frame.
    pub(super) fn said(&self) -> String {
        last_said(self.decoder.text())
    }
}

/// The length of a break in an attention sequence.
pub(super) const ATTENTION_BREAK: Duration = Duration::from_millis(250);
/// The length of a pause in an attention sequence (section 10).
const ATTENTION_PAUSE: Duration = Duration::from_secs(1);
