//! The shell's machines against a host in virtual time: noise, silence, hang-up, split input.

use std::time::Duration;

use proptest::prelude::*;

use super::fake_host::{FakeHost, feed, pieces};
use super::*;
use crate::machine::{Machine, Output};
use crate::sim::converse::{Conversation, Peer, PeerStep, converse, epoch};
use crate::sim::wire::LineQuality;

const NONCE: u32 = 7;
const LIMIT: Duration = Duration::from_secs(3_600);
const DEADLINE: Duration = Duration::from_secs(60);

fn line(bps: u32, latency_ms: u64, bit_error_rate: f64) -> LineQuality {
    LineQuality { bps: Some(bps), latency: Duration::from_millis(latency_ms), bit_error_rate }
}

fn talk<M: Machine>(
    machine: &mut M,
    host: &mut FakeHost,
    quality: LineQuality,
    seed: u64,
) -> Conversation<M::Event, M::Outcome> {
    converse(machine, host, quality, seed, LIMIT)
}

fn open(host: &mut FakeHost, quality: LineQuality, seed: u64) -> Result<Shell, ShellError> {
    let mut machine = Open::new(NONCE, OpenOptions::default());
    talk(&mut machine, host, quality, seed).outcome.expect("an end within an hour")
}

fn opened(host: &mut FakeHost) -> Shell {
    open(host, LineQuality::PERFECT, 1).expect("a shell")
}

#[test]
fn a_shell_opens_at_once_on_a_clean_line() {
    let mut host = FakeHost::new(NONCE);
    let mut machine = Open::new(NONCE, OpenOptions::default());
    let talk = talk(&mut machine, &mut host, line(2_400, 300, 0.0), 1);
    let shell = talk.outcome.expect("an end").expect("a shell");
    assert_eq!(shell.facts().mail.as_deref(), Some(&b"/var/mail/mary"[..]));
    assert!(talk.sent.len() < 1_500, "{} bytes up", talk.sent.len());
    assert!(talk.elapsed < Duration::from_secs(12), "{:?}", talk.elapsed);
    assert_eq!(host.ran.len(), 1, "nothing but the probe: {:?}", host.ran);
}

#[test]
fn noise_never_makes_the_host_run_anything_else_nor_anything_twice() {
    let mut retries = 0;
    for seed in 0..60 {
        let quality = line(9_600, 50, 1e-4);
        let mut host = FakeHost::new(NONCE);
        let mut shell = match open(&mut host, quality, seed) {
            Ok(shell) => shell,
            Err(error) => panic!("seed {seed}: {error}; ran {:?}", host.ran),
        };
        host.prints = (0..=255).cycle().take(3_000).collect();
        host.status = 3;
        for number in 0..3 {
            let command = format!("the command number {number}");
            let mut run = shell.run(&command, DEADLINE);
            let talk = talk(&mut run, &mut host, quality, 100 * seed + number);
            retries += talk.events.len();
            let reply = talk.outcome.expect("an end").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!((reply.status, &reply.bytes), (3, &host.prints), "seed {seed}");
            assert_eq!(host.times_run(&command), 1, "seed {seed}");
        }
        let ours = |ran: &&String| ran.starts_with("for t in ") || ran.starts_with("the command number ");
        let others: Vec<&String> = host.ran.iter().filter(|ran| !ours(ran)).collect();
        assert!(others.is_empty(), "seed {seed}: {others:?}");
    }
    assert!(retries > 20, "the noise was too little to show anything: {retries}");
}

#[test]
fn only_the_blocks_that_were_hit_are_sent_again() {
    let mut host = FakeHost::new(NONCE);
    let mut shell = opened(&mut host);
    host.prints = vec![b'x'; 20_000];
    let mut down = 0;
    for seed in 0..5 {
        let mut run = shell.run("print", DEADLINE);
        let before = host.ran.len();
        let talk = talk(&mut run, &mut host, line(57_600, 20, 2e-5), seed);
        assert_eq!(talk.outcome.expect("an end").expect("a reply").bytes, host.prints);
        assert_eq!(host.ran.len(), before + 1);
        down = down.max(talk.elapsed.as_millis());
    }
    // 20,000 bytes are 28,700 on the line: 5 s; twice that would be a repetition of all.
    assert!(down < 9_000, "{down} ms");
}

#[test]
fn a_host_that_falls_silent_at_any_point_ends_within_the_deadline() {
    for mute_after in (0..1_200).step_by(37) {
        let mut host = FakeHost::new(NONCE);
        host.mute_after = Some(mute_after);
        let mut machine = Open::new(NONCE, OpenOptions::default());
        let opening = talk(&mut machine, &mut host, line(9_600, 100, 0.0), 1);
        assert!(
            opening.elapsed < Duration::from_secs(240),
            "muted after {mute_after}: {:?}",
            opening.elapsed
        );
        let Ok(mut shell) = opening.outcome.expect("an end") else { continue };
        host.prints = vec![b'x'; 1_000];
        let mut run = shell.run("print", DEADLINE);
        let running = talk(&mut run, &mut host, line(9_600, 100, 0.0), 1);
        assert!(running.elapsed < 2 * DEADLINE, "muted after {mute_after}: {:?}", running.elapsed);
        assert!(running.outcome.is_some());
    }
}

#[test]
fn a_host_without_a_shell_is_said_so_with_what_it_showed() {
    struct Menu(bool);
    impl Peer for Menu {
        fn handle_input(&mut self, _now: std::time::Instant, _bytes: &[u8]) {
            self.0 = true;
        }
        fn poll(&mut self, _now: std::time::Instant) -> PeerStep {
            let text = b"\r\nMain menu: (1) mail (2) bye\r\nYour choice? ".to_vec();
            if std::mem::take(&mut self.0) { PeerStep::Transmit(text) } else { PeerStep::Wait(None) }
        }
    }
    let mut machine = Open::new(NONCE, OpenOptions::default());
    let talk = converse(&mut machine, &mut Menu(true), line(9_600, 100, 0.0), 1, LIMIT);
    let Some(Err(ShellError::NotAShell { last })) = talk.outcome else { panic!("{:?}", talk.outcome) };
    assert!(last.ends_with("Your choice?"), "{last}");
}

/// What is no shell: it takes single keys, or lines, and remembers them.
struct Menu {
    takes_lines: bool,
    line: Vec<u8>,
    taken: Vec<Vec<u8>>,
    says: Vec<u8>,
}

impl Menu {
    const TEXT: &[u8] = b"\r\nMain menu: (m)ail (d)elete all (q)uit\r\nYour choice > ";

    fn new(takes_lines: bool) -> Self {
        Self { takes_lines, line: Vec::new(), taken: Vec::new(), says: Self::TEXT.to_vec() }
    }
}

impl Peer for Menu {
    fn handle_input(&mut self, _now: std::time::Instant, bytes: &[u8]) {
        for &byte in bytes {
            if !self.takes_lines {
                self.taken.push(vec![byte]);
                self.says.extend(Self::TEXT);
            } else if matches!(byte, b'\r' | b'\n') {
                self.taken.push(std::mem::take(&mut self.line));
                self.says.extend(b"\r\nNo such choice.");
                self.says.extend(Self::TEXT);
            } else if byte == 0x15 {
                self.line.clear();
            } else {
                self.line.push(byte);
                self.says.push(byte);
            }
        }
    }

    fn poll(&mut self, _now: std::time::Instant) -> PeerStep {
        let said = std::mem::take(&mut self.says);
        if said.is_empty() { PeerStep::Wait(None) } else { PeerStep::Transmit(said) }
    }
}

const CAREFUL: OpenOptions =
    OpenOptions { settle: Duration::from_millis(600), silence: Duration::from_secs(45), careful: true };

#[test]
fn of_a_menu_that_takes_single_keys_nothing_is_chosen() {
    let mut menu = Menu::new(false);
    let talk = converse(&mut Open::new(NONCE, CAREFUL), &mut menu, line(9_600, 100, 0.0), 1, LIMIT);
    let Some(Err(ShellError::NotAShell { last })) = talk.outcome else { panic!("{:?}", talk.outcome) };
    assert!(last.ends_with("Your choice >"), "{last}");
    assert!(menu.taken.iter().all(|key| key == b";"), "{:?}", menu.taken);
    assert!(talk.elapsed < Duration::from_secs(30), "{:?}", talk.elapsed);
}

#[test]
fn of_a_menu_that_takes_lines_nothing_is_chosen() {
    let mut menu = Menu::new(true);
    let talk = converse(&mut Open::new(NONCE, CAREFUL), &mut menu, line(9_600, 100, 0.0), 1, LIMIT);
    let Some(Err(ShellError::NotAShell { last })) = talk.outcome else { panic!("{:?}", talk.outcome) };
    assert!(last.ends_with("Your choice >"), "{last}");
    for line in &menu.taken {
        let first = line.trim_ascii_start().first();
        assert!(matches!(first, Some(b':' | b'#')), "{}", line.escape_ascii());
        assert!(!line.contains(&0x03), "an interrupt might be a choice");
    }
    assert!(talk.elapsed < Duration::from_secs(60), "{:?}", talk.elapsed);
}

#[test]
fn a_careful_start_costs_a_shell_one_key() {
    let mut host = FakeHost::new(NONCE);
    let talk = talk(&mut Open::new(NONCE, CAREFUL), &mut host, line(9_600, 100, 0.0), 1);
    assert!(talk.outcome.expect("an end").is_ok());
    assert!(talk.sent.starts_with(b";\x15 "), "{}", talk.sent[..20].escape_ascii());
    assert_eq!(host.ran.len(), 1, "{:?}", host.ran);
}

#[test]
fn a_restricted_shell_that_may_run_sh_is_good_enough() {
    let mut host = FakeHost::new(NONCE);
    host.restricted = true;
    let mut shell = opened(&mut host);
    host.prints = b"bytes".to_vec();
    let reply = talk(&mut shell.run("print", DEADLINE), &mut host, LineQuality::PERFECT, 1).outcome;
    assert_eq!(reply.expect("an end").expect("a reply").bytes, b"bytes");
}

#[test]
fn a_restricted_shell_without_sh_is_refused_in_its_own_words() {
    let mut host = FakeHost::new(NONCE);
    host.restricted = true;
    host.has_sh = false;
    let Err(error) = open(&mut host, line(9_600, 100, 0.0), 1) else { panic!("opened") };
    assert_eq!(error, ShellError::NoSh { said: "rbash: sh: command not found".into() });
    assert!(host.ran.is_empty(), "{:?}", host.ran);
}

#[test]
fn a_host_without_echo_opens_too() {
    let mut host = FakeHost::new(NONCE);
    host.echoes = false;
    assert!(open(&mut host, line(9_600, 100, 0.0), 1).is_ok());
}

#[test]
fn a_wall_anywhere_changes_no_reply() {
    for wall_after in (0..2_400).step_by(61) {
        let mut host = FakeHost::new(NONCE);
        host.wall_after = Some(wall_after);
        let mut shell = open(&mut host, line(9_600, 20, 0.0), 1).expect("a shell");
        host.prints = b"~vwx one\n".repeat(120);
        let reply = talk(&mut shell.run("print", DEADLINE), &mut host, line(9_600, 20, 0.0), 1).outcome;
        assert_eq!(reply.expect("an end").expect("a reply").bytes, host.prints, "wall after {wall_after}");
        assert_eq!(host.times_run("print"), 1);
    }
}

#[test]
fn what_follows_the_start_of_a_command_is_left_to_it() {
    let mut host = FakeHost::new(NONCE);
    let mut shell = opened(&mut host);
    host.status = 4;
    let started = talk(&mut shell.start("sz x", DEADLINE), &mut host, LineQuality::PERFECT, 1);
    assert_eq!(started.outcome, Some(Ok(())));
    let left = String::from_utf8_lossy(&started.left).into_owned();
    assert!(left.contains("the command's own bytes"), "{left}");
    // The frame with the status went by unread: it is asked for.
    let finished = talk(&mut shell.finish(DEADLINE), &mut host, LineQuality::PERFECT, 1);
    assert_eq!(finished.outcome, Some(Ok(4)));
}

#[test]
fn leaving_is_over_when_the_host_hangs_up_and_soon_if_it_does_not() {
    let mut host = FakeHost::new(NONCE);
    let mut shell = opened(&mut host);
    assert_eq!(talk(&mut shell.leave(), &mut host, LineQuality::PERFECT, 1).outcome, Some(Left::HungUp));
    let mut host = FakeHost::new(NONCE);
    let mut shell = opened(&mut host);
    host.mute_after = Some(0);
    struct Deaf;
    impl Peer for Deaf {
        fn handle_input(&mut self, _now: std::time::Instant, _bytes: &[u8]) {}
        fn poll(&mut self, _now: std::time::Instant) -> PeerStep {
            PeerStep::Wait(None)
        }
    }
    let talk = converse(&mut shell.leave(), &mut Deaf, LineQuality::PERFECT, 1, LIMIT);
    assert_eq!(talk.outcome, Some(Left::StillConnected));
    assert!(talk.elapsed < Duration::from_secs(10), "{:?}", talk.elapsed);
}

#[test]
fn leaving_is_over_at_once_when_a_getty_asks_for_the_next_name() {
    struct Getty(Option<&'static [u8]>);
    impl Peer for Getty {
        fn handle_input(&mut self, _now: std::time::Instant, _bytes: &[u8]) {}
        fn poll(&mut self, _now: std::time::Instant) -> PeerStep {
            self.0.take().map_or(PeerStep::Wait(None), |said| PeerStep::Transmit(said.to_vec()))
        }
    }
    let soon = Duration::from_secs(1);
    for (said, at_once) in [
        (&b"\r\n\r\nDebian GNU/Linux 12 box ttyS0\r\n\r\nbox login: "[..], true),
        (b"\r\nLogin:", true),
        (b"\r\nLast login: ", false),
        (b"\r\nbox login: mary\r\n", false),
    ] {
        let mut shell = opened(&mut FakeHost::new(NONCE));
        let talk = converse(&mut shell.leave(), &mut Getty(Some(said)), LineQuality::PERFECT, 1, LIMIT);
        assert_eq!(talk.outcome, Some(Left::StillConnected));
        assert_eq!(talk.elapsed < soon, at_once, "{}: {:?}", said.escape_ascii(), talk.elapsed);
    }
}

#[test]
fn a_reply_beyond_its_limit_and_a_command_beyond_a_line_are_refused() {
    let mut host = FakeHost::new(NONCE);
    let mut shell = opened(&mut host);
    host.prints = vec![b'x'; 5_000];
    let mut run = shell.run_limited("print", DEADLINE, 1_000);
    let outcome = talk(&mut run, &mut host, LineQuality::PERFECT, 1).outcome;
    assert_eq!(outcome, Some(Err(ShellError::ReplyTooLarge { limit: 1_000 })));
    let mut run = shell.run(&"x".repeat(COMMAND_BYTES_MAX + 1), DEADLINE);
    let outcome = talk(&mut run, &mut host, LineQuality::PERFECT, 1).outcome;
    assert_eq!(outcome, Some(Err(ShellError::CommandTooLong { bytes: COMMAND_BYTES_MAX + 1 })));
}

#[test]
fn a_lost_carrier_ends_everything() {
    let mut open = Open::new(NONCE, OpenOptions::default());
    assert!(matches!(open.poll_output(epoch()), Output::Wait(Some(_))));
    open.handle_hangup(epoch());
    let Output::Done(outcome) = open.poll_output(epoch()) else { panic!("goes on") };
    assert!(matches!(outcome, Err(ShellError::CarrierLost { .. })));
}

#[test]
fn input_split_at_every_byte_makes_no_difference() {
    struct Slow(FakeHost);
    impl Peer for Slow {
        fn handle_input(&mut self, now: std::time::Instant, bytes: &[u8]) {
            self.0.handle_input(now, bytes);
        }
        fn poll(&mut self, now: std::time::Instant) -> PeerStep {
            self.0.poll(now)
        }
    }
    // A line with a rate delivers byte by byte; one without, all at once.
    for quality in [line(300, 0, 0.0), LineQuality::PERFECT] {
        let mut host = Slow(FakeHost::new(NONCE));
        let mut machine = Open::new(NONCE, OpenOptions::default());
        let talk = converse(&mut machine, &mut host, quality, 1, LIMIT);
        assert!(talk.outcome.expect("an end").is_ok());
        assert_eq!(host.0.ran.len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_from_the_line_cause_a_panic_or_an_endless_loop(pieces in pieces()) {
        let channel = Channel { nonce: Nonce::new(NONCE), sum: Checksum::Cksum, round_trip: Duration::ZERO, hex: false };
        let mut shell = Shell { channel, seq: 0, facts: HostFacts::default() };
        feed(Open::new(NONCE, OpenOptions::default()), &pieces);
        feed(shell.run("print", DEADLINE), &pieces);
        feed(shell.start("print", DEADLINE), &pieces);
        feed(shell.finish(DEADLINE), &pieces);
        feed(shell.leave(), &pieces);
    }
}
