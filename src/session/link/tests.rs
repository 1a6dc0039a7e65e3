//! The link over a scripted line, in virtual time: leads, rates, and lines that end in odd ways.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// What the test does to the line, and what it sees done.
#[derive(Debug, Default)]
struct Port {
    leads: Option<Leads>,
    /// DCD falls at this moment.
    dcd_until: Option<Instant>,
    /// Bytes come for ever, one so often.
    babbles: Option<Duration>,
    babbled: Option<Instant>,
    /// Bytes that are there to be read, a few at a time.
    readable: Vec<u8>,
    speed: u32,
    speed_max: u32,
    takes_nothing: bool,
    gone: bool,
    writes: u32,
    written: Vec<u8>,
    reads: u32,
}

#[derive(Clone)]
struct ScriptedLine(Arc<Mutex<Port>>);

impl Line for ScriptedLine {
    fn leads_known(&self) -> bool {
        self.0.lock().unwrap().leads.is_some()
    }

    fn set_dtr(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    fn leads(&mut self) -> io::Result<Option<Leads>> {
        let port = self.0.lock().unwrap();
        if port.gone {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the port has gone"));
        }
        let dcd = port.dcd_until.is_some_and(|until| wall_now() < until);
        Ok(port.leads.map(|leads| Leads { dcd, ..leads }))
    }

    fn set_break(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    fn discard_output(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn unsent(&mut self) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn speed(&self) -> Option<u32> {
        Some(self.0.lock().unwrap().speed)
    }

    fn set_speed(&mut self, bits: u32) -> io::Result<bool> {
        let mut port = self.0.lock().unwrap();
        if bits > port.speed_max {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too fast"));
        }
        port.speed = bits;
        Ok(true)
    }

    fn name(&self) -> String {
        "scripted".into()
    }
}

impl AsyncRead for ScriptedLine {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut port = self.0.lock().unwrap();
        port.reads += 1;
        if !port.readable.is_empty() {
            let count = port.readable.len().min(READ_MAX);
            buf.put_slice(&port.readable[..count]);
            port.readable.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let Some(every) = port.babbles else { return Poll::Pending };
        let now = wall_now();
        if port.babbled.is_none_or(|at| now >= at + every) {
            port.babbled = Some(now);
            buf.put_slice(b"~");
            return Poll::Ready(Ok(()));
        }
        let (waker, wake_at) = (cx.waker().clone(), now + every);
        tokio::spawn(async move {
            sleep_until(wake_at).await;
            waker.wake();
        });
        Poll::Pending
    }
}

impl AsyncWrite for ScriptedLine {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut port = self.0.lock().unwrap();
        port.writes += 1;
        let count = if port.takes_nothing { 0 } else { buf.len() };
        port.written.extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Does what it is given, takes all that comes, and ends by hangup or by its deadline.
#[derive(Debug, Default)]
struct Listener {
    first: Vec<Output<(), End>>,
    until: Option<Instant>,
    heard: Vec<u8>,
    polls: u32,
    hung_up_at: Option<Instant>,
    timed_out: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    HungUp(Instant),
    Deadline,
}

impl Machine for Listener {
    type Event = ();
    type Outcome = End;

    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        self.heard.extend_from_slice(bytes);
        bytes.len()
    }

    fn handle_hangup(&mut self, _now: Instant) {
        assert_eq!(self.hung_up_at, None, "told once");
        self.hung_up_at = Some(wall_now());
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.timed_out = true;
    }

    fn poll_output(&mut self, _now: Instant) -> Output<(), End> {
        self.polls += 1;
        if !self.first.is_empty() {
            return self.first.remove(0);
        }
        match self.hung_up_at {
            Some(at) => Output::Done(End::HungUp(at)),
            None if self.timed_out => Output::Done(End::Deadline),
            None => Output::Wait(self.until),
        }
    }
}

fn line(port: Port) -> (Link, Arc<Mutex<Port>>) {
    let port = Arc::new(Mutex::new(Port { speed: 57_600, speed_max: 115_200, ..port }));
    (Link::new(Box::new(ScriptedLine(Arc::clone(&port))), Transcript::silent()), port)
}

/// In a call with DCD on, which falls after `lasts`.
fn in_call(lasts: Duration, port: Port) -> (Link, Arc<Mutex<Port>>, Instant) {
    let falls = wall_now() + lasts;
    let (mut link, port) = line(Port { leads: Some(Leads::default()), dcd_until: Some(falls), ..port });
    link.connected(&ConnectInfo::read("CONNECT 33600"));
    (link, port, falls)
}

async fn drive(link: &mut Link, listener: &mut Listener) -> End {
    let outcome = link.drive(listener, |_, ()| Ok::<_, std::convert::Infallible>(())).await;
    outcome.unwrap_or_else(|never| match never {})
}

fn told_within(end: &End, falls: Instant, patience: Duration) {
    let End::HungUp(at) = end else { panic!("{end:?}") };
    let took = at.saturating_duration_since(falls);
    assert!(*at >= falls && took <= patience, "{took:?}");
}

const SECOND: Duration = Duration::from_secs(1);
const READ_MAX: usize = 4;
const AT_ONCE: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn a_fall_of_dcd_is_seen_within_a_tenth_of_a_second() {
    for lasts in [250, 1_000, 1_001, 1_099, 7_777] {
        let (mut link, _port, falls) = in_call(Duration::from_millis(lasts), Port::default());
        let end = drive(&mut link, &mut Listener::default()).await;
        told_within(&end, falls, AT_ONCE);
        assert_eq!(link.end(), Some(&LineEnd::CarrierLost));
    }
}

/// Takes so many bytes, and leaves the rest to the next.
struct Takes(usize);

impl Machine for Takes {
    type Event = ();
    type Outcome = ();

    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        taken
    }

    fn handle_hangup(&mut self, _now: Instant) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<(), ()> {
        if self.0 == 0 { Output::Done(()) } else { Output::Wait(None) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_end_comes_together_with_connect_is_over_at_once() {
    for end in ["\r\nNO CARRIER\r\n", "NO CARRIER\r\n"] {
        let connect = "\r\nCONNECT 2400\r\n";
        let readable = format!("{connect}{end}").into_bytes();
        let (mut link, _port) = line(Port { readable, ..Port::default() });
        let mut takes = Takes(connect.len());
        let took = link.drive(&mut takes, |_, ()| Ok::<_, std::convert::Infallible>(()));
        took.await.unwrap_or_else(|never| match never {});
        link.connected(&ConnectInfo::read("CONNECT 2400"));
        let since = wall_now();
        let ended = drive(&mut link, &mut Listener::default()).await;
        told_within(&ended, since, 2 * SECOND);
        assert_eq!(link.end(), Some(&LineEnd::CarrierLost), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_carrier_in_numbers_is_believed_of_a_host_that_was_told_to_hang_up() {
    for (connect, leaving, lost) in
        [("1", true, true), ("1", false, false), ("10", true, true), ("CONNECT 2400", true, false)]
    {
        let (mut link, _port) = line(Port { readable: b"logout\r\n3\r".to_vec(), ..Port::default() });
        link.connected(&ConnectInfo { text: connect.to_owned(), ..ConnectInfo::default() });
        if leaving {
            link.leaving();
        }
        let until = Some(wall_now() + 5 * SECOND);
        let ended = drive(&mut link, &mut Listener { until, ..Listener::default() }).await;
        assert_eq!(matches!(ended, End::HungUp(_)), lost, "{connect} {leaving}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_modem_that_babbles_on_does_not_hide_the_fall_of_dcd() {
    let port = Port { babbles: Some(Duration::from_millis(5)), ..Port::default() };
    let (mut link, _port, falls) = in_call(SECOND, port);
    let end = drive(&mut link, &mut Listener::default()).await;
    told_within(&end, falls, AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_modem_that_takes_all_bytes_does_not_hide_the_fall_of_dcd() {
    let (mut link, port, falls) = in_call(SECOND, Port::default());
    let bulk = Output::Transmit(crate::machine::Transmit::plain(vec![b'x'; 100_000])); // 30 s of line time
    let end = drive(&mut link, &mut Listener { first: vec![bulk], ..Listener::default() }).await;
    told_within(&end, falls, AT_ONCE);
    assert!(port.lock().unwrap().written.len() < 10_000, "the rest is not sent");
}

#[tokio::test(start_paused = true)]
async fn what_arrived_before_the_carrier_went_is_heard() {
    let (mut link, port, _) = in_call(SECOND, Port::default());
    let later = Arc::clone(&port);
    let mut listener = Listener::default();
    let end = {
        let driving = drive(&mut link, &mut listener);
        let arriving = async {
            // Nobody is told: they are found when DCD is looked at.
            sleep_until(wall_now() + SECOND - Duration::from_millis(1)).await;
            later.lock().unwrap().readable = b"last words".to_vec();
        };
        tokio::join!(driving, arriving).0
    };
    assert!(matches!(end, End::HungUp(_)));
    assert_eq!(listener.heard, b"last words");
}

#[tokio::test(start_paused = true)]
async fn dcd_that_was_never_on_ends_nothing() {
    let (mut link, _port, _) = in_call(Duration::ZERO, Port::default());
    let mut listener = Listener { until: Some(wall_now() + 5 * SECOND), ..Listener::default() };
    assert_eq!(drive(&mut link, &mut listener).await, End::Deadline);
    assert_eq!(link.end(), None);
}

#[tokio::test(start_paused = true)]
async fn unknown_leads_end_nothing() {
    let (mut link, _port) = line(Port::default());
    link.connected(&ConnectInfo::read("CONNECT"));
    let mut listener = Listener { until: Some(wall_now() + 5 * SECOND), ..Listener::default() };
    assert_eq!(drive(&mut link, &mut listener).await, End::Deadline);
    assert_eq!(link.end(), None);
    assert_eq!(link.leads(), None);
}

#[tokio::test(start_paused = true)]
async fn a_port_whose_leads_cannot_be_read_any_more_has_gone() {
    let (mut link, port, _) = in_call(60 * SECOND, Port::default());
    port.lock().unwrap().gone = true;
    let began = wall_now();
    let end = drive(&mut link, &mut Listener::default()).await;
    told_within(&end, began, AT_ONCE);
    assert_eq!(link.end(), Some(&LineEnd::PortGone("the port has gone".into())));
}

#[tokio::test(start_paused = true)]
async fn the_rate_follows_the_ports_speed_and_a_speed_that_is_refused_changes_nothing() {
    let (mut link, port) = line(Port::default());
    let set = |bits| Listener {
        first: vec![Output::Control(Control::Speed(bits))],
        until: Some(wall_now() + SECOND),
        ..Listener::default()
    };
    assert_eq!(drive(&mut link, &mut set(9_600)).await, End::Deadline);
    assert_eq!((link.rate(), link.port_speed()), (Some(9_600), Some(9_600)));
    assert_eq!(drive(&mut link, &mut set(230_400)).await, End::Deadline);
    assert_eq!((link.rate(), link.end()), (Some(9_600), None), "the port is still there");
    link.connected(&ConnectInfo::read("CONNECT 33600"));
    assert_eq!(link.rate(), Some(9_600), "the port is the narrow part");
    assert_eq!(drive(&mut link, &mut set(115_200)).await, End::Deadline);
    assert_eq!((link.rate(), link.port_speed()), (Some(33_600), Some(115_200)), "and now the call is");
    link.disconnected();
    assert_eq!(link.rate(), Some(115_200));
    // A port over a network tells later what it has made of a rate.
    port.lock().unwrap().speed = 2_400;
    let mut listener = Listener { until: Some(wall_now() + SECOND), ..Listener::default() };
    assert_eq!(drive(&mut link, &mut listener).await, End::Deadline);
    assert_eq!(link.rate(), Some(2_400));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_takes_no_bytes_is_not_asked_for_ever() {
    let (mut link, port) = line(Port { takes_nothing: true, ..Port::default() });
    let sent = Output::Transmit(crate::machine::Transmit::plain("AT\r"));
    let began = wall_now();
    let end = drive(&mut link, &mut Listener { first: vec![sent], ..Listener::default() }).await;
    told_within(&end, began, 2 * SECOND);
    assert!(port.lock().unwrap().writes < 10, "{:?}", port.lock().unwrap());
    assert!(matches!(link.end(), Some(LineEnd::PortGone(_))));
}

#[tokio::test(start_paused = true)]
async fn an_idle_call_costs_few_looks() {
    let (mut link, port, falls) = in_call(60 * SECOND, Port::default());
    let mut listener = Listener::default();
    told_within(&drive(&mut link, &mut listener).await, falls, AT_ONCE);
    let looks = 60 * 10 + 10;
    assert!(listener.polls <= looks && port.lock().unwrap().reads <= 3 * looks, "{}", listener.polls);
}
