//! Where a password comes from: a command, an environment variable, a file, or the person.

use std::path::Path;
use std::process::Stdio;

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
            Self::Command(command) => run(command, complaints).map_err(refuse),
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
fn run(command: &[String], complaints: Stdio) -> Result<Secret, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let output = std::process::Command::new(program)
        .args(arguments)
        .stderr(complaints)
        .stdin(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| format!("{program} printed no text"))?;
    first_line(text).ok_or_else(|| format!("{program} printed nothing"))
}

fn first_line(text: String) -> Option<Secret> {
    let text = zeroize::Zeroizing::new(text);
    let line = text.lines().next().filter(|line| !line.is_empty())?;
    Some(Secret::new(line.to_owned()))
}

/// What may stand behind `password =`.
const EXPECTED: &str = "`password` is one of { command = [\"pass\", \"show\", \"home\"] }, { env = \"NAME\" } and \
                        { file = \"path\" }; the password itself does not belong in this file";

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
}
