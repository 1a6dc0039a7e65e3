//! A host for tests in virtual time: a prompt with an echo, then the loader and the agent as the sh
//! code in [`super::agent`] behaves, with what a test wants to go wrong.

use std::collections::VecDeque;
use std::time::Instant;

use proptest::prelude::*;

use super::agent;
use super::checksum::Checksum;
use super::frame::Nonce;
use crate::machine::{Machine, Output};
use crate::sim::converse::{Peer, PeerStep, epoch};

/// The host; what it was made to run is kept.
pub(crate) struct FakeHost {
    nonce: Nonce,
    mode: Mode,
    /// The line that is being typed or received.
    line: Vec<u8>,
    output: VecDeque<u8>,
    hangs_up: bool,
    taken: String,
    blocks: Vec<String>,
    /// Every command that was evaluated.
    pub(crate) ran: Vec<String>,
    /// What commands print (with their status), and what a text transfer reads.
    pub(crate) prints: Vec<u8>,
    pub(crate) status: i32,
    /// Whether the prompt echoes.
    pub(crate) echoes: bool,
    /// The login shell may not be replaced; running `sh` in it may be possible.
    pub(crate) restricted: bool,
    pub(crate) has_sh: bool,
    /// Falls silent for good after so many bytes.
    pub(crate) mute_after: Option<usize>,
    /// Prints a message of somebody else's after so many bytes.
    pub(crate) wall_after: Option<usize>,
    sent: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Prompt,
    /// `read a;eval "$a"`: the terminal echoes, nothing prompts.
    OneLine,
    Loader,
    Agent,
}

impl FakeHost {
    pub(crate) fn new(nonce: u32) -> Self {
        Self {
            nonce: Nonce::new(nonce),
            mode: Mode::Prompt,
            line: Vec::new(),
            output: b"Last login: yesterday\r\nYou have mail.\r\n$ ".to_vec().into(),
            hangs_up: false,
            taken: "0".into(),
            blocks: Vec::new(),
            ran: Vec::new(),
            prints: Vec::new(),
            status: 0,
            echoes: true,
            restricted: false,
            has_sh: true,
            mute_after: None,
            wall_after: None,
            sent: 0,
        }
    }

    /// How often a command was evaluated.
    pub(crate) fn times_run(&self, command: &str) -> usize {
        self.ran.iter().filter(|ran| *ran == command).count()
    }

    fn say(&mut self, text: &str) {
        self.output.extend(text.bytes());
    }

    fn type_at_prompt(&mut self, byte: u8) {
        match byte {
            0x15 => self.line.clear(),
            0x03 if self.mode == Mode::OneLine => self.hangs_up = true,
            0x03 => {
                self.line.clear();
                self.say("^C\r\n$ ");
            }
            b'\r' | b'\n' => {
                self.say("\r\n");
                if self.mode == Mode::Prompt
                    && self.line.iter().filter(|&&byte| byte == b'\'').count() % 2 == 1
                {
                    return self.say("> "); // the quote goes on
                }
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                let (first, second) = agent::loader_in_two(self.nonce);
                let one_line = self.mode == Mode::OneLine;
                let without_exec = agent::loader_without_exec(self.nonce);
                if self.restricted && line == agent::loader(self.nonce) {
                    self.say("rbash: exec: restricted\r\n$ ");
                } else if line == without_exec && !self.has_sh {
                    self.say("rbash: sh: command not found\r\nexit\r\n");
                    self.hangs_up = true;
                } else if line == without_exec
                    || line == if one_line { second } else { agent::loader(self.nonce) }
                {
                    self.mode = Mode::Loader;
                    self.say(&format!("~{}\n", self.nonce));
                } else if one_line {
                    self.ran.push(line);
                    self.hangs_up = true;
                } else if line == first {
                    self.mode = Mode::OneLine;
                } else if first.starts_with(&line) && line.ends_with(";exec sh ") {
                    self.say("$ "); // another prompt
                } else {
                    if !line.is_empty() {
                        self.ran.push(line);
                    }
                    self.say("$ ");
                }
            }
            // An editor does nothing with them, or nothing that shows.
            0x00..=0x1f | 0x7f => {}
            byte => {
                self.line.push(byte);
                if self.echoes {
                    self.output.push_back(byte);
                }
            }
        }
    }

    fn take_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line).into_owned();
        let (proof, body) = text.split_once(' ').unwrap_or((&text, ""));
        let nonce = self.nonce;
        if self.mode == Mode::Loader {
            if proof == Checksum::Cksum.of(format!("{body}\n").as_bytes()) {
                self.mode = Mode::Agent;
            } else {
                self.say(&format!("~{nonce}\n"));
            }
            return;
        }
        let mut words = body.splitn(3, ' ');
        let (seq, kind, rest) = (words.next(), words.next(), words.next().unwrap_or(""));
        let proven = proof == Checksum::Cksum.of(body.as_bytes());
        match (seq, kind) {
            (Some(seq), Some("g")) if proven && seq == self.taken => self.reply(rest),
            (Some(seq), Some(kind)) if proven && kind != "g" && seq == self.taken => self.reply(""),
            (Some(seq), Some(kind)) if proven && kind != "g" => {
                self.taken = seq.into();
                self.evaluate(kind, rest);
            }
            _ => self.say(&format!("~{nonce}-{}\n", self.taken)),
        }
    }

    fn evaluate(&mut self, kind: &str, command: &str) {
        self.ran.push(command.into());
        if command == "exit" {
            self.hangs_up = true;
            return;
        }
        if let Some(run) = command.strip_prefix("t ").and_then(|run| run.strip_suffix("';continue")) {
            return self.send_run(run);
        }
        if command.contains("echo ~") {
            let ack = format!("~{}+{}\n", self.nonce, self.taken);
            self.say(&ack.repeat(3));
            self.say("the command's own bytes OO");
        }
        let is_probe = command.starts_with("for t in ");
        let printed = match kind {
            "-" => Vec::new(),
            _ if is_probe => {
                b"000000100000010000110000\nb\nFake\nmary\n/home/mary\n/var/mail/mary\n".to_vec()
            }
            _ => self.prints.clone(),
        };
        let status = if is_probe || command.starts_with("f=") { 0 } else { self.status };
        let bytes = [&printed[..], format!(" {status}\n").as_bytes()].concat();
        let text = data_encoding::BASE64.encode(&bytes);
        let limit = kind.parse().unwrap_or(usize::MAX);
        self.blocks = text
            .as_bytes()
            .chunks(304)
            .take(limit)
            .map(|block| String::from_utf8_lossy(block).into())
            .collect();
        self.reply("");
    }

    fn reply(&mut self, list: &str) {
        let list: Vec<usize> = list.split(' ').filter_map(|index| index.parse().ok()).collect();
        let total = self.blocks.len();
        for index in 1..=total {
            if list.is_empty() || list.contains(&index) {
                let body = format!("{} {index}/{total} {}", self.taken, self.blocks[index - 1]);
                let sum = Checksum::Cksum.of(body.as_bytes());
                self.say(&format!("~{}{body} {sum} {}\n", self.nonce, body.len()));
            }
        }
    }

    fn send_run(&mut self, run: &str) {
        let (head, list) = run.split_once('\'').expect("a list");
        let words: Vec<&str> = head.split(' ').collect();
        let number = |place: usize| words[place].parse::<usize>().expect("a number");
        let (offset, length, lines) = (number(1), number(2), number(3));
        let list: Vec<usize> = list.split(' ').filter_map(|index| index.parse().ok()).collect();
        let end = (offset + length).min(self.prints.len());
        let text = data_encoding::BASE64.encode(&self.prints[offset.min(end)..end]);
        let frames: Vec<&[u8]> = text.as_bytes().chunks(76 * lines).collect();
        let mut bodies: Vec<String> = Vec::new();
        for (place, frame) in frames.iter().enumerate() {
            if list.is_empty() || list.contains(&(place + 1)) {
                bodies.push(format!("{} {} {}", words[0], place + 1, String::from_utf8_lossy(frame)));
            }
        }
        bodies.push(format!("{} . {}", words[0], frames.len()));
        for body in bodies {
            let sum = Checksum::Cksum.of(body.as_bytes());
            self.say(&format!("~{}:{body} {sum}\n", self.nonce));
        }
    }
}

impl Peer for FakeHost {
    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
        for &byte in bytes {
            match (self.mode, byte) {
                (Mode::Prompt | Mode::OneLine, byte) => self.type_at_prompt(byte),
                (Mode::Loader | Mode::Agent, b'\n') => {
                    let line = std::mem::take(&mut self.line);
                    self.take_line(&line);
                }
                (Mode::Loader | Mode::Agent, byte) => self.line.push(byte),
            }
        }
    }

    fn poll(&mut self, _now: Instant) -> PeerStep {
        if self.wall_after.is_some_and(|after| self.sent >= after) {
            self.wall_after = None;
            return PeerStep::Transmit(b"\r\n\x07Broadcast message: ~\r\n".to_vec());
        }
        let step: Vec<u8> = self.output.drain(..self.output.len().min(100)).collect();
        self.sent += step.len();
        if step.is_empty() {
            return if self.hangs_up { PeerStep::HangUp } else { PeerStep::Wait(None) };
        }
        if self.mute_after.is_some_and(|after| self.sent >= after) {
            self.output.clear();
            return PeerStep::Wait(None);
        }
        PeerStep::Transmit(step)
    }
}

/// Feeds a machine bytes and time until it ends or has had all; it must wait in between.
pub(crate) fn feed<M: Machine>(mut machine: M, pieces: &[Vec<u8>]) -> usize {
    let mut now = epoch();
    let mut outputs = 0;
    for piece in pieces {
        let mut rest = &piece[..];
        loop {
            let taken = machine.handle_input(now, rest);
            rest = &rest[taken..];
            let mut wake = None;
            for round in 0.. {
                assert!(round < 10_000, "never waits");
                outputs += 1;
                match machine.poll_output(now) {
                    Output::Wait(at) => {
                        wake = at;
                        break;
                    }
                    Output::Done(_) => return outputs,
                    Output::Transmit(_) | Output::Control(_) | Output::Event(_) => {}
                }
            }
            if rest.is_empty() || taken == 0 {
                if let Some(at) = wake {
                    now = now.max(at);
                    machine.handle_timeout(now);
                }
                break;
            }
        }
    }
    outputs
}

pub(crate) fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let mark = format!("~{}", Nonce::new(7)).into_bytes();
    let byte = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        Just(mark),
        Just(b"-1\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"1 1/1 IDAK 3214567890\n".to_vec()),
        Just(b":1.1 1 QUFB 1\n".to_vec())
    ];
    prop::collection::vec(prop::collection::vec(byte, 0..12).prop_map(|words| words.concat()), 0..60)
}
