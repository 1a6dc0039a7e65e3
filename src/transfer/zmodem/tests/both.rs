//! Owners for both sides, and the sending machine against the receiving one over a bad line in
//! virtual time.

use std::time::{Duration, Instant};

use super::super::frame::FileInfo;
use super::super::{
    FileEnd, FilesEvent, ReceiveFiles, ReceiveOptions, Received, Send, SendError, SendEvent, SendOptions,
    Sent, ZmodemError,
};
use super::receive::file;
use crate::machine::{Inner, Machine, Output};
use crate::sim::converse::{Conversation, Peer, PeerStep, converse};
use crate::sim::wire::LineQuality;

/// A sender with an owner that has the files in memory.
pub struct Sending {
    pub send: Send,
    pub contents: Vec<Vec<u8>>,
}

/// What an owner is told of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Offered(usize),
    Received(usize, u64),
    Finished(usize, FileEnd),
}

/// As `Send` is told of files: named by their place.
pub fn infos(contents: &[Vec<u8>]) -> Vec<FileInfo> {
    let info = |(place, content): (usize, &Vec<u8>)| FileInfo {
        name: String::new(),
        name_bytes: format!("file{place}").into_bytes(),
        size: Some(content.len() as u64),
        mtime: Some(1_000_000_000 + place as u64),
        mode: Some(0o100_640),
    };
    contents.iter().enumerate().map(info).collect()
}

impl Sending {
    pub fn new(contents: Vec<Vec<u8>>, options: SendOptions) -> Self {
        Self { send: Send::new(infos(&contents), options), contents }
    }
}

impl Machine for Sending {
    type Event = Told;
    type Outcome = Result<Sent, SendError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.send.handle_input(now, bytes)
    }
    fn handle_hangup(&mut self, now: Instant) {
        self.send.handle_hangup(now);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.send.handle_timeout(now);
    }
    fn poll_output(&mut self, now: Instant) -> Output<Told, Self::Outcome> {
        loop {
            let event = match self.send.poll_output(now).passed_on() {
                Ok(output) => return output,
                Err(Inner::Done(outcome)) => return Output::Done(outcome),
                Err(Inner::Event(event)) => event,
            };
            match event {
                SendEvent::Wants(want) => {
                    let content = &self.contents[want.file];
                    let from = content.len().min(want.offset as usize);
                    let to = content.len().min(from + want.length);
                    want.answer.give(content[from..to].to_vec());
                }
                SendEvent::WantsCrc(want) => {
                    want.answer.give(crc32fast::hash(&self.contents[want.file][..want.length as usize]));
                }
                SendEvent::Offered { file } => return Output::Event(Told::Offered(file)),
                SendEvent::Received { file, offset } => return Output::Event(Told::Received(file, offset)),
                SendEvent::Finished { file, how } => return Output::Event(Told::Finished(file, how)),
            }
        }
    }
}

/// A receiver with an owner that keeps files in memory, as the other end of a line.
pub struct Receiving {
    pub receive: ReceiveFiles,
    pub files: Vec<Kept>,
    /// What is here already of files of these names.
    pub parts: Vec<(String, Vec<u8>)>,
    /// Files of this name are skipped.
    pub unwanted: Option<String>,
    pub outcome: Option<Result<Received, ZmodemError>>,
    pub miss: Option<u64>,
    pub lose: Option<u64>,
    pub heard: u64,
    pub said: u64,
    held: Vec<u8>,
    deadline: Option<Instant>,
}

/// A file as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub info: FileInfo,
    pub content: Vec<u8>,
    pub begun_at: u64,
    pub finished: bool,
}

impl Receiving {
    pub fn new(options: ReceiveOptions) -> Self {
        Self {
            receive: ReceiveFiles::new(options),
            files: Vec::new(),
            parts: Vec::new(),
            unwanted: None,
            outcome: None,
            miss: None,
            lose: None,
            heard: 0,
            said: 0,
            held: Vec::new(),
            deadline: None,
        }
    }

    pub fn handle(&mut self, event: FilesEvent) {
        match event {
            FilesEvent::Offered(offer) => {
                if self.unwanted.as_deref() == Some(offer.info.name.as_str()) {
                    return offer.skip();
                }
                let part = self.parts.iter().find(|(name, _)| *name == offer.info.name);
                let content = part.map(|(_, part)| part.clone()).unwrap_or_default();
                self.files.push(Kept {
                    info: offer.info.clone(),
                    content: content.clone(),
                    begun_at: 0,
                    finished: false,
                });
                offer.resume(content.len() as u64, crc32fast::hash(&content));
            }
            FilesEvent::Begins { offset } => {
                let kept = self.files.last_mut().expect("it was offered");
                kept.content.truncate(offset as usize);
                kept.begun_at = offset;
            }
            FilesEvent::Data { offset, bytes } => {
                let kept = self.files.last_mut().expect("it was offered");
                assert_eq!(offset, kept.content.len() as u64, "in order, no gap, no overlap");
                kept.content.extend(bytes);
            }
            FilesEvent::Finished => self.files.last_mut().expect("it was offered").finished = true,
        }
    }

    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.files.iter().filter(|kept| kept.finished).map(|kept| kept.content.clone()).collect()
    }
}

impl Peer for Receiving {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        for &byte in bytes {
            self.heard += 1;
            if self.miss != Some(self.heard) {
                self.held.push(byte);
            }
        }
        self.offer(now);
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        if self.outcome.is_some() {
            return PeerStep::Wait(None);
        }
        if self.deadline.take_if(|at| *at <= now).is_some() {
            self.receive.handle_timeout(now);
        }
        self.offer(now);
        loop {
            match self.receive.poll_output(now) {
                Output::Transmit(transmit) => {
                    let mut bytes = transmit.bytes.clone();
                    bytes.retain(|_| {
                        self.said += 1;
                        self.lose != Some(self.said)
                    });
                    return PeerStep::Transmit(bytes);
                }
                Output::Control(control) => panic!("{control:?}"),
                Output::Event(event) => self.handle(event),
                Output::Wait(until) => {
                    let before = self.held.len();
                    self.offer(now);
                    if self.held.len() == before {
                        self.deadline = until;
                        return PeerStep::Wait(until);
                    }
                }
                Output::Done(outcome) => {
                    self.outcome = Some(outcome);
                    return PeerStep::Wait(None);
                }
            }
        }
    }
}

impl Receiving {
    fn offer(&mut self, now: Instant) {
        if self.outcome.is_none() && !self.held.is_empty() {
            let taken = self.receive.handle_input(now, &self.held);
            self.held.drain(..taken);
        }
    }
}

pub fn line(bps: u32, latency_ms: u64, bit_error_rate: f64) -> LineQuality {
    LineQuality { bps: Some(bps), latency: Duration::from_millis(latency_ms), bit_error_rate }
}

fn send_options(window: u64, rtt_ms: u64) -> SendOptions {
    SendOptions { window, rtt: Duration::from_millis(rtt_ms), ..SendOptions::default() }
}

fn receive_options(rtt_ms: u64) -> ReceiveOptions {
    ReceiveOptions { rtt: Duration::from_millis(rtt_ms), ..ReceiveOptions::default() }
}

type Talk = Conversation<Told, Result<Sent, SendError>>;

fn run(sending: &mut Sending, receiving: &mut Receiving, quality: LineQuality, seed: u64) -> Talk {
    converse(sending, receiving, quality, seed, Duration::from_secs(86_400))
}

#[test]
fn a_batch_arrives_whole_with_names_times_and_modes() {
    let contents: Vec<_> = [0, 1, 1_024, 5_000, 0, 127, 20_000, 3, 1_025, 8_191].map(file).into();
    for (window, escape, crc16_only) in [(4_096, false, false), (2_048, true, false), (16_384, false, true)] {
        let options = SendOptions { escape_controls: escape, ..send_options(window, 200) };
        let mut sending = Sending::new(contents.clone(), options);
        let mut receiving =
            Receiving::new(ReceiveOptions { crc16_only, escape_controls: escape, ..receive_options(200) });
        let talk = run(&mut sending, &mut receiving, line(33_600, 50, 0.0), 1);
        let sent = talk.outcome.expect("an end").expect("success");
        assert_eq!(
            (sent.files, sent.skipped, sent.stats.went_back, sent.stats.timeouts),
            (10, 0, 0, 1),
            "ZRQINIT alone"
        );
        assert_eq!(receiving.contents(), contents);
        let last = &receiving.files[9].info;
        assert_eq!(
            (last.name.as_str(), last.mtime, last.mode),
            ("file9", Some(1_000_000_009), Some(0o100_640))
        );
        let finished = talk.events.iter().filter(|told| matches!(told, Told::Finished(_, FileEnd::Sent)));
        assert_eq!(finished.count(), 10);
    }
}

#[test]
fn the_line_is_kept_busy() {
    let contents = vec![file(100_000)];
    let mut sending =
        Sending::new(contents.clone(), SendOptions::for_line(Some(33_600), Duration::from_millis(400)));
    let mut receiving = Receiving::new(receive_options(400));
    let talk = run(&mut sending, &mut receiving, line(33_600, 100, 0.0), 1);
    assert_eq!(receiving.contents(), contents);
    // 29.8 s of payload, 3 % of it escaped, and 2.4 s until the receiver was asked to speak.
    assert!(talk.elapsed < Duration::from_secs(35), "{:?}", talk.elapsed);
}

#[test]
fn noise_and_loss_cost_time_and_nothing_else() {
    for seed in 0..200 {
        // Most are short, for the sake of this test's own time.
        let longest = if seed % 20 == 0 { 9_000 } else { 1_500 };
        let contents: Vec<_> = [1_000, 0, longest].map(file).into();
        let quality =
            [line(33_600, 50, 1e-4), line(2_400, 300, 1e-5), line(9_600, 20, 3e-4)][seed as usize % 3];
        let window = [4_096, 2_048, 16_384, 1_024][seed as usize % 4];
        let block_max = [1_024, 256][seed as usize / 2 % 2];
        let options = SendOptions { block_max, ..send_options(window, 800) };
        let mut sending = Sending::new(contents.clone(), options);
        let mut receiving = Receiving::new(receive_options(800));
        let talk = run(&mut sending, &mut receiving, quality, seed);
        let outcome = talk.outcome.unwrap_or_else(|| panic!("seed {seed} goes on for ever"));
        let sent = outcome.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert_eq!(receiving.contents(), contents, "seed {seed}");
        assert_eq!(sent.files, 3);
        assert!(talk.elapsed < Duration::from_secs(400), "seed {seed}: {:?} {sent:?}", talk.elapsed);
    }
}

#[test]
fn any_noise_at_all_comes_to_a_stated_end() {
    for seed in 0..20 {
        let contents = vec![file(5_000)];
        let mut sending = Sending::new(contents.clone(), send_options(4_096, 800));
        let mut receiving = Receiving::new(receive_options(800));
        let talk = run(&mut sending, &mut receiving, line(9_600, 300, 1e-2), seed);
        let outcome = talk.outcome.unwrap_or_else(|| panic!("seed {seed} goes on for ever"));
        assert!(outcome.is_err() || receiving.contents() == contents, "seed {seed}");
        for kept in &receiving.files {
            assert_eq!(kept.content, contents[0][..kept.content.len()], "seed {seed}");
        }
        assert!(talk.elapsed < Duration::from_secs(3_600), "seed {seed}: {:?}", talk.elapsed);
    }
}

#[test]
fn any_single_byte_of_the_dialogue_may_be_lost() {
    let contents: Vec<_> = [300, 0, 100].map(file).into();
    let both = || {
        let options = SendOptions { block_max: 128, ..send_options(256, 200) };
        (Sending::new(contents.clone(), options), Receiving::new(receive_options(200)))
    };
    let (mut sending, mut clean) = both();
    run(&mut sending, &mut clean, line(33_600, 50, 0.0), 1);
    let theirs = (1..=clean.said).map(|at| (Some(at), None));
    let ours = (1..=clean.heard).map(|at| (None, Some(at)));
    for (lose, miss) in theirs.chain(ours) {
        let (mut sending, mut receiving) = both();
        (receiving.lose, receiving.miss) = (lose, miss);
        let talk = run(&mut sending, &mut receiving, line(33_600, 50, 0.0), 1);
        let outcome = talk.outcome.expect("it ends");
        assert!(outcome.is_ok(), "{lose:?} {miss:?}: {outcome:?}");
        assert_eq!(receiving.contents(), contents, "{lose:?} {miss:?}");
        assert!(talk.elapsed < Duration::from_secs(25), "{lose:?} {miss:?}: {:?}", talk.elapsed);
    }
}

#[test]
fn what_is_here_is_built_upon_only_if_the_sender_proves_it() {
    let contents: Vec<_> = [20_000, 20_000, 300, 300].map(file).into();
    let mut wrong = contents[1][..15_000].to_vec();
    wrong[7] ^= 1;
    let mut sending = Sending::new(contents.clone(), send_options(4_096, 200));
    let mut receiving = Receiving::new(receive_options(200));
    receiving.parts = vec![
        ("file0".into(), contents[0][..15_000].to_vec()),
        ("file1".into(), wrong),
        ("file2".into(), contents[2].clone()),
    ];
    let talk = run(&mut sending, &mut receiving, line(33_600, 50, 0.0), 1);
    assert!(talk.outcome.expect("an end").is_ok());
    assert_eq!(receiving.contents(), contents);
    let begun: Vec<u64> = receiving.files.iter().map(|kept| kept.begun_at).collect();
    assert_eq!(begun, [15_000, 0, 300, 0]);
}

#[test]
fn a_file_that_nobody_wants_is_skipped_and_the_others_come() {
    let contents: Vec<_> = [3_000, 20_000, 300].map(file).into();
    let mut sending = Sending::new(contents.clone(), send_options(4_096, 200));
    let mut receiving = Receiving::new(receive_options(200));
    receiving.unwanted = Some("file1".into());
    let talk = run(&mut sending, &mut receiving, line(33_600, 50, 0.0), 1);
    let sent = talk.outcome.expect("an end").expect("success");
    assert_eq!((sent.files, sent.skipped), (2, 1));
    assert_eq!(receiving.contents(), [contents[0].clone(), contents[2].clone()]);
    assert!(talk.events.contains(&Told::Finished(1, FileEnd::Skipped)));
}

#[test]
fn a_file_that_shrinks_is_not_taken_for_whole() {
    let contents = vec![file(9_000)];
    let mut sending = Sending::new(contents.clone(), send_options(4_096, 200));
    sending.contents[0].truncate(5_000);
    let mut receiving = Receiving::new(receive_options(200));
    let talk = run(&mut sending, &mut receiving, line(33_600, 50, 0.0), 1);
    let Some(Err(SendError::Unreadable { file: 0, at })) = talk.outcome else { panic!("{:?}", talk.outcome) };
    assert!(at <= 5_000);
    assert!(receiving.contents().is_empty(), "no end of file was said");
    assert!(!matches!(receiving.outcome, Some(Ok(_))), "{:?}", receiving.outcome);
}

#[test]
fn a_file_that_grows_is_sent_as_far_as_announced() {
    let contents = vec![file(9_000)];
    let mut sending = Sending::new(contents.clone(), send_options(4_096, 200));
    sending.contents[0].extend(file(500));
    let mut receiving = Receiving::new(receive_options(200));
    let talk = run(&mut sending, &mut receiving, line(33_600, 50, 0.0), 1);
    assert!(talk.outcome.expect("an end").is_ok());
    assert_eq!(receiving.contents(), contents);
}

#[test]
fn the_prompt_behind_a_cancelled_sender_is_left() {
    let now = crate::sim::converse::epoch();
    let mut receive = ReceiveFiles::new(receive_options(200));
    receive.cancel();
    while !matches!(receive.poll_output(now), Output::Wait(_)) {}
    let said = b"more of the file\x18\x18\x18\x18\x18\x18\x18\x18\x08\x08\x08\x08$ ";
    assert_eq!(receive.handle_input(now, said), said.len() - 2);
    let Output::Done(Err(ZmodemError::Cancelled { .. })) = receive.poll_output(now) else { panic!() };
}
