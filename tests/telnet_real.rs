//! TELNET to the servers that people have: inetutils-telnetd and BusyBox telnetd, with the system's login.
//!
//! Each connection gets a server of its own, as inetd would start it. Needs root, for login(1).
#![allow(clippy::disallowed_methods)] // real servers run by the real clock

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use common::servers::Whose::{Busybox, Inetutils};
use common::servers::{Inetd, Relay, Whose};
use common::*;
use data_encoding::BASE64;
use mailcall::line::Line;
use mailcall::line::telnet::{TelnetLine, TelnetSettings};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The line and account of a user who calls at `address`.
fn home_at(address: SocketAddr, user: &User, line: &str, account: &str) -> Home {
    Home::with_line(
        &format!("kind = \"telnet\"\naddress = \"{address}\"\n{line}"),
        &format!("user = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n{account}", user.name),
    )
}

async fn line_to(
    inetd: &Inetd,
    change: impl FnOnce(&mut TelnetSettings),
) -> TelnetLine<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(inetd.address).await.unwrap();
    let mut settings = TelnetSettings::new(inetd.address.to_string(), inetd.address.port());
    change(&mut settings);
    TelnetLine::over_tcp(stream, settings).unwrap()
}

fn signal_all(inetd: &Inetd, signal: Signal) {
    for child in inetd.children.lock().unwrap().iter() {
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    }
}

/// A mebibyte in which every byte follows every other, no two of its lines alike.
fn every_byte() -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..=255u8).flat_map(|one| (0..=255u8).flat_map(move |other| [one, other])).collect();
    let mut seed = 1u32;
    while bytes.len() < 1 << 20 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.push((seed >> 24) as u8);
    }
    bytes
}

/// A mailbox with one message that has them.
fn every_byte_mbox() -> Vec<u8> {
    let head = b"From mary@example.org Mon Jan  5 10:00:00 2026\nSubject: every byte\n\n";
    [head, &every_byte()[..], b"\n\n"].concat()
}

fn comes_home(whose: Whose, line: &str, mailbox: &[u8], transfer: &str) {
    let Some(user) = User::new(&format!("t{}", line.len() + whose as usize), "/bin/bash", mailbox) else {
        return;
    };
    let Some(inetd) = Inetd::start(whose, "/bin/login") else { return };
    if transfer == "zmodem" && !have("sz") {
        return;
    }
    let home = home_at(inetd.address, &user, line, &format!("transfer = {transfer:?}\n"));
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(first.json("transfer"), transfer, "{}", first.out);
    assert!(home.mail() == messages(mailbox), "{whose:?} {line}: the mail is another");
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 0);
    assert!(second.number("bytes_down") < 4_000, "{}", second.out);
    assert_eq!(home.mail(), messages(mailbox));
}

#[test]
fn the_sample_comes_home_through_inetutils_in_binary_and_then_nothing() {
    comes_home(Inetutils, "", &sample(), "zmodem");
}

#[test]
fn the_sample_comes_home_through_busybox_which_has_no_binary_and_then_nothing() {
    comes_home(Busybox, "", &sample(), "text");
}

#[test]
fn a_telnetd_is_reached_by_ipv6() {
    let ip = Ipv6Addr::LOCALHOST.into();
    if TcpListener::bind((ip, 0)).is_err() {
        return missing("this machine has no IPv6");
    }
    let Some(user) = User::new("s", "/bin/sh", &sample()) else { return };
    for whose in [Inetutils, Busybox] {
        let Some(inetd) = Inetd::start_at(ip, whose, "/bin/login") else { return };
        let home = home_at(inetd.address, &user, "", "");
        home.fetch().ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()), "{whose:?}");
    }
}

#[test]
fn a_mail_of_every_byte_comes_home_in_binary() {
    comes_home(Inetutils, "\n", &every_byte_mbox(), "zmodem");
}

#[test]
fn a_mail_of_every_byte_comes_home_without_binary() {
    comes_home(Inetutils, "binary = false\n", &every_byte_mbox(), "text");
}

#[test]
fn a_mail_of_every_byte_comes_home_through_busybox() {
    comes_home(Busybox, "\n", &every_byte_mbox(), "text");
}

#[test]
fn zmodem_is_tried_without_binary_where_the_account_says_so() {
    let Some(user) = User::new("z", "/bin/bash", &sample()) else { return };
    let Some(inetd) = Inetd::start(Inetutils, "/bin/login") else { return };
    if !have("sz") {
        return;
    }
    let home = home_at(inetd.address, &user, "binary = false\n", "transfer = \"zmodem\"\n");
    let ran = home.run(&["fetch", "home"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("does not agree to eight bits"), "{}", ran.err);
    assert!(ran.err.contains("ZMODEM"), "{}", ran.err);
    assert_eq!(home.mail(), messages(&sample()));
}

#[test]
fn a_host_that_was_told_the_user_asks_for_the_password_only() {
    let Some(user) = User::new("p", "/bin/bash", &sample()) else { return };
    for whose in [Inetutils, Busybox] {
        // BusyBox takes no arguments for the program that it starts.
        let script = tempfile::tempdir().unwrap();
        let login = script.path().join("login");
        std::fs::write(&login, format!("#!/bin/sh\nexec /bin/login {}\n", user.name)).unwrap();
        std::fs::set_permissions(&login, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let Some(inetd) = Inetd::start(whose, login.to_str().unwrap()) else { return };
        let home = home_at(inetd.address, &user, "", "");
        home.fetch().ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()), "{whose:?}");
    }
}

#[test]
fn a_call_that_was_cut_off_goes_on_where_it_stopped() {
    let mailbox = every_byte_mbox();
    let Some(user) = User::new("c", "/bin/bash", &mailbox) else { return };
    let Some(inetd) = Inetd::start(Inetutils, "/bin/login") else { return };
    let relay = Relay::to(inetd.address.port(), Some(600_000));
    let zmodem = "transfer = \"zmodem\"\n"; // whose bytes are those of the mail
    let home = home_at((Ipv4Addr::LOCALHOST, relay.port).into(), &user, "", zmodem);
    let first = home.fetch();
    first.ended(75, "carrier-lost");
    assert_eq!(home.mail(), Vec::<Vec<u8>>::new());
    let second = home.fetch();
    second.ended(0, "done");
    assert!(home.mail() == messages(&mailbox));
    assert!(second.number("bytes_down") < 700_000, "{}", second.out);
}

/// Runs `script` behind the server and waits until it says READY.
async fn raw(inetd: &Inetd, change: impl FnOnce(&mut TelnetSettings)) -> TelnetLine<tokio::net::TcpStream> {
    let mut line = line_to(inetd, change).await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"READY") {
        heard.push(line.read_u8().await.unwrap_or_else(|error| panic!("{error}: {}", heard.escape_ascii())));
    }
    line
}

/// A server that runs a script on its terminal, and the folder that the script lies in.
fn running(whose: Whose, script: &str) -> Option<(Inetd, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(folder.path().join("data"), every_byte()).unwrap();
    // inetutils sets its terminal up while the program starts.
    let script = format!(
        "#!/bin/sh\ncd {}\nsleep 1\nstty raw -echo\nprintf READY\n{script}\n",
        folder.path().display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    Inetd::start(whose, program.to_str().unwrap()).map(|inetd| (inetd, folder))
}

/// A mebibyte each way.
struct Carried {
    /// What the terminal behind the server got of ours.
    up: Vec<u8>,
    /// What we got of its.
    down: Vec<u8>,
    eight_bit: bool,
}

async fn carried_by(whose: Whose, binary: bool) -> Option<Carried> {
    // A byte that is lost would be waited for: `head` ends all the same, by time.
    let script = "timeout --foreground 10 head -c 1048576 >up; printf UP; cat data; printf DONE; sleep 60";
    let (inetd, folder) = running(whose, script)?;
    let mut line = raw(&inetd, |settings| settings.binary = binary).await;
    if line.ask_eight_bit() {
        let answer = tokio::time::timeout(Duration::from_millis(300), line.read_u8()).await;
        assert!(answer.is_err(), "an answer is no data: {answer:?}");
    }
    let eight_bit = line.eight_bit();
    line.write_all(&every_byte()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"DONE") {
        let mut buffer = [0; 4096];
        let count = line.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{:?}", line.why_ended());
        heard.extend_from_slice(&buffer[..count]);
    }
    let down = heard.strip_prefix(b"UP").and_then(|down| down.strip_suffix(b"DONE"));
    let down = down.unwrap_or_else(|| panic!("{}", heard[..100].escape_ascii())).to_vec();
    Some(Carried { up: std::fs::read(folder.path().join("up")).unwrap(), down, eight_bit })
}

/// Fails with where the first difference is.
fn same(what: &str, got: &[u8], expected: &[u8]) {
    if let Some(at) = (0..got.len().max(expected.len())).find(|&at| got.get(at) != expected.get(at)) {
        let around = |bytes: &[u8]| {
            bytes[at.saturating_sub(8).min(bytes.len())..(at + 8).min(bytes.len())].escape_ascii().to_string()
        };
        panic!(
            "{what}: {} bytes for {}, at {at} {} for {}",
            got.len(),
            expected.len(),
            around(got),
            around(expected)
        );
    }
}

#[tokio::test]
async fn every_byte_passes_inetutils_both_ways_in_binary() {
    let Some(carried) = carried_by(Inetutils, true).await else { return };
    assert!(carried.eight_bit);
    same("up", &carried.up, &every_byte());
    same("down", &carried.down, &every_byte());
}

#[tokio::test]
async fn every_byte_passes_inetutils_both_ways_without_binary_once_its_terminal_is_raw() {
    let Some(carried) = carried_by(Inetutils, false).await else { return };
    assert!(!carried.eight_bit, "an NVT has seven bits, whatever this server does beyond that");
    same("up", &carried.up, &every_byte());
    same("down", &carried.down, &every_byte());
}

/// It sends each CR bare, so that a NUL behind one cannot be told from that of an NVT; and when its terminal
/// is full it loses a NUL or LF now and then. So data goes as text, a terminal's buffer at a time.
#[tokio::test]
async fn through_busybox_every_byte_passes_down_but_a_nul_behind_a_cr_and_up_as_text() {
    let script = "cat data; printf DONE; while head -c 2048 >>up; do printf .; done";
    let Some((inetd, folder)) = running(Busybox, script) else { return };
    let mut line = raw(&inetd, |_| {}).await;
    line.ask_eight_bit();
    assert!(!line.eight_bit(), "it never agrees to BINARY");
    let all = every_byte();
    let stays = |at: usize| all[at] != 0 || at == 0 || all[at - 1] != b'\r';
    let without: Vec<u8> = (0..all.len()).filter(|&at| stays(at)).map(|at| all[at]).collect();
    assert!(without.len() < all.len());
    let mut down = vec![0; without.len() + b"DONE".len()];
    line.read_exact(&mut down).await.unwrap();
    same("down", &down, &[&without[..], b"DONE"].concat());
    let mut text = BASE64.encode(&all);
    text.extend(std::iter::repeat_n('.', 2048 - text.len() % 2048));
    for block in text.as_bytes().chunks(2048) {
        line.write_all(block).await.unwrap();
        assert_eq!(line.read_u8().await.unwrap(), b'.');
    }
    let up = std::fs::read(folder.path().join("up")).unwrap();
    same("up", &up, text.as_bytes());
}

#[tokio::test]
async fn the_terminal_behind_the_server_has_our_windows_size_and_follows_it() {
    let Some((inetd, _folder)) = running(Inetutils, "while read -r _; do stty size; done") else { return };
    let mut line = raw(&inetd, |settings| (settings.rows, settings.cols) = (30, 100)).await;
    for size in [None, Some((50, 132)), Some((255, 255))] {
        if let Some((rows, cols)) = size {
            assert!(line.set_window(rows, cols).unwrap());
        }
        let (rows, cols) = size.unwrap_or((30, 100));
        line.write_all(b"\n").await.unwrap();
        let expected = format!("{rows} {cols}\n");
        let mut heard = vec![0; expected.len()];
        line.read_exact(&mut heard).await.unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_server_that_is_stopped_is_noticed_and_one_that_is_slow_or_quiet_is_not() {
    let Some((inetd, _folder)) = running(Inetutils, "sleep 60") else { return };
    let limits = |settings: &mut TelnetSettings| {
        (settings.probe_after, settings.dead_after) = (Duration::from_secs(1), Duration::from_secs(3));
    };
    let mut line = raw(&inetd, limits).await;
    // The program says nothing and reads nothing, its server is there.
    line.write_all(&[b'x'; 1000]).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(6), line.read_u8()).await.is_err());
    // Stopped for less than the limit.
    signal_all(&inetd, Signal::SIGSTOP);
    assert!(tokio::time::timeout(Duration::from_millis(2_500), line.read_u8()).await.is_err());
    signal_all(&inetd, Signal::SIGCONT);
    assert!(tokio::time::timeout(Duration::from_millis(2_500), line.read_u8()).await.is_err());
    assert_eq!(line.why_ended(), None);
    signal_all(&inetd, Signal::SIGSTOP);
    let began = Instant::now();
    assert_eq!(line.read(&mut [0; 10]).await.unwrap(), 0);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(line.why_ended().unwrap().contains("dead"));
}

#[tokio::test]
async fn an_urgent_data_mark_is_no_data_and_takes_none_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let host = std::thread::spawn(move || {
        let (mut host, _) = listener.accept().unwrap();
        host.write_all(b"\xff\xfd\x18before\xff").unwrap();
        socket2::SockRef::from(&host).send_out_of_band(b"\xf2").unwrap();
        host.write_all(b"after").unwrap();
        let _ = host.read(&mut [0; 100]);
    });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut line = TelnetLine::over_tcp(stream, TelnetSettings::new("host".into(), 2323)).unwrap();
    let mut heard = [0; 11];
    line.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"beforeafter");
    drop(line);
    host.join().unwrap();
}
