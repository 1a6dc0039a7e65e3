//! `otp = { command = [..] }`: the program that tells one-time codes while the host waits for one.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A program that prints a code, and the words that it is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ command = [\"oathtool\", ..] }")]
pub struct CodeSource {
    command: Vec<String>,
    /// Variables of our environment that it is not given: they hold the passwords of accounts.
    #[serde(skip)]
    pub(super) hidden_env: Vec<String>,
}

impl CodeSource {
    /// What is wrong with it as written.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.command.first() {
            Some(program) if !program.is_empty() => Ok(()),
            Some(_) | None => Err("the command of `otp` is empty".to_owned()),
        }
    }

    /// Starts the program. The host's challenge, which must be harmless to a shell, takes the place of
    /// `{challenge}` and stands in [`CHALLENGE_VARIABLE`].
    ///
    /// It is run without a shell; its terminal stays the user's, for a PIN.
    pub fn ask(&self, challenge: Option<&str>) -> Result<AskedCode, String> {
        let (program, arguments) = self.command.split_first().ok_or("the command of `otp` is empty")?;
        let mut command = Command::new(program);
        command.args(arguments.iter().map(|word| word.replace(CHALLENGE, challenge.unwrap_or_default())));
        for name in &self.hidden_env {
            command.env_remove(name);
        }
        command.env_remove(CHALLENGE_VARIABLE).envs(challenge.map(|text| (CHALLENGE_VARIABLE, text)));
        let started = command.stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("cannot run {program}: {error}"))?;
        let printed = child.stdout.take().map(first_of);
        Ok(AskedCode { program: program.clone(), child, printed })
    }
}

/// A program at work on a code. It is ended when nobody waits for the code any more: a call may be
/// interrupted meanwhile, or the host hang up.
#[derive(Debug)]
pub struct AskedCode {
    program: String,
    child: Child,
    printed: Option<Receiver<Zeroizing<Vec<u8>>>>,
}

impl AskedCode {
    /// What was started.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// True once the program has ended, so that [`AskedCode::code`] is there.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None)) // an error comes again when its code is read
    }

    /// The first line that the program has printed, once it has ended.
    pub fn code(mut self) -> Result<Secret, String> {
        let program = &self.program;
        let status = self.child.wait().map_err(|error| format!("cannot run {program}: {error}"))?;
        if !status.success() {
            return Err(format!("{program} ended with {status}"));
        }
        // What it left running may hold its output for ever: the end of the program counts, and not that.
        let printed = self.printed.take();
        let printed =
            printed.and_then(|printed| printed.recv_timeout(LEFT_IN_PIPE_MAX).ok()).unwrap_or_default();
        let text = std::str::from_utf8(&printed).map_err(|_| format!("{program} printed no text"))?;
        match text.lines().next().map(str::trim) {
            Some(code) if !code.is_empty() => Ok(Secret::new(code.to_owned())),
            Some(_) | None => Err(format!("{program} printed no code")),
        }
    }
}

impl Drop for AskedCode {
    fn drop(&mut self) {
        // Another user's, as sudo is, cannot be ended by us, and must not be waited for.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// The first line of what comes. The rest is thrown away, so that nobody is kept from writing it.
fn first_of(stdout: ChildStdout) -> Receiver<Zeroizing<Vec<u8>>> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX));
        // Whoever waits sees that nothing came; nobody waits any more where it took too long.
        let _ = stdout.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut line);
        let _ = tell.send(line);
        let _ = io::copy(&mut stdout, &mut io::sink());
    });
    told
}

/// What stands for the challenge in the words of the command.
const CHALLENGE: &str = "{challenge}";
/// The environment variable that has it, too.
pub const CHALLENGE_VARIABLE: &str = "MAILCALL_CHALLENGE";
/// What it printed is there when it has ended; the thread that reads it may be a moment behind.
const LEFT_IN_PIPE_MAX: Duration = Duration::from_secs(1);
/// Bytes of a line with a code: six words of RFC 2289 have 29.
const LINE_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(script: &str) -> CodeSource {
        let command = ["sh", "-c", script, "sh", "{challenge}"].map(str::to_owned).to_vec();
        CodeSource { command, hidden_env: vec!["TEST_HIDDEN_PASSWORD".into()] }
    }

    fn told(script: &str, challenge: Option<&str>) -> Result<String, String> {
        source(script).ask(challenge)?.code().map(|code| code.expose().to_owned())
    }

    #[test]
    fn the_first_line_is_the_code_and_the_challenge_is_in_its_words_and_its_environment() {
        assert_eq!(told("echo ' 123456 '; echo more", None).unwrap(), "123456");
        let script = "echo \"$1 and $MAILCALL_CHALLENGE\"";
        let challenge = Some("otp-md5 487 dehoks");
        assert_eq!(told(script, challenge).unwrap(), "otp-md5 487 dehoks and otp-md5 487 dehoks");
        assert_eq!(told("echo \"<$1>${MAILCALL_CHALLENGE-unset}\"", None).unwrap(), "<>unset");
    }

    #[test]
    fn a_program_that_fails_or_says_nothing_is_told() {
        for (script, told_of) in [
            ("echo 1; exit 3", "3"),
            ("true", "no code"),
            ("echo", "no code"),
            ("printf '\\377\\n'", "no text"),
        ] {
            let refused = told(script, None).expect_err(script);
            assert!(refused.contains(told_of), "{script}: {refused}");
        }
        let missing = CodeSource { command: vec!["/no/such/program".into()], hidden_env: Vec::new() };
        assert!(missing.ask(None).is_err_and(|why| why.contains("/no/such/program")));
    }

    #[test]
    fn a_program_that_nobody_waits_for_any_more_is_ended() {
        let mut asked = source("exec sleep 100").ask(None).expect("sh");
        assert!(!asked.has_ended());
        let pid = nix::unistd::Pid::from_raw(i32::try_from(asked.child.id()).expect("a pid"));
        drop(asked);
        assert_eq!(nix::sys::signal::kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }
}
