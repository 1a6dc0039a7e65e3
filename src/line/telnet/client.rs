//! The client's side of TELNET: what is said to a host, and when. No I/O, and told the time.

use std::time::{Duration, Instant};

use zeroize::Zeroize;

use super::TelnetSettings;
use super::answers;
use crate::line::nvt::option::{
    BINARY, ECHO, ENVIRON, NAWS, NEW_ENVIRON, SGA, TERMINAL_SPEED, TERMINAL_TYPE, TIMING_MARK,
};
use crate::line::nvt::{Command, Decoder, Item, Mode, Options, Reply, Side, Verb, encode_data};

/// One conversation.
#[derive(Debug)]
pub(super) struct Client {
    settings: TelnetSettings,
    decoder: Decoder,
    options: Options,
    /// The host has negotiated: IAC means something to it.
    speaks: bool,
    /// We have asked for what we want.
    asked: Option<Instant>,
    /// When the host said something first after that.
    heard_since_asked: Option<Instant>,
    last_heard: Instant,
    /// Bytes of data sent since then.
    unanswered: usize,
    mark: Mark,
    /// Parameters told so far, so that nobody can have them for ever.
    told: u32,
    out: Vec<u8>,
    /// The host counts as dead, after so long a silence.
    dead: Option<Duration>,
}

/// A timing mark (RFC 860): a question that a host answers even where it does not know the option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The host has never answered one: from it silence means nothing.
    Unproven,
    /// It answers them, and none is under way.
    Proven,
    /// One is under way since then; `None` while it is still here.
    Asked(Option<Instant>),
}

impl Client {
    pub(super) fn new(settings: TelnetSettings, now: Instant) -> Self {
        let mut options = Options::default();
        let both = [Side::Us, Side::Him];
        for side in both {
            options.allow(side, SGA);
        }
        for side in both.into_iter().filter(|_| settings.binary) {
            options.allow(side, BINARY);
        }
        options.allow(Side::Him, ECHO);
        for ours in [TERMINAL_TYPE, TERMINAL_SPEED, NAWS] {
            options.allow(Side::Us, ours);
        }
        if answers::user(&settings).is_some() {
            options.allow(Side::Us, NEW_ENVIRON);
            options.allow(Side::Us, ENVIRON);
        }
        let mut client = Self {
            decoder: Decoder::default(),
            options,
            speaks: false,
            asked: None,
            heard_since_asked: None,
            last_heard: now,
            unanswered: 0,
            mark: Mark::Unproven,
            told: 0,
            out: Vec::new(),
            dead: None,
            settings,
        };
        if client.settings.begins {
            client.ask(now);
        }
        client
    }

    /// Takes all that arrived; the data in it is appended to `data`.
    pub(super) fn handle_input(&mut self, now: Instant, mut bytes: &[u8], data: &mut Vec<u8>) {
        self.last_heard = now;
        self.unanswered = 0;
        if self.asked.is_some() {
            self.heard_since_asked.get_or_insert(now);
        }
        while !bytes.is_empty() {
            let (taken, item) = self.decoder.decode(bytes, data);
            bytes = &bytes[taken..];
            match item {
                Some(Item::Negotiate(verb, option)) => {
                    self.speaks = true;
                    self.handle_negotiation(verb, option);
                    self.ask(now);
                }
                Some(Item::Subnegotiation { option, parameters }) => {
                    self.handle_question(option, &parameters)
                }
                // An answer to AYT would be typed into whatever runs there, and go-aheads, marks and the
                // rest ask for nothing.
                Some(Item::Command(_)) | None => {}
            }
        }
    }

    fn handle_negotiation(&mut self, verb: Verb, option: u8) {
        match (verb, option) {
            // A mark is no state: each is answered, unless too much waits to be sent. Either answer is a
            // mark; from WILL, servers of BSD's kind conclude that we edit lines ("kludge linemode").
            (Verb::Do, TIMING_MARK) if self.out.len() < ANSWERS_WAITING_MAX => {
                Item::Negotiate(Verb::Wont, TIMING_MARK).encode(&mut self.out);
            }
            (Verb::Will | Verb::Wont, TIMING_MARK) => self.mark = Mark::Proven,
            (Verb::Do | Verb::Dont, TIMING_MARK) => {}
            _ => {
                let reply = self.options.hear(verb, option);
                self.follow(reply);
            }
        }
    }

    /// Says what is to be said, then does what came about.
    fn follow(&mut self, reply: Reply) {
        if let Some((verb, option)) = reply.send {
            Item::Negotiate(verb, option).encode(&mut self.out);
        }
        let Some(change) = reply.change else { return };
        match (change.side, change.option, change.on) {
            (Side::Him, BINARY, on) => self.decoder.set_mode(if on { Mode::Binary } else { Mode::Nvt }),
            (Side::Us, NAWS, true) => self.tell_window(),
            // Never both: inetutils asks for the one only, and waits for ever to be told the other.
            (Side::Us, NEW_ENVIRON, true) => {
                self.options.refuse(Side::Us, ENVIRON);
                let reply = self.options.ask(Side::Us, ENVIRON, false);
                self.follow(reply);
            }
            _ => {} // the table knows; nothing is to be done at once
        }
    }

    /// What we need, asked once. Marks come last: whatever was asked before is answered before (RFC 860).
    fn ask(&mut self, now: Instant) {
        if self.asked.is_some() {
            return;
        }
        self.asked = Some(now);
        let wanted =
            [(Side::Us, BINARY), (Side::Him, BINARY), (Side::Him, SGA), (Side::Us, SGA), (Side::Him, ECHO)];
        for (side, option) in wanted {
            if option != BINARY || self.settings.binary {
                let reply = self.options.ask(side, option, true);
                self.follow(reply);
            }
        }
        Item::Negotiate(Verb::Do, TIMING_MARK).encode(&mut self.out);
    }

    /// Asks for BINARY in the directions that lack it; false where that is of no use. A server may have
    /// ended it: inetutils does as it starts login, because the terminal is not raw at that time.
    pub(super) fn ask_binary(&mut self, now: Instant) -> bool {
        if !self.speaks || !self.settings.binary {
            return false;
        }
        let asked = [Side::Us, Side::Him].map(|side| {
            let reply = self.options.ask(side, BINARY, true);
            self.follow(reply);
            reply.send.is_some()
        });
        if asked[0] {
            (self.asked, self.heard_since_asked) = (Some(now), None);
        }
        asked.contains(&true)
    }

    fn handle_question(&mut self, option: u8, parameters: &[u8]) {
        if self.told >= TOLD_MAX || !self.options.is_on(Side::Us, option) {
            return;
        }
        if let Some(parameters) = answers::answer(&self.settings, option, parameters) {
            self.told += 1;
            Item::Subnegotiation { option, parameters }.encode(&mut self.out);
        }
    }

    fn tell_window(&mut self) {
        let [cols, rows] = [self.settings.cols, self.settings.rows].map(u16::to_be_bytes);
        let parameters = [cols, rows].concat();
        Item::Subnegotiation { option: NAWS, parameters }.encode(&mut self.out);
    }

    pub(super) fn set_window(&mut self, rows: u16, cols: u16) -> bool {
        (self.settings.rows, self.settings.cols) = (rows, cols);
        let can = self.options.is_on(Side::Us, NAWS);
        if can {
            self.tell_window();
        }
        can
    }

    pub(super) fn send_command(&mut self, command: Command) {
        Item::Command(command).encode(&mut self.out);
    }

    /// How long data has to wait, if it has to. Between our WILL BINARY and its answer nobody knows how it
    /// will be read (RFC 854, page 3), but some hosts never answer.
    pub(super) fn data_waits_until(&self, now: Instant) -> Option<Instant> {
        let asked = self.asked.filter(|_| self.options.is_asked(Side::Us, BINARY))?;
        let latest = asked + ANSWER_WAIT_MAX;
        let until = self.heard_since_asked.map_or(latest, |heard| latest.min(heard + ANSWER_WAIT));
        (now < until).then_some(until)
    }

    /// Encodes from the front and returns how many bytes that took.
    pub(super) fn send_data(&mut self, bytes: &[u8]) -> usize {
        let piece = &bytes[..bytes.len().min(PIECE)];
        self.unanswered = self.unanswered.saturating_add(piece.len());
        if !self.speaks {
            self.out.extend_from_slice(piece);
        } else {
            let binary = self.options.is_on(Side::Us, BINARY);
            encode_data(if binary { Mode::Binary } else { Mode::Nvt }, piece, &mut self.out);
        }
        piece.len()
    }

    /// What is to go to the host.
    pub(super) fn to_send(&self) -> &[u8] {
        &self.out
    }

    pub(super) fn handle_sent(&mut self, now: Instant, count: usize) {
        self.out.drain(..count);
        self.out.spare_capacity_mut().zeroize(); // a password may have been among it
        if self.out.is_empty() && self.mark == Mark::Asked(None) {
            self.mark = Mark::Asked(Some(now));
        }
    }

    /// When [`Client::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.mark {
            Mark::Proven => Some(self.last_heard + self.settings.probe_after),
            // A server whose terminal is full, because nobody reads there, reads none of our marks either.
            Mark::Asked(Some(_)) if self.unanswered >= TERMINAL_HOLDS => None,
            Mark::Asked(Some(since)) => Some(self.last_heard.max(since) + self.settings.dead_after),
            Mark::Unproven | Mark::Asked(None) => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.mark {
            Mark::Proven if now >= self.last_heard + self.settings.probe_after => {
                Item::Negotiate(Verb::Do, TIMING_MARK).encode(&mut self.out);
                self.mark = Mark::Asked(None);
            }
            Mark::Asked(Some(_)) if self.unanswered >= TERMINAL_HOLDS => {}
            Mark::Asked(Some(since)) if now >= self.last_heard.max(since) + self.settings.dead_after => {
                self.dead = Some(now.saturating_duration_since(self.last_heard));
            }
            Mark::Unproven | Mark::Proven | Mark::Asked(_) => {}
        }
    }

    /// Why the host counts as dead, if it does.
    pub(super) fn why_dead(&self) -> Option<String> {
        let silent = self.dead?.as_secs();
        Some(format!("the host is dead: {silent} s of silence, and asked (TIMING-MARK) it does not answer"))
    }

    pub(super) fn speaks_telnet(&self) -> bool {
        self.speaks
    }

    /// Not of a host without TELNET either: what it sends is read as TELNET, for it may begin at any time.
    pub(super) fn eight_bit(&self) -> bool {
        [Side::Us, Side::Him].into_iter().all(|side| self.options.is_on(side, BINARY))
    }
}

/// How long data waits for the answer to WILL BINARY once the host has said something: it answers within
/// a round trip, or like BusyBox never.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// The same for a host that has said nothing yet.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// Data encoded at once.
pub(super) const PIECE: usize = 2048;
/// Bytes that every terminal holds for a program that does not read: 1,024 in BSD, 4,096 in Linux.
const TERMINAL_HOLDS: usize = 1024;
/// Questions for parameters that are answered in one conversation.
const TOLD_MAX: u32 = 64;
/// Bytes that wait to be sent, beyond which a host that asks for marks does not take what it gets.
const ANSWERS_WAITING_MAX: usize = 4096;
