//! Printing that does not panic. The standard library's `println!` does where nobody reads any more: a
//! pager that was left, `| head -1`, a terminal that is gone. In the middle of a call that would be the
//! call's end, and a second time, while the modem is being hung up, there would be nobody to catch it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// As the standard library's, for all of `cli`: to standard output, see [`out`].
macro_rules! println {
    () => { $crate::cli::print::out("\n") };
    ($($text:tt)*) => { $crate::cli::print::out($crate::cli::print::line(format_args!($($text)*))) };
}

/// As the standard library's, for all of `cli`: to standard error, see [`complain`].
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::print::complain($crate::cli::print::line(format_args!($($text)*))) };
}

/// A text and its line end, to be written at one stroke.
pub(super) fn line(text: fmt::Arguments<'_>) -> String {
    format!("{text}\n")
}

/// Writes to standard output. What cannot be written is told at the program's end, see [`lost`].
pub(super) fn out(bytes: impl AsRef<[u8]>) {
    let mut stdout = io::stdout();
    if let Err(error) = stdout.write_all(bytes.as_ref()).and_then(|()| stdout.flush()) {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Writes to standard error. There is nowhere to say that it is gone, and what stands still there (Ctrl-S,
/// a network that hangs) must not hold up a call, nor keep the modem off-hook.
pub(super) fn complain(bytes: impl AsRef<[u8]>) {
    let stderr = io::stderr();
    let wait = if STANDS_STILL.load(Ordering::Relaxed) { 0 } else { STANDS_STILL_AFTER };
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let stands_still = poll(&mut fds, PollTimeout::from(wait)) == Ok(0);
    STANDS_STILL.store(stands_still, Ordering::Relaxed);
    if !stands_still {
        let _ = stderr.lock().write_all(bytes.as_ref());
    }
}

/// Why not all of what was asked for has been printed. A reader that closes the pipe has seen what it
/// wanted, and a terminal that is gone has nobody before it.
pub(super) fn lost() -> Option<io::Error> {
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner).take();
    lost.filter(|error| error.kind() != ErrorKind::BrokenPipe && error.raw_os_error() != Some(EIO))
}

/// Nothing is waited for a second time.
static STANDS_STILL: AtomicBool = AtomicBool::new(false);
/// Ms: longer than a terminal on a slow line takes for a line.
const STANDS_STILL_AFTER: u16 = 3_000;
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);
const EIO: i32 = nix::errno::Errno::EIO as i32;
