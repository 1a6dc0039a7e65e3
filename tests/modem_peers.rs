//! The modem driver against AT interpreters that others wrote, in real time: Debian's `iaxmodem`,
//! with an exchange of ours behind it that puts no call through, and PyPI's `tcpatmodem`, with the
//! system's login behind it. Both are started by root, and only the loopback is spoken to.
#![allow(clippy::disallowed_methods)] // the real world is what is tested here

mod common;
#[path = "modem_peers/exchange.rs"]
mod exchange;

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use exchange::{Answer, Event, Exchange};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// `iaxmodem` on a PTY of its own, ended when dropped.
struct IaxModem {
    child: Child,
    device: PathBuf,
    dir: tempfile::TempDir,
}

impl IaxModem {
    /// Starts one that calls through `exchange`; `None`, said loudly, where that cannot be.
    fn start(exchange: &Exchange) -> Option<Self> {
        if !have("iaxmodem") {
            return None;
        }
        if !nix::unistd::geteuid().is_root() {
            missing("iaxmodem runs only as root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("modem");
        let configuration = dir.path().join("iaxmodem");
        let settings = [
            format!("device {}", device.display()),
            "owner root:root".to_owned(),
            "mode 600".to_owned(),
            format!("port {}", free_udp_port()),
            "refresh 0".to_owned(), // it registers nowhere
            format!("server 127.0.0.1:{}", exchange.port()),
            "peername mary\nsecret none\ncidname Mary\ncidnumber 5550000\ncodec slinear\n".to_owned(),
        ];
        std::fs::write(&configuration, settings.join("\n")).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("iaxmodem")
            .arg(format!("../..{}", configuration.display())) // it looks in /etc/iaxmodem
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let modem = Self { child, device, dir };
        wait_for("iaxmodem's device", || modem.device.exists());
        Some(modem)
    }

    /// A home that dials 555 1212 with it.
    fn home(&self) -> Home {
        Home::new(&self.device, "mary", Path::new("/var/mail/mary"), "")
    }
}

impl Drop for IaxModem {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- iaxmodem said:\n{log}\n---");
        }
    }
}

fn called() -> Event {
    Event::Called("5551212".to_owned())
}

#[test]
fn iaxmodem_is_probed_set_up_and_hung_up_without_a_call() {
    let exchange = Exchange::open(Answer::Busy);
    let Some(modem) = IaxModem::start(&exchange) else { return };
    let (home, device) = (modem.home(), modem.device.display().to_string());
    let probe = home.run(&["--json", "modem", "probe", &device]);
    assert_eq!(probe.code, 0, "{}", probe.err);
    assert_eq!(
        probe.json("said")[0],
        serde_json::json!({ "command": "ATI0", "lines": ["spandsp"], "ok": true })
    );
    let info = home.run(&["modem", "info", &device]);
    assert_eq!(info.code, 0, "{}", info.err);
    assert!(info.out.contains("www.soft-switch.org"), "{}", info.out);
    // It knows V.250's settings, and no carrier's rate in CONNECT.
    let refused = info.err.lines().find(|line| line.contains("the modem passes over")).unwrap_or_default();
    assert!(!refused.contains("AT&C1") && !refused.contains("ATS7"), "{}", info.err);
    let hung_up = home.run(&["modem", "hangup", &device]);
    assert_eq!(hung_up.code, 0, "{}", hung_up.err);
    assert_eq!(exchange.events(), [], "nobody was called");
}

#[test]
fn a_call_that_iaxmodem_does_not_get_through_ends_as_it_says() {
    let cases = [
        (Answer::Busy, "busy"),
        (Answer::Congestion, "busy"),
        (Answer::Reject, "no-dialtone"),
        (Answer::Silence, "no-answer"), // after 45 s
    ];
    at_once(cases, |(answer, outcome)| {
        let exchange = Exchange::open(answer);
        let Some(modem) = IaxModem::start(&exchange) else { return };
        let home = modem.home();
        let ran = home.fetch();
        ran.ended(75, outcome);
        assert_eq!(ran.number("dials"), 1, "{answer:?}");
        assert!(!ran.err.contains("off-hook"), "{answer:?}: {}", ran.err);
        // The modem is as good as before.
        exchange.will(Answer::Busy);
        let calls = exchange.events().iter().filter(|event| **event == called()).count();
        home.fetch().ended(75, "busy");
        let calls_now = exchange.events().iter().filter(|event| **event == called()).count();
        assert_eq!(calls_now, calls + 1, "{answer:?}");
    });
}

#[test]
fn a_signal_while_it_rings_hangs_up_at_the_exchange() {
    at_once([Signal::SIGINT, Signal::SIGTERM], |signal| {
        let exchange = Exchange::open(Answer::Ringing);
        let Some(modem) = IaxModem::start(&exchange) else { return };
        let home = modem.home();
        let mut command = home.command(&["fetch", "--json", "home"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the call", || exchange.events() == [called()]);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let ran = Ran::new(child.wait_with_output().unwrap());
        ran.ended(75, "interrupted");
        assert_eq!(exchange.events(), [called(), Event::HungUp], "{signal}: {}", ran.err);
    });
}

#[test]
fn a_modem_left_dialling_by_kill_9_is_hung_up_by_the_next_call() {
    let exchange = Exchange::open(Answer::Ringing);
    let Some(modem) = IaxModem::start(&exchange) else { return };
    let home = modem.home();
    let mut child = home.command(&["fetch", "home"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the call", || exchange.events() == [called()]);
    child.kill().unwrap();
    child.wait().unwrap();
    exchange.will(Answer::Busy);
    let next = home.fetch();
    next.ended(75, "busy");
    assert_eq!(exchange.events()[..3], [called(), Event::HungUp, called()], "{}", next.err);
}

/// `tcpatmodem` on a PTY that socat made, ended when dropped.
struct TcpAtModem {
    socat: Child,
    device: PathBuf,
    /// With no one at it the PTY would hang up, as a modem's port does not.
    _held: File,
    _dir: tempfile::TempDir,
}

impl TcpAtModem {
    /// Starts one; `None`, said loudly, where that cannot be.
    fn start() -> Option<Self> {
        let package = have_python("tcpatmodem").filter(|_| have("socat"))?;
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("modem");
        let launcher = dir.path().join("launch.py");
        std::fs::write(&launcher, LAUNCHER).unwrap();
        let socat = Command::new("socat")
            .arg(format!("PTY,link={},raw,echo=0", device.display()))
            .arg(format!("EXEC:python3 -W ignore {},pty,raw,echo=0,setsid,ctty", launcher.display()))
            .env("PYTHONPATH", package)
            .env("PYTHONIOENCODING", "latin-1") // a byte in is a byte out
            .spawn()
            .unwrap();
        wait_for("tcpatmodem's device", || device.exists());
        let held = File::options()
            .read(true)
            .write(true)
            .custom_flags(nix::fcntl::OFlag::O_NOCTTY.bits())
            .open(&device)
            .unwrap();
        Some(Self { socat, device, _held: held, _dir: dir })
    }

    /// A home that dials `host` as `user`.
    fn home(&self, host: &LoginHost, user: &User) -> Home {
        let home = Home::with_line(
            &format!(
                "kind = \"serial\"\ndevice = {:?}\nflow = \"none\"\nmodem = \"tcpatmodem\"\n",
                self.device.display().to_string()
            ),
            &format!(
                "phone = \"=127.0.0.1:{}\"\nuser = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n",
                host.port, user.name
            ),
        );
        let modems = home.dir.path().join(".config/mailcall/modems");
        std::fs::create_dir_all(&modems).unwrap();
        std::fs::write(modems.join("tcpatmodem.toml"), PROFILE).unwrap();
        home
    }
}

impl Drop for TcpAtModem {
    fn drop(&mut self) {
        end(&mut self.socat);
    }
}

/// The system's login behind a port of the loopback, closed when dropped.
struct LoginHost {
    port: u16,
    closing: Arc<AtomicBool>,
}

impl LoginHost {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let closing = Arc::new(AtomicBool::new(false));
        let closed = closing.clone();
        std::thread::spawn(move || {
            for call in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || answer(call));
            }
        });
        Self { port, closing }
    }
}

impl Drop for LoginHost {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the thread
    }
}

/// A terminal for one caller, as inetd gives a program its connection.
fn answer(call: TcpStream) {
    let call = OwnedFd::from(call);
    let mut socat = Command::new("socat")
        .args(["STDIO", "EXEC:/bin/login,pty,setsid,ctty,stderr"])
        .stdin(call.try_clone().unwrap())
        .stdout(call)
        .spawn()
        .unwrap();
    let _ = socat.wait();
}

#[test]
fn a_whole_call_through_tcpatmodem_brings_everything_once() {
    let Some(modem) = TcpAtModem::start() else { return };
    let mailbox = sample();
    let Some(user) = User::new("t", "/bin/sh", &mailbox) else { return };
    let host = LoginHost::open();
    let home = modem.home(&host, &user);
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    assert_eq!((first.json("connect"), first.number("dials")), ("CONNECT".into(), 1));
    assert!(first.json("error").is_null(), "hung up and nothing else to tell: {}", first.out);
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 0);
    assert!(second.number("bytes_down") < 2_000, "{}", second.out);
    let more = b"From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: more\n\nhello\n\n";
    user.append(more);
    let third = home.fetch();
    third.ended(0, "done");
    assert_eq!(third.number("messages_new"), 1);
    assert_eq!(home.mail(), messages(&[&mailbox[..], more].concat()));
}

#[test]
fn tcpatmodem_left_on_line_by_kill_9_is_hung_up_first_and_the_fetch_succeeds() {
    let Some(modem) = TcpAtModem::start() else { return };
    let mailbox = sample().repeat(20); // long enough to be in the middle of it
    let Some(user) = User::new("k", "/bin/sh", &mailbox) else { return };
    let host = LoginHost::open();
    let home = modem.home(&host, &user);
    home.account_also("transfer = \"zmodem\"\n");
    let mut child = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
    read_until(child.stderr.as_mut().unwrap(), " bytes\n");
    child.kill().unwrap();
    child.wait().unwrap();
    let next = home.run(&["-v", "fetch", "--json", "home"]);
    next.ended(0, "done");
    assert!(next.err.contains("hanging it up first"), "{}", next.err);
    assert_eq!(home.mail(), messages(&mailbox));
}

#[test]
fn a_wrong_password_behind_tcpatmodem_is_77_and_hung_up() {
    let Some(modem) = TcpAtModem::start() else { return };
    let Some(user) = User::new("p", "/bin/sh", b"") else { return };
    let host = LoginHost::open();
    let home = modem.home(&host, &user);
    let mut command = home.command(&["fetch", "--json", "home"]);
    let ran = Ran::new(command.env("TEST_PASSWORD", "wr0ng-secret").output().unwrap());
    ran.ended(77, "login-refused");
    assert!(!ran.err.contains("off-hook"), "{}", ran.err);
    home.fetch().ended(0, "done"); // which it could not on a line that is still up
}

fn free_udp_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn end(child: &mut Child) {
    let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
    let _ = child.wait();
}

/// What `tcpatmodem` needs to be told apart from any modem: it has no `Z`, no `T` in front of the
/// number, and takes `Q0` for silence (V.250 §6.2.5 has it the other way round). It refuses `&C1`
/// and more like it, in words of its own behind `ERROR`; one such is left in.
const PROFILE: &str = "\
inherits = \"generic\"
description = \"tcpatmodem 0.1\"
reset = \"\"
init = [\"V1\"]
options = [\"E0\", \"&C1\", \"S0=0\"]
results = \"X4\"
flow.none = \"\"
error_correction.on = \"\"
compression.on = \"\"
dial = \"D{number}\"
";

/// Runs the package's own main with the event loop that newer Pythons no longer make by themselves.
const LAUNCHER: &str = "\
import asyncio, runpy
asyncio.set_event_loop(asyncio.new_event_loop())
runpy.run_module('tcpatmodem', run_name='__main__')
";
