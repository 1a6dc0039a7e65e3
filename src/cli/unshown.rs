//! A secret that a person types: asked for on the terminal itself, and not shown. Typing is hidden before
//! the question is asked, so that nobody who is quick is seen; however the question ends, by a signal too,
//! the terminal is as it was.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::secret::{Secret, keep_out_of_dumps};

/// Asks on the terminal that rules our session, wherever input and output lead.
pub(super) fn ask(question: &str) -> io::Result<Secret> {
    keep_out_of_dumps();
    let terminal = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/tty")?;
    loop {
        let heeded = Heeded::install()?;
        let typed = {
            let _hidden = Hidden::on(&terminal)?;
            (&terminal).write_all(question.as_bytes())?;
            read_line(&terminal)
        };
        drop(heeded);
        match Signal::try_from(CAME.swap(0, Ordering::Relaxed)) {
            Err(_) => return typed,
            Ok(Signal::SIGTSTP) => {
                raise(Signal::SIGTSTP)?; // we stand still here, and ask again afterwards
            }
            Ok(signal) => {
                raise(signal)?; // which ends us as it would have, or not
                return Err(io::Error::new(ErrorKind::Interrupted, format!("{signal} came")));
            }
        }
    }
}

/// The line, once RETURN is pressed; the kernel edits it until then. It is never in a buffer that grows.
fn read_line(mut terminal: &File) -> io::Result<Secret> {
    let mut line = Zeroizing::new(vec![0; LINE_MAX]);
    let mut filled = 0;
    while filled < line.len() && !line[..filled].contains(&b'\n') {
        let mut fds = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        // A signal may come before the wait: then the next look sees it.
        let ready = poll(&mut fds, PollTimeout::from(LOOK_EVERY));
        if CAME.load(Ordering::Relaxed) != 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        match ready {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match terminal.read(&mut line[filled..]) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "nothing was typed")),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let typed = line[..filled].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let text = std::str::from_utf8(typed).map_err(|_| io::Error::other("what was typed is no UTF-8"))?;
    Ok(Secret::new(text.to_owned()))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    found: Termios,
}

impl<'a> Hidden<'a> {
    /// What was typed before is thrown away: it was shown, and meant for something else.
    fn on(terminal: &'a File) -> io::Result<Self> {
        let found = tcgetattr(terminal)?;
        let mut hidden = found.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        hidden.local_flags.insert(LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::ECHONL);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &hidden)?;
        Ok(Self { terminal, found })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, SetArg::TCSANOW, &self.found); // one that is gone has no settings
    }
}

/// Signals that would end or stop us with the terminal hidden, held up until this is dropped.
struct Heeded(Vec<(Signal, SigAction)>);

impl Heeded {
    fn install() -> io::Result<Self> {
        let mut before = Self(Vec::new());
        for signal in ENDING {
            let note = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
            // SAFETY: the handler only stores a number.
            let found = unsafe { sigaction(signal, &note) }?;
            // Who started us may want it ignored (nohup).
            if matches!(found.handler(), SigHandler::SigIgn) {
                // SAFETY: as it was before.
                unsafe { sigaction(signal, &found) }?;
            } else {
                before.0.push((signal, found));
            }
        }
        Ok(before)
    }
}

impl Drop for Heeded {
    fn drop(&mut self) {
        for (signal, found) in &self.0 {
            // SAFETY: as it was before.
            let _ = unsafe { sigaction(*signal, found) }; // which was possible the other way round
        }
    }
}

extern "C" fn note(signal: libc::c_int) {
    CAME.store(signal, Ordering::Relaxed);
}

/// The signal that came last; 0 is none.
static CAME: AtomicI32 = AtomicI32::new(0);
const ENDING: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];
/// Ms between looks for a signal.
const LOOK_EVERY: u16 = 200;
/// Bytes of a line: a terminal in canonical mode holds no more.
const LINE_MAX: usize = 4_096;
