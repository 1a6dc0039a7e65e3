//! Lines over TCP against real servers: Debian's ser2net with a modem behind it, socat with the system's
//! login or a shell, and peers that refuse, are silent, or die in mid-call. Only the loopback is used.
#![allow(clippy::disallowed_methods)] // the real world is what is tested here

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::servers::{Ser2net, Socat};
use common::*;
use mailcall::line::pty::PtyPair;
use mailcall::line::tcp::{self, TcpLine};
use mailcall::line::{Address, Line};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn free_address(ip: std::net::IpAddr) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// A home whose line leads to `address`, straight to a shell where `mailbox` is.
fn home(address: SocketAddr, mailbox: &Path, more: &str) -> Home {
    Home::with_line(
        &format!("kind = \"tcp\"\naddress = \"{address}\"\n{more}"),
        &format!("mailbox = {mailbox:?}\n"),
    )
}

/// A listener that takes nobody: its queue is full, so that the kernel answers no SYN.
struct BlackHole {
    address: SocketAddr,
    _held: (Socket, TcpStream),
}

impl BlackHole {
    fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let queued = TcpStream::connect(address).unwrap();
        Self { address, _held: (listener, queued) }
    }
}

#[test]
fn a_modem_behind_ser2net_is_dialled_fetched_through_and_hung_up() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = folder.path().join("mary");
    std::fs::write(&mailbox, sample()).unwrap();
    let path = mailbox.display().to_string();
    let args = ["--ring", "0", "--bps", "33600", "--password", PASSWORD, "--mailbox", &path];
    let sim = Sim::start(&[&args[..], &["--drop-after", "8000"]].concat());
    let Some(server) = Ser2net::start("", &sim.device) else { return };
    let home = Home::with_line(
        &format!("kind = \"tcp\"\naddress = \"{}\"\nmodem = \"generic\"\n", server.address()),
        &format!(
            "phone = \"555 1212\"\nuser = \"mary\"\npassword = {{ env = \"TEST_PASSWORD\" }}\nmailbox = {mailbox:?}\n"
        ),
    );
    home.account_also("transfer = \"zmodem\"\n");
    // The carrier is lost half-way, which this line learns from the modem's words only.
    let first = home.fetch();
    first.ended(75, "carrier-lost");
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
    assert!(second.number("bytes_down") < sample().len() as u64, "resumed: {}", second.out);
    sim.on_hook_after(2);
    let third = home.fetch();
    assert_eq!(third.ended(0, "done").number("messages_new"), 0);
    sim.on_hook_after(3);

    // Who comes second is told so, and it is no defect of the line.
    let held = TcpStream::connect(server.address()).unwrap();
    let ran = home.fetch();
    ran.ended(75, "port-locked");
    assert!(ran.json("error").as_str().unwrap().contains("Port already in use"), "{}", ran.out);
    drop(held);
}

#[test]
fn a_device_that_ser2net_cannot_open_is_no_such_port() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("ttyGone");
    std::fs::write(&device, "").unwrap(); // a file, and no terminal
    let Some(server) = Ser2net::start("", &device) else { return };
    let home = Home::with_line(
        &format!("kind = \"tcp\"\naddress = \"{}\"\nmodem = \"generic\"\n", server.address()),
        "phone = \"555 1212\"\nuser = \"mary\"\npassword = { env = \"TEST_PASSWORD\" }\n",
    );
    let ran = home.fetch();
    ran.ended(69, "no-such-port");
    assert!(ran.json("error").as_str().unwrap().contains("open failure"), "{}", ran.out);
}

#[tokio::test]
async fn a_mebibyte_of_every_byte_passes_ser2net_both_ways_at_once() {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let Some(server) = Ser2net::start("", &pty.path) else { return };
    let address = Address::parse(&server.address(), None).unwrap();
    let stream = tcp::connect(&address, Duration::from_secs(5)).await.unwrap();
    let line = TcpLine::new(stream, "test".into());
    // Which byte stands where differs from block to block, so that a lost one shows.
    let pattern: Vec<u8> = (0..1u32 << 20).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    // ser2net takes the device when we are connected: what is written before would be echoed or lost.
    let master = File::from(pty.master); // held to the end: closing it throws away what was not yet read
    let (mut to_line, mut from_line) = (master.try_clone().unwrap(), master.try_clone().unwrap());
    let down = pattern.clone();
    let (mut reads, mut writes) = tokio::io::split(line);
    writes.write_all(b"!").await.unwrap();
    from_line.read_exact(&mut [0]).unwrap();
    let sender = std::thread::spawn(move || to_line.write_all(&down).unwrap());
    let receiver = std::thread::spawn(move || {
        let mut up = vec![0; 1 << 20];
        from_line.read_exact(&mut up).unwrap();
        up
    });
    let mut down = vec![0; 1 << 20];
    let went = tokio::time::timeout(Duration::from_secs(60), async {
        tokio::join!(writes.write_all(&pattern), reads.read_exact(&mut down))
    });
    let (wrote, read) = went.await.expect("within a minute");
    wrote.unwrap();
    read.unwrap();
    assert!(down == pattern, "down");
    assert!(receiver.join().unwrap() == pattern, "up");
    sender.join().unwrap();
    drop(master);
}

#[test]
fn a_login_is_reached_by_ipv4_and_by_ipv6() {
    let mailbox = sample();
    let Some(user) = User::new("t", "/bin/sh", &mailbox) else { return };
    for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        if TcpListener::bind((ip, 0)).is_err() {
            missing(&format!("this machine has no {ip}"));
            continue;
        }
        let Some(server) = Socat::start_on(free_address(ip), "/bin/login") else { return };
        let account = format!("user = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n", user.name);
        let line = format!("kind = \"tcp\"\naddress = \"{}\"\n", server.address);
        let home = Home::with_line(&line, &account);
        home.fetch().ended(0, "done");
        assert_eq!(home.mail(), messages(&mailbox), "{ip}");
    }
}

#[tokio::test]
async fn of_several_addresses_those_that_are_dead_cost_little() {
    let hole = BlackHole::open();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (good, refusing) = (listener.local_addr().unwrap(), free_address(Ipv4Addr::LOCALHOST.into()));
    for (addresses, at_most) in [
        (vec![refusing, good], 500),
        (vec![hole.address, good], 1_500),
        (vec![hole.address, refusing, good], 1_500),
    ] {
        let began = Instant::now();
        let stream = tcp::connect_any(addresses.clone(), Duration::from_secs(30)).await.unwrap();
        let took = began.elapsed();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(took < Duration::from_millis(at_most), "{addresses:?}: {took:?}");
    }
    let tried = tcp::connect_any(vec![hole.address, refusing], Duration::from_secs(1)).await.unwrap_err();
    let ends: Vec<_> = tried.iter().map(|tried| (tried.address, tried.why.kind())).collect();
    let (timed_out, refused) = (std::io::ErrorKind::TimedOut, std::io::ErrorKind::ConnectionRefused);
    assert_eq!(ends, [(hole.address, timed_out), (refusing, refused)]);
}

#[tokio::test]
async fn a_name_is_looked_up_and_its_connection_watched() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = Address { host: "localhost".into(), port: listener.local_addr().unwrap().port() };
    let stream = tcp::connect(&address, Duration::from_secs(5)).await.unwrap();
    assert!(stream.nodelay().unwrap());
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    let patience = socket.tcp_keepalive_time().unwrap()
        + socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
    assert!(patience <= Duration::from_secs(60), "{patience:?}");
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
    let mut line = TcpLine::new(stream, "test".into());
    assert_eq!(line.unsent().unwrap(), Some(0));
    // A peer that takes nothing: what was written is under way, flush does not wait for it.
    let chunk = [0; 64 * 1024];
    while tokio::time::timeout(Duration::from_millis(200), line.write(&chunk)).await.is_ok() {}
    tokio::time::timeout(Duration::from_secs(1), line.flush()).await.expect("at once").unwrap();
    assert!(line.unsent().unwrap() > Some(0));
}

#[test]
fn what_is_not_reached_says_each_address_and_whether_to_try_again() {
    let (hole, refusing) = (BlackHole::open(), free_address(Ipv4Addr::LOCALHOST.into()));
    let mailbox = Path::new("/var/mail/mary");
    let refused = home(refusing, mailbox, "").fetch();
    refused.ended(75, "no-carrier");
    let error = refused.json("error").to_string();
    assert!(error.contains(&refusing.to_string()) && error.contains("refuses"), "{error}");

    let began = Instant::now();
    let silent = home(hole.address, mailbox, "connect_wait = 1\n").fetch();
    silent.ended(75, "no-carrier");
    assert!(silent.json("error").to_string().contains("does not answer"), "{}", silent.out);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // An empty label is in no name, which is known without asking anybody.
    let nowhere = Home::with_line("kind = \"tcp\"\naddress = \"no..host:23\"\n", "mailbox = \"x\"\n");
    let ran = nowhere.fetch();
    ran.ended(69, "no-such-port");
    assert!(ran.json("error").to_string().contains("no host is called"), "{}", ran.out);
}

#[test]
fn a_signal_ends_connecting_at_once() {
    let hole = BlackHole::open();
    let home = home(hole.address, Path::new("/var/mail/mary"), "");
    let mut command = home.command(&["fetch", "home"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    read_until(child.stderr.as_mut().unwrap(), "opening line usr");
    std::thread::sleep(Duration::from_millis(200)); // into connecting
    let began = Instant::now();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let ran = Ran::new(child.wait_with_output().unwrap());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(ran.code, 75, "{}", ran.err);
    assert!(ran.err.contains("ended by Ctrl-C"), "{}", ran.err);
}

/// How a connection in the middle ends.
#[derive(Debug, Clone, Copy)]
enum Dies {
    /// RST: a host that was started again.
    Reset,
    /// FIN.
    Closes,
    /// Not at all.
    Never,
}

/// Passes bytes on between callers and a server, one caller after the other; each connection dies as
/// said once so many bytes have come from the server.
fn in_the_middle(server: SocketAddr, deaths: Vec<(Dies, usize)>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (dies, after) in deaths {
            let (mut caller, _) = listener.accept().unwrap();
            let mut called = TcpStream::connect(server).unwrap();
            let (mut up_from, mut up_to) = (caller.try_clone().unwrap(), called.try_clone().unwrap());
            let up = std::thread::spawn(move || {
                let _ = std::io::copy(&mut up_from, &mut up_to); // until either has gone
            });
            let mut down = 0;
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = called.read(&mut buffer) {
                down += count;
                if caller.write_all(&buffer[..count]).is_err() || down >= after {
                    break;
                }
            }
            let _ = match dies {
                // Reading ends, so that the thread lets go of it, and the last close resets.
                Dies::Reset => SockRef::from(&caller)
                    .set_linger(Some(Duration::ZERO))
                    .and_then(|()| caller.shutdown(Shutdown::Read)),
                Dies::Closes | Dies::Never => caller.shutdown(Shutdown::Write), // half of it
            };
            let _ = called.shutdown(Shutdown::Both);
            let _ = up.join();
        }
    });
    address
}

#[test]
fn a_connection_that_dies_in_mid_call_is_75_and_the_next_call_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mailbox = folder.path().join("mary");
    let mail: Vec<u8> = sample().repeat(8);
    std::fs::write(&mailbox, &mail).unwrap();
    let Some(server) = Socat::start_on(free_address(Ipv4Addr::LOCALHOST.into()), "sh") else { return };
    for (dies, says) in [(Dies::Closes, "closed the connection"), (Dies::Reset, "broke the connection off")] {
        let after = mail.len() / 2;
        let address = in_the_middle(server.address, vec![(dies, after), (Dies::Never, usize::MAX)]);
        let home = home(address, &mailbox, "");
        home.account_also("transfer = \"zmodem\"\n");
        let first = home.fetch();
        first.ended(75, "carrier-lost");
        assert!(first.json("error").to_string().contains(says), "{dies:?}: {}", first.out);
        let second = home.fetch();
        second.ended(0, "done");
        let down = second.number("bytes_down") as usize;
        assert!(down < mail.len() * 3 / 4, "{dies:?}: {down} bytes again of {}", mail.len());
        assert_eq!(home.mail(), messages(&mail), "{dies:?}");
    }
}

/// In a network of its own, whose only link is taken down in mid-call: packets go nowhere and nobody
/// says so, as when a cable is pulled out far away.
#[test]
fn a_peer_that_falls_silent_in_mid_call_is_noticed_within_a_minute_or_so() {
    if !["unshare", "ip", "socat"].iter().all(|tool| have(tool)) {
        return;
    }
    if !Command::new("unshare").args(["-n", "true"]).status().is_ok_and(|status| status.success()) {
        return missing("a network of its own can only be had as root");
    }
    let folder = tempfile::tempdir().unwrap();
    let mailbox = folder.path().join("mary");
    let mail: Vec<u8> = sample().repeat(400);
    std::fs::write(&mailbox, &mail).unwrap();
    let home = home(SocketAddr::from((Ipv4Addr::LOCALHOST, 7_000)), &mailbox, "");
    let script = "ip link set lo up
        socat TCP4-LISTEN:7000,bind=127.0.0.1 EXEC:sh,pty,stderr,setsid,ctty >/dev/null 2>&1 & server=$!
        until grep -q ':1B58 .* 0A ' /proc/net/tcp; do sleep 0.05; done
        \"$0\" fetch --json -v home & fetch=$!
        read -r _ && ip link set lo down
        wait $fetch; ended=$?; kill $server; exit $ended";
    let run = || {
        let mut command = home.command(&[]);
        let envs: Vec<_> =
            command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
        command = Command::new("unshare");
        for (key, value) in envs {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.args(["-n", "sh", "-c", script, program()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = run();
    read_until(child.stderr.as_mut().unwrap(), &format!(" of {} bytes", mail.len()));
    writeln!(child.stdin.as_mut().unwrap(), "down").unwrap();
    let began = Instant::now();
    let ran = Ran::new(child.wait_with_output().unwrap());
    ran.ended(75, "carrier-lost");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(75), "{took:?}");
    let error = ran.json("error").to_string();
    assert!(error.contains("no longer answers") || error.contains("connection was lost"), "{error}");
    let mut child = run();
    drop(child.stdin.take()); // the link stays up
    let second = Ran::new(child.wait_with_output().unwrap());
    let down = second.ended(0, "done").number("bytes_down");
    assert!(down < mail.len() as u64 * 19 / 20, "what had come is kept: {down} of {} bytes", mail.len());
    assert_eq!(home.mail().len(), messages(&mail).len());
}
