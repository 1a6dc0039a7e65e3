//! A password that a command prints.

use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use zeroize::{Zeroize, Zeroizing};

use super::{first_line, line_buffer};
use crate::secret::{Secret, keep_out_of_dumps};

/// A command whose first line of output is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretCommand {
    /// The program and its arguments; no shell reads them.
    pub words: Vec<String>,
    /// Variables of our environment that it is not given: they hold the passwords of accounts.
    pub hidden_env: Vec<String>,
}

impl SecretCommand {
    /// A command that is given our environment.
    pub fn new(words: Vec<String>) -> Self {
        Self { words, hidden_env: Vec::new() }
    }

    /// The first line that it prints; why there is none, in words that hold nothing of what it printed.
    /// What it says on its standard error goes to `complaints`.
    pub fn run(&self, complaints: Stdio) -> Result<Secret, String> {
        self.run_for(complaints, COMMAND_WAIT)
    }

    #[allow(clippy::disallowed_methods)] // a program runs in real time
    fn run_for(&self, complaints: Stdio, wait: Duration) -> Result<Secret, String> {
        let mut running = self.start(|command| {
            command.stderr(complaints);
        })?;
        let until = Instant::now() + wait;
        while !running.has_ended() {
            if until <= Instant::now() {
                return Err(format!("{} has not ended within {} s", running.program(), wait.as_secs()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        running.first_line()
    }

    /// Starts it without a shell, changed by `change`; its terminal stays the user's, for a passphrase or a
    /// PIN.
    pub fn start(&self, change: impl FnOnce(&mut Command)) -> Result<RunningCommand, String> {
        keep_out_of_dumps();
        let (program, arguments) = self.words.split_first().ok_or("the command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::inherit()).stdout(Stdio::piped());
        for name in &self.hidden_env {
            command.env_remove(name);
        }
        change(&mut command);
        let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
        let printed = child.stdout.take().map(first_of);
        Ok(RunningCommand { program: program.clone(), child, printed })
    }
}

/// A command at work. It is ended when nobody waits for it any more: a call may be interrupted meanwhile, or
/// the host hang up.
#[derive(Debug)]
pub struct RunningCommand {
    program: String,
    child: Child,
    printed: Option<Receiver<Zeroizing<Vec<u8>>>>,
}

impl RunningCommand {
    /// What was started.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// True once it has ended, so that [`RunningCommand::first_line`] is there.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None)) // an error comes again when its line is read
    }

    /// The first line that it has printed, once it has ended.
    ///
    /// What it left running may hold its output for ever, so the end of the command counts and not that.
    pub fn first_line(mut self) -> Result<Secret, String> {
        let program = &self.program;
        let status = self.child.wait().map_err(|error| format!("cannot run {program}: {error}"))?;
        if !status.success() {
            return Err(format!("{program} ended with {status}"));
        }
        let printed = self.printed.take();
        let printed = printed.and_then(|printed| printed.recv_timeout(LEFT_IN_PIPE_MAX).ok());
        match first_line(&printed.unwrap_or_default()) {
            Some(line) => line.map_err(|_| format!("{program} printed no text")),
            None => Err(format!("{program} printed nothing")),
        }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        // Another user's, as sudo is, cannot be ended by us, and must not be waited for.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// The first line of what comes, as soon as it is there. The rest is read and thrown away, so that
/// nobody is kept from writing it. All of it is wiped: it may be every password that there is.
fn first_of(mut stdout: ChildStdout) -> Receiver<Zeroizing<Vec<u8>>> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = line_buffer();
        let mut filled = 0;
        while filled < line.len() && !line[..filled].contains(&b'\n') {
            match stdout.read(&mut line[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break, // as if it had ended here
            }
        }
        line[filled..].zeroize();
        line.truncate(filled);
        // Whoever waits sees that nothing came; nobody waits any more where the command took too long.
        let _ = tell.send(line);
        let mut rest = line_buffer();
        while matches!(stdout.read(&mut rest), Ok(1..)) {}
    });
    told
}

/// How long a command may take: it may ask a person for a passphrase, who may have gone.
const COMMAND_WAIT: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What it printed is there when it has ended; the thread that reads it may be a moment behind.
const LEFT_IN_PIPE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, wait: Duration) -> Result<String, String> {
        let command = SecretCommand::new(["sh", "-c", script].map(str::to_owned).to_vec());
        command.run_for(Stdio::null(), wait).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_command_gives_its_first_line_and_its_failure_is_told() {
        let run = |script| run(script, COMMAND_WAIT);
        assert_eq!(run("echo 'a b'; echo more").as_deref(), Ok("a b"));
        assert_eq!(run("printf 'a '; sleep 0.1; echo b").as_deref(), Ok("a b"), "in pieces");
        assert!(run("echo hunter2; exit 3").unwrap_err().contains("3"));
        assert!(run("true").unwrap_err().contains("printed nothing"));
        let no_text = run("printf 'hunter2\\377\\n'").unwrap_err();
        assert!(no_text.contains("no text") && !no_text.contains("hunter2"), "{no_text}");
    }

    #[test]
    fn a_command_that_never_ends_or_leaves_something_running_is_not_waited_for_for_ever() {
        let run = |script| run(script, Duration::from_secs(1));
        for endless in ["sleep 100", "yes", "echo x; exec sleep 100"] {
            let refused = run(endless).expect_err(endless);
            assert!(refused.contains("sh has not ended within 1 s"), "{endless}: {refused}");
        }
        // An agent that was started by the way keeps the pipe.
        assert_eq!(run("echo 'a b'; sleep 3 &").as_deref(), Ok("a b"));
        assert!(run("sleep 3 &").unwrap_err().contains("printed nothing"));
        assert_eq!(run("printf 'no end of line'").as_deref(), Ok("no end of line"));
    }

    #[test]
    fn a_command_that_nobody_waits_for_any_more_is_ended() {
        let sleep = SecretCommand::new(["sleep", "100"].map(str::to_owned).to_vec());
        let mut running = sleep.start(|_| {}).expect("sleep");
        assert!(!running.has_ended());
        let pid = nix::unistd::Pid::from_raw(i32::try_from(running.child.id()).expect("a pid"));
        drop(running);
        assert_eq!(nix::sys::signal::kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }
}
