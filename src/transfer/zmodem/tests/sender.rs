//! A small ZMODEM sender to receive from: what the standard asks, and how lrzsz does it.

use std::time::{Duration, Instant};

use super::super::codec::{Decoder, Item};
use super::super::encode;
use super::super::frame::{CANCEL, Encoding, FrameType, Header, SubpacketEnd};
use crate::sim::converse::{Peer, PeerStep};

/// A sender of one file, or of some.
pub struct Sender {
    pub files: Vec<Vec<u8>>,
    pub encoding: Encoding,
    pub block: usize,
    /// Unacknowledged bytes at most.
    pub window: Option<usize>,
    /// Hang up instead of sending this offset.
    pub hang_up_at: Option<usize>,
    /// Say no more from this offset on.
    pub mute_at: Option<usize>,
    /// Behind the farewell, as a shell's prompt.
    pub farewell: Vec<u8>,
    /// Tell our attention sequence in a ZSINIT.
    pub attention: Option<Vec<u8>>,
    /// A byte of every so many is lost before the line.
    pub drop_every: Option<u64>,
    /// This one of our bytes is lost before the line, and no other.
    pub lose: Option<u64>,
    /// This one of the receiver's bytes is not heard, and no other.
    pub miss: Option<u64>,
    pub heard: Vec<FrameType>,
    pub cancelled: bool,
    file: usize,
    at: usize,
    acked: usize,
    state: State,
    decoder: Decoder,
    /// What is said next, a piece at a time.
    queue: Vec<u8>,
    busy_until: Option<Instant>,
    last: Vec<u8>,
    deadline: Option<Instant>,
    pace: Duration,
    retries: u32,
    pub sent: u64,
    pub received: u64,
    /// The first block after going back waits for its ZACK.
    careful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Greeting,
    Attention,
    Offering,
    Streaming { open: bool },
    Waiting { open: bool },
    AtEnd,
    Leaving,
    Mute,
    Gone,
}

impl Sender {
    pub fn new(file: Vec<u8>) -> Self {
        Self {
            files: vec![file],
            encoding: Encoding::Bin32,
            block: 1_024,
            window: None,
            hang_up_at: None,
            mute_at: None,
            farewell: b"OO".to_vec(),
            attention: None,
            drop_every: None,
            lose: None,
            miss: None,
            heard: Vec::new(),
            cancelled: false,
            file: 0,
            at: 0,
            acked: 0,
            state: State::Start,
            decoder: Decoder::new(),
            queue: Vec::new(),
            busy_until: None,
            last: Vec::new(),
            deadline: None,
            pace: Duration::ZERO,
            retries: 0,
            sent: 0,
            received: 0,
            careful: false,
        }
    }

    /// Hands bytes to the line no faster than it carries them, so that it hears us in between.
    pub fn paced(mut self, bits_per_second: u32) -> Self {
        self.pace = Duration::from_secs(10) / bits_per_second;
        self
    }

    fn say(&mut self, bytes: Vec<u8>) {
        self.last.clone_from(&bytes);
        self.queue.extend(bytes);
        self.deadline = None;
    }

    fn offer(&mut self) {
        let Some(file) = self.files.get(self.file) else {
            self.state = State::Leaving;
            return self.say(Header::with_position(FrameType::Zfin, 0).to_hex());
        };
        self.state = State::Offering;
        let mut line = encode::header(&Header::with_position(FrameType::Zfile, 0), self.encoding);
        let info = format!("file{}\0{} 0 0 0 1 1\0", self.file, file.len());
        line.extend(encode::subpacket(info.as_bytes(), SubpacketEnd::Wait, self.encoding, false));
        self.say(line);
    }

    fn greeted(&mut self) {
        match self.attention.clone() {
            Some(text) if self.state != State::Attention => {
                self.state = State::Attention;
                let mut line = encode::header(&Header::with_position(FrameType::Zsinit, 0), self.encoding);
                line.extend(encode::subpacket(&text, SubpacketEnd::Wait, self.encoding, false));
                self.say(line);
            }
            _ => self.offer(),
        }
    }

    fn on_header(&mut self, header: Header) {
        self.heard.push(header.kind);
        let position = header.position() as usize;
        match (self.state, header.kind) {
            (State::Gone | State::Mute, _) => {}
            (State::Start | State::Greeting, FrameType::Zrinit) => self.greeted(),
            (State::Attention, FrameType::Zack) => self.offer(),
            (State::Attention | State::Offering, FrameType::Zrinit | FrameType::Znak) => {
                let again = self.last.clone();
                self.say(again);
            }
            (State::AtEnd | State::Waiting { .. } | State::Streaming { .. }, FrameType::Zrinit)
                if self.at >= self.files[self.file].len() =>
            {
                self.file += 1;
                self.offer();
            }
            (
                State::Offering | State::Streaming { .. } | State::Waiting { .. } | State::AtEnd,
                FrameType::Zskip,
            ) => {
                self.file += 1;
                self.queue.clear();
                self.offer();
            }
            (
                State::Offering | State::Streaming { .. } | State::Waiting { .. } | State::AtEnd,
                FrameType::Zrpos,
            ) => {
                self.careful = self.state != State::Offering;
                self.go_to(position);
            }
            (State::Streaming { .. }, FrameType::Zack) => self.acked = position,
            (State::Waiting { open }, FrameType::Zack) => {
                self.acked = position;
                if position == self.at || open {
                    self.state = State::Streaming { open };
                    self.deadline = None;
                }
            }
            (State::Leaving, FrameType::Zfin) => {
                self.queue.extend(self.farewell.clone());
                self.state = State::Gone;
            }
            (State::Leaving, _) => {
                let again = self.last.clone();
                self.say(again);
            }
            _ => {}
        }
    }

    fn go_to(&mut self, position: usize) {
        // As lrzsz: what is queued is thrown away wherever it stands, and the frame is ended.
        self.queue.clear();
        self.at = position.min(self.files[self.file].len());
        self.acked = self.at;
        let mut line = encode::subpacket(b"", SubpacketEnd::EndFrame, self.encoding, false);
        if matches!(self.state, State::Offering) {
            line.clear();
        }
        line.extend(encode::header(&Header::with_position(FrameType::Zdata, self.at as u32), self.encoding));
        self.say(line);
        self.state = State::Streaming { open: true };
    }

    /// The next block.
    fn stream(&mut self, open: bool) {
        if [self.hang_up_at, self.mute_at].into_iter().flatten().any(|at| self.at >= at) {
            self.state = if self.hang_up_at.is_some() { State::Gone } else { State::Mute };
            return;
        }
        if !open {
            let header = Header::with_position(FrameType::Zdata, self.at as u32);
            self.queue.extend(encode::header(&header, self.encoding));
        }
        let file = &self.files[self.file];
        let to = (self.at + self.block).min(file.len());
        let at_end = to == file.len();
        let full = self.window.is_some_and(|window| to - self.acked >= window);
        let end = match (at_end, full) {
            (true, _) => SubpacketEnd::EndFrame,
            (false, _) if std::mem::take(&mut self.careful) => SubpacketEnd::Wait,
            (false, true) => SubpacketEnd::Query,
            (false, false) => SubpacketEnd::Go,
        };
        let mut line = encode::subpacket(&file[self.at..to], end, self.encoding, false);
        self.at = to;
        self.state = match end {
            SubpacketEnd::EndFrame => {
                line.extend(encode::header(
                    &Header::with_position(FrameType::Zeof, to as u32),
                    self.encoding,
                ));
                State::AtEnd
            }
            SubpacketEnd::Wait => State::Waiting { open: false },
            SubpacketEnd::Query => State::Waiting { open: true },
            SubpacketEnd::Go => State::Streaming { open: true },
        };
        self.say(line);
    }
}

impl Peer for Sender {
    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
        let mut heard = bytes.to_vec();
        heard.retain(|_| {
            self.received += 1;
            self.miss != Some(self.received)
        });
        let mut rest = &heard[..];
        loop {
            let (taken, item) = self.decoder.decode(rest);
            rest = &rest[taken..];
            match item {
                Some(Item::Header(header)) => self.on_header(header),
                Some(Item::Cancel) => {
                    self.cancelled = true;
                    self.queue.clear();
                    self.queue.extend(CANCEL);
                    self.state = State::Gone;
                }
                Some(Item::Damaged(_)) => {
                    let znak = encode::header(&Header::with_position(FrameType::Znak, 0), self.encoding);
                    match self.state {
                        State::Waiting { .. } | State::AtEnd => self.queue.extend(znak),
                        // As lrzsz: even between two subpackets of a frame.
                        State::Streaming { open } => {
                            self.queue.extend(znak);
                            self.state = State::Waiting { open };
                        }
                        State::Leaving => self.queue.extend(self.last.clone()),
                        _ => {}
                    }
                }
                Some(Item::Subpacket { .. }) => {}
                None => break,
            }
        }
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        if let Some(until) = self.busy_until.filter(|&until| until > now) {
            return PeerStep::Wait(Some(until));
        }
        if self.queue.is_empty() {
            match self.state {
                State::Start => {
                    self.state = State::Greeting;
                    let mut line = b"rz\r".to_vec();
                    line.extend(Header::with_position(FrameType::Zrqinit, 0).to_hex());
                    self.say(line);
                }
                State::Streaming { open } => self.stream(open),
                State::Gone if self.hang_up_at.is_some() => return PeerStep::HangUp,
                State::Gone | State::Mute => return PeerStep::Wait(None),
                State::Greeting
                | State::Attention
                | State::Offering
                | State::Waiting { .. }
                | State::AtEnd
                | State::Leaving => {
                    // Like lrzsz, a minute later; twice, then away.
                    match self.deadline {
                        None => self.deadline = Some(now + PATIENCE),
                        Some(at) if at <= now && self.retries < 2 => {
                            self.retries += 1;
                            self.queue = self.last.clone();
                            self.deadline = None;
                        }
                        Some(at) if at <= now => self.state = State::Gone,
                        Some(_) => {}
                    }
                    if self.queue.is_empty() {
                        return PeerStep::Wait(self.deadline);
                    }
                }
            }
        }
        let piece = self.queue.len().min(PIECE);
        let mut bytes: Vec<u8> = self.queue.drain(..piece).collect();
        self.busy_until = Some(now + self.pace * piece as u32);
        bytes.retain(|_| {
            self.sent += 1;
            self.lose != Some(self.sent)
                && self.drop_every.is_none_or(|every| !self.sent.is_multiple_of(every))
        });
        PeerStep::Transmit(bytes)
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes handed to the line at a time.
const PIECE: usize = 256;
