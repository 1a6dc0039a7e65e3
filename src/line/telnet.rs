//! A host that is logged in to by TELNET, as a line: an 8-bit pipe where the host agrees to BINARY.
//!
//! What is said and when is [`client`]'s, without I/O; here are the connection and the clock. A host that
//! speaks no TELNET at all is served too, for text: until it has negotiated something, bytes go to it as
//! they are.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::nvt::Command;
use super::{Leads, Line, tcp};

mod answers;
mod client;

/// What the host is told, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelnetSettings {
    /// What to call the line in messages: where it leads.
    pub name: String,
    /// The terminal's name, for hosts that ask (RFC 1091).
    pub term: String,
    /// Who logs in, for hosts that ask (RFC 1572): they ask for the password only.
    pub user: Option<String>,
    /// Ask for BINARY, and agree to it.
    pub binary: bool,
    /// Begin to negotiate at once. Else the host begins, as every server does that really speaks TELNET;
    /// to one that does not, our asking would be characters typed.
    pub begins: bool,
    /// Rows of the window.
    pub rows: u16,
    /// Columns of the window.
    pub cols: u16,
    /// Silence after which a host that answers timing marks is asked whether it is there.
    pub probe_after: Duration,
    /// How long it may leave that unanswered, and say nothing else, before it counts as dead.
    pub dead_after: Duration,
}

impl TelnetSettings {
    /// A VT100 of 24 by 80 that asks for BINARY. On the well-known port we begin (RFC 854, page 15: the
    /// server there speaks TELNET), on any other the host does.
    pub fn new(name: String, port: u16) -> Self {
        let begins = port == TELNET_PORT;
        Self {
            name,
            term: "vt100".into(),
            user: None,
            binary: true,
            begins,
            rows: 24,
            cols: 80,
            probe_after: PROBE_AFTER,
            dead_after: DEAD_AFTER,
        }
    }
}

/// A connection on which TELNET is spoken.
pub struct TelnetLine<S> {
    stream: S,
    name: String,
    client: client::Client,
    /// Bytes that the system holds of what was written.
    held_by_system: fn(&S) -> io::Result<Option<usize>>,
    /// Wakes whoever reads, at the client's next deadline.
    timer: Option<Pin<Box<Sleep>>>,
    /// Ends a writer's wait for the host's answer.
    wait_to_write: Option<Pin<Box<Sleep>>>,
    /// Whoever waits to write.
    writer: Option<Waker>,
    why: Option<String>,
    ended: bool,
}

impl TelnetLine<TcpStream> {
    /// A line over a TCP connection that is up.
    pub fn over_tcp(stream: TcpStream, settings: TelnetSettings) -> io::Result<Self> {
        // The DM of a SYNCH comes as urgent data (RFC 854, page 9). Taken out of the stream, as is usual,
        // it would leave its IAC in front of a byte of data.
        SockRef::from(&stream).set_out_of_band_inline(true)?;
        let mut line = Self::new(stream, settings);
        line.held_by_system = |stream| tcp::unacknowledged(stream).map(Some);
        Ok(line)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TelnetLine<S> {
    /// A line over any pipe.
    pub fn new(stream: S, settings: TelnetSettings) -> Self {
        Self {
            stream,
            name: settings.name.clone(),
            client: client::Client::new(settings, now()),
            held_by_system: |_| Ok(None),
            timer: None,
            wait_to_write: None,
            writer: None,
            why: None,
            ended: false,
        }
    }

    /// Sends what was encoded. An error is no end yet: what the host said last may still be read.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.client.to_send().is_empty() {
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, self.client.to_send()))
                .and_then(|count| if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) });
            match wrote {
                Ok(count) => self.client.handle_sent(now(), count),
                Err(error) => {
                    self.why.get_or_insert_with(|| tcp::why_lost(&error));
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self, why: impl FnOnce() -> String) {
        self.ended = true;
        self.why.get_or_insert_with(why);
        self.wake_writer();
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Ready when the client has something to do at its next deadline, which is done.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.client.deadline() else { return Poll::Pending };
        ready!(poll_timer(&mut self.timer, at, cx));
        self.client.handle_timeout(now());
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Line for TelnetLine<S> {
    fn leads_known(&self) -> bool {
        false
    }

    fn set_dtr(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    fn leads(&mut self) -> io::Result<Option<Leads>> {
        Ok(None)
    }

    /// A BREAK has no length here (RFC 854, page 10), so it is sent when it begins; with the next
    /// reading or writing.
    fn set_break(&mut self, on: bool) -> io::Result<bool> {
        let can = self.client.speaks_telnet();
        if on && can {
            self.client.send_command(Command::BRK);
        }
        Ok(can)
    }

    /// At most one piece of [`client::PIECE`] bytes waits here for the connection, and it is not cut: what
    /// is half a command would make the rest of the call one. The kernel takes nothing back.
    fn discard_output(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn unsent(&mut self) -> io::Result<Option<usize>> {
        let here = self.client.to_send().len();
        Ok((self.held_by_system)(&self.stream)?.map(|there| there + here))
    }

    fn speed(&self) -> Option<u32> {
        None
    }

    fn set_speed(&mut self, _bits: u32) -> io::Result<bool> {
        Ok(false)
    }

    fn eight_bit(&self) -> bool {
        self.client.eight_bit()
    }

    /// Without BINARY most hosts let all bits pass all the same.
    fn cuts_eighth_bit(&self) -> bool {
        false
    }

    fn ask_eight_bit(&mut self) -> bool {
        self.client.ask_binary(now())
    }

    /// Also told to a host that asks for it only later.
    fn set_window(&mut self, rows: u16, cols: u16) -> io::Result<bool> {
        Ok(self.client.set_window(rows, cols))
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn why_ended(&mut self) -> Option<String> {
        self.why.clone()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TelnetLine<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut data = Vec::new();
        for _ in 0..COMMANDS_AT_ONCE {
            if this.ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let _ = this.poll_send(cx); // an error is found by whoever writes, or is the end of reading
            let mut chunk = [0; CHUNK];
            // Data is never more than what it is decoded from.
            let room = buf.remaining().min(CHUNK);
            let mut read = ReadBuf::new(&mut chunk[..room]);
            match Pin::new(&mut this.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    this.end(|| "the host closed the connection".to_owned());
                }
                Poll::Ready(Ok(())) => {
                    this.client.handle_input(now(), read.filled(), &mut data);
                    this.wake_writer();
                    if !data.is_empty() {
                        let _ = this.poll_send(cx);
                        buf.put_slice(&data);
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(Err(error)) => this.end(|| tcp::why_lost(&error)),
                // Only now is it known that the host is silent: what nobody reads is no silence.
                Poll::Pending => {
                    ready!(this.poll_deadline(cx));
                    if let Some(why) = this.client.why_dead() {
                        this.end(|| why);
                    }
                    this.wake_writer();
                }
            }
        }
        // A host that sends commands without end leaves room for deadlines and signals.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TelnetLine<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_send(cx))?;
        if let Some(until) = this.client.data_waits_until(now()) {
            this.writer = Some(cx.waker().clone()); // reading may end the wait sooner
            ready!(poll_timer(&mut this.wait_to_write, until, cx));
        }
        let taken = this.client.send_data(buf);
        let _ = this.poll_send(cx); // the next to read or write finds an error
        Poll::Ready(Ok(taken))
    }

    /// Never waits: what is not yet the kernel's is sent with the next reading or writing.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_send(cx) {
            Poll::Ready(sent) => Poll::Ready(sent),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn poll_timer(timer: &mut Option<Pin<Box<Sleep>>>, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let at = tokio::time::Instant::from_std(at);
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
    if timer.deadline() != at {
        timer.as_mut().reset(at);
    }
    timer.as_mut().poll(cx)
}

#[allow(clippy::disallowed_methods)] // a line is where the world begins: hosts are silent in real time
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Bytes read from the connection at once.
const CHUNK: usize = 4096;
/// Reads without data before others have their turn.
const COMMANDS_AT_ONCE: usize = 16;
/// Silence after which a host is asked whether it is there.
pub const PROBE_AFTER: Duration = Duration::from_secs(30);
/// How long the answer may take. With [`PROBE_AFTER`] it is less than the shell and ZMODEM wait for, and
/// more than a host that swaps needs.
pub const DEAD_AFTER: Duration = Duration::from_secs(40);
/// RFC 854, page 15.
pub const TELNET_PORT: u16 = 23;

#[cfg(test)]
mod tests;
