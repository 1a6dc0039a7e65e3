//! `otp = { command = [..] }`: the program that tells one-time codes while the host waits for one.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A program that prints a code, and the words that it is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ command = [\"oathtool\", ..] }")]
pub struct CodeSource {
    command: Vec<String>,
}

impl CodeSource {
    /// What is wrong with it as written.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.command.first() {
            Some(program) if !program.is_empty() => Ok(()),
            Some(_) | None => Err("the command of `otp` is empty".to_owned()),
        }
    }

    /// The first line that the program prints, within this time. The host's challenge, which must be harmless
    /// to a shell, takes the place of `{challenge}` and stands in [`CHALLENGE_VARIABLE`].
    ///
    /// It is run without a shell; its terminal stays the user's, for a PIN.
    #[allow(clippy::disallowed_methods)] // a program runs in real time
    pub fn code(&self, challenge: Option<&str>, wait: Duration) -> Result<Secret, String> {
        let (program, arguments) = self.command.split_first().ok_or("the command of `otp` is empty")?;
        let mut command = Command::new(program);
        command.args(arguments.iter().map(|word| word.replace(CHALLENGE, challenge.unwrap_or_default())));
        command.env_remove(CHALLENGE_VARIABLE).envs(challenge.map(|text| (CHALLENGE_VARIABLE, text)));
        let cannot = |error: io::Error| format!("cannot run {program}: {error}");
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
        let printed = child.stdout.take().map(first_of);
        let until = Instant::now() + wait;
        let status = loop {
            match child.try_wait().map_err(cannot)? {
                Some(status) => break status,
                None if until <= Instant::now() => {
                    let _ = child.kill(); // it may end this moment
                    let _ = child.wait();
                    return Err(format!("{program} has told no code within {} s", wait.as_secs()));
                }
                None => std::thread::sleep(LOOK_EVERY),
            }
        };
        if !status.success() {
            return Err(format!("{program} ended with {status}"));
        }
        // What it left running may hold its output for ever: the end of the program counts, and not that.
        let printed =
            printed.and_then(|printed| printed.recv_timeout(LEFT_IN_PIPE_MAX).ok()).unwrap_or_default();
        let text = std::str::from_utf8(&printed).map_err(|_| format!("{program} printed no text"))?;
        match text.lines().next().map(str::trim) {
            Some(code) if !code.is_empty() => Ok(Secret::new(code.to_owned())),
            Some(_) | None => Err(format!("{program} printed no code")),
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
/// How often the program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What it printed is there when it has ended; the thread that reads it may be a moment behind.
const LEFT_IN_PIPE_MAX: Duration = Duration::from_secs(1);
/// Bytes of a line with a code: six words of RFC 2289 have 29.
const LINE_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(script: &str, challenge: Option<&str>, wait: Duration) -> Result<String, String> {
        let command = ["sh", "-c", script, "sh", "{challenge}"].map(str::to_owned).to_vec();
        CodeSource { command }.code(challenge, wait).map(|code| code.expose().to_owned())
    }

    #[test]
    fn the_first_line_is_the_code_and_the_challenge_is_in_its_words_and_its_environment() {
        let wait = Duration::from_secs(60);
        assert_eq!(told("echo ' 123456 '; echo more", None, wait).unwrap(), "123456");
        let script = "echo \"$1 and $MAILCALL_CHALLENGE\"";
        let challenge = Some("otp-md5 487 dehoks");
        assert_eq!(told(script, challenge, wait).unwrap(), "otp-md5 487 dehoks and otp-md5 487 dehoks");
        assert_eq!(told("echo \"<$1>${MAILCALL_CHALLENGE-unset}\"", None, wait).unwrap(), "<>unset");
    }

    #[test]
    fn a_program_that_fails_or_says_nothing_is_told() {
        let wait = Duration::from_secs(60);
        for (script, told_of) in [
            ("echo 1; exit 3", "3"),
            ("true", "no code"),
            ("echo", "no code"),
            ("printf '\\377\\n'", "no text"),
        ] {
            let refused = told(script, None, wait).expect_err(script);
            assert!(refused.contains(told_of), "{script}: {refused}");
        }
        let missing = CodeSource { command: vec!["/no/such/program".into()] };
        assert!(missing.code(None, wait).is_err_and(|why| why.contains("/no/such/program")));
        let refused = told("echo 1; exec sleep 100", None, Duration::from_millis(300)).expect_err("endless");
        assert!(refused.contains("no code within"), "{refused}");
    }
}
