//! Where a password comes from: a command, an environment variable, a file, or the person.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{ConfigError, expand_home};
use crate::secret::Secret;

/// A source of a password, never the password itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line that a command prints.
    Command(Vec<String>),
    /// An environment variable.
    Env(String),
    /// The first line of a file that nobody else can read.
    File(String),
    /// The desktop's keyring.
    Keyring(String),
}

/// Written by hand: a derived error quotes what stands there, and that may be the password itself.
impl<'de> Deserialize<'de> for PasswordSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refused = || D::Error::custom(EXPECTED);
        let toml::Value::Table(table) = toml::Value::deserialize(deserializer)? else {
            return Err(refused());
        };
        let mut entries = table.into_iter();
        let (Some((key, value)), None) = (entries.next(), entries.next()) else { return Err(refused()) };
        match (key.as_str(), value) {
            ("command", toml::Value::Array(words)) => {
                let word = |word: toml::Value| word.as_str().map(str::to_owned);
                words.into_iter().map(word).collect::<Option<_>>().map(Self::Command).ok_or_else(refused)
            }
            ("env", toml::Value::String(name)) => Ok(Self::Env(name)),
            ("file", toml::Value::String(path)) => Ok(Self::File(path)),
            ("keyring", toml::Value::String(entry)) => Ok(Self::Keyring(entry)),
            (_, _) => Err(refused()),
        }
    }
}

impl PasswordSource {
    /// What is wrong with the source as written.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Command(command) if command.is_empty() => Err("the password's command is empty".to_owned()),
            Self::Keyring(_) => {
                Err("this build has no keyring; use { command = [\"secret-tool\", \"lookup\", ..] }, \
                                     { env = .. } or { file = .. }"
                    .to_owned())
            }
            Self::Command(_) | Self::Env(_) | Self::File(_) => Ok(()),
        }
    }

    /// Fetches the password for `account`.
    pub fn read(&self, account: &str) -> Result<Secret, ConfigError> {
        self.read_with(account, Stdio::inherit())
    }

    /// The same; what a command says on its standard error is shown to nobody.
    pub fn read_quietly(&self, account: &str) -> Result<Secret, ConfigError> {
        self.read_with(account, Stdio::null())
    }

    /// What it is, for people. A command's arguments may hold what is nobody's business.
    pub fn told(&self) -> String {
        match self {
            Self::Command(command) => {
                format!("the command {}", command.first().map_or("", String::as_str))
            }
            Self::Env(name) => format!("the environment variable {name}"),
            Self::File(path) => format!("the file {}", expand_home(path).display()),
            Self::Keyring(_) => "the keyring".to_owned(),
        }
    }

    fn read_with(&self, account: &str, complaints: Stdio) -> Result<Secret, ConfigError> {
        let refuse = |why: String| ConfigError::NoPassword { account: account.to_owned(), why };
        match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
                _ => Err(refuse(format!("the environment variable {name} is not set"))),
            },
            Self::File(path) => read_file(&expand_home(path)).map_err(refuse),
            Self::Command(command) => run(command, complaints, COMMAND_WAIT).map_err(refuse),
            Self::Keyring(_) => Err(refuse("this build has no keyring".to_owned())),
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let mode = std::fs::metadata(path).map_err(cannot)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{shown} can be read by others; run: chmod 600 {shown}"));
    }
    first_line(std::fs::read_to_string(path).map_err(cannot)?).ok_or_else(|| format!("{shown} is empty"))
}

/// Runs without a shell; its terminal stays the user's, for a passphrase prompt.
///
/// What it left running may hold its output for ever, so the end of the command counts and not that.
#[allow(clippy::disallowed_methods)] // a program runs in real time
fn run(command: &[String], complaints: Stdio, wait: Duration) -> Result<Secret, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let cannot = |error: io::Error| format!("cannot run {program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stderr(complaints)
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    let printed = child.stdout.take().map(|stdout| first_of(stdout, LINE_MAX));
    let until = Instant::now() + wait;
    let status = loop {
        match child.try_wait().map_err(cannot)? {
            Some(status) => break status,
            None if until <= Instant::now() => {
                let _ = child.kill(); // it may end this moment
                let _ = child.wait();
                return Err(format!("{program} has not ended within {} s", wait.as_secs()));
            }
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    if !status.success() {
        return Err(format!("{program} ended with {status}"));
    }
    let printed = printed.and_then(|printed| printed.recv_timeout(LEFT_IN_PIPE_MAX).ok()).unwrap_or_default();
    let text = String::from_utf8(printed).map_err(|_| format!("{program} printed no text"))?;
    first_line(text).ok_or_else(|| format!("{program} printed nothing"))
}

/// The first line of what comes, as soon as it is there. The rest is read and thrown away, so that
/// nobody is kept from writing it.
fn first_of(stdout: ChildStdout, max: u64) -> Receiver<Vec<u8>> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        // Whoever waits sees that nothing came; nobody waits any more where the command took too long.
        let _ = stdout.by_ref().take(max).read_until(b'\n', &mut line);
        let _ = tell.send(line);
        let _ = io::copy(&mut stdout, &mut io::sink());
    });
    told
}

fn first_line(text: String) -> Option<Secret> {
    let text = zeroize::Zeroizing::new(text);
    let line = text.lines().next().filter(|line| !line.is_empty())?;
    Some(Secret::new(line.to_owned()))
}

/// What may stand behind `password =`.
const EXPECTED: &str = "`password` is one of { command = [\"pass\", \"show\", \"home\"] }, { env = \"NAME\" } and \
                        { file = \"path\" }; the password itself does not belong in this file";

/// How long a command may take: it may ask a person for a passphrase, who may have gone.
const COMMAND_WAIT: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What it printed is there when it has ended; the thread that reads it may be a moment behind.
const LEFT_IN_PIPE_MAX: Duration = Duration::from_secs(1);
/// Bytes of a password's line.
const LINE_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let source = PasswordSource::File(file.path().display().to_string());
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).unwrap();
        assert!(source.read("home").unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(source.read("home").unwrap().expose(), "hunter2");
    }

    #[test]
    fn a_command_gives_its_first_line_and_its_failure_is_told() {
        let source = |script: &str| PasswordSource::Command(vec!["sh".into(), "-c".into(), script.into()]);
        assert_eq!(source("echo 'a b'; echo more").read("home").unwrap().expose(), "a b");
        assert!(source("exit 3").read("home").unwrap_err().to_string().contains("3"));
        assert!(source("true").read("home").unwrap_err().to_string().contains("printed nothing"));
    }

    #[test]
    fn a_command_that_never_ends_or_leaves_something_running_is_not_waited_for_for_ever() {
        let run = |script: &str| {
            let command = ["sh", "-c", script].map(str::to_owned);
            super::run(&command, Stdio::null(), Duration::from_secs(1))
        };
        for endless in ["sleep 100", "yes", "echo x; exec sleep 100"] {
            let refused = run(endless).expect_err(endless);
            assert!(refused.contains("sh has not ended within 1 s"), "{endless}: {refused}");
        }
        // An agent that was started by the way keeps the pipe.
        assert_eq!(run("echo 'a b'; sleep 3 &").unwrap().expose(), "a b");
        assert!(run("sleep 3 &").unwrap_err().contains("printed nothing"));
        assert_eq!(run("printf 'no end of line'").unwrap().expose(), "no end of line");
    }
}
