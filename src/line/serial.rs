//! A serial port, or a PTY that stands for one, with any framing; all bytes pass raw.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{self, c_int};
use nix::sys::termios::{
    ControlFlags, FlushArg, InputFlags, SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcflush,
    tcgetattr, tcsetattr,
};
use nix::unistd::{Gid, Group};
use serialport::{SerialPort, TTYPort};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::SerialStream;

use super::holder::{Holder, in_use};
use super::lock::{PortLock, holder_in};
use super::{DataBits, Framing, Leads, Line, Parity, StopBits};

/// How the modem's port is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialSettings {
    /// The port: `/dev/ttyUSB0`, or a simulator's PTY.
    pub device: PathBuf,
    /// Bits a second between us and the modem.
    pub speed: u32,
    /// Who tells whom to stop sending, and how.
    pub flow: Flow,
    /// Data bits, parity, stop bits.
    pub framing: Framing,
    /// Where UUCP lock files are kept, instead of the system's lock directory.
    pub lock_dir: Option<PathBuf>,
}

impl SerialSettings {
    /// A port of 8N1, with lock files where the system keeps them.
    pub fn new(device: impl Into<PathBuf>, speed: u32, flow: Flow) -> Self {
        Self { device: device.into(), speed, flow, framing: Framing::default(), lock_dir: None }
    }
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
    #[error("{}", in_use(device, holder.as_ref()))]
    Locked {
        /// The port.
        device: PathBuf,
        /// Who, as far as it can be known.
        holder: Option<Holder>,
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
    #[error("{} does not take {speed} bit/s {framing} ({detail}): try another", device.display())]
    Settings {
        /// The port.
        device: PathBuf,
        /// The bit rate asked for.
        speed: u32,
        /// The framing asked for.
        framing: Framing,
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

impl std::fmt::Display for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RtsCts => "RTS/CTS",
            Self::XonXoff => "XON/XOFF",
            Self::None => "no flow control",
        })
    }
}

/// An open port. Dropping it hangs up (DTR low), discards what was not sent, and leaves the port
/// with the settings it had and free for others. After [`Line::keep_up`] it does none of that.
#[derive(Debug)]
pub struct SerialLine {
    settings: SerialSettings,
    stream: SerialStream,
    /// Let go before the flock below: see [`PortLock`].
    _lock: PortLock,
    /// The port as we opened it, which lasts longest, so that the settings can be put back. The
    /// stream's descriptor is a copy of this one and shares its flock.
    port: Flock<File>,
    found: Termios,
    /// The bit rate that the port had, if it is none of those that [`Termios`] can hold.
    found_speed: Option<u32>,
    leads: bool,
    warnings: Vec<String>,
    ended: bool,
    /// Closing it is to leave the call up.
    stays_up: bool,
}

impl SerialLine {
    /// Opens the port, locks it, and raises DTR. Needs a running tokio reactor.
    pub fn open(settings: SerialSettings) -> Result<Self, OpenError> {
        let device = &settings.device;
        let port = lock_device(&settings, open_port(&settings)?)?;
        let found = tcgetattr(&*port).map_err(|errno| from_errno(&settings, errno))?;
        let leads = modem_leads(&port).map_err(|errno| from_errno(&settings, errno))?.is_some();
        // Nothing has been changed yet: whoever holds a lock file may know of no flock, and be at work.
        let lock = PortLock::acquire(device, settings.lock_dir.as_deref())
            .map_err(|holder| OpenError::Locked { device: device.clone(), holder: Some(holder) })?;
        let stream = stream_over(&port).map_err(|source| OpenError::Io { device: device.clone(), source })?;
        let other_speed = found.control_flags.bits() & libc::CBAUD == libc::BOTHER;
        let found_speed = stream.baud_rate().ok().filter(|_| other_speed);
        let warnings = lock.warnings().to_vec();
        let mut line = Self {
            settings,
            stream,
            _lock: lock,
            port,
            found,
            found_speed,
            leads,
            warnings,
            ended: false,
            stays_up: false,
        };
        let SerialSettings { device, speed, framing, .. } = line.settings.clone();
        let refused = |device, detail| OpenError::Settings { device, speed, framing, detail };
        let taken = line
            .prepare()
            .map_err(|source| OpenError::Io { device: line.settings.device.clone(), source })?;
        if let Err(detail) = line.settle_for(taken) {
            return Err(refused(device, detail));
        }
        line.set_speed(speed).map_err(|error| refused(device, error.to_string()))?;
        line.set_dtr(true)
            .map_err(|source| OpenError::Io { device: line.settings.device.clone(), source })?;
        Ok(line)
    }

    /// Makes the port carry all bytes unchanged, and answers with the framing that it took.
    fn prepare(&mut self) -> io::Result<Framing> {
        let mut termios = tcgetattr(&*self.port)?;
        cfmakeraw(&mut termios);
        // IGNPAR would make bytes with a framing error vanish; a damaged byte is easier to find than
        // a missing one.
        let input = &mut termios.input_flags;
        input.remove(InputFlags::IGNPAR | InputFlags::INPCK | InputFlags::PARMRK | InputFlags::IXANY);
        input.set(InputFlags::IXON | InputFlags::IXOFF, self.settings.flow == Flow::XonXoff);
        let control = &mut termios.control_flags;
        control.remove(FRAMING_FLAGS);
        control.insert(flags_of(self.settings.framing));
        // CLOCAL: reads and writes do not wait for DCD. HUPCL: the kernel drops DTR even if we are killed.
        control.insert(ControlFlags::CLOCAL | ControlFlags::CREAD | ControlFlags::HUPCL);
        control.set(ControlFlags::CRTSCTS, self.settings.flow == Flow::RtsCts);
        // With VMIN 0 "nothing yet" and "end of file" would look the same.
        termios.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        termios.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        // Whatever somebody before us used for it.
        termios.control_chars[SpecialCharacterIndices::VSTART as usize] = DC1;
        termios.control_chars[SpecialCharacterIndices::VSTOP as usize] = DC3;
        tcsetattr(&*self.port, SetArg::TCSANOW, &termios)?;
        // tcsetattr succeeds if the driver did any of it.
        let taken = tcgetattr(&*self.port)?.control_flags;
        if self.settings.flow == Flow::RtsCts && !taken.contains(ControlFlags::CRTSCTS) {
            let warning = format!("{} has no RTS/CTS flow control: bytes may be lost", self.name());
            self.warnings.push(warning);
        }
        if self.leads {
            // What a modem said before we came (RING, line noise) is no answer to us.
            tcflush(&*self.port, FlushArg::TCIFLUSH)?;
        } else {
            // A simulator keeps its slave open, so TIOCEXCL would outlive us there and lock out the
            // next caller. The flock stays.
            clear_exclusive(&self.port)?;
        }
        Ok(framing_in(taken))
    }

    /// Goes on with the framing that the port took in place of the one asked for, or says why not.
    ///
    /// A PTY answers that all is well, and stays 8N1. There no bits are lost by it, because it carries
    /// bytes; on a wire only seven bits with parity are the same as eight, see [`Framing::in_eight_bits`].
    fn settle_for(&mut self, taken: Framing) -> Result<(), String> {
        let asked = self.settings.framing;
        let detail = format!("the port makes {taken} of it");
        let is_pty = !self.leads;
        if taken == asked {
            return Ok(());
        }
        let warning = match (asked.data_bits, taken.data_bits) {
            (DataBits::Seven, DataBits::Eight) if is_pty || asked.in_eight_bits() == Some(taken) => {
                format!("{} does not do {asked} itself: seven bits are made by software", self.name())
            }
            (DataBits::Eight, DataBits::Eight) if is_pty => {
                format!("{} is no port with a wire: bytes pass as they are, without {asked}", self.name())
            }
            (_, _) => return Err(detail),
        };
        self.warnings.push(warning);
        self.settings.framing = taken;
        Ok(())
    }

    /// How the port is used. The framing is the one that the port took: eight bits where it cannot do
    /// the seven asked for, which are then made by [`super::SevenBit`] over it.
    pub fn settings(&self) -> &SerialSettings {
        &self.settings
    }

    fn set_lead(&mut self, lead: c_int, on: bool) -> io::Result<bool> {
        if !self.leads {
            return Ok(false);
        }
        nix::ioctl_write_ptr_bad!(tiocmbis, libc::TIOCMBIS, c_int);
        nix::ioctl_write_ptr_bad!(tiocmbic, libc::TIOCMBIC, c_int);
        let fd = self.port.as_raw_fd();
        // SAFETY: TIOCMBIS and TIOCMBIC read one int from a pointer that is valid for the call.
        let done = unsafe { if on { tiocmbis(fd, &lead) } else { tiocmbic(fd, &lead) } };
        done.map(|_| true).map_err(|errno| self.gone(errno.into()))
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
        self.set_lead(libc::TIOCM_DTR, on)
    }

    fn set_rts(&mut self, on: bool) -> io::Result<bool> {
        // With flow control the driver works it, and takes it back at the next full queue.
        if self.settings.flow == Flow::RtsCts { Ok(false) } else { self.set_lead(libc::TIOCM_RTS, on) }
    }

    fn keep_up(&mut self) -> io::Result<bool> {
        let mut termios = tcgetattr(&*self.port).map_err(|errno| self.gone(errno.into()))?;
        termios.control_flags.remove(ControlFlags::HUPCL);
        tcsetattr(&*self.port, SetArg::TCSANOW, &termios).map_err(|errno| self.gone(errno.into()))?;
        self.stays_up = true;
        Ok(true)
    }

    fn port_settings(&self) -> Option<String> {
        let SerialSettings { speed, flow, framing, .. } = &self.settings;
        Some(format!("{speed} bit/s {framing}, {flow}"))
    }

    fn leads(&mut self) -> io::Result<Option<Leads>> {
        let bits = modem_leads(&self.port).map_err(|errno| self.gone(errno.into()))?;
        Ok(bits.map(|bits| Leads {
            dtr: bits & libc::TIOCM_DTR != 0,
            rts: bits & libc::TIOCM_RTS != 0,
            cts: bits & libc::TIOCM_CTS != 0,
            dsr: bits & libc::TIOCM_DSR != 0,
            dcd: bits & libc::TIOCM_CAR != 0,
            ri: bits & libc::TIOCM_RNG != 0,
        }))
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
        let done = unsafe { if on { tiocsbrk(fd) } else { tioccbrk(fd) } };
        done.map(|_| true).map_err(|errno| self.gone(errno.into()))
    }

    fn discard_output(&mut self) -> io::Result<()> {
        tcflush(&*self.port, FlushArg::TCOFLUSH).map_err(|errno| self.gone(errno.into()))
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

    fn set_speed(&mut self, bits: u32) -> io::Result<bool> {
        let refused = |detail: String| io::Error::new(io::ErrorKind::InvalidInput, detail);
        if bits == 0 {
            return Err(refused("a speed of 0 hangs up".into())); // B0, termios(3)
        }
        if let Err(error) = self.stream.set_baud_rate(bits) {
            // serialport tells no errno; a port that has gone tells it again.
            tcgetattr(&*self.port).map_err(|errno| self.gone(errno.into()))?;
            return Err(refused(error.description));
        }
        // A driver writes down what it made of it: the nearest rate that its chip has.
        if let Some(taken) = self.stream.baud_rate().ok().filter(|&taken| !is_near(taken, bits)) {
            let _ = self.stream.set_baud_rate(self.settings.speed); // the one it had, unless just opened
            return Err(refused(format!("the port makes {taken} of it")));
        }
        self.settings.speed = bits;
        Ok(true)
    }

    fn bits_per_byte(&self) -> u32 {
        self.settings.framing.bits()
    }

    fn eight_bit(&self) -> bool {
        self.settings.framing.is_eight_bit()
    }

    fn name(&self) -> String {
        self.settings.device.display().to_string()
    }

    fn why_ended(&mut self) -> Option<String> {
        self.ended.then(|| GONE.to_owned())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
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
            // The other end of a PTY was closed, or the adapter pulled out: either way the kernel
            // hangs the terminal up, which reads as end of file for ever and is not asked again.
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
        if self.stays_up {
            let _ = clear_exclusive(&self.port);
            return;
        }
        let _ = self.set_dtr(false);
        if self.leads {
            // Closing would wait up to 30 s for a modem that does not take what is queued.
            let _ = tcflush(&*self.port, FlushArg::TCIOFLUSH);
        }
        let _ = tcsetattr(&*self.port, SetArg::TCSANOW, &self.found);
        if let Some(speed) = self.found_speed {
            let _ = self.stream.set_baud_rate(speed);
        }
        let _ = clear_exclusive(&self.port);
    }
}

/// Opens by our own hand: serialport turns most errnos into a text.
fn open_port(settings: &SerialSettings) -> Result<File, OpenError> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK; // without O_NONBLOCK the open waits for DCD
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&settings.device);
    opened.map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => from_errno(settings, errno),
        None => OpenError::Io { device: settings.device.clone(), source: error },
    })
}

/// Takes the flock on the device, which stays until the port is closed.
fn lock_device(settings: &SerialSettings, port: File) -> Result<Flock<File>, OpenError> {
    Flock::lock(port, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => locked(settings),
        other => OpenError::Io { device: settings.device.clone(), source: other.into() },
    })
}

fn locked(settings: &SerialSettings) -> OpenError {
    let holder = holder_in(&settings.device, settings.lock_dir.as_deref());
    OpenError::Locked { device: settings.device.clone(), holder }
}

/// The port's bytes as a stream: over a copy of the descriptor, which shares the flock, so there is no
/// moment without it. TIOCEXCL is set on the way.
fn stream_over(port: &File) -> io::Result<SerialStream> {
    let copy = port.as_fd().try_clone_to_owned()?;
    // SAFETY: the descriptor is open, and from here on the port's alone.
    let port = unsafe { TTYPort::from_raw_fd(copy.into_raw_fd()) };
    Ok(SerialStream::try_from(port)?)
}

fn from_errno(settings: &SerialSettings, errno: Errno) -> OpenError {
    let device = settings.device.clone();
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => OpenError::NoSuchDevice { device },
        Errno::EACCES | Errno::EPERM | Errno::EROFS => {
            let group = group_of(&device);
            OpenError::NoPermission { device, group }
        }
        Errno::EBUSY => locked(settings), // TIOCEXCL
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

/// Whether a port at one rate understands a modem at the other: a bit may be late by half its length
/// after the ten of a byte, which both ends share.
pub(super) fn is_near(taken: u32, asked: u32) -> bool {
    u64::from(taken.abs_diff(asked)) * 100 <= u64::from(asked) * RATE_ERROR_PERCENT_MAX
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

/// termios(3): framing as flags.
fn flags_of(framing: Framing) -> ControlFlags {
    let mut flags = match framing.data_bits {
        DataBits::Five => ControlFlags::CS5,
        DataBits::Six => ControlFlags::CS6,
        DataBits::Seven => ControlFlags::CS7,
        DataBits::Eight => ControlFlags::CS8,
    };
    flags |= match framing.parity {
        Parity::None => ControlFlags::empty(),
        Parity::Even => ControlFlags::PARENB,
        Parity::Odd => ControlFlags::PARENB | ControlFlags::PARODD,
        Parity::Space => ControlFlags::PARENB | ControlFlags::CMSPAR,
        Parity::Mark => ControlFlags::PARENB | ControlFlags::PARODD | ControlFlags::CMSPAR,
    };
    flags.set(ControlFlags::CSTOPB, framing.stop_bits == StopBits::Two);
    flags
}

/// And back.
fn framing_in(flags: ControlFlags) -> Framing {
    let data_bits = match flags & ControlFlags::CSIZE {
        bits if bits == ControlFlags::CS5 => DataBits::Five,
        bits if bits == ControlFlags::CS6 => DataBits::Six,
        bits if bits == ControlFlags::CS7 => DataBits::Seven,
        _cs8 => DataBits::Eight,
    };
    let has = |flag| flags.contains(flag);
    let parity = match (has(ControlFlags::PARENB), has(ControlFlags::CMSPAR), has(ControlFlags::PARODD)) {
        (false, _, _) => Parity::None,
        (true, false, false) => Parity::Even,
        (true, false, true) => Parity::Odd,
        (true, true, false) => Parity::Space,
        (true, true, true) => Parity::Mark,
    };
    let stop_bits = if has(ControlFlags::CSTOPB) { StopBits::Two } else { StopBits::One };
    Framing { data_bits, parity, stop_bits }
}

/// The flags that are framing.
const FRAMING_FLAGS: ControlFlags = ControlFlags::CSIZE
    .union(ControlFlags::PARENB)
    .union(ControlFlags::PARODD)
    .union(ControlFlags::CMSPAR)
    .union(ControlFlags::CSTOPB);
/// XON of software flow control.
const DC1: u8 = 0x11;
/// XOFF.
const DC3: u8 = 0x13;
/// What is said of a port that has vanished.
const GONE: &str = "the port has gone: was it unplugged?";
/// How far a port's bit rate may be from what was asked, in percent.
const RATE_ERROR_PERCENT_MAX: u64 = 3;
