//! The simulated modem in real time: a PTY that a program takes for its serial port, the modem on
//! it, and a host behind the line.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nix::libc::{self, c_int};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::dce::{Dce, DceEvent, DceOptions, DceStep, HangUpBy, Hook};
use super::host::{Host, HostPipe};
use crate::line::pty::{PtyMaster, PtyPair, open_slave};
use crate::machine::Control;

/// What to simulate.
#[derive(Debug)]
pub struct SimOptions {
    /// The modem and the line behind it.
    pub modem: DceOptions,
    /// Who answers.
    pub host: Host,
    /// A symbolic link to make to the device, so that it has a name known beforehand.
    pub link: Option<PathBuf>,
}

/// What happens in a simulation. `Display` gives the line that `mailcall sim` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimEvent {
    /// On the modem.
    Modem(DceEvent),
    /// The host did not start; the caller gets NO CARRIER.
    HostFailed {
        /// Why.
        error: String,
    },
}

impl std::fmt::Display for SimEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HostFailed { error } => write!(f, "host failed: {error}"),
            Self::Modem(DceEvent::Dialled { number }) => write!(f, "dialled {number}"),
            Self::Modem(DceEvent::Refused { result }) => write!(f, "no call: {result}"),
            Self::Modem(DceEvent::Rings) => write!(f, "a call comes in"),
            Self::Modem(DceEvent::CallerGaveUp) => write!(f, "no call: the caller gave up"),
            Self::Modem(DceEvent::Connected { call, number }) if number.is_empty() => {
                write!(f, "call {call} from the host: connected")
            }
            Self::Modem(DceEvent::Connected { call, number }) => {
                write!(f, "call {call} to {number}: connected")
            }
            Self::Modem(DceEvent::HungUp { call, by, bytes_down, bytes_up, damaged }) => {
                let by = match by {
                    HangUpBy::Command => "hung up by the caller",
                    HangUpBy::Dtr => "hung up by the caller (DTR)",
                    HangUpBy::Host => "hung up by the host",
                    HangUpBy::Line => "carrier lost",
                };
                write!(f, "call {call}: {by}, {bytes_down} bytes down, {bytes_up} up, {damaged} damaged")
            }
        }
    }
}

/// A running simulation. Dropping it switches the modem off: the device goes away and the host is
/// hung up on.
#[derive(Debug)]
pub struct Sim {
    device: PathBuf,
    hook: watch::Receiver<Hook>,
    events: mpsc::Receiver<SimEvent>,
    /// `None` once asked to stop.
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Sim {
    /// Opens the PTY and starts the modem as a task of the current tokio runtime.
    pub fn start(options: SimOptions) -> io::Result<Self> {
        let pty = PtyPair::open()?;
        pty.make_raw()?;
        let link = options.link.map(|path| Link::make(path, &pty.path)).transpose()?;
        let (hook_out, hook) = watch::channel(Hook::OnHook);
        let (events_out, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let (stop, stopped) = oneshot::channel();
        let server = Server {
            dce: Dce::new(options.modem),
            dte: PtyMaster::new(pty.master)?,
            slave: pty.slave,
            device: pty.path.clone(),
            from_dte: Vec::new(),
            maker: options.host,
            host: None,
            from_host: Vec::new(),
            host_ended: false,
            hook: hook_out,
            events: events_out,
            _link: link,
        };
        let task = tokio::spawn(server.run(stopped));
        Ok(Self { device: pty.path, hook, events, stop: Some(stop), task })
    }

    /// The port that the modem is on.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The next thing that happens; `None` once the simulation has ended.
    pub async fn next_event(&mut self) -> Option<SimEvent> {
        self.events.recv().await
    }

    /// Where the modem stands now.
    pub fn hook(&self) -> Hook {
        *self.hook.borrow()
    }

    /// Whether there is no call.
    pub fn is_on_hook(&self) -> bool {
        self.hook() == Hook::OnHook
    }

    /// Waits until there is no call; the caller bounds the wait.
    pub async fn on_hook(&mut self) {
        // An error means that the modem is switched off, and then there is no call either.
        let _ = self.hook.wait_for(|&hook| hook == Hook::OnHook).await;
    }

    /// Switches the modem off, after a program has had [`READER_WAIT`] to read what it was sent.
    pub async fn stop(mut self) {
        self.stop = None; // the task hears of the dropped sender
        let _ = (&mut self.task).await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Server {
    dce: Dce,
    dte: PtyMaster,
    /// Held, so that the master sees no end of file between two programs, and what was written for
    /// a program that is still to open the port is kept.
    slave: OwnedFd,
    device: PathBuf,
    /// Read and not yet taken by the modem.
    from_dte: Vec<u8>,
    maker: Host,
    host: Option<Box<dyn HostPipe>>,
    /// Read and not yet taken by the modem.
    from_host: Vec<u8>,
    host_ended: bool,
    hook: watch::Sender<Hook>,
    events: mpsc::Sender<SimEvent>,
    _link: Option<Link>,
}

#[allow(clippy::disallowed_methods)] // here the simulated world begins: the one place that gives the modem real time
impl Server {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let deadline = self.settle();
            let wait = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = &mut stopped => break,
                () = poll_fn(|cx| self.poll_io(cx)) => {}
                () = wait => {}
            }
        }
        self.host = None;
        self.await_reader().await;
    }

    /// Feeds the modem what was read, hears what it says, and returns its deadline.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            let now = Instant::now();
            if self.dce.minds_speed()
                && let Some(speed) = port_speed(&self.slave)
            {
                self.dce.handle_control(now, Control::Speed(speed));
            }
            let taken = self.dce.handle_dte(now, &self.from_dte);
            self.from_dte.drain(..taken);
            let taken_from_host = self.dce.handle_host(now, &self.from_host);
            self.from_host.drain(..taken_from_host);
            if self.host_ended && self.from_host.is_empty() {
                self.dce.handle_host_end(now);
            }
            match self.dce.poll(now) {
                DceStep::Event(event) => self.handle_event(event),
                DceStep::Wait(_) if taken + taken_from_host > 0 => {}
                DceStep::Wait(deadline) => {
                    let hook = self.dce.hook();
                    self.hook.send_if_modified(|seen| std::mem::replace(seen, hook) != hook);
                    return deadline;
                }
            }
        }
    }

    fn handle_event(&mut self, event: DceEvent) {
        match &event {
            DceEvent::Connected { number, .. } => {
                self.host_ended = false;
                self.from_host.clear();
                match self.maker.start(number) {
                    Ok(host) => self.host = Some(host),
                    Err(error) => {
                        self.host_ended = true;
                        self.tell(SimEvent::HostFailed { error: error.to_string() });
                    }
                }
            }
            DceEvent::HungUp { .. } => {
                self.host = None;
                self.from_host.clear();
                self.host_ended = false;
            }
            DceEvent::Dialled { .. }
            | DceEvent::Refused { .. }
            | DceEvent::Rings
            | DceEvent::CallerGaveUp => {}
        }
        self.tell(SimEvent::Modem(event));
    }

    /// Nobody has to listen: an event that finds the queue full is lost.
    fn tell(&self, event: SimEvent) {
        let _ = self.events.try_send(event);
    }

    /// Moves bytes between the modem and both descriptors; ready once anything has moved. Reads only
    /// what the modem has room for, so that both sides feel the line's rate.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut moved = false;
        if !self.dce.output_for_dte().is_empty() {
            let written = Pin::new(&mut self.dte).poll_write(cx, self.dce.output_for_dte());
            if let Some(count) = taken(written, self.dce.output_for_dte().len()) {
                self.dce.sent_to_dte(count);
                moved = true;
            }
        }
        let room = self.dce.room_for_dte();
        if self.from_dte.is_empty() && room > 0 {
            match poll_fill(Pin::new(&mut self.dte), cx, room, &mut self.from_dte) {
                Poll::Ready(true) => moved = true,
                Poll::Ready(false) => moved |= self.hold_slave_again(),
                Poll::Pending => {}
            }
        }
        let Some(host) = &mut self.host else { return ready_if(moved) };
        if !self.dce.output_for_host().is_empty() {
            let written = Pin::new(&mut *host).poll_write(cx, self.dce.output_for_host());
            if let Some(count) = taken(written, self.dce.output_for_host().len()) {
                self.dce.sent_to_host(count);
                moved = true;
            }
        }
        let room = self.dce.room_for_host();
        if self.from_host.is_empty()
            && !self.host_ended
            && room > 0
            && let Poll::Ready(more) = poll_fill(Pin::new(host), cx, room, &mut self.from_host)
        {
            self.host_ended = !more;
            moved = true;
        }
        ready_if(moved)
    }

    /// The slave is held, so the master sees no end; unless a getty was put on the port, which drives
    /// all others off it (vhangup), and then went.
    fn hold_slave_again(&mut self) -> bool {
        let held = open_slave(&self.device).and_then(|slave| {
            self.slave = slave;
            self.dte.listen_again()
        });
        held.is_ok()
    }

    /// Closing the master destroys what the slave has not read.
    async fn await_reader(&mut self) {
        let until = Instant::now() + READER_WAIT;
        while unread(&self.slave) > 0 && Instant::now() < until {
            tokio::time::sleep(READER_CHECK_EVERY).await;
        }
    }
}

fn ready_if(moved: bool) -> Poll<()> {
    if moved { Poll::Ready(()) } else { Poll::Pending }
}

/// How many bytes a write disposed of: all of them if there is nobody left to take any.
fn taken(written: Poll<io::Result<usize>>, offered: usize) -> Option<usize> {
    match written {
        Poll::Ready(Ok(count)) => Some(count),
        Poll::Ready(Err(_)) => Some(offered),
        Poll::Pending => None,
    }
}

/// Reads what is there and fits; ready with false at the end of file, of which an error is one kind.
fn poll_fill<R: AsyncRead + ?Sized>(
    pipe: Pin<&mut R>,
    cx: &mut Context<'_>,
    room: usize,
    into: &mut Vec<u8>,
) -> Poll<bool> {
    let mut space = [0; READ_MAX];
    let mut buf = ReadBuf::new(&mut space[..room.min(READ_MAX)]);
    pipe.poll_read(cx, &mut buf).map(|result| {
        into.extend_from_slice(buf.filled());
        result.is_ok() && !buf.filled().is_empty()
    })
}

fn unread(slave: &OwnedFd) -> c_int {
    nix::ioctl_read_bad!(fionread, libc::FIONREAD, c_int);
    let mut count = 0;
    // SAFETY: FIONREAD writes one int to a pointer that is valid for the call.
    if unsafe { fionread(slave.as_raw_fd(), &mut count) }.is_err() {
        return 0; // nothing that could be waited for
    }
    count
}

/// The rate at which a program has set the port, in bit/s.
fn port_speed(slave: &OwnedFd) -> Option<u32> {
    nix::ioctl_read_bad!(tcgets2, libc::TCGETS2, libc::termios2);
    // SAFETY: all zeroes is a valid `termios2`, a struct of integers.
    let mut termios: libc::termios2 = unsafe { std::mem::zeroed() };
    // SAFETY: TCGETS2 writes one `termios2` to a pointer that is valid for the call.
    unsafe { tcgets2(slave.as_raw_fd(), &mut termios) }.ok().map(|_| termios.c_ospeed)
}

/// A symbolic link that goes when the simulation does.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Makes the link. One that a killed simulation left behind is replaced; a file is not.
    fn make(path: PathBuf, target: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            std::fs::remove_file(&path)?;
        }
        std::os::unix::fs::symlink(target, &path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot link {}: {error}", path.display()))
        })?;
        Ok(Self { path, target: target.into() })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if std::fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            let _ = std::fs::remove_file(&self.path); // gone already is as good
        }
    }
}

/// How long a program may take to read the last bytes before the device goes away.
pub const READER_WAIT: Duration = Duration::from_secs(1);
const READER_CHECK_EVERY: Duration = Duration::from_millis(10);
/// Events nobody has asked for yet.
const EVENTS_QUEUED_MAX: usize = 1_024;
/// Bytes read at a time.
const READ_MAX: usize = 1_024;
