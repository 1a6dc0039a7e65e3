//! Pseudo-terminals: opening a pair without leaking descriptors, and the master as an async pipe.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::pty::{Winsize, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{FlushArg, SetArg, cfmakeraw, tcflush, tcgetattr, tcsetattr};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both ends of a new pseudo-terminal.
#[derive(Debug)]
pub struct PtyPair {
    /// The end that plays the wire.
    pub master: OwnedFd,
    /// The end that a program takes for its terminal or serial port.
    pub slave: OwnedFd,
    /// Where others open the slave.
    pub path: PathBuf,
}

impl PtyPair {
    /// Opens a pair. Both descriptors are close-on-exec from birth: `openpty` sets that too late for
    /// a child that another thread forks in between.
    pub fn open() -> io::Result<Self> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname_r(&master)?);
        let slave = open_slave(&path)?;
        Ok(Self { master: OwnedFd::from(master), slave, path })
    }

    /// Makes the slave carry all 256 bytes unchanged and echo none. To be done before anything is
    /// written to the master: a cooked slave would send it straight back.
    pub fn make_raw(&self) -> io::Result<()> {
        let mut termios = tcgetattr(&self.slave)?;
        cfmakeraw(&mut termios);
        Ok(tcsetattr(&self.slave, SetArg::TCSANOW, &termios)?)
    }

    /// Tells the slave's programs how large their screen is.
    pub fn set_window(&self, rows: u16, cols: u16) -> io::Result<()> {
        set_window(&self.slave, rows, cols)
    }
}

/// Either end will do; the foreground processes hear SIGWINCH.
fn set_window(terminal: &OwnedFd, rows: u16, cols: u16) -> io::Result<()> {
    nix::ioctl_write_ptr_bad!(tiocswinsz, libc::TIOCSWINSZ, Winsize);
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize` from a pointer that is valid for the call.
    unsafe { tiocswinsz(terminal.as_raw_fd(), &size) }?;
    Ok(())
}

/// Opens a PTY's slave without taking it for our own terminal.
pub fn open_slave(path: &Path) -> io::Result<OwnedFd> {
    // std opens everything close-on-exec.
    let slave = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)?;
    Ok(slave.into())
}

/// A PTY's master as an async pipe.
///
/// When the last slave is closed, Linux lets the master read what
/// is left and then answers EIO; that is end of file here.
#[derive(Debug)]
pub struct PtyMaster {
    fd: AsyncFd<OwnedFd>,
    ended: bool,
}

impl PtyMaster {
    /// Takes the master over and makes it non-blocking. Needs a running tokio reactor.
    pub fn new(master: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { fd: register(master)?, ended: false })
    }

    /// Reads on after an end of file, because the slave may have been opened again.
    pub fn listen_again(&mut self) -> io::Result<()> {
        // tokio never forgets a hang-up that it has seen; a fresh registration knows of none.
        self.fd = register(self.fd.get_ref().try_clone()?)?;
        self.ended = false;
        Ok(())
    }

    /// Tells the slave's programs how large their screen is now.
    pub fn set_window(&self, rows: u16, cols: u16) -> io::Result<()> {
        set_window(self.fd.get_ref(), rows, cols)
    }

    /// Throws away what was written and the slave has not read.
    pub fn discard_output(&self) -> io::Result<()> {
        Ok(tcflush(self.fd.get_ref().as_fd(), FlushArg::TCOFLUSH)?)
    }
}

impl AsyncRead for PtyMaster {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            let hung_up = guard.ready().is_read_closed();
            let read = guard.try_io(|fd| Ok(nix::unistd::read(fd, buf.initialize_unfilled())?));
            match read {
                Ok(Ok(0)) => self.ended = true,
                Ok(Ok(count)) => buf.advance(count),
                Ok(Err(error)) if is(&error, Errno::EIO) => self.ended = true,
                Ok(Err(error)) if is(&error, Errno::EINTR) => continue,
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                // Hung up, but not now: the slave has been opened again in between.
                Err(_would_block) if hung_up => {
                    self.listen_again()?;
                    continue;
                }
                Err(_would_block) => continue,
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for PtyMaster {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(cx))?;
            let hung_up = guard.ready().is_write_closed();
            match guard.try_io(|fd| Ok(nix::unistd::write(fd, buf)?)) {
                Ok(Err(error)) if is(&error, Errno::EINTR) => {}
                Ok(Err(error)) if is(&error, Errno::EIO) => {
                    let gone =
                        io::Error::new(io::ErrorKind::BrokenPipe, "nobody holds the terminal's other end");
                    return Poll::Ready(Err(gone));
                }
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) if hung_up => self.listen_again()?,
                Err(_would_block) => {}
            }
        }
    }

    /// Nothing is buffered on this side of the kernel.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A terminal has no half-closed state; dropping the master hangs up.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn register(master: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and the same descriptor, for as long as it lives.
    Ok(unsafe { AsyncFd::register(master) }?)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}
