//! Standard input and output that are no terminal, as something to wait for. What they are may block (a
//! pipe that nobody reads, a file on a network), so a thread of its own moves their bytes, and a socket is
//! between it and us.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as Blocking;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;

type Failed = Arc<Mutex<Option<io::Error>>>;

/// A source of bytes.
pub(super) struct StreamIn {
    socket: UnixStream,
    failed: Failed,
}

impl StreamIn {
    /// Reads from now on what comes on this descriptor.
    pub(super) fn over(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut source = File::from(fd.try_clone_to_owned()?);
        let (socket, mut theirs) = pair()?;
        let failed = Failed::default();
        let noted = Arc::clone(&failed);
        move_by_thread(move || {
            if let Err(error) = carry(&mut source, &mut theirs) {
                note(&noted, error);
            }
            let _ = theirs.shutdown(Shutdown::Write); // nobody reads any more
        })?;
        Ok(Self { socket, failed })
    }
}

impl AsyncRead for StreamIn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        match (&read, taken(&self.failed)) {
            // Behind the last byte stands why it was the last.
            (Poll::Ready(Ok(())), Some(error)) if buf.filled().len() == before => Poll::Ready(Err(error)),
            (_, Some(error)) => {
                note(&self.failed, error);
                read
            }
            (_, None) => read,
        }
    }
}

/// Where bytes go.
pub(super) struct StreamOut {
    socket: UnixStream,
    failed: Failed,
    ends_line: bool,
}

impl StreamOut {
    /// Writes from now on to this descriptor.
    pub(super) fn over(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut target = File::from(fd.try_clone_to_owned()?);
        let (socket, mut theirs) = pair()?;
        let failed = Failed::default();
        let noted = Arc::clone(&failed);
        move_by_thread(move || {
            if let Err(error) = carry(&mut theirs, &mut target) {
                note(&noted, error);
            }
        })?;
        Ok(Self { socket, failed, ends_line: true })
    }

    /// Waits until all of it is written.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        let _ = self.socket.shutdown().await; // the thread may have ended, and then this says why
        let _ = self.socket.read(&mut [0]).await;
        taken(&self.failed).map_or(Ok(()), Err)
    }

    /// Whether the last line is whole.
    pub(super) fn ends_line(&self) -> bool {
        self.ends_line
    }
}

impl AsyncWrite for StreamOut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(cx, buf);
        match wrote {
            Poll::Ready(Ok(count)) => {
                self.ends_line = buf[..count].last().map_or(self.ends_line, |&byte| byte == b'\n');
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(taken(&self.failed).unwrap_or(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

fn pair() -> io::Result<(UnixStream, Blocking)> {
    let (ours, theirs) = Blocking::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}

/// Nobody waits for the thread: where it stands still, the program ends without it.
fn move_by_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("stream".into()).spawn(work).map(drop)
}

/// Until the end of `from`, or an error of either.
fn carry(from: &mut (impl Read + AsFd), to: &mut (impl Write + AsFd)) -> io::Result<()> {
    let mut bytes = [0; CHUNK];
    loop {
        let count = match from.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) => {
                wait_for(error, from.as_fd(), PollFlags::POLLIN)?;
                continue;
            }
        };
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) => wait_for(error, to.as_fd(), PollFlags::POLLOUT)?,
            }
        }
    }
}

/// A descriptor that another program made non-blocking is waited for; any other error is one.
fn wait_for(error: io::Error, fd: BorrowedFd<'_>, event: PollFlags) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock => {
            poll(&mut [PollFd::new(fd, event)], PollTimeout::NONE)?;
            Ok(())
        }
        ErrorKind::Interrupted => Ok(()),
        _any_other => Err(error),
    }
}

fn note(failed: &Failed, error: io::Error) {
    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

fn taken(failed: &Failed) -> Option<io::Error> {
    failed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Bytes moved at once.
const CHUNK: usize = 16 * 1024;
