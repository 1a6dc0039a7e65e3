//! Modems on a terminal server, against servers that others wrote: Debian's `ser2net`, which says nothing of
//! leads on a PTY, and PyPI's `pyserial`, whose server has the leads that the test makes up. Behind
//! both plays the simulated modem. Only the loopback is spoken to.
#![allow(clippy::disallowed_methods)] // the real world is what is tested here

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use common::servers::{PySerial, Ser2net};
use common::*;
use mailcall::line::pty::{PtyMaster, PtyPair};
use mailcall::line::rfc2217::{OpenError, RemoteSettings, Rfc2217Line};
use mailcall::line::serial::Flow;
use mailcall::line::telnet::{TelnetLine, TelnetSettings};
use mailcall::line::{DataBits, Framing, Line, Parity, StopBits};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A mailbox on a host, with a simulated modem in front of it.
fn host(mailbox: &[u8], args: &[&str]) -> (Sim, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, mailbox).unwrap();
    let shown = path.display().to_string();
    let all = ["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &shown];
    (Sim::start(&[&all[..], args].concat()), path, dir)
}

/// A home whose account dials through the server at `address`.
fn home(address: &str, mailbox: &Path, more: &str) -> Home {
    Home::with_line(
        &format!("kind = \"rfc2217\"\naddress = {address:?}\nmodem = \"generic\"\n{more}"),
        &format!(
            "phone = \"555 1212\"\nuser = \"mary\"\npassword = {{ env = \"TEST_PASSWORD\" }}\nmailbox = {:?}\n",
            mailbox.display().to_string()
        ),
    )
}

const RFC2217: &str = Ser2net::RFC2217;

#[test]
fn a_call_through_ser2net_brings_everything_and_a_second_nothing() {
    let mailbox = sample();
    let (sim, path, _dir) = host(&mailbox, &["--bps", "57600"]);
    let Some(server) = Ser2net::start(RFC2217, &sim.device) else { return };
    let home = home(&server.address(), &path, "");
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    assert!(!first.err.contains("mailcall:"), "nothing to warn of: {}", first.err);
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 0);
    sim.on_hook_after(2);
}

#[test]
fn a_call_through_pyserials_server_brings_everything_with_leads_watched() {
    let mailbox = sample();
    let (sim, path, _dir) = host(&mailbox, &["--bps", "57600"]);
    let Some(server) = PySerial::start(&sim.device, &[]) else { return };
    let home = home(&server.address(), &path, "speed = 115200\n");
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 0);
    sim.on_hook_after(2);
    wait_for("the port to be closed", || server.said("closed") == 2);
    let log = server.log();
    assert!(log.contains(&"rate 115200 8N1".to_owned()), "{log:?}");
    assert!(log.contains(&"dtr on".to_owned()) && log.contains(&"dtr off".to_owned()), "{log:?}");
}

#[test]
fn the_modem_commands_work_over_the_network() {
    let (sim, path, _dir) = host(&sample(), &[]);
    at_once([false, true], |leads| {
        // Each has a modem of its own.
        let (other, _path, _dir) = host(b"", &[]);
        let sim = if leads { &other } else { &sim };
        let (ser2net, pyserial);
        let address = if leads {
            let Some(server) = PySerial::start(&sim.device, &[]) else { return };
            pyserial = server;
            pyserial.address()
        } else {
            let Some(server) = Ser2net::start(RFC2217, &sim.device) else { return };
            ser2net = server;
            ser2net.address()
        };
        let home = home(&address, &path, "");
        let probe = home.run(&["modem", "probe", "usr"]);
        assert_eq!(probe.code, 0, "{}", probe.err);
        assert!(probe.out.contains(&format!("{address}: a modem answers at 57600 bit/s")), "{}", probe.out);
        assert!(probe.out.contains("kind   = \"rfc2217\""), "{}", probe.out);
        let info = home.run(&["modem", "info", "usr"]);
        assert_eq!(info.code, 0, "{}", info.err);
        let shown = if leads {
            "leads: DTR on, RTS on, CTS on, DSR on, DCD off, RI off"
        } else {
            "leads: unknown on this port"
        };
        assert!(info.out.contains(shown), "{}", info.out);
        let dial = home.run(&["modem", "dial", "555 1212", "usr", "--listen", "1s"]);
        assert_eq!(dial.code, 0, "{}{}", dial.out, dial.err);
        assert!(dial.out.contains("login:"), "{}", dial.out);
        sim.on_hook_after(1);
        let hang_up = home.run(&["modem", "hangup", "usr"]);
        assert_eq!(hang_up.code, 0, "{}", hang_up.err);
    });
}

#[test]
fn carrier_lost_at_the_server_ends_the_call_at_once() {
    let mailbox = sample().repeat(5);
    let (sim, path, _dir) = host(&mailbox, &["--bps", "57600"]);
    let Some(mut server) = PySerial::start(&sim.device, &[]) else { return };
    let home = home(&server.address(), &path, "");
    let (child, mut said) = in_mid_call(&home);
    server.work("dcd off");
    let lost = Instant::now();
    // The next it says is that it hangs up.
    read_until(&mut said, "hanging up\n");
    assert!(lost.elapsed() < Duration::from_secs(1), "it took {:?}", lost.elapsed());
    let (code, said) = end_of(child, said);
    assert!(code == 75 && said.contains("carrier lost"), "{code}: {said}");
    wait_for("the port to be closed", || server.said("closed") == 1);
    sim.on_hook_after(1);
    let next = home.fetch();
    next.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
}

#[test]
fn a_server_that_dies_in_mid_call_leaves_a_part_and_the_next_call_brings_the_rest() {
    let mailbox = sample().repeat(5);
    let (sim, path, _dir) = host(&mailbox, &["--bps", "57600"]);
    let Some(mut server) = Ser2net::start(RFC2217, &sim.device) else { return };
    let home = home(&server.address(), &path, "");
    home.account_also("transfer = \"zmodem\"\n");
    let (child, mut said) = in_mid_call(&home);
    for _ in 0..4 {
        read_until(&mut said, " bytes\n"); // enough to see that it is not carried again
    }
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let (code, said) = end_of(child, said);
    assert!(code == 75 && said.contains("connection"), "{code}: {said}");
    let again = Ser2net::start_on(server.port, RFC2217, &sim.device).unwrap();
    let next = home.fetch();
    next.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    assert!(next.number("bytes_down") < mailbox.len() as u64 * 3 / 4, "{}", next.out);
    drop(again);
    sim.on_hook_after(2);
}

#[test]
fn a_signal_in_mid_call_leaves_the_modem_on_hook_and_dtr_low() {
    let mailbox = sample().repeat(5);
    at_once([Signal::SIGINT, Signal::SIGTERM], |signal| {
        let (sim, path, _dir) = host(&mailbox, &["--bps", "57600"]);
        let Some(server) = PySerial::start(&sim.device, &[]) else { return };
        let home = home(&server.address(), &path, "");
        let (child, said) = in_mid_call(&home);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let (code, said) = end_of(child, said);
        assert!(code == 75 && said.contains("ended by") && !said.contains("off-hook"), "{code}: {said}");
        sim.on_hook_after(1);
        wait_for("the port to be closed", || server.said("closed") == 1);
        let log = server.log();
        let last = log.iter().rev().find(|said| said.starts_with("dtr")).unwrap();
        assert_eq!(last, "dtr off", "{log:?}");
    });
}

/// A fetch that carries mail by now.
fn in_mid_call(home: &Home) -> (Child, ChildStderr) {
    let mut child = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = child.stderr.take().unwrap();
    read_until(&mut said, " bytes\n");
    (child, said)
}

fn end_of(mut child: Child, mut said: ChildStderr) -> (i32, String) {
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), rest)
}

#[test]
fn a_port_in_use_at_the_server_is_told_in_its_words() {
    let (sim, path, _dir) = host(&sample(), &[]);
    let Some(server) = Ser2net::start(RFC2217, &sim.device) else { return };
    let mut other = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    other.write_all(b"\xff\xfb\x2c").unwrap(); // it has the port once it has negotiated
    let mut answer = [0; 64];
    let _ = other.read(&mut answer).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let ran = home(&server.address(), &path, "").fetch();
    ran.ended(75, "port-locked");
    assert!(ran.json("error").as_str().unwrap().contains("Port already in use"), "{}", ran.out);
    assert_eq!(ran.number("dials"), 0);
}

#[test]
fn a_server_without_the_option_is_told_with_the_kind_that_fits() {
    let cases = [("telnet,", "speaks TELNET but not RFC 2217"), ("", "does not speak TELNET")];
    at_once(cases, |(accepter, says)| {
        // A modem each: two servers at one would read each other's answers.
        let (sim, path, _dir) = host(&sample(), &[]);
        let Some(server) = Ser2net::start(accepter, &sim.device) else { return };
        let ran = home(&server.address(), &path, "").fetch();
        ran.ended(78, "config");
        let error = ran.json("error");
        assert!(error.as_str().unwrap().contains(says) && error.as_str().unwrap().contains("tcp"), "{error}");
    });
    if !have("telnetd") {
        return;
    }
    // One that serves logins refuses the option as well.
    let (_sim, path, _dir) = host(&sample(), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let telnetd = std::thread::spawn(move || {
        let call = OwnedFd::from(listener.accept().unwrap().0);
        let mut telnetd = Command::new("telnetd")
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .stdin(call.try_clone().unwrap())
            .stdout(call)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        telnetd.wait().unwrap();
    });
    let ran = home(&address, &path, "").fetch();
    ran.ended(78, "config");
    assert!(ran.json("error").as_str().unwrap().contains("TELNET but not RFC 2217"), "{}", ran.out);
    telnetd.join().unwrap();
}

#[test]
fn a_rate_that_the_servers_port_does_not_take_is_told() {
    let (sim, path, _dir) = host(&sample(), &[]);
    let Some(server) = PySerial::start(&sim.device, &["19200"]) else { return };
    let ran = home(&server.address(), &path, "speed = 19200\n").fetch();
    ran.ended(78, "config");
    let error = ran.json("error");
    assert!(error.as_str().unwrap().contains("does not take 19200 bit/s: its port has 9600"), "{error}");
}

/// A raw PTY: the device for a server, and the modem's side of it.
struct Wire {
    device: PathBuf,
    modem: PtyMaster,
    /// With no one at it the PTY would hang up, as a modem's port does not.
    _held: OwnedFd,
}

impl Wire {
    fn open() -> Self {
        let pair = PtyPair::open().unwrap();
        pair.make_raw().unwrap();
        let modem = PtyMaster::new(pair.master).unwrap();
        Self { device: pair.path, modem, _held: pair.slave }
    }
}

fn settings(speed: u32, flow: Flow) -> RemoteSettings {
    RemoteSettings { speed, flow, framing: Framing::default() }
}

async fn line_to(
    address: &str,
    settings: RemoteSettings,
) -> Result<Rfc2217Line<tokio::net::TcpStream>, OpenError> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    Rfc2217Line::open(stream, address.to_owned(), settings).await
}

/// Polls the line, so that it hears its server, until `done`.
async fn listen(
    line: &mut Rfc2217Line<tokio::net::TcpStream>,
    what: &str,
    mut done: impl FnMut(&mut Rfc2217Line<tokio::net::TcpStream>) -> bool,
) {
    let patience = Instant::now() + Duration::from_secs(10);
    let mut buffer = [0; 256];
    while !done(line) {
        assert!(Instant::now() < patience, "waited 10 s for {what}");
        let _ = tokio::time::timeout(Duration::from_millis(20), line.read(&mut buffer)).await;
    }
}

/// 1 MiB in which every byte value follows every other.
fn every_pair() -> Vec<u8> {
    (0..=u8::MAX)
        .flat_map(|first| (0..=u8::MAX).flat_map(move |second| [first, second]))
        .collect::<Vec<_>>()
        .repeat(8)
}

#[tokio::test]
async fn a_mebibyte_of_every_byte_passes_ser2net_and_pyserial_unharmed_both_ways() {
    let sent = every_pair();
    assert_eq!(sent.len(), 1024 * 1024);
    for of_ser2net in [true, false] {
        let mut wire = Wire::open();
        let (ser2net, pyserial);
        let address = if of_ser2net {
            let Some(server) = Ser2net::start(RFC2217, &wire.device) else { return };
            ser2net = server;
            ser2net.address()
        } else {
            let Some(server) = PySerial::start(&wire.device, &[]) else { return };
            pyserial = server;
            pyserial.address()
        };
        let mut line = line_to(&address, settings(115_200, Flow::None)).await.unwrap();
        assert!(line.eight_bit());
        let mut up = vec![0; sent.len()];
        let mut down = vec![0; sent.len()];
        let went = tokio::time::timeout(Duration::from_secs(120), async {
            tokio::try_join!(
                async {
                    line.write_all(&sent).await?;
                    line.flush().await
                },
                wire.modem.read_exact(&mut up)
            )
        });
        went.await.expect("in time").unwrap();
        assert!(up == sent, "up through {address}, ser2net: {of_ser2net}");
        let went = tokio::time::timeout(Duration::from_secs(120), async {
            tokio::try_join!(wire.modem.write_all(&sent), line.read_exact(&mut down))
        });
        went.await.expect("in time").unwrap();
        assert!(down == sent, "down, ser2net: {of_ser2net}");
    }
}

/// `kind = "telnet"` leads to such a port too, where only its bytes are wanted. In NVT mode ser2net
/// neither takes the NUL behind a CR away nor puts one there (RFC 854, page 12), as if it were BINARY: on the
/// way up there is one more, on the way down a NUL of the data is taken for it. Text bears that.
#[tokio::test]
async fn a_mebibyte_passes_ser2nets_telnet_in_binary_and_but_for_nuls_behind_a_cr_without() {
    let sent = every_pair();
    for binary in [true, false] {
        let mut wire = Wire::open();
        let Some(server) = Ser2net::start("telnet,", &wire.device) else { return };
        let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let settings = TelnetSettings { binary, ..TelnetSettings::new(server.address(), server.port) };
        let mut line = TelnetLine::over_tcp(stream, settings).unwrap();
        // It takes the device when we are connected: what is written before would be lost.
        let settled = tokio::time::timeout(Duration::from_secs(1), line.read_u8()).await;
        assert!(settled.is_err(), "negotiation is no data: {settled:?}");
        assert_eq!(line.eight_bit(), binary);
        let behind_cr = |&byte: &u8| [byte, 0].into_iter().take(1 + usize::from(!binary && byte == b'\r'));
        let expected: Vec<u8> = sent.iter().flat_map(behind_cr).collect();
        let stays = |at: usize| binary || at == 0 || sent[at] != 0 || sent[at - 1] != b'\r';
        let without: Vec<u8> = (0..sent.len()).filter(|&at| stays(at)).map(|at| sent[at]).collect();
        assert!(binary == (expected == sent) && binary == (without == sent));
        let (mut up, mut down) = (vec![0; expected.len()], vec![0; without.len()]);
        let up_went = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::try_join!(line.write_all(&sent), wire.modem.read_exact(&mut up))
        });
        up_went.await.expect("in time").unwrap();
        assert!(up == expected, "up, BINARY: {binary}");
        let down_went = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::try_join!(wire.modem.write_all(&sent), line.read_exact(&mut down))
        });
        down_went.await.expect("in time").unwrap();
        assert!(down == without, "down, BINARY: {binary}");
    }
}

#[tokio::test]
async fn leads_rate_and_break_are_worked_at_a_real_server() {
    let wire = Wire::open();
    let Some(mut server) = PySerial::start(&wire.device, &["1200"]) else { return };
    let framing = Framing { data_bits: DataBits::Seven, parity: Parity::Even, stop_bits: StopBits::Two };
    let mut line = line_to(&server.address(), RemoteSettings { framing, ..settings(9_600, Flow::RtsCts) })
        .await
        .unwrap();
    assert!(!line.eight_bit() && line.warnings().is_empty(), "{:?}", line.warnings());
    wait_for("7E2", || server.said("rate 9600 7E2") > 0);
    assert!(line.set_dtr(false).unwrap());
    wait_for("DTR low", || server.said("dtr off") == 1);
    assert!(line.set_dtr(true).unwrap());
    assert!(line.set_break(true).unwrap());
    wait_for("BREAK", || server.said("break on") == 1 && server.said("purged") == 1);
    assert!(line.set_break(false).unwrap());
    wait_for("its end", || server.said("break off") >= 1);
    for (work, lit) in [("dcd on", true), ("dcd off", false)] {
        server.work(work);
        listen(&mut line, work, |line| line.carrier().unwrap() == Some(lit)).await;
    }
    server.work("ri on");
    listen(&mut line, "RI", |line| line.leads().unwrap().is_some_and(|leads| leads.ri)).await;
    server.work("cts off");
    listen(&mut line, "CTS", |line| line.leads().unwrap().is_some_and(|leads| !leads.cts)).await;
    assert!(!line.set_break(true).unwrap(), "a modem that holds CTS low gets none");
    assert!(line.set_speed(19_200).unwrap());
    listen(&mut line, "the rate", |_| server.said("rate 19200 7E2") > 0).await;
    assert!(line.set_speed(1_200).unwrap());
    listen(&mut line, "the refusal", |line| line.speed() == Some(19_200)).await;
    let low = server.said("dtr off");
    drop(line);
    wait_for("DTR low and the end", || server.said("closed") == 1 && server.said("dtr off") > low);
}

#[tokio::test]
async fn ser2net_on_a_pty_takes_every_setting_and_has_no_leads() {
    let wire = Wire::open();
    let Some(server) = Ser2net::start(RFC2217, &wire.device) else { return };
    let framing = Framing { data_bits: DataBits::Seven, parity: Parity::Odd, stop_bits: StopBits::Two };
    let before = Instant::now();
    let mut line = line_to(&server.address(), RemoteSettings { framing, ..settings(31_250, Flow::XonXoff) })
        .await
        .unwrap();
    assert!(before.elapsed() < Duration::from_secs(1), "it waited for answers that do not come");
    assert!(line.warnings().is_empty(), "{:?}", line.warnings());
    assert_eq!((line.speed(), line.leads_known()), (Some(31_250), false));
    assert!(!line.set_dtr(false).unwrap());
    assert!(line.set_break(true).unwrap() && line.set_break(false).unwrap());
    assert!(line.set_speed(2_400).unwrap());
    line.discard_output().unwrap();
    let mut buffer = [0; 16];
    let read = tokio::time::timeout(Duration::from_millis(500), line.read(&mut buffer)).await;
    assert!(read.is_err(), "{read:?}");
    assert_eq!(line.speed(), Some(2_400));
}
