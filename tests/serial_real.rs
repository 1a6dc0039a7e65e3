//! Serial lines beyond 8N1 and RTS/CTS: seven bits with parity, XON/XOFF, settings put back, ports that
//! vanish. On PTYs, which have no parity themselves; tests/guest.rs has a UART.
#![allow(clippy::disallowed_methods)] // the real world is what is tested here

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mailcall::line::exec::{ExecLine, ExecSettings};
use mailcall::line::pty::{PtyMaster, PtyPair};
use mailcall::line::serial::{Flow, OpenError, SerialLine, SerialSettings};
use mailcall::line::{DataBits, Framing, Line, Parity, SevenBit, StopBits};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

mod common;
use common::*;

/// A shell behind a port, over a wire that does to bytes what an old host does.
struct Host {
    device: PathBuf,
    /// Bytes of ours whose parity was not the host's.
    wrong: Arc<AtomicUsize>,
    wire: Option<std::thread::JoinHandle<()>>,
    _unplug: tokio::sync::oneshot::Sender<()>,
}

/// What the host's side does.
#[derive(Clone, Copy)]
struct Wiring {
    parity: Option<Parity>,
    /// What comes with the wrong parity is dropped, as INPCK and IGNPAR do.
    checks: bool,
    /// The port vanishes when the host has sent so many bytes.
    unplugged_after: usize,
}

const PLAIN: Wiring = Wiring { parity: None, checks: false, unplugged_after: usize::MAX };

impl Host {
    fn start(wiring: Wiring) -> Self {
        let pty = PtyPair::open().unwrap();
        pty.make_raw().unwrap();
        let device = pty.path.clone();
        let wrong = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wrong);
        let (unplug, unplugged) = tokio::sync::oneshot::channel();
        let wire = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = carry(pty, wiring, &counted) => {}
                    _ = unplugged => {}
                }
            });
        });
        Self { device, wrong, wire: Some(wire), _unplug: unplug }
    }

    /// A home whose line is the port, with these keys more.
    fn home(&self, line: &str, account: &str) -> Home {
        let device = self.device.display().to_string();
        let line =
            format!("kind = \"serial\"\ndevice = {device:?}\nflow = \"none\"\nmodem = \"none\"\n{line}\n");
        Home::with_line(&line, account)
    }

    fn ended(&mut self) {
        self.wire.take().unwrap().join().unwrap();
    }
}

async fn carry(pty: PtyPair, wiring: Wiring, wrong: &AtomicUsize) {
    let script = "echo; echo This is an old host; PS1='old-host$ ' exec sh";
    let mut shell = ExecLine::spawn(&ExecSettings::new(["sh", "-c", script])).unwrap();
    let mut port = PtyMaster::new(pty.master).unwrap();
    let (mut down, mut up, mut sent) = ([0; 4096], [0; 4096], 0);
    loop {
        tokio::select! {
            count = shell.read(&mut down) => {
                let count = count.unwrap();
                if count == 0 || sent > wiring.unplugged_after {
                    // Closing the master destroys what the other end has not read.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    return;
                }
                sent += count;
                if let Some(parity) = wiring.parity {
                    down[..count].iter_mut().for_each(|byte| *byte = parity.put_on(*byte));
                }
                port.write_all(&down[..count]).await.unwrap();
            }
            count = port.read(&mut up) => {
                let mut bytes = up[..count.unwrap()].to_vec();
                if let Some(parity) = wiring.parity {
                    let right = |byte: &u8| parity.put_on(*byte) == *byte;
                    wrong.fetch_add(bytes.iter().filter(|byte| !right(byte)).count(), Ordering::Relaxed);
                    bytes.retain(|byte| right(byte) || !wiring.checks);
                    bytes.iter_mut().for_each(|byte| *byte &= 0x7f);
                }
                shell.write_all(&bytes).await.unwrap();
            }
        }
    }
}

fn mailbox(bytes: &[u8]) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let key = format!("mailbox = {:?}\n", file.path().display().to_string());
    (file, key)
}

#[test]
fn mail_comes_home_from_hosts_of_seven_bits_as_text() {
    have("sz"); // the host has it, and it is not used
    let checks = |parity| Wiring { parity: Some(parity), checks: true, ..PLAIN };
    let looks_away = |parity| Wiring { checks: false, ..checks(parity) };
    at_once(
        [
            ("data_bits = 7\nparity = \"even\"", checks(Parity::Even), "seven bits are made by software"),
            ("data_bits = 7\nparity = \"odd\"\nstrip = true", checks(Parity::Odd), ""),
            ("data_bits = 7\nparity = \"mark\"\nstop_bits = 2", checks(Parity::Mark), "made by software"),
            ("strip = true", looks_away(Parity::Even), ""),
            ("", looks_away(Parity::Odd), "the host sends seven bits and parity"),
        ],
        |(keys, wiring, says)| {
            let mail = sample();
            let (_file, account) = mailbox(&mail);
            let mut host = Host::start(wiring);
            let home = host.home(keys, &account);
            let ran = home.run(&["-v", "fetch", "--json", "home"]);
            ran.ended(0, "done");
            host.ended();
            assert_eq!(ran.json("transfer"), "text", "{keys}");
            assert_eq!(home.mail(), messages(&mail), "{keys}");
            assert_eq!(ran.number("retries"), 0, "{keys}");
            assert!(ran.err.contains(says), "{keys}: {}", ran.err);
            if wiring.checks {
                assert_eq!(host.wrong.load(Ordering::Relaxed), 0, "{keys}");
            }
        },
    );
}

#[test]
fn zmodem_over_seven_bits_is_refused_with_the_reason() {
    if !have("sz") {
        return;
    }
    let (_file, account) = mailbox(&sample());
    let host = Host::start(Wiring { parity: Some(Parity::Even), ..PLAIN });
    let ran = host.home("strip = true", &format!("transfer = \"zmodem\"\n{account}")).fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("only seven bits"), "{}", ran.err);
}

fn settings(pty: &PtyPair, framing: Framing, locks: &tempfile::TempDir) -> SerialSettings {
    let settings = SerialSettings::new(&pty.path, 9_600, Flow::None);
    SerialSettings { framing, lock_dir: Some(locks.path().into()), ..settings }
}

const fn framing(data_bits: DataBits, parity: Parity, stop_bits: StopBits) -> Framing {
    Framing { data_bits, parity, stop_bits }
}

#[tokio::test]
async fn a_port_that_stays_at_8n1_is_not_taken_at_its_word() {
    let pty = PtyPair::open().unwrap();
    let locks = tempfile::tempdir().unwrap();
    let seven = framing(DataBits::Seven, Parity::Even, StopBits::One);
    let line = SerialLine::open(settings(&pty, seven, &locks)).unwrap();
    assert_eq!(line.settings().framing.to_string(), "8N1", "and whoever asks is told so");
    assert!(line.eight_bit() && line.warnings()[0].contains("does not do 7E1"), "{:?}", line.warnings());
    drop(line);
    let parity = framing(DataBits::Eight, Parity::Even, StopBits::One);
    let line = SerialLine::open(settings(&pty, parity, &locks)).unwrap();
    assert!(line.warnings()[0].contains("without 8E1"), "{:?}", line.warnings());
    drop(line);
    let two = framing(DataBits::Eight, Parity::None, StopBits::Two);
    let line = SerialLine::open(settings(&pty, two, &locks)).unwrap();
    assert_eq!((line.warnings(), line.bits_per_byte()), (&[][..], 11));
    drop(line);
    let five = framing(DataBits::Five, Parity::None, StopBits::One);
    let refused = SerialLine::open(settings(&pty, five, &locks)).unwrap_err();
    assert!(matches!(refused, OpenError::Settings { .. }), "{refused:?}");
    assert!(refused.to_string().contains("9600 bit/s 5N1 (the port makes 8N1 of it)"), "{refused}");
    SerialLine::open(settings(&pty, Framing::default(), &locks)).expect("nobody holds it any more");
}

#[tokio::test]
async fn seven_bits_by_software_are_stripped_on_input_and_have_parity_on_output() {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let locks = tempfile::tempdir().unwrap();
    let line = SerialLine::open(settings(&pty, Framing::default(), &locks)).unwrap();
    let mut line = SevenBit::new(Box::new(line), Parity::Even);
    assert!(!line.eight_bit());
    let mut master = PtyMaster::new(pty.master).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    master.write_all(&all).await.unwrap();
    let mut came = vec![0; all.len()];
    timeout(PATIENCE, line.read_exact(&mut came)).await.expect("not silent").unwrap();
    assert_eq!(came, all.iter().map(|byte| byte & 0x7f).collect::<Vec<_>>());
    line.write_all(&all).await.unwrap();
    timeout(PATIENCE, master.read_exact(&mut came)).await.expect("not silent").unwrap();
    assert!(came.iter().all(|byte| byte.count_ones() % 2 == 0));
    assert_eq!(
        came.iter().map(|byte| byte & 0x7f).collect::<Vec<_>>(),
        all.iter().map(|byte| byte & 0x7f).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn dc3_holds_our_output_and_dc1_lets_it_go_whatever_characters_were_set_before() {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let mut before = termios2(&pty.slave);
    (before.c_cc[libc::VSTART], before.c_cc[libc::VSTOP]) = (b'a', b'b');
    set_termios2(&pty.slave, &before);
    let locks = tempfile::tempdir().unwrap();
    let xon_xoff = SerialSettings { flow: Flow::XonXoff, ..settings(&pty, Framing::default(), &locks) };
    let mut line = SerialLine::open(xon_xoff).unwrap();
    let mut master = PtyMaster::new(pty.master).unwrap();
    master.write_all(b"ab\x13").await.unwrap();
    let mut two = [0; 2];
    timeout(PATIENCE, line.read_exact(&mut two)).await.expect("data").unwrap();
    assert_eq!(&two, b"ab", "the characters of before are data now, and DC3 is none");
    let written = timeout(Duration::from_millis(300), line.write_all(b"held")).await;
    assert!(timeout(Duration::from_millis(300), master.read(&mut two)).await.is_err(), "held back");
    master.write_all(b"\x11").await.unwrap();
    if written.is_err() {
        line.write_all(b"held").await.unwrap();
    }
    let mut held = [0; 4];
    timeout(PATIENCE, master.read_exact(&mut held)).await.expect("let go").unwrap();
    assert_eq!(&held, b"held");
}

/// A message that holds every byte, and DC1 and DC3 with either eighth bit often.
fn every_byte() -> Vec<u8> {
    let mut mail = b"From mary@host Tue Mar  3 09:14:02 2026\nSubject: all\n\n".to_vec();
    for round in 0..40u8 {
        mail.extend((0..=255u8).filter(|&byte| byte != b'\n'));
        mail.extend([0x11, 0x13, 0x91, 0x93, 0x10, 0x18, round, b'\n']);
    }
    mail.push(b'\n');
    mail
}

#[test]
fn every_byte_comes_through_xon_xoff_by_zmodem_and_as_text() {
    if !have("sz") {
        return;
    }
    let mail = every_byte();
    at_once(["zmodem", "text"], |transfer| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mary");
        std::fs::write(&path, &mail).unwrap();
        let shown = path.display().to_string();
        let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &shown]);
        let device = sim.device.display().to_string();
        let home = Home::with_line(
            &format!("kind = \"serial\"\ndevice = {device:?}\nflow = \"xonxoff\"\n"),
            &format!(
                "phone = \"555 1212\"\nuser = \"mary\"\npassword = {{ env = \"TEST_PASSWORD\" }}\n\
                 mailbox = {shown:?}\ntransfer = {transfer:?}\n"
            ),
        );
        let ran = home.fetch();
        ran.ended(0, "done");
        assert_eq!(ran.json("transfer"), transfer);
        assert_eq!(ran.number("retries"), 0, "a byte that the port takes for itself would cost one");
        assert!(home.mail() == messages(&mail), "{transfer}");
    });
}

fn termios2(terminal: &OwnedFd) -> libc::termios2 {
    // SAFETY: all zeroes is a `termios2`, and TCGETS2 writes one to a pointer valid for the call.
    let mut termios = unsafe { std::mem::zeroed() };
    assert_eq!(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TCGETS2, &mut termios) }, 0);
    termios
}

fn set_termios2(terminal: &OwnedFd, termios: &libc::termios2) {
    // SAFETY: TCSETS2 reads one `termios2` from a pointer valid for the call.
    assert_eq!(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TCSETS2, termios) }, 0);
}

#[test]
fn a_signal_in_mid_call_leaves_the_port_as_it_was_found() {
    at_once([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP], |signal| {
        let pty = PtyPair::open().unwrap();
        let mut odd = termios2(&pty.slave); // cooked, as a getty would have it
        odd.c_cflag = odd.c_cflag & !libc::CBAUD | libc::BOTHER | libc::CSTOPB;
        (odd.c_ispeed, odd.c_ospeed) = (12_345, 12_345);
        (odd.c_cc[libc::VSTART], odd.c_cc[libc::VMIN]) = (b'a', 7);
        set_termios2(&pty.slave, &odd);
        let found = termios2(&pty.slave);
        let device = pty.path.display().to_string();
        let line = format!("kind = \"serial\"\ndevice = {device:?}\nmodem = \"none\"\nspeed = 31250\n");
        let home = Home::with_line(&line, "");
        let mut command = home.command(&["fetch", "--json"]);
        let mailcall = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the port to be used", || termios2(&pty.slave).c_ospeed == 31_250);
        assert_ne!(termios2(&pty.slave), found);
        kill(Pid::from_raw(mailcall.id() as i32), signal).unwrap();
        Ran::new(mailcall.wait_with_output().unwrap()).ended(75, "interrupted");
        assert_eq!(termios2(&pty.slave), found, "{signal}");
    });
}

/// Runs to its end, which must come soon after `unplugged` says that the port has gone.
#[allow(clippy::zombie_processes)] // it is waited for by wait4, which tells what it has used
fn ends_soon(mut command: Command, unplugged: impl FnOnce()) -> Ran {
    let mut mailcall = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = mailcall.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        let _ = err.read_to_string(&mut said);
        said
    });
    unplugged();
    let gone = Instant::now();
    let mut out = String::new();
    mailcall.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let (code, used) = reaped(&mailcall);
    let took = gone.elapsed();
    let err = reader.join().unwrap();
    assert!(took < Duration::from_secs(4), "{took:?} after the port was gone: {err}");
    assert!(used < Duration::from_millis(1_500), "{used:?} of the processor: {err}");
    Ran { code, out, err }
}

/// The exit code of a process that ends, and the processor time that it has used.
fn reaped(child: &Child) -> (i32, Duration) {
    let mut status = 0;
    // SAFETY: all zeroes is an `rusage`; wait4 writes to two pointers that are valid for the call.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = child.id() as libc::pid_t; // positive and below 2^22
    assert_eq!(unsafe { libc::wait4(pid, &mut status, 0, &mut usage) }, pid);
    let used = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    (libc::WEXITSTATUS(status), used(usage.ru_utime) + used(usage.ru_stime))
}

#[test]
fn a_port_that_vanishes_ends_the_call_at_once_in_whatever_state_it_is() {
    // While the modem is asked.
    let pty = PtyPair::open().unwrap();
    let device = pty.path.display().to_string();
    let home = Home::with_line(&format!("kind = \"serial\"\ndevice = {device:?}\n"), "phone = \"1\"\n");
    let ran = ends_soon(home.command(&["fetch", "--json"]), || {
        wait_for("the port to be used", || termios2(&pty.slave).c_ospeed == 57_600);
        drop(pty);
    });
    ran.ended(69, "no-such-port");
    assert!(ran.err.contains("unplugged"), "{}", ran.err);

    // While it waits to be called.
    let sim = Sim::start(&["--ring", "0"]);
    let device = sim.device.display().to_string();
    let home = Home::with_line(&format!("kind = \"serial\"\ndevice = {device:?}\n"), "answer = true\n");
    let ran = ends_soon(home.command(&["fetch", "--json"]), || {
        std::thread::sleep(Duration::from_secs(6)); // by then the modem is set up
        kill(Pid::from_raw(sim.pid() as i32), Signal::SIGKILL).unwrap();
    });
    ran.ended(69, "no-such-port");
    assert!(ran.err.contains("unplugged"), "{}", ran.err);

    // Behind the host's first words, and in the middle of a transfer.
    let (_file, account) = mailbox(&every_byte().repeat(20));
    let account = account + "transfer = \"zmodem\"\n"; // packed it would be here sooner
    for (unplugged_after, state) in [(0, ""), (60_000, "carrying the mail")] {
        let mut host = Host::start(Wiring { unplugged_after, ..PLAIN });
        let home = host.home("", &account);
        let ran = ends_soon(home.command(&["fetch", "--json"]), || host.ended());
        ran.ended(75, "carrier-lost");
        assert!(ran.err.contains("unplugged") && ran.err.contains(state), "{state}: {}", ran.err);
    }
}

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
