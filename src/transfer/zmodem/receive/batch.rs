//! A receive of several files: each is offered to the owner, who takes it, resumes it or skips it.
//!
//! What is here of a file already is built upon only if the sender's ZCRC (section 11.14) proves that
//! its file begins with the same bytes.

use std::time::Instant;

use super::super::frame::{FileInfo, FrameType, Header};
use super::super::options::ReceiveOptions;
use super::super::report::{Received, Stats, ZmodemError};
use super::{Receive, State, Step, Told};
use crate::machine::{Answer, Inner, Machine, Output, Question};

/// A ZMODEM receive of whatever files the sender has.
#[derive(Debug)]
pub struct ReceiveFiles(Receive);

/// What happens on the way.
#[derive(Debug)]
pub enum FilesEvent {
    /// The sender has a file. The owner answers before it polls on.
    Offered(Offer),
    /// The bytes come from here on: what the owner has of the file behind this offset is to go.
    Begins {
        /// The file offset.
        offset: u64,
    },
    /// Bytes of the file whose CRC holds, in order, without gap or overlap.
    Data {
        /// Where in the file they belong.
        offset: u64,
        /// The bytes, never none.
        bytes: Vec<u8>,
    },
    /// The sender says that the file ends here, and all of it has been told.
    Finished,
}

/// A file that the sender has. Dropped without an answer, the file is skipped.
#[derive(Debug)]
pub struct Offer {
    /// What the sender says of it.
    pub info: FileInfo,
    answer: Answer<Decision>,
}

impl Offer {
    /// Takes it from its beginning.
    pub fn take(self) {
        self.answer.give(Decision::Take);
    }

    /// Goes on behind the first `length` bytes, if the sender's file begins with bytes of this CRC-32;
    /// else takes it from its beginning.
    pub fn resume(self, length: u64, crc32: u32) {
        self.answer.give(Decision::Resume { length, crc32 });
    }

    /// Does without it.
    pub fn skip(self) {
        self.answer.give(Decision::Skip);
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    Take,
    Resume { length: u64, crc32: u32 },
    Skip,
}

/// What a receive of several files remembers beyond the one under way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What ZFILE said of a file that was skipped: the sender may say so again before it hears us.
    skipped: Option<Vec<u8>>,
    /// What ZFILE says of the file under way.
    offered: Vec<u8>,
}

impl ReceiveFiles {
    /// A receive that waits for the sender's first word. Of the options those about one file's offsets
    /// do not count.
    pub fn new(options: ReceiveOptions) -> Self {
        let mut receive = Receive::new(ReceiveOptions { resume_at: 0, limit: None, ..options });
        receive.batch = Some(Batch::default());
        Self(receive)
    }

    /// Stops the sender: at the next poll it is sent CANs, and the receive ends with
    /// [`ZmodemError::Cancelled`] once the line is quiet.
    pub fn cancel(&mut self) {
        self.0.cancel();
    }

    /// What it took so far.
    pub fn stats(&self) -> Stats {
        self.0.received().stats
    }
}

impl Machine for ReceiveFiles {
    type Event = FilesEvent;
    type Outcome = Result<Received, ZmodemError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.0.handle_input(now, bytes)
    }

    fn handle_hangup(&mut self, now: Instant) {
        self.0.handle_hangup(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<FilesEvent, Self::Outcome> {
        loop {
            return match self.0.poll(now).passed_on() {
                Ok(output) => output,
                Err(Inner::Done(outcome)) => Output::Done(outcome),
                Err(Inner::Event(Told::Offered(info, answer))) => {
                    Output::Event(FilesEvent::Offered(Offer { info, answer }))
                }
                Err(Inner::Event(Told::Begins { offset })) => Output::Event(FilesEvent::Begins { offset }),
                Err(Inner::Event(Told::Data { offset, bytes })) => {
                    Output::Event(FilesEvent::Data { offset, bytes })
                }
                Err(Inner::Event(Told::Finished)) => Output::Event(FilesEvent::Finished),
                Err(Inner::Event(Told::Started(_))) => continue, // said of a single file
            };
        }
    }
}

impl Receive {
    /// ZFILE names the next file.
    pub(super) fn offered(&mut self, now: Instant, data: &[u8]) {
        let Some(batch) = &mut self.batch else { return };
        if batch.skipped.as_deref() == Some(data) {
            return self.skip(now);
        }
        batch.offered = data.to_vec();
        let (question, answer) = Question::new();
        self.timers.deadline = None;
        self.state = State::Deciding(question);
        self.outbox.push_back(Step::Tell(Told::Offered(FileInfo::parse(data), answer)));
    }

    /// Does what the owner has answered, once it was asked.
    pub(super) fn decide(&mut self, now: Instant) {
        if !matches!(self.state, State::Deciding(_)) || !self.outbox.is_empty() {
            return;
        }
        let State::Deciding(question) = std::mem::replace(&mut self.state, State::Closing) else { return };
        self.progress(now);
        match question.answered() {
            Some(Decision::Take | Decision::Resume { length: 0, .. }) => self.begin_at(now, 0),
            Some(Decision::Resume { length, crc32 }) => match u32::try_from(length) {
                Ok(position) => {
                    self.state = State::Proving { length, crc32 };
                    self.ask(now, Header::with_position(FrameType::Zcrc, position));
                }
                Err(_) => self.begin_at(now, 0),
            },
            Some(Decision::Skip) | None => {
                if let Some(batch) = &mut self.batch {
                    batch.skipped = Some(std::mem::take(&mut batch.offered));
                }
                self.skip(now);
            }
        }
    }

    fn skip(&mut self, now: Instant) {
        self.state = State::Closing;
        self.stats.files_skipped += 1;
        self.send(Header::with_position(FrameType::Zskip, 0));
        self.arm(now, self.reply_wait());
    }

    /// Asks for the stream of a file that the owner takes.
    fn begin_at(&mut self, now: Instant, offset: u64) {
        if let Some(batch) = &mut self.batch {
            batch.skipped = None;
        }
        (self.next, self.stream, self.started) = (offset, offset, false);
        self.zrpos_open = 0;
        self.outbox.push_back(Step::Tell(Told::Begins { offset }));
        self.request(now);
    }

    pub(super) fn on_zcrc(&mut self, now: Instant, crc: u32) {
        match self.state {
            State::Proving { length, crc32 } => {
                self.progress(now);
                self.begin_at(now, if crc == crc32 { length } else { 0 });
            }
            State::Opening { .. }
            | State::Deciding(_)
            | State::Seeking
            | State::Data
            | State::Closing
            | State::Stopping
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => self.stats.unexpected_headers += 1,
        }
    }

    /// Not every sender knows ZCRC, and one that reads a long file takes its time.
    pub(super) fn prove_again(&mut self, now: Instant) {
        if self.tries < PROOF_TRIES_MAX {
            self.repeat(now);
        } else {
            self.begin_at(now, 0);
        }
    }
}

/// Times that ZCRC is asked.
const PROOF_TRIES_MAX: u32 = 3;
