//! `otp = { command = [..] }`: the program that tells one-time codes while the host waits for one.

use serde::Deserialize;

use super::{RunningCommand, SecretCommand};
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
    pub fn ask(&self, challenge: Option<&str>) -> Result<AskedCode, String> {
        let told = |word: &String| word.replace(CHALLENGE, challenge.unwrap_or_default());
        let words = self.command.iter().take(1).cloned().chain(self.command.iter().skip(1).map(told));
        let command = SecretCommand { words: words.collect(), hidden_env: self.hidden_env.clone() };
        let running = command.start(|command| {
            command.env_remove(CHALLENGE_VARIABLE).envs(challenge.map(|text| (CHALLENGE_VARIABLE, text)));
        });
        Ok(AskedCode(running?))
    }
}

/// A program at work on a code. It is ended when nobody waits for the code any more.
#[derive(Debug)]
pub struct AskedCode(RunningCommand);

impl AskedCode {
    /// What was started.
    pub fn program(&self) -> &str {
        self.0.program()
    }

    /// True once the program has ended, so that [`AskedCode::code`] is there.
    pub fn has_ended(&mut self) -> bool {
        self.0.has_ended()
    }

    /// The first line that the program has printed, once it has ended.
    pub fn code(self) -> Result<Secret, String> {
        let program = self.0.program().to_owned();
        let line = self.0.first_line()?;
        match line.expose().trim() {
            "" => Err(format!("{program} printed nothing")),
            code => Ok(Secret::new(code.to_owned())),
        }
    }
}

/// What stands for the challenge in the words of the command.
const CHALLENGE: &str = "{challenge}";
/// The environment variable that has it, too.
pub const CHALLENGE_VARIABLE: &str = "MAILCALL_CHALLENGE";

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
            ("true", "printed nothing"),
            ("echo", "printed nothing"),
            ("echo ' '", "printed nothing"),
            ("printf '\\377\\n'", "no text"),
        ] {
            let refused = told(script, None).expect_err(script);
            assert!(refused.contains(told_of), "{script}: {refused}");
        }
        let missing = CodeSource { command: vec!["/no/such/program".into()], hidden_env: Vec::new() };
        assert!(missing.ask(None).is_err_and(|why| why.contains("/no/such/program")));
    }
}
