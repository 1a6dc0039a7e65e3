//! A modem for the tests of this room: answers by script, and is as awkward as it is told to be.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::profile::Profile;
use crate::machine::Control;
use crate::sim::converse::{Peer, PeerStep};

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn generic() -> Profile {
    Profile::builtin("generic").expect("generic is built in")
}

/// A modem, and a host behind it that only talks.
pub(super) struct Scripted {
    /// Echoes commands, whatever E0 says.
    pub echo: bool,
    /// Answers in numbers, whatever V1 says.
    pub numeric: bool,
    /// Answers nothing at all.
    pub deaf: bool,
    /// Hears only what comes at this rate, in bit/s; `None` is every rate.
    pub hears_at: Option<u32>,
    /// A call is up.
    pub call: bool,
    /// A call is up and bytes go to the host.
    pub online: bool,
    /// Drops the call when DTR falls.
    pub obeys_dtr: bool,
    /// Sends itself this, again and again, while `online` (or always, while `deaf`).
    pub flood: Vec<u8>,
    /// What to answer to commands that begin so; everything else is OK.
    pub answers: Vec<(&'static str, &'static [u8])>,
    /// What dialling brings, after how long, and how long between its bytes.
    pub dialled: (Duration, Vec<u8>, Duration),
    /// Dialling ended in a connection.
    pub connects: bool,
    /// The commands it has read.
    pub commands: Vec<String>,
    // What it is doing; tests leave these alone, but struct update needs to see them.
    pub port_speed: u32,
    pub line: Vec<u8>,
    pub out: VecDeque<(Instant, Vec<u8>)>,
    pub dialling: bool,
    pub last_input: Option<Instant>,
    pub escape_at: Option<Instant>,
    pub next_flood: Option<Instant>,
}

impl Scripted {
    pub fn new() -> Self {
        Self {
            echo: false,
            numeric: false,
            deaf: false,
            hears_at: None,
            port_speed: 57_600,
            call: false,
            online: false,
            obeys_dtr: true,
            flood: Vec::new(),
            answers: Vec::new(),
            dialled: (ms(3_000), b"\r\nNO CARRIER\r\n".to_vec(), Duration::ZERO),
            connects: false,
            commands: Vec::new(),
            line: Vec::new(),
            out: VecDeque::new(),
            dialling: false,
            last_input: None,
            escape_at: None,
            next_flood: None,
        }
    }

    /// A modem whose call ends so.
    pub fn dialling(answer: &[u8]) -> Self {
        let connects = answer.windows(7).any(|word| word == b"CONNECT") || answer.starts_with(b"1\r");
        Self { dialled: (ms(3_000), answer.to_vec(), Duration::ZERO), connects, ..Self::new() }
    }

    /// A modem with a call up.
    pub fn in_call() -> Self {
        Self { call: true, online: true, ..Self::new() }
    }

    fn say(&mut self, at: Instant, words: &str, number: u8) {
        let answer = if self.numeric { format!("{number}\r") } else { format!("\r\n{words}\r\n") };
        self.out.push_back((at, answer.into_bytes()));
    }

    fn obey(&mut self, now: Instant, command: &str) {
        let soon = now + ms(20);
        let Some(command) = command.strip_prefix("AT") else { return };
        self.commands.push(command.to_owned());
        if let Some((_, answer)) = self.answers.iter().find(|(start, _)| command.starts_with(start)) {
            self.out.push_back((soon, answer.to_vec()));
        } else if command.starts_with("DT") {
            let (after, answer, apart) = self.dialled.clone();
            self.dialling = true;
            if apart.is_zero() {
                self.out.push_back((now + after, answer));
            } else {
                let at = |index: usize| now + after + apart * u32::try_from(index).expect("short");
                self.out.extend(answer.iter().enumerate().map(|(index, &byte)| (at(index), vec![byte])));
            }
        } else {
            self.call &= command != "H0";
            self.say(soon, "OK", 0);
        }
    }

    fn hear_command(&mut self, now: Instant, byte: u8) {
        if self.dialling {
            self.dialling = false;
            self.out.clear();
            self.say(now + ms(100), "NO CARRIER", 3);
            return;
        }
        if self.echo {
            self.out.push_back((now, vec![byte]));
        }
        if byte != b'\r' {
            self.line.push(byte);
            return;
        }
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).to_uppercase();
        self.obey(now, &line);
    }

    fn hear_online(&mut self, now: Instant, bytes: &[u8]) {
        let silent = self.last_input.is_none_or(|last| now - last >= ms(1_000));
        self.escape_at = (silent && bytes == b"+++").then(|| now + ms(1_000));
    }
}

impl Peer for Scripted {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.deaf || self.hears_at.is_some_and(|speed| speed != self.port_speed) {
            return;
        }
        if self.online {
            self.hear_online(now, bytes);
        } else {
            bytes.iter().for_each(|&byte| self.hear_command(now, byte));
        }
        self.last_input = Some(now);
    }

    fn handle_control(&mut self, now: Instant, control: Control) {
        if let Control::Speed(speed) = control {
            self.port_speed = speed;
        }
        if control == Control::Dtr(false) && self.obeys_dtr && self.call {
            self.call = false;
            self.online = false;
            self.say(now + ms(50), "NO CARRIER", 3);
        }
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        self.last_input.get_or_insert(now); // the guard time runs from the start
        if self.escape_at.is_some_and(|at| at <= now) {
            self.escape_at = None;
            self.online = false;
            self.say(now, "OK", 0);
        }
        if self.out.front().is_some_and(|&(at, _)| at <= now) {
            let (_, bytes) = self.out.pop_front().expect("it was just seen");
            if self.dialling && self.out.is_empty() {
                self.dialling = false;
                (self.call, self.online) = (self.connects, self.connects);
            }
            return PeerStep::Transmit(bytes);
        }
        let floods = !self.flood.is_empty() && (self.online || self.deaf);
        if floods && self.next_flood.is_none_or(|at| at <= now) {
            self.next_flood = Some(now + ms(10));
            return PeerStep::Transmit(self.flood.clone());
        }
        let flood_at = self.next_flood.filter(|_| floods);
        let due = [self.escape_at, self.out.front().map(|&(at, _)| at), flood_at];
        PeerStep::Wait(due.into_iter().flatten().min())
    }
}
