//! The questions in a call that a person answers at the terminal: is this the host's key, and what is the code?

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::sync::{Mutex, PoisonError};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Shows what `ssh` says of the key, and asks. Anything but `yes` is no.
pub(super) fn says_yes(question: &str) -> bool {
    let asked = format!("{question}\nIs this the right host, and is its key to be remembered? (yes/no) ");
    let answer = terminal().and_then(|terminal| ask(&terminal, &asked));
    answer.is_ok_and(|answer| answer.trim() == "yes")
}

/// Shows what the host says of a one-time code, and asks for it without showing it. It counts as none if
/// there is no terminal, or nothing was typed.
pub(super) fn code(question: &str) -> Option<Secret> {
    let terminal = terminal().ok()?;
    hide_typing(&terminal).ok()?;
    let answer = ask(&terminal, &format!("{question}\nThe host waits for a one-time code: "));
    show_typing();
    let _ = writeln!(&terminal); // the RETURN was not shown
    let code = answer.ok()?.trim().to_owned();
    (!code.is_empty()).then(|| Secret::new(code))
}

/// Shows again what is typed, if a question has hidden it. A call that ends while somebody is asked does not
/// wait for the answer.
pub(super) fn show_typing() {
    if let Some((terminal, found)) = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(&terminal, SetArg::TCSANOW, &found); // a terminal that is gone has no settings
    }
}

fn hide_typing(terminal: &File) -> io::Result<()> {
    let found = tcgetattr(terminal)?;
    let mut quiet = found.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    let mut hidden = HIDDEN.lock().unwrap_or_else(PoisonError::into_inner);
    *hidden = Some((terminal.try_clone()?, found));
    Ok(tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?)
}

/// The terminal itself: standard output may be a file.
fn terminal() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

fn ask(mut terminal: &File, question: &str) -> io::Result<Zeroizing<String>> {
    terminal.write_all(question.as_bytes())?;
    let mut answer = Zeroizing::new(String::with_capacity(ANSWER_MAX));
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(answer)
}

/// The terminal on which typing is hidden, and how it was found.
static HIDDEN: Mutex<Option<(File, Termios)>> = Mutex::new(None);
/// Bytes of an answer that need no second copy.
const ANSWER_MAX: usize = 4_096;
