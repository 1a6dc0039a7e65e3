//! A serial port of a terminal server, worked over TELNET (RFC 2217): its bytes, its rate and its leads,
//! so that a modem in a rack is used like one on the desk.
//!
//! A request is sent at once, behind the data written before it, and its answer is taken when it comes:
//! the trait's calls wait for nothing. Only opening waits, and reads back what the port has become.
//! A server that falls silent is asked for its port's rate; if it does not answer, the line has ended.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::nvt::{Decoder, Item, Mode, Options, Reply, Side, encode_data, option};
use super::serial::Flow;
use super::tcp::why_lost;
use super::{Leads, Line};

pub mod codec;
mod opening;
mod outgoing;
mod port;

pub use opening::{ANSWER_WAIT, NEGOTIATION_WAIT, OpenError, SETTLE_WAIT};
pub use port::RemoteSettings;

use codec::{ComPort, Control, Purge};
use outgoing::Outgoing;
use port::Port;

/// A port at the other end of a connection. Dropping it hangs up: DTR low, what was not sent discarded.
/// If this process is killed the server sees the connection close, and most then drop DTR themselves.
#[derive(Debug)]
pub struct Rfc2217Line<S: AsyncRead + AsyncWrite + Unpin> {
    stream: S,
    name: String,
    decoder: Decoder,
    options: Options,
    /// How our data goes.
    mode: Mode,
    port: Port,
    /// Data from the port that nobody has read yet.
    received: Vec<u8>,
    outgoing: Outgoing,
    /// Whoever was told to wait with data.
    waiting_to_write: Option<Waker>,
    warnings: Vec<String>,
    /// The server has said anything at all.
    heard: bool,
    /// The server has negotiated something: it speaks TELNET.
    negotiated: bool,
    /// COM-PORT-OPTION is in effect.
    agreed: bool,
    /// The server does not want it, or no more.
    refused: bool,
    breaking: bool,
    unwritable: Option<io::ErrorKind>,
    ended: bool,
    why: Option<String>,
    /// It was told what we are; a server that asks for ever is not.
    introduced: bool,
    /// Runs out when the server has been silent for too long.
    patience: Pin<Box<Sleep>>,
    /// It has been silent, and was asked whether it is still there.
    asked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Rfc2217Line<S> {
    #[allow(clippy::disallowed_methods)] // a line is where the world begins: a server is silent in real time
    fn new(stream: S, name: String, settings: RemoteSettings) -> Self {
        Self {
            stream,
            name,
            decoder: Decoder::default(),
            options: Options::default(),
            mode: Mode::default(),
            port: Port::new(settings),
            received: Vec::new(),
            outgoing: Outgoing::default(),
            waiting_to_write: None,
            warnings: Vec::new(),
            heard: false,
            negotiated: false,
            agreed: false,
            refused: false,
            introduced: false,
            breaking: false,
            unwritable: None,
            ended: false,
            why: None,
            patience: Box::pin(sleep(SILENT_ASK)),
            asked: false,
        }
    }

    /// Sends what is queued and takes once what comes. Ready when something came or the line ended.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(cx);
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let mut buffer = [0; READ_CHUNK];
        let mut read = ReadBuf::new(&mut buffer);
        match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) if read.filled().is_empty() => self.end("the server closed the connection"),
            Poll::Ready(Ok(())) => {
                let count = read.filled().len();
                self.be_patient(SILENT_ASK);
                self.asked = false;
                self.heard = true;
                self.take(&buffer[..count]);
                self.send(cx);
            }
            Poll::Ready(Err(error)) => {
                self.end(&why_lost(&error));
                return Poll::Ready(Err(error));
            }
            Poll::Pending => {
                ready!(self.patience.as_mut().poll(cx));
                self.is_silent();
                self.send(cx);
                // The timer was set anew, and has to be asked to wake us.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    #[allow(clippy::disallowed_methods)] // a line is where the world begins: a server is silent in real time
    fn be_patient(&mut self, wait: Duration) {
        self.patience.as_mut().reset(Instant::now() + wait);
    }

    /// Silence is proof only where an answer is due: a server that never told its port's rate, or has ended
    /// COM-PORT-OPTION, is left to TCP (keep-alive).
    fn is_silent(&mut self) {
        if !self.agreed || !self.port.tells_rate() {
            self.be_patient(SILENT_ASK);
        } else if self.asked {
            self.end("the server does not answer any more");
        } else {
            self.asked = true;
            self.be_patient(SILENT_MAX);
            self.request(&ComPort::Baud(0)); // which most servers answer, as opposed to AYT or NOP
        }
    }

    /// Reads the server's stream: data to `received`, all else at once.
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, item) = self.decoder.decode(bytes, &mut self.received);
            bytes = &bytes[taken..];
            match item {
                None => {}
                Some(Item::Command(_)) => {} // NOP, GA, and a server's own
                Some(Item::Negotiate(verb, code)) => {
                    self.negotiated = true;
                    self.refused |= code == option::COM_PORT && verb == super::nvt::Verb::Dont;
                    let reply = self.options.hear(verb, code);
                    self.answer(reply);
                }
                Some(Item::Subnegotiation { option: option::COM_PORT, parameters }) => {
                    // What no standard has means nothing here.
                    if let Ok((codec::Side::Server, said)) = ComPort::decode(&parameters) {
                        self.port.hear(&said);
                    }
                    if let Some(introduction) = self.port.take_introduction().filter(|_| !self.introduced) {
                        self.introduced = true;
                        self.request(&introduction);
                    }
                }
                Some(Item::Subnegotiation { .. }) => {} // of an option that was not agreed on
            }
        }
        self.wake_writer_if_free();
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.waiting_to_write.take() {
            waker.wake();
        }
    }

    /// Sends a negotiation, then makes the change that it brings about.
    fn answer(&mut self, reply: Reply) {
        if let Some((verb, code)) = reply.send {
            self.command(&Item::Negotiate(verb, code));
        }
        let Some(change) = reply.change else { return };
        let mode = if change.on { Mode::Binary } else { Mode::Nvt };
        match (change.side, change.option) {
            (Side::Us, option::BINARY) => self.mode = mode,
            (Side::Him, option::BINARY) => self.decoder.set_mode(mode),
            (Side::Us, option::COM_PORT) => {
                self.agreed = change.on;
                self.refused = !change.on;
                if !change.on {
                    self.port.forget();
                }
            }
            (Side::Us | Side::Him, _) => {}
        }
    }

    fn command(&mut self, item: &Item) {
        let mut bytes = Vec::new();
        item.encode(&mut bytes);
        self.outgoing.push(false, bytes);
    }

    /// Queues a request of the port; of a server that has ended COM-PORT-OPTION there is none.
    fn request(&mut self, request: &ComPort) {
        if self.agreed {
            let parameters = request.encode(codec::Side::Client);
            self.command(&Item::Subnegotiation { option: option::COM_PORT, parameters });
        }
    }

    /// Sends a request now, not when the line is polled next: perhaps it never is.
    fn request_now(&mut self, request: &ComPort) {
        self.request(request);
        self.send(&mut Context::from_waker(Waker::noop()));
    }

    /// Sends what the network takes.
    fn send(&mut self, cx: &mut Context<'_>) {
        match self.outgoing.poll_send(&mut self.stream, cx) {
            Poll::Ready(Ok(())) => self.wake_writer_if_free(),
            Poll::Ready(Err(error)) => {
                // What the server said last may still be there to be read, but no longer why it went.
                self.why.get_or_insert_with(|| why_lost(&error));
                self.unwritable.get_or_insert(error.kind());
                self.outgoing.clear();
                self.wake_writer();
            }
            Poll::Pending => {}
        }
    }

    fn wake_writer_if_free(&mut self) {
        if !self.port.suspended {
            self.wake_writer();
        }
    }

    fn end(&mut self, why: &str) {
        self.ended = true;
        self.why.get_or_insert_with(|| why.to_owned());
        self.wake_writer();
    }

    fn is_binary(&self) -> bool {
        self.mode == Mode::Binary && self.decoder.mode() == Mode::Binary
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Line for Rfc2217Line<S> {
    /// A server without leads (a PTY behind it) works no DTR and tells that all is off.
    fn leads_known(&self) -> bool {
        self.port.leads().is_some()
    }

    fn set_dtr(&mut self, on: bool) -> io::Result<bool> {
        let request = self.port.want_dtr(on);
        self.request_now(&request);
        Ok(self.port.dtr_works())
    }

    fn port_settings(&self) -> Option<String> {
        let RemoteSettings { flow, framing, .. } = self.port.wanted;
        Some(format!("{} bit/s {framing}, {flow}", self.port.speed()))
    }

    fn leads(&mut self) -> io::Result<Option<Leads>> {
        Ok(self.port.leads())
    }

    /// The server tells of a loss at once, and it is not forgotten if the carrier is back before this is
    /// asked.
    fn carrier(&mut self) -> io::Result<Option<bool>> {
        Ok(self.port.take_carrier())
    }

    fn set_break(&mut self, on: bool) -> io::Result<bool> {
        if on {
            let held = self.port.leads().is_some_and(|leads| !leads.cts);
            if !self.agreed || (held && self.port.wanted.flow == Flow::RtsCts) {
                return Ok(false);
            }
            self.discard_output()?;
        }
        self.breaking = on;
        self.request_now(&ComPort::Control(Control::Break(on)));
        Ok(true)
    }

    fn discard_output(&mut self) -> io::Result<()> {
        self.outgoing.discard_data();
        self.request_now(&ComPort::Purge(Purge::ToSend));
        self.wake_writer_if_free();
        Ok(())
    }

    /// Most of it would be in the server.
    fn unsent(&mut self) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn speed(&self) -> Option<u32> {
        Some(self.port.speed())
    }

    /// The server's answer comes later: then [`Line::speed`] is what it says.
    fn set_speed(&mut self, bits: u32) -> io::Result<bool> {
        if bits == 0 {
            let detail = "a speed of 0 only asks for the port's";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
        }
        for request in self.port.want_speed(bits) {
            self.request_now(&request);
        }
        Ok(true)
    }

    fn eight_bit(&self) -> bool {
        self.is_binary() && self.port.wanted.framing.is_eight_bit()
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn peer(&self) -> Option<String> {
        self.port.signature()
    }

    fn why_ended(&mut self) -> Option<String> {
        self.why.clone()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Rfc2217Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..COMMANDS_AT_ONCE {
            if !this.received.is_empty() {
                let count = this.received.len().min(buf.remaining());
                buf.put_slice(&this.received[..count]);
                this.received.drain(..count);
                this.send(cx);
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            // An error ends the line as its other ends do: `why_ended` tells it in words.
            let _ = ready!(this.poll_hear(cx));
        }
        // A server that sends commands without end leaves room for others.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Rfc2217Line<S> {
    /// Takes data only when all before it has gone to the network: what waits here can be thrown away.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.send(cx);
        if let Some(kind) = this.unwritable {
            return Poll::Ready(Err(kind.into()));
        }
        if this.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.port.suspended || !this.outgoing.is_empty() {
            this.waiting_to_write = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buf.len().min(WRITE_CHUNK);
        let mut bytes = Vec::new();
        encode_data(this.mode, &buf[..count], &mut bytes);
        this.outgoing.push(true, bytes);
        this.send(cx);
        Poll::Ready(Ok(count))
    }

    /// Ready once the network has it; the port's own queue is not waited for.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.send(cx);
        if this.outgoing.is_empty() {
            return Pin::new(&mut this.stream).poll_flush(cx);
        }
        Poll::Pending
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Rfc2217Line<S> {
    fn drop(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        self.outgoing.discard_data();
        if self.breaking {
            self.request(&ComPort::Control(Control::Break(false)));
        }
        let low = self.port.want_dtr(false);
        self.request(&low);
        self.request(&ComPort::Purge(Purge::ToSend));
        self.send(cx);
        // TCP says RST and not FIN if bytes wait to be read, and that may overtake what was just sent.
        let mut buffer = [0; READ_CHUNK];
        for _ in 0..COMMANDS_AT_ONCE {
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx); // closed in a moment anyway
    }
}

/// Bytes read from the network at once.
const READ_CHUNK: usize = 4 * 1024;
/// Bytes of data that are encoded at once.
const WRITE_CHUNK: usize = 4 * 1024;
/// Reads without data before others have their turn.
const COMMANDS_AT_ONCE: usize = 16;
/// How long a server may be silent before it is asked for a sign.
pub const SILENT_ASK: Duration = Duration::from_secs(20);
/// How long it may then take: with its port's output held by the modem, ser2net reads no requests.
pub const SILENT_MAX: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests;
