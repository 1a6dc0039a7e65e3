//! A port's bit rate, and what becomes of a port that vanishes: on PTYs, which take any rate and can be
//! hung up.
#![allow(clippy::disallowed_methods)] // the real world is what is tested here

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mailcall::line::Line;
use mailcall::line::pty::PtyPair;
use mailcall::line::serial::{Flow, SerialLine, SerialSettings};
use mailcall::machine::{Control, Machine, Output, Transmit};
use mailcall::modem::ConnectInfo;
use mailcall::session::link::{LineEnd, Link};
use mailcall::session::transcript::Transcript;
use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A raw PTY, a port opened on it, and the lock directory.
fn port() -> (SerialLine, PtyPair, tempfile::TempDir) {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let (line, dir) = open(&pty);
    (line, pty, dir)
}

fn open(pty: &PtyPair) -> (SerialLine, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let settings = SerialSettings::new(&pty.path, 57_600, Flow::None);
    let line = SerialLine::open(SerialSettings { lock_dir: Some(dir.path().into()), ..settings }).unwrap();
    (line, dir)
}

/// The rates that a terminal says it has, each way, odd ones too.
fn rates(terminal: &OwnedFd) -> (u32, u32) {
    let termios = termios2(terminal);
    (termios.c_ispeed, termios.c_ospeed)
}

fn termios2(terminal: &OwnedFd) -> libc::termios2 {
    // SAFETY: all zeroes is a `termios2`, and TCGETS2 writes one to a pointer valid for the call.
    let mut termios = unsafe { std::mem::zeroed() };
    assert_eq!(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TCGETS2, &mut termios) }, 0);
    termios
}

#[tokio::test]
async fn the_bit_rate_can_be_changed_to_any_and_the_other_end_sees_it() {
    let pty = PtyPair::open().unwrap();
    let found = rates(&pty.slave);
    let (mut line, _dir) = open(&pty);
    assert_eq!(rates(&pty.slave), (57_600, 57_600));
    for bits in [300, 1_200, 57_600, 115_200, 74_880, 31_250, 12_345] {
        assert!(line.set_speed(bits).unwrap());
        assert_eq!((line.speed(), rates(&pty.slave)), (Some(bits), (bits, bits)));
    }
    let refused = line.set_speed(0).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!((line.speed(), rates(&pty.slave)), (Some(12_345), (12_345, 12_345)));
    drop(line);
    assert_eq!(rates(&pty.slave), found, "put back");
}

#[tokio::test]
async fn an_odd_bit_rate_that_the_port_had_is_put_back_too() {
    let pty = PtyPair::open().unwrap();
    let mut termios = termios2(&pty.slave);
    termios.c_cflag = termios.c_cflag & !libc::CBAUD | libc::BOTHER;
    (termios.c_ispeed, termios.c_ospeed) = (74_880, 74_880);
    // SAFETY: TCSETS2 reads one `termios2` from a pointer valid for the call.
    assert_eq!(unsafe { libc::ioctl(pty.slave.as_raw_fd(), libc::TCSETS2, &termios) }, 0);
    let (line, _dir) = open(&pty);
    assert_eq!(rates(&pty.slave), (57_600, 57_600));
    drop(line);
    assert_eq!(rates(&pty.slave), (74_880, 74_880));
}

#[tokio::test]
async fn a_machine_sets_the_ports_rate_through_the_link() {
    let (line, pty, _dir) = port();
    let mut link = Link::new(Box::new(line), Transcript::silent());
    let mut machine = Stubborn::new(Duration::ZERO, Output::Control(Control::Speed(2_400)));
    drive(&mut link, &mut machine).await;
    assert_eq!((link.rate(), rates(&pty.slave)), (Some(2_400), (2_400, 2_400)));
}

/// Waits `patience` whatever it is told, as no machine should.
struct Stubborn {
    first: Option<Output<(), ()>>,
    hangups: u32,
    until: Option<Instant>,
    patience: Duration,
    polls: u32,
    done: bool,
}

impl Stubborn {
    fn new(patience: Duration, first: Output<(), ()>) -> Self {
        Self { first: Some(first), hangups: 0, until: None, patience, polls: 0, done: false }
    }
}

async fn drive(link: &mut Link, machine: &mut Stubborn) {
    let ended = timeout(PATIENCE, link.drive(machine, |_, ()| Ok::<_, std::convert::Infallible>(()))).await;
    ended.expect("an end").unwrap_or_else(|never| match never {});
}

impl Machine for Stubborn {
    type Event = ();
    type Outcome = ();

    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.hangups += 1;
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.done = true;
    }

    fn poll_output(&mut self, now: Instant) -> Output<(), ()> {
        self.polls += 1;
        if self.done {
            return Output::Done(());
        }
        match self.first.take() {
            Some(first) => first,
            None => Output::Wait(Some(*self.until.get_or_insert(now + self.patience))),
        }
    }
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let total = usage.user_time() + usage.system_time();
    Duration::from_micros(total.num_microseconds() as u64)
}

/// Closing a PTY's master hangs its slave up, by the same path in the kernel (`tty_vhangup`) as pulling
/// out a USB adapter: reads give end of file, writes and ioctls EIO, and poll says HUP for ever.
#[tokio::test]
async fn a_port_that_vanishes_in_mid_call_is_one_clear_end_and_costs_no_processor_time() {
    let (line, pty, _dir) = port();
    drop(pty.slave);
    let noted = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&noted);
    let transcript = Transcript::new(Some(Box::new(move |line| sink.lock().unwrap().push(line.to_owned()))));
    let mut link = Link::new(Box::new(line), transcript);
    link.connected(&ConnectInfo::read("CONNECT 9600"));
    let bulk = Output::Transmit(Transmit::plain(vec![b'x'; 3_000])); // three seconds of line time
    let mut machine = Stubborn::new(Duration::from_secs(3), bulk);
    let unplug = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(pty.master);
    };
    let before = processor_time();
    tokio::join!(drive(&mut link, &mut machine), unplug);
    let took = processor_time() - before;
    assert_eq!(machine.hangups, 1);
    assert!(took < Duration::from_millis(150), "{took:?} of processor time in three seconds");
    assert!(machine.polls < 200, "{} polls", machine.polls);
    let Some(LineEnd::PortGone(why)) = link.end() else { panic!("{:?}", link.end()) };
    assert_eq!(why, "the port has gone: was it unplugged?");
    let noted = noted.lock().unwrap();
    let ends = noted.iter().filter(|line| line.contains("the line has ended")).count();
    assert_eq!(ends, 1, "said once: {noted:?}");
}

#[tokio::test]
async fn everything_asked_of_a_port_that_has_gone_says_so() {
    let (mut line, pty, _dir) = port();
    drop(pty);
    let gone = |error: std::io::Error| {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
        assert!(error.to_string().contains("has gone"), "{error}");
    };
    gone(line.leads().unwrap_err());
    gone(line.carrier().unwrap_err());
    gone(line.unsent().unwrap_err());
    gone(line.discard_output().unwrap_err());
    gone(line.set_speed(9_600).unwrap_err());
    gone(line.write_all(b"AT\r").await.unwrap_err());
    for _ in 0..3 {
        assert_eq!(timeout(PATIENCE, line.read(&mut [0; 8])).await.expect("at once").unwrap(), 0);
    }
    assert!(line.why_ended().unwrap().contains("has gone"));
}
