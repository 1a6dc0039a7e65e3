//! What a sender says: headers, subpackets, and when nothing came in time, both again.

use std::time::{Duration, Instant};

use super::super::encode;
use super::super::frame::{ESCCTL, FrameType, Header, SubpacketEnd, XON, ZCBIN, ZPAD};
use super::report::{FileEnd, SendError, SendEvent};
use super::{Send, State, Step};

impl Send {
    /// Tells that all control characters will be escaped (section 11.3); no attention sequence.
    pub(super) fn introduce(&mut self, now: Instant) {
        self.state = State::Introducing;
        self.send(Header::with_flags(FrameType::Zsinit, ESCCTL)); // TESCCTL is the same bit
        self.subpacket(&[0], SubpacketEnd::Wait);
        self.arm(now, self.reply_wait());
    }

    /// Offers the file under way, or says goodbye.
    pub(super) fn offer(&mut self, now: Instant) {
        let Some(file) = self.files.get(self.file) else { return self.say_zfin(now, 1) };
        if file.size.unwrap_or(0) > OFFSET_MAX {
            return self.finished(now, FileEnd::TooLarge);
        }
        if !matches!(self.state, State::Offering) || self.tries == 0 {
            self.outbox.push_back(Step::Tell(SendEvent::Offered { file: self.file }));
        }
        let left = &self.files[self.file..];
        let bytes = left.iter().map(|file| file.size.unwrap_or(0)).fold(0, u64::saturating_add);
        let info = left[0].write(left.len(), bytes);
        self.state = State::Offering;
        self.send(Header::with_flags(FrameType::Zfile, ZCBIN));
        self.subpacket(&info, SubpacketEnd::Wait);
        self.timers.asked = Some(now);
        self.arm(now, self.reply_wait());
    }

    /// The next bytes of the file.
    pub(super) fn say_data(&mut self, now: Instant, bytes: &[u8]) {
        if !self.stream.frame_open {
            self.send_zdata();
        }
        let length = bytes.len() as u64;
        let query_every = (self.window() / QUERIES_PER_WINDOW).max(1);
        let size = self.size();
        let stream = &mut self.stream;
        stream.at += length;
        stream.furthest = stream.furthest.max(stream.at);
        stream.since_query += length;
        stream.since_wait += length;
        let is_full = self.receiver.segment.is_some_and(|segment| stream.since_wait >= segment);
        let end = if stream.at == size {
            SubpacketEnd::EndFrame
        } else if std::mem::take(&mut stream.careful) || is_full {
            SubpacketEnd::Wait
        } else if stream.since_query >= query_every {
            SubpacketEnd::Query
        } else {
            SubpacketEnd::Go
        };
        stream.frame_open = !end.ends_frame();
        if matches!(end, SubpacketEnd::Query | SubpacketEnd::Wait) {
            stream.since_query = 0;
        }
        self.sent.stats.subpackets += 1;
        self.subpacket(bytes, end);
        match end {
            SubpacketEnd::EndFrame => self.say_zeof(now),
            SubpacketEnd::Wait => {
                self.state = State::Waiting;
                self.timers.asked = Some(now);
                self.arm(now, self.reply_wait());
            }
            SubpacketEnd::Query | SubpacketEnd::Go => {}
        }
    }

    pub(super) fn say_zeof(&mut self, now: Instant) {
        self.state = State::AtEnd;
        self.stream.frame_open = false;
        self.send(self.at_position(FrameType::Zeof, self.size()));
        self.arm(now, self.reply_wait());
    }

    fn say_zfin(&mut self, now: Instant, sent: u32) {
        self.state = State::Leaving { sent };
        // In hexadecimal, as lrzsz sends it: a receiver that is leaving looks for no other.
        let zfin = Header::with_position(FrameType::Zfin, 0).to_hex();
        self.outbox.push_back(Step::Send(zfin));
        self.arm(now, self.rtt() + FAREWELL_SLACK);
    }

    /// The file does not have what was announced: the receiver must not take what it has for the whole
    /// (section 11.13), and the session is over, for receivers know no other answer to ZFERR.
    pub(super) fn file_fails(&mut self, now: Instant) {
        let mut last_words = Vec::new();
        if self.stream.frame_open {
            last_words = self.encoded(&[], SubpacketEnd::EndFrame);
        }
        last_words.extend(self.encoded_header(Header::with_position(FrameType::Zferr, 0)));
        let (file, at) = (self.file, self.stream.at);
        self.abort_saying(now, last_words, SendError::Unreadable { file, at });
    }

    /// Nothing came in time: says what wants an answer again, or gives up.
    pub(super) fn on_deadline(&mut self, now: Instant) {
        if self.is_over() {
            return self.line_is_quiet();
        }
        self.sent.stats.timeouts += 1;
        self.silent_tries += 1;
        if let State::Opening = self.state {
            return self.open_again(now);
        }
        // A terminal that echoes shows ZDLE so: the receiver has let go of it.
        if memchr::memmem::find(self.decoder.text(), b"*^XB0").is_some() {
            return self.receiver_gone();
        }
        if self.silent_tries > SILENT_TRIES_MAX {
            return self.give_up(now);
        }
        self.say_again(now);
    }

    /// The receiver's first word has not come: perhaps it waits for ours.
    fn open_again(&mut self, now: Instant) {
        let waited = self.timers.began.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        match self.options.first_header.checked_sub(waited).filter(|left| !left.is_zero()) {
            Some(left) => {
                self.outbox.push_back(Step::Send(Header::with_position(FrameType::Zrqinit, 0).to_hex()));
                self.arm(now, self.reply_wait().min(left));
            }
            None => self.give_up(now),
        }
    }

    /// Says again what the receiver has not understood, or not answered.
    pub(super) fn say_again(&mut self, now: Instant) {
        self.tries += 1;
        if self.tries > super::TRIES_MAX {
            return self.give_up(now);
        }
        match self.state {
            // Where a byte of a CRC was lost, the receiver takes the next ones for it: let it have these.
            State::Introducing => {
                self.outbox.push_back(Step::Send(vec![ZPAD; FILLER]));
                self.introduce(now);
            }
            State::Offering => {
                self.outbox.push_back(Step::Send(vec![ZPAD; FILLER]));
                self.offer(now);
            }
            State::Streaming | State::Waiting => self.prod(now),
            State::AtEnd => {
                // To a receiver that has not heard the end of the last subpacket ZEOF is more of it.
                self.subpacket(&[], SubpacketEnd::EndFrame);
                self.say_zeof(now);
            }
            State::Leaving { sent } if sent < FAREWELL_TRIES_MAX => self.say_zfin(now, sent + 1),
            // It has all files, and has said so.
            State::Leaving { .. } => {
                let sent = self.sent;
                self.end(Ok(sent));
            }
            State::Opening | State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_) => {}
        }
    }

    /// A ZACK or a ZRPOS was lost. To whoever is in the frame this is its end and a new one, with
    /// nothing in it but the question for a ZACK; to whoever looks for ZDATA at another place it is
    /// ZDATA at the wrong one, which is answered by ZRPOS.
    fn prod(&mut self, now: Instant) {
        if self.stream.frame_open {
            self.subpacket(&[], SubpacketEnd::EndFrame);
        }
        self.send_zdata();
        self.subpacket(&[], SubpacketEnd::Wait);
        self.stream.frame_open = false;
        self.stream.prodded = true;
        self.state = State::Waiting;
        self.timers.asked = None; // whichever ZACK comes, it may be of the one before
        self.arm(now, self.reply_wait());
    }

    fn send_zdata(&mut self) {
        self.send(self.at_position(FrameType::Zdata, self.stream.at));
        self.stream.frame_open = true;
    }

    /// Files are offered only if 32 bits reach to their end.
    fn at_position(&self, kind: FrameType, position: u64) -> Header {
        Header::with_position(kind, u32::try_from(position).unwrap_or(u32::MAX))
    }

    pub(super) fn send(&mut self, header: Header) {
        let bytes = self.encoded_header(header);
        self.outbox.push_back(Step::Send(bytes));
    }

    fn encoded_header(&self, header: Header) -> Vec<u8> {
        encode::header_escaped(&header, self.receiver.encoding, self.receiver.escape_controls)
    }

    fn subpacket(&mut self, data: &[u8], end: SubpacketEnd) {
        let bytes = self.encoded(data, end);
        self.outbox.push_back(Step::Send(bytes));
    }

    fn encoded(&self, data: &[u8], end: SubpacketEnd) -> Vec<u8> {
        let mut bytes = encode::subpacket(data, end, self.receiver.encoding, self.receiver.escape_controls);
        // Section 7.4: XON frees a line that noise had stopped, where an answer is waited for.
        if end == SubpacketEnd::Wait {
            bytes.push(XON);
        }
        bytes
    }

    /// The receiver has something new.
    pub(super) fn progress(&mut self, now: Instant) {
        self.timers.progress = Some(now);
        self.tries = 0;
        self.silent_tries = 0;
        self.fruitless = 0;
        self.echoes = 0;
    }

    /// An answer that came at once: how long the round trip is at most.
    pub(super) fn measure(&mut self, now: Instant) {
        if let Some(asked) = self.timers.asked.take() {
            let took = now.saturating_duration_since(asked);
            self.timers.rtt = Some(self.timers.rtt.map_or(took, |rtt| rtt.min(took)));
        }
    }

    pub(super) fn reply_wait(&self) -> Duration {
        self.rtt() * 2 + REPLY_SLACK
    }

    pub(super) fn rtt(&self) -> Duration {
        self.options.rtt.min(RTT_MAX)
    }

    pub(super) fn arm(&mut self, now: Instant, wait: Duration) {
        self.timers.deadline = Some(now + wait);
    }
}

/// The last offset that 32 bits hold.
const OFFSET_MAX: u64 = u32::MAX as u64;
/// ZCRCQ in each window: its ZACK is back before the window is full.
const QUERIES_PER_WINDOW: u64 = 4;
/// What an answer takes beside the round trip: a busy host, a slow disk, a buffered modem.
const REPLY_SLACK: Duration = Duration::from_secs(4);
/// A longer round trip is not believed.
const RTT_MAX: Duration = Duration::from_secs(30);
/// Requests in a row that may be met with utter silence: a minute or more with the receiver's own.
const SILENT_TRIES_MAX: u32 = 8;
/// What a farewell takes beside the round trip.
const FAREWELL_SLACK: Duration = Duration::from_secs(2);
/// As long as a CRC-32, in bytes. Any number of ZPADs may stand in front of a header.
const FILLER: usize = 4;
/// ZFIN we send at most.
const FAREWELL_TRIES_MAX: u32 = 3;
