//! A serial port, or a PTY that stands for one: 8 data bits, no parity, 1 stop bit, all bytes raw.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{self, c_int};
use nix::sys::termios::{
    ControlFlags, FlushArg, InputFlags, SetArg, SpecialCharacterIndices, Termios, tcflush, tcgetattr,
    tcsetattr,
};
use nix::unistd::{Gid, Group};
use serialport::SerialPortBuilder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::SerialStream;

use super::Line;

/// How the modem's port is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialSettings {
    /// The port: `/dev/ttyUSB0`, or a simulator's PTY.
    pub device: PathBuf,
    /// Bits a second between us and the modem.
    pub speed: u32,
    /// Who tells whom to stop sending, and how.
    pub flow: Flow,
}

/// Flow control between us and the modem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// V.24 circuits 105/133 and 106: the only kind that leaves all 256 bytes alone.
    RtsCts,
    /// DC1 and DC3 in the data: those two bytes can then not be sent as data.
    XonXoff,
    /// None.
    None,
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path names nothing.
    #[error("there is no {}: is the modem plugged in? `ls /dev/tty*` shows which ports there are", device.display())]
    NoSuchDevice {
        /// The port.
        device: PathBuf,
    },
    /// The user may not open it.
    #[error("you may not use {}: it belongs to the group {group}; join it with `sudo usermod -aG {group} $USER` and log in again", device.display())]
    NoPermission {
        /// The port.
        device: PathBuf,
        /// The group that may.
        group: String,
    },
    /// Somebody else has it.
    #[error("another program is using {}: end it first (`fuser -v {0}` names it)", device.display())]
    Locked {
        /// The port.
        device: PathBuf,
    },
    /// A file, a directory or something else that has no line settings.
    #[error("{} is not a serial port: name a device such as /dev/ttyS0 or /dev/ttyUSB0", device.display())]
    NotSerial {
        /// The path.
        device: PathBuf,
    },
    /// A device node with nothing behind it, as `/dev/ttyS3` on most machines.
    #[error("there is no hardware behind {}: choose another port", device.display())]
    NoHardware {
        /// The port.
        device: PathBuf,
    },
    /// The port does not do what was asked of it.
    #[error("{} does not take {speed} bit/s 8N1 ({detail}): try another speed", device.display())]
    Settings {
        /// The port.
        device: PathBuf,
        /// The bit rate asked for.
        speed: u32,
        /// What the system said.
        detail: String,
    },
    /// Anything else.
    #[error("cannot open {}: {source}", device.display())]
    Io {
        /// The port.
        device: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open port. Dropping it hangs up (DTR low), discards what was not sent, and leaves the port
/// with the settings it had.
#[derive(Debug)]
pub struct SerialLine {
    settings: SerialSettings,
    stream: SerialStream,
    /// A second descriptor of the same port: it is opened first, so that the errno is known, and
    /// lasts longest, so that the settings can be put back.
    port: File,
    found: Termios,
    leads: bool,
    ended: bool,
}

impl SerialLine {
    /// Opens the port, locks it, and raises DTR. Needs a running tokio reactor.
    pub fn open(settings: SerialSettings) -> Result<Self, OpenError> {
        let device = &settings.device;
        let port = open_port(device)?;
        if held_by_another(&port) {
            return Err(OpenError::Locked { device: device.clone() });
        }
        let found = tcgetattr(&port).map_err(|errno| from_errno(device, errno))?;
        let refused =
            |detail: String| OpenError::Settings { device: device.clone(), speed: settings.speed, detail };
        if settings.speed == 0 {
            return Err(refused("a speed of 0 hangs up".into())); // B0, termios(3)
        }
        let stream = SerialStream::open(&builder(&settings)).map_err(|error| {
            // Between our look and now another may have come first.
            if held_by_another(&port) {
                return OpenError::Locked { device: device.clone() };
            }
            let _ = clear_exclusive(&port); // set before whatever failed
            refused(error.description)
        })?;
        let leads = match modem_leads(&port) {
            Ok(leads) => leads.is_some(),
            Err(errno) => return Err(from_errno(device, errno)),
        };
        let mut line = Self { settings, stream, port, found, leads, ended: false };
        line.prepare().map_err(|source| OpenError::Io { device: line.settings.device.clone(), source })?;
        Ok(line)
    }

    /// What serialport leaves to us.
    fn prepare(&mut self) -> io::Result<()> {
        let mut termios = tcgetattr(&self.port)?;
        // IGNPAR would make bytes with a framing error vanish; a damaged byte is easier to find than
        // a missing one.
        termios.input_flags.remove(InputFlags::IGNPAR | InputFlags::INPCK | InputFlags::PARMRK);
        // CLOCAL: reads and writes do not wait for DCD. HUPCL: the kernel drops DTR even if we are killed.
        termios.control_flags.insert(ControlFlags::CLOCAL | ControlFlags::CREAD | ControlFlags::HUPCL);
        // With VMIN 0 "nothing yet" and "end of file" would look the same.
        termios.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        termios.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(&self.port, SetArg::TCSANOW, &termios)?;
        if self.leads {
            // What a modem said before we came (RING, line noise) is no answer to us.
            tcflush(&self.port, FlushArg::TCIFLUSH)?;
        } else {
            // A simulator keeps its slave open, so TIOCEXCL would outlive us there and lock out the
            // next caller. The flock stays.
            clear_exclusive(&self.port)?;
        }
        self.set_dtr(true)?;
        Ok(())
    }

    /// How the port is used.
    pub fn settings(&self) -> &SerialSettings {
        &self.settings
    }

    fn gone(&mut self, error: io::Error) -> io::Error {
        const UNPLUGGED: [Errno; 3] = [Errno::EIO, Errno::ENXIO, Errno::ENODEV];
        if UNPLUGGED.iter().any(|&errno| error.raw_os_error() == Some(errno as i32)) {
            self.ended = true;
            return io::Error::new(io::ErrorKind::BrokenPipe, GONE);
        }
        error
    }
}

impl Line for SerialLine {
    fn leads_known(&self) -> bool {
        self.leads
    }

    fn set_dtr(&mut self, on: bool) -> io::Result<bool> {
        if !self.leads {
            return Ok(false);
        }
        nix::ioctl_write_ptr_bad!(tiocmbis, libc::TIOCMBIS, c_int);
        nix::ioctl_write_ptr_bad!(tiocmbic, libc::TIOCMBIC, c_int);
        let fd = self.port.as_raw_fd();
        // SAFETY: TIOCMBIS and TIOCMBIC read one int from a pointer that is valid for the call.
        unsafe { if on { tiocmbis(fd, &libc::TIOCM_DTR) } else { tiocmbic(fd, &libc::TIOCM_DTR) } }?;
        Ok(true)
    }

    fn carrier(&mut self) -> io::Result<Option<bool>> {
        let leads = modem_leads(&self.port).map_err(|errno| self.gone(errno.into()))?;
        Ok(leads.map(|leads| leads & libc::TIOCM_CD != 0))
    }

    fn set_break(&mut self, on: bool) -> io::Result<bool> {
        if !self.leads {
            return Ok(false);
        }
        if on {
            // TIOCSBRK waits until all that is queued has left. That is for ever while the modem holds
            // CTS low, and the queue inside a USB adapter cannot be thrown away.
            let leads = modem_leads(&self.port).map_err(|errno| self.gone(errno.into()))?;
            if self.settings.flow == Flow::RtsCts && leads.is_some_and(|leads| leads & libc::TIOCM_CTS == 0) {
                return Ok(false);
            }
            self.discard_output()?;
        }
        nix::ioctl_none_bad!(tiocsbrk, libc::TIOCSBRK);
        nix::ioctl_none_bad!(tioccbrk, libc::TIOCCBRK);
        let fd = self.port.as_raw_fd();
        // SAFETY: both take no argument.
        unsafe { if on { tiocsbrk(fd) } else { tioccbrk(fd) } }?;
        Ok(true)
    }

    fn discard_output(&mut self) -> io::Result<()> {
        tcflush(&self.port, FlushArg::TCOFLUSH).map_err(|errno| self.gone(errno.into()))
    }

    fn unsent(&mut self) -> io::Result<Option<usize>> {
        nix::ioctl_read_bad!(tiocoutq, libc::TIOCOUTQ, c_int);
        let mut count = 0;
        // SAFETY: TIOCOUTQ writes one int to a pointer that is valid for the call.
        match unsafe { tiocoutq(self.port.as_raw_fd(), &mut count) } {
            // A PTY counts what the other end has not read as sent, so 0 there means little.
            Ok(_) => Ok(usize::try_from(count).ok().filter(|_| self.leads)),
            Err(Errno::ENOTTY | Errno::EINVAL) => Ok(None),
            Err(errno) => Err(self.gone(errno.into())),
        }
    }

    fn speed(&self) -> Option<u32> {
        Some(self.settings.speed)
    }

    fn name(&self) -> String {
        self.settings.device.display().to_string()
    }

    fn why_ended(&mut self) -> Option<String> {
        // With CLOCAL a port ends only with its driver; a PTY ends with whoever holds its other end.
        self.leads.then(|| GONE.to_owned())
    }
}

impl AsyncRead for SerialLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            // The other end of a PTY was closed, or the adapter pulled out: the port would answer
            // so for ever, and is not asked again.
            Poll::Ready(Ok(())) => {
                self.ended = buf.filled().len() == before;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.gone(error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for SerialLine {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.gone(error))),
            other => other,
        }
    }

    /// Does not ask the stream: tokio-serial's flush is a blocking `tcdrain`.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for SerialLine {
    /// Each step is tried whatever became of the one before: on a port that has gone, all fail.
    fn drop(&mut self) {
        let _ = self.set_break(false);
        let _ = self.set_dtr(false);
        if self.leads {
            // Closing would wait up to 30 s for a modem that does not take what is queued.
            let _ = tcflush(&self.port, FlushArg::TCIOFLUSH);
        }
        let _ = tcsetattr(&self.port, SetArg::TCSANOW, &self.found);
        let _ = clear_exclusive(&self.port);
    }
}

/// Opens by our own hand first: serialport turns most errnos into a text.
fn open_port(device: &Path) -> Result<File, OpenError> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK; // without O_NONBLOCK the open waits for DCD
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(device);
    opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => from_errno(device, errno),
        None => OpenError::Io { device: device.into(), source: error },
    })
}

fn from_errno(device: &Path, errno: Errno) -> OpenError {
    let device = device.to_path_buf();
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => OpenError::NoSuchDevice { device },
        Errno::EACCES | Errno::EPERM | Errno::EROFS => {
            let group = group_of(&device);
            OpenError::NoPermission { device, group }
        }
        Errno::EBUSY => OpenError::Locked { device }, // TIOCEXCL
        Errno::ENOTTY | Errno::EISDIR | Errno::EINVAL => OpenError::NotSerial { device },
        Errno::EIO | Errno::ENXIO | Errno::ENODEV => OpenError::NoHardware { device },
        other => OpenError::Io { device, source: other.into() },
    }
}

/// The group that owns the port: `dialout` on Debian, `uucp` on Arch.
fn group_of(device: &Path) -> String {
    let gid = std::fs::metadata(device).map(|found| Gid::from_raw(found.gid()));
    gid.ok()
        .filter(|gid| gid.as_raw() != 0) // nobody should be told to join `root`
        .and_then(|gid| Group::from_gid(gid).ok().flatten())
        .map_or_else(|| "dialout".into(), |group| group.name)
}

fn builder(settings: &SerialSettings) -> SerialPortBuilder {
    let flow = match settings.flow {
        Flow::RtsCts => serialport::FlowControl::Hardware,
        Flow::XonXoff => serialport::FlowControl::Software,
        Flow::None => serialport::FlowControl::None,
    };
    serialport::new(settings.device.to_string_lossy(), settings.speed)
        .data_bits(serialport::DataBits::Eight)
        .parity(serialport::Parity::None)
        .stop_bits(serialport::StopBits::One)
        .flow_control(flow)
        .exclusive(true) // TIOCEXCL, and an exclusive flock on the descriptor
}

/// Whether somebody else's flock is on the port.
fn held_by_another(port: &File) -> bool {
    let Ok(port) = port.try_clone() else { return false };
    match Flock::lock(port, FlockArg::LockExclusiveNonblock) {
        Ok(_unlocks_when_dropped) => false,
        Err((_, errno)) => errno == Errno::EWOULDBLOCK,
    }
}

/// The leads' state, or `None` where there are none (a PTY).
fn modem_leads(port: &File) -> Result<Option<c_int>, Errno> {
    nix::ioctl_read_bad!(tiocmget, libc::TIOCMGET, c_int);
    let mut leads = 0;
    // SAFETY: TIOCMGET writes one int to a pointer that is valid for the call.
    match unsafe { tiocmget(port.as_raw_fd(), &mut leads) } {
        Ok(_) => Ok(Some(leads)),
        Err(Errno::ENOTTY | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Undoes TIOCEXCL, which belongs to the terminal and not to the descriptor.
fn clear_exclusive(port: &File) -> io::Result<()> {
    nix::ioctl_none_bad!(tiocnxcl, libc::TIOCNXCL);
    // SAFETY: TIOCNXCL takes no argument.
    unsafe { tiocnxcl(port.as_raw_fd()) }?;
    Ok(())
}

/// What an unplugged adapter is called, by its end of file as by its errnos.
const GONE: &str = "the port has gone; was it unplugged?";
