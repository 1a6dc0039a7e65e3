//! A Hayes modem (V.250 calls it the DCE) as a state machine: told the time, bytes from the
//! terminal side (DTE) and bytes from whoever answered; it knows nothing of PTYs or processes.
//!
//! ```text
//!            ATD            answered              +++
//! Command --------> Dialling -------> Online <---------> OnlineCommand
//!    ^  RING: ATA, S0  |                |        ATO          |
//!    |  any character, |                |                     |
//!    |  BUSY ..        |                | carrier lost, DTR   | ATH
//!    +-----------------+----------------+---------------------+
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::settings::{
    ResultCode, S_ANSWER_AFTER, S_BACKSPACE, S_CARRIER_WAIT, S_CR, S_ESCAPE, S_LF, Settings,
};
use super::at::{AtCommand, DialString, next_command};
use super::call::{Call, EscapeWatch, Fate};
use crate::machine::Control;

mod event;
mod exchange;
mod options;
mod settings;

pub use self::event::{DceEvent, DceStep, HangUpBy, Hook};
use self::exchange::{Bell, Exchange};
pub use self::exchange::{Incoming, RingsWhen};
pub use self::options::{Answer, DceOptions, Quirk};

/// The modem.
#[derive(Debug)]
pub struct Dce {
    options: DceOptions,
    settings: Settings,
    line: CommandLine,
    state: State,
    exchange: Exchange,
    /// The call that is up, or about to be, came in.
    came_in: bool,
    /// The port's rate, in bit/s, where it was told.
    port_speed: Option<u32>,
    dials: usize,
    connects: u64,
    last_body: Vec<u8>,
    last_number: String,
    for_dte: VecDeque<u8>,
    events: VecDeque<DceEvent>,
}

impl Dce {
    /// A modem that has just been switched on.
    pub fn new(options: DceOptions) -> Self {
        Self {
            exchange: Exchange::new(options.incoming.clone()),
            came_in: false,
            port_speed: None,
            options,
            settings: Settings::default(),
            line: CommandLine::Idle,
            state: State::Command { off_hook: false },
            dials: 0,
            connects: 0,
            last_body: Vec::new(),
            last_number: String::new(),
            for_dte: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes bytes from the DTE and returns how many. It takes none while an event waits to be
    /// polled, and no more than about a second of line time ahead of the line.
    pub fn handle_dte(&mut self, now: Instant, bytes: &[u8]) -> usize {
        for (taken, &byte) in bytes.iter().enumerate() {
            self.advance(now);
            if self.is_deaf() {
                return bytes.len();
            }
            if !self.events.is_empty() || self.room_for_dte() == 0 {
                return taken;
            }
            self.handle_dte_byte(now, byte);
        }
        self.advance(now);
        bytes.len()
    }

    /// Takes bytes from the host and returns how many. Without a call they go nowhere.
    pub fn handle_host(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.advance(now);
        let taken = match &mut self.state {
            State::Online(call, _) | State::OnlineCommand(call) => {
                call.push_down(now, bytes, self.for_dte.len())
            }
            State::Command { .. } | State::Dialling { .. } => bytes.len(),
        };
        self.advance(now);
        taken
    }

    /// The host has ended; the carrier goes once its last byte has arrived.
    pub fn handle_host_end(&mut self, now: Instant) {
        if let State::Online(call, _) | State::OnlineCommand(call) = &mut self.state {
            call.end_host();
        }
        self.advance(now);
    }

    /// What the DTE does to the leads.
    pub fn handle_control(&mut self, now: Instant, control: Control) {
        self.advance(now);
        match control {
            Control::Dtr(false) if self.options.has(Quirk::NoDtr) => {}
            Control::Dtr(false) => self.handle_dtr_drop(),
            Control::Speed(speed) => self.port_speed = Some(speed),
            // DTR coming back changes nothing, a BREAK is not passed on, and what the DTE's port
            // still holds is not the modem's to discard.
            Control::Dtr(true) | Control::Break(_) | Control::DiscardOutput => {}
        }
    }

    /// What to do next. Called until it answers `Wait`.
    pub fn poll(&mut self, now: Instant) -> DceStep {
        self.advance(now);
        match self.events.pop_front() {
            Some(event) => DceStep::Event(event),
            None => DceStep::Wait(self.deadline()),
        }
    }

    /// Bytes for the DTE (a first stretch of them), to be given back to [`Self::sent_to_dte`].
    pub fn output_for_dte(&self) -> &[u8] {
        self.for_dte.as_slices().0
    }

    /// The DTE has taken so many.
    pub fn sent_to_dte(&mut self, count: usize) {
        self.for_dte.drain(..count.min(self.for_dte.len()));
    }

    /// Bytes for the host (a first stretch of them).
    pub fn output_for_host(&self) -> &[u8] {
        match &self.state {
            State::Online(call, _) | State::OnlineCommand(call) => call.for_host.as_slices().0,
            State::Command { .. } | State::Dialling { .. } => &[],
        }
    }

    /// The host has taken so many.
    pub fn sent_to_host(&mut self, count: usize) {
        if let State::Online(call, _) | State::OnlineCommand(call) = &mut self.state {
            call.for_host.drain(..count.min(call.for_host.len()));
        }
    }

    /// How many bytes of the DTE's would be taken now, events apart.
    pub fn room_for_dte(&self) -> usize {
        match &self.state {
            State::Online(call, _) => call.room_up(),
            State::Command { .. } | State::Dialling { .. } | State::OnlineCommand(_) => {
                ANSWERS_QUEUED_MAX.saturating_sub(self.for_dte.len())
            }
        }
    }

    /// How many bytes of the host's would be taken now.
    pub fn room_for_host(&self) -> usize {
        match &self.state {
            State::Online(call, _) | State::OnlineCommand(call) => call.room_down(self.for_dte.len()),
            State::Command { .. } | State::Dialling { .. } => usize::MAX,
        }
    }

    /// Where the modem stands.
    pub fn hook(&self) -> Hook {
        match self.state {
            State::Command { off_hook: false } => Hook::OnHook,
            State::Command { off_hook: true } => Hook::OffHook,
            State::Dialling { .. } => Hook::Dialling,
            State::Online(..) => Hook::Online,
            State::OnlineCommand(_) => Hook::OnlineCommand,
        }
    }

    /// Data Carrier Detect.
    pub fn carrier(&self) -> bool {
        matches!(self.state, State::Online(..) | State::OnlineCommand(_))
    }

    /// Ring Indicator (V.24 circuit 125).
    pub fn ring_indicator(&self, now: Instant) -> bool {
        self.exchange.ring_indicator(now)
    }

    /// Whether the modem understands the port's bit rate only if it is one certain rate.
    pub fn minds_speed(&self) -> bool {
        self.options.port_speed().is_some()
    }

    fn is_deaf(&self) -> bool {
        let understood = self.options.port_speed();
        understood.is_some() && self.port_speed.is_some() && self.port_speed != understood
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Command { off_hook: false } => self.exchange.deadline(),
            State::Command { off_hook: true } => None,
            State::Dialling { due, .. } => Some(*due),
            State::Online(call, escape) => {
                let escape = escape.due(self.settings.guard_time());
                [call.next_down(), call.next_up(), escape].into_iter().flatten().min()
            }
            // What comes from the host waits on the wire until ATO.
            State::OnlineCommand(call) => call.next_up(),
        }
    }

    /// Lets everything happen that is due by `now`.
    fn advance(&mut self, now: Instant) {
        while let Some(bell) = self.exchange.poll(now, self.hook() == Hook::OnHook) {
            self.hear_bell(now, bell);
        }
        match &mut self.state {
            State::Command { .. } => {}
            State::Dialling { due, .. } if now < *due => {}
            State::Dialling { .. } => self.finish_dialling(now),
            State::Online(call, escape) => {
                call.advance_up(now);
                let escaped = escape.due(self.settings.guard_time()).is_some_and(|due| due <= now);
                if !call.advance_down(now, &mut self.for_dte) {
                    self.lose_carrier(HangUpBy::Line);
                } else if call.host_gone() {
                    self.host_hangs_up(now);
                } else if escaped {
                    self.escape();
                }
            }
            State::OnlineCommand(call) => {
                call.advance_up(now);
                if call.host_ended() {
                    self.host_hangs_up(now);
                }
            }
        }
    }

    fn handle_dte_byte(&mut self, now: Instant, byte: u8) {
        match &mut self.state {
            State::Command { .. } | State::OnlineCommand(_) => self.handle_command_byte(now, byte),
            // V.250 5.6.1: any character aborts, but not in the first 125 ms, which belong to an LF
            // behind the CR.
            State::Dialling { since, .. } if now < *since + ABORT_DEAF => {}
            State::Dialling { .. } => {
                self.state = State::Command { off_hook: false };
                self.refuse(ResultCode::NoCarrier);
            }
            State::Online(call, escape) => {
                // The far end sees the escape characters too.
                call.push_up(now, &[byte]);
                let guard = self.settings.guard_time();
                escape.handle_byte(now, byte, self.settings.register(S_ESCAPE), guard);
            }
        }
    }

    /// Collects a command line (V.250 5.2): AT or at, then a body up to the CR; A/ repeats the last.
    fn handle_command_byte(&mut self, now: Instant, byte: u8) {
        let byte = byte & 0x7f; // V.250 5.1: the eighth bit is parity, if anything
        let cr = self.settings.register(S_CR);
        let backspace = self.settings.register(S_BACKSPACE);
        let echo = self.settings.echo || self.options.has(Quirk::StuckEcho);
        // Glued: the CR is not echoed, and the result begins without one.
        if echo && byte != backspace && !(byte == cr && self.options.has(Quirk::Glued)) {
            self.for_dte.push_back(byte);
        }
        match (std::mem::replace(&mut self.line, CommandLine::Idle), byte) {
            (CommandLine::Idle | CommandLine::Prefix(_), b'A' | b'a') => {
                self.line = CommandLine::Prefix(byte)
            }
            (CommandLine::Prefix(b'A'), b'T') | (CommandLine::Prefix(b'a'), b't') => {
                self.line = CommandLine::Body(Vec::new());
            }
            (CommandLine::Prefix(_), b'/') => {
                let body = self.last_body.clone();
                self.execute(now, &body);
            }
            (CommandLine::Idle | CommandLine::Prefix(_), _) => {}
            (CommandLine::Body(body), byte) if byte == cr => {
                if body.len() > BODY_MAX {
                    return self.result(ResultCode::Error);
                }
                self.last_body.clone_from(&body);
                self.execute(now, &body);
            }
            (CommandLine::Body(mut body), byte) => {
                if byte == backspace {
                    if body.pop().is_some() && echo {
                        self.for_dte.extend([backspace, b' ', backspace]);
                    }
                } else if byte >= b' ' && body.len() <= BODY_MAX {
                    body.push(byte); // one more than may be shows that the line was too long
                }
                self.line = CommandLine::Body(body);
            }
        }
    }

    /// Does a line's commands up to its end, its first error, or the one that has its own result.
    fn execute(&mut self, now: Instant, mut body: &[u8]) {
        while let Some(command) = next_command(&mut body) {
            let Ok(command) = command else { return self.result(ResultCode::Error) };
            match self.perform(now, command) {
                Performed::Next => {}
                Performed::Final(result) => return self.result(result),
                Performed::ResultComesLater => return,
            }
        }
        self.result(ResultCode::Ok);
    }

    fn perform(&mut self, now: Instant, command: AtCommand) -> Performed {
        match command {
            AtCommand::Echo(on) => self.settings.echo = on,
            AtCommand::Verbose(on) => self.settings.verbose = on,
            AtCommand::Quiet(on) => self.settings.quiet = on,
            AtCommand::ResultLevel(level) => self.settings.result_level = level,
            AtCommand::DtrAction(action) => self.settings.dtr_action = action,
            AtCommand::ReadRegister(register) => {
                let value = self.settings.register(register);
                self.info(&format!("{value:03}"));
            }
            AtCommand::SetRegister(S_CR | S_LF | S_BACKSPACE, 128..) => {
                return Performed::Final(ResultCode::Error);
            }
            AtCommand::SetRegister(S_CARRIER_WAIT, 0) => return Performed::Final(ResultCode::Error),
            AtCommand::SetRegister(register, value) => {
                if let Some(place) = self.settings.registers.get_mut(usize::from(register)) {
                    *place = value;
                }
            }
            AtCommand::Reset => {
                self.hang_up(HangUpBy::Command);
                self.settings = Settings::default();
            }
            AtCommand::Factory => self.settings = Settings::default(),
            AtCommand::Identify(text) => self.info(text),
            AtCommand::OnHook(true) => self.hang_up(HangUpBy::Command),
            AtCommand::OnHook(false) => {
                if let State::Command { off_hook } = &mut self.state {
                    *off_hook = true;
                }
            }
            AtCommand::Online => return self.go_online(now),
            AtCommand::Answer => return self.answer(now),
            AtCommand::Dial(dial) => return self.dial(now, dial),
            AtCommand::Accepted => {}
        }
        Performed::Next
    }

    fn go_online(&mut self, now: Instant) -> Performed {
        match std::mem::replace(&mut self.state, State::Command { off_hook: false }) {
            State::OnlineCommand(call) => {
                self.state = State::Online(call, EscapeWatch::new(now));
                Performed::Final(ResultCode::Connect)
            }
            State::Command { .. } | State::Dialling { .. } | State::Online(..) => {
                Performed::Final(ResultCode::NoCarrier)
            }
        }
    }

    /// Takes the call that rings. When none does: off-hook, no carrier, S7 ends it.
    fn answer(&mut self, now: Instant) -> Performed {
        if self.carrier() {
            return Performed::Final(ResultCode::Error);
        }
        if self.pick_up(now) {
            return Performed::ResultComesLater;
        }
        let due = now + self.settings.carrier_wait();
        self.state = State::Dialling { since: now, due, number: String::new(), answer: Answer::NoCarrier };
        Performed::ResultComesLater
    }

    fn hear_bell(&mut self, now: Instant, bell: Bell) {
        match bell {
            Bell::Rings { count, caller } => {
                if count == 1 {
                    self.events.push_back(DceEvent::Rings);
                }
                self.result(ResultCode::Ring);
                caller.iter().for_each(|line| self.info(line));
                let answer_at = self.settings.register(S_ANSWER_AFTER);
                if answer_at > 0 && count >= answer_at.into() {
                    self.pick_up(now);
                }
            }
            Bell::Stops => self.events.push_back(DceEvent::CallerGaveUp),
        }
    }

    /// Off-hook, if it rings; the carrier takes as long to come as when we call.
    fn pick_up(&mut self, now: Instant) -> bool {
        let rings = self.exchange.pick_up();
        if rings {
            self.came_in = true;
            let (delay, answer) = self.in_time(self.options.ring_delay, Answer::Connect);
            self.state = State::Dialling { since: now, due: now + delay, number: String::new(), answer };
        }
        rings
    }

    /// How a call ends that takes so long: S7 may end it first.
    fn in_time(&self, delay: Duration, answer: Answer) -> (Duration, Answer) {
        let patience = self.settings.carrier_wait();
        if delay > patience { (patience, Answer::NoCarrier) } else { (delay, answer) }
    }

    fn dial(&mut self, now: Instant, dial: DialString) -> Performed {
        if self.carrier() {
            return Performed::Final(ResultCode::Error);
        }
        let number = if dial.redial { self.last_number.clone() } else { dial.number };
        self.last_number.clone_from(&number);
        self.events.push_back(DceEvent::Dialled { number: number.clone() });
        if dial.stay {
            self.state = State::Command { off_hook: true };
            return Performed::Final(ResultCode::Ok);
        }
        let answer = self.options.answer_to(&number, self.dials);
        self.dials += 1;
        let delay = match answer {
            Answer::NoDialtone | Answer::Delayed | Answer::Blacklisted => Duration::ZERO,
            Answer::Connect | Answer::Busy | Answer::NoAnswer | Answer::NoCarrier | Answer::Voice => {
                self.options.ring_delay
            }
        };
        self.came_in = false;
        let (delay, answer) = self.in_time(delay, answer);
        self.state = State::Dialling { since: now, due: now + delay, number, answer };
        Performed::ResultComesLater
    }

    fn finish_dialling(&mut self, now: Instant) {
        let nobody = State::Command { off_hook: false };
        let State::Dialling { number, answer, .. } = std::mem::replace(&mut self.state, nobody) else {
            return;
        };
        let result = self.settings.result_of(answer);
        if result != ResultCode::Connect {
            return self.refuse(result);
        }
        let planned = |plan: &[u64]| plan.get(self.connects as usize).copied();
        let fate = Fate {
            drop_after: planned(&self.options.drop_after),
            silent_after: planned(&self.options.silent_after),
        };
        self.connects += 1;
        let call = Call::new(self.connects, self.options.quality, self.options.seed, fate);
        self.result(ResultCode::Connect);
        self.events.push_back(DceEvent::Connected { call: call.number, number });
        self.state = State::Online(call, EscapeWatch::new(now));
    }

    fn refuse(&mut self, result: ResultCode) {
        self.events.push_back(DceEvent::Refused { result: result.words() });
        self.result(result);
    }

    fn escape(&mut self) {
        match std::mem::replace(&mut self.state, State::Command { off_hook: false }) {
            State::Online(call, _) => {
                self.state = State::OnlineCommand(call);
                self.line = CommandLine::Idle;
                self.result(ResultCode::Ok);
            }
            other @ (State::Command { .. } | State::Dialling { .. } | State::OnlineCommand(_)) => {
                self.state = other;
            }
        }
    }

    fn host_hangs_up(&mut self, now: Instant) {
        self.lose_carrier(HangUpBy::Host);
        if !self.came_in {
            self.exchange.host_hung_up(now);
        }
    }

    fn lose_carrier(&mut self, by: HangUpBy) {
        self.hang_up(by);
        self.line = CommandLine::Idle;
        self.result(ResultCode::NoCarrier);
    }

    /// On-hook. Bytes that were under way are lost with the carrier.
    fn hang_up(&mut self, by: HangUpBy) {
        match std::mem::replace(&mut self.state, State::Command { off_hook: false }) {
            State::Online(call, _) | State::OnlineCommand(call) => {
                self.events.push_back(DceEvent::HungUp {
                    call: call.number,
                    by,
                    bytes_down: call.delivered,
                    bytes_up: call.sent_up(),
                    damaged: call.damaged(),
                });
            }
            State::Command { .. } | State::Dialling { .. } => {}
        }
    }

    /// Circuit 108/2 turned off, answered as &D says (V.250 6.2.9; &D3 is Hayes).
    fn handle_dtr_drop(&mut self) {
        match (self.settings.dtr_action, &self.state) {
            (0, _) => {}
            (1, _) => self.escape(),
            (_, State::Online(..) | State::OnlineCommand(_)) => {
                self.lose_carrier(HangUpBy::Dtr);
                if self.settings.dtr_action == 3 {
                    self.settings = Settings::default();
                }
            }
            (_, State::Dialling { .. }) => {
                self.state = State::Command { off_hook: false };
                self.refuse(ResultCode::NoCarrier);
            }
            (_, State::Command { .. }) => {
                self.state = State::Command { off_hook: false };
                self.line = CommandLine::Idle;
            }
        }
    }

    /// A result code, as words or as a digit (V.250 5.7.1).
    fn result(&mut self, result: ResultCode) {
        if self.settings.quiet {
            return;
        }
        let (cr, lf) = (self.settings.register(S_CR), self.settings.register(S_LF));
        if !self.is_verbose() {
            self.for_dte.extend(result.digits().bytes());
            self.for_dte.push_back(cr);
            return;
        }
        if !self.options.has(Quirk::Glued) {
            self.for_dte.extend([cr, lf]);
        }
        if result == ResultCode::Connect && self.settings.result_level > 0 {
            self.for_dte.extend(self.options.connect_text.bytes());
        } else {
            self.for_dte.extend(result.words().bytes());
        }
        self.for_dte.extend([cr, lf]);
    }

    fn is_verbose(&self) -> bool {
        self.settings.verbose && !self.options.has(Quirk::Numeric)
    }

    /// Information text, which Q does not silence.
    fn info(&mut self, text: &str) {
        let (cr, lf) = (self.settings.register(S_CR), self.settings.register(S_LF));
        if self.is_verbose() {
            self.for_dte.extend([cr, lf]);
        }
        self.for_dte.extend(text.bytes());
        self.for_dte.extend([cr, lf]);
    }
}

#[derive(Debug)]
enum State {
    Command { off_hook: bool },
    Dialling { since: Instant, due: Instant, number: String, answer: Answer },
    Online(Call, EscapeWatch),
    OnlineCommand(Call),
}

/// A command line as it is typed.
#[derive(Debug)]
enum CommandLine {
    Idle,
    /// An `A` or `a`; the letter behind it has to be of the same case.
    Prefix(u8),
    Body(Vec<u8>),
}

/// How a command left the line it stands on.
enum Performed {
    Next,
    Final(ResultCode),
    ResultComesLater,
}

/// A command line's longest body. V.250 5.2.1 asks for 40 at least.
const BODY_MAX: usize = 255; // bytes
/// How long after a command's CR characters do not abort it (V.250 5.6.1).
const ABORT_DEAF: Duration = Duration::from_millis(125);
/// Echo and answers that a DTE may leave unread before its commands are left unread too.
const ANSWERS_QUEUED_MAX: usize = 4_096; // bytes

#[cfg(test)]
mod tests;
