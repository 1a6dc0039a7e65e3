//! Our own terminal, and what it and the system tell us by signals.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::libc;
use nix::sys::signal::Signal::SIGSTOP;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::interrupt::Signals;
use crate::line::pty::PtyMaster;

/// Our own terminal, which is raw while a person has the line.
pub(super) struct OwnTerminal {
    tty: File,
    path: PathBuf,
    found: Termios,
    raw: Termios,
    is_raw: Cell<bool>,
}

impl OwnTerminal {
    /// The terminal that standard input is.
    pub(super) fn find() -> io::Result<Self> {
        let path = nix::unistd::ttyname(io::stdin())?;
        let tty = open_tty(&path)?;
        let found = tcgetattr(&tty)?;
        let mut raw = found.clone();
        cfmakeraw(&mut raw);
        Ok(Self { tty, path, found, raw, is_raw: Cell::new(false) })
    }

    /// Makes it raw for as long as what this gives lives.
    pub(super) fn take(&self) -> io::Result<Taken<'_>> {
        tcsetattr(&self.tty, SetArg::TCSANOW, &self.raw)?;
        self.is_raw.set(true);
        Ok(Taken(self))
    }

    /// Another descriptor of it, which may be non-blocking without that being so for our shell.
    pub(super) fn open(&self) -> io::Result<PtyMaster> {
        PtyMaster::new(OwnedFd::from(open_tty(&self.path)?))
    }

    /// Somebody else has had it. A terminal that is gone has no settings any more.
    fn take_again(&self) {
        if self.is_raw.get() {
            let _ = tcsetattr(&self.tty, SetArg::TCSANOW, &self.raw);
        }
    }

    /// As it was found. Without waiting for its output, which may stand still for ever (Ctrl-S).
    fn give_back(&self) {
        if self.is_raw.get() {
            let _ = tcsetattr(&self.tty, SetArg::TCSANOW, &self.found);
        }
    }
}

/// A terminal that is raw until this is dropped.
pub(super) struct Taken<'a>(&'a OwnTerminal);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.give_back();
        self.0.is_raw.set(false);
    }
}

fn open_tty(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)
}

/// The signals of a session.
pub(super) struct Heed {
    signals: Signals,
    /// Its default would leave the terminal raw and the modem off-hook.
    quit: Signal,
    terminal: Option<TerminalSignals>,
}

/// What a terminal, and the shell that lent it to us, tell us.
struct TerminalSignals {
    own: Rc<OwnTerminal>,
    tell: watch::Sender<(u16, u16)>,
    resized: Signal,
    stopped: Signal,
    continued: Signal,
}

impl Heed {
    /// From now on none of them comes unawares. Each new size of the terminal is told.
    pub(super) fn install(
        own: Option<&Rc<OwnTerminal>>,
        tell: watch::Sender<(u16, u16)>,
    ) -> io::Result<Self> {
        let of_terminal = |own: &Rc<OwnTerminal>| {
            Ok::<_, io::Error>(TerminalSignals {
                own: Rc::clone(own),
                tell,
                resized: signal(SignalKind::window_change())?,
                stopped: signal(SignalKind::from_raw(libc::SIGTSTP))?,
                continued: signal(SignalKind::from_raw(libc::SIGCONT))?,
            })
        };
        Ok(Self {
            signals: Signals::install()?,
            quit: signal(SignalKind::quit())?,
            terminal: own.map(of_terminal).transpose()?,
        })
    }

    /// Waits for one that ends a session and says which it was. The others are obeyed meanwhile.
    pub(super) async fn next(&mut self) -> &'static str {
        let Self { signals, quit, terminal } = self;
        let obey = async {
            match terminal {
                Some(terminal) => terminal.obey().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = signals.next() => signal,
            _ = quit.recv() => "SIGQUIT",
            never = obey => never,
        }
    }
}

impl TerminalSignals {
    /// Tells of each new size, and gives the terminal back while we are stopped.
    async fn obey(&mut self) -> ! {
        loop {
            tokio::select! {
                _ = self.resized.recv() => {}
                _ = self.stopped.recv() => {
                    self.own.give_back();
                    let _ = nix::sys::signal::raise(SIGSTOP); // which nobody can refuse
                    self.own.take_again();
                }
                // SIGSTOP came without a word, and our shell has its own settings there now.
                _ = self.continued.recv() => self.own.take_again(),
            }
            let _ = self.tell.send(window_size()); // nobody listens any more: over
        }
    }
}

/// Rows and columns of our terminal; none where there is no terminal.
pub(super) fn window_size() -> (u16, u16) {
    terminal_size::terminal_size().map_or((0, 0), |(columns, rows)| (rows.0, columns.0))
}
