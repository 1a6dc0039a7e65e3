//! The one question in a call that a person answers at the terminal: is this the host's key?

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};

/// Shows what `ssh` says of the key, and asks. Anything but `yes` is no.
pub(super) fn says_yes(question: &str) -> bool {
    ask(question).is_ok_and(|answer| answer.trim() == "yes")
}

/// On the terminal itself: standard output may be a file.
fn ask(question: &str) -> io::Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    write!(terminal, "{question}\nIs this the right host, and is its key to be remembered? (yes/no) ")?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(answer)
}
