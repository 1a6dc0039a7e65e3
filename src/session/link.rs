//! One line, and the loop that pumps one machine after the other over it.
//!
//! The link keeps what belongs to the line and not to a conversation: bytes that no machine has
//! taken, bytes not sent, the line clock, the counts, the transcript, and whether the line is gone.
//! It holds the driver's half of the contract in [`crate::machine`]. Dropping a `drive` future in
//! the middle (a signal) leaves the link whole: the modem can still be hung up through it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use zeroize::Zeroize;

use self::no_carrier::NoCarrierText;
use super::transcript::Transcript;
use crate::line::{BREAK_MAX, Leads, Line};
use crate::machine::BITS_PER_BYTE;
use crate::machine::{Control, LineClock, Machine, Output};
use crate::modem::ConnectInfo;
use crate::secret::WipedQueue;

/// A line with everything that outlives the single conversation.
pub struct Link {
    line: Box<dyn Line>,
    /// The dialogue, for whoever wants to see it.
    pub transcript: Transcript,
    /// A host's echo may be in it, and in the queue a password: neither leaves a copy.
    input: WipedQueue,
    queue: WipedQueue,
    clock: LineClock,
    /// Bits a second that the line takes from us; `None` is without limit.
    rate: Option<u32>,
    /// Bits a second that come from the host, as far as known.
    rate_down: Option<u32>,
    /// The carrier's rates in a call, up and down, as far as the modem told them.
    carrier_rates: (Option<u32>, Option<u32>),
    sent_until: Option<Instant>,
    last_accepted: Option<Instant>,
    watch_carrier: bool,
    /// DCD was on since CONNECT: only then does off mean anything (three-wire cables read off).
    carrier_seen: bool,
    /// When the leads are looked at next, whatever moves meanwhile.
    look_at: Option<Instant>,
    last_moved: Option<Instant>,
    /// The host was told to hang up.
    leaving: bool,
    break_until: Option<Instant>,
    no_carrier_said: NoCarrierText,
    /// The modem answers in numbers.
    numeric: bool,
    seven_bit_host: bool,
    unwritable: Option<(Instant, String)>,
    end: Option<LineEnd>,
    ended_at: Option<Instant>,
    /// Bytes received on this line, all of them.
    pub bytes_down: u64,
    /// Bytes sent on this line, all of them.
    pub bytes_up: u64,
}

impl Link {
    /// Takes over an open line.
    pub fn new(line: Box<dyn Line>, transcript: Transcript) -> Self {
        let rate = line_rate(&*line);
        Self {
            line,
            transcript,
            input: WipedQueue::default(),
            queue: WipedQueue::default(),
            clock: LineClock::default(),
            rate,
            rate_down: rate,
            carrier_rates: (None, None),
            sent_until: None,
            last_accepted: None,
            watch_carrier: false,
            carrier_seen: false,
            look_at: None,
            last_moved: None,
            leaving: false,
            break_until: None,
            no_carrier_said: NoCarrierText::default(),
            numeric: false,
            seven_bit_host: false,
            unwritable: None,
            end: None,
            ended_at: None,
            bytes_down: 0,
            bytes_up: 0,
        }
    }

    /// What the line is called.
    pub fn name(&self) -> String {
        self.line.name()
    }

    /// Whether DTR can be dropped on this line.
    pub fn leads_known(&self) -> bool {
        self.line.leads_known()
    }

    /// Bits a second that the line takes from us, as far as known.
    pub fn rate(&self) -> Option<u32> {
        self.rate
    }

    /// Bits a second that come from the host, as far as known.
    pub fn rate_down(&self) -> Option<u32> {
        self.rate_down
    }

    /// Asks the other end to let eight bits pass; false = there is nobody to ask.
    pub fn ask_eight_bit(&mut self) -> bool {
        self.line.ask_eight_bit()
    }

    /// The port's own bit rate, where it has one: what [`Control::Speed`] made of it.
    pub fn port_speed(&self) -> Option<u32> {
        self.line.speed()
    }

    /// Whether bytes above 127 pass, both ways, as far as it is known by now.
    pub fn eight_bit(&self) -> bool {
        !self.seven_bit_host && self.line.eight_bit()
    }

    /// Whether only seven bits of a byte pass for sure.
    pub fn cuts_eighth_bit(&self) -> bool {
        self.seven_bit_host || self.line.cuts_eighth_bit()
    }

    /// The host was seen to send seven bits and parity, whatever the line carries.
    pub fn host_sends_seven_bits(&mut self) {
        self.seven_bit_host = true;
    }

    /// What the line's own program said last, where it is one; secrets masked.
    pub fn last_words(&self) -> Option<String> {
        self.line.last_words().map(|said| self.transcript.masks().text(&said))
    }

    /// The port's leads now; `None` where they are unknown, or the line has ended.
    pub fn leads(&mut self) -> Option<Leads> {
        match self.line.leads() {
            Ok(leads) => leads,
            Err(error) => {
                self.port_gone(error.to_string());
                None
            }
        }
    }

    /// What has arrived and no machine has taken, for a person's eyes.
    pub(super) fn take_arrived(&mut self) -> Vec<u8> {
        let arrived = self.input.to_vec();
        self.input.clear();
        arrived
    }

    /// Puts back what was taken and belongs to a machine: it comes before what arrived since.
    pub fn give_back(&mut self, bytes: &[u8]) {
        let since = std::mem::take(&mut self.input);
        self.input.extend_from_slice(bytes);
        self.input.extend_from_slice(&since);
    }

    /// Queues what a person types.
    pub(super) fn type_out(&mut self, bytes: &[u8]) {
        if self.end.is_none() && self.unwritable.is_none() {
            self.queue.extend_from_slice(bytes);
        }
    }

    /// How many bytes wait for the line to take them.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Moves bytes and looks after the line once; may be dropped at any moment.
    pub(super) async fn stir(&mut self) {
        self.wait(None).await;
    }

    /// Tells the other end how large a person's screen is, where the line can.
    pub(super) fn set_window(&mut self, rows: u16, cols: u16) {
        if let Err(error) = self.line.set_window(rows, cols) {
            self.port_gone(error.to_string());
        }
    }

    /// How the line ended, once it has.
    pub fn end(&self) -> Option<&LineEnd> {
        self.end.as_ref()
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }

    /// CONNECT: carrier is watched from now on, at the rates that the modem told.
    pub fn connected(&mut self, connect: &ConnectInfo) {
        self.watch_carrier = true;
        self.ended_at = None; // of a call before this one
        self.carrier_seen = false;
        self.seven_bit_host = false; // of a host before this one
        self.numeric = connect.text.starts_with(|c: char| c.is_ascii_digit());
        self.no_carrier_said = NoCarrierText::behind_connect();
        // A call that ends at once: its end may have come together with CONNECT.
        self.no_carrier_said.look_at(wall_now(), &self.input);
        self.look_at = None;
        self.carrier_rates = (connect.rate_up.or(connect.rate), connect.rate);
        self.follow_rates();
    }

    /// The slower of port and carrier is what gets through, each way.
    fn follow_rates(&mut self) {
        let port = line_rate(&*self.line);
        let slower = |carrier: Option<u32>| match (port, carrier) {
            (Some(port), Some(carrier)) => Some(port.min(carrier)),
            (port, carrier) => port.or(carrier),
        };
        (self.rate, self.rate_down) = (slower(self.carrier_rates.0), slower(self.carrier_rates.1));
    }

    /// The host is about to hang up: `NO CARRIER` is believed sooner.
    pub fn leaving(&mut self) {
        self.leaving = true;
    }

    /// The call is over, the port is not: the modem may be spoken to again.
    pub fn disconnected(&mut self) {
        self.watch_carrier = false;
        self.leaving = false;
        self.carrier_rates = (None, None);
        self.follow_rates();
        if self.end == Some(LineEnd::CarrierLost) {
            self.end = None;
        }
        self.queue.clear();
        self.sent_until = None;
    }

    /// Pumps `machine` until it is done. `on_event` is told of each event before anything that the
    /// machine sends afterwards; its error ends the conversation at once.
    pub async fn drive<M, E>(
        &mut self,
        machine: &mut M,
        mut on_event: impl FnMut(&mut Self, M::Event) -> Result<(), E>,
    ) -> Result<M::Outcome, E>
    where
        M: Machine,
    {
        let mut told_hangup = false;
        loop {
            // Everything that has arrived goes in before anything more goes out.
            while self.end.is_none() && self.input.len() < INPUT_MAX && self.read_ready().await {}
            let deadline = loop {
                let now = self.line_now();
                let taken = if self.input.is_empty() { 0 } else { machine.handle_input(now, &self.input) };
                self.input.take_off(taken);
                if self.end.is_some() && taken == 0 && !told_hangup {
                    told_hangup = true;
                    machine.handle_hangup(now);
                }
                let deadline = loop {
                    match machine.poll_output(now) {
                        Output::Transmit(transmit) => {
                            self.transcript.sent(wall_now(), &transmit);
                            if self.end.is_none() && self.unwritable.is_none() {
                                self.queue.extend_from_slice(&transmit.bytes);
                            }
                        }
                        Output::Control(control) => self.control(control),
                        Output::Event(event) => on_event(self, event)?,
                        Output::Wait(deadline) => break deadline,
                        Output::Done(outcome) => {
                            self.flush_queue().await;
                            return Ok(outcome);
                        }
                    }
                };
                if taken == 0 || self.input.is_empty() {
                    break deadline;
                }
            };
            if self.end.is_some() {
                if told_hangup {
                    // The machine was told and waits all the same: only its deadline can end it.
                    self.wait_until(deadline).await;
                    machine.handle_timeout(self.line_now());
                }
                continue; // once it has taken what there is, it is told without a wait
            }
            if self.wait(deadline).await == Woken::Deadline {
                machine.handle_timeout(self.line_now());
            }
        }
    }

    /// Waits for input, room for output, loss of the line, or the machine's deadline.
    async fn wait(&mut self, deadline: Option<Instant>) -> Woken {
        let now = wall_now();
        self.clock.set_sending(now, self.is_sending(now));
        let due = deadline.filter(|_| !self.is_sending(now)).map(|at| self.clock.wall_time(at));
        if due.is_some_and(|at| at <= now) {
            return Woken::Deadline;
        }
        let may_write = self.may_write_at(now);
        let write_at = (!self.queue.is_empty() && may_write > now).then_some(may_write);
        self.end_break(now);
        // On a schedule, not when the line is quiet: a modem that lost its carrier may go on taking
        // our bytes, or making up some of its own.
        let tick = *self.look_at.get_or_insert(now + self.look_every());
        let wake = [due, write_at, self.sent_until.filter(|&at| at > now), self.break_until, Some(tick)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(tick);
        let can_write = !self.queue.is_empty() && may_write <= now;
        let moved = self.ready(can_write, wake).await;
        let now = wall_now();
        if moved {
            self.last_moved = Some(now);
        } else if self.last_moved.is_none_or(|at| now.saturating_duration_since(at) >= QUIET_AFTER) {
            self.transcript.quiet();
        }
        if tick <= now {
            self.look_at = None;
            self.look_at_carrier();
            // What came before the carrier went may still be on its way to us.
            while self.end.is_some() && self.input.len() < INPUT_MAX && self.read_ready().await {}
        }
        self.clock.set_sending(now, self.is_sending(now));
        match due {
            Some(at) if at <= now && self.input.is_empty() => Woken::Deadline,
            Some(_) | None => Woken::Line,
        }
    }

    fn look_every(&self) -> Duration {
        if self.watch_carrier { CARRIER_POLL } else { IDLE_POLL }
    }

    /// True when bytes moved in either direction before `wake`.
    async fn ready(&mut self, can_write: bool, wake: Instant) -> bool {
        let mut timer = pin!(sleep_until(wake));
        let mut buffer = [0; READ_CHUNK];
        let moved = poll_fn(|context| {
            // What no machine takes stays on the line, and the line's flow control holds the host.
            if self.input.len() < INPUT_MAX {
                let mut read = ReadBuf::new(&mut buffer);
                match Pin::new(&mut self.line).poll_read(context, &mut read) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Moved::In(Ok(read.filled().len()))),
                    Poll::Ready(Err(error)) => return Poll::Ready(Moved::In(Err(error))),
                    Poll::Pending => {}
                }
            }
            if can_write {
                let chunk = self.queue.len().min(self.chunk_max());
                if let Poll::Ready(wrote) = Pin::new(&mut self.line).poll_write(context, &self.queue[..chunk])
                {
                    return Poll::Ready(Moved::Out(wrote));
                }
            }
            timer.as_mut().poll(context).map(|()| Moved::Nothing)
        })
        .await;
        match moved {
            Moved::In(Ok(0)) => self.end_of_file(),
            Moved::In(Ok(count)) => {
                self.take_in(&buffer[..count]);
                buffer[..count].zeroize();
            }
            Moved::In(Err(error)) => self.port_gone(error.to_string()),
            // A line that takes none of some would be asked again at once, for ever.
            Moved::Out(Ok(0)) => self.write_failed(&std::io::ErrorKind::WriteZero.into()),
            Moved::Out(Ok(count)) => self.account_for_sent(count),
            Moved::Out(Err(error)) => self.write_failed(&error),
            Moved::Nothing => return false,
        }
        true
    }

    /// Reads once without waiting; true when there were bytes.
    async fn read_ready(&mut self) -> bool {
        let mut buffer = [0; READ_CHUNK];
        let read = poll_fn(|context| {
            let mut read = ReadBuf::new(&mut buffer);
            Poll::Ready(match Pin::new(&mut self.line).poll_read(context, &mut read) {
                Poll::Ready(result) => Some(result.map(|()| read.filled().len())),
                Poll::Pending => None,
            })
        })
        .await;
        match read {
            None => {}
            Some(Ok(0)) => self.end_of_file(),
            Some(Ok(count)) => {
                self.take_in(&buffer[..count]);
                buffer[..count].zeroize();
                return true;
            }
            Some(Err(error)) => self.port_gone(error.to_string()),
        }
        false
    }

    fn take_in(&mut self, bytes: &[u8]) {
        let now = wall_now();
        self.bytes_down += bytes.len() as u64;
        self.transcript.received(now, bytes);
        if self.watch_carrier {
            self.no_carrier_said.look_at(now, bytes);
        }
        self.input.extend_from_slice(bytes);
    }

    fn account_for_sent(&mut self, count: usize) {
        let now = wall_now();
        self.queue.take_off(count);
        self.bytes_up += count as u64;
        self.last_accepted = Some(now);
        if let Some(rate) = self.rate {
            let line_time = Duration::from_secs(u64::from(BITS_PER_BYTE) * count as u64) / rate.max(1);
            self.sent_until = Some(self.sent_until.map_or(now, |until| until.max(now)) + line_time);
        }
    }

    fn carrier_lost(&mut self, how: &str) {
        self.transcript.note(wall_now(), &format!("carrier lost: {how}"));
        self.ended(LineEnd::CarrierLost);
    }

    /// What the other end said last may still be there to be read: end of file ends the line, or a
    /// second without it.
    fn write_failed(&mut self, error: &std::io::Error) {
        self.queue.clear();
        self.sent_until = None;
        self.unwritable.get_or_insert_with(|| (wall_now(), error.to_string()));
    }

    fn end_of_file(&mut self) {
        let why = self.line.why_ended().unwrap_or_else(|| "end of file".to_owned());
        self.port_gone(why);
    }

    fn port_gone(&mut self, why: String) {
        if self.end.is_none() {
            self.transcript.note(wall_now(), &format!("the line has ended: {why}"));
        }
        self.ended(LineEnd::PortGone(why));
    }

    fn ended(&mut self, end: LineEnd) {
        if self.end.is_none() {
            self.end = Some(end);
            self.ended_at = Some(wall_now());
        }
        self.queue.clear();
        self.sent_until = None;
    }

    /// DCD where there is one; else what the modem says and then falls silent; else a queue that
    /// does not move.
    fn look_at_carrier(&mut self) {
        let now = wall_now();
        self.follow_rates(); // a port over a network tells late what it made of a rate
        let stalled = !self.queue.is_empty()
            && self.last_accepted.is_some_and(|at| now.saturating_duration_since(at) > SEND_STALL_MAX);
        if self.queue.is_empty() {
            self.last_accepted = Some(now);
        }
        if let Some((since, why)) = &self.unwritable
            && now.saturating_duration_since(*since) > READABLE_AFTER_WRITE_ERROR
        {
            self.port_gone(why.clone());
        } else if stalled {
            self.port_gone("it has taken no byte for 30 s".to_owned());
        } else if self.watch_carrier {
            let quiet = if self.leaving { NO_CARRIER_QUIET_LEAVING } else { NO_CARRIER_QUIET };
            match self.line.carrier() {
                Ok(Some(true)) => self.carrier_seen = true,
                Ok(Some(false)) if self.carrier_seen => self.carrier_lost("DCD is off"),
                Ok(Some(false) | None) if self.no_carrier_said.holds(now, quiet) => {
                    self.carrier_lost("the modem says NO CARRIER")
                }
                // In mid-call a host may say 3 as well; one that was told to hang up does that next.
                Ok(Some(false) | None)
                    if self.numeric && self.leaving && self.no_carrier_said.holds_in_numbers(now, quiet) =>
                {
                    self.carrier_lost("the modem says 3, NO CARRIER")
                }
                Ok(Some(false) | None) => {}
                Err(error) => self.port_gone(error.to_string()),
            }
        }
    }

    /// A BREAK that has lasted long enough ends.
    fn end_break(&mut self, now: Instant) {
        if self.break_until.is_some_and(|until| until <= now) {
            self.break_until = None;
            if let Err(error) = self.line.set_break(false) {
                self.port_gone(error.to_string());
            }
        }
    }

    /// Does something to the port itself.
    pub(super) fn control(&mut self, control: Control) {
        let done = match control {
            Control::Dtr(on) => self.line.set_dtr(on).map(|_| ()),
            Control::Break(length) => {
                let begun = self.line.set_break(true);
                if matches!(begun, Ok(true)) {
                    self.break_until = Some(wall_now() + length.min(BREAK_MAX));
                }
                begun.map(|_| ())
            }
            Control::DiscardOutput => {
                self.queue.clear();
                self.sent_until = None;
                self.line.discard_output()
            }
            Control::Speed(bits) => self.set_speed(bits),
        };
        if let Err(error) = done {
            self.port_gone(error.to_string());
        }
    }

    fn set_speed(&mut self, bits: u32) -> std::io::Result<()> {
        match self.line.set_speed(bits) {
            Ok(true) => self.follow_rates(),
            Ok(false) => {}
            // The port is still there, at the rate it had.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                self.transcript.note(wall_now(), &format!("the port does not take {bits} bit/s: {error}"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What a finished machine has queued is still sent, but not for longer than it can take.
    async fn flush_queue(&mut self) {
        let patience = wall_now() + SEND_STALL_MAX;
        while !self.queue.is_empty() && self.end.is_none() && wall_now() < patience {
            let now = wall_now();
            let may_write = self.may_write_at(now);
            let wake = if may_write > now { may_write } else { now + IDLE_POLL };
            self.ready(may_write <= now, wake).await;
            if self.input.len() >= INPUT_MAX {
                break; // a host that floods us: the next machine decides
            }
        }
    }

    /// Waits until all that was sent has left the port, for `limit` at most, and says whether it has.
    /// Nothing blocks: the port is asked how much it still holds (TIOCOUTQ). What it does not count,
    /// the last bytes in the UART or an adapter, is reckoned with by the line's rate.
    pub async fn drain(&mut self, limit: Duration) -> bool {
        let until = wall_now() + limit;
        while self.end.is_none() {
            let held = match self.line.unsent() {
                Ok(held) => held.unwrap_or(0),
                Err(error) => {
                    self.port_gone(error.to_string());
                    break;
                }
            };
            let now = wall_now();
            if held == 0 && !self.is_sending(now) {
                return true;
            }
            if now >= until {
                break;
            }
            let can_write = !self.queue.is_empty() && self.may_write_at(now) <= now;
            self.ready(can_write, (now + DRAIN_POLL).min(until)).await;
        }
        false
    }

    /// Ends the line, which may take as long as its command takes to go.
    pub async fn close(&mut self) {
        // There is no error that would still matter to anybody.
        let _ = tokio::time::timeout(CLOSE_MAX, self.line.shutdown()).await;
    }

    async fn wait_until(&mut self, deadline: Option<Instant>) {
        let now = wall_now();
        self.clock.set_sending(now, false);
        let at = deadline.map_or(now + IDLE_POLL, |at| self.clock.wall_time(at));
        sleep_until(at).await;
    }

    /// When the next byte may be written so that less than a second of line time is under way.
    fn may_write_at(&self, now: Instant) -> Instant {
        self.sent_until.and_then(|until| until.checked_sub(UNSENT_MAX)).map_or(now, |at| at.max(now))
    }

    /// Bytes that may be written at once: half of what may be under way.
    fn chunk_max(&self) -> usize {
        self.rate.map_or(READ_CHUNK, |rate| (rate / BITS_PER_BYTE / 2).max(1) as usize)
    }

    fn is_sending(&self, now: Instant) -> bool {
        !self.queue.is_empty() || self.sent_until.is_some_and(|until| until > now)
    }

    fn line_now(&mut self) -> Instant {
        let now = wall_now();
        self.clock.set_sending(now, self.is_sending(now));
        self.clock.line_time(now)
    }
}

/// Bits a second that the line carries, as if each byte had [`BITS_PER_BYTE`].
fn line_rate(line: &dyn Line) -> Option<u32> {
    let rate = u64::from(line.speed()?) * u64::from(BITS_PER_BYTE) / u64::from(line.bits_per_byte().max(1));
    u32::try_from(rate).ok() // no port is so fast that it would not fit
}

/// How a line ends under a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineEnd {
    /// The call is over; the port and the modem are still there.
    CarrierLost,
    /// The port itself is gone, or takes no more bytes.
    PortGone(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Woken {
    Line,
    Deadline,
}

enum Moved {
    In(std::io::Result<usize>),
    Out(std::io::Result<usize>),
    Nothing,
}

#[allow(clippy::disallowed_methods)] // the session is where the clock is read
pub(super) fn wall_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

/// Silence behind `NO CARRIER` before it is believed.
const NO_CARRIER_QUIET: Duration = Duration::from_millis(1_500);
/// The same once the host was told to hang up.
const NO_CARRIER_QUIET_LEAVING: Duration = Duration::from_millis(200);
/// How often DCD is looked at during a call. Polled, because the alternative is worse: TIOCMIWAIT holds
/// up a thread until a lead changes, which only a signal ends; it keeps the descriptor open meanwhile,
/// so that the last close, which drops DTR (HUPCL), would wait for it; and many USB drivers lack it.
const CARRIER_POLL: Duration = Duration::from_millis(100);
/// How often a line is looked at that is in no call.
const IDLE_POLL: Duration = Duration::from_millis(200);
/// How often a port is asked whether all is out.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// A command that ignores signals is killed after half of this.
const CLOSE_MAX: Duration = Duration::from_secs(8);
/// Silence after which the transcript shows half a line.
const QUIET_AFTER: Duration = Duration::from_millis(200);
/// Line time that may be under way in the port's own queues: more would outlive an abort.
const UNSENT_MAX: Duration = Duration::from_millis(900);
/// A line that takes no byte for so long is dead (flow control held for ever).
const SEND_STALL_MAX: Duration = Duration::from_secs(30);
/// How long after a failed write the rest may be read.
const READABLE_AFTER_WRITE_ERROR: Duration = Duration::from_secs(1);
/// Bytes read at once.
const READ_CHUNK: usize = 16 * 1024;
/// Bytes held for a machine that takes none: beyond it the line's own flow control holds the host.
const INPUT_MAX: usize = 256 * 1024;

mod no_carrier;
#[cfg(test)]
mod tests;
