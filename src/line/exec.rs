//! Any command as a line: it runs on a PTY of its own, as `ssh -tt host` or a local shell would.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, faccessat};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pty::{PtyMaster, PtyPair};
use super::{Leads, Line};

/// What to run, and what it finds around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// The terminal it is told it has (`TERM`).
    pub term: String,
    /// Variables it is given beside `TERM`.
    pub env: Vec<(OsString, OsString)>,
    /// Start from an empty environment instead of ours.
    pub clean_env: bool,
    /// The folder it begins in, instead of ours.
    pub folder: Option<PathBuf>,
    /// The size of the screen it is told it has.
    pub rows: u16,
    /// Columns of that screen.
    pub cols: u16,
}

impl ExecSettings {
    /// A command with our environment, on a VT100 of 24 by 80.
    pub fn new<S: Into<OsString>>(command: impl IntoIterator<Item = S>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            term: "vt100".into(),
            env: Vec::new(),
            clean_env: false,
            folder: None,
            rows: 24,
            cols: 80,
        }
    }

    fn name(&self) -> String {
        let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The settings name no program.
    #[error("the line's command is empty: give it a program, such as command = [\"ssh\", \"-tt\", \"host\"]")]
    NoCommand,
    /// No terminal could be made for it.
    #[error("no pseudo-terminal for `{command}`: {source}")]
    NoPty {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program did not start.
    #[error("cannot run `{command}`: {source}; is it installed, and in PATH?")]
    Spawn {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a command's program is, as running it would find it: by its path, or in PATH. The error says
/// why it cannot be run.
pub fn find_program(program: &OsStr) -> Result<PathBuf, String> {
    let shown = program.to_string_lossy();
    let runs = |path: &Path| {
        path.is_file() && faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS).is_ok()
    };
    if shown.contains('/') {
        let path = PathBuf::from(program);
        return match path.try_exists() {
            Ok(true) if runs(&path) => Ok(path),
            Ok(true) => Err(format!("{shown} is not a program that we may run")),
            Ok(false) => Err(format!("there is no {shown}")),
            Err(error) => Err(format!("{shown}: {error}")),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found: Vec<PathBuf> = std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .filter(|path| path.is_file())
        .collect();
    match (found.iter().find(|path| runs(path)), found.first()) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(path)) => Err(format!("{} is not a program that we may run", path.display())),
        (None, None) => Err(format!("there is no program {shown} in PATH")),
    }
}

/// A running command and the wire to its terminal. Dropping it hangs up: the terminal is closed, the
/// process group is told SIGHUP, and after a grace SIGTERM and SIGKILL; the child is always reaped.
#[derive(Debug)]
pub struct ExecLine {
    name: String,
    /// `None` once hung up.
    master: Option<PtyMaster>,
    /// `None` once handed to [`end_group`].
    child: Option<Child>,
    status: Option<ExitStatus>,
    /// The next end of file counts, whatever may still run.
    last_look: bool,
    ended: bool,
    reading: Vacancy,
    writing: Vacancy,
}

impl ExecLine {
    /// Starts the command in a session of its own. Needs a running tokio reactor.
    pub fn spawn(settings: &ExecSettings) -> Result<Self, ExecError> {
        let name = settings.name();
        let (program, arguments) = settings.command.split_first().ok_or(ExecError::NoCommand)?;
        let no_pty = |source| ExecError::NoPty { command: name.clone(), source };
        let pty = PtyPair::open().map_err(no_pty)?;
        pty.set_window(settings.rows, settings.cols).map_err(no_pty)?;
        let stdio = || pty.slave.as_fd().try_clone_to_owned().map(Stdio::from).map_err(no_pty);
        let mut command = Command::new(program);
        command.args(arguments).stdin(stdio()?).stdout(stdio()?).stderr(stdio()?);
        if settings.clean_env {
            command.env_clear();
        }
        // Size is the terminal's to say; inherited numbers would contradict it.
        command.env_remove("LINES").env_remove("COLUMNS").env("TERM", &settings.term);
        command.envs(settings.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &settings.folder {
            command.current_dir(folder);
        }
        // SAFETY: `own_session` makes only system calls that are safe between fork and exec.
        unsafe { command.pre_exec(own_session) };
        let master = PtyMaster::new(pty.master).map_err(no_pty)?;
        let child = command.spawn().map_err(|source| ExecError::Spawn { command: name.clone(), source })?;
        // Our slave descriptors close here, so that the command's end is the terminal's end.
        Ok(Self {
            name,
            master: Some(master),
            child: Some(child),
            status: None,
            last_look: false,
            ended: false,
            reading: Vacancy::default(),
            writing: Vacancy::default(),
        })
    }

    /// How the command ended, once it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if let (Some(status), Some(child)) = (status, self.child.take_if(|_| status.is_some())) {
            self.status = Some(status);
            // What it left running in its group ends with it; later its number may be another's.
            end_group_apart(child);
        }
        self.status
    }

    /// Waits until the command has ended; the caller bounds the wait. End of file comes a moment
    /// before the status, because a process closes its files before it can be waited for.
    #[allow(clippy::disallowed_methods)] // a line is where the world begins: processes end in real time
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        while self.exit_status().is_none() && self.child.is_some() {
            tokio::time::sleep(CHECK_EVERY).await;
        }
        self.status
    }

    /// Hangs up and waits until the command has gone, which is bounded by [`HANGUP_GRACE`] and
    /// [`TERM_GRACE`]. Its status is known afterwards.
    pub async fn close(&mut self) -> Option<ExitStatus> {
        self.exit_status();
        self.master = None; // the kernel now says SIGHUP to the session's foreground
        if let Some(child) = self.child.take() {
            let ended = tokio::task::spawn_blocking(move || end_group(child)).await;
            self.status = self.status.or(ended.ok().flatten());
        }
        self.status
    }
}

impl Line for ExecLine {
    fn leads_known(&self) -> bool {
        false
    }

    fn set_dtr(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    fn leads(&mut self) -> io::Result<Option<Leads>> {
        Ok(None)
    }

    fn set_break(&mut self, _on: bool) -> io::Result<bool> {
        Ok(false)
    }

    fn discard_output(&mut self) -> io::Result<()> {
        self.master.as_ref().map_or(Ok(()), PtyMaster::discard_output)
    }

    fn unsent(&mut self) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn speed(&self) -> Option<u32> {
        None
    }

    fn set_speed(&mut self, _bits: u32) -> io::Result<bool> {
        Ok(false)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn why_ended(&mut self) -> Option<String> {
        // `ExitStatus` says "exit status: 1" or "signal: 1 (SIGHUP)".
        self.exit_status().map(|status| format!("`{}` ended, {status}", self.name))
    }
}

impl AsyncRead for ExecLine {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let (Some(master), false) = (&mut this.master, this.ended || buf.remaining() == 0) {
            let before = buf.filled().len();
            let read = Pin::new(master).poll_read(cx, buf);
            if buf.filled().len() > before {
                this.reading = Vacancy::default();
                return read;
            }
            if !matches!(read, Poll::Ready(Ok(()))) {
                return read;
            }
            if this.last_look {
                this.ended = true;
                break;
            }
            // What a command wrote before it ended may have come behind the end of file just read,
            // if its terminal was vacant for a while: so one look more, and that is the last.
            this.last_look = this.exit_status().is_some() || !ready!(this.reading.poll_again(cx));
            if let Some(master) = &mut this.master {
                master.listen_again()?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ExecLine {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let Some(master) = &mut this.master else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            let written = Pin::new(master).poll_write(cx, buf);
            let vacant =
                matches!(&written, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe);
            if !vacant {
                if written.is_ready() {
                    this.writing = Vacancy::default();
                }
                return written;
            }
            if this.exit_status().is_some() || !ready!(this.writing.poll_again(cx)) {
                return written;
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.master = None;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ExecLine {
    fn drop(&mut self) {
        self.exit_status();
        self.master = None;
        if let Some(child) = self.child.take() {
            end_group_apart(child);
        }
    }
}

/// A terminal that nobody holds while its command still runs: `login` lets go of its terminal for a
/// moment (vhangup) to be alone on it. That is not yet the end.
#[derive(Debug, Default)]
struct Vacancy {
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    looks: u32,
}

impl Vacancy {
    /// Ready with true when it is time to look again, with false when it has lasted too long.
    #[allow(clippy::disallowed_methods)] // a line is where the world begins: a terminal is vacant in real time
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.looks >= VACANT_LOOKS_MAX {
            return Poll::Ready(false);
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(CHECK_EVERY)));
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        self.looks += 1;
        Poll::Ready(true)
    }
}

/// Ends a process group without waiting for it. SIGHUP goes out at once, even if this process ends
/// before the thread runs.
fn end_group_apart(mut child: Child) {
    signal_group(&child, Signal::SIGHUP);
    if gone_within(&mut child, Duration::ZERO) {
        return;
    }
    let group = group(&child);
    let spawned = std::thread::Builder::new().name("reaper".into()).spawn(move || end_group(child));
    if spawned.is_err() {
        let _ = killpg(group, Signal::SIGKILL); // no thread to be had: no grace either
    }
}

/// Ends a process group, politely first, and reaps its leader. Blocks for at most
/// `HANGUP_GRACE + TERM_GRACE` and the moment that SIGKILL takes.
fn end_group(mut child: Child) -> Option<ExitStatus> {
    for (signal, grace) in [(Signal::SIGHUP, HANGUP_GRACE), (Signal::SIGTERM, TERM_GRACE)] {
        signal_group(&child, signal);
        if gone_within(&mut child, grace) {
            return child.try_wait().ok().flatten();
        }
    }
    signal_group(&child, Signal::SIGKILL);
    gone_within(&mut child, KILL_GRACE);
    child.try_wait().ok().flatten()
}

/// Whether leader and group have gone. The group outlives its leader as long as members are left,
/// and as long as it lives the kernel gives its number to nobody else.
#[allow(clippy::disallowed_methods)] // a line is where the world begins: processes end in real time
fn gone_within(child: &mut Child, grace: Duration) -> bool {
    let until = Instant::now() + grace;
    loop {
        let leader_gone = !matches!(child.try_wait(), Ok(None));
        if leader_gone && killpg(group(child), None).is_err() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(CHECK_EVERY);
    }
}

fn signal_group(child: &Child, signal: Signal) {
    let _ = killpg(group(child), signal); // ESRCH: all have ended already
    let _ = killpg(group(child), Signal::SIGCONT); // a stopped process hears nothing else
}

/// The child leads a process group of its own, because it leads a session.
fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32) // a pid is positive and below 2^22
}

/// Between fork and exec: a new session with standard input for its terminal, and the signals that
/// end a call at their defaults (under `nohup` we would hand down an ignored SIGHUP).
fn own_session() -> io::Result<()> {
    nix::unistd::setsid()?;
    // SAFETY: TIOCSCTTY takes an int; signal() is async-signal-safe, and no handler of ours runs.
    unsafe {
        if libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) == -1 {
            return Err(io::Error::last_os_error());
        }
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP] {
            if libc::signal(signal, libc::SIG_DFL) == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// How long a command may take to go after SIGHUP.
pub const HANGUP_GRACE: Duration = Duration::from_secs(2);
/// How long after SIGTERM.
pub const TERM_GRACE: Duration = Duration::from_secs(1);
/// How long SIGKILL may take; longer only if the kernel is stuck on a disk.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// How often a vacant terminal is looked at before it counts as closed: for a second.
const VACANT_LOOKS_MAX: u32 = 100;
/// How often an ending process, or a vacant terminal, is looked at.
const CHECK_EVERY: Duration = Duration::from_millis(10);
