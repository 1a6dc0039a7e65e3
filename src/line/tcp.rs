//! A TCP connection: to a modem behind a terminal server, or straight to a login.
//!
//! [`connect`] is for every line over a network. A name may have several addresses, of both families,
//! and some of them may lead nowhere: they are tried one after the other, each with a head start only,
//! in the spirit of RFC 8305 (Happy Eyeballs).

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::libc;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Address, Line};

/// Connects within `wait`, looking the name up included. Needs a running tokio reactor; dropping the
/// future gives up at once.
#[allow(clippy::disallowed_methods)] // a line is where the world begins: names are looked up in real time
pub async fn connect(address: &Address, wait: Duration) -> Result<TcpStream, ConnectError> {
    let until = Instant::now() + wait;
    let addresses = look_up(address, wait, until).await?;
    let reached = connect_any(addresses, until.saturating_duration_since(now())).await;
    reached.map_err(|tried| ConnectError::NotReached { address: address.clone(), tried })
}

/// Connects to one of these addresses within `wait`, or says what came of each.
#[allow(clippy::disallowed_methods)] // a line is where the world begins: hosts answer in real time
pub async fn connect_any(addresses: Vec<SocketAddr>, wait: Duration) -> Result<TcpStream, Vec<Tried>> {
    let attempt = async |address| {
        let stream = TcpStream::connect(address).await?;
        set_options(&stream)?;
        Ok(stream)
    };
    first_to_connect(&alternating(addresses), Instant::now() + wait, attempt).await
}

/// What a name stands for, in the order of the system's resolver; the look-up may take `wait`.
#[allow(clippy::disallowed_methods)] // as above
pub async fn addresses(address: &Address, wait: Duration) -> Result<Vec<SocketAddr>, ConnectError> {
    look_up(address, wait, Instant::now() + wait).await
}

/// Why no connection came about, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name does not exist, or has no address.
    #[error("no host is called {host:?} ({why}): check `address`")]
    NoSuchName {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
    /// Nobody could say whether the name exists.
    #[error("the name {host:?} could not be looked up ({why}): is this machine on the network?")]
    NotLookedUp {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
    /// It has addresses, and none of them was reached.
    #[error("cannot connect to {address}: {}", all(address, tried))]
    NotReached {
        /// What was asked for.
        address: Address,
        /// Each address, with what came of it.
        tried: Vec<Tried>,
    },
}

/// An address, and why it was not reached.
#[derive(Debug)]
pub struct Tried {
    /// The address.
    pub address: SocketAddr,
    /// What the system said; of the kind `TimedOut` where it was silent.
    pub why: io::Error,
}

/// Every address with its end, and what mends it.
fn all(address: &Address, tried: &[Tried]) -> String {
    let why = |why: &io::Error| match why.kind() {
        io::ErrorKind::ConnectionRefused => "it refuses the connection".to_owned(),
        io::ErrorKind::TimedOut => "it does not answer".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "no way leads there from here".to_owned()
        }
        _ => why.to_string(), // the system's own words are all there is
    };
    let each = tried.iter().map(|tried| match tried.address.to_string() {
        same if same == address.to_string() => why(&tried.why),
        other => format!("{other}: {}", why(&tried.why)),
    });
    let mends = match tried.iter().any(|tried| tried.why.kind() == io::ErrorKind::ConnectionRefused) {
        true => "is its server running, and the port the right one?",
        false => "is the network up, and no firewall in between?",
    };
    let each: Vec<String> = each.collect();
    format!("{}; {mends}", each.join(", "))
}

/// All addresses of a name. `getaddrinfo` knows no deadline, so it runs on a thread of its own that
/// nobody waits for: one of the runtime's would hold up the end of the program.
async fn look_up(address: &Address, wait: Duration, until: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
    let (tell, told) = oneshot::channel();
    let (host, port) = (address.host.clone(), address.port);
    let not_looked_up = |why: String| ConnectError::NotLookedUp { host: address.host.clone(), why };
    let thread = std::thread::Builder::new().name("resolver".into());
    thread
        .spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            let _ = tell.send(found); // nobody waits any more
        })
        .map_err(|error| not_looked_up(error.to_string()))?;
    let found: io::Result<Vec<SocketAddr>> = match timeout_at(until, told).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => return Err(not_looked_up("the look-up broke off".to_owned())),
        Err(_) => return Err(not_looked_up(format!("no answer within {} s", wait.as_secs()))),
    };
    let no_such_name = |why| ConnectError::NoSuchName { host: address.host.clone(), why };
    match found {
        Ok(addresses) if addresses.is_empty() => Err(no_such_name("it has no address".to_owned())),
        Ok(addresses) => Ok(addresses),
        Err(error) => {
            let text = error.to_string();
            let why = text.rsplit(": ").next().unwrap_or(&text).to_owned();
            Err(if does_not_exist(&text) { no_such_name(why) } else { not_looked_up(why) })
        }
    }
}

/// Whether the failure of a look-up says that there is no such name, and not that nobody answered.
/// The standard library hands on getaddrinfo's words but not its code.
fn does_not_exist(text: &str) -> bool {
    [libc::EAI_NONAME, libc::EAI_NODATA].into_iter().any(|code| {
        // SAFETY: gai_strerror returns a string that lives as long as the program, whatever the code.
        let words = unsafe { std::ffi::CStr::from_ptr(libc::gai_strerror(code)) };
        words.to_str().is_ok_and(|words| text.ends_with(words))
    })
}

/// One of each family in turn, beginning with the one that the system prefers (RFC 8305, 4). Each
/// address once, and not more than [`ADDRESSES_MAX`].
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == preferred);
    first.reverse();
    second.reverse();
    let mut order = Vec::new();
    while let Some(address) = first.pop().or_else(|| second.pop()) {
        if !order.contains(&address) {
            order.push(address);
            std::mem::swap(&mut first, &mut second);
        }
    }
    order.truncate(ADDRESSES_MAX);
    order
}

/// The first of these that connects. Each is given a head start before the next is tried beside it, so
/// that one that never answers does not use up the time of all; one that fails makes room at once.
async fn first_to_connect<S>(
    addresses: &[SocketAddr],
    until: Instant,
    attempt: impl AsyncFn(SocketAddr) -> io::Result<S>,
) -> Result<S, Vec<Tried>> {
    let mut ends: Vec<Option<io::Error>> = addresses.iter().map(|_| None).collect();
    let attempt = &attempt;
    let mut under_way = FuturesUnordered::new();
    let mut waiting = addresses.iter().enumerate();
    let mut next_at = None;
    loop {
        if next_at.is_none_or(|at| at <= now()) {
            next_at = waiting.next().map(|(place, &address)| {
                under_way.push(async move { (place, attempt(address).await) });
                let share = until.saturating_duration_since(now()) / (waiting.len() as u32 + 1);
                now() + HEAD_START.min(share)
            });
        }
        let went = tokio::select! {
            went = under_way.next() => went,
            () = sleep_until(next_at.unwrap_or(until).min(until)) => {
                if now() < until { continue } else { None }
            }
        };
        match went {
            Some((_, Ok(connected))) => return Ok(connected),
            Some((place, Err(why))) => {
                ends[place] = Some(why);
                next_at = next_at.map(|_| now());
            }
            // All have failed, or the time is up.
            None => break,
        }
    }
    let silent = || io::ErrorKind::TimedOut.into();
    let ends = ends.into_iter().map(|end| end.unwrap_or_else(silent));
    Err(addresses.iter().zip(ends).map(|(&address, why)| Tried { address, why }).collect())
}

#[allow(clippy::disallowed_methods)] // a line is where the world begins: hosts answer in real time
fn now() -> Instant {
    Instant::now()
}

/// What every connection of ours wants: keys are sent as they are pressed, a peer that is gone is noticed
/// in bounded time, and what was asked to be thrown away has not long been the kernel's.
fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE_IDLE).with_interval(KEEP_ALIVE_EVERY);
    socket.set_tcp_keepalive(&keep_alive.with_retries(KEEP_ALIVE_PROBES))?;
    // RFC 5482; it counts for bytes of ours that nobody acknowledges, and for probes.
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_notsent_lowat(NOT_SENT_MAX)
}

/// A connection as a line: bytes and nothing else.
#[derive(Debug)]
pub struct TcpLine {
    stream: TcpStream,
    name: String,
    /// Why it ended. Some errors are told only once, to whoever asks first.
    why: Option<String>,
    /// Reading is over.
    ended: bool,
    /// All that was heard, while it is little: a server that has no room says so and hangs up.
    heard: Vec<u8>,
}

impl TcpLine {
    /// A line over a connection that is up.
    pub fn new(stream: TcpStream, name: String) -> Self {
        Self { stream, name, why: None, ended: false, heard: Vec::new() }
    }

    fn end(&mut self, why: String) {
        self.ended = true;
        self.why.get_or_insert(why);
    }
}

/// What became of a connection, in words.
pub fn why_lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the other end broke the connection off".to_owned()
        }
        io::ErrorKind::TimedOut => "the other end no longer answers".to_owned(),
        _ => format!("the connection was lost: {error}"), // a route that went away, for one
    }
}

/// Whether a server that hung up said that somebody else has its port: ser2net's `Port already in use`.
pub fn says_in_use(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    IN_USE.iter().any(|words| why.contains(words))
}

impl Line for TcpLine {
    /// TCP takes nothing back: at most [`NOT_SENT_MAX`] and what is on its way still arrive.
    fn discard_output(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn unsent(&mut self) -> io::Result<Option<usize>> {
        unacknowledged(&self.stream).map(Some)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn why_ended(&mut self) -> Option<String> {
        let why = self.why.clone()?;
        let heard = String::from_utf8_lossy(&self.heard);
        let said = heard.lines().rev().map(str::trim).find(|line| !line.is_empty());
        Some(match said {
            Some(said) if self.heard.len() < HEARD_MAX => format!("{why}, saying {said:?}"),
            Some(_) | None => why,
        })
    }
}

/// Bytes that the other end has not acknowledged (`SIOCOUTQ`).
pub fn unacknowledged(stream: &TcpStream) -> io::Result<usize> {
    nix::ioctl_read_bad!(siocoutq, libc::TIOCOUTQ, libc::c_int);
    let mut count = 0;
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ, writes one int to a pointer valid for the call.
    unsafe { siocoutq(stream.as_raw_fd(), &mut count) }?;
    Ok(usize::try_from(count).unwrap_or(0))
}

impl AsyncRead for TcpLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => this.end(why_lost(&error)),
            Poll::Ready(Ok(())) => match &buf.filled()[before..] {
                [] => this.end("the other end closed the connection".to_owned()),
                bytes => {
                    let room = HEARD_MAX - this.heard.len();
                    this.heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            },
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpLine {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let Poll::Ready(Err(error)) = &written {
            // What the other end said last can still be read, but no longer why it went.
            this.why.get_or_insert_with(|| why_lost(error));
        }
        written
    }

    /// Never waits: what was written is the kernel's.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How long an address is tried before the next is tried beside it: longer than the 250 ms of RFC 8305,
/// 8, because a modem's port takes one caller only, and a satellite answers within a second.
pub const HEAD_START: Duration = Duration::from_secs(1);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;
/// Silence after which the other end is asked whether it is still there.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(30);
/// How often it is asked again.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// How often it may leave that unanswered.
const KEEP_ALIVE_PROBES: u32 = 3;
/// How long the other end may leave bytes of ours unacknowledged, or take none.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// Bytes that the kernel takes before it has sent them.
const NOT_SENT_MAX: u32 = 16 * 1024;
/// What terminal servers say, in lower case, when their port has a user already.
const IN_USE: [&str; 3] = ["in use", "is busy", "already connected"];
/// Bytes from the other end that are little enough to be told.
const HEARD_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 23))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 23))
    }

    #[test]
    fn families_take_turns_from_the_one_that_the_system_prefers() {
        for (found, order) in [
            (vec![], vec![]),
            (vec![v4(1)], vec![v4(1)]),
            (vec![v6(1), v6(2), v4(1), v4(2)], vec![v6(1), v4(1), v6(2), v4(2)]),
            (vec![v4(1), v6(1), v6(2), v6(3)], vec![v4(1), v6(1), v6(2), v6(3)]),
            (vec![v4(1), v4(1), v4(2)], vec![v4(1), v4(2)]),
        ] {
            assert_eq!(alternating(found), order);
        }
        assert_eq!(alternating((0..100).map(v4).collect()).len(), ADDRESSES_MAX);
    }

    /// What an address does when it is tried.
    #[derive(Clone, Copy)]
    enum Does {
        Connects(u64),
        Refuses(u64),
        Nothing,
    }

    /// What comes of these addresses, in order, after how many milliseconds, and when each was tried.
    async fn tries(does: &[Does], wait: u64) -> (Result<usize, Vec<io::ErrorKind>>, u64, Vec<u64>) {
        let began = now();
        let tried_at = std::cell::RefCell::new(Vec::new());
        let addresses: Vec<_> = (0..does.len() as u8).map(v4).collect();
        let at = |address: &SocketAddr| addresses.iter().position(|one| one == address).unwrap();
        let attempt = async |address| {
            tried_at.borrow_mut().push(began.elapsed().as_millis() as u64);
            let place = at(&address);
            let after = |millis| sleep_until(now() + Duration::from_millis(millis));
            match does[place] {
                Does::Connects(millis) => after(millis).await,
                Does::Refuses(millis) => {
                    after(millis).await;
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Does::Nothing => std::future::pending().await,
            }
            Ok(place)
        };
        let went = first_to_connect(&addresses, began + Duration::from_millis(wait), attempt).await;
        let went = went.map_err(|tried| tried.iter().map(|tried| tried.why.kind()).collect());
        let took = began.elapsed().as_millis() as u64;
        (went, took, tried_at.take())
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_costs_its_head_start_and_no_more() {
        use Does::{Connects, Nothing, Refuses};
        use io::ErrorKind::{ConnectionRefused, TimedOut};
        for (does, wait, went, took, tried_at) in [
            (vec![Connects(20)], 30_000, Ok(0), 20, vec![0]),
            (vec![Nothing, Connects(20)], 30_000, Ok(1), 1_020, vec![0, 1_000]),
            // The first is slow, not dead: it may still win.
            (vec![Connects(1_500), Nothing], 30_000, Ok(0), 1_500, vec![0, 1_000]),
            (vec![Refuses(10), Connects(20)], 30_000, Ok(1), 30, vec![0, 10]),
            (vec![Nothing, Refuses(10), Connects(5)], 30_000, Ok(2), 1_015, vec![0, 1_000, 1_010]),
            (vec![Nothing; 2], 30_000, Err(vec![TimedOut; 2]), 30_000, vec![0, 1_000]),
            (vec![Refuses(10), Nothing], 30_000, Err(vec![ConnectionRefused, TimedOut]), 30_000, vec![0, 10]),
            (vec![Refuses(10); 2], 30_000, Err(vec![ConnectionRefused; 2]), 20, vec![0, 10]),
            // A short time is shared.
            (vec![Nothing, Nothing, Connects(100)], 1_200, Ok(2), 900, vec![0, 400, 800]),
            (vec![], 1_000, Err(vec![]), 0, vec![]),
        ] {
            assert_eq!(tries(&does, wait).await, (went, took, tried_at));
        }
    }

    #[test]
    fn a_failure_says_each_address_and_what_to_do() {
        let address = Address::parse("mail.example.org:23", None).unwrap();
        let tried = |address, why: io::ErrorKind| Tried { address, why: why.into() };
        let tried =
            vec![tried(v6(1), io::ErrorKind::TimedOut), tried(v4(1), io::ErrorKind::ConnectionRefused)];
        let error = ConnectError::NotReached { address, tried };
        assert_eq!(
            error.to_string(),
            "cannot connect to mail.example.org:23: [2001:db8::1]:23: it does not answer, \
             192.0.2.1:23: it refuses the connection; is its server running, and the port the right one?"
        );
        let address = Address::parse("192.0.2.1:23", None).unwrap();
        let tried = vec![Tried { address: v4(1), why: io::ErrorKind::HostUnreachable.into() }];
        let error = ConnectError::NotReached { address, tried };
        assert_eq!(
            error.to_string(),
            "cannot connect to 192.0.2.1:23: no way leads there from here; \
             is the network up, and no firewall in between?"
        );
    }
}
