//! Receives one file: what a ZMODEM receiver answers to what it hears, and when it asks again.
//!
//! ```text
//! sender   rz ZRQINIT        ZFILE+info       ZDATA(p) data.. ZEOF(end)       ZFIN      OO
//! we                 ZRINIT            ZRPOS(p)                         ZRINIT     ZFIN
//! state    Opening ........  Opening   Seeking  Data .................. Closing    Farewell
//! ```
//!
//! After damage we send ZRPOS once and ignore what is still on its way until ZDATA says that the
//! sender has gone back (section 8.2). Asking again for every stale frame would make it go back as
//! often, each time throwing away what it had just sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::codec::{Damage, Decoder, Item};
use super::frame::{ESCCTL, FileInfo, FrameType, Header, SubpacketEnd, ZDLE};
use super::marker::EndMarker;
use super::options::ReceiveOptions;
use super::report::{Received, Stats, ZmodemError, ZmodemEvent};
use crate::machine::{Answer, Control, Inner, Machine, Output, Question, Transmit};

mod batch;
mod deadlines;
mod leaving;
mod speaking;

pub use batch::{FilesEvent, Offer, ReceiveFiles};

use batch::{Batch, Decision};
use deadlines::{FRUITLESS_ITEMS_MAX, OPENING_TRIES, PROGRESS_WAIT_MAX, STRAY_BYTES_MAX};
use leaving::CANCEL_QUIET;
use speaking::ATTENTION_BREAK;

/// A ZMODEM receive of one file.
#[derive(Debug)]
pub struct Receive {
    options: ReceiveOptions,
    state: State,
    decoder: Decoder,
    marker: EndMarker,
    expect: Expect,
    outbox: VecDeque<Step>,
    /// The file offset of the next byte to deliver.
    next: u64,
    /// The file offset at which the sender's stream stands; behind `next` while it repeats itself.
    stream: u64,
    announced: Option<u64>,
    started: bool,
    attention: Vec<u8>,
    /// The sender escapes all control characters.
    escapes_controls: bool,
    last_header: Option<Header>,
    timers: Timers,
    /// Requests since the last progress.
    tries: u32,
    /// Requests since the last byte came.
    silent_tries: u32,
    /// Deadlines passed while a stale stream ran on, since the last progress.
    stale_waits: u32,
    /// Items since the last progress.
    fruitless: u32,
    echoes: u32,
    /// The decoder's count of garbage at the last frame.
    garbage_before: u64,
    /// ZRPOS that the sender has not answered yet with a ZDATA.
    zrpos_open: u32,
    cancel_asked: bool,
    /// Several files are taken, each as the owner decides.
    batch: Option<Batch>,
    stats: Stats,
}

#[derive(Debug)]
enum State {
    /// ZFILE has not come. `greeted`: ZRINIT was sent.
    Opening { greeted: bool },
    /// The owner is asked what to do with the file that is offered.
    Deciding(Question<Decision>),
    /// ZCRC is sent: whether the file begins with what is here.
    Proving { length: u64, crc32: u32 },
    /// ZRPOS is sent; ZDATA is to come, all else is stale.
    Seeking,
    /// In the stream.
    Data,
    /// The file is here and ZRINIT says so; ZFIN is to come.
    Closing,
    /// The limit is reached and ZSKIP says so; ZFIN is to come.
    Stopping,
    /// ZFIN is answered; OO may come.
    Farewell(Farewell),
    /// We cancelled; what was on its way runs out.
    Cancelling { outcome: Outcome, sent: u32, sent_at: Instant, until: Instant },
    /// The peer cancelled; the rest of its CANs and backspaces may come.
    PeerCancelled { said: String },
    /// The outcome is to be told, and then nothing more.
    Ended(Option<Outcome>),
}

type Outcome = Result<Received, ZmodemError>;

#[derive(Debug)]
struct Farewell {
    outcome: Outcome,
    /// Bytes of the line end behind ZFIN.
    tail: usize,
    /// An O has come.
    o: bool,
    /// ZFIN sent.
    sent: u32,
}

/// What the next subpackets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Nothing,
    FileInfo,
    Attention,
    Data,
    Command,
    /// ZSTDERR's text, which is for a person at the sender's end (section 11.20).
    Message,
}

#[derive(Debug)]
enum Step {
    Send(Vec<u8>),
    Break,
    Pause(Duration),
    Tell(Told),
}

/// What is told on the way, by a receive of one file or of several.
#[derive(Debug)]
enum Told {
    Offered(FileInfo, Answer<Decision>),
    Started(FileInfo),
    Begins { offset: u64 },
    Data { offset: u64, bytes: Vec<u8> },
    Finished,
}

/// All in line time.
#[derive(Debug, Default)]
struct Timers {
    began: Option<Instant>,
    deadline: Option<Instant>,
    /// A pause in the attention sequence.
    paused_until: Option<Instant>,
    last_input: Option<Instant>,
    last_zrpos: Option<Instant>,
    /// Until when ZDATA is waited for, however the line may be busy.
    seek_until: Option<Instant>,
    acknowledged: Option<Instant>,
    progress: Option<Instant>,
}

impl Machine for Receive {
    type Event = ZmodemEvent;
    type Outcome = Outcome;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.begin(now);
        if self.outbox.len() >= OUTBOX_MAX {
            return 0;
        }
        let (feed, marker) = self.marker.before(now, bytes);
        let taken = self.take(now, &bytes[..feed]);
        if taken > 0 {
            self.timers.last_input = Some(now);
            self.silent_tries = 0;
        }
        if marker && taken == feed {
            self.sender_gone();
        }
        taken
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.outbox.retain(|step| matches!(step, Step::Tell(_)));
        let received = self.received();
        let lost = ZmodemError::CarrierLost { received };
        let outcome = match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Opening { .. }
            | State::Deciding(_)
            | State::Proving { .. }
            | State::Seeking
            | State::Data => Err(lost),
            // Only ZFIN would say that there is no other file.
            State::Closing if self.batch.is_some() => Err(lost),
            // ZEOF, or our own limit, has said that this is all.
            State::Closing | State::Stopping => Ok(received),
            State::Farewell(farewell) => farewell.outcome,
            State::Cancelling { outcome, .. } => outcome,
            State::PeerCancelled { said } => Err(ZmodemError::PeerCancelled { said }),
            State::Ended(outcome) => outcome.unwrap_or(Err(lost)),
        };
        self.end(outcome);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.begin(now);
        if self.timers.paused_until.is_some_and(|at| at <= now) {
            self.timers.paused_until = None;
        }
        self.marker.handle_timeout(now);
        if self.timers.deadline.is_some_and(|at| at <= now) {
            self.timers.deadline = None;
            self.on_deadline(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<ZmodemEvent, Outcome> {
        loop {
            return match self.poll(now).passed_on() {
                Ok(output) => output,
                Err(Inner::Done(outcome)) => Output::Done(outcome),
                Err(Inner::Event(Told::Started(info))) => {
                    Output::Event(ZmodemEvent::Started { name: info.name, size: info.size })
                }
                Err(Inner::Event(Told::Data { offset, bytes })) => {
                    Output::Event(ZmodemEvent::Data { offset, bytes })
                }
                // There is one file, and the outcome says how far it came.
                Err(Inner::Event(Told::Offered(..) | Told::Begins { .. } | Told::Finished)) => continue,
            };
        }
    }
}

impl Receive {
    fn poll(&mut self, now: Instant) -> Output<Told, Outcome> {
        self.begin(now);
        self.decide(now);
        if std::mem::take(&mut self.cancel_asked) && !self.is_over() {
            self.abort(now, ZmodemError::Cancelled { end: self.next });
        }
        if self.timers.paused_until.is_none() {
            match self.outbox.pop_front() {
                Some(Step::Send(bytes)) => return Output::Transmit(Transmit::plain(bytes)),
                Some(Step::Break) => return Output::Control(Control::Break(ATTENTION_BREAK)),
                Some(Step::Tell(event)) => return Output::Event(event),
                Some(Step::Pause(length)) => self.timers.paused_until = Some(now + length),
                None => {
                    if let State::Ended(outcome) = &mut self.state {
                        // The owner does not poll again behind `Done`; if it does, there is nothing.
                        return outcome.take().map_or(Output::Wait(None), Output::Done);
                    }
                }
            }
        }
        let Timers { deadline, paused_until, .. } = self.timers;
        Output::Wait([deadline, paused_until, self.marker.deadline()].into_iter().flatten().min())
    }
}

impl Receive {
    /// A receive that waits for the sender's first word. Start the sender first.
    pub fn new(options: ReceiveOptions) -> Self {
        let next = options.resume_at;
        let escapes_controls = options.escape_controls;
        let marker = EndMarker::new(options.end_marker.clone());
        Self {
            options,
            marker,
            state: State::Opening { greeted: false },
            decoder: Decoder::new(),
            expect: Expect::Nothing,
            outbox: VecDeque::new(),
            next,
            stream: next,
            announced: None,
            started: false,
            attention: Vec::new(),
            escapes_controls,
            last_header: None,
            timers: Timers::default(),
            tries: 0,
            silent_tries: 0,
            stale_waits: 0,
            fruitless: 0,
            echoes: 0,
            garbage_before: 0,
            zrpos_open: 0,
            cancel_asked: false,
            batch: None,
            stats: Stats::default(),
        }
    }

    /// Stops the sender: at the next poll it is sent CANs, and the receive ends with
    /// [`ZmodemError::Cancelled`] once the line is quiet.
    pub fn cancel(&mut self) {
        self.cancel_asked = !self.is_over();
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Cancelling { .. } | State::PeerCancelled { .. } | State::Ended(_))
    }

    /// What has been received so far, at any time, also after an error.
    pub fn received(&self) -> Received {
        let stats = Stats { garbage_bytes: self.stats.garbage_bytes + self.decoder.garbage(), ..self.stats };
        let complete = match &self.state {
            State::Closing => true,
            State::Farewell(farewell) => farewell.outcome.as_ref().is_ok_and(|received| received.complete),
            State::Ended(Some(Ok(received))) => received.complete,
            State::Opening { .. }
            | State::Deciding(_)
            | State::Proving { .. }
            | State::Seeking
            | State::Data
            | State::Stopping
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => false,
        };
        Received { end: self.next, announced: self.announced, complete, stats }
    }

    /// Whether something waits to be polled before the end.
    #[cfg(test)]
    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn begin(&mut self, now: Instant) {
        if self.timers.began.is_none() {
            self.timers.began = Some(now);
            self.timers.progress = Some(now);
            self.arm(now, self.options.first_header / OPENING_TRIES);
        }
    }

    // What arrives.

    fn take(&mut self, now: Instant, bytes: &[u8]) -> usize {
        match self.state {
            State::Opening { .. }
            | State::Proving { .. }
            | State::Seeking
            | State::Data
            | State::Closing
            | State::Stopping => {}
            State::Deciding(_) => return 0, // at the next poll it is decided
            State::Farewell(_) => return self.take_farewell(now, bytes),
            State::Cancelling { .. } => return self.drain(now, bytes),
            State::PeerCancelled { .. } => return self.take_cancel_tail(bytes),
            State::Ended(_) => return 0,
        }
        let mut at = 0;
        while self.is_receiving() && self.outbox.len() < OUTBOX_MAX {
            let (taken, item) = self.decoder.decode(&bytes[at..]);
            at += taken;
            let Some(item) = item else { break };
            self.on_item(now, item);
        }
        if at > 0 {
            self.after_input(now);
        }
        if at < bytes.len() && !self.is_receiving() {
            at += self.take(now, &bytes[at..]);
        }
        at
    }

    fn is_receiving(&self) -> bool {
        match self.state {
            State::Opening { .. }
            | State::Proving { .. }
            | State::Seeking
            | State::Data
            | State::Closing
            | State::Stopping => true,
            State::Deciding(_)
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => false,
        }
    }

    /// Watches over a line that is alive in vain.
    fn after_input(&mut self, now: Instant) {
        let since = self.timers.progress.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if self.is_receiving() && (since > PROGRESS_WAIT_MAX || self.fruitless > FRUITLESS_ITEMS_MAX) {
            return self.give_up(now);
        }
        let strayed = self.decoder.garbage() - self.garbage_before > STRAY_BYTES_MAX;
        match self.state {
            // A header was hit so hard that the decoder did not know it for one.
            State::Data if strayed => self.on_damage(now, Damage::Header),
            State::Data => self.arm(now, self.stream_wait()),
            State::Opening { greeted: true } => self.arm(now, self.reply_wait()),
            State::Opening { greeted: false } => {
                // Something like a header went by and was none: the sender waits, and says so only
                // once a minute.
                let text = self.decoder.text();
                if text.contains(&ZDLE) || memchr::memmem::find(text, b"B0").is_some() {
                    self.arm_earlier(now, self.reply_wait());
                }
            }
            State::Seeking => {
                let quiet = now + self.quiet_wait();
                self.timers.deadline = Some(self.timers.seek_until.map_or(quiet, |until| until.min(quiet)));
            }
            State::Deciding(_)
            | State::Proving { .. }
            | State::Closing
            | State::Stopping
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    fn on_item(&mut self, now: Instant, item: Item) {
        self.fruitless += 1;
        self.garbage_before = self.decoder.garbage();
        match item {
            Item::Header(header) => self.on_header(now, header),
            Item::Subpacket { data, end } => self.on_subpacket(now, data, end),
            Item::Damaged(damage) => self.on_damage(now, damage),
            Item::Cancel => self.on_cancel(now),
        }
    }

    fn on_header(&mut self, now: Instant, header: Header) {
        self.expect = Expect::Nothing;
        match header.kind {
            FrameType::Zrqinit => self.on_zrqinit(now),
            FrameType::Zsinit => {
                self.escapes_controls |= header.bytes[3] & ESCCTL != 0; // TESCCTL is the same bit
                self.expect = Expect::Attention;
            }
            FrameType::Zfile => self.expect = Expect::FileInfo,
            FrameType::Zdata => self.on_zdata(now, header.position().into()),
            FrameType::Zeof => self.on_zeof(now, header.position().into()),
            FrameType::Zfin => self.on_zfin(now),
            FrameType::Znak => self.repeat(now),
            FrameType::Zabort => self.say_goodbye(now, Err(ZmodemError::EndedEarly { end: self.next })),
            FrameType::Zferr => self.abort(now, ZmodemError::PeerReadFailed),
            FrameType::Zcan => self.on_cancel(now),
            FrameType::Zcommand => self.expect = Expect::Command,
            FrameType::Zstderr => self.expect = Expect::Message,
            // The session's security challenge (section 8.1): the same number back.
            FrameType::Zchallenge => {
                self.send(Header::with_position(FrameType::Zack, header.position()));
            }
            FrameType::Zfreecnt => self.send(Header::with_position(FrameType::Zack, u32::MAX)),
            // Only receivers say these: the host echoes us, so its sender has let go of the terminal.
            FrameType::Zrinit | FrameType::Zrpos => self.on_echo(),
            FrameType::Zcrc => self.on_zcrc(now, header.position()),
            FrameType::Zack | FrameType::Zskip | FrameType::Zcompl | FrameType::Unknown(_) => {
                self.stats.unexpected_headers += 1
            }
        }
    }

    fn on_subpacket(&mut self, now: Instant, data: Vec<u8>, end: SubpacketEnd) {
        self.stats.subpackets += 1;
        match self.expect {
            Expect::Data => self.on_data(now, data, end),
            Expect::FileInfo => self.on_file(now, &data),
            Expect::Attention => {
                let length = memchr::memchr(0, &data).unwrap_or(data.len()).min(ATTENTION_MAX);
                self.attention = data[..length].to_vec();
                self.send(Header::with_position(FrameType::Zack, 0));
            }
            // A host does not get to run commands here (section 11.19): status 1, not done.
            Expect::Command => self.send(Header::with_position(FrameType::Zcompl, 1)),
            Expect::Message | Expect::Nothing => {}
        }
        if end.ends_frame() {
            self.expect = Expect::Nothing;
        }
    }

    fn on_zrqinit(&mut self, now: Instant) {
        match self.state {
            State::Opening { .. } => self.greet(now),
            State::Deciding(_)
            | State::Proving { .. }
            | State::Seeking
            | State::Data
            | State::Closing
            | State::Stopping => self.stats.unexpected_headers += 1,
            State::Farewell(_) | State::Cancelling { .. } | State::PeerCancelled { .. } | State::Ended(_) => {
            }
        }
    }

    fn on_file(&mut self, now: Instant, data: &[u8]) {
        match self.state {
            State::Opening { .. } | State::Closing if self.batch.is_some() => self.offered(now, data),
            State::Opening { .. } => self.start(now, FileInfo::parse(data)),
            State::Proving { .. } => self.repeat(now),
            // Our ZRPOS was lost, and the sender offers the file again.
            State::Seeking => self.request(now),
            State::Closing => {
                self.stats.files_skipped += 1;
                self.send(Header::with_position(FrameType::Zskip, 0));
                self.arm(now, self.reply_wait());
            }
            State::Stopping => self.stop_sender(now),
            State::Data => self.stats.unexpected_headers += 1,
            State::Deciding(_)
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    fn start(&mut self, now: Instant, info: FileInfo) {
        let resume_at = self.options.resume_at;
        let reach = info.size.unwrap_or(0).min(self.options.limit.unwrap_or(u64::MAX)).max(resume_at);
        if reach > OFFSET_MAX {
            return self.abort(now, ZmodemError::TooLarge { size: reach });
        }
        if let Some(size) = info.size.filter(|&size| size < resume_at) {
            return self.abort(now, ZmodemError::ResumePastEnd { size, resume_at });
        }
        self.announced = info.size;
        if !std::mem::replace(&mut self.started, true) {
            self.outbox.push_back(Step::Tell(Told::Started(info)));
        }
        self.progress(now);
        if self.is_stop_due() {
            return self.stop_sender(now);
        }
        self.request(now);
    }

    fn on_zdata(&mut self, now: Instant, position: u64) {
        self.zrpos_open = self.zrpos_open.saturating_sub(1);
        let repeated = self.next.checked_sub(position);
        match self.state {
            // The sender was sent back twice: let it repeat itself rather than send it back again.
            State::Seeking | State::Data if repeated.is_some_and(|bytes| bytes <= DUPLICATE_MAX) => {
                self.state = State::Data;
                self.stream = position;
                self.expect = Expect::Data;
            }
            State::Seeking => self.decoder.hunt(),
            State::Data => self.request(now),
            State::Opening { .. } => self.greet(now),
            State::Proving { .. } | State::Closing | State::Stopping => self.decoder.hunt(),
            State::Deciding(_)
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    fn on_data(&mut self, now: Instant, mut data: Vec<u8>, end: SubpacketEnd) {
        let offset = self.stream;
        self.stream += data.len() as u64;
        let known = self.next.saturating_sub(offset).min(data.len() as u64);
        self.stats.duplicate_bytes += known;
        let room = self.options.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.next));
        data.drain(..known as usize);
        let beyond = data.len() as u64 > room;
        if beyond {
            data.truncate(room as usize);
        }
        if self.next + data.len() as u64 > OFFSET_MAX {
            return self.abort(now, ZmodemError::TooLarge { size: self.next + data.len() as u64 });
        }
        if !data.is_empty() {
            let offset = self.next;
            self.next += data.len() as u64;
            self.outbox.push_back(Step::Tell(Told::Data { offset, bytes: data }));
            self.progress(now);
        }
        if beyond || self.is_stop_due() {
            return self.stop_sender(now);
        }
        if matches!(end, SubpacketEnd::Query | SubpacketEnd::Wait) {
            self.acknowledge(now);
        }
    }

    fn on_zeof(&mut self, now: Instant, position: u64) {
        match self.state {
            State::Seeking | State::Data if position == self.next => {
                self.state = State::Closing;
                self.outbox.push_back(Step::Tell(Told::Finished));
                self.progress(now);
                self.send_zrinit(now);
            }
            // Section 8.2: it was sent before the sender heard our ZRPOS, which asks for the rest.
            State::Seeking => {}
            State::Data => self.request(now),
            State::Closing => self.send_zrinit(now),
            State::Stopping => self.stop_sender(now),
            State::Opening { .. } => self.greet(now),
            State::Deciding(_)
            | State::Proving { .. }
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    fn on_zfin(&mut self, now: Instant) {
        let received = self.received();
        let outcome = match self.state {
            State::Opening { .. } => Err(ZmodemError::NothingSent { said: self.said() }),
            State::Deciding(_) | State::Proving { .. } | State::Seeking | State::Data => {
                Err(ZmodemError::EndedEarly { end: self.next })
            }
            State::Closing | State::Stopping => Ok(received),
            State::Farewell(_) | State::Cancelling { .. } | State::PeerCancelled { .. } | State::Ended(_) => {
                return;
            }
        };
        self.say_goodbye(now, outcome);
    }

    fn on_damage(&mut self, now: Instant, damage: Damage) {
        match damage {
            Damage::Header => self.stats.damaged_headers += 1,
            Damage::Subpacket => self.stats.damaged_subpackets += 1,
        }
        let expected = std::mem::replace(&mut self.expect, Expect::Nothing);
        match self.state {
            State::Opening { greeted: false } => self.greet(now),
            // Section 8.2 has ZNAK for a damaged ZFILE; should the sender not know it, the deadline
            // brings ZRINIT.
            State::Opening { greeted: true } => {
                self.ask(now, Header::with_position(FrameType::Znak, 0));
            }
            State::Data if self.is_jump_due(now) => {
                // A ZRPOS that we sent twice is being answered twice: this is the seam.
                self.state = State::Seeking;
                self.timers.seek_until = Some(now + self.reply_wait());
            }
            State::Data => self.request(now),
            // This was the ZDATA we wait for. Only where control characters are escaped can stale
            // data look like a header; then it is left to the deadline.
            State::Seeking if damage == Damage::Header && !self.escapes_controls => {
                self.zrpos_open = self.zrpos_open.saturating_sub(1);
                self.request(now);
            }
            State::Seeking => {}
            State::Closing if expected == Expect::FileInfo || damage == Damage::Header => {
                self.send_zrinit(now)
            }
            // Its deadline asks again.
            State::Proving { .. } | State::Closing | State::Stopping => {}
            State::Deciding(_)
            | State::Farewell(_)
            | State::Cancelling { .. }
            | State::PeerCancelled { .. }
            | State::Ended(_) => {}
        }
    }

    fn on_echo(&mut self) {
        self.stats.unexpected_headers += 1;
        self.echoes += 1;
        if self.echoes >= ECHOES_MAX {
            self.sender_gone();
        }
    }

    fn on_cancel(&mut self, now: Instant) {
        let received = self.received();
        match self.state {
            State::Closing | State::Stopping => self.end(Ok(received)),
            State::Opening { .. }
            | State::Deciding(_)
            | State::Proving { .. }
            | State::Seeking
            | State::Data => {
                self.state = State::PeerCancelled { said: self.said() };
                self.arm(now, CANCEL_QUIET);
            }
            State::Farewell(_) | State::Cancelling { .. } | State::PeerCancelled { .. } | State::Ended(_) => {
            }
        }
    }
}

/// The last offset that 32 bits hold.
const OFFSET_MAX: u64 = u32::MAX as u64;
/// A sender that has gone back further than this, in bytes, is sent forward again.
const DUPLICATE_MAX: u64 = 65_536;
/// Bytes of an attention sequence (section 11.3, with its NUL 32).
const ATTENTION_MAX: usize = 31;
/// Headers of our own kind that mean the host is only echoing.
const ECHOES_MAX: u32 = 3;
/// Steps that may wait to be polled; then no more input is taken.
const OUTBOX_MAX: usize = 64;
