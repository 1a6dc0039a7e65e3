//! Sends files: what a ZMODEM sender says, and what it does about what it hears.
//!
//! ```text
//! receiver  rz ZRINIT            ZRPOS(p)          ZACK ..         ZRINIT      ZFIN
//! we                  ZFILE+info         ZDATA(p) data .. ZEOF(end)      ZFIN       OO
//! state     Opening   Offering           Streaming, Waiting AtEnd        Leaving
//! ```
//!
//! The machine holds no more of a file than a subpacket: it asks its owner for each
//! ([`SendEvent::Wants`]). It is never further ahead of the receiver than a window, which ZCRCQ and the
//! ZACK that answers it move on (section 9.4, "sliding window"); a receiver that cannot hear and write
//! at once gets ZCRCW and is waited for (section 9.3, "segmented streaming").

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::codec::{Damage, Decoder, Item};
use super::frame::{CANFC32, CANFDX, CANOVIO, ESC8, ESCCTL, Encoding, FileInfo, FrameType, Header};
use super::marker::EndMarker;
use crate::machine::{Control, Machine, Output, Question, Transmit};

mod leaving;
pub mod report;
mod speaking;

use leaving::CANCEL_QUIET;
use report::{FileEnd, SendError, SendEvent, SendOptions, Sent, Want, WantCrc};

/// A ZMODEM sender of some files.
#[derive(Debug)]
pub struct Send {
    options: SendOptions,
    files: Vec<FileInfo>,
    /// The one under way.
    file: usize,
    state: State,
    decoder: Decoder,
    marker: EndMarker,
    outbox: VecDeque<Step>,
    asking: Option<Asking>,
    /// The receiver wants the CRC of so many first bytes.
    crc_wanted: Option<u64>,
    crcs_given: u32,
    receiver: Receiver,
    stream: Stream,
    timers: Timers,
    /// Requests since the receiver had something new.
    tries: u32,
    /// Requests since anything was heard.
    silent_tries: u32,
    /// Items since the receiver had something new.
    fruitless: u32,
    echoes: u32,
    cancel_asked: bool,
    sent: Sent,
}

#[derive(Debug)]
enum State {
    /// ZRINIT has not come.
    Opening,
    /// ZSINIT is sent, ZACK is to come.
    Introducing,
    /// ZFILE is sent; ZRPOS, ZSKIP or ZCRC is to come.
    Offering,
    /// There is room for more.
    Streaming,
    /// The window or the receiver's buffer is full: ZACK is to come.
    Waiting,
    /// ZEOF is sent; ZRINIT is to come.
    AtEnd,
    /// ZFIN is sent, and to come.
    Leaving { sent: u32 },
    /// We cancelled; what was on its way runs out.
    Cancelling { outcome: Outcome, until: Instant },
    /// The peer cancels too, or first; the rest of its CANs and backspaces may come.
    CancelHeard { outcome: Outcome },
    /// The outcome is to be told, and then nothing more.
    Ended(Option<Outcome>),
}

type Outcome = Result<Sent, SendError>;

#[derive(Debug)]
enum Step {
    Send(Vec<u8>),
    /// What is queued goes out no more: the receiver has no use for it.
    Discard,
    Tell(SendEvent),
}

/// What the owner is asked.
#[derive(Debug)]
enum Asking {
    Bytes(Question<Vec<u8>>, usize),
    Crc(Question<u32>),
}

/// What ZRINIT says of the receiver (section 11.2).
#[derive(Debug, Clone, Copy)]
struct Receiver {
    encoding: Encoding,
    escape_controls: bool,
    /// Bytes that it takes before it must be waited for.
    segment: Option<u64>,
}

/// Where we are in the file under way.
#[derive(Debug, Clone, Copy)]
struct Stream {
    /// The next byte to send.
    at: u64,
    /// What the receiver has, as far as it has said since we went back last.
    acked: u64,
    /// The most that it ever had, and that was ever sent.
    best: u64,
    furthest: u64,
    frame_open: bool,
    /// Bytes since ZACK was asked for last.
    since_query: u64,
    /// Bytes since it was waited for last.
    since_wait: u64,
    /// Subpackets are this long now.
    block: usize,
    /// Bytes that came through since the last damage.
    clean: u64,
    /// The first subpacket behind going back is waited for: ZRPOS that were said before it was heard
    /// come in the meantime, and can be told apart.
    careful: bool,
    /// The last ZRPOS answered, and when.
    went_back: Option<(u64, Instant)>,
    /// The receiver was prodded for a ZACK.
    prodded: bool,
    /// Times it was there all the same: it does not answer ZCRCQ.
    unanswered: u32,
}

/// All in line time.
#[derive(Debug, Default)]
struct Timers {
    began: Option<Instant>,
    deadline: Option<Instant>,
    progress: Option<Instant>,
    /// When the line was empty and we said what is answered at once.
    asked: Option<Instant>,
    /// The shortest round trip seen.
    rtt: Option<Duration>,
}

impl Machine for Send {
    type Event = SendEvent;
    type Outcome = Outcome;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.begin(now);
        let (feed, marker) = self.marker.before(now, bytes);
        let taken = self.take(now, &bytes[..feed]);
        if taken > 0 {
            self.silent_tries = 0;
        }
        if marker && taken == feed {
            self.receiver_gone();
        }
        taken
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.outbox.retain(|step| matches!(step, Step::Tell(_)));
        let sent = self.sent;
        let outcome = match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Opening
            | State::Introducing
            | State::Offering
            | State::Streaming
            | State::Waiting
            | State::AtEnd => Err(SendError::CarrierLost),
            // The receiver has them all.
            State::Leaving { .. } => Ok(sent),
            State::Cancelling { outcome, .. } | State::CancelHeard { outcome } => outcome,
            State::Ended(outcome) => outcome.unwrap_or(Err(SendError::CarrierLost)),
        };
        self.end(outcome);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.begin(now);
        self.marker.handle_timeout(now);
        if self.timers.deadline.is_some_and(|at| at <= now) {
            self.timers.deadline = None;
            self.on_deadline(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<SendEvent, Outcome> {
        self.begin(now);
        self.take_answer(now);
        if std::mem::take(&mut self.cancel_asked) && !self.is_over() {
            self.abort(now, SendError::Cancelled);
        }
        loop {
            match self.outbox.pop_front() {
                Some(Step::Send(bytes)) => return Output::Transmit(Transmit::plain(bytes)),
                Some(Step::Discard) => return Output::Control(Control::DiscardOutput),
                Some(Step::Tell(event)) => return Output::Event(event),
                None => {}
            }
            if let State::Ended(outcome) = &mut self.state {
                // The owner does not poll again behind `Done`; if it does, there is nothing.
                return outcome.take().map_or(Output::Wait(None), Output::Done);
            }
            if let Some(event) = self.ask_owner(now) {
                return Output::Event(event);
            }
            if self.outbox.is_empty() {
                let Timers { deadline, .. } = self.timers;
                return Output::Wait([deadline, self.marker.deadline()].into_iter().flatten().min());
            }
        }
    }
}

impl Send {
    /// A sender that waits for the receiver's first word. Start the receiver first.
    pub fn new(files: Vec<FileInfo>, options: SendOptions) -> Self {
        let marker = EndMarker::new(options.end_marker.clone());
        let block = options.block_max.clamp(BLOCK_MIN, BLOCK_MAX);
        let receiver =
            Receiver { encoding: Encoding::Bin16, escape_controls: options.escape_controls, segment: None };
        Self {
            options,
            files,
            file: 0,
            state: State::Opening,
            decoder: Decoder::new(),
            marker,
            outbox: VecDeque::new(),
            asking: None,
            crc_wanted: None,
            crcs_given: 0,
            receiver,
            stream: Stream::new(0, block.min(BLOCK_FIRST)),
            timers: Timers::default(),
            tries: 0,
            silent_tries: 0,
            fruitless: 0,
            echoes: 0,
            cancel_asked: false,
            sent: Sent::default(),
        }
    }

    /// Stops the receiver: at the next poll it is sent CANs, and this ends with
    /// [`SendError::Cancelled`] once the line is quiet.
    pub fn cancel(&mut self) {
        self.cancel_asked = !self.is_over();
    }

    /// What has been sent so far, at any time, also after an error.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_))
    }

    fn begin(&mut self, now: Instant) {
        if self.timers.began.is_none() {
            self.timers.began = Some(now);
            self.timers.progress = Some(now);
            // `rz` says ZRINIT by itself: there is nothing to be said yet.
            self.arm(now, self.rtt() + FIRST_WORD);
        }
    }

    fn size(&self) -> u64 {
        self.files.get(self.file).and_then(|file| file.size).unwrap_or(0)
    }

    // What the owner is asked.

    /// The next question to the owner, if the stream or the receiver wants something of the file.
    fn ask_owner(&mut self, now: Instant) -> Option<SendEvent> {
        if self.is_over() {
            return None;
        }
        if let Some(length) = self.crc_wanted.take() {
            let (question, answer) = Question::new();
            self.asking = Some(Asking::Crc(question));
            return Some(SendEvent::WantsCrc(WantCrc { file: self.file, length, answer }));
        }
        if !matches!(self.state, State::Streaming) {
            return None;
        }
        let left = self.size().saturating_sub(self.stream.at);
        if left == 0 {
            self.say_zeof(now);
            return None;
        }
        let length = self.next_length(left);
        let under_way = self.stream.at - self.stream.acked;
        if under_way > 0 && under_way + length as u64 > self.window() {
            self.state = State::Waiting;
            self.arm(now, self.reply_wait());
            return None;
        }
        let (question, answer) = Question::new();
        self.asking = Some(Asking::Bytes(question, length));
        Some(SendEvent::Wants(Want { file: self.file, offset: self.stream.at, length, answer }))
    }

    fn next_length(&self, left: u64) -> usize {
        let segment = self.receiver.segment.map_or(u64::MAX, |segment| segment - self.stream.since_wait);
        let bound = left.min(segment);
        usize::try_from(bound).map_or(self.stream.block, |bound| bound.min(self.stream.block))
    }

    fn window(&self) -> u64 {
        self.options.window.max(2 * self.stream.block as u64)
    }

    fn take_answer(&mut self, now: Instant) {
        match self.asking.take() {
            None => {}
            Some(Asking::Crc(question)) => {
                if let Some(crc) = question.answered().filter(|_| !self.is_over()) {
                    self.send(Header::with_position(FrameType::Zcrc, crc));
                    self.arm(now, self.reply_wait());
                }
            }
            Some(Asking::Bytes(question, length)) if matches!(self.state, State::Streaming) => {
                match question.answered() {
                    Some(mut bytes) if bytes.len() >= length => {
                        bytes.truncate(length);
                        self.say_data(now, &bytes);
                    }
                    Some(_) | None => self.file_fails(now),
                }
            }
            Some(Asking::Bytes(..)) => {}
        }
    }

    // What arrives.

    fn take(&mut self, now: Instant, bytes: &[u8]) -> usize {
        match self.state {
            State::CancelHeard { .. } => return self.take_cancel_tail(bytes),
            State::Ended(_) => return 0,
            State::Cancelling { .. } => return self.drain(now, bytes),
            State::Opening
            | State::Introducing
            | State::Offering
            | State::Streaming
            | State::Waiting
            | State::AtEnd
            | State::Leaving { .. } => {}
        }
        let mut at = 0;
        while !self.is_over() {
            let (taken, item) = self.decoder.decode(&bytes[at..]);
            at += taken;
            let Some(item) = item else { break };
            self.on_item(now, item);
        }
        let since = self.timers.progress.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if !self.is_over() && (since > PROGRESS_WAIT_MAX || self.fruitless > FRUITLESS_ITEMS_MAX) {
            self.give_up(now);
        }
        match self.state {
            State::CancelHeard { .. } => at + self.take_cancel_tail(&bytes[at..]),
            // The line end behind ZFIN is its own, what follows the shell's.
            State::Ended(_) => at + line_end(&bytes[at..]),
            State::Cancelling { .. } => at + self.drain(now, &bytes[at..]),
            State::Opening
            | State::Introducing
            | State::Offering
            | State::Streaming
            | State::Waiting
            | State::AtEnd
            | State::Leaving { .. } => at,
        }
    }

    fn on_item(&mut self, now: Instant, item: Item) {
        self.fruitless += 1;
        match item {
            Item::Header(header) => self.on_header(now, header),
            // Of a frame that only senders send: an echo, and its header was counted.
            Item::Subpacket { .. } => {}
            // The receiver says it again when it hears no answer, or hears ours and asks for more.
            Item::Damaged(Damage::Header | Damage::Subpacket) => self.sent.stats.damaged_headers += 1,
            Item::Cancel => self.on_cancel(now),
        }
    }

    fn on_header(&mut self, now: Instant, header: Header) {
        match header.kind {
            FrameType::Zrinit => self.on_zrinit(now, header),
            FrameType::Zrpos => self.on_zrpos(now, header.position().into()),
            FrameType::Zack => self.on_zack(now, header.position().into()),
            FrameType::Zskip => self.on_zskip(now),
            FrameType::Zcrc => self.on_zcrc(now, header.position().into()),
            FrameType::Znak => self.say_again(now),
            FrameType::Zfin => self.on_zfin(),
            FrameType::Zferr => self.abort(now, SendError::PeerWriteFailed),
            FrameType::Zabort | FrameType::Zcan => self.on_cancel(now),
            // The session's security challenge (section 8.1): the same number back.
            FrameType::Zchallenge => self.send(Header::with_position(FrameType::Zack, header.position())),
            // Only senders say these: the host echoes us, so its receiver has let go of the terminal.
            FrameType::Zrqinit
            | FrameType::Zsinit
            | FrameType::Zfile
            | FrameType::Zdata
            | FrameType::Zeof => self.on_echo(),
            FrameType::Zcompl
            | FrameType::Zfreecnt
            | FrameType::Zcommand
            | FrameType::Zstderr
            | FrameType::Unknown(_) => self.sent.stats.unexpected_headers += 1,
        }
    }

    fn on_zrinit(&mut self, now: Instant, header: Header) {
        match self.state {
            State::Opening => self.meet(now, header),
            // It comes behind this file's ZRPOS on the same line, so it is no older one's echo.
            State::AtEnd => self.finished(now, FileEnd::Sent),
            // Our offer came through damaged, unless this was said before it was there.
            State::Offering if self.timers.asked.is_some_and(|at| now >= at + self.rtt()) => {
                self.say_again(now);
            }
            State::Introducing | State::Offering | State::Leaving { .. } => {}
            State::Streaming | State::Waiting => self.sent.stats.unexpected_headers += 1,
            State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_) => {}
        }
    }

    /// ZRINIT says what the receiver can do (section 11.2).
    fn meet(&mut self, now: Instant, header: Header) {
        let [low, high, _, flags] = header.bytes;
        if flags & ESC8 != 0 {
            return self.abort(now, SendError::WantsEighthBitEscaped);
        }
        let buffer = u64::from(u16::from_le_bytes([low, high]));
        let hears_while_writing = flags & CANFDX != 0 && flags & CANOVIO != 0;
        self.receiver = Receiver {
            encoding: if flags & CANFC32 != 0 { Encoding::Bin32 } else { Encoding::Bin16 },
            escape_controls: self.options.escape_controls || flags & ESCCTL != 0,
            segment: match (buffer, hears_while_writing) {
                (0, true) => None,
                (0, false) => Some(self.window()),
                (buffer, _) => Some(buffer),
            },
        };
        self.progress(now);
        if self.options.escape_controls {
            self.introduce(now);
        } else {
            self.offer(now);
        }
    }

    fn on_zrpos(&mut self, now: Instant, position: u64) {
        match self.state {
            State::Offering if position <= self.size() => {
                self.measure(now);
                self.stream = Stream::new(position, self.stream.block);
                self.state = State::Streaming;
                self.progress(now);
                self.tell_received();
            }
            State::Streaming | State::Waiting | State::AtEnd if position <= self.stream.furthest => {
                let is_stale = self.stream.went_back.is_some_and(|(to, when)| {
                    let rtt = self.timers.rtt.unwrap_or_default();
                    to == position
                        && self.stream.careful_open()
                        && now.saturating_duration_since(when) < rtt * 9 / 10
                });
                if is_stale {
                    self.sent.stats.zrpos_ignored += 1;
                } else {
                    self.go_back(now, position);
                }
            }
            State::Offering | State::Streaming | State::Waiting | State::AtEnd => {
                self.sent.stats.unexpected_headers += 1;
            }
            State::Opening | State::Introducing | State::Leaving { .. } => {
                self.sent.stats.unexpected_headers += 1;
            }
            State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_) => {}
        }
    }

    /// The receiver wants the stream from `position` on, and hears nothing else until ZDATA says that
    /// it comes (section 8.2): what is queued would be sent in vain.
    fn go_back(&mut self, now: Instant, position: u64) {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            return self.give_up(now);
        }
        self.sent.stats.went_back += 1;
        self.discard_queued();
        let stream = &mut self.stream;
        stream.block = (stream.block / 2).max(BLOCK_MIN);
        (stream.at, stream.acked, stream.clean) = (position, position, 0);
        (stream.since_query, stream.since_wait, stream.frame_open) = (0, 0, false);
        (stream.careful, stream.prodded, stream.went_back) = (true, false, Some((position, now)));
        self.state = State::Streaming;
        self.timers.deadline = None;
    }

    fn on_zack(&mut self, now: Instant, position: u64) {
        match self.state {
            State::Introducing => self.offer(now),
            State::Streaming | State::Waiting | State::AtEnd => {
                let stream = &mut self.stream;
                if position < stream.acked || position > stream.at {
                    self.sent.stats.unexpected_headers += 1;
                    return;
                }
                stream.clean += position - stream.acked;
                stream.acked = position;
                if stream.clean >= CLEAN_BLOCKS * stream.block as u64 {
                    let longest = self.options.block_max.clamp(BLOCK_MIN, BLOCK_MAX);
                    (stream.block, stream.clean) = ((stream.block * 2).min(longest), 0);
                }
                if position == stream.at {
                    if std::mem::take(&mut stream.prodded) {
                        stream.unanswered += 1;
                    }
                    stream.since_wait = 0;
                }
                if stream.unanswered >= UNANSWERED_MAX && self.receiver.segment.is_none() {
                    self.receiver.segment = Some(self.window());
                }
                self.heard_of(now, position);
                if matches!(self.state, State::Waiting)
                    && (self.stream.frame_open || position == self.stream.at)
                {
                    self.measure(now);
                    self.timers.deadline = None;
                    self.state = State::Streaming;
                }
            }
            State::Opening | State::Offering | State::Leaving { .. } => {
                self.sent.stats.unexpected_headers += 1;
            }
            State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_) => {}
        }
    }

    /// The receiver has all up to `position`.
    fn heard_of(&mut self, now: Instant, position: u64) {
        if position > self.stream.best {
            self.stream.best = position;
            self.progress(now);
            self.tell_received();
        }
    }

    fn tell_received(&mut self) {
        let event = SendEvent::Received { file: self.file, offset: self.stream.acked };
        self.outbox.push_back(Step::Tell(event));
    }

    fn on_zskip(&mut self, now: Instant) {
        match self.state {
            State::Offering => self.finished(now, FileEnd::Skipped),
            State::Streaming | State::Waiting | State::AtEnd => {
                self.discard_queued();
                self.finished(now, FileEnd::Skipped);
            }
            State::Opening | State::Introducing | State::Leaving { .. } => {
                self.sent.stats.unexpected_headers += 1;
            }
            State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_) => {}
        }
    }

    /// Section 11.14: none of a length of 0 means the whole file. Reading it takes time, so not often.
    fn on_zcrc(&mut self, now: Instant, length: u64) {
        if matches!(self.state, State::Offering) && self.crcs_given < CRCS_MAX {
            self.crcs_given += 1;
            let size = self.size();
            self.crc_wanted = Some(if length == 0 { size } else { length.min(size) });
            self.arm(now, self.reply_wait());
        } else {
            self.sent.stats.unexpected_headers += 1;
        }
    }

    fn on_zfin(&mut self) {
        let sent = self.sent;
        match self.state {
            State::Leaving { .. } => {
                // Over and out (section 8.3).
                self.outbox.push_back(Step::Send(b"OO".to_vec()));
                self.end(Ok(sent));
            }
            State::Opening
            | State::Introducing
            | State::Offering
            | State::Streaming
            | State::Waiting
            | State::AtEnd => {
                self.discard_queued();
                self.send(Header::with_position(FrameType::Zfin, 0));
                self.end(Err(SendError::EndedEarly { at: self.stream.best }));
            }
            State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_) => {}
        }
    }

    fn on_echo(&mut self) {
        self.sent.stats.unexpected_headers += 1;
        self.echoes += 1;
        if self.echoes >= ECHOES_MAX {
            self.receiver_gone();
        }
    }

    fn on_cancel(&mut self, now: Instant) {
        let sent = self.sent;
        let outcome = match self.state {
            State::Leaving { .. } => Ok(sent),
            State::Opening
            | State::Introducing
            | State::Offering
            | State::Streaming
            | State::Waiting
            | State::AtEnd => Err(SendError::PeerCancelled { said: self.said() }),
            State::Cancelling { .. } | State::CancelHeard { .. } | State::Ended(_) => return,
        };
        self.discard_queued();
        self.state = State::CancelHeard { outcome };
        self.arm(now, CANCEL_QUIET);
    }

    /// The file under way is over, and the next is offered.
    fn finished(&mut self, now: Instant, how: FileEnd) {
        match how {
            FileEnd::Sent => {
                let end = self.size();
                (self.stream.acked, self.stream.at) = (end, end);
                self.heard_of(now, end);
                self.sent.files += 1;
            }
            FileEnd::Skipped | FileEnd::TooLarge => self.sent.skipped += 1,
        }
        self.outbox.push_back(Step::Tell(SendEvent::Finished { file: self.file, how }));
        self.progress(now);
        self.file += 1;
        self.crcs_given = 0;
        self.crc_wanted = None;
        self.offer(now);
    }
}

impl Stream {
    fn new(at: u64, block: usize) -> Self {
        Self {
            at,
            acked: at,
            best: at,
            furthest: at,
            frame_open: false,
            since_query: 0,
            since_wait: 0,
            block,
            clean: 0,
            careful: false,
            went_back: None,
            prodded: false,
            unanswered: 0,
        }
    }

    /// Whether the first subpacket behind going back is not confirmed yet.
    fn careful_open(&self) -> bool {
        self.went_back.is_some_and(|(to, _)| self.acked == to)
    }
}

/// The bytes of a line end at the front: CR, LF (lrzsz sends it with its high bit set) and XON.
fn line_end(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(3)
        .take_while(|&&byte| byte == super::frame::XON || matches!(byte & 0x7f, b'\r' | b'\n'))
        .count()
}

/// The shortest and the longest subpacket, in bytes.
const BLOCK_MIN: usize = 128;
const BLOCK_MAX: usize = super::codec::SUBPACKET_MAX;
/// The first ones, in bytes: the standard's longest (section 7.4).
const BLOCK_FIRST: usize = 1_024;
/// Subpackets that come through before longer ones are tried.
const CLEAN_BLOCKS: u64 = 16;
/// ZACKs that came only when prodded, before the receiver is waited for in any case.
const UNANSWERED_MAX: u32 = 2;
/// What a receiver takes to begin, beside the round trip.
const FIRST_WORD: Duration = Duration::from_secs(2);
/// Times that the receiver may ask for more of the same, without anything new being there.
const TRIES_MAX: u32 = 40;
/// Headers in a row that bring nothing new.
const FRUITLESS_ITEMS_MAX: u32 = 10_000;
/// Line time without anything new, though the line is alive.
const PROGRESS_WAIT_MAX: Duration = Duration::from_secs(600);
/// Headers of our own kind that mean the host is only echoing.
const ECHOES_MAX: u32 = 3;
/// CRCs computed for one file.
const CRCS_MAX: u32 = 4;
