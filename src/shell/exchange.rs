//! One request and its reply: sent until the host has proved it, asked for until all of it is here.
//!
//! The agent keeps a reply until the next request, so every repetition is safe: a request that
//! arrives twice is run once, and blocks that noise hit are sent again from the variable they are
//! kept in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::agent::{LINES_PER_BLOCK, Request};
use super::checksum::Checksum;
use super::frame::{Frame, FrameReader};
use super::{Channel, ShellError, ShellEvent, last_words, remember};
use crate::machine::{Machine, Output, Transmit};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A reply of this many bytes at most.
    Reply { limit: usize },
    /// That the host is about to give the line to a command.
    TakeOver,
    /// That the session is over: the host hangs up, or asks for the next one's name.
    End,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Reply { status: i32, bytes: Vec<u8> },
    TakeOver,
    NextLogin,
}

/// The machine under every other machine of the shell.
#[derive(Debug)]
pub(crate) struct Exchange {
    channel: Channel,
    doing: &'static str,
    seq: String,
    /// `None` once the request is known to have been taken.
    request: Option<Vec<u8>>,
    wanted: Wanted,
    silence: Duration,
    reader: FrameReader,
    blocks: Vec<Option<Vec<u8>>>,
    /// The block behind which the host falls silent: when it is here, what lacks is asked for.
    last_asked: usize,
    /// Blocks that the host has still to send, whole or hit.
    due: usize,
    said: Vec<u8>,
    progress_at: Option<Instant>,
    wake: Option<Instant>,
    knock_after: Duration,
    /// Repetitions since something new came.
    tries: u32,
    /// How often the host had run the request, yet nothing of its reply was here.
    empty_replies: u32,
    loader_waits: u32,
    agent_up: bool,
    hex_heard: bool,
    /// Frames of a transfer came by that nobody has taken.
    transfer_heard: bool,
    output: VecDeque<Output<ShellEvent, Result<Heard, ShellError>>>,
    over: bool,
}

impl Exchange {
    pub(crate) fn new(
        channel: Channel,
        seq: &str,
        wanted: Wanted,
        silence: Duration,
        doing: &'static str,
    ) -> Self {
        Self {
            channel,
            doing,
            seq: seq.into(),
            request: None,
            wanted,
            silence,
            reader: FrameReader::new(channel.nonce, channel.sum),
            blocks: Vec::new(),
            last_asked: 0,
            due: 0,
            said: Vec::new(),
            progress_at: None,
            wake: None,
            knock_after: channel.gap() + KNOCK_BEYOND_GAP,
            tries: 0,
            empty_replies: 0,
            loader_waits: 0,
            agent_up: false,
            hex_heard: false,
            transfer_heard: false,
            output: VecDeque::new(),
            over: false,
        }
    }

    /// Sends this first, and again whenever the host says that it did not take it.
    pub(crate) fn with_request(mut self, line: Vec<u8>) -> Self {
        self.transmit(line.clone());
        self.request = Some(line);
        self
    }

    /// An exchange that ends at once.
    pub(crate) fn failed(channel: Channel, error: ShellError) -> Self {
        let mut exchange =
            Self::new(channel, "0", Wanted::Reply { limit: 0 }, Duration::ZERO, "preparing a command");
        exchange.end(Err(error));
        exchange
    }

    /// How often the loader has said since the last call that it waits: the agent is not up.
    pub(crate) fn take_loader_waits(&mut self) -> u32 {
        std::mem::take(&mut self.loader_waits)
    }

    /// Whether the agent has said anything.
    pub(crate) fn agent_up(&self) -> bool {
        self.agent_up
    }

    /// How the exchange speaks by now.
    pub(crate) fn channel(&self) -> Channel {
        self.channel
    }

    /// Whether the reply was in hexadecimal.
    pub(crate) fn came_in_hex(&self) -> bool {
        self.hex_heard
    }

    /// Whether a transfer that runs behind the request had begun before the reply was here.
    pub(crate) fn transfer_heard(&self) -> bool {
        self.transfer_heard
    }

    /// Everything heard lately, for hints in a host's complaints.
    pub(crate) fn said(&self) -> &[u8] {
        &self.said
    }

    /// Sends bytes that are not a request and, right behind them, the request or only a question
    /// that shows whether whoever takes requests is there by now. All under this checksum.
    pub(crate) fn send_behind(&mut self, mut bytes: Vec<u8>, sum: Checksum, request: Vec<u8>, at_once: bool) {
        self.channel.sum = sum;
        self.reader.set_checksum(sum);
        self.said.clear();
        bytes.extend_from_slice(if at_once { &request } else { b"\n" });
        self.transmit(bytes);
        self.request = Some(request);
    }

    /// Sends something right behind the request that is not asked for again should it be lost.
    pub(crate) fn send_unasked(&mut self, line: Vec<u8>) {
        self.transmit(line);
    }

    /// Ends it with an error of the owner's.
    pub(crate) fn fail(&mut self, error: ShellError) {
        self.end(Err(error));
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame) {
        match frame {
            Frame::Loader => {
                self.loader_waits += 1;
                self.expect_within(now, self.channel.gap());
            }
            Frame::Nak { last } => self.handle_nak(now, &last),
            Frame::Ack { seq } if seq == self.seq && self.wanted == Wanted::TakeOver => {
                self.end(Ok(Heard::TakeOver));
            }
            Frame::Block { seq, index, total, text } if seq == self.seq => {
                self.handle_block(now, index, total, text);
            }
            Frame::Damaged => self.handle_damaged(now),
            Frame::Transfer(_) => self.transfer_heard = true,
            // The end of an earlier conversation.
            Frame::Ack { .. } | Frame::Block { .. } => {}
        }
    }

    fn handle_nak(&mut self, now: Instant, last: &str) {
        self.agent_up = true;
        if last == self.seq {
            self.empty_replies += u32::from(self.blocks.is_empty());
            if self.empty_replies > EMPTY_REPLIES_MAX {
                // Even no output has a status: what encodes it printed nothing.
                return self.end(Err(ShellError::HostLacks { what: ENCODERS }));
            }
            self.progress_at = Some(now);
            self.ask_again(now);
        } else if let Some(line) = self.request.clone()
            && self.count_try()
        {
            self.output.push_back(Output::Event(ShellEvent::SentAgain));
            self.transmit(line);
            self.progress_at = Some(now);
            self.expect_within(now, self.knock_after);
        }
    }

    /// The host speaks, so it need not be waited for.
    fn handle_damaged(&mut self, now: Instant) {
        self.knock_after = self.channel.gap();
        self.due = self.due.saturating_sub(1);
        if self.wanted == Wanted::TakeOver {
            // One of three, or a refusal: the next or the knock will tell.
            self.expect_within(now, self.knock_after);
        } else if self.blocks.is_empty() {
            // Likely the first block, and often the only one.
            self.ask_for(now, &[1]);
        } else if self.due == 0 {
            self.ask_again(now);
        }
    }

    fn handle_block(&mut self, now: Instant, index: usize, total: usize, text: Vec<u8>) {
        self.agent_up = true;
        let limit = match self.wanted {
            // The command is over before its take-over was heard: `finish` asks for its status.
            Wanted::TakeOver => return self.end(Ok(Heard::TakeOver)),
            Wanted::Reply { limit } => limit,
            Wanted::End => 0,
        };
        if total >= blocks_for(limit, self.channel.hex) {
            return self.end(Err(ShellError::ReplyTooLarge { limit }));
        }
        if self.blocks.is_empty() {
            self.blocks.resize(total, None);
            self.last_asked = total;
            self.due = total + 1 - index;
        }
        if total != self.blocks.len() {
            return; // the checksum passed by chance
        }
        if self.blocks[index - 1].is_none() {
            self.blocks[index - 1] = Some(text);
            self.tries = 0;
            self.progress_at = Some(now);
        }
        self.request = None;
        self.due = self.due.saturating_sub(1);
        self.knock_after = self.channel.gap();
        self.expect_within(now, self.channel.gap());
        if self.blocks.iter().all(Option::is_some) {
            let text: Vec<u8> = self.blocks.drain(..).flatten().flatten().collect();
            self.hex_heard = is_hex(&text);
            let outcome = decode_reply(&text, self.hex_heard, limit);
            self.end(outcome);
        } else if index >= self.last_asked || self.due == 0 {
            self.ask_again(now);
        }
    }

    /// Asks for the blocks that lack, or for all if none is here.
    fn ask_again(&mut self, now: Instant) {
        let lacks = |index: &usize| self.blocks[index - 1].is_none();
        let lacking: Vec<usize> = (1..=self.blocks.len()).filter(lacks).take(ASKED_AT_ONCE_MAX).collect();
        self.ask_for(now, &lacking);
    }

    fn ask_for(&mut self, now: Instant, lacking: &[usize]) {
        if !self.count_try() {
            return;
        }
        self.last_asked = lacking.last().copied().unwrap_or(0);
        self.due = lacking.len();
        self.output.push_back(Output::Event(ShellEvent::AskedAgain { blocks: lacking.len() }));
        let line = Request::Again { blocks: lacking }.line(self.channel.sum, &self.seq);
        self.transmit(line);
        self.expect_within(now, self.knock_after);
    }

    fn count_try(&mut self) -> bool {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            self.end(Err(ShellError::TooNoisy { tries: TRIES_MAX, doing: self.doing }));
        }
        !self.over
    }

    fn expect_within(&mut self, now: Instant, wait: Duration) {
        self.wake = Some(now + wait);
    }

    fn transmit(&mut self, bytes: Vec<u8>) {
        self.output.push_back(Output::Transmit(Transmit::plain(bytes)));
    }

    fn end(&mut self, outcome: Result<Heard, ShellError>) {
        if !self.over {
            self.over = true;
            self.output.retain(|output| matches!(output, Output::Event(_)));
            self.output.push_back(Output::Done(outcome));
        }
    }
}

impl Machine for Exchange {
    type Event = ShellEvent;
    type Outcome = Result<Heard, ShellError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        // Whoever speaks is not silent: a long block takes seconds on a slow line.
        self.wake = self.wake.map(|wake| wake.max(now + self.channel.gap()));
        for (position, &byte) in bytes.iter().enumerate() {
            if self.over {
                return position;
            }
            remember(&mut self.said, byte);
            for frame in self.reader.push(byte) {
                self.handle_frame(now, frame);
            }
        }
        if self.wanted == Wanted::End && asks_for_a_name(&self.said) {
            self.end(Ok(Heard::NextLogin));
        }
        bytes.len()
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.end(Err(ShellError::CarrierLost { doing: self.doing }));
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.over || self.wake.is_none_or(|wake| now < wake) {
            return;
        }
        if self.progress_at.is_some_and(|at| now >= at + self.silence) {
            return self.end(Err(ShellError::Silent { doing: self.doing, last: last_words(&self.said) }));
        }
        self.knock_after = (2 * self.knock_after).min(KNOCK_AFTER_MAX);
        if self.blocks.is_empty() {
            // An empty line: the host says what it took last, or is still busy with it.
            self.transmit(b"\n".to_vec());
            self.expect_within(now, self.knock_after);
        } else {
            self.ask_again(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ShellEvent, Result<Heard, ShellError>> {
        let give_up_at = *self.progress_at.get_or_insert(now) + self.silence;
        let wake = self.wake.unwrap_or(now + self.knock_after).min(give_up_at);
        self.wake = Some(wake);
        self.output.pop_front().unwrap_or(Output::Wait(Some(wake)))
    }
}

/// Whether the host's last words are those of a getty: behind a cable without leads nothing else tells that a
/// session is over.
fn asks_for_a_name(said: &[u8]) -> bool {
    let line = said.rsplit(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let line = line.trim_ascii().to_ascii_lowercase();
    line.ends_with(b"login:") && !line.starts_with(b"last login")
}

/// Blocks the host keeps for a reply of `limit` bytes: one more than can be needed, so that a reply
/// that fills them is known to be too large.
pub(crate) fn blocks_for(limit: usize, hex: bool) -> usize {
    // od writes 16 bytes a line; uuencode -m, the shortest of the base64 encoders, 45.
    let per_block = LINES_PER_BLOCK * if hex { 16 } else { 45 };
    (limit + STATUS_BYTES_MAX).div_ceil(per_block) + 2
}

/// A reply is the output, then a blank, the exit status and a line feed, encoded together.
fn decode_reply(text: &[u8], hex: bool, limit: usize) -> Result<Heard, ShellError> {
    let lacks = ShellError::HostLacks { what: ENCODERS };
    let Some(mut bytes) = decode(text, hex) else { return Err(lacks) };
    let Some(blank) = bytes.iter().rposition(|&byte| byte == b' ') else { return Err(lacks) };
    let status = std::str::from_utf8(&bytes[blank..]).ok().and_then(|word| word.trim().parse().ok());
    let Some(status) = status else { return Err(lacks) };
    bytes.truncate(blank);
    if bytes.len() > limit {
        Err(ShellError::ReplyTooLarge { limit })
    } else {
        Ok(Heard::Reply { status, bytes })
    }
}

/// Text as the host's encoder made it, back to bytes.
pub(crate) fn decode(text: &[u8], hex: bool) -> Option<Vec<u8>> {
    if hex {
        return data_encoding::HEXLOWER.decode(text).ok();
    }
    // uuencode -m frames its text: `begin-base64 644 x` and `====`, here without blanks.
    let text = match text.strip_prefix(b"begin-base64") {
        Some(rest) => rest.get(UUENCODE_MODE_AND_NAME..)?.strip_suffix(b"====")?,
        None => text,
    };
    data_encoding::BASE64.decode(text).ok()
}

/// Hexadecimal has no capital; base64 of something that ends with a status always has one.
fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

const ENCODERS: &str = "working base64, openssl, uuencode or od";
const UUENCODE_MODE_AND_NAME: usize = "644x".len();
const STATUS_BYTES_MAX: usize = " 255\n".len();

/// Repetitions without anything new before the line counts as too noisy.
const TRIES_MAX: u32 = 24;
/// Times that a reply may be lost as a whole before the host's encoder is to blame.
const EMPTY_REPLIES_MAX: u32 = 8;
/// Beyond the time in which an idle host must have answered.
const KNOCK_BEYOND_GAP: Duration = Duration::from_millis(1_500);
/// The longest pause between two questions to a host that is silent.
const KNOCK_AFTER_MAX: Duration = Duration::from_secs(30);
/// Blocks asked for with one line.
const ASKED_AT_ONCE_MAX: usize = 64;
