//! The shape of every conversation on a line: a state machine that does no I/O.
//!
//! A conversation (dialling, logging in, one shell command, a ZMODEM receive) is told the time and
//! what arrived, and answers with what to send and when to wake it. It reads no clock, draws no
//! random number and never sleeps, so a whole call runs in virtual time from a seed. One async
//! driver, [`crate::session`], pumps it over a real line; `sim::converse` pumps it over a simulated
//! one.
//!
//! # The contract between a machine and whoever drives it
//!
//! 1. Input comes first: the driver offers everything that has arrived before it polls for output,
//!    or a streaming sender would never hear ZRPOS.
//! 2. [`Machine::handle_input`] may take fewer bytes than offered. What it leaves is offered again,
//!    with whatever arrived since, after the driver has polled until [`Output::Wait`]; what is left
//!    at [`Output::Done`] belongs to the machine that speaks next (`login: ` behind `CONNECT 2400`).
//! 3. After each `handle_*` call the driver polls until it gets `Wait` or `Done`.
//! 4. An [`Output::Event`] that carries data comes out before the [`Output::Transmit`] that
//!    acknowledges it; the owner writes the data to disk before it polls on.
//!    An event may also ask: it carries an [`Answer`], which the owner gives before it polls on. (A
//!    sender asks so for the next bytes of its file, and never holds more of it than a block.)
//! 5. A dead line, on reading or on writing, is [`Machine::handle_hangup`]. A machine that has been
//!    told so ends: it says `Done` at one of the next polls.
//! 6. Deadlines do not run while our own bytes are still queued (4 KB at 2,400 bit/s take 17 s): the
//!    driver keeps a [`LineClock`] and tells the machine line time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroize;

/// One side of a conversation on a line.
pub trait Machine {
    /// What it tells its owner on the way.
    type Event;
    /// How it ends, usually `Result<T, ThisError>`.
    type Outcome;

    /// Takes bytes from the front and returns how many it took.
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize;

    /// The line is gone: carrier lost (DCD), end of file, or a failed write.
    fn handle_hangup(&mut self, now: Instant);

    /// The deadline last returned in [`Output::Wait`] has passed.
    fn handle_timeout(&mut self, now: Instant);

    /// What to do next. Called until it answers `Wait` or `Done`.
    fn poll_output(&mut self, now: Instant) -> Output<Self::Event, Self::Outcome>;
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Output<E, O> {
    /// Send these bytes.
    Transmit(Transmit),
    /// Do this to the port itself.
    Control(Control),
    /// Tell the owner.
    Event(E),
    /// Nothing to do until input arrives or, if given, this moment (line time) has come.
    Wait(Option<Instant>),
    /// The conversation is over. The machine is not polled again.
    Done(O),
}

/// What a machine inside another says that only its owner can answer.
#[derive(Debug)]
pub enum Inner<E, O> {
    /// Its [`Output::Event`].
    Event(E),
    /// Its [`Output::Done`].
    Done(O),
}

impl<E, O> Output<E, O> {
    /// For a machine that holds another: what the inner one wants done is passed on to the driver as it
    /// is, and what it tells is for its owner.
    pub fn passed_on<F, P>(self) -> Result<Output<F, P>, Inner<E, O>> {
        match self {
            Self::Transmit(transmit) => Ok(Output::Transmit(transmit)),
            Self::Control(control) => Ok(Output::Control(control)),
            Self::Wait(until) => Ok(Output::Wait(until)),
            Self::Event(event) => Err(Inner::Event(event)),
            Self::Done(outcome) => Err(Inner::Done(outcome)),
        }
    }
}

/// The owner's half of a question that an [`Output::Event`] carries. Dropped, it is no answer.
#[derive(Debug)]
pub struct Answer<T>(Arc<Mutex<Option<T>>>);

impl<T> Answer<T> {
    /// Answers.
    pub fn give(self, answer: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}

/// The machine's half of the same question: looked at when it is polled next.
#[derive(Debug)]
pub struct Question<T>(Arc<Mutex<Option<T>>>);

impl<T> Question<T> {
    /// A question, and what answers it.
    pub fn new() -> (Self, Answer<T>) {
        let shared = Arc::new(Mutex::new(None));
        (Self(Arc::clone(&shared)), Answer(shared))
    }

    /// What was answered, if anything was.
    pub fn answered(self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes to send, and whether a transcript may show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The bytes, as they go onto the line.
    pub bytes: Vec<u8>,
    /// True for a password: transcripts print a mask in its place.
    pub secret: bool,
}

impl Transmit {
    /// Bytes that anyone may see.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), secret: false }
    }

    /// Bytes that no transcript, log or error may show.
    pub fn secret(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), secret: true }
    }
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.secret {
            f.write_str("Transmit(secret)")
        } else {
            write!(f, "Transmit({:?})", self.bytes.escape_ascii().to_string())
        }
    }
}

impl Drop for Transmit {
    fn drop(&mut self) {
        if self.secret {
            self.bytes.zeroize();
        }
    }
}

/// What can be done to a port beside sending bytes. A line without the lead answers that it has
/// none, and the machine goes on with its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Raise or drop Data Terminal Ready (V.24 circuit 108/2).
    Dtr(bool),
    /// Hold the line in the spacing state this long.
    Break(Duration),
    /// Throw away what was queued and not yet sent.
    DiscardOutput,
    /// Set the port's bit rate. It counts at once, for bytes that are still queued too: a machine
    /// waits until what it sent is out, as its deadlines do. A rate that the port does not take
    /// changes nothing.
    Speed(u32),
}

/// Time as a machine sees it: it stands still while our own bytes wait to be sent.
///
/// ```
/// # use mailcall::machine::LineClock;
/// # #[allow(clippy::disallowed_methods)] let t0 = std::time::Instant::now();
/// # let s = std::time::Duration::from_secs;
/// let mut clock = LineClock::default();
/// clock.set_sending(t0, true);
/// clock.set_sending(t0 + s(17), false); // 4 KB went out at 2,400 bit/s
/// assert_eq!(clock.line_time(t0 + s(20)), t0 + s(3));
/// assert_eq!(clock.wall_time(t0 + s(3)), t0 + s(20));
/// ```
#[derive(Debug, Default, Clone)]
pub struct LineClock {
    stopped: Duration,
    sending_since: Option<Instant>,
}

impl LineClock {
    /// Says whether bytes of ours are queued from `now` (wall time) on.
    pub fn set_sending(&mut self, now: Instant, sending: bool) {
        match (self.sending_since, sending) {
            (None, true) => self.sending_since = Some(now),
            (Some(since), false) => {
                self.stopped += now.saturating_duration_since(since);
                self.sending_since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// The line time at a moment of wall time.
    pub fn line_time(&self, now: Instant) -> Instant {
        self.sending_since.unwrap_or(now) - self.stopped
    }

    /// The wall time at which a deadline in line time falls, if nothing more is sent.
    pub fn wall_time(&self, deadline: Instant) -> Instant {
        deadline + self.stopped
    }
}

/// Bits on an asynchronous line for each byte: start bit, eight data bits, stop bit.
pub const BITS_PER_BYTE: u32 = 10;
