//! Any command as a line: it runs on a PTY of its own, as `ssh -tt host` or a local shell would.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::{AccessFlags, faccessat};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::JoinHandle;

use super::Line;
use super::pty::{PtyMaster, PtyPair};

mod ending;
mod last_words;
pub use ending::{HANGUP_GRACE, TERM_GRACE, wait_for_all};
use ending::{end_session, end_session_apart};
use last_words::LastWords;

/// What to run, and what it finds around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// The terminal it is told it has (`TERM`).
    pub term: String,
    /// Variables it is given beside `TERM`.
    pub env: Vec<(OsString, OsString)>,
    /// Start from an empty environment instead of ours. Of ours, `MAILCALL_*` is never handed down.
    pub clean_env: bool,
    /// Variables of our environment that are not handed down: they hold a password.
    pub hidden_env: Vec<OsString>,
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
            hidden_env: Vec::new(),
            folder: None,
            rows: 24,
            cols: 80,
        }
    }

    /// The part of our environment that any command needs and no secret stands in: who we are, where
    /// programs are, the language, and where `ssh` finds its agent and tickets.
    pub fn usual_env(&self) -> Vec<(OsString, OsString)> {
        let usual = |name: &OsStr| {
            let name = name.as_bytes();
            USUAL_ENV.iter().any(|kept| kept.as_bytes() == name)
                || USUAL_ENV_STARTS.iter().any(|start| name.starts_with(start.as_bytes()))
        };
        std::env::vars_os().filter(|(name, _)| usual(name) && !self.is_hidden(name)).collect()
    }

    fn is_hidden(&self, name: &OsStr) -> bool {
        name.as_bytes().starts_with(OUR_ENV_START.as_bytes()) || self.hidden_env.iter().any(|own| own == name)
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
    /// It was to begin in a folder that is not there.
    #[error("cannot run `{command}` in {}: there is no such folder", folder.display())]
    NoFolder {
        /// The command.
        command: String,
        /// The folder.
        folder: PathBuf,
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

/// Where a command's program is, as running it would find it: by its path, seen from the `folder` that
/// it begins in, or in `path`, its PATH. Left out, both are ours. The error says why it cannot be run.
pub fn find_program(program: &OsStr, path: Option<&OsStr>, folder: Option<&Path>) -> Result<PathBuf, String> {
    let shown = program.to_string_lossy();
    let runs = |path: &Path| {
        path.is_file() && faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS).is_ok()
    };
    if shown.contains('/') {
        let path = folder.map_or_else(|| PathBuf::from(program), |folder| folder.join(program));
        return match path.try_exists() {
            Ok(true) if runs(&path) => Ok(path),
            Ok(true) => Err(format!("{shown} is not a program that we may run")),
            Ok(false) => Err(format!("there is no {shown}")),
            Err(error) => Err(format!("{shown}: {error}")),
        };
    }
    let folders = path.map(OsStr::to_owned).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
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
/// session is told SIGHUP, and after a grace SIGTERM and SIGKILL; the child is always reaped. A
/// process that ends meanwhile calls [`wait_for_all`] first, or only SIGHUP is certain.
#[derive(Debug)]
pub struct ExecLine {
    name: String,
    /// `None` once hung up.
    master: Option<PtyMaster>,
    /// `None` once handed to [`end_session`].
    child: Option<Child>,
    /// The command is being ended.
    ending: Option<JoinHandle<Option<ExitStatus>>>,
    status: Option<ExitStatus>,
    last_words: LastWords,
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
        for (name, _) in std::env::vars_os().filter(|(name, _)| settings.is_hidden(name)) {
            command.env_remove(name);
        }
        // Size is the terminal's to say; inherited numbers would contradict it.
        command.env_remove("LINES").env_remove("COLUMNS").env("TERM", &settings.term);
        command.envs(settings.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &settings.folder {
            if !folder.is_dir() {
                // The system's word would be "no such file", as for a program that is not there.
                return Err(ExecError::NoFolder { command: name, folder: folder.clone() });
            }
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
            ending: None,
            status: None,
            last_words: LastWords::default(),
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
            // What it left running ends with it; later its number may be another's.
            end_session_apart(child);
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
    /// [`TERM_GRACE`]. Its status is known afterwards. The same as `shutdown` of the pipe.
    pub async fn close(&mut self) -> Option<ExitStatus> {
        let _ = self.shutdown().await; // it has no error
        self.status
    }
}

impl Line for ExecLine {
    fn discard_output(&mut self) -> io::Result<()> {
        self.master.as_ref().map_or(Ok(()), PtyMaster::discard_output)
    }

    /// The kernel tells the command by SIGWINCH, and `ssh` its host.
    fn set_window(&mut self, rows: u16, cols: u16) -> io::Result<bool> {
        self.master.as_ref().map_or(Ok(false), |master| master.set_window(rows, cols).map(|()| true))
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn why_ended(&mut self) -> Option<String> {
        let program = self.name.split(' ').next().unwrap_or_default();
        let is_ssh = Path::new(program).file_name() == Some(OsStr::new("ssh"));
        self.exit_status().map(|status| told(status, is_ssh))
    }

    fn ended_well(&mut self) -> bool {
        self.exit_status().is_some_and(|status| status.success())
    }

    fn last_words(&self) -> Option<String> {
        self.last_words.sentence()
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
                this.last_words.hear(&buf.filled()[before..]);
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

    /// Hangs up, and is done when the command has gone.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.exit_status();
        this.master = None; // the kernel now says SIGHUP to the session's foreground
        if let Some(child) = this.child.take() {
            this.ending = Some(tokio::task::spawn_blocking(move || end_session(child)));
        }
        if let Some(ending) = &mut this.ending {
            let ended = ready!(Pin::new(ending).poll(cx));
            this.ending = None;
            this.status = this.status.or(ended.ok().flatten());
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for ExecLine {
    fn drop(&mut self) {
        self.exit_status();
        self.master = None;
        if let Some(child) = self.child.take() {
            end_session_apart(child);
        }
    }
}

/// How a command ended, for people: what shells and `ssh` mean by a status stands with it.
fn told(status: ExitStatus, is_ssh: bool) -> String {
    if let Some(signal) = status.signal() {
        let name = Signal::try_from(signal).map(|signal| format!(" ({signal})")).unwrap_or_default();
        return format!("killed by signal {signal}{name}");
    }
    let code = status.code().unwrap_or_default(); // a process that was not killed has one
    let meaning = match code {
        126 => ", which says that a command could not be run",
        127 => ", which says that a command was not found",
        255 if is_ssh => ", which is ssh's own word for an error",
        _any_other => "",
    };
    format!("exit status {code}{meaning}")
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

/// What a command gets of our environment where that is to be a clean one (environ(7), ssh(1)). Not
/// `SSH_ASKPASS`: what ssh asks is to be asked on its terminal, where it is answered.
const USUAL_ENV: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "KRB5CCNAME",
    "KRB5_CONFIG",
];
/// The same, all that begin so: the language's parts, and where a desktop keeps its files.
const USUAL_ENV_STARTS: [&str; 2] = ["LC_", "XDG_"];
/// Variables of this program.
const OUR_ENV_START: &str = "MAILCALL_";
/// How often a vacant terminal is looked at before it counts as closed: for a second.
const VACANT_LOOKS_MAX: u32 = 100;
/// How often an ending process, or a vacant terminal, is looked at.
const CHECK_EVERY: Duration = Duration::from_millis(10);
