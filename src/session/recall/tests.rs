//! Whole calls to a host that is known, in virtual time: how many round trips it takes, and that nothing
//! that may have changed meanwhile, and no noise, does harm.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::config::Config;
use crate::line::Line;
use crate::secret::Secret;
use crate::session::by_shell::ByShell;
use crate::session::call::{CallReport, OnLine, to_the_shell_and_back};
use crate::session::fetch::Fetched;
use crate::session::link::Link;
use crate::session::transcript::Transcript;
use crate::session::work::{Fetch, Work};
use crate::shell::fake_host::{FACTS, FakeHost};
use crate::sim::converse::{Peer, PeerStep};
use crate::sim::getty::{Getty, GettyStep};
use crate::sim::wire::{LineQuality, Wire};
use crate::store::{Delivery, Store};

/// A getty with a shell behind it.
struct Host {
    getty: Getty,
    shell: FakeHost,
    is_in: bool,
}

impl Peer for Host {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_in { self.shell.handle_input(now, bytes) } else { self.getty.handle_input(now, bytes) }
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        if self.is_in {
            return self.shell.poll(now);
        }
        match self.getty.poll(now) {
            GettyStep::Transmit(bytes) => PeerStep::Transmit(bytes),
            GettyStep::HangUp => PeerStep::HangUp,
            GettyStep::Wait(at) => PeerStep::Wait(at),
            GettyStep::LoggedIn(_) => {
                self.is_in = true;
                self.shell.greet();
                self.shell.poll(now)
            }
        }
    }
}

/// A line with a host at its end, in tokio's own time.
struct VirtualLine(Arc<Mutex<Wires>>);

struct Wires {
    host: Host,
    up: Wire,
    down: Wire,
    bps: Option<u32>,
    hung_up: bool,
    /// The byte of ours that arrives damaged, counted from 0, and how many have gone.
    hit: Option<u64>,
    sent: u64,
}

impl Wires {
    /// Moves what has arrived by now; answers when something happens next.
    fn stir(&mut self, now: Instant) -> Option<Instant> {
        let arrived = self.up.poll(now);
        if !arrived.is_empty() {
            self.host.handle_input(now, &arrived);
        }
        let deadline = loop {
            match self.host.poll(now) {
                PeerStep::Transmit(bytes) => self.down.push(now, &bytes),
                PeerStep::Wait(at) => break at,
                PeerStep::HangUp => {
                    self.hung_up = true;
                    break None;
                }
            }
        };
        [self.up.next_arrival(), self.down.next_arrival(), deadline].into_iter().flatten().min()
    }
}

impl Line for VirtualLine {
    fn discard_output(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn speed(&self) -> Option<u32> {
        self.0.lock().unwrap().bps
    }

    fn name(&self) -> String {
        "virtual".into()
    }
}

impl AsyncRead for VirtualLine {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wires = self.0.lock().unwrap();
        let now = now();
        let next = wires.stir(now);
        let arrived = wires.down.poll(now);
        if !arrived.is_empty() {
            buf.put_slice(&arrived);
            return Poll::Ready(Ok(()));
        }
        if wires.hung_up && wires.down.next_arrival().is_none() {
            return Poll::Ready(Ok(()));
        }
        if let Some(at) = next.filter(|&at| at > now) {
            let waker = cx.waker().clone();
            tokio::spawn(async move {
                // Bytes are handed over a few at a time, as a port's driver does.
                tokio::time::sleep_until(at.max(now + HANDED_OVER_EVERY).into()).await;
                waker.wake();
            });
        }
        Poll::Pending
    }
}

impl AsyncWrite for VirtualLine {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut wires = self.0.lock().unwrap();
        let mut bytes = buf.to_vec();
        let sent = wires.sent;
        if let Some(place) =
            wires.hit.and_then(|hit| hit.checked_sub(sent)).filter(|&at| at < buf.len() as u64)
        {
            bytes[place as usize] ^= 0x04;
        }
        wires.sent += buf.len() as u64;
        wires.up.push(now(), &bytes);
        cx.waker().wake_by_ref(); // whoever reads sleeps until something else
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// How a call went.
struct Went {
    fetched: Result<Fetched, Failure>,
    /// From the password to the first byte of mail that is kept.
    to_mail: Option<Duration>,
    /// Bytes of ours on the line.
    sent: u64,
    ran: Vec<String>,
    notes: Vec<String>,
}

/// A user's state and mail, and the host that is called.
struct Home {
    dir: tempfile::TempDir,
    config: Config,
    quality: LineQuality,
    seed: u64,
    hit: Option<u64>,
    facts: Vec<u8>,
    prompt: &'static str,
    echoes: bool,
    packs: bool,
    deaf_returns: u32,
    mailbox: Vec<u8>,
}

impl Home {
    fn new(quality: LineQuality) -> Self {
        let text = "[line.usr]\nkind = \"exec\"\ncommand = [\"a host\"]\n[account.home]\nline = \"usr\"\n\
                    user = \"mary\"\ndeliver = { maildir = \"/nowhere\" }\n";
        Self {
            dir: tempfile::tempdir().unwrap(),
            config: Config::parse(text, Path::new("config.toml")).unwrap(),
            quality,
            seed: 1,
            hit: None,
            facts: FACTS.to_vec(),
            prompt: "mary@host:~$ ",
            echoes: true,
            packs: true,
            deaf_returns: 0,
            mailbox: mail(0..8),
        }
    }

    /// Another home with the same in it.
    fn copy(&self) -> Self {
        let copy =
            Self { facts: self.facts.clone(), mailbox: self.mailbox.clone(), ..Self::new(self.quality) };
        for folder in ["home", "mail", "mail/new", "mail/cur", "mail/tmp"] {
            let (from, to) = (self.dir.path().join(folder), copy.dir.path().join(folder));
            std::fs::create_dir(&to).unwrap();
            for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
                if file.file_type().unwrap().is_file() {
                    std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
                }
            }
        }
        copy
    }

    fn maildir(&self) -> PathBuf {
        self.dir.path().join("mail")
    }

    fn hosts(&self) -> Hosts {
        Hosts::new(self.dir.path(), "home").unwrap()
    }

    fn remembered(&self) -> Option<HostMemory> {
        match self.hosts().read().unwrap() {
            Remembered::Host(memory) => Some(*memory),
            Remembered::Nothing | Remembered::ByLaterVersion => None,
        }
    }

    /// Makes a call and fetches.
    fn fetch(&self) -> Went {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(self.fetch_in_time())
    }

    async fn fetch_in_time(&self) -> Went {
        let delivery = Delivery::Maildir(self.maildir());
        let mut store =
            Store::open(self.dir.path(), "home", "$MAIL", delivery, SystemTime::UNIX_EPOCH).unwrap();
        let work = Fetch { store: &mut store, keep: true };
        let (digests, _) = work.first().unwrap();
        let choice = TransferChoice::Auto;
        let first = First { location: Location::Default, digests, wanted: Some(choice) };
        let password = Some(Secret::new("open-sesame".into()));
        let plan = CallPlan {
            hosts: Some(self.hosts()),
            first: Some(first),
            ..CallPlan::new(&self.config, &self.config.accounts["home"], password, 7)
        };
        let wires = Arc::new(Mutex::new(self.wires()));
        let mut link = Link::new(Box::new(VirtualLine(wires.clone())), Transcript::silent());
        let mut notes = Vec::new();
        let mut mail_at = None;
        let mut watch = |progress: Progress| match progress {
            Progress::Bytes { done, .. } if done > 0 => drop(mail_at.get_or_insert_with(now)),
            Progress::Note(note) => notes.push(note),
            Progress::Stage(..) | Progress::Bytes { .. } => {}
        };
        let line = &self.config.lines["usr"];
        let mut recall = Recall::of(&plan, line, &mut watch);
        let location = Location::Default;
        let mut work = Some(async |session: &mut crate::session::call::Session<'_>| {
            work.run(&mut ByShell::new(session, &location, choice)).await
        });
        let mut on = OnLine {
            plan: &plan,
            line,
            link: &mut link,
            watch: &mut watch,
            report: &mut CallReport::default(),
            carrier_since: &mut None,
            begun: &mut false,
            recall: &mut recall,
        };
        let fetched = to_the_shell_and_back(&mut on, &mut work).await;
        let password_at = recall.password_at;
        recall.keep(&fetched, true, link.bytes_down + link.bytes_up, &mut watch);
        let to_mail = mail_at.zip(password_at).map(|(mail, password)| mail - password);
        let wires = wires.lock().unwrap();
        Went { fetched, to_mail, sent: wires.sent, ran: wires.host.shell.ran.clone(), notes }
    }

    fn wires(&self) -> Wires {
        let accounts = vec![("mary".to_owned(), Secret::new("open-sesame".into()))];
        let mut shell = FakeHost::silent(7);
        shell.prints = self.mailbox.clone();
        shell.facts = self.facts.clone();
        shell.prompt = self.prompt;
        shell.echoes = self.echoes;
        shell.packs = self.packs;
        shell.deaf_returns = self.deaf_returns;
        Wires {
            host: Host { getty: Getty::new("host", "", accounts), shell, is_in: false },
            up: Wire::new(self.quality, self.seed),
            down: Wire::new(self.quality, self.seed ^ 0x5eed),
            bps: self.quality.bps,
            hung_up: false,
            hit: self.hit,
            sent: 0,
        }
    }

    /// The messages that were delivered, each once.
    fn mail(&self) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.maildir().join("new")).unwrap();
        let mut mail: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        mail.sort();
        mail
    }

    /// That what is delivered is what these numbers stand for, each once.
    fn has_mail(&self, numbers: impl Iterator<Item = u32>) {
        let mut expected: Vec<Vec<u8>> = numbers.map(|number| body(number).into_bytes()).collect();
        expected.sort();
        assert!(self.mail() == expected, "{} messages of {}", self.mail().len(), expected.len());
    }
}

fn body(number: u32) -> String {
    // One is longer than a run.
    let lines = if number == 9 { 200 } else { 6 };
    format!("Subject: number {number}\n\n{}\n", "the same words over and over\n".repeat(lines))
}

fn mail(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let message =
        |number| format!("From a@example.org Sun Nov  1 10:00:{number:02} 2026\n{}\n", body(number));
    numbers.map(message).collect::<String>().into_bytes()
}

const HANDED_OVER_EVERY: Duration = Duration::from_millis(5);

/// A line whose round trip is all that takes time.
fn long_line() -> LineQuality {
    LineQuality { bps: Some(1_000_000), latency: Duration::from_secs(2), bit_error_rate: 0.0 }
}

/// A host with gzip and sz.
const FACTS_MORE: &[u8] = b"101000100000010000110000\nbz\nFake\nmary\n/home/mary\n/var/mail/mary\n";

/// Calls once, so that the host is known; then there is more mail.
fn called_once(quality: LineQuality) -> Home {
    let mut home = Home::new(quality);
    let first = home.fetch();
    assert_eq!(first.fetched.unwrap().messages, 8);
    home.mailbox.extend(mail(8..12));
    home
}

#[test]
fn a_known_host_brings_mail_within_three_round_trips_of_the_password() {
    for facts in [FACTS, FACTS_MORE] {
        let mut home = Home::new(long_line());
        home.facts = facts.to_vec();
        let first = home.fetch();
        assert_eq!(first.fetched.as_ref().unwrap().messages, 8);
        let of = |went: &Went| went.to_mail.unwrap().as_secs_f64() / 4.0;
        println!("{:.2} round trips, then", of(&first));
        assert!(of(&first) > 6.0, "unknown: {:.2} round trips", of(&first));
        home.mailbox.extend(mail(8..12));
        let second = home.fetch();
        assert_eq!(second.fetched.as_ref().unwrap().messages, 4, "{:?}", second.notes);
        println!("{:.2}", of(&second));
        // Half a second of it is quiet behind the prompt, and the line's own time.
        assert!(of(&second) < 3.0 + 0.15, "known: {:.2} round trips", of(&second));
        home.has_mail(0..12);
        assert!(!second.ran.iter().any(|ran| ran.starts_with("for t in ")), "asked anew: {:?}", second.ran);
    }
}

#[test]
fn nothing_new_is_known_as_soon() {
    let home = Home::new(long_line());
    home.fetch().fetched.unwrap();
    let second = home.fetch();
    assert_eq!(second.fetched.unwrap().messages, 0);
    // All in one go, and good-bye.
    assert_eq!(second.ran.len(), 4, "{:?}", second.ran);
    home.has_mail(0..8);
}

#[test]
fn a_host_that_changed_is_noticed_and_the_memory_made_right() {
    let other_user = b"000000100000010000110000\nb\nFake\neve\n/home/eve\n/var/mail/eve\n";
    let tool_gone = b"000000100000010000010000\nb\nFake\nmary\n/home/mary\n/var/mail/mary\n";
    let cuts_no_more = b"000000100000010000110000\n\nFake\nmary\n/home/mary\n/var/mail/mary\n";
    for (what, facts, is_noticed) in [
        ("another user", &other_user[..], true),
        ("head counts lines only", cuts_no_more, true),
        // Nothing that a call makes use of by itself.
        ("no tail", tool_gone, false),
    ] {
        let mut home = called_once(long_line());
        home.facts = facts.to_vec();
        let second = home.fetch();
        assert_eq!(second.fetched.unwrap().messages, 4, "{what}: {:?}", second.notes);
        home.has_mail(0..12);
        assert_eq!(second.ran.iter().any(|ran| ran.starts_with("for t in ")), is_noticed, "{what}");
        if is_noticed {
            let remembered = HostFacts::parse(&home.remembered().unwrap().facts);
            assert_eq!(remembered, HostFacts::parse(facts), "{what}");
        }
        home.mailbox.extend(mail(12..13));
        let third = home.fetch();
        assert!(third.to_mail.unwrap() < Duration::from_millis(12_600), "{what}: {:?}", third.to_mail);
        home.has_mail(0..13);
    }
}

#[test]
fn a_loader_that_was_not_seen_as_it_was_typed_is_loaded_again_before_it_is_trusted() {
    let mut home = called_once(long_line());
    home.echoes = false;
    let second = home.fetch();
    assert_eq!(second.fetched.unwrap().messages, 4, "{:?}", second.notes);
    assert!(second.to_mail.unwrap() < Duration::from_millis(12_600), "{:?}", second.to_mail);
    home.has_mail(0..12);
}

#[test]
fn where_typing_without_looking_is_in_vain_the_next_calls_look() {
    let mut home = called_once(long_line());
    home.deaf_returns = 1;
    let second = home.fetch();
    assert_eq!(second.fetched.unwrap().messages, 4, "{:?}", second.notes);
    home.has_mail(0..12);
    for left in (0..WARY_FOR).rev() {
        assert!(!is_clean(&home.remembered().unwrap()));
        home.fetch().fetched.unwrap();
        assert_eq!(home.remembered().unwrap().wary, left);
    }
    assert!(is_clean(&home.remembered().unwrap()));
}

#[test]
fn a_call_that_memory_led_to_no_shell_forgets_it() {
    let mut home = called_once(long_line());
    home.deaf_returns = u32::MAX;
    home.fetch().fetched.unwrap_err();
    assert_eq!(home.remembered(), None);
    home.deaf_returns = 0;
    assert_eq!(home.fetch().fetched.unwrap().messages, 4);
}

#[test]
fn a_transfer_that_what_is_remembered_spoils_is_made_right_in_the_same_call() {
    // It proves to be as it was, and its gzip packs no more.
    let mut home = Home::new(long_line());
    home.facts = FACTS_MORE.to_vec();
    home.fetch().fetched.unwrap();
    home.mailbox.extend(mail(8..12));
    home.packs = false;
    let second = home.fetch();
    assert_eq!(second.fetched.unwrap().messages, 4, "{:?}", second.notes);
    home.has_mail(0..12);
}

#[test]
fn another_prompt_costs_its_quiet_and_nothing_else() {
    let mut home = called_once(long_line());
    home.prompt = "you have been moved$ ";
    let second = home.fetch();
    assert_eq!(second.fetched.unwrap().messages, 4);
    assert!(second.to_mail.unwrap() < Duration::from_millis(13_600), "{:?}", second.to_mail);
    assert_eq!(home.remembered().unwrap().prompt, home.prompt.trim());
}

#[test]
fn a_mailbox_that_was_rewritten_shrunk_or_replaced_comes_home_once() {
    let cases: [(&str, Vec<u8>, std::ops::Range<u32>); 4] = [
        ("its first message deleted", mail(1..12), 0..12),
        ("shrunk", mail(0..3), 0..8),
        ("replaced", mail(20..24), 20..24),
        ("empty", Vec::new(), 0..8),
    ];
    for (what, mailbox, here) in cases {
        let mut home = called_once(long_line());
        home.mailbox = mailbox;
        home.fetch().fetched.unwrap_or_else(|failure| panic!("{what}: {failure}"));
        home.has_mail((0..8).chain(here).collect::<std::collections::BTreeSet<_>>().into_iter());
        home.mailbox.extend(mail(30..31));
        home.fetch().fetched.unwrap();
        assert!(home.mail().contains(&body(30).into_bytes()), "{what}");
    }
}

#[test]
fn a_bit_hit_anywhere_in_what_is_sent_ahead_does_no_harm() {
    let base = called_once(LineQuality { bps: Some(57_600), ..long_line() });
    let sent = base.copy().fetch().sent;
    let ours = ["#", "for t in ", "f=", "y ", "printf '%s", "set -- $v;", "t ", ":", "exit"];
    for hit in (0..sent).step_by(23) {
        let mut home = base.copy();
        home.hit = Some(hit);
        let second = home.fetch();
        match &second.fetched {
            Ok(fetched) => {
                assert_eq!(fetched.messages, 4, "byte {hit}");
                home.has_mail(0..12);
            }
            // In the user's name or password: the host says no.
            Err(failure) => {
                assert!(hit < 20, "byte {hit}: {failure}");
                home.has_mail(0..8);
                continue;
            }
        }
        // Only the one line that is typed at the login shell's prompt is acted upon unproven.
        let others: Vec<_> =
            second.ran.iter().filter(|ran| !ours.iter().any(|known| ran.starts_with(known))).collect();
        assert!(others.len() <= 1 && others.iter().all(|other| other.len() > 100), "byte {hit}: {others:?}");
    }
}

#[test]
fn noise_from_any_seed_leaves_mail_whole_and_single() {
    let mut failed = 0;
    let quality = LineQuality { bps: Some(57_600), latency: Duration::from_millis(50), bit_error_rate: 0.0 };
    let base = called_once(quality);
    for seed in 0..200 {
        let mut home = base.copy();
        home.quality.bit_error_rate = [1e-5, 5e-5, 2e-4][seed as usize % 3];
        home.seed = seed;
        match home.fetch().fetched {
            Ok(_) => home.has_mail(0..12),
            Err(failure) => {
                failed += 1;
                assert!(!failure.message.is_empty());
                let here = home.mail().len() as u32;
                home.has_mail(0..here);
            }
        }
        home.quality.bit_error_rate = 0.0;
        home.fetch().fetched.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        home.has_mail(0..12);
    }
    println!("{failed} of 200 calls failed");
    assert!(failed < 40, "{failed} of 200 calls failed");
}

#[test]
fn a_line_that_hits_much_is_not_typed_upon_without_looking() {
    let memory = HostMemory { carried: 100_000, damaged: 5, ..HostMemory::default() };
    assert!(is_clean(&memory));
    assert!(!is_clean(&HostMemory { damaged: 6, ..memory.clone() }));
    assert!(!is_clean(&HostMemory { carried: 3_000, damaged: 1, ..memory.clone() }));
    assert!(!is_clean(&HostMemory { wary: 1, ..memory }));
}

#[test]
fn another_number_or_user_is_another_host_and_fewer_numbers_are_not() {
    assert!(is_same("phone 1|2\nmary", "phone 2\nmary"));
    assert!(!is_same("phone 1|2\nmary", "phone 3\nmary"));
    assert!(!is_same("phone 1\nmary", "phone 1\neve"));
    assert!(!is_same("phone 1\nmary", "tcp 1\nmary"));
    assert!(is_same("tcp host:23\nmary", "tcp host:23\nmary"));
}
